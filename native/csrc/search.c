/* The common clock of two time lists: binning and pair histograms, which scatter one count at a
 * time on every machine, and the choice of version for the arithmetic. */
#define LANES 4
#include "clock_impl.h"
#include "search_loops.h"

size_t qkd_search_rows(int log2_size) { return (size_t)1 << ((log2_size + 1) / 2); }

size_t qkd_search_scratch(int log2_size) {
  return 4 * ((size_t)1 << log2_size) + 4 * SEARCH_MOST_LANES * qkd_search_rows(log2_size);
}

size_t qkd_search_lines_scratch(size_t drifts, size_t slopes, size_t reach) {
  return drifts * (SEARCH_BLOCK + 1) + TERMS * slopes * (SEARCH_BLOCK + 1 + reach);
}

static const qkd_search_loops *loops(int tier) {
  static const qkd_search_loops portable = {correlate, flatten, lines};
#if defined(__x86_64__)
  if (tier == 2) return &qkd_search_avx512;
  if (tier == 1) return &qkd_search_avx2;
#else
  (void)tier;
#endif
  return &portable;
}

void qkd_search_correlate(int tier, const uint8_t *a, size_t a_count, const uint8_t *b,
                          size_t b_count, int log2_size, const float *twiddles,
                          const float *roots, float *scratch, float *lags, size_t lag_count) {
  loops(tier)->correlate(a, a_count, b, b_count, log2_size, twiddles, roots, scratch, lags,
                         lag_count);
}

void qkd_search_flatten(int tier, float *lags, size_t count, float *floor) {
  loops(tier)->flatten(lags, count, floor);
}

void qkd_search_lines(int tier, const float *plane, size_t rows, size_t stride, size_t columns,
                      size_t group, const int32_t *base, const int32_t *slope, size_t drifts,
                      const int32_t *fine, size_t slopes, float *scratch, float *best,
                      int32_t *drift) {
  loops(tier)->lines(plane, rows, stride, columns, group, base, slope, drifts, fine, slopes,
                     scratch, best, drift);
}

void qkd_search_bins(const int64_t *times, size_t count, int64_t origin_ps, int64_t scale_q64,
                     uint8_t *bins, size_t bin_count) {
  for (size_t i = 0; i < count; i++) {
    const __int128 scaled = (__int128)qkd_minus(times[i], origin_ps) * scale_q64;
    const int64_t bin = (int64_t)(scaled >> 64);
    if (bin >= 0 && (uint64_t)bin < bin_count)
      bins[bin] = (uint8_t)(bins[bin] + (bins[bin] < UINT8_MAX));
  }
}

/* The first at or after begin that is not below a time. */
static size_t seek(const int64_t *times, size_t begin, size_t end, int64_t time_ps) {
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    if (times[middle] < time_ps) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

void qkd_search_map(const int64_t *times, size_t count, int64_t origin_ps, int64_t offset_ps,
                    int64_t rate_q64, int64_t *out) {
  const qkd_clock clock = {origin_ps, offset_ps, rate_q64};
  for (size_t i = 0; i < count; i++) out[i] = qkd_clock_map(&clock, times[i]);
}

enum { AT_ONCE = 8 };

void qkd_search_plane(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                      int64_t origin_ps, int64_t offset_ps, int64_t rate_q64, int64_t first_ps,
                      int64_t length_ps, int64_t used_ps, size_t rows, int64_t low_ps, int shift,
                      size_t columns, uint32_t *plane) {
  /* Eight pairs at once without a branch: those outside the columns count beyond them, each in a
   * place of its own, so that none waits for another. */
  uint32_t counts[QKD_SEARCH_COLUMNS + AT_ONCE];
  const qkd_clock clock = {origin_ps, offset_ps, rate_q64};
  size_t i = 0, begin = 0;
  for (size_t row = 0; row < rows; row++, plane += columns) {
    const int64_t from_ps = first_ps + (int64_t)row * length_ps;
    i = seek(a, i, a_count, from_ps);
    const size_t end = seek(a, i, a_count, from_ps + used_ps);
    if (i == end) continue;
    begin = seek(b, begin, b_count, qkd_plus(qkd_clock_map(&clock, a[i]), low_ps));
    memset(counts, 0, columns * sizeof *counts);
    for (; i < end; i++) {
      const int64_t low = qkd_plus(qkd_clock_map(&clock, a[i]), low_ps);
      const int64_t high = qkd_plus(low, (int64_t)columns << shift);
      while (begin < b_count && b[begin] < low) begin++;
      size_t j = begin;
      for (; j + AT_ONCE <= b_count && b[j] < high; j += AT_ONCE) {
        for (size_t k = 0; k < AT_ONCE; k++) {
          const uint64_t column = (uint64_t)qkd_minus(b[j + k], low) >> shift;
          counts[column < columns ? column : columns + k]++;
        }
      }
      for (; j < b_count && b[j] < high; j++) {
        const uint64_t column = (uint64_t)qkd_minus(b[j], low) >> shift;
        counts[column < columns ? column : columns]++;
      }
    }
    for (size_t c = 0; c < columns; c++) plane[c] += counts[c];
  }
}
