/* Clicks of any times on any channels, cut anywhere: every tier and every cut alike. */
#include "fuzz.h"

#include "clicks.h"
#include "tier.h"

typedef struct {
  qkd_click_order order;
  qkd_click_resolver resolver;
  int64_t delays_ps[256];
  uint8_t codes[256];
} end_settings;

typedef struct {
  const int64_t *times;
  const uint8_t *channels;
  size_t count;
} clicks;

typedef struct {
  int64_t *times;
  uint8_t *codes;
  size_t count;
  qkd_click_order order;
  qkd_click_resolver resolver;
  uint64_t per_channel[256];
} events;

/* Feeds the clicks up to end; those that nothing can precede any more become events. */
static void feed(int tier, const end_settings *s, events *e, const clicks *all, size_t begin,
                 size_t end, int64_t **held_times, uint8_t **held_codes, int last) {
  const size_t held = e->order.held, count = end - begin;
  int64_t *times = room(held + count, 8);
  uint8_t *codes = room(held + count, 1);
  if (held > 0) {
    memcpy(times, *held_times, 8 * held);
    memcpy(codes, *held_codes, held);
  }
  qkd_clicks_order(tier, &e->order, all->times + begin, all->channels + begin, count, s->delays_ps,
                   s->codes, times, codes, e->per_channel);
  require(e->order.held <= held + count);
  const size_t ready = last ? e->order.held : qkd_clicks_ready(&e->order, times);
  int64_t *event_times = room(ready + 1, 8);
  uint8_t *event_codes = room(ready + 1, 1);
  size_t written =
      qkd_clicks_resolve(tier, &e->resolver, times, codes, ready, event_times, event_codes);
  require(written <= ready);
  if (last)
    written += qkd_clicks_close(&e->resolver, event_times + written, event_codes + written);
  memcpy(e->times + e->count, event_times, 8 * written);
  memcpy(e->codes + e->count, event_codes, written);
  e->count += written;
  e->order.held -= ready;
  memmove(times, times + ready, 8 * e->order.held);
  memmove(codes, codes + ready, e->order.held);
  free(event_codes);
  free(event_times);
  free(*held_codes);
  free(*held_times);
  *held_times = times;
  *held_codes = codes;
}

static events resolve(int tier, const end_settings *s, const clicks *all, size_t cut) {
  events e = {.order = s->order, .resolver = s->resolver};
  e.times = room(all->count + 1, 8);
  e.codes = room(all->count + 1, 1);
  int64_t *held_times = NULL;
  uint8_t *held_codes = NULL;
  feed(tier, s, &e, all, 0, cut, &held_times, &held_codes, 0);
  feed(tier, s, &e, all, cut, all->count, &held_times, &held_codes, 1);
  free(held_codes);
  free(held_times);
  return e;
}

static void require_equal(const events *a, const events *b) {
  require(a->count == b->count && memcmp(a->times, b->times, 8 * a->count) == 0);
  require(memcmp(a->codes, b->codes, a->count) == 0);
  require(memcmp(a->per_channel, b->per_channel, sizeof a->per_channel) == 0);
  require(a->order.non_monotone == b->order.non_monotone);
  require(a->order.unmapped == b->order.unmapped && a->resolver.multi == b->resolver.multi);
  require(a->resolver.dropped_dead_time == b->resolver.dropped_dead_time);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  end_settings s;
  memset(&s, 0, sizeof s);
  memset(s.codes, 255, sizeof s.codes);
  const uint64_t kind = take(&in, 1);
  const unsigned scale = (unsigned)take(&in, 1) % 40;
  s.resolver.window_ps = (int64_t)take(&in, 1);
  s.resolver.dead_time_ps = (int64_t)take(&in, 2);
  const size_t mapped = 1 + kind / 4 % 16;
  const uint8_t first = kind / 64 == 3 ? 240 : 0; /* channels that no vector version looks up */
  int64_t least = 0, most = 0;
  for (size_t i = 0; i < mapped; i++) {
    const int64_t delay = (int64_t)(take(&in, 2) << scale / 2) - (INT64_C(1) << (15 + scale / 2));
    s.codes[first + i] = (uint8_t)(i % 4);
    s.delays_ps[first + i] = delay;
    if (delay < least) least = delay;
    if (delay > most) most = delay;
  }
  s.order.reorder_ps = (int64_t)(take(&in, 2) << scale / 2) + most - least;
  const size_t count = in.left / (kind % 4 == 0 ? 9 : 3), cut = take(&in, 2) % (count + 1);
  int64_t *times = room(count, 8);
  uint8_t *channels = room(count, 1);
  int64_t now = 0;
  for (size_t i = 0; i < count; i++) {
    /* Whatever a broken file holds, or steps of which some lead back. */
    now += (int64_t)(take(&in, 2) << scale / 2) - (kind % 4 == 1 ? INT64_C(2000) << scale / 2 : 0);
    times[i] = kind % 4 == 0 ? (int64_t)take(&in, 8) : now;
    channels[i] = (uint8_t)(first + take(&in, 1) % (mapped + (kind % 4 == 3)));
  }
  const clicks all = {times, channels, count};
  const events portable = resolve(0, &s, &all, 0);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    const events e = resolve(tier, &s, &all, cut);
    require_equal(&portable, &e);
    free(e.codes);
    free(e.times);
  }
  free(portable.codes);
  free(portable.times);
  free(channels);
  free(times);
  return 0;
}
