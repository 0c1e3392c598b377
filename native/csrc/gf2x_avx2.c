/* The loops of products in GF(2)[x] with PCLMULQDQ: two elements of GF(2^64) a register. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "gf2x_impl.h"

enum { LANES = 2 };

static inline __m128i load(const uint64_t *x) {
  return _mm_loadu_si128((const __m128i *)(const void *)x);
}

static inline void store(uint64_t *x, __m128i value) {
  _mm_storeu_si128((__m128i *)(void *)x, value);
}

static inline __m128i all(uint64_t x) { return _mm_set1_epi64x((long long)x); }

static inline __m128i xor3(__m128i a, __m128i b, __m128i c) {
  return _mm_xor_si128(a, _mm_xor_si128(b, c));
}

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

/* x^64 = x^4 + x^3 + x + 1 = (x^3 + 1)(x + 1), once more for the bits that it moves past x^63. By
 * shifts rather than products, for multipliers are what the transform waits for. */
static inline __m128i reduce(__m128i even, __m128i odd) {
  const __m128i low = _mm_unpacklo_epi64(even, odd);
  const __m128i high = _mm_unpackhi_epi64(even, odd);
  const __m128i whole = xor3(high, _mm_srli_epi64(high, 61), _mm_srli_epi64(high, 60));
  const __m128i twice = _mm_xor_si128(whole, _mm_slli_epi64(whole, 1));
  return xor3(low, twice, _mm_slli_epi64(twice, 3));
}

static inline __m128i multiply(__m128i a, __m128i b) {
  return reduce(_mm_clmulepi64_si128(a, b, 0x00), _mm_clmulepi64_si128(a, b, 0x11));
}

static inline void butterfly(__m128i *u, __m128i *v, __m128i twiddle) {
  *u = _mm_xor_si128(*u, multiply(*v, twiddle));
  *v = _mm_xor_si128(*v, *u);
}

static inline void butterfly_back(__m128i *u, __m128i *v, __m128i twiddle) {
  *v = _mm_xor_si128(*v, *u);
  *u = _mm_xor_si128(*u, multiply(*v, twiddle));
}

static void add(uint64_t *restrict sum, const uint64_t *restrict term, size_t words) {
  for (size_t i = 0; i < words; i++) sum[i] ^= term[i];
}

static inline void forward(uint64_t *x, size_t run, const uint64_t twiddle[2]) {
  const __m128i upper = all(twiddle[0]);
  const __m128i first = all(twiddle[1]);
  const __m128i second = all(twiddle[1] ^ qkd_cantor_basis[1]);
  for (size_t i = 0; i < run; i += LANES, x += LANES) {
    __m128i a = load(x), b = load(x + run), c = load(x + 2 * run), d = load(x + 3 * run);
    butterfly(&a, &c, upper);
    butterfly(&b, &d, upper);
    butterfly(&a, &b, first);
    butterfly(&c, &d, second);
    store(x, a);
    store(x + run, b);
    store(x + 2 * run, c);
    store(x + 3 * run, d);
  }
}

static inline void inverse(uint64_t *x, size_t run, const uint64_t twiddle[2]) {
  const __m128i upper = all(twiddle[0]);
  const __m128i first = all(twiddle[1]);
  const __m128i second = all(twiddle[1] ^ qkd_cantor_basis[1]);
  for (size_t i = 0; i < run; i += LANES, x += LANES) {
    __m128i a = load(x), b = load(x + run), c = load(x + 2 * run), d = load(x + 3 * run);
    butterfly_back(&a, &b, first);
    butterfly_back(&c, &d, second);
    butterfly_back(&a, &c, upper);
    butterfly_back(&b, &d, upper);
    store(x, a);
    store(x + run, b);
    store(x + 2 * run, c);
    store(x + 3 * run, d);
  }
}

/* w_(j << shift), j < 16 */
static inline uint64_t point(size_t j, size_t shift) {
  uint64_t sum = 0;
  for (size_t i = 0; i < 4; i++) sum ^= qkd_cantor_basis[shift + i] & (0 - ((j >> i) & 1));
  return sum;
}

/* The two layers within four elements, on blocks 2c and 2c + 1 in a lane each. */
static inline void four(uint64_t x[8], size_t c, const uint64_t twiddle[2], int back) {
  const __m128i lane = _mm_set_epi64x((long long)qkd_cantor_basis[1], 0);
  const __m128i next = _mm_set_epi64x((long long)qkd_cantor_basis[2], 0);
  const __m128i upper = _mm_xor_si128(all(twiddle[0] ^ point(c, 2)), lane);
  const __m128i first = _mm_xor_si128(all(twiddle[1] ^ point(c, 3)), next);
  const __m128i second = _mm_xor_si128(first, all(qkd_cantor_basis[1]));
  __m128i r[4] = {load(x), load(x + 4), load(x + 2), load(x + 6)};
  __m128i a = _mm_unpacklo_epi64(r[0], r[1]), b = _mm_unpackhi_epi64(r[0], r[1]);
  __m128i e = _mm_unpacklo_epi64(r[2], r[3]), d = _mm_unpackhi_epi64(r[2], r[3]);
  if (back) {
    butterfly_back(&a, &b, first);
    butterfly_back(&e, &d, second);
    butterfly_back(&a, &e, upper);
    butterfly_back(&b, &d, upper);
  } else {
    butterfly(&a, &e, upper);
    butterfly(&b, &d, upper);
    butterfly(&a, &b, first);
    butterfly(&e, &d, second);
  }
  store(x, _mm_unpacklo_epi64(a, b));
  store(x + 4, _mm_unpackhi_epi64(a, b));
  store(x + 2, _mm_unpacklo_epi64(e, d));
  store(x + 6, _mm_unpackhi_epi64(e, d));
}

static void forward_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  forward(x, 16, twiddle);
  for (size_t c = 0; c < 4; c++) {
    const uint64_t own[2] = {twiddle[2] ^ point(c, 1), twiddle[3] ^ point(c, 2)};
    forward(x + 16 * c, 4, own);
  }
  for (size_t c = 0; c < 8; c++) four(x + 8 * c, c, twiddle + 4, 0);
}

static void inverse_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  for (size_t c = 0; c < 8; c++) four(x + 8 * c, c, twiddle + 4, 1);
  for (size_t c = 0; c < 4; c++) {
    const uint64_t own[2] = {twiddle[2] ^ point(c, 1), twiddle[3] ^ point(c, 2)};
    inverse(x + 16 * c, 4, own);
  }
  inverse(x, 16, twiddle);
}

static void dot(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t size, size_t stride,
                size_t terms) {
  for (size_t i = 0; i < size; i += LANES) {
    __m128i even = _mm_setzero_si128(), odd = even;
    for (size_t k = i; k < i + terms * stride; k += stride) {
      const __m128i x = load(a + k), y = load(b + k);
      even = _mm_xor_si128(even, _mm_clmulepi64_si128(x, y, 0x00));
      odd = _mm_xor_si128(odd, _mm_clmulepi64_si128(x, y, 0x11));
    }
    store(sum + i, reduce(even, odd));
  }
}

const qkd_gf2x_kernels qkd_gf2x_avx2 = {
    qkd_gf2x_base_pclmul, add,          qkd_gf2x_to_basis, qkd_gf2x_from_basis, forward, inverse,
    forward_leaf,         inverse_leaf, dot,
};
#endif
