/* Codes at random: errors are found, and every version says the same, found or not. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ldpc.h"
#include "test.h"
#include "tier.h"

enum { ROWS = 24, COLUMNS = 127, WEIGHT = 3, MAX_SIZE = 384 };

static uint64_t seed = 1;

/* Row 0 has every column; each column has two more, in the rows with the fewest. */
static void draw(qkd_ldpc_code *code, uint32_t *row_start, qkd_ldpc_edge *edges) {
  static uint8_t has[ROWS][COLUMNS];
  uint32_t weight[ROWS] = {0};
  memset(has, 0, sizeof has);
  for (uint32_t c = 0; c < code->columns; c++) {
    has[0][c] = 1;
    for (int i = 1; i < WEIGHT; i++) {
      uint32_t best = 0;
      for (uint32_t r = 1; r < ROWS; r++)
        if (!has[r][c] && (!best || weight[r] < weight[best])) best = r;
      has[best][c] = 1;
      weight[best]++;
    }
  }
  uint32_t count = 0;
  for (uint32_t r = 0; r < ROWS; r++) {
    row_start[r] = count;
    for (uint32_t c = 0; c < code->columns; c++) {
      if (!has[r][c]) continue;
      const uint32_t any = (uint32_t)splitmix64(&seed) % code->size;
      const uint32_t shift = c == 5 ? 0 : c == 6 ? code->size - 1 : any;
      edges[count++] = (qkd_ldpc_edge){(uint16_t)c, (uint16_t)shift};
    }
  }
  row_start[ROWS] = count;
}

static unsigned bit_of(const uint64_t *words, size_t i) { return words[i / 64] >> i % 64 & 1; }

static int naive_syndrome(const qkd_ldpc_code *code, const uint64_t *bits,
                          const uint64_t *syndrome) {
  for (uint32_t r = 0; r < code->rows; r++)
    for (uint32_t k = 0; k < code->size; k++) {
      unsigned odd = 0;
      for (uint32_t e = code->row_start[r]; e < code->row_start[r + 1]; e++)
        odd ^= bit_of(bits, code->edges[e].column * code->size +
                                (k + code->edges[e].shift) % code->size);
      if (odd != bit_of(syndrome, r * code->size + k)) return 0;
    }
  return 1;
}

int main(void) {
  static uint32_t row_start[ROWS + 1];
  static qkd_ldpc_edge edges[WEIGHT * COLUMNS];
  static uint64_t truth[COLUMNS * MAX_SIZE / 64], noisy[COLUMNS * MAX_SIZE / 64];
  static uint64_t mended[2][COLUMNS * MAX_SIZE / 64], syndrome[ROWS * MAX_SIZE / 64];
  int failures = 0, found = 0, unfound = 0;
  for (uint32_t trial = 0; trial < 24; trial++) {
    qkd_ldpc_code code = {ROWS, trial % 8 ? 40 : COLUMNS, 128 * (1 + trial % 3), row_start, edges};
    draw(&code, row_start, edges);
    const size_t length = (size_t)code.columns * code.size, known = trial % 5 ? 100 * trial : 0;
    int16_t *posteriors = malloc(qkd_ldpc_posteriors(&code) * sizeof *posteriors);
    uint8_t *messages = malloc(qkd_ldpc_messages(&code));
    if (!posteriors || !messages) return 1;
    const size_t count = length - known, bytes = length / 8;
    memset(truth, 0, bytes);
    memset(noisy, 0, bytes);
    for (size_t i = 0; i < count; i++) {
      const uint64_t bit = splitmix64(&seed) % 2, wrong = splitmix64(&seed) % 1000 < 4 + 4 * trial;
      truth[i / 64] |= bit << i % 64;
      noisy[i / 64] |= (bit ^ wrong) << i % 64;
    }
    qkd_ldpc_syndrome(&code, truth, count, syndrome);
    failures += check(naive_syndrome(&code, truth, syndrome), "the syndrome");
    for (int reliability = 1; reliability < 128; reliability += 21) {
      int done[2];
      for (int tier = 0; tier <= qkd_tier_best(); tier++) {
        uint64_t *bits = mended[tier > 0];
        memcpy(bits, noisy, bytes);
        done[tier > 0] = qkd_ldpc_decode(tier, &code, syndrome, bits, count, reliability,
                                         20, posteriors, messages);
        if (tier)
          failures += check(done[0] == done[1] && !memcmp(mended[0], mended[1], bytes), "tiers");
      }
      if (done[0] < 0) {
        unfound++;
        failures += check(!memcmp(mended[0], noisy, bytes), "left alone");
      } else {
        found += !memcmp(mended[0], truth, bytes);
        failures += check(naive_syndrome(&code, mended[0], syndrome), "has the syndrome");
      }
    }
    memcpy(mended[0], truth, bytes);
    failures += check(!qkd_ldpc_decode(0, &code, syndrome, mended[0], count, 20, 0, posteriors,
                                       messages), "no error, no iteration");
    free(posteriors);
    free(messages);
  }
  failures += check(found > 20 && unfound > 20, "some are found, some are too noisy");
  return failures;
}
