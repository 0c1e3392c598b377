/* The reference: it answers only what Cascade may ask (cascade.h). */
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

static int may_split(const qkd_cascade_plan *plan, const cascade_tree *t, uint32_t name,
                     cascade_place *p) {
  if (name == 0 || name >> plan->depth != 0) return 0;
  const uint32_t half = name & (0 - name);
  if (half >> t->block_log2 != 0) return 0;
  *p = cascade_find(t, name);
  if (p->word->split >> p->bit & 1u) return 0;
  if (half >> (t->block_log2 - 1) != 0) return 1;
  const cascade_place above = cascade_find(t, (name ^ half) | half << 1);
  return (int)(above.word->split >> above.bit) & 1;
}

size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *parities, int tier) {
  const cascade_layout l = cascade_lay_out(plan);
  uint64_t *scratch = state + l.shared;
  cascade_frame f = cascade_frame_at(plan, &l, state, 0);
  cascade_tree t = cascade_tree_at(&l, &f, 0);
  uint32_t run = ~UINT32_C(0);
  uint32_t pass = 0;
  memset(parities, 0, (count + 7) / 8);
  for (size_t i = 0; i < count;) {
    if (questions[i] >> PASS_SHIFT != run) {
      run = questions[i] >> PASS_SHIFT;
      pass = run & (MAX_PASSES - 1);
      if (questions[i] >> FRAME_SHIFT >= plan->frames || pass >= plan->passes) return i;
      f = cascade_frame_at(plan, &l, state, questions[i] >> FRAME_SHIFT);
      t = cascade_tree_at(&l, &f, pass);
    }
    if (i + AHEAD < count && questions[i + AHEAD] >> FRAME_SHIFT < plan->frames) {
      cascade_expect(&l, state, questions[i + AHEAD]);
    }
    const uint32_t name = questions[i] & ((1u << PASS_SHIFT) - 1);
    if (name >= BLOCK_NAME) {
      if (pass != f.head->begun) return i;
      const uint32_t asked = cascade_opening(&l, pass);
      const uint32_t in_order = blocks_in_order(questions + i, count - i, asked);
      if (in_order < asked) return i + in_order < count ? i + in_order : i;
      cascade_open(plan, &l, &f, scratch, CASCADE_REFERENCE, tier);
      for (uint32_t b = 0; b < asked; b += 64) {
        put_bits(parities, i + b, asked - b < 64 ? asked - b : 64, t.blocks[b / 64]);
      }
      i += asked;
      continue;
    }
    if (pass >= f.head->begun) return i;
    if (!(f.head->hung >> pass & 1u)) {
      cascade_hang_tree(plan, &l, &f, pass, scratch, CASCADE_REFERENCE, tier);
    }
    cascade_place p;
    if (!may_split(plan, &t, name, &p)) return i;
    parities[i / 8] = (uint8_t)(parities[i / 8] | (p.word->odd >> p.bit & 1u) << (i % 8));
    p.word->split |= UINT64_C(1) << p.bit;
    i++;
  }
  return count;
}
