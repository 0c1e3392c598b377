/* The common clock of two time lists: binning, which scatters one count at a time on every machine,
 * and the choice of version for the rest. */
#include <stddef.h>
#include <stdint.h>

#include "search_impl.h"

static inline size_t below(const int64_t *times, int64_t low) {
  size_t count = 0;
  for (int i = 0; i < SEARCH_AT_ONCE; i++) count += times[i] < low;
  return count;
}

static inline size_t columns_of(const int64_t *times, int64_t low, int shift, size_t columns,
                                uint32_t *at) {
  size_t count = 0;
  for (int i = 0; i < SEARCH_AT_ONCE; i++) {
    const uint64_t column = (uint64_t)qkd_minus(times[i], low) >> shift;
    at[i] = (uint32_t)(column < columns ? column : columns);
    count += column < columns;
  }
  return count;
}

#define LANES 4
#include "search_loops.h"
#include "search_pairs.h"
#include "search_transform.h"

size_t qkd_search_lines_scratch(size_t groups, size_t slopes, size_t reach) {
  return groups * slopes * (sizeof(search_shifts) + (SEARCH_BLOCK + 1 + reach) * sizeof(float));
}

static const qkd_search_loops *loops(int tier) {
  static const qkd_search_loops portable = {correlate, flatten, lines, count_plane};
#if defined(__x86_64__)
  if (tier == 2) return &qkd_search_avx512;
  if (tier == 1) return &qkd_search_avx2;
#else
  (void)tier;
#endif
  return &portable;
}

void qkd_search_correlate(int tier, const uint8_t *a, size_t a_count, const uint8_t *b,
                          size_t b_count, int log2_size, const float *tables, float *scratch,
                          float *lags, size_t lag_count) {
  loops(tier)->correlate(a, a_count, b, b_count, log2_size, tables, scratch, lags, lag_count);
}

void qkd_search_flatten(int tier, float *lags, size_t count, float *floor) {
  loops(tier)->flatten(lags, count, floor);
}

void qkd_search_lines(int tier, const float *plane, size_t rows, size_t stride, size_t columns,
                      size_t group, const int32_t *base, const int32_t *slope, size_t drifts,
                      const int32_t *fine, size_t slopes, void *scratch, float *best,
                      int32_t *drift) {
  loops(tier)->lines(plane, rows, stride, columns, group, base, slope, drifts, fine, slopes,
                     scratch, best, drift);
}

void qkd_search_bins(const int64_t *restrict times, size_t count, int64_t origin_ps,
                     int64_t scale_q64, uint8_t *restrict bins, size_t bin_count) {
  for (size_t i = 0; i < count; i++) {
    search_ask(times + i);
    const __int128 scaled = (__int128)qkd_minus(times[i], origin_ps) * scale_q64;
    const uint64_t bin = (uint64_t)(scaled >> 64);
    if (bin >= bin_count) continue;
    bins[bin]++;
    if (bins[bin] == 0) bins[bin] = UINT8_MAX; /* seldom, so that no count waits for the last */
  }
}

void qkd_search_map(const int64_t *times, size_t count, int64_t origin_ps, int64_t offset_ps,
                    int64_t rate_q64, int64_t *out) {
  const qkd_clock clock = {origin_ps, offset_ps, rate_q64};
  for (size_t i = 0; i < count; i++) out[i] = qkd_clock_map(&clock, times[i]);
}

void qkd_search_plane(int tier, const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                      int64_t origin_ps, int64_t offset_ps, int64_t rate_q64, int64_t first_ps,
                      int64_t length_ps, int64_t used_ps, size_t rows, int64_t low_ps, int shift,
                      size_t columns, uint32_t *plane) {
  const qkd_clock clock = {origin_ps, offset_ps, rate_q64};
  const int64_t width_ps = (int64_t)columns << shift;
  const search_pairing pairing = {b, b_count, clock, low_ps, width_ps, shift, columns};
  loops(tier)->count_plane(&pairing, a, a_count, first_ps, length_ps, used_ps, rows, plane);
}
