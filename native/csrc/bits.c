/* Strings of bits, 64 a word. Addresses and branches follow the public indices alone. */
#include "bits_impl.h"
#include "wipe.h"

static size_t differ_portable(const uint64_t *a, const uint64_t *b, size_t words) {
  size_t count = 0;
  for (size_t i = 0; i < words; i++) count += qkd_bits_count(a[i] ^ b[i]);
  return count;
}

static void keep_portable(uint64_t *bits, size_t count, const int64_t *listed,
                          size_t listed_count, int listed_kept) {
  const size_t words = qkd_bits_words(count);
  qkd_bits_writer kept = {bits, 0, 0};
  for (size_t word = 0, next = 0; word < words; word++) {
    const uint64_t found = qkd_bits_mask(listed, listed_count, &next, word);
    const uint64_t mask = (listed_kept ? found : ~found) & qkd_bits_within(count, word);
    qkd_bits_append(&kept, qkd_bits_extract(bits[word], mask), qkd_bits_count(mask));
  }
  qkd_bits_end(&kept, bits + words);
}

size_t qkd_bits_differ(int tier, const uint64_t *a, const uint64_t *b, size_t words) {
#if defined(__x86_64__)
  if (tier > 0) return qkd_bits_differ_avx2(a, b, words);
#else
  (void)tier;
#endif
  return differ_portable(a, b, words);
}

int qkd_bits_keep(int tier, uint64_t *bits, size_t count, const int64_t *listed,
                  size_t listed_count, int listed_kept) {
  for (size_t i = 0; i < listed_count; i++) {
    if ((uint64_t)listed[i] >= count || (i > 0 && listed[i] <= listed[i - 1])) return -1;
  }
#if defined(__x86_64__)
  if (tier > 0) {
    qkd_bits_keep_avx2(bits, count, listed, listed_count, listed_kept);
    return 0;
  }
#else
  (void)tier;
#endif
  keep_portable(bits, count, listed, listed_count, listed_kept);
  return 0;
}

void qkd_bits_wipe(uint64_t *words, size_t count) {
  qkd_wipe(words, count * sizeof *words);
}
