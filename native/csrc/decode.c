/* Decoders of time tag words.
 *
 * TDC1: pyS15 usb_counter_fpga.py and qcrypto readevents4a.c; a1 and legacy: qcrypto filespec;
 * T2: PicoQuant, "Time Tagged File Format", TTTR records.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "decode.h"

enum {
  TDC1_STEP_PS = 2000,
  TDC1_WRAP_TICKS = 1 << 27,
  TDC1_BACKWARD_TICKS = 1 << 16,
  /* The device sends a dummy after 140 ms without events: a longer gap (here 150 ms) is no gap
   * but a torn word. */
  TDC1_PLAUSIBLE_TICKS = 75000000
};

static uint32_t load32(const uint8_t *restrict bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

static size_t expand(unsigned pattern, int64_t time, size_t tags, int64_t *restrict times,
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

static size_t tdc1_word(qkd_tdc1 *restrict state, uint32_t word, size_t tags,
                        int64_t *restrict times_ps, uint8_t *restrict channels) {
  const uint32_t now = word >> 5;
  const unsigned pattern = word & 0xF;
  const int dummy = word >> 4 & 1;

  if (state->started) {
    const uint32_t step = (now - state->last_ticks) & (TDC1_WRAP_TICKS - 1);
    if (step >= TDC1_WRAP_TICKS - TDC1_BACKWARD_TICKS) {
      state->ticks -= (int64_t)(TDC1_WRAP_TICKS - step);
      state->backward_steps++;
    } else {
      state->ticks += step;
      state->implausible += step > TDC1_PLAUSIBLE_TICKS;
    }
  }
  state->started = 1;
  state->last_ticks = now;
  state->words++;
  if (dummy) {
    state->dummies++;
    return tags;
  }
  state->implausible += pattern == 0; /* neither an event nor a dummy */
  return expand(pattern, state->ticks * TDC1_STEP_PS, tags, times_ps, channels);
}

size_t qkd_tdc1_decode(qkd_tdc1 *restrict state, const uint8_t *restrict bytes, size_t byte_count,
                       int64_t *restrict times_ps, uint8_t *restrict channels) {
  size_t tags = 0;
  size_t used = 0;
  if (state->partial_bytes) {
    while (state->partial_bytes < 4 && used < byte_count) {
      state->partial[state->partial_bytes++] = bytes[used++];
    }
    if (state->partial_bytes < 4) return 0;
    tags = tdc1_word(state, load32(state->partial), tags, times_ps, channels);
    state->partial_bytes = 0;
  }
  for (; byte_count - used >= 4; used += 4) {
    tags = tdc1_word(state, load32(bytes + used), tags, times_ps, channels);
  }
  while (used < byte_count) state->partial[state->partial_bytes++] = bytes[used++];
  return tags;
}

static void count(qkd_word_counts *restrict counts, int dummy, int backward) {
  counts->words++;
  counts->dummies += dummy != 0;
  counts->backward_steps += backward != 0;
}

size_t qkd_a1_decode(const uint8_t *restrict bytes, size_t event_count, int swapped,
                     int64_t *restrict times_ps, uint8_t *restrict channels,
                     qkd_word_counts *restrict counts) {
  size_t tags = 0;
  int64_t last = INT64_MIN;
  for (size_t i = 0; i < event_count; i++) {
    const uint64_t first = load32(bytes + 8 * i);
    const uint64_t second = load32(bytes + 8 * i + 4);
    const uint64_t event = swapped ? first << 32 | second : second << 32 | first;
    const int64_t time = (int64_t)((event >> 10) * 125 / 32); /* 1/256 ns to ps */
    const int dummy = event >> 4 & 1;
    count(counts, dummy, time < last);
    last = time;
    if (!dummy) tags = expand(event & 0xF, time, tags, times_ps, channels);
  }
  return tags;
}

size_t qkd_legacy_decode(const uint8_t *restrict bytes, size_t event_count,
                         int64_t *restrict times_ps, uint8_t *restrict channels,
                         qkd_word_counts *restrict counts) {
  size_t tags = 0;
  int64_t last = INT64_MIN;
  for (size_t i = 0; i < event_count; i++) {
    const uint64_t high = load32(bytes + 8 * i);
    const uint64_t low = load32(bytes + 8 * i + 4);
    const int64_t time = (int64_t)(high << 17 | low >> 15) * 125;
    const unsigned pattern = low & 0xF;
    count(counts, pattern == 0, time < last);
    last = time;
    tags = expand(pattern, time, tags, times_ps, channels);
  }
  return tags;
}

static size_t picoharp_word(qkd_t2 *restrict state, uint32_t word, size_t tags,
                            int64_t *restrict ticks, uint8_t *restrict channels) {
  const unsigned channel = word >> 28;
  const uint32_t time = word & 0x0FFFFFFF;
  if (channel == 15 && (time & 0xF) == 0) {
    state->overflow_ticks += 210698240;
    state->overflow_records++;
    return tags;
  }
  ticks[tags] = state->overflow_ticks + (channel == 15 ? time & ~UINT32_C(0xF) : time);
  channels[tags] = (uint8_t)(channel == 15 ? 128 + (time & 0xF) : channel);
  return tags + 1;
}

static size_t hydraharp_word(qkd_t2 *restrict state, uint32_t word, int first_version, size_t tags,
                             int64_t *restrict ticks, uint8_t *restrict channels) {
  const int special = (int)(word >> 31);
  const unsigned channel = word >> 25 & 0x3F;
  const uint32_t time = word & 0x01FFFFFF;
  if (special && channel == 63) {
    const int64_t periods = first_version || time == 0 ? 1 : (int64_t)time;
    state->overflow_ticks += periods * (first_version ? 33552000 : 33554432);
    state->overflow_records++;
    return tags;
  }
  ticks[tags] = state->overflow_ticks + time;
  channels[tags] = (uint8_t)(!special ? channel + 1 : channel == 0 ? 0 : 128 + channel);
  return tags + 1;
}

size_t qkd_t2_decode(qkd_t2 *restrict state, const uint8_t *restrict bytes, size_t word_count,
                     int flavour, int64_t *restrict ticks, uint8_t *restrict channels) {
  size_t tags = 0;
  for (size_t i = 0; i < word_count; i++) {
    const uint32_t word = load32(bytes + 4 * i);
    tags = flavour == 0 ? picoharp_word(state, word, tags, ticks, channels)
                        : hydraharp_word(state, word, flavour == 1, tags, ticks, channels);
  }
  return tags;
}
