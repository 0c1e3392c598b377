/* Delta coding, eight values at a time (AVX-512 with VBMI). A code is at first a lane of eight
 * bytes of seven bits each; bytes beyond a code's end are then left out, or put in. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "deltas_impl.h"

#define TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,popcnt")))

enum { LANES = 8 };

static const uint64_t first_bytes = UINT64_C(0x0101010101010101);

TARGET qkd_deltas_place qkd_deltas_encode_avx512(const int64_t *restrict values, size_t count,
                                                 qkd_deltas_place at, uint8_t *restrict bytes) {
  const __m512i sevens = _mm512_set1_epi64(0x312A231C150E0700); /* bits 0, 7, .. 49 */
  const __m512i low_seven = _mm512_set1_epi8(0x7F);
  const __m512i too_big = _mm512_set1_epi64(-(INT64_C(1) << FAST_CODE_BITS));
  __m512i before = _mm512_set1_epi64(at.last);
  /* Eight values have room for 72 bytes, and a store writes 64. */
  for (; count - at.values >= LANES; at.values += LANES) {
    const __m512i now = _mm512_loadu_si512(values + at.values);
    const __m512i difference = _mm512_sub_epi64(now, _mm512_alignr_epi64(now, before, 7));
    if (_mm512_test_epi64_mask(difference, too_big)) break;
    before = now;
    const __m512i groups =
        _mm512_and_si512(_mm512_multishift_epi64_epi8(sevens, difference), low_seven);
    /* A byte belongs to the code if it or a later one of its lane is not empty. */
    uint64_t used = _cvtmask64_u64(_mm512_test_epi8_mask(groups, groups));
    used |= used >> 1 & first_bytes * 0x7F;
    used |= used >> 2 & first_bytes * 0x3F;
    used |= used >> 4 & first_bytes * 0x0F;
    const uint64_t continued = used >> 1 & first_bytes * 0x7F;
    used |= first_bytes;
    const __m512i marked = _mm512_mask_add_epi8(groups, _cvtu64_mask64(continued), groups,
                                                _mm512_set1_epi8(-128));
    _mm512_storeu_si512(bytes + at.bytes,
                        _mm512_maskz_compress_epi8(_cvtu64_mask64(used), marked));
    at.bytes += (size_t)__builtin_popcountll(used);
  }
  at.last = _mm_extract_epi64(_mm512_extracti64x2_epi64(before, 3), 1);
  return at;
}

/* The eight sevens of bits of each lane, joined. */
TARGET static inline __m512i joined(__m512i groups) {
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi16((int16_t)(1 | 128 << 8)), groups);
  const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(1 | 1 << 30));
  const __m512i low = _mm512_and_si512(fours, _mm512_set1_epi64(0xFFFFFFF));
  const __m512i high =
      _mm512_and_si512(_mm512_srli_epi64(fours, 4), _mm512_set1_epi64(0xFFFFFFF0000000));
  return _mm512_or_si512(low, high);
}

/* The sum of each lane and all below it. */
TARGET static inline __m512i running_sum(__m512i x) {
  const __m512i zero = _mm512_setzero_si512();
  x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 7));
  x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 6));
  return _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 4));
}

/* Whether all codes in a chunk are short and none is padded; it begins with a code's first byte. */
static inline int plain(uint64_t continued, uint64_t empty) {
  uint64_t run = continued & continued >> 1;
  run &= run >> 2;
  run &= run >> 4; /* eight continued bytes in a row: a ninth follows */
  return run == 0 && (empty & continued << 1) == 0;
}

TARGET qkd_deltas_place qkd_deltas_decode_avx512(const uint8_t *restrict bytes, size_t length,
                                                 size_t count, qkd_deltas_place at,
                                                 int64_t *restrict values) {
  const __m512i places = _mm512_set_epi64(
      0x3F3E3D3C3B3A3938, 0x3736353433323130, 0x2F2E2D2C2B2A2928, 0x2726252423222120,
      0x1F1E1D1C1B1A1918, 0x1716151413121110, 0x0F0E0D0C0B0A0908, 0x0706050403020100);
  const __m512i one = _mm512_set1_epi8(1);
  const __m512i before = _mm512_sub_epi8(places, one);
  const __m512i in_lane = _mm512_set1_epi64(0x0706050403020100);
  const __m512i low_byte = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0808080808080808, 0));
  const __m512i low_seven = _mm512_set1_epi8(0x7F);
  const __m512i lane_bits = _mm512_set1_epi64(64);
  const __m512i last_lane = _mm512_set1_epi64(LANES - 1);
  __m512i sum = _mm512_set1_epi64(at.last);
  /* A load takes 64 bytes, which hold at most 64 values. */
  while (length - at.bytes >= 64 && count - at.values >= 64) {
    const __m512i chunk = _mm512_loadu_si512(bytes + at.bytes);
    const uint64_t continued = _cvtmask64_u64(_mm512_movepi8_mask(chunk));
    const uint64_t empty = _cvtmask64_u64(_mm512_testn_epi8_mask(chunk, chunk));
    if (!plain(continued, empty) ||
        _mm_cvtsi128_si64(_mm512_castsi512_si128(sum)) > qkd_deltas_fast_sum)
      break;
    const uint64_t ends = ~continued;
    const size_t codes = (size_t)__builtin_popcountll(ends);
    /* Byte by byte, where each code stops and, one place on, the next one starts. */
    __m512i stops =
        _mm512_add_epi8(_mm512_maskz_compress_epi8(_cvtu64_mask64(ends), places), one);
    __m512i starts =
        _mm512_maskz_permutexvar_epi8(_cvtu64_mask64(~UINT64_C(1)), before, stops);
    for (size_t i = 0; i < codes; i += LANES) {
      const __m512i start = _mm512_cvtepu8_epi64(_mm512_castsi512_si128(starts));
      const __m512i stop = _mm512_cvtepu8_epi64(_mm512_castsi512_si128(stops));
      starts = _mm512_alignr_epi64(starts, starts, 1);
      stops = _mm512_alignr_epi64(stops, stops, 1);
      const __m512i from = _mm512_add_epi8(_mm512_shuffle_epi8(start, low_byte), in_lane);
      const __m512i bits = _mm512_slli_epi64(_mm512_sub_epi64(stop, start), 3);
      const __m512i kept = _mm512_srlv_epi64(low_seven, _mm512_sub_epi64(lane_bits, bits));
      const __m512i groups = _mm512_and_si512(_mm512_permutexvar_epi8(from, chunk), kept);
      const __mmask8 here = (__mmask8)(codes - i < LANES ? (1u << (codes - i)) - 1 : 0xFF);
      const __m512i difference = _mm512_maskz_mov_epi64(here, joined(groups));
      const __m512i sums = _mm512_add_epi64(sum, running_sum(difference));
      _mm512_storeu_si512(values + at.values + i, sums);
      sum = _mm512_permutexvar_epi64(last_lane, sums);
    }
    at.values += codes;
    at.bytes += 64 - (size_t)__builtin_clzll(ends);
  }
  at.last = _mm_cvtsi128_si64(_mm512_castsi512_si128(sum));
  return at;
}
#endif
