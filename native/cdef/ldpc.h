/* Syndromes of quasi-cyclic LDPC codes, and their decoder: declarations read by C and by cffi. */

/* A circulant of the parity-check matrix. */
typedef struct {
  uint16_t column, shift;
} qkd_ldpc_edge;

/* A parity-check matrix of rows x columns blocks of size x size, size a multiple of 128. Block row
 * r holds the circulants edges[row_start[r]] up to row_start[r + 1], at most 128, in distinct
 * columns, with shifts below size: its check k is the parity of bit (k + shift) mod size of each of
 * those columns. */
typedef struct {
  uint32_t rows, columns, size;
  const uint32_t *row_start;
  const qkd_ldpc_edge *edges;
} qkd_ldpc_code;

/* What the decoder needs beside: posteriors, int16, and messages with the syndrome's signs, bytes. */
size_t qkd_ldpc_posteriors(const qkd_ldpc_code *code);
size_t qkd_ldpc_messages(const qkd_ldpc_code *code);

/* syndrome[rows * size / 64] of count bits, at most columns * size; those that lack are zero. Both
 * are packed as bits.h says. */
void qkd_ldpc_syndrome(const qkd_ldpc_code *code, const uint64_t *bits, size_t count,
                       uint64_t *syndrome);

/* Looks for the string near bits that has this syndrome. The count bits are wrong with the
 * probability 1 / (1 + exp(reliability / 6)), reliability 1 to 127. Returns after how many
 * iterations it found one, which then stands in bits, or -1 if none was found in so many, bits left
 * as they were. */
int qkd_ldpc_decode(int tier, const qkd_ldpc_code *code, const uint64_t *syndrome, uint64_t *bits,
                    size_t count, int reliability, int iterations, int16_t *posteriors,
                    uint8_t *messages);
