/* The polynomial hash with VPCLMULQDQ: four blocks a register, 32 blocks a reduction.
 *
 * As mac_avx2.c, with lane k of power i holding r^(32 - 4i - k).
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "mac_impl.h"
#include "wipe.h"

enum { LANES = 4, VECTORS = 8, STRIDE = LANES * VECTORS, SHORT = 8, BLOCK_BYTES = 16 };

/* Four polynomials of degree 254 as low + x^64 middle + x^128 high. */
typedef struct {
  __m512i low, middle, high;
} product;

static inline __m512i load(const uint8_t *bytes) {
  return _mm512_loadu_si512((const void *)bytes);
}

static inline product no_product(void) {
  return (product){_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

static inline __m512i xor3(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

static inline void add_product(product *sum, __m512i a, __m512i b) {
  sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(a, b, 0x00));
  sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(a, b, 0x11));
  sum->middle = xor3(sum->middle, _mm512_clmulepi64_epi128(a, b, 0x01),
                     _mm512_clmulepi64_epi128(a, b, 0x10));
}

/* x^128 = x^7 + x^2 + x + 1, first for the upper half of high, then for the lower. */
static inline __m512i reduce(product p) {
  const __m512i modulus = _mm512_set1_epi64(0x87);
  const __m512i low = _mm512_xor_si512(p.low, _mm512_bslli_epi128(p.middle, 8));
  __m512i high = _mm512_xor_si512(p.high, _mm512_bsrli_epi128(p.middle, 8));
  const __m512i fold = _mm512_clmulepi64_epi128(high, modulus, 0x01);
  high = _mm512_xor_si512(high, _mm512_bsrli_epi128(fold, 8));
  return xor3(low, _mm512_bslli_epi128(fold, 8),
              _mm512_clmulepi64_epi128(high, modulus, 0x00));
}

static inline __m512i multiply(__m512i a, __m512i b) {
  product p = no_product();
  add_product(&p, a, b);
  return reduce(p);
}

static inline __m512i add_lanes(__m512i x) {
  const __m512i half = _mm512_xor_si512(x, _mm512_shuffle_i64x2(x, x, 0x4E));
  return _mm512_xor_si512(half, _mm512_shuffle_i64x2(half, half, 0xB1));
}

/* The reduced sum of the four lanes, in lane 0. */
static inline __m512i collect(product p) {
  const product sum = {add_lanes(p.low), add_lanes(p.middle), add_lanes(p.high)};
  return _mm512_zextsi128_si512(_mm512_castsi512_si128(reduce(sum)));
}

/* Lanes r^4, r^3, r^2, r of a key that fills all four. */
static inline __m512i first_powers(__m512i r) {
  const __m512i square = multiply(r, r);
  const __m512i one_two = _mm512_mask_blend_epi64(0x33, r, square); /* r^2, r, r^2, r */
  return _mm512_mask_blend_epi64(0x0F, one_two, multiply(one_two, square));
}

void qkd_poly_absorb_avx512(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                            size_t block_count) {
  const __m512i r = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)key));
  __m512i s =
      _mm512_zextsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)state));
  if (block_count >= SHORT) {
    __m512i power[VECTORS];
    power[VECTORS - 1] = first_powers(r);
    if (block_count >= STRIDE) {
      const __m512i fourth = _mm512_shuffle_i64x2(power[VECTORS - 1], power[VECTORS - 1], 0);
      for (size_t i = VECTORS - 1; i > 0; i--) power[i - 1] = multiply(power[i], fourth);
    }
    for (; block_count >= STRIDE; block_count -= STRIDE, blocks += STRIDE * BLOCK_BYTES) {
      product sum = no_product();
      for (size_t i = 1; i < VECTORS; i++) {
        add_product(&sum, load(blocks + LANES * BLOCK_BYTES * i), power[i]);
      }
      add_product(&sum, _mm512_xor_si512(s, load(blocks)), power[0]);
      s = collect(sum);
    }
    for (; block_count >= LANES; block_count -= LANES, blocks += LANES * BLOCK_BYTES) {
      product sum = no_product();
      add_product(&sum, _mm512_xor_si512(s, load(blocks)), power[VECTORS - 1]);
      s = collect(sum);
    }
    qkd_wipe(power, sizeof power);
  }
  for (; block_count > 0; block_count--, blocks += BLOCK_BYTES) {
    const __m512i block =
        _mm512_zextsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)blocks));
    s = multiply(_mm512_xor_si512(s, block), r);
  }
  _mm_storeu_si128((__m128i *)(void *)state, _mm512_castsi512_si128(s));
}
#endif
