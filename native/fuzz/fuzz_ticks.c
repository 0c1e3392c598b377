/* Ticks of any times against their plain definition, coded and read again, every tier alike. */
#include "fuzz.h"

#include "deltas.h"
#include "ticks.h"
#include "tier.h"

static int64_t floor_of(int64_t time_ps, int64_t resolution_ps) {
  return time_ps / resolution_ps - (time_ps % resolution_ps < 0);
}

/* Times that may be coded: read again they are the beginnings of their ticks. */
static void there_and_back(int tier, const int64_t *times, size_t count, int64_t resolution_ps,
                           const int64_t *ticks) {
  const int64_t limit_ps = INT64_C(1) << 61;
  uint8_t *bytes = room(qkd_deltas_room(count), 1);
  int64_t first, *again = room(count, 8);
  const int64_t length = qkd_ticks_encode(tier, times, count, resolution_ps, &first, bytes);
  int falls = 0, far = 0;
  for (size_t i = 0; i < count; i++) {
    falls |= i > 0 && ticks[i] < ticks[i - 1];
    far |= ticks[i] > limit_ps / resolution_ps || ticks[i] < -(limit_ps / resolution_ps);
  }
  require(falls || far || length >= 0);
  if (falls) require(length < 0);
  if (length >= 0) {
    require(first == (count > 0 ? ticks[0] : 0));
    const int refused = qkd_ticks_decode(tier, bytes, (size_t)length, count, first, resolution_ps,
                                         limit_ps, again);
    require((refused != 0) == far);
    for (size_t i = 0; !refused && i < count; i++) require(again[i] == ticks[i] * resolution_ps);
  }
  free(again);
  free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  uint64_t drawn = take(&in, 8);
  drawn >>= 1 + take(&in, 1) % 63;
  const int64_t resolution_ps = drawn > 0 ? (int64_t)drawn : 1;
  const size_t bytes = 1 + take(&in, 1) % 8, count = in.left / bytes;
  const unsigned shift = (unsigned)take(&in, 1) % 57;
  const int summed = (int)take(&in, 1) % 2;
  int64_t *times = room(count, 8), *ticks = room(count, 8), *held = room(count, 8);
  uint64_t now = take(&in, 8);
  int falls = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t next = take(&in, bytes) << shift;
    times[i] = (int64_t)(now = summed ? now + next : next);
    falls |= i > 0 && times[i] < times[i - 1];
  }
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    qkd_ticks_of(tier, times, count, resolution_ps, ticks);
    for (size_t i = 0; i < count; i++) require(ticks[i] == floor_of(times[i], resolution_ps));
    there_and_back(tier, times, count, resolution_ps, ticks);
    require(qkd_ticks_copy(tier, times, count, held) == -falls);
    require(falls || count == 0 || memcmp(held, times, 8 * count) == 0);
  }
  free(held);
  free(ticks);
  free(times);
  return 0;
}
