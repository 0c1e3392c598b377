/* The loops over whole blocks of the delta coder's vector versions, eight values at a time. Each
 * version includes this after it has named
 *   WIDEST_K      the largest parameter of a block that it takes;
 *   coder         what it makes of a parameter, with set_coder;
 *   eight, chain  eight differences, and what they follow on, with begin and differences;
 *   all_within    whether nothing was so far from the chain's beginning that it went unseen;
 *   store_low     which stores at least the k bytes of their low parts;
 *   rests         the rests of the differences, a byte each, MOST_ZEROS at most, else all bits;
 *   ones_at       a word with a bit at the place that each byte of another says;
 *   find_ones     the places of the first BLOCK ones of a bitmap; returns how many there are;
 *   sums, sum_up  eight values of the places of their ones and their low parts, and so on.
 */
enum { LANES = 8, GROUPS = BLOCK / LANES };

static const uint64_t each_byte = UINT64_C(0x0101010101010101);
static const uint64_t widest_span = UINT64_C(1) << (WIDEST_K + 10);

/* Codes one block, or returns NULL where the portable version has to. A value that falls shows as
 * a difference that is too large, and one that the last of them falls below, as a last one below
 * the start. */
INLINE uint8_t *encode_block(const int64_t *restrict values, int64_t start, uint64_t *last,
                             coder *prepared, uint8_t *restrict bytes) {
  const uint64_t newest = (uint64_t)values[BLOCK - 1] - (uint64_t)start;
  const uint64_t span = newest - *last;
  if (values[BLOCK - 1] < start || newest >> 63 || span >= widest_span) return NULL;
  const unsigned k = qkd_deltas_parameter(span, BLOCK);
  if (k > WIDEST_K) return NULL;
  set_coder(prepared, k);
  uint8_t bitmap[BITMAP_BYTES + sizeof(uint64_t)] = {0};
  qkd_bit_writer high = {bitmap, 0, 0};
  chain from = begin((int64_t)((uint64_t)start + *last));
  *bytes++ = (uint8_t)k;
  for (int i = 0; i < GROUPS; i++, bytes += k) {
    const eight difference = differences(&from, values + LANES * i);
    store_low(difference, prepared, bytes);
    const uint64_t zeros = rests(difference, prepared);
    /* Byte j: the bits of all values up to j. */
    const uint64_t ends = (zeros + each_byte) * each_byte;
    const unsigned bits = (unsigned)(ends >> 56);
    if (zeros == UINT64_MAX || bits > MOST_PUT) return NULL;
    put(&high, ones_at(ends - each_byte), bits);
  }
  if (!all_within(&from)) return NULL;
  memcpy(bytes, bitmap, sizeof bitmap);
  *last = newest;
  return bytes + (high.at - bitmap) + (high.count > 0);
}

/* Decodes one block, or returns NULL where the portable version has to. The bytes go on for at
 * least 64 beyond the longest bitmap. */
INLINE const uint8_t *decode_block(const uint8_t *restrict bytes, int64_t start, uint64_t *last,
                                   coder *prepared, int64_t *restrict values) {
  const unsigned k = *bytes++;
  const uint8_t *bitmap = bytes + GROUPS * k;
  uint16_t places[BLOCK + 64];
  if (find_ones(bitmap, places) < BLOCK) return NULL;
  set_coder(prepared, k);
  sums at = sums_from((int64_t)((uint64_t)start + *last));
  for (int i = 0; i < GROUPS; i++)
    sum_up(&at, prepared, bytes + (unsigned)i * k, places + LANES * i, values + LANES * i);
  const unsigned bits = places[BLOCK - 1] + 1u;
  const uint8_t *stop = bitmap + (bits + 7) / 8;
  const uint64_t newest = (uint64_t)values[BLOCK - 1] - (uint64_t)start;
  const int padded = bits % 8 && stop[-1] >> bits % 8;
  if (padded || qkd_deltas_parameter(newest - *last, BLOCK) != k) return NULL;
  *last = newest;
  return stop;
}

INLINE qkd_deltas_place encode_blocks(const int64_t *restrict values, size_t count, int64_t start,
                                      qkd_deltas_place at, uint8_t *restrict bytes) {
  coder prepared = {.k = UINT32_MAX};
  while (count - at.values >= BLOCK) {
    const uint8_t *stop =
        encode_block(values + at.values, start, &at.last, &prepared, bytes + at.bytes);
    if (!stop) break;
    at.values += BLOCK;
    at.bytes = (size_t)(stop - bytes);
  }
  return at;
}

INLINE qkd_deltas_place decode_blocks(const uint8_t *restrict bytes, size_t length, size_t count,
                                      int64_t start, uint64_t limit, qkd_deltas_place at,
                                      int64_t *restrict values) {
  coder prepared = {.k = UINT32_MAX};
  while (count - at.values >= BLOCK && limit - at.last > widest_span && length - at.bytes > 1) {
    const unsigned k = bytes[at.bytes];
    if (k > WIDEST_K || length - at.bytes < 1 + GROUPS * k + BITMAP_BYTES + 64) break;
    const uint8_t *stop =
        decode_block(bytes + at.bytes, start, &at.last, &prepared, values + at.values);
    if (!stop) break;
    at.values += BLOCK;
    at.bytes = (size_t)(stop - bytes);
  }
  return at;
}
