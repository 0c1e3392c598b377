/* The merge on vectors of sixteen keys (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "merge_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, HALF = LANES / 2 };

typedef __m512i words;
typedef __m512i vector;

INLINE words load(const uint8_t *at) { return _mm512_loadu_si512(at); }
INLINE words all_words(uint64_t x) { return _mm512_set1_epi64((int64_t)x); }
INLINE words minus(words x, words y) { return _mm512_sub_epi64(x, y); }
INLINE words either(words x, words y, words z) {
  return _mm512_ternarylogic_epi64(x, y, z, 0xFE);
}
INLINE int any_negative(words x) { return _mm512_movepi64_mask(x) != 0; }

INLINE vector all_keys(uint32_t x) { return _mm512_set1_epi32((int32_t)x); }
INLINE vector least(vector x, vector y) { return _mm512_min_epu32(x, y); }
INLINE vector most(vector x, vector y) { return _mm512_max_epu32(x, y); }
INLINE vector reversed(vector x) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), x);
}
INLINE vector last_lane(vector x) {
  return _mm512_permutexvar_epi32(_mm512_set1_epi32(LANES - 1), x);
}
INLINE size_t up_to(vector x, vector bound) {
  return (size_t)_mm_popcnt_u32(_mm512_cmple_epu32_mask(x, bound));
}

INLINE vector keys_of(words near, words far, int channel) {
  const words most_ps = all_words(TOO_FAR);
  const words a = _mm512_min_epu64(near, most_ps), b = _mm512_min_epu64(far, most_ps);
  const vector since_ps = _mm512_permutex2var_epi32(
      a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
  return _mm512_or_si512(_mm512_slli_epi32(since_ps, 2), _mm512_set1_epi32(channel));
}

/* Lanes eight apart are compared, then four, two, and neighbours; both vectors at once. */
INLINE void sort_bitonic(vector *a, vector *b) {
  vector p = _mm512_shuffle_i64x2(*a, *b, 0x44), q = _mm512_shuffle_i64x2(*a, *b, 0xEE);
  vector low = least(p, q), high = most(p, q);
  p = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high);
  q = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), high);
  low = least(p, q);
  high = most(p, q);
  p = _mm512_unpacklo_epi64(low, high);
  q = _mm512_unpackhi_epi64(low, high);
  low = least(p, q);
  high = most(p, q);
  const __m512 l = _mm512_castsi512_ps(low), h = _mm512_castsi512_ps(high);
  p = _mm512_castps_si512(_mm512_shuffle_ps(l, h, 0x88));
  q = _mm512_castps_si512(_mm512_shuffle_ps(l, h, 0xDD));
  low = least(p, q);
  high = most(p, q);
  p = _mm512_mask_shuffle_epi32(low, 0xAAAA, high, _MM_PERM_CCAA);
  q = _mm512_mask_shuffle_epi32(high, 0x5555, low, _MM_PERM_DDBB);
  *a = _mm512_permutex2var_epi64(p, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), q);
  *b = _mm512_permutex2var_epi64(p, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), q);
}

INLINE void write_tags(const vector v[4], words origin, int64_t *times_ps, uint8_t *channels) {
  const __m512i front = _mm512_setr_epi32(0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0);
  const __m512i back = _mm512_setr_epi32(8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15, 0);
  for (size_t i = 0; i < 4; i++) {
    const vector since_ps = _mm512_srli_epi32(v[i], 2);
    const words near = _mm512_maskz_permutexvar_epi32(0x5555, front, since_ps);
    const words far = _mm512_maskz_permutexvar_epi32(0x5555, back, since_ps);
    _mm512_storeu_si512(times_ps + LANES * i, _mm512_add_epi64(near, origin));
    _mm512_storeu_si512(times_ps + LANES * i + HALF, _mm512_add_epi64(far, origin));
  }
  /* The low bytes of two vectors' lanes, twice over. */
  const __m512i low_bytes = _mm512_set4_epi64(0x7C7874706C686460, 0x5C5854504C484440,
                                              0x3C3834302C282420, 0x1C1814100C080400);
  const __m512i low = _mm512_mask_blend_epi64(0xF0, _mm512_permutex2var_epi8(v[0], low_bytes, v[1]),
                                              _mm512_permutex2var_epi8(v[2], low_bytes, v[3]));
  _mm512_storeu_si512(channels, _mm512_add_epi8(_mm512_and_si512(low, _mm512_set1_epi8(3)),
                                                _mm512_set1_epi8(1)));
}

#include "merge_steps.h"

size_t qkd_merge_orderly_avx512(qkd_merge *merge, size_t capacity, int64_t *times_ps,
                                uint8_t *channels) {
  return merge_orderly(merge, capacity, times_ps, channels);
}
#endif
