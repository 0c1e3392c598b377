/* What the versions of slot assignment share.
 *
 * With x the time since half a period before the anchor's centre, in units of 2^-32 ps, a tag's
 * slot is floor(x / period). A quotient in double precision is at most one off for times within
 * 2^51 ps and periods from 64 ps on; the remainder, exact modulo 2^64, says if it is. So all
 * versions agree, whatever they round.
 */
#ifndef QKD_SLOTS_IMPL_H
#define QKD_SLOTS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "slots.h"

enum { FRACTION_BITS = 32, RESIDUAL_BITS = 16, REACH_BITS = 51, AHEAD_BYTES = 2048 };

/* Asks for the lines of times and slots that come next but some: the machine does so by itself,
 * but begins anew with every page. There need be nothing. */
static inline void qkd_slots_ask(const int64_t *times, const int64_t *slots) {
  __builtin_prefetch((const void *)((uintptr_t)times + AHEAD_BYTES), 0);
  __builtin_prefetch((const void *)((uintptr_t)slots + AHEAD_BYTES), 1);
}

/* The grid as the loops want it. */
typedef struct {
  int64_t slot, centre_ps;
  int64_t period, half, gate;
  int64_t bias;        /* half a period less the fraction of the anchor's centre */
  double bias_ps;
  double slots_per_ps;
} qkd_slot_ruler;

/* What a run of tags adds up to. */
typedef struct {
  size_t tags, accepted;
  int64_t residuals;
  uint64_t out_of_reach; /* not 0 if a tag is */
} qkd_slot_sums;

/* They take leading tags only, a multiple of their lanes. */
qkd_slot_sums qkd_slots_avx512(const qkd_slot_ruler *ruler, const int64_t *times,
                               const uint8_t *channels, size_t count, int64_t *slots,
                               uint8_t *slot_channels);
qkd_slot_sums qkd_slots_avx2(const qkd_slot_ruler *ruler, const int64_t *times,
                             const uint8_t *channels, size_t count, int64_t *slots,
                             uint8_t *slot_channels);

#endif
