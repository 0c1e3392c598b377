/* The merge of channels in order, on vectors: a step sorts the next LANES words of each channel
 * together, and those are taken that no word to come can precede.
 *
 * What is sorted are 32-bit keys: the time since the first of a step's words, and below it the
 * channel, so that none ties. Words that are too far off for a key wait for a later step.
 *
 * Each version first names LANES, words (half of them as they came) and vector (their keys), and
 * what is done to them. */
#include "merge_impl.h"
#include "rows.h"

enum {
  STEP = CHANNELS * LANES,
  HALF_BYTES = WORD_BYTES * LANES / 2,
  AHEAD = 512, /* bytes of a channel beyond a step that are fetched for later ones */
  LINE = 64
};

/* Stands where a channel has no more words: not below any limit, and still in order. */
static const uint64_t never = UINT64_C(1) << 62;

/* A channel's next words, with more behind them than a step looks at. */
INLINE const uint8_t *next_words(const qkd_merge *merge, size_t i, uint64_t tail[2 * LANES + 1],
                                 size_t *steps) {
  const size_t left = words_left(merge, i);
  if (left > LANES) {
    const size_t sure = (left - 1) / LANES; /* however many words each of them takes */
    *steps = sure < *steps ? sure : *steps;
    return next_word(merge, i);
  }
  if (merge->to_come[i] > 0) *steps = 0; /* nobody knows what comes behind them */
  for (size_t k = 0; k < 2 * LANES + 1; k++) tail[k] = never;
  if (left > 0) memcpy(tail, next_word(merge, i), WORD_BYTES * left);
  return (const uint8_t *)tail;
}

/* There need be no words there. */
INLINE void fetch_ahead(const uint8_t *at) {
  const uintptr_t ahead = (uintptr_t)at + AHEAD;
  __builtin_prefetch((const void *)ahead);
  __builtin_prefetch((const void *)(ahead + LINE));
}

INLINE int begins_in_order(const qkd_merge *merge) {
  int orderly = 1;
  for (size_t i = 0; i < CHANNELS; i++)
    orderly &= words_left(merge, i) == 0 ||
               word_at(next_word(merge, i)) >= merge->largest_ps[i];
  return orderly;
}

INLINE uint64_t first_of(const uint8_t *const at[CHANNELS]) {
  const uint64_t a = word_at(at[0]), b = word_at(at[1]), c = word_at(at[2]), d = word_at(at[3]);
  const uint64_t low = b < a ? b : a, high = d < c ? d : c;
  return high < low ? high : low;
}

INLINE size_t merge_orderly(qkd_merge *restrict merge, size_t capacity, int64_t *restrict times_ps,
                            uint8_t *restrict channels) {
  uint64_t tails[CHANNELS][2 * LANES + 1];
  const uint64_t limit_ps = merge->limit_ps, offset_ps = (uint64_t)merge->offset_ps;
  int orderly = begins_in_order(merge);
  size_t n = 0;
  while (orderly) {
    const size_t before = n;
    size_t steps = (capacity - n) / STEP;
    const uint8_t *first[CHANNELS], *at[CHANNELS];
    for (size_t i = 0; i < CHANNELS; i++)
      at[i] = first[i] = next_words(merge, i, tails[i], &steps);
    for (; steps > 0; steps--) {
      const uint64_t base_ps = first_of(at);
      if (base_ps >= limit_ps) break;
      const words base = all_words(base_ps);
      words seen = all_words(0);
      vector v[CHANNELS];
      for (size_t i = 0; i < CHANNELS; i++) {
        fetch_ahead(at[i]);
        const words a = load(at[i]), b = load(at[i] + HALF_BYTES);
        seen = either(seen, a, minus(load(at[i] + WORD_BYTES), a));
        seen = either(seen, b, minus(load(at[i] + HALF_BYTES + WORD_BYTES), b));
        v[i] = keys_of(minus(a, base), minus(b, base), (int)i);
      }
      orderly = !any_negative(seen);
      if (!orderly) break;
      const uint64_t span_ps = limit_ps - base_ps;
      const uint32_t within = (uint32_t)(span_ps < TOO_FAR ? span_ps : TOO_FAR);
      vector bound = least(least(v[0], v[1]), least(v[2], v[3]));
      bound = least(last_lane(bound), all_keys(CHANNELS * within - 1));
      size_t took = 0;
      for (size_t i = 0; i < CHANNELS; i++) {
        const size_t count = up_to(v[i], bound);
        at[i] += WORD_BYTES * count;
        took += count;
      }
      merge_vectors(&v[0], &v[1]);
      merge_vectors(&v[2], &v[3]);
      merge_pairs(v);
      write_tags(v, all_words(base_ps + offset_ps), times_ps + n, channels + n);
      n += took;
    }
    for (size_t i = 0; i < CHANNELS; i++) {
      if (at[i] == first[i]) continue;
      merge->largest_ps[i] = word_at(at[i] - WORD_BYTES);
      merge->begin[i] += (size_t)(at[i] - first[i]);
    }
    if (n == before) break;
  }
  return n;
}
