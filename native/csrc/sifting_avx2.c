/* Basis sift, 64 events at a time (AVX2 with BMI2). */
#if defined(__x86_64__)
#include <immintrin.h>

#include "sifting_impl.h"

#define TARGET __attribute__((target("avx2,bmi2,popcnt")))
#define INLINE static inline __attribute__((always_inline)) TARGET

static const uint64_t each_byte = UINT64_C(0x0101010101010101);

/* Bit 0 or bit 1 of each of 64 codes. */
INLINE uint64_t ones(const uint8_t *codes, int bit) {
  uint32_t half[2];
  for (int i = 0; i < 2; i++) {
    const __m256i events = _mm256_loadu_si256((const __m256i *)(codes + 32 * i));
    half[i] = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(events, 7 - bit));
  }
  return half[0] | (uint64_t)half[1] << 32;
}

INLINE uint64_t load_word(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

TARGET size_t qkd_sift_bases_avx2(const uint8_t *restrict codes, size_t count,
                                  uint8_t *restrict bases) {
  size_t i = 0;
  for (; count - i >= WORD; i += WORD) {
    const uint64_t word = ones(codes + i, 1);
    memcpy(bases + i / 8, &word, sizeof word);
  }
  return i;
}

/* Stores the bits kept of eight, one a byte; returns how many. */
INLINE size_t keep(uint64_t bits, uint64_t kept, uint8_t *at) {
  const uint64_t lanes = _pdep_u64(kept, each_byte) * 0xFF;
  const uint64_t string = _pext_u64(bits, lanes);
  memcpy(at, &string, sizeof string);
  return (size_t)__builtin_popcountll(kept & 0xFF);
}

TARGET size_t qkd_sift_avx2(const uint8_t *restrict codes, const uint8_t *restrict peer_bases,
                            size_t count, uint8_t *restrict z, uint8_t *restrict x,
                            size_t kept[restrict 2]) {
  size_t i = 0, in_z = 0, in_x = 0;
  for (; count - i >= WORD; i += WORD) {
    const uint64_t bases = ones(codes + i, 1), peer = load_word(peer_bases + i / 8);
    const uint64_t keep_z = ~(bases | peer), keep_x = bases & peer;
    for (size_t at = 0; at < WORD; at += 8) {
      const uint64_t bits = load_word(codes + i + at) & each_byte;
      in_z += keep(bits, keep_z >> at & 0xFF, z + in_z);
      in_x += keep(bits, keep_x >> at & 0xFF, x + in_x);
    }
  }
  kept[0] = in_z;
  kept[1] = in_x;
  return i;
}

TARGET size_t qkd_sift_packed_avx2(const uint8_t *restrict codes,
                                   const uint8_t *restrict peer_bases, size_t count,
                                   qkd_sifted *restrict z, qkd_sifted *restrict x) {
  size_t i = 0;
  for (; count - i >= WORD; i += WORD) {
    const uint64_t bits = ones(codes + i, 0), bases = ones(codes + i, 1);
    const uint64_t peer = load_word(peer_bases + i / 8);
    const uint64_t keep_z = ~(bases | peer), keep_x = bases & peer;
    qkd_sifted_append(z, _pext_u64(bits, keep_z), (unsigned)__builtin_popcountll(keep_z));
    qkd_sifted_append(x, _pext_u64(bits, keep_x), (unsigned)__builtin_popcountll(keep_x));
  }
  return i;
}
#endif
