/* Delta coding against hand-made bytes, and hostile ones. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "deltas.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

int main(void) {
  int failures = 0;
  uint8_t bytes[64];
  int64_t back[4];

  const int64_t values[3] = {5, 133, INT64_MAX};
  const uint8_t head[3] = {0x05, 0x80, 0x01};
  const int64_t length = qkd_deltas_encode(values, 3, 0, bytes);
  failures += check(length == 12 && memcmp(bytes, head, 3) == 0, "coding");
  failures += check(qkd_deltas_decode(bytes, (size_t)length, 3, 0, back) == 0 &&
                        memcmp(values, back, sizeof values) == 0, "there and back");
  failures += check(qkd_deltas_decode(bytes, (size_t)length, 3, 1, back) == -1, "beyond int64");
  failures += check(qkd_deltas_decode(bytes, (size_t)length - 1, 3, 0, back) == -1, "cut short");
  failures += check(qkd_deltas_decode(bytes, (size_t)length, 2, 0, back) == -1, "left over");

  const int64_t falling[2] = {7, 6};
  failures += check(qkd_deltas_encode(falling, 2, 0, bytes) == -1, "falling");
  const int64_t wide[2] = {INT64_MIN, INT64_MAX};
  failures += check(qkd_deltas_encode(wide, 2, INT64_MIN, bytes) == -1, "too wide a step");
  const uint8_t padded[2] = {0x81, 0x00};
  failures += check(qkd_deltas_decode(padded, 2, 1, 0, back) == -1, "padded coding");
  uint8_t endless[16];
  memset(endless, 0xff, sizeof endless);
  failures += check(qkd_deltas_decode(endless, sizeof endless, 1, 0, back) == -1, "endless");
  return failures;
}
