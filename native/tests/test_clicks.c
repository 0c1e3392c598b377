/* Clicks to events by hand: order, delays, multi-clicks, dead time. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "clicks.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

int main(void) {
  int failures = 0;
  int64_t delays[256] = {0};
  uint8_t codes[256];
  uint64_t per_channel[256] = {0};
  int64_t held_times[8];
  uint8_t held_codes[8];
  int64_t event_times[9];
  uint8_t event_codes[9];
  for (size_t i = 0; i < 256; i++) codes[i] = 255;
  codes[1] = 0; /* z, 0 */
  codes[2] = 3; /* x, 1 */
  delays[2] = 50;

  qkd_click_order order = {.reorder_ps = 100};
  const int64_t times[8] = {1000, 1040, 1090, 500, 5000, 7000, 7001, INT64_MIN};
  const uint8_t channels[8] = {1, 2, 9, 1, 1, 2, 2, 1};
  const uint8_t random[8] = {2, 2, 2, 2, 2, 2, 2, 2};
  qkd_clicks_order(&order, times, channels, random, 8, delays, codes, held_times, held_codes,
                   per_channel);
  failures += check(order.held == 6 && order.unmapped == 1 && order.non_monotone == 2, "refusals");
  failures += check(held_times[0] == 990 && held_times[1] == 1000, "a delay swaps two clicks");
  failures += check(held_times[2] == 1090 && (held_codes[2] & 4), "an unmapped click is held");
  failures += check(per_channel[1] == 4 && per_channel[2] == 3, "clicks a channel");
  failures += check(qkd_clicks_ready(&order, held_times) == 4, "the newest clicks wait");

  qkd_click_resolver resolver = {.window_ps = 20, .dead_time_ps = 3000};
  size_t written =
      qkd_clicks_resolve(&resolver, held_times, held_codes, 6, event_times, event_codes);
  written += qkd_clicks_close(&resolver, event_times + written, event_codes + written);
  failures += check(written == 2, "the click at 6950 falls to the dead time");
  failures += check(event_times[0] == 990 && event_codes[0] == (2 | 4), "bases mixed: both drawn");
  failures += check(event_times[1] == 5000 && event_codes[1] == 0, "a single click");
  failures += check(resolver.multi == 1 && resolver.dropped_dead_time == 2, "counters");
  failures += check(qkd_clicks_close(&resolver, event_times, event_codes) == 0, "nothing open");

  /* 3999 after the mapped click, but 2999 after the unmapped one. */
  const int64_t later[4] = {20000, 21000, 23999, 27000};
  const uint8_t kinds[4] = {0, 4, 1, 2};
  written = qkd_clicks_resolve(&resolver, later, kinds, 4, event_times, event_codes);
  written += qkd_clicks_close(&resolver, event_times + written, event_codes + written);
  failures += check(written == 2 && event_times[1] == 27000, "an unmapped click starts dead time");
  return failures;
}
