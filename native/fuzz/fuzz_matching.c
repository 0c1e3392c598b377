/* The matcher on any sorted times, of which one list comes from the peer: every tier alike. */
#include "fuzz.h"

#include "matching.h"
#include "tier.h"

static int64_t *times(input *in, size_t count, unsigned shift) {
  int64_t *list = room(count, sizeof *list);
  int64_t now = 0;
  for (size_t i = 0; i < count; i++) list[i] = now += (int64_t)(take(in, 1) << shift);
  return list;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const unsigned shift = (unsigned)take(&in, 1) % 40;
  const int64_t window_ps = (int64_t)(take(&in, 1) << shift);
  const int64_t offset_ps = (int64_t)take(&in, 4) - (INT64_C(1) << 31);
  const int64_t origin_ps = (int64_t)take(&in, 7) - (INT64_C(1) << 55);
  const int64_t rate_q64 = (int64_t)take(&in, 7) - (INT64_C(1) << 55);
  const size_t split = take(&in, 2);
  const size_t a_count = split % (in.left + 1), b_count = in.left - a_count;
  int64_t *a = times(&in, a_count, shift), *b = times(&in, b_count, shift);
  uint8_t *codes = room(a_count, 1);
  for (size_t i = 0; i < a_count; i++) codes[i] = (uint8_t)(i % 251);
  const size_t most = (a_count < b_count ? a_count : b_count) + QKD_MATCH_SPARE;
  const int64_t counted_ps = window_ps % 5000; /* residuals are counted in an array of twice that */
  int64_t *indices[2] = {room(3 * most, 8), room(3 * most, 8)};
  uint8_t *kept[2] = {room(most, 1), room(most, 1)};
  uint32_t *residuals[2] = {room(10001, 4), room(10001, 4)};
  uint64_t ambiguous[2];
  size_t pairs[2], inside[2];
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    const int which = tier > 0;
    int64_t *at = indices[which];
    pairs[which] = qkd_match(tier, a, a_count, b, b_count, origin_ps, offset_ps, rate_q64,
                             window_ps, at, at + most, &ambiguous[which]);
    require(pairs[which] <= most - QKD_MATCH_SPARE);
    inside[which] = qkd_match_slice(tier, a, codes, a_count, b, b_count, origin_ps, offset_ps,
                                    rate_q64, counted_ps, INT64_C(1) << shift, INT64_C(1) << 45, 5,
                                    9, at + 2 * most, kept[which], residuals[which]);
    if (which == 0) continue;
    require(pairs[0] == pairs[1] && ambiguous[0] == ambiguous[1] && inside[0] == inside[1]);
    require(memcmp(indices[0], indices[1], 8 * pairs[0]) == 0);
    require(memcmp(indices[0] + most, indices[1] + most, 8 * pairs[0]) == 0);
    require(memcmp(indices[0] + 2 * most, indices[1] + 2 * most, 8 * inside[0]) == 0);
    require(memcmp(kept[0], kept[1], inside[0]) == 0);
    require(memcmp(residuals[0], residuals[1], 4 * (2 * (size_t)counted_ps + 1)) == 0);
  }
  for (int i = 0; i < 2; i++) {
    free(residuals[i]);
    free(kept[i]);
    free(indices[i]);
  }
  free(codes);
  free(a);
  free(b);
  return 0;
}
