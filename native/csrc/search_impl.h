/* What the versions of the search share. */
#ifndef QKD_SEARCH_IMPL_H
#define QKD_SEARCH_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "clock_impl.h"
#include "search.h"

enum {
  SEARCH_MOST_LANES = 16,
  SEARCH_TURNED = 16, /* coefficients of a row that a fine turn serves before the next coarse one */
  SEARCH_BLOCK = 512,
  SEARCH_SMOOTH = 64,
  SEARCH_AT_ONCE = 8,
  SEARCH_AHEAD_BYTES = 2048
};

/* Asks for the times that come next but some: the machine does so by itself, but begins anew with
 * every page. There need be none. */
static inline void search_ask(const int64_t *times) {
  __builtin_prefetch((const void *)((uintptr_t)times + SEARCH_AHEAD_BYTES));
}

/* A transform of 2^log2_size counts: so many complex coefficients in rows and columns. The tables
 * hold the turns of each row's coefficients, those of the first few and those of every so many,
 * real parts before imaginary ones, and then the roots, level by level. */
typedef struct {
  size_t size, rows, columns, fine, coarse;
} search_shape;

static inline search_shape search_shape_of(int log2_size) {
  search_shape shape = {.size = (size_t)1 << (log2_size - 1), .rows = (size_t)1 << log2_size / 2};
  shape.columns = shape.size / shape.rows;
  shape.fine = shape.rows * SEARCH_TURNED;
  shape.coarse = shape.size / SEARCH_TURNED;
  return shape;
}

/* Of a node that splits a polynomial: a fourth root, its square and its cube. */
typedef struct {
  float re[3], im[3];
} search_root;

/* Pairs of a b with an a, which the clock maps, by columns of their lags. */
typedef struct {
  const int64_t *b;
  size_t b_count;
  qkd_clock clock;
  int64_t low_ps, width_ps; /* of all columns */
  int shift;
  size_t columns;
} search_pairing;

typedef struct {
  void (*correlate)(const uint8_t *a, size_t a_count, const uint8_t *b, size_t b_count,
                    int log2_size, const float *tables, float *scratch, float *lags,
                    size_t lag_count);
  void (*flatten)(float *lags, size_t count, float *floor);
  void (*lines)(const float *plane, size_t rows, size_t stride, size_t columns, size_t group,
                const int32_t *base, const int32_t *slope, size_t drifts, const int32_t *fine,
                size_t slopes, void *scratch, float *best, int32_t *drift);
  void (*count_plane)(const search_pairing *pairing, const int64_t *a, size_t a_count,
                      int64_t first_ps, int64_t length_ps, int64_t used_ps, size_t rows,
                      uint32_t *plane);
} qkd_search_loops;

extern const qkd_search_loops qkd_search_avx2, qkd_search_avx512;

#endif
