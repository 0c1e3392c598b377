#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "cascade_leaves.h"

void cascade_shuffle_avx512(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                            const uint16_t *gather) {
  cascade_shuffle(words, shuffled, spare, gather);
}

/* The last bits of all parts of 2^sum_log2 bits; those of 2 or 4 by way of memory. */
static inline void put_sums(__m512i words, uint32_t sum_log2, uint8_t *sums) {
  if (sum_log2 == 6) {
    *sums = (uint8_t)_mm512_movepi64_mask(words);
  } else if (sum_log2 == 5) {
    const uint16_t parts = _mm512_movepi32_mask(words);
    memcpy(sums, &parts, sizeof parts);
  } else if (sum_log2 == 4) {
    const uint32_t parts = _mm512_movepi16_mask(words);
    memcpy(sums, &parts, sizeof parts);
  } else if (sum_log2 == 3) {
    const uint64_t parts = _mm512_movepi8_mask(words);
    memcpy(sums, &parts, sizeof parts);
  } else {
    uint64_t eight[8];
    _mm512_storeu_si512(eight, words);
    for (size_t i = 0; i < 8; i++) {
      const uint64_t ends =
          sum_log2 == 2 ? UINT64_C(0x8888888888888888) : UINT64_C(0xAAAAAAAAAAAAAAAA);
      const uint64_t parts = _pext_u64(eight[i], ends);
      memcpy(sums + i * (8 >> sum_log2), &parts, 8 >> sum_log2);
    }
  }
}

#define LEVEL(words, level)                                                                      \
  _mm512_ternarylogic_epi64(words, _mm512_slli_epi64(words, 1 << ((level) - 1)),                 \
                            _mm512_set1_epi64((int64_t)CASCADE_LEVEL(~UINT64_C(0), level)), 0x78)

static inline void hang(const uint64_t *leaves, const uint64_t *split, size_t count,
                        cascade_word *nodes, uint32_t sum_log2, uint8_t *sums) {
  const __m512i low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
  const __m512i high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
  for (size_t i = 0; i < count; i += 8, sums += 64 >> sum_log2) {
    __m512i odd = _mm512_loadu_si512(leaves + i);
    odd = LEVEL(odd, 1);
    if (sum_log2 == 1) put_sums(odd, 1, sums);
    odd = LEVEL(odd, 2);
    if (sum_log2 == 2) put_sums(odd, 2, sums);
    odd = LEVEL(odd, 3);
    if (sum_log2 == 3) put_sums(odd, 3, sums);
    odd = LEVEL(odd, 4);
    if (sum_log2 == 4) put_sums(odd, 4, sums);
    odd = LEVEL(odd, 5);
    if (sum_log2 == 5) put_sums(odd, 5, sums);
    odd = LEVEL(odd, 6);
    if (sum_log2 == 6) put_sums(odd, 6, sums);
    const __m512i known = split == NULL ? _mm512_setzero_si512() : _mm512_loadu_si512(split + i);
    _mm512_storeu_si512(nodes + i, _mm512_permutex2var_epi64(odd, low, known));
    _mm512_storeu_si512(nodes + i + 4, _mm512_permutex2var_epi64(odd, high, known));
  }
}

void cascade_hang_avx512(const uint64_t *leaves, const uint64_t *split, size_t count,
                         cascade_word *nodes, uint32_t sum_log2, uint64_t *sums) {
  if (count % 8 != 0) {
    cascade_hang_portable(leaves, split, count, nodes, sum_log2, sums);
    return;
  }
  if (count << (6 - sum_log2) < 64) *sums = 0;
  uint8_t *bytes = (uint8_t *)sums;
  if (sum_log2 == 6) {
    hang(leaves, split, count, nodes, 6, bytes);
  } else if (sum_log2 == 5) {
    hang(leaves, split, count, nodes, 5, bytes);
  } else if (sum_log2 == 4) {
    hang(leaves, split, count, nodes, 4, bytes);
  } else {
    hang(leaves, split, count, nodes, sum_log2, bytes);
  }
}

unsigned cascade_overlap_avx512(const uint64_t *a, const uint64_t *b, size_t count) {
  return cascade_overlap(a, b, count);
}
#endif
