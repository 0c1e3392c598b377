/* Blocks of four clicks that hold no surprise (AVX2). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clicks_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4, ALL = 15 };

INLINE __m256i load(const void *at) { return _mm256_loadu_si256(at); }
INLINE uint32_t signs(__m256i x) { return (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(x)); }
INLINE uint32_t load32(const uint8_t *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* Each lane's predecessor, the last lane of before in the first. */
INLINE __m256i predecessors(__m256i x, __m256i before) {
  return _mm256_alignr_epi8(x, _mm256_permute2x128_si256(before, x, 0x21), 8);
}

size_t qkd_clicks_order_avx2(qkd_click_order *restrict order, const int64_t *restrict times,
                             const uint8_t *restrict channels, size_t at, size_t count,
                             const int64_t delays_ps[restrict 256],
                             const uint8_t codes[restrict 256],
                             int64_t *restrict held_times, uint8_t *restrict held_codes) {
  if (!appends(order, held_times)) return at;
  const __m128i code_table = _mm_loadu_si128((const __m128i *)codes);
  const __m256i limit = _mm256_set1_epi64x(time_limit_ps);
  const __m256i under = _mm256_set1_epi64x(-time_limit_ps);
  __m256i before = _mm256_set1_epi64x(order->newest_ps);
  size_t held = order->held;
  for (; count - at >= LANES; at += LANES, held += LANES) {
    const uint32_t channel = load32(channels + at);
    const __m128i code = _mm_shuffle_epi8(code_table, _mm_cvtsi32_si128((int)channel));
    const uint32_t four_codes = (uint32_t)_mm_cvtsi128_si32(code);
    const __m256i delay = _mm256_setr_epi64x(
        delays_ps[channel & 0xFF], delays_ps[channel >> 8 & 0xFF],
        delays_ps[channel >> 16 & 0xFF], delays_ps[channel >> 24]);
    const __m256i raw = load(times + at);
    const __m256i time = _mm256_sub_epi64(raw, delay);
    const __m256i beyond =
        _mm256_or_si256(_mm256_cmpgt_epi64(raw, limit), _mm256_cmpgt_epi64(under, raw));
    const __m256i late = _mm256_cmpgt_epi64(predecessors(time, before), time);
    /* Channels of 16 and up, codes of 4 and up. */
    const uint32_t strange = (channel & 0xF0F0F0F0) | (four_codes & 0xFCFCFCFC);
    if (strange | signs(_mm256_or_si256(beyond, late))) break;
    before = time;
    _mm256_storeu_si256((__m256i *)(held_times + held), time);
    memcpy(held_codes + held, &four_codes, sizeof four_codes);
  }
  order->held = held;
  order->newest_ps = _mm256_extract_epi64(before, 3);
  return at;
}

size_t qkd_clicks_count_avx2(const uint8_t *restrict channels, size_t count,
                             const uint8_t codes[restrict 256],
                             uint64_t per_channel[restrict 256]) {
  size_t mapped = 0;
  for (size_t channel = 0; channel < LOOKED_UP; channel++) {
    if (codes[channel] >= MAPPED_CODES) continue;
    const __m256i wanted = _mm256_set1_epi8((char)channel);
    size_t found = 0, at = 0;
    for (; count - at >= 32; at += 32)
      found += (size_t)__builtin_popcount(
          (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(channels + at), wanted)));
    for (; at < count; at++) found += channels[at] == channel;
    per_channel[channel] += found;
    mapped += found;
  }
  return mapped;
}

size_t qkd_clicks_resolve_avx2(qkd_click_resolver *restrict resolver,
                               const int64_t *restrict times, const uint8_t *restrict codes,
                               size_t at, size_t count, int64_t *restrict event_times,
                               uint8_t *restrict event_codes, size_t *restrict written) {
  if (!resolver->started) return at;
  const __m256i window = _mm256_set1_epi64x(resolver->window_ps);
  const __m256i dead_time = _mm256_set1_epi64x(resolver->dead_time_ps);
  __m256i before = _mm256_set1_epi64x(resolver->last_ps);
  size_t events = *written;
  int64_t dropped = 0;
  for (; count - at >= LANES; at += LANES) {
    const __m256i now = load(times + at);
    const __m256i gap = _mm256_sub_epi64(now, predecessors(now, before));
    /* Further than a window from the click before: further yet from any event's first. */
    const uint32_t held_code = load32(codes + at);
    if (signs(_mm256_cmpgt_epi64(gap, window)) != ALL || held_code & HELD_UNMAPPED * 0x01010101u)
      break;
    before = now;
    const uint32_t dead = signs(_mm256_cmpgt_epi64(dead_time, gap));
    if (dead == ALL) {
      dropped += LANES;
      continue;
    }
    events += close_event(resolver, event_times + events, event_codes + events);
    size_t opened = LANES;
    if (dead == 0) {
      _mm256_storeu_si256((__m256i *)(event_times + events), now);
      memcpy(event_codes + events, &held_code, sizeof held_code);
    } else {
      opened = 0;
      for (uint32_t lane = 0; lane < LANES; lane++) {
        event_times[events + opened] = times[at + lane];
        event_codes[events + opened] = (uint8_t)(held_code >> 8 * lane);
        opened += (dead >> lane & 1) ^ 1;
      }
      dropped += (int64_t)(LANES - opened);
    }
    events += opened - 1; /* the last one stays open */
    resolver->open = 1;
    resolver->members = 1;
    resolver->first_ps = event_times[events];
    resolver->code = event_codes[events];
    resolver->bases = (uint8_t)(1u << (resolver->code >> 1));
  }
  resolver->last_ps = _mm256_extract_epi64(before, 3);
  resolver->dropped_dead_time += (uint64_t)dropped;
  *written = events;
  return at;
}
#endif
