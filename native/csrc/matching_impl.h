/* What the versions of the matcher share. */
#ifndef QKD_MATCHING_IMPL_H
#define QKD_MATCHING_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "clock_impl.h"
#include "matching.h"

/* What is matched. */
typedef struct {
  const int64_t *a, *b;
  size_t a_count, b_count;
  qkd_clock clock;
  int64_t window_ps;
} qkd_match_streams;

/* What becomes of the pairs: they are counted; listed, where there is an ia; or kept as a slice
 * keeps them, where there are residuals. */
typedef struct {
  int64_t *ia, *ib;
  const uint8_t *codes;
  int64_t low_ps, high_ps, first_b, least_b;
  uint8_t *kept;
  uint32_t *residuals;
  size_t pairs, kept_pairs;
  uint64_t ambiguous;
} qkd_match_out;

/* Return 0 where detections are so crowded that the portable version is as good, and has to begin
 * anew. */
int qkd_match_avx512(const qkd_match_streams *s, qkd_match_out *out);
int qkd_match_avx2(const qkd_match_streams *s, qkd_match_out *out);

#endif
