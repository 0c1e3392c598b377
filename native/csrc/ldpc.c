/* Syndromes of quasi-cyclic LDPC codes, and their decoder. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bits_impl.h"
#include "ldpc_impl.h"

/* A posterior that no message outweighs. */
enum { CERTAIN = 1 << 14 };

static const uint8_t correction[16] = LDPC_CORRECTION;

size_t qkd_ldpc_posteriors(const qkd_ldpc_code *code) {
  return (size_t)code->columns * (code->size + LDPC_PAD);
}

size_t qkd_ldpc_messages(const qkd_ldpc_code *code) {
  return ((size_t)code->row_start[code->rows] + code->rows) * code->size;
}

/* 64 bits of a string that goes on with zeros. */
static uint64_t word_at(const uint64_t *bits, size_t words, size_t at) {
  return at < words ? bits[at] : 0;
}

/* Sixty-four checks at a time: the bits they take from a column are neighbours, but for the wrap. */
void qkd_ldpc_syndrome(const qkd_ldpc_code *code, const uint64_t *bits, size_t count,
                       uint64_t *syndrome) {
  const size_t size = code->size / WORD_BITS, words = qkd_bits_words(count);
  memset(syndrome, 0, code->rows * size * sizeof *syndrome);
  for (uint32_t r = 0; r < code->rows; r++, syndrome += size) {
    for (uint32_t e = code->row_start[r]; e < code->row_start[r + 1]; e++) {
      const size_t column = code->edges[e].column * size;
      const unsigned shift = code->edges[e].shift % WORD_BITS;
      size_t from = code->edges[e].shift / WORD_BITS;
      uint64_t low = word_at(bits, words, column + from);
      for (size_t w = 0; w < size; w++) {
        if (++from == size) from = 0;
        const uint64_t high = word_at(bits, words, column + from);
        syndrome[w] ^= low >> shift | high << 1 << (WORD_BITS - 1 - shift);
        low = high;
      }
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

/* Packed bits, one a byte. */
static void spread(const uint64_t *bits, size_t count, uint8_t *bytes) {
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t eight = qkd_bits_spread((uint8_t)(bits[i / WORD_BITS] >> i % WORD_BITS));
    memcpy(bytes + i, &eight, sizeof eight);
  }
}

static void begin(const qkd_ldpc_code *code, const uint64_t *bits, size_t count, int reliability,
                  int16_t *posteriors) {
  const size_t size = code->size, words = qkd_bits_words(count);
  for (uint32_t c = 0; c < code->columns; c++) {
    int16_t *column = qkd_ldpc_column(code, posteriors, c);
    for (size_t k = 0; k < size; k += WORD_BITS) {
      const size_t at = c * size + k, left = count > at ? count - at : 0;
      const uint64_t word = word_at(bits, words, at / WORD_BITS);
      uint8_t byte[WORD_BITS];
      spread(&word, WORD_BITS, byte);
      for (size_t i = 0; i < WORD_BITS; i++)
        column[k + i] = (int16_t)(LDPC_BIAS + reliability - 2 * reliability * byte[i]);
      for (size_t i = left; i < WORD_BITS; i++) column[k + i] = LDPC_BIAS + CERTAIN;
    }
    memcpy(column + size, column, LDPC_PAD * sizeof *column);
  }
}

static void write_bits(const qkd_ldpc_code *code, int16_t *posteriors, size_t count,
                       uint64_t *bits) {
  for (size_t at = 0; at < count; at += WORD_BITS) {
    const uint32_t c = (uint32_t)(at / code->size);
    const int16_t *column = qkd_ldpc_column(code, posteriors, c) + at % code->size;
    uint8_t byte[WORD_BITS];
    uint64_t word = 0;
    for (size_t i = 0; i < WORD_BITS; i++) byte[i] = column[i] < LDPC_BIAS;
    for (size_t i = 0; i < WORD_BITS; i += 8) {
      uint64_t eight;
      memcpy(&eight, byte + i, sizeof eight);
      word |= (uint64_t)qkd_bits_gather(eight) << i;
    }
    bits[at / WORD_BITS] = word;
  }
}

int qkd_ldpc_decode(int tier, const qkd_ldpc_code *code, const uint64_t *syndrome, uint64_t *bits,
                    size_t count, int reliability, int iterations, int16_t *posteriors,
                    uint8_t *messages) {
#if defined(__x86_64__)
  qkd_ldpc_layer *const layers[] = {layer_portable, qkd_ldpc_layer_avx2, qkd_ldpc_layer_avx512};
  qkd_ldpc_layer *const layer = layers[tier];
#else
  qkd_ldpc_layer *const layer = layer_portable;
  (void)tier;
#endif
  const size_t rows = code->rows, size = code->size;
  uint8_t *signs = messages + code->row_start[rows] * size;
  begin(code, bits, count, reliability, posteriors);
  memset(messages, LDPC_BIAS, code->row_start[rows] * size);
  spread(syndrome, rows * size, signs);
  for (int done = 0;; done++) {
    if (satisfied(code, signs, posteriors)) {
      write_bits(code, posteriors, count, bits);
      return done;
    }
    if (done == iterations) return -1;
    for (uint32_t r = 0; r < rows; r++) layer(code, r, signs + r * size, posteriors, messages);
  }
}
