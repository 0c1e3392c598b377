#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,bmi2,prefer-vector-width=512")
#include <immintrin.h>

#include "cascade_leaves.h"

void cascade_pack_avx512(const uint8_t *restrict bits, size_t count, uint64_t *restrict words) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (size_t i = 0; i < count; i += 64) {
    const __mmask64 present = count - i < 64 ? (UINT64_C(1) << (count - i)) - 1 : ~UINT64_C(0);
    words[i / 64] = _mm512_test_epi8_mask(_mm512_maskz_loadu_epi8(present, bits + i), ones);
  }
}

void cascade_shuffle_avx512(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                            const uint16_t *gather) {
  cascade_shuffle(words, shuffled, spare, gather);
}

void cascade_hang_avx512(const uint64_t *odd, const uint64_t *known, size_t count,
                         parities *nodes) {
  cascade_hang(odd, known, count, nodes);
}
#endif
