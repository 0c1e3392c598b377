/* From detector clicks to events.
 *
 * A late click is one that arrives after a click with a later time, either because the tagger
 * merges its channels carelessly or because of the delays taken off here. Whether it is accepted
 * depends only on the newest time seen before it, never on how the stream was cut into chunks.
 *
 * Which click opens, joins or falls to the dead time is decided by times alone; codes are looked
 * at only to name the event. A decision that knew the detector would tell the other end, through
 * the announced times, which detector had fired.
 */
#include <stddef.h>
#include <stdint.h>

#include "clicks.h"

enum { MAPPED_CODES = 4, BASIS = 2, MULTI_CLICK = 4, RANDOM_SHIFT = 4 };

/* A held click of an unmapped channel: it makes no event, but the dead time counts from it. */
enum { HELD_UNMAPPED = 4 };

static const int64_t time_limit_ps = INT64_C(1) << 62;

void qkd_clicks_order(qkd_click_order *order, const int64_t *times, const uint8_t *channels,
                      const uint8_t *random, size_t count, const int64_t delays_ps[256],
                      const uint8_t codes[256], int64_t *held_times, uint8_t *held_codes,
                      uint64_t per_channel[256]) {
  size_t held = order->held;
  for (size_t i = 0; i < count; i++) {
    const uint8_t channel = channels[i];
    const int mapped = codes[channel] < MAPPED_CODES;
    if (mapped)
      per_channel[channel]++;
    else
      order->unmapped++;
    if (times[i] > time_limit_ps || times[i] < -time_limit_ps) {
      order->non_monotone++;
      continue;
    }
    const int64_t time = times[i] - delays_ps[channel];
    if (order->started && time < order->newest_ps - order->reorder_ps) {
      order->non_monotone++;
      continue;
    }
    if (!order->started || time > order->newest_ps) order->newest_ps = time;
    order->started = 1;
    size_t place = held++;
    while (place > 0 && held_times[place - 1] > time) {
      held_times[place] = held_times[place - 1];
      held_codes[place] = held_codes[place - 1];
      place--;
    }
    held_times[place] = time;
    held_codes[place] = (uint8_t)((mapped ? codes[channel] : HELD_UNMAPPED) | (random[i] & 3) << RANDOM_SHIFT);
  }
  order->held = held;
}

size_t qkd_clicks_ready(const qkd_click_order *order, const int64_t *held_times) {
  size_t ready = order->held;
  while (ready > 0 && held_times[ready - 1] > order->newest_ps - order->reorder_ps) ready--;
  return ready;
}

size_t qkd_clicks_close(qkd_click_resolver *resolver, int64_t *event_times,
                        uint8_t *event_codes) {
  if (!resolver->open) return 0;
  uint8_t code = resolver->code;
  if (resolver->members > 1) {
    resolver->multi++;
    /* One basis: it stays and the bit is drawn. Both: basis and bit are drawn. */
    const unsigned drawn = resolver->bases == 3 ? resolver->random
                                                : (code & BASIS) | (resolver->random & 1u);
    code = (uint8_t)(drawn | MULTI_CLICK);
  }
  *event_times = resolver->first_ps;
  *event_codes = code;
  resolver->open = 0;
  return 1;
}

size_t qkd_clicks_resolve(qkd_click_resolver *resolver, const int64_t *times,
                          const uint8_t *codes, size_t count, int64_t *event_times,
                          uint8_t *event_codes) {
  size_t written = 0;
  for (size_t i = 0; i < count; i++) {
    const uint8_t code = codes[i] & 3;
    const uint8_t basis = (uint8_t)(1u << (code >> 1));
    if (codes[i] & HELD_UNMAPPED) {
      /* Only the end's newest click, below. */
    } else if (resolver->open && times[i] - resolver->first_ps <= resolver->window_ps) {
      if (resolver->members == 1) resolver->random = codes[i] >> RANDOM_SHIFT;
      resolver->members++;
      resolver->bases |= basis;
    } else if (resolver->started && times[i] - resolver->last_ps < resolver->dead_time_ps) {
      resolver->dropped_dead_time++;
    } else {
      written += qkd_clicks_close(resolver, event_times + written, event_codes + written);
      resolver->open = 1;
      resolver->members = 1;
      resolver->first_ps = times[i];
      resolver->code = code;
      resolver->bases = basis;
    }
    resolver->last_ps = times[i];
    resolver->started = 1;
  }
  return written;
}
