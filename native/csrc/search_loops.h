/* The search's sums on vectors: each version compiles this for its instruction set.
 *
 * Nothing is contracted or re-associated, so all versions agree bit for bit.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "search_impl.h"

typedef float lanes __attribute__((vector_size(4 * LANES)));

enum { HALF = SEARCH_SMOOTH / 2 };

static inline float mean(const float *lags) {
  float sums[SEARCH_SMOOTH / 4];
  for (int i = 0; i < SEARCH_SMOOTH / 4; i++)
    sums[i] = (lags[i] + lags[i + 16]) + (lags[i + 32] + lags[i + 48]);
  for (int width = SEARCH_SMOOTH / 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) sums[i] += sums[i + width];
  return sums[0] * (1.0F / SEARCH_SMOOTH);
}

/* Half a stretch, the first of it so many lags from the middle, where the smooth part is known. */
static inline void take_slope(float *restrict lags, float *restrict floor, float middle,
                              float slope, float first) {
  for (int i = 0; i < HALF; i++) {
    const float smooth = middle + ((float)i + first) * (1.0F / SEARCH_SMOOTH) * slope;
    lags[i] -= smooth;
    floor[i] += smooth;
  }
}

static void flatten(float *lags, size_t count, float *floor) {
  if (count == 0) return;
  float before = mean(lags), here = before;
  for (size_t from = 0; from < count; from += SEARCH_SMOOTH) {
    const float after = from + SEARCH_SMOOTH < count ? mean(lags + from + SEARCH_SMOOTH) : here;
    take_slope(lags + from, floor + from, here, here - before, -31.5F);
    take_slope(lags + from + HALF, floor + from + HALF, here, after - here, 0.5F);
    before = here;
    here = after;
  }
}

/* Terms of a sum: term t begins t steps and its offset further on. */
typedef struct {
  const float *first;
  size_t step;
  const int32_t *offset;
  size_t count;
} search_terms;

static inline const float *term(const search_terms *terms, size_t t) {
  return terms->first + t * terms->step + terms->offset[t];
}

static inline lanes load_lanes(const float *at) {
  lanes x;
  memcpy(&x, at, sizeof x);
  return x;
}

/* One vector of the sum of all terms. */
static inline void add_vector(const search_terms *terms, size_t at, float *restrict sum) {
  lanes x = load_lanes(term(terms, 0) + at);
  for (size_t t = 1; t < terms->count; t++) x += load_lanes(term(terms, t) + at);
  memcpy(sum + at, &x, sizeof x);
}

static inline void add_four(const search_terms *terms, size_t at, float *restrict sum) {
  const float *from = term(terms, 0) + at;
  lanes x = load_lanes(from), y = load_lanes(from + LANES);
  lanes z = load_lanes(from + 2 * LANES), w = load_lanes(from + 3 * LANES);
  for (size_t t = 1; t < terms->count; t++) {
    from = term(terms, t) + at;
    x += load_lanes(from);
    y += load_lanes(from + LANES);
    z += load_lanes(from + 2 * LANES);
    w += load_lanes(from + 3 * LANES);
  }
  memcpy(sum + at, &x, sizeof x);
  memcpy(sum + at + LANES, &y, sizeof y);
  memcpy(sum + at + 2 * LANES, &z, sizeof z);
  memcpy(sum + at + 3 * LANES, &w, sizeof w);
}

static inline void add_terms(const search_terms *terms, size_t length, float *restrict sum) {
  size_t c = 0;
  for (; length - c >= 4 * LANES; c += 4 * LANES) add_four(terms, c, sum);
  for (; length - c >= LANES; c += LANES) add_vector(terms, c, sum);
  if (c < length && c > 0) {
    add_vector(terms, length - LANES, sum); /* some of them once more */
  } else {
    for (; c < length; c++) {
      sum[c] = term(terms, 0)[c];
      for (size_t t = 1; t < terms->count; t++) sum[c] += term(terms, t)[c];
    }
  }
}

/* By how many columns the drifts of a slope shift a group, at least and at most. */
typedef struct {
  int32_t least, most;
} search_shifts;

static inline void find_shifts(const int32_t *base, const int32_t *slope, size_t drifts,
                               size_t groups, size_t slopes, search_shifts *shifts) {
  for (size_t i = 0; i < slopes * groups; i++) shifts[i] = (search_shifts){INT32_MAX, -1};
  for (size_t d = 0; d < drifts; d++) {
    for (size_t g = 0; g < groups; g++) {
      const int32_t shift = base[d * groups + g];
      search_shifts *const s = shifts + (size_t)slope[d] * groups + g;
      if (shift < s->least) s->least = shift;
      if (shift > s->most) s->most = shift;
    }
  }
}

static inline void take_greater(const float *restrict total, int32_t d, size_t count,
                                float *restrict best, int32_t *restrict drift) {
  for (size_t c = 0; c < count; c++) {
    const float both = (total[c] + total[c + 1]) * 0.70710678F;
    const float value = both > total[c] ? both : total[c];
    const int better = value > best[c];
    best[c] = better ? value : best[c];
    drift[c] = better ? d : drift[c];
  }
}

/* Shifted sums in two steps: a few slopes over short groups of rows, then whole drifts over the
 * groups. Block by block of columns, to stay in cache. */
static void lines(const float *plane, size_t rows, size_t stride, size_t columns, size_t group,
                  const int32_t *base, const int32_t *slope, size_t drifts, const int32_t *fine,
                  size_t slopes, void *scratch, float *best, int32_t *drift) {
  const size_t groups = (rows + group - 1) / group;
  search_shifts *const shifts = scratch;
  float *const sums = (float *)(void *)(shifts + slopes * groups), total[SEARCH_BLOCK + 1];
  size_t reach = 0;
  for (size_t i = 0; i < drifts * groups; i++)
    if ((size_t)base[i] > reach) reach = (size_t)base[i];
  const size_t wide = SEARCH_BLOCK + 1 + reach;
  find_shifts(base, slope, drifts, groups, slopes, shifts);
  for (size_t from = 0; from < columns; from += SEARCH_BLOCK) {
    const size_t count = columns - from < SEARCH_BLOCK ? columns - from : SEARCH_BLOCK;
    for (size_t g = 0; g < groups; g++) {
      const size_t first = g * group, some = rows - first < group ? rows - first : group;
      for (size_t s = 0; s < slopes; s++) {
        const search_shifts to = shifts[s * groups + g];
        if (to.most < to.least) continue; /* no drift has this slope */
        const float *const at = plane + first * stride + from + to.least;
        const search_terms terms = {at, stride, fine + s * group, some};
        add_terms(&terms, (size_t)(to.most - to.least) + count + 1,
                  sums + (s * groups + g) * wide + to.least);
      }
    }
    for (size_t c = from; c < from + count; c++) {
      best[c] = -3.0e38F;
      drift[c] = 0;
    }
    for (size_t d = 0; d < drifts; d++) {
      const float *const at = sums + (size_t)slope[d] * groups * wide;
      const search_terms terms = {at, wide, base + d * groups, groups};
      add_terms(&terms, count + 1, total);
      take_greater(total, (int32_t)d, count, best + from, drift + from);
    }
  }
}
