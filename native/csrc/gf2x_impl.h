/* Parts of the product in GF(2)[x]: the loops a tier supplies, and the two algorithms over them. */
#ifndef QKD_GF2X_IMPL_H
#define QKD_GF2X_IMPL_H

#include <stddef.h>
#include <stdint.h>

enum {
  QKD_LEAF = 64,
  QKD_LEAF_LAYERS = 6,
  QKD_BASIS = 256,
  QKD_BASIS_LOG = 8,
  QKD_CANTOR_DIMENSION = 20
};

/* A Cantor basis of GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1): v_0 = 1 and
 * v_(i+1)^2 + v_(i+1) = v_i. */
extern const uint64_t qkd_cantor_basis[QKD_CANTOR_DIMENSION];

/* The loops that are worth an instruction set of their own. A butterfly of (u, v) with twiddle w
 * is u += w v, v += u; its inverse v += u, u += w v. */
typedef struct {
  /* product[a_words + b_words] = a * b, schoolbook. */
  void (*base)(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
               const uint64_t *restrict b, size_t b_words);
  /* sum += term. */
  void (*add)(uint64_t *restrict sum, const uint64_t *restrict term, size_t words);
  /* 256 coefficients of powers of x become those of the X_j, and back. */
  void (*to_basis)(uint64_t x[QKD_BASIS]);
  void (*from_basis)(uint64_t x[QKD_BASIS]);
  /* Two layers of butterflies over four runs of elements: the upper with twiddle[0], the lower with
   * twiddle[1] and twiddle[1] + v_1. */
  void (*forward)(uint64_t *x, size_t run, const uint64_t twiddle[2]);
  void (*inverse)(uint64_t *x, size_t run, const uint64_t twiddle[2]);
  /* The last six layers of one leaf: block c of a layer has the twiddle of that layer + w_2c.
   * Values come out in an order that only inverse_leaf of the same tier knows. */
  void (*forward_leaf)(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]);
  void (*inverse_leaf)(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]);
  /* sum[i] = the sum over k < terms of a[k stride + i] b[k stride + i] in the field, i < size; the
   * sum may be written over the first term of a or b. */
  void (*dot)(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t size, size_t stride,
              size_t terms);
} qkd_gf2x_kernels;

extern const qkd_gf2x_kernels qkd_gf2x_portable;
void qkd_gf2x_to_basis(uint64_t x[QKD_BASIS]);
void qkd_gf2x_from_basis(uint64_t x[QKD_BASIS]);

#if defined(__x86_64__)
void qkd_gf2x_base_pclmul(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
                          const uint64_t *restrict b, size_t b_words);
extern const qkd_gf2x_kernels qkd_gf2x_avx2, qkd_gf2x_vpclmul, qkd_gf2x_avx512;
#endif

/* Karatsuba: the whole product, a_words >= b_words > 0. */
size_t qkd_karatsuba_scratch(size_t a_words, size_t b_words);
void qkd_karatsuba(uint64_t *restrict product, const uint64_t *restrict a, size_t a_words,
                   const uint64_t *restrict b, size_t b_words, uint64_t *restrict scratch,
                   const qkd_gf2x_kernels *kernels);

/* Additive FFT: count words of the product from word first on. */
size_t qkd_fft_scratch(size_t count, size_t a_words);
void qkd_fft(uint64_t *restrict window, size_t first, size_t count, const uint64_t *restrict a,
             size_t a_words, const uint64_t *restrict b, size_t b_words,
             uint64_t *restrict scratch, const qkd_gf2x_kernels *kernels);

#endif
