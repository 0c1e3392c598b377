/* What the versions of the photon generator share: random numbers by the batch.
 *
 * Written once, in vectors of eight lanes that the compiler lowers to what each tier has. Every
 * operation is exact or correctly rounded, and none is contracted (see CMakeLists.txt), so that a
 * seed gives the same clicks in every tier and on every machine.
 *
 * Generator: eight of xoshiro256** (Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021)).
 */
#ifndef QKD_PHOTONS_IMPL_H
#define QKD_PHOTONS_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { QKD_LANES = 8, QKD_BATCH = 256 };

typedef struct {
  /* Exponential waits of mean one. */
  void (*waits)(uint64_t random[4 * QKD_LANES], double waits[QKD_BATCH]);
  /* Random words. */
  void (*words)(uint64_t random[4 * QKD_LANES], uint64_t words[QKD_BATCH]);
  /* Deviates of variance one, bounded by six, and 32 random bits with each. */
  void (*clicks)(uint64_t random[4 * QKD_LANES], double deviates[QKD_BATCH],
                 uint32_t chances[QKD_BATCH]);
} qkd_photon_draws;

extern const qkd_photon_draws qkd_photon_draws_portable;
#if defined(__x86_64__)
extern const qkd_photon_draws qkd_photon_draws_avx2;
extern const qkd_photon_draws qkd_photon_draws_avx512;
#endif

#define QKD_INLINE static inline __attribute__((always_inline))

typedef uint64_t qkd_u64s __attribute__((vector_size(8 * QKD_LANES)));
typedef int64_t qkd_i64s __attribute__((vector_size(8 * QKD_LANES)));
typedef double qkd_f64s __attribute__((vector_size(8 * QKD_LANES)));

typedef struct {
  qkd_u64s s[4];
} qkd_generators;

QKD_INLINE void qkd_draw(qkd_generators *g, qkd_u64s *word) {
  qkd_u64s *s = g->s;
  const qkd_u64s five = s[1] + (s[1] << 2);
  const qkd_u64s turned = (five << 7) | (five >> 57);
  const qkd_u64s t = s[1] << 17;
  *word = turned + (turned << 3);
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = (s[3] << 45) | (s[3] >> 19);
}

/* -ln u of u = 1 - (the top 52 bits of the word) / 2^52: u = 2^k f with f near 1, and
 * ln f = 2 artanh s with s = (f - 1) / (f + 1), at most 0.172; what is cut off is below 10^-12. */
QKD_INLINE void qkd_wait(const qkd_u64s *word, qkd_f64s *wait) {
  const uint64_t one = UINT64_C(0x3FF0000000000000), root_half = UINT64_C(0x3FE6A09E667F3BCD);
  const uint64_t exponent = UINT64_C(0xFFF0000000000000), shifter = UINT64_C(0x4338000000000000);
  const qkd_f64s uniform = 2.0 - (qkd_f64s)((*word >> 12) | one);
  const qkd_u64s bits = (qkd_u64s)uniform;
  const qkd_u64s above = bits - root_half;
  const qkd_f64s k = (qkd_f64s)((qkd_u64s)((qkd_i64s)above >> 52) + shifter) - 0x1.8p52;
  const qkd_f64s f = (qkd_f64s)(bits - (above & exponent));
  const qkd_f64s s = (f - 1.0) / (f + 1.0);
  const qkd_f64s q = s * s;
  qkd_f64s sum = q * (1.0 / 13) + 1.0 / 11;
  sum = sum * q + 1.0 / 9;
  sum = sum * q + 1.0 / 7;
  sum = sum * q + 1.0 / 5;
  sum = sum * q + 1.0 / 3;
  sum = sum * q + 1.0;
  *wait = k * -0x1.62e42fefa39efp-1 - (s + s) * sum;
}

/* The sum of twelve uniform numbers of 16 bits, less its mean. */
QKD_INLINE void qkd_deviate(qkd_generators *g, qkd_f64s *deviate) {
  const uint64_t even = UINT64_C(0x0000ffff0000ffff), shifter = UINT64_C(0x4330000000000000);
  qkd_u64s sum = {0}, word;
  for (int i = 0; i < 3; i++) {
    qkd_draw(g, &word);
    sum += (word & even) + ((word >> 16) & even);
  }
  const qkd_u64s total = (sum & UINT64_C(0xffffffff)) + (sum >> 32);
  *deviate = ((qkd_f64s)(total + shifter) - 0x1p52) * 0x1p-16 - (6.0 - 12 * 0x1p-17);
}

QKD_INLINE void qkd_draw_waits(uint64_t random[4 * QKD_LANES], double waits[QKD_BATCH]) {
  qkd_generators g;
  memcpy(&g, random, sizeof g);
  for (size_t i = 0; i < QKD_BATCH; i += QKD_LANES) {
    qkd_u64s word;
    qkd_f64s wait;
    qkd_draw(&g, &word);
    qkd_wait(&word, &wait);
    memcpy(waits + i, &wait, sizeof wait);
  }
  memcpy(random, &g, sizeof g);
}

QKD_INLINE void qkd_draw_words(uint64_t random[4 * QKD_LANES], uint64_t words[QKD_BATCH]) {
  qkd_generators g;
  memcpy(&g, random, sizeof g);
  for (size_t i = 0; i < QKD_BATCH; i += QKD_LANES) {
    qkd_u64s word;
    qkd_draw(&g, &word);
    memcpy(words + i, &word, sizeof word);
  }
  memcpy(random, &g, sizeof g);
}

QKD_INLINE void qkd_draw_clicks(uint64_t random[4 * QKD_LANES], double deviates[QKD_BATCH],
                                uint32_t chances[QKD_BATCH]) {
  qkd_generators g;
  memcpy(&g, random, sizeof g);
  for (size_t i = 0; i < QKD_BATCH; i += QKD_LANES) {
    qkd_f64s deviate;
    qkd_u64s word;
    qkd_deviate(&g, &deviate);
    memcpy(deviates + i, &deviate, sizeof deviate);
    qkd_draw(&g, &word);
    for (size_t lane = 0; lane < QKD_LANES; lane++) chances[i + lane] = (uint32_t)(word[lane] >> 32);
  }
  memcpy(random, &g, sizeof g);
}

/* The three as functions of the including file's instruction set. */
#define QKD_PHOTON_DRAWS(NAME)                                                                \
  static void waits(uint64_t random[4 * QKD_LANES], double out[QKD_BATCH]) {                  \
    qkd_draw_waits(random, out);                                                              \
  }                                                                                           \
  static void words(uint64_t random[4 * QKD_LANES], uint64_t out[QKD_BATCH]) {                \
    qkd_draw_words(random, out);                                                              \
  }                                                                                           \
  static void clicks(uint64_t random[4 * QKD_LANES], double deviates[QKD_BATCH],              \
                     uint32_t chances[QKD_BATCH]) {                                           \
    qkd_draw_clicks(random, deviates, chances);                                               \
  }                                                                                           \
  const qkd_photon_draws NAME = {waits, words, clicks}

#endif
