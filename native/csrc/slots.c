/* Which pulse of a pulsed link a tag belongs to, with a digital phase-locked loop of second order
 * (proportional and integral) that works on the mean residual of so many tags. Everything that
 * lasts is an integer: hours of slots bring no drift, and all versions track alike. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "slots_impl.h"

static const int64_t fraction_one = INT64_C(1) << FRACTION_BITS;
static const uint64_t reach_ps = UINT64_C(1) << REACH_BITS;

/* Wraps for hostile times. */
static int64_t minus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }

static qkd_slot_ruler ruler_of(const qkd_slot_grid *grid) {
  const double one = 4294967296.0;
  qkd_slot_ruler ruler = {.slot = grid->slot, .centre_ps = grid->centre_ps,
                          .period = grid->period, .half = grid->period / 2, .gate = grid->gate};
  ruler.bias = ruler.half - grid->centre_fraction;
  ruler.bias_ps = (double)ruler.bias / one;
  ruler.slots_per_ps = one / (double)grid->period;
  return ruler;
}

/* The slot, counted from the anchor, of a time since its centre; and the residual. */
static int64_t slot_of(const qkd_slot_ruler *ruler, int64_t since_ps, int64_t *residual) {
  int64_t slot = (int64_t)floor(((double)since_ps + ruler->bias_ps) * ruler->slots_per_ps);
  /* Of numbers beyond 64 bits, but itself within two periods of zero. */
  int64_t rest = (int64_t)(((uint64_t)since_ps << FRACTION_BITS) + (uint64_t)ruler->bias -
                           (uint64_t)slot * (uint64_t)ruler->period);
  if (rest < 0) {
    slot--;
    rest += ruler->period;
  } else if (rest >= ruler->period) {
    slot++;
    rest -= ruler->period;
  }
  *residual = rest - ruler->half;
  return slot;
}

/* Rounds down, also below zero. */
static int64_t in_residual_units(int64_t residual) {
  const int64_t raise = INT64_C(1) << 62;
  const unsigned shift = FRACTION_BITS - RESIDUAL_BITS;
  return ((residual + raise) >> shift) - (raise >> shift);
}

static qkd_slot_sums assign(const qkd_slot_ruler *ruler, const int64_t *restrict times,
                            const uint8_t *restrict channels, size_t count,
                            int64_t *restrict slots, uint8_t *restrict slot_channels) {
  qkd_slot_sums sums = {.tags = count};
  for (size_t i = 0; i < count; i++) {
    const int64_t since_ps = minus(times[i], ruler->centre_ps);
    if (((uint64_t)since_ps + reach_ps) >> (REACH_BITS + 1)) {
      sums.out_of_reach = 1;
      return sums;
    }
    int64_t residual;
    const int64_t slot = slot_of(ruler, since_ps, &residual);
    const int within = residual <= ruler->gate && residual >= -ruler->gate;
    slots[sums.accepted] = slot + ruler->slot;
    slot_channels[sums.accepted] = channels[i];
    sums.accepted += (size_t)within;
    sums.residuals += within ? in_residual_units(residual) : 0;
  }
  return sums;
}

static void move_centre(qkd_slot_grid *grid, int64_t by) {
  const int64_t fraction = grid->centre_fraction + by;
  const int64_t whole = fraction / fraction_one - (fraction % fraction_one < 0);
  grid->centre_ps += whole;
  grid->centre_fraction = fraction - whole * fraction_one;
}

/* Takes the slot of this tag as the new anchor, and follows what the step has shown. */
static void track(qkd_slot_grid *grid, const qkd_slot_ruler *ruler, int64_t time_ps) {
  int64_t residual;
  const int64_t elapsed = slot_of(ruler, minus(time_ps, grid->centre_ps), &residual);
  grid->slot += elapsed;
  grid->centre_ps = time_ps;
  grid->centre_fraction = 0;
  move_centre(grid, -residual);
  if (grid->gated > 0) {
    /* Of an error times a gain in 256ths; both products stay below 2^58. */
    const int64_t unit = INT64_C(1) << (FRACTION_BITS - RESIDUAL_BITS - 8);
    grid->error = grid->residuals / grid->gated;
    move_centre(grid, grid->error * grid->phase_gain * unit);
    if (elapsed > 0) {
      int64_t period = grid->period + grid->error * grid->period_gain * unit / elapsed;
      if (period < grid->least_period) period = grid->least_period;
      if (period > grid->most_period) period = grid->most_period;
      grid->period = period;
    }
  }
  grid->tags = grid->gated = grid->residuals = 0;
}

static uint64_t count_repeated(const int64_t *slots, size_t count) {
  uint64_t repeated = 0;
  for (size_t i = 1; i < count; i++) repeated += slots[i] == slots[i - 1];
  return repeated;
}

int64_t qkd_slots_assign(int tier, qkd_slot_grid *grid, const int64_t *times,
                         const uint8_t *channels, size_t count, int64_t *slots,
                         uint8_t *slot_channels) {
#if !defined(__x86_64__)
  (void)tier;
#endif
  qkd_slot_grid now = *grid;
  size_t written = 0;
  for (size_t at = 0; at < count;) {
    const qkd_slot_ruler ruler = ruler_of(&now);
    const size_t missing = (size_t)(now.interval - now.tags);
    const size_t taken = count - at < missing ? count - at : missing;
    const size_t begin = written;
    for (size_t done = 0; done < taken;) {
      qkd_slot_sums sums = {0};
#if defined(__x86_64__)
      if (tier)
        sums = (tier > 1 ? qkd_slots_avx512 : qkd_slots_avx2)(
            &ruler, times + at + done, channels + at + done, taken - done, slots + written,
            slot_channels + written);
#endif
      if (sums.tags == 0)
        sums = assign(&ruler, times + at + done, channels + at + done, taken - done,
                      slots + written, slot_channels + written);
      if (sums.out_of_reach) return -1;
      done += sums.tags;
      written += sums.accepted;
      now.gated += (int64_t)sums.accepted;
      now.residuals += sums.residuals;
    }
    if (written > begin) {
      now.repeated += now.accepted > 0 && slots[begin] == now.last_slot;
      now.repeated += count_repeated(slots + begin, written - begin);
      now.last_slot = slots[written - 1];
      now.accepted += written - begin;
    }
    now.rejected += taken - (written - begin);
    now.tags += (int64_t)taken;
    at += taken;
    if (now.tags == now.interval) track(&now, &ruler, times[at - 1]);
  }
  *grid = now;
  return (int64_t)written;
}
