/* Batched Cascade (Brassard and Salvail, EUROCRYPT '93), all odd blocks searched in lock-step.
 *
 * Each frame has, for each pass it has begun, the parities of the nodes below the pass's blocks,
 * and which of them are known of the reference. Any parity that follows from known ones (a parent
 * is the sum of its children; every pass has the same root) is learnt at once and never asked for.
 * Leaves beyond the frame's bits are known zeros.
 *
 * A word holds a subtree of six levels in order: the leaf in slot s is bit 2s, a node of height h
 * the middle of the 2^(h+1) - 1 bits of its subtree. So a way down leads through three words at
 * most, and a flip changes one path in each. The blocks' own parities lie beside, to be scanned.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cascade.h"
#include "cascade_leaves.h"

enum {
  FRAME_SHIFT = 20,
  PASS_SHIFT = 17,
  MAX_PASSES = 8,
  MAX_DEPTH = 16,
  TIER_LEVELS = 6,
  TIERS = 3,
  WORD_ROOT = 31 /* the bit of a word's highest node */
};

/* odd: this end's parities, plus the reference's where they are known. */
typedef struct {
  uint64_t odd, known;
} parities;

/* Where the nodes of one height lie: 2^word_log2 in a word, the first in bit first, the others
 * 2^spread bits apart. */
typedef struct {
  uint32_t offset;
  uint8_t word_log2, spread, first;
} level;

/* Where a pass's parities lie in a frame's words, and what its search needs in the scratch. */
typedef struct {
  uint32_t block_log2, block_count, block_words;
  level levels[MAX_DEPTH + 1]; /* up to the blocks, whose level lies beside the tiers */
  uint32_t tiers[TIERS];
  uint32_t tier_words[TIERS];
  uint32_t pending, asked, child;
} pass_layout;

typedef struct {
  size_t frame_words, scratch_words;
  uint32_t bits, settled, trees;
  pass_layout passes[MAX_PASSES];
} layout;

/* How a frame's part of the state begins. */
typedef struct {
  uint64_t begun; /* passes opened so far */
  uint64_t root_odd, root_known;
  uint64_t loose; /* some node may be known whose parent is not */
  uint64_t unknown_blocks[MAX_PASSES];
} head;

/* One frame's part of the state. */
typedef struct {
  head *head;
  uint64_t *words;
  uint64_t *bits;    /* this end's bits, packed */
  uint64_t *settled; /* bits whose value is known exactly: never flipped again */
  const uint16_t *leaf_of_bit, *bit_of_leaf;
  uint32_t length;
} frame;

/* One pass of one frame. Heights count from the leaves. */
typedef struct {
  uint64_t *words;
  const pass_layout *at;
} tree;

typedef struct {
  parities *word;
  unsigned bit;
} place;

static uint32_t words_of(uint32_t bits) { return (bits + 63) / 64; }

static uint32_t leaves_of(const qkd_cascade_plan *plan) { return UINT32_C(1) << plan->depth; }

static void lay_out_pass(const qkd_cascade_plan *plan, layout *l, uint32_t pass) {
  pass_layout *at = &l->passes[pass];
  at->block_log2 = plan->block_log2[pass];
  at->block_count = UINT32_C(1) << (plan->depth - at->block_log2);
  at->block_words = words_of(at->block_count);
  for (uint32_t tier = 0; tier <= at->block_log2 / TIER_LEVELS; tier++) {
    const uint32_t below = TIER_LEVELS * (tier + 1) - 1;
    at->tiers[tier] = (uint32_t)l->frame_words;
    at->tier_words[tier] = plan->depth > below ? UINT32_C(1) << (plan->depth - below) : 1;
    l->frame_words += 2 * at->tier_words[tier];
  }
  for (uint32_t height = 0; height < at->block_log2; height++) {
    const uint32_t in_word = height % TIER_LEVELS;
    at->levels[height].offset = at->tiers[height / TIER_LEVELS];
    at->levels[height].word_log2 = (uint8_t)(TIER_LEVELS - 1 - in_word);
    at->levels[height].spread = (uint8_t)(in_word + 1);
    at->levels[height].first = (uint8_t)((1u << in_word) - 1);
  }
  const level blocks = {(uint32_t)l->frame_words, 6, 0, 0};
  at->levels[at->block_log2] = blocks;
  l->frame_words += 2 * at->block_words;
  at->pending = (uint32_t)l->scratch_words;
  at->asked = at->pending + at->block_words;
  at->child = at->asked + at->block_words;
  l->scratch_words = at->child + (at->block_count + 1) / 2;
}

static layout lay_out(const qkd_cascade_plan *plan) {
  layout l;
  l.bits = sizeof(head) / sizeof(uint64_t);
  l.settled = l.bits + words_of(leaves_of(plan));
  l.trees = l.settled + words_of(leaves_of(plan));
  l.frame_words = l.trees;
  l.scratch_words = 3 * SHUFFLE_WORDS;
  for (uint32_t pass = 0; pass < plan->passes; pass++) lay_out_pass(plan, &l, pass);
  return l;
}

static frame frame_at(const qkd_cascade_plan *plan, const layout *l, uint64_t *state,
                      uint32_t index) {
  const int last = index + 1 == plan->frames;
  frame f;
  f.words = state + index * l->frame_words;
  f.head = (head *)(void *)f.words;
  f.bits = f.words + l->bits;
  f.settled = f.words + l->settled;
  f.leaf_of_bit = last ? plan->last_leaf_of_bit : plan->leaf_of_bit;
  f.bit_of_leaf = last ? plan->last_bit_of_leaf : plan->bit_of_leaf;
  f.length = last ? plan->last_frame_bits : plan->frame_bits;
  return f;
}

static tree tree_at(const layout *l, const frame *f, uint32_t pass) {
  const tree t = {f->words, &l->passes[pass]};
  return t;
}

static parities *tier_at(const tree *t, uint32_t tier) {
  return (parities *)(void *)(t->words + t->at->tiers[tier]);
}

static parities *blocks_at(const tree *t) {
  return (parities *)(void *)(t->words + t->at->levels[t->at->block_log2].offset);
}

static place find(const tree *t, uint32_t height, uint32_t index) {
  const level *at = &t->at->levels[height];
  const uint32_t slot = index & ((1u << at->word_log2) - 1);
  place p;
  p.word = (parities *)(void *)(t->words + at->offset) + (index >> at->word_log2);
  p.bit = (slot << at->spread) + at->first;
  return p;
}

static int is_known(place p) { return (int)(p.word->known >> p.bit) & 1; }

static unsigned is_odd(place p) { return (unsigned)(p.word->odd >> p.bit) & 1u; }

static void write(place p, unsigned odd) {
  p.word->known |= UINT64_C(1) << p.bit;
  p.word->odd = (p.word->odd & ~(UINT64_C(1) << p.bit)) | (uint64_t)odd << p.bit;
}

static void learn_below(const tree *t, uint32_t height, uint32_t index);

/* Marks a parity as known, with everything that follows from it inside its block. The recursion
 * climbs at most to the block and then descends: what lies beside its way is known. */
static void learn(const tree *t, uint32_t height, uint32_t index, unsigned odd) {
  const place own = find(t, height, index);
  if (is_known(own)) return;
  write(own, odd);
  learn_below(t, height, index);
  if (height == t->at->block_log2) return;
  const place sibling = find(t, height, index ^ 1);
  const place parent = find(t, height + 1, index / 2);
  if (is_known(sibling)) {
    learn(t, height + 1, index / 2, odd ^ is_odd(sibling));
  } else if (is_known(parent)) {
    learn(t, height, index ^ 1, odd ^ is_odd(parent));
  }
}

/* Of a known node's children, the second follows from the first. */
static void learn_below(const tree *t, uint32_t height, uint32_t index) {
  if (height == 0) return;
  const place left = find(t, height - 1, 2 * index);
  const place right = find(t, height - 1, 2 * index + 1);
  if (is_known(left) == is_known(right)) return;
  const unsigned odd = is_odd(find(t, height, index));
  if (is_known(left)) {
    learn(t, height - 1, 2 * index + 1, odd ^ is_odd(left));
  } else {
    learn(t, height - 1, 2 * index, odd ^ is_odd(right));
  }
}

/* Learns what follows from the blocks of every pass having the same sum. */
static void compare_roots(const layout *l, const frame *f) {
  head *h = f->head;
  for (uint32_t step = 0; step < 2 * h->begun; step++) {
    const uint32_t pass = step % (uint32_t)h->begun;
    const uint64_t unknown = h->unknown_blocks[pass];
    if (unknown > 1 || (unknown == 0) == h->root_known) continue;
    const tree t = tree_at(l, f, pass);
    const parities *blocks = blocks_at(&t);
    uint32_t missing = 0;
    unsigned odd = 0;
    for (uint32_t w = 0; w < t.at->block_words; w++) {
      odd ^= (unsigned)__builtin_parityll(blocks[w].odd & blocks[w].known);
      if (~blocks[w].known != 0) missing = 64 * w + (uint32_t)__builtin_ctzll(~blocks[w].known);
    }
    if (unknown == 0) {
      h->root_known = 1;
      h->root_odd = odd;
    } else {
      h->unknown_blocks[pass] = 0;
      learn(&t, t.at->block_log2, missing, odd ^ (unsigned)h->root_odd);
    }
  }
}

/* Fills in the inner nodes of words whose leaves are given, from height 1 to 5. */
static void grow(parities *words, size_t count) {
  static const uint64_t at_height[TIER_LEVELS] = {
      UINT64_C(0x5555555555555555), UINT64_C(0x2222222222222222), UINT64_C(0x0808080808080808),
      UINT64_C(0x0080008000800080), UINT64_C(0x0000800000008000), UINT64_C(0x0000000080000000)};
  for (size_t i = 0; i < count; i++) {
    uint64_t odd = words[i].odd;
    uint64_t known = words[i].known;
    for (unsigned height = 1; height < TIER_LEVELS; height++) {
      const unsigned step = 1u << (height - 1);
      odd |= (odd << step ^ odd >> step) & at_height[height];
      known |= (known << step & known >> step) & at_height[height];
    }
    words[i].odd = odd;
    words[i].known = known;
  }
}

static void cascade_pack(const uint8_t *bits, size_t count, uint64_t *words, int tier) {
  (void)tier;
  cascade_pack_portable(bits, count, words);
}

static void cascade_shuffle(uint64_t *words, uint64_t *spare, const uint16_t *gather, int tier) {
  (void)tier;
  cascade_shuffle_portable(words, spare, gather);
}

/* Hangs a frame's bits and its known zeros below their words. */
static void hang_by_table(const frame *f, const uint16_t *leaf_of_bit, parities *words,
                          size_t count) {
  for (size_t i = 0; i < count; i++) {
    words[i].odd = 0;
    words[i].known = UINT64_C(0x5555555555555555);
  }
  for (uint32_t i = 0; i < f->length; i++) {
    const uint32_t leaf = leaf_of_bit[i];
    words[leaf / 32].known ^= UINT64_C(1) << (2 * leaf % 64);
    words[leaf / 32].odd |= (f->bits[i / 64] >> (i % 64) & 1u) << (2 * leaf % 64);
  }
}

/* A shuffled word's even bits are one word's leaves, its odd bits the next one's. */
static void hang_by_shuffle(const frame *f, const uint16_t *gather, parities *words,
                            uint64_t *scratch, int tier) {
  const uint64_t leaves = UINT64_C(0x5555555555555555);
  uint64_t *bits = scratch;
  uint64_t *beyond = bits + SHUFFLE_WORDS;
  uint64_t *spare = beyond + SHUFFLE_WORDS;
  memcpy(bits, f->bits, SHUFFLE_WORDS * sizeof *bits);
  memset(beyond, 0, SHUFFLE_WORDS * sizeof *beyond);
  cascade_shuffle(bits, spare, gather, tier);
  if (f->length < 64 * SHUFFLE_WORDS) {
    for (uint32_t w = f->length / 64; w < SHUFFLE_WORDS; w++) beyond[w] = ~UINT64_C(0);
    beyond[f->length / 64] <<= f->length % 64;
    cascade_shuffle(beyond, spare, gather, tier);
  }
  for (size_t w = 0; w < SHUFFLE_WORDS; w++) {
    words[2 * w].odd = bits[w] & leaves;
    words[2 * w].known = beyond[w] & leaves;
    words[2 * w + 1].odd = bits[w] >> 1 & leaves;
    words[2 * w + 1].known = beyond[w] >> 1 & leaves;
  }
}

/* The leaves of a higher tier: sums of two words below. */
static void raise(const parities *below, size_t below_count, parities *words, size_t count) {
  memset(words, 0, count * sizeof *words);
  for (size_t i = 0; i + 1 < below_count; i += 2) {
    const uint64_t odd = (below[i].odd ^ below[i + 1].odd) >> 31 & 1u;
    const uint64_t known = (below[i].known & below[i + 1].known) >> 31 & 1u;
    words[i / 64].odd |= odd << (i % 64);
    words[i / 64].known |= known << (i % 64);
  }
}

static void copy_blocks(const tree *t) {
  const uint32_t height = t->at->block_log2 % TIER_LEVELS;
  const parities *words = tier_at(t, t->at->block_log2 / TIER_LEVELS);
  const uint32_t in_word = 32u >> height;
  parities *blocks = blocks_at(t);
  memset(blocks, 0, t->at->block_words * sizeof *blocks);
  for (uint32_t i = 0; i < t->at->block_count; i++) {
    const uint32_t bit = ((2 * (i % in_word) + 1) << height) - 1;
    blocks[i / 64].odd |= (words[i / in_word].odd >> bit & 1u) << (i % 64);
    blocks[i / 64].known |= (words[i / in_word].known >> bit & 1u) << (i % 64);
  }
}

/* Opens the next pass. */
static uint32_t open_pass(const qkd_cascade_plan *plan, const layout *l, const frame *f,
                          uint64_t *scratch, int tier) {
  const uint32_t pass = (uint32_t)f->head->begun;
  const tree t = tree_at(l, f, pass);
  if (plan->gather != NULL) {
    const uint16_t *gather = plan->gather + pass * SHUFFLE_STAGES * SHUFFLE_WORDS;
    hang_by_shuffle(f, gather, tier_at(&t, 0), scratch, tier);
  } else {
    const uint16_t *leaf_of_bit = f->leaf_of_bit + (size_t)pass * f->length;
    hang_by_table(f, leaf_of_bit, tier_at(&t, 0), t.at->tier_words[0]);
  }
  grow(tier_at(&t, 0), t.at->tier_words[0]);
  for (uint32_t i = 1; i <= t.at->block_log2 / TIER_LEVELS; i++) {
    raise(tier_at(&t, i - 1), t.at->tier_words[i - 1], tier_at(&t, i), t.at->tier_words[i]);
    grow(tier_at(&t, i), t.at->tier_words[i]);
  }
  copy_blocks(&t);
  const parities *blocks = blocks_at(&t);
  f->head->unknown_blocks[pass] = t.at->block_count;
  for (uint32_t w = 0; w < t.at->block_words; w++) {
    f->head->unknown_blocks[pass] -= (uint64_t)__builtin_popcountll(blocks[w].known);
  }
  f->head->begun += 1;
  compare_roots(l, f);
  return pass;
}

/* The bit in a leaf of a pass, and the leaf of a bit. */
static uint32_t bit_at(const qkd_cascade_plan *plan, const frame *f, uint32_t pass,
                       uint32_t leaf) {
  if (plan->gather == NULL) return f->bit_of_leaf[(pass << plan->depth) + leaf];
  const uint16_t *gather = plan->gather + pass * SHUFFLE_STAGES * SHUFFLE_WORDS;
  uint32_t word = leaf / 64;
  uint32_t bit = 2 * (leaf % 32) + leaf / 32 % 2;
  for (unsigned stage = SHUFFLE_STAGES; stage-- > 0;) {
    const uint32_t taken = gather[stage * SHUFFLE_WORDS + ((word & ~63u) | bit)];
    bit = (word - taken) & 63u;
    word = taken >> 6;
  }
  return 64 * word + bit;
}

static uint32_t leaf_of(const qkd_cascade_plan *plan, const frame *f, uint32_t pass,
                        uint32_t position) {
  if (plan->gather == NULL) return f->leaf_of_bit[(size_t)pass * f->length + position];
  const uint16_t *scatter = plan->scatter + pass * SHUFFLE_STAGES * SHUFFLE_WORDS;
  uint32_t word = position / 64;
  uint32_t bit = position % 64;
  for (unsigned stage = 0; stage < SHUFFLE_STAGES; stage++) {
    const uint32_t put = scatter[stage * SHUFFLE_WORDS + word];
    word = (put >> 6 & ~63u) | ((bit + put) & 63u);
    bit = put >> 6 & 63u;
  }
  return 64 * word + 32 * (bit % 2) + bit / 2;
}

#define PATH(s)                                                                             \
  (UINT64_C(1) << 2 * (s) | UINT64_C(2) << 4 * ((s) / 2) | UINT64_C(8) << 8 * ((s) / 4) |   \
   UINT64_C(0x80) << 16 * ((s) / 8) | UINT64_C(0x8000) << 32 * ((s) / 16) |                 \
   UINT64_C(0x80000000))
#define PATHS(s) PATH(s), PATH(s + 1), PATH(s + 2), PATH(s + 3)

static void flip(const qkd_cascade_plan *plan, const layout *l, const frame *f, uint8_t *bits,
                 uint64_t *scratch, uint32_t bit) {
  /* From each slot of a word to the root. */
  static const uint64_t paths[32] = {PATHS(0),  PATHS(4),  PATHS(8),  PATHS(12),
                                     PATHS(16), PATHS(20), PATHS(24), PATHS(28)};
  const uint64_t in_word = UINT64_C(1) << (bit % 64);
  bits[bit] ^= 1;
  f->bits[bit / 64] ^= in_word;
  f->settled[bit / 64] |= in_word;
  f->head->root_odd ^= 1;
  for (uint32_t pass = 0; pass < (uint32_t)f->head->begun; pass++) {
    const tree t = tree_at(l, f, pass);
    const uint32_t leaf = leaf_of(plan, f, pass, bit);
    const uint32_t block = leaf >> t.at->block_log2;
    const uint64_t changed = UINT64_C(1) << (block % 64);
    for (uint32_t tier = 0; tier <= t.at->block_log2 / TIER_LEVELS; tier++) {
      const uint32_t node = leaf >> (TIER_LEVELS * tier);
      tier_at(&t, tier)[node / 32].odd ^= paths[node % 32];
    }
    blocks_at(&t)[block / 64].odd ^= changed;
    scratch[t.at->pending + block / 64] |= changed;
    scratch[t.at->asked + block / 64] &= ~changed;
  }
}

/* Descends from an odd block into odd children: to the first child that is not known, which is
 * returned; or to a bit, returned with FOUND; or, as false answers do, to a contradiction: 0. */
enum { FOUND = 1 << 30 };

static uint32_t descend(const tree *t, uint32_t depth, uint32_t block) {
  uint32_t tier = t->at->block_log2 / TIER_LEVELS;
  uint32_t height = t->at->block_log2 % TIER_LEVELS; /* in its word */
  uint32_t word = block >> (TIER_LEVELS - 1 - height);
  uint32_t bit = (2 * block + 1) << height;
  bit = (bit - 1) & 63u;
  for (;;) {
    const parities here = tier_at(t, tier)[word];
    for (; height > 0; height--) {
      const uint32_t step = UINT32_C(1) << (height - 1);
      bit -= step;
      if (!(here.known >> bit & 1u)) {
        const uint32_t index = word << (TIER_LEVELS - height) | bit >> height;
        return UINT32_C(1) << (depth - TIER_LEVELS * tier - height + 1) | index;
      }
      if (here.odd >> bit & 1u) continue;
      bit += 2 * step;
      if (!(here.odd >> bit & 1u)) return 0;
    }
    const uint32_t index = 32 * word + bit / 2;
    if (tier == 0) return FOUND | index;
    tier--;
    height = TIER_LEVELS - 1;
    bit = WORD_ROOT;
    word = 2 * index;
    const parities *below = tier_at(t, tier) + word;
    if (!(below[0].known >> WORD_ROOT & 1u)) {
      return UINT32_C(1) << (depth - TIER_LEVELS * tier - height) | word;
    }
    if (below[0].odd >> WORD_ROOT & 1u) continue;
    word++;
    if (!(below[1].odd >> WORD_ROOT & 1u)) return 0;
  }
}

/* Looks at every pending block of a pass. Returns whether a bit was flipped. */
static int search_pass(const qkd_cascade_plan *plan, const layout *l, const frame *f,
                       uint8_t *bits, uint64_t *scratch, uint32_t pass) {
  const tree t = tree_at(l, f, pass);
  const parities *blocks = blocks_at(&t);
  uint32_t *child = (uint32_t *)(void *)(scratch + t.at->child);
  uint64_t *pending = scratch + t.at->pending;
  uint64_t *asked = scratch + t.at->asked;
  int flipped = 0;
  for (uint32_t w = 0; w < t.at->block_words; w++) {
    uint64_t odd = pending[w] & blocks[w].odd & blocks[w].known;
    pending[w] = 0;
    for (; odd != 0; odd &= odd - 1) {
      const uint32_t block = 64 * w + (uint32_t)__builtin_ctzll(odd);
      const uint32_t node = descend(&t, plan->depth, block);
      if (node & FOUND) {
        const uint32_t bit = bit_at(plan, f, pass, node ^ FOUND);
        if (bit >= f->length || f->settled[bit / 64] >> (bit % 64) & 1u) continue;
        flip(plan, l, f, bits, scratch, bit);
        flipped = 1;
      } else if (node != 0) {
        child[block] = pass << PASS_SHIFT | node;
        asked[w] |= odd & -odd;
      }
    }
  }
  return flipped;
}

/* Looks at every odd block of the opened passes, and again at those that flips have changed: what
 * was about to be asked of them is moot. */
static size_t search(const qkd_cascade_plan *plan, const layout *l, const frame *f, uint8_t *bits,
                     uint64_t *scratch, uint32_t *questions) {
  const uint32_t begun = (uint32_t)f->head->begun;
  for (uint32_t pass = 0; pass < begun; pass++) {
    const tree t = tree_at(l, f, pass);
    memset(scratch + t.at->pending, 0xFF, t.at->block_words * sizeof *scratch);
    memset(scratch + t.at->asked, 0, t.at->block_words * sizeof *scratch);
  }
  int flipped;
  do {
    flipped = 0;
    for (uint32_t pass = 0; pass < begun; pass++) {
      flipped |= search_pass(plan, l, f, bits, scratch, pass);
    }
  } while (flipped);
  size_t count = 0;
  for (uint32_t pass = 0; pass < begun; pass++) {
    const pass_layout *at = &l->passes[pass];
    const uint32_t *child = (const uint32_t *)(const void *)(scratch + at->child);
    for (uint32_t w = 0; w < at->block_words; w++) {
      for (uint64_t asked = scratch[at->asked + w]; asked != 0; asked &= asked - 1) {
        questions[count++] = child[64 * w + (uint32_t)__builtin_ctzll(asked)];
      }
    }
  }
  return count;
}

/* The questions that open a pass: every block but one that will follow from the others. */
static size_t ask_blocks(const layout *l, const frame *f, uint32_t pass, uint32_t *questions) {
  const tree t = tree_at(l, f, pass);
  const parities *blocks = blocks_at(&t);
  size_t count = 0;
  for (uint32_t i = 0; i < t.at->block_count; i++) {
    questions[count] = pass << PASS_SHIFT | (t.at->block_count + i);
    count += ~blocks[i / 64].known >> (i % 64) & 1u;
  }
  return count > 0 ? count - f->head->root_known : 0;
}

/* Up to 64 parities in a row. */
typedef struct {
  uint32_t height, index, count;
} row;

/* The questions in a row of blocks, or one question of another node. */
static row row_at(const qkd_cascade_plan *plan, const pass_layout *at, const uint32_t *questions,
                  size_t count) {
  const uint32_t node = questions[0] & ((1u << PASS_SHIFT) - 1);
  const uint32_t above = 31 - (uint32_t)__builtin_clz(node);
  row r = {plan->depth - above, node ^ UINT32_C(1) << above, 1};
  if (r.height == at->block_log2) {
    const uint32_t room = 64 - r.index % 64;
    const uint32_t most = count < room ? (uint32_t)count : room;
    while (r.count < most && questions[r.count] == questions[0] + r.count) r.count++;
  }
  return r;
}

/* Learns a row's parities, given the reference's (zeros at the reference: its own stay). Returns
 * what they were before. */
static uint64_t take_in(const layout *l, const frame *f, uint32_t pass, row r, uint64_t given) {
  const tree t = tree_at(l, f, pass);
  const place own = find(&t, r.height, r.index);
  const uint64_t before = own.word->odd >> own.bit;
  if (r.height < t.at->block_log2) {
    const place parent = find(&t, r.height + 1, r.index / 2);
    const unsigned odd = (unsigned)(before ^ given) & 1u;
    if (!is_known(parent)) {
      f->head->loose = 1;
      learn(&t, r.height, r.index, odd);
      return before;
    }
    write(own, odd);
    write(find(&t, r.height, r.index ^ 1), odd ^ is_odd(parent));
    if (f->head->loose) {
      learn_below(&t, r.height, r.index);
      learn_below(&t, r.height, r.index ^ 1);
    }
    return before;
  }
  own.word->odd ^= given << own.bit;
  own.word->known |= ~UINT64_C(0) >> (64 - r.count) << own.bit;
  if (f->head->loose) {
    for (uint32_t i = 0; i < r.count; i++) learn_below(&t, r.height, r.index + i);
  }
  f->head->unknown_blocks[pass] -= r.count;
  if (f->head->unknown_blocks[pass] <= 1) compare_roots(l, f);
  return before;
}

static uint64_t get_bits(const uint8_t *packed, size_t at, uint32_t count) {
  uint64_t bits = 0;
  for (size_t i = at / 8; i <= (at + count - 1) / 8; i++) {
    const size_t begin = 8 * i;
    bits |= begin < at ? (uint64_t)packed[i] >> (at - begin) : (uint64_t)packed[i] << (begin - at);
  }
  return bits & ~UINT64_C(0) >> (64 - count);
}

static void put_bits(uint8_t *packed, size_t at, uint32_t count, uint64_t bits) {
  bits &= ~UINT64_C(0) >> (64 - count);
  for (size_t i = at / 8; i <= (at + count - 1) / 8; i++) {
    const size_t begin = 8 * i;
    packed[i] |= (uint8_t)(begin < at ? bits << (at - begin) : bits >> (begin - at));
  }
}

size_t qkd_cascade_state_words(const qkd_cascade_plan *plan) {
  const layout l = lay_out(plan);
  return plan->frames * l.frame_words + l.scratch_words;
}

size_t qkd_cascade_round_questions(const qkd_cascade_plan *plan) {
  size_t blocks = 0;
  for (uint32_t pass = 0; pass < plan->passes; pass++) {
    blocks += UINT32_C(1) << (plan->depth - plan->block_log2[pass]);
  }
  return plan->frames * blocks;
}

void qkd_cascade_begin(const qkd_cascade_plan *plan, const uint8_t *bits, uint64_t *state,
                       int tier) {
  const layout l = lay_out(plan);
  for (uint32_t index = 0; index < plan->frames; index++) {
    const frame f = frame_at(plan, &l, state, index);
    memset(f.words, 0, l.trees * sizeof *state);
    f.head->loose = f.length < leaves_of(plan);
    cascade_pack(bits + (size_t)index * plan->frame_bits, f.length, f.bits, tier);
  }
}

size_t qkd_cascade_ask(const qkd_cascade_plan *plan, uint8_t *bits, uint64_t *state,
                       uint32_t *questions, int tier) {
  const layout l = lay_out(plan);
  uint64_t *scratch = state + plan->frames * l.frame_words;
  size_t total = 0;
  for (uint32_t index = 0; index < plan->frames; index++) {
    const frame f = frame_at(plan, &l, state, index);
    uint32_t *out = questions + total;
    uint8_t *frame_bits = bits + (size_t)index * plan->frame_bits;
    size_t count = search(plan, &l, &f, frame_bits, scratch, out);
    while (count == 0 && f.head->begun < plan->passes) {
      const uint32_t pass = open_pass(plan, &l, &f, scratch, tier);
      count = ask_blocks(&l, &f, pass, out);
      if (count == 0) count = search(plan, &l, &f, frame_bits, scratch, out);
    }
    for (size_t i = 0; i < count; i++) out[i] |= index << FRAME_SHIFT;
    total += count;
  }
  return total;
}

void qkd_cascade_absorb(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                        size_t count, const uint8_t *answers) {
  const layout l = lay_out(plan);
  for (size_t i = 0; i < count;) {
    const frame f = frame_at(plan, &l, state, questions[i] >> FRAME_SHIFT);
    const uint32_t pass = (questions[i] >> PASS_SHIFT) & (MAX_PASSES - 1);
    const row r = row_at(plan, &l.passes[pass], questions + i, count - i);
    take_in(&l, &f, pass, r, get_bits(answers, i, r.count));
    i += r.count;
  }
}

size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *answers, int tier) {
  const layout l = lay_out(plan);
  uint64_t *scratch = state + plan->frames * l.frame_words;
  memset(answers, 0, (count + 7) / 8);
  for (size_t i = 0; i < count;) {
    const uint32_t index = questions[i] >> FRAME_SHIFT;
    const uint32_t pass = (questions[i] >> PASS_SHIFT) & (MAX_PASSES - 1);
    const uint32_t node = questions[i] & ((1u << PASS_SHIFT) - 1);
    if (index >= plan->frames || pass >= plan->passes) return i;
    if (node < l.passes[pass].block_count || node >= 2 * leaves_of(plan)) return i;
    const frame f = frame_at(plan, &l, state, index);
    while (f.head->begun <= pass) open_pass(plan, &l, &f, scratch, tier);
    const row r = row_at(plan, &l.passes[pass], questions + i, count - i);
    const tree t = tree_at(&l, &f, pass);
    const place own = find(&t, r.height, r.index);
    const uint64_t known = own.word->known >> own.bit & ~UINT64_C(0) >> (64 - r.count);
    if (known != 0) return i + (r.count > 1 ? (size_t)__builtin_ctzll(known) : 0);
    put_bits(answers, i, r.count, take_in(&l, &f, pass, r, 0));
    i += r.count;
  }
  return count;
}
