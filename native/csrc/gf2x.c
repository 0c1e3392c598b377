/* Products in GF(2)[x], the arithmetic of Toeplitz hashing.
 *
 * Coefficient i of a polynomial is bit i mod 64 of word i / 64. Karatsuba's recursion (Karatsuba
 * and Ofman 1963) above a schoolbook base case; operands of unequal length are cut into pieces as
 * long as the shorter one. No branch and no address depends on a coefficient: either operand may
 * be secret.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "gf2x.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_PCLMUL_CODE 1
#else
#define HAVE_PCLMUL_CODE 0
#endif

enum { BASE_WORDS = 24 };

typedef void (*base_multiply)(uint64_t *restrict product, const uint64_t *restrict a,
                              size_t a_words, const uint64_t *restrict b, size_t b_words);

/* Low half of a carry-less product: each operand is split into four combs, so that the carries of
 * the integer product fall into the holes between kept bits (at most 15 terms meet in a 4-bit hole,
 * and 16 only at the top, where the carry leaves the word; the method of BearSSL's bmul64). */
static uint64_t multiply_low(uint64_t a, uint64_t b) {
  const uint64_t comb = UINT64_C(0x1111111111111111);
  uint64_t low = 0;
  for (unsigned k = 0; k < 4; k++) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
      sum ^= (a & (comb << i)) * (b & (comb << ((4 + k - i) & 3)));
    }
    low |= sum & (comb << k);
  }
  return low;
}

static uint64_t reverse(uint64_t x) {
  x = ((x & UINT64_C(0x5555555555555555)) << 1) | ((x >> 1) & UINT64_C(0x5555555555555555));
  x = ((x & UINT64_C(0x3333333333333333)) << 2) | ((x >> 2) & UINT64_C(0x3333333333333333));
  x = ((x & UINT64_C(0x0F0F0F0F0F0F0F0F)) << 4) | ((x >> 4) & UINT64_C(0x0F0F0F0F0F0F0F0F));
  x = ((x & UINT64_C(0x00FF00FF00FF00FF)) << 8) | ((x >> 8) & UINT64_C(0x00FF00FF00FF00FF));
  x = ((x & UINT64_C(0x0000FFFF0000FFFF)) << 16) | ((x >> 16) & UINT64_C(0x0000FFFF0000FFFF));
  return (x << 32) | (x >> 32);
}

static void base_portable(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
                          const uint64_t *restrict b, size_t b_words) {
  memset(product, 0, (a_words + b_words) * sizeof *product);
  for (size_t i = 0; i < a_words; i++) {
    const uint64_t a_reversed = reverse(a[i]);
    for (size_t j = 0; j < b_words; j++) {
      product[i + j] ^= multiply_low(a[i], b[j]);
      product[i + j + 1] ^= reverse(multiply_low(a_reversed, reverse(b[j]))) >> 1;
    }
  }
}

#if HAVE_PCLMUL_CODE
__attribute__((target("pclmul,sse4.1"))) static void base_pclmul(
    uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
    const uint64_t *restrict b, size_t b_words) {
  uint64_t carry = 0;
  for (size_t k = 0; k + 1 < a_words + b_words; k++) {
    const size_t first = k < b_words ? 0 : k - b_words + 1;
    const size_t end = k < a_words ? k + 1 : a_words;
    __m128i sum = _mm_setzero_si128();
    for (size_t i = first; i < end; i++) {
      const __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)(a + i));
      const __m128i y = _mm_loadl_epi64((const __m128i *)(const void *)(b + (k - i)));
      sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(x, y, 0));
    }
    product[k] = carry ^ (uint64_t)_mm_cvtsi128_si64(sum);
    carry = (uint64_t)_mm_extract_epi64(sum, 1);
  }
  product[a_words + b_words - 1] = carry;
}
#endif

int qkd_gf2x_has_pclmul(void) {
#if HAVE_PCLMUL_CODE
  return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1") ? 1 : 0;
#else
  return 0;
#endif
}

/* Scratch of an n-word by n-word product: 2 * (n - n / 2) words a level for the middle product,
 * the operand sums being built in the product's own words. */
static size_t balanced_scratch(size_t n) {
  size_t words = 0;
  while (n > BASE_WORDS) {
    n -= n / 2;
    words += 2 * n;
  }
  return words;
}

/* product[2n] = a[n] * b[n] by Karatsuba: with h = n - n/2 low words, the sums of the halves are
 * formed in the (still unused) product, multiplied into scratch, and then overwritten. */
static void multiply_balanced(uint64_t *restrict product, const uint64_t *restrict a,
                              const uint64_t *restrict b, size_t n, uint64_t *restrict scratch,
                              base_multiply base) {
  if (n <= BASE_WORDS) {
    base(product, a, n, b, n);
    return;
  }
  const size_t high = n / 2;
  const size_t low = n - high;
  uint64_t *a_sum = product;
  uint64_t *b_sum = product + low;
  memcpy(a_sum, a, low * sizeof *a);
  memcpy(b_sum, b, low * sizeof *b);
  for (size_t i = 0; i < high; i++) {
    a_sum[i] ^= a[low + i];
    b_sum[i] ^= b[low + i];
  }
  uint64_t *middle = scratch;
  uint64_t *deeper = scratch + 2 * low;
  multiply_balanced(middle, a_sum, b_sum, low, deeper, base);
  multiply_balanced(product, a, b, low, deeper, base);
  multiply_balanced(product + 2 * low, a + low, b + low, high, deeper, base);
  for (size_t i = 0; i < 2 * low; i++) middle[i] ^= product[i];
  for (size_t i = 0; i < 2 * high; i++) middle[i] ^= product[2 * low + i];
  for (size_t i = 0; i < 2 * low; i++) product[low + i] ^= middle[i];
}

/* product[a_words + b_words] = a * b with a_words >= b_words > 0. */
static void multiply_pieces(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
                            const uint64_t *restrict b, size_t b_words,
                            uint64_t *restrict scratch, base_multiply base) {
  if (a_words == b_words) {
    multiply_balanced(product, a, b, a_words, scratch, base);
    return;
  }
  if (b_words <= BASE_WORDS) {
    base(product, a, a_words, b, b_words);
    return;
  }
  uint64_t *piece = scratch;
  uint64_t *deeper = scratch + 2 * b_words;
  memset(product, 0, (a_words + b_words) * sizeof *product);
  size_t done = 0;
  for (; done + b_words <= a_words; done += b_words) {
    multiply_balanced(piece, a + done, b, b_words, deeper, base);
    for (size_t i = 0; i < 2 * b_words; i++) product[done + i] ^= piece[i];
  }
  const size_t rest = a_words - done;
  if (rest > 0) {
    multiply_pieces(piece, b, b_words, a + done, rest, deeper, base);
    for (size_t i = 0; i < b_words + rest; i++) product[done + i] ^= piece[i];
  }
}

size_t qkd_gf2x_scratch_words(size_t a_words, size_t b_words) {
  size_t longer = a_words > b_words ? a_words : b_words;
  size_t shorter = a_words > b_words ? b_words : a_words;
  size_t pieces = 0;
  size_t most = 1;
  while (shorter > 0) {
    const size_t need = pieces + 2 * shorter + balanced_scratch(shorter);
    if (need > most) most = need;
    pieces += 2 * shorter;
    const size_t rest = longer % shorter;
    longer = shorter;
    shorter = rest;
  }
  return most;
}

int qkd_gf2x_multiply(uint64_t *product, const uint64_t *a, size_t a_words, const uint64_t *b,
                      size_t b_words, uint64_t *scratch, qkd_gf2x_backend backend) {
  base_multiply base = base_portable;
#if HAVE_PCLMUL_CODE
  if (backend != QKD_GF2X_PORTABLE && qkd_gf2x_has_pclmul()) base = base_pclmul;
#endif
  if (backend == QKD_GF2X_PCLMUL && base == base_portable) return -1;
  if (a_words == 0 || b_words == 0) {
    memset(product, 0, (a_words + b_words) * sizeof *product);
  } else if (a_words >= b_words) {
    multiply_pieces(product, a, a_words, b, b_words, scratch, base);
  } else {
    multiply_pieces(product, b, b_words, a, a_words, scratch, base);
  }
  return 0;
}

void qkd_gf2x_extract(uint8_t *bytes, const uint64_t *words, size_t word_count, size_t first_bit,
                      size_t bit_count) {
  const size_t byte_count = (bit_count + 7) / 8;
  for (size_t i = 0; i < byte_count; i++) {
    const size_t bit = first_bit + 8 * i;
    const size_t word = bit / 64;
    const unsigned shift = (unsigned)(bit % 64);
    uint64_t value = word < word_count ? words[word] >> shift : 0;
    if (shift > 56 && word + 1 < word_count) value |= words[word + 1] << (64 - shift);
    bytes[i] = (uint8_t)value;
  }
  if (bit_count % 8 != 0) {
    bytes[byte_count - 1] = (uint8_t)(bytes[byte_count - 1] & ((1u << (bit_count % 8)) - 1));
  }
}
