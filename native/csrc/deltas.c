/* Variable-length coding of sorted integers: unsigned LEB128 (DWARF 5, section 7.6) of differences.
 *
 * The decoder reads what a peer sent. It accepts one coding of each sequence only: no padding of a
 * difference with empty high bytes, no sum beyond int64, no byte too few or too many.
 */
#include <stddef.h>
#include <stdint.h>

#include "deltas.h"

enum { LAST_SHIFT = 56 }; /* nine groups of seven bits: every difference below 2^63 */

int64_t qkd_deltas_encode(const int64_t *values, size_t count, int64_t start, uint8_t *bytes) {
  uint8_t *at = bytes;
  for (size_t i = 0; i < count; i++) {
    if (values[i] < start) return -1;
    uint64_t rest = (uint64_t)values[i] - (uint64_t)start;
    if (rest >> 63) return -1;
    start = values[i];
    for (; rest >= 0x80; rest >>= 7) *at++ = (uint8_t)(rest | 0x80);
    *at++ = (uint8_t)rest;
  }
  return at - bytes;
}

int qkd_deltas_decode(const uint8_t *bytes, size_t length, size_t count, int64_t start,
                      int64_t *values) {
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t difference = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at == length || shift > LAST_SHIFT) return -1;
      const uint8_t byte = bytes[at++];
      difference |= (uint64_t)(byte & 0x7f) << shift;
      if (byte & 0x80) continue;
      if (byte == 0 && shift > 0) return -1;
      break;
    }
    const uint64_t room = (uint64_t)INT64_MAX - (uint64_t)start;
    if (difference > room) return -1;
    start = (int64_t)((uint64_t)start + difference);
    values[i] = start;
  }
  return at == length ? 0 : -1;
}
