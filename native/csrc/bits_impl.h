/* What kernels on packed strings share. */
#ifndef QKD_BITS_IMPL_H
#define QKD_BITS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "bits.h"

enum { WORD_BITS = 64 };

static inline size_t qkd_bits_words(size_t bits) { return (bits + WORD_BITS - 1) / WORD_BITS; }

/* Ones where a string of so many bits has bits, in one of its words. */
static inline uint64_t qkd_bits_within(size_t bits, size_t word) {
  return bits - WORD_BITS * word < WORD_BITS ? (UINT64_C(1) << bits % WORD_BITS) - 1 : ~UINT64_C(0);
}

/* How many bits are set, without the table that a library may look secret bits up in. */
static inline unsigned qkd_bits_count(uint64_t bits) {
  bits -= bits >> 1 & UINT64_C(0x5555555555555555);
  bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
  bits = (bits + (bits >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
  return (unsigned)(bits * UINT64_C(0x0101010101010101) >> 56);
}

/* A string being written; fewer than 64 bits are not stored yet. */
typedef struct {
  uint64_t *at;
  uint64_t pending;
  size_t count;
} qkd_bits_writer;

/* Appends the lowest count bits, 0 to 64; those above are 0. */
static inline void qkd_bits_append(qkd_bits_writer *string, uint64_t bits, unsigned count) {
  const unsigned filled = string->count % WORD_BITS;
  string->pending |= bits << filled;
  string->count += count;
  if (filled + count < WORD_BITS) return;
  *string->at++ = string->pending;
  string->pending = filled ? bits >> (WORD_BITS - filled) : 0;
}

/* Stores the rest, and zeros up to the end of the room. */
static inline void qkd_bits_end(qkd_bits_writer *string, const uint64_t *end) {
  if (string->at < end) *string->at++ = string->pending;
  while (string->at < end) *string->at++ = 0;
}

/* The bits that a mask has, side by side. */
static inline uint64_t qkd_bits_extract(uint64_t bits, uint64_t mask) {
  uint64_t found = 0;
  for (unsigned at = 0; mask != 0; mask &= mask - 1, at++)
    found |= (bits >> __builtin_ctzll(mask) & 1u) << at;
  return found;
}

/* The mask, in one word, of listed indices from *next on, which rise. */
static inline uint64_t qkd_bits_mask(const int64_t *listed, size_t listed_count, size_t *next,
                                     size_t word) {
  uint64_t mask = 0;
  for (; *next < listed_count && (uint64_t)listed[*next] / WORD_BITS == word; ++*next)
    mask |= UINT64_C(1) << (uint64_t)listed[*next] % WORD_BITS;
  return mask;
}

/* The byte's bits, one a byte; and back. */
static inline uint64_t qkd_bits_spread(uint8_t bits) {
  const uint64_t alone = bits * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
  return (alone + UINT64_C(0x7F7F7F7F7F7F7F7F)) >> 7 & UINT64_C(0x0101010101010101);
}

static inline uint8_t qkd_bits_gather(uint64_t bytes) {
  return (uint8_t)(bytes * UINT64_C(0x0102040810204080) >> 56);
}

#if defined(__x86_64__)
size_t qkd_bits_differ_avx2(const uint64_t *a, const uint64_t *b, size_t words);
void qkd_bits_keep_avx2(uint64_t *bits, size_t count, const int64_t *listed, size_t listed_count,
                        int listed_kept);
#endif

#endif
