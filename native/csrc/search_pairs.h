/* The lags of single pairs. A version names two operations on eight times and includes this:
 * below(times, low), how many of them are below; columns_of(times, low, shift, columns, at), for
 * each the column of its lag, or columns if that is none. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "search_impl.h"

enum { AT_ONCE = SEARCH_AT_ONCE, CHAINS = 4 };

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

/* The earliest b that an a pairs with. */
static inline int64_t earliest(const search_pairing *p, int64_t a) {
  return qkd_plus(qkd_clock_map(&p->clock, a), p->low_ps);
}

/* Counts the pairs of one a, whose first b is at or after begin; returns where that one is. */
static inline size_t count_pairs(const search_pairing *p, int64_t a, size_t begin,
                                 uint32_t *counts) {
  const int64_t low = earliest(p, a);
  const int64_t high = qkd_plus(low, (int64_t)p->columns << p->shift);
  size_t passed = AT_ONCE;
  while (passed == AT_ONCE && p->b_count - begin >= AT_ONCE) {
    passed = below(p->b + begin, low);
    begin += passed;
  }
  if (passed == AT_ONCE)
    while (begin < p->b_count && p->b[begin] < low) begin++;
  size_t j = begin;
  for (; p->b_count - j >= AT_ONCE && p->b[j] < high; j += AT_ONCE) {
    uint64_t at[AT_ONCE];
    columns_of(p->b + j, low, p->shift, p->columns, at);
    for (size_t k = 0; k < AT_ONCE; k++) counts[at[k]]++;
  }
  for (; j < p->b_count && p->b[j] < high; j++) {
    const uint64_t column = (uint64_t)qkd_minus(p->b[j], low) >> p->shift;
    counts[column < p->columns ? column : p->columns]++;
  }
  return begin;
}

/* Finding the first b of an a begins with that of the a before: four parts of a row at a time, so
 * that these do not wait for each other. */
static void count_plane(const search_pairing *p, const int64_t *a, size_t a_count, int64_t first_ps,
                        int64_t length_ps, int64_t used_ps, size_t rows, uint32_t *plane) {
  uint32_t counts[QKD_SEARCH_COLUMNS + 1];
  size_t i = 0, begins[CHAINS] = {0};
  for (size_t row = 0; row < rows; row++, plane += p->columns) {
    const int64_t from_ps = first_ps + (int64_t)row * length_ps;
    i = seek(a, i, a_count, from_ps);
    const size_t end = seek(a, i, a_count, from_ps + used_ps), part = (end - i) / CHAINS;
    if (i == end) continue;
    size_t begin = begins[CHAINS - 1];
    for (size_t k = 0; k < CHAINS; k++) {
      begin = seek(p->b, begin, p->b_count, earliest(p, a[i + k * part]));
      begins[k] = begin;
    }
    memset(counts, 0, (p->columns + 1) * sizeof *counts);
    for (const size_t stop = i + part; i < stop; i++) {
      begins[0] = count_pairs(p, a[i], begins[0], counts);
      begins[1] = count_pairs(p, a[i + part], begins[1], counts);
      begins[2] = count_pairs(p, a[i + 2 * part], begins[2], counts);
      begins[3] = count_pairs(p, a[i + 3 * part], begins[3], counts);
    }
    for (i += (CHAINS - 1) * part; i < end; i++)
      begins[CHAINS - 1] = count_pairs(p, a[i], begins[CHAINS - 1], counts);
    for (size_t c = 0; c < p->columns; c++) plane[c] += counts[c];
  }
}
