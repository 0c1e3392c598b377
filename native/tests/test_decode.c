/* Words laid out by hand against the decoders. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "decode.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

static void store32(uint8_t *bytes, uint32_t word) {
  for (size_t i = 0; i < 4; i++) bytes[i] = (uint8_t)(word >> (8 * i));
}

static int tdc1(void) {
  int failures = 0;
  uint8_t bytes[16];
  int64_t times[16];
  uint8_t channels[16];
  qkd_tdc1 state;

  memset(&state, 0, sizeof state);
  store32(bytes, (UINT32_C(134217727) << 5) | 1);
  store32(bytes + 4, (UINT32_C(2) << 5) | 0x10);
  store32(bytes + 8, (UINT32_C(4) << 5) | 0xA);
  store32(bytes + 12, (UINT32_C(3) << 5) | 4);
  size_t tags = qkd_tdc1_decode(&state, bytes, 6, times, channels);
  failures += check(tags == 1 && times[0] == 0 && channels[0] == 1, "one whole word of six bytes");
  tags = qkd_tdc1_decode(&state, bytes + 6, 10, times, channels);
  failures += check(tags == 3, "two bits are two tags, a dummy none");
  failures += check(times[0] == 10000 && times[1] == 10000, "wrap of the 27-bit counter");
  failures += check(channels[0] == 2 && channels[1] == 4, "channels of the pattern");
  failures += check(times[2] == 8000 && state.backward_steps == 1, "one step back");
  failures += check(state.words == 4 && state.dummies == 1 && state.implausible == 0, "counts");
  return failures;
}

static int t2(void) {
  int failures = 0;
  uint8_t bytes[12];
  int64_t ticks[3];
  uint8_t channels[3];
  qkd_t2 state;

  memset(&state, 0, sizeof state);
  store32(bytes, UINT32_C(0xFE000000)); /* overflow with count 0 means one */
  store32(bytes + 4, UINT32_C(0x80000005));
  store32(bytes + 8, UINT32_C(0x02000006));
  const size_t tags = qkd_t2_decode(&state, bytes, 3, 2, ticks, channels);
  failures += check(tags == 2 && state.overflow_records == 1, "T2 record kinds");
  failures += check(ticks[0] == 33554437 && channels[0] == 0, "T2 sync");
  failures += check(ticks[1] == 33554438 && channels[1] == 2, "T2 input");
  return failures;
}

int main(void) { return tdc1() + t2(); }
