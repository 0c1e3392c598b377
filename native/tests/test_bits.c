/* Strings of bits against a plain reading, bit by bit, in every tier. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "test.h"
#include "tier.h"

static uint64_t seed = 1;

/* Exactly as many bytes as needed, for the address sanitizer to see any beyond. */
static void *room(size_t bytes) {
  void *at = calloc(bytes + !bytes, 1);
  if (!at) abort();
  return at;
}

static int some_are_kept(size_t count, uint64_t one_in) {
  const size_t words = (count + 63) / 64;
  uint64_t *string = room(8 * words), *used = room(8 * words);
  uint64_t *wanted[2] = {room(8 * words), room(8 * words)};
  int64_t *listed = room(8 * count);
  size_t kept[2] = {0, 0};
  int failures = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t bit = splitmix64(&seed) >> 60 & 1;
    const int chosen = (splitmix64(&seed) >> 20) % one_in == 0;
    string[i / 64] |= bit << i % 64;
    if (chosen) listed[kept[1]] = (int64_t)i;
    wanted[chosen][kept[chosen] / 64] |= bit << kept[chosen] % 64;
    kept[chosen]++;
  }
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    for (int chosen = 0; chosen < 2; chosen++) {
      memcpy(used, string, 8 * words);
      failures += check(qkd_bits_keep(tier, used, count, listed, kept[1], chosen) == 0, "kept");
      failures += check(memcmp(used, wanted[chosen], 8 * words) == 0, "in order, zeros behind");
      size_t differing = 0;
      for (size_t i = 0; i < count; i++)
        differing += (used[i / 64] ^ string[i / 64]) >> i % 64 & 1;
      failures += check(qkd_bits_differ(tier, used, string, words) == differing, "differing");
    }
    const int64_t wrong[][2] = {{-1, 0}, {(int64_t)count, 0}, {1, 1}, {2, 1}};
    memcpy(used, string, 8 * words);
    for (size_t i = 0; i < 4; i++)
      failures += check(qkd_bits_keep(tier, used, count, wrong[i], 2, 0) == -1, "refused");
    failures += check(memcmp(used, string, 8 * words) == 0, "what is refused changes nothing");
  }
  qkd_bits_wipe(used, words);
  for (size_t i = 0; i < words; i++) failures += check(used[i] == 0, "wiped");
  free(string), free(used), free(wanted[0]), free(wanted[1]), free(listed);
  return failures;
}

int main(void) {
  int failures = 0;
  for (size_t count = 0; count < 900; count += 1 + count / 7)
    for (uint64_t one_in = 1; one_in < 300; one_in *= 3) failures += some_are_kept(count, one_in);
  return failures;
}
