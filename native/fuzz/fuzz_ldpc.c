/* LDPC with a hostile peer: parities of the string, or of nothing; codes of any shape; every tier
 * alike. */
#include "fuzz.h"

#include "ldpc.h"
#include "tier.h"

enum { ROWS = 5, COLUMNS = 128, MAX_SIZE = 256, STEP = 128 };

static uint64_t *take_bits(input *in, size_t count) {
  uint64_t *bits = room((count + 63) / 64, 8);
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t byte = take(in, 1) & (count - i < 8 ? (1u << (count - i)) - 1 : 255u);
    bits[i / 64] |= byte << (i % 64);
  }
  return bits;
}

/* For each column of each row, whether it is there and by how much it is turned. */
static void take_code(input *in, qkd_ldpc_code *code, uint32_t *row_start, qkd_ldpc_edge *edges) {
  uint32_t count = 0;
  for (uint32_t r = 0; r < code->rows; r++) {
    row_start[r] = count;
    for (uint32_t c = 0; c < code->columns; c++) {
      const uint64_t turn = take(in, 1);
      if (turn % 4 == 3) continue;
      const uint16_t shift = (uint16_t)((turn + turn * turn / 2) % code->size);
      edges[count++] = (qkd_ldpc_edge){(uint16_t)c, shift};
    }
  }
  row_start[code->rows] = count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const int honest = take(&in, 1) % 2;
  uint32_t row_start[ROWS + 1];
  qkd_ldpc_edge all[ROWS * COLUMNS];
  qkd_ldpc_code code = {.row_start = row_start};
  code.rows = 1 + (uint32_t)take(&in, 1) % ROWS;
  code.columns = 1 + (uint32_t)take(&in, 1) % COLUMNS;
  code.size = STEP * (1 + (uint32_t)take(&in, 1) % (MAX_SIZE / STEP));
  take_code(&in, &code, row_start, all);
  qkd_ldpc_edge *edges = room(row_start[code.rows], sizeof *edges);
  memcpy(edges, all, row_start[code.rows] * sizeof *edges);
  code.edges = edges;
  const size_t checks = (size_t)code.rows * code.size;
  const size_t length = take(&in, 2) % ((size_t)code.columns * code.size + 1);
  const size_t words = (length + 63) / 64;
  const int reliability = 1 + (int)(take(&in, 1) % 127), iterations = (int)(take(&in, 1) % 8);
  uint64_t *noise = take_bits(&in, honest ? length / 16 : 0);
  uint64_t *told = take_bits(&in, checks), *truth = take_bits(&in, length);
  if (honest) qkd_ldpc_syndrome(&code, truth, length, told);
  for (size_t i = 0; honest && i < length / 16; i++)
    truth[16 * i / 64] ^= (noise[i / 64] >> (i % 64) & 1u) << (16 * i % 64);

  int verdict = 0;
  uint64_t *portable = room(words, 8), *syndrome = room(checks / 64, 8);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    int16_t *posteriors = room(qkd_ldpc_posteriors(&code), sizeof *posteriors);
    uint8_t *messages = room(qkd_ldpc_messages(&code), 1);
    uint64_t *bits = room(words, 8);
    memcpy(bits, truth, 8 * words);
    const int done = qkd_ldpc_decode(tier, &code, told, bits, length, reliability, iterations,
                                     posteriors, messages);
    require(done >= -1 && done <= iterations);
    if (tier == 0) {
      verdict = done;
      memcpy(portable, bits, 8 * words);
    }
    require(done == verdict && memcmp(portable, bits, 8 * words) == 0);
    if (done >= 0) {
      require(length % 64 == 0 || bits[words - 1] >> (length % 64) == 0);
      qkd_ldpc_syndrome(&code, bits, length, syndrome);
      require(memcmp(syndrome, told, checks / 8) == 0);
    } else {
      require(memcmp(bits, truth, 8 * words) == 0);
    }
    free(bits);
    free(messages);
    free(posteriors);
  }
  free(syndrome);
  free(portable);
  free(truth);
  free(told);
  free(noise);
  free(edges);
  return 0;
}
