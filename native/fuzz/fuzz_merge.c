/* The merge of whatever a service sends: nothing lost, nothing made up, every tier alike. */
#include "fuzz.h"

#include "merge.h"
#include "tier.h"

enum { CHANNELS = 4 };

typedef struct {
  uint64_t *words[CHANNELS];
  size_t counts[CHANNELS], all;
} channels_in;

typedef struct {
  int64_t *times;
  uint8_t *channels;
  size_t tags, refused;
} merged;

/* In pieces of up to so many bytes and tags, each with exactly the room that it is told. */
static merged merge_all(int tier, qkd_merge merge, const channels_in *in, size_t piece) {
  merged m = {room(in->all, 8), room(in->all, 1), 0, 0};
  for (size_t c = 0; c < CHANNELS; c++) {
    merge.bytes[c] = (const uint8_t *)in->words[c];
    merge.to_come[c] = 8 * in->counts[c];
  }
  while (m.tags < in->all && !merge.refused) {
    for (size_t c = 0; c < CHANNELS; c++) {
      const size_t more = piece < merge.to_come[c] ? piece : merge.to_come[c];
      merge.end[c] += more;
      merge.to_come[c] -= more;
    }
    int64_t *times = room(piece, 8);
    uint8_t *channels = room(piece, 1);
    const size_t got = qkd_merge_tags(tier, &merge, piece, times, channels);
    require(got <= piece && m.tags + got <= in->all);
    memcpy(m.times + m.tags, times, 8 * got);
    memcpy(m.channels + m.tags, channels, got);
    m.tags += got;
    free(channels);
    free(times);
  }
  m.refused = merge.refused;
  return m;
}

static void require_whole(const merged *m, const channels_in *in, int64_t offset_ps) {
  size_t at[CHANNELS] = {0};
  for (size_t i = 0; i < m->tags; i++) {
    const size_t c = m->channels[i] - 1u;
    require(c < CHANNELS && at[c] < in->counts[c]);
    require(m->times[i] == (int64_t)in->words[c][at[c]++] + offset_ps);
  }
}

/* Steps that come again and again, so that few bytes make a long channel; a word of any size. */
static void fill(input *in, uint64_t *words, size_t count) {
  const unsigned shift = (unsigned)take(in, 1) % 50;
  uint64_t steps[8], now = take(in, 4);
  for (size_t i = 0; i < 8; i++) steps[i] = take(in, 1) << shift;
  for (size_t i = 0; i < count; i++) words[i] = now += steps[i % 8];
  const size_t at = take(in, 2);
  const uint64_t word = take(in, 8);
  if (at < count) words[at] = word;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  qkd_merge merge = {.limit_ps = take(&in, 8) & ((UINT64_C(1) << 62) - 1)};
  merge.reorder_ps = take(&in, 8);
  merge.reorder_ps >>= take(&in, 1) % 64;
  merge.offset_ps = (int64_t)take(&in, 4);
  const size_t piece = 16 + take(&in, 2) % 2048;
  channels_in words = {.all = 0};
  for (size_t c = 0; c < CHANNELS; c++) {
    words.counts[c] = take(&in, 2) % 512;
    words.words[c] = room(words.counts[c], 8);
    fill(&in, words.words[c], words.counts[c]);
    words.all += words.counts[c];
  }
  const merged portable = merge_all(0, merge, &words, piece);
  require_whole(&portable, &words, merge.offset_ps);
  for (int tier = 1; tier <= qkd_tier_best(); tier++) {
    const merged m = merge_all(tier, merge, &words, piece);
    require(m.tags == portable.tags && m.refused == portable.refused);
    require(memcmp(m.times, portable.times, 8 * m.tags) == 0);
    require(memcmp(m.channels, portable.channels, m.tags) == 0);
    free(m.channels);
    free(m.times);
  }
  free(portable.channels);
  free(portable.times);
  for (size_t c = 0; c < CHANNELS; c++) free(words.words[c]);
  return 0;
}
