#include "cascade_leaves.h"

void cascade_pack_portable(const uint8_t *restrict bits, size_t count, uint64_t *restrict words) {
  for (size_t i = 0; i < count; i += 64) {
    uint64_t word = 0;
    for (size_t b = 0; b < 64 && i + b < count; b++) word |= (uint64_t)(bits[i + b] & 1u) << b;
    words[i / 64] = word;
  }
}

void cascade_shuffle_portable(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                              const uint16_t *gather) {
  cascade_shuffle(words, shuffled, spare, gather);
}

void cascade_hang_portable(const uint64_t *odd, const uint64_t *known, size_t count,
                           parities *nodes) {
  cascade_hang(odd, known, count, nodes);
}
