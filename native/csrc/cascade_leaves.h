/* From a string's words to those of Cascade's trees, a version for each tier. */
#ifndef QKD_CASCADE_LEAVES_H
#define QKD_CASCADE_LEAVES_H

#include <stddef.h>
#include <stdint.h>

enum { SHUFFLE_WORDS = 1024, SHUFFLE_STAGES = 2, SHUFFLE_SQUARES = SHUFFLE_WORDS / 64 };

/* Six levels of a tree over 64 leaves. Bit g - 1 of odd is the parity of the leaves from
 * g - lowbit(g) to g - 1 (Fenwick, Softw. Pract. Exper. 24, 327 (1994)): the left half of the node
 * whose halves meet before leaf g, or all 64. It is this end's parity until the node is split, and
 * from then on that of the errors. */
typedef struct {
  uint64_t odd, split;
} cascade_word;

/* shuffle: 1024 words, the ones in, the others out, by gather[2][1024].
 *
 * hang: count words of leaves below as many words of nodes, split as given or, for NULL, nowhere;
 * the parities of every 2^sum_log2 leaves, 1 .. 6, side by side into words of sums.
 *
 * overlap: the parity of the bits that both of count words have. */
#define CASCADE_LEAVES(version)                                                              \
  void cascade_shuffle_##version(const uint64_t *words, uint64_t *shuffled, uint64_t *spare, \
                                 const uint16_t *gather);                                    \
  void cascade_hang_##version(const uint64_t *leaves, const uint64_t *split, size_t count,  \
                              cascade_word *nodes, uint32_t sum_log2, uint64_t *sums);       \
  unsigned cascade_overlap_##version(const uint64_t *a, const uint64_t *b, size_t count)

CASCADE_LEAVES(portable);
CASCADE_LEAVES(avx2);
CASCADE_LEAVES(avx512);

#if defined(__x86_64__)
#define CASCADE_IN_TIER(tier, function, ...)     \
  ((tier) == 2   ? function##_avx512(__VA_ARGS__) \
   : (tier) == 1 ? function##_avx2(__VA_ARGS__)   \
                 : function##_portable(__VA_ARGS__))
#else
#define CASCADE_IN_TIER(tier, function, ...) ((void)(tier), function##_portable(__VA_ARGS__))
#endif

/* One level of a word: each node of 2^level leaves gets its left half's sum on top of its right. */
#define CASCADE_LEVEL(x, level)                                             \
  ((x) << (1 << ((level) - 1)) &                                            \
   ((level) == 1   ? UINT64_C(0xAAAAAAAAAAAAAAAA)                           \
    : (level) == 2 ? UINT64_C(0x8888888888888888)                           \
    : (level) == 3 ? UINT64_C(0x8080808080808080)                           \
    : (level) == 4 ? UINT64_C(0x8000800080008000)                           \
    : (level) == 5 ? UINT64_C(0x8000000080000000)                           \
                   : UINT64_C(0x8000000000000000)))

/* The sums of the left halves. */
static inline uint64_t cascade_sums(uint64_t leaves) {
  leaves ^= CASCADE_LEVEL(leaves, 1);
  leaves ^= CASCADE_LEVEL(leaves, 2);
  leaves ^= CASCADE_LEVEL(leaves, 3);
  leaves ^= CASCADE_LEVEL(leaves, 4);
  leaves ^= CASCADE_LEVEL(leaves, 5);
  return leaves ^ CASCADE_LEVEL(leaves, 6);
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

static inline void cascade_raise(const uint64_t *restrict leaves, const uint64_t *restrict split,
                                 size_t count, cascade_word *restrict nodes) {
  for (size_t i = 0; i < count; i++) {
    nodes[i].odd = cascade_sums(leaves[i]);
    nodes[i].split = 0;
  }
  for (size_t i = 0; split != NULL && i < count; i++) nodes[i].split = split[i];
}

static inline unsigned cascade_overlap(const uint64_t *a, const uint64_t *b, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) sum ^= a[i] & b[i];
  return (unsigned)__builtin_parityll(sum);
}

#endif
