/* Clicks to events by hand: order, delays, multi-clicks, dead time. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clicks.h"
#include "dither.h"
#include "events.h"
#include "test.h"
#include "tier.h"

static int by_hand(int tier) {
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
  qkd_clicks_order(tier, &order, times, channels, 8, delays, codes, held_times, held_codes,
                   per_channel);
  failures += check(order.held == 6 && order.unmapped == 1 && order.non_monotone == 2, "refusals");
  failures += check(held_times[0] == 990 && held_times[1] == 1000, "a delay swaps two clicks");
  failures += check(held_times[2] == 1090 && (held_codes[2] & 4), "an unmapped click is held");
  failures += check(per_channel[1] == 4 && per_channel[2] == 3, "clicks a channel");
  failures += check(qkd_clicks_ready(&order, held_times) == 4, "the newest clicks wait");

  qkd_click_resolver resolver = {.window_ps = 20, .dead_time_ps = 3000};
  size_t written =
      qkd_clicks_resolve(tier, &resolver, held_times, held_codes, 6, event_times, event_codes);
  written += qkd_clicks_close(&resolver, event_times + written, event_codes + written);
  failures += check(written == 2, "the click at 6950 falls to the dead time");
  failures += check(event_times[0] == 990 && event_codes[0] == (8 | 4), "of both bases");
  failures += check(event_times[1] == 5000 && event_codes[1] == 0, "a single click");
  failures += check(resolver.multi == 1 && resolver.dropped_dead_time == 2, "counters");
  failures += check(qkd_clicks_close(&resolver, event_times, event_codes) == 0, "nothing open");

  /* 3999 after the mapped click, but 2999 after the unmapped one. */
  const int64_t later[4] = {20000, 21000, 23999, 27000};
  const uint8_t kinds[4] = {0, 4, 1, 2};
  written = qkd_clicks_resolve(tier, &resolver, later, kinds, 4, event_times, event_codes);
  written += qkd_clicks_close(&resolver, event_times + written, event_codes + written);
  failures += check(written == 2 && event_times[1] == 27000, "an unmapped click starts dead time");
  return failures;
}

enum { CLICKS = 3000, ROOM = CLICKS + 1 };

/* What a chain of two calls makes of a stream. */
typedef struct {
  qkd_click_order order;
  qkd_click_resolver resolver;
  uint64_t per_channel[256];
  int64_t held_times[CLICKS], event_times[ROOM];
  uint8_t held_codes[CLICKS], event_codes[ROOM];
  size_t events;
} outcome;

static void run(int tier, outcome *o, const int64_t *times, const uint8_t *channels, size_t count,
                const int64_t *delays, const uint8_t *codes) {
  memset(o, 0, sizeof *o);
  o->order.reorder_ps = 500;
  o->resolver.window_ps = 10;
  o->resolver.dead_time_ps = 60;
  const size_t cut = count / 3;
  qkd_clicks_order(tier, &o->order, times, channels, cut, delays, codes, o->held_times,
                   o->held_codes, o->per_channel);
  qkd_clicks_order(tier, &o->order, times + cut, channels + cut, count - cut, delays, codes,
                   o->held_times, o->held_codes, o->per_channel);
  const size_t some = o->order.held / 2;
  o->events = qkd_clicks_resolve(tier, &o->resolver, o->held_times, o->held_codes, some,
                                 o->event_times, o->event_codes);
  o->events += qkd_clicks_resolve(tier, &o->resolver, o->held_times + some, o->held_codes + some,
                                  o->order.held - some, o->event_times + o->events,
                                  o->event_codes + o->events);
}

static int tiers_agree(void) {
  static int64_t times[CLICKS];
  static uint8_t channels[CLICKS];
  static outcome wanted, found;
  int failures = 0;
  uint64_t seed = 1;
  for (uint32_t round = 0; round < 40; round++) {
    int64_t delays[256], now = 0;
    uint8_t codes[256];
    memset(codes, 255, sizeof codes);
    for (int i = 0; i < 256; i++) delays[i] = i * 5 % 23;
    for (size_t i = 1; i < 5; i++) codes[i] = (uint8_t)(i - 1);
    if (round % 4 == 3) codes[200] = 2;
    for (size_t i = 0; i < CLICKS; i++) {
      const uint64_t draw = splitmix64(&seed);
      const uint32_t rare = (uint32_t)(draw >> 32) % (round % 3 ? 2000 : 20);
      now += (int64_t)(draw >> 40) % (round % 2 ? 2000 : 100);
      const int64_t disorder = round % 3 == 1 ? (int64_t)(draw >> 12 & 511) >> round % 4 : 0;
      times[i] = now - disorder - (rare == 0 ? 300 : rare == 1 ? 900 : rare == 2 ? INT64_MAX / 2 + now : 0);
      channels[i] = rare == 3 ? 200 : (uint8_t)(1 + (draw >> 20) % 4);
    }
    for (int tier = 1; tier <= qkd_tier_best(); tier++) {
      run(0, &wanted, times, channels, CLICKS - round, delays, codes);
      run(tier, &found, times, channels, CLICKS - round, delays, codes);
      const size_t held = wanted.order.held, events = wanted.events;
      failures += check(memcmp(&wanted.order, &found.order, sizeof found.order) == 0 &&
                            memcmp(wanted.held_times, found.held_times, 8 * held) == 0 &&
                            memcmp(wanted.held_codes, found.held_codes, held) == 0 &&
                            memcmp(wanted.per_channel, found.per_channel,
                                   sizeof found.per_channel) == 0, "tiers order alike");
      failures += check(memcmp(&wanted.resolver, &found.resolver, sizeof found.resolver) == 0 &&
                            events == found.events &&
                            memcmp(wanted.event_times, found.event_times, 8 * events) == 0 &&
                            memcmp(wanted.event_codes, found.event_codes, events) == 0,
                        "tiers resolve alike");
    }
  }
  return failures;
}

static int drawn_bits(void) {
  const uint8_t drawn[2] = {0xE4, 0x1B}; /* 0, 1, 2, 3, then 3, 2, 1, 0 */
  uint8_t codes[24] = {4, 4 | 2, 1, 4 | 8, 4 | 8, [20] = 4 | 2, [22] = 4 | 8, [23] = 3};
  const uint8_t wanted[24] = {
      4, 4 | 2 | 1, 1, 4 | 2, 4 | 3, [20] = 4 | 2 | 1, [22] = 4 | 2, [23] = 3};
  qkd_clicks_draw(codes, 24, drawn);
  return check(memcmp(codes, wanted, sizeof wanted) == 0, "two bits an event, each once");
}

/* In pieces with a dither, as all at once of dithered clicks; and nothing of a code is left. */
static int feeds_alike(int tier) {
  enum { FED = 7000, CUT = 3 * 128, WHOLE = FED + 1 };
  static int64_t times[FED], dithered[FED], held_times[2][WHOLE], event_times[2][WHOLE];
  static uint8_t channels[FED], held_codes[2][WHOLE], event_codes[2][WHOLE];
  uint64_t per_channel[2][256] = {{0}};
  int64_t delays[256] = {0, 0, 40, -30, 7}, now = 0;
  uint8_t codes[256];
  memset(codes, 255, sizeof codes);
  for (size_t i = 1; i < 5; i++) codes[i] = (uint8_t)(i - 1);
  uint64_t seed = 5;
  for (size_t i = 0; i < FED; i++) {
    const uint64_t draw = splitmix64(&seed);
    times[i] = (now += (int64_t)(draw >> 40) % 200) - ((draw >> 30) % 50 == 0 ? 90 : 0);
    channels[i] = (uint8_t)(1 + (draw >> 20) % 5);
  }
  memset(event_codes, 255, sizeof event_codes);
  qkd_dither_state dither[2] = {{.key = {1, 2, 3}}, {.key = {1, 2, 3}}};
  qkd_click_order order[2] = {{.reorder_ps = 500}, {.reorder_ps = 500}};
  qkd_click_resolver resolver[2] = {{.window_ps = 10, .dead_time_ps = 60},
                                    {.window_ps = 10, .dead_time_ps = 60}};
  qkd_dither(tier, &dither[0], 4, times, FED, dithered);
  qkd_clicks_order(tier, &order[0], dithered, channels, FED, delays, codes, held_times[0],
                   held_codes[0], per_channel[0]);
  const size_t ready = qkd_clicks_ready(&order[0], held_times[0]);
  const size_t events = qkd_clicks_resolve(tier, &resolver[0], held_times[0], held_codes[0], ready,
                                           event_times[0], event_codes[0]);
  size_t fed = 0;
  for (size_t done = 0; done < FED; done += done ? FED - CUT : CUT) {
    const size_t taken = done ? FED - CUT : CUT;
    fed += qkd_events_feed(tier, &dither[1], 4, &order[1], &resolver[1], times + done,
                           channels + done, taken, delays, codes, held_times[1], held_codes[1],
                           per_channel[1], event_times[1] + fed, event_codes[1] + fed);
  }
  int failures = check(fed == events && memcmp(event_times[0], event_times[1], 8 * events) == 0 &&
                           memcmp(event_codes[0], event_codes[1], events) == 0, "the same events");
  failures += check(memcmp(&resolver[0], &resolver[1], sizeof resolver[0]) == 0 &&
                        memcmp(per_channel[0], per_channel[1], sizeof per_channel[0]) == 0 &&
                        order[1].held == FED - ready - order[1].non_monotone, "the same counts");
  for (size_t i = order[1].held; i < WHOLE; i++)
    failures += check(held_codes[1][i] == 0, "codes of clicks that are no longer held are wiped");
  for (size_t i = fed; i < WHOLE; i++)
    failures += check(event_codes[1][i] == 0 || event_codes[1][i] == 255, "no code lies beyond");
  return failures;
}

int main(void) {
  int failures = tiers_agree() + drawn_bits();
  for (int tier = 0; tier <= qkd_tier_best(); tier++)
    failures += by_hand(tier) + feeds_alike(tier);
  return failures;
}
