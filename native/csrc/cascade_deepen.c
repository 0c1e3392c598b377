/* Fewer rounds for a few more questions: several levels of a search at once.
 *
 * Searching d levels takes d rounds of one question each, or one of 2^d - 1. With q searches in a
 * round, going from d - 1 levels at once to d costs q ((d - 2) 2^(d-1) + 1) questions for each round
 * that it saves. Were all rounds to go as deep as one price a round saved allows, whatever their
 * size, no other choice would save more rounds for as many questions. The price is a share of what
 * is left of an allowance, so that this holds however long a run drags on. The allowance is a share of
 * what was asked so far, or of the key that would be left if phases erred as often as bits, should
 * that be less: at high error rates a per cent more questions is many per cent less key.
 */
#include <string.h>

#include "cascade_impl.h"

enum { MOST_LEVELS = 6, ALLOWANCE = 64, PRICE = 32 };

static uint64_t price_of_a_round(const qkd_cascade_plan *plan, uint64_t asked, uint64_t extra) {
  const uint64_t bits = (uint64_t)(plan->frames - 1) * plan->frame_bits + plan->last_frame_bits;
  const uint64_t key = bits > 2 * asked ? bits - 2 * asked : 0;
  const uint64_t allowance = (asked < key ? asked : key) / ALLOWANCE;
  return allowance > extra ? (allowance - extra) / PRICE : 0;
}

static uint32_t levels_for(size_t searches, uint64_t price, size_t room) {
  uint32_t d = 1;
  while (d < MOST_LEVELS && searches << (d + 1) <= room &&
         searches * (((d - 1) << d) + 1) <= price) {
    d++;
  }
  return d;
}

/* The splits of a node and of those in the levels below, but for nodes that have an empty half. */
static size_t splits_below(const cascade_tree *t, uint32_t question, uint32_t levels,
                           uint32_t *questions) {
  const uint32_t name = question & (BLOCK_NAME - 1);
  const uint32_t half = name & (0 - name);
  const uint32_t lowest = half >> (levels - 1);
  const uint32_t step = lowest > 0 ? lowest : 1;
  size_t count = 0;
  for (uint32_t node = name - half + step; node < name + half; node += step) {
    const cascade_place p = cascade_find(t, node);
    const int left_whole = t->empty_right != NULL && cascade_tier_of(node) == 0 &&
                           (t->empty_right[node / 64] >> p.bit & 1u);
    if (!left_whole && !(p.word->split >> p.bit & 1u)) questions[count++] = question - name + node;
  }
  return count;
}

size_t cascade_deepen(const qkd_cascade_plan *plan, const cascade_layout *l, uint64_t *state,
                      uint32_t *questions, size_t count) {
  uint64_t *asked = state + l->shared + l->asked;
  const size_t room = qkd_cascade_round_questions(plan);
  uint64_t *extra = asked + 1;
  const uint32_t levels = levels_for(count, price_of_a_round(plan, *asked, *extra), room);
  size_t deep = count;
  if (levels > 1) {
    /* Read from the end of the room, so that what is written stays behind. */
    const uint32_t *read = questions + (room - count);
    memmove(questions + (room - count), questions, count * sizeof *questions);
    deep = 0;
    for (size_t i = 0; i < count; i++) {
      if (read[i] & BLOCK_NAME) {
        questions[deep++] = read[i];
        continue;
      }
      const cascade_frame f = cascade_frame_at(plan, l, state, read[i] >> FRAME_SHIFT);
      const cascade_tree t = cascade_tree_at(l, &f, read[i] >> PASS_SHIFT & (MAX_PASSES - 1));
      deep += splits_below(&t, read[i], levels, questions + deep);
    }
  }
  *asked += deep;
  if (deep > levels * count) *extra += deep - levels * count;
  return deep;
}
