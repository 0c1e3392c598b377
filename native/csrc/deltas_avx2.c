/* Delta coding, a value at a time without branches on its length (BMI2, of the AVX2 tier). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "deltas_impl.h"

#define TARGET __attribute__((target("avx2,bmi,bmi2,popcnt")))

static const uint64_t top_bits = UINT64_C(0x8080808080808080);

TARGET qkd_deltas_place qkd_deltas_encode_avx2(const int64_t *restrict values, size_t count,
                                               qkd_deltas_place at, uint8_t *restrict bytes) {
  for (; at.values < count; at.values++) {
    const uint64_t difference = (uint64_t)values[at.values] - (uint64_t)at.last;
    if (difference >> FAST_CODE_BITS) break;
    at.last = values[at.values];
    const uint64_t groups = _pdep_u64(difference, ~top_bits);
    const uint32_t last_byte = (63 ^ (uint32_t)__builtin_clzll(groups | 1)) / 8;
    const uint64_t code = groups | _bzhi_u64(top_bits, 8 * last_byte);
    memcpy(bytes + at.bytes, &code, sizeof code);
    at.bytes += last_byte + 1;
  }
  return at;
}

TARGET qkd_deltas_place qkd_deltas_decode_avx2(const uint8_t *restrict bytes, size_t length,
                                               size_t count, qkd_deltas_place at,
                                               int64_t *restrict values) {
  while (length - at.bytes >= 8 && at.values < count) {
    uint64_t word;
    memcpy(&word, bytes + at.bytes, sizeof word);
    const uint64_t ends = ~word & top_bits;
    const uint32_t last_bit = (uint32_t)_tzcnt_u64(ends);
    const uint64_t difference = _pext_u64(word, _bzhi_u64(~top_bits, last_bit));
    /* No end in sight, a padded code, or a sum that may run over. */
    const int padded = (word >> (last_bit & 56) & 0xFF) == 0 && last_bit > 7;
    if (ends == 0 || padded || at.last > qkd_deltas_fast_sum) break;
    at.last = (int64_t)((uint64_t)at.last + difference);
    values[at.values++] = at.last;
    at.bytes += (last_bit + 1) / 8;
  }
  return at;
}
#endif
