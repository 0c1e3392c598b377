/* What the versions of the merge share. */
#ifndef QKD_MERGE_IMPL_H
#define QKD_MERGE_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "merge.h"

enum {
  CHANNELS = 4,
  WORD_BYTES = 8,
  TOO_FAR = (1 << 30) - 1 /* ps, which stand for all beyond them in a key */
};

static inline uint64_t word_at(const uint8_t *at) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
#else
  uint64_t value = 0;
  for (size_t k = WORD_BYTES; k-- > 0;) value = value << 8 | at[k];
  return value;
#endif
}

/* The whole words that are left of a channel. */
static inline size_t words_left(const qkd_merge *merge, size_t i) {
  return (merge->end[i] - merge->begin[i]) / WORD_BYTES;
}

static inline const uint8_t *next_word(const qkd_merge *merge, size_t i) {
  return merge->bytes[i] + merge->begin[i];
}

/* Merges as long as words are in order and below the limit, and there is room for a whole step;
 * returns how many tags it wrote. */
size_t qkd_merge_orderly_avx512(qkd_merge *merge, size_t capacity, int64_t *times_ps,
                                uint8_t *channels);
size_t qkd_merge_orderly_avx2(qkd_merge *merge, size_t capacity, int64_t *times_ps,
                              uint8_t *channels);

#endif
