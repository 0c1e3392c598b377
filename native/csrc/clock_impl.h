/* A clock: what the other end's time t is on this end's, t + offset + (t - origin) rate / 2^64,
 * rounded to the nearest, a half upwards. Times out of range give numbers without meaning, and
 * nothing worse: sums wrap.
 */
#ifndef QKD_CLOCK_IMPL_H
#define QKD_CLOCK_IMPL_H

#include <stdint.h>

typedef struct {
  int64_t origin_ps, offset_ps, rate_q64;
} qkd_clock;

static inline int64_t qkd_plus(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t qkd_minus(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* What a clock has drifted at a time, before the rounding, in 2^-64 ps. */
static inline __int128 qkd_clock_drift(const qkd_clock *clock, int64_t time_ps) {
  return (__int128)qkd_minus(time_ps, clock->origin_ps) * clock->rate_q64 + ((__int128)1 << 63);
}

static inline int64_t qkd_clock_map(const qkd_clock *clock, int64_t time_ps) {
  const int64_t drift_ps = (int64_t)(qkd_clock_drift(clock, time_ps) >> 64);
  return qkd_plus(qkd_plus(time_ps, clock->offset_ps), drift_ps);
}

/* A clock about a base, in numbers of 32 bits that vectors can multiply: for d = time - base below
 * 2^31, the time is mapped to
 *   time + ahead + floor((d rate_high + high + floor((d rate_low + low) / 2^32)) / 2^32). */
typedef struct {
  int64_t base_ps, ahead_ps, rate_high;
  uint64_t rate_low, high, low;
} qkd_clock_near;

static inline qkd_clock_near qkd_clock_at(const qkd_clock *clock, int64_t base_ps) {
  const __int128 drift = qkd_clock_drift(clock, base_ps);
  const uint64_t fraction = (uint64_t)drift;
  return (qkd_clock_near){
      .base_ps = base_ps,
      .ahead_ps = qkd_plus(clock->offset_ps, (int64_t)(drift >> 64)),
      .rate_high = clock->rate_q64 >> 32,
      .rate_low = (uint32_t)clock->rate_q64,
      .high = fraction >> 32,
      .low = (uint32_t)fraction,
  };
}

#endif
