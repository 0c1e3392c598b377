/* What the versions of the search share. */
#ifndef QKD_SEARCH_IMPL_H
#define QKD_SEARCH_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "search.h"

enum { SEARCH_MOST_LANES = 16, SEARCH_BLOCK = 512, SEARCH_SMOOTH = 64 };

typedef struct {
  void (*correlate)(const uint8_t *a, size_t a_count, const uint8_t *b, size_t b_count,
                    int log2_size, const float *twiddles, const float *roots, float *scratch,
                    float *lags, size_t lag_count);
  void (*flatten)(float *lags, size_t count, float *floor);
  void (*lines)(const float *plane, size_t rows, size_t stride, size_t columns, size_t group,
                const int32_t *base, const int32_t *slope, size_t drifts, const int32_t *fine,
                size_t slopes, float *scratch, float *best, int32_t *drift);
} qkd_search_loops;

extern const qkd_search_loops qkd_search_avx2, qkd_search_avx512;

#endif
