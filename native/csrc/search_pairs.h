/* The lags of single pairs. A version names two operations on eight times and includes this:
 * below(times, low), how many of them are below; columns_of(times, low, shift, columns, at), for
 * each the column of its lag, or columns if that is none, and how many have one. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "search_impl.h"

enum { AT_ONCE = SEARCH_AT_ONCE, CHAINS = 4, LISTED = 1024 };

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

/* Columns of pairs, listed before they are counted: how many of eight b's pair with an a nobody can
 * foresee, but the list takes all eight, and those that do not are written over. */
typedef struct {
  uint32_t columns[LISTED + AT_ONCE];
  uint32_t counts[QKD_SEARCH_COLUMNS + 1];
} search_tally;

static inline size_t count_listed(search_tally *tally, size_t listed) {
  for (size_t i = 0; i < listed; i++) tally->counts[tally->columns[i]]++;
  return 0;
}

/* Whether fewer than one a in ten has a pair, so that it is well to look first. */
static inline int pairs_are_rare(const search_pairing *p) {
  if (p->b_count == 0) return 1;
  const double span_ps = (double)qkd_minus(p->b[p->b_count - 1], p->b[0]);
  return 10.0 * (double)p->b_count * (double)p->width_ps < span_ps;
}

/* Lists the pairs of one a, whose first b is at or after begin; returns where that one is. */
static inline size_t list_pairs(const search_pairing *p, int rare, int64_t a, size_t begin,
                                search_tally *tally, size_t *listed) {
  const int64_t low = earliest(p, a);
  search_ask(p->b + begin);
  size_t passed = AT_ONCE, found = AT_ONCE;
  while (passed == AT_ONCE && p->b_count - begin >= AT_ONCE) {
    passed = below(p->b + begin, low);
    begin += passed;
  }
  if (passed == AT_ONCE)
    while (begin < p->b_count && p->b[begin] < low) begin++;
  if (rare && (begin == p->b_count || p->b[begin] >= qkd_plus(low, p->width_ps))) return begin;
  size_t j = begin;
  for (; found == AT_ONCE && p->b_count - j >= AT_ONCE; j += AT_ONCE) {
    if (*listed > LISTED) *listed = count_listed(tally, *listed);
    found = columns_of(p->b + j, low, p->shift, p->columns, tally->columns + *listed);
    *listed += found;
  }
  for (; found == AT_ONCE && j < p->b_count; j++) {
    const uint64_t column = (uint64_t)qkd_minus(p->b[j], low) >> p->shift;
    if (column >= p->columns) break;
    tally->counts[column]++;
  }
  return begin;
}

/* Finding the first b of an a begins with that of the a before: four parts of a row at a time, so
 * that these do not wait for each other. */
static void count_plane(const search_pairing *p, const int64_t *a, size_t a_count, int64_t first_ps,
                        int64_t length_ps, int64_t used_ps, size_t rows, uint32_t *plane) {
  search_tally tally;
  size_t i = 0, begins[CHAINS] = {0}, listed = 0;
  const int rare = pairs_are_rare(p);
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
    memset(tally.counts, 0, (p->columns + 1) * sizeof *tally.counts);
    for (const size_t stop = i + part; i < stop; i++) {
      begins[0] = list_pairs(p, rare, a[i], begins[0], &tally, &listed);
      begins[1] = list_pairs(p, rare, a[i + part], begins[1], &tally, &listed);
      begins[2] = list_pairs(p, rare, a[i + 2 * part], begins[2], &tally, &listed);
      begins[3] = list_pairs(p, rare, a[i + 3 * part], begins[3], &tally, &listed);
    }
    for (i += (CHAINS - 1) * part; i < end; i++)
      begins[CHAINS - 1] = list_pairs(p, rare, a[i], begins[CHAINS - 1], &tally, &listed);
    listed = count_listed(&tally, listed);
    for (size_t c = 0; c < p->columns; c++) plane[c] += tally.counts[c];
  }
}
