/* The LDPC decoder's block row, 64 checks a vector (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "ldpc_impl.h"

#define INLINE static inline __attribute__((always_inline))
#define LAYER qkd_ldpc_layer_avx512

typedef __m512i bytes;

INLINE bytes load(const void *at) { return _mm512_loadu_si512(at); }
INLINE void store(void *at, bytes x) { _mm512_storeu_si512(at, x); }
INLINE bytes all8(char x) { return _mm512_set1_epi8(x); }
INLINE bytes and(bytes a, bytes b) { return _mm512_and_si512(a, b); }
INLINE bytes andnot(bytes a, bytes b) { return _mm512_andnot_si512(a, b); }
INLINE bytes or(bytes a, bytes b) { return _mm512_or_si512(a, b); }
INLINE bytes xor(bytes a, bytes b) { return _mm512_xor_si512(a, b); }
INLINE bytes abs8(bytes x) { return _mm512_abs_epi8(x); }
INLINE bytes add8(bytes a, bytes b) { return _mm512_add_epi8(a, b); }
INLINE bytes sub8(bytes a, bytes b) { return _mm512_sub_epi8(a, b); }
INLINE bytes adds_u8(bytes a, bytes b) { return _mm512_adds_epu8(a, b); }
INLINE bytes subs_u8(bytes a, bytes b) { return _mm512_subs_epu8(a, b); }
INLINE bytes min_u8(bytes a, bytes b) { return _mm512_min_epu8(a, b); }
INLINE bytes max_u8(bytes a, bytes b) { return _mm512_max_epu8(a, b); }
INLINE bytes add16(bytes a, bytes b) { return _mm512_add_epi16(a, b); }
INLINE bytes sub16(bytes a, bytes b) { return _mm512_sub_epi16(a, b); }
INLINE bytes pack16(bytes a, bytes b) { return _mm512_packs_epi16(a, b); }
INLINE bytes unpack_low(bytes a, bytes b) { return _mm512_unpacklo_epi8(a, b); }
INLINE bytes unpack_high(bytes a, bytes b) { return _mm512_unpackhi_epi8(a, b); }
INLINE bytes shuffle(bytes table, bytes x) { return _mm512_shuffle_epi8(table, x); }
INLINE bytes to_top_bit(bytes x) { return _mm512_slli_epi16(x, 7); }
INLINE bytes repeat16(const uint8_t *at) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)at));
}
INLINE bytes weave(bytes x) {
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), x);
}
INLINE bytes where_less_u8(bytes a, bytes b, bytes yes, bytes no) {
  return _mm512_mask_mov_epi8(no, _mm512_cmplt_epu8_mask(a, b), yes);
}
INLINE bytes where_equal8(bytes a, bytes b, bytes yes, bytes no) {
  return _mm512_mask_mov_epi8(no, _mm512_cmpeq_epi8_mask(a, b), yes);
}
INLINE bytes negated_where_top(bytes tops, bytes x) {
  return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(tops), _mm512_setzero_si512(), x);
}

#include "ldpc_layer.h"
#endif
