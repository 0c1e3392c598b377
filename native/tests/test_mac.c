/* The polynomial hash against hand-computed products. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mac.h"

static int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

int main(void) {
  int failures = 0;
  uint8_t key[16] = {2}; /* x */
  uint8_t block[16] = {0};
  uint8_t state[16] = {0};

  block[0] = 1;
  qkd_poly_absorb(state, key, block, 1);
  failures += check(state[0] == 2, "1 * x = x");

  memset(state, 0, sizeof state);
  memset(block, 0, sizeof block);
  block[15] = 0x80; /* x^127 */
  qkd_poly_absorb(state, key, block, 1);
  failures += check(state[0] == 0x87 && state[15] == 0, "x^127 * x = x^7 + x^2 + x + 1");
  return failures;
}
