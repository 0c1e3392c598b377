#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "cascade_corrector.h"
#include "cascade_reference.h"

void cascade_shuffle_avx2(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                          const uint16_t *gather) {
  cascade_shuffle(words, shuffled, spare, gather);
}

void cascade_hang_avx2(const uint64_t *leaves, const uint64_t *split, size_t count,
                       cascade_word *nodes, uint32_t sum_log2, uint64_t *sums) {
  /* The last bit of each sum. */
  static const uint64_t ends[7] = {~UINT64_C(0),
                                   UINT64_C(0xAAAAAAAAAAAAAAAA),
                                   UINT64_C(0x8888888888888888),
                                   UINT64_C(0x8080808080808080),
                                   UINT64_C(0x8000800080008000),
                                   UINT64_C(0x8000000080000000),
                                   UINT64_C(0x8000000000000000)};
  const uint32_t width = UINT32_C(1) << sum_log2;
  const uint32_t each = 64 >> sum_log2;
  uint64_t word = 0;
  cascade_raise(leaves, split, count, nodes);
  for (size_t i = 0, bit = 0; i < count; i++) {
    uint64_t prefix = leaves[i];
    for (uint32_t half = 1; half < width; half *= 2) prefix ^= prefix << half;
    word |= _pext_u64(prefix, ends[sum_log2]) << bit;
    bit += each;
    if (bit == 64 || i + 1 == count) {
      *sums++ = word;
      word = bit = 0;
    }
  }
}

unsigned cascade_overlap_avx2(const uint64_t *a, const uint64_t *b, size_t count) {
  return cascade_overlap(a, b, count);
}
size_t cascade_ask_avx2(const qkd_cascade_plan *plan, uint64_t *bits, uint64_t *state,
                        const uint32_t *asked, const uint8_t *parities, size_t count,
                        uint32_t *questions, int tier) {
  return cascade_ask(plan, bits, state, asked, parities, count, questions, tier);
}

size_t cascade_answer_avx2(const qkd_cascade_plan *plan, uint64_t *state,
                           const uint32_t *questions, size_t count, uint8_t *parities, int tier) {
  return cascade_answer(plan, state, questions, count, parities, tier);
}
#endif
