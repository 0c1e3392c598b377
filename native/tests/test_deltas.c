/* Delta coding against hand-made bytes, and hostile ones. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "deltas.h"
#include "tier.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

static int by_hand(int tier) {
  int failures = 0;
  uint8_t bytes[64];
  int64_t back[4];

  const int64_t values[3] = {5, 133, INT64_MAX};
  const uint8_t head[3] = {0x05, 0x80, 0x01};
  const int64_t length = qkd_deltas_encode(tier, values, 3, 0, bytes);
  failures += check(length == 12 && memcmp(bytes, head, 3) == 0, "coding");
  failures += check(qkd_deltas_decode(tier, bytes, (size_t)length, 3, 0, back) == 0 &&
                        memcmp(values, back, sizeof values) == 0, "there and back");
  failures += check(qkd_deltas_decode(tier, bytes, (size_t)length, 3, 1, back) == -1, "beyond int64");
  failures += check(qkd_deltas_decode(tier, bytes, (size_t)length - 1, 3, 0, back) == -1, "cut short");
  failures += check(qkd_deltas_decode(tier, bytes, (size_t)length, 2, 0, back) == -1, "left over");

  const int64_t falling[2] = {7, 6};
  failures += check(qkd_deltas_encode(tier, falling, 2, 0, bytes) == -1, "falling");
  const int64_t wide[2] = {INT64_MIN, INT64_MAX};
  failures += check(qkd_deltas_encode(tier, wide, 2, INT64_MIN, bytes) == -1, "too wide a step");
  const uint8_t padded[2] = {0x81, 0x00};
  failures += check(qkd_deltas_decode(tier, padded, 2, 1, 0, back) == -1, "padded coding");
  uint8_t endless[16];
  memset(endless, 0xff, sizeof endless);
  failures += check(qkd_deltas_decode(tier, endless, sizeof endless, 1, 0, back) == -1, "endless");
  return failures;
}

enum { VALUES = 2000 };

/* Codes of all lengths, the short ones prevailing; and each of their bytes spoilt in turn. */
static int tiers_agree(void) {
  static int64_t values[VALUES], back[2][VALUES];
  static uint8_t bytes[2][9 * VALUES];
  int failures = 0;
  uint64_t random = 1;
  for (unsigned round = 0; round < 50; round++) {
    const size_t count = VALUES - round * 39;
    int64_t now = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
      random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      const unsigned longest = round % 2 ? 17 : 51;
      const unsigned width = random >> 32 & 63 || round % 5 ? longest : 57;
      now += (int64_t)((random >> 7) & ((UINT64_C(1) << (random >> 58) % width) - 1));
      values[i] = now;
    }
    int64_t length[2];
    for (int tier = 1; tier <= qkd_tier_best(); tier++) {
      for (int i = 0; i < 2; i++)
        length[i] = qkd_deltas_encode(i * tier, values, count, INT64_MIN, bytes[i]);
      failures += check(length[0] > 0 && length[0] == length[1] &&
                            memcmp(bytes[0], bytes[1], (size_t)length[0]) == 0, "coding tiers");
      for (int i = 0; i < 2; i++)
        failures += check(qkd_deltas_decode(i * tier, bytes[0], (size_t)length[0], count, INT64_MIN,
                                            back[i]) == 0 &&
                              memcmp(back[i], values, 8 * count) == 0, "decoding tiers");
      for (size_t at = round; at < (size_t)length[0]; at += 97) {
        const uint8_t sound = bytes[0][at];
        bytes[0][at] ^= (uint8_t)(at % 3 ? 0x80 : sound);
        int verdict[2];
        for (int i = 0; i < 2; i++)
          verdict[i] = qkd_deltas_decode(i * tier, bytes[0], (size_t)length[0], count, INT64_MIN,
                                         back[i]);
        failures += check(verdict[0] == verdict[1], "verdicts on spoilt bytes");
        failures += check(verdict[0] || memcmp(back[0], back[1], 8 * count) == 0, "spoilt values");
        bytes[0][at] = sound;
      }
      values[count / 2]--;
      const int64_t other = qkd_deltas_encode(0, values, count, INT64_MIN, bytes[0]);
      failures += check(other == qkd_deltas_encode(tier, values, count, INT64_MIN, bytes[1]),
                        "falling tiers");
      values[count / 2]++;
    }
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier);
  return failures;
}
