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
  FAST_K = 48 /* what the vector version takes: a block then spans less than 2^58 */
};

static const uint64_t qkd_deltas_fast_span = UINT64_C(1) << 58;

/* Values and bytes done, and how far the last value is above start. */
typedef struct {
  size_t values, bytes;
  uint64_t last;
} qkd_deltas_place;

static inline unsigned qkd_deltas_parameter(uint64_t span, size_t count) {
  const uint64_t mean = span / count;
  return mean ? 63u - (unsigned)__builtin_clzll(mean) : 0;
}

qkd_deltas_place qkd_deltas_encode_avx512(const int64_t *values, size_t count, int64_t start,
                                          qkd_deltas_place at, uint8_t *bytes);
qkd_deltas_place qkd_deltas_decode_avx512(const uint8_t *bytes, size_t length, size_t count,
                                          int64_t start, uint64_t limit, qkd_deltas_place at,
                                          int64_t *values);

#endif
