/* The merge on vectors of eight keys (AVX2). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "merge_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, HALF = LANES / 2 };

typedef __m256i words;
typedef __m256i vector;

INLINE words load(const uint8_t *at) { return _mm256_loadu_si256((const __m256i *)at); }
INLINE words all_words(uint64_t x) { return _mm256_set1_epi64x((int64_t)x); }
INLINE words minus(words x, words y) { return _mm256_sub_epi64(x, y); }
INLINE words either(words x, words y, words z) {
  return _mm256_or_si256(x, _mm256_or_si256(y, z));
}
INLINE int any_negative(words x) { return _mm256_movemask_pd(_mm256_castsi256_pd(x)) != 0; }

INLINE vector all_keys(uint32_t x) { return _mm256_set1_epi32((int32_t)x); }
INLINE vector least(vector x, vector y) { return _mm256_min_epu32(x, y); }
INLINE vector most(vector x, vector y) { return _mm256_max_epu32(x, y); }
INLINE vector reversed(vector x) {
  return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
INLINE vector last_lane(vector x) {
  return _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(LANES - 1));
}
INLINE size_t up_to(vector x, vector bound) {
  const __m256 taken = _mm256_castsi256_ps(_mm256_cmpeq_epi32(least(x, bound), x));
  return (size_t)_mm_popcnt_u32((unsigned)_mm256_movemask_ps(taken));
}

INLINE vector keys_of(words near, words far, int channel) {
  const __m256 a = _mm256_castsi256_ps(near), b = _mm256_castsi256_ps(far);
  const vector low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
  const vector high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD));
  /* All ones where a difference does not fit. */
  const vector beyond = _mm256_cmpgt_epi32(high, _mm256_setzero_si256());
  const vector since_ps = least(_mm256_or_si256(low, beyond), all_keys(TOO_FAR));
  const vector keys = _mm256_or_si256(_mm256_slli_epi32(since_ps, 2), _mm256_set1_epi32(channel));
  return _mm256_permute4x64_epi64(keys, 0xD8);
}

/* Lanes four apart are compared, then two, and neighbours; both vectors at once. */
INLINE void sort_bitonic(vector *a, vector *b) {
  vector p = _mm256_permute2x128_si256(*a, *b, 0x20), q = _mm256_permute2x128_si256(*a, *b, 0x31);
  vector low = least(p, q), high = most(p, q);
  p = _mm256_unpacklo_epi64(low, high);
  q = _mm256_unpackhi_epi64(low, high);
  low = least(p, q);
  high = most(p, q);
  const __m256 l = _mm256_castsi256_ps(low), h = _mm256_castsi256_ps(high);
  p = _mm256_castps_si256(_mm256_shuffle_ps(l, h, 0x88));
  q = _mm256_castps_si256(_mm256_shuffle_ps(l, h, 0xDD));
  low = least(p, q);
  high = most(p, q);
  p = _mm256_blend_epi32(low, _mm256_shuffle_epi32(high, 0xA0), 0xAA);
  q = _mm256_blend_epi32(_mm256_shuffle_epi32(low, 0xF5), high, 0xAA);
  *a = _mm256_permute2x128_si256(p, q, 0x20);
  *b = _mm256_permute2x128_si256(p, q, 0x31);
}

INLINE void write_tags(const vector v[4], words origin, int64_t *times_ps, uint8_t *channels) {
  vector low[4];
  for (size_t i = 0; i < 4; i++) {
    low[i] = _mm256_and_si256(v[i], _mm256_set1_epi32(3));
    const vector since_ps = _mm256_srli_epi32(v[i], 2);
    const words near = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(since_ps));
    const words far = _mm256_cvtepu32_epi64(_mm256_extracti128_si256(since_ps, 1));
    int64_t *at = times_ps + LANES * i;
    _mm256_storeu_si256((__m256i *)at, _mm256_add_epi64(near, origin));
    _mm256_storeu_si256((__m256i *)(at + HALF), _mm256_add_epi64(far, origin));
  }
  /* Packed within halves of vectors: fours of bytes, of which every other one is in the back. */
  const vector packed = _mm256_packus_epi16(_mm256_packus_epi32(low[0], low[1]),
                                            _mm256_packus_epi32(low[2], low[3]));
  const vector in_order =
      _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256((__m256i *)channels, _mm256_add_epi8(in_order, _mm256_set1_epi8(1)));
}

#include "merge_steps.h"

size_t qkd_merge_orderly_avx2(qkd_merge *merge, size_t capacity, int64_t *times_ps,
                              uint8_t *channels) {
  return merge_orderly(merge, capacity, times_ps, channels);
}
#endif
