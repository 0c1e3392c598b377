/* The sift by hand, and its versions against a plain reading of the codes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sifting.h"
#include "test.h"
#include "tier.h"

/* Exactly as many bytes as needed, for the address sanitizer to see any beyond. */
static void *room(size_t bytes) {
  void *at = calloc(bytes + !bytes, 1);
  if (!at) abort();
  return at;
}

static int by_hand(int tier) {
  int failures = 0;
  uint8_t codes[9] = {0, 1, 2, 3, 5, 7, 1, 3, 6}, taken[3];
  const uint8_t all[9] = {0, 1, 2, 3, 5, 7, 1, 3, 6};
  const uint8_t peer[2] = {0xAA, 0x01}; /* z x z x z x z x, x */
  const int64_t indices[3] = {8, 0, 3}, outside[3] = {0, 9, 0}, below[3] = {0, -1, 0};
  uint64_t bits, bases;
  size_t kept[2];
  failures += check(qkd_sift_take(all, 9, indices, 3, taken) == 0 &&
                        memcmp(taken, (uint8_t[]){6, 0, 3}, 3) == 0, "taken");
  failures += check(qkd_sift_take(all, 9, outside, 3, taken) == -1 &&
                        qkd_sift_take(all, 9, below, 3, taken) == -1, "outside");
  failures += check(qkd_sift_codes(tier, codes, 9, &bits, &bases) == 3, "several clicks");
  failures += check(bits == 0xFA && bases == 0x1AC, "bits and bases");
  for (size_t i = 0; i < 9; i++) failures += check(codes[i] == 0, "codes are wiped");
  qkd_sift(tier, &bits, &bases, peer, 9, kept);
  failures += check(kept[0] == 3 && bits == 6, "z");
  failures += check(kept[1] == 4 && bases == 7, "x");
  return failures;
}

static int tiers_agree_with_a_plain_reading(void) {
  int failures = 0;
  uint64_t seed = 1;
  for (size_t count = 0; count < 700; count += 1 + count / 9) {
    const size_t words = (count + 63) / 64;
    uint8_t *codes = room(count), *peer = room((count + 7) / 8), *used = room(count);
    uint64_t *bits = room(8 * words), *bases = room(8 * words);
    uint64_t *string[2] = {room(8 * words), room(8 * words)};
    size_t length[2] = {0, 0}, kept[2], several = 0;
    for (size_t i = 0; i < count; i++) {
      const uint64_t random = splitmix64(&seed);
      /* Now and then long runs that agree in one basis, or in none. */
      const unsigned style = (unsigned)(count % 4);
      codes[i] = (uint8_t)((random >> 32 & 0xFD) | (style & 1 ? 2 : random >> 20 & 2));
      const unsigned own = codes[i] >> 1 & 1u;
      const unsigned basis = style & 2 ? own : (unsigned)(random >> 50 & 1);
      peer[i / 8] |= (uint8_t)(basis << i % 8);
      several += codes[i] >> 2 & 1u;
      if (own != basis) continue;
      string[own][length[own] / 64] |= (uint64_t)(codes[i] & 1u) << length[own] % 64;
      length[own]++;
    }
    for (int tier = 0; tier <= qkd_tier_best(); tier++) {
      memcpy(used, codes, count);
      failures += check(qkd_sift_codes(tier, used, count, bits, bases) == several, "several");
      for (size_t i = 0; i < count; i++) {
        failures += check(used[i] == 0, "codes are wiped");
        failures += check((bits[i / 64] >> i % 64 & 1) == (codes[i] & 1u), "bits");
        failures += check((bases[i / 64] >> i % 64 & 1) == (codes[i] >> 1 & 1u), "bases");
      }
      qkd_sift(tier, bits, bases, peer, count, kept);
      failures += check(memcmp(kept, length, sizeof kept) == 0, "lengths");
      failures += check(memcmp(bits, string[0], 8 * words) == 0 &&
                            memcmp(bases, string[1], 8 * words) == 0, "strings, and zeros behind");
    }
    free(codes), free(peer), free(used), free(bits), free(bases), free(string[0]), free(string[1]);
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree_with_a_plain_reading();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier);
  return failures;
}
