/* Decoders of time tag words, 16 words of 4 bytes or 8 of 8 bytes at a time (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "decode_impl.h"

#define INLINE static inline __attribute__((always_inline))

INLINE int64_t ones(uint32_t mask) { return __builtin_popcount(mask); }

/* Writes the lanes of a mask one after the other, and others beyond them. A compression in the
 * register and a whole store: the compressing store is slow on some processors. */
INLINE void store_times(int64_t *at, __m512i times, __mmask8 mask) {
  _mm512_storeu_si512(at, _mm512_maskz_compress_epi64(mask, times));
}

/* The sum of each lane and all below it. */
INLINE __m512i running_sum(__m512i x) {
  const __m512i zero = _mm512_setzero_si512();
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 15));
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 14));
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 12));
  return _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 8));
}

INLINE __m512i low_half(__m512i x) {
  return _mm512_cvtepi32_epi64(_mm512_castsi512_si256(x));
}

INLINE __m512i high_half(__m512i x) {
  return _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(x, 1));
}

/* The channel of a pattern of one bit: its place, from 1. */
INLINE __m128i channel_of(__m128i pattern) {
  const __m128i places = _mm_setr_epi8(0, 1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0);
  return _mm_shuffle_epi8(places, pattern);
}

progress qkd_tdc1_words_avx512(qkd_tdc1 *restrict state, const uint8_t *restrict bytes,
                               size_t word_count, int64_t *restrict times_ps,
                               uint8_t *restrict channels) {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i wrap = _mm512_set1_epi32(TDC1_WRAP_TICKS);
  const __m512i wrap_mask = _mm512_set1_epi32(TDC1_WRAP_TICKS - 1);
  const __m512i backward_from = _mm512_set1_epi32(TDC1_WRAP_TICKS - TDC1_BACKWARD_TICKS);
  const __m512i plausible = _mm512_set1_epi32(TDC1_PLAUSIBLE_TICKS);
  const __m512i step_ps = _mm512_set1_epi64(TDC1_STEP_PS);
  const __m512i last_lane = _mm512_set1_epi64(7);
  __m512i before = _mm512_set1_epi32((int)state->last_ticks);
  __m512i base_ps = _mm512_set1_epi64(wrapping_product(state->ticks, TDC1_STEP_PS));
  __m512i base_ticks = _mm512_set1_epi64(state->ticks);
  progress at = {0, 0};
  int64_t dummies = 0, backward = 0, implausible = 0;
  for (; word_count - at.used >= 16; at.used += 16) {
    const __m512i word = _mm512_loadu_si512(bytes + 4 * at.used);
    const __m512i now = _mm512_srli_epi32(word, 5);
    const __m512i pattern = _mm512_and_si512(word, _mm512_set1_epi32(0xF));
    __m512i step = _mm512_sub_epi32(now, _mm512_alignr_epi32(now, before, 15));
    step = _mm512_and_si512(step, wrap_mask);
    const __mmask16 back = _mm512_cmpge_epi32_mask(step, backward_from);
    step = _mm512_mask_sub_epi32(step, back, step, wrap);
    before = now;

    /* Sixteen steps stay below 2^31. */
    const __m512i steps = running_sum(step);
    const __m512i low_steps = low_half(steps), high_steps = high_half(steps);
    const __m512i low = _mm512_add_epi64(base_ps, _mm512_mul_epi32(low_steps, step_ps));
    const __m512i high = _mm512_add_epi64(base_ps, _mm512_mul_epi32(high_steps, step_ps));
    base_ticks = _mm512_add_epi64(base_ticks, _mm512_permutexvar_epi64(last_lane, high_steps));
    base_ps = _mm512_permutexvar_epi64(last_lane, high);

    const __mmask16 dummy = _mm512_test_epi32_mask(word, _mm512_set1_epi32(TDC1_DUMMY));
    const __mmask16 tag = _mm512_mask_test_epi32_mask((__mmask16)~dummy, pattern, pattern);
    const __mmask16 several =
        _mm512_mask_test_epi32_mask(tag, pattern, _mm512_sub_epi32(pattern, one));
    dummies += ones(dummy);
    backward += ones(back);
    implausible += ones(_mm512_cmpgt_epi32_mask(step, plausible)) +
                   ones((__mmask16) ~(tag | dummy));

    const __m128i narrow = _mm512_cvtepi32_epi8(pattern);
    if (several) {
      int64_t block_ps[16];
      uint8_t patterns[16];
      _mm512_storeu_si512(block_ps, low);
      _mm512_storeu_si512(block_ps + 8, high);
      _mm_storeu_si128((__m128i *)patterns, _mm_maskz_mov_epi8(tag, narrow));
      at.tags = expand_block(patterns, block_ps, 16, at.tags, times_ps, channels);
    } else if (tag == 0xFFFF) {
      _mm512_storeu_si512(times_ps + at.tags, low);
      _mm512_storeu_si512(times_ps + at.tags + 8, high);
      _mm_storeu_si128((__m128i *)(channels + at.tags), channel_of(narrow));
      at.tags += 16;
    } else {
      store_times(times_ps + at.tags, low, (__mmask8)tag);
      store_times(times_ps + at.tags + ones(tag & 0xFF), high, (__mmask8)(tag >> 8));
      _mm_storeu_si128((__m128i *)(channels + at.tags),
                       _mm_maskz_compress_epi8(tag, channel_of(narrow)));
      at.tags += (size_t)ones(tag);
    }
  }
  if (at.used)
    tdc1_leave(state, _mm_cvtsi128_si64(_mm512_castsi512_si128(base_ticks)),
               (uint32_t)_mm_extract_epi32(_mm512_extracti32x4_epi32(before, 3), 3), at.used,
               dummies, backward, implausible);
  return at;
}

progress qkd_events_avx512(event_format format, const uint8_t *restrict bytes,
                           size_t event_count, int64_t *restrict times_ps,
                           uint8_t *restrict channels, qkd_word_counts *restrict counts,
                           int64_t *restrict last) {
  const __m512i one = _mm512_set1_epi64(1);
  const __m512i turn = _mm512_set1_epi64(format.swapped ? 32 : 0);
  const __m128i shift = _mm_cvtsi32_si128((int)format.shift);
  const __m128i divide = _mm_cvtsi32_si128((int)format.divide);
  const __m512i dummy_bit = _mm512_set1_epi64(format.dummy);
  __m512i before = _mm512_set1_epi64(*last);
  progress at = {0, 0};
  int64_t dummies = 0, backward = 0;
  for (; event_count - at.used >= 8; at.used += 8) {
    const __m512i event = _mm512_rolv_epi64(_mm512_loadu_si512(bytes + 8 * at.used), turn);
    const __m512i ticks = _mm512_srl_epi64(event, shift);
    const __m512i three = _mm512_add_epi64(ticks, _mm512_add_epi64(ticks, ticks));
    __m512i time = _mm512_sub_epi64(_mm512_slli_epi64(ticks, 7), three); /* 125 ticks */
    time = _mm512_srl_epi64(time, divide);
    const __m512i pattern = _mm512_and_si512(event, _mm512_set1_epi64(0xF));
    const __mmask8 some = _mm512_test_epi64_mask(pattern, pattern);
    const __mmask8 dummy =
        format.dummy ? _mm512_test_epi64_mask(event, dummy_bit) : (__mmask8)~some;
    const __mmask8 tag = some & (__mmask8)~dummy;
    const __mmask8 several =
        _mm512_mask_test_epi64_mask(tag, pattern, _mm512_sub_epi64(pattern, one));
    dummies += ones(dummy);
    backward += ones(_mm512_cmplt_epi64_mask(time, _mm512_alignr_epi64(time, before, 7)));
    before = time;

    const __m128i narrow = _mm512_cvtepi64_epi8(pattern);
    if (several) {
      int64_t block_ps[8];
      uint8_t patterns[16];
      _mm512_storeu_si512(block_ps, time);
      _mm_storeu_si128((__m128i *)patterns, _mm_maskz_mov_epi8(tag, narrow));
      at.tags = expand_block(patterns, block_ps, 8, at.tags, times_ps, channels);
    } else {
      store_times(times_ps + at.tags, time, tag);
      _mm_storel_epi64((__m128i *)(channels + at.tags),
                       _mm_maskz_compress_epi8(tag, channel_of(narrow)));
      at.tags += (size_t)ones(tag);
    }
  }
  if (at.used) {
    *last = _mm_extract_epi64(_mm512_extracti64x2_epi64(before, 3), 1);
    counts->words += at.used;
    counts->dummies += (uint64_t)dummies;
    counts->backward_steps += (uint64_t)backward;
  }
  return at;
}

/* Time, channel and overflow marks of 16 words, by flavour. */
typedef struct {
  __m512i time, channel;
  __mmask16 overflow;
} t2_fields;

INLINE t2_fields t2_split(__m512i word, int picoharp) {
  t2_fields f;
  if (picoharp) {
    f.time = _mm512_and_si512(word, _mm512_set1_epi32(0x0FFFFFFF));
    f.channel = _mm512_srli_epi32(word, 28);
    const __mmask16 special = _mm512_cmpeq_epi32_mask(f.channel, _mm512_set1_epi32(15));
    const __m512i marker = _mm512_and_si512(word, _mm512_set1_epi32(0xF));
    f.overflow = _mm512_mask_testn_epi32_mask(special, marker, marker);
    f.time = _mm512_mask_sub_epi32(f.time, special, f.time, marker);
    f.channel = _mm512_mask_add_epi32(f.channel, special, marker, _mm512_set1_epi32(128));
  } else {
    const __m512i first_special = _mm512_set1_epi32(INT32_MIN);
    const __m512i first_overflow = _mm512_set1_epi32((int)0xFE000000);
    const __m512i number = _mm512_srli_epi32(word, 25);
    f.time = _mm512_and_si512(word, _mm512_set1_epi32(0x01FFFFFF));
    f.overflow = _mm512_cmpge_epu32_mask(word, first_overflow);
    /* An input's number has a clear top bit and counts from 1; a marker's is 64 + bits. */
    const __mmask16 special = _mm512_cmpge_epu32_mask(word, first_special);
    const __mmask16 marker =
        _mm512_cmpgt_epu32_mask(number, _mm512_set1_epi32(64));
    f.channel = _mm512_add_epi32(number, _mm512_set1_epi32(1));
    f.channel = _mm512_mask_mov_epi32(f.channel, special, _mm512_setzero_si512());
    f.channel = _mm512_mask_add_epi32(f.channel, marker, number, _mm512_set1_epi32(64));
  }
  return f;
}

INLINE progress t2_words(qkd_t2 *restrict state, const uint8_t *restrict bytes, size_t word_count,
                         int flavour, int32_t tick_ps, int64_t *restrict times_ps,
                         uint8_t *restrict channels) {
  const __m512i tick = _mm512_set1_epi64(tick_ps);
  int64_t overflow_ticks = state->overflow_ticks;
  progress at = {0, 0};
  for (; word_count - at.used >= 16; at.used += 16) {
    const uint8_t *here = bytes + 4 * at.used;
    const t2_fields f = t2_split(_mm512_loadu_si512(here), flavour == PICOHARP);
    const __m512i base = _mm512_set1_epi64(wrapping_product(overflow_ticks, tick_ps));
    __m512i low = _mm512_add_epi64(base, _mm512_mul_epu32(low_half(f.time), tick));
    __m512i high = _mm512_add_epi64(base, _mm512_mul_epu32(high_half(f.time), tick));
    __m128i channel = _mm512_cvtepi32_epi8(f.channel);
    const __mmask16 tag = (__mmask16)~f.overflow;
    if (f.overflow) {
      for (uint32_t rest = f.overflow; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        const uint32_t later = UINT32_C(0xFFFE) << lane;
        const uint8_t *word = here + 4 * lane;
        const int number = word[0] | word[1] << 8 | word[2] << 16 | (word[3] & 1) << 24;
        const int64_t ticks = t2_overflow_ticks(flavour, (uint32_t)number);
        overflow_ticks = wrapping_sum(overflow_ticks, ticks);
        const __m512i more = _mm512_set1_epi64(wrapping_product(ticks, tick_ps));
        low = _mm512_mask_add_epi64(low, (__mmask8)later, low, more);
        high = _mm512_mask_add_epi64(high, (__mmask8)(later >> 8), high, more);
      }
      state->overflow_records += (uint64_t)ones(f.overflow);
      low = _mm512_maskz_compress_epi64((__mmask8)tag, low);
      high = _mm512_maskz_compress_epi64((__mmask8)(tag >> 8), high);
      channel = _mm_maskz_compress_epi8(tag, channel);
    }
    _mm512_storeu_si512(times_ps + at.tags, low);
    _mm512_storeu_si512(times_ps + at.tags + ones(tag & 0xFF), high);
    _mm_storeu_si128((__m128i *)(channels + at.tags), channel);
    at.tags += (size_t)ones(tag);
  }
  state->overflow_ticks = overflow_ticks;
  return at;
}

progress qkd_t2_words_avx512(qkd_t2 *restrict state, const uint8_t *restrict bytes,
                             size_t word_count, int flavour, int32_t tick_ps,
                             int64_t *restrict times_ps, uint8_t *restrict channels) {
  switch (flavour) {
    case PICOHARP:
      return t2_words(state, bytes, word_count, PICOHARP, tick_ps, times_ps, channels);
    case HYDRAHARP_1:
      return t2_words(state, bytes, word_count, HYDRAHARP_1, tick_ps, times_ps, channels);
    default:
      return t2_words(state, bytes, word_count, 2, tick_ps, times_ps, channels);
  }
}
#endif
