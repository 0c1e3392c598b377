/* Slots of four tags at a time (AVX2). */
#if defined(__x86_64__)
#include <immintrin.h>

#include "compress_avx2.h"
#include "slots_impl.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4 };

/* The integers within 2^51 of zero stand in the mantissa of a double of this size. */
static const double mantissa = 6755399441055744.0;

INLINE __m256d to_double(__m256i x) {
  const __m256d size = _mm256_set1_pd(mantissa);
  return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(x, _mm256_castpd_si256(size))), size);
}

INLINE __m256i to_integer(__m256d x) {
  const __m256d size = _mm256_set1_pd(mantissa);
  return _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(x, size)), _mm256_castpd_si256(size));
}

/* The low 64 bits of the products. */
INLINE __m256i multiply(__m256i a, __m256i b, __m256i b_high) {
  const __m256i cross = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), b),
                                         _mm256_mul_epu32(a, b_high));
  return _mm256_add_epi64(_mm256_mul_epu32(a, b), _mm256_slli_epi64(cross, 32));
}

qkd_slot_sums qkd_slots_avx2(const qkd_slot_ruler *restrict ruler,
                             const int64_t *restrict times,
                             const uint8_t *restrict channels, size_t count,
                             int64_t *restrict slots, uint8_t *restrict slot_channels) {
  const __m256i centre = _mm256_set1_epi64x(ruler->centre_ps);
  const __m256i first = _mm256_set1_epi64x(ruler->slot);
  const __m256i period = _mm256_set1_epi64x(ruler->period);
  const __m256i period_high = _mm256_srli_epi64(period, 32);
  const __m256i last = _mm256_set1_epi64x(ruler->period - 1);
  const __m256i half = _mm256_set1_epi64x(ruler->half);
  const __m256i bias = _mm256_set1_epi64x(ruler->bias), gate = _mm256_set1_epi64x(ruler->gate);
  const __m256i under_gate = _mm256_set1_epi64x(-ruler->gate);
  const __m256d bias_ps = _mm256_set1_pd(ruler->bias_ps);
  const __m256d slots_per_ps = _mm256_set1_pd(ruler->slots_per_ps);
  const __m256i reach = _mm256_set1_epi64x(INT64_C(1) << REACH_BITS);
  /* Raised above zero, residuals can be shifted without regard to a sign. */
  const unsigned shift = FRACTION_BITS - RESIDUAL_BITS;
  const __m256i raise = _mm256_set1_epi64x(INT64_C(1) << 62);
  const __m256i raised = _mm256_srli_epi64(raise, FRACTION_BITS - RESIDUAL_BITS);
  const __m256i zero = _mm256_setzero_si256();
  __m256i residuals = zero, beyond = zero;
  size_t i = 0, accepted = 0;
  for (; count - i >= LANES; i += LANES) {
    qkd_slots_ask(times + i, slots + accepted);
    const __m256i since =
        _mm256_sub_epi64(_mm256_loadu_si256((const __m256i *)(times + i)), centre);
    beyond = _mm256_or_si256(beyond, _mm256_add_epi64(since, reach));
    const __m256d ratio = _mm256_mul_pd(_mm256_add_pd(to_double(since), bias_ps), slots_per_ps);
    __m256i slot = to_integer(_mm256_floor_pd(ratio));
    __m256i rest = _mm256_add_epi64(_mm256_slli_epi64(since, FRACTION_BITS), bias);
    rest = _mm256_sub_epi64(rest, multiply(slot, period, period_high));
    const __m256i under = _mm256_cmpgt_epi64(zero, rest); /* -1 where true */
    const __m256i over = _mm256_cmpgt_epi64(rest, last);
    slot = _mm256_sub_epi64(_mm256_add_epi64(slot, under), over);
    rest = _mm256_add_epi64(rest, _mm256_and_si256(under, period));
    rest = _mm256_sub_epi64(rest, _mm256_and_si256(over, period));
    const __m256i residual = _mm256_sub_epi64(rest, half);
    const __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi64(residual, gate),
                                            _mm256_cmpgt_epi64(under_gate, residual));
    const __m256i rounded = _mm256_sub_epi64(
        _mm256_srli_epi64(_mm256_add_epi64(residual, raise), (int)shift), raised);
    residuals = _mm256_add_epi64(residuals, _mm256_andnot_si256(outside, rounded));
    const uint32_t within = 15 & ~(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(outside));
    _mm256_storeu_si256((__m256i *)(slots + accepted),
                        to_front(_mm256_add_epi64(slot, first), within));
    bytes_front(channels + i, within, slot_channels + accepted);
    accepted += (size_t)__builtin_popcount(within);
  }
  int64_t lanes[LANES], any[LANES];
  _mm256_storeu_si256((__m256i *)lanes, residuals);
  _mm256_storeu_si256((__m256i *)any, _mm256_srli_epi64(beyond, REACH_BITS + 1));
  const qkd_slot_sums sums = {i, accepted, lanes[0] + lanes[1] + lanes[2] + lanes[3],
                              (uint64_t)(any[0] | any[1] | any[2] | any[3])};
  return sums;
}
#endif
