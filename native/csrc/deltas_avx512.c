/* Delta coding with lanes of 64 bits (AVX-512 with VBMI). Eight low parts of k bits each fill k
 * whole bytes, so that each eight begin with a byte. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "deltas_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  WIDEST_K = 48,
  BYTE_LANES_K = 8 /* from here on no byte holds bits of more than two values */
};

typedef __m512i eight;

/* A parameter, and for each byte of eight values' low parts, which byte of which lane gives its
 * first bits, and which gives the others if they are the next value's. */
typedef struct {
  unsigned k;
  uint64_t shared;
  uint8_t first[64], second[64];
} coder;

INLINE void set_coder(coder *c, unsigned k) {
  if (c->k == k) return;
  memset(c, 0, sizeof *c);
  c->k = k;
  if (k < BYTE_LANES_K) return;
  for (unsigned byte = 0; byte < k; byte++) {
    const unsigned lane = 8 * byte / k, next = (8 * byte + 7) / k;
    c->first[byte] = (uint8_t)(8 * lane + byte - lane * k / 8);
    c->second[byte] = (uint8_t)(8 * next);
    c->shared |= (uint64_t)(next != lane) << byte;
  }
}

INLINE __m512i low_bits(const coder *c) {
  return _mm512_set1_epi64((int64_t)((UINT64_C(1) << c->k) - 1));
}
INLINE __m128i shift_of(const coder *c) { return _mm_cvtsi64_si128((int64_t)c->k); }

/* Where lane j's k bits begin among those of eight values. */
INLINE __m512i first_bits(const coder *c) {
  return _mm512_mullo_epi64(_mm512_set1_epi64(c->k), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}

typedef struct {
  __m512i previous;
} chain;

INLINE chain begin(int64_t before) { return (chain){_mm512_set1_epi64(before)}; }

INLINE eight differences(chain *from, const int64_t *values) {
  const __m512i now = _mm512_loadu_si512(values);
  const __m512i difference = _mm512_sub_epi64(now, _mm512_alignr_epi64(now, from->previous, 7));
  from->previous = now;
  return difference;
}

INLINE int all_within(const chain *from) {
  (void)from;
  return 1;
}

INLINE void store_low(eight difference, const coder *c, uint8_t *bytes) {
  const __m512i low = _mm512_and_si512(difference, low_bits(c));
  if (c->k < BYTE_LANES_K) {
    const uint64_t in_bytes = (uint64_t)_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(low));
    const uint64_t packed =
        _pext_u64(in_bytes, UINT64_C(0x0101010101010101) * ((1u << c->k) - 1));
    memcpy(bytes, &packed, sizeof packed);
    return;
  }
  const __m512i placed =
      _mm512_sllv_epi64(low, _mm512_and_si512(first_bits(c), _mm512_set1_epi64(7)));
  const __m512i first = _mm512_permutexvar_epi8(_mm512_loadu_si512(c->first), placed);
  const __m512i second = _mm512_maskz_permutexvar_epi8(
      _cvtu64_mask64(c->shared), _mm512_loadu_si512(c->second), placed);
  _mm512_storeu_si512(bytes, _mm512_or_si512(first, second));
}

INLINE uint64_t rests(eight difference, const coder *c) {
  const __m512i zeros = _mm512_srl_epi64(difference, shift_of(c));
  const __m512i most = _mm512_set1_epi64(MOST_ZEROS);
  if (_mm512_cmpgt_epu64_mask(zeros, most)) return UINT64_MAX;
  return (uint64_t)_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(zeros));
}

INLINE uint64_t ones_at(uint64_t places) {
  const __m512i place = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128((int64_t)places));
  return (uint64_t)_mm512_reduce_or_epi64(_mm512_sllv_epi64(_mm512_set1_epi64(1), place));
}

INLINE size_t find_ones(const uint8_t *bitmap, uint16_t *places) {
  const __m512i bytes = _mm512_set_epi64(
      0x3F3E3D3C3B3A3938, 0x3736353433323130, 0x2F2E2D2C2B2A2928, 0x2726252423222120,
      0x1F1E1D1C1B1A1918, 0x1716151413121110, 0x0F0E0D0C0B0A0908, 0x0706050403020100);
  size_t found = 0;
  for (unsigned bit = 0; bit < 8 * BITMAP_BYTES && found < BLOCK; bit += 64) {
    uint64_t word;
    memcpy(&word, bitmap + bit / 8, sizeof word);
    const __m512i ones = _mm512_maskz_compress_epi8(_cvtu64_mask64(word), bytes);
    const __m512i base = _mm512_set1_epi16((int16_t)bit);
    const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(ones));
    const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(ones, 1));
    _mm512_storeu_si512(places + found, _mm512_add_epi16(low, base));
    _mm512_storeu_si512(places + found + 32, _mm512_add_epi16(high, base));
    found += (size_t)__builtin_popcountll(word);
  }
  return found;
}

/* The sum of the low parts so far, on top of what came before, and the eight values' ordinals. */
typedef struct {
  __m512i base, ordinal;
} sums;

INLINE sums sums_from(int64_t before) {
  return (sums){_mm512_set1_epi64(before), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)};
}

/* The sum of each lane and all below it. */
INLINE __m512i running_sum(__m512i x) {
  const __m512i zero = _mm512_setzero_si512();
  x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 7));
  x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 6));
  return _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 4));
}

INLINE void sum_up(sums *at, const coder *c, const uint8_t *bytes, const uint16_t *places,
                   int64_t *values) {
  const __m512i first = first_bits(c);
  const __m512i spread = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0808080808080808, 0));
  const __m512i from = _mm512_add_epi8(_mm512_shuffle_epi8(_mm512_srli_epi64(first, 3), spread),
                                       _mm512_set1_epi64(0x0706050403020100));
  const __m512i parts = _mm512_permutexvar_epi8(from, _mm512_loadu_si512(bytes));
  const __m512i shifts = _mm512_and_si512(first, _mm512_set1_epi64(7));
  const __m512i low = _mm512_and_si512(_mm512_srlv_epi64(parts, shifts), low_bits(c));
  const __m512i place = _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)places));
  const __m512i high = _mm512_sll_epi64(_mm512_sub_epi64(place, at->ordinal), shift_of(c));
  const __m512i all = _mm512_add_epi64(at->base, running_sum(low));
  _mm512_storeu_si512(values, _mm512_add_epi64(all, high));
  at->base = _mm512_permutexvar_epi64(_mm512_set1_epi64(7), all);
  at->ordinal = _mm512_add_epi64(at->ordinal, _mm512_set1_epi64(8));
}

#include "deltas_loops.h"

qkd_deltas_place qkd_deltas_encode_avx512(const int64_t *restrict values, size_t count,
                                          int64_t start, qkd_deltas_place at,
                                          uint8_t *restrict bytes) {
  return encode_blocks(values, count, start, at, bytes);
}

qkd_deltas_place qkd_deltas_decode_avx512(const uint8_t *restrict bytes, size_t length,
                                          size_t count, int64_t start, uint64_t limit,
                                          qkd_deltas_place at, int64_t *restrict values) {
  return decode_blocks(bytes, length, count, start, limit, at, values);
}
#endif
