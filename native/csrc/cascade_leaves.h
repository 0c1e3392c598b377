/* From a string to the leaves of Cascade's trees, a version for each tier. */
#ifndef QKD_CASCADE_LEAVES_H
#define QKD_CASCADE_LEAVES_H

#include <stddef.h>
#include <stdint.h>

enum { SHUFFLE_WORDS = 1024, SHUFFLE_STAGES = 2 };

/* Packs one bit a byte, bit 0 of word 0 first, zeros after the last. */
void cascade_pack_portable(const uint8_t *bits, size_t count, uint64_t *words);
void cascade_pack_avx2(const uint8_t *bits, size_t count, uint64_t *words);
void cascade_pack_avx512(const uint8_t *bits, size_t count, uint64_t *words);

/* Shuffles 1024 words in place, spare being room for as many; gather is [2][1024]. */
void cascade_shuffle_portable(uint64_t *words, uint64_t *spare, const uint16_t *gather);
void cascade_shuffle_avx2(uint64_t *words, uint64_t *spare, const uint16_t *gather);
void cascade_shuffle_avx512(uint64_t *words, uint64_t *spare, const uint16_t *gather);

#endif
