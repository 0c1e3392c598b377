/* What the versions of the matcher share.
 *
 * The vector versions sieve: they find the detections with some partner within the window, a small
 * share of all, and the pairing rule is then applied to those alone, which changes nothing: a
 * detection without a partner is nobody's partner.
 */
#ifndef QKD_MATCHING_IMPL_H
#define QKD_MATCHING_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "matching.h"

enum { SIEVE_ROOM = 1024, SIEVE_LANES = 8 };

/* Where a sieve stands: before a[i] and b[j], all is done. It compares a block of a's with a block
 * of b's, all with all, and then leaves behind those whose every possible partner has been in
 * sight: an a more than a window before the last b of the block, and the converse. Of those it
 * lists the ones that have had a partner. */
typedef struct {
  size_t i, j;
  uint64_t seen_a, seen_b; /* from a[i] and b[j] on, whether a partner was seen */
  size_t listed_a, listed_b;
} qkd_sieve_place;

typedef struct {
  const int64_t *a, *b;
  size_t a_count, b_count;
  int64_t shift_ps, window_ps;
  qkd_sieve_place at;
  int64_t list_a[SIEVE_ROOM + 2 * SIEVE_LANES], list_b[SIEVE_ROOM + 2 * SIEVE_LANES];
} qkd_sieve;

static inline int qkd_sieve_ended(const qkd_sieve *sieve) {
  return sieve->at.i >= sieve->a_count || sieve->at.j >= sieve->b_count;
}

/* Takes a sieve on by steps of blocks of lanes, and at the end lists those still in sight. In a
 * whole step both blocks are full. Inlined, as are the step and the list that it is given. */
static inline __attribute__((always_inline)) void qkd_sieve_run(
    qkd_sieve *sieve, size_t lanes,
    qkd_sieve_place (*step)(qkd_sieve *restrict, qkd_sieve_place, int whole),
    size_t (*list)(int64_t *at, size_t first, uint64_t marked)) {
  const size_t whole_a = sieve->a_count < lanes ? 0 : sieve->a_count - lanes + 1;
  const size_t whole_b = sieve->b_count < lanes ? 0 : sieve->b_count - lanes + 1;
  qkd_sieve_place at = sieve->at;
  while (at.listed_a < SIEVE_ROOM && at.listed_b < SIEVE_ROOM && at.i < whole_a && at.j < whole_b)
    at = step(sieve, at, 1);
  while (at.listed_a < SIEVE_ROOM && at.listed_b < SIEVE_ROOM && at.i < sieve->a_count &&
         at.j < sieve->b_count)
    at = step(sieve, at, 0);
  if (at.i >= sieve->a_count || at.j >= sieve->b_count) {
    at.listed_a += list(sieve->list_a + at.listed_a, at.i, at.seen_a);
    at.listed_b += list(sieve->list_b + at.listed_b, at.j, at.seen_b);
  }
  sieve->at = at;
}

/* Goes on until a list is full or the end is reached. */
void qkd_sieve_avx512(qkd_sieve *sieve);
void qkd_sieve_avx2(qkd_sieve *sieve);

#endif
