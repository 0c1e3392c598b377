/* Syndromes of quasi-cyclic LDPC codes, and their decoder. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ldpc_impl.h"

/* A posterior that no message outweighs. */
enum { CERTAIN = 1 << 14 };

static const uint8_t correction[16] = LDPC_CORRECTION;

size_t qkd_ldpc_posteriors(const qkd_ldpc_code *code) {
  return (size_t)code->columns * (code->size + LDPC_PAD);
}

size_t qkd_ldpc_messages(const qkd_ldpc_code *code) {
  return (size_t)code->row_start[code->rows] * code->size;
}

void qkd_ldpc_syndrome(const qkd_ldpc_code *code, const uint8_t *bits, uint8_t *syndrome) {
  const size_t size = code->size;
  memset(syndrome, 0, code->rows * size);
  for (uint32_t r = 0; r < code->rows; r++) {
    uint8_t *restrict parities = syndrome + r * size;
    for (uint32_t e = code->row_start[r]; e < code->row_start[r + 1]; e++) {
      const size_t shift = code->edges[e].shift;
      const uint8_t *column = bits + code->edges[e].column * size;
      for (size_t k = 0; k < size - shift; k++) parities[k] ^= column[k + shift];
      for (size_t k = 0; k < shift; k++) parities[size - shift + k] ^= column[k];
    }
  }
}

static int box_plus(int a, int b) {
  const int low = a < b ? a : b, sum = a + b, apart = a < b ? b - a : a - b;
  const int both = low + (sum < 16 ? correction[sum] : 0) - (apart < 16 ? correction[apart] : 0);
  return both < 0 ? 0 : both;
}

static void layer_portable(const qkd_ldpc_code *code, uint32_t row, const uint8_t *signs,
                           int16_t *posteriors, uint8_t *messages) {
  const size_t size = code->size;
  const uint32_t first = code->row_start[row];
  const uint32_t degree = code->row_start[row + 1] - first;
  messages += first * size;
  for (size_t k = 0; k < size; k++) {
    int16_t *at[LDPC_MAX_ROW];
    int others[LDPC_MAX_ROW];
    int odd = signs[k], least = LDPC_FIRST, rest = LDPC_FIRST;
    uint32_t least_edge = degree;
    for (uint32_t e = 0; e < degree; e++) {
      const qkd_ldpc_edge edge = code->edges[first + e];
      at[e] = qkd_ldpc_column(code, posteriors, edge.column) +
              qkd_ldpc_place(k, edge.shift, size);
      others[e] = *at[e] - messages[e * size + k];
      odd ^= others[e] < 0;
      const int heard = others[e] > 127 ? 127 : others[e] < -128 ? 128 : others[e];
      const int reliability = heard < 0 ? -heard : heard;
      rest = box_plus(rest, reliability > least ? reliability : least);
      if (reliability < least) {
        least = reliability;
        least_edge = e;
      }
    }
    const int all = box_plus(rest, least);
    for (uint32_t e = 0; e < degree; e++) {
      const int told = e == least_edge ? rest : all;
      const int message = LDPC_BIAS + (odd ^ (others[e] < 0) ? -told : told);
      messages[e * size + k] = (uint8_t)message;
      *at[e] = (int16_t)(others[e] + message);
    }
  }
}

/* Whether the string that the posteriors favour has the syndrome. */
static int satisfied(const qkd_ldpc_code *code, const uint8_t *syndrome, int16_t *posteriors) {
  const size_t size = code->size;
  for (uint32_t r = 0; r < code->rows; r++) {
    for (size_t begin = 0; begin < size; begin += LDPC_STEP) {
      int16_t parities[LDPC_STEP], any = 0;
      for (size_t k = 0; k < LDPC_STEP; k++)
        parities[k] = (int16_t)-syndrome[r * size + begin + k];
      for (uint32_t e = code->row_start[r]; e < code->row_start[r + 1]; e++) {
        const size_t shift = code->edges[e].shift;
        const int16_t *column = qkd_ldpc_column(code, posteriors, code->edges[e].column);
        const size_t from = qkd_ldpc_place(begin, shift, size);
        const size_t whole = size - from < LDPC_STEP ? size - from : LDPC_STEP;
        for (size_t k = 0; k < whole; k++)
          parities[k] = (int16_t)(parities[k] ^ (column[from + k] - LDPC_BIAS));
        for (size_t k = whole; k < LDPC_STEP; k++)
          parities[k] = (int16_t)(parities[k] ^ (column[k - whole] - LDPC_BIAS));
      }
      for (size_t k = 0; k < LDPC_STEP; k++) any = (int16_t)(any | parities[k]);
      if (any < 0) return 0;
    }
  }
  return 1;
}

static void begin(const qkd_ldpc_code *code, const uint8_t *bits, size_t unknown, int reliability,
                  int16_t *posteriors) {
  const size_t size = code->size;
  for (uint32_t c = 0; c < code->columns; c++) {
    int16_t *column = qkd_ldpc_column(code, posteriors, c);
    const uint8_t *of_column = bits + c * size;
    const size_t left = unknown > c * size ? unknown - c * size : 0;
    const size_t guessed = left < size ? left : size;
    for (size_t k = 0; k < guessed; k++)
      column[k] = (int16_t)(LDPC_BIAS + reliability - 2 * reliability * of_column[k]);
    for (size_t k = guessed; k < size; k++)
      column[k] = (int16_t)(LDPC_BIAS + CERTAIN - 2 * CERTAIN * of_column[k]);
    memcpy(column + size, column, LDPC_PAD * sizeof *column);
  }
}

static void write_bits(const qkd_ldpc_code *code, int16_t *posteriors, uint8_t *bits) {
  for (uint32_t c = 0; c < code->columns; c++) {
    const int16_t *column = qkd_ldpc_column(code, posteriors, c);
    for (size_t k = 0; k < code->size; k++) bits[c * code->size + k] = column[k] < LDPC_BIAS;
  }
}

int qkd_ldpc_decode(int tier, const qkd_ldpc_code *code, const uint8_t *syndrome, uint8_t *bits,
                    size_t unknown, int reliability, int iterations, int16_t *posteriors,
                    uint8_t *messages) {
#if defined(__x86_64__)
  qkd_ldpc_layer *const layers[] = {layer_portable, qkd_ldpc_layer_avx2, qkd_ldpc_layer_avx512};
  qkd_ldpc_layer *const layer = layers[tier];
#else
  qkd_ldpc_layer *const layer = layer_portable;
  (void)tier;
#endif
  begin(code, bits, unknown, reliability, posteriors);
  memset(messages, LDPC_BIAS, qkd_ldpc_messages(code));
  for (int done = 0;; done++) {
    if (satisfied(code, syndrome, posteriors)) {
      write_bits(code, posteriors, bits);
      return done;
    }
    if (done == iterations) return -1;
    for (uint32_t r = 0; r < code->rows; r++)
      layer(code, r, syndrome + (size_t)r * code->size, posteriors, messages);
  }
}
