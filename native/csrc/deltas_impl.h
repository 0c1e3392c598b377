/* What the versions of the delta coder share. A vector version codes or decodes leading values
 * only, and stops before any that it does not take; the portable one goes on, and judges. */
#ifndef QKD_DELTAS_IMPL_H
#define QKD_DELTAS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "deltas.h"

/* Values and bytes done, and the last value. */
typedef struct {
  size_t values, bytes;
  int64_t last;
} qkd_deltas_place;

/* The bytes of a value are at most this many for the vector versions to take it. */
enum { FAST_CODE_BYTES = 8, FAST_CODE_BITS = 7 * FAST_CODE_BYTES };

/* A running sum up to here takes 64 more differences of the fast kind. */
static const int64_t qkd_deltas_fast_sum = INT64_C(1) << 62;

qkd_deltas_place qkd_deltas_encode_avx512(const int64_t *values, size_t count,
                                          qkd_deltas_place at, uint8_t *bytes);
qkd_deltas_place qkd_deltas_encode_avx2(const int64_t *values, size_t count, qkd_deltas_place at,
                                        uint8_t *bytes);
qkd_deltas_place qkd_deltas_decode_avx512(const uint8_t *bytes, size_t length, size_t count,
                                          qkd_deltas_place at, int64_t *values);
qkd_deltas_place qkd_deltas_decode_avx2(const uint8_t *bytes, size_t length, size_t count,
                                        qkd_deltas_place at, int64_t *values);

#endif
