/* The corrector, to be compiled for several tiers: all odd blocks of a frame are searched in lock-step (Brassard and Salvail,
 * EUROCRYPT '93; no parity that follows from known ones is asked for). */
#ifndef QKD_CASCADE_CORRECTOR_H
#define QKD_CASCADE_CORRECTOR_H

#include <string.h>

#include "cascade_impl.h"

enum { FOUND_LEAF = 1 << 16, FLIPS_AT_ONCE = 32, FEW_DIRTY = 24 };

/* One round's work on one frame. Lists: the leaves found and not yet flipped, and the blocks that
 * flips have touched, whose bits are set in the touched words; as pass << 17 | number. */
typedef struct {
  const qkd_cascade_plan *plan;
  const cascade_layout *l;
  cascade_frame f;
  uint64_t *state, *scratch, *touched;
  uint32_t *found, *dirty, *fresh;
  size_t found_count, dirty_count;
  uint32_t *questions;
  size_t count, asked_count;
  uint32_t label;
  int tier;
} visit;

/* Down from an odd node into odd halves to the first node that is not split; or to a leaf, then
 * with FOUND_LEAF. A word is read once on the way. */
static inline uint32_t walk(const cascade_tree *t, uint32_t name) {
  uint32_t tier = cascade_tier_of(name);
  for (;;) {
    const uint32_t in_tier = name >> (TIER_LEVELS * tier);
    cascade_word *word = t->tiers[tier] + in_tier / 64;
    uint64_t odd = word->odd;
    uint64_t split = word->split;
    uint32_t node = in_tier % 64;
    uint32_t half;
    do {
      const uint64_t bit = UINT64_C(1) << (node - 1);
      if (!(split & bit)) {
        if (t->empty_right == NULL || tier > 0 || !(t->empty_right[in_tier / 64] & bit)) {
          return (in_tier / 64 * 64 + node) << (TIER_LEVELS * tier);
        }
        word->split = split |= bit;
        word->odd = odd |= bit;
      }
      half = node & (0 - node);
      node = node + half / 2 - (odd & bit ? half : 0);
    } while (half > 1);
    const uint32_t leaf = in_tier / 64 * 64 + node;
    if (tier == 0) return FOUND_LEAF | leaf;
    tier--;
    name = (2 * leaf + 1) << (TIER_LEVELS * (tier + 1) - 1);
  }
}

/* Asks for the node that a walk has come to, or lists its leaf. */
static inline void reach(visit *v, uint32_t pass, uint32_t end) {
  const uint32_t is_leaf = end / FOUND_LEAF;
  v->questions[v->count] = v->label | pass << PASS_SHIFT | end;
  v->found[v->found_count] = pass << PASS_SHIFT | (end & (FOUND_LEAF - 1));
  v->count += 1 - is_leaf;
  v->found_count += is_leaf;
}

static void search_block(visit *v, uint32_t pass, uint32_t block) {
  if (!(v->f.head->hung >> pass & 1u)) {
    cascade_hang_tree(v->plan, v->l, &v->f, pass, v->scratch, CASCADE_CORRECTOR, v->tier);
  }
  const cascade_tree t = cascade_tree_at(v->l, &v->f, pass);
  reach(v, pass, walk(&t, (2 * block + 1) << (t.block_log2 - 1)));
}

#define PATH(s)                                                                                \
  (UINT64_C(1) << (s) | UINT64_C(1) << ((s) | 1) | UINT64_C(1) << ((s) | 3) |                  \
   UINT64_C(1) << ((s) | 7) | UINT64_C(1) << ((s) | 15) | UINT64_C(1) << ((s) | 31) |          \
   UINT64_C(1) << 63)
#define PATHS(s) PATH(s), PATH(s + 1), PATH(s + 2), PATH(s + 3)
#define MORE_PATHS(s) PATHS(s), PATHS(s + 4), PATHS(s + 8), PATHS(s + 12)

/* The sums that a leaf of a word is in. */
static const uint64_t paths[64] = {MORE_PATHS(0), MORE_PATHS(16), MORE_PATHS(32), MORE_PATHS(48)};

/* Changes a leaf in its pass. Returns its block. */
static inline uint32_t change(const visit *v, uint32_t pass, uint32_t leaf) {
  const cascade_pass *at = &v->l->passes[pass];
  const uint32_t block = leaf >> at->block_log2;
  v->f.words[at->blocks + block / 64] ^= UINT64_C(1) << (block % 64);
  if (v->f.head->hung >> pass & 1u) {
    for (uint32_t tier = 0; tier < TIERS && tier < at->tier_count; tier++) {
      const uint32_t place = leaf >> (TIER_LEVELS * tier);
      cascade_tier_at(&v->f, at, tier)[place / 64].odd ^= paths[place % 64];
    }
  }
  return block;
}

static inline uint64_t *touched_at(const visit *v, uint32_t pass, uint32_t block) {
  return v->touched + v->l->passes[pass].touched + block / 64;
}

static inline int is_touched(const visit *v, uint32_t pass, uint32_t block) {
  return (int)(*touched_at(v, pass, block) >> (block % 64)) & 1;
}

static inline void touch(visit *v, uint32_t pass, uint32_t block) {
  uint64_t *word = touched_at(v, pass, block);
  v->dirty[v->dirty_count] = pass << PASS_SHIFT | block;
  v->dirty_count += !(*word >> (block % 64) & 1u);
  *word |= UINT64_C(1) << (block % 64);
}

/* Flips leaves found, whose places in all passes are first worked out and fetched. What was found
 * in a block that a flip has touched since is moot. An honest peer's answers lead to no more flips
 * than there are bits. */
static void flip(visit *v, const uint32_t *found, size_t count) {
  const uint32_t begun = v->f.head->begun;
  uint32_t bits[FLIPS_AT_ONCE];
  uint16_t leaves[FLIPS_AT_ONCE][MAX_PASSES];
  for (size_t i = 0; i < count; i++) {
    const uint32_t own = found[i] >> PASS_SHIFT;
    bits[i] = cascade_bit_at(v->plan, &v->f, own, found[i] & (FOUND_LEAF - 1));
    if (bits[i] == v->f.length) continue;
    __builtin_prefetch(v->f.bits + bits[i] / 64, 1);
    for (uint32_t pass = 0; pass < begun; pass++) {
      leaves[i][pass] = (uint16_t)cascade_leaf_of(v->plan, &v->f, pass, bits[i]);
      __builtin_prefetch(cascade_tier_at(&v->f, v->l->passes + pass, 0) + leaves[i][pass] / 64, 1);
    }
  }
  for (size_t i = 0; i < count; i++) {
    const uint32_t own = found[i] >> PASS_SHIFT;
    if (bits[i] == v->f.length || v->f.head->flips == v->f.length) continue;
    if (is_touched(v, own, (uint32_t)leaves[i][own] >> v->l->passes[own].block_log2)) continue;
    v->f.head->flips++;
    v->f.bits[bits[i] / 64] ^= UINT64_C(1) << (bits[i] % 64);
    for (uint32_t pass = 0; pass < begun; pass++) {
      const uint32_t block = change(v, pass, leaves[i][pass]);
      if (pass != own) touch(v, pass, block);
    }
  }
}

/* Puts the touched blocks in order. */
static void sort_dirty(visit *v) {
  if (v->dirty_count <= FEW_DIRTY) {
    for (size_t i = 1; i < v->dirty_count; i++) {
      const uint32_t moved = v->dirty[i];
      size_t at = i;
      for (; at > 0 && v->dirty[at - 1] > moved; at--) v->dirty[at] = v->dirty[at - 1];
      v->dirty[at] = moved;
    }
    return;
  }
  size_t count = 0;
  for (uint32_t pass = 0; pass < v->f.head->begun; pass++) {
    for (uint32_t w = 0; w < v->l->passes[pass].block_words; w++) {
      for (uint64_t blocks = *touched_at(v, pass, 64 * w); blocks != 0; blocks &= blocks - 1) {
        v->dirty[count++] = pass << PASS_SHIFT | (64 * w + (uint32_t)__builtin_ctzll(blocks));
      }
    }
  }
}

/* Merges the questions from a place on, which ascend, into those before, which ascend, too. */
static void merge(visit *v, size_t kept) {
  uint32_t *questions = v->questions;
  size_t fresh = v->count - kept;
  if (fresh == 0 || kept == 0 || questions[kept - 1] < questions[kept]) return;
  memcpy(v->fresh, questions + kept, fresh * sizeof *questions);
  for (size_t at = v->count; fresh > 0; at--) {
    const int older = kept > 0 && questions[kept - 1] > v->fresh[fresh - 1];
    questions[at - 1] = older ? questions[kept - 1] : v->fresh[fresh - 1];
    kept -= (size_t)older;
    fresh -= (size_t)!older;
  }
}

/* Takes back the questions about touched blocks. */
static void retract(visit *v) {
  size_t kept = 0;
  for (size_t i = 0; i < v->count; i++) {
    const uint32_t question = v->questions[i];
    const uint32_t pass = (question >> PASS_SHIFT) & (MAX_PASSES - 1);
    const uint32_t block = (question & (BLOCK_NAME - 1)) >> v->l->passes[pass].block_log2;
    v->questions[kept] = question;
    kept += !is_touched(v, pass, block);
  }
  v->count = kept;
}

/* Flips what was found, and searches the blocks which that touches anew, until nothing is found. */
static void settle(visit *v) {
  while (v->found_count > 0) {
    for (size_t i = 0; i < v->found_count; i += FLIPS_AT_ONCE) {
      const size_t rest = v->found_count - i;
      flip(v, v->found + i, rest < FLIPS_AT_ONCE ? rest : FLIPS_AT_ONCE);
    }
    v->found_count = 0;
    if (v->dirty_count == 0) return;
    retract(v);
    sort_dirty(v);
    const size_t kept = v->count;
    for (size_t i = 0; i < v->dirty_count; i++) {
      const uint32_t pass = v->dirty[i] >> PASS_SHIFT;
      const uint32_t block = v->dirty[i] & ((1u << PASS_SHIFT) - 1);
      *touched_at(v, pass, block) &= ~(UINT64_C(1) << (block % 64));
      if (v->f.words[v->l->passes[pass].blocks + block / 64] >> (block % 64) & 1u) {
        search_block(v, pass, block);
      }
    }
    v->dirty_count = 0;
    merge(v, kept);
  }
}

static uint64_t get_bits(const uint8_t *packed, size_t at, uint32_t count) {
  uint64_t bits = 0;
  for (size_t i = at / 8; i <= (at + count - 1) / 8; i++) {
    const size_t begin = 8 * i;
    bits |= begin < at ? (uint64_t)packed[i] >> (at - begin) : (uint64_t)packed[i] << (begin - at);
  }
  return bits & ~UINT64_C(0) >> (64 - count);
}

/* Takes in the parities of the blocks of a pass just opened, and begins to search the odd ones.
 * A last block that was not asked for makes the sum even: all blocks of earlier passes are. */
static size_t absorb_blocks(visit *v, uint32_t pass, const uint8_t *parities, size_t first) {
  const cascade_pass *at = &v->l->passes[pass];
  const uint32_t asked = cascade_opening(v->l, pass);
  uint64_t *blocks = v->f.words + at->blocks;
  for (uint32_t i = 0; i < asked; i += 64) {
    blocks[i / 64] ^= get_bits(parities, first + i, asked - i < 64 ? asked - i : 64);
  }
  if (asked < at->block_count) {
    const uint64_t last = UINT64_C(1) << (asked % 64);
    uint64_t sum = 0;
    blocks[asked / 64] &= ~last;
    for (uint32_t w = 0; w < at->block_words; w++) sum ^= blocks[w];
    if (__builtin_parityll(sum)) blocks[asked / 64] |= last;
  }
  for (uint32_t w = 0; w < at->block_words; w++) {
    for (uint64_t odd = blocks[w]; odd != 0; odd &= odd - 1) {
      search_block(v, pass, 64 * w + (uint32_t)__builtin_ctzll(odd));
    }
  }
  return asked;
}

/* Takes in the answers to questions about one pass, and goes on from the highest node of those that
 * were asked about below one block. */
static inline void absorb_pass(visit *v, uint32_t pass, const uint32_t *asked,
                               const uint8_t *parities, size_t first, size_t end) {
  const cascade_tree t = cascade_tree_at(v->l, &v->f, pass);
  const uint32_t label = v->label | pass << PASS_SHIFT;
  uint32_t *question = v->questions + v->count;
  uint32_t *found = v->found + v->found_count;
  for (size_t i = first; i < end;) {
    const uint32_t block = asked[i] >> t.block_log2;
    uint32_t highest = 0;
    do {
      cascade_expect(v->l, v->state, asked[i + AHEAD < v->asked_count ? i + AHEAD : i]);
      const uint32_t name = asked[i] & (BLOCK_NAME - 1);
      const cascade_place p = cascade_find(&t, name);
      p.word->odd ^= ((uint64_t)parities[i / 8] >> (i % 8) & 1u) << p.bit;
      p.word->split |= UINT64_C(1) << p.bit;
      if ((name & (0 - name)) > (highest & (0 - highest))) highest = name;
      i++;
    } while (i < end && asked[i] >> t.block_log2 == block);
    const uint32_t reached = walk(&t, highest);
    const uint32_t is_leaf = reached / FOUND_LEAF;
    *question = label | reached;
    *found = pass << PASS_SHIFT | (reached & (FOUND_LEAF - 1));
    question += 1 - is_leaf;
    found += is_leaf;
  }
  v->count = (size_t)(question - v->questions);
  v->found_count = (size_t)(found - v->found);
}

/* The same for all of the frame's passes. Returns the number of questions. */
static size_t absorb_splits(visit *v, const uint32_t *asked, const uint8_t *parities,
                            size_t first) {
  const uint32_t index = v->label >> FRAME_SHIFT;
  size_t begin = first;
  while (begin < v->asked_count && asked[begin] >> FRAME_SHIFT == index) {
    const uint32_t run = asked[begin] >> PASS_SHIFT;
    size_t end = begin + 1;
    while (end < v->asked_count && asked[end] >> PASS_SHIFT == run) end++;
    absorb_pass(v, run & (MAX_PASSES - 1), asked, parities, begin, end);
    begin = end;
  }
  return begin - first;
}

/* Opens the next pass, or all that are left once they are halving ones: each costs one question
 * whether or not it is opened alone. The first pass is, since others build on its sum. */
static void ask_blocks(visit *v) {
  uint32_t pass = v->f.head->begun;
  do {
    const uint32_t asked = cascade_opening(v->l, pass);
    cascade_open(v->plan, v->l, &v->f, v->scratch, CASCADE_CORRECTOR, v->tier);
    for (uint32_t i = 0; i < asked; i++) {
      v->questions[v->count++] = v->label | pass << PASS_SHIFT | (BLOCK_NAME + i);
    }
    v->f.head->opening++;
    pass++;
  } while (pass > 1 && pass < v->plan->passes && v->l->passes[pass - 1].block_count == 2 &&
           v->l->passes[pass].block_count == 2);
}

static inline size_t cascade_ask(const qkd_cascade_plan *plan, uint64_t *bits, uint64_t *state,
                                 const uint32_t *asked, const uint8_t *parities, size_t count,
                                 uint32_t *questions, int tier) {
  const cascade_layout l = cascade_lay_out(plan);
  visit v;
  memset(&v, 0, sizeof v);
  v.plan = plan;
  v.l = &l;
  v.state = state;
  v.asked_count = count;
  v.scratch = state + l.shared;
  v.touched = v.scratch + l.touched;
  v.found = (uint32_t *)(void *)(v.scratch + l.found);
  v.dirty = (uint32_t *)(void *)(v.scratch + l.dirty);
  v.fresh = (uint32_t *)(void *)(v.scratch + l.fresh);
  v.questions = questions;
  v.tier = tier;
  /* A frame without questions is finished, or all are yet to begin. */
  const cascade_head *first = (const cascade_head *)(const void *)state;
  const uint32_t frames = first->begun == 0 ? plan->frames : 0;
  if (frames > 0) memset(state + l.shared + l.asked, 0, 2 * sizeof *state);
  size_t taken = 0;
  for (size_t i = 0; i < count && i < AHEAD; i++) cascade_expect(&l, state, asked[i]);
  for (uint32_t index = 0; index < frames || taken < count; index++) {
    if (frames == 0) index = asked[taken] >> FRAME_SHIFT;
    v.f = cascade_frame_at(plan, &l, state, index);
    v.label = index << FRAME_SHIFT;
    v.count = 0;
    if (v.f.head->opening == 0) taken += absorb_splits(&v, asked, parities, taken);
    for (; v.f.head->opening > 0; v.f.head->opening--) {
      taken += absorb_blocks(&v, v.f.head->begun - v.f.head->opening, parities, taken);
    }
    settle(&v);
    if (v.count == 0 && v.f.head->begun < plan->passes) ask_blocks(&v);
    if (v.count == 0) {
      memcpy(bits + cascade_begin_of(plan, index), v.f.bits, cascade_bytes_of(&v.f));
    }
    v.questions += v.count;
  }
  return cascade_deepen(plan, &l, state, questions, (size_t)(v.questions - questions));
}

#endif
