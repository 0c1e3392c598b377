/* Arithmetic in GF(2^64) in vectors of any width: a version names its operations and includes this.
 * even(a, b) and odd(a, b) are the products of the even and of the odd lanes. */
enum { LANES = sizeof(lanes) / 8 };

/* x^64 = x^4 + x^3 + x + 1 = (x^3 + 1)(x + 1), once more for the bits that it moves past x^63. By
 * shifts rather than products, for multipliers are what the transform waits for. */
static inline lanes reduce(lanes evens, lanes odds) {
  const lanes low = low_words(evens, odds), high = high_words(evens, odds);
  const lanes whole = xor3(high, RIGHT(high, 61), RIGHT(high, 60));
  const lanes twice = xor2(whole, LEFT(whole, 1));
  return xor3(low, twice, LEFT(twice, 3));
}

static inline lanes multiply(lanes a, lanes b) { return reduce(even(a, b), odd(a, b)); }

static inline void butterfly(lanes *u, lanes *v, lanes twiddle) {
  *u = xor2(*u, multiply(*v, twiddle));
  *v = xor2(*v, *u);
}

static inline void butterfly_back(lanes *u, lanes *v, lanes twiddle) {
  *v = xor2(*v, *u);
  *u = xor2(*u, multiply(*v, twiddle));
}

/* Two layers over four values; the lower one has the twiddles first and first + v_1. */
static inline void two_layers(lanes r[4], lanes upper, lanes first, int back) {
  const lanes second = xor2(first, all(qkd_cantor_basis[1]));
  if (back) {
    butterfly_back(&r[0], &r[1], first);
    butterfly_back(&r[2], &r[3], second);
    butterfly_back(&r[0], &r[2], upper);
    butterfly_back(&r[1], &r[3], upper);
  } else {
    butterfly(&r[0], &r[2], upper);
    butterfly(&r[1], &r[3], upper);
    butterfly(&r[0], &r[1], first);
    butterfly(&r[2], &r[3], second);
  }
}

static inline void four_runs(uint64_t *x, size_t run, const uint64_t twiddle[2], int back) {
  const lanes upper = all(twiddle[0]), first = all(twiddle[1]);
  for (size_t i = 0; i < run; i += LANES, x += LANES) {
    lanes r[4] = {load(x), load(x + run), load(x + 2 * run), load(x + 3 * run)};
    two_layers(r, upper, first, back);
    for (size_t j = 0; j < 4; j++) store(x + j * run, r[j]);
  }
}

static void forward(uint64_t *x, size_t run, const uint64_t twiddle[2]) {
  four_runs(x, run, twiddle, 0);
}

static void inverse(uint64_t *x, size_t run, const uint64_t twiddle[2]) {
  four_runs(x, run, twiddle, 1);
}

/* Sums of so many registers side by side, so that none waits for its own last product. */
static void dot(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t size, size_t stride,
                size_t terms) {
  for (size_t i = 0; i < size; i += SUMS * LANES) {
    lanes evens[SUMS], odds[SUMS];
    for (size_t j = 0; j < SUMS; j++) evens[j] = odds[j] = all(0);
    for (size_t k = i; k < i + terms * stride; k += stride) {
      for (size_t j = 0; j < SUMS; j++) {
        const lanes x = load(a + k + LANES * j), y = load(b + k + LANES * j);
        evens[j] = xor2(evens[j], even(x, y));
        odds[j] = xor2(odds[j], odd(x, y));
      }
    }
    for (size_t j = 0; j < SUMS; j++) store(sum + i + LANES * j, reduce(evens[j], odds[j]));
  }
}
