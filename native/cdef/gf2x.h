/* Products of polynomials over GF(2): declarations read by C and by cffi. */

/* Words of scratch that count words of a product of a_words by b_words need. */
size_t qkd_gf2x_scratch_words(size_t count, size_t a_words, size_t b_words);

/* window[count] = words first .. first + count - 1 of the a_words + b_words of a * b, in a tier
 * that this machine has; the three arrays and the scratch do not overlap. */
void qkd_gf2x_window(uint64_t *window, size_t first, size_t count, const uint64_t *a,
                     size_t a_words, const uint64_t *b, size_t b_words, uint64_t *scratch,
                     int tier);

/* Copies bit_count coefficients from first_bit on into whole bytes, the last zero-padded. */
void qkd_gf2x_extract(uint8_t *bytes, const uint64_t *words, size_t word_count, size_t first_bit,
                      size_t bit_count);
