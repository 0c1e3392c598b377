/* What the C tests share. */
#ifndef QKD_TEST_H
#define QKD_TEST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How many failures that is: says what failed. */
static inline int check(int condition, const char *what) {
  if (!condition) fprintf(stderr, "failed: %s\n", what);
  return condition ? 0 : 1;
}

/* The next of the words that follow from a seed (Steele, Lea and Flood, OOPSLA '14). */
static inline uint64_t splitmix64(uint64_t *state) {
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

#endif
