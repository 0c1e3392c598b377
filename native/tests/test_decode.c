/* Words laid out by hand against the decoders. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "decode.h"
#include "test.h"
#include "tier.h"

static void store32(uint8_t *bytes, uint32_t word) {
  for (size_t i = 0; i < 4; i++) bytes[i] = (uint8_t)(word >> (8 * i));
}

static int tdc1(int tier) {
  int failures = 0;
  uint8_t bytes[16];
  int64_t times[16];
  uint8_t channels[16];
  qkd_tdc1 state;

  memset(&state, 0, sizeof state);
  store32(bytes, (UINT32_C(134217727) << 5) | 1);
  store32(bytes + 4, (UINT32_C(2) << 5) | 0x10);
  store32(bytes + 8, (UINT32_C(4) << 5) | 0xA);
  store32(bytes + 12, (UINT32_C(3) << 5) | 4);
  size_t tags = qkd_tdc1_decode(tier, &state, bytes, 6, times, channels);
  failures += check(tags == 1 && times[0] == 0 && channels[0] == 1, "one whole word of six bytes");
  tags = qkd_tdc1_decode(tier, &state, bytes + 6, 10, times, channels);
  failures += check(tags == 3, "two bits are two tags, a dummy none");
  failures += check(times[0] == 10000 && times[1] == 10000, "wrap of the 27-bit counter");
  failures += check(channels[0] == 2 && channels[1] == 4, "channels of the pattern");
  failures += check(times[2] == 8000 && state.backward_steps == 1, "one step back");
  failures += check(state.words == 4 && state.dummies == 1 && state.implausible == 0, "counts");
  return failures;
}

static int t2(int tier) {
  int failures = 0;
  uint8_t bytes[12];
  int64_t ticks[3];
  uint8_t channels[3];
  qkd_t2 state;

  memset(&state, 0, sizeof state);
  store32(bytes, UINT32_C(0xFE000000)); /* overflow with count 0 means one */
  store32(bytes + 4, UINT32_C(0x80000005));
  store32(bytes + 8, UINT32_C(0x02000006));
  const size_t tags = qkd_t2_decode(tier, &state, bytes, 3, 2, 1, ticks, channels);
  failures += check(tags == 2 && state.overflow_records == 1, "T2 record kinds");
  failures += check(ticks[0] == 33554437 && channels[0] == 0, "T2 sync");
  failures += check(ticks[1] == 33554438 && channels[1] == 2, "T2 input");
  return failures;
}

enum { WORDS = 4096 };

/* Mostly one tag a word and time running forward; every kind of word among them. */
static void fill(uint8_t *bytes, int kind) {
  uint64_t seed = 1;
  uint32_t ticks = 0;
  for (size_t i = 0; i < WORDS; i++) {
    const uint64_t random = splitmix64(&seed);
    const uint32_t draw = (uint32_t)(random >> 32);
    const int wild = draw % 31 == 0 || (i & 1024 && draw % 3 == 0);
    ticks += draw >> 20;
    const uint32_t plain = kind == 0 ? ticks << 5 | UINT32_C(1) << (draw >> 8 & 3)
                                     : (draw & 0x3F) << 25 | (ticks & 0x01FFFFFF);
    const uint32_t special = kind == 0 ? draw * 2654435761u : draw | UINT32_C(0xF0000000);
    store32(bytes + 4 * i, wild ? special : plain);
  }
}

static int tiers_agree(void) {
  static uint8_t bytes[4 * WORDS + 8];
  static int64_t times[2][4 * WORDS];
  static uint8_t channels[2][4 * WORDS];
  int failures = 0;
  for (int tier = 1; tier <= qkd_tier_best(); tier++) {
    for (size_t cut = 0; cut < 40; cut++) {
      const size_t words = WORDS - cut;
      const uint8_t *from = bytes + cut % 5;
      size_t tags[2];

      fill(bytes, 0);
      qkd_tdc1 tdc1s[2];
      memset(tdc1s, 0, sizeof tdc1s);
      for (int i = 0; i < 2; i++)
        tags[i] = qkd_tdc1_decode(i * tier, &tdc1s[i], from, 4 * words, times[i], channels[i]);
      failures += check(tags[0] == tags[1] && memcmp(times[0], times[1], 8 * tags[0]) == 0 &&
                            memcmp(channels[0], channels[1], tags[0]) == 0, "TDC1 tiers");
      failures += check(memcmp(&tdc1s[0], &tdc1s[1], sizeof tdc1s[0]) == 0, "TDC1 state");

      for (int format = 0; format < 3; format++) {
        qkd_word_counts counts[2];
        memset(counts, 0, sizeof counts);
        for (int i = 0; i < 2; i++)
          tags[i] = format < 2 ? qkd_a1_decode(i * tier, from, words / 2, format, times[i],
                                               channels[i], &counts[i])
                               : qkd_legacy_decode(i * tier, from, words / 2, times[i],
                                                   channels[i], &counts[i]);
        failures += check(tags[0] == tags[1] && memcmp(times[0], times[1], 8 * tags[0]) == 0 &&
                              memcmp(channels[0], channels[1], tags[0]) == 0, "event tiers");
        failures += check(memcmp(&counts[0], &counts[1], sizeof counts[0]) == 0, "event counts");
      }

      fill(bytes, 1);
      for (int flavour = 0; flavour < 3; flavour++) {
        qkd_t2 states[2];
        memset(states, 0, sizeof states);
        for (int i = 0; i < 2; i++)
          tags[i] = qkd_t2_decode(i * tier, &states[i], from, words, flavour, 5, times[i],
                                  channels[i]);
        failures += check(tags[0] == tags[1] && memcmp(times[0], times[1], 8 * tags[0]) == 0 &&
                              memcmp(channels[0], channels[1], tags[0]) == 0, "T2 tiers");
        failures += check(memcmp(&states[0], &states[1], sizeof states[0]) == 0, "T2 state");
      }
    }
  }
  return failures;
}

static int records(void) {
  const uint8_t bytes[20] = {5, 0, 0, 0, 0, 0, 0, 0, 2, 9, 4, 0, 0, 0, 0, 0, 0, 0, 3, 0};
  int64_t times[2];
  uint8_t channels[2];
  int failures = check(qkd_qutag_decode(bytes, 2, times, channels) == 1, "one step back");
  failures += check(times[0] == 5 && times[1] == 4 && channels[0] == 2 && channels[1] == 3,
                    "quTAG records");
  failures += check(qkd_uint64_decode(bytes, 1, 2, times + 1) == 0 && times[1] == 5, "uint64");
  return failures;
}

int main(void) {
  int failures = records() + tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += tdc1(tier) + t2(tier);
  return failures;
}
