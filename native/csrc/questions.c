/* Coding of Cascade's questions, as that of detections (deltas_impl.h) but of 32-bit numbers of
 * which each is above the one before.
 *
 * Questions come in blocks of 256, the last one shorter. What is coded of each is how far it lies
 * above the least number that it could be. A block of n questions whose distances sum to s has the
 * Rice parameter k = floor(log2(s / n)), 0 for s below 2n, and holds, each part from a byte's low
 * bit on and filled up with zeros:
 *   one byte, k;
 *   n times k bits, the low bits of the distances;
 *   n ones, each after as many zeros as the rest of its distance (distance >> k) says.
 * By the choice of k there are fewer than 2n zeros. The decoder accepts one coding of each
 * sequence only.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "questions.h"

enum { BLOCK = 256, LARGEST_K = 31, ONES_WORDS = 3 * BLOCK / 64, SPARE = 8 };

size_t qkd_questions_room(size_t count) { return 5 * count + 3 * (count / BLOCK + 1) + SPARE; }

static unsigned parameter(uint64_t sum, size_t count) {
  const uint64_t mean = sum / count;
  return mean ? 63u - (unsigned)__builtin_clzll(mean) : 0;
}

static void store_word(uint8_t *bytes, uint64_t word) {
  for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(word >> 8 * i);
}

/* The 64 bits from a byte on, zeros beyond the end. */
static inline uint64_t peek(const uint8_t *bytes, size_t length, size_t at) {
  uint64_t word = 0;
  if (length - at >= 8) {
    for (unsigned i = 0; i < 8; i++) word |= (uint64_t)bytes[at + i] << 8 * i;
  } else {
    for (unsigned i = 0; at + i < length; i++) word |= (uint64_t)bytes[at + i] << 8 * i;
  }
  return word;
}

/* Codes questions that ascend from least on; returns where their coding ends. */
static uint8_t *encode_block(const uint32_t *restrict questions, size_t count, uint64_t least,
                             uint8_t *restrict bytes) {
  const unsigned k = parameter(questions[count - 1] - least - (count - 1), count);
  const uint64_t low_bits = (UINT64_C(1) << k) - 1;
  uint64_t ones[ONES_WORDS] = {0};
  uint64_t pending = 0;
  unsigned filled = 0; /* bits of pending, at most seven */
  size_t place = 0;
  *bytes++ = (uint8_t)k;
  for (size_t i = 0; i < count; i++, place++) {
    const uint64_t distance = questions[i] - least;
    least = (uint64_t)questions[i] + 1;
    pending |= (distance & low_bits) << filled;
    filled += k;
    store_word(bytes, pending);
    bytes += filled / 8;
    pending >>= filled & ~7u;
    filled %= 8;
    place += distance >> k;
    ones[place / 64] |= UINT64_C(1) << (place % 64);
  }
  bytes += filled > 0;
  for (size_t i = 0; i < (place + 63) / 64; i++) {
    uint8_t word[8];
    const size_t left = (place - 64 * i + 7) / 8;
    store_word(word, ones[i]);
    memcpy(bytes, word, left < 8 ? left : 8);
    bytes += left < 8 ? left : 8;
  }
  return bytes;
}

size_t qkd_questions_encode(const uint32_t *questions, size_t count, uint8_t *bytes) {
  unsigned falls = 0;
  for (size_t i = 1; i < count; i++) falls |= questions[i] <= questions[i - 1];
  if (falls) return 0;
  uint8_t *at = bytes;
  for (size_t done = 0; done < count; done += BLOCK) {
    const size_t taken = count - done < BLOCK ? count - done : BLOCK;
    at = encode_block(questions + done, taken, done ? (uint64_t)questions[done - 1] + 1 : 0, at);
  }
  return (size_t)(at - bytes);
}

/* Decodes a block whose first question is at least least; returns the bytes that it takes, or 0 where
 * they are not the coding of any questions. */
static size_t decode_block(const uint8_t *restrict bytes, size_t length, size_t count,
                           uint64_t least, uint32_t *restrict questions) {
  if (length == 0 || bytes[0] > LARGEST_K) return 0;
  const unsigned k = bytes[0];
  const uint64_t low_mask = (UINT64_C(1) << k) - 1;
  const size_t low_bits = count * k;
  const size_t ones_at = 1 + (low_bits + 7) / 8;
  if (length < ones_at) return 0;
  if (low_bits % 8 && bytes[ones_at - 1] >> low_bits % 8) return 0;

  const uint64_t first = least;
  size_t done = 0, next = 0; /* next: the bit after the one before */
  for (size_t place = ones_at; done < count; place += 8) {
    if (place >= length || 8 * (place - ones_at) >= 3 * count) return 0;
    for (uint64_t ones = peek(bytes, length, place); ones && done < count; ones &= ones - 1) {
      const size_t bit = 8 * (place - ones_at) + (unsigned)__builtin_ctzll(ones);
      const uint64_t low = peek(bytes, length, 1 + done * k / 8) >> (done * k % 8) & low_mask;
      const uint64_t question = least + ((uint64_t)(bit - next) << k | low);
      if (question > UINT32_MAX) return 0;
      questions[done++] = (uint32_t)question;
      least = question + 1;
      next = bit + 1;
    }
  }
  const size_t stop = ones_at + (next + 7) / 8;
  if (next % 8 && bytes[stop - 1] >> next % 8) return 0;
  return parameter(least - first - count, count) == k ? stop : 0;
}

int qkd_questions_decode(const uint8_t *bytes, size_t length, size_t count, uint32_t *questions) {
  uint64_t least = 0;
  for (size_t done = 0; done < count; done += BLOCK) {
    const size_t taken = count - done < BLOCK ? count - done : BLOCK;
    const size_t read = decode_block(bytes, length, taken, least, questions + done);
    if (read == 0) return -1;
    bytes += read;
    length -= read;
    least = (uint64_t)questions[done + taken - 1] + 1;
  }
  return length == 0 ? 0 : -1;
}
