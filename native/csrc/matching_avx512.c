/* The matcher, eight a's against eight b's (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "matching_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };

typedef __m512i numbers;

INLINE numbers load(const int64_t *at) { return _mm512_loadu_si512(at); }
INLINE void store(int64_t *at, numbers x) { _mm512_storeu_si512(at, x); }
INLINE numbers all(int64_t x) { return _mm512_set1_epi64(x); }
INLINE numbers plus(numbers x, int64_t y) { return _mm512_add_epi64(x, all(y)); }
INLINE numbers minus(numbers x, numbers y) { return _mm512_sub_epi64(x, y); }
INLINE numbers ordinals(void) { return _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7); }
INLINE uint32_t below(numbers x, int64_t y) { return _mm512_cmplt_epi64_mask(x, all(y)); }

INLINE numbers to_front(numbers x, uint32_t marked) {
  return _mm512_maskz_compress_epi64((__mmask8)marked, x);
}

INLINE void bytes_front(const uint8_t *bytes, uint32_t marked, uint8_t *out) {
  const __m128i eight = _mm_loadl_epi64((const __m128i *)bytes);
  _mm_storel_epi64((__m128i *)out, _mm_maskz_compress_epi8((__mmask16)marked, eight));
}

INLINE numbers on_clock(const qkd_clock_near *near, const int64_t *b) {
  const numbers time = load(b);
  const numbers beyond = minus(time, all(near->base_ps));
  const numbers low = _mm512_mul_epu32(beyond, all((int64_t)near->rate_low));
  const numbers high = _mm512_mul_epi32(beyond, all(near->rate_high));
  const numbers carried = _mm512_srli_epi64(plus(low, (int64_t)near->low), 32);
  const numbers drift = _mm512_add_epi64(plus(high, (int64_t)near->high), carried);
  return _mm512_add_epi64(plus(time, near->ahead_ps), _mm512_srai_epi64(drift, 32));
}

INLINE uint32_t near(numbers x, numbers above, int64_t window_ps) {
  return _mm512_cmple_epu64_mask(minus(x, above), all(2 * window_ps));
}

typedef struct {
  numbers place, time;
  uint32_t one, many;
} partners;

INLINE partners look(partners p, const int64_t *a, const int64_t *b, int64_t j,
                     int64_t window_ps) {
  const numbers early = plus(load(a), -window_ps), times = load(b);
  const numbers turned = _mm512_alignr_epi64(times, times, 1); /* each lane the next one */
  /* The first b that is not too early, or the last: by halves. */
  numbers first = _mm512_maskz_mov_epi64(_mm512_cmpgt_epi64_mask(early, all(b[3])), all(4));
  numbers time = _mm512_permutexvar_epi64(first, turned);
  first = _mm512_mask_add_epi64(first, _mm512_cmpgt_epi64_mask(early, time), first, all(2));
  time = _mm512_permutexvar_epi64(first, times);
  first = _mm512_mask_sub_epi64(first, _mm512_cmpgt_epi64_mask(early, time), first, all(-1));
  time = _mm512_permutexvar_epi64(first, times);
  /* After the last comes the first, which is then too early. */
  const numbers next = _mm512_permutexvar_epi64(first, turned);
  const uint32_t one = near(time, early, window_ps), second = near(next, early, window_ps);
  return (partners){
      .place = _mm512_mask_add_epi64(p.place, (__mmask8)one, first, all(j)),
      .time = _mm512_mask_mov_epi64(p.time, (__mmask8)one, time),
      .one = p.one | one,
      .many = p.many | second | (p.one & one),
  };
}

#include "matching_loops.h"

int qkd_match_avx512(const qkd_match_streams *s, qkd_match_out *out) {
  return match_blocks(s, out);
}
#endif
