/* Coincidences of two sorted time lists: declarations read by C and by cffi. */

/* Pairs (i, j) with |b[j] + shift - a[i]| <= window, each the other's only partner. Writes their
 * indices, in order, to ia and ib (room for the shorter list; both NULL to count only), and to
 * ambiguous the number of a's with some partner but no pair. Returns the number of pairs. */
size_t qkd_match(int tier, const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                 int64_t shift_ps, int64_t window_ps, int64_t *ia, int64_t *ib,
                 uint64_t *ambiguous);

/* Of pairs that were found, in order: those whose a lies in [low, high) and whose b counts as
 * first_b + ib >= least_b. Writes these counts over ib, and for each pair codes[ia] to kept and
 * a - b to residuals. Returns how many there are. */
size_t qkd_match_inside(const int64_t *a, const uint8_t *codes, const int64_t *b,
                        const int64_t *ia, int64_t *ib, size_t count, int64_t low_ps,
                        int64_t high_ps, int64_t first_b, int64_t least_b, uint8_t *kept,
                        int64_t *residuals_ps);

/* All pairs with low <= b[j] - a[i] < high, ordered by i then j, at most capacity of them.
 * Returns how many were written. */
size_t qkd_pair_differences(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                            int64_t low_ps, int64_t high_ps, int64_t *ia, int64_t *differences,
                            size_t capacity);
