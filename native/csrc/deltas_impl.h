/* What the versions of the delta coder share.
 *
 * Values come in blocks of 256, the last one shorter. A block of n values that ends a span beyond
 * the value before it has the Rice parameter k = floor(log2(span / n)), 0 for a span below 2n, and
 * holds, each part from a byte's low bit on and filled up with zeros:
 *   one byte, k;
 *   n times k bits, the low bits of the differences;
 *   n ones, each after as many zeros as the rest of its difference (difference >> k) says.
 * By the choice of k there are fewer than 2n zeros, whatever the differences.
 *
 * A vector version takes leading blocks only, and stops before any that it does not take; the
 * portable one goes on, and judges.
 */
#ifndef QKD_DELTAS_IMPL_H
#define QKD_DELTAS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "deltas.h"

enum {
  BLOCK = 256,
  LARGEST_K = 62,
  BITMAP_BYTES = 3 * BLOCK / 8,
  SPARE = 64, /* bytes beyond its coding that a version may write to */
  MOST_PUT = 56,
  MOST_ZEROS = 30 /* of one value, for a vector version: eight counts add up within a byte */
};

/* Values and bytes done, and how far the last value is above start. */
typedef struct {
  size_t values, bytes;
  uint64_t last;
} qkd_deltas_place;

static inline unsigned qkd_deltas_parameter(uint64_t span, size_t count) {
  const uint64_t mean = span / count;
  return mean ? 63u - (unsigned)__builtin_clzll(mean) : 0;
}

static inline void store_word(uint8_t *bytes, uint64_t word) {
  for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(word >> 8 * i);
}

/* Bits that follow the bytes before at, at most seven. */
typedef struct {
  uint8_t *at;
  uint64_t bits;
  unsigned count;
} qkd_bit_writer;

/* Appends at most MOST_PUT bits; those above them are 0. Stores a whole word. */
static inline __attribute__((always_inline)) void put(qkd_bit_writer *out, uint64_t bits,
                                                      unsigned width) {
  out->bits |= bits << out->count;
  store_word(out->at, out->bits);
  out->count += width;
  out->at += out->count / 8;
  out->bits >>= out->count & ~7u;
  out->count %= 8;
}

/* As qkd_deltas_decode, of as many of the bytes as count values take; returns them, or -1. */
int64_t qkd_deltas_read(int tier, const uint8_t *bytes, size_t length, size_t count,
                        int64_t start, int64_t *values);

qkd_deltas_place qkd_deltas_encode_avx512(const int64_t *values, size_t count, int64_t start,
                                          qkd_deltas_place at, uint8_t *bytes);
qkd_deltas_place qkd_deltas_decode_avx512(const uint8_t *bytes, size_t length, size_t count,
                                          int64_t start, uint64_t limit, qkd_deltas_place at,
                                          int64_t *values);
qkd_deltas_place qkd_deltas_encode_avx2(const int64_t *values, size_t count, int64_t start,
                                        qkd_deltas_place at, uint8_t *bytes);
qkd_deltas_place qkd_deltas_decode_avx2(const uint8_t *bytes, size_t length, size_t count,
                                        int64_t start, uint64_t limit, qkd_deltas_place at,
                                        int64_t *values);

#endif
