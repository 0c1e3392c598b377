/* The search's loops with AVX2. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "search_impl.h"

static inline __m256i load(const int64_t *at) { return _mm256_loadu_si256((const __m256i *)at); }

/* How many of eight lanes are all ones. */
static inline size_t count_set(__m256i first, __m256i second) {
  const int signs = _mm256_movemask_pd(_mm256_castsi256_pd(first)) |
                    _mm256_movemask_pd(_mm256_castsi256_pd(second)) << 4;
  return (size_t)__builtin_popcount((unsigned)signs);
}

static inline size_t below(const int64_t *times, int64_t low) {
  const __m256i bound = _mm256_set1_epi64x(low);
  return count_set(_mm256_cmpgt_epi64(bound, load(times)),
                   _mm256_cmpgt_epi64(bound, load(times + 4)));
}

static inline size_t columns_of(const int64_t *times, int64_t low, int shift, size_t columns,
                                uint32_t *at) {
  /* Unsigned order becomes signed order with the top bits turned. */
  const __m256i top = _mm256_set1_epi64x(INT64_MIN);
  const __m256i none = _mm256_set1_epi64x((int64_t)columns);
  __m256i has_one[2], found[2];
  for (int i = 0; i < 2; i++) {
    const __m256i lags = _mm256_sub_epi64(load(times + 4 * i), _mm256_set1_epi64x(low));
    const __m256i all = _mm256_srl_epi64(lags, _mm_cvtsi32_si128(shift));
    has_one[i] = _mm256_cmpgt_epi64(_mm256_xor_si256(none, top), _mm256_xor_si256(all, top));
    found[i] = _mm256_blendv_epi8(none, all, has_one[i]);
  }
  const __m256 woven = _mm256_shuffle_ps(_mm256_castsi256_ps(found[0]),
                                         _mm256_castsi256_ps(found[1]), 0x88);
  _mm256_storeu_si256((__m256i *)at,
                      _mm256_permute4x64_epi64(_mm256_castps_si256(woven), 0xD8));
  return count_set(has_one[0], has_one[1]);
}

#define LANES 8
#include "search_loops.h"
#include "search_pairs.h"
#include "search_transform.h"

const qkd_search_loops qkd_search_avx2 = {correlate, flatten, lines, count_plane};
#endif
