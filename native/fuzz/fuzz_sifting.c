/* The basis sift with the peer's bases, and with any positions. */
#include "fuzz.h"

#include "bits.h"
#include "sifting.h"
#include "tier.h"

static uint64_t bit(const uint64_t *words, size_t i) { return words[i / 64] >> (i % 64) & 1u; }

/* Zeros from a bit on to the end of so many words. */
static void require_zeros(const uint64_t *words, size_t from, size_t count) {
  for (size_t i = from; i < 64 * count; i++) require(bit(words, i) == 0);
}

static void sift(const uint8_t *codes, const uint8_t *peer, size_t count) {
  const size_t words = (count + 63) / 64;
  uint8_t *plain[2] = {room(count, 1), room(count, 1)};
  size_t kept[2] = {0, 0}, several = 0;
  for (size_t i = 0; i < count; i++) {
    const unsigned basis = codes[i] >> 1 & 1u;
    several += codes[i] >> 2 & 1u;
    if ((peer[i / 8] >> i % 8 & 1u) == basis) plain[basis][kept[basis]++] = codes[i] & 1u;
  }
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint8_t *used = room(count, 1);
    uint64_t *strings[2] = {room(words, 8), room(words, 8)};
    size_t found[2];
    memcpy(used, codes, count);
    require(qkd_sift_codes(tier, used, count, strings[0], strings[1]) == several);
    for (size_t i = 0; i < count; i++) {
      require(used[i] == 0 && bit(strings[0], i) == (codes[i] & 1u));
      require(bit(strings[1], i) == (codes[i] >> 1 & 1u));
    }
    qkd_sift(tier, strings[0], strings[1], peer, count, found);
    for (int basis = 0; basis < 2; basis++) {
      require(found[basis] == kept[basis]);
      for (size_t i = 0; i < kept[basis]; i++) require(bit(strings[basis], i) == plain[basis][i]);
      require_zeros(strings[basis], kept[basis], words);
      free(strings[basis]);
    }
    free(used);
  }
  free(plain[0]);
  free(plain[1]);
}

static void take_and_keep(const uint8_t *codes, size_t codes_count, const int64_t *at,
                          size_t count) {
  const size_t words = (codes_count + 63) / 64;
  int inside = 1, rising = 1;
  for (size_t i = 0; i < count; i++) {
    inside &= at[i] >= 0 && (uint64_t)at[i] < codes_count;
    rising &= i == 0 || at[i] > at[i - 1];
  }
  uint8_t *taken = room(count, 1);
  require((qkd_sift_take(codes, codes_count, at, count, taken) == 0) == inside);
  for (size_t i = 0; inside && i < count; i++) require(taken[i] == codes[at[i]]);
  free(taken);
  for (int turn = 0; turn < 2 * (qkd_tier_best() + 1); turn++) {
    const int listed_kept = turn % 2;
    uint64_t *bits = room(words, 8), *before = room(words, 8);
    for (size_t i = 0; i < codes_count; i++) bits[i / 64] |= (uint64_t)(codes[i] & 1u) << (i % 64);
    memcpy(before, bits, 8 * words);
    const int done = qkd_bits_keep(turn / 2, bits, codes_count, at, count, listed_kept) == 0;
    require(done == (inside && rising));
    if (!done) require(memcmp(bits, before, 8 * words) == 0);
    size_t next = 0, kept = 0;
    for (size_t i = 0; done && i < codes_count; i++) {
      const int listed = next < count && (size_t)at[next] == i;
      next += (size_t)listed;
      if (listed == listed_kept) require(bit(bits, kept++) == (codes[i] & 1u));
    }
    if (done) require_zeros(bits, kept, words);
    free(before);
    free(bits);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const uint64_t mode = take(&in, 1);
  const size_t wanted = take(&in, 2), count = wanted % (in.left + 1);
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
    take_and_keep(codes, count, at, chosen);
    free(at);
  }
  free(codes);
  return 0;
}
