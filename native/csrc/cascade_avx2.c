#if defined(__x86_64__)
#pragma GCC target("avx2,bmi2")
#include <immintrin.h>

#include "cascade_leaves.h"

void cascade_pack_avx2(const uint8_t *restrict bits, size_t count, uint64_t *restrict words) {
  const size_t whole = count & ~(size_t)63;
  for (size_t i = 0; i < whole; i += 64) {
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(bits + i));
    const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(bits + i + 32));
    const uint32_t low_bits = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, 7));
    const uint32_t high_bits = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, 7));
    words[i / 64] = (uint64_t)high_bits << 32 | low_bits;
  }
  cascade_pack_portable(bits + whole, count - whole, words + whole / 64);
}

void cascade_shuffle_avx2(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                          const uint16_t *gather) {
  cascade_shuffle(words, shuffled, spare, gather);
}

void cascade_hang_avx2(const uint64_t *odd, const uint64_t *known, size_t count,
                       parities *nodes) {
  cascade_hang(odd, known, count, nodes);
}
#endif
