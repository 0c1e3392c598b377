/* Products in GF(2)[x] by an additive FFT over GF(2^64).
 *
 * Polynomials are cut into 32-bit limbs, so that a coefficient of a product of limb polynomials has
 * at most 63 bits and needs no reduction. The transform evaluates at the 2^k points of the span of
 * a Cantor basis v_0 .. v_(k-1), written w_j = sum of v_i over the bits i of j. With
 * s_i(x) = the product of x + w_j over j < 2^i, the polynomials X_j = the product of s_i over the
 * bits i of j are a basis in which that takes k layers of butterflies (Lin, Chung and Han, FOCS
 * '14; in Cantor's basis s_(i+j) = s_i o s_j, s_i(v_j) = v_(j-i), and s_i(x) = x^(2^i) + x if i is a
 * power of two: Chen, Cheng, Kuo, Li and Yang, arXiv:1708.09746).
 *
 * A transform of 2^k points multiplies modulo s_k. For the k used here x^(2^k) = x^t + lower terms
 * with t much less than 2^k: what does not fit wraps to the front, and is thrown away there, as by
 * overlap-save in a cyclic convolution. So long operands are cut into pieces whose transforms stay
 * in a cache, each is transformed once, and every window of the product costs one inverse transform.
 */
#include <string.h>

#include "gf2x_impl.h"

const uint64_t qkd_cantor_basis[QKD_CANTOR_DIMENSION] = {
    UINT64_C(0x0000000000000001), UINT64_C(0x19C9369F278ADC02), UINT64_C(0xA181E7D66F5FF794),
    UINT64_C(0x5DB84357CE785D08), UINT64_C(0xB973D466F5C9D0CA), UINT64_C(0x521AC889831A075E),
    UINT64_C(0x033CE8BEDDC8A656), UINT64_C(0xB5846C4E07B91010), UINT64_C(0x4087B8CBB37A32EC),
    UINT64_C(0x00D0D3888C0AE17C), UINT64_C(0xAFD5AC70237F2222), UINT64_C(0xE3F5AF99CC3AAAF8),
    UINT64_C(0x5A1DB3B16A0B58B8), UINT64_C(0x09947C54FE7EE248), UINT64_C(0x0E8EAF0E0068F544),
    UINT64_C(0xA2A113500B4B4F5A), UINT64_C(0xE96F9805D6CE0BB0), UINT64_C(0x53496F8B5C9EDD4C),
    UINT64_C(0xAD325CB6F4AC2A9E), UINT64_C(0x4A8DCF8BD7EDE826),
};

/* w_j is found in two steps of ten bits. */
enum { DIGIT_BITS = 10, DIGITS = 1 << DIGIT_BITS, TABLE_WORDS = 2 * DIGITS };

static void tabulate_points(uint64_t points[TABLE_WORDS]) {
  for (size_t digit = 0; digit < 2; digit++, points += DIGITS) {
    points[0] = 0;
    for (size_t i = 0; i < DIGIT_BITS; i++) {
      const size_t high = (size_t)1 << i;
      for (size_t j = 0; j < high; j++) {
        points[high + j] = points[j] ^ qkd_cantor_basis[digit * DIGIT_BITS + i];
      }
    }
  }
}

static uint64_t point(const uint64_t *points, size_t j) {
  return points[j % DIGITS] ^ points[DIGITS + j / DIGITS];
}

/* --- Between powers of x and the basis X_j --------------------------------------------------- */

/* Writes a polynomial of degree below 2 half in powers of x^half + x^shift, then of that one's
 * square root, and so on down to shift = unit; all lengths are in words. */
static void expand(uint64_t *x, size_t half, size_t shift, size_t unit,
                   const qkd_gf2x_kernels *kernels) {
  kernels->add(x + half, x + 2 * half - shift, shift);
  kernels->add(x + shift, x + half, half - shift);
  if (shift == unit) return;
  expand(x, half / 2, shift / 2, unit, kernels);
  expand(x + half, half / 2, shift / 2, unit, kernels);
}

static void collapse(uint64_t *x, size_t half, size_t shift, size_t unit,
                     const qkd_gf2x_kernels *kernels) {
  if (shift != unit) {
    collapse(x, half / 2, shift / 2, unit, kernels);
    collapse(x + half, half / 2, shift / 2, unit, kernels);
  }
  kernels->add(x + shift, x + half, half - shift);
  kernels->add(x + half, x + 2 * half - shift, shift);
}

static unsigned largest_power_below(unsigned log) {
  unsigned power = 1;
  while (2 * power < log) power *= 2;
  return power;
}

/* 2^log coefficients of unit words each, of powers of x, become those of the X_j: expanded by
 * y = s_power, the digits in y are a polynomial again, and so is every coefficient. */
static void to_basis(uint64_t *x, unsigned log, size_t unit, const qkd_gf2x_kernels *kernels) {
  if (log < 2) return;
  if (log == QKD_BASIS_LOG && unit == 1) {
    kernels->to_basis(x);
    return;
  }
  const unsigned power = largest_power_below(log);
  const size_t digit = unit << power;
  expand(x, unit << (log - 1), unit << (log - 1 - power), unit, kernels);
  to_basis(x, log - power, digit, kernels);
  for (size_t i = 0; i < unit << log; i += digit) to_basis(x + i, power, unit, kernels);
}

static void from_basis(uint64_t *x, unsigned log, size_t unit, const qkd_gf2x_kernels *kernels) {
  if (log < 2) return;
  if (log == QKD_BASIS_LOG && unit == 1) {
    kernels->from_basis(x);
    return;
  }
  const unsigned power = largest_power_below(log);
  const size_t digit = unit << power;
  for (size_t i = 0; i < unit << log; i += digit) from_basis(x + i, power, unit, kernels);
  from_basis(x, log - power, digit, kernels);
  collapse(x, unit << (log - 1), unit << (log - 1 - power), unit, kernels);
}

/* --- Between the basis X_j and values -------------------------------------------------------- */

/* A layer's block b takes f_0 + s_i f_1 at w_2b and w_2b + 1. Two layers at a time, each quarter to
 * its end before the next, so that what is in a cache is used there. */
static void evaluate(uint64_t *x, unsigned log, size_t block, const uint64_t *points,
                     const qkd_gf2x_kernels *kernels) {
  if (log == QKD_LEAF_LAYERS) {
    uint64_t twiddle[QKD_LEAF_LAYERS];
    for (size_t i = 0; i < QKD_LEAF_LAYERS; i++) twiddle[i] = point(points, block << (i + 1));
    kernels->forward_leaf(x, twiddle);
    return;
  }
  const size_t run = (size_t)1 << (log - 2);
  const uint64_t twiddle[2] = {point(points, 2 * block), point(points, 4 * block)};
  kernels->forward(x, run, twiddle);
  for (size_t i = 0; i < 4; i++) {
    evaluate(x + i * run, log - 2, 4 * block + i, points, kernels);
  }
}

static void interpolate(uint64_t *x, unsigned log, size_t block, const uint64_t *points,
                        const qkd_gf2x_kernels *kernels) {
  if (log == QKD_LEAF_LAYERS) {
    uint64_t twiddle[QKD_LEAF_LAYERS];
    for (size_t i = 0; i < QKD_LEAF_LAYERS; i++) twiddle[i] = point(points, block << (i + 1));
    kernels->inverse_leaf(x, twiddle);
    return;
  }
  const size_t run = (size_t)1 << (log - 2);
  const uint64_t twiddle[2] = {point(points, 2 * block), point(points, 4 * block)};
  for (size_t i = 0; i < 4; i++) {
    interpolate(x + i * run, log - 2, 4 * block + i, points, kernels);
  }
  kernels->inverse(x, run, twiddle);
}

/* --- Overlap-save ---------------------------------------------------------------------------- */

/* The pieces of a have piece words; each window of the product has step words, and is the sum over
 * the pieces of their products with piece + step words of b. */
typedef struct {
  unsigned log;
  size_t piece, pieces, step, steps;
} plan;

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t windows(const plan *p) { return p->pieces + p->steps - 1; }

/* Butterflies, changes of basis and products, in layers of one element: an estimate good enough to
 * choose by. */
static double cost(const plan *p) {
  const double transforms = (double)(p->pieces + windows(p) + p->steps);
  const double layers = (double)(p->log + 8);
  const double products = (double)(p->pieces * p->steps);
  return (double)((size_t)1 << p->log) * (transforms * layers + products);
}

/* The leading terms of s_k are x^(2^k) + x^wrap. What wraps must fall before the window. */
static plan choose(size_t count, size_t a_words) {
  static const struct {
    unsigned log;
    size_t wrap;
  } sizes[] = {{8, 1}, {12, 1 << 8}, {16, 1}, {20, 1 << 16}};
  plan best = {0, 0, 0, 0, 0};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    const size_t room = (((size_t)1 << sizes[i].log) - sizes[i].wrap) / 2;
    const size_t piece[] = {room / 2, a_words, count < room ? room - count : 0};
    for (size_t j = 0; j < sizeof piece / sizeof piece[0]; j++) {
      if (piece[j] == 0 || piece[j] >= room) continue;
      plan p = {sizes[i].log, piece[j], divide_up(a_words, piece[j]), room - piece[j], 0};
      if (j == 0) p.step = p.piece;
      p.steps = divide_up(count, p.step);
      if (best.log == 0 || cost(&p) < cost(&best)) best = p;
    }
  }
  return best;
}

/* Words of an operand, which is zero outside its own: the first may lie before it. */
typedef struct {
  const uint64_t *operand;
  ptrdiff_t operand_words, first;
  size_t words;
} section;

/* The last piece comes first: window i of the product is the sum of piece j times segment i + j. */
static section piece_of(const plan *p, size_t i, const uint64_t *a, size_t a_words) {
  const size_t from = (p->pieces - 1 - i) * p->piece;
  const section s = {a, (ptrdiff_t)a_words, (ptrdiff_t)from, p->piece};
  return s;
}

static section window_of(const plan *p, size_t i, size_t first, const uint64_t *b, size_t b_words) {
  const size_t stride = p->steps == 1 ? p->piece : p->step;
  const ptrdiff_t from =
      (ptrdiff_t)(first + i * stride) - (ptrdiff_t)((p->pieces - 1) * stride + p->piece);
  const section s = {b, (ptrdiff_t)b_words, from, p->piece + p->step};
  return s;
}

/* x ^= the limbs of a section, shifted; the limbs it has not are left alone. */
static void add_limbs(uint64_t *restrict x, section s, unsigned shift) {
  const ptrdiff_t end = s.operand_words - s.first;
  const size_t from = s.first < 0 ? (size_t)-s.first : 0;
  const size_t to = end < 0 ? 0 : (size_t)end < s.words ? (size_t)end : s.words;
  if (from >= to) return;
  const uint64_t *word = s.operand + (s.first + (ptrdiff_t)from);
  for (size_t i = 2 * from; i < 2 * to; i += 2, word++) {
    x[i] ^= (*word & UINT32_MAX) << shift;
    x[i + 1] ^= (*word >> 32) << shift;
  }
}

/* Words first .. first + words - 1 of the sum of x[i] 2^(32 i), first > 0. */
static void join(uint64_t *restrict words, size_t count, const uint64_t *restrict x,
                 size_t first) {
  x += 2 * first;
  for (size_t i = 0; i < count; i++, x += 2) words[i] = x[0] ^ (x[1] << 32) ^ (x[-1] >> 32);
}

/* Products are summed a slice of all transforms at a time. Between two transforms lies a gap, lest
 * their like elements fall into one set of a cache. */
enum { SLICE = 512, LINE = 8 };

static size_t stride_of(const plan *p) {
  const size_t limbs = (size_t)1 << p->log;
  return limbs + (limbs / 8 < SLICE ? limbs / 8 : SLICE) + LINE;
}

/* segments[i] = the sum of pieces[j] segments[i + j], a segment being of no use to later steps. */
static void multiply_all(const plan *p, uint64_t *segments, const uint64_t *pieces,
                         const qkd_gf2x_kernels *kernels) {
  const size_t limbs = (size_t)1 << p->log;
  const size_t stride = stride_of(p);
  const size_t slice = limbs < SLICE ? limbs : SLICE;
  for (size_t at = 0; at < limbs; at += slice) {
    for (size_t i = 0; i < p->steps; i++) {
      uint64_t *segment = segments + i * stride + at;
      kernels->dot(segment, pieces + at, segment, slice, stride, p->pieces);
    }
  }
}

size_t qkd_fft_scratch(size_t count, size_t a_words) {
  const plan p = choose(count, a_words);
  return TABLE_WORDS + (p.pieces + windows(&p)) * stride_of(&p);
}

void qkd_fft(uint64_t *restrict window, size_t first, size_t count, const uint64_t *restrict a,
             size_t a_words, const uint64_t *restrict b, size_t b_words,
             uint64_t *restrict scratch, const qkd_gf2x_kernels *kernels) {
  const plan p = choose(count, a_words);
  const size_t limbs = (size_t)1 << p.log;
  const size_t stride = stride_of(&p);
  const size_t inputs = p.pieces + windows(&p);
  uint64_t *points = scratch;
  uint64_t *pieces = points + TABLE_WORDS;
  uint64_t *segments = pieces + p.pieces * stride;
  tabulate_points(points);

  /* Changes of basis only add, so that two polynomials of 32-bit limbs go through one at a time. */
  for (size_t i = 0; i < inputs; i += 2) {
    uint64_t *x = pieces + i * stride;
    uint64_t *next = x + stride;
    memset(x, 0, limbs * sizeof *x);
    for (size_t j = i; j < inputs && j < i + 2; j++) {
      add_limbs(x, j < p.pieces ? piece_of(&p, j, a, a_words)
                                : window_of(&p, j - p.pieces, first, b, b_words),
                j == i ? 0 : 32);
    }
    to_basis(x, p.log, 1, kernels);
    if (i + 1 < inputs) {
      for (size_t j = 0; j < limbs; j++) {
        next[j] = x[j] >> 32;
        x[j] &= UINT32_MAX;
      }
      evaluate(next, p.log, 0, points, kernels);
    }
    evaluate(x, p.log, 0, points, kernels);
  }
  multiply_all(&p, segments, pieces, kernels);
  for (size_t i = 0; i < p.steps; i++) {
    const size_t done = i * p.step;
    uint64_t *x = segments + i * stride;
    interpolate(x, p.log, 0, points, kernels);
    from_basis(x, p.log, 1, kernels);
    join(window + done, count - done < p.step ? count - done : p.step, x, p.piece);
  }
}
