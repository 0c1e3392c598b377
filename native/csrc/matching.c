/* Coincidences of two sorted time lists.
 *
 * Three common rules (greedy, nearest, all pairs) give three different counts. The rule here is
 * symmetric and keeps no pair that could have been another one: a pair is two detections that are
 * each other's only partner within the window.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "matching_impl.h"

static void write_pair(qkd_match_out *out, const qkd_match_streams *s, size_t i, size_t j,
                       int64_t time_b) {
  if (out->residuals) {
    const int64_t counted = out->first_b + (int64_t)j, time_a = s->a[i];
    if (time_a >= out->low_ps && time_a < out->high_ps && counted >= out->least_b) {
      out->ib[out->kept_pairs] = counted;
      out->kept[out->kept_pairs++] = out->codes[i];
      out->residuals[time_a - time_b + s->window_ps]++;
    }
  } else if (out->ia) {
    out->ia[out->pairs] = (int64_t)i;
    out->ib[out->pairs] = (int64_t)j;
  }
  out->pairs++;
}

static void match_portable(const qkd_match_streams *s, qkd_match_out *out) {
  const int64_t *a = s->a, *b = s->b;
  const int64_t window_ps = s->window_ps;
  size_t j = 0;
  int64_t time_b = s->b_count > 0 ? qkd_clock_map(&s->clock, b[0]) : 0;
  for (size_t i = 0; i < s->a_count; i++) {
    while (j < s->b_count && time_b < a[i] - window_ps)
      if (++j < s->b_count) time_b = qkd_clock_map(&s->clock, b[j]);
    if (j == s->b_count) break;
    if (time_b > a[i] + window_ps) continue;
    const int second_b =
        j + 1 < s->b_count && qkd_clock_map(&s->clock, b[j + 1]) <= a[i] + window_ps;
    const int earlier_a = i > 0 && time_b - a[i - 1] <= window_ps;
    const int later_a = i + 1 < s->a_count && a[i + 1] - time_b <= window_ps;
    if (second_b || earlier_a || later_a) {
      out->ambiguous++;
    } else {
      write_pair(out, s, i, j, time_b);
    }
  }
}

static void match(int tier, const qkd_match_streams *s, qkd_match_out *out) {
  const size_t counts = out->residuals ? 2 * (size_t)s->window_ps + 1 : 0;
  if (counts) memset(out->residuals, 0, counts * sizeof *out->residuals);
#if defined(__x86_64__)
  if (tier) {
    const qkd_match_out empty = *out;
    if ((tier > 1 ? qkd_match_avx512 : qkd_match_avx2)(s, out)) return;
    *out = empty;
    if (counts) memset(out->residuals, 0, counts * sizeof *out->residuals);
  }
#else
  (void)tier;
#endif
  match_portable(s, out);
}

size_t qkd_match(int tier, const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                 int64_t origin_ps, int64_t offset_ps, int64_t rate_q64, int64_t window_ps,
                 int64_t *ia, int64_t *ib, uint64_t *ambiguous) {
  const qkd_match_streams s = {
      a, b, a_count, b_count, {origin_ps, offset_ps, rate_q64}, window_ps};
  qkd_match_out out = {.ia = ia, .ib = ib};
  match(tier, &s, &out);
  *ambiguous = out.ambiguous;
  return out.pairs;
}

size_t qkd_match_slice(int tier, const int64_t *a, const uint8_t *codes, size_t a_count,
                       const int64_t *b, size_t b_count, int64_t origin_ps, int64_t offset_ps,
                       int64_t rate_q64, int64_t window_ps, int64_t low_ps, int64_t high_ps,
                       int64_t first_b, int64_t least_b, int64_t *indices, uint8_t *kept,
                       uint32_t *residuals) {
  const qkd_match_streams s = {
      a, b, a_count, b_count, {origin_ps, offset_ps, rate_q64}, window_ps};
  qkd_match_out out = {.ib = indices,
                       .codes = codes,
                       .low_ps = low_ps,
                       .high_ps = high_ps,
                       .first_b = first_b,
                       .least_b = least_b,
                       .kept = kept,
                       .residuals = residuals};
  match(tier, &s, &out);
  return out.kept_pairs;
}
