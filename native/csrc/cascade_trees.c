/* From a frame's bits to a pass's leaves, blocks and tree, and from leaves back to bits. */
#include <string.h>

#include "cascade_impl.h"

static const uint16_t *stages(const uint16_t *shuffles, uint32_t pass) {
  return shuffles + pass * SHUFFLE_STAGES * SHUFFLE_WORDS;
}

uint32_t cascade_bit_at(const qkd_cascade_plan *plan, const cascade_frame *f, uint32_t pass,
                        uint32_t leaf) {
  if (plan->gather == NULL) {
    const uint32_t bit = f->bit_of_leaf[(pass << plan->depth) + leaf];
    return cascade_leaf_of(plan, f, pass, bit) == leaf ? bit : f->length;
  }
  const uint16_t *gather = stages(plan->gather, pass);
  uint32_t word = leaf / 64;
  uint32_t bit = leaf % 64;
  for (unsigned stage = SHUFFLE_STAGES; stage-- > 0;) {
    const uint32_t rotated = word / SHUFFLE_SQUARES;
    const uint32_t taken =
        gather[stage * SHUFFLE_WORDS + SHUFFLE_SQUARES * bit + word % SHUFFLE_SQUARES];
    bit = (rotated - taken) & 63u;
    word = taken >> 6;
  }
  const uint32_t found = 64 * word + bit;
  return found < f->length ? found : f->length;
}

uint32_t cascade_leaf_of(const qkd_cascade_plan *plan, const cascade_frame *f, uint32_t pass,
                         uint32_t position) {
  if (plan->gather == NULL) return f->leaf_of_bit[(size_t)pass * f->length + position];
  const uint16_t *scatter = stages(plan->scatter, pass);
  uint32_t word = position / 64;
  uint32_t bit = position % 64;
  for (unsigned stage = 0; stage < SHUFFLE_STAGES; stage++) {
    const uint32_t put = scatter[stage * SHUFFLE_WORDS + word];
    word = SHUFFLE_SQUARES * ((bit + put) & 63u) + (put >> 6) % SHUFFLE_SQUARES;
    bit = (put >> 6) / SHUFFLE_SQUARES;
  }
  return 64 * word + bit;
}

/* A frame's words in the order of a pass's leaves. spare has as many again. */
static void to_leaves(const qkd_cascade_plan *plan, const cascade_frame *f, uint32_t pass,
                      const uint64_t *bits, uint64_t *leaves, uint64_t *spare, int tier) {
  if (plan->gather != NULL) {
    CASCADE_IN_TIER(tier, cascade_shuffle, bits, leaves, spare, stages(plan->gather, pass));
    return;
  }
  const uint16_t *leaf_of_bit = f->leaf_of_bit + (size_t)pass * f->length;
  memset(leaves, 0, (cascade_leaves_of(plan) + 63) / 64 * sizeof *leaves);
  for (uint32_t i = 0; i < f->length; i++) {
    leaves[leaf_of_bit[i] / 64] |= (bits[i / 64] >> (i % 64) & 1u) << (leaf_of_bit[i] % 64);
  }
}

/* The bits in a pass's first half of leaves. */
static void first_half(const qkd_cascade_plan *plan, const cascade_frame *f, uint32_t pass,
                       uint64_t *half, uint64_t *spare) {
  if (plan->gather == NULL) {
    const uint16_t *leaf_of_bit = f->leaf_of_bit + (size_t)pass * f->length;
    memset(half, 0, (cascade_leaves_of(plan) + 63) / 64 * sizeof *half);
    for (uint32_t i = 0; i < f->length; i++) {
      half[i / 64] |= (uint64_t)!(leaf_of_bit[i] >> (plan->depth - 1)) << (i % 64);
    }
    return;
  }
  memset(half, 0, SHUFFLE_WORDS * sizeof *half);
  memset(half, 0xFF, SHUFFLE_WORDS / 2 * sizeof *half);
  for (unsigned stage = SHUFFLE_STAGES; stage-- > 0;) {
    const uint16_t *gather = stages(plan->gather, pass) + stage * SHUFFLE_WORDS;
    cascade_transpose(half);
    for (uint32_t w = 0; w < SHUFFLE_WORDS; w++) {
      const unsigned rotation = gather[w] & 63u;
      spare[gather[w] >> 6] = half[w] >> rotation | half[w] << (-rotation & 63u);
    }
    memcpy(half, spare, SHUFFLE_WORDS * sizeof *half);
  }
}

/* In a word of leaves, which nodes have no real leaf in their left half, and in their right. */
static void find_empty(uint64_t real, uint64_t *left, uint64_t *right) {
  uint64_t below = real;
  uint64_t above = real;
  below |= CASCADE_LEVEL(below, 1);
  above |= above >> 1 & UINT64_C(0x5555555555555555);
  below |= CASCADE_LEVEL(below, 2);
  above |= above >> 2 & UINT64_C(0x1111111111111111);
  below |= CASCADE_LEVEL(below, 3);
  above |= above >> 4 & UINT64_C(0x0101010101010101);
  below |= CASCADE_LEVEL(below, 4);
  above |= above >> 8 & UINT64_C(0x0001000100010001);
  below |= CASCADE_LEVEL(below, 5);
  above |= above >> 16 & UINT64_C(0x0000000100000001);
  *left = ~below & ~(UINT64_C(1) << 63);
  *right = ~(above >> 1) & ~(UINT64_C(1) << 63);
}

static void prepare_length(const qkd_cascade_plan *plan, const cascade_layout *l,
                           uint64_t *state, uint32_t index, int tier) {
  const cascade_frame f = cascade_frame_at(plan, l, state, index);
  uint64_t *shared = state + l->shared;
  uint64_t *real = shared + l->shuffle;
  uint64_t *leaves = real + SHUFFLE_WORDS;
  uint64_t *spare = leaves + SHUFFLE_WORDS;
  for (uint32_t pass = 0; pass < plan->passes; pass++) {
    const size_t begin = pass * (size_t)l->leaf_words;
    if (l->passes[pass].block_count == 2) {
      first_half(plan, &f, pass, f.halves + begin, spare);
    }
    if (f.empty_left == NULL) continue;
    uint64_t *left = f.empty_left + begin;
    uint64_t *right = f.empty_right + begin;
    memset(real, 0, l->leaf_words * sizeof *real);
    memset(real, 0xFF, f.length / 64 * sizeof *real);
    if (f.length % 64 != 0) real[f.length / 64] = (UINT64_C(1) << (f.length % 64)) - 1;
    to_leaves(plan, &f, pass, real, leaves, spare, tier);
    for (uint32_t w = 0; w < l->leaf_words; w++) find_empty(leaves[w], left + w, right + w);
  }
}

void cascade_prepare(const qkd_cascade_plan *plan, const cascade_layout *l, uint64_t *state,
                     int tier) {
  prepare_length(plan, l, state, plan->frames - 1, tier);
  if (plan->frames > 1 && plan->last_frame_bits != plan->frame_bits) {
    prepare_length(plan, l, state, 0, tier);
  }
}

/* Hangs a pass's tree, with the parities of its blocks. */
static void hang(const qkd_cascade_plan *plan, const cascade_layout *l, const cascade_frame *f,
                 uint32_t pass, uint64_t *blocks, uint64_t *scratch, cascade_role role, int tier) {
  const cascade_pass *at = &l->passes[pass];
  const cascade_tree t = cascade_tree_at(l, f, pass);
  uint64_t *leaves = scratch + l->shuffle;
  uint64_t *spare = leaves + SHUFFLE_WORDS;
  uint64_t *sums = spare + SHUFFLE_WORDS;
  const uint64_t *split = role == CASCADE_CORRECTOR ? t.empty_left : NULL;
  to_leaves(plan, f, pass, f->bits, leaves, spare, tier);
  for (uint32_t i = 0; i < at->tier_count; i++) {
    const uint32_t levels = at->block_log2 - TIER_LEVELS * i;
    if (i + 1 == at->tier_count) sums = blocks;
    CASCADE_IN_TIER(tier, cascade_hang, leaves, i == 0 ? split : NULL, at->tier_words[i],
                    t.tiers[i], levels < TIER_LEVELS ? levels : TIER_LEVELS, sums);
    leaves = sums;
    sums += (at->tier_words[i] + 63) / 64;
  }
  f->head->hung |= UINT32_C(1) << pass;
}

void cascade_open(const qkd_cascade_plan *plan, const cascade_layout *l, const cascade_frame *f,
                  uint64_t *scratch, cascade_role role, int tier) {
  const uint32_t pass = f->head->begun++;
  uint64_t *blocks = f->words + l->passes[pass].blocks;
  if (l->passes[pass].block_count != 2) {
    hang(plan, l, f, pass, blocks, scratch, role, tier);
    return;
  }
  const uint64_t *half = f->halves + pass * (size_t)l->leaf_words;
  const unsigned first = CASCADE_IN_TIER(tier, cascade_overlap, f->bits, half, l->leaf_words);
  const unsigned all = CASCADE_IN_TIER(tier, cascade_overlap, f->bits, f->bits, l->leaf_words);
  blocks[0] = first | (first ^ all) << 1;
}

void cascade_hang_tree(const qkd_cascade_plan *plan, const cascade_layout *l,
                       const cascade_frame *f, uint32_t pass, uint64_t *scratch,
                       cascade_role role, int tier) {
  uint64_t unused;
  hang(plan, l, f, pass, &unused, scratch, role, tier);
}
