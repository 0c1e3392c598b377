/* Blocks of eight clicks that hold no surprise (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "clicks_impl.h"


enum { LANES = 8 };

size_t qkd_clicks_order_avx512(qkd_click_order *restrict order,
                               const int64_t *restrict times,
                               const uint8_t *restrict channels, size_t at, size_t count,
                               const int64_t delays_ps[restrict 256],
                               const uint8_t codes[restrict 256],
                               int64_t *restrict held_times,
                               uint8_t *restrict held_codes) {
  if (!appends(order, held_times)) return at;
  const __m512i low_delays = _mm512_loadu_si512(delays_ps);
  const __m512i high_delays = _mm512_loadu_si512(delays_ps + LANES);
  const __m128i code_table = _mm_loadu_si128((const __m128i *)codes);
  const __m512i earliest = _mm512_set1_epi64(-time_limit_ps);
  const __m512i span = _mm512_set1_epi64(INT64_MIN); /* twice the limit, without sign */
  __m512i before = _mm512_set1_epi64(order->newest_ps);
  size_t held = order->held;
  for (; count - at >= LANES; at += LANES, held += LANES) {
    const __m128i channel = _mm_loadl_epi64((const __m128i *)(channels + at));
    const __m128i code = _mm_shuffle_epi8(code_table, channel);
    const __mmask16 strange =
        _mm_cmpge_epu8_mask(channel, _mm_set1_epi8(LOOKED_UP)) |
        _mm_cmpge_epu8_mask(code, _mm_set1_epi8(MAPPED_CODES));
    const __m512i raw = _mm512_loadu_si512(times + at);
    const __m512i delay =
        _mm512_permutex2var_epi64(low_delays, _mm512_cvtepu8_epi64(channel), high_delays);
    const __m512i time = _mm512_sub_epi64(raw, delay);
    const __mmask8 beyond =
        _mm512_cmpgt_epu64_mask(_mm512_sub_epi64(raw, earliest), span);
    const __mmask8 late = _mm512_cmplt_epi64_mask(time, _mm512_alignr_epi64(time, before, 7));
    if ((strange & 0xFF) | beyond | late) break;
    before = time;
    _mm512_storeu_si512(held_times + held, time);
    _mm_storel_epi64((__m128i *)(held_codes + held), code);
  }
  order->held = held;
  order->newest_ps = _mm_extract_epi64(_mm512_extracti64x2_epi64(before, 3), 1);
  return at;
}

size_t qkd_clicks_count_avx512(const uint8_t *restrict channels, size_t count,
                               const uint8_t codes[restrict 256],
                               uint64_t per_channel[restrict 256]) {
  size_t mapped = 0;
  for (size_t channel = 0; channel < LOOKED_UP; channel++) {
    if (codes[channel] >= MAPPED_CODES) continue;
    const __m512i wanted = _mm512_set1_epi8((char)channel);
    size_t found = 0, at = 0;
    for (; count - at >= 64; at += 64)
      found += (size_t)__builtin_popcountll(
          _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(channels + at), wanted));
    for (; at < count; at++) found += channels[at] == channel;
    per_channel[channel] += found;
    mapped += found;
  }
  return mapped;
}

size_t qkd_clicks_resolve_avx512(qkd_click_resolver *restrict resolver,
                                 const int64_t *restrict times,
                                 const uint8_t *restrict codes, size_t at, size_t count,
                                 int64_t *restrict event_times,
                                 uint8_t *restrict event_codes, size_t *restrict written) {
  if (!resolver->started) return at;
  const __m512i window = _mm512_set1_epi64(resolver->window_ps);
  const __m512i dead_time = _mm512_set1_epi64(resolver->dead_time_ps);
  __m512i before = _mm512_set1_epi64(resolver->last_ps);
  size_t events = *written;
  int64_t dropped = 0;
  for (; count - at >= LANES; at += LANES) {
    const __m512i now = _mm512_loadu_si512(times + at);
    const __m512i gap = _mm512_sub_epi64(now, _mm512_alignr_epi64(now, before, 7));
    /* Further than a window from the click before: further yet from any event's first. */
    const __m128i held_code = _mm_loadl_epi64((const __m128i *)(codes + at));
    if (_mm512_cmple_epi64_mask(gap, window) ||
        _mm_test_epi8_mask(held_code, _mm_set1_epi8(HELD_UNMAPPED)))
      break;
    before = now;
    const __mmask8 opens = _mm512_cmpge_epi64_mask(gap, dead_time);
    const size_t opened = (size_t)__builtin_popcount(opens);
    dropped += (int64_t)(LANES - opened);
    if (opened == 0) continue;
    events += close_event(resolver, event_times + events, event_codes + events);
    _mm512_storeu_si512(event_times + events, _mm512_maskz_compress_epi64(opens, now));
    _mm_storel_epi64((__m128i *)(event_codes + events),
                     _mm_maskz_compress_epi8(opens, held_code));
    events += opened - 1; /* the last one stays open */
    resolver->open = 1;
    resolver->members = 1;
    resolver->first_ps = event_times[events];
    resolver->code = event_codes[events];
    resolver->bases = (uint8_t)(1u << (resolver->code >> 1));
  }
  resolver->last_ps = _mm_extract_epi64(_mm512_extracti64x2_epi64(before, 3), 1);
  resolver->dropped_dead_time += (uint64_t)dropped;
  *written = events;
  return at;
}
#endif
