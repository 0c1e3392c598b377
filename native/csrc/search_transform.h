/* The search's correlations on vectors of LANES floats: each version sets LANES and compiles this.
 *
 * Counts are real, so 2 M of them are taken as the polynomial with coefficients x[n] + i x[n + M]
 * modulo X^M - i, a factor of X^(2 M) + 1: its values at the M roots are those of the whole, and
 * a product of such is a correlation that changes its sign where it wraps, which nobody looks at.
 *
 * Modulo X^M - r is split into four, modulo X^(M / 4) - s for each s with s^4 = r, again and again
 * (Bernstein, Multidigit multiplication for mathematicians, 2001). With M = rows columns this is
 * first done to X^columns, down the columns, LANES of them side by side; what is left in a row is
 * modulo X^columns - r, which a turn of its coefficients makes X^columns - i. The rows are then
 * split likewise, LANES of them side by side. Values stay in the order that falls out.
 *
 * Nothing is contracted or re-associated, so all versions agree bit for bit.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "search_impl.h"

typedef float lanes __attribute__((vector_size(4 * LANES)));

typedef struct {
  lanes re, im;
} point;

typedef struct {
  size_t size, rows, columns;
  size_t height; /* of LANES columns; those a power of two apart share their cache lines */
  const float *fine_re, *fine_im, *coarse_re, *coarse_im;
  const search_root *roots;
  point *matrix, *values, *work;
} transform;

static inline transform transform_of(int log2_size, const float *tables, float *scratch) {
  const search_shape shape = search_shape_of(log2_size);
  transform t = {.size = shape.size, .rows = shape.rows, .columns = shape.columns};
  t.height = t.rows + LANES;
  t.fine_re = tables;
  t.fine_im = t.fine_re + shape.fine;
  t.coarse_re = t.fine_im + shape.fine;
  t.coarse_im = t.coarse_re + shape.coarse;
  t.roots = (const search_root *)(const void *)(t.coarse_im + shape.coarse);
  t.matrix = (point *)(void *)scratch;
  t.values = t.matrix + t.height * (t.columns / LANES);
  t.work = t.values + t.size / LANES;
  return t;
}

/* The product with w, or with its conjugate. */
static inline point turned(point x, float re, float im) {
  return (point){x.re * re - x.im * im, x.re * im + x.im * re};
}
static inline point turned_back(point x, float re, float im) {
  return (point){x.re * re + x.im * im, x.im * re - x.re * im};
}
static inline point sum(point x, point y) { return (point){x.re + y.re, x.im + y.im}; }
static inline point less(point x, point y) { return (point){x.re - y.re, x.im - y.im}; }
/* x + i y, x - i y */
static inline point sum_i(point x, point y) { return (point){x.re - y.im, x.im + y.re}; }
static inline point less_i(point x, point y) { return (point){x.re + y.im, x.im - y.re}; }

/* Splits LANES polynomials of so many coefficients, modulo X^length - i, down to their values. */
static inline void split(point *x, size_t length, const search_root *root) {
  size_t nodes = 1, quarter = length / 4;
  for (; quarter > 0; root += nodes, nodes *= 4, quarter /= 4) {
    for (size_t node = 0; node < nodes; node++) {
      const search_root r = root[node];
      point *const a = x + 4 * quarter * node, *const b = a + quarter;
      point *const c = b + quarter, *const d = c + quarter;
      for (size_t q = 0; q < quarter; q++) {
        const point second = turned(b[q], r.re[0], r.im[0]);
        const point third = turned(c[q], r.re[1], r.im[1]);
        const point fourth = turned(d[q], r.re[2], r.im[2]);
        const point even = sum(a[q], third), odd = less(a[q], third);
        const point both = sum(second, fourth), apart = less(second, fourth);
        a[q] = sum(even, both);
        b[q] = sum_i(odd, apart);
        c[q] = less(even, both);
        d[q] = less_i(odd, apart);
      }
    }
  }
  for (size_t node = 0; 2 * nodes == length && node < nodes; node++) {
    point *const a = x + 2 * node, *const b = a + 1;
    const point second = turned(*b, root[node].re[1], root[node].im[1]);
    *b = less(*a, second);
    *a = sum(*a, second);
  }
}

/* The way back; the coefficients come out length times too large. */
static inline void joined(point *x, size_t length, const search_root *roots) {
  size_t nodes = 1, quarter = 1;
  const search_root *root = roots;
  for (; 4 * nodes <= length; nodes *= 4) root += nodes;
  if (2 * nodes == length) {
    for (size_t node = 0; node < nodes; node++) {
      point *const a = x + 2 * node, *const b = a + 1;
      const point second = less(*a, *b);
      *a = sum(*a, *b);
      *b = turned_back(second, root[node].re[1], root[node].im[1]);
    }
    quarter = 2;
  }
  for (; quarter < length; quarter *= 4) {
    nodes /= 4;
    root -= nodes;
    for (size_t node = 0; node < nodes; node++) {
      const search_root r = root[node];
      point *const a = x + 4 * quarter * node, *const b = a + quarter;
      point *const c = b + quarter, *const d = c + quarter;
      for (size_t q = 0; q < quarter; q++) {
        const point even = sum(a[q], c[q]), both = less(a[q], c[q]);
        const point odd = sum(b[q], d[q]), apart = less(b[q], d[q]);
        a[q] = sum(even, odd);
        b[q] = turned_back(less_i(both, apart), r.re[0], r.im[0]);
        c[q] = turned_back(less(even, odd), r.re[1], r.im[1]);
        d[q] = turned_back(sum_i(both, apart), r.re[2], r.im[2]);
      }
    }
  }
}

#if LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif

/* As many perfect shuffles as a row's number has bits swap rows and columns. */
static inline void transpose(lanes *tile) {
  for (int passes = LANES; passes > 1; passes /= 2) {
    lanes shuffled[LANES];
    for (int i = 0; i < LANES / 2; i++) {
      shuffled[2 * i] = __builtin_shufflevector(tile[i], tile[i + LANES / 2], LOW);
      shuffled[2 * i + 1] = __builtin_shufflevector(tile[i], tile[i + LANES / 2], HIGH);
    }
    memcpy(tile, shuffled, sizeof shuffled);
  }
}

/* So many counts from a place on, as floats; zeros beyond the last. */
static inline void spread(const uint8_t *counts, size_t count, size_t from, float *x, size_t size) {
  const size_t left = count > from ? count - from : 0, used = left < size ? left : size;
  for (size_t i = 0; i < used; i++) x[i] = (float)counts[from + i];
  for (size_t i = used; i < size; i++) x[i] = 0.0F;
}

/* Counts, as many as there are, split down the columns. */
static inline void split_columns(const transform *t, const uint8_t *counts, size_t count) {
  const size_t width = t->columns / LANES;
  lanes *const re = (lanes *)(void *)t->work, *const im = re + width;
  for (size_t r = 0; r < t->rows; r++) {
    spread(counts, count, r * t->columns, (float *)re, t->columns);
    spread(counts, count, r * t->columns + t->size, (float *)im, t->columns);
    for (size_t c = 0; c < width; c++) t->matrix[c * t->height + r] = (point){re[c], im[c]};
  }
  for (size_t c = 0; c < width; c++) split(t->matrix + c * t->height, t->rows, t->roots);
}

/* The number that turns each of LANES coefficients of a row. */
static inline point turn_of(const transform *t, size_t row, size_t c) {
  const size_t at = row * SEARCH_TURNED + c * LANES % SEARCH_TURNED;
  const size_t coarse = (row * t->columns + c * LANES) / SEARCH_TURNED;
  const point fine = {*(const lanes *)(const void *)(t->fine_re + at),
                      *(const lanes *)(const void *)(t->fine_im + at)};
  return turned(fine, t->coarse_re[coarse], t->coarse_im[coarse]);
}

/* The values of LANES rows, in work. */
static inline void split_rows(const transform *t, size_t first) {
  for (size_t c = 0; c < t->columns / LANES; c++) {
    const point *const tile = t->matrix + c * t->height + first;
    lanes re[LANES], im[LANES];
    for (size_t i = 0; i < LANES; i++) {
      const point x = tile[i], w = turn_of(t, first + i, c);
      re[i] = x.re * w.re - x.im * w.im;
      im[i] = x.re * w.im + x.im * w.re;
    }
    transpose(re);
    transpose(im);
    for (size_t i = 0; i < LANES; i++) t->work[c * LANES + i] = (point){re[i], im[i]};
  }
  split(t->work, t->columns, t->roots);
}

/* The rows' coefficients, from their values in work. */
static inline void join_rows(const transform *t, size_t first) {
  joined(t->work, t->columns, t->roots);
  for (size_t c = 0; c < t->columns / LANES; c++) {
    point *const tile = t->matrix + c * t->height + first;
    lanes re[LANES], im[LANES];
    for (size_t i = 0; i < LANES; i++) {
      re[i] = t->work[c * LANES + i].re;
      im[i] = t->work[c * LANES + i].im;
    }
    transpose(re);
    transpose(im);
    for (size_t i = 0; i < LANES; i++) {
      const point w = turn_of(t, first + i, c);
      tile[i] = (point){re[i] * w.re + im[i] * w.im, im[i] * w.re - re[i] * w.im};
    }
  }
}

/* The first coefficients, real parts before imaginary ones, joined down the columns. */
static inline void join_columns(const transform *t, float *lags, size_t count) {
  const float scale = 1.0F / (float)t->size;
  const size_t width = t->columns / LANES;
  for (size_t c = 0; c < width; c++) joined(t->matrix + c * t->height, t->rows, t->roots);
  for (size_t at = 0; at < count; at += LANES) {
    const size_t n = at % t->size;
    const point x = t->matrix[n % t->columns / LANES * t->height + n / t->columns];
    const lanes lag = (at < t->size ? x.re : x.im) * scale;
    memcpy(lags + at, &lag, count - at < LANES ? (count - at) * sizeof *lags : sizeof lag);
  }
}

static void correlate(const uint8_t *a, size_t a_count, const uint8_t *b, size_t b_count,
                      int log2_size, const float *tables, float *scratch, float *lags,
                      size_t lag_count) {
  const transform t = transform_of(log2_size, tables, scratch);
  const size_t most = 2 * t.size - a_count + 1;
  split_columns(&t, a, a_count);
  for (size_t r = 0; r < t.rows; r += LANES) {
    split_rows(&t, r);
    memcpy(t.values + r / LANES * t.columns, t.work, t.columns * sizeof *t.work);
  }
  for (size_t lag = 0; lag < lag_count; lag += most) {
    split_columns(&t, lag < b_count ? b + lag : b, lag < b_count ? b_count - lag : 0);
    for (size_t r = 0; r < t.rows; r += LANES) {
      const point *const a_values = t.values + r / LANES * t.columns;
      split_rows(&t, r);
      for (size_t c = 0; c < t.columns; c++) {
        const point x = t.work[c], y = a_values[c];
        t.work[c] = (point){x.re * y.re + x.im * y.im, x.im * y.re - x.re * y.im};
      }
      join_rows(&t, r);
    }
    join_columns(&t, lags + lag, lag_count - lag < most ? lag_count - lag : most);
  }
}
