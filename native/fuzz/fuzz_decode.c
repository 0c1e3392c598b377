/* Decoders of time tag words: every format, cut anywhere, every tier alike. */
#include "fuzz.h"

#include "decode.h"
#include "tier.h"

typedef struct {
  int64_t *times;
  uint8_t *channels;
  size_t tags;
} tags;

static tags tags_of(size_t most) { return (tags){room(most, 8), room(most, 1), 0}; }

static void free_tags(tags *t) {
  free(t->times);
  free(t->channels);
}

static void require_equal(const tags *a, const tags *b) {
  require(a->tags == b->tags && memcmp(a->times, b->times, 8 * a->tags) == 0 &&
          memcmp(a->channels, b->channels, a->tags) == 0);
}

static void tdc1(const uint8_t *bytes, size_t size, size_t cut) {
  tags portable = {0};
  qkd_tdc1 first;
  cut = size > 0 ? cut % (size + 1) : 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_tdc1 state;
    memset(&state, 0, sizeof state);
    tags whole = tags_of(size), head = tags_of(cut);
    head.tags = qkd_tdc1_decode(tier, &state, bytes, cut, head.times, head.channels);
    tags tail = tags_of(size - cut + state.partial_bytes);
    tail.tags =
        qkd_tdc1_decode(tier, &state, bytes + cut, size - cut, tail.times, tail.channels);
    require(head.tags + tail.tags <= size);
    memcpy(whole.times, head.times, 8 * head.tags);
    memcpy(whole.channels, head.channels, head.tags);
    memcpy(whole.times + head.tags, tail.times, 8 * tail.tags);
    memcpy(whole.channels + head.tags, tail.channels, tail.tags);
    whole.tags = head.tags + tail.tags;
    free_tags(&head);
    free_tags(&tail);
    if (tier == 0) {
      portable = whole;
      first = state;
      continue;
    }
    require_equal(&portable, &whole);
    require(memcmp(&first, &state, sizeof state) == 0);
    free_tags(&whole);
  }
  free_tags(&portable);
}

static void events(const uint8_t *bytes, size_t size, int format) {
  tags portable = {0};
  qkd_word_counts first;
  const size_t count = size / 8;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_word_counts counts;
    memset(&counts, 0, sizeof counts);
    tags t = tags_of(4 * count);
    t.tags = format < 2
                 ? qkd_a1_decode(tier, bytes, count, format, t.times, t.channels, &counts)
                 : qkd_legacy_decode(tier, bytes, count, t.times, t.channels, &counts);
    if (tier == 0) {
      portable = t;
      first = counts;
      continue;
    }
    require_equal(&portable, &t);
    require(memcmp(&first, &counts, sizeof counts) == 0);
    free_tags(&t);
  }
  free_tags(&portable);
}

static void t2(const uint8_t *bytes, size_t size, int flavour, int32_t tick_ps) {
  tags portable = {0};
  qkd_t2 first;
  const size_t count = size / 4;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_t2 state;
    memset(&state, 0, sizeof state);
    tags t = tags_of(count);
    for (size_t done = 0; done < count; done += 1000) {
      const size_t words = count - done < 1000 ? count - done : 1000;
      t.tags += qkd_t2_decode(tier, &state, bytes + 4 * done, words, flavour, tick_ps,
                              t.times + t.tags, t.channels + t.tags);
    }
    if (tier == 0) {
      portable = t;
      first = state;
      continue;
    }
    require_equal(&portable, &t);
    require(memcmp(&first, &state, sizeof state) == 0);
    free_tags(&t);
  }
  free_tags(&portable);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const unsigned format = (unsigned)take(&in, 1) % 9;
  const uint64_t parameter = take(&in, 2);
  uint8_t *bytes = rest(&in);
  if (format == 0) {
    tdc1(bytes, in.left, parameter);
  } else if (format < 4) {
    events(bytes, in.left, (int)format - 1);
  } else if (format < 7) {
    t2(bytes, in.left, (int)format - 4, (int32_t)parameter + 1);
  } else if (format == 7) {
    tags t = tags_of(in.left / 10);
    require(qkd_qutag_decode(bytes, in.left / 10, t.times, t.channels) <= in.left / 10);
    free_tags(&t);
  } else {
    const size_t stride = 1 + parameter % 3, count = in.left / (8 * stride);
    tags t = tags_of(count);
    require(qkd_uint64_decode(bytes, count, stride, t.times) <= count);
    free_tags(&t);
  }
  free(bytes);
  return 0;
}
