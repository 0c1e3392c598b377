/* Clicks in disorder, some hundred at a time (AVX-512): an odd-even transposition sort (Knuth, The
 * Art of Computer Programming 3, 5.2.2 exercise 37) of rows of eight, whose comparisons are merges.
 * A tagger's disorder is local, so that few passes do. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "clicks_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  LANES = 8,
  MOST_NEW = 256,
  ORDINAL_BITS = 12, /* new and held clicks together */
  CODE_BITS = 3,
  TIME_SHIFT = ORDINAL_BITS + CODE_BITS
};

static const int64_t span_limit_ps = INT64_C(1) << (62 - TIME_SHIFT);

INLINE __m512i load(const int64_t *at) { return _mm512_loadu_si512(at); }

/* The largest of the lanes, in each of them. */
INLINE __m512i largest(__m512i x) {
  x = _mm512_max_epi64(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC));
  x = _mm512_max_epi64(x, _mm512_permutex_epi64(x, 0x4E));
  return _mm512_max_epi64(x, _mm512_shuffle_i64x2(x, x, 0x4E));
}

/* One layer of a bitonic sort (Batcher, AFIPS Spring Joint Computer Conference, 1968). */
INLINE __m512i layer(__m512i x, __m512i partner, __mmask8 larger) {
  return _mm512_mask_max_epi64(_mm512_min_epi64(x, partner), larger, x, partner);
}

INLINE __m512i sorted_row(__m512i x) {
  x = layer(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC), 0x66);
  x = layer(x, _mm512_permutex_epi64(x, 0x4E), 0x3C);
  x = layer(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC), 0x5A);
  x = layer(x, _mm512_shuffle_i64x2(x, x, 0x4E), 0xF0);
  x = layer(x, _mm512_permutex_epi64(x, 0x4E), 0xCC);
  return layer(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC), 0xAA);
}

typedef __m512i vector;

INLINE vector least(vector x, vector y) { return _mm512_min_epi64(x, y); }
INLINE vector most(vector x, vector y) { return _mm512_max_epi64(x, y); }
INLINE vector reversed(vector x) {
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(7, 6, 5, 4, 3, 2, 1, 0), x);
}

/* Both halves of a layer at once. */
INLINE void sort_bitonic(vector *a, vector *b) {
  vector p = _mm512_shuffle_i64x2(*a, *b, 0x44), q = _mm512_shuffle_i64x2(*a, *b, 0xEE);
  vector low = least(p, q), high = most(p, q);
  p = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high);
  q = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), high);
  low = least(p, q);
  high = most(p, q);
  p = _mm512_unpacklo_epi64(low, high);
  q = _mm512_unpackhi_epi64(low, high);
  low = least(p, q);
  high = most(p, q);
  *a = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), high);
  *b = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), high);
}

#include "rows.h"

/* Merges two sorted rows in place. */
INLINE void merge_rows(int64_t *at) {
  vector a = load(at), b = load(at + LANES);
  merge_vectors(&a, &b);
  _mm512_storeu_si512(at, a);
  _mm512_storeu_si512(at + LANES, b);
}

INLINE int in_order(const int64_t *keys, size_t count) {
  __mmask8 falls = 0;
  for (size_t i = LANES; i < count; i += LANES)
    falls |= _mm512_cmplt_epi64_mask(load(keys + i), load(keys + i - 1));
  return !falls;
}

/* Sorts sorted rows. */
INLINE void sort_rows(int64_t *keys, size_t count) {
  for (unsigned pass = 0; pass < 2 || !in_order(keys, count); pass++)
    for (size_t i = pass % 2 * LANES; i + 2 * LANES <= count; i += 2 * LANES) merge_rows(keys + i);
}

size_t qkd_clicks_mingle_avx512(qkd_click_order *restrict order,
                                const int64_t *restrict times,
                                const uint8_t *restrict channels, size_t at, size_t count,
                                const int64_t delays_ps[restrict 256],
                                const uint8_t codes[restrict 256],
                                int64_t *restrict held_times,
                                uint8_t *restrict held_codes) {
  if (!appends(order, held_times)) return at;
  const __m512i low_delays = load(delays_ps), high_delays = load(delays_ps + LANES);
  const __m128i code_table = _mm_loadu_si128((const __m128i *)codes);
  const __m512i earliest_raw = _mm512_set1_epi64(-time_limit_ps);
  const __m512i raw_span = _mm512_set1_epi64(INT64_MIN); /* twice the limit, without sign */
  const __m512i reorder = _mm512_set1_epi64(order->reorder_ps);
  const size_t held = order->held;
  __m512i newest = _mm512_set1_epi64(order->newest_ps), earliest = newest;
  size_t taken = 0;
  for (; count - at - taken >= LANES && taken < MOST_NEW; taken += LANES) {
    const size_t i = at + taken;
    const __m128i channel = _mm_loadl_epi64((const __m128i *)(channels + i));
    const __m128i code = _mm_shuffle_epi8(code_table, channel);
    const __mmask16 strange = _mm_cmpge_epu8_mask(channel, _mm_set1_epi8(LOOKED_UP)) |
                              _mm_cmpge_epu8_mask(code, _mm_set1_epi8(MAPPED_CODES));
    const __m512i raw = load(times + i);
    const __m512i time = _mm512_sub_epi64(
        raw,
        _mm512_permutex2var_epi64(low_delays, _mm512_cvtepu8_epi64(channel), high_delays));
    const __mmask8 beyond =
        _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(raw, earliest_raw), raw_span);
    /* Too late for the newest of these eight may be early enough for those before it. */
    const __m512i latest = _mm512_max_epi64(newest, largest(time));
    const __mmask8 late = _mm512_cmplt_epi64_mask(time, _mm512_sub_epi64(latest, reorder));
    if ((strange & 0xFF) | beyond | late) break;
    newest = latest;
    earliest = _mm512_min_epi64(earliest, time);
    _mm512_storeu_si512(held_times + held + taken, time);
    _mm_storel_epi64((__m128i *)(held_codes + held + taken), code);
  }
  if (taken == 0) return at;

  /* Rows begin with a held click that all new ones follow, or before. */
  const int64_t low_ps = _mm512_reduce_min_epi64(earliest);
  const int64_t newest_ps = _mm_cvtsi128_si64(_mm512_castsi512_si128(newest));
  size_t begin = held;
  while (begin > 0 && held_times[begin - 1] > low_ps) begin--;
  const size_t fill = (begin - held) % LANES;
  if (begin < fill) return at;
  begin -= fill;
  const size_t total = held + taken - begin;
  const int64_t base_ps = begin < held && held_times[begin] < low_ps ? held_times[begin] : low_ps;
  if (total > 1u << ORDINAL_BITS || since(base_ps, newest_ps) >= span_limit_ps) return at;

  /* A key is the time, the order of arrival, which decides between equal times, and the code. */
  int64_t *keys = held_times + begin;
  uint8_t *key_codes = held_codes + begin;
  const __m512i base = _mm512_set1_epi64(base_ps);
  const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  for (size_t i = 0; i < total; i += LANES) {
    const __m512i time = _mm512_sub_epi64(load(keys + i), base);
    const __m512i ordinal = _mm512_add_epi64(_mm512_set1_epi64((int64_t)i), lanes);
    const __m512i code =
        _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(key_codes + i)));
    const __m512i below = _mm512_or_si512(_mm512_slli_epi64(ordinal, CODE_BITS), code);
    const __m512i key = _mm512_or_si512(_mm512_slli_epi64(time, TIME_SHIFT), below);
    _mm512_storeu_si512(keys + i, sorted_row(key));
  }
  sort_rows(keys, total);
  for (size_t i = 0; i < total; i += LANES) {
    const __m512i key = load(keys + i);
    const __m512i code = _mm512_and_si512(key, _mm512_set1_epi64((1 << CODE_BITS) - 1));
    _mm_storel_epi64((__m128i *)(key_codes + i), _mm512_cvtepi64_epi8(code));
    _mm512_storeu_si512(keys + i, _mm512_add_epi64(_mm512_srai_epi64(key, TIME_SHIFT), base));
  }
  order->held = held + taken;
  order->newest_ps = newest_ps;
  return at + taken;
}
#endif
