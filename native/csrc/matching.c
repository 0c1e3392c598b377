/* Coincidences of two sorted time lists.
 *
 * Three common rules (greedy, nearest, all pairs) give three different counts. The rule here is
 * symmetric and keeps no pair that could have been another one: a pair is two detections that are
 * each other's only partner within the window.
 */
#include <stddef.h>
#include <stdint.h>

#include "matching.h"

size_t qkd_match(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                 int64_t shift_ps, int64_t window_ps, int64_t *ia, int64_t *ib,
                 uint64_t *ambiguous) {
  size_t pairs = 0;
  size_t j = 0;
  uint64_t undecided = 0;
  for (size_t i = 0; i < a_count; i++) {
    const int64_t low = a[i] - shift_ps - window_ps;
    const int64_t high = a[i] - shift_ps + window_ps;
    while (j < b_count && b[j] < low) j++;
    if (j == b_count) break;
    if (b[j] > high) continue;
    const int64_t mirrored = b[j] + shift_ps;
    const int second_b = j + 1 < b_count && b[j + 1] <= high;
    const int earlier_a = i > 0 && mirrored - a[i - 1] <= window_ps;
    const int later_a = i + 1 < a_count && a[i + 1] - mirrored <= window_ps;
    if (second_b || earlier_a || later_a) {
      undecided++;
      continue;
    }
    if (ia) {
      ia[pairs] = (int64_t)i;
      ib[pairs] = (int64_t)j;
    }
    pairs++;
  }
  *ambiguous = undecided;
  return pairs;
}

size_t qkd_pair_differences(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                            int64_t low_ps, int64_t high_ps, int64_t *ia, int64_t *differences,
                            size_t capacity) {
  size_t written = 0;
  size_t begin = 0;
  for (size_t i = 0; i < a_count; i++) {
    while (begin < b_count && b[begin] - a[i] < low_ps) begin++;
    for (size_t j = begin; j < b_count && b[j] - a[i] < high_ps; j++) {
      if (written == capacity) return written;
      ia[written] = (int64_t)i;
      differences[written++] = b[j] - a[i];
    }
  }
  return written;
}
