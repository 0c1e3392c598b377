/* The dither's words against a published block of ChaCha, and all versions against the portable. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dither.h"
#include "test.h"
#include "tier.h"

enum { LANES = 8, COUNT = 300 };

/* ChaCha8 with key and nonce 0, blocks 0 and 1 (J. Strombergson, draft-strombergson-chacha-test-
 * vectors-01, TC1). The largest step shows the upper 32 bits of word * (2^32 - 1): word - 1, or 0. */
static int published(int tier) {
  static const uint8_t wanted[64] = {
      0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f,
      0x09, 0xa5, 0xa1, 0x2c, 0x84, 0x0e, 0xc3, 0xce, 0x9a, 0x7f, 0x3b, 0x18, 0x1b,
      0xe1, 0x88, 0xef, 0x71, 0x1a, 0x1e, 0x98, 0x4c, 0xe1, 0x72, 0xb9, 0x21, 0x6f,
      0x41, 0x9f, 0x44, 0x53, 0x67, 0x45, 0x6d, 0x56, 0x19, 0x31, 0x4a, 0x42, 0xa3,
      0xda, 0x86, 0xb0, 0x01, 0x38, 0x7b, 0xfd, 0xb8, 0x0e, 0x0c, 0xfe, 0x42};
  qkd_dither_state state = {{0}, 0};
  int64_t times[16 * LANES] = {0};
  qkd_dither(tier, &state, UINT32_MAX, times, 16 * LANES, times);
  int failures = check(state.next_block == LANES, "a batch is eight blocks");
  for (size_t word = 0; word < 16; word++) {
    uint32_t drawn = 0;
    for (size_t i = 0; i < 4; i++) drawn |= (uint32_t)wanted[4 * word + i] << 8 * i;
    failures += check(times[LANES * word] == (int64_t)(drawn - 1), "a published word");
  }
  return failures;
}

static int tiers_agree(void) {
  static int64_t times[COUNT], wanted[COUNT], found[COUNT];
  static const uint32_t steps[] = {0, 1, 2, 4, 2000, UINT32_MAX};
  int failures = 0;
  for (size_t i = 0; i < COUNT; i++) times[i] = i % 7 ? (int64_t)i * 1000 : INT64_MAX - 3;
  for (int tier = 1; tier <= qkd_tier_best(); tier++)
    for (size_t step = 0; step < sizeof steps / sizeof *steps; step++)
      for (size_t count = 0; count <= COUNT; count += 1 + count / 9) {
        /* The block number carries into its upper half. */
        qkd_dither_state one = {{1, 2, 3, 4, 5, 6, 7, 8}, UINT32_MAX - 3}, other = one;
        memset(wanted, 0, sizeof wanted);
        memset(found, 0, sizeof found);
        qkd_dither(0, &one, steps[step], times, count, wanted);
        qkd_dither(tier, &other, steps[step], times, count, found);
        failures += check(memcmp(wanted, found, sizeof found) == 0 &&
                              one.next_block == other.next_block, "tiers dither alike");
      }
  return failures;
}

int main(void) {
  int failures = tiers_agree();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += published(tier);
  return failures;
}
