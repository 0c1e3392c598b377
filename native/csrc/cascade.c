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
#include "cascade_descend.h"
#include "cascade_leaves.h"

enum {
  FRAME_SHIFT = 20,
  PASS_SHIFT = 17,
  MAX_PASSES = 8,
  MAX_DEPTH = 16,
  AHEAD = 16 /* questions between fetching and use */
};

/* Where the nodes of one height lie: 2^word_log2 in a word, the first in bit first, the others
 * 2^spread bits apart. */
typedef struct {
  uint32_t offset;
  uint8_t word_log2, spread, first;
} level;

/* Where a pass's parities lie in a frame's words, and what its search needs in the scratch. */
typedef struct {
  uint32_t block_log2, block_count, block_words, hot_shift;
  level levels[MAX_DEPTH + 1]; /* up to the blocks, whose level lies beside the tiers */
  uint32_t tiers[TIERS];
  uint32_t tier_words[TIERS];
  uint32_t pending, asked, child;
} pass_layout;

typedef struct {
  size_t frame_words, scratch_words;
  uint32_t bits, flipped, trees;
  pass_layout passes[MAX_PASSES];
} layout;

/* How a frame's part of the state begins. */
typedef struct {
  uint64_t begun; /* passes opened so far */
  uint64_t finished; /* nothing is left to ask */
  uint64_t root_odd, root_known;
  uint64_t loose; /* some node may be known whose parent is not */
  uint64_t unknown_blocks[MAX_PASSES];
  uint64_t hot[MAX_PASSES]; /* bit w >> hot_shift is set if word w of the blocks has odd ones */
} head;

/* One frame's part of the state. */
typedef struct {
  head *head;
  uint64_t *words;
  uint64_t *bits;    /* this end's, packed, as they came */
  uint64_t *flipped; /* those that were wrong: each is flipped once at most */
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
  at->hot_shift = 0;
  while (at->block_words >> at->hot_shift > 64) at->hot_shift++;
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
  l.flipped = l.bits + words_of(leaves_of(plan));
  l.trees = l.flipped + words_of(leaves_of(plan));
  l.frame_words = l.trees;
  l.scratch_words = 4 * SHUFFLE_WORDS;
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
  f.flipped = f.words + l->flipped;
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

static void set_odd(place p, uint64_t odd) {
  p.word->odd = (p.word->odd & ~(UINT64_C(1) << p.bit)) | odd << p.bit;
}

static void heat(const frame *f, const tree *t, uint32_t pass, uint32_t block) {
  f->head->hot[pass] |= UINT64_C(1) << (block / 64 >> t->at->hot_shift);
}

static void learn_below(const tree *t, uint32_t height, uint32_t index);

/* Marks a parity as known, with everything that follows from it inside its block. The recursion
 * climbs at most to the block and then descends: what lies beside its way is known. */
static void learn(const tree *t, uint32_t height, uint32_t index, unsigned odd) {
  const place own = find(t, height, index);
  if (is_known(own)) return;
  set_odd(own, odd);
  own.word->known |= UINT64_C(1) << own.bit;
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
      heat(f, &t, pass, missing);
    }
  }
}

#if defined(__x86_64__)
#define IN_TIER(tier, function, ...)                  \
  ((tier) == 2   ? function##_avx512(__VA_ARGS__)      \
   : (tier) == 1 ? function##_avx2(__VA_ARGS__)        \
                 : function##_portable(__VA_ARGS__))
#else
#define IN_TIER(tier, function, ...) ((void)(tier), function##_portable(__VA_ARGS__))
#endif

/* Hangs a frame's bits and its known zeros below their words. */
static void hang_by_table(const frame *f, const uint16_t *leaf_of_bit, parities *nodes,
                          size_t count) {
  for (size_t i = 0; i < count; i++) {
    nodes[i].odd = 0;
    nodes[i].known = UINT64_C(0x5555555555555555);
  }
  for (uint32_t i = 0; i < f->length; i++) {
    const uint32_t leaf = leaf_of_bit[i];
    nodes[leaf / 32].known ^= UINT64_C(1) << (2 * leaf % 64);
    const uint64_t bit = (f->bits[i / 64] ^ f->flipped[i / 64]) >> (i % 64) & 1u;
    nodes[leaf / 32].odd |= bit << (2 * leaf % 64);
  }
  for (size_t i = 0; i < count; i++) {
    nodes[i].odd = cascade_sums(nodes[i].odd);
    nodes[i].known = cascade_all(nodes[i].known);
  }
}

static void hang_by_shuffle(const frame *f, const uint16_t *gather, parities *nodes,
                            uint64_t *scratch, int tier) {
  uint64_t *unshuffled = scratch;
  uint64_t *spare = unshuffled + SHUFFLE_WORDS;
  uint64_t *bits = spare + SHUFFLE_WORDS;
  uint64_t *beyond = NULL;
  for (uint32_t w = 0; w < SHUFFLE_WORDS; w++) unshuffled[w] = f->bits[w] ^ f->flipped[w];
  IN_TIER(tier, cascade_shuffle, unshuffled, bits, spare, gather);
  if (f->length < 64 * SHUFFLE_WORDS) {
    beyond = bits + SHUFFLE_WORDS;
    memset(unshuffled, 0, SHUFFLE_WORDS * sizeof *unshuffled);
    for (uint32_t w = f->length / 64; w < SHUFFLE_WORDS; w++) unshuffled[w] = ~UINT64_C(0);
    unshuffled[f->length / 64] <<= f->length % 64;
    IN_TIER(tier, cascade_shuffle, unshuffled, beyond, spare, gather);
  }
  IN_TIER(tier, cascade_hang, bits, beyond, SHUFFLE_WORDS, nodes);
}

/* The nodes above a tier: their leaves are sums of two words each. */
static void raise(const parities *below, size_t below_count, parities *nodes, size_t count) {
  memset(nodes, 0, count * sizeof *nodes);
  for (size_t i = 0; i + 1 < below_count; i += 2) {
    const uint64_t odd = (below[i].odd ^ below[i + 1].odd) >> WORD_ROOT & 1u;
    const uint64_t known = (below[i].known & below[i + 1].known) >> WORD_ROOT & 1u;
    nodes[i / 64].odd |= odd << (i % 64);
    nodes[i / 64].known |= known << (i % 64);
  }
  for (size_t i = 0; i < count; i++) {
    nodes[i].odd = cascade_sums(nodes[i].odd);
    nodes[i].known = cascade_all(nodes[i].known);
  }
}

/* A word's nodes of one height, side by side. */
static uint64_t nodes_of_height(uint64_t word, uint32_t height) {
  static const uint64_t at_height[TIER_LEVELS] = {
      UINT64_C(0x5555555555555555), UINT64_C(0x2222222222222222), UINT64_C(0x0808080808080808),
      UINT64_C(0x0080008000800080), UINT64_C(0x0000800000008000), UINT64_C(0x0000000080000000)};
  const uint32_t spread = height + 1;
  word = (word & at_height[height]) >> ((1u << height) - 1);
  for (uint32_t n = 1; n << spread < 64; n *= 2) {
    uint64_t kept = (UINT64_C(1) << 2 * n) - 1;
    for (uint32_t i = n << (spread + 1); i < 64; i *= 2) kept |= kept << i;
    word = (word | word >> ((n << spread) - n)) & kept;
  }
  return word;
}

/* Sets the blocks' parities beside the tiers. */
static void copy_blocks(const tree *t) {
  const uint32_t height = t->at->block_log2 % TIER_LEVELS;
  const uint32_t per_word = 32u >> height;
  const parities *nodes = tier_at(t, t->at->block_log2 / TIER_LEVELS);
  parities *blocks = blocks_at(t);
  memset(blocks, 0, t->at->block_words * sizeof *blocks);
  for (uint32_t i = 0; i < t->at->block_count; i += per_word, nodes++) {
    blocks[i / 64].odd |= nodes_of_height(nodes->odd, height) << (i % 64);
    blocks[i / 64].known |= nodes_of_height(nodes->known, height) << (i % 64);
  }
  if (t->at->block_count < 64) {
    blocks->odd &= (UINT64_C(1) << t->at->block_count) - 1;
    blocks->known &= (UINT64_C(1) << t->at->block_count) - 1;
  }
}

/* Counts a pass's unknown blocks anew, and learns what follows. */
static void count_unknown(const layout *l, const frame *f, const tree *t, uint32_t pass) {
  const parities *blocks = blocks_at(t);
  uint64_t known = 0;
  for (uint32_t w = 0; w < t->at->block_words; w++) {
    known += (uint64_t)__builtin_popcountll(blocks[w].known);
  }
  f->head->unknown_blocks[pass] = t->at->block_count - known;
  compare_roots(l, f);
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
  for (uint32_t i = 1; i <= t.at->block_log2 / TIER_LEVELS; i++) {
    raise(tier_at(&t, i - 1), t.at->tier_words[i - 1], tier_at(&t, i), t.at->tier_words[i]);
  }
  copy_blocks(&t);
  f->head->begun += 1;
  count_unknown(l, f, &t, pass);
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
    const uint32_t rotated = word / SHUFFLE_SQUARES;
    const uint32_t taken =
        gather[stage * SHUFFLE_WORDS + SHUFFLE_SQUARES * bit + word % SHUFFLE_SQUARES];
    bit = (rotated - taken) & 63u;
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
    word = SHUFFLE_SQUARES * ((bit + put) & 63u) + (put >> 6) % SHUFFLE_SQUARES;
    bit = (put >> 6) / SHUFFLE_SQUARES;
  }
  return 64 * word + 32 * (bit % 2) + bit / 2;
}

#define PATH(s)                                                                             \
  (UINT64_C(1) << 2 * (s) | UINT64_C(2) << 4 * ((s) / 2) | UINT64_C(8) << 8 * ((s) / 4) |   \
   UINT64_C(0x80) << 16 * ((s) / 8) | UINT64_C(0x8000) << 32 * ((s) / 16) |                 \
   UINT64_C(0x80000000))
#define PATHS(s) PATH(s), PATH(s + 1), PATH(s + 2), PATH(s + 3)

static void flip(const qkd_cascade_plan *plan, const layout *l, const frame *f, uint64_t *scratch,
                 uint32_t bit) {
  /* From each slot of a word to the root. */
  static const uint64_t paths[32] = {PATHS(0),  PATHS(4),  PATHS(8),  PATHS(12),
                                     PATHS(16), PATHS(20), PATHS(24), PATHS(28)};
  f->flipped[bit / 64] |= UINT64_C(1) << (bit % 64);
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
    heat(f, &t, pass, block);
  }
}

/* Looks at the pending blocks in a word of them. Returns whether a bit was flipped. */
static int search_word(const qkd_cascade_plan *plan, const layout *l, const frame *f,
                       uint64_t *scratch, uint32_t pass, uint32_t w, int tier) {
  const tree t = tree_at(l, f, pass);
  const parities *blocks = blocks_at(&t) + w;
  uint32_t *nodes = (uint32_t *)(void *)(scratch + t.at->child) + 64 * w;
  descent d = {{NULL, NULL, NULL}, plan->depth, t.at->block_log2, 64 * w, 0, 0, 0};
  for (uint32_t i = 0; i <= t.at->block_log2 / TIER_LEVELS; i++) d.tiers[i] = tier_at(&t, i);
  d.odd = scratch[t.at->pending + w] & blocks->odd & blocks->known;
  scratch[t.at->pending + w] = 0;
#if defined(__x86_64__)
  if (tier == 2 && __builtin_popcountll(d.odd) > 2) {
    cascade_descend_avx512(&d, nodes);
  } else {
    cascade_descend_portable(&d, nodes);
  }
#else
  (void)tier;
  cascade_descend_portable(&d, nodes);
#endif
  scratch[t.at->asked + w] |= d.asked;
  int flipped = 0;
  for (uint64_t found = d.found; found != 0; found &= found - 1) {
    const uint32_t bit = bit_at(plan, f, pass, nodes[__builtin_ctzll(found)]);
    if (bit >= f->length || f->flipped[bit / 64] >> (bit % 64) & 1u) continue;
    flip(plan, l, f, scratch, bit);
    flipped = 1;
  }
  return flipped;
}

/* The first word of blocks from w on that may have odd ones. */
static uint32_t next_hot(const pass_layout *at, uint64_t hot, uint32_t w) {
  const uint32_t bit = w >> at->hot_shift;
  if (bit > 63 || hot >> bit == 0) return at->block_words;
  if (hot >> bit & 1u) return w;
  return (bit + (uint32_t)__builtin_ctzll(hot >> bit)) << at->hot_shift;
}

/* Looks at every odd block of the opened passes, and again at those that flips have changed: what
 * was about to be asked of them is moot. Between searches nothing is pending or asked. */
static size_t search(const qkd_cascade_plan *plan, const layout *l, const frame *f,
                     uint64_t *scratch, uint32_t *questions, int tier) {
  const uint32_t begun = (uint32_t)f->head->begun;
  for (uint32_t pass = 0; pass < begun; pass++) {
    const pass_layout *at = &l->passes[pass];
    const uint64_t hot = f->head->hot[pass];
    for (uint32_t w = next_hot(at, hot, 0); w < at->block_words; w = next_hot(at, hot, w + 1)) {
      scratch[at->pending + w] = ~UINT64_C(0);
    }
  }
  int flipped;
  do {
    flipped = 0;
    for (uint32_t pass = 0; pass < begun; pass++) {
      const pass_layout *at = &l->passes[pass];
      const uint64_t hot = f->head->hot[pass];
      for (uint32_t w = next_hot(at, hot, 0); w < at->block_words; w = next_hot(at, hot, w + 1)) {
        if (scratch[at->pending + w] == 0) continue;
        flipped |= search_word(plan, l, f, scratch, pass, w, tier);
      }
    }
  } while (flipped);
  size_t count = 0;
  for (uint32_t pass = 0; pass < begun; pass++) {
    const pass_layout *at = &l->passes[pass];
    const uint32_t *nodes = (const uint32_t *)(const void *)(scratch + at->child);
    const uint64_t hot = f->head->hot[pass];
    f->head->hot[pass] = 0;
    for (uint32_t w = next_hot(at, hot, 0); w < at->block_words; w = next_hot(at, hot, w + 1)) {
      uint64_t asked = scratch[at->asked + w];
      if (asked == 0) continue;
      f->head->hot[pass] |= UINT64_C(1) << (w >> at->hot_shift);
      scratch[at->asked + w] = 0;
      for (; asked != 0; asked &= asked - 1) {
        questions[count++] = pass << PASS_SHIFT | nodes[64 * w + (uint32_t)__builtin_ctzll(asked)];
      }
    }
  }
  return count;
}

/* Flips the wrong bits where they came from. */
static void finish(const frame *f, uint8_t *bits) {
  for (uint32_t w = 0; w < words_of(f->length); w++) {
    for (uint64_t wrong = f->flipped[w]; wrong != 0; wrong &= wrong - 1) {
      bits[64 * w + (uint32_t)__builtin_ctzll(wrong)] ^= 1;
    }
  }
  f->head->finished = 1;
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

/* A node of a frame's pass that a question asks for. */
typedef struct {
  uint32_t height, index;
} node_name;

static node_name node_of(const qkd_cascade_plan *plan, uint32_t question) {
  const uint32_t node = question & ((1u << PASS_SHIFT) - 1);
  const uint32_t above = 31 - (uint32_t)__builtin_clz(node);
  const node_name n = {plan->depth - above, node ^ UINT32_C(1) << above};
  return n;
}

/* How many questions, up to the end of a word, ask for blocks in a row. */
static uint32_t row_of(const uint32_t *questions, size_t count, uint32_t index) {
  const uint32_t room = 64 - index % 64;
  const uint32_t most = count < room ? (uint32_t)count : room;
  uint32_t row = 1;
  while (row < most && questions[row] == questions[0] + row) row++;
  return row;
}

/* Learns a row of blocks, their own parities being right: what follows, and what it heats. */
static void learn_row(const layout *l, const frame *f, const tree *t, uint32_t pass,
                      uint32_t index, uint32_t row) {
  blocks_at(t)[index / 64].known |= ~UINT64_C(0) >> (64 - row) << (index % 64);
  heat(f, t, pass, index);
  if (f->head->loose) {
    for (uint32_t i = 0; i < row; i++) learn_below(t, t->at->block_log2, index + i);
  }
  f->head->unknown_blocks[pass] -= row;
  if (f->head->unknown_blocks[pass] <= 1) compare_roots(l, f);
}

/* Marks two siblings as known, their own parities being right. */
static void learn_siblings(const frame *f, const tree *t, node_name n, place own, place sibling) {
  own.word->known |= UINT64_C(1) << own.bit;
  sibling.word->known |= UINT64_C(1) << sibling.bit;
  if (f->head->loose) {
    learn_below(t, n.height, n.index);
    learn_below(t, n.height, n.index ^ 1);
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

static void put_bits(uint8_t *packed, size_t at, uint32_t count, uint64_t bits) {
  bits &= ~UINT64_C(0) >> (64 - count);
  for (size_t i = at / 8; i <= (at + count - 1) / 8; i++) {
    const size_t begin = 8 * i;
    const uint64_t byte = begin < at ? bits << (at - begin) : bits >> (begin - at);
    packed[i] = (uint8_t)(packed[i] | byte);
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
  memset(state + plan->frames * l.frame_words, 0, l.scratch_words * sizeof *state);
  for (uint32_t index = 0; index < plan->frames; index++) {
    const frame f = frame_at(plan, &l, state, index);
    memset(f.words, 0, l.trees * sizeof *state);
    f.head->loose = f.length < leaves_of(plan);
    IN_TIER(tier, cascade_pack, bits + (size_t)index * plan->frame_bits, f.length, f.bits);
  }
}

/* Brings near what a question some way ahead is about; questions must name nodes. */
static void expect(const qkd_cascade_plan *plan, const layout *l, uint64_t *state,
                   uint32_t question) {
  const uint32_t pass = (question >> PASS_SHIFT) & (MAX_PASSES - 1);
  const node_name n = node_of(plan, question);
  const tree t = {state + (question >> FRAME_SHIFT) * l->frame_words, &l->passes[pass]};
  __builtin_prefetch(find(&t, n.height, n.index).word, 1);
}

/* Takes in the answers to one frame's questions, the first of those given; returns how many. */
static size_t absorb(const qkd_cascade_plan *plan, const layout *l, uint64_t *state,
                     uint32_t index, const qkd_cascade_answers *given, size_t begin) {
  const frame f = frame_at(plan, l, state, index);
  size_t i = begin;
  while (i < given->count && given->questions[i] >> FRAME_SHIFT == index) {
    if (i + AHEAD < given->count) expect(plan, l, state, given->questions[i + AHEAD]);
    const uint32_t pass = (given->questions[i] >> PASS_SHIFT) & (MAX_PASSES - 1);
    const tree t = tree_at(l, &f, pass);
    const node_name n = node_of(plan, given->questions[i]);
    if (n.height == t.at->block_log2) {
      const uint32_t row = row_of(given->questions + i, given->count - i, n.index);
      blocks_at(&t)[n.index / 64].odd ^= get_bits(given->parities, i, row) << (n.index % 64);
      learn_row(l, &f, &t, pass, n.index, row);
      i += row;
    } else {
      /* Below an odd node one child is odd. */
      const place own = find(&t, n.height, n.index);
      const place sibling = find(&t, n.height, n.index ^ 1);
      const uint64_t odd = is_odd(own) ^ get_bits(given->parities, i, 1);
      set_odd(own, odd);
      set_odd(sibling, odd ^ 1);
      learn_siblings(&f, &t, n, own, sibling);
      i++;
    }
  }
  return i - begin;
}

size_t qkd_cascade_ask(const qkd_cascade_plan *plan, uint8_t *bits, uint64_t *state,
                       const qkd_cascade_answers *given, uint32_t *questions, int tier) {
  const layout l = lay_out(plan);
  uint64_t *scratch = state + plan->frames * l.frame_words;
  size_t taken = 0;
  size_t total = 0;
  for (uint32_t index = 0; index < plan->frames; index++) {
    const frame f = frame_at(plan, &l, state, index);
    uint32_t *out = questions + total;
    if (f.head->finished) continue;
    taken += absorb(plan, &l, state, index, given, taken);
    size_t count = search(plan, &l, &f, scratch, out, tier);
    while (count == 0 && f.head->begun < plan->passes) {
      const uint32_t pass = open_pass(plan, &l, &f, scratch, tier);
      count = ask_blocks(&l, &f, pass, out);
      if (count == 0) count = search(plan, &l, &f, scratch, out, tier);
    }
    if (count == 0) finish(&f, bits + (size_t)index * plan->frame_bits);
    for (size_t i = 0; i < count; i++) out[i] |= index << FRAME_SHIFT;
    total += count;
  }
  return total;
}

size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *answers, int tier) {
  const layout l = lay_out(plan);
  uint64_t *scratch = state + plan->frames * l.frame_words;
  frame f = frame_at(plan, &l, state, 0);
  tree t = tree_at(&l, &f, 0);
  uint32_t run = ~UINT32_C(0);
  memset(answers, 0, (count + 7) / 8);
  for (size_t i = 0; i < count;) {
    const uint32_t pass = (questions[i] >> PASS_SHIFT) & (MAX_PASSES - 1);
    const uint32_t node = questions[i] & ((1u << PASS_SHIFT) - 1);
    if (questions[i] >> PASS_SHIFT != run) {
      const uint32_t index = questions[i] >> FRAME_SHIFT;
      if (index >= plan->frames || pass >= plan->passes) return i;
      run = questions[i] >> PASS_SHIFT;
      f = frame_at(plan, &l, state, index);
      while (f.head->begun <= pass) open_pass(plan, &l, &f, scratch, tier);
      t = tree_at(&l, &f, pass);
    }
    if (node < t.at->block_count || node >= 2 * leaves_of(plan)) return i;
    if (i + AHEAD < count && questions[i + AHEAD] >> PASS_SHIFT == run) {
      const uint32_t ahead = questions[i + AHEAD] & ((1u << PASS_SHIFT) - 1);
      if (ahead >= t.at->block_count && ahead < 2 * leaves_of(plan)) {
        expect(plan, &l, state, questions[i + AHEAD]);
      }
    }
    const node_name n = node_of(plan, questions[i]);
    const place own = find(&t, n.height, n.index);
    if (n.height == t.at->block_log2) {
      const uint32_t row = row_of(questions + i, count - i, n.index);
      const uint64_t known = own.word->known >> own.bit & ~UINT64_C(0) >> (64 - row);
      if (known != 0) return i + (size_t)__builtin_ctzll(known);
      put_bits(answers, i, row, own.word->odd >> own.bit);
      learn_row(&l, &f, &t, pass, n.index, row);
      i += row;
    } else {
      if (is_known(own)) return i;
      answers[i / 8] = (uint8_t)(answers[i / 8] | is_odd(own) << (i % 8));
      if (is_known(find(&t, n.height + 1, n.index / 2))) {
        learn_siblings(&f, &t, n, own, find(&t, n.height, n.index ^ 1));
      } else {
        f.head->loose = 1;
        learn(&t, n.height, n.index, is_odd(own));
        count_unknown(&l, &f, &t, pass);
      }
      i++;
    }
  }
  return count;
}
