/* What the versions of the click kernels share. The vector versions take blocks of clicks that
 * hold no surprise, and leave all others to the portable one. */
#ifndef QKD_CLICKS_IMPL_H
#define QKD_CLICKS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "clicks.h"

enum { MAPPED_CODES = 4, BASIS = 2, MULTI_CLICK = 4, BOTH_BASES = 8, LOOKED_UP = 16 };

/* A held click of an unmapped channel: it makes no event, but the dead time counts from it. */
enum { HELD_UNMAPPED = 4 };

static const int64_t time_limit_ps = INT64_C(1) << 62;

/* The time since; wraps for hostile times. */
static inline int64_t since(int64_t earlier, int64_t later) {
  return (int64_t)((uint64_t)later - (uint64_t)earlier);
}

/* Closes the open event, if there is one; returns how many it wrote. */
static inline size_t close_event(qkd_click_resolver *resolver, int64_t *event_times,
                                 uint8_t *event_codes) {
  if (!resolver->open) return 0;
  uint8_t code = resolver->code;
  if (resolver->members > 1) {
    resolver->multi++;
    code = (uint8_t)(MULTI_CLICK | (resolver->bases == 3 ? BOTH_BASES : code & BASIS));
  }
  *event_times = resolver->first_ps;
  *event_codes = code;
  resolver->open = 0;
  return 1;
}

/* Whether the newest click is the last one held, so that what follows it in time is appended. */
static inline int appends(const qkd_click_order *order, const int64_t *held_times) {
  return order->started && order->held > 0 && held_times[order->held - 1] == order->newest_ps;
}

/* From click at on: takes as many blocks of mapped clicks in order as there are, and returns the
 * click at which it stopped. Only channels below LOOKED_UP are mapped; clicks are not counted. */
size_t qkd_clicks_order_avx512(qkd_click_order *order, const int64_t *times,
                               const uint8_t *channels, size_t at, size_t count,
                               const int64_t delays_ps[256], const uint8_t codes[256],
                               int64_t *held_times, uint8_t *held_codes);
size_t qkd_clicks_order_avx2(qkd_click_order *order, const int64_t *times,
                               const uint8_t *channels, size_t at, size_t count,
                               const int64_t delays_ps[256], const uint8_t codes[256],
                               int64_t *held_times, uint8_t *held_codes);

/* The same for blocks in disorder that has nothing too late in it. */
size_t qkd_clicks_mingle_avx512(qkd_click_order *order, const int64_t *times,
                                const uint8_t *channels, size_t at, size_t count,
                                const int64_t delays_ps[256], const uint8_t codes[256],
                                int64_t *held_times, uint8_t *held_codes);
size_t qkd_clicks_mingle_avx2(qkd_click_order *order, const int64_t *times,
                              const uint8_t *channels, size_t at, size_t count,
                              const int64_t delays_ps[256], const uint8_t codes[256],
                              int64_t *held_times, uint8_t *held_codes);

/* Adds up the clicks on the mapped channels, all below LOOKED_UP; returns how many they are. */
size_t qkd_clicks_count_avx512(const uint8_t *channels, size_t count, const uint8_t codes[256],
                               uint64_t per_channel[256]);
size_t qkd_clicks_count_avx2(const uint8_t *channels, size_t count, const uint8_t codes[256],
                               uint64_t per_channel[256]);

/* From click at on: takes as many blocks as there are of mapped clicks more than a window apart,
 * adds the events to *written, and returns the click at which it stopped. */
size_t qkd_clicks_resolve_avx512(qkd_click_resolver *resolver, const int64_t *times,
                                 const uint8_t *codes, size_t at, size_t count,
                                 int64_t *event_times, uint8_t *event_codes, size_t *written);
size_t qkd_clicks_resolve_avx2(qkd_click_resolver *resolver, const int64_t *times,
                                 const uint8_t *codes, size_t at, size_t count,
                                 int64_t *event_times, uint8_t *event_codes, size_t *written);

#endif
