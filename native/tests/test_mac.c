/* The polynomial hash against hand-computed products, and every tier against the portable one. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mac.h"
#include "test.h"
#include "tier.h"

enum { MOST_BLOCKS = 200 };

static int known_products(int tier) {
  int failures = 0;
  uint8_t key[16] = {2}; /* x */
  uint8_t block[16] = {0};
  uint8_t state[16] = {0};

  block[0] = 1;
  qkd_poly_absorb(state, key, block, 1, tier);
  failures += check(state[0] == 2, "1 * x = x");

  memset(state, 0, sizeof state);
  memset(block, 0, sizeof block);
  block[15] = 0x80; /* x^127 */
  qkd_poly_absorb(state, key, block, 1, tier);
  failures += check(state[0] == 0x87 && state[15] == 0, "x^127 * x = x^7 + x^2 + x + 1");
  return failures;
}

static uint64_t seed = 1;
static uint8_t random_byte(void) { return (uint8_t)splitmix64(&seed); }

static int equals_portable(int tier, size_t blocks, size_t offset) {
  static uint8_t data[16 * MOST_BLOCKS + 64];
  uint8_t key[16], expected[16], state[16];
  for (size_t i = 0; i < 16; i++) {
    key[i] = blocks % 3 ? random_byte() : 0xFF;
    state[i] = expected[i] = random_byte();
  }
  for (size_t i = 0; i < 16 * blocks; i++) data[offset + i] = blocks % 5 ? random_byte() : 0xFF;
  qkd_poly_absorb(expected, key, data + offset, blocks, 0);
  qkd_poly_absorb(state, key, data + offset, blocks, tier);
  return check(memcmp(state, expected, 16) == 0, "equal to the portable hash");
}

static int finishes_like_absorbing(int tier, size_t tail_bytes) {
  uint8_t key[16], state[16], digest[16], padded[16 * 8] = {0};
  for (size_t i = 0; i < 16; i++) key[i] = state[i] = random_byte();
  for (size_t i = 0; i < tail_bytes; i++) padded[i] = random_byte();
  const size_t blocks = (tail_bytes + 15) / 16;
  const uint64_t message_bytes = UINT64_C(0xA000000000000001);
  qkd_poly_finish(digest, state, key, padded, tail_bytes, message_bytes, tier);
  padded[16 * blocks] = 8;
  padded[16 * blocks + 8] = 5;
  qkd_poly_absorb(state, key, padded, blocks + 1, tier);
  return check(memcmp(state, digest, 16) == 0, "padding and length");
}

int main(void) {
  int failures = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    failures += known_products(tier);
    for (size_t bytes = 0; bytes <= 100; bytes++) failures += finishes_like_absorbing(tier, bytes);
    for (size_t blocks = 0; blocks <= MOST_BLOCKS; blocks++) {
      failures += equals_portable(tier, blocks, blocks % 64);
    }
  }
  return failures != 0;
}
