/* The search's loops with AVX512. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "search_impl.h"

static inline size_t below(const int64_t *times, int64_t low) {
  return (size_t)__builtin_popcount(
      _mm512_cmplt_epi64_mask(_mm512_loadu_si512(times), _mm512_set1_epi64(low)));
}

static inline size_t columns_of(const int64_t *times, int64_t low, int shift, size_t columns,
                                uint32_t *at) {
  const __m512i none = _mm512_set1_epi64((int64_t)columns);
  const __m512i lags = _mm512_sub_epi64(_mm512_loadu_si512(times), _mm512_set1_epi64(low));
  const __m512i all = _mm512_srl_epi64(lags, _mm_cvtsi32_si128(shift));
  _mm256_storeu_si256((__m256i *)at, _mm512_cvtepi64_epi32(_mm512_min_epu64(all, none)));
  return (size_t)__builtin_popcount(_mm512_cmplt_epu64_mask(all, none));
}

#define LANES 16
#include "search_loops.h"
#include "search_pairs.h"
#include "search_transform.h"

const qkd_search_loops qkd_search_avx512 = {correlate, flatten, lines, count_plane};
#endif
