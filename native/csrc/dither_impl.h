/* The dither of all versions, written once in vectors of eight lanes that the compiler lowers to
 * what each tier has.
 *
 * The words are those of D. J. Bernstein's ChaCha (SASC 2008) with eight rounds and nonce 0. A
 * batch is eight blocks side by side: its word 8 w + l is word w of block l.
 */
#ifndef QKD_DITHER_IMPL_H
#define QKD_DITHER_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dither.h"

enum { DITHER_LANES = 8, DITHER_WORDS = 16, DITHER_BATCH = DITHER_LANES * DITHER_WORDS };

typedef uint32_t dither_lanes __attribute__((vector_size(4 * DITHER_LANES)));

#define DITHER_TURN(X, BITS) ((X) << (BITS) | (X) >> (32 - (BITS)))
#define DITHER_QUARTER(A, B, C, D)                \
  do {                                            \
    A += B, D ^= A, D = DITHER_TURN(D, 16);       \
    C += D, B ^= C, B = DITHER_TURN(B, 12);       \
    A += B, D ^= A, D = DITHER_TURN(D, 8);        \
    C += D, B ^= C, B = DITHER_TURN(B, 7);        \
  } while (0)

static inline void dither_words(qkd_dither_state *restrict state,
                                uint32_t words[restrict DITHER_BATCH]) {
  static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  dither_lanes begin[DITHER_WORDS], x[DITHER_WORDS];
  for (size_t i = 0; i < 4; i++) begin[i] = (dither_lanes){0} + constants[i];
  for (size_t i = 0; i < 8; i++) begin[4 + i] = (dither_lanes){0} + state->key[i];
  for (uint32_t lane = 0; lane < DITHER_LANES; lane++) {
    begin[12][lane] = (uint32_t)(state->next_block + lane);
    begin[13][lane] = (uint32_t)((state->next_block + lane) >> 32);
  }
  begin[14] = begin[15] = (dither_lanes){0};
  state->next_block += DITHER_LANES;
  memcpy(x, begin, sizeof x);
  for (int round = 0; round < 8; round += 2) {
    DITHER_QUARTER(x[0], x[4], x[8], x[12]);
    DITHER_QUARTER(x[1], x[5], x[9], x[13]);
    DITHER_QUARTER(x[2], x[6], x[10], x[14]);
    DITHER_QUARTER(x[3], x[7], x[11], x[15]);
    DITHER_QUARTER(x[0], x[5], x[10], x[15]);
    DITHER_QUARTER(x[1], x[6], x[11], x[12]);
    DITHER_QUARTER(x[2], x[7], x[8], x[13]);
    DITHER_QUARTER(x[3], x[4], x[9], x[14]);
  }
  for (size_t i = 0; i < DITHER_WORDS; i++) {
    x[i] += begin[i];
    memcpy(words + DITHER_LANES * i, &x[i], sizeof x[i]);
  }
}

/* Times are added without sign: hostile ones wrap. */
static inline void dither(qkd_dither_state *state, uint32_t step_ps, const int64_t *times,
                          size_t count, int64_t *dithered) {
  for (size_t at = 0; at < count; at += DITHER_BATCH) {
    uint32_t words[DITHER_BATCH];
    dither_words(state, words);
    const size_t left = count - at, taken = left < DITHER_BATCH ? left : DITHER_BATCH;
    for (size_t i = 0; i < taken; i++) {
      const uint64_t part = (uint64_t)words[i] * step_ps >> 32;
      dithered[at + i] = (int64_t)((uint64_t)times[at + i] + part);
    }
  }
}

#if defined(__x86_64__)
void qkd_dither_avx2(qkd_dither_state *state, uint32_t step_ps, const int64_t *times, size_t count,
                     int64_t *dithered);
void qkd_dither_avx512(qkd_dither_state *state, uint32_t step_ps, const int64_t *times,
                       size_t count, int64_t *dithered);
#endif

#endif
