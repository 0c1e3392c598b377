/* Slots by hand, against division in 128 bits, and the versions against each other. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "slots.h"
#include "test.h"
#include "tier.h"

__extension__ typedef __int128 wide;

static qkd_slot_grid grid_of(int64_t period, int64_t gate) {
  const qkd_slot_grid grid = {.period = period, .least_period = period - period / 1024,
                              .most_period = period + period / 1024, .gate = gate,
                              .interval = 16};
  return grid;
}

static int by_hand(int tier) {
  int failures = 0;
  qkd_slot_grid grid = grid_of(INT64_C(1000) << 32, INT64_C(100) << 32);
  grid.centre_ps = 50;
  grid.slot = 7;
  const int64_t times[9] = {-50, -51, 50, 150, 151, 1000, 1149, 2050, 999050};
  const uint8_t channels[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  int64_t slots[9];
  uint8_t kept[9];
  failures += check(qkd_slots_assign(tier, &grid, times, channels, 9, slots, kept) == 7, "gate");
  failures += check(memcmp(slots, (int64_t[]){7, 7, 7, 8, 8, 9, 1006}, sizeof slots - 16) == 0,
                    "slots");
  failures += check(memcmp(kept, (uint8_t[]){1, 3, 4, 6, 7, 8, 9}, 7) == 0, "channels");
  failures += check(grid.accepted == 7 && grid.rejected == 2 && grid.repeated == 3, "counters");
  failures += check(grid.residuals == INT64_C(49) << 16, "residuals");
  const int64_t again[1] = {999040};
  failures += check(qkd_slots_assign(tier, &grid, again, channels, 1, slots, kept) == 1 &&
                        grid.repeated == 4, "the slot of the call before");
  const qkd_slot_grid before = grid;
  const int64_t far[9] = {2050, 3050, 50 + (INT64_C(1) << 51)};
  failures += check(qkd_slots_assign(tier, &grid, far, channels, 9, slots, kept) == -1 &&
                        memcmp(&before, &grid, sizeof grid) == 0, "out of reach");
  return failures;
}

/* The longest period and full gains: a pulse half a slot late moves the grid there, and no sum
 * overflows on the way. */
static int full_gains(int tier) {
  int failures = 0;
  qkd_slot_grid grid = grid_of((INT64_C(1) << 58) - 1, (INT64_C(1) << 57) - 1);
  grid.interval = 1;
  grid.phase_gain = grid.period_gain = 256;
  const int64_t times[2] = {(INT64_C(3) << 25) - 2, 0};
  const uint8_t channels[2] = {0};
  int64_t slots[2];
  uint8_t kept[2];
  failures += check(qkd_slots_assign(tier, &grid, times, channels, 1, slots, kept) == 1 &&
                        slots[0] == 1, "within the gate");
  failures += check(grid.period == grid.most_period, "as long as it may be");
  failures += check(grid.centre_ps + (grid.centre_fraction >> 31) == times[0], "centred on the tag");
  return failures;
}

enum { TAGS = 4000 };

static uint64_t seed = 1;
static uint64_t draw(void) { return splitmix64(&seed) >> 20; }

/* Every time within reach, without tracking, from an anchor that moves with the tags. */
static int exact(int tier) {
  static int64_t times[TAGS], slots[TAGS];
  static uint8_t channels[TAGS], kept[TAGS];
  int failures = 0;
  for (int round = 0; round < 40; round++) {
    const int64_t period = (INT64_C(1) << (38 + round % 20)) + (int64_t)(draw() % (UINT64_C(1) << 38));
    qkd_slot_grid grid = grid_of(period, period);
    grid.centre_ps = (int64_t)draw() - (INT64_C(1) << 43);
    grid.centre_fraction = (int64_t)(draw() & 0xFFFFFFFF);
    grid.slot = (int64_t)draw();
    const wide origin = (((wide)grid.centre_ps * (INT64_C(1) << 32)) + grid.centre_fraction) -
                        (wide)grid.slot * period - period / 2;
    int64_t now = grid.centre_ps;
    for (size_t i = 0; i < TAGS; i++) {
      now += (int64_t)(draw() % (UINT64_C(1) << (i % 40)));
      times[i] = now;
      /* Next to a border between slots. */
      if (i % 3 == 0) {
        const wide slot = (((wide)now * (INT64_C(1) << 32)) - origin) / period;
        const wide border = slot * period + origin;
        times[i] = (int64_t)(border / (INT64_C(1) << 32)) + (int64_t)(i / 3 % 3) - 1;
      }
    }
    const int64_t count = qkd_slots_assign(tier, &grid, times, channels, TAGS, slots, kept);
    failures += check(count == TAGS, "all within the gate");
    int same = 1;
    for (size_t i = 0; i < TAGS; i++) {
      const wide since = ((wide)times[i] * (INT64_C(1) << 32)) - origin;
      const wide slot = since / period - (since % period < 0);
      same &= slots[i] == (int64_t)slot;
    }
    failures += check(same, "exact slots");
  }
  return failures;
}

static int tiers_agree(void) {
  static int64_t times[TAGS], slots[2][TAGS];
  static uint8_t channels[TAGS], kept[2][TAGS];
  int failures = 0;
  for (int round = 0; round < 60; round++) {
    const int64_t period = ((int64_t)(200 + 97 * round) << 32) + (int64_t)(draw() & 0xFFFFFFFF);
    int64_t now = 0;
    for (size_t i = 0; i < TAGS; i++) {
      now += (int64_t)(draw() % 20000);
      times[i] = now - (draw() % 100 ? 0 : 3000);
      channels[i] = (uint8_t)draw();
    }
    if (round % 7 == 6) times[TAGS / 2] += INT64_C(1) << (40 + round % 24);
    for (int tier = 1; tier <= qkd_tier_best(); tier++) {
      qkd_slot_grid grid[2];
      int64_t count[2];
      for (int i = 0; i < 2; i++) {
        grid[i] = grid_of(period, period / (3 + round % 4));
        grid[i].interval = 1 + round * 13;
        grid[i].phase_gain = round % 5 * 64;
        grid[i].period_gain = round % 3 * 32;
        /* Cut elsewhere each time. */
        const size_t cut = (size_t)(i ? draw() % TAGS : TAGS / 2);
        count[i] = qkd_slots_assign(i * tier, &grid[i], times, channels, cut, slots[i], kept[i]);
        if (count[i] < 0) continue;
        const int64_t more =
            qkd_slots_assign(i * tier, &grid[i], times + cut, channels + cut, TAGS - cut,
                             slots[i] + count[i], kept[i] + count[i]);
        count[i] = more < 0 ? -1 : count[i] + more;
      }
      failures += check(count[0] == count[1], "counts");
      if (count[0] < 0 || count[1] < 0) continue;
      failures += check(memcmp(&grid[0], &grid[1], sizeof grid[0]) == 0, "grids");
      failures += check(memcmp(slots[0], slots[1], 8 * (size_t)count[0]) == 0 &&
                            memcmp(kept[0], kept[1], (size_t)count[0]) == 0, "slots and channels");
    }
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier) + full_gains(tier) + exact(tier);
  return failures;
}
