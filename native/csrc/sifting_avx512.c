/* Event codes taken apart, 64 at a time (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>

#include "sifting_impl.h"

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t ones(__m512i codes, int bit) {
  return _cvtmask64_u64(_mm512_test_epi8_mask(codes, _mm512_set1_epi8((char)(1 << bit))));
}

size_t qkd_sift_codes_avx512(uint8_t *codes, size_t count, uint64_t *bits, uint64_t *bases,
                             size_t *several) {
  size_t i = 0;
  for (; count - i >= WORD_BITS; i += WORD_BITS) {
    const __m512i events = _mm512_loadu_si512(codes + i);
    bits[i / WORD_BITS] = ones(events, BIT);
    bases[i / WORD_BITS] = ones(events, BASIS);
    *several += (size_t)_mm_popcnt_u64(ones(events, SEVERAL));
    _mm512_storeu_si512(codes + i, _mm512_setzero_si512());
  }
  return i;
}
#endif
