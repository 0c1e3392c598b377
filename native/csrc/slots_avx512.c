/* Slots of eight tags at a time (AVX-512). */
#if defined(__x86_64__)
#include <immintrin.h>

#include "slots_impl.h"


enum { LANES = 8 };

qkd_slot_sums qkd_slots_avx512(const qkd_slot_ruler *restrict ruler,
                               const int64_t *restrict times,
                               const uint8_t *restrict channels, size_t count,
                               int64_t *restrict slots, uint8_t *restrict slot_channels) {
  const __m512i centre = _mm512_set1_epi64(ruler->centre_ps);
  const __m512i first = _mm512_set1_epi64(ruler->slot);
  const __m512i period = _mm512_set1_epi64(ruler->period), half = _mm512_set1_epi64(ruler->half);
  const __m512i bias = _mm512_set1_epi64(ruler->bias), gate = _mm512_set1_epi64(ruler->gate);
  const __m512d bias_ps = _mm512_set1_pd(ruler->bias_ps);
  const __m512d slots_per_ps = _mm512_set1_pd(ruler->slots_per_ps);
  const __m512i reach = _mm512_set1_epi64(INT64_C(1) << REACH_BITS);
  const __m512i zero = _mm512_setzero_si512();
  __m512i residuals = zero, beyond = zero;
  size_t i = 0, accepted = 0;
  for (; count - i >= LANES; i += LANES) {
    qkd_slots_ask(times + i, slots + accepted);
    const __m512i since = _mm512_sub_epi64(_mm512_loadu_si512(times + i), centre);
    beyond = _mm512_or_si512(beyond, _mm512_add_epi64(since, reach));
    const __m512d ratio =
        _mm512_mul_pd(_mm512_add_pd(_mm512_cvtepi64_pd(since), bias_ps), slots_per_ps);
    __m512i slot = _mm512_cvt_roundpd_epi64(ratio, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512i rest = _mm512_add_epi64(_mm512_slli_epi64(since, FRACTION_BITS), bias);
    rest = _mm512_sub_epi64(rest, _mm512_mullo_epi64(slot, period));
    const __mmask8 under = _mm512_movepi64_mask(rest);
    const __mmask8 over = _mm512_cmpge_epi64_mask(rest, period);
    slot = _mm512_mask_sub_epi64(slot, under, slot, _mm512_set1_epi64(1));
    slot = _mm512_mask_add_epi64(slot, over, slot, _mm512_set1_epi64(1));
    rest = _mm512_mask_add_epi64(rest, under, rest, period);
    rest = _mm512_mask_sub_epi64(rest, over, rest, period);
    const __m512i residual = _mm512_sub_epi64(rest, half);
    const __mmask8 within = _mm512_cmple_epi64_mask(_mm512_abs_epi64(residual), gate);
    residuals = _mm512_mask_add_epi64(
        residuals, within, residuals, _mm512_srai_epi64(residual, FRACTION_BITS - RESIDUAL_BITS));
    _mm512_storeu_si512(slots + accepted,
                        _mm512_maskz_compress_epi64(within, _mm512_add_epi64(slot, first)));
    _mm_storel_epi64((__m128i *)(slot_channels + accepted),
                     _mm_maskz_compress_epi8(within, _mm_loadl_epi64((const __m128i *)(channels + i))));
    accepted += (size_t)__builtin_popcount(within);
  }
  const __m512i high = _mm512_srli_epi64(beyond, REACH_BITS + 1);
  const qkd_slot_sums sums = {i, accepted, _mm512_reduce_add_epi64(residuals),
                              _mm512_test_epi64_mask(high, high)};
  return sums;
}
#endif
