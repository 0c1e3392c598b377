#include "cascade_descend.h"

static void descend(descent *d, uint32_t *nodes, uint32_t i) {
  const uint32_t block = d->first_block + i;
  uint32_t tier = d->block_log2 / TIER_LEVELS;
  uint32_t height = d->block_log2 % TIER_LEVELS; /* in its word */
  uint32_t word = block >> (TIER_LEVELS - 1 - height);
  uint32_t bit = (((2 * block + 1) << height) - 1) & 63u;
  for (;;) {
    const parities here = d->tiers[tier][word];
    for (; height > 0; height--) {
      const uint32_t step = UINT32_C(1) << (height - 1);
      bit -= step;
      if (!(here.known >> bit & 1u)) {
        nodes[i] = UINT32_C(1) << (d->depth - TIER_LEVELS * tier - height + 1) |
                   word << (TIER_LEVELS - height) | bit >> height;
        d->asked |= UINT64_C(1) << i;
        return;
      }
      if (here.odd >> bit & 1u) continue;
      bit += 2 * step;
      if (!(here.odd >> bit & 1u)) return;
    }
    word = 32 * word + bit / 2;
    if (tier == 0) {
      nodes[i] = word;
      d->found |= UINT64_C(1) << i;
      return;
    }
    tier--;
    height = TIER_LEVELS - 1;
    bit = WORD_ROOT;
    word *= 2;
    const parities *below = d->tiers[tier] + word;
    if (!(below[0].known >> WORD_ROOT & 1u)) {
      nodes[i] = UINT32_C(1) << (d->depth - TIER_LEVELS * tier - height) | word;
      d->asked |= UINT64_C(1) << i;
      return;
    }
    if (below[0].odd >> WORD_ROOT & 1u) continue;
    word++;
    if (!(below[1].odd >> WORD_ROOT & 1u)) return;
  }
}

void cascade_descend_portable(descent *d, uint32_t *nodes) {
  d->asked = 0;
  d->found = 0;
  for (uint64_t odd = d->odd; odd != 0; odd &= odd - 1) {
    descend(d, nodes, (uint32_t)__builtin_ctzll(odd));
  }
}
