/* Products over GF(2) against a bit-by-bit oracle, for every backend. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "gf2x.h"

enum { MOST = 130 };

static uint64_t random_state = 1;

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static void oracle(uint64_t *product, const uint64_t *a, size_t a_words, const uint64_t *b,
                   size_t b_words) {
  memset(product, 0, (a_words + b_words) * sizeof *product);
  for (size_t i = 0; i < 64 * a_words; i++) {
    if (!((a[i / 64] >> (i % 64)) & 1)) continue;
    for (size_t j = 0; j < b_words; j++) {
      product[i / 64 + j] ^= b[j] << (i % 64);
      if (i % 64) product[i / 64 + j + 1] ^= b[j] >> (64 - i % 64);
    }
  }
}

int main(void) {
  static uint64_t a[MOST], b[MOST], expected[2 * MOST], product[2 * MOST], scratch[64 * MOST];
  const size_t sizes[] = {1, 2, 3, 24, 25, 31, 49, 50, 97, 130};
  const size_t count = sizeof sizes / sizeof sizes[0];
  int failures = 0;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++) {
      for (size_t k = 0; k < sizes[i]; k++) a[k] = next_random();
      for (size_t k = 0; k < sizes[j]; k++) b[k] = next_random();
      oracle(expected, a, sizes[i], b, sizes[j]);
      const size_t need = qkd_gf2x_scratch_words(sizes[i], sizes[j]);
      if (need + 1 > sizeof scratch / sizeof scratch[0]) return 1;
      for (int backend = QKD_GF2X_BEST; backend <= QKD_GF2X_PCLMUL; backend++) {
        scratch[need] = 42;
        const int status = qkd_gf2x_multiply(product, a, sizes[i], b, sizes[j], scratch,
                                             (qkd_gf2x_backend)backend);
        if (status != 0) {
          failures += backend != QKD_GF2X_PCLMUL || qkd_gf2x_has_pclmul();
          continue;
        }
        if (memcmp(product, expected, (sizes[i] + sizes[j]) * sizeof *product) != 0 ||
            scratch[need] != 42) {
          fprintf(stderr, "failed: %zu x %zu words, backend %d\n", sizes[i], sizes[j], backend);
          failures++;
        }
      }
    }
  }
  const uint64_t words[2] = {UINT64_C(0x8000000000000000), 5};
  uint8_t bytes[1];
  qkd_gf2x_extract(bytes, words, 2, 63, 3);
  if (bytes[0] != 3) {
    fprintf(stderr, "failed: extraction across a word\n");
    failures++;
  }
  return failures != 0;
}
