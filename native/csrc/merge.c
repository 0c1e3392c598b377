/* Tags that come channel by channel (ID Quantique ID900), made one stream. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "merge.h"

#define CHANNELS 4

static int64_t word(const uint8_t *bytes, size_t i) {
  const uint8_t *at = bytes + 8 * i;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  int64_t value;
  memcpy(&value, at, sizeof value);
  return value;
#else
  uint64_t value = 0;
  for (int k = 7; k >= 0; k--) {
    value = value << 8 | at[k];
  }
  return (int64_t)value;
#endif
}

void qkd_tag_order_of(const uint8_t *restrict bytes, size_t tag_count,
                      qkd_tag_order *restrict order) {
  uint64_t largest = 0;
  uint64_t back = 0;
  for (size_t i = 0; i < tag_count; i++) {
    const uint64_t now = (uint64_t)word(bytes, i);
    /* The largest so far, not the word before: a fall may be spread over several words. */
    const uint64_t fall = largest > now ? largest - now : 0;
    back = fall > back ? fall : back;
    largest = now > largest ? now : largest;
  }
  order->largest_ps = largest;
  order->step_back_ps = back;
}

/* What is left of the only channel that has any. */
static size_t copy(const uint8_t *restrict bytes, size_t count, uint8_t channel, int64_t offset_ps,
                   int64_t *restrict times_ps, uint8_t *restrict channels) {
  for (size_t i = 0; i < count; i++) {
    times_ps[i] = word(bytes, i) + offset_ps;
  }
  memset(channels, channel, count);
  return count;
}

/* Merges count tags, no more than any channel that is not exhausted has left: no end to look for.
 * Which channel is next is a coin toss, so nothing here branches on it. */
static void merge(const uint8_t **restrict at, size_t count, int64_t offset_ps,
                  int64_t *restrict times_ps, uint8_t *restrict channels) {
  const uint8_t *a = at[0];
  const uint8_t *b = at[1];
  const uint8_t *c = at[2];
  const uint8_t *d = at[3];
  for (size_t n = 0; n < count; n++) {
    const int64_t ta = word(a, 0);
    const int64_t tb = word(b, 0);
    const int64_t tc = word(c, 0);
    const int64_t td = word(d, 0);
    const size_t low = (size_t)(tb < ta);
    const size_t high = (size_t)(td < tc);
    const int64_t t_low = tb < ta ? tb : ta;
    const int64_t t_high = td < tc ? td : tc;
    const size_t upper = (size_t)(t_high < t_low);
    times_ps[n] = (t_high < t_low ? t_high : t_low) + offset_ps;
    channels[n] = (uint8_t)(1 + (upper ? 2 + high : low));
    a += 8 * ((1 - upper) & (1 - low));
    b += 8 * ((1 - upper) & low);
    c += 8 * (upper & (1 - high));
    d += 8 * (upper & high);
  }
  at[0] = a;
  at[1] = b;
  at[2] = c;
  at[3] = d;
}

size_t qkd_merge_tags(size_t channel_count, const uint8_t *const *words, const size_t *counts,
                      size_t *taken, int64_t offset_ps, size_t capacity, int64_t *restrict times_ps,
                      uint8_t *restrict channels) {
  /* Stands in for a channel without tags: later than any. */
  static const uint8_t never[8] = {255, 255, 255, 255, 255, 255, 255, 127};
  size_t n = 0;

  while (n < capacity) {
    const uint8_t *at[CHANNELS] = {never, never, never, never};
    size_t least = SIZE_MAX;
    size_t left = 0;
    size_t last = 0;
    for (size_t i = 0; i < channel_count; i++) {
      const size_t rest = counts[i] - taken[i];
      if (rest > 0) {
        at[i] = words[i] + 8 * taken[i];
        least = rest < least ? rest : least;
        left++;
        last = i;
      }
    }
    if (left == 0) {
      break;
    }
    const size_t count = least < capacity - n ? least : capacity - n;
    if (left == 1) {
      n += copy(at[last], count, (uint8_t)(last + 1), offset_ps, times_ps + n, channels + n);
      taken[last] += count;
      continue;
    }
    merge(at, count, offset_ps, times_ps + n, channels + n);
    for (size_t i = 0; i < channel_count; i++) {
      if (taken[i] < counts[i]) {
        taken[i] = (size_t)(at[i] - words[i]) / 8;
      }
    }
    n += count;
  }
  return n;
}
