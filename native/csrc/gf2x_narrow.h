/* The rest of a version of two or four lanes: its leaves. Beside what gf2x_field.h asks for it names
 * spread(shift), w_(j << shift) in lane j, and transpose(r): what four neighbours hold, LANES times,
 * with the first of each in r[0] then; and back. */
static void add(uint64_t *restrict sum, const uint64_t *restrict term, size_t words) {
  for (size_t i = 0; i < words; i++) sum[i] ^= term[i];
}

/* w_(j << shift), j < 16 */
static inline uint64_t point(size_t j, size_t shift) {
  uint64_t sum = 0;
  for (size_t i = 0; i < 4; i++) sum ^= qkd_cantor_basis[shift + i] & (0 - ((j >> i) & 1));
  return sum;
}

/* The two layers within four elements, on as many blocks as there are lanes, one in each. Between
 * the ways there and back they lie as they fall. */
static inline void fours(uint64_t *x, size_t c, const uint64_t twiddle[2], int back) {
  const lanes upper = xor2(all(twiddle[0] ^ point(LANES * c, 1)), spread(1));
  const lanes first = xor2(all(twiddle[1] ^ point(LANES * c, 2)), spread(2));
  lanes r[4];
  for (size_t j = 0; j < 4; j++) r[j] = load(x + j * LANES);
  if (!back) transpose(r);
  two_layers(r, upper, first, back);
  if (back) transpose_back(r);
  for (size_t j = 0; j < 4; j++) store(x + j * LANES, r[j]);
}

static inline void leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS], int back) {
  if (!back) four_runs(x, 16, twiddle, 0);
  for (size_t c = 0; back && c < 16 / LANES; c++) fours(x + 4 * LANES * c, c, twiddle + 4, 1);
  for (size_t c = 0; c < 4; c++) {
    const uint64_t own[2] = {twiddle[2] ^ point(c, 1), twiddle[3] ^ point(c, 2)};
    four_runs(x + 16 * c, 4, own, back);
  }
  for (size_t c = 0; !back && c < 16 / LANES; c++) fours(x + 4 * LANES * c, c, twiddle + 4, 0);
  if (back) four_runs(x, 16, twiddle, 1);
}

static void forward_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  leaf(x, twiddle, 0);
}

static void inverse_leaf(uint64_t x[QKD_LEAF], const uint64_t twiddle[QKD_LEAF_LAYERS]) {
  leaf(x, twiddle, 1);
}
