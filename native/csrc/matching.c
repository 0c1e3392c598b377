/* Coincidences of two sorted time lists.
 *
 * Three common rules (greedy, nearest, all pairs) give three different counts. The rule here is
 * symmetric and keeps no pair that could have been another one: a pair is two detections that are
 * each other's only partner within the window.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "matching_impl.h"

typedef struct {
  int64_t *ia, *ib;
  size_t count;
} pairs_out;

static void write_pair(pairs_out *pairs, int64_t i, int64_t j) {
  if (pairs->ia) {
    pairs->ia[pairs->count] = i;
    pairs->ib[pairs->count] = j;
  }
  pairs->count++;
}

static size_t match_portable(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                             int64_t shift_ps, int64_t window_ps, pairs_out pairs,
                             uint64_t *ambiguous) {
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
    } else {
      write_pair(&pairs, (int64_t)i, (int64_t)j);
    }
  }
  *ambiguous = undecided;
  return pairs.count;
}

#if defined(__x86_64__)
/* Moves what is left of a list to its front, with the last entry decided, and returns its place. */
static size_t keep(int64_t *list, size_t *listed, size_t undecided) {
  const size_t from = undecided > 0 ? undecided - 1 : 0;
  *listed -= from;
  memmove(list, list + from, *listed * sizeof *list);
  return undecided - from;
}

/* The rule, on the detections that have some partner. Takes the earlier of the two at hand, or
 * both where they are a pair. */
static size_t match_sieved(int tier, const int64_t *a, size_t a_count, const int64_t *b,
                           size_t b_count, int64_t shift_ps, int64_t window_ps, pairs_out pairs,
                           uint64_t *ambiguous) {
  qkd_sieve sieve; /* its lists are left as they are */
  sieve.a = a;
  sieve.b = b;
  sieve.a_count = a_count;
  sieve.b_count = b_count;
  sieve.shift_ps = shift_ps;
  sieve.window_ps = window_ps;
  sieve.at = (qkd_sieve_place){0};
  const pairs_out untouched = pairs;
  uint64_t candidates = 0;
  size_t i = 0, j = 0;
  for (;;) {
    const size_t before = sieve.at.listed_a;
    (tier > 1 ? qkd_sieve_avx512 : qkd_sieve_avx2)(&sieve);
    candidates += sieve.at.listed_a - before;
    const int ended = qkd_sieve_ended(&sieve);
    const size_t count_a = sieve.at.listed_a, count_b = sieve.at.listed_b;
    /* Only at the end is there nobody after the last one listed. */
    while (ended ? i < count_a && j < count_b : i + 1 < count_a && j + 1 < count_b) {
      const int64_t time_a = a[sieve.list_a[i]];
      const int64_t time_b = b[sieve.list_b[j]] + shift_ps;
      const int64_t lag = time_b - time_a;
      if (lag > window_ps) {
        i++;
      } else if (lag < -window_ps) {
        j++;
      } else {
        const int alone =
            (i + 1 >= count_a || a[sieve.list_a[i + 1]] - time_b > window_ps) &&
            (j + 1 >= count_b || b[sieve.list_b[j + 1]] + shift_ps - time_a > window_ps) &&
            (i == 0 || time_b - a[sieve.list_a[i - 1]] > window_ps) &&
            (j == 0 || time_a - shift_ps - b[sieve.list_b[j - 1]] > window_ps);
        if (alone) write_pair(&pairs, sieve.list_a[i], sieve.list_b[j]);
        const int a_first = lag >= 0;
        i += (size_t)(alone | a_first);
        j += (size_t)(alone | !a_first);
      }
    }
    if (ended) break;
    i = keep(sieve.list_a, &sieve.at.listed_a, i);
    j = keep(sieve.list_b, &sieve.at.listed_b, j);
    /* So crowded that one detection has partners beyond the lists: not worth a sieve. */
    if (sieve.at.listed_a >= SIEVE_ROOM || sieve.at.listed_b >= SIEVE_ROOM)
      return match_portable(a, a_count, b, b_count, shift_ps, window_ps, untouched, ambiguous);
  }
  *ambiguous = candidates - (pairs.count - untouched.count);
  return pairs.count;
}
#endif

size_t qkd_match(int tier, const int64_t *a, size_t a_count, const int64_t *b, size_t b_count,
                 int64_t shift_ps, int64_t window_ps, int64_t *ia, int64_t *ib,
                 uint64_t *ambiguous) {
  const pairs_out pairs = {ia, ib, 0};
#if defined(__x86_64__)
  if (tier)
    return match_sieved(tier, a, a_count, b, b_count, shift_ps, window_ps, pairs, ambiguous);
#else
  (void)tier;
#endif
  return match_portable(a, a_count, b, b_count, shift_ps, window_ps, pairs, ambiguous);
}

size_t qkd_match_inside(const int64_t *restrict a, const uint8_t *restrict codes,
                        const int64_t *restrict b, const int64_t *restrict ia,
                        int64_t *restrict ib, size_t count, int64_t low_ps, int64_t high_ps,
                        int64_t first_b, int64_t least_b, uint8_t *restrict kept,
                        int64_t *restrict residuals_ps) {
  size_t written = 0;
  for (size_t k = 0; k < count; k++) {
    const int64_t time_a = a[ia[k]], time_b = b[ib[k]], counted = first_b + ib[k];
    ib[written] = counted;
    kept[written] = codes[ia[k]];
    residuals_ps[written] = time_a - time_b;
    written += time_a >= low_ps && time_a < high_ps && counted >= least_b;
  }
  return written;
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
