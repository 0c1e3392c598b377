/* Cascade with a hostile peer: questions that name anything, answers that are in part noise; on
 * short frames with tables and on the longest with shuffles. */
#include "fuzz.h"

#include "cascade.h"
#include "tier.h"

enum { DEPTH = 6, PASSES = 4, FRAME = 64, LAST = 41, FRAMES = 3 };
enum { LONG_FRAME = 50048, LONG_LAST = 1 << 15, LONG_FRAMES = 2, WORDS = 1024, STAGES = 2 };
enum { MOST_WORDS = (LONG_FRAME + LONG_LAST) / 64, ROUNDS = 400 };

static size_t bits_of(const qkd_cascade_plan *plan) {
  return (size_t)(plan->frames - 1) * plan->frame_bits + plan->last_frame_bits;
}

static void fill(uint64_t *bits, size_t length, size_t step) {
  memset(bits, 0, (length + 63) / 64 * sizeof *bits);
  for (size_t i = 0; i < length; i++) bits[i / 64] |= (uint64_t)(i * i % step % 2) << (i % 64);
}

/* A pass's order: bit i times an odd step, modulo a prime above the length. */
static void permute(uint16_t *leaf_of_bit, uint16_t *bit_of_leaf, uint32_t length, uint32_t step) {
  uint32_t place = 0;
  for (uint32_t i = 0; i < 67; i++) {
    const uint32_t bit = i * step % 67;
    if (bit >= length) continue;
    const uint16_t leaf = (uint16_t)((place++ << DEPTH) / length);
    leaf_of_bit[bit] = leaf;
    bit_of_leaf[leaf] = (uint16_t)bit;
  }
}

/* A stage of a shuffle: words by an odd step, each rotated by its own number of bits. */
static void shuffle(uint16_t *gather, uint16_t *scatter, uint32_t stage) {
  for (uint32_t w = 0; w < WORDS; w++) {
    const uint32_t taken = (w * (2 * stage + 3) + stage) % WORDS, rotation = w * 37 % 64;
    gather[stage * WORDS + w] = (uint16_t)(taken << 6 | rotation);
    scatter[stage * WORDS + taken] = (uint16_t)(w << 6 | rotation);
  }
}

/* Opens the first passes of all frames, and then asks what the input says: numbers of any kind, or
 * ascending ones. */
static void hostile_questions(const qkd_cascade_plan *plan, int ascending, input in) {
  static uint32_t questions[4096];
  static uint64_t bits[MOST_WORDS];
  size_t count = 0;
  uint32_t last = 0;
  fill(bits, bits_of(plan), 7);
  for (uint32_t b = 0; b < UINT32_C(1) << (plan->depth - plan->block_log2[0]); b++) {
    questions[count++] = last = UINT32_C(1) << 16 | b;
  }
  while (in.left > 0 && count < 4096) {
    last = ascending ? last + 1 + (uint32_t)take(&in, 2) : (uint32_t)take(&in, 4);
    questions[count++] = last;
  }
  uint8_t *portable = NULL;
  size_t answered = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint64_t *state = room(qkd_cascade_state_words(plan), 8);
    uint8_t *parities = room((count + 7) / 8, 1);
    qkd_cascade_begin(plan, bits, state, tier);
    const size_t done = qkd_cascade_answer(plan, state, questions, count, parities, tier);
    require(done <= count);
    if (tier == 0) {
      portable = parities;
      answered = done;
    } else {
      require(done == answered);
      require(done != count || memcmp(portable, parities, (count + 7) / 8) == 0);
      free(parities);
    }
    free(state);
  }
  free(portable);
}

/* An honest reference answers, and the input changes bits of what it says. */
static void noisy_answers(const qkd_cascade_plan *plan, input in) {
  static uint64_t bits[MOST_WORDS];
  const size_t length = bits_of(plan);
  uint64_t seen = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    input answers = in;
    uint64_t *state = room(qkd_cascade_state_words(plan), 8);
    uint64_t *reference = room(qkd_cascade_state_words(plan), 8);
    const size_t most = qkd_cascade_round_questions(plan);
    uint32_t *asked = room(most, 4), *questions = room(most, 4);
    uint8_t *parities = room((most + 7) / 8, 1);
    size_t answered = 0;
    fill(bits, length, 5);
    qkd_cascade_begin(plan, bits, reference, tier);
    for (size_t i = 0; i < length; i += 53) bits[i / 64] ^= UINT64_C(1) << (i % 64);
    qkd_cascade_begin(plan, bits, state, tier);
    uint64_t trace = 14695981039346656037u;
    for (int round = 0; round < ROUNDS; round++) {
      const size_t count = qkd_cascade_ask(plan, bits, state, asked, parities, answered,
                                           questions, tier);
      require(count <= most);
      if (count == 0) break;
      for (size_t i = 0; i < count; i++) trace = (trace ^ questions[i]) * 1099511628211u;
      require(qkd_cascade_answer(plan, reference, questions, count, parities, tier) == count);
      for (size_t i = 0; i < (count + 7) / 8; i++) parities[i] ^= (uint8_t)take(&answers, 1);
      memcpy(asked, questions, 4 * count);
      answered = count;
    }
    for (size_t i = 0; i < (length + 63) / 64; i++) trace = (trace ^ bits[i]) * 1099511628211u;
    require(length % 64 == 0 || bits[length / 64] >> (length % 64) == 0);
    if (tier == 0) seen = trace;
    require(trace == seen);
    free(parities);
    free(questions);
    free(asked);
    free(reference);
    free(state);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint16_t leaves[PASSES * FRAME], places[PASSES << DEPTH];
  static uint16_t last_leaves[PASSES * LAST], last_places[PASSES << DEPTH];
  for (uint32_t pass = 0; pass < PASSES; pass++) {
    permute(leaves + pass * FRAME, places + ((size_t)pass << DEPTH), FRAME, 7 * pass + 1);
    permute(last_leaves + pass * LAST, last_places + ((size_t)pass << DEPTH), LAST, 5 * pass + 2);
  }
  static uint16_t gather[PASSES * STAGES * WORDS], scatter[PASSES * STAGES * WORDS];
  for (uint32_t stage = 0; stage < PASSES * STAGES; stage++) shuffle(gather, scatter, stage);
  const qkd_cascade_plan plans[2] = {
      {FRAMES, FRAME, LAST, DEPTH, PASSES, {3, 4, 5, 5},
       leaves, places, last_leaves, last_places, NULL, NULL},
      {LONG_FRAMES, LONG_FRAME, LONG_LAST, 16, PASSES, {5, 8, 15, 15},
       NULL, NULL, NULL, NULL, gather, scatter}};
  input in = {data, size};
  const uint64_t kind = take(&in, 1);
  const qkd_cascade_plan *plan = &plans[kind % 16 == 0];
  if (kind / 16 % 2) {
    hostile_questions(plan, kind / 32 % 2, in);
  } else {
    noisy_answers(plan, in);
  }
  return 0;
}
