/* Batched Cascade over the frames of one string: declarations read by C and by cffi. */

/* How a string is cut and searched. Each frame of L bits hangs in a binary tree of 2^depth leaves
 * for each pass. Its order is given by tables (each bit its leaf, each leaf its bit) or, for depth
 * 16 only, by a shuffle of two stages: word w becomes word gather[w] >> 6 rotated left by
 * gather[w] & 63, then bit j of word 16 i + s and bit i of word 16 j + s change places (sixteen
 * squares are transposed). scatter is the inverse: at each word taken, w << 6 | rotation. */
typedef struct {
  uint32_t frames;
  uint32_t frame_bits;      /* of every frame but the last; a multiple of 64, if there are several */
  uint32_t last_frame_bits; /* 1 .. frame_bits */
  uint32_t depth;           /* 2 .. 16 */
  uint32_t passes;          /* 1 .. 8 */
  uint8_t block_log2[8];    /* log2 of the leaves of a pass's blocks, each 1 .. depth - 1 */
  const uint16_t *leaf_of_bit;      /* [passes][frame_bits] */
  const uint16_t *bit_of_leaf;      /* [passes][2^depth] */
  const uint16_t *last_leaf_of_bit; /* [passes][last_frame_bits] */
  const uint16_t *last_bit_of_leaf; /* [passes][2^depth] */
  const uint16_t *gather;           /* [passes][2][1024]; NULL: the tables hold */
  const uint16_t *scatter;          /* [passes][2][1024] */
} qkd_cascade_plan;

/* A question is frame << 20 | pass << 17 | name. The name 2^16 + b asks for the parity of the
 * pass's block b. A name g below 2^16 splits the node whose two halves meet between the leaves
 * g - 1 and g: it asks for the parity of the left half, as many leaves as g's lowest set bit says.
 *
 * A pass is opened by the questions for all of its blocks in order, at once; in later passes than
 * the first the last block is left out, since every pass has the same sum. A node may be split
 * once, if it is a block of an opened pass or a half of a node that was split before or is in the
 * same round, or of one whose other half is empty: a corrector need not split those. The questions
 * of a round ascend. */

/* 64-bit words of state for all frames; each end owns one such state. */
size_t qkd_cascade_state_words(const qkd_cascade_plan *plan);

/* The most questions one round can ask. */
size_t qkd_cascade_round_questions(const qkd_cascade_plan *plan);

/* Takes in a string, packed as bits.h says. */
void qkd_cascade_begin(const qkd_cascade_plan *plan, const uint64_t *bits, uint64_t *state,
                       int tier);

/* Overwrites with zeros what a state holds of its string. */
void qkd_cascade_wipe(const qkd_cascade_plan *plan, uint64_t *state);

/* Corrector: takes in the answers to the count questions last asked (none before the first round),
 * in that order, one bit a question, bit 0 of byte 0 first; searches every odd block of every frame
 * as far as the known parities lead, and writes questions for each block still odd, ascending: one, or
 * those of several levels below it where a round would ask little. Returns their number; 0 once no
 * question is left. A frame with nothing left to ask has its wrong bits flipped. asked and questions
 * must not overlap. */
size_t qkd_cascade_ask(const qkd_cascade_plan *plan, uint64_t *bits, uint64_t *state,
                       const uint32_t *asked, const uint8_t *parities, size_t count,
                       uint32_t *questions, int tier);

/* Reference: answers into (count + 7) / 8 bytes. Returns count, or the place of the first question
 * that may not be asked. */
size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *parities, int tier);
