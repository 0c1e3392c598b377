/* Batched Cascade over the frames of one string: declarations read by C and by cffi. */

/* How a string is cut and searched. Each frame of L bits hangs in a binary tree of 2^depth leaves
 * for each pass. Its order is given by tables (each bit its leaf, each leaf its bit) or, for depth
 * 16 only, by a shuffle of two stages: word w becomes word gather[w] >> 6 rotated left by
 * gather[w] & 63, then bit j of word 16 i + s and bit i of word 16 j + s change places (sixteen
 * squares are transposed); at last the even bits of a word precede the odd ones. scatter is the
 * inverse: at each word taken, w << 6 | rotation. Nodes are numbered as in a heap: 1 is the root,
 * 2i and 2i + 1 are the children of i. */
typedef struct {
  uint32_t frames;
  uint32_t frame_bits;      /* of every frame but the last */
  uint32_t last_frame_bits; /* 1 .. frame_bits */
  uint32_t depth;           /* 1 .. 16 */
  uint32_t passes;          /* 1 .. 8 */
  uint8_t block_log2[8];    /* log2 of the leaves of a pass's blocks, each at most depth */
  const uint16_t *leaf_of_bit;      /* [passes][frame_bits] */
  const uint16_t *bit_of_leaf;      /* [passes][2^depth] */
  const uint16_t *last_leaf_of_bit; /* [passes][last_frame_bits] */
  const uint16_t *last_bit_of_leaf; /* [passes][2^depth] */
  const uint16_t *gather;           /* [passes][2][1024]; NULL: the tables hold */
  const uint16_t *scatter;          /* [passes][2][1024] */
} qkd_cascade_plan;

/* 64-bit words of state for all frames; each end owns one such state. */
size_t qkd_cascade_state_words(const qkd_cascade_plan *plan);

/* The most questions one round can ask. */
size_t qkd_cascade_round_questions(const qkd_cascade_plan *plan);

/* Takes in a string, one bit a byte. */
void qkd_cascade_begin(const qkd_cascade_plan *plan, const uint8_t *bits, uint64_t *state,
                       int tier);

/* The questions last asked, in that order, with their answers, one bit a question, bit 0 of byte 0
 * first. None before the first round. */
typedef struct {
  const uint32_t *questions;
  const uint8_t *parities;
  size_t count;
} qkd_cascade_answers;

/* Corrector: takes in the answers given, searches every odd block of every frame as far as the
 * known parities lead, and writes one question for each block still odd. Returns their number; 0
 * once no question is left. A frame with nothing left to ask has its wrong bits flipped. A question
 * is frame << 20 | pass << 17 | node. */
size_t qkd_cascade_ask(const qkd_cascade_plan *plan, uint8_t *bits, uint64_t *state,
                       const qkd_cascade_answers *given, uint32_t *questions, int tier);

/* Reference: answers into (count + 7) / 8 bytes. Returns count, or the place of the first question
 * that names no node or whose answer the asker already has or can infer. */
size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *parities, int tier);
