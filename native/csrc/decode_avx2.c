/* Decoders of time tag words, 8 words of 4 bytes or 4 of 8 bytes at a time (AVX2). Blocks in which
 * every word is one tag are stored whole; the others word by word. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "decode_impl.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i load(const void *at) { return _mm256_loadu_si256(at); }
INLINE void store(void *at, __m256i x) { _mm256_storeu_si256(at, x); }
INLINE __m256i low_half(__m256i x) { return _mm256_cvtepi32_epi64(_mm256_castsi256_si128(x)); }
INLINE __m256i high_half(__m256i x) {
  return _mm256_cvtepi32_epi64(_mm256_extracti128_si256(x, 1));
}
INLINE uint32_t signs32(__m256i x) {
  return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(x));
}
INLINE uint32_t signs64(__m256i x) {
  return (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(x));
}
INLINE int64_t ones(uint32_t mask) { return __builtin_popcount(mask); }

/* The low byte of each 32-bit lane. */
INLINE uint64_t bytes_of(__m256i x) {
  const __m256i low = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                       0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i packed = _mm256_shuffle_epi8(x, low);
  const uint32_t first = (uint32_t)_mm256_extract_epi32(packed, 0);
  const uint32_t second = (uint32_t)_mm256_extract_epi32(packed, 4);
  return first | (uint64_t)second << 32;
}

/* The channel of a pattern of one bit, its place from 1; 0 for any other pattern. Patterns lie in
 * the low bytes of lanes that are otherwise empty. */
INLINE __m256i channel_of(__m256i pattern) {
  const __m256i places = _mm256_setr_epi8(0, 1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
                                          0, 1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0);
  return _mm256_shuffle_epi8(places, pattern);
}

/* Each lane's predecessor, the last lane of before in the first. */
INLINE __m256i predecessors32(__m256i x, __m256i before) {
  return _mm256_alignr_epi8(x, _mm256_permute2x128_si256(before, x, 0x21), 12);
}
INLINE __m256i predecessors64(__m256i x, __m256i before) {
  return _mm256_alignr_epi8(x, _mm256_permute2x128_si256(before, x, 0x21), 8);
}

/* The sum of each lane and all below it. */
INLINE __m256i running_sum(__m256i x) {
  x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
  x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
  const __m256i low_total = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(3));
  return _mm256_add_epi32(x, _mm256_blend_epi32(_mm256_setzero_si256(), low_total, 0xF0));
}

progress qkd_tdc1_words_avx2(qkd_tdc1 *restrict state, const uint8_t *restrict bytes,
                             size_t word_count, int64_t *restrict times_ps,
                             uint8_t *restrict channels) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i wrap = _mm256_set1_epi32(TDC1_WRAP_TICKS);
  const __m256i wrap_mask = _mm256_set1_epi32(TDC1_WRAP_TICKS - 1);
  const __m256i forward_to = _mm256_set1_epi32(TDC1_WRAP_TICKS - TDC1_BACKWARD_TICKS - 1);
  const __m256i plausible = _mm256_set1_epi32(TDC1_PLAUSIBLE_TICKS);
  const __m256i dummy_bit = _mm256_set1_epi32(TDC1_DUMMY);
  const __m256i step_ps = _mm256_set1_epi64x(TDC1_STEP_PS);
  __m256i before = _mm256_set1_epi32((int)state->last_ticks);
  __m256i base_ps = _mm256_set1_epi64x(wrapping_product(state->ticks, TDC1_STEP_PS));
  __m256i base_ticks = _mm256_set1_epi64x(state->ticks);
  progress at = {0, 0};
  int64_t dummies = 0, backward = 0, implausible = 0;
  for (; word_count - at.used >= 8; at.used += 8) {
    const __m256i word = load(bytes + 4 * at.used);
    const __m256i now = _mm256_srli_epi32(word, 5);
    const __m256i pattern = _mm256_and_si256(word, _mm256_set1_epi32(0xF));
    __m256i step = _mm256_sub_epi32(now, predecessors32(now, before));
    step = _mm256_and_si256(step, wrap_mask);
    const __m256i back = _mm256_cmpgt_epi32(step, forward_to);
    step = _mm256_sub_epi32(step, _mm256_and_si256(back, wrap));
    before = now;

    const __m256i steps = running_sum(step);
    const __m256i high_steps = high_half(steps);
    const __m256i low = _mm256_add_epi64(base_ps, _mm256_mul_epi32(low_half(steps), step_ps));
    const __m256i high = _mm256_add_epi64(base_ps, _mm256_mul_epi32(high_steps, step_ps));
    base_ticks = _mm256_add_epi64(base_ticks, _mm256_permute4x64_epi64(high_steps, 0xFF));
    base_ps = _mm256_permute4x64_epi64(high, 0xFF);

    const __m256i genuine = _mm256_cmpeq_epi32(_mm256_and_si256(word, dummy_bit), zero);
    const uint32_t dummy = ~signs32(genuine) & 0xFF;
    const __m256i places = channel_of(pattern);
    backward += ones(signs32(back));
    implausible += ones(signs32(_mm256_cmpgt_epi32(step, plausible)));
    dummies += ones(dummy);
    if (dummy == 0 && signs32(_mm256_cmpeq_epi32(places, zero)) == 0) {
      const uint64_t narrow = bytes_of(places);
      store(times_ps + at.tags, low);
      store(times_ps + at.tags + 4, high);
      memcpy(channels + at.tags, &narrow, sizeof narrow);
      at.tags += 8;
      continue;
    }
    const uint64_t patterns = bytes_of(_mm256_and_si256(pattern, genuine));
    const uint32_t tag = ~signs32(_mm256_cmpeq_epi32(pattern, zero)) & 0xFF;
    implausible += ones(~(tag | dummy) & 0xFF);
    int64_t block_ps[8];
    store(block_ps, low);
    store(block_ps + 4, high);
    uint8_t pattern_bytes[8];
    memcpy(pattern_bytes, &patterns, sizeof patterns);
    at.tags = expand_block(pattern_bytes, block_ps, 8, at.tags, times_ps, channels);
  }
  if (at.used)
    tdc1_leave(state, _mm256_extract_epi64(base_ticks, 0),
               (uint32_t)_mm256_extract_epi32(before, 7), at.used, dummies, backward, implausible);
  return at;
}

progress qkd_events_avx2(event_format format, const uint8_t *restrict bytes,
                         size_t event_count, int64_t *restrict times_ps,
                         uint8_t *restrict channels, qkd_word_counts *restrict counts,
                         int64_t *restrict last) {
  const __m256i zero = _mm256_setzero_si256();
  const __m128i shift = _mm_cvtsi32_si128((int)format.shift);
  const __m128i divide = _mm_cvtsi32_si128((int)format.divide);
  const __m256i dummy_bit = _mm256_set1_epi64x(format.dummy);
  __m256i before = _mm256_set1_epi64x(*last);
  progress at = {0, 0};
  int64_t dummies = 0, backward = 0;
  for (; event_count - at.used >= 4; at.used += 4) {
    __m256i event = load(bytes + 8 * at.used);
    if (format.swapped) event = _mm256_shuffle_epi32(event, 0xB1);
    const __m256i ticks = _mm256_srl_epi64(event, shift);
    const __m256i three = _mm256_add_epi64(ticks, _mm256_add_epi64(ticks, ticks));
    __m256i time = _mm256_sub_epi64(_mm256_slli_epi64(ticks, 7), three); /* 125 ticks */
    time = _mm256_srl_epi64(time, divide);
    const __m256i pattern = _mm256_and_si256(event, _mm256_set1_epi64x(0xF));
    const __m256i empty = _mm256_cmpeq_epi64(pattern, zero);
    const __m256i genuine = format.dummy
                                ? _mm256_cmpeq_epi64(_mm256_and_si256(event, dummy_bit), zero)
                                : _mm256_xor_si256(empty, _mm256_set1_epi64x(-1));
    const uint32_t dummy = ~signs64(genuine) & 0xF;
    dummies += ones(dummy);
    backward += ones(signs64(_mm256_cmpgt_epi64(predecessors64(time, before), time)));
    before = time;

    const __m256i places = channel_of(pattern);
    if (dummy == 0 && signs64(_mm256_cmpeq_epi64(places, zero)) == 0) {
      const uint64_t wide = bytes_of(places);
      const uint32_t narrow = (uint32_t)((wide & 0xFF) | (wide >> 8 & 0xFF00) |
                                         (wide >> 16 & 0xFF0000) | (wide >> 24 & 0xFF000000));
      store(times_ps + at.tags, time);
      memcpy(channels + at.tags, &narrow, sizeof narrow);
      at.tags += 4;
      continue;
    }
    const uint64_t patterns = bytes_of(_mm256_and_si256(pattern, genuine));
    int64_t block_ps[4];
    store(block_ps, time);
    for (size_t i = 0; i < 4; i++)
      at.tags = expand(patterns >> 16 * i & 0xF, block_ps[i], at.tags, times_ps, channels);
  }
  if (at.used) {
    *last = _mm256_extract_epi64(before, 3);
    counts->words += at.used;
    counts->dummies += (uint64_t)dummies;
    counts->backward_steps += (uint64_t)backward;
  }
  return at;
}

/* Time, channel and overflow marks of 8 words, by flavour. */
typedef struct {
  __m256i time, channel;
  uint32_t overflow;
} t2_fields;

INLINE t2_fields t2_split(__m256i word, int picoharp) {
  t2_fields f;
  if (picoharp) {
    f.time = _mm256_and_si256(word, _mm256_set1_epi32(0x0FFFFFFF));
    f.channel = _mm256_srli_epi32(word, 28);
    const __m256i special = _mm256_cmpeq_epi32(f.channel, _mm256_set1_epi32(15));
    const __m256i marker = _mm256_and_si256(word, _mm256_set1_epi32(0xF));
    const __m256i empty = _mm256_cmpeq_epi32(marker, _mm256_setzero_si256());
    f.overflow = signs32(_mm256_and_si256(special, empty));
    f.time = _mm256_sub_epi32(f.time, _mm256_and_si256(special, marker));
    const __m256i marked = _mm256_add_epi32(marker, _mm256_set1_epi32(128));
    f.channel = _mm256_blendv_epi8(f.channel, marked, special);
  } else {
    const __m256i number = _mm256_srli_epi32(word, 25);
    const __m256i special = _mm256_srai_epi32(word, 31);
    const __m256i marker = _mm256_cmpgt_epi32(number, _mm256_set1_epi32(64));
    f.time = _mm256_and_si256(word, _mm256_set1_epi32(0x01FFFFFF));
    f.overflow = signs32(_mm256_cmpeq_epi32(number, _mm256_set1_epi32(127)));
    /* An input's number has a clear top bit and counts from 1; a marker's is 64 + bits. */
    const __m256i input = _mm256_add_epi32(number, _mm256_set1_epi32(1));
    const __m256i marked = _mm256_add_epi32(number, _mm256_set1_epi32(64));
    f.channel = _mm256_or_si256(_mm256_andnot_si256(special, input),
                                _mm256_and_si256(marker, marked));
  }
  return f;
}

INLINE progress t2_words(qkd_t2 *restrict state, const uint8_t *restrict bytes, size_t word_count,
                         int flavour, int32_t tick_ps, int64_t *restrict times_ps,
                         uint8_t *restrict channels) {
  const __m256i tick = _mm256_set1_epi64x(tick_ps);
  int64_t overflow_ticks = state->overflow_ticks;
  progress at = {0, 0};
  for (; word_count - at.used >= 8; at.used += 8) {
    const t2_fields f = t2_split(load(bytes + 4 * at.used), flavour == PICOHARP);
    const uint64_t narrow = bytes_of(f.channel);
    if (f.overflow == 0) {
      const __m256i base = _mm256_set1_epi64x(wrapping_product(overflow_ticks, tick_ps));
      store(times_ps + at.tags,
            _mm256_add_epi64(base, _mm256_mul_epu32(low_half(f.time), tick)));
      store(times_ps + at.tags + 4,
            _mm256_add_epi64(base, _mm256_mul_epu32(high_half(f.time), tick)));
      memcpy(channels + at.tags, &narrow, sizeof narrow);
      at.tags += 8;
      continue;
    }
    uint32_t times[8];
    store(times, f.time);
    state->overflow_records += (uint64_t)ones(f.overflow);
    for (size_t i = 0; i < 8; i++) {
      /* Written for an overflow too, and overwritten by the next tag. */
      const int over = f.overflow >> i & 1;
      times_ps[at.tags] = wrapping_product(wrapping_sum(overflow_ticks, times[i]), tick_ps);
      channels[at.tags] = (uint8_t)(narrow >> 8 * i);
      at.tags += !over;
      overflow_ticks = wrapping_sum(overflow_ticks, over ? t2_overflow_ticks(flavour, times[i]) : 0);
    }
  }
  state->overflow_ticks = overflow_ticks;
  return at;
}

progress qkd_t2_words_avx2(qkd_t2 *restrict state, const uint8_t *restrict bytes,
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
