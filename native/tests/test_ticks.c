/* Ticks by hand: floors on both sides of zero, the way back, and order. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "test.h"
#include "ticks.h"
#include "tier.h"

static int by_hand(int tier) {
  enum { COUNT = 8 };
  const int64_t times[COUNT] = {INT64_MIN, INT64_MIN + 1, -501, -500, -1, 0, 499, INT64_MAX};
  const int64_t resolutions[] = {1, 3, 500, INT64_C(1) << 31, INT64_C(1) << 52, INT64_MAX};
  int64_t ticks[COUNT];
  int failures = 0;
  for (size_t r = 0; r < sizeof resolutions / sizeof *resolutions; r++) {
    const int64_t resolution = resolutions[r];
    qkd_ticks_of(tier, times, COUNT, resolution, ticks);
    for (size_t i = 0; i < COUNT; i++) {
      const int64_t wanted = times[i] / resolution - (times[i] % resolution < 0);
      failures += check(ticks[i] == wanted, "a tick is the floor");
    }
    /* From one end of all numbers to the other, with nothing between. */
    for (size_t i = 0; i < 2; i++) {
      const int64_t ends[2] = {times[i ? COUNT - 1 : 0], times[i ? 0 : COUNT - 1]};
      qkd_ticks_of(tier, ends, 2, resolution, ticks);
      for (size_t k = 0; k < 2; k++) {
        const int64_t wanted = ends[k] / resolution - (ends[k] % resolution < 0);
        failures += check(ticks[k] == wanted, "a tick is the floor at either end");
      }
    }
  }
  const int64_t few[3] = {-501, 0, 3999};
  uint8_t bytes[128];
  int64_t first, back[3];
  const int64_t length = qkd_ticks_encode(tier, few, 3, 500, &first, bytes);
  failures += check(length > 0 && first == -2, "the first tick");
  failures += check(qkd_ticks_decode(tier, bytes, (size_t)length, 3, first, 500, 3500, back) == 0 &&
                        back[0] == -1000 && back[1] == 0 && back[2] == 3500, "ticks begin");
  failures += check(qkd_ticks_decode(tier, bytes, (size_t)length, 3, first, 500, 3499, back) == -1,
                    "too late");
  failures += check(qkd_ticks_decode(tier, bytes, (size_t)length, 3, -8, 500, 3500, back) == -1,
                    "too early");
  failures += check(qkd_ticks_decode(tier, bytes, (size_t)length, 2, first, 500, 3500, back) == -1,
                    "left over");
  const int64_t falling[2] = {1000, 0};
  failures += check(qkd_ticks_encode(tier, falling, 2, 500, &first, bytes) == -1, "falling");
  failures += check(qkd_ticks_encode(tier, falling, 0, 500, &first, bytes) == 0 && first == 0 &&
                        qkd_ticks_decode(tier, bytes, 0, 0, 0, 500, 0, back) == 0, "nothing");
  return failures;
}

static int copied(int tier) {
  enum { COUNT = 40 };
  int64_t times[COUNT] = {0}, held[COUNT];
  int failures = check(qkd_ticks_copy(tier, times, 0, held) == 0, "nothing falls");
  for (size_t i = 0; i < COUNT; i++) times[i] = (int64_t)(i / 3);
  failures += check(qkd_ticks_copy(tier, times, COUNT, held) == 0 &&
                        memcmp(times, held, sizeof held) == 0, "copied");
  for (size_t i = 1; i < COUNT; i++) {
    const int64_t kept = times[i];
    times[i] = times[i - 1] - 1;
    failures += check(qkd_ticks_copy(tier, times, COUNT, held) == -1, "a time that falls");
    times[i] = kept;
  }
  return failures;
}

enum { TIMES = 5000 };

/* Times at steps of all widths, and their coding cut into pieces that the coder joins. */
static int tiers_agree(void) {
  static int64_t times[TIMES], ticks[2][TIMES], back[2][TIMES];
  static uint8_t bytes[2][9 * TIMES + 256];
  int failures = 0;
  uint64_t seed = 1;
  for (unsigned round = 0; round < 80; round++) {
    const size_t count = TIMES - 61 * round;
    const int64_t resolution = 1 + (int64_t)(round * round * round);
    int64_t now = -(INT64_C(1) << 59);
    for (size_t i = 0; i < count; i++) {
      const uint64_t random = splitmix64(&seed);
      now += (int64_t)((random >> 11) & ((UINT64_C(1) << (round % 45)) - 1));
      times[i] = now;
    }
    for (int tier = 1; tier <= qkd_tier_best(); tier++) {
      int64_t first[2], length[2];
      for (int i = 0; i < 2; i++) {
        qkd_ticks_of(i * tier, times, count, resolution, ticks[i]);
        length[i] = qkd_ticks_encode(i * tier, times, count, resolution, &first[i], bytes[i]);
        failures += check(qkd_ticks_decode(i * tier, bytes[i], (size_t)length[i], count, first[i],
                                           resolution, INT64_C(1) << 61, back[i]) == 0, "decodes");
      }
      failures += check(memcmp(ticks[0], ticks[1], 8 * count) == 0 && first[0] == first[1] &&
                            length[0] == length[1] &&
                            memcmp(bytes[0], bytes[1], (size_t)length[0]) == 0 &&
                            memcmp(back[0], back[1], 8 * count) == 0, "tiers agree");
      for (size_t i = 0; i < count; i += 97)
        failures += check(back[1][i] == ticks[0][i] * resolution && times[i] - back[1][i] >= 0 &&
                              times[i] - back[1][i] < resolution, "a tick begins before its times");
    }
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier) + copied(tier);
  return failures;
}
