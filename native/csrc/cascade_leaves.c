#include "cascade_leaves.h"

#include <string.h>

void cascade_pack_portable(const uint8_t *restrict bits, size_t count, uint64_t *restrict words) {
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    uint64_t word = 0;
    for (size_t b = 0; b < 64; b++) word |= (uint64_t)(bits[i + b] & 1u) << b;
    words[i / 64] = word;
  }
  if (i < count) {
    uint64_t word = 0;
    for (size_t b = 0; i + b < count; b++) word |= (uint64_t)(bits[i + b] & 1u) << b;
    words[i / 64] = word;
  }
}

/* Bit j of word i becomes bit i of word j: halves of squares change places, 32, 16, ... 1. */
static void transpose(uint64_t *square) {
  uint64_t mask = UINT64_C(0x00000000FFFFFFFF);
  for (unsigned half = 32; half > 0; half /= 2, mask ^= mask << half) {
    for (unsigned i = 0; i < 64; i = ((i | half) + 1) & ~half) {
      const uint64_t crossing = ((square[i] >> half) ^ square[i | half]) & mask;
      square[i | half] ^= crossing;
      square[i] ^= crossing << half;
    }
  }
}

void cascade_shuffle_portable(uint64_t *restrict words, uint64_t *restrict spare,
                              const uint16_t *restrict gather) {
  for (unsigned stage = 0; stage < SHUFFLE_STAGES; stage++, gather += SHUFFLE_WORDS) {
    memcpy(spare, words, SHUFFLE_WORDS * sizeof *words);
    for (size_t w = 0; w < SHUFFLE_WORDS; w++) {
      const uint64_t taken = spare[gather[w] >> 6];
      const unsigned rotation = gather[w] & 63u;
      words[w] = taken << rotation | taken >> (-rotation & 63u);
    }
    for (size_t w = 0; w < SHUFFLE_WORDS; w += 64) transpose(words + w);
  }
}
