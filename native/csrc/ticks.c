/* Detection times as whole ticks.
 *
 * A 64-bit division costs as much as all else that is done to a time. Below 2^52 a quotient of
 * doubles will do: the exact one lies at least 1 / resolution below the next whole number, more
 * than the rounding of any quotient of integers below 2^52 can bridge.
 */
#include <stddef.h>
#include <stdint.h>

#include "ticks.h"

static int64_t floor_quotient(int64_t time, int64_t resolution) {
  return time / resolution - (time % resolution < 0);
}

void qkd_ticks_of(const int64_t *restrict times, size_t count, int64_t resolution_ps,
                  int64_t *restrict ticks) {
  const uint64_t exact = UINT64_C(1) << 52;
  if ((uint64_t)resolution_ps >= exact) {
    for (size_t i = 0; i < count; i++) ticks[i] = floor_quotient(times[i], resolution_ps);
    return;
  }
  const double divisor = (double)resolution_ps;
  int64_t base_tick = 0, base_ps = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t beyond = (uint64_t)times[i] - (uint64_t)base_ps;
    if (beyond >= exact) {
      base_tick = floor_quotient(times[i], resolution_ps);
      /* Below the least 64-bit number there is no base. */
      if (times[i] < INT64_MIN + resolution_ps) {
        ticks[i] = base_tick;
        base_tick = base_ps = 0;
        continue;
      }
      base_ps = base_tick * resolution_ps;
      beyond = (uint64_t)times[i] - (uint64_t)base_ps;
    }
    ticks[i] = base_tick + (int64_t)((double)(int64_t)beyond / divisor);
  }
}

void qkd_ticks_times(int64_t *ticks, size_t count, int64_t resolution_ps) {
  for (size_t i = 0; i < count; i++) ticks[i] *= resolution_ps;
}

int qkd_ticks_append(const int64_t *restrict times, size_t count, int64_t earliest_ps,
                     int64_t *restrict held) {
  if (count == 0) return 0;
  int falls = times[0] < earliest_ps;
  held[0] = times[0];
  for (size_t i = 1; i < count; i++) {
    falls |= times[i] < times[i - 1];
    held[i] = times[i];
  }
  return -falls;
}
