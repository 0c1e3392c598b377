/* What the versions of the decoders share. A vector version takes as many leading words as fill
 * its blocks; the portable one continues from the state it leaves. */
#ifndef QKD_DECODE_IMPL_H
#define QKD_DECODE_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "decode.h"

enum {
  TDC1_STEP_PS = 2000,
  TDC1_WRAP_TICKS = 1 << 27,
  TDC1_BACKWARD_TICKS = 1 << 16,
  /* The device sends a dummy after 140 ms without events: a longer gap (here 150 ms) is no gap
   * but a torn word. */
  TDC1_PLAUSIBLE_TICKS = 75000000,
  TDC1_DUMMY = 0x10,
  PICOHARP = 0,
  HYDRAHARP_1 = 1,
  PICOHARP_PERIOD = 210698240,
  HYDRAHARP_1_PERIOD = 33552000,
  HYDRAHARP_PERIOD = 33554432
};

/* Of the 8-byte event formats. */
typedef struct {
  int swapped;       /* high half first */
  unsigned shift;    /* the time starts at this bit */
  unsigned divide;   /* a tick is 125 ps over two to this */
  unsigned dummy;    /* the bit that marks an event as a dummy; 0: one without a pattern is */
} event_format;

/* Where a run of decoding stands. */
typedef struct {
  size_t used; /* words read */
  size_t tags; /* tags written */
} progress;

/* Writes the tags of one pattern. */
static inline size_t expand(unsigned pattern, int64_t time, size_t tags, int64_t *restrict times,
                            uint8_t *restrict channels) {
  for (unsigned bit = 0; bit < 4; bit++) {
    if (pattern >> bit & 1) {
      times[tags] = time;
      channels[tags] = (uint8_t)(bit + 1);
      tags++;
    }
  }
  return tags;
}

/* Writes the tags of a block's patterns. */
static inline size_t expand_block(const uint8_t *restrict patterns,
                                  const int64_t *restrict block_ps, size_t count, size_t tags,
                                  int64_t *restrict times, uint8_t *restrict channels) {
  for (size_t i = 0; i < count; i++)
    tags = expand(patterns[i], block_ps[i], tags, times, channels);
  return tags;
}

/* Times of hostile bytes may run over; they wrap. */
static inline int64_t wrapping_sum(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t wrapping_product(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* What the last of many TDC1 words leave behind, and what was met among them. */
static inline void tdc1_leave(qkd_tdc1 *restrict state, int64_t ticks, uint32_t last_ticks,
                              size_t words, int64_t dummies, int64_t backward,
                              int64_t implausible) {
  state->ticks = ticks;
  state->last_ticks = last_ticks;
  state->words += words;
  state->dummies += (uint64_t)dummies;
  state->backward_steps += (uint64_t)backward;
  state->implausible += (uint64_t)implausible;
}

/* By how many ticks an overflow record with this number in its time field moves a T2 stream on. */
static inline int64_t t2_overflow_ticks(int flavour, uint32_t number) {
  if (flavour == PICOHARP) return PICOHARP_PERIOD;
  if (flavour == HYDRAHARP_1) return HYDRAHARP_1_PERIOD;
  return (number == 0 ? 1 : (int64_t)number) * HYDRAHARP_PERIOD;
}

/* The state has seen a word before. */
progress qkd_tdc1_words_avx512(qkd_tdc1 *state, const uint8_t *bytes, size_t word_count,
                               int64_t *times_ps, uint8_t *channels);
progress qkd_tdc1_words_avx2(qkd_tdc1 *state, const uint8_t *bytes, size_t word_count,
                             int64_t *times_ps, uint8_t *channels);
progress qkd_events_avx512(event_format format, const uint8_t *bytes, size_t event_count,
                           int64_t *times_ps, uint8_t *channels, qkd_word_counts *counts,
                           int64_t *last);
progress qkd_events_avx2(event_format format, const uint8_t *bytes, size_t event_count,
                         int64_t *times_ps, uint8_t *channels, qkd_word_counts *counts,
                         int64_t *last);
progress qkd_t2_words_avx512(qkd_t2 *state, const uint8_t *bytes, size_t word_count, int flavour,
                             int32_t tick_ps, int64_t *times_ps, uint8_t *channels);
progress qkd_t2_words_avx2(qkd_t2 *state, const uint8_t *bytes, size_t word_count, int flavour,
                           int32_t tick_ps, int64_t *times_ps, uint8_t *channels);

#endif
