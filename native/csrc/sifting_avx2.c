/* Basis sift, 64 events at a time (AVX2 with BMI2; what is packed already, for AVX-512, too). */
#if defined(__x86_64__)
#include <immintrin.h>

#include "sifting_impl.h"

#define INLINE static inline __attribute__((always_inline))

/* One bit of each of 64 codes. */
INLINE uint64_t ones(__m256i low, __m256i high, int bit) {
  const uint32_t first = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, 7 - bit));
  const uint32_t second = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, 7 - bit));
  return first | (uint64_t)second << 32;
}

size_t qkd_sift_codes_avx2(uint8_t *codes, size_t count, uint64_t *bits, uint64_t *bases,
                           size_t *several) {
  size_t i = 0;
  for (; count - i >= WORD_BITS; i += WORD_BITS) {
    __m256i *at = (__m256i *)(void *)(codes + i);
    const __m256i low = _mm256_loadu_si256(at), high = _mm256_loadu_si256(at + 1);
    bits[i / WORD_BITS] = ones(low, high, BIT);
    bases[i / WORD_BITS] = ones(low, high, BASIS);
    *several += (size_t)_mm_popcnt_u64(ones(low, high, SEVERAL));
    _mm256_storeu_si256(at, _mm256_setzero_si256());
    _mm256_storeu_si256(at + 1, _mm256_setzero_si256());
  }
  return i;
}

size_t qkd_sift_avx2(const uint64_t *bits, const uint64_t *bases, const uint8_t *peer_bases,
                     size_t count, qkd_bits_writer *z, qkd_bits_writer *x) {
  size_t i = 0;
  for (; count - i >= WORD_BITS; i += WORD_BITS) {
    const uint64_t bit = bits[i / WORD_BITS], own = bases[i / WORD_BITS];
    uint64_t peer;
    memcpy(&peer, peer_bases + i / 8, sizeof peer);
    const uint64_t keep_z = ~(own | peer), keep_x = own & peer;
    qkd_bits_append(z, _pext_u64(bit, keep_z), (unsigned)_mm_popcnt_u64(keep_z));
    qkd_bits_append(x, _pext_u64(bit, keep_x), (unsigned)_mm_popcnt_u64(keep_x));
  }
  return i;
}
#endif
