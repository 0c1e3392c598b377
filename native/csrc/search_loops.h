/* The search's arithmetic on vectors of LANES floats: each version sets LANES and compiles this.
 *
 * Nothing is contracted or re-associated, so all versions agree bit for bit.
 *
 * The transform of size P Q is done in four steps (Bailey, J. Supercomput. 4, 23 (1990)), each pass
 * on LANES columns or rows side by side, so that memory is walked twice a transform and
 * no butterfly crosses lanes. The spectrum stays in the order that falls out, since the product of
 * two does not care.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "search_impl.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

typedef float lanes __attribute__((vector_size(4 * LANES)));

typedef struct {
  lanes re, im;
} point;

typedef struct {
  size_t rows, columns, size;
  const lanes *twiddle_re, *twiddle_im;
  const float *root_re, *root_im;
  point *work, *spare;
} transform;

static inline transform transform_of(int log2_size, const float *twiddles, const float *roots,
                                     float *scratch) {
  transform t;
  t.size = (size_t)1 << log2_size;
  t.rows = qkd_search_rows(log2_size);
  t.columns = t.size / t.rows;
  t.twiddle_re = (const lanes *)(const void *)twiddles;
  t.twiddle_im = (const lanes *)(const void *)(twiddles + t.size);
  t.root_re = roots;
  t.root_im = roots + t.rows;
  t.work = (point *)(void *)scratch;
  t.spare = t.work + t.rows;
  return t;
}

static inline void butterflies(const transform *t, size_t length, size_t stride,
                               const point *restrict x, point *restrict y) {
  const size_t quarter = length / 4, step = t->rows / length;
  for (size_t p = 0; p < quarter; p++) {
    const float w1_re = t->root_re[p * step], w1_im = t->root_im[p * step];
    const float w2_re = t->root_re[2 * p * step], w2_im = t->root_im[2 * p * step];
    const float w3_re = t->root_re[3 * p * step], w3_im = t->root_im[3 * p * step];
    for (size_t q = 0; q < stride; q++) {
      const point *a = x + q + stride * p;
      const point *b = a + stride * quarter, *c = b + stride * quarter, *d = c + stride * quarter;
      point *out = y + q + stride * 4 * p;
      const lanes even_re = a->re + c->re, even_im = a->im + c->im;
      const lanes odd_re = a->re - c->re, odd_im = a->im - c->im;
      const lanes sum_re = b->re + d->re, sum_im = b->im + d->im;
      const lanes turned_re = d->im - b->im, turned_im = b->re - d->re; /* i (b - d) */
      out[0].re = even_re + sum_re;
      out[0].im = even_im + sum_im;
      const lanes one_re = odd_re - turned_re, one_im = odd_im - turned_im;
      out[stride].re = one_re * w1_re - one_im * w1_im;
      out[stride].im = one_re * w1_im + one_im * w1_re;
      const lanes two_re = even_re - sum_re, two_im = even_im - sum_im;
      out[2 * stride].re = two_re * w2_re - two_im * w2_im;
      out[2 * stride].im = two_re * w2_im + two_im * w2_re;
      const lanes three_re = odd_re + turned_re, three_im = odd_im + turned_im;
      out[3 * stride].re = three_re * w3_re - three_im * w3_im;
      out[3 * stride].im = three_re * w3_im + three_im * w3_re;
    }
  }
}

/* LANES transforms side by side, of the points in work; returns where the result is. */
static inline const point *transformed(const transform *t, size_t length) {
  point *x = t->work, *y = t->spare;
  size_t stride = 1;
  for (; length >= 4; length /= 4, stride *= 4) {
    butterflies(t, length, stride, x, y);
    point *const other = x;
    x = y;
    y = other;
  }
  if (length == 2) {
    for (size_t q = 0; q < stride; q++) {
      y[q].re = x[q].re + x[q + stride].re;
      y[q].im = x[q].im + x[q + stride].im;
      y[q + stride].re = x[q].re - x[q + stride].re;
      y[q + stride].im = x[q].im - x[q + stride].im;
    }
    x = y;
  }
  return x;
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
    lanes turned[LANES];
    for (int i = 0; i < LANES / 2; i++) {
      turned[2 * i] = __builtin_shufflevector(tile[i], tile[i + LANES / 2], LOW);
      turned[2 * i + 1] = __builtin_shufflevector(tile[i], tile[i + LANES / 2], HIGH);
    }
    memcpy(tile, turned, sizeof turned);
  }
}

/* Down the columns, in place. */
static inline void down_columns(const transform *t, float *re, float *im, int twiddled) {
  const size_t width = t->columns / LANES;
  for (size_t c = 0; c < width; c++) {
    lanes *x_re = (lanes *)(void *)re + c, *x_im = (lanes *)(void *)im + c;
    for (size_t r = 0; r < t->rows; r++) {
      t->work[r].re = x_re[r * width];
      t->work[r].im = x_im[r * width];
    }
    const point *y = transformed(t, t->rows);
    for (size_t r = 0; r < t->rows; r++) {
      if (twiddled) {
        const lanes w_re = t->twiddle_re[r * width + c], w_im = t->twiddle_im[r * width + c];
        x_re[r * width] = y[r].re * w_re - y[r].im * w_im;
        x_im[r * width] = y[r].re * w_im + y[r].im * w_re;
      } else {
        x_re[r * width] = y[r].re;
        x_im[r * width] = y[r].im;
      }
    }
  }
}

static inline void forward(const transform *t, float *re, float *im) {
  down_columns(t, re, im, 1);
  const size_t width = t->columns / LANES;
  for (size_t r = 0; r < t->rows; r += LANES) {
    lanes *x_re = (lanes *)(void *)(re + r * t->columns);
    lanes *x_im = (lanes *)(void *)(im + r * t->columns);
    for (size_t c = 0; c < width; c++) {
      lanes tile_re[LANES], tile_im[LANES];
      for (size_t i = 0; i < LANES; i++) {
        tile_re[i] = x_re[i * width + c];
        tile_im[i] = x_im[i * width + c];
      }
      transpose(tile_re);
      transpose(tile_im);
      for (size_t i = 0; i < LANES; i++) {
        t->work[c * LANES + i].re = tile_re[i];
        t->work[c * LANES + i].im = tile_im[i];
      }
    }
    const point *y = transformed(t, t->columns);
    for (size_t c = 0; c < t->columns; c++) {
      x_re[c] = y[c].re;
      x_im[c] = y[c].im;
    }
  }
}

/* The inverse transform, times size, of conj(a) b, into b: a forward one with the parts swapped. */
static inline void back(const transform *t, const float *a_re, const float *a_im, float *re,
                        float *im) {
  const size_t width = t->columns / LANES;
  for (size_t r = 0; r < t->rows; r += LANES) {
    lanes *x_re = (lanes *)(void *)(re + r * t->columns);
    lanes *x_im = (lanes *)(void *)(im + r * t->columns);
    const lanes *s_re = (const lanes *)(const void *)(a_re + r * t->columns);
    const lanes *s_im = (const lanes *)(const void *)(a_im + r * t->columns);
    for (size_t c = 0; c < t->columns; c++) {
      t->work[c].im = s_re[c] * x_re[c] + s_im[c] * x_im[c];
      t->work[c].re = s_re[c] * x_im[c] - s_im[c] * x_re[c];
    }
    const point *y = transformed(t, t->columns);
    for (size_t c = 0; c < width; c++) {
      lanes tile_re[LANES], tile_im[LANES];
      for (size_t i = 0; i < LANES; i++) {
        tile_re[i] = y[c * LANES + i].re;
        tile_im[i] = y[c * LANES + i].im;
      }
      transpose(tile_re);
      transpose(tile_im);
      for (size_t i = 0; i < LANES; i++) {
        const size_t at = (r + i) * width + c;
        const lanes w_re = t->twiddle_re[at], w_im = t->twiddle_im[at];
        x_im[i * width + c] = tile_re[i] * w_re - tile_im[i] * w_im;
        x_re[i * width + c] = tile_re[i] * w_im + tile_im[i] * w_re;
      }
    }
  }
  down_columns(t, im, re, 0);
}

static inline void spread(const uint8_t *counts, size_t from, size_t until, float *x, size_t size) {
  const size_t count = until > from ? until - from : 0;
  const size_t used = count < size ? count : size;
  for (size_t i = 0; i < used; i++) x[i] = (float)counts[from + i];
  for (size_t i = used; i < size; i++) x[i] = 0.0F;
}

/* The two halves of the lags are the real and the imaginary part of one correlation. */
static void correlate(const uint8_t *a, size_t a_count, const uint8_t *b, size_t b_count,
                      int log2_size, const float *twiddles, const float *roots, float *scratch,
                      float *lags, size_t lag_count) {
  const transform t = transform_of(log2_size, twiddles, roots, scratch);
  float *a_re = (float *)(void *)(t.spare + t.rows), *a_im = a_re + t.size;
  float *b_re = a_im + t.size, *b_im = b_re + t.size;
  const size_t half = t.size - a_count + 1;
  spread(a, 0, a_count, a_re, t.size);
  memset(a_im, 0, t.size * sizeof *a_im);
  spread(b, 0, b_count, b_re, t.size);
  spread(b, half, b_count, b_im, t.size);
  forward(&t, a_re, a_im);
  forward(&t, b_re, b_im);
  back(&t, a_re, a_im, b_re, b_im);
  const float scale = 1.0F / (float)t.size;
  const size_t low = lag_count < half ? lag_count : half;
  for (size_t l = 0; l < low; l++) lags[l] = b_re[l] * scale;
  for (size_t l = low; l < lag_count; l++) lags[l] = b_im[l - low] * scale;
}

static inline float mean(const float *lags) {
  float sums[SEARCH_SMOOTH / 4];
  for (int i = 0; i < SEARCH_SMOOTH / 4; i++)
    sums[i] = (lags[i] + lags[i + 16]) + (lags[i + 32] + lags[i + 48]);
  for (int width = SEARCH_SMOOTH / 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) sums[i] += sums[i + width];
  return sums[0] * (1.0F / SEARCH_SMOOTH);
}

static void flatten(float *lags, size_t count, float *floor) {
  if (count == 0) return;
  float before = mean(lags), here = before;
  for (size_t from = 0; from < count; from += SEARCH_SMOOTH) {
    const float after = from + SEARCH_SMOOTH < count ? mean(lags + from + SEARCH_SMOOTH) : here;
    for (size_t i = 0; i < SEARCH_SMOOTH; i++) {
      const float place = ((float)(int)i - 31.5F) * (1.0F / SEARCH_SMOOTH);
      const float slope = i < SEARCH_SMOOTH / 2 ? here - before : after - here;
      const float smooth = here + place * slope;
      lags[from + i] -= smooth;
      floor[from + i] += smooth;
    }
    before = here;
    here = after;
  }
}

enum { TERMS = 4 };

static inline void add_terms(float *restrict sum, const float *const *terms, size_t count,
                             size_t length) {
  const float *restrict x = terms[0], *restrict y = terms[1];
  const float *restrict z = terms[2], *restrict w = terms[3];
  if (count == TERMS) {
    for (size_t c = 0; c < length; c++) sum[c] += (x[c] + y[c]) + (z[c] + w[c]);
  } else {
    for (size_t t = 0; t < count; t++)
      for (size_t c = 0; c < length; c++) sum[c] += terms[t][c];
  }
}

/* Shifted sums in two steps: a few slopes over short groups of rows, then whole drifts over the
 * groups. Block by block of columns, to stay in cache. */
static void lines(const float *plane, size_t rows, size_t stride, size_t columns, size_t group,
                  const int32_t *base, const int32_t *slope, size_t drifts, const int32_t *fine,
                  size_t slopes, float *scratch, float *best, int32_t *drift) {
  const size_t groups = (rows + group - 1) / group;
  int32_t reach = 0, furthest = 0;
  for (size_t i = 0; i < drifts * groups; i++)
    if (base[i] > reach) reach = base[i];
  for (size_t i = 0; i < slopes * group; i++)
    if (fine[i] > furthest) furthest = fine[i];
  const size_t width = SEARCH_BLOCK + 1, wide = width + (size_t)reach;
  const float *terms[TERMS];
  float *totals = scratch, *partial = scratch + drifts * width;
  for (size_t from = 0; from < columns; from += SEARCH_BLOCK) {
    const size_t count = columns - from < SEARCH_BLOCK ? columns - from : SEARCH_BLOCK;
    const size_t wanted = count + 1 + (size_t)reach, left = stride - from - (size_t)furthest;
    const size_t length = wanted < left ? wanted : left;
    memset(totals, 0, drifts * width * sizeof *totals);
    for (size_t first = 0; first < groups; first += TERMS) {
      const size_t batch = groups - first < TERMS ? groups - first : TERMS;
      for (size_t g = 0; g < batch; g++) {
        const size_t begin = (first + g) * group;
        const size_t end = begin + group < rows ? begin + group : rows;
        for (size_t s = 0; s < slopes; s++) {
          float *sum = partial + (g * slopes + s) * wide;
          memset(sum, 0, wide * sizeof *sum);
          for (size_t r = begin; r < end; r += TERMS) {
            const size_t some = end - r < TERMS ? end - r : TERMS;
            for (size_t t = 0; t < TERMS; t++) {
              const size_t row = t < some ? r + t : r;
              terms[t] = plane + row * stride + from + (size_t)fine[s * group + row - begin];
            }
            add_terms(sum, terms, some, length);
          }
        }
      }
      for (size_t d = 0; d < drifts; d++) {
        for (size_t t = 0; t < TERMS; t++) {
          const size_t g = t < batch ? t : 0;
          terms[t] = partial + (g * slopes + (size_t)slope[d]) * wide + base[d * groups + first + g];
        }
        add_terms(totals + d * width, terms, batch, count + 1);
      }
    }
    float *restrict greatest = best + from;
    int32_t *restrict which = drift + from;
    for (size_t c = 0; c < count; c++) {
      greatest[c] = -3.0e38F;
      which[c] = 0;
    }
    for (size_t d = 0; d < drifts; d++) {
      const float *restrict total = totals + d * width;
      for (size_t c = 0; c < count; c++) {
        const float both = (total[c] + total[c + 1]) * 0.70710678F;
        const float value = both > total[c] ? both : total[c];
        const int better = value > greatest[c];
        greatest[c] = better ? value : greatest[c];
        which[c] = better ? (int32_t)d : which[c];
      }
    }
  }
}
