/* Batched Cascade (Brassard and Salvail, EUROCRYPT '93), all odd blocks searched in lock-step.
 *
 * Each frame has, for each pass, three bitmaps over the nodes of its tree: the parities of this
 * end's bits, the reference's parities as far as they are known, and which are known. Any parity
 * that follows from known ones (a parent is the sum of its children; every pass has the same root)
 * is learnt at once and never asked for. Leaves beyond the frame's bits are known zeros, spread
 * evenly so that blocks of one level hold equally many bits.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cascade.h"

enum { FRAME_SHIFT = 20, PASS_SHIFT = 17 };

/* One pass of one frame. */
typedef struct {
  uint64_t *own, *reference, *known;
  uint32_t leaves;
} tree;

/* One frame's part of the state. */
typedef struct {
  uint64_t *begun;   /* passes opened so far */
  uint64_t *settled; /* bits whose value is known exactly: never flipped again */
  uint64_t *trees;
  size_t tree_words;
  const uint16_t *leaf_of_bit, *bit_of_leaf;
  uint32_t length;
} frame;

static unsigned get(const uint64_t *map, uint32_t i) {
  return (unsigned)(map[i / 64] >> (i % 64)) & 1u;
}

static void set(uint64_t *map, uint32_t i) {
  map[i / 64] |= UINT64_C(1) << (i % 64);
}

static void toggle(uint64_t *map, uint32_t i, unsigned by) {
  map[i / 64] ^= (uint64_t)by << (i % 64);
}

static size_t words_of(uint32_t bits) { return (bits + 63) / 64; }

static size_t frame_words(const qkd_cascade_plan *plan) {
  const uint32_t leaves = UINT32_C(1) << plan->depth;
  return 1 + words_of(leaves) + 3 * plan->passes * words_of(2 * leaves);
}

static frame frame_at(const qkd_cascade_plan *plan, uint64_t *state, uint32_t index) {
  const int last = index + 1 == plan->frames;
  const uint32_t leaves = UINT32_C(1) << plan->depth;
  frame f;
  f.begun = state + index * frame_words(plan);
  f.settled = f.begun + 1;
  f.trees = f.settled + words_of(leaves);
  f.tree_words = words_of(2 * leaves);
  f.leaf_of_bit = last ? plan->last_leaf_of_bit : plan->leaf_of_bit;
  f.bit_of_leaf = last ? plan->last_bit_of_leaf : plan->bit_of_leaf;
  f.length = last ? plan->last_frame_bits : plan->frame_bits;
  return f;
}

static tree tree_at(const qkd_cascade_plan *plan, const frame *f, uint32_t pass) {
  tree t;
  t.own = f->trees + 3 * pass * f->tree_words;
  t.reference = t.own + f->tree_words;
  t.known = t.reference + f->tree_words;
  t.leaves = UINT32_C(1) << plan->depth;
  return t;
}

static uint32_t first_block(const qkd_cascade_plan *plan, uint32_t pass) {
  return UINT32_C(1) << (plan->depth - plan->block_log2[pass]);
}

/* Marks a parity as known, with everything that follows from it. The recursion climbs at most
 * depth levels and then descends at most depth levels: what lies beside its way is known. */
static void learn(const tree *t, uint32_t node, unsigned parity) {
  if (get(t->known, node)) return;
  set(t->known, node);
  toggle(t->reference, node, parity);
  if (node < t->leaves) {
    const uint32_t left = 2 * node;
    const uint32_t right = left + 1;
    if (get(t->known, left)) {
      learn(t, right, parity ^ get(t->reference, left));
    } else if (get(t->known, right)) {
      learn(t, left, parity ^ get(t->reference, right));
    }
  }
  if (node > 1) {
    const uint32_t sibling = node ^ 1;
    const uint32_t parent = node >> 1;
    if (get(t->known, sibling)) {
      learn(t, parent, parity ^ get(t->reference, sibling));
    } else if (get(t->known, parent)) {
      learn(t, sibling, parity ^ get(t->reference, parent));
    }
  }
}

static uint64_t even_bits(uint64_t x) {
  x &= UINT64_C(0x5555555555555555);
  x = (x | (x >> 1)) & UINT64_C(0x3333333333333333);
  x = (x | (x >> 2)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
  x = (x | (x >> 4)) & UINT64_C(0x00FF00FF00FF00FF);
  x = (x | (x >> 8)) & UINT64_C(0x0000FFFF0000FFFF);
  return (x | (x >> 16)) & UINT64_C(0x00000000FFFFFFFF);
}

/* Fills the inner nodes: a parity is the sum of its children, and known where both are. */
static void build_levels(const tree *t) {
  for (uint32_t level = t->leaves / 2; level >= 1; level /= 2) {
    if (level >= 64) {
      for (uint32_t w = level / 64; w < level / 32; w++) {
        const uint64_t a = t->own[2 * w], b = t->own[2 * w + 1];
        const uint64_t c = t->known[2 * w], d = t->known[2 * w + 1];
        t->own[w] = even_bits(a ^ (a >> 1)) | even_bits(b ^ (b >> 1)) << 32;
        t->known[w] = even_bits(c & (c >> 1)) | even_bits(d & (d >> 1)) << 32;
      }
    } else {
      for (uint32_t node = level; node < 2 * level; node++) {
        toggle(t->own, node, get(t->own, 2 * node) ^ get(t->own, 2 * node + 1));
        toggle(t->known, node, get(t->known, 2 * node) & get(t->known, 2 * node + 1));
      }
    }
  }
}

size_t qkd_cascade_state_words(const qkd_cascade_plan *plan) {
  return plan->frames * frame_words(plan);
}

size_t qkd_cascade_round_questions(const qkd_cascade_plan *plan) {
  size_t blocks = 0;
  for (uint32_t pass = 0; pass < plan->passes; pass++) blocks += first_block(plan, pass);
  return plan->frames * blocks;
}

void qkd_cascade_begin(const qkd_cascade_plan *plan, const uint8_t *bits, uint64_t *state) {
  memset(state, 0, qkd_cascade_state_words(plan) * sizeof *state);
  for (uint32_t index = 0; index < plan->frames; index++) {
    const frame f = frame_at(plan, state, index);
    const uint8_t *frame_bits = bits + (size_t)index * plan->frame_bits;
    for (uint32_t pass = 0; pass < plan->passes; pass++) {
      const tree t = tree_at(plan, &f, pass);
      const uint16_t *leaf_of_bit = f.leaf_of_bit + (size_t)pass * f.length;
      for (uint32_t leaf = 0; leaf < t.leaves; leaf++) set(t.known, t.leaves + leaf);
      for (uint32_t i = 0; i < f.length; i++) {
        const uint32_t node = t.leaves + leaf_of_bit[i];
        toggle(t.known, node, 1);
        toggle(t.own, node, frame_bits[i] & 1u);
      }
      build_levels(&t);
    }
  }
}

/* Opens the next pass: its root is the root of the first pass. */
static uint32_t open_pass(const qkd_cascade_plan *plan, const frame *f) {
  const uint32_t pass = (uint32_t)*f->begun;
  *f->begun += 1;
  if (pass > 0) {
    const tree first = tree_at(plan, f, 0);
    const tree t = tree_at(plan, f, pass);
    if (get(first.known, 1)) learn(&t, 1, get(first.reference, 1));
  }
  return pass;
}

/* The questions that open a pass: every block but those that will follow from the others. */
static size_t ask_blocks(const qkd_cascade_plan *plan, const frame *f, uint32_t pass,
                         uint32_t *questions) {
  const tree t = tree_at(plan, f, pass);
  const uint32_t begin = first_block(plan, pass);
  size_t count = 0;
  for (uint32_t node = begin; node < 2 * begin; node++) {
    if (!get(t.known, node)) questions[count++] = pass << PASS_SHIFT | node;
  }
  if (count > 0 && begin > 1 && get(t.known, 1)) count--;
  return count;
}

static void flip(const qkd_cascade_plan *plan, const frame *f, uint8_t *bits, uint32_t bit) {
  bits[bit] ^= 1;
  set(f->settled, bit);
  for (uint32_t pass = 0; pass < plan->passes; pass++) {
    const tree t = tree_at(plan, f, pass);
    const uint32_t leaf = t.leaves + f->leaf_of_bit[(size_t)pass * f->length + bit];
    for (uint32_t node = leaf; node >= 1; node /= 2) toggle(t.own, node, 1);
  }
}

static unsigned differs(const tree *t, uint32_t node) {
  return get(t->own, node) ^ get(t->reference, node);
}

/* Descends from an odd block into odd children. Returns the child to ask for; 0 if the way ended
 * at a bit, which is flipped, or at parities that contradict each other, as false answers do. */
static uint32_t descend(const qkd_cascade_plan *plan, const frame *f, uint32_t pass, uint8_t *bits,
                        uint32_t node, int *flipped) {
  const tree t = tree_at(plan, f, pass);
  while (node < t.leaves) {
    const uint32_t left = 2 * node;
    if (!get(t.known, left)) return left;
    if (differs(&t, left)) {
      node = left;
    } else if (differs(&t, left + 1)) {
      node = left + 1;
    } else {
      return 0;
    }
  }
  const uint32_t bit = f->bit_of_leaf[(size_t)pass * t.leaves + (node - t.leaves)];
  if (bit < f->length && !get(f->settled, bit)) {
    flip(plan, f, bits, bit);
    *flipped = 1;
  }
  return 0;
}

/* One look at every odd block of the opened passes. */
static size_t search_blocks(const qkd_cascade_plan *plan, const frame *f, uint8_t *bits,
                            uint32_t *questions, int *flipped) {
  size_t count = 0;
  for (uint32_t pass = 0; pass < (uint32_t)*f->begun; pass++) {
    const tree t = tree_at(plan, f, pass);
    const uint32_t begin = first_block(plan, pass);
    for (uint32_t word = begin / 64; word <= (2 * begin - 1) / 64; word++) {
      uint64_t odd = (t.own[word] ^ t.reference[word]) & t.known[word];
      if (begin < 64) odd &= (((UINT64_C(1) << begin) - 1) << begin);
      for (; odd != 0; odd &= odd - 1) {
        const uint32_t node = 64 * word + (uint32_t)__builtin_ctzll(odd);
        const uint32_t child = descend(plan, f, pass, bits, node, flipped);
        if (child != 0) questions[count++] = pass << PASS_SHIFT | child;
      }
    }
  }
  return count;
}

size_t qkd_cascade_ask(const qkd_cascade_plan *plan, uint8_t *bits, uint64_t *state,
                       uint32_t *questions) {
  size_t total = 0;
  for (uint32_t index = 0; index < plan->frames; index++) {
    const frame f = frame_at(plan, state, index);
    uint8_t *frame_bits = bits + (size_t)index * plan->frame_bits;
    uint32_t *out = questions + total;
    size_t count = 0;
    for (;;) {
      int flipped = 0;
      count = search_blocks(plan, &f, frame_bits, out, &flipped);
      /* A flip changes other blocks' parities: what was about to be asked may be moot. */
      if (flipped) continue;
      if (count > 0 || *f.begun == plan->passes) break;
      const uint32_t pass = open_pass(plan, &f);
      count = ask_blocks(plan, &f, pass, out);
      if (count > 0) break;
    }
    for (size_t i = 0; i < count; i++) out[i] |= index << FRAME_SHIFT;
    total += count;
  }
  return total;
}

void qkd_cascade_absorb(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                        size_t count, const uint8_t *parities) {
  for (size_t i = 0; i < count; i++) {
    const frame f = frame_at(plan, state, questions[i] >> FRAME_SHIFT);
    const tree t = tree_at(plan, &f, (questions[i] >> PASS_SHIFT) & 7u);
    const uint32_t node = questions[i] & ((1u << PASS_SHIFT) - 1);
    learn(&t, node, (unsigned)(parities[i / 8] >> (i % 8)) & 1u);
  }
}

size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *parities) {
  memset(parities, 0, (count + 7) / 8);
  for (size_t i = 0; i < count; i++) {
    const uint32_t index = questions[i] >> FRAME_SHIFT;
    const uint32_t pass = (questions[i] >> PASS_SHIFT) & 7u;
    const uint32_t node = questions[i] & ((1u << PASS_SHIFT) - 1);
    if (index >= plan->frames || pass >= plan->passes) return i;
    const frame f = frame_at(plan, state, index);
    const tree t = tree_at(plan, &f, pass);
    if (node < first_block(plan, pass) || node >= 2 * t.leaves) return i;
    while (*f.begun <= pass) open_pass(plan, &f);
    if (get(t.known, node)) return i;
    const unsigned parity = get(t.own, node);
    learn(&t, node, parity);
    parities[i / 8] = (uint8_t)(parities[i / 8] | parity << (i % 8));
  }
  return count;
}
