/* Products in GF(2)[x] by Karatsuba's recursion (Karatsuba and Ofman 1963) above a schoolbook base
 * case; operands of unequal length are cut into pieces as long as the shorter one.
 */
#include <string.h>

#include "gf2x_impl.h"

enum { BASE_WORDS = 24 };

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
                              const qkd_gf2x_kernels *kernels) {
  if (n <= BASE_WORDS) {
    kernels->base(product, a, n, b, n);
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
  multiply_balanced(middle, a_sum, b_sum, low, deeper, kernels);
  multiply_balanced(product, a, b, low, deeper, kernels);
  multiply_balanced(product + 2 * low, a + low, b + low, high, deeper, kernels);
  for (size_t i = 0; i < 2 * low; i++) middle[i] ^= product[i];
  for (size_t i = 0; i < 2 * high; i++) middle[i] ^= product[2 * low + i];
  for (size_t i = 0; i < 2 * low; i++) product[low + i] ^= middle[i];
}

void qkd_karatsuba(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
                            const uint64_t *restrict b, size_t b_words,
                            uint64_t *restrict scratch, const qkd_gf2x_kernels *kernels) {
  if (a_words == b_words) {
    multiply_balanced(product, a, b, a_words, scratch, kernels);
    return;
  }
  if (b_words <= BASE_WORDS) {
    kernels->base(product, a, a_words, b, b_words);
    return;
  }
  uint64_t *piece = scratch;
  uint64_t *deeper = scratch + 2 * b_words;
  memset(product, 0, (a_words + b_words) * sizeof *product);
  size_t done = 0;
  for (; done + b_words <= a_words; done += b_words) {
    multiply_balanced(piece, a + done, b, b_words, deeper, kernels);
    for (size_t i = 0; i < 2 * b_words; i++) product[done + i] ^= piece[i];
  }
  const size_t rest = a_words - done;
  if (rest > 0) {
    qkd_karatsuba(piece, b, b_words, a + done, rest, deeper, kernels);
    for (size_t i = 0; i < b_words + rest; i++) product[done + i] ^= piece[i];
  }
}

size_t qkd_karatsuba_scratch(size_t a_words, size_t b_words) {
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
