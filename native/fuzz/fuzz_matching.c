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
  const int64_t shift_ps = (int64_t)take(&in, 4) - (INT64_C(1) << 31);
  const size_t a_count = take(&in, 2) % (in.left + 1), b_count = in.left - a_count;
  int64_t *a = times(&in, a_count, shift), *b = times(&in, b_count, shift);
  const size_t most = a_count < b_count ? a_count : b_count;
  int64_t *indices[2] = {room(2 * most, 8), room(2 * most, 8)};
  uint64_t ambiguous[2];
  const size_t pairs = qkd_match(0, a, a_count, b, b_count, shift_ps, window_ps, indices[0],
                                 indices[0] + most, &ambiguous[0]);
  require(pairs <= most);
  for (int tier = 1; tier <= qkd_tier_best(); tier++) {
    require(qkd_match(tier, a, a_count, b, b_count, shift_ps, window_ps, indices[1],
                      indices[1] + most, &ambiguous[1]) == pairs);
    require(ambiguous[0] == ambiguous[1]);
    require(memcmp(indices[0], indices[1], 8 * pairs) == 0);
    require(memcmp(indices[0] + most, indices[1] + most, 8 * pairs) == 0);
  }
  free(indices[0]);
  free(indices[1]);
  free(a);
  free(b);
  return 0;
}
