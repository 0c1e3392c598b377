/* What the search's correlations multiply with, as search_transform.h takes it. */
#include <math.h>
#include <stddef.h>

#include "search_impl.h"

size_t qkd_search_scratch(int log2_size) {
  const search_shape shape = search_shape_of(log2_size);
  return 4 * shape.size + 4 * SEARCH_MOST_LANES * shape.columns;
}

/* As many as the nodes of a tree of fours whose leaves are the rows, or pairs of them. */
static size_t root_count(size_t rows) {
  size_t count = 0;
  for (size_t nodes = 1; nodes < rows; nodes *= 4) count += nodes;
  return count;
}

size_t qkd_search_tables_room(int log2_size) {
  const search_shape shape = search_shape_of(log2_size);
  return 2 * (shape.fine + shape.coarse) +
         sizeof(search_root) / sizeof(float) * root_count(shape.rows);
}

/* Split to so many nodes, X^n - i has X^(n / nodes) - r at each; the argument of r, in turns. */
static double argument_of(size_t node, size_t nodes) {
  double turns = 0.25;
  for (; nodes >= 4; node %= nodes) {
    nodes /= 4;
    turns = (turns + (double)(node / nodes)) / 4;
  }
  return nodes == 2 ? (turns + (double)node) / 2 : turns;
}

static void put_unit(double turns, float *re, float *im) {
  const double angle = 2 * 3.14159265358979323846 * turns;
  *re = (float)cos(angle);
  *im = (float)sin(angle);
}

void qkd_search_make_tables(int log2_size, float *tables) {
  const search_shape shape = search_shape_of(log2_size);
  float *const fine = tables, *const coarse = fine + 2 * shape.fine;
  const size_t blocks = shape.columns / SEARCH_TURNED;
  for (size_t r = 0; r < shape.rows; r++) {
    const double step = (argument_of(r, shape.rows) - 0.25) / (double)shape.columns;
    for (size_t i = 0; i < SEARCH_TURNED; i++) {
      float *const at = fine + r * SEARCH_TURNED + i;
      put_unit(step * (double)i, at, at + shape.fine);
    }
    for (size_t i = 0; i < blocks; i++) {
      float *const at = coarse + r * blocks + i;
      put_unit(step * (double)(i * SEARCH_TURNED), at, at + shape.coarse);
    }
  }
  search_root *root = (search_root *)(void *)(coarse + 2 * shape.coarse);
  for (size_t nodes = 1; nodes < shape.rows; nodes *= 4) {
    for (size_t node = 0; node < nodes; node++, root++) {
      for (int power = 1; power <= 3; power++)
        put_unit(argument_of(node, nodes) * power / 4, root->re + power - 1, root->im + power - 1);
    }
  }
}
