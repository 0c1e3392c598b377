/* Ticks by hand: floors on both sides of zero, the way back, and order. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ticks.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

int main(void) {
  enum { COUNT = 8 };
  const int64_t times[COUNT] = {INT64_MIN, INT64_MIN + 1, -501, -500, -1, 0, 499, INT64_MAX};
  const int64_t resolutions[] = {1, 3, 500, INT64_C(1) << 52, INT64_MAX};
  int64_t ticks[COUNT];
  int failures = 0;
  for (size_t r = 0; r < sizeof resolutions / sizeof *resolutions; r++) {
    const int64_t resolution = resolutions[r];
    qkd_ticks_of(times, COUNT, resolution, ticks);
    for (size_t i = 0; i < COUNT; i++) {
      const int64_t wanted = times[i] / resolution - (times[i] % resolution < 0);
      failures += check(ticks[i] == wanted, "a tick is the floor");
    }
  }
  int64_t few[3] = {-2, 0, 7};
  qkd_ticks_times(few, 3, 500);
  failures += check(few[0] == -1000 && few[1] == 0 && few[2] == 3500, "a tick's beginning");
  failures += check(qkd_ticks_append(few, 3, -1000, ticks) == 0 && ticks[2] == 3500, "held");
  failures += check(qkd_ticks_append(few, 3, -999, ticks) == -1, "too early");
  few[1] = 4000;
  failures += check(qkd_ticks_append(few, 3, -1000, ticks) == -1, "a time that falls");
  failures += check(qkd_ticks_append(few, 0, 0, ticks) == 0, "nothing falls");
  return failures;
}
