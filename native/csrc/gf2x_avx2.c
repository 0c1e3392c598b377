/* The loops of products in GF(2)[x] with PCLMULQDQ: two elements of GF(2^64) a register. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf2x_impl.h"

typedef __m128i lanes;
enum { SUMS = 1 };

#define LEFT(x, bits) _mm_slli_epi64(x, bits)
#define RIGHT(x, bits) _mm_srli_epi64(x, bits)

static inline lanes load(const uint64_t *x) {
  return _mm_loadu_si128((const __m128i *)(const void *)x);
}
static inline void store(uint64_t *x, lanes value) {
  _mm_storeu_si128((__m128i *)(void *)x, value);
}
static inline lanes all(uint64_t x) { return _mm_set1_epi64x((long long)x); }
static inline lanes xor2(lanes a, lanes b) { return _mm_xor_si128(a, b); }
static inline lanes xor3(lanes a, lanes b, lanes c) { return xor2(a, xor2(b, c)); }
static inline lanes low_words(lanes a, lanes b) { return _mm_unpacklo_epi64(a, b); }
static inline lanes high_words(lanes a, lanes b) { return _mm_unpackhi_epi64(a, b); }
static inline lanes even(lanes a, lanes b) { return _mm_clmulepi64_si128(a, b, 0x00); }
static inline lanes odd(lanes a, lanes b) { return _mm_clmulepi64_si128(a, b, 0x11); }
static inline lanes spread(size_t shift) {
  return _mm_set_epi64x((long long)qkd_cantor_basis[shift], 0);
}
static inline void transpose(lanes r[4]) {
  const lanes a = low_words(r[0], r[2]), b = high_words(r[0], r[2]);
  const lanes c = low_words(r[1], r[3]), d = high_words(r[1], r[3]);
  r[0] = a, r[1] = b, r[2] = c, r[3] = d;
}
static inline void transpose_back(lanes r[4]) {
  const lanes a = low_words(r[0], r[1]), b = low_words(r[2], r[3]);
  const lanes c = high_words(r[0], r[1]), d = high_words(r[2], r[3]);
  r[0] = a, r[1] = b, r[2] = c, r[3] = d;
}

#include "gf2x_field.h"
#include "gf2x_narrow.h"

void qkd_gf2x_base_pclmul(
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

const qkd_gf2x_kernels qkd_gf2x_avx2 = {
    qkd_gf2x_base_pclmul, add,          qkd_gf2x_to_basis, qkd_gf2x_from_basis, forward, inverse,
    forward_leaf,         inverse_leaf, dot,
};
#endif
