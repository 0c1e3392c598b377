/* Basis sift. What is kept and what is not takes the same time: no branch looks at a bit, and
 * those on bases follow what both ends have announced. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sifting_impl.h"

static unsigned basis_of(uint8_t code) { return (code & 2u) >> 1; }

static unsigned peer_basis(const uint8_t *peer_bases, size_t i) {
  return (unsigned)peer_bases[i / 8] >> i % 8 & 1u;
}

void qkd_sift_bases(int tier, const uint8_t *codes, size_t count, uint8_t *bases) {
  size_t i = 0;
#if defined(__x86_64__)
  if (tier) i = (tier > 1 ? qkd_sift_bases_avx512 : qkd_sift_bases_avx2)(codes, count, bases);
#else
  (void)tier;
#endif
  for (; i < count; i += 8) {
    unsigned byte = 0;
    for (size_t bit = 0; bit < 8 && i + bit < count; bit++) byte |= basis_of(codes[i + bit]) << bit;
    bases[i / 8] = (uint8_t)byte;
  }
}

void qkd_sift(int tier, const uint8_t *codes, const uint8_t *peer_bases, size_t count, uint8_t *z,
              uint8_t *x, size_t kept[2]) {
  size_t i = 0;
  kept[0] = kept[1] = 0;
#if defined(__x86_64__)
  if (tier)
    i = (tier > 1 ? qkd_sift_avx512 : qkd_sift_avx2)(codes, peer_bases, count, z, x, kept);
#else
  (void)tier;
#endif
  size_t in_z = kept[0], in_x = kept[1];
  for (; i < count; i++) {
    const unsigned own = basis_of(codes[i]), agree = own ^ peer_basis(peer_bases, i) ^ 1u;
    const unsigned keep_z = agree & ~own, keep_x = agree & own;
    z[in_z] = (uint8_t)(codes[i] & keep_z);
    x[in_x] = (uint8_t)(codes[i] & keep_x);
    in_z += keep_z;
    in_x += keep_x;
  }
  kept[0] = in_z;
  kept[1] = in_x;
}

void qkd_sift_packed(int tier, const uint8_t *codes, const uint8_t *peer_bases, size_t count,
                     uint8_t *z, uint8_t *x, size_t kept[2]) {
  qkd_sifted string[2] = {{z, 0, 0}, {x, 0, 0}};
  size_t i = 0;
#if defined(__x86_64__)
  if (tier)
    i = (tier > 1 ? qkd_sift_packed_avx512 : qkd_sift_packed_avx2)(codes, peer_bases, count,
                                                                  &string[0], &string[1]);
#else
  (void)tier;
#endif
  for (; i < count; i++) {
    const unsigned own = basis_of(codes[i]), agree = own ^ peer_basis(peer_bases, i) ^ 1u;
    qkd_sifted_append(&string[own], codes[i] & agree, agree);
  }
  for (int basis = 0; basis < 2; basis++) {
    kept[basis] = string[basis].count;
    qkd_sifted_store(&string[basis], string[basis].pending, (kept[basis] % WORD + 7) / 8);
  }
}

int qkd_sift_take(const uint8_t *codes, size_t codes_count, const int64_t *indices, size_t count,
                  uint8_t *taken) {
  for (size_t i = 0; i < count; i++) {
    const uint64_t at = (uint64_t)indices[i];
    if (at >= codes_count) return -1;
    taken[i] = codes[at];
  }
  return 0;
}

int qkd_sift_drop(const uint8_t *codes, size_t codes_count, const int64_t *dropped,
                  size_t dropped_count, uint8_t *kept) {
  if (dropped_count > codes_count) return -1;
  const size_t kept_count = codes_count - dropped_count;
  size_t from = 0;
  for (size_t i = 0; i < dropped_count; i++) {
    const uint64_t at = (uint64_t)dropped[i];
    /* As many must still fit behind it as follow: so never more is kept than there is room for. */
    if (at < from || at > kept_count + i) return -1;
    memcpy(kept, codes + from, at - from);
    kept += at - from;
    from = at + 1;
  }
  memcpy(kept, codes + from, codes_count - from);
  return 0;
}
