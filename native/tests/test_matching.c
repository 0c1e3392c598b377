/* The pairing rule by hand. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "matching.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

int main(void) {
  int failures = 0;
  int64_t ia[4], ib[4], differences[4];
  uint64_t ambiguous = 0;
  /* 100 has one partner; 200 has two; 300 and 304 share one; 400 has none. */
  const int64_t a[5] = {100, 200, 300, 304, 400};
  const int64_t b[4] = {105, 197, 203, 302};
  size_t pairs = qkd_match(a, 5, b, 4, 0, 5, ia, ib, &ambiguous);
  failures += check(pairs == 1 && ia[0] == 0 && ib[0] == 0, "one clean pair, at the very edge");
  failures += check(ambiguous == 3, "three ambiguous");
  pairs = qkd_match(a, 5, b, 4, -5, 0, NULL, NULL, &ambiguous);
  failures += check(pairs == 1, "a shift, counting only");
  pairs = qkd_pair_differences(a, 5, b, 4, -3, 5, ia, differences, 4);
  failures += check(pairs == 4 && ia[0] == 1 && differences[0] == -3 && differences[2] == 2 &&
                        differences[3] == -2, "half open range of differences");
  failures += check(qkd_pair_differences(a, 5, b, 4, -3, 6, ia, differences, 4) == 4, "capacity");
  failures += check(qkd_match(a, 0, b, 4, 0, 5, ia, ib, &ambiguous) == 0, "empty list");
  return failures;
}
