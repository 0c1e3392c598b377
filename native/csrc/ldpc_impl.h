/* What the versions of the LDPC decoder share.
 *
 * Layered belief propagation, one block row after another (Mansour and Shanbhag, IEEE Trans. VLSI
 * Syst. 11, 976 (2003)). A check's answer follows the A-min* rule of Jones, Valles, Smith and
 * Villasenor, "Approximate-MIN* constraint node updating for LDPC code decoding", MILCOM 2003: the
 * least reliable bit is told what the others say together, every other bit what all say together.
 * That takes one box-plus an edge, a third of the exact rule, at next to no loss.
 *
 * Log-likelihood ratios are integers in sixths of a nat: at that scale the correction of the
 * box-plus has sixteen entries, a byte shuffle. Messages are int8; posteriors are int16 and so
 * never saturate: a saturated one would not be the sum of its messages any more, and of columns of
 * high weight some would then never come right.
 */
#ifndef QKD_LDPC_IMPL_H
#define QKD_LDPC_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "ldpc.h"

enum {
  LDPC_MAX_ROW = 128,
  LDPC_STEP = 128,  /* what the size of a circulant is a multiple of */
  LDPC_PAD = 64,    /* room behind a column's posteriors, for one that wraps around */
  LDPC_BIAS = 128,  /* messages and posteriors are stored that much larger: no sign to extend */
  LDPC_FIRST = 127, /* as good as certain: where a check's sum begins */
};

/* round(6 ln(1 + exp(-x / 6))): box-plus(a, b) is min(a, b) + c(a + b) - c(|a - b|). */
#define LDPC_CORRECTION {4, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0}

/* One block row: every check of it tells its bits what the others say. signs is its part of the
 * syndrome. */
typedef void qkd_ldpc_layer(const qkd_ldpc_code *code, uint32_t row, const uint8_t *signs,
                            int16_t *posteriors, uint8_t *messages);
qkd_ldpc_layer qkd_ldpc_layer_avx2, qkd_ldpc_layer_avx512;

static inline int16_t *qkd_ldpc_column(const qkd_ldpc_code *code, int16_t *posteriors,
                                       uint32_t column) {
  return posteriors + (size_t)column * (code->size + LDPC_PAD);
}

/* Where in a column the bit of check k is. */
static inline size_t qkd_ldpc_place(size_t k, size_t shift, size_t size) {
  return k + shift < size ? k + shift : k + shift - size;
}

#endif
