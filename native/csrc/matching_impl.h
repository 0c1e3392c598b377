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

/* Goes on until a list is full or the end is reached. */
void qkd_sieve_avx512(qkd_sieve *sieve);
void qkd_sieve_avx2(qkd_sieve *sieve);

#endif
