/* The common clock of two time lists, from coincidences: declarations read by C and by cffi.
 * Times are in order and within 2^61 ps of zero; others give numbers without meaning. */

/* Adds each time to the count of its bin, which stays at 255: bin = (time - origin) scale / 2^64.
 * Times outside the bins are ignored. */
void qkd_search_bins(const int64_t *times, size_t count, int64_t origin_ps, int64_t scale_q64,
                     uint8_t *bins, size_t bin_count);

/* Floats of scratch and of tables that correlations over size = 2^log2_size need, 10 <= log2_size
 * <= 20, both aligned to 64 bytes; the tables are made once. */
size_t qkd_search_scratch(int log2_size);
size_t qkd_search_tables_room(int log2_size);
void qkd_search_make_tables(int log2_size, float *tables);

/* lags[l] = sum over i of a[i] b[i + l], where b is 0 beyond its end, 0 < a_count <= size. It takes
 * a transform there and back for every size - a_count + 1 lags. */
void qkd_search_correlate(int tier, const uint8_t *a, size_t a_count, const uint8_t *b,
                          size_t b_count, int log2_size, const float *tables, float *scratch,
                          float *lags, size_t lag_count);

/* Subtracts from lags its smooth part, interpolated between the means of 64, and adds that to
 * floor. count is a multiple of 64. */
void qkd_search_flatten(int tier, float *lags, size_t count, float *floor);

/* For each column c: the greatest over all drifts d of max(v(c), (v(c) + v(c + 1)) / sqrt 2), and
 * the first d that has it, where v(c) = sum over rows r of plane[r stride + c + shift(d, r)] and
 * shift(d, r) = base[d groups + r / group] + fine[slope[d] group + r % group]. All these c + shift
 * lie in [0, stride), for c <= columns, and no base above reach. The scratch, of so many bytes, is
 * aligned to 4. */
size_t qkd_search_lines_scratch(size_t groups, size_t slopes, size_t reach);
void qkd_search_lines(int tier, const float *plane, size_t rows, size_t stride, size_t columns,
                      size_t group, const int32_t *base, const int32_t *slope, size_t drifts,
                      const int32_t *fine, size_t slopes, void *scratch, float *best,
                      int32_t *drift);

/* out = time + offset + (time - origin) rate / 2^64, rounded to the nearest, a half upwards. */
void qkd_search_map(const int64_t *times, size_t count, int64_t origin_ps, int64_t offset_ps,
                    int64_t rate_q64, int64_t *out);

enum { QKD_SEARCH_COLUMNS = 4096 };

/* Adds to a histogram of the lags b - a' of all pairs, where a' is a, mapped as above:
 * plane[row columns + column] counts those of the a's in [first + row length, + used), used <=
 * length, with lag in [low + (column << shift), + (1 << shift)), columns <= QKD_SEARCH_COLUMNS. */
void qkd_search_plane(int tier, const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                      int64_t origin_ps, int64_t offset_ps, int64_t rate_q64, int64_t first_ps,
                      int64_t length_ps, int64_t used_ps, size_t rows, int64_t low_ps, int shift,
                      size_t columns, uint32_t *plane);
