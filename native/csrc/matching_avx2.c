/* The sieve of the matcher, four a's against four b's a step (AVX2). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "matching_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4, ALL = 15 };

/* The marked ones of four 64-bit lanes, moved to the front, as pairs of 32-bit lanes. */
static const int32_t to_front[16][8] = {
    {0},
    {0, 1},
    {2, 3},
    {0, 1, 2, 3},
    {4, 5},
    {0, 1, 4, 5},
    {2, 3, 4, 5},
    {0, 1, 2, 3, 4, 5},
    {6, 7},
    {0, 1, 6, 7},
    {2, 3, 6, 7},
    {0, 1, 2, 3, 6, 7},
    {4, 5, 6, 7},
    {0, 1, 4, 5, 6, 7},
    {2, 3, 4, 5, 6, 7},
    {0, 1, 2, 3, 4, 5, 6, 7},
};

INLINE __m256i load(const void *at) { return _mm256_loadu_si256(at); }
INLINE uint32_t signs(__m256i x) { return (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(x)); }
INLINE __m256i first_lanes(size_t count) {
  const __m256i lanes = _mm256_setr_epi64x(0, 1, 2, 3);
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count < LANES ? (int64_t)count : LANES), lanes);
}

/* Appends the indices of the marked lanes; returns how many. */
INLINE size_t list(int64_t *at, size_t first, uint64_t marked) {
  const __m256i lanes = _mm256_setr_epi64x(0, 1, 2, 3);
  const __m256i indices = _mm256_add_epi64(_mm256_set1_epi64x((int64_t)first), lanes);
  const __m256i front = _mm256_permutevar8x32_epi32(indices, load(to_front[marked]));
  _mm256_storeu_si256((__m256i *)at, front);
  return (size_t)__builtin_popcountll(marked);
}

/* One step. In a whole one both blocks are full; else missing lanes hold a time beyond all. */
INLINE qkd_sieve_place step(qkd_sieve *restrict s, qkd_sieve_place at, int whole) {
  const __m256i beyond = _mm256_set1_epi64x(INT64_MAX);
  const __m256i width = _mm256_set1_epi64x(2 * s->window_ps);
  const __m256i raise = _mm256_set1_epi64x(s->shift_ps + s->window_ps);
  /* Unsigned order becomes signed order with the top bits turned. */
  const __m256i top = _mm256_set1_epi64x(INT64_MIN);
  const __m256i widest = _mm256_xor_si256(width, top);
  const int64_t *a = s->a + at.i, *b = s->b + at.j;
  __m256i time_a, raised_b;
  uint32_t has_a = ALL, has_b = ALL;
  if (whole) {
    time_a = load(a);
    raised_b = _mm256_add_epi64(load(b), raise);
  } else {
    const __m256i lanes_a = first_lanes(s->a_count - at.i);
    const __m256i lanes_b = first_lanes(s->b_count - at.j);
    has_a = signs(lanes_a);
    has_b = signs(lanes_b);
    time_a = _mm256_maskload_epi64((const long long *)a, lanes_a);
    time_a = _mm256_blendv_epi8(beyond, time_a, lanes_a);
    raised_b = _mm256_add_epi64(_mm256_maskload_epi64((const long long *)b, lanes_b), raise);
    raised_b = _mm256_blendv_epi8(beyond, raised_b, lanes_b);
  }

  /* b plus shift plus window: its distance beyond a is at most two windows for partners. */
  const __m256i turned_b = _mm256_xor_si256(raised_b, top);
  uint32_t seen_a = 0, seen_b = 0;
#define COMPARE(LANE)                                                                         \
  do {                                                                                        \
    const __m256i one_a = whole ? _mm256_set1_epi64x(a[LANE])                                 \
                                : _mm256_permute4x64_epi64(time_a, 0x55 * (LANE));            \
    const __m256i far = _mm256_cmpgt_epi64(_mm256_sub_epi64(turned_b, one_a), widest);        \
    const uint32_t near = signs(far) ^ ALL;                                                   \
    seen_a |= (uint32_t)(near != 0) << (LANE);                                                \
    seen_b |= near;                                                                           \
  } while (0)
  COMPARE(0);
  COMPARE(1);
  COMPARE(2);
  COMPARE(3);
#undef COMPARE
  const __m256i last_a = _mm256_permute4x64_epi64(time_a, 0xFF);
  const __m256i last_b = _mm256_sub_epi64(_mm256_permute4x64_epi64(raised_b, 0xFF), width);
  uint64_t leave_a = (uint64_t)__builtin_popcount(signs(_mm256_cmpgt_epi64(last_b, time_a)));
  const uint64_t leave_b =
      (uint64_t)__builtin_popcount(signs(_mm256_cmpgt_epi64(last_a, raised_b)));
  /* If nobody can be left behind, all are within a window of each other. Whoever is yet to come
   * and is a partner of one of these a's is a partner of the last of them. */
  if (leave_a + leave_b == 0) leave_a = LANES - 1;

  const uint64_t all_a = at.seen_a | (seen_a & has_a);
  const uint64_t all_b = at.seen_b | (seen_b & has_b);
  at.listed_a += list(s->list_a + at.listed_a, at.i, _bzhi_u64(all_a, (uint32_t)leave_a));
  at.listed_b += list(s->list_b + at.listed_b, at.j, _bzhi_u64(all_b, (uint32_t)leave_b));
  at.seen_a = all_a >> leave_a;
  at.seen_b = all_b >> leave_b;
  at.i += leave_a;
  at.j += leave_b;
  return at;
}

void qkd_sieve_avx2(qkd_sieve *sieve) { qkd_sieve_run(sieve, LANES, step, list); }
#endif
