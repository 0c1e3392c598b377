/* Coincidences of two sorted time lists: declarations read by C and by cffi.
 *
 * Each b is taken at the a's clock, at b + offset + (b - origin) rate / 2^64, rounded to the
 * nearest, a half upwards. All times and the offset lie within 2^61 of zero, and the rate below
 * 2^64 / 10. */

enum { QKD_MATCH_SPARE = 8 }; /* room beyond the shorter list, in all that takes pairs */

/* Pairs (i, j) with |b[j] - a[i]| <= window, each the other's only partner. Writes their indices,
 * in order, to ia and ib (both NULL to count only), and to ambiguous the number of a's with some
 * partner but no pair. Returns the number of pairs. */
size_t qkd_match(int tier, const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                 int64_t origin_ps, int64_t offset_ps, int64_t rate_q64, int64_t window_ps,
                 int64_t *ia, int64_t *ib, uint64_t *ambiguous);

/* Of the same pairs, those whose a lies in [low, high) and whose b counts as first_b + j, which is
 * not below least_b: writes these counts to indices and codes[i] to kept, and to
 * residuals[2 window + 1] how many of these pairs are a - b = -window ... window apart. Returns the
 * number of pairs written. */
size_t qkd_match_slice(int tier, const int64_t *a, const uint8_t *codes, size_t a_count,
                       const int64_t *b, size_t b_count, int64_t origin_ps, int64_t offset_ps,
                       int64_t rate_q64, int64_t window_ps, int64_t low_ps, int64_t high_ps,
                       int64_t first_b, int64_t least_b, int64_t *indices, uint8_t *kept,
                       uint32_t *residuals);
