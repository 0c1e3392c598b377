/* The reference, to be compiled for several tiers: it answers only what Cascade may ask (cascade.h).
 */
#ifndef QKD_CASCADE_REFERENCE_H
#define QKD_CASCADE_REFERENCE_H

#include <string.h>

#include "cascade_impl.h"

static void put_bits(uint8_t *packed, size_t at, uint32_t count, uint64_t bits) {
  bits &= ~UINT64_C(0) >> (64 - count);
  for (size_t i = at / 8; i <= (at + count - 1) / 8; i++) {
    const size_t begin = 8 * i;
    const uint64_t byte = begin < at ? bits << (at - begin) : bits >> (begin - at);
    packed[i] = (uint8_t)(packed[i] | byte);
  }
}

/* How many of the questions, up to a number, ask for blocks in order. */
static uint32_t blocks_in_order(const uint32_t *questions, size_t count, uint32_t most) {
  const uint32_t first = questions[0] & ~(BLOCK_NAME - 1u);
  uint32_t i = 0;
  while (i < most && i < count && questions[i] == first + i) i++;
  return i;
}

/* Whether a name is one of a split in a pass. */
static inline int names_split(const qkd_cascade_plan *plan, const cascade_tree *t, uint32_t name) {
  return name - 1 < cascade_leaves_of(plan) - 1 && (name & (0 - name)) >> t->block_log2 == 0;
}

/* Whether a node is a block, or a half that a split has shown. */
static inline int is_shown(const cascade_tree *t, uint32_t name) {
  const uint32_t half = name & (0 - name);
  if (half >> (t->block_log2 - 1) != 0) return 1;
  const uint32_t parent = (name ^ half) | half << 1;
  const cascade_place above = cascade_find(t, parent);
  if (above.word->split >> above.bit & 1u) return 1;
  if (t->empty_left == NULL || cascade_tier_of(parent) > 0) return 0;
  return (int)((t->empty_left[parent / 64] | t->empty_right[parent / 64]) >> above.bit) & 1;
}

/* The first of the splits marked that are none of a block's or a shown half's: it and those after
 * it are taken back. A half may be shown by a question after its own, for names ascend. */
static size_t first_hidden(const cascade_tree *t, const uint32_t *questions, size_t first,
                           size_t end) {
  size_t hidden = first;
  while (hidden < end && is_shown(t, questions[hidden] & (BLOCK_NAME - 1))) hidden++;
  for (size_t i = hidden; i < end; i++) {
    const cascade_place p = cascade_find(t, questions[i] & (BLOCK_NAME - 1));
    p.word->split ^= UINT64_C(1) << p.bit;
  }
  return hidden;
}

/* Where a round's answers go on. */
typedef struct {
  const qkd_cascade_plan *plan;
  const cascade_layout *l;
  uint64_t *state;
  const uint32_t *questions;
  size_t count;
  uint8_t *parities;
  int tier;
} round_of_answers;

/* Answers the questions that open a pass. Returns how many of them are as they must be. */
static size_t answer_blocks(const round_of_answers *r, const cascade_frame *f, uint32_t pass,
                            size_t first, size_t end) {
  const uint32_t asked = cascade_opening(r->l, pass);
  const uint32_t in_order = blocks_in_order(r->questions + first, end - first, asked);
  if (pass != f->head->begun || in_order == 0) return 0;
  if (in_order < asked) return first + in_order < r->count ? in_order : 0;
  cascade_open(r->plan, r->l, f, r->state + r->l->shared, CASCADE_REFERENCE, r->tier);
  const uint64_t *blocks = f->words + r->l->passes[pass].blocks;
  for (uint32_t b = 0; b < asked; b += 64) {
    put_bits(r->parities, first + b, asked - b < 64 ? asked - b : 64, blocks[b / 64]);
  }
  return asked;
}

/* Answers questions that split nodes of one pass, to the first that may not. Returns how many. */
static inline size_t answer_splits(const round_of_answers *r, const cascade_frame *f,
                                   uint32_t pass, size_t first, size_t end) {
  if (pass >= f->head->begun) return 0;
  if (!(f->head->hung >> pass & 1u)) {
    uint64_t *scratch = r->state + r->l->shared;
    cascade_hang_tree(r->plan, r->l, f, pass, scratch, CASCADE_REFERENCE, r->tier);
  }
  const cascade_tree t = cascade_tree_at(r->l, f, pass);
  size_t i = first;
  uint32_t hidden = 0;
  while (i < end) {
    uint64_t answers = 0;
    uint32_t n = 0;
    for (; n < 64 && i + n < end; n++) {
      const size_t ahead = i + n + AHEAD < r->count ? i + n + AHEAD : i;
      if (r->questions[ahead] >> FRAME_SHIFT < r->plan->frames) {
        cascade_expect(r->l, r->state, r->questions[ahead]);
      }
      const uint32_t name = r->questions[i + n] & (BLOCK_NAME - 1);
      if (!names_split(r->plan, &t, name)) break;
      const cascade_place p = cascade_find(&t, name);
      if (p.word->split >> p.bit & 1u) break;
      hidden |= !is_shown(&t, name);
      answers |= (p.word->odd >> p.bit & 1u) << n;
      p.word->split |= UINT64_C(1) << p.bit;
    }
    if (n == 0) break;
    put_bits(r->parities, i, n, answers);
    i += n;
    if (n < 64) break;
  }
  return (hidden ? first_hidden(&t, r->questions, first, i) : i) - first;
}

static inline size_t cascade_answer(const qkd_cascade_plan *plan, uint64_t *state,
                                    const uint32_t *questions, size_t count, uint8_t *parities,
                                    int tier) {
  const cascade_layout l = cascade_lay_out(plan);
  const round_of_answers r = {plan, &l, state, questions, count, parities, tier};
  memset(parities, 0, (count + 7) / 8);
  for (size_t i = 0; i < count && i < AHEAD; i++) {
    if (questions[i] >> FRAME_SHIFT < plan->frames) cascade_expect(&l, state, questions[i]);
  }
  for (size_t i = 0; i < count;) {
    const uint32_t kind = questions[i] / BLOCK_NAME;
    const uint32_t pass = questions[i] >> PASS_SHIFT & (MAX_PASSES - 1);
    size_t end = i + 1;
    if (i > 0 && questions[i] <= questions[i - 1]) return i;
    while (end < count && questions[end] / BLOCK_NAME == kind &&
           questions[end] > questions[end - 1]) {
      end++;
    }
    if (questions[i] >> FRAME_SHIFT >= plan->frames || pass >= plan->passes) return i;
    const cascade_frame f = cascade_frame_at(plan, &l, state, questions[i] >> FRAME_SHIFT);
    const size_t answered = kind & 1u ? answer_blocks(&r, &f, pass, i, end)
                                      : answer_splits(&r, &f, pass, i, end);
    i += answered;
    if (i < end) return i;
  }
  return count;
}

#endif
