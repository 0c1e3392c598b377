/* Delta-coded detections from the peer: every tier alike, and only what the coder writes. */
#include "fuzz.h"

#include "deltas.h"
#include "ticks.h"
#include "tier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const size_t count = take(&in, 2) % (size + 1);
  const int64_t start = (int64_t)take(&in, 6);
  uint8_t *bytes = rest(&in);
  int64_t *portable = room(count, sizeof *portable);
  const int verdict = qkd_deltas_decode(0, bytes, in.left, count, start, portable);
  for (int tier = 1; tier <= qkd_tier_best(); tier++) {
    int64_t *values = room(count, sizeof *values);
    require(qkd_deltas_decode(tier, bytes, in.left, count, start, values) == verdict);
    require(verdict != 0 || memcmp(values, portable, count * sizeof *values) == 0);
    free(values);
  }
  if (verdict == 0) {
    uint8_t *again = room(qkd_deltas_room(count), 1);
    require(qkd_deltas_encode(0, portable, count, start, again) == (int64_t)in.left);
    require(in.left == 0 || memcmp(again, bytes, in.left) == 0);
    free(again);
  }
  /* The same bytes as ticks, of which none may begin too far away. */
  const int64_t resolution = 1 + start % 1000, limit = INT64_C(1) << 40;
  const int late = verdict != 0 || (count > 0 && portable[count - 1] > limit / resolution);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    int64_t *times = room(count, sizeof *times);
    require((qkd_ticks_decode(tier, bytes, in.left, count, start, resolution, limit, times) != 0) ==
            late);
    for (size_t i = 0; !late && i < count; i++) require(times[i] == portable[i] * resolution);
    free(times);
  }
  free(portable);
  free(bytes);
  return 0;
}
