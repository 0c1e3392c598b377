/* Clicks in disorder, some hundred at a time (AVX2): the sort of rows of eight that the AVX-512
 * version does, a row in two vectors.
 *
 * AVX2 cannot take the least of two 64-bit integers in one instruction, but it can of two doubles:
 * positive normal ones have the order of their bits, and bit 61 makes every key one of those. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clicks_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  LANES = 4,
  ROW = 8,
  MOST_NEW = 256,
  ORDINAL_BITS = 12, /* new and held clicks together */
  CODE_BITS = 3,
  TIME_SHIFT = ORDINAL_BITS + CODE_BITS
};

static const int64_t key_mark = INT64_C(1) << 61;
static const int64_t span_limit_ps = INT64_C(1) << (61 - TIME_SHIFT);

typedef __m256d vector;

INLINE __m256i load(const int64_t *at) { return _mm256_loadu_si256((const __m256i *)at); }
INLINE void store(int64_t *at, __m256i x) { _mm256_storeu_si256((__m256i *)at, x); }
INLINE vector load_keys(const int64_t *at) { return _mm256_castsi256_pd(load(at)); }
INLINE void store_keys(int64_t *at, vector x) { store(at, _mm256_castpd_si256(x)); }
INLINE uint32_t load32(const uint8_t *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}
INLINE __m256i smaller(__m256i x, __m256i y) {
  return _mm256_blendv_epi8(x, y, _mm256_cmpgt_epi64(x, y));
}
INLINE __m256i larger(__m256i x, __m256i y) {
  return _mm256_blendv_epi8(y, x, _mm256_cmpgt_epi64(x, y));
}
INLINE __m256i swap_halves(__m256i x) { return _mm256_permute4x64_epi64(x, 0x4E); }
INLINE __m256i swap_pairs(__m256i x) { return _mm256_shuffle_epi32(x, 0x4E); }

INLINE vector least(vector x, vector y) { return _mm256_min_pd(x, y); }
INLINE vector most(vector x, vector y) { return _mm256_max_pd(x, y); }
INLINE vector reversed(vector x) { return _mm256_permute4x64_pd(x, 0x1B); }

/* Lanes two apart are compared, then neighbours. */
INLINE void sort_bitonic(vector *a, vector *b) {
  vector p = _mm256_permute2f128_pd(*a, *b, 0x20), q = _mm256_permute2f128_pd(*a, *b, 0x31);
  const vector low = least(p, q), high = most(p, q);
  p = _mm256_unpacklo_pd(low, high); /* a0 a2 b0 b2 */
  q = _mm256_unpackhi_pd(low, high); /* a1 a3 b1 b3 */
  const vector even = least(p, q), odd = most(p, q);
  p = _mm256_unpacklo_pd(even, odd); /* a0 a1 b0 b1 */
  q = _mm256_unpackhi_pd(even, odd); /* a2 a3 b2 b3 */
  *a = _mm256_permute2f128_pd(p, q, 0x20);
  *b = _mm256_permute2f128_pd(p, q, 0x31);
}

#include "rows.h"

/* Sorts 16 keys to two rows: four vectors lane by lane, then across. */
INLINE void sort_two_rows(int64_t *at) {
  const vector a = load_keys(at), b = load_keys(at + 4);
  const vector c = load_keys(at + 8), d = load_keys(at + 12);
  const vector ab = least(a, b), ba = most(a, b);
  const vector cd = least(c, d), dc = most(c, d);
  const vector first = least(ab, cd), last = most(ba, dc);
  const vector left = most(ab, cd), right = least(ba, dc);
  const vector second = least(left, right), third = most(left, right);
  const vector p = _mm256_unpacklo_pd(first, second), q = _mm256_unpackhi_pd(first, second);
  const vector r = _mm256_unpacklo_pd(third, last), s = _mm256_unpackhi_pd(third, last);
  vector w = _mm256_permute2f128_pd(p, r, 0x20), x = _mm256_permute2f128_pd(q, s, 0x20);
  vector y = _mm256_permute2f128_pd(p, r, 0x31), z = _mm256_permute2f128_pd(q, s, 0x31);
  merge_vectors(&w, &x);
  merge_vectors(&y, &z);
  store_keys(at, w);
  store_keys(at + 4, x);
  store_keys(at + 8, y);
  store_keys(at + 12, z);
}

/* Sorts eight keys to a row. */
INLINE void sort_row(int64_t *at) {
  for (size_t i = 1; i < ROW; i++) {
    const int64_t key = at[i];
    size_t place = i;
    for (; place > 0 && at[place - 1] > key; place--) at[place] = at[place - 1];
    at[place] = key;
  }
}

/* Merges two sorted rows in place. */
INLINE void merge_rows(int64_t *at) {
  vector v[4];
  for (size_t i = 0; i < 4; i++) v[i] = load_keys(at + LANES * i);
  merge_pairs(v);
  for (size_t i = 0; i < 4; i++) store_keys(at + LANES * i, v[i]);
}

INLINE int in_order(const int64_t *keys, size_t count) {
  int falls = 0;
  for (size_t i = ROW; i < count; i += ROW) falls |= keys[i] < keys[i - 1];
  return !falls;
}

/* Odd-even transposition (Knuth, The Art of Computer Programming 3, 5.2.2 exercise 37). */
INLINE void sort_rows(int64_t *keys, size_t count) {
  for (unsigned pass = 0; pass < 2 || !in_order(keys, count); pass++)
    for (size_t i = pass % 2 * ROW; i + 2 * ROW <= count; i += 2 * ROW) merge_rows(keys + i);
}

size_t qkd_clicks_mingle_avx2(qkd_click_order *restrict order, const int64_t *restrict times,
                              const uint8_t *restrict channels, size_t at, size_t count,
                              const int64_t delays_ps[restrict 256],
                              const uint8_t codes[restrict 256], int64_t *restrict held_times,
                              uint8_t *restrict held_codes) {
  if (!appends(order, held_times)) return at;
  const __m128i code_table = _mm_loadu_si128((const __m128i *)codes);
  const __m256i limit = _mm256_set1_epi64x(time_limit_ps);
  const __m256i under = _mm256_set1_epi64x(-time_limit_ps);
  const __m256i reorder = _mm256_set1_epi64x(order->reorder_ps);
  const size_t held = order->held;
  __m256i newest = _mm256_set1_epi64x(order->newest_ps), earliest = newest;
  size_t taken = 0;
  for (; count - at - taken >= LANES && taken < MOST_NEW; taken += LANES) {
    const size_t i = at + taken;
    const uint32_t channel = load32(channels + i);
    const __m128i code = _mm_shuffle_epi8(code_table, _mm_cvtsi32_si128((int)channel));
    const uint32_t four_codes = (uint32_t)_mm_cvtsi128_si32(code);
    const __m256i delay = _mm256_setr_epi64x(
        delays_ps[channel & 0xFF], delays_ps[channel >> 8 & 0xFF],
        delays_ps[channel >> 16 & 0xFF], delays_ps[channel >> 24]);
    const __m256i raw = load(times + i);
    const __m256i time = _mm256_sub_epi64(raw, delay);
    const __m256i beyond =
        _mm256_or_si256(_mm256_cmpgt_epi64(raw, limit), _mm256_cmpgt_epi64(under, raw));
    /* Too late for the newest of these four may be early enough for those before it. */
    __m256i latest = larger(time, swap_halves(time));
    latest = larger(newest, larger(latest, swap_pairs(latest)));
    const __m256i late = _mm256_cmpgt_epi64(_mm256_sub_epi64(latest, reorder), time);
    /* Channels of 16 and up, codes of 4 and up. */
    const uint32_t strange = (channel & 0xF0F0F0F0) | (four_codes & 0xFCFCFCFC);
    if (strange | (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(beyond, late))) break;
    newest = latest;
    earliest = smaller(earliest, time);
    store(held_times + held + taken, time);
    memcpy(held_codes + held + taken, &four_codes, sizeof four_codes);
  }
  taken -= taken % ROW; /* what is beyond is written again */
  if (taken == 0) return at;

  /* Rows begin with a held click that all new ones follow, or before. */
  earliest = smaller(earliest, swap_halves(earliest));
  const int64_t low_ps = _mm256_extract_epi64(smaller(earliest, swap_pairs(earliest)), 0);
  int64_t newest_ps = order->newest_ps;
  for (size_t i = held; i < held + taken; i++)
    newest_ps = held_times[i] > newest_ps ? held_times[i] : newest_ps;
  size_t begin = held;
  while (begin > 0 && held_times[begin - 1] > low_ps) begin--;
  const size_t fill = (begin - held) % ROW;
  if (begin < fill) return at;
  begin -= fill;
  const size_t total = held + taken - begin;
  const int64_t base_ps = begin < held && held_times[begin] < low_ps ? held_times[begin] : low_ps;
  if (total > 1u << ORDINAL_BITS || since(base_ps, newest_ps) >= span_limit_ps) return at;

  /* A key is the time, the order of arrival, which decides between equal times, and the code. */
  int64_t *keys = held_times + begin;
  uint8_t *key_codes = held_codes + begin;
  const __m256i base = _mm256_set1_epi64x(base_ps);
  __m256i below = _mm256_setr_epi64x(0, 1 << CODE_BITS, 2 << CODE_BITS, 3 << CODE_BITS);
  below = _mm256_or_si256(below, _mm256_set1_epi64x(key_mark));
  for (size_t i = 0; i < total; i += LANES) {
    const __m256i time = _mm256_slli_epi64(_mm256_sub_epi64(load(keys + i), base), TIME_SHIFT);
    const __m256i code =
        _mm256_cvtepu8_epi64(_mm_cvtsi32_si128((int)load32(key_codes + i)));
    store(keys + i, _mm256_or_si256(time, _mm256_or_si256(below, code)));
    below = _mm256_add_epi64(below, _mm256_set1_epi64x(LANES << CODE_BITS));
  }
  size_t sorted = 0;
  for (; sorted + 2 * ROW <= total; sorted += 2 * ROW) sort_two_rows(keys + sorted);
  if (sorted < total) sort_row(keys + sorted);
  sort_rows(keys, total);
  /* The low bytes of four lanes, gathered. */
  const __m256i low_bytes = _mm256_setr_epi8(0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                             -1, -1, -1, -1, 0, 8, -1, -1, -1, -1, -1, -1, -1, -1,
                                             -1, -1, -1, -1);
  for (size_t i = 0; i < total; i += LANES) {
    const __m256i key = load(keys + i);
    const __m256i code = _mm256_and_si256(key, _mm256_set1_epi64x((1 << CODE_BITS) - 1));
    const __m256i packed = _mm256_shuffle_epi8(code, low_bytes);
    const uint32_t four_codes = (uint32_t)_mm_cvtsi128_si32(
        _mm_or_si128(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
    memcpy(key_codes + i, &four_codes, sizeof four_codes);
    const __m256i time =
        _mm256_srli_epi64(_mm256_xor_si256(key, _mm256_set1_epi64x(key_mark)), TIME_SHIFT);
    store(keys + i, _mm256_add_epi64(time, base));
  }
  order->held = held + taken;
  order->newest_ps = newest_ps;
  return at + taken;
}
#endif
