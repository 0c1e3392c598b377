/* The matcher, four a's against four b's (AVX2). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "compress_avx2.h"
#include "matching_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4 };

typedef __m256i numbers;

INLINE numbers load(const int64_t *at) { return _mm256_loadu_si256((const __m256i *)at); }
INLINE void store(int64_t *at, numbers x) { _mm256_storeu_si256((__m256i *)at, x); }
INLINE numbers all(int64_t x) { return _mm256_set1_epi64x(x); }
INLINE numbers plus(numbers x, int64_t y) { return _mm256_add_epi64(x, all(y)); }
INLINE numbers minus(numbers x, numbers y) { return _mm256_sub_epi64(x, y); }
INLINE numbers ordinals(void) { return _mm256_setr_epi64x(0, 1, 2, 3); }
INLINE uint32_t marks(numbers x) { return (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(x)); }
INLINE uint32_t below(numbers x, int64_t y) { return marks(_mm256_cmpgt_epi64(all(y), x)); }

INLINE numbers on_clock(const qkd_clock_near *near, const int64_t *b) {
  const numbers time = load(b);
  const numbers beyond = minus(time, all(near->base_ps));
  const numbers low = _mm256_mul_epu32(beyond, all((int64_t)near->rate_low));
  const numbers high = _mm256_mul_epi32(beyond, all(near->rate_high));
  const numbers carried = _mm256_srli_epi64(plus(low, (int64_t)near->low), 32);
  const numbers drift = _mm256_add_epi64(plus(high, (int64_t)near->high), carried);
  /* Shifted by 32 bits, with its sign. */
  const numbers whole = _mm256_blend_epi32(_mm256_shuffle_epi32(drift, 0xF5),
                                           _mm256_srai_epi32(drift, 31), 0xAA);
  return _mm256_add_epi64(plus(time, near->ahead_ps), whole);
}

/* Unsigned order becomes signed order with the top bits turned. */
INLINE numbers within(numbers x, numbers above, int64_t window_ps) {
  return _mm256_cmpgt_epi64(all((2 * window_ps + 1) ^ INT64_MIN), plus(minus(x, above), INT64_MIN));
}

INLINE uint32_t near(numbers x, numbers above, int64_t window_ps) {
  return marks(within(x, above, window_ps));
}

typedef struct {
  numbers place, time;
  uint32_t one, many;
} partners;

/* The marked lanes of y, the others of x. */
INLINE numbers blend(numbers x, numbers y, numbers mark) {
  return _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(x), _mm256_castsi256_pd(y),
                                              _mm256_castsi256_pd(mark)));
}

INLINE partners look(partners p, const int64_t *a, const int64_t *b, int64_t j,
                     int64_t window_ps) {
  const numbers early = plus(load(a), -window_ps), times = load(b);
  /* The first b that is not too early, or the last: by halves, as pairs of 32-bit lanes. */
  const numbers half = _mm256_cmpgt_epi64(early, all(b[1]));
  __m256i lanes = _mm256_or_si256(_mm256_and_si256(half, _mm256_set1_epi32(4)),
                                  _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1));
  const numbers quarter =
      _mm256_cmpgt_epi64(early, _mm256_permutevar8x32_epi32(times, lanes));
  lanes = _mm256_or_si256(lanes, _mm256_and_si256(quarter, _mm256_set1_epi32(2)));
  const numbers time = _mm256_permutevar8x32_epi32(times, lanes);
  /* After the last comes the first again, which is then too early. */
  const numbers next =
      _mm256_permutevar8x32_epi32(times, _mm256_add_epi32(lanes, _mm256_set1_epi32(2)));
  const numbers found = within(time, early, window_ps);
  const numbers place = minus(minus(all(j), _mm256_add_epi64(half, half)), quarter);
  const uint32_t one = marks(found);
  return (partners){
      .place = blend(p.place, place, found),
      .time = blend(p.time, time, found),
      .one = p.one | one,
      .many = p.many | near(next, early, window_ps) | (p.one & one),
  };
}

#include "matching_loops.h"

int qkd_match_avx2(const qkd_match_streams *s, qkd_match_out *out) { return match_blocks(s, out); }
#endif
