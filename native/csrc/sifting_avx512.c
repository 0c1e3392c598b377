/* Basis sift, 64 events at a time (AVX-512 with VBMI2). */
#if defined(__x86_64__)
#include <immintrin.h>

#include "sifting_impl.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi2,popcnt")))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE uint64_t ones(__m512i codes, char bit) {
  return _cvtmask64_u64(_mm512_test_epi8_mask(codes, _mm512_set1_epi8(bit)));
}

INLINE uint64_t load_word(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

TARGET size_t qkd_sift_bases_avx512(const uint8_t *restrict codes, size_t count,
                                    uint8_t *restrict bases) {
  size_t i = 0;
  for (; count - i >= WORD; i += WORD) {
    const uint64_t word = ones(_mm512_loadu_si512(codes + i), 2);
    memcpy(bases + i / 8, &word, sizeof word);
  }
  return i;
}

/* Neither string can be longer than the events before: a whole vector stays within its output. */
TARGET size_t qkd_sift_avx512(const uint8_t *restrict codes, const uint8_t *restrict peer_bases,
                              size_t count, uint8_t *restrict z, uint8_t *restrict x,
                              size_t kept[restrict 2]) {
  size_t i = 0, in_z = 0, in_x = 0;
  for (; count - i >= WORD; i += WORD) {
    const __m512i events = _mm512_loadu_si512(codes + i);
    const uint64_t bases = ones(events, 2), peer = load_word(peer_bases + i / 8);
    const __m512i bits = _mm512_and_si512(events, _mm512_set1_epi8(1));
    const uint64_t keep_z = ~(bases | peer), keep_x = bases & peer;
    _mm512_storeu_si512(z + in_z, _mm512_maskz_compress_epi8(_cvtu64_mask64(keep_z), bits));
    _mm512_storeu_si512(x + in_x, _mm512_maskz_compress_epi8(_cvtu64_mask64(keep_x), bits));
    in_z += (size_t)__builtin_popcountll(keep_z);
    in_x += (size_t)__builtin_popcountll(keep_x);
  }
  kept[0] = in_z;
  kept[1] = in_x;
  return i;
}

TARGET size_t qkd_sift_packed_avx512(const uint8_t *restrict codes,
                                     const uint8_t *restrict peer_bases, size_t count,
                                     qkd_sifted *restrict z, qkd_sifted *restrict x) {
  size_t i = 0;
  for (; count - i >= WORD; i += WORD) {
    const __m512i events = _mm512_loadu_si512(codes + i);
    const uint64_t bits = ones(events, 1), bases = ones(events, 2);
    const uint64_t peer = load_word(peer_bases + i / 8);
    const uint64_t keep_z = ~(bases | peer), keep_x = bases & peer;
    qkd_sifted_append(z, _pext_u64(bits, keep_z), (unsigned)__builtin_popcountll(keep_z));
    qkd_sifted_append(x, _pext_u64(bits, keep_x), (unsigned)__builtin_popcountll(keep_x));
  }
  return i;
}
#endif
