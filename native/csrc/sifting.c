/* Basis sift. What is kept and what is not takes the same time: no branch looks at a bit, and
 * those on bases follow what both ends have announced. */
#include "sifting_impl.h"

size_t qkd_sift_codes(int tier, uint8_t *codes, size_t count, uint64_t *bits, uint64_t *bases) {
  size_t i = 0, several = 0;
#if defined(__x86_64__)
  if (tier)
    i = (tier > 1 ? qkd_sift_codes_avx512 : qkd_sift_codes_avx2)(codes, count, bits, bases,
                                                                &several);
#else
  (void)tier;
#endif
  for (; i < count; i += WORD_BITS) {
    uint64_t bit_word = 0, basis_word = 0;
    for (size_t k = 0; k < WORD_BITS && i + k < count; k++) {
      const uint64_t code = codes[i + k];
      bit_word |= (code >> BIT & 1u) << k;
      basis_word |= (code >> BASIS & 1u) << k;
      several += code >> SEVERAL & 1u;
      codes[i + k] = 0;
    }
    bits[i / WORD_BITS] = bit_word;
    bases[i / WORD_BITS] = basis_word;
  }
  __asm__ volatile("" : : "r"(codes) : "memory"); /* so that no code is left */
  return several;
}

void qkd_sift(int tier, uint64_t *bits, uint64_t *bases, const uint8_t *peer_bases, size_t count,
              size_t kept[2]) {
  const size_t words = qkd_bits_words(count);
  qkd_bits_writer z = {bits, 0, 0}, x = {bases, 0, 0};
  size_t i = 0;
#if defined(__x86_64__)
  if (tier) i = qkd_sift_avx2(bits, bases, peer_bases, count, &z, &x);
#else
  (void)tier;
#endif
  /* Neither string gets ahead of what is read. */
  for (; i < count; i += WORD_BITS) {
    const size_t word = i / WORD_BITS, left = (count - i + 7) / 8;
    const uint64_t within = qkd_bits_within(count, word), bit = bits[word], own = bases[word];
    const uint64_t peer = qkd_sift_load(peer_bases + i / 8, left < 8 ? left : 8);
    const uint64_t keep_z = ~(own | peer) & within, keep_x = own & peer & within;
    qkd_bits_append(&z, qkd_bits_extract(bit, keep_z), qkd_bits_count(keep_z));
    qkd_bits_append(&x, qkd_bits_extract(bit, keep_x), qkd_bits_count(keep_x));
  }
  kept[0] = z.count;
  kept[1] = x.count;
  qkd_bits_end(&z, bits + words);
  qkd_bits_end(&x, bases + words);
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
