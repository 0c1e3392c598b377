/* Delta coding, eight values at a time (AVX-512 with VBMI). Eight low parts of k bits each fill k
 * whole bytes, so that each eight begin with a byte. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "deltas_impl.h"

#define TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi2,popcnt")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum {
  LANES = 8,
  GROUPS = BLOCK / LANES,
  BYTE_LANES_K = 8, /* from here on no byte holds bits of more than two values */
  MOST_ZEROS = 30,  /* of one value, so that eight counts add up within a byte */
  MOST_BITS = 56    /* of eight values, to be shifted by up to seven */
};

static const uint64_t each_byte = UINT64_C(0x0101010101010101);

/* The sum of each lane and all below it. */
INLINE __m512i running_sum(__m512i x) {
  const __m512i zero = _mm512_setzero_si512();
  x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 7));
  x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 6));
  return _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 4));
}

INLINE __m512i last_lane(__m512i x) {
  return _mm512_permutexvar_epi64(_mm512_set1_epi64(LANES - 1), x);
}

/* Where lane j's k bits begin among those of eight values. */
INLINE __m512i first_bits(unsigned k) {
  return _mm512_mullo_epi64(_mm512_set1_epi64(k), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}

/* For each byte of eight values' low parts, which byte of which lane gives its first bits, and
 * which gives the others if they are the next value's. */
typedef struct {
  uint8_t first[64], second[64];
  uint64_t shared;
} byte_sources;

static void find_sources(byte_sources *sources, unsigned k) {
  memset(sources, 0, sizeof *sources);
  for (unsigned byte = 0; byte < k; byte++) {
    const unsigned lane = 8 * byte / k, next = (8 * byte + 7) / k;
    sources->first[byte] = (uint8_t)(8 * lane + byte - lane * k / 8);
    sources->second[byte] = (uint8_t)(8 * next);
    sources->shared |= (uint64_t)(next != lane) << byte;
  }
}

/* Stores at least the k bytes of eight low parts. */
INLINE void store_low(__m512i low, unsigned k, const byte_sources *sources, uint8_t *bytes) {
  if (k < BYTE_LANES_K) {
    const uint64_t in_bytes = (uint64_t)_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(low));
    const uint64_t packed = _pext_u64(in_bytes, each_byte * ((1u << k) - 1));
    memcpy(bytes, &packed, sizeof packed);
    return;
  }
  const __m512i placed =
      _mm512_sllv_epi64(low, _mm512_and_si512(first_bits(k), _mm512_set1_epi64(7)));
  const __m512i first = _mm512_permutexvar_epi8(_mm512_loadu_si512(sources->first), placed);
  const __m512i second = _mm512_maskz_permutexvar_epi8(
      _cvtu64_mask64(sources->shared), _mm512_loadu_si512(sources->second), placed);
  _mm512_storeu_si512(bytes, _mm512_or_si512(first, second));
}

/* Codes one block, or returns NULL where the portable version has to. */
INLINE uint8_t *encode_block(const int64_t *restrict values, int64_t start, uint64_t *last,
                             byte_sources *sources, unsigned *sources_k,
                             uint8_t *restrict bytes) {
  const __m512i before = _mm512_set1_epi64((int64_t)((uint64_t)start + *last));
  __m512i previous = before;
  unsigned falls = 0;
  for (int i = 0; i < GROUPS; i++) {
    const __m512i now = _mm512_loadu_si512(values + LANES * i);
    falls |= _mm512_cmplt_epi64_mask(now, _mm512_alignr_epi64(now, previous, 7));
    previous = now;
  }
  const uint64_t newest = (uint64_t)values[BLOCK - 1] - (uint64_t)start;
  const uint64_t span = newest - *last;
  if (falls || newest >> 63 || span >= qkd_deltas_fast_span) return NULL;
  const unsigned k = qkd_deltas_parameter(span, BLOCK);
  if (k > FAST_K) return NULL;
  if (k >= BYTE_LANES_K && *sources_k != k) {
    find_sources(sources, k);
    *sources_k = k;
  }

  const __m512i low_bits = _mm512_set1_epi64((int64_t)((UINT64_C(1) << k) - 1));
  const __m128i shift = _mm_cvtsi64_si128((int64_t)k);
  uint8_t bitmap[BITMAP_BYTES + sizeof(uint64_t)] = {0};
  uint8_t *high = bitmap;
  uint64_t pending = 0;
  unsigned filled = 0; /* bits of pending, at most seven */
  *bytes++ = (uint8_t)k;
  previous = before;
  for (int i = 0; i < GROUPS; i++, bytes += k) {
    const __m512i now = _mm512_loadu_si512(values + LANES * i);
    const __m512i difference = _mm512_sub_epi64(now, _mm512_alignr_epi64(now, previous, 7));
    previous = now;
    store_low(_mm512_and_si512(difference, low_bits), k, sources, bytes);

    const __m512i zeros = _mm512_srl_epi64(difference, shift);
    if (_mm512_cmpgt_epu64_mask(zeros, _mm512_set1_epi64(MOST_ZEROS))) return NULL;
    /* Byte j: the bits of all values up to j. */
    const uint64_t ends =
        ((uint64_t)_mm_cvtsi128_si64(_mm512_cvtepi64_epi8(zeros)) + each_byte) * each_byte;
    const unsigned bits = (unsigned)(ends >> 56);
    if (bits > MOST_BITS) return NULL;
    const __m512i places = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128((int64_t)(ends - each_byte)));
    const uint64_t ones =
        (uint64_t)_mm512_reduce_or_epi64(_mm512_sllv_epi64(_mm512_set1_epi64(1), places));
    pending |= ones << filled;
    memcpy(high, &pending, sizeof pending);
    filled += bits;
    high += filled / 8;
    pending >>= filled & ~7u;
    filled %= 8;
  }
  memcpy(bytes, bitmap, sizeof bitmap);
  *last = newest;
  return bytes + (high - bitmap) + (filled > 0);
}

TARGET qkd_deltas_place qkd_deltas_encode_avx512(const int64_t *restrict values, size_t count,
                                                 int64_t start, qkd_deltas_place at,
                                                 uint8_t *restrict bytes) {
  byte_sources sources;
  unsigned sources_k = 0;
  while (count - at.values >= BLOCK) {
    const uint8_t *stop = encode_block(values + at.values, start, &at.last, &sources, &sources_k,
                                       bytes + at.bytes);
    if (!stop) break;
    at.values += BLOCK;
    at.bytes = (size_t)(stop - bytes);
  }
  return at;
}

/* The places of the first BLOCK ones of a bitmap; returns how many there are in all of it. */
INLINE size_t find_ones(const uint8_t *bitmap, uint16_t *places) {
  const __m512i bytes = _mm512_set_epi64(
      0x3F3E3D3C3B3A3938, 0x3736353433323130, 0x2F2E2D2C2B2A2928, 0x2726252423222120,
      0x1F1E1D1C1B1A1918, 0x1716151413121110, 0x0F0E0D0C0B0A0908, 0x0706050403020100);
  size_t found = 0;
  for (unsigned bit = 0; bit < 8 * BITMAP_BYTES && found < BLOCK; bit += 64) {
    uint64_t word;
    memcpy(&word, bitmap + bit / 8, sizeof word);
    const __m512i ones = _mm512_maskz_compress_epi8(_cvtu64_mask64(word), bytes);
    const __m512i base = _mm512_set1_epi16((int16_t)bit);
    const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(ones));
    const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(ones, 1));
    _mm512_storeu_si512(places + found, _mm512_add_epi16(low, base));
    _mm512_storeu_si512(places + found + 32, _mm512_add_epi16(high, base));
    found += (size_t)__builtin_popcountll(word);
  }
  return found;
}

/* Decodes one block, or returns NULL where the portable version has to. The bytes go on for at
 * least 64 beyond the longest bitmap. */
INLINE const uint8_t *decode_block(const uint8_t *restrict bytes, int64_t start, uint64_t *last,
                                   int64_t *restrict values) {
  const unsigned k = *bytes++;
  const uint8_t *bitmap = bytes + GROUPS * k;
  uint16_t places[BLOCK + 64];
  if (find_ones(bitmap, places) < BLOCK) return NULL;

  const __m512i low_bits = _mm512_set1_epi64((int64_t)((UINT64_C(1) << k) - 1));
  const __m512i first = first_bits(k);
  const __m512i shifts = _mm512_and_si512(first, _mm512_set1_epi64(7));
  const __m512i spread = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0808080808080808, 0));
  const __m512i from = _mm512_add_epi8(_mm512_shuffle_epi8(_mm512_srli_epi64(first, 3), spread),
                                       _mm512_set1_epi64(0x0706050403020100));
  const __m128i shift = _mm_cvtsi64_si128((int64_t)k);
  __m512i ordinal = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  __m512i base = _mm512_set1_epi64((int64_t)((uint64_t)start + *last));
  for (int i = 0; i < GROUPS; i++) {
    const __m512i low = _mm512_and_si512(
        _mm512_srlv_epi64(
            _mm512_permutexvar_epi8(from, _mm512_loadu_si512(bytes + (unsigned)i * k)), shifts),
        low_bits);
    const __m512i place =
        _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)(places + LANES * i)));
    const __m512i high = _mm512_sll_epi64(_mm512_sub_epi64(place, ordinal), shift);
    const __m512i sums = _mm512_add_epi64(base, running_sum(low));
    _mm512_storeu_si512(values + LANES * i, _mm512_add_epi64(sums, high));
    base = last_lane(sums);
    ordinal = _mm512_add_epi64(ordinal, _mm512_set1_epi64(LANES));
  }
  const unsigned bits = places[BLOCK - 1] + 1u;
  const uint8_t *stop = bitmap + (bits + 7) / 8;
  const uint64_t newest = (uint64_t)values[BLOCK - 1] - (uint64_t)start;
  const int padded = bits % 8 && stop[-1] >> bits % 8;
  if (padded || qkd_deltas_parameter(newest - *last, BLOCK) != k) return NULL;
  *last = newest;
  return stop;
}

TARGET qkd_deltas_place qkd_deltas_decode_avx512(const uint8_t *restrict bytes, size_t length,
                                                 size_t count, int64_t start, uint64_t limit,
                                                 qkd_deltas_place at, int64_t *restrict values) {
  while (count - at.values >= BLOCK && limit - at.last > qkd_deltas_fast_span &&
         length - at.bytes > 1) {
    const unsigned k = bytes[at.bytes];
    if (k > FAST_K || length - at.bytes < 1 + GROUPS * k + BITMAP_BYTES + 64) break;
    const uint8_t *stop = decode_block(bytes + at.bytes, start, &at.last, values + at.values);
    if (!stop) break;
    at.values += BLOCK;
    at.bytes = (size_t)(stop - bytes);
  }
  return at;
}
#endif
