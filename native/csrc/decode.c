/* Decoders of time tag words.
 *
 * TDC1: pyS15 usb_counter_fpga.py and qcrypto readevents4a.c; a1 and legacy: qcrypto filespec;
 * T2: PicoQuant, "Time Tagged File Format", TTTR records.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "decode_impl.h"

static uint32_t load32(const uint8_t *restrict bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

static uint64_t load64(const uint8_t *restrict bytes) {
  return load32(bytes) | (uint64_t)load32(bytes + 4) << 32;
}

static size_t tdc1_word(qkd_tdc1 *restrict state, uint32_t word, size_t tags,
                        int64_t *restrict times_ps, uint8_t *restrict channels) {
  const uint32_t now = word >> 5;
  const unsigned pattern = word & 0xF;

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
  if (word & TDC1_DUMMY) {
    state->dummies++;
    return tags;
  }
  state->implausible += pattern == 0; /* neither an event nor a dummy */
  return expand(pattern, wrapping_product(state->ticks, TDC1_STEP_PS), tags, times_ps, channels);
}

size_t qkd_tdc1_decode(int tier, qkd_tdc1 *restrict state, const uint8_t *restrict bytes,
                       size_t byte_count, int64_t *restrict times_ps,
                       uint8_t *restrict channels) {
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
  if (!state->started && byte_count - used >= 4) {
    tags = tdc1_word(state, load32(bytes + used), tags, times_ps, channels);
    used += 4;
  }
#if defined(__x86_64__)
  if (tier) {
    const progress fast = (tier > 1 ? qkd_tdc1_words_avx512 : qkd_tdc1_words_avx2)(
        state, bytes + used, (byte_count - used) / 4, times_ps + tags, channels + tags);
    used += 4 * fast.used;
    tags += fast.tags;
  }
#else
  (void)tier;
#endif
  for (; byte_count - used >= 4; used += 4) {
    tags = tdc1_word(state, load32(bytes + used), tags, times_ps, channels);
  }
  while (used < byte_count) state->partial[state->partial_bytes++] = bytes[used++];
  return tags;
}

static size_t events(int tier, event_format format, const uint8_t *restrict bytes,
                     size_t event_count, int64_t *restrict times_ps, uint8_t *restrict channels,
                     qkd_word_counts *restrict counts) {
  int64_t last = INT64_MIN;
  progress at = {0, 0};
#if defined(__x86_64__)
  if (tier)
    at = (tier > 1 ? qkd_events_avx512 : qkd_events_avx2)(format, bytes, event_count, times_ps,
                                                          channels, counts, &last);
#else
  (void)tier;
#endif
  for (; at.used < event_count; at.used++) {
    const uint64_t word = load64(bytes + 8 * at.used);
    const uint64_t event = format.swapped ? word << 32 | word >> 32 : word;
    const int64_t time = (int64_t)((event >> format.shift) * 125 >> format.divide);
    const unsigned pattern = event & 0xF;
    const int dummy = format.dummy ? (event & format.dummy) != 0 : pattern == 0;
    counts->words++;
    counts->dummies += (uint64_t)dummy;
    counts->backward_steps += time < last;
    last = time;
    if (!dummy) at.tags = expand(pattern, time, at.tags, times_ps, channels);
  }
  return at.tags;
}

size_t qkd_a1_decode(int tier, const uint8_t *restrict bytes, size_t event_count, int swapped,
                     int64_t *restrict times_ps, uint8_t *restrict channels,
                     qkd_word_counts *restrict counts) {
  const event_format a1 = {swapped, 10, 5, 0x10}; /* 1/256 ns is 125/32 ps */
  return events(tier, a1, bytes, event_count, times_ps, channels, counts);
}

size_t qkd_legacy_decode(int tier, const uint8_t *restrict bytes, size_t event_count,
                         int64_t *restrict times_ps, uint8_t *restrict channels,
                         qkd_word_counts *restrict counts) {
  const event_format legacy = {1, 15, 0, 0};
  return events(tier, legacy, bytes, event_count, times_ps, channels, counts);
}

static void overflow(qkd_t2 *restrict state, int64_t ticks) {
  state->overflow_ticks = wrapping_sum(state->overflow_ticks, ticks);
  state->overflow_records++;
}

static int picoharp_word(qkd_t2 *restrict state, uint32_t word, uint32_t *restrict time,
                         uint8_t *restrict channel) {
  *time = word & 0x0FFFFFFF;
  *channel = (uint8_t)(word >> 28);
  if (*channel < 15) return 1;
  const uint32_t marker = *time & 0xF;
  if (marker == 0) overflow(state, t2_overflow_ticks(PICOHARP, 0));
  *time -= marker;
  *channel = (uint8_t)(128 + marker);
  return marker != 0;
}

static int hydraharp_word(qkd_t2 *restrict state, uint32_t word, int flavour,
                          uint32_t *restrict time, uint8_t *restrict channel) {
  const int special = (int)(word >> 31);
  const unsigned number = word >> 25 & 0x3F;
  *time = word & 0x01FFFFFF;
  *channel = (uint8_t)(!special ? number + 1 : number == 0 ? 0 : 128 + number);
  if (!special || number < 63) return 1;
  overflow(state, t2_overflow_ticks(flavour, *time));
  return 0;
}

size_t qkd_t2_decode(int tier, qkd_t2 *restrict state, const uint8_t *restrict bytes,
                     size_t word_count, int flavour, int32_t tick_ps, int64_t *restrict times_ps,
                     uint8_t *restrict channels) {
  progress at = {0, 0};
#if defined(__x86_64__)
  if (tier)
    at = (tier > 1 ? qkd_t2_words_avx512 : qkd_t2_words_avx2)(state, bytes, word_count, flavour,
                                                              tick_ps, times_ps, channels);
#else
  (void)tier;
#endif
  for (; at.used < word_count; at.used++) {
    const uint32_t word = load32(bytes + 4 * at.used);
    uint32_t time;
    uint8_t channel;
    const int tag = flavour == PICOHARP
                        ? picoharp_word(state, word, &time, &channel)
                        : hydraharp_word(state, word, flavour, &time, &channel);
    if (!tag) continue;
    times_ps[at.tags] = wrapping_product(wrapping_sum(state->overflow_ticks, time), tick_ps);
    channels[at.tags] = channel;
    at.tags++;
  }
  return at.tags;
}

size_t qkd_qutag_decode(const uint8_t *restrict bytes, size_t record_count,
                        int64_t *restrict times_ps, uint8_t *restrict channels) {
  size_t backward = 0;
  int64_t last = INT64_MIN;
  for (size_t i = 0; i < record_count; i++) {
    const int64_t time = (int64_t)load64(bytes + 10 * i);
    times_ps[i] = time;
    channels[i] = bytes[10 * i + 8];
    backward += time < last;
    last = time;
  }
  return backward;
}

size_t qkd_uint64_decode(const uint8_t *restrict bytes, size_t tag_count, size_t stride,
                         int64_t *restrict times_ps) {
  size_t backward = 0;
  int64_t last = INT64_MIN;
  for (size_t i = 0; i < tag_count; i++) {
    const int64_t time = (int64_t)load64(bytes + 8 * stride * i);
    times_ps[i] = time;
    backward += time < last;
    last = time;
  }
  return backward;
}
