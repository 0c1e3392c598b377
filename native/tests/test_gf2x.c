/* Products over GF(2) in every tier, against a bit-by-bit oracle and by each algorithm. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "gf2x.h"
#include "gf2x_impl.h"
#include "test.h"
#include "tier.h"

enum { MOST = 1300, MOST_SCRATCH = 1 << 18 };

static uint64_t seed = 1;

static uint64_t a[MOST], b[MOST], expected[2 * MOST], window[2 * MOST + 1];
static uint64_t scratch[MOST_SCRATCH];

static void fill(uint64_t *words, size_t count, int hostile) {
  for (size_t i = 0; i < count; i++) words[i] = hostile ? UINT64_MAX : splitmix64(&seed);
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

typedef struct {
  const char *name;
  const qkd_gf2x_kernels *kernels;
} version;

/* Those that this machine can run. qkd_gf2x_window takes the wider one of AVX2 where there is one;
 * the narrow one runs here on every machine with AVX2. */
static size_t versions(version found[4]) {
  size_t count = 0;
  found[count++] = (version){"portable", &qkd_gf2x_portable};
#if defined(__x86_64__)
  if (qkd_tier_best() > 0) found[count++] = (version){"avx2", &qkd_gf2x_avx2};
  if (qkd_tier_best() > 0 && __builtin_cpu_supports("vpclmulqdq"))
    found[count++] = (version){"avx2, vpclmulqdq", &qkd_gf2x_vpclmul};
  if (qkd_tier_best() > 1) found[count++] = (version){"avx512", &qkd_gf2x_avx512};
#endif
  return count;
}

static int report(int wrong, const char *what, size_t a_words, size_t b_words, const char *where) {
  if (wrong) fprintf(stderr, "failed: %s, %zu x %zu words, %s\n", what, a_words, b_words, where);
  return wrong;
}

/* The whole product and a window of it, with a sentinel behind result and scratch. */
static int check_product(size_t a_words, size_t b_words, int tier) {
  const size_t all = a_words + b_words;
  const size_t first = all / 3;
  char where[24];
  int failures = 0;
  snprintf(where, sizeof where, "tier %d", tier);
  for (int part = 0; part < 2; part++) {
    const size_t from = part ? first : 0;
    const size_t count = part ? all / 2 : all;
    const size_t need = qkd_gf2x_scratch_words(count, a_words, b_words);
    if (need + 1 > MOST_SCRATCH) return report(1, "scratch of the test", a_words, b_words, where);
    scratch[need] = window[count] = 42;
    qkd_gf2x_window(window, from, count, a, a_words, b, b_words, scratch, tier);
    failures += report(memcmp(window, expected + from, count * sizeof *window) != 0 ||
                           scratch[need] != 42 || window[count] != 42,
                       "product", a_words, b_words, where);
  }
  return failures;
}

/* Both algorithms on either side of the crossover. */
static int check_algorithms(size_t a_words, size_t b_words, const version *v) {
  const size_t all = a_words + b_words;
  int failures = 0;
  if (a_words >= b_words) {
    qkd_karatsuba(window, a, a_words, b, b_words, scratch, v->kernels);
    failures += report(memcmp(window, expected, all * sizeof *window) != 0, "Karatsuba", a_words,
                       b_words, v->name);
  }
  qkd_fft(window, 0, all, a, a_words, b, b_words, scratch, v->kernels);
  failures += report(memcmp(window, expected, all * sizeof *window) != 0, "FFT", a_words, b_words,
                     v->name);
  return failures;
}

static int check_basis(void) {
  int failures = 0;
  for (size_t i = 0; i + 1 < QKD_CANTOR_DIMENSION; i++) {
    const uint64_t v = qkd_cantor_basis[i + 1];
    const uint64_t again = v;
    uint64_t square;
    qkd_gf2x_portable.dot(&square, &v, &again, 1, 1, 1);
    failures += report((square ^ v) != qkd_cantor_basis[i], "Cantor basis", i, i, "portable");
  }
  return failures;
}

int main(void) {
  const size_t sizes[] = {1, 2, 25, 49, 130, 201, 333, MOST};
  const size_t count = sizeof sizes / sizeof sizes[0];
  version all[4];
  const size_t version_count = versions(all);
  int failures = check_basis();
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++) {
      fill(a, sizes[i], (i + j) % 5 == 0);
      fill(b, sizes[j], (i + j) % 7 == 0);
      oracle(expected, a, sizes[i], b, sizes[j]);
      for (int tier = 0; tier <= qkd_tier_best(); tier++)
        failures += check_product(sizes[i], sizes[j], tier);
      for (size_t k = 0; k < version_count; k++)
        failures += check_algorithms(sizes[i], sizes[j], &all[k]);
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
