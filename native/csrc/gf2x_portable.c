/* The loops of products in GF(2)[x] without carry-less multiplication in hardware. */
#include <string.h>

#include "gf2x_impl.h"

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

static void base(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
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

typedef struct {
  uint64_t low, high;
} product;

static inline product multiply_wide(uint64_t a, uint64_t b) {
  const product p = {multiply_low(a, b), reverse(multiply_low(reverse(a), reverse(b))) >> 1};
  return p;
}

/* high * x^64, with x^64 = x^4 + x^3 + x + 1, twice because the fold overflows by three bits. */
static inline uint64_t reduce(product p) {
  const uint64_t over = (p.high >> 63) ^ (p.high >> 61) ^ (p.high >> 60);
  const uint64_t high = p.high ^ over;
  return p.low ^ high ^ (high << 1) ^ (high << 3) ^ (high << 4);
}

static inline uint64_t multiply(uint64_t a, uint64_t b) { return reduce(multiply_wide(a, b)); }

static void add(uint64_t *restrict sum, const uint64_t *restrict term, size_t words) {
  for (size_t i = 0; i < words; i++) sum[i] ^= term[i];
}

/* Sixteen coefficients: s_2 = x^4 + x on all and on either half, then s_1 on fours and within. */
static void to_basis_16(uint64_t x[16]) {
  for (size_t i = 15; i >= 8; i--) x[i - 6] ^= x[i];
  for (size_t i = 15; i >= 12; i--) x[i - 3] ^= x[i];
  for (size_t i = 7; i >= 4; i--) x[i - 3] ^= x[i];
  for (size_t i = 15; i >= 8; i--) x[i - 4] ^= x[i];
  for (size_t i = 0; i < 16; i += 4) {
    x[i + 2] ^= x[i + 3];
    x[i + 1] ^= x[i + 2];
  }
}

static void from_basis_16(uint64_t x[16]) {
  for (size_t i = 0; i < 16; i += 4) {
    x[i + 1] ^= x[i + 2];
    x[i + 2] ^= x[i + 3];
  }
  for (size_t i = 8; i < 16; i++) x[i - 4] ^= x[i];
  for (size_t i = 4; i < 8; i++) x[i - 3] ^= x[i];
  for (size_t i = 12; i < 16; i++) x[i - 3] ^= x[i];
  for (size_t i = 8; i < 16; i++) x[i - 6] ^= x[i];
}

/* Division of 2 half coefficients by x^half + x^shift, and the way back. */
static void divide(uint64_t *x, size_t half, size_t shift) {
  add(x + half, x + 2 * half - shift, shift);
  add(x + shift, x + half, half - shift);
}

static void multiply_back(uint64_t *x, size_t half, size_t shift) {
  add(x + shift, x + half, half - shift);
  add(x + half, x + 2 * half - shift, shift);
}

/* By s_4 = x^16 + x; the sixteen digits by s_2 and s_1; then each digit. */
void qkd_gf2x_to_basis(uint64_t x[QKD_BASIS]) {
  for (size_t half = 128; half >= 16; half /= 2) {
    for (size_t i = 0; i < QKD_BASIS; i += 2 * half) divide(x + i, half, half / 16);
  }
  divide(x, 128, 32);
  for (size_t i = 0; i < QKD_BASIS; i += 128) divide(x + i, 64, 16);
  divide(x, 128, 64);
  for (size_t i = 0; i < QKD_BASIS; i += 64) divide(x + i, 32, 16);
  for (size_t i = 0; i < QKD_BASIS; i += 16) to_basis_16(x + i);
}

void qkd_gf2x_from_basis(uint64_t x[QKD_BASIS]) {
  for (size_t i = 0; i < QKD_BASIS; i += 16) from_basis_16(x + i);
  for (size_t i = 0; i < QKD_BASIS; i += 64) multiply_back(x + i, 32, 16);
  multiply_back(x, 128, 64);
  for (size_t i = 0; i < QKD_BASIS; i += 128) multiply_back(x + i, 64, 16);
  multiply_back(x, 128, 32);
  for (size_t half = 16; half <= 128; half *= 2) {
    for (size_t i = 0; i < QKD_BASIS; i += 2 * half) multiply_back(x + i, half, half / 16);
  }
}

static void forward_layer(uint64_t *x, size_t run, uint64_t twiddle) {
  for (size_t i = 0; i < run; i++) {
    x[i] ^= multiply(twiddle, x[run + i]);
    x[run + i] ^= x[i];
  }
}

static void inverse_layer(uint64_t *x, size_t run, uint64_t twiddle) {
  for (size_t i = 0; i < run; i++) {
    x[run + i] ^= x[i];
    x[i] ^= multiply(twiddle, x[run + i]);
  }
}

static void forward(uint64_t *x, size_t run, const uint64_t twiddle[2]) {
  forward_layer(x, 2 * run, twiddle[0]);
  forward_layer(x, run, twiddle[1]);
  forward_layer(x + 2 * run, run, twiddle[1] ^ qkd_cantor_basis[1]);
}

static void inverse(uint64_t *x, size_t run, const uint64_t twiddle[2]) {
  inverse_layer(x, run, twiddle[1]);
  inverse_layer(x + 2 * run, run, twiddle[1] ^ qkd_cantor_basis[1]);
  inverse_layer(x, 2 * run, twiddle[0]);
}

/* w_2c */
static uint64_t even_point(size_t c) {
  uint64_t sum = 0;
  for (size_t i = 1; c > 0; i++, c >>= 1) sum ^= c & 1 ? qkd_cantor_basis[i] : 0;
  return sum;
}

static void forward_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  for (size_t layer = 0; layer < QKD_LEAF_LAYERS; layer++) {
    const size_t run = (QKD_LEAF / 2) >> layer;
    for (size_t c = 0; c < (size_t)1 << layer; c++) {
      forward_layer(x + 2 * c * run, run, twiddle[layer] ^ even_point(c));
    }
  }
}

static void inverse_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  for (size_t layer = QKD_LEAF_LAYERS; layer-- > 0;) {
    const size_t run = (QKD_LEAF / 2) >> layer;
    for (size_t c = 0; c < (size_t)1 << layer; c++) {
      inverse_layer(x + 2 * c * run, run, twiddle[layer] ^ even_point(c));
    }
  }
}

static void dot(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t size, size_t stride,
                size_t terms) {
  for (size_t i = 0; i < size; i++) {
    product total = {0, 0};
    for (size_t k = 0; k < terms; k++) {
      const product p = multiply_wide(a[k * stride + i], b[k * stride + i]);
      total.low ^= p.low;
      total.high ^= p.high;
    }
    sum[i] = reduce(total);
  }
}

const qkd_gf2x_kernels qkd_gf2x_portable = {
    base,         add,          qkd_gf2x_to_basis, qkd_gf2x_from_basis, forward, inverse,
    forward_leaf, inverse_leaf, dot,
};
