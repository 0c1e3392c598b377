/* Products of polynomials over GF(2): declarations read by C and by cffi. */

/* Which multiplier of 64-bit words to use. */
typedef enum {
  QKD_GF2X_BEST = 0,
  QKD_GF2X_PORTABLE = 1,
  QKD_GF2X_PCLMUL = 2
} qkd_gf2x_backend;

/* Whether this machine multiplies carry-lessly in hardware. */
int qkd_gf2x_has_pclmul(void);

/* Words of scratch that a product of a_words by b_words needs. */
size_t qkd_gf2x_scratch_words(size_t a_words, size_t b_words);

/* product[a_words + b_words] = a * b; the three arrays and the scratch do not overlap.
 * Returns 0, or -1 if the backend does not exist on this machine. */
int qkd_gf2x_multiply(uint64_t *product, const uint64_t *a, size_t a_words, const uint64_t *b,
                      size_t b_words, uint64_t *scratch, qkd_gf2x_backend backend);

/* Copies bit_count coefficients from first_bit on into whole bytes, the last zero-padded. */
void qkd_gf2x_extract(uint8_t *bytes, const uint64_t *words, size_t word_count, size_t first_bit,
                      size_t bit_count);
