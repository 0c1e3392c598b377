/* The loops of products in GF(2)[x] with VPCLMULQDQ: eight elements of GF(2^64) a register. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf2x_impl.h"

typedef __m512i lanes;
enum { SUMS = 4 };

#define LEFT(x, bits) _mm512_slli_epi64(x, bits)
#define RIGHT(x, bits) _mm512_srli_epi64(x, bits)

static inline lanes load(const uint64_t *x) { return _mm512_loadu_si512((const void *)x); }
static inline void store(uint64_t *x, lanes value) { _mm512_storeu_si512((void *)x, value); }
static inline lanes all(uint64_t x) { return _mm512_set1_epi64((long long)x); }
static inline lanes xor2(lanes a, lanes b) { return _mm512_xor_si512(a, b); }
static inline lanes xor3(lanes a, lanes b, lanes c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
static inline lanes low_words(lanes a, lanes b) { return _mm512_unpacklo_epi64(a, b); }
static inline lanes high_words(lanes a, lanes b) { return _mm512_unpackhi_epi64(a, b); }
static inline lanes even(lanes a, lanes b) { return _mm512_clmulepi64_epi128(a, b, 0x00); }
static inline lanes odd(lanes a, lanes b) { return _mm512_clmulepi64_epi128(a, b, 0x11); }

#include "gf2x_field.h"

static void add(uint64_t *restrict sum, const uint64_t *restrict term, size_t words) {
  size_t i = 0;
  for (; i + LANES <= words; i += LANES) {
    store(sum + i, xor2(load(sum + i), load(term + i)));
  }
  if (i == words) return;
  const __mmask8 rest = (__mmask8)((1u << (words - i)) - 1);
  const lanes last = xor2(_mm512_maskz_loadu_epi64(rest, sum + i),
                                        _mm512_maskz_loadu_epi64(rest, term + i));
  _mm512_mask_storeu_epi64(sum + i, rest, last);
}

/* --- The change of basis of 256 coefficients, in 32 registers --------------------------------- */

enum { REGISTERS = 32 };

/* x[lane] ^= x[lane + from] where the mask says so, around the register. */
#define ADD_ROTATED(x, mask, from, source) \
  (x) = _mm512_mask_xor_epi64((x), (mask), (x), _mm512_alignr_epi64((source), (source), (from)))

/* Sixteen coefficients: s_2 = x^4 + x on all and on either half, then s_1 on fours and within. */
static inline void to_basis_16(lanes *low, lanes *high) {
  lanes a = *low, b = *high;
  ADD_ROTATED(b, 0x03, 6, b);
  ADD_ROTATED(a, 0xFC, 6, b);
  ADD_ROTATED(a, 0x10, 3, a);
  ADD_ROTATED(b, 0x10, 3, b);
  ADD_ROTATED(a, 0x0E, 3, a);
  ADD_ROTATED(b, 0x0E, 3, b);
  ADD_ROTATED(b, 0x0F, 4, b);
  ADD_ROTATED(a, 0xF0, 4, b);
  ADD_ROTATED(a, 0x44, 1, a);
  ADD_ROTATED(b, 0x44, 1, b);
  ADD_ROTATED(a, 0x22, 1, a);
  ADD_ROTATED(b, 0x22, 1, b);
  *low = a;
  *high = b;
}

static inline void from_basis_16(lanes *low, lanes *high) {
  lanes a = *low, b = *high;
  ADD_ROTATED(a, 0x22, 1, a);
  ADD_ROTATED(b, 0x22, 1, b);
  ADD_ROTATED(a, 0x44, 1, a);
  ADD_ROTATED(b, 0x44, 1, b);
  ADD_ROTATED(a, 0xF0, 4, b);
  ADD_ROTATED(b, 0x0F, 4, b);
  ADD_ROTATED(a, 0x0E, 3, a);
  ADD_ROTATED(b, 0x0E, 3, b);
  ADD_ROTATED(a, 0x10, 3, a);
  ADD_ROTATED(b, 0x10, 3, b);
  ADD_ROTATED(a, 0xFC, 6, b);
  ADD_ROTATED(b, 0x03, 6, b);
  *low = a;
  *high = b;
}

/* Division of 2 half registers by x^(8 half) + x^shift with shift < 8; and the way back. */
static inline void divide_within(lanes *r, size_t half, size_t shift) {
  const lanes places = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const lanes moved = _mm512_add_epi64(places, all(8 - shift));
  const lanes zero = _mm512_setzero_si512();
  lanes *high = r + half;
  high[0] = xor2(high[0], _mm512_permutex2var_epi64(high[half - 1], moved, zero));
  for (size_t i = half; i-- > 1;) {
    r[i] = xor2(r[i], _mm512_permutex2var_epi64(high[i - 1], moved, high[i]));
  }
  r[0] = xor2(r[0], _mm512_permutex2var_epi64(zero, moved, high[0]));
}

static inline void multiply_within(lanes *r, size_t half, size_t shift) {
  const lanes places = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const lanes moved = _mm512_add_epi64(places, all(8 - shift));
  const lanes zero = _mm512_setzero_si512();
  lanes *high = r + half;
  for (size_t i = half; i-- > 1;) {
    r[i] = xor2(r[i], _mm512_permutex2var_epi64(high[i - 1], moved, high[i]));
  }
  r[0] = xor2(r[0], _mm512_permutex2var_epi64(zero, moved, high[0]));
  high[0] = xor2(high[0], _mm512_permutex2var_epi64(high[half - 1], moved, zero));
}

/* The same with a shift of whole registers. */
static inline void divide(lanes *r, size_t half, size_t shift) {
  lanes *high = r + half;
  for (size_t i = 0; i < shift; i++) {
    high[i] = xor2(high[i], high[half - shift + i]);
  }
  for (size_t i = shift; i < half; i++) r[i] = xor2(r[i], high[i - shift]);
}

static inline void multiply_back(lanes *r, size_t half, size_t shift) {
  lanes *high = r + half;
  for (size_t i = shift; i < half; i++) r[i] = xor2(r[i], high[i - shift]);
  for (size_t i = 0; i < shift; i++) {
    high[i] = xor2(high[i], high[half - shift + i]);
  }
}

/* By s_4 = x^16 + x; the sixteen digits of two registers each by s_2 and s_1; then each digit. */
static void to_basis(uint64_t x[QKD_BASIS]) {
  lanes r[REGISTERS];
  for (size_t i = 0; i < REGISTERS; i++) r[i] = load(x + LANES * i);
  divide(r, 16, 1);
  for (size_t i = 0; i < REGISTERS; i += 16) divide_within(r + i, 8, 4);
  for (size_t i = 0; i < REGISTERS; i += 8) divide_within(r + i, 4, 2);
  for (size_t i = 0; i < REGISTERS; i += 4) divide_within(r + i, 2, 1);
  divide(r, 16, 4);
  for (size_t i = 0; i < REGISTERS; i += 16) divide(r + i, 8, 2);
  divide(r, 16, 8);
  for (size_t i = 0; i < REGISTERS; i += 8) divide(r + i, 4, 2);
  for (size_t i = 0; i < REGISTERS; i += 2) to_basis_16(&r[i], &r[i + 1]);
  for (size_t i = 0; i < REGISTERS; i++) store(x + LANES * i, r[i]);
}

static void from_basis(uint64_t x[QKD_BASIS]) {
  lanes r[REGISTERS];
  for (size_t i = 0; i < REGISTERS; i++) r[i] = load(x + LANES * i);
  for (size_t i = 0; i < REGISTERS; i += 2) from_basis_16(&r[i], &r[i + 1]);
  for (size_t i = 0; i < REGISTERS; i += 8) multiply_back(r + i, 4, 2);
  multiply_back(r, 16, 8);
  for (size_t i = 0; i < REGISTERS; i += 16) multiply_back(r + i, 8, 2);
  multiply_back(r, 16, 4);
  for (size_t i = 0; i < REGISTERS; i += 4) multiply_within(r + i, 2, 1);
  for (size_t i = 0; i < REGISTERS; i += 8) multiply_within(r + i, 4, 2);
  for (size_t i = 0; i < REGISTERS; i += 16) multiply_within(r + i, 8, 4);
  multiply_back(r, 16, 1);
  for (size_t i = 0; i < REGISTERS; i++) store(x + LANES * i, r[i]);
}

/* --- Butterflies and products ---------------------------------------------------------------- */

/* Three layers of butterflies among eight registers, given the twiddles of each layer's block 0. */
static inline void three_layers(lanes r[8], const lanes twiddle[3]) {
  const lanes v1 = all(qkd_cantor_basis[1]), v2 = all(qkd_cantor_basis[2]);
  for (size_t i = 0; i < 4; i++) butterfly(&r[i], &r[i + 4], twiddle[0]);
  for (size_t i = 0; i < 2; i++) {
    butterfly(&r[i], &r[i + 2], twiddle[1]);
    butterfly(&r[i + 4], &r[i + 6], xor2(twiddle[1], v1));
  }
  butterfly(&r[0], &r[1], twiddle[2]);
  butterfly(&r[2], &r[3], xor2(twiddle[2], v1));
  butterfly(&r[4], &r[5], xor2(twiddle[2], v2));
  butterfly(&r[6], &r[7], xor3(twiddle[2], v1, v2));
}

static inline void three_layers_back(lanes r[8], const lanes twiddle[3]) {
  const lanes v1 = all(qkd_cantor_basis[1]), v2 = all(qkd_cantor_basis[2]);
  butterfly_back(&r[0], &r[1], twiddle[2]);
  butterfly_back(&r[2], &r[3], xor2(twiddle[2], v1));
  butterfly_back(&r[4], &r[5], xor2(twiddle[2], v2));
  butterfly_back(&r[6], &r[7], xor3(twiddle[2], v1, v2));
  for (size_t i = 0; i < 2; i++) {
    butterfly_back(&r[i], &r[i + 2], twiddle[1]);
    butterfly_back(&r[i + 4], &r[i + 6], xor2(twiddle[1], v1));
  }
  for (size_t i = 0; i < 4; i++) butterfly_back(&r[i], &r[i + 4], twiddle[0]);
}

static inline void transpose(lanes r[8]) {
  lanes t[8];
  for (size_t i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
  }
  for (size_t i = 0; i < 2; i++) {
    const lanes a = _mm512_shuffle_i64x2(t[i], t[i + 2], 0x88);
    const lanes b = _mm512_shuffle_i64x2(t[i], t[i + 2], 0xDD);
    const lanes c = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0x88);
    const lanes d = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0xDD);
    r[i] = _mm512_shuffle_i64x2(a, c, 0x88);
    r[i + 2] = _mm512_shuffle_i64x2(b, d, 0x88);
    r[i + 4] = _mm512_shuffle_i64x2(a, c, 0xDD);
    r[i + 6] = _mm512_shuffle_i64x2(b, d, 0xDD);
  }
}

/* Twiddle + w_(j << shift) in lane j: the lanes are blocks of their own after the transposition. */
static inline lanes lane_twiddles(uint64_t twiddle, size_t shift) {
  const lanes pairs = _mm512_mask_xor_epi64(all(twiddle), 0xAA, all(twiddle),
                                              all(qkd_cantor_basis[shift]));
  const lanes fours =
      _mm512_mask_xor_epi64(pairs, 0xCC, pairs, all(qkd_cantor_basis[shift + 1]));
  return _mm512_mask_xor_epi64(fours, 0xF0, fours, all(qkd_cantor_basis[shift + 2]));
}

static inline void leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS], int back) {
  const lanes rows[3] = {all(twiddle[0]), all(twiddle[1]), all(twiddle[2])};
  const lanes columns[3] = {lane_twiddles(twiddle[3], 1), lane_twiddles(twiddle[4], 2),
                            lane_twiddles(twiddle[5], 3)};
  lanes r[8];
  for (size_t i = 0; i < 8; i++) r[i] = load(x + LANES * i);
  if (back) {
    three_layers_back(r, columns);
    transpose(r);
    three_layers_back(r, rows);
  } else {
    three_layers(r, rows);
    transpose(r);
    three_layers(r, columns);
  }
  for (size_t i = 0; i < 8; i++) store(x + LANES * i, r[i]);
}

static void forward_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  leaf(x, twiddle, 0);
}

static void inverse_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  leaf(x, twiddle, 1);
}

const qkd_gf2x_kernels qkd_gf2x_avx512 = {
    qkd_gf2x_base_pclmul, add,          to_basis, from_basis, forward, inverse,
    forward_leaf,         inverse_leaf, dot,
};
#endif
