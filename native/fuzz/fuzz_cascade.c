/* Cascade with a hostile peer: questions that name anything, answers that are noise. */
#include "fuzz.h"

#include "cascade.h"
#include "tier.h"

enum { DEPTH = 6, PASSES = 4, FRAME = 64, LAST = 41, FRAMES = 3, BITS = 2 * FRAME + LAST };
enum { WORDS = (BITS + 63) / 64 };
enum { ROUNDS = 40 };

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

static void hostile_questions(const qkd_cascade_plan *plan, input in) {
  static uint32_t questions[4096];
  const size_t count = in.left / 4 < 4096 ? in.left / 4 : 4096;
  uint64_t bits[WORDS] = {0};
  for (size_t i = 0; i < BITS; i++) bits[i / 64] |= (uint64_t)(i * i % 7 % 2) << (i % 64);
  for (size_t i = 0; i < count; i++) questions[i] = (uint32_t)take(&in, 4);
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

static void noisy_answers(const qkd_cascade_plan *plan, input in) {
  uint64_t seen = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    input answers = in;
    uint64_t bits[WORDS] = {0};
    for (size_t i = 0; i < BITS; i++) bits[i / 64] |= (uint64_t)(i * i % 5 % 2) << (i % 64);
    uint64_t *state = room(qkd_cascade_state_words(plan), 8);
    const size_t most = qkd_cascade_round_questions(plan);
    uint32_t *asked = room(most, 4), *questions = room(most, 4);
    uint8_t *parities = room((most + 7) / 8, 1);
    size_t answered = 0;
    qkd_cascade_begin(plan, bits, state, tier);
    uint64_t trace = 14695981039346656037u;
    for (int round = 0; round < ROUNDS; round++) {
      const size_t count = qkd_cascade_ask(plan, bits, state, asked, parities, answered,
                                           questions, tier);
      require(count <= most);
      if (count == 0) break;
      for (size_t i = 0; i < count; i++) trace = (trace ^ questions[i]) * 1099511628211u;
      for (size_t i = 0; i < (count + 7) / 8; i++) parities[i] = (uint8_t)take(&answers, 1);
      memcpy(asked, questions, 4 * count);
      answered = count;
    }
    for (size_t i = 0; i < WORDS; i++) trace = (trace ^ bits[i]) * 1099511628211u;
    require(bits[WORDS - 1] >> (BITS % 64) == 0);
    if (tier == 0) seen = trace;
    require(trace == seen);
    free(parities);
    free(questions);
    free(asked);
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
  const qkd_cascade_plan plan = {FRAMES, FRAME, LAST, DEPTH, PASSES, {3, 4, 5, 5},
                                 leaves, places, last_leaves, last_places, NULL, NULL};
  input in = {data, size};
  if (take(&in, 1) % 2) {
    hostile_questions(&plan, in);
  } else {
    noisy_answers(&plan, in);
  }
  return 0;
}
