/* What the versions of the sift share. A vector version takes leading events, 64 at a time, and
 * returns how many; the portable one takes the rest. */
#ifndef QKD_SIFTING_IMPL_H
#define QKD_SIFTING_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sifting.h"

enum { WORD = 64 };

/* A string of bits being packed; fewer than 64 of them are not stored yet. */
typedef struct {
  uint8_t *at;
  uint64_t pending;
  size_t count;
} qkd_sifted;

static inline void qkd_sifted_store(qkd_sifted *string, uint64_t word, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) *string->at++ = (uint8_t)(word >> 8 * i);
}

/* Appends the lowest count bits; those above are 0. */
static inline void qkd_sifted_append(qkd_sifted *string, uint64_t bits, unsigned count) {
  const unsigned filled = string->count % WORD;
  const uint64_t word = string->pending | bits << filled;
  string->count += count;
  if (filled + count < WORD) {
    string->pending = word;
  } else {
    qkd_sifted_store(string, word, 8);
    string->pending = filled ? bits >> (WORD - filled) : 0;
  }
}

size_t qkd_sift_bases_avx512(const uint8_t *codes, size_t count, uint8_t *bases);
size_t qkd_sift_bases_avx2(const uint8_t *codes, size_t count, uint8_t *bases);
size_t qkd_sift_avx512(const uint8_t *codes, const uint8_t *peer_bases, size_t count, uint8_t *z,
                       uint8_t *x, size_t kept[2]);
size_t qkd_sift_avx2(const uint8_t *codes, const uint8_t *peer_bases, size_t count, uint8_t *z,
                     uint8_t *x, size_t kept[2]);
size_t qkd_sift_packed_avx512(const uint8_t *codes, const uint8_t *peer_bases, size_t count,
                              qkd_sifted *z, qkd_sifted *x);
size_t qkd_sift_packed_avx2(const uint8_t *codes, const uint8_t *peer_bases, size_t count,
                            qkd_sifted *z, qkd_sifted *x);

#endif
