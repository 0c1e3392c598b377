/* Polynomial hash over GF(2^128), the universal hash of Wegman-Carter authentication.
 *
 * H_r(m_1 .. m_L) = m_1 r^L + m_2 r^(L-1) + .. + m_L r, in GF(2)[x] / (x^128 + x^7 + x^2 + x + 1),
 * bit i of byte j of a block being the coefficient of x^(8j+i). Two different messages of at most
 * L blocks collide with probability at most L / 2^128 over the choice of r (den Boer 1993;
 * Bierbrauer et al., CRYPTO '93). No branch and no address depends on the data or the key.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mac.h"
#include "mac_impl.h"
#include "wipe.h"

typedef struct {
  uint64_t lo, hi;
} element;

static element load(const uint8_t *bytes) {
  element e = {0, 0};
  for (size_t i = 0; i < 8; i++) {
    e.lo |= (uint64_t)bytes[i] << (8 * i);
    e.hi |= (uint64_t)bytes[8 + i] << (8 * i);
  }
  return e;
}

static void store(uint8_t *bytes, element e) {
  for (size_t i = 0; i < 8; i++) {
    bytes[i] = (uint8_t)(e.lo >> (8 * i));
    bytes[8 + i] = (uint8_t)(e.hi >> (8 * i));
  }
}

static element multiply(element a, element b) {
  element product = {0, 0};
  for (unsigned i = 0; i < 128; i++) {
    const uint64_t word = i < 64 ? b.lo : b.hi;
    const uint64_t take = 0 - ((word >> (i & 63)) & 1);
    product.lo ^= a.lo & take;
    product.hi ^= a.hi & take;
    const uint64_t overflow = 0 - (a.hi >> 63);
    a.hi = (a.hi << 1) | (a.lo >> 63);
    a.lo = (a.lo << 1) ^ (overflow & 0x87);
  }
  return product;
}

void qkd_poly_absorb_portable(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                              size_t block_count) {
  element s = load(state);
  const element r = load(key);
  for (size_t i = 0; i < block_count; i++) {
    const element block = load(blocks + 16 * i);
    s.lo ^= block.lo;
    s.hi ^= block.hi;
    s = multiply(s, r);
  }
  store(state, s);
}

void qkd_poly_absorb(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                     size_t block_count, int tier) {
  switch (tier) {
#if defined(__x86_64__)
    case 2:
      qkd_poly_absorb_avx512(state, key, blocks, block_count);
      break;
    case 1:
      qkd_poly_absorb_avx2(state, key, blocks, block_count);
      break;
#endif
    default:
      qkd_poly_absorb_portable(state, key, blocks, block_count);
  }
}

void qkd_poly_finish(uint8_t digest[16], const uint8_t state[16], const uint8_t key[16],
                     const uint8_t *tail, size_t tail_bytes, uint64_t message_bytes, int tier) {
  const size_t blocks = tail_bytes / 16;
  const size_t rest = tail_bytes % 16;
  const element length = {message_bytes << 3, message_bytes >> 61};
  uint8_t last[32] = {0};
  if (rest > 0) memcpy(last, tail + 16 * blocks, rest);
  store(last + (rest > 0 ? 16 : 0), length);
  memcpy(digest, state, 16);
  qkd_poly_absorb(digest, key, tail, blocks, tier);
  qkd_poly_absorb(digest, key, last, rest > 0 ? 2 : 1, tier);
  qkd_wipe(last, sizeof last);
}

/* Copies bit_count bits from bit first of packed on, zero-padded to whole bytes; reads no byte that
 * holds none of them. first is below 8. */
static void realign(uint8_t *out, const uint8_t *packed, unsigned first, size_t bit_count) {
  const size_t bytes = (bit_count + 7) / 8;
  const size_t last = (first + bit_count - 1) / 8;
  size_t i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  for (; i + 8 <= bytes && i + 8 <= last; i += 8) {
    const uint64_t high = (uint64_t)packed[i + 8] << 1 << (63 - first);
    uint64_t word;
    memcpy(&word, packed + i, sizeof word);
    word = word >> first | high;
    memcpy(out + i, &word, sizeof word);
  }
#endif
  for (; i < bytes; i++) {
    const unsigned next = i < last ? packed[i + 1] : 0;
    out[i] = (uint8_t)((packed[i] | next << 8) >> first);
  }
  if (bit_count % 8 != 0) out[bytes - 1] = (uint8_t)(out[bytes - 1] & ((1u << bit_count % 8) - 1));
}

void qkd_poly_frames(uint8_t *digests, const uint8_t key[16], const uint8_t *packed,
                     size_t bit_count, size_t frame_bits, int tier) {
  enum { PIECE_BYTES = 8192 };
  uint8_t piece[PIECE_BYTES];
  for (size_t begin = 0; begin < bit_count; begin += frame_bits, digests += 16) {
    const size_t bits = bit_count - begin < frame_bits ? bit_count - begin : frame_bits;
    uint8_t state[16] = {0};
    size_t done = 0;
    if (begin % 8 == 0 && bits % 8 == 0) { /* it stands there already */
      qkd_poly_finish(digests, state, key, packed + begin / 8, bits / 8, bits / 8, tier);
      continue;
    }
    for (; bits - done > 8 * (size_t)PIECE_BYTES; done += 8 * (size_t)PIECE_BYTES) {
      const size_t at = begin + done;
      realign(piece, packed + at / 8, (unsigned)(at % 8), 8 * (size_t)PIECE_BYTES);
      qkd_poly_absorb(state, key, piece, PIECE_BYTES / 16, tier);
    }
    const size_t at = begin + done;
    realign(piece, packed + at / 8, (unsigned)(at % 8), bits - done);
    qkd_poly_finish(digests, state, key, piece, (bits - done + 7) / 8, (bits + 7) / 8, tier);
  }
  qkd_wipe(piece, sizeof piece);
}
