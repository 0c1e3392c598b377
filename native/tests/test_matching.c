/* The pairing rule by hand. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "matching.h"
#include "test.h"
#include "tier.h"

static int by_hand(int tier) {
  int failures = 0;
  int64_t ia[4 + QKD_MATCH_SPARE], ib[4 + QKD_MATCH_SPARE];
  uint64_t ambiguous = 0;
  /* 100 has one partner; 200 has two; 300 and 304 share one; 400 has none. */
  const int64_t a[5] = {100, 200, 300, 304, 400};
  const int64_t b[4] = {105, 197, 203, 302};
  size_t pairs = qkd_match(tier, a, 5, b, 4, 0, 0, 0, 5, ia, ib, &ambiguous);
  failures += check(pairs == 1 && ia[0] == 0 && ib[0] == 0, "one clean pair, at the very edge");
  failures += check(ambiguous == 3, "three ambiguous");
  pairs = qkd_match(tier, a, 5, b, 4, 0, -5, 0, 0, NULL, NULL, &ambiguous);
  failures += check(pairs == 1, "a shift, counting only");
  failures += check(qkd_match(tier, a, 0, b, 4, 0, 0, 0, 5, ia, ib, &ambiguous) == 0, "empty list");

  /* A clock a quarter of a tenth fast from 100 on: 105, 199.4, 205.6, 307.1. */
  int64_t indices[4 + QKD_MATCH_SPARE];
  uint8_t kept[4 + QKD_MATCH_SPARE];
  uint32_t residuals[9];
  const uint8_t codes[5] = {7, 6, 5, 4, 3};
  const int64_t fast = INT64_C(1) << 59; /* of 2^64, 1 / 32 */
  size_t inside = qkd_match_slice(tier, a, codes, 5, b, 4, 100, 0, fast, 4, 100, 300, 10, 11,
                                  indices, kept, residuals);
  failures += check(inside == 1 && indices[0] == 11 && kept[0] == 6, "200 and 200");
  failures += check(residuals[4] == 1 && residuals[3] == 0 && residuals[5] == 0, "no residual");
  inside = qkd_match_slice(tier, a, codes, 5, b, 4, 100, 1, fast, 4, 100, 300, 10, 12, indices,
                           kept, residuals);
  failures += check(inside == 0 && residuals[3] == 0, "matched before");
  inside = qkd_match_slice(tier, a, codes, 5, b, 4, 100, 1, fast, 4, 201, 300, 10, 11, indices,
                           kept, residuals);
  failures += check(inside == 0 && residuals[3] == 0, "before the slice");
  return failures;
}

enum { TIMES = 3000 };

/* Times at random steps, with crowds in which many are near each other. */
static void fill(int64_t *times, uint64_t seed, uint32_t widest) {
  const int64_t gap = (int64_t)(seed % 5 == 4) << 33; /* that no vector version maps across */
  int64_t now = 0;
  for (size_t i = 0; i < TIMES; i++) {
    if (i % 300 == 0) now += gap;
    const uint32_t draw = (uint32_t)splitmix64(&seed);
    now += draw % (i / 64 % 9 == 3 ? 3 : widest);
    times[i] = now;
  }
}

static int tiers_agree(void) {
  static int64_t a[TIMES], b[TIMES], ia[2][TIMES + QKD_MATCH_SPARE], ib[2][TIMES + QKD_MATCH_SPARE];
  static uint8_t codes[TIMES], kept[2][TIMES + QKD_MATCH_SPARE];
  static uint32_t residuals[2][2 * 40000 + 1];
  int failures = 0;
  for (size_t i = 0; i < TIMES; i++) codes[i] = (uint8_t)(i % 251);
  for (uint64_t seed = 0; seed < 60; seed++) {
    fill(a, seed, 100);
    fill(b, seed + 1000, seed % 3 ? 100 : 20);
    const size_t from_a = seed % 7, from_b = seed % 11;
    const size_t count_a = TIMES - from_a - seed, count_b = seed % 13 ? TIMES - from_b : seed % 5;
    const int64_t window = seed % 10 == 9 ? 40000 : (int64_t)(seed * seed % 50);
    const int64_t offset = (int64_t)seed - 30, origin = offset * (INT64_C(1) << (seed % 40));
    const int64_t rate = seed % 4 ? offset * (INT64_C(1) << (10 * (seed % 6))) : 0;
    for (int tier = 1; tier <= qkd_tier_best(); tier++) {
      size_t pairs[2];
      uint64_t ambiguous[2];
      for (int i = 0; i < 2; i++)
        pairs[i] = qkd_match(i * tier, a + from_a, count_a, b + from_b, count_b, origin, offset,
                             rate, window, ia[i], ib[i], &ambiguous[i]);
      failures += check(pairs[0] == pairs[1] && ambiguous[0] == ambiguous[1] &&
                            memcmp(ia[0], ia[1], 8 * pairs[0]) == 0 &&
                            memcmp(ib[0], ib[1], 8 * pairs[0]) == 0, "tiers agree");
      for (int i = 0; i < 2; i++)
        pairs[i] = qkd_match_slice(i * tier, a + from_a, codes, count_a, b + from_b, count_b,
                                   origin, offset, rate, window, a[TIMES / 9], a[TIMES / 2], 3,
                                   (int64_t)seed * 9, ia[i], kept[i], residuals[i]);
      failures += check(pairs[0] == pairs[1] && memcmp(ia[0], ia[1], 8 * pairs[0]) == 0 &&
                            memcmp(kept[0], kept[1], pairs[0]) == 0 &&
                            memcmp(residuals[0], residuals[1], 4 * (2 * (size_t)window + 1)) == 0,
                        "tiers agree on slices");
    }
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier);
  return failures;
}
