/* The search's loops with AVX2. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,popcnt")
#endif

#include <immintrin.h>

#include "search_impl.h"

static inline __m256i load(const int64_t *at) { return _mm256_loadu_si256((const __m256i *)at); }

static inline size_t below(const int64_t *times, int64_t low) {
  const __m256i bound = _mm256_set1_epi64x(low);
  const __m256i first = _mm256_cmpgt_epi64(bound, load(times));
  const __m256i second = _mm256_cmpgt_epi64(bound, load(times + 4));
  const int signs = _mm256_movemask_pd(_mm256_castsi256_pd(first)) |
                    _mm256_movemask_pd(_mm256_castsi256_pd(second)) << 4;
  return (size_t)__builtin_popcount((unsigned)signs);
}

static inline void columns_of(const int64_t *times, int64_t low, int shift, size_t columns,
                              uint64_t *at) {
  /* Unsigned order becomes signed order with the top bits turned. */
  const __m256i top = _mm256_set1_epi64x(INT64_MIN);
  const __m256i none = _mm256_set1_epi64x((int64_t)columns);
  for (int i = 0; i < SEARCH_AT_ONCE; i += 4) {
    const __m256i lags = _mm256_sub_epi64(load(times + i), _mm256_set1_epi64x(low));
    const __m256i all = _mm256_srl_epi64(lags, _mm_cvtsi32_si128(shift));
    const __m256i beyond =
        _mm256_cmpgt_epi64(_mm256_xor_si256(all, top), _mm256_xor_si256(none, top));
    _mm256_storeu_si256((__m256i *)(at + i), _mm256_blendv_epi8(all, none, beyond));
  }
}

#define LANES 8
#include "search_loops.h"
#include "search_pairs.h"
#include "search_transform.h"

const qkd_search_loops qkd_search_avx2 = {correlate, flatten, lines, count_plane};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_avx2;
#endif
