/* Variable-length coding of sorted integers: unsigned LEB128 (DWARF 5, section 7.6) of differences.
 *
 * The decoder reads what a peer sent. It accepts one coding of each sequence only: no padding of a
 * difference with empty high bytes, no sum beyond int64, no byte too few or too many.
 */
#include <stddef.h>
#include <stdint.h>

#include "deltas_impl.h"

enum { LAST_SHIFT = 56 }; /* nine groups of seven bits: every difference below 2^63 */

/* Codes one value; 0 where it lies below the last or too far above it. */
static int encode_one(int64_t value, qkd_deltas_place *at, uint8_t *bytes) {
  if (value < at->last) return 0;
  uint64_t rest = (uint64_t)value - (uint64_t)at->last;
  if (rest >> 63) return 0;
  at->last = value;
  for (; rest >= 0x80; rest >>= 7) bytes[at->bytes++] = (uint8_t)(rest | 0x80);
  bytes[at->bytes++] = (uint8_t)rest;
  at->values++;
  return 1;
}

int64_t qkd_deltas_encode(int tier, const int64_t *values, size_t count, int64_t start,
                          uint8_t *bytes) {
  qkd_deltas_place at = {0, 0, start};
#if !defined(__x86_64__)
  tier = 0;
#endif
  while (at.values < count) {
#if defined(__x86_64__)
    if (tier)
      at = (tier > 1 ? qkd_deltas_encode_avx512 : qkd_deltas_encode_avx2)(values, count, at, bytes);
#endif
    /* What stopped a vector version, or without one all. */
    const size_t stop = tier && count - at.values > 64 ? at.values + 8 : count;
    while (at.values < stop)
      if (!encode_one(values[at.values], &at, bytes)) return -1;
  }
  return (int64_t)at.bytes;
}

/* Decodes one value; 0 where the bytes are not the coding of any. */
static int decode_one(const uint8_t *bytes, size_t length, qkd_deltas_place *at, int64_t *values) {
  uint64_t difference = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (at->bytes == length || shift > LAST_SHIFT) return 0;
    const uint8_t byte = bytes[at->bytes++];
    difference |= (uint64_t)(byte & 0x7f) << shift;
    if (byte & 0x80) continue;
    if (byte == 0 && shift > 0) return 0;
    break;
  }
  const uint64_t room = (uint64_t)INT64_MAX - (uint64_t)at->last;
  if (difference > room) return 0;
  at->last = (int64_t)((uint64_t)at->last + difference);
  values[at->values++] = at->last;
  return 1;
}

int qkd_deltas_decode(int tier, const uint8_t *bytes, size_t length, size_t count, int64_t start,
                      int64_t *values) {
  qkd_deltas_place at = {0, 0, start};
#if !defined(__x86_64__)
  tier = 0;
#endif
  while (at.values < count) {
#if defined(__x86_64__)
    if (tier)
      at = (tier > 1 ? qkd_deltas_decode_avx512 : qkd_deltas_decode_avx2)(bytes, length, count, at,
                                                                          values);
#endif
    const size_t stop = tier && count - at.values > 128 ? at.values + 8 : count;
    while (at.values < stop)
      if (!decode_one(bytes, length, &at, values)) return -1;
  }
  return at.bytes == length ? 0 : -1;
}
