/* The polynomial hash with PCLMULQDQ: eight blocks against eight powers of the key, one reduction.
 *
 * s' = (s + m_1) r^8 + m_2 r^7 + .. + m_8 r, the products being added before they are reduced
 * (aggregated reduction: Gueron and Kounavis, Inf. Process. Lett. 110, 549 (2010)).
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "mac_impl.h"
#include "wipe.h"

enum { STRIDE = 8, BLOCK_BYTES = 16 };

/* A polynomial of degree 254 as low + x^64 middle + x^128 high. */
typedef struct {
  __m128i low, middle, high;
} product;

static inline __m128i load(const uint8_t *bytes) {
  return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

static inline void add_product(product *sum, __m128i a, __m128i b) {
  sum->low = _mm_xor_si128(sum->low, _mm_clmulepi64_si128(a, b, 0x00));
  sum->high = _mm_xor_si128(sum->high, _mm_clmulepi64_si128(a, b, 0x11));
  sum->middle = _mm_xor_si128(sum->middle, _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01),
                                                         _mm_clmulepi64_si128(a, b, 0x10)));
}

/* x^128 = x^7 + x^2 + x + 1, first for the upper half of high, then for the lower. */
static inline __m128i reduce(product p) {
  const __m128i modulus = _mm_cvtsi32_si128(0x87);
  __m128i low = _mm_xor_si128(p.low, _mm_slli_si128(p.middle, 8));
  __m128i high = _mm_xor_si128(p.high, _mm_srli_si128(p.middle, 8));
  const __m128i fold = _mm_clmulepi64_si128(high, modulus, 0x01);
  low = _mm_xor_si128(low, _mm_slli_si128(fold, 8));
  high = _mm_xor_si128(high, _mm_srli_si128(fold, 8));
  return _mm_xor_si128(low, _mm_clmulepi64_si128(high, modulus, 0x00));
}

static inline __m128i multiply(__m128i a, __m128i b) {
  product p = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
  add_product(&p, a, b);
  return reduce(p);
}

/* The middle of a sum of products costs one product each by Karatsuba's (a_0 + a_1)(b_0 + b_1), from
 * which the sums of low and high are taken off once. folded holds b_0 + b_1. */
static inline __m128i fold(__m128i x) { return _mm_xor_si128(x, _mm_shuffle_epi32(x, 0x4E)); }

static inline void add_folded(product *sum, __m128i a, __m128i b, __m128i folded) {
  sum->low = _mm_xor_si128(sum->low, _mm_clmulepi64_si128(a, b, 0x00));
  sum->high = _mm_xor_si128(sum->high, _mm_clmulepi64_si128(a, b, 0x11));
  sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(fold(a), folded, 0x00));
}

static inline __m128i reduce_folded(product sum) {
  sum.middle = _mm_xor_si128(sum.middle, _mm_xor_si128(sum.low, sum.high));
  return reduce(sum);
}

void qkd_poly_absorb_avx2(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                          size_t block_count) {
  const __m128i r = load(key);
  __m128i s = load(state);
  if (block_count >= 2 * STRIDE) {
    __m128i power[STRIDE], folded[STRIDE]; /* power[i] = r^(8 - i) */
    power[7] = r;
    power[6] = multiply(r, r);
    power[5] = multiply(power[6], r);
    power[4] = multiply(power[6], power[6]);
    for (size_t i = 0; i < 4; i++) power[i] = multiply(power[i + 4], power[4]);
    for (size_t i = 0; i < STRIDE; i++) folded[i] = fold(power[i]);
    for (; block_count >= STRIDE; block_count -= STRIDE, blocks += STRIDE * BLOCK_BYTES) {
      product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
      for (size_t i = 1; i < STRIDE; i++) {
        add_folded(&sum, load(blocks + BLOCK_BYTES * i), power[i], folded[i]);
      }
      add_folded(&sum, _mm_xor_si128(s, load(blocks)), power[0], folded[0]);
      s = reduce_folded(sum);
    }
    qkd_wipe(power, sizeof power);
    qkd_wipe(folded, sizeof folded);
  }
  for (; block_count > 0; block_count--, blocks += BLOCK_BYTES) {
    s = multiply(_mm_xor_si128(s, load(blocks)), r);
  }
  _mm_storeu_si128((__m128i *)(void *)state, s);
}
#endif
