/* Two ends in one process: errors are found alike in every tier, no question is answered twice, and
 * what a hostile peer says stays inside the state. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cascade.h"
#include "test.h"
#include "tier.h"

enum { DEPTH = 10, PASSES = 6, FRAME = 960, LAST = 700, FRAMES = 3, MOST_WORDS = 3 << 10 };

static int failures = 0;

static void expect(int holds, const char *what) { failures += check(holds, what); }

static uint64_t seed = 1;
static uint32_t draw(void) { return (uint32_t)splitmix64(&seed); }

static void permute(uint16_t *order, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) order[i] = (uint16_t)i;
  for (uint32_t i = length - 1; i > 0; i--) {
    const uint32_t j = draw() % (i + 1);
    const uint16_t swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
}

static void draw_table(uint16_t *leaf_of_bit, uint16_t *bit_of_leaf, uint32_t length) {
  uint16_t order[FRAME];
  permute(order, length);
  for (uint32_t i = 0; i < length; i++) {
    const uint16_t leaf = (uint16_t)(((uint64_t)i << DEPTH) / length);
    leaf_of_bit[order[i]] = leaf;
    bit_of_leaf[leaf] = order[i];
  }
}

static void draw_shuffle(uint16_t *gather, uint16_t *scatter) {
  uint16_t order[1024];
  permute(order, 1024);
  for (uint32_t w = 0; w < 1024; w++) {
    const uint32_t rotation = draw() % 64;
    gather[w] = (uint16_t)((uint32_t)order[w] << 6 | rotation);
    scatter[order[w]] = (uint16_t)(w << 6 | rotation);
  }
}

static size_t bits_of(const qkd_cascade_plan *plan) {
  return (size_t)(plan->frames - 1) * plan->frame_bits + plan->last_frame_bits;
}

static size_t words_of(const qkd_cascade_plan *plan) { return (bits_of(plan) + 63) / 64; }

/* A string in which every so many bits are one. */
static void draw_bits(const qkd_cascade_plan *plan, uint64_t *words, uint32_t one_in) {
  memset(words, 0, words_of(plan) * sizeof *words);
  for (size_t i = 0; i < bits_of(plan); i++)
    words[i / 64] |= (uint64_t)(draw() % one_in == 0) << (i % 64);
}

/* A state and buffers as large as the plan says and no larger, so that sanitizers see a step beyond
 * them. */
typedef struct {
  uint64_t *corrector, *reference;
  uint32_t *asked, *questions;
  uint8_t *parities;
  size_t room;
} ends;

static ends make_ends(const qkd_cascade_plan *plan) {
  const size_t words = qkd_cascade_state_words(plan);
  ends e;
  e.room = qkd_cascade_round_questions(plan);
  e.corrector = malloc(words * sizeof *e.corrector);
  e.reference = malloc(words * sizeof *e.reference);
  e.asked = malloc(e.room * sizeof *e.asked);
  e.questions = malloc(e.room * sizeof *e.questions);
  e.parities = malloc((e.room + 7) / 8);
  if (!e.corrector || !e.reference || !e.asked || !e.questions || !e.parities) exit(1);
  return e;
}

static void drop_ends(ends *e) {
  free(e->corrector);
  free(e->reference);
  free(e->asked);
  free(e->questions);
  free(e->parities);
}

static void expect_wiped(const qkd_cascade_plan *plan, uint64_t *state) {
  const size_t words = qkd_cascade_state_words(plan);
  uint64_t left = 0;
  qkd_cascade_wipe(plan, state);
  for (size_t i = 0; i < words; i++) left |= state[i];
  expect(left == 0, "nothing is left of a string once it is wiped");
}

/* Corrects noisy; returns a hash of all that was said. A clean state shows whether it is wiped. */
static uint64_t correct(const qkd_cascade_plan *plan, const uint64_t *truth, uint64_t *noisy,
                        int tier, int clean) {
  ends e = make_ends(plan);
  const size_t words = qkd_cascade_state_words(plan);
  if (clean) {
    memset(e.corrector, 0, words * sizeof *e.corrector);
    memset(e.reference, 0, words * sizeof *e.reference);
  }
  uint64_t hash = 14695981039346656037u;
  size_t count = 0;
  qkd_cascade_begin(plan, noisy, e.corrector, tier);
  qkd_cascade_begin(plan, truth, e.reference, tier);
  while ((count = qkd_cascade_ask(plan, noisy, e.corrector, e.asked, e.parities, count,
                                  e.questions, tier)) > 0) {
    expect(qkd_cascade_answer(plan, e.reference, e.questions, count, e.parities, tier) == count,
           "every question of the corrector has an answer");
    for (size_t i = 0; i < count; i++) {
      const uint32_t answer = (uint32_t)e.parities[i / 8] >> (i % 8) & 1u;
      hash = (hash ^ (uint64_t)e.questions[i] << 1 ^ answer) * 1099511628211u;
    }
    memcpy(e.asked, e.questions, count * sizeof *e.asked);
  }
  uint8_t answer;
  const uint32_t repeated = UINT32_C(1) << 16;
  expect(qkd_cascade_answer(plan, e.reference, &repeated, 1, &answer, tier) == 0,
         "a block's parity is answered once");
  if (clean) {
    expect_wiped(plan, e.corrector);
    expect_wiped(plan, e.reference);
  }
  drop_ends(&e);
  return hash;
}

/* Whether the strings became equal, in every tier by the same conversation. */
static int corrects(const qkd_cascade_plan *plan, uint32_t errors_in) {
  static uint64_t truth[MOST_WORDS], noisy[MOST_WORDS], mended[MOST_WORDS], first[MOST_WORDS];
  const size_t bytes = words_of(plan) * sizeof *truth;
  draw_bits(plan, truth, 2);
  draw_bits(plan, noisy, errors_in);
  for (size_t i = 0; i < words_of(plan); i++) noisy[i] ^= truth[i];
  memcpy(first, noisy, bytes);
  const uint64_t portable = correct(plan, truth, first, 0, 0);
  for (int tier = 1; tier <= qkd_tier_best(); tier++) {
    memcpy(mended, noisy, bytes);
    expect(correct(plan, truth, mended, tier, 1) == portable, "all tiers say the same");
    expect(memcmp(mended, first, bytes) == 0, "all tiers correct alike");
  }
  return memcmp(truth, first, bytes) == 0;
}

/* Both ends against a peer that says anything. */
static void withstands(const qkd_cascade_plan *plan, int tier) {
  static uint64_t bits[MOST_WORDS];
  ends e = make_ends(plan);
  size_t count = 0;
  size_t asked = 0;
  draw_bits(plan, bits, 2);
  qkd_cascade_begin(plan, bits, e.corrector, tier);
  qkd_cascade_begin(plan, bits, e.reference, tier);
  while ((count = qkd_cascade_ask(plan, bits, e.corrector, e.asked, e.parities, count,
                                  e.questions, tier)) > 0) {
    for (size_t i = 0; i < (count + 7) / 8; i++) e.parities[i] = (uint8_t)draw();
    memcpy(e.asked, e.questions, count * sizeof *e.asked);
    asked += count;
    /* Mostly what an honest peer may ask; in part anything. */
    const uint32_t noise = draw() % 4 == 0 ? draw() : 0;
    if (noise) e.questions[draw() % count] ^= noise >> draw() % 32;
    qkd_cascade_answer(plan, e.reference, e.questions, count, e.parities, tier);
  }
  expect(asked <= (size_t)plan->frames * plan->passes << plan->depth, "false answers come to an end");
  drop_ends(&e);
}

int main(void) {
  static uint16_t leaves[PASSES * FRAME], places[PASSES << DEPTH];
  static uint16_t last_leaves[PASSES * LAST], last_places[PASSES << DEPTH];
  static uint16_t gather[PASSES * 2048], scatter[PASSES * 2048];
  const qkd_cascade_plan tables = {FRAMES,      FRAME,       LAST, DEPTH, PASSES, {4, 7, 8, 9, 9, 9},
                                   leaves,      places,      last_leaves, last_places,
                                   NULL,        NULL};
  qkd_cascade_plan shuffled = {3,    1 << 16, 50000, 16,   PASSES, {3, 6, 11, 13, 15, 15},
                               NULL, NULL,    NULL,  NULL, gather, scatter};
  int unequal = 0;
  for (int trial = 0; trial < 40; trial++) {
    for (uint32_t pass = 0; pass < PASSES; pass++) {
      draw_table(leaves + pass * FRAME, places + ((size_t)pass << DEPTH), FRAME);
      draw_table(last_leaves + pass * LAST, last_places + ((size_t)pass << DEPTH), LAST);
    }
    unequal += !corrects(&tables, 20);
    withstands(&tables, trial % (1 + qkd_tier_best()));
  }
  for (uint32_t stage = 0; stage < 2 * PASSES; stage++) {
    draw_shuffle(gather + 1024 * stage, scatter + 1024 * stage);
  }
  for (uint8_t first = 1; first < 7; first++) {
    shuffled.block_log2[0] = first;
    shuffled.frame_bits = first % 2 ? 1 << 16 : 60032;
    unequal += !corrects(&shuffled, UINT32_C(1) << first);
  }
  withstands(&shuffled, qkd_tier_best());
  expect(unequal <= 9, "hardly any string stays unequal");
  return failures != 0;
}
