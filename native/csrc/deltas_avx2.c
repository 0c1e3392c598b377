/* Delta coding with lanes of 32 bits (AVX2): of blocks whose parameter is so small that four low
 * parts fit into a word. All their values then lie within 2^31 of each other. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "deltas_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { WIDEST_K = 15 };

typedef __m256i eight;

typedef struct {
  unsigned k;
} coder;

INLINE void set_coder(coder *c, unsigned k) { c->k = k; }

INLINE __m256i low_bits(const coder *c) { return _mm256_set1_epi32((int32_t)((1u << c->k) - 1)); }
INLINE __m128i shift_of(const coder *c) { return _mm_cvtsi32_si128((int32_t)c->k); }
INLINE __m256i load(const void *at) { return _mm256_loadu_si256(at); }

/* Above what value a block is seen, its last lane turned to the first, and all bits of all. */
typedef struct {
  __m256i base, turned, seen;
} chain;

INLINE chain begin(int64_t before) {
  return (chain){_mm256_set1_epi64x(before), _mm256_setzero_si256(), _mm256_setzero_si256()};
}

INLINE eight differences(chain *from, const int64_t *values) {
  const __m256i first = _mm256_sub_epi64(load(values), from->base);
  const __m256i second = _mm256_sub_epi64(load(values + 4), from->base);
  from->seen = _mm256_or_si256(from->seen, _mm256_or_si256(first, second));
  const __m256i mixed = _mm256_castps_si256(
      _mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), 0x88));
  const __m256i now = _mm256_permute4x64_epi64(mixed, 0xD8);
  const __m256i turned =
      _mm256_permutevar8x32_epi32(now, _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6));
  const __m256i previous = _mm256_blend_epi32(turned, from->turned, 1);
  from->turned = turned;
  return _mm256_sub_epi32(now, previous);
}

INLINE int all_within(const chain *from) {
  return _mm256_testz_si256(from->seen, _mm256_set1_epi64x(~INT64_C(0x7FFFFFFF)));
}

INLINE void store_low(eight difference, const coder *c, uint8_t *bytes) {
  const __m256i low = _mm256_and_si256(difference, low_bits(c));
  const __m128i k = shift_of(c), twice_k = _mm_cvtsi32_si128(2 * (int32_t)c->k);
  const __m256i evens = _mm256_and_si256(low, _mm256_set1_epi64x(UINT32_MAX));
  const __m256i odds = _mm256_sll_epi64(_mm256_srli_epi64(low, 32), k);
  const __m256i twos = _mm256_or_si256(evens, odds);
  const __m256i next = _mm256_sll_epi64(_mm256_shuffle_epi32(twos, 0x4E), twice_k);
  const __m256i fours = _mm256_or_si256(twos, next);
  const uint64_t first = (uint64_t)_mm256_extract_epi64(fours, 0);
  const uint64_t second = (uint64_t)_mm256_extract_epi64(fours, 2);
  const unsigned odd = 4 * (c->k & 1); /* bits of the first four beyond a whole byte */
  const uint64_t joined = second << odd | first >> (4 * c->k - odd);
  memcpy(bytes, &first, sizeof first);
  memcpy(bytes + c->k / 2, &joined, sizeof joined);
}

INLINE uint64_t rests(eight difference, const coder *c) {
  const __m256i zeros = _mm256_srl_epi32(difference, shift_of(c));
  const __m256i most = _mm256_set1_epi32(MOST_ZEROS);
  const __m256i within = _mm256_cmpeq_epi32(_mm256_max_epu32(zeros, most), most);
  if (_mm256_movemask_epi8(within) != -1) return UINT64_MAX;
  const __m256i words = _mm256_packus_epi32(zeros, zeros);
  const __m256i bytes = _mm256_packus_epi16(words, words);
  const uint32_t first = (uint32_t)_mm256_extract_epi32(bytes, 0);
  const uint32_t second = (uint32_t)_mm256_extract_epi32(bytes, 4);
  return first | (uint64_t)second << 32;
}

INLINE uint64_t ones_at(uint64_t places) {
  const __m256i one = _mm256_set1_epi64x(1);
  const __m128i place = _mm_cvtsi64_si128((int64_t)places);
  const __m256i first = _mm256_sllv_epi64(one, _mm256_cvtepu8_epi64(place));
  const __m256i second = _mm256_sllv_epi64(one, _mm256_cvtepu8_epi64(_mm_srli_si128(place, 4)));
  const __m256i all = _mm256_or_si256(first, second);
  const __m128i half = _mm_or_si128(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  return (uint64_t)_mm_cvtsi128_si64(_mm_or_si128(half, _mm_srli_si128(half, 8)));
}

INLINE size_t find_ones(const uint8_t *bitmap, uint16_t *places) {
  size_t found = 0;
  for (unsigned byte = 0; byte < BITMAP_BYTES && found < BLOCK; byte++) {
    const uint64_t spread = _pdep_u64(bitmap[byte], UINT64_C(0x0101010101010101)) * 0xFF;
    const uint64_t ones = _pext_u64(UINT64_C(0x0706050403020100), spread);
    const __m128i place = _mm_add_epi16(_mm_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)ones)),
                                        _mm_set1_epi16((int16_t)(8 * byte)));
    _mm_storeu_si128((__m128i *)(places + found), place);
    found += (size_t)__builtin_popcount(bitmap[byte]);
  }
  return found;
}

/* The sum of the low parts so far, on top of the value before the block, and the ordinals. */
typedef struct {
  __m256i base, sum, ordinal;
} sums;

INLINE sums sums_from(int64_t before) {
  return (sums){_mm256_set1_epi64x(before), _mm256_setzero_si256(),
                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)};
}

/* The sum of each lane and all below it. */
INLINE __m256i running_sum(__m256i x) {
  x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
  x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
  const __m256i fourth = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(3));
  return _mm256_add_epi32(x, _mm256_blend_epi32(fourth, _mm256_setzero_si256(), 0x0F));
}

INLINE void sum_up(sums *at, const coder *c, const uint8_t *bytes, const uint16_t *places,
                   int64_t *values) {
  const __m256i first = _mm256_mullo_epi32(_mm256_set1_epi32((int32_t)c->k),
                                           _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 0, 0,
                                          0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
  const __m256i from = _mm256_add_epi8(_mm256_shuffle_epi8(_mm256_srli_epi32(first, 3), spread),
                                       _mm256_set1_epi32(0x03020100));
  const __m256i packed = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
  const __m256i parts = _mm256_shuffle_epi8(packed, from);
  const __m256i shifts = _mm256_and_si256(first, _mm256_set1_epi32(7));
  const __m256i low = _mm256_and_si256(_mm256_srlv_epi32(parts, shifts), low_bits(c));
  const __m256i place = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)places));
  const __m256i high = _mm256_sll_epi32(_mm256_sub_epi32(place, at->ordinal), shift_of(c));
  const __m256i all = _mm256_add_epi32(at->sum, running_sum(low));
  const __m256i above = _mm256_add_epi32(all, high);
  _mm256_storeu_si256(
      (__m256i *)values,
      _mm256_add_epi64(at->base, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(above))));
  _mm256_storeu_si256(
      (__m256i *)(values + 4),
      _mm256_add_epi64(at->base, _mm256_cvtepu32_epi64(_mm256_extracti128_si256(above, 1))));
  at->sum = _mm256_permutevar8x32_epi32(all, _mm256_set1_epi32(7));
  at->ordinal = _mm256_add_epi32(at->ordinal, _mm256_set1_epi32(8));
}

#include "deltas_loops.h"

qkd_deltas_place qkd_deltas_encode_avx2(const int64_t *restrict values, size_t count,
                                        int64_t start, qkd_deltas_place at,
                                        uint8_t *restrict bytes) {
  return encode_blocks(values, count, start, at, bytes);
}

qkd_deltas_place qkd_deltas_decode_avx2(const uint8_t *restrict bytes, size_t length, size_t count,
                                        int64_t start, uint64_t limit, qkd_deltas_place at,
                                        int64_t *restrict values) {
  return decode_blocks(bytes, length, count, start, limit, at, values);
}
#endif
