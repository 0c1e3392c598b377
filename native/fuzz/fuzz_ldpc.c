/* LDPC with a hostile peer: parities of the string, or of nothing; codes of any shape; every tier
 * alike. */
#include "fuzz.h"

#include "ldpc.h"
#include "tier.h"

enum { ROWS = 5, COLUMNS = 128, MAX_SIZE = 256, STEP = 128 };

static uint8_t *take_bits(input *in, size_t count) {
  uint8_t *bits = room(count, 1);
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t byte = take(in, 1);
    for (size_t j = i; j < count && j < i + 8; j++) bits[j] = byte >> (j - i) & 1;
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
  qkd_ldpc_code code = {1 + (uint32_t)take(&in, 1) % ROWS, 1 + (uint32_t)take(&in, 1) % COLUMNS,
                        STEP * (1 + (uint32_t)take(&in, 1) % (MAX_SIZE / STEP)), row_start, NULL};
  take_code(&in, &code, row_start, all);
  qkd_ldpc_edge *edges = room(row_start[code.rows], sizeof *edges);
  memcpy(edges, all, row_start[code.rows] * sizeof *edges);
  code.edges = edges;
  const size_t length = (size_t)code.columns * code.size, checks = (size_t)code.rows * code.size;
  const size_t unknown = take(&in, 2) % (length + 1);
  const int reliability = 1 + (int)(take(&in, 1) % 127), iterations = (int)(take(&in, 1) % 8);
  uint8_t *noise = take_bits(&in, honest ? unknown / 16 : 0);
  uint8_t *told = take_bits(&in, checks), *truth = take_bits(&in, length);
  if (honest) qkd_ldpc_syndrome(&code, truth, told);
  for (size_t i = 0; honest && i < unknown / 16; i++) truth[16 * i] ^= noise[i];

  int verdict = 0;
  uint8_t *portable = room(length, 1), *syndrome = room(checks, 1);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    int16_t *posteriors = room(qkd_ldpc_posteriors(&code), sizeof *posteriors);
    uint8_t *messages = room(qkd_ldpc_messages(&code), 1), *bits = room(length, 1);
    memcpy(bits, truth, length);
    const int done = qkd_ldpc_decode(tier, &code, told, bits, unknown, reliability, iterations,
                                     posteriors, messages);
    require(done >= -1 && done <= iterations);
    if (tier == 0) {
      verdict = done;
      memcpy(portable, bits, length);
    }
    require(done == verdict && memcmp(portable, bits, length) == 0);
    if (done >= 0) {
      qkd_ldpc_syndrome(&code, bits, syndrome);
      require(memcmp(syndrome, told, checks) == 0);
    } else {
      require(memcmp(bits, truth, length) == 0);
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
