/* The sieve of the matcher, eight a's against eight b's a step (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "matching_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };

static const uint64_t byte_tops = UINT64_C(0x8080808080808080);

INLINE __mmask8 first_lanes(size_t count) {
  return (__mmask8)(count < LANES ? (1u << count) - 1 : 0xFF);
}

/* Appends the indices of the marked lanes; returns how many. */
INLINE size_t list(int64_t *at, size_t first, uint64_t marked) {
  const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  const __m512i indices = _mm512_add_epi64(_mm512_set1_epi64((int64_t)first), lanes);
  _mm512_storeu_si512(at, _mm512_maskz_compress_epi64((__mmask8)marked, indices));
  return (size_t)__builtin_popcountll(marked);
}

/* One step. In a whole one both blocks are full; else missing lanes hold a time beyond all. */
INLINE qkd_sieve_place step(qkd_sieve *restrict s, qkd_sieve_place at, int whole) {
  const __m512i beyond = _mm512_set1_epi64(INT64_MAX);
  const __m512i width = _mm512_set1_epi64(2 * s->window_ps);
  const __m512i raise = _mm512_set1_epi64(s->shift_ps + s->window_ps);
  const int64_t *a = s->a + at.i, *b = s->b + at.j;
  const size_t left_a = s->a_count - at.i, left_b = s->b_count - at.j;
  const __mmask8 has_a = first_lanes(whole ? LANES : left_a);
  const __mmask8 has_b = first_lanes(whole ? LANES : left_b);

  /* b plus shift plus window: its distance beyond a is at most two windows for partners. */
  const __m512i time_a = _mm512_mask_loadu_epi64(beyond, has_a, a);
  const __m512i raised_b =
      _mm512_mask_add_epi64(beyond, has_b, _mm512_maskz_loadu_epi64(has_b, b), raise);
  __mmask8 near[LANES];
  for (int lane = 0; lane < LANES; lane++) {
    const __m512i one_a = whole ? _mm512_set1_epi64(a[lane])
                                : _mm512_permutexvar_epi64(_mm512_set1_epi64(lane), time_a);
    near[lane] = _mm512_cmple_epu64_mask(_mm512_sub_epi64(raised_b, one_a), width);
  }
  const __m512i last_a = whole ? _mm512_set1_epi64(a[LANES - 1])
                               : _mm512_permutexvar_epi64(_mm512_set1_epi64(LANES - 1), time_a);
  const __m512i last_b =
      whole ? _mm512_add_epi64(_mm512_set1_epi64(b[LANES - 1]), raise)
            : _mm512_permutexvar_epi64(_mm512_set1_epi64(LANES - 1), raised_b);
  const __mmask8 done_a = _mm512_cmplt_epi64_mask(time_a, _mm512_sub_epi64(last_b, width));
  const __mmask8 done_b = _mm512_cmplt_epi64_mask(raised_b, last_a);
  uint64_t leave_a = (uint64_t)__builtin_popcount(done_a);
  const uint64_t leave_b = (uint64_t)__builtin_popcount(done_b);
  /* If nobody can be left behind, all are within a window of each other. Whoever is yet to come
   * and is a partner of one of these a's is a partner of the last of them. */
  if (leave_a + leave_b == 0) leave_a = LANES - 1;

  /* Byte by byte the b's near each a. */
  const __mmask16 near_01 = _mm512_kunpackb(near[1], near[0]);
  const __mmask16 near_23 = _mm512_kunpackb(near[3], near[2]);
  const __mmask16 near_45 = _mm512_kunpackb(near[5], near[4]);
  const __mmask16 near_67 = _mm512_kunpackb(near[7], near[6]);
  const uint64_t pairs = _cvtmask64_u64(_mm512_kunpackd(_mm512_kunpackw(near_67, near_45),
                                                        _mm512_kunpackw(near_23, near_01)));
  const uint64_t any = (((pairs & ~byte_tops) + ~byte_tops) | pairs) & byte_tops;
  uint64_t folded = pairs | pairs >> 32;
  folded |= folded >> 16;
  folded |= folded >> 8;
  const uint64_t seen_a = at.seen_a | (_pext_u64(any, byte_tops) & has_a);
  const uint64_t seen_b = at.seen_b | (folded & has_b);

  at.listed_a += list(s->list_a + at.listed_a, at.i, _bzhi_u64(seen_a, (uint32_t)leave_a));
  at.listed_b += list(s->list_b + at.listed_b, at.j, _bzhi_u64(seen_b, (uint32_t)leave_b));
  at.seen_a = seen_a >> leave_a;
  at.seen_b = seen_b >> leave_b;
  at.i += leave_a;
  at.j += leave_b;
  return at;
}

void qkd_sieve_avx512(qkd_sieve *sieve) { qkd_sieve_run(sieve, LANES, step, list); }
#endif
