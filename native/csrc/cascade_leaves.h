/* From a string's bits to the lowest words of Cascade's trees, a version for each tier. */
#ifndef QKD_CASCADE_LEAVES_H
#define QKD_CASCADE_LEAVES_H

#include <stddef.h>
#include <stdint.h>

enum { SHUFFLE_WORDS = 1024, SHUFFLE_STAGES = 2, SHUFFLE_SQUARES = SHUFFLE_WORDS / 64 };

/* A word of nodes. odd: this end's parities, plus the reference's where they are known. */
typedef struct {
  uint64_t odd, known;
} parities;

/* pack: one bit a byte into words, bit 0 of word 0 first, zeros after the last.
 *
 * shuffle: 1024 words, the ones in, the others out, by gather[2][1024].
 *
 * hang: count shuffled words below count words of nodes each: the even bits are the leaves of one,
 * the odd bits of the next; likewise what is known of them, or NULL for nothing. Leaf s of a word
 * is bit 2s, the sum of two subtrees is the bit between them. */
#define CASCADE_LEAVES(version)                                                              \
  void cascade_pack_##version(const uint8_t *bits, size_t count, uint64_t *words);          \
  void cascade_shuffle_##version(const uint64_t *words, uint64_t *shuffled, uint64_t *spare, \
                                 const uint16_t *gather);                                    \
  void cascade_hang_##version(const uint64_t *odd, const uint64_t *known, size_t count,     \
                              parities *nodes)

CASCADE_LEAVES(portable);
CASCADE_LEAVES(avx2);
CASCADE_LEAVES(avx512);

/* Bits 2s of a word, summed up to bit 31. */
static inline uint64_t cascade_sums(uint64_t leaves) {
  leaves |= (leaves << 1 ^ leaves >> 1) & UINT64_C(0x2222222222222222);
  leaves |= (leaves << 2 ^ leaves >> 2) & UINT64_C(0x0808080808080808);
  leaves |= (leaves << 4 ^ leaves >> 4) & UINT64_C(0x0080008000800080);
  leaves |= (leaves << 8 ^ leaves >> 8) & UINT64_C(0x0000800000008000);
  return leaves | ((leaves << 16 ^ leaves >> 16) & UINT64_C(0x0000000080000000));
}

/* Which nodes have all leaves below them in a word. */
static inline uint64_t cascade_all(uint64_t leaves) {
  leaves |= leaves << 1 & leaves >> 1 & UINT64_C(0x2222222222222222);
  leaves |= leaves << 2 & leaves >> 2 & UINT64_C(0x0808080808080808);
  leaves |= leaves << 4 & leaves >> 4 & UINT64_C(0x0080008000800080);
  leaves |= leaves << 8 & leaves >> 8 & UINT64_C(0x0000800000008000);
  return leaves | (leaves << 16 & leaves >> 16 & UINT64_C(0x0000000080000000));
}

/* What compilers make the best of in every tier follows as plain C. */

/* Bit j of word 16 i + s becomes bit i of word 16 j + s, in all squares s at once: halves of them
 * change places, 32, 16, ... 1. */
typedef uint64_t squares
    __attribute__((vector_size(8 * SHUFFLE_SQUARES), aligned(8), may_alias));

static inline void cascade_transpose(uint64_t *words) {
  squares *rows = (squares *)(void *)words;
  uint64_t mask = UINT64_C(0x00000000FFFFFFFF);
  for (size_t half = 32; half > 0; half /= 2, mask ^= mask << half) {
    for (size_t i = 0; i < 64; i = ((i | half) + 1) & ~half) {
      const squares crossing = ((rows[i] >> half) ^ rows[i | half]) & mask;
      rows[i | half] ^= crossing;
      rows[i] ^= crossing << half;
    }
  }
}

static inline void cascade_gather(const uint64_t *restrict words, uint64_t *restrict gathered,
                                  const uint16_t *restrict gather) {
  for (size_t w = 0; w < SHUFFLE_WORDS; w++) {
    const uint64_t taken = words[gather[w] >> 6];
    const unsigned rotation = gather[w] & 63u;
    gathered[w] = taken << rotation | taken >> (-rotation & 63u);
  }
}

static inline void cascade_shuffle(const uint64_t *words, uint64_t *shuffled, uint64_t *spare,
                                   const uint16_t *gather) {
  cascade_gather(words, spare, gather);
  cascade_transpose(spare);
  cascade_gather(spare, shuffled, gather + SHUFFLE_WORDS);
  cascade_transpose(shuffled);
}

static inline void cascade_hang(const uint64_t *restrict odd, const uint64_t *restrict known,
                                size_t count, parities *restrict nodes) {
  const uint64_t leaves = UINT64_C(0x5555555555555555);
  for (size_t i = 0; i < count; i++) {
    nodes[2 * i].odd = cascade_sums(odd[i] & leaves);
    nodes[2 * i].known = 0;
    nodes[2 * i + 1].odd = cascade_sums(odd[i] >> 1 & leaves);
    nodes[2 * i + 1].known = 0;
  }
  for (size_t i = 0; known != NULL && i < count; i++) {
    nodes[2 * i].known = cascade_all(known[i] & leaves);
    nodes[2 * i + 1].known = cascade_all(known[i] >> 1 & leaves);
  }
}

#endif
