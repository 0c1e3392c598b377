/* Times to ticks and back, and their copy: loops that all versions share, for the compiler to lower
 * to what each tier has.
 *
 * A 64-bit division costs more than all else that is done to a time. Where times lie within 2^31 of
 * each other a multiplication will do: with l = ceil(log2 d) and m = ceil(2^(31 + l) / d),
 * floor(n / d) = floor(m n / 2^(31 + l)) for all n < 2^31 (Granlund and Montgomery, PLDI 1994).
 */
#ifndef QKD_TICKS_IMPL_H
#define QKD_TICKS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "ticks.h"

enum { TICKS_NEAR = 64 };

static inline int64_t floor_quotient(int64_t time, int64_t resolution) {
  return time / resolution - (time % resolution < 0);
}

static inline void ticks_of(const int64_t *restrict times, size_t count, int64_t resolution_ps,
                            int64_t *restrict ticks) {
  const uint64_t divisor = (uint64_t)resolution_ps;
  unsigned log2 = 0;
  while (log2 < 31 && UINT64_C(1) << log2 < divisor) log2++;
  const unsigned shift = 31 + log2;
  const uint64_t factor = ((UINT64_C(1) << shift) + divisor - 1) / divisor;
  for (size_t at = 0; at < count; at += TICKS_NEAR) {
    const size_t taken = count - at < TICKS_NEAR ? count - at : TICKS_NEAR;
    const uint64_t tick = (uint64_t)floor_quotient(times[at], resolution_ps);
    const uint64_t begin_ps = tick * divisor;
    uint64_t widest = 0;
    for (size_t i = 0; i < taken; i++) {
      const uint64_t beyond = (uint64_t)times[at + i] - begin_ps;
      widest |= beyond;
      ticks[at + i] = (int64_t)(tick + (beyond * factor >> shift));
    }
    /* What begins so late is followed, round the corner, by the least of all numbers. */
    const int late = begin_ps >> 31 == (uint64_t)INT64_MAX >> 31;
    if (widest >> 31 || divisor >> 31 || late)
      for (size_t i = 0; i < taken; i++)
        ticks[at + i] = floor_quotient(times[at + i], resolution_ps);
  }
}

static inline void ticks_begin(int64_t *ticks, size_t count, int64_t resolution_ps) {
  for (size_t i = 0; i < count; i++) ticks[i] *= resolution_ps;
}

static inline int ticks_copy(const int64_t *restrict times, size_t count,
                             int64_t *restrict held) {
  if (count == 0) return 0;
  int64_t falls = 0;
  held[0] = times[0];
  for (size_t i = 1; i < count; i++) {
    falls |= -(int64_t)(times[i] < times[i - 1]);
    held[i] = times[i];
  }
  return (int)falls;
}

#if defined(__x86_64__)
void qkd_ticks_of_avx2(const int64_t *times, size_t count, int64_t resolution_ps, int64_t *ticks);
void qkd_ticks_of_avx512(const int64_t *times, size_t count, int64_t resolution_ps,
                         int64_t *ticks);
void qkd_ticks_begin_avx2(int64_t *ticks, size_t count, int64_t resolution_ps);
void qkd_ticks_begin_avx512(int64_t *ticks, size_t count, int64_t resolution_ps);
int qkd_ticks_copy_avx2(const int64_t *times, size_t count, int64_t *held);
int qkd_ticks_copy_avx512(const int64_t *times, size_t count, int64_t *held);
#endif

#endif
