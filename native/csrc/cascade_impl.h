/* What the two ends of Cascade share: where a frame's state lies, and how its trees are hung.
 *
 * Each frame has, for each pass it has begun, the parities of the pass's blocks and the tree below
 * them, in tiers of six levels: a tier's words hang from the leaves of the next tier's. A node is
 * known by the name of the question that splits it (cascade.h), so that the lowest set bit of its
 * name tells its height and the bits above it its place. Where one half of a node is known to be
 * zero, since its leaves lie beyond the frame's bits, its split needs no question.
 */
#ifndef QKD_CASCADE_IMPL_H
#define QKD_CASCADE_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "cascade.h"
#include "cascade_leaves.h"

enum {
  FRAME_SHIFT = 20,
  PASS_SHIFT = 17,
  BLOCK_NAME = 1 << 16,
  MAX_PASSES = 8,
  TIERS = 3,
  TIER_LEVELS = 6,
  AHEAD = 32 /* questions between fetching and use */
};

/* Where a pass's parities lie in a frame's words. */
typedef struct {
  uint32_t block_log2, block_count, block_words;
  uint32_t blocks;
  uint32_t tier_count;
  uint32_t tiers[TIERS], tier_words[TIERS]; /* among the seldom ones if there are two blocks */
  uint32_t touched;                         /* in the scratch */
} cascade_pass;

/* Offsets and sizes in words. The state begins with all frames' frame_words; then come the trees of
 * passes of two blocks, seldom_words a frame, which few frames ever need; then what all share. */
typedef struct {
  uint32_t leaf_words, bits;
  cascade_pass passes[MAX_PASSES];
  size_t frame_words, seldom_words;
  size_t seldom, shared;                        /* from the state's begin */
  size_t shuffle, touched, found, dirty, fresh; /* from here on in what is shared */
  size_t halves, empty_left, empty_right;       /* [2][passes][leaf_words] */
  size_t asked; /* all rounds' questions, and how many of them merely saved rounds */
  size_t shared_words;
} cascade_layout;

/* How a frame's part of the state begins. */
typedef struct {
  uint32_t begun;   /* passes opened so far */
  uint32_t hung;    /* bit p: pass p has its tree, not its blocks alone */
  uint32_t opening; /* of so many passes the blocks have been asked, but not answered */
  uint32_t flips;
} cascade_head;

enum { HEAD_WORDS = 8 };

/* One frame's part of the state, and what it shares with all frames of its length. */
typedef struct {
  cascade_head *head;
  uint64_t *words, *seldom;
  uint64_t *bits; /* this end's, packed, as they stand */
  const uint16_t *leaf_of_bit, *bit_of_leaf;
  uint64_t *halves; /* of passes of two blocks: the bits in the first one */
  uint64_t *empty_left, *empty_right; /* NULL: every leaf has a bit */
  uint32_t length;
} cascade_frame;

/* One pass of one frame. */
typedef struct {
  cascade_word *tiers[TIERS];
  const uint64_t *empty_left, *empty_right;
  uint32_t block_log2;
} cascade_tree;

typedef struct {
  cascade_word *word;
  uint32_t bit;
} cascade_place;

typedef enum { CASCADE_CORRECTOR, CASCADE_REFERENCE } cascade_role;

/* The two ends as compiled for AVX2 and later, which have quicker shifts. */
size_t cascade_ask_avx2(const qkd_cascade_plan *plan, uint64_t *bits, uint64_t *state,
                        const uint32_t *asked, const uint8_t *parities, size_t count,
                        uint32_t *questions, int tier);
size_t cascade_answer_avx2(const qkd_cascade_plan *plan, uint64_t *state,
                           const uint32_t *questions, size_t count, uint8_t *parities, int tier);

cascade_layout cascade_lay_out(const qkd_cascade_plan *plan);

cascade_frame cascade_frame_at(const qkd_cascade_plan *plan, const cascade_layout *l,
                               uint64_t *state, uint32_t index);

/* What all frames of a length share. */
void cascade_prepare(const qkd_cascade_plan *plan, const cascade_layout *l, uint64_t *state,
                     int tier);

/* Opens the next pass: its blocks get this end's parities. */
void cascade_open(const qkd_cascade_plan *plan, const cascade_layout *l, const cascade_frame *f,
                  uint64_t *scratch, cascade_role role, int tier);

/* Hangs the tree of a pass that was opened without one. */
void cascade_hang_tree(const qkd_cascade_plan *plan, const cascade_layout *l,
                       const cascade_frame *f, uint32_t pass, uint64_t *scratch,
                       cascade_role role, int tier);

/* Asks several levels deep where a round's questions are few. Returns how many there are then. */
size_t cascade_deepen(const qkd_cascade_plan *plan, const cascade_layout *l, uint64_t *state,
                      uint32_t *questions, size_t count);

static inline uint32_t cascade_leaves_of(const qkd_cascade_plan *plan) {
  return UINT32_C(1) << plan->depth;
}

static inline cascade_word *cascade_tier_at(const cascade_frame *f, const cascade_pass *at,
                                            uint32_t tier) {
  uint64_t *words = at->block_count == 2 ? f->seldom : f->words;
  return (cascade_word *)(void *)(words + at->tiers[tier]);
}

static inline cascade_tree cascade_tree_at(const cascade_layout *l, const cascade_frame *f,
                                           uint32_t pass) {
  const cascade_pass *at = &l->passes[pass];
  cascade_tree t;
  for (uint32_t i = 0; i < TIERS; i++) t.tiers[i] = cascade_tier_at(f, at, i);
  t.empty_left = f->empty_left == NULL ? NULL : f->empty_left + pass * l->leaf_words;
  t.empty_right = f->empty_right == NULL ? NULL : f->empty_right + pass * l->leaf_words;
  t.block_log2 = at->block_log2;
  return t;
}

/* The tier of a node: the lowest set bit of its name, divided by six. */
static inline uint32_t cascade_tier_of(uint32_t name) {
  return ((uint32_t)__builtin_ctz(name) * 43) >> 8;
}

/* Where a node lies. Names are not 0. */
static inline cascade_place cascade_find(const cascade_tree *t, uint32_t name) {
  const uint32_t tier = cascade_tier_of(name);
  const uint32_t in_tier = name >> (TIER_LEVELS * tier);
  cascade_place p;
  p.word = t->tiers[tier] + in_tier / 64;
  p.bit = (in_tier & 63u) - 1;
  return p;
}

/* Brings near what a later question about some frame will need, in a pass of several blocks. Its
 * place is a mere number, for a hostile question may name one beyond the state. */
static inline void cascade_expect(const cascade_layout *l, const uint64_t *state,
                                  uint32_t question) {
  const cascade_pass *at = &l->passes[(question >> PASS_SHIFT) & (MAX_PASSES - 1)];
  const uint32_t name = (question & (BLOCK_NAME - 1)) | BLOCK_NAME;
  const uint32_t tier = cascade_tier_of(name);
  const uint32_t word = name % BLOCK_NAME >> TIER_LEVELS * (tier + 1);
  const uint64_t *head = state + (question >> FRAME_SHIFT) * l->frame_words;
  const uintptr_t place = (uintptr_t)head + sizeof *head * (at->tiers[tier] + 2 * word);
  __builtin_prefetch(head);
  __builtin_prefetch((const void *)place, 1);
}

/* The bit in a leaf of a pass, or the frame's length if there is none. */
uint32_t cascade_bit_at(const qkd_cascade_plan *plan, const cascade_frame *f, uint32_t pass,
                        uint32_t leaf);

/* A frame's part of the packed string. */
static inline size_t cascade_begin_of(const qkd_cascade_plan *plan, uint32_t index) {
  return index * (size_t)(plan->frame_bits / 64);
}

static inline size_t cascade_bytes_of(const cascade_frame *f) {
  return (f->length + 63) / 64 * sizeof *f->bits;
}

/* The leaf of a bit. */
uint32_t cascade_leaf_of(const qkd_cascade_plan *plan, const cascade_frame *f, uint32_t pass,
                         uint32_t bit);

/* The number of questions that open a pass. */
static inline uint32_t cascade_opening(const cascade_layout *l, uint32_t pass) {
  return l->passes[pass].block_count - (pass > 0);
}

#endif
