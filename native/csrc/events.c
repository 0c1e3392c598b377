/* From a tagger's tags to events. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clicks.h"
#include "dither.h"

#include "events.h"

enum { AT_ONCE = 16 * 128 }; /* whole batches of the dither */

size_t qkd_events_feed(int tier, qkd_dither_state *dither, uint32_t step_ps,
                       qkd_click_order *order, qkd_click_resolver *resolver, const int64_t *times,
                       const uint8_t *channels, size_t count, const int64_t delays_ps[256],
                       const uint8_t codes[256], int64_t *held_times, uint8_t *held_codes,
                       uint64_t per_channel[256], int64_t *event_times, uint8_t *event_codes) {
  int64_t dithered[AT_ONCE];
  size_t written = 0, touched = 0;
  for (size_t done = 0; done < count; done += AT_ONCE) {
    const size_t taken = count - done < AT_ONCE ? count - done : AT_ONCE;
    const int64_t *moved = times + done;
    if (step_ps > 1) {
      qkd_dither(tier, dither, step_ps, moved, taken, dithered);
      moved = dithered;
    }
    qkd_clicks_order(tier, order, moved, channels + done, taken, delays_ps, codes, held_times,
                     held_codes, per_channel);
    const size_t ready = qkd_clicks_ready(order, held_times), left = order->held - ready;
    if (written + ready + 1 > touched) touched = written + ready + 1;
    written += qkd_clicks_resolve(tier, resolver, held_times, held_codes, ready,
                                  event_times + written, event_codes + written);
    memmove(held_times, held_times + ready, left * sizeof *held_times);
    memmove(held_codes, held_codes + ready, left);
    memset(held_codes + left, 0, ready);
    order->held = left;
  }
  /* The open event's code lies there, and that of others that fell to the dead time. */
  memset(event_codes + written, 0, touched > written ? touched - written : 0);
  return written;
}
