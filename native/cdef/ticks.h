/* Detection times as whole ticks: declarations read by C and by cffi. */

/* ticks[i] = floor(times[i] / resolution_ps); the resolution is positive. */
void qkd_ticks_of(const int64_t *times, size_t count, int64_t resolution_ps, int64_t *ticks);

/* times[i] = ticks[i] * resolution_ps, in place; no product may overflow. */
void qkd_ticks_times(int64_t *ticks, size_t count, int64_t resolution_ps);

/* Copies times that must not fall, the first not below earliest_ps; returns 0, or -1 if one does,
 * and the copy is of no use then. */
int qkd_ticks_append(const int64_t *times, size_t count, int64_t earliest_ps, int64_t *held);
