/* What the versions of the sift share. A vector version takes leading events, 64 at a time, and
 * returns how many; the portable one takes the rest. */
#ifndef QKD_SIFTING_IMPL_H
#define QKD_SIFTING_IMPL_H

#include <string.h>

#include "bits_impl.h"
#include "sifting.h"

enum { BIT = 0, BASIS = 1, SEVERAL = 2 };

/* Up to eight bytes, the low one first. */
static inline uint64_t qkd_sift_load(const uint8_t *bytes, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; i++) word |= (uint64_t)bytes[i] << 8 * i;
  return word;
}

size_t qkd_sift_codes_avx512(uint8_t *codes, size_t count, uint64_t *bits, uint64_t *bases,
                             size_t *several);
size_t qkd_sift_codes_avx2(uint8_t *codes, size_t count, uint64_t *bits, uint64_t *bases,
                           size_t *several);
size_t qkd_sift_avx2(const uint64_t *bits, const uint64_t *bases, const uint8_t *peer_bases,
                     size_t count, qkd_bits_writer *z, qkd_bits_writer *x);

#endif
