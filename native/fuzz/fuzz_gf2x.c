/* Windows of products over GF(2): any lengths, every tier alike. */
#include "fuzz.h"

#include "gf2x.h"
#include "tier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const size_t a_words = take(&in, 1), b_words = take(&in, 1), all = a_words + b_words;
  const size_t first = take(&in, 2) % (all + 1), count = take(&in, 2) % (all - first + 1);
  const size_t first_bit = take(&in, 2), bit_count = take(&in, 2);
  uint64_t *a = room(a_words, 8), *b = room(b_words, 8);
  for (size_t i = 0; i < a_words; i++) a[i] = take(&in, 8);
  for (size_t i = 0; i < b_words; i++) b[i] = take(&in, 8);
  uint64_t *portable = room(count, 8);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint64_t *window = room(count, 8);
    uint64_t *scratch = room(qkd_gf2x_scratch_words(count, a_words, b_words), 8);
    qkd_gf2x_window(window, first, count, a, a_words, b, b_words, scratch, tier);
    if (tier == 0) memcpy(portable, window, 8 * count);
    require(memcmp(portable, window, 8 * count) == 0);
    free(scratch);
    free(window);
  }
  uint8_t *bytes = room((bit_count + 7) / 8, 1);
  qkd_gf2x_extract(bytes, portable, count, first_bit, bit_count);
  free(bytes);
  free(portable);
  free(a);
  free(b);
  return 0;
}
