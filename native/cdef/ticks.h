/* Detection times as whole ticks: declarations read by C and by cffi. */

/* ticks[i] = floor(times[i] / resolution_ps); the resolution is positive. */
void qkd_ticks_of(int tier, const int64_t *times, size_t count, int64_t resolution_ps,
                  int64_t *ticks);

/* Writes the ticks of the times as qkd_deltas_encode does, from *first_tick on, which is that of
 * the first time, or 0 without any; there is room as for qkd_deltas_encode. Returns the bytes
 * written, or -1 where a tick falls. */
int64_t qkd_ticks_encode(int tier, const int64_t *times, size_t count, int64_t resolution_ps,
                         int64_t *first_tick, uint8_t *bytes);

/* Reads the beginnings of exactly count ticks from exactly length bytes; returns 0, or -1 for bytes
 * that encode no ticks, and where a tick, first_tick included, begins beyond limit_ps from 0. */
int qkd_ticks_decode(int tier, const uint8_t *bytes, size_t length, size_t count,
                     int64_t first_tick, int64_t resolution_ps, int64_t limit_ps, int64_t *times);

/* Copies times; returns 0, or -1 if one is below the one before, and the copy is of no use then. */
int qkd_ticks_copy(int tier, const int64_t *times, size_t count, int64_t *held);
