/* Slots of any times on any grid, cut anywhere: every tier alike. */
#include "fuzz.h"

#include "slots.h"
#include "tier.h"

/* In order by nature, or whatever a broken file holds. */
static int64_t *take_times(input *in, size_t count, uint64_t kind) {
  int64_t *times = room(count, sizeof *times);
  uint64_t now = kind % 8 < 6 ? 0 : (uint64_t)INT64_MAX - 4096;
  for (size_t i = 0; i < count; i++) {
    now += take(in, 2) << kind / 8;
    times[i] = kind % 8 == 0 ? (int64_t)take(in, 8) : (int64_t)now;
  }
  return times;
}

static qkd_slot_grid take_grid(input *in) {
  const int64_t shortest = INT64_C(1) << 38, longest = INT64_C(1) << 58;
  qkd_slot_grid grid = {.period = shortest + (int64_t)(take(in, 8) >> 1) % (longest - shortest)};
  if (take(in, 1) % 2) grid.period = shortest + grid.period % shortest;
  grid.least_period = grid.period - (grid.period >> 10);
  grid.most_period = grid.period + (grid.period >> 10);
  grid.gate = grid.period / 2 / (1 + (int64_t)take(in, 1));
  grid.interval = 1 + (int64_t)take(in, 1);
  grid.phase_gain = (int64_t)take(in, 1) + 1;
  grid.period_gain = (int64_t)take(in, 1) + 1;
  grid.centre_ps = (int64_t)(take(in, 8) >> 2) - (INT64_C(1) << 61);
  if (take(in, 1) % 4) grid.centre_ps = 0;
  return grid;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const qkd_slot_grid begin = take_grid(&in);
  const uint64_t kind = take(&in, 1) % 256;
  const size_t count = in.left / (kind % 8 == 0 ? 10 : 2), cut = take(&in, 2) % (count + 1);
  int64_t *times = take_times(&in, count, kind);
  if (kind % 8 == 7 && count) memcpy(times, (int64_t[]){begin.centre_ps}, 8);
  uint8_t *channels = room(count, 1);
  for (size_t i = 0; i < count; i++) channels[i] = (uint8_t)i;
  int64_t *portable = room(count, 8), accepted = 0;
  uint8_t *portable_channels = room(count, 1);
  qkd_slot_grid end = begin;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_slot_grid grid = begin;
    int64_t *slots = room(count, 8), more = 0;
    uint8_t *kept = room(count, 1);
    int64_t got = qkd_slots_assign(tier, &grid, times, channels, cut, slots, kept);
    if (got < 0) require(memcmp(&grid, &begin, sizeof grid) == 0);
    if (got >= 0) {
      const qkd_slot_grid before = grid;
      more = qkd_slots_assign(tier, &grid, times + cut, channels + cut, count - cut, slots + got,
                              kept + got);
      if (more < 0) require(memcmp(&grid, &before, sizeof grid) == 0);
      if (more > 0) got += more;
    }
    require(got <= (int64_t)count);
    if (tier == 0) {
      accepted = got;
      end = grid;
      memcpy(portable, slots, 8 * count);
      memcpy(portable_channels, kept, count);
    }
    require(got == accepted && memcmp(&grid, &end, sizeof grid) == 0);
    if (got > 0) {
      require(memcmp(portable, slots, 8 * (size_t)got) == 0);
      require(memcmp(portable_channels, kept, (size_t)got) == 0);
    }
    free(kept);
    free(slots);
  }
  free(portable_channels);
  free(portable);
  free(channels);
  free(times);
  return 0;
}
