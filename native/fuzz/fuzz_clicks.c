/* Clicks of any times on any channels, dithered or not, cut anywhere: every tier and every cut
 * alike, and no code is left where no event is. */
#include "fuzz.h"

#include "clicks.h"
#include "dither.h"
#include "events.h"
#include "tier.h"

enum { BASIS = 2, SEVERAL = 4, BOTH_BASES = 8, DITHER_BATCH = 128 };

typedef struct {
  uint32_t step_ps;
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
  int64_t *times, *held_times;
  uint8_t *codes, *held_codes;
  size_t count;
  qkd_dither_state dither;
  qkd_click_order order;
  qkd_click_resolver resolver;
  uint64_t per_channel[256];
} events;

static void require_zeros(const uint8_t *codes, size_t from, size_t count) {
  for (size_t i = from; i < count; i++) require(codes[i] == 0);
}

static void append(events *e, const int64_t *times, const uint8_t *codes, size_t count) {
  memcpy(e->times + e->count, times, 8 * count);
  memcpy(e->codes + e->count, codes, count);
  e->count += count;
}

/* Feeds the clicks up to end; those that nothing can precede any more become events. */
static void feed(int tier, const end_settings *s, events *e, const clicks *all, size_t begin,
                 size_t end) {
  const size_t held = e->order.held, most = held + (end - begin);
  int64_t *times = room(most, 8), *event_times = room(most + 1, 8);
  uint8_t *codes = room(most, 1), *event_codes = room(most + 1, 1);
  if (held > 0) {
    memcpy(times, e->held_times, 8 * held);
    memcpy(codes, e->held_codes, held);
  }
  const size_t written = qkd_events_feed(
      tier, &e->dither, s->step_ps, &e->order, &e->resolver, all->times + begin,
      all->channels + begin, end - begin, s->delays_ps, s->codes, times, codes, e->per_channel,
      event_times, event_codes);
  require(e->order.held <= most && written <= most);
  require_zeros(codes, e->order.held, most);
  require_zeros(event_codes, written, most + 1);
  append(e, event_times, event_codes, written);
  free(event_codes);
  free(event_times);
  free(e->held_codes);
  free(e->held_times);
  e->held_times = times;
  e->held_codes = codes;
}

/* The events of the clicks that are still held. */
static void flush(int tier, events *e) {
  int64_t *times = room(e->order.held + 1, 8);
  uint8_t *codes = room(e->order.held + 1, 1);
  size_t written = qkd_clicks_resolve(tier, &e->resolver, e->held_times, e->held_codes,
                                      e->order.held, times, codes);
  require(written <= e->order.held);
  written += qkd_clicks_close(&e->resolver, times + written, codes + written);
  append(e, times, codes, written);
  free(codes);
  free(times);
}

/* Draws the bits of events of several clicks: no others change, and a basis that is given stays. */
static void draw(const events *e) {
  const size_t bytes = (e->resolver.multi + 3) / 4;
  uint8_t *drawn = room(bytes, 1), *before = room(e->count, 1);
  for (size_t i = 0; i < bytes; i++) drawn[i] = (uint8_t)(i * 37 + 27);
  memcpy(before, e->codes, e->count);
  qkd_clicks_draw(e->codes, e->count, drawn);
  for (size_t i = 0; i < e->count; i++) {
    const unsigned changed = e->codes[i] ^ before[i];
    require(e->codes[i] < 2 * SEVERAL);
    require(!(changed & SEVERAL) && (before[i] & SEVERAL || changed == 0));
    require(before[i] & BOTH_BASES || !(changed & BASIS));
  }
  free(before);
  free(drawn);
}

static events resolve(int tier, const end_settings *s, const clicks *all, size_t cut) {
  events e = {.dither = {.key = {1, 2, 3}}, .order = s->order, .resolver = s->resolver};
  e.times = room(all->count + 1, 8);
  e.codes = room(all->count + 1, 1);
  feed(tier, s, &e, all, 0, cut);
  feed(tier, s, &e, all, cut, all->count);
  flush(tier, &e);
  draw(&e);
  free(e.held_codes);
  free(e.held_times);
  return e;
}

static void require_equal(const events *a, const events *b) {
  require(a->count == b->count && memcmp(a->times, b->times, 8 * a->count) == 0);
  require(memcmp(a->codes, b->codes, a->count) == 0);
  require(memcmp(a->per_channel, b->per_channel, sizeof a->per_channel) == 0);
  require(a->dither.next_block == b->dither.next_block);
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
  const int dithered = take(&in, 1) % 2;
  s.step_ps = dithered ? 1 + (uint32_t)take(&in, 2) : 1;
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
  const size_t turns = 1 + take(&in, 1) % 16; /* so that there are more than are fed at once */
  const size_t wanted = take(&in, 2), each = in.left / (kind % 4 == 0 ? 9 : 3);
  const size_t count = turns * each, anywhere = wanted % (count + 1);
  const size_t cut = dithered ? anywhere - anywhere % DITHER_BATCH : anywhere;
  int64_t *times = room(count, 8), *steps = room(each, 8);
  uint8_t *channels = room(count, 1);
  for (size_t i = 0; i < each; i++) {
    /* Whatever a broken file holds, or steps of which some lead back. */
    steps[i] = (int64_t)take(&in, kind % 4 == 0 ? 8 : 2) - (kind % 4 == 1 ? 2000 : 0);
    if (kind % 4 != 0) steps[i] *= INT64_C(1) << scale / 2;
    channels[i] = (uint8_t)(first + take(&in, 1) % (mapped + (kind % 4 == 3)));
  }
  int64_t now = 0;
  for (size_t i = 0; i < count; i++) {
    times[i] = kind % 4 == 0 ? steps[i % each] : (now += steps[i % each]);
    channels[i] = channels[i % each];
  }
  free(steps);
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
