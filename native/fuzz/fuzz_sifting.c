/* The basis sift with the peer's bases, and with any positions. */
#include "fuzz.h"

#include "sifting.h"
#include "tier.h"

static void sift(const uint8_t *codes, const uint8_t *peer, size_t count) {
  const size_t packed = (count + 7) / 8;
  uint8_t *plain[2] = {room(count, 1), room(count, 1)};
  size_t kept[2] = {0, 0};
  for (size_t i = 0; i < count; i++) {
    const unsigned basis = codes[i] >> 1 & 1u;
    if ((peer[i / 8] >> i % 8 & 1u) == basis) plain[basis][kept[basis]++] = codes[i] & 1u;
  }
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint8_t *bases = room(packed, 1);
    uint8_t *bits[2] = {room(count, 1), room(count, 1)};
    uint8_t *tight[2] = {room(packed, 1), room(packed, 1)};
    size_t found[2], tightly[2];
    qkd_sift_bases(tier, codes, count, bases);
    for (size_t i = 0; i < 8 * packed; i++)
      require((bases[i / 8] >> i % 8 & 1u) == (i < count ? codes[i] >> 1 & 1u : 0));
    qkd_sift(tier, codes, peer, count, bits[0], bits[1], found);
    qkd_sift_packed(tier, codes, peer, count, tight[0], tight[1], tightly);
    for (int basis = 0; basis < 2; basis++) {
      require(found[basis] == kept[basis] && tightly[basis] == kept[basis]);
      require(memcmp(bits[basis], plain[basis], kept[basis]) == 0);
      for (size_t i = 0; i < kept[basis]; i++)
        require((tight[basis][i / 8] >> i % 8 & 1u) == plain[basis][i]);
      if (kept[basis] % 8) require(tight[basis][kept[basis] / 8] >> kept[basis] % 8 == 0);
      free(tight[basis]);
      free(bits[basis]);
    }
    free(bases);
  }
  free(plain[0]);
  free(plain[1]);
}

static void take_and_drop(const uint8_t *codes, size_t codes_count, const int64_t *at,
                          size_t count) {
  int inside = 1, rising = 1;
  for (size_t i = 0; i < count; i++) {
    inside &= at[i] >= 0 && (uint64_t)at[i] < codes_count;
    rising &= i == 0 || at[i] > at[i - 1];
  }
  uint8_t *taken = room(count, 1);
  require((qkd_sift_take(codes, codes_count, at, count, taken) == 0) == inside);
  for (size_t i = 0; inside && i < count; i++) require(taken[i] == codes[at[i]]);
  if (count <= codes_count) {
    uint8_t *kept = room(codes_count - count, 1);
    const int dropped = qkd_sift_drop(codes, codes_count, at, count, kept) == 0;
    require(dropped == (inside && rising));
    for (size_t i = 0, next = 0, left = 0; dropped && i < codes_count; i++) {
      if (next < count && (size_t)at[next] == i) {
        next++;
      } else {
        require(kept[left++] == codes[i]);
      }
    }
    free(kept);
  }
  free(taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const uint64_t mode = take(&in, 1);
  const size_t count = take(&in, 2) % (in.left + 1);
  uint8_t *codes = room(count, 1);
  for (size_t i = 0; i < count; i++) codes[i] = (uint8_t)take(&in, 1) & 7u;
  if (mode % 4 == 0) {
    uint8_t *peer = room((count + 7) / 8, 1);
    for (size_t i = 0; i < (count + 7) / 8; i++) peer[i] = (uint8_t)take(&in, 1);
    sift(codes, peer, count);
    free(peer);
  } else {
    /* Whole words, small ones in any order, or steps up. */
    const size_t width = mode % 4 == 1 ? 8 : 1, chosen = in.left / width;
    int64_t *at = room(chosen, sizeof *at), last = -1;
    for (size_t i = 0; i < chosen; i++) {
      at[i] = (int64_t)take(&in, width);
      if (mode % 4 == 3) last = at[i] += last + 1;
    }
    take_and_drop(codes, count, at, chosen);
    free(at);
  }
  free(codes);
  return 0;
}
