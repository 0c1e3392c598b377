/* The search's loops against sums by hand, and every version against the portable one. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "search.h"
#include "test.h"
#include "tier.h"

static uint32_t drawn(uint64_t *seed) { return (uint32_t)splitmix64(seed); }

static void *room(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!memory) abort();
  return memory;
}

enum { LOG2_SIZE = 11, A_COUNT = 700, LAGS = 3200 }; /* three transforms there and back */

static int correlations(int log2_size) {
  int failures = 0;
  float *tables = room(qkd_search_tables_room(log2_size) * sizeof(float));
  float *scratch = room(qkd_search_scratch(log2_size) * sizeof(float));
  qkd_search_make_tables(log2_size, tables);
  static uint8_t a[A_COUNT], b[LAGS + A_COUNT];
  static float lags[3][LAGS], floors[3][LAGS];
  uint64_t seed = 1;
  for (size_t b_count = 0; b_count <= sizeof b; b_count += sizeof b / 4) {
    for (size_t i = 0; i < sizeof a; i++) a[i] = drawn(&seed) % 7 ? 0 : (uint8_t)drawn(&seed);
    for (size_t i = 0; i < sizeof b; i++) b[i] = (uint8_t)(drawn(&seed) % 4);
    memset(floors, 0, sizeof floors);
    for (int tier = 0; tier <= qkd_tier_best(); tier++) {
      qkd_search_correlate(tier, a, A_COUNT, b, b_count, log2_size, tables, scratch, lags[tier],
                           LAGS);
      for (size_t l = 0; tier == 0 && l < LAGS; l++) {
        uint32_t sum = 0;
        for (size_t i = 0; i < A_COUNT && i + l < b_count; i++) sum += (uint32_t)a[i] * b[i + l];
        if (fabsf(lags[0][l] - (float)sum) > 0.1F) return check(0, "correlation by hand");
      }
      qkd_search_flatten(tier, lags[tier], LAGS, floors[tier]);
      failures += check(!memcmp(lags[0], lags[tier], sizeof lags[0]), "correlation, every tier");
      failures += check(!memcmp(floors[0], floors[tier], sizeof floors[0]), "floor, every tier");
    }
  }
  free(tables);
  free(scratch);
  return failures;
}

static int smooth_part(void) {
  static float lags[256], floor[256];
  for (int i = 0; i < 256; i++) lags[i] = 100.0F + (float)i;
  lags[100] += 64.0F;
  qkd_search_flatten(0, lags, 256, floor);
  int failures = check(lags[100] > 60.0F && lags[100] < 65.0F, "a peak stays");
  /* A straight line has no excess, but for the outer halves of the first and last stretch. */
  failures += check(fabsf(lags[210]) < 1e-3F, "a slope goes");
  failures += check(fabsf(floor[210] - 310.0F) < 1e-3F, "what goes is in the floor");
  return failures;
}

enum { ROWS = 37, COLUMNS = 1100, STRIDE = 1300, GROUP = 6, GROUPS = 7, DRIFTS = 9, SLOPES = 3 };

static int sums_along_lines(void) {
  int failures = 0;
  static float plane[ROWS * STRIDE], best[3][COLUMNS];
  static int32_t base[DRIFTS * GROUPS], slope[DRIFTS], fine[SLOPES * GROUP], drift[3][COLUMNS];
  uint64_t seed = 3;
  for (size_t i = 0; i < ROWS * STRIDE; i++) plane[i] = (float)(drawn(&seed) % 100);
  for (size_t i = 0; i < DRIFTS * GROUPS; i++) base[i] = (int32_t)(drawn(&seed) % 180);
  for (size_t i = 0; i < DRIFTS; i++) slope[i] = (int32_t)(drawn(&seed) % SLOPES);
  for (size_t i = 0; i < SLOPES * GROUP; i++) fine[i] = (int32_t)(drawn(&seed) % 20);
  void *scratch = room(qkd_search_lines_scratch(GROUPS, SLOPES, 180));
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_search_lines(tier, plane, ROWS, STRIDE, COLUMNS, GROUP, base, slope, DRIFTS, fine, SLOPES,
                     scratch, best[tier], drift[tier]);
    failures += check(!memcmp(best[0], best[tier], sizeof best[0]), "sums, every tier");
    failures += check(!memcmp(drift[0], drift[tier], sizeof drift[0]), "drifts, every tier");
  }
  free(scratch);
  for (size_t c = 0; c < COLUMNS; c++) {
    float greatest = -1.0F;
    int32_t which = 0;
    for (size_t d = 0; d < DRIFTS; d++) {
      float here = 0.0F, next = 0.0F;
      for (size_t r = 0; r < ROWS; r++) {
        const int32_t shift =
            base[d * GROUPS + r / GROUP] + fine[(size_t)slope[d] * GROUP + r % GROUP];
        here += plane[r * STRIDE + c + (size_t)shift];
        next += plane[r * STRIDE + c + 1 + (size_t)shift];
      }
      const float both = (here + next) * 0.70710678F;
      const float value = both > here ? both : here;
      if (value > greatest) {
        greatest = value;
        which = (int32_t)d;
      }
    }
    if (best[0][c] != greatest || drift[0][c] != which) return check(0, "lines by hand");
  }
  return failures;
}

static int bins_by_hand(void) {
  static uint8_t bins[4];
  const int64_t times[7] = {99, 100, 139, 140, 259, 260, 500};
  const int64_t scale = (int64_t)(18446744073709551616.0 / 40.0) + 1; /* bins of 40 ps */
  qkd_search_bins(times, 7, 100, scale, bins, 4);
  int failures = check(bins[0] == 2 && bins[1] == 1 && bins[2] == 0 && bins[3] == 1, "bins");
  for (int i = 0; i < 300; i++) qkd_search_bins(times, 7, 100, scale, bins, 4);
  failures += check(bins[0] == 255 && bins[2] == 0, "bins are full at 255");
  return failures;
}

static int pairs_by_hand(int tier) {
  static uint32_t plane[2 * 3];
  memset(plane, 0, sizeof plane);
  /* Rows [0, 100) and [100, 200), of which 60 ps are used; lags of 8 ps from -8 on. */
  const int64_t a[5] = {10, 59, 60, 110, 300};
  const int64_t b[12] = {1, 2, 9, 10, 17, 18, 25, 26, 60, 61, 120, 121};
  qkd_search_plane(tier, a, 5, b, 12, 0, 0, 0, 0, 100, 60, 2, -8, 3, 3, plane);
  static const uint32_t expected[6] = {2, 4, 2, 0, 0, 2};
  int failures = check(plane[0] == expected[0], "lags -8 to -1");
  failures += check(plane[1] == expected[1], "lags 0 to 7");
  failures += check(plane[2] == expected[2], "lags 8 to 15");
  failures += check(plane[3] == 0 && plane[4] == 0 && plane[5] == expected[5], "the next row");
  memset(plane, 0, sizeof plane);
  /* A tenth faster from 10 on, and 4 ahead: 110 is seen at 124. */
  qkd_search_plane(tier, a + 3, 1, b, 12, 10, 4, INT64_MAX / 5, 100, 100, 100, 1, -8, 3, 3, plane);
  failures += check(plane[0] == 2 && plane[1] == 0 && plane[2] == 0, "a drifting clock");
  int64_t mapped[2];
  qkd_search_map(a + 2, 2, 10, 4, INT64_MAX / 5, mapped);
  failures += check(mapped[0] == 69 && mapped[1] == 124, "mapped times");
  return failures;
}

enum { TIMES = 5000, PAIR_ROWS = 3, PAIR_COLUMNS = 40 };

/* Rows of many times, a few pairs or many an a. */
static int pairs_of_every_tier(int shift) {
  static int64_t a[TIMES], b[TIMES];
  static uint32_t plane[3][PAIR_ROWS * PAIR_COLUMNS], expected[PAIR_ROWS * PAIR_COLUMNS];
  uint64_t seed = (uint64_t)shift;
  for (size_t i = 1; i < TIMES; i++) {
    a[i] = a[i - 1] + drawn(&seed) % 200;
    b[i] = b[i - 1] + drawn(&seed) % 200;
  }
  memset(plane, 0, sizeof plane);
  memset(expected, 0, sizeof expected);
  const int64_t length = a[TIMES - 1] / PAIR_ROWS, low = -(INT64_C(20) << shift);
  for (size_t i = 0; i < TIMES; i++) {
    const size_t row = (size_t)(a[i] / length);
    for (size_t j = 0; j < TIMES && row < PAIR_ROWS; j++) {
      const int64_t lag = b[j] - a[i] - 7 - low;
      if (lag >= 0 && lag >> shift < PAIR_COLUMNS)
        expected[row * PAIR_COLUMNS + (size_t)(lag >> shift)]++;
    }
  }
  int failures = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_search_plane(tier, a, TIMES, b, TIMES, 0, 7, 0, 0, length, length, PAIR_ROWS, low, shift,
                     PAIR_COLUMNS, plane[tier]);
    failures += check(!memcmp(expected, plane[tier], sizeof expected), "pairs, every tier");
  }
  return failures;
}

/* Meaningless, but nothing is written outside of the plane. */
static int times_in_disorder(int tier) {
  uint32_t *plane = room(4);
  plane[0] = 0;
  const int64_t a[2] = {0, 0}, b[4] = {0, 0, 0, INT64_MIN};
  qkd_search_plane(tier, a, 2, b, 4, 0, 0, INT64_MAX / 5, 0, 1, 1, 1, 0, 0, 1, plane);
  const int failures = check(plane[0] == 6, "those in the column are counted");
  free(plane);
  return failures;
}

int main(void) {
  int failures = correlations(LOG2_SIZE) + correlations(LOG2_SIZE + 1) + smooth_part() +
                 sums_along_lines() + bins_by_hand();
  for (int shift = 0; shift < 12; shift += 3) failures += pairs_of_every_tier(shift);
  for (int tier = 0; tier <= qkd_tier_best(); tier++)
    failures += pairs_by_hand(tier) + times_in_disorder(tier);
  return failures ? 1 : 0;
}
