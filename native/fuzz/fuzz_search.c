/* The search for the common clock in the peer's times, sorted or not, and in counts of anything. */
#include "fuzz.h"

#include <math.h>

#include "search.h"
#include "tier.h"

enum { LOG2_SIZE = 10, SIZE = 1 << LOG2_SIZE, SMOOTH = 64 };

static int64_t small(input *in, size_t bytes) {
  return (int64_t)(take(in, bytes) - (UINT64_C(1) << (8 * bytes - 1)));
}

/* In order by nature, or whatever the bytes say. */
static int64_t *take_times(input *in, size_t count, int sorted) {
  int64_t *times = room(count, sizeof *times), now = 0;
  for (size_t i = 0; i < count; i++)
    times[i] = sorted ? (now += (int64_t)take(in, 1)) : (int64_t)take(in, 8);
  return times;
}

static void *aligned(size_t floats) {
  void *at = aligned_alloc(64, (4 * floats + 63) / 64 * 64);
  if (at == NULL) abort();
  return at;
}

static void bins(input in, int sorted) {
  const int64_t origin_ps = small(&in, 2), scale_q64 = 1 + (int64_t)(take(&in, 8) >> 3);
  const size_t bin_count = take(&in, 2) % 4096, count = in.left / (sorted ? 1 : 8);
  int64_t *times = take_times(&in, count, sorted);
  uint8_t *found = room(bin_count, 1), *wanted = room(bin_count, 1);
  qkd_search_bins(times, count, origin_ps, scale_q64, found, bin_count);
  for (size_t i = 0; sorted && i < count; i++) {
    const int64_t since = times[i] - origin_ps;
    const uint64_t bin = (uint64_t)((__extension__(__int128) since * scale_q64) >> 64);
    if (since >= 0 && bin < bin_count) wanted[bin] = (uint8_t)(wanted[bin] + (wanted[bin] < 255));
  }
  if (sorted) require(memcmp(found, wanted, bin_count) == 0);
  free(wanted);
  free(found);
  free(times);
}

static void plane(input in, int sorted) {
  const int64_t origin_ps = small(&in, 2), offset_ps = small(&in, 2);
  const int64_t rate_q64 = small(&in, 8) / 16, first_ps = small(&in, 2);
  const int64_t length_ps = 1 + (int64_t)take(&in, 2), low_ps = small(&in, 2);
  const int64_t used_ps = 1 + (int64_t)take(&in, 2) % length_ps;
  const size_t rows = 1 + take(&in, 1) % 16, columns = 1 + take(&in, 1);
  const int shift = (int)(take(&in, 1) % (sorted ? 12 : 40));
  const size_t all = in.left / (sorted ? 1 : 8), a_count = take(&in, 2) % (all + 1);
  const size_t b_count = (all - a_count) % 512;
  int64_t *a = take_times(&in, a_count, sorted), *b = take_times(&in, b_count, sorted);
  int64_t *mapped = room(a_count, 8);
  uint32_t *wanted = room(rows * columns, 4);
  qkd_search_map(a, a_count, origin_ps, offset_ps, rate_q64, mapped);
  for (size_t i = 0; sorted && i < a_count; i++) {
    const int64_t since = a[i] - first_ps, row = since / length_ps;
    if (since < 0 || row >= (int64_t)rows || since % length_ps >= used_ps) continue;
    for (size_t j = 0; j < b_count; j++) {
      const int64_t lag = b[j] - mapped[i] - low_ps;
      if (lag >= 0 && lag >> shift < (int64_t)columns)
        wanted[(size_t)row * columns + (size_t)(lag >> shift)]++;
    }
  }
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint32_t *found = room(rows * columns, 4);
    qkd_search_plane(tier, a, a_count, b, b_count, origin_ps, offset_ps, rate_q64, first_ps,
                     length_ps, used_ps, rows, low_ps, shift, columns, found);
    if (sorted) require(memcmp(found, wanted, 4 * rows * columns) == 0);
    free(found);
  }
  free(wanted);
  free(mapped);
  free(b);
  free(a);
}

static void correlate(input in) {
  static float *tables; /* made once */
  if (tables == NULL) {
    tables = aligned(qkd_search_tables_room(LOG2_SIZE));
    qkd_search_make_tables(LOG2_SIZE, tables);
  }
  const size_t a_count = 1 + take(&in, 2) % SIZE, b_count = take(&in, 2) % (3 * SIZE);
  const size_t most = 3 * (SIZE - a_count + 1) / SMOOTH;
  const size_t lag_count = SMOOTH * (take(&in, 1) % (most + 1));
  uint8_t *a = room(a_count, 1), *b = room(b_count, 1);
  for (size_t i = 0; i < a_count; i++) a[i] = (uint8_t)take(&in, 1);
  for (size_t i = 0; i < b_count; i++) b[i] = (uint8_t)(i < 4 * in.left ? take(&in, 1) : i * i);
  float *first = room(lag_count, 4), *smooth = room(lag_count, 4);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    float *lags = room(lag_count, 4), *floor = room(lag_count, 4);
    float *scratch = aligned(qkd_search_scratch(LOG2_SIZE));
    qkd_search_correlate(tier, a, a_count, b, b_count, LOG2_SIZE, tables, scratch, lags, lag_count);
    for (size_t l = 0; tier == 0 && l < lag_count; l += 37) {
      double sum = 0;
      for (size_t i = 0; i < a_count && i + l < b_count; i++) sum += (double)a[i] * b[i + l];
      require(fabs(sum - (double)lags[l]) < 4e-6 * 255 * 255 * SIZE);
    }
    qkd_search_flatten(tier, lags, lag_count, floor);
    if (tier == 0) {
      memcpy(first, lags, 4 * lag_count);
      memcpy(smooth, floor, 4 * lag_count);
    }
    require(memcmp(first, lags, 4 * lag_count) == 0);
    require(memcmp(smooth, floor, 4 * lag_count) == 0);
    free(scratch);
    free(floor);
    free(lags);
  }
  free(smooth);
  free(first);
  free(b);
  free(a);
}

static void lines(input in) {
  const size_t rows = 1 + take(&in, 1) % 24, group = 1 + take(&in, 1) % 6;
  const size_t groups = (rows + group - 1) / group, columns = 1 + take(&in, 2) % 1200;
  const size_t drifts = 1 + take(&in, 1) % 9, slopes = 1 + take(&in, 1) % 5;
  int32_t *base = room(drifts * groups, 4), *fine = room(slopes * group, 4);
  int32_t *slope = room(drifts, 4), reach = 0, furthest = 0;
  for (size_t i = 0; i < drifts * groups; i++) {
    base[i] = (int32_t)take(&in, 1);
    if (base[i] > reach) reach = base[i];
  }
  for (size_t i = 0; i < slopes * group; i++) {
    fine[i] = (int32_t)take(&in, 1) % 16;
    if (fine[i] > furthest) furthest = fine[i];
  }
  for (size_t i = 0; i < drifts; i++) slope[i] = (int32_t)(take(&in, 1) % slopes);
  const size_t stride = columns + 1 + (size_t)(reach + furthest);
  float *counts = room(rows * stride, 4);
  for (size_t i = 0; i < rows * stride; i++)
    counts[i] = (float)(in.left ? (int)take(&in, 1) : (int)(i * i % 251)); /* sums are exact */
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    void *scratch = room(qkd_search_lines_scratch(groups, slopes, (size_t)reach), 1);
    float *best = room(columns, 4);
    int32_t *drift = room(columns, 4);
    qkd_search_lines(tier, counts, rows, stride, columns, group, base, slope, drifts, fine, slopes,
                     scratch, best, drift);
    for (size_t c = 0; c < columns; c += 1 + columns / 64) {
      float greatest = -1;
      int32_t which = 0;
      for (size_t d = 0; d < drifts; d++) {
        float v[2] = {0, 0};
        for (size_t i = 0; i < 2 * rows; i++) {
          const size_t r = i / 2, place = (size_t)slope[d] * group + r % group;
          const size_t at = c + i % 2 + (size_t)(base[d * groups + r / group] + fine[place]);
          v[i % 2] += counts[r * stride + at];
        }
        const float both = (v[0] + v[1]) * 0.70710678F, value = both > v[0] ? both : v[0];
        if (value <= greatest) continue;
        greatest = value;
        which = (int32_t)d;
      }
      require(memcmp(&best[c], &greatest, 4) == 0 && drift[c] == which);
    }
    free(drift);
    free(best);
    free(scratch);
  }
  free(counts);
  free(slope);
  free(fine);
  free(base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const uint64_t kind = take(&in, 1) % 6;
  if (kind < 2) {
    bins(in, (int)kind);
  } else if (kind < 4) {
    plane(in, (int)kind - 2);
  } else if (kind == 4) {
    correlate(in);
  } else {
    lines(in);
  }
  return 0;
}
