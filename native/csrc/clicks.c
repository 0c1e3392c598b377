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
#include <string.h>

#include "clicks_impl.h"

enum {
  BLOCK = 8,   /* clicks that follow one which no vector version takes */
  ORDERLY = 64 /* clicks in order before a late one that is not worth sorting many for */
};

static const uint64_t multi_clicks = UINT64_C(0x0101010101010101) * MULTI_CLICK;

/* Inserts some clicks; the running values stay in registers. */
static void insert(qkd_click_order *restrict order, const int64_t *restrict times,
                   const uint8_t *restrict channels, size_t count,
                   const int64_t delays_ps[restrict 256], const uint8_t codes[restrict 256],
                   int64_t *restrict held_times, uint8_t *restrict held_codes) {
  size_t held = order->held;
  int64_t newest_ps = order->newest_ps;
  int started = order->started;
  for (size_t i = 0; i < count; i++) {
    const uint8_t known = codes[channels[i]];
    const uint8_t code = known < MAPPED_CODES ? known : HELD_UNMAPPED;
    const int64_t time = since(delays_ps[channels[i]], times[i]);
    if (times[i] > time_limit_ps || times[i] < -time_limit_ps) {
      order->non_monotone++;
    } else if (!started || time >= newest_ps) {
      started = 1;
      newest_ps = time;
      held_times[held] = time;
      held_codes[held] = code;
      held++;
    } else if (time < newest_ps - order->reorder_ps) {
      order->non_monotone++;
    } else {
      size_t place = held++;
      for (; place > 0 && held_times[place - 1] > time; place--) {
        held_times[place] = held_times[place - 1];
        held_codes[place] = held_codes[place - 1];
      }
      held_times[place] = time;
      held_codes[place] = code;
    }
  }
  order->held = held;
  order->newest_ps = newest_ps;
  order->started = started;
}

/* Adds up the clicks on mapped channels and returns how many they are. Two tables, so that clicks
 * of one channel in a row need not wait for each other. */
static size_t tally(const uint8_t *restrict channels, size_t count,
                    const uint8_t codes[restrict 256], uint64_t per_channel[restrict 256]) {
  uint64_t even[256] = {0}, odd[256] = {0};
  size_t mapped = 0;
  for (size_t i = 0; i + 1 < count; i += 2) {
    even[channels[i]]++;
    odd[channels[i + 1]]++;
  }
  if (count % 2) even[channels[count - 1]]++;
  for (size_t i = 0; i < 256; i++) {
    if (codes[i] >= MAPPED_CODES) continue;
    per_channel[i] += even[i] + odd[i];
    mapped += even[i] + odd[i];
  }
  return mapped;
}

void qkd_clicks_order(int tier, qkd_click_order *order, const int64_t *times,
                      const uint8_t *channels, size_t count, const int64_t delays_ps[256],
                      const uint8_t codes[256], int64_t *held_times, uint8_t *held_codes,
                      uint64_t per_channel[256]) {
#if defined(__x86_64__)
  int fast = tier > 0;
  for (size_t i = LOOKED_UP; i < 256; i++) fast &= codes[i] >= MAPPED_CODES;
#else
  (void)tier;
#endif
  size_t at = 0;
  while (at < count) {
    size_t stop = count;
#if defined(__x86_64__)
    if (fast) {
      const size_t begin = at;
      at = (tier > 1 ? qkd_clicks_order_avx512 : qkd_clicks_order_avx2)(
          order, times, channels, at, count, delays_ps, codes, held_times, held_codes);
      if (at - begin < ORDERLY) {
        const size_t mingled = (tier > 1 ? qkd_clicks_mingle_avx512 : qkd_clicks_mingle_avx2)(
            order, times, channels, at, count, delays_ps, codes, held_times, held_codes);
        if (mingled > at) {
          at = mingled;
          continue;
        }
      }
      if (count - at > BLOCK) stop = at + BLOCK;
    }
#endif
    insert(order, times + at, channels + at, stop - at, delays_ps, codes, held_times, held_codes);
    at = stop;
  }
#if defined(__x86_64__)
  const size_t mapped = (!fast      ? tally
                         : tier > 1 ? qkd_clicks_count_avx512
                                    : qkd_clicks_count_avx2)(channels, count, codes, per_channel);
#else
  const size_t mapped = tally(channels, count, codes, per_channel);
#endif
  order->unmapped += count - mapped;
}

size_t qkd_clicks_ready(const qkd_click_order *order, const int64_t *held_times) {
  size_t ready = order->held;
  while (ready > 0 && held_times[ready - 1] > order->newest_ps - order->reorder_ps) ready--;
  return ready;
}

size_t qkd_clicks_close(qkd_click_resolver *resolver, int64_t *event_times, uint8_t *event_codes) {
  return close_event(resolver, event_times, event_codes);
}

static size_t resolve(qkd_click_resolver *state, const int64_t *restrict times,
                      const uint8_t *restrict codes, size_t count, int64_t *restrict event_times,
                      uint8_t *restrict event_codes) {
  qkd_click_resolver copy = *state; /* in registers */
  qkd_click_resolver *resolver = &copy;
  size_t written = 0;
  for (size_t i = 0; i < count; i++) {
    const uint8_t code = codes[i];
    const uint8_t basis = (uint8_t)(1u << (code >> 1 & 1));
    if (code & HELD_UNMAPPED) {
      /* Only the end's newest click, below. */
    } else if (resolver->open && since(resolver->first_ps, times[i]) <= resolver->window_ps) {
      resolver->members++;
      resolver->bases |= basis;
    } else if (resolver->started && since(resolver->last_ps, times[i]) < resolver->dead_time_ps) {
      resolver->dropped_dead_time++;
    } else {
      written += close_event(resolver, event_times + written, event_codes + written);
      resolver->open = 1;
      resolver->members = 1;
      resolver->first_ps = times[i];
      resolver->code = code;
      resolver->bases = basis;
    }
    resolver->last_ps = times[i];
    resolver->started = 1;
  }
  *state = copy;
  return written;
}

size_t qkd_clicks_resolve(int tier, qkd_click_resolver *resolver, const int64_t *times,
                          const uint8_t *codes, size_t count, int64_t *event_times,
                          uint8_t *event_codes) {
#if !defined(__x86_64__)
  (void)tier;
#endif
  size_t written = 0;
  size_t at = 0;
  while (at < count) {
    size_t stop = count;
#if defined(__x86_64__)
    if (tier) {
      at = (tier > 1 ? qkd_clicks_resolve_avx512 : qkd_clicks_resolve_avx2)(
          resolver, times, codes, at, count, event_times, event_codes, &written);
      if (count - at > BLOCK) stop = at + BLOCK;
    }
#endif
    written += resolve(resolver, times + at, codes + at, stop - at, event_times + written,
                       event_codes + written);
    at = stop;
  }
  return written;
}

void qkd_clicks_draw(uint8_t *event_codes, size_t count, const uint8_t *drawn) {
  size_t several = 0;
  for (size_t i = 0; i < count; i++) {
    /* Most events are of one click. */
    uint64_t eight;
    while (count - i > 8 && (memcpy(&eight, event_codes + i, 8), !(eight & multi_clicks))) i += 8;
    const unsigned code = event_codes[i];
    if (!(code & MULTI_CLICK)) continue;
    const unsigned bits = (unsigned)drawn[several / 4] >> 2 * (several % 4) & 3u;
    const unsigned kept = code & BOTH_BASES ? bits : (code & BASIS) | (bits & 1u);
    event_codes[i] = (uint8_t)(MULTI_CLICK | kept);
    several++;
  }
}
