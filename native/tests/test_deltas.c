/* Delta coding against hand-made bytes, and hostile ones. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deltas.h"
#include "test.h"
#include "tier.h"

static int by_hand(int tier) {
  int failures = 0;
  uint8_t bytes[128];
  int64_t back[4];

  /* A span of 22 over three values: k = 2. Low parts 1, 3, 2; zeros before the ones 1, 3, 0. */
  const int64_t values[3] = {105, 120, 122};
  const uint8_t coding[3] = {2, 0x01 | 0x03 << 2 | 0x02 << 4, 0x02 | 0x20 | 0x40};
  const int64_t length = qkd_deltas_encode(tier, values, 3, 100, bytes);
  failures += check(length == 3 && memcmp(bytes, coding, 3) == 0, "coding");
  failures += check(qkd_deltas_decode(tier, coding, 3, 3, 100, back) == 0 &&
                        memcmp(values, back, sizeof values) == 0, "there and back");
  failures += check(qkd_deltas_decode(tier, coding, 3, 3, INT64_MAX - 21, back) == -1,
                    "beyond int64");
  failures += check(qkd_deltas_decode(tier, coding, 2, 3, 100, back) == -1, "cut short");
  failures += check(qkd_deltas_decode(tier, coding, 3, 2, 100, back) == -1, "left over");
  const uint8_t set_beyond[3] = {2, 0x40 | 0x2D, 0x62};
  failures += check(qkd_deltas_decode(tier, set_beyond, 3, 3, 100, back) == -1, "set bits beyond");
  const uint8_t other_k[3] = {1, 0x01, 0x07};
  failures += check(qkd_deltas_decode(tier, other_k, 3, 3, 100, back) == -1, "another parameter");
  const uint8_t endless[16] = {62};
  failures += check(qkd_deltas_decode(tier, endless, 16, 1, 0, back) == -1, "no one in sight");

  const int64_t far[2] = {0, INT64_MAX};
  const int64_t far_length = qkd_deltas_encode(tier, far, 2, 0, bytes);
  failures += check(far_length > 0 &&
                        qkd_deltas_decode(tier, bytes, (size_t)far_length, 2, 0, back) == 0 &&
                        memcmp(far, back, sizeof far) == 0, "the longest difference");
  failures += check(qkd_deltas_decode(tier, bytes, (size_t)far_length, 2, 1, back) == -1,
                    "the longest difference from 1");
  const int64_t falling[2] = {7, 6};
  failures += check(qkd_deltas_encode(tier, falling, 2, 0, bytes) == -1, "falling");
  failures += check(qkd_deltas_encode(tier, falling, 1, 8, bytes) == -1, "below start");
  failures += check(qkd_deltas_encode(tier, far, 2, -1, bytes) == -1, "too wide a span");
  failures += check(qkd_deltas_encode(tier, far, 0, 0, bytes) == 0 &&
                        qkd_deltas_decode(tier, bytes, 0, 0, 0, back) == 0, "nothing");
  return failures;
}

enum { VALUES = 2000 };

/* Decodes from a copy of just so many bytes, for the address sanitizer to see any beyond. */
static int decoded(int tier, const uint8_t *bytes, size_t length, size_t count, int64_t *values) {
  uint8_t *copy = malloc(length + !length);
  if (!copy) abort();
  memcpy(copy, bytes, length);
  const int verdict = qkd_deltas_decode(tier, copy, length, count, INT64_MIN / 2, values);
  free(copy);
  return verdict;
}

/* Differences of all widths, and every 97th byte of their coding spoilt in turn. */
static int tiers_agree(void) {
  static int64_t values[VALUES], back[2][VALUES];
  static uint8_t bytes[2][9 * VALUES + 128];
  int failures = 0;
  uint64_t seed = 1;
  for (unsigned round = 0; round < 60; round++) {
    const size_t count = VALUES - round * 31;
    int64_t now = INT64_MIN / 2;
    for (size_t i = 0; i < count; i++) {
      const uint64_t random = splitmix64(&seed);
      const int outlier = round % 5 == 0 && (random >> 32 & 255) == 0;
      const unsigned width = outlier ? 50 : round % 52;
      now += (int64_t)((random >> 11) & ((UINT64_C(1) << width) - 1));
      values[i] = now;
    }
    for (int tier = 1; tier <= qkd_tier_best(); tier++) {
      int64_t length[2];
      for (int i = 0; i < 2; i++)
        length[i] = qkd_deltas_encode(i * tier, values, count, INT64_MIN / 2, bytes[i]);
      failures += check(length[0] > 0 && length[0] == length[1] &&
                            memcmp(bytes[0], bytes[1], (size_t)length[0]) == 0, "coding tiers");
      failures += check((size_t)length[0] <= qkd_deltas_room(count), "room");
      for (int i = 0; i < 2; i++)
        failures += check(decoded(i * tier, bytes[0], (size_t)length[0], count, back[i]) == 0 &&
                              memcmp(back[i], values, 8 * count) == 0, "decoding tiers");
      for (size_t at = round % 97; at < (size_t)length[0]; at += 97) {
        const uint8_t sound = bytes[0][at];
        bytes[0][at] ^= (uint8_t)(at % 3 ? 1u << at % 8 : at);
        const size_t kept = (size_t)length[0] - (at % 4 ? 0 : at % 100 % (size_t)length[0]);
        int verdict[2];
        for (int i = 0; i < 2; i++)
          verdict[i] = decoded(i * tier, bytes[0], kept, count, back[i]);
        failures += check(verdict[0] == verdict[1], "verdicts on spoilt bytes");
        failures += check(verdict[0] || memcmp(back[0], back[1], 8 * count) == 0, "spoilt values");
        bytes[0][at] = sound;
      }
      const int64_t kept = values[count / 2];
      values[count / 2] = values[count / 2 - 1] - 1;
      failures += check(qkd_deltas_encode(0, values, count, INT64_MIN / 2, bytes[0]) == -1 &&
                            qkd_deltas_encode(tier, values, count, INT64_MIN / 2, bytes[1]) == -1,
                        "falling tiers");
      values[count / 2] = kept;
    }
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier);
  return failures;
}
