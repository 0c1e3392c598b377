/* Products in GF(2)[x], the arithmetic of Toeplitz hashing.
 *
 * Coefficient i of a polynomial is bit i mod 64 of word i / 64. Karatsuba for short operands, an
 * additive FFT for long ones. No branch and no address depends on a coefficient: either operand may
 * be secret.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "gf2x.h"
#include "gf2x_impl.h"

enum { CROSSOVER_WORDS = 64 };

static const qkd_gf2x_kernels *kernels_of(int tier) {
  switch (tier) {
#if defined(__x86_64__)
    case 2:
      return &qkd_gf2x_avx512;
    case 1:
      return __builtin_cpu_supports("vpclmulqdq") ? &qkd_gf2x_vpclmul : &qkd_gf2x_avx2;
#endif
    default:
      return &qkd_gf2x_portable;
  }
}

static int is_short(size_t a_words, size_t b_words) {
  return a_words <= CROSSOVER_WORDS || b_words <= CROSSOVER_WORDS;
}

size_t qkd_gf2x_scratch_words(size_t count, size_t a_words, size_t b_words) {
  if (count == 0 || a_words == 0 || b_words == 0) return 1;
  if (!is_short(a_words, b_words)) return qkd_fft_scratch(count, a_words);
  return a_words + b_words + qkd_karatsuba_scratch(a_words, b_words);
}

void qkd_gf2x_window(uint64_t *restrict window, size_t first, size_t count,
                     const uint64_t *restrict a, size_t a_words, const uint64_t *restrict b,
                     size_t b_words, uint64_t *restrict scratch, int tier) {
  const qkd_gf2x_kernels *kernels = kernels_of(tier);
  if (count == 0) return;
  if (a_words == 0 || b_words == 0) {
    memset(window, 0, count * sizeof *window);
  } else if (!is_short(a_words, b_words)) {
    qkd_fft(window, first, count, a, a_words, b, b_words, scratch, kernels);
  } else {
    uint64_t *product = scratch;
    uint64_t *deeper = scratch + a_words + b_words;
    if (a_words >= b_words) {
      qkd_karatsuba(product, a, a_words, b, b_words, deeper, kernels);
    } else {
      qkd_karatsuba(product, b, b_words, a, a_words, deeper, kernels);
    }
    memcpy(window, product + first, count * sizeof *window);
  }
}

static uint64_t sixty_four_from(const uint64_t *words, size_t word_count, size_t bit) {
  const size_t word = bit / 64;
  const unsigned shift = (unsigned)(bit % 64);
  const uint64_t low = word < word_count ? words[word] >> shift : 0;
  return shift > 0 && word + 1 < word_count ? low | words[word + 1] << (64 - shift) : low;
}

void qkd_gf2x_extract(uint8_t *bytes, const uint64_t *words, size_t word_count, size_t first_bit,
                      size_t bit_count) {
  const size_t byte_count = (bit_count + 7) / 8;
  for (size_t i = 0; i < byte_count; i += 8) {
    const uint64_t value = sixty_four_from(words, word_count, first_bit + 8 * i);
    if (i + 8 <= byte_count) {
      for (unsigned j = 0; j < 8; j++) bytes[i + j] = (uint8_t)(value >> (8 * j));
    } else {
      for (unsigned j = 0; i + j < byte_count; j++) bytes[i + j] = (uint8_t)(value >> (8 * j));
    }
  }
  if (bit_count % 8 != 0) {
    bytes[byte_count - 1] = (uint8_t)(bytes[byte_count - 1] & ((1u << (bit_count % 8)) - 1));
  }
}
