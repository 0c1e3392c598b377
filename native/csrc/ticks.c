/* Detection times as whole ticks, in pieces that the first-level cache holds. */
#include <stddef.h>
#include <stdint.h>

#include "deltas_impl.h"
#include "ticks_impl.h"

enum { AT_ONCE = 8 * BLOCK };

void qkd_ticks_of(int tier, const int64_t *times, size_t count, int64_t resolution_ps,
                  int64_t *ticks) {
#if defined(__x86_64__)
  if (tier) {
    (tier > 1 ? qkd_ticks_of_avx512 : qkd_ticks_of_avx2)(times, count, resolution_ps, ticks);
    return;
  }
#else
  (void)tier;
#endif
  ticks_of(times, count, resolution_ps, ticks);
}

/* In place, the beginnings of ticks. */
static void begin(int tier, int64_t *ticks, size_t count, int64_t resolution_ps) {
#if defined(__x86_64__)
  if (tier) {
    (tier > 1 ? qkd_ticks_begin_avx512 : qkd_ticks_begin_avx2)(ticks, count, resolution_ps);
    return;
  }
#else
  (void)tier;
#endif
  ticks_begin(ticks, count, resolution_ps);
}

int64_t qkd_ticks_encode(int tier, const int64_t *times, size_t count, int64_t resolution_ps,
                         int64_t *first_tick, uint8_t *bytes) {
  int64_t ticks[AT_ONCE];
  int64_t written = 0;
  int64_t before = *first_tick = count ? floor_quotient(times[0], resolution_ps) : 0;
  for (size_t done = 0; done < count; done += AT_ONCE) {
    const size_t taken = count - done < AT_ONCE ? count - done : AT_ONCE;
    qkd_ticks_of(tier, times + done, taken, resolution_ps, ticks);
    const int64_t length = qkd_deltas_encode(tier, ticks, taken, before, bytes + written);
    if (length < 0) return -1;
    written += length;
    before = ticks[taken - 1];
  }
  return written;
}

int qkd_ticks_decode(int tier, const uint8_t *bytes, size_t length, size_t count,
                     int64_t first_tick, int64_t resolution_ps, int64_t limit_ps,
                     int64_t *times) {
  const int64_t furthest = limit_ps / resolution_ps;
  if (count > 0 && first_tick < -furthest) return -1;
  int64_t before = first_tick;
  for (size_t done = 0; done < count; done += AT_ONCE) {
    const size_t taken = count - done < AT_ONCE ? count - done : AT_ONCE;
    const int64_t read = qkd_deltas_read(tier, bytes, length, taken, before, times + done);
    if (read < 0) return -1;
    bytes += read;
    length -= (size_t)read;
    before = times[done + taken - 1]; /* the furthest, since ticks do not fall */
    if (before > furthest) return -1;
    begin(tier, times + done, taken, resolution_ps);
  }
  return length == 0 ? 0 : -1;
}

int qkd_ticks_copy(int tier, const int64_t *times, size_t count, int64_t *held) {
#if defined(__x86_64__)
  if (tier) return (tier > 1 ? qkd_ticks_copy_avx512 : qkd_ticks_copy_avx2)(times, count, held);
#else
  (void)tier;
#endif
  return ticks_copy(times, count, held);
}
