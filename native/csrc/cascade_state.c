/* How the state of one end is laid out and begun. */
#include <string.h>

#include "cascade_impl.h"

static uint32_t words_of(uint32_t bits) { return (bits + 63) / 64; }

static void lay_out_pass(const qkd_cascade_plan *plan, cascade_layout *l, uint32_t pass) {
  cascade_pass *at = &l->passes[pass];
  at->block_log2 = plan->block_log2[pass];
  at->block_count = UINT32_C(1) << (plan->depth - at->block_log2);
  at->block_words = words_of(at->block_count);
  at->tier_count = (at->block_log2 + TIER_LEVELS - 1) / TIER_LEVELS;
  at->blocks = (uint32_t)l->frame_words;
  l->frame_words += at->block_words + at->block_words % 2;
  uint32_t words = l->leaf_words;
  for (uint32_t tier = 0; tier < TIERS; tier++) {
    size_t *end = at->block_count == 2 ? &l->seldom_words : &l->frame_words;
    at->tiers[tier] = (uint32_t)*end;
    at->tier_words[tier] = words;
    if (tier < at->tier_count) *end += 2 * words;
    words = words_of(words);
  }
}

cascade_layout cascade_lay_out(const qkd_cascade_plan *plan) {
  cascade_layout l;
  memset(&l, 0, sizeof l);
  l.leaf_words = words_of(cascade_leaves_of(plan));
  l.bits = HEAD_WORDS;
  l.frame_words = HEAD_WORDS + l.leaf_words + l.leaf_words % 2;
  size_t blocks = 0;
  for (uint32_t pass = 0; pass < plan->passes; pass++) {
    lay_out_pass(plan, &l, pass);
    blocks += l.passes[pass].block_count;
  }
  l.frame_words = (l.frame_words + 7) / 8 * 8;
  l.seldom = plan->frames * l.frame_words;
  l.shared = l.seldom + plan->frames * l.seldom_words;
  l.touched = l.shuffle + 3 * SHUFFLE_WORDS;
  l.found = l.touched;
  for (uint32_t pass = 0; pass < plan->passes; pass++) {
    l.passes[pass].touched = (uint32_t)(l.found - l.touched);
    l.found += l.passes[pass].block_words;
  }
  l.dirty = l.found + blocks / 2 + 1;
  l.fresh = l.dirty + blocks / 2 + 1;
  l.halves = l.fresh + blocks / 2 + 1;
  l.empty_left = l.halves + 2 * plan->passes * (size_t)l.leaf_words;
  l.empty_right = l.empty_left + 2 * plan->passes * (size_t)l.leaf_words;
  l.asked = l.empty_right + 2 * plan->passes * (size_t)l.leaf_words;
  l.shared_words = l.asked + 2;
  return l;
}

cascade_frame cascade_frame_at(const qkd_cascade_plan *plan, const cascade_layout *l,
                               uint64_t *state, uint32_t index) {
  const int last = index + 1 == plan->frames && plan->last_frame_bits != plan->frame_bits;
  uint64_t *shared =
      state + l->shared + (last ? plan->passes * (size_t)l->leaf_words : 0);
  cascade_frame f;
  f.words = state + index * l->frame_words;
  f.seldom = state + l->seldom + index * l->seldom_words;
  f.head = (cascade_head *)(void *)f.words;
  f.bits = f.words + l->bits;
  f.leaf_of_bit = last ? plan->last_leaf_of_bit : plan->leaf_of_bit;
  f.bit_of_leaf = last ? plan->last_bit_of_leaf : plan->bit_of_leaf;
  f.length = last ? plan->last_frame_bits : plan->frame_bits;
  f.halves = shared + l->halves;
  const int full = f.length == cascade_leaves_of(plan);
  f.empty_left = full ? NULL : shared + l->empty_left;
  f.empty_right = full ? NULL : shared + l->empty_right;
  return f;
}

size_t qkd_cascade_state_words(const qkd_cascade_plan *plan) {
  const cascade_layout l = cascade_lay_out(plan);
  return l.shared + l.shared_words;
}

size_t qkd_cascade_round_questions(const qkd_cascade_plan *plan) {
  size_t blocks = 0;
  for (uint32_t pass = 0; pass < plan->passes; pass++) {
    blocks += UINT32_C(1) << (plan->depth - plan->block_log2[pass]);
  }
  return plan->frames * blocks;
}

void qkd_cascade_begin(const qkd_cascade_plan *plan, const uint64_t *bits, uint64_t *state,
                       int tier) {
  const cascade_layout l = cascade_lay_out(plan);
  uint64_t *scratch = state + l.shared;
  memset(scratch + l.touched, 0, (l.found - l.touched) * sizeof *scratch);
  for (uint32_t index = 0; index < plan->frames; index++) {
    const cascade_frame f = cascade_frame_at(plan, &l, state, index);
    memset(f.words, 0, (l.bits + l.leaf_words) * sizeof *state);
    memcpy(f.bits, bits + cascade_begin_of(plan, index), cascade_bytes_of(&f));
  }
  cascade_prepare(plan, &l, state, tier);
}

void qkd_cascade_wipe(const qkd_cascade_plan *plan, uint64_t *state) {
  const cascade_layout l = cascade_lay_out(plan);
  for (uint32_t index = 0; index < plan->frames; index++) {
    const cascade_frame f = cascade_frame_at(plan, &l, state, index);
    for (uint32_t pass = 0; pass < plan->passes; pass++) {
      /* Trees that were never hung may be memory that was never touched. */
      if (l.passes[pass].block_count != 2 || !(f.head->hung >> pass & 1u)) continue;
      memset(f.seldom, 0, l.seldom_words * sizeof *state);
    }
  }
  memset(state, 0, l.seldom * sizeof *state);
  memset(state + l.shared, 0, l.shared_words * sizeof *state);
}
