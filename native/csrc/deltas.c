/* Coding of sorted integers by their differences, which for the times of a Poisson process are
 * geometric; Rice's codes (JPL Publication 79-22, 1979) come within 0.1 bits of their entropy.
 *
 * The decoder reads what a peer sent. It accepts one coding of each sequence only: no other
 * parameter than the rule's, no bit set beyond a part's end, no sum too large, no byte too few or
 * too many.
 */
#include <stddef.h>
#include <stdint.h>

#include "deltas_impl.h"

size_t qkd_deltas_room(size_t count) { return 9 * count + 3 * (count / BLOCK + 1) + SPARE; }

static uint64_t load_word(const uint8_t *bytes) {
  uint64_t word = 0;
  for (unsigned i = 0; i < 8; i++) word |= (uint64_t)bytes[i] << 8 * i;
  return word;
}

static uint8_t *end(const qkd_bit_writer *out) {
  if (out->count) *out->at = (uint8_t)out->bits;
  return out->at + (out->count > 0);
}

/* Codes one block; returns where it ends, or NULL for values that have no coding. */
static uint8_t *encode_block(const int64_t *restrict values, size_t count, int64_t start,
                             uint64_t *last, uint8_t *restrict bytes) {
  uint64_t before = *last;
  for (size_t i = 0; i < count; i++) {
    const uint64_t value = (uint64_t)values[i] - (uint64_t)start;
    if (values[i] < start || value >> 63 || value < before) return NULL;
    before = value;
  }
  const unsigned k = qkd_deltas_parameter(before - *last, count);
  *bytes = (uint8_t)k;
  qkd_bit_writer low = {bytes + 1, 0, 0};
  before = *last;
  for (size_t i = 0; i < count; i++) {
    const uint64_t value = (uint64_t)values[i] - (uint64_t)start;
    const uint64_t bits = (value - before) & ((UINT64_C(1) << k) - 1);
    if (k <= MOST_PUT) {
      put(&low, bits, k);
    } else {
      put(&low, bits & UINT32_MAX, 32);
      put(&low, bits >> 32, k - 32);
    }
    before = value;
  }
  qkd_bit_writer high = {end(&low), 0, 0};
  before = *last;
  for (size_t i = 0; i < count; i++) {
    const uint64_t value = (uint64_t)values[i] - (uint64_t)start;
    uint64_t zeros = (value - before) >> k;
    for (; zeros > 32; zeros -= 32) put(&high, 0, 32);
    put(&high, UINT64_C(1) << zeros, (unsigned)zeros + 1);
    before = value;
  }
  *last = before;
  return end(&high);
}

int64_t qkd_deltas_encode(int tier, const int64_t *values, size_t count, int64_t start,
                          uint8_t *bytes) {
  qkd_deltas_place at = {0, 0, 0};
#if !defined(__x86_64__)
  (void)tier;
#endif
  for (;;) {
#if defined(__x86_64__)
    if (tier)
      at = (tier > 1 ? qkd_deltas_encode_avx512 : qkd_deltas_encode_avx2)(values, count, start, at,
                                                                          bytes);
#endif
    if (at.values == count) return (int64_t)at.bytes;
    const size_t left = count - at.values, taken = left < BLOCK ? left : BLOCK;
    const uint8_t *stop =
        encode_block(values + at.values, taken, start, &at.last, bytes + at.bytes);
    if (!stop) return -1;
    at.values += taken;
    at.bytes = (size_t)(stop - bytes);
  }
}

/* The 64 bits from a byte on, zeros beyond the end. */
static uint64_t peek(const uint8_t *bytes, size_t length, size_t at) {
  if (length - at >= 8) return load_word(bytes + at);
  uint64_t word = 0;
  for (unsigned i = 0; at + i < length; i++) word |= (uint64_t)bytes[at + i] << 8 * i;
  return word;
}

/* The k bits from a bit on; all of them lie before the end. */
static uint64_t bits_at(const uint8_t *bytes, size_t length, size_t bit, unsigned k) {
  const unsigned shift = bit % 8;
  uint64_t word = peek(bytes, length, bit / 8) >> shift;
  if (shift + k > 64) word |= (uint64_t)bytes[bit / 8 + 8] << (64 - shift);
  return word & ((UINT64_C(1) << k) - 1);
}

/* Decodes one block; 0 where the bytes are not the coding of any values up to limit above start. */
static int decode_block(const uint8_t *restrict bytes, size_t length, size_t count, int64_t start,
                        uint64_t limit, qkd_deltas_place *at, int64_t *restrict values) {
  if (at->bytes == length || bytes[at->bytes] > LARGEST_K) return 0;
  const unsigned k = bytes[at->bytes];
  bytes += at->bytes + 1;
  length -= at->bytes + 1;
  const size_t low_bits = count * k, low_bytes = (low_bits + 7) / 8;
  if (length < low_bytes) return 0;
  if (low_bits % 8 && bytes[low_bytes - 1] >> low_bits % 8) return 0;

  uint64_t last = at->last;
  size_t done = 0, place = low_bytes, next = 0; /* next: the bit after the one before */
  for (; done < count; place += 8) {
    if (place >= length || 8 * (place - low_bytes) >= 3 * count) return 0;
    for (uint64_t ones = peek(bytes, length, place); ones && done < count; ones &= ones - 1) {
      const size_t bit = 8 * (place - low_bytes) + (unsigned)__builtin_ctzll(ones);
      const uint64_t high = bit - next;
      if (high > limit >> k) return 0;
      const uint64_t difference = high << k | bits_at(bytes, length, done * k, k);
      if (difference > limit - last) return 0;
      last += difference;
      values[at->values + done++] = (int64_t)((uint64_t)start + last);
      next = bit + 1;
    }
  }
  const size_t stop = low_bytes + (next + 7) / 8;
  if (next % 8 && bytes[stop - 1] >> next % 8) return 0;
  if (qkd_deltas_parameter(last - at->last, count) != k) return 0;
  at->values += count;
  at->bytes += 1 + stop;
  at->last = last;
  return 1;
}

int64_t qkd_deltas_read(int tier, const uint8_t *bytes, size_t length, size_t count,
                        int64_t start, int64_t *values) {
  qkd_deltas_place at = {0, 0, 0};
  const uint64_t limit = (uint64_t)INT64_MAX - (start > 0 ? (uint64_t)start : 0);
#if !defined(__x86_64__)
  (void)tier;
#endif
  for (;;) {
#if defined(__x86_64__)
    if (tier)
      at = (tier > 1 ? qkd_deltas_decode_avx512 : qkd_deltas_decode_avx2)(bytes, length, count,
                                                                          start, limit, at, values);
#endif
    if (at.values == count) return (int64_t)at.bytes;
    const size_t left = count - at.values, taken = left < BLOCK ? left : BLOCK;
    if (!decode_block(bytes, length, taken, start, limit, &at, values)) return -1;
  }
}

int qkd_deltas_decode(int tier, const uint8_t *bytes, size_t length, size_t count, int64_t start,
                      int64_t *values) {
  const int64_t read = qkd_deltas_read(tier, bytes, length, count, start, values);
  return read >= 0 && (uint64_t)read == length ? 0 : -1;
}
