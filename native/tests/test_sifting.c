/* The sift by hand, and its versions against the portable one and against each other's form. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sifting.h"
#include "tier.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

/* Exactly as many bytes as needed, for the address sanitizer to see any beyond. */
static uint8_t *room(size_t bytes) {
  uint8_t *at = calloc(bytes + !bytes, 1);
  if (!at) abort();
  return at;
}

static int by_hand(int tier) {
  int failures = 0;
  const uint8_t codes[9] = {0, 1, 2, 3, 5, 7, 1, 3, 6}; /* bit 2, of several clicks, says nothing */
  const uint8_t peer[2] = {0xAA, 0x01};                 /* z x z x z x z x, x */
  uint8_t z[9], x[9], bases[2], taken[3];
  size_t kept[2];
  qkd_sift_bases(tier, codes, 9, bases);
  failures += check(bases[0] == 0xAC && bases[1] == 1, "bases");
  qkd_sift(tier, codes, peer, 9, z, x, kept);
  failures += check(kept[0] == 3 && memcmp(z, (uint8_t[]){0, 1, 1}, 3) == 0, "z");
  failures += check(kept[1] == 4 && memcmp(x, (uint8_t[]){1, 1, 1, 0}, 4) == 0, "x");
  qkd_sift_packed(tier, codes, peer, 9, z, x, kept);
  failures += check(kept[0] == 3 && z[0] == 6 && kept[1] == 4 && x[0] == 7, "packed");
  const int64_t indices[3] = {8, 0, 3}, outside[3] = {0, 9, 0}, below[3] = {0, -1, 0};
  failures += check(qkd_sift_take(codes, 9, indices, 3, taken) == 0 &&
                        memcmp(taken, (uint8_t[]){6, 0, 3}, 3) == 0, "taken");
  failures += check(qkd_sift_take(codes, 9, outside, 3, taken) == -1 &&
                        qkd_sift_take(codes, 9, below, 3, taken) == -1, "outside");
  const int64_t dropped[3] = {0, 1, 8}, again[2] = {4, 4};
  uint8_t rest[9];
  failures += check(qkd_sift_drop(codes, 9, dropped, 3, rest) == 0 &&
                        memcmp(rest, codes + 2, 6) == 0, "dropped");
  failures += check(qkd_sift_drop(codes, 9, dropped, 0, rest) == 0 &&
                        memcmp(rest, codes, 9) == 0, "none dropped");
  failures += check(qkd_sift_drop(codes, 9, outside, 3, rest) == -1 &&
                        qkd_sift_drop(codes, 9, again, 2, rest) == -1, "indices that do not rise");
  return failures;
}

/* The last code is named first: what comes before it is more than there is room for. */
static int no_room_for_a_late_refusal(void) {
  const uint8_t codes[9] = {0};
  const int64_t falling[3] = {8, 3, 2}, many[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  uint8_t *six = room(6), *none = room(0);
  const int failures =
      check(qkd_sift_drop(codes, 9, falling, 3, six) == -1, "falling indices") +
      check(qkd_sift_drop(codes, 9, many, 10, none) == -1, "more indices than codes");
  free(six), free(none);
  return failures;
}

static int tiers_agree(void) {
  int failures = 0;
  uint64_t random = 1;
  for (size_t count = 0; count < 700; count += 1 + count / 9) {
    const size_t bytes = (count + 7) / 8;
    uint8_t *codes = room(count), *peer = room(bytes);
    uint8_t *z[2] = {room(count), room(count)}, *x[2] = {room(count), room(count)};
    uint8_t *packed_z[2] = {room(bytes), room(bytes)}, *packed_x[2] = {room(bytes), room(bytes)};
    uint8_t *bases[2] = {room(bytes), room(bytes)};
    for (size_t i = 0; i < count; i++) {
      random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      /* Now and then long runs that agree in one basis, or in none. */
      const unsigned style = (unsigned)(count % 4);
      codes[i] = (uint8_t)((random >> 32 & 0xFD) | (style & 1 ? 2 : random >> 20 & 2));
      const unsigned basis = style & 2 ? codes[i] >> 1 & 1u : (unsigned)(random >> 50 & 1);
      peer[i / 8] |= (uint8_t)(basis << i % 8);
    }
    for (int tier = 0; tier <= qkd_tier_best(); tier++) {
      const int i = tier > 0;
      size_t kept[2], packed[2];
      qkd_sift_bases(tier, codes, count, bases[i]);
      qkd_sift(tier, codes, peer, count, z[i], x[i], kept);
      qkd_sift_packed(tier, codes, peer, count, packed_z[i], packed_x[i], packed);
      failures += check(memcmp(kept, packed, sizeof kept) == 0, "lengths of both forms");
      int same = 1;
      for (size_t at = 0; at < kept[0]; at++) same &= (packed_z[i][at / 8] >> at % 8 & 1) == z[i][at];
      for (size_t at = 0; at < kept[1]; at++) same &= (packed_x[i][at / 8] >> at % 8 & 1) == x[i][at];
      failures += check(same, "both forms");
      failures += check(memcmp(bases[0], bases[i], bytes) == 0, "bases of the tiers");
      failures += check(memcmp(z[0], z[i], kept[0]) == 0 && memcmp(x[0], x[i], kept[1]) == 0 &&
                            memcmp(packed_z[0], packed_z[i], (kept[0] + 7) / 8) == 0 &&
                            memcmp(packed_x[0], packed_x[i], (kept[1] + 7) / 8) == 0, "tiers");
      for (size_t at = kept[0]; at < count; at++) failures += check(z[i][at] == 0, "left in z");
      for (size_t at = kept[1]; at < count; at++) failures += check(x[i][at] == 0, "left in x");
    }
    for (int i = 0; i < 2; i++) {
      free(z[i]), free(x[i]), free(packed_z[i]), free(packed_x[i]), free(bases[i]);
    }
    free(codes), free(peer);
  }
  return failures;
}

int main(void) {
  int failures = tiers_agree() + no_room_for_a_late_refusal();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += by_hand(tier);
  return failures;
}
