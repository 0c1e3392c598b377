/* No branch and no address depends on a secret: run under valgrind, which is told that the secrets
 * are undefined and reports every jump and every address that is made of something undefined (A.
 * Langley's ctgrind). Elsewhere this only shows that the calls work. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif
#ifndef VALGRIND_MAKE_MEM_UNDEFINED
#define VALGRIND_MAKE_MEM_UNDEFINED(at, bytes) ((void)(at), (void)(bytes))
#define VALGRIND_MAKE_MEM_DEFINED(at, bytes) ((void)(at), (void)(bytes))
#endif

#include "bits.h"
#include "gf2x.h"
#include "mac.h"
#include "sifting.h"
#include "tier.h"

enum { BYTES = 1200, WORDS = 160 };

static void hide(void *secret, size_t bytes) {
  uint8_t *at = secret;
  for (size_t i = 0; i < bytes; i++) at[i] = (uint8_t)(i * 37 + 11);
  VALGRIND_MAKE_MEM_UNDEFINED(secret, bytes);
}

static int tags(int tier) {
  static uint8_t key[16], state[16], digest[16], message[BYTES], frames[16 * 8];
  hide(key, sizeof key);
  hide(state, sizeof state);
  hide(message, sizeof message);
  qkd_poly_absorb(state, key, message, BYTES / 16, tier);
  for (size_t bytes = 0; bytes < BYTES; bytes += 67)
    qkd_poly_finish(digest, state, key, message, bytes, BYTES, tier);
  qkd_poly_frames(frames, key, message, 8 * BYTES - 3, 8 * BYTES / 7, tier);
  VALGRIND_MAKE_MEM_DEFINED(digest, sizeof digest);
  VALGRIND_MAKE_MEM_DEFINED(frames, sizeof frames);
  return digest[0] == digest[1] && digest[1] == digest[2] && frames[16] == 0;
}

/* Lengths on either side of every threshold: the base case, Karatsuba, the transform. */
static int amplification(int tier) {
  static const size_t lengths[] = {1, 5, 24, 25, 64, 65, WORDS};
  static uint64_t a[WORDS], b[WORDS], window[2 * WORDS];
  static uint8_t hash[64];
  int failures = 0;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
      const size_t all = lengths[i] + lengths[j];
      uint64_t *scratch = calloc(qkd_gf2x_scratch_words(all, lengths[i], lengths[j]), 8);
      if (scratch == NULL) return 1;
      hide(a, sizeof a);
      hide(b, sizeof b);
      qkd_gf2x_window(window, 0, all, a, lengths[i], b, lengths[j], scratch, tier);
      qkd_gf2x_extract(hash, window, all, 3, 61);
      VALGRIND_MAKE_MEM_DEFINED(hash, sizeof hash);
      VALGRIND_MAKE_MEM_DEFINED(window, sizeof window);
      failures += window[all - 1] >> 63 != 0 || (hash[7] & 0xE0) != 0;
      free(scratch);
    }
  }
  return failures;
}

/* Bases are public once they are taken apart, as both ends tell them. */
static int strings(int tier) {
  enum { EVENTS = 64 * WORDS - 11 };
  static uint8_t codes[EVENTS], peer[8 * WORDS];
  static uint64_t bits[WORDS], bases[WORDS], other[WORDS];
  static const int64_t listed[] = {0, 3, 64, 65, 700};
  size_t kept[2];
  hide(codes, sizeof codes);
  hide(other, sizeof other);
  size_t several = qkd_sift_codes(tier, codes, EVENTS, bits, bases);
  VALGRIND_MAKE_MEM_DEFINED(&several, sizeof several);
  VALGRIND_MAKE_MEM_DEFINED(bases, sizeof bases);
  for (size_t i = 0; i < sizeof peer; i++) peer[i] = (uint8_t)(bases[i / 8] >> 8 * (i % 8));
  qkd_sift(tier, bits, bases, peer, EVENTS, kept);
  int failures = kept[0] + kept[1] != EVENTS || several > EVENTS;
  failures += qkd_bits_keep(tier, bits, kept[0], listed, 5, 0);
  failures += qkd_bits_keep(tier, bases, kept[1], listed, 5, 1);
  size_t differing = qkd_bits_differ(tier, bits, other, WORDS);
  VALGRIND_MAKE_MEM_DEFINED(&differing, sizeof differing);
  return failures + (differing > 64 * WORDS);
}

int main(void) {
  int failures = 0;
  for (int tier = 0; tier <= qkd_tier_best(); tier++)
    failures += tags(tier) + amplification(tier) + strings(tier);
  if (failures) fprintf(stderr, "failed: %d\n", failures);
  return failures != 0;
}
