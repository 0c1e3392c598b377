/* The loops of products in GF(2)[x] with VPCLMULQDQ, which some machines without AVX-512 have: four
 * elements of GF(2^64) a register. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf2x_impl.h"

typedef __m256i lanes;
enum { SUMS = 4 };

#define LEFT(x, bits) _mm256_slli_epi64(x, bits)
#define RIGHT(x, bits) _mm256_srli_epi64(x, bits)

static inline lanes load(const uint64_t *x) {
  return _mm256_loadu_si256((const __m256i *)(const void *)x);
}
static inline void store(uint64_t *x, lanes value) {
  _mm256_storeu_si256((__m256i *)(void *)x, value);
}
static inline lanes all(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
static inline lanes xor2(lanes a, lanes b) { return _mm256_xor_si256(a, b); }
static inline lanes xor3(lanes a, lanes b, lanes c) { return xor2(a, xor2(b, c)); }
static inline lanes low_words(lanes a, lanes b) { return _mm256_unpacklo_epi64(a, b); }
static inline lanes high_words(lanes a, lanes b) { return _mm256_unpackhi_epi64(a, b); }
static inline lanes even(lanes a, lanes b) { return _mm256_clmulepi64_epi128(a, b, 0x00); }
static inline lanes odd(lanes a, lanes b) { return _mm256_clmulepi64_epi128(a, b, 0x11); }
static inline lanes spread(size_t shift) {
  const long long one = (long long)qkd_cantor_basis[shift];
  const long long two = (long long)qkd_cantor_basis[shift + 1];
  return _mm256_set_epi64x(one ^ two, two, one, 0);
}
/* Of rows and columns: it is its own way back. */
static inline void transpose(lanes r[4]) {
  const lanes a = low_words(r[0], r[1]), b = high_words(r[0], r[1]);
  const lanes c = low_words(r[2], r[3]), d = high_words(r[2], r[3]);
  r[0] = _mm256_permute2x128_si256(a, c, 0x20);
  r[1] = _mm256_permute2x128_si256(b, d, 0x20);
  r[2] = _mm256_permute2x128_si256(a, c, 0x31);
  r[3] = _mm256_permute2x128_si256(b, d, 0x31);
}
static inline void transpose_back(lanes r[4]) { transpose(r); }

#include "gf2x_field.h"
#include "gf2x_narrow.h"

const qkd_gf2x_kernels qkd_gf2x_vpclmul = {
    qkd_gf2x_base_pclmul, add,          qkd_gf2x_to_basis, qkd_gf2x_from_basis, forward, inverse,
    forward_leaf,         inverse_leaf, dot,
};
#endif
