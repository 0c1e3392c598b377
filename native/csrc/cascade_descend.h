/* The ways down from a word of Cascade's blocks. */
#ifndef QKD_CASCADE_DESCEND_H
#define QKD_CASCADE_DESCEND_H

#include <stddef.h>
#include <stdint.h>

#include "cascade_leaves.h"

enum {
  TIER_LEVELS = 6,
  TIERS = 3,
  WORD_ROOT = 31 /* the bit of a word's highest node */
};

/* From each odd block among 64 down into odd children, to the first child that is not known: the
 * block is asked, and its node the child. Or to a leaf: it is found, and its node the leaf's
 * index. Or, as false answers do, to a contradiction: neither. */
typedef struct {
  const parities *tiers[TIERS];
  uint32_t depth, block_log2, first_block;
  uint64_t odd;
  uint64_t asked, found;
} descent;

/* Sets asked, found and the nodes of the blocks in them, a place a block. */
void cascade_descend_portable(descent *d, uint32_t *nodes);
void cascade_descend_avx512(descent *d, uint32_t *nodes);

#endif
