/* The kernels whose known answers come from a plain definition, in every tier. */
#include "vectors.h"

#include <math.h>

#include "bits.h"
#include "ldpc.h"
#include "merge.h"
#include "search.h"
#include "sifting.h"
#include "slots.h"

/* The words of count codes' bits. */
static uint64_t *bits_of(const uint8_t *codes, size_t count) {
  uint64_t *bits = room((count + 63) / 64, 8);
  for (size_t i = 0; i < count; i++) bits[i / 64] |= (uint64_t)(codes[i] & 1u) << (i % 64);
  return bits;
}

static int subset(const vector *v, int tier) {
  size_t count, size;
  uint8_t *codes = given(v, "codes", &count);
  int64_t *places = given(v, "places", &size);
  size /= 8;
  for (size_t i = 0; i < size; i++) places[i] += (int64_t)i;
  uint8_t *taken = room(size, 1);
  uint64_t *kept = bits_of(codes, count), *left = bits_of(codes, count);
  const int inside = qkd_sift_take(codes, count, places, size, taken) == 0;
  const int cut = qkd_bits_keep(tier, kept, count, places, size, 1) == 0 &&
                  qkd_bits_keep(tier, left, count, places, size, 0) == 0;
  const int failures = wrong_number(v, "inside", (uint64_t)inside) + (cut != inside) +
                       wrong_bytes(v, "taken", taken, inside ? size : 0) +
                       wrong_bytes(v, "kept_bits", kept, inside ? (size + 7) / 8 : 0) +
                       wrong_bytes(v, "left_bits", left, inside ? (count - size + 7) / 8 : 0);
  free(left);
  free(kept);
  free(taken);
  free(places);
  free(codes);
  return failures;
}

static int sifting(const vector *v, int tier) {
  if (is(v, "subset")) return subset(v, tier);
  size_t count, ignored, kept[2];
  uint8_t *codes = given(v, "codes", &count), *peer = given(v, "peer", &ignored);
  uint64_t *bits = room((count + 63) / 64, 8), *bases = room((count + 63) / 64, 8);
  const size_t several = qkd_sift_codes(tier, codes, count, bits, bases);
  int failures = wrong_number(v, "several", several) +
                 wrong_bytes(v, "bases", bases, (count + 7) / 8);
  qkd_sift(tier, bits, bases, peer, count, kept);
  failures += wrong_bytes(v, "z", bits, (kept[0] + 7) / 8) +
              wrong_bytes(v, "x", bases, (kept[1] + 7) / 8);
  free(bases);
  free(bits);
  free(peer);
  free(codes);
  return failures;
}

static int slots(const vector *v, int tier) {
  size_t size, ignored;
  int64_t *times = given(v, "times", &size);
  uint8_t *channels = given(v, "channels", &ignored);
  const size_t count = size / 8;
  const int64_t period = number(v, "period");
  qkd_slot_grid grid = {.centre_ps = number(v, "first_ps"), .period = period,
                        .least_period = period - (period >> 10),
                        .most_period = period + (period >> 10),
                        .gate = number(v, "gate_ps") * (INT64_C(1) << 32),
                        .interval = number(v, "interval"), .phase_gain = number(v, "phase_gain"),
                        .period_gain = number(v, "period_gain")};
  int64_t *found = room(count, 8);
  uint8_t *kept = room(count, 1);
  const int64_t accepted = qkd_slots_assign(tier, &grid, times, channels, count, found, kept);
  const int failures = wrong_number(v, "accepted", (uint64_t)accepted) +
                       wrong_number(v, "repeated", grid.repeated) +
                       wrong_bytes(v, "slots", found, 8 * (size_t)accepted) +
                       wrong_bytes(v, "slot_channels", kept, (size_t)accepted) +
                       wrong_number(v, "period_at_end", (uint64_t)grid.period);
  free(kept);
  free(found);
  free(channels);
  free(times);
  return failures;
}

static int merging(const vector *v, int tier) {
  qkd_merge merge = {.limit_ps = (uint64_t)number(v, "limit_ps"),
                     .reorder_ps = (uint64_t)number(v, "reorder_ps"),
                     .offset_ps = number(v, "offset_ps")};
  static const char *const names[4] = {"words_1", "words_2", "words_3", "words_4"};
  void *words[4];
  size_t most = 0;
  for (size_t i = 0; i < 4; i++) {
    merge.bytes[i] = words[i] = given(v, names[i], &merge.end[i]);
    most += merge.end[i] / 8;
  }
  int64_t *times = room(most, 8);
  uint8_t *channels = room(most, 1);
  const size_t tags = qkd_merge_tags(tier, &merge, most, times, channels);
  const int failures = wrong_number(v, "tags", tags) + wrong_number(v, "refused", merge.refused) +
                       wrong_bytes(v, "times", times, 8 * tags) +
                       wrong_bytes(v, "channels", channels, tags);
  free(channels);
  free(times);
  for (size_t i = 0; i < 4; i++) free(words[i]);
  return failures;
}

static int bins_and_maps(const vector *v) {
  size_t size;
  int64_t *times = given(v, "times", &size);
  const int64_t origin_ps = number(v, "origin_ps");
  int failures;
  if (is(v, "bins")) {
    const size_t count = (size_t)number(v, "bin_count");
    uint8_t *bins = room(count, 1);
    qkd_search_bins(times, size / 8, origin_ps, INT64_C(1) << (64 - number(v, "bin_log2_ps")),
                    bins, count);
    failures = wrong_bytes(v, "bins", bins, count);
    free(bins);
  } else {
    int64_t *mapped = room(size / 8, 8);
    qkd_search_map(times, size / 8, origin_ps, number(v, "offset_ps"), number(v, "rate_q64"),
                   mapped);
    failures = wrong_bytes(v, "mapped", mapped, size);
    free(mapped);
  }
  free(times);
  return failures;
}

static int plane(const vector *v, int tier) {
  size_t a_bytes, b_bytes;
  int64_t *a = given(v, "a", &a_bytes), *b = given(v, "b", &b_bytes);
  const size_t rows = (size_t)number(v, "rows"), columns = (size_t)number(v, "columns");
  uint32_t *counts = room(rows * columns, 4);
  qkd_search_plane(tier, a, a_bytes / 8, b, b_bytes / 8, number(v, "origin_ps"),
                   number(v, "offset_ps"), number(v, "rate_q64"), number(v, "first_ps"),
                   number(v, "row_ps"), number(v, "used_ps"), rows, number(v, "low_ps"),
                   (int)number(v, "shift"), columns, counts);
  const int failures = wrong_bytes(v, "plane", counts, 4 * rows * columns);
  free(counts);
  free(b);
  free(a);
  return failures;
}

enum { LOG2_SIZE = 10 };

static float *aligned_floats(size_t count) {
  float *at = aligned_alloc(64, (4 * count + 63) / 64 * 64);
  if (at == NULL) broken("no memory");
  return at;
}

static int correlate(const vector *v, int tier) {
  const size_t lag_count = (size_t)number(v, "lags");
  size_t a_count, b_count;
  uint8_t *a = given(v, "a", &a_count), *b = given(v, "b", &b_count);
  for (size_t i = 0; i < a_count; i++) a[i] %= 8;
  for (size_t i = 0; i < b_count; i++) b[i] %= 8;
  float *scratch = aligned_floats(qkd_search_scratch(LOG2_SIZE));
  float *tables = aligned_floats(qkd_search_tables_room(LOG2_SIZE));
  qkd_search_make_tables(LOG2_SIZE, tables);
  float *lags = room(lag_count, 4);
  int64_t *sums = room(lag_count, 8);
  qkd_search_correlate(tier, a, a_count, b, b_count, LOG2_SIZE, tables, scratch, lags, lag_count);
  for (size_t i = 0; i < lag_count; i++) sums[i] = llrintf(lags[i]);
  const int failures = wrong_bytes(v, "sums", sums, 8 * lag_count);
  free(sums);
  free(lags);
  free(tables);
  free(scratch);
  free(b);
  free(a);
  return failures;
}

/* The bytes of an input, each modulo something, as int32. */
static int32_t *small(const vector *v, const char *key, int modulus, size_t *count) {
  uint8_t *bytes = given(v, key, count);
  int32_t *numbers = room(*count, 4);
  for (size_t i = 0; i < *count; i++) numbers[i] = bytes[i] % modulus;
  free(bytes);
  return numbers;
}

static int lines(const vector *v, int tier) {
  const size_t rows = (size_t)number(v, "rows"), columns = (size_t)number(v, "columns");
  const size_t group = (size_t)number(v, "group");
  size_t cells, bases, fines, drifts;
  uint8_t *bytes = given(v, "plane", &cells);
  int32_t *base = small(v, "base", 16, &bases), *fine = small(v, "fine", 8, &fines);
  const size_t slopes = fines / group;
  int32_t *slope = small(v, "slope", (int)slopes, &drifts), reach = 0;
  for (size_t i = 0; i < bases; i++) reach = base[i] > reach ? base[i] : reach;
  float *counts = room(cells, 4), *best = room(columns, 4);
  void *scratch = room(qkd_search_lines_scratch(bases / drifts, slopes, (size_t)reach), 1);
  int32_t *drift = room(columns, 4);
  for (size_t i = 0; i < cells; i++) counts[i] = (float)bytes[i];
  qkd_search_lines(tier, counts, rows, cells / rows, columns, group, base, slope, drifts, fine,
                   slopes, scratch, best, drift);
  const int failures = wrong_bytes(v, "best", best, 4 * columns) +
                       wrong_bytes(v, "drift", drift, 4 * columns);
  free(drift);
  free(scratch);
  free(best);
  free(counts);
  free(slope);
  free(fine);
  free(base);
  free(bytes);
  return failures;
}

static int search(const vector *v, int tier) {
  if (is(v, "plane")) return plane(v, tier);
  if (is(v, "correlate")) return correlate(v, tier);
  if (is(v, "lines")) return lines(v, tier);
  return bins_and_maps(v);
}

static int ldpc(const vector *v, int tier) {
  const uint32_t rows = (uint32_t)number(v, "rows"), columns = (uint32_t)number(v, "columns");
  const uint32_t size = (uint32_t)number(v, "size");
  const size_t checks = (size_t)rows * size, length = (size_t)number(v, "count");
  uint64_t seed = (uint64_t)number(v, "seed");
  uint32_t *row_start = room(rows, 4), count = 0;
  qkd_ldpc_edge *edges = room((size_t)rows * columns, sizeof *edges);
  for (uint32_t r = 0; r < rows; r++) {
    for (uint32_t c = 0; c < columns; c++) {
      const uint64_t word = splitmix64(&seed);
      if (word % 8 < 3 || c % rows == r)
        edges[count++] = (qkd_ldpc_edge){(uint16_t)c, (uint16_t)((word >> 32) % size)};
    }
    row_start[r + 1] = count;
  }
  uint64_t *truth = room(length / 64 + 1, 8), *noisy = room(length / 64 + 1, 8);
  for (size_t i = 0; i < length; i++) {
    const uint64_t word = splitmix64(&seed);
    const uint64_t error = (word >> 32) % (uint64_t)number(v, "errors_one_in") == 0;
    truth[i / 64] |= (word & 1) << (i % 64);
    noisy[i / 64] |= ((word & 1) ^ error) << (i % 64);
  }
  const qkd_ldpc_code code = {rows, columns, size, row_start, edges};
  uint64_t *syndrome = room(checks / 64, 8);
  uint8_t *messages = room(qkd_ldpc_messages(&code), 1);
  int16_t *posteriors = room(qkd_ldpc_posteriors(&code), sizeof *posteriors);
  qkd_ldpc_syndrome(&code, truth, length, syndrome);
  const int done = qkd_ldpc_decode(tier, &code, syndrome, noisy, length,
                                   (int)number(v, "reliability"), (int)number(v, "iterations"),
                                   posteriors, messages);
  const int failures = wrong_bytes(v, "syndrome", syndrome, checks / 8) +
                       wrong_number(v, "done", (uint64_t)(done + 1)) +
                       wrong_bytes(v, "found", noisy, (length + 7) / 8);
  free(posteriors);
  free(messages);
  free(syndrome);
  free(noisy);
  free(truth);
  free(edges);
  free(row_start);
  return failures;
}

int main(void) {
  const int failures = family("ldpc", ldpc) + family("merge", merging) +
                       family("search", search) + family("sifting", sifting) +
                       family("slots", slots);
  return failures != 0;
}
