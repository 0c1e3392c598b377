#include "cascade_leaves.h"

void cascade_shuffle_portable(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                              const uint16_t *gather) {
  cascade_shuffle(words, shuffled, spare, gather);
}

void cascade_hang_portable(const uint64_t *leaves, const uint64_t *split, size_t count,
                           cascade_word *nodes, uint32_t sum_log2, uint64_t *sums) {
  const uint32_t width = UINT32_C(1) << sum_log2;
  cascade_raise(leaves, split, count, nodes);
  for (size_t i = 0, bit = 0; i < count; i++) {
    uint64_t word = leaves[i];
    for (uint32_t half = 1; half < width; half *= 2) word ^= word >> half;
    for (uint32_t at = 0; at < 64; at += width, bit++) {
      if (bit % 64 == 0) sums[bit / 64] = 0;
      sums[bit / 64] |= (word >> at & 1u) << (bit % 64);
    }
  }
}

unsigned cascade_overlap_portable(const uint64_t *a, const uint64_t *b, size_t count) {
  return cascade_overlap(a, b, count);
}
