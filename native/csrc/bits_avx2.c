/* The same with BMI2 and POPCNT, a word at a time; AVX-512 runs these, too: the memory bounds both,
 * and no wider instruction extracts bits. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "bits_impl.h"


size_t qkd_bits_differ_avx2(const uint64_t *a, const uint64_t *b, size_t words) {
  size_t count = 0;
  for (size_t i = 0; i < words; i++) count += (size_t)_mm_popcnt_u64(a[i] ^ b[i]);
  return count;
}

void qkd_bits_keep_avx2(uint64_t *bits, size_t count, const int64_t *listed,
                        size_t listed_count, int listed_kept) {
  const size_t words = qkd_bits_words(count);
  qkd_bits_writer kept = {bits, 0, 0};
  for (size_t word = 0, next = 0; word < words; word++) {
    const uint64_t found = qkd_bits_mask(listed, listed_count, &next, word);
    const uint64_t mask = (listed_kept ? found : ~found) & qkd_bits_within(count, word);
    qkd_bits_append(&kept, _pext_u64(bits[word], mask), (unsigned)_mm_popcnt_u64(mask));
  }
  qkd_bits_end(&kept, bits + words);
}
#endif
