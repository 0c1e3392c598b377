/* Tags that come channel by channel (ID Quantique ID900), made one stream. */
#include "merge_impl.h"

enum { BLOCK = 64 /* tags after one that no vector version takes */ };

/* Merges tag by tag. */
static size_t merge_some(qkd_merge *restrict merge, size_t count, int64_t *restrict times_ps,
                         uint8_t *restrict channels) {
  uint64_t next[CHANNELS];
  for (size_t i = 0; i < CHANNELS; i++) {
    const size_t left = words_left(merge, i);
    if (left == 0 && merge->to_come[i] > 0) return 0;
    next[i] = left > 0 ? word_at(next_word(merge, i)) : UINT64_MAX;
  }
  for (size_t n = 0; n < count; n++) {
    /* Which is least is a coin toss, so nothing here branches on it. */
    const size_t low = next[1] < next[0], high = 2 + (size_t)(next[3] < next[2]);
    const size_t i = next[high] < next[low] ? high : low;
    const uint64_t word = next[i], largest = merge->largest_ps[i];
    if (word >= merge->limit_ps) {
      /* Nor is any other below it: the first that there is. */
      for (size_t k = CHANNELS; k-- > 0;)
        if (words_left(merge, k) > 0) merge->refused = k + 1;
      return n;
    }
    if (word < largest && largest - word > merge->reorder_ps) {
      merge->refused = i + 1;
      return n;
    }
    times_ps[n] = (int64_t)word + merge->offset_ps;
    channels[n] = (uint8_t)(i + 1);
    merge->largest_ps[i] = word > largest ? word : largest;
    merge->begin[i] += WORD_BYTES;
    if (words_left(merge, i) > 0) {
      next[i] = word_at(next_word(merge, i));
    } else {
      if (merge->to_come[i] > 0) return n + 1;
      next[i] = UINT64_MAX;
    }
  }
  return count;
}

size_t qkd_merge_tags(int tier, qkd_merge *merge, size_t capacity, int64_t *times_ps,
                      uint8_t *channels) {
#if !defined(__x86_64__)
  (void)tier;
#endif
  size_t n = 0, wanted;
  do {
    wanted = capacity - n;
#if defined(__x86_64__)
    if (tier) {
      n += (tier > 1 ? qkd_merge_orderly_avx512 : qkd_merge_orderly_avx2)(merge, wanted,
                                                                        times_ps + n, channels + n);
      wanted = capacity - n < BLOCK ? capacity - n : BLOCK;
    }
#endif
    const size_t some = merge_some(merge, wanted, times_ps + n, channels + n);
    n += some;
    wanted -= some;
  } while (wanted == 0 && n < capacity);
  return n;
}
