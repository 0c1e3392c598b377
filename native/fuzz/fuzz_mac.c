/* The polynomial hash: any length, any cut, every tier alike. */
#include "fuzz.h"

#include "mac.h"
#include "tier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  uint8_t key[16], state[16];
  for (size_t i = 0; i < 16; i++) key[i] = (uint8_t)take(&in, 1);
  for (size_t i = 0; i < 16; i++) state[i] = (uint8_t)take(&in, 1);
  const uint64_t message_bytes = take(&in, 8);
  const size_t drop = take(&in, 1) % 8;
  uint8_t *bytes = rest(&in);
  const size_t bits = 8 * in.left > drop ? 8 * in.left - drop : 0;
  const size_t frame_bits = 1 + message_bytes % (bits + 1);
  const size_t frames = (bits + frame_bits - 1) / frame_bits;
  uint8_t *portable = room(frames + 2, 16);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint8_t *digests = room(frames + 2, 16);
    memcpy(digests, state, 16);
    qkd_poly_absorb(digests, key, bytes, in.left / 16, tier);
    qkd_poly_finish(digests + 16, state, key, bytes, in.left, message_bytes, tier);
    /* At most a few hundred frames: each takes several products. */
    if (frames < 256) qkd_poly_frames(digests + 32, key, bytes, bits, frame_bits, tier);
    if (tier == 0) memcpy(portable, digests, 16 * (frames + 2));
    require(memcmp(portable, digests, 16 * (frames + 2)) == 0);
    free(digests);
  }
  free(portable);
  free(bytes);
  return 0;
}
