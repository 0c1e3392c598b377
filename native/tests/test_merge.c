/* The merge against a plain definition: in order and out of it, in pieces of any size, refusing. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "merge.h"
#include "test.h"
#include "tier.h"

enum { CHANNELS = 4, MOST = 3000 };

typedef struct {
  uint64_t words[CHANNELS][MOST];
  size_t counts[CHANNELS];
  uint64_t limit_ps, reorder_ps;
  int64_t offset_ps;
} workload;

typedef struct {
  int64_t times_ps[CHANNELS * MOST];
  uint8_t channels[CHANNELS * MOST];
  uint64_t largest_ps[CHANNELS];
  size_t tags, refused;
} result;

static uint32_t draw(uint64_t *seed) { return (uint32_t)splitmix64(seed); }

/* Again and again, of the next words of all channels the least, and of equal ones the first. */
static void define(const workload *w, result *r) {
  size_t at[CHANNELS] = {0};
  uint64_t *largest = r->largest_ps;
  memset(largest, 0, sizeof r->largest_ps);
  for (r->tags = r->refused = 0;; r->tags++) {
    size_t least = CHANNELS;
    for (size_t c = 0; c < CHANNELS; c++) {
      if (at[c] == w->counts[c]) continue;
      if (least == CHANNELS || w->words[c][at[c]] < w->words[least][at[least]]) least = c;
    }
    if (least == CHANNELS) return;
    const uint64_t word = w->words[least][at[least]];
    if (word >= w->limit_ps) { /* and with it all others: the first channel is named */
      for (least = 0; at[least] == w->counts[least];) least++;
      r->refused = least + 1;
      return;
    }
    if (largest[least] > word && largest[least] - word > w->reorder_ps) {
      r->refused = least + 1;
      return;
    }
    if (word > largest[least]) largest[least] = word;
    at[least]++;
    r->times_ps[r->tags] = (int64_t)word + w->offset_ps;
    r->channels[r->tags] = (uint8_t)(least + 1);
  }
}

/* More bytes of each channel, fewer than widest: they end anywhere. */
static void come(qkd_merge *merge, size_t widest, uint64_t *seed) {
  for (size_t c = 0; c < CHANNELS; c++) {
    const size_t drawn = draw(seed) % widest, left = merge->to_come[c];
    merge->end[c] += drawn < left ? drawn : left;
    merge->to_come[c] -= drawn < left ? drawn : left;
  }
}

/* In pieces of up to widest bytes, each into exactly the room that it is told. */
static int in_pieces(int tier, const workload *w, size_t widest, uint64_t seed, result *r) {
  qkd_merge merge = {.limit_ps = w->limit_ps, .reorder_ps = w->reorder_ps,
                     .offset_ps = w->offset_ps};
  uint8_t *bytes[CHANNELS];
  size_t all = 0;
  for (size_t c = 0; c < CHANNELS; c++) {
    const size_t size = 8 * w->counts[c], from = c;
    bytes[c] = malloc(size > 0 ? from + size : 1); /* to the byte, for the sanitizer */
    if (bytes[c] == NULL) return 1;
    merge.bytes[c] = bytes[c];
    merge.begin[c] = merge.end[c] = from;
    merge.to_come[c] = size;
    for (size_t i = 0; i < size; i++)
      bytes[c][from + i] = (uint8_t)(w->words[c][i / 8] >> (8 * (i % 8)));
    all += w->counts[c];
  }
  int failures = 0;
  for (r->tags = 0; r->tags < all && !merge.refused && !failures;) {
    come(&merge, widest, &seed);
    const size_t room = 1 + draw(&seed) % widest;
    int64_t *times = malloc(8 * room);
    uint8_t *channels = malloc(room);
    if (times == NULL || channels == NULL) return 1;
    const size_t got = qkd_merge_tags(tier, &merge, room, times, channels);
    memcpy(r->times_ps + r->tags, times, 8 * got);
    memcpy(r->channels + r->tags, channels, got);
    r->tags += got;
    free(channels);
    free(times);
    for (size_t c = 0; c < CHANNELS; c++)
      failures += check(merge.begin[c] <= merge.end[c], "no word that is not there");
  }
  r->refused = merge.refused;
  memcpy(r->largest_ps, merge.largest_ps, sizeof r->largest_ps);
  for (size_t c = 0; c < CHANNELS; c++) free(bytes[c]);
  return failures;
}

static int as_defined(const workload *w, uint64_t seed) {
  static result wanted, found;
  int failures = 0;
  define(w, &wanted);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    static const size_t widest[] = {20, 900, 30000};
    for (size_t i = 0; i < sizeof widest / sizeof *widest; i++) {
      failures += in_pieces(tier, w, widest[i], seed, &found);
      failures += check(found.tags == wanted.tags && found.refused == wanted.refused &&
                            memcmp(found.largest_ps, wanted.largest_ps, 8 * CHANNELS) == 0 &&
                            memcmp(found.times_ps, wanted.times_ps, 8 * wanted.tags) == 0 &&
                            memcmp(found.channels, wanted.channels, wanted.tags) == 0,
                        "as defined");
    }
  }
  return failures;
}

/* Channels of any rates, in order; of some seeds dark ones, equal times, silences of seconds. */
static void fill(workload *w, uint64_t seed) {
  w->limit_ps = UINT64_C(1) << 62;
  w->reorder_ps = 0;
  w->offset_ps = (int64_t)(seed * seed) << 20;
  for (size_t c = 0; c < CHANNELS; c++) {
    const int dense = seed % 3 == 0;
    const uint32_t widest = 1 + draw(&seed) % (dense ? 3 : 2000);
    const uint32_t kind = draw(&seed) % 8;
    const unsigned shift = kind == 3 ? draw(&seed) % 40 : 0;
    uint64_t now = 0;
    w->counts[c] = kind == 0 ? 0 : kind == 1 ? draw(&seed) % 20 : draw(&seed) % MOST;
    for (size_t i = 0; i < w->counts[c]; i++) {
      now += (uint64_t)(draw(&seed) % widest) << shift;
      if (kind == 2 && i % 500 == 499) now += splitmix64(&seed) >> (20 + i % 12);
      w->words[c][i] = now;
    }
  }
}

/* Some words moved back by up to back_ps, and one to anywhere. */
static void disturb(workload *w, uint64_t seed, uint32_t back_ps, int anywhere) {
  for (size_t c = 0; c < CHANNELS; c++) {
    if (w->counts[c] == 0) continue;
    for (size_t i = 0; i < w->counts[c]; i++) {
      if (draw(&seed) % 300 != 0) continue;
      const uint64_t back = draw(&seed) % (back_ps + 1);
      w->words[c][i] -= back < w->words[c][i] ? back : w->words[c][i];
    }
    if (!anywhere || draw(&seed) % 2) continue;
    uint64_t *word = &w->words[c][draw(&seed) % (uint32_t)w->counts[c]];
    *word += draw(&seed) % 2000;
    *word ^= UINT64_C(1) << (draw(&seed) % 2 ? 63 : draw(&seed) % 64);
  }
}

/* A fall where one piece ends and the next begins, as far as it may be and farther. */
static int falls_between_pieces(int tier) {
  enum { WORDS = 100, FALL_PS = 100 };
  uint8_t bytes[8 * WORDS], channels[WORDS];
  int64_t times[WORDS];
  int failures = 0;
  for (size_t cut = 1; cut < WORDS; cut++) {
    for (unsigned beyond = 0; beyond < 2; beyond++) {
      for (size_t i = 0; i < 8 * WORDS; i++) {
        const uint64_t word = 1000 + i / 8 - (i / 8 == cut ? FALL_PS + 1 + beyond : 0);
        bytes[i] = (uint8_t)(word >> (8 * (i % 8)));
      }
      qkd_merge merge = {.bytes = {bytes}, .end = {8 * cut}, .to_come = {1},
                         .limit_ps = 2000, .reorder_ps = FALL_PS};
      size_t tags = qkd_merge_tags(tier, &merge, WORDS, times, channels);
      failures += check(tags == cut && !merge.refused, "all that has come");
      merge.end[0] = sizeof bytes;
      merge.to_come[0] = 0;
      tags += qkd_merge_tags(tier, &merge, WORDS - tags, times + tags, channels + tags);
      failures += check(tags == (beyond ? cut : WORDS) && merge.refused == beyond &&
                            merge.largest_ps[0] == (beyond || cut == WORDS - 1 ? 999 + cut
                                                                               : 999 + WORDS),
                        "a fall between pieces");
    }
  }
  return failures;
}

int main(void) {
  static workload w;
  int failures = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += falls_between_pieces(tier);
  for (uint64_t seed = 0; seed < 60; seed++) {
    fill(&w, seed);
    failures += as_defined(&w, seed);
    disturb(&w, seed, 3000, 0);
    w.reorder_ps = seed % 2 ? 3000 : 2900;
    failures += as_defined(&w, seed + 1);
    w.reorder_ps = UINT64_MAX;
    w.limit_ps = seed % 4 ? w.limit_ps : 100000;
    disturb(&w, seed, 100, 1);
    failures += as_defined(&w, seed + 2);
  }
  return failures != 0;
}
