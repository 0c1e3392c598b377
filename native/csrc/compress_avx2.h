/* Marked ones of four moved to the front, in order, with AVX2; bit i of the marks is for the i-th.
 * What stands behind them is of no use. */
#ifndef QKD_COMPRESS_AVX2_H
#define QKD_COMPRESS_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* For each set of 64-bit lanes, their halves in order. */
static const int32_t qkd_front_lanes[16][8] = {
    {0},          {0, 1},             {2, 3},             {0, 1, 2, 3},
    {4, 5},       {0, 1, 4, 5},       {2, 3, 4, 5},       {0, 1, 2, 3, 4, 5},
    {6, 7},       {0, 1, 6, 7},       {2, 3, 6, 7},       {0, 1, 2, 3, 6, 7},
    {4, 5, 6, 7}, {0, 1, 4, 5, 6, 7}, {2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}};

static inline __m256i to_front(__m256i x, uint32_t marked) {
  const __m256i lanes = _mm256_loadu_si256((const __m256i *)qkd_front_lanes[marked]);
  return _mm256_permutevar8x32_epi32(x, lanes);
}

static inline void bytes_front(const uint8_t *bytes, uint32_t marked, uint8_t *out) {
  uint32_t four;
  memcpy(&four, bytes, sizeof four);
  four = _pext_u32(four, _pdep_u32(marked, 0x01010101) * 0xFF);
  memcpy(out, &four, sizeof four);
}

#endif
