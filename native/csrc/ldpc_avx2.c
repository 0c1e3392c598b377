/* The LDPC decoder's block row, 32 checks a vector (AVX2). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "ldpc_impl.h"

#define INLINE static inline __attribute__((always_inline))
#define LAYER qkd_ldpc_layer_avx2

typedef __m256i bytes;

INLINE bytes load(const void *at) { return _mm256_loadu_si256(at); }
INLINE void store(void *at, bytes x) { _mm256_storeu_si256(at, x); }
INLINE bytes all8(char x) { return _mm256_set1_epi8(x); }
INLINE bytes and(bytes a, bytes b) { return _mm256_and_si256(a, b); }
INLINE bytes andnot(bytes a, bytes b) { return _mm256_andnot_si256(a, b); }
INLINE bytes or(bytes a, bytes b) { return _mm256_or_si256(a, b); }
INLINE bytes xor(bytes a, bytes b) { return _mm256_xor_si256(a, b); }
INLINE bytes abs8(bytes x) { return _mm256_abs_epi8(x); }
INLINE bytes add8(bytes a, bytes b) { return _mm256_add_epi8(a, b); }
INLINE bytes sub8(bytes a, bytes b) { return _mm256_sub_epi8(a, b); }
INLINE bytes adds_u8(bytes a, bytes b) { return _mm256_adds_epu8(a, b); }
INLINE bytes subs_u8(bytes a, bytes b) { return _mm256_subs_epu8(a, b); }
INLINE bytes min_u8(bytes a, bytes b) { return _mm256_min_epu8(a, b); }
INLINE bytes max_u8(bytes a, bytes b) { return _mm256_max_epu8(a, b); }
INLINE bytes add16(bytes a, bytes b) { return _mm256_add_epi16(a, b); }
INLINE bytes sub16(bytes a, bytes b) { return _mm256_sub_epi16(a, b); }
INLINE bytes pack16(bytes a, bytes b) { return _mm256_packs_epi16(a, b); }
INLINE bytes unpack_low(bytes a, bytes b) { return _mm256_unpacklo_epi8(a, b); }
INLINE bytes unpack_high(bytes a, bytes b) { return _mm256_unpackhi_epi8(a, b); }
INLINE bytes shuffle(bytes table, bytes x) { return _mm256_shuffle_epi8(table, x); }
INLINE bytes to_top_bit(bytes x) { return _mm256_slli_epi16(x, 7); }
INLINE bytes repeat16(const uint8_t *at) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)at));
}
INLINE bytes weave(bytes x) { return _mm256_permute4x64_epi64(x, 0xD8); }
INLINE bytes where_less_u8(bytes a, bytes b, bytes yes, bytes no) {
  return _mm256_blendv_epi8(yes, no, _mm256_cmpeq_epi8(_mm256_max_epu8(a, b), a));
}
INLINE bytes where_equal8(bytes a, bytes b, bytes yes, bytes no) {
  return _mm256_blendv_epi8(no, yes, _mm256_cmpeq_epi8(a, b));
}
INLINE bytes negated_where_top(bytes tops, bytes x) {
  return _mm256_sign_epi8(x, _mm256_or_si256(tops, _mm256_set1_epi8(1)));
}

#include "ldpc_layer.h"
#endif
