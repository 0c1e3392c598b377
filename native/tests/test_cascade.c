/* Two ends in one process: errors are found, and no question is asked twice. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cascade.h"

enum { DEPTH = 10, PASSES = 6, FRAME = 1000, LAST = 700, FRAMES = 3, BITS = 2 * FRAME + LAST };

static uint64_t random_state = 88172645463325252u;

static uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 32);
}

static void permute(uint16_t *leaf_of_bit, uint16_t *bit_of_leaf, uint32_t length) {
  uint16_t order[FRAME];
  for (uint32_t i = 0; i < length; i++) order[i] = (uint16_t)i;
  for (uint32_t i = length - 1; i > 0; i--) {
    const uint32_t j = next_random() % (i + 1);
    const uint16_t swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
  for (uint32_t i = 0; i < length; i++) {
    const uint16_t leaf = (uint16_t)(((uint64_t)i << DEPTH) / length);
    leaf_of_bit[order[i]] = leaf;
    bit_of_leaf[leaf] = order[i];
  }
}

int main(void) {
  static uint16_t leaves[PASSES * FRAME], places[PASSES << DEPTH];
  static uint16_t last_leaves[PASSES * LAST], last_places[PASSES << DEPTH];
  static uint8_t truth[BITS], noisy[BITS], parities[FRAMES << DEPTH];
  static uint32_t questions[FRAMES * PASSES << DEPTH], asked[FRAMES * PASSES << DEPTH];
  qkd_cascade_plan plan = {FRAMES, FRAME, LAST, DEPTH, PASSES, {4, 7, 8, 9, 9, 9},
                           leaves, places, last_leaves, last_places, NULL, NULL};
  const size_t words = qkd_cascade_state_words(&plan);
  uint64_t *corrector = malloc(words * sizeof *corrector);
  uint64_t *reference = malloc(words * sizeof *reference);
  if (corrector == NULL || reference == NULL) return 1;
  int failures = 0;
  int unequal = 0;
  for (int trial = 0; trial < 50; trial++) {
    for (uint32_t pass = 0; pass < PASSES; pass++) {
      permute(leaves + pass * FRAME, places + ((size_t)pass << DEPTH), FRAME);
      permute(last_leaves + pass * LAST, last_places + ((size_t)pass << DEPTH), LAST);
    }
    for (size_t i = 0; i < BITS; i++) {
      truth[i] = next_random() & 1;
      noisy[i] = truth[i] ^ (next_random() % 20 == 0);
    }
    qkd_cascade_begin(&plan, noisy, corrector, 0);
    qkd_cascade_begin(&plan, truth, reference, 0);
    size_t count;
    size_t first = 0;
    qkd_cascade_answers given = {asked, parities, 0};
    uint32_t repeated = 0;
    while ((count = qkd_cascade_ask(&plan, noisy, corrector, &given, questions, 0)) > 0) {
      if (first++ == 0) repeated = questions[0];
      if (qkd_cascade_answer(&plan, reference, questions, count, parities, 0) != count) {
        fprintf(stderr, "failed: a question was refused\n");
        failures++;
        break;
      }
      memcpy(asked, questions, count * sizeof *asked);
      given.count = count;
    }
    failures += qkd_cascade_answer(&plan, reference, &repeated, 1, parities, 0) != 0;
    unequal += memcmp(truth, noisy, sizeof truth) != 0;
  }
  if (unequal > 5) {
    fprintf(stderr, "failed: %d of 50 strings stayed unequal\n", unequal);
    failures++;
  }
  free(corrector);
  free(reference);
  return failures != 0;
}
