/* Photon pairs and detectors, event by event in true time.
 *
 * Sources of events (pairs, dark counts, afterpulses) are Poisson processes, each with the time of
 * its next event; the earliest is served. All random numbers are drawn in the order of events, so
 * a span gives the same clicks however it is cut into calls. When a rate changes, the time to the
 * next event is rescaled, which is exact for a memoryless process.
 *
 * Generator: xoshiro256** (Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021)), seeded by
 * splitmix64. Jitter is the sum of twelve uniform numbers: variance one, bounded by six sigma.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "photons.h"

enum { PAIRS = 0, DARKS = 1, AFTERPULSES = 9, SOURCES = 17, DETECTORS = 8, TAIL = 256 };

static const int64_t never = INT64_MAX;
static const double ps_per_s = 1e12;
static const double furthest_ps = 4e18;

typedef struct {
  int64_t *times_ps;
  uint8_t *channels;
  size_t count;
} output;

static uint64_t rotate(uint64_t x, unsigned k) { return (x << k) | (x >> (64 - k)); }

static uint64_t draw(uint64_t s[4]) {
  const uint64_t result = rotate(s[1] * 5, 7) * 9;
  const uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

/* The 32-bit threshold below which an event of this probability happens. */
static uint64_t threshold(double probability) {
  if (!(probability > 0)) return 0;
  return probability >= 1 ? UINT64_C(1) << 32 : (uint64_t)(probability * 4294967296.0);
}

static int64_t exponential_ps(uint64_t s[4], double mean_ps) {
  const double uniform = (double)((draw(s) >> 11) + 1) * 0x1p-53;
  const double wait = -log(uniform) * mean_ps;
  return wait < furthest_ps ? (int64_t)wait : (int64_t)furthest_ps;
}

/* A later time, or never if it does not fit. */
static int64_t after(int64_t time_ps, int64_t wait_ps) {
  return wait_ps > never - time_ps ? never : time_ps + wait_ps;
}

static int64_t next_event(uint64_t s[4], int64_t time_ps, double rate_hz) {
  if (!(rate_hz > 0)) return never;
  return after(time_ps, exponential_ps(s, ps_per_s / rate_hz));
}

static int64_t jitter_ps(uint64_t s[4], double sigma_ps) {
  const uint64_t even = UINT64_C(0x0000ffff0000ffff);
  uint64_t sum = 0;
  for (int i = 0; i < 3; i++) {
    const uint64_t x = draw(s);
    sum += (x & even) + ((x >> 16) & even);
  }
  const uint64_t total = (sum & 0xffffffff) + (sum >> 32);
  const int64_t lift = 1 << 20; /* more than the jitter, so that the cast rounds down */
  const double deviation = (double)total * 0x1p-16 - 6.0 + 12 * 0x1p-17;
  return (int64_t)(deviation * sigma_ps + 0.5 + (double)lift) - lift;
}

/* Brings a source to its present rate. */
static void retune(qkd_photon_state *state, int source, double rate_hz) {
  const double before_hz = state->rate_hz[source];
  if (rate_hz == before_hz) return;
  int64_t *next = &state->next_ps[source];
  if (!(rate_hz > 0)) {
    *next = never;
  } else if (!(before_hz > 0) || *next == never) {
    *next = next_event(state->random, state->now_ps, rate_hz);
  } else {
    const double wait = (double)(*next - state->now_ps) * (before_hz / rate_hz);
    *next = wait < furthest_ps ? after(state->now_ps, (int64_t)wait) : never;
  }
  state->rate_hz[source] = rate_hz;
}

static void insert(output *out, int64_t time_ps, uint8_t channel) {
  size_t i = out->count++;
  while (i > 0 && out->times_ps[i - 1] > time_ps) {
    out->times_ps[i] = out->times_ps[i - 1];
    out->channels[i] = out->channels[i - 1];
    i--;
  }
  out->times_ps[i] = time_ps;
  out->channels[i] = channel;
}

/* An avalanche at a detector: a click, unless the detector is still dead, and perhaps an afterpulse
 * that becomes the earliest of the sources other than pairs. */
static void avalanche(qkd_photon_state *state, const qkd_photon_table *table, output outputs[2],
                      int detector, int64_t time_ps, int *other) {
  if (time_ps < state->ready_ps[detector]) return;
  state->ready_ps[detector] = after(time_ps, table->dead_time_ps[detector]);
  const int64_t click_ps = time_ps + jitter_ps(state->random, table->jitter_ps[detector]);
  insert(&outputs[detector / 4], click_ps, (uint8_t)(detector % 4 + 1));
  const uint64_t chance = threshold(table->afterpulse_probability[detector]);
  if (chance > 0 && (draw(state->random) >> 32) < chance) {
    const int64_t wait = exponential_ps(state->random, table->afterpulse_decay_ps[detector]);
    int64_t *next = &state->next_ps[AFTERPULSES + detector];
    const int64_t pulse_ps = after(state->ready_ps[detector], wait);
    if (pulse_ps < *next) *next = pulse_ps;
    if (*next < state->next_ps[*other]) *other = AFTERPULSES + detector;
  }
}

static int earliest(const qkd_photon_state *state, int first) {
  int best = first;
  for (int i = first + 1; i < SOURCES; i++)
    if (state->next_ps[i] < state->next_ps[best]) best = i;
  return best;
}

void qkd_photons_seed(qkd_photon_state *state, uint64_t seed, int64_t start_ps) {
  memset(state, 0, sizeof *state);
  for (int i = 0; i < 4; i++) {
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    state->random[i] = z ^ (z >> 31);
  }
  state->now_ps = start_ps;
  for (int i = 0; i < SOURCES; i++) state->next_ps[i] = never;
  for (int i = 0; i < DETECTORS; i++) state->ready_ps[i] = start_ps;
}

int64_t qkd_photons_generate(qkd_photon_state *state, const qkd_photon_table *table,
                             int64_t until_ps, size_t capacity, int64_t *times_ps,
                             uint8_t *channels, size_t counts[2]) {
  output outputs[2] = {{times_ps, channels, 0}, {times_ps + capacity, channels + capacity, 0}};
  counts[0] = counts[1] = 0;
  if (until_ps <= state->now_ps || capacity <= TAIL) return state->now_ps;

  /* Pairs of which nothing is detected need not be drawn: the rate is that of the others, the arms
   * lose what the best detector of their end would lose too, and the rest falls to the detector. */
  uint64_t basis_z[2], same[4], relative[DETECTORS];
  double best[2] = {0, 0}, caught[2], widest_ps = 0;
  int all_equal = 1;
  for (int i = 0; i < DETECTORS; i++) {
    best[i / 4] = fmax(best[i / 4], table->efficiency[i]);
    widest_ps = fmax(widest_ps, table->jitter_ps[i]);
  }
  for (int i = 0; i < DETECTORS; i++) {
    relative[i] = threshold(best[i / 4] > 0 ? table->efficiency[i] / best[i / 4] : 0);
    all_equal &= relative[i] == threshold(1);
  }
  for (int i = 0; i < 2; i++) {
    caught[i] = table->transmission[i] * best[i];
    basis_z[i] = threshold(table->basis_z_probability[i]);
  }
  for (int i = 0; i < 4; i++) same[i] = threshold(0.5 * (1 + table->correlation[i]));
  const double any = caught[0] + caught[1] - caught[0] * caught[1];
  const double scale = any > 0 ? 1 / any : 0;
  const uint64_t both = threshold(caught[0] * caught[1] * scale);
  const uint64_t first = threshold(caught[0] * scale);
  const double seen_rate_hz = table->pair_rate_hz * any;
  retune(state, PAIRS, seen_rate_hz);
  for (int i = 0; i < DETECTORS; i++) retune(state, DARKS + i, table->dark_rate_hz[i]);
  const int64_t reach_ps = (int64_t)(6 * widest_ps) + 1;
  const int64_t horizon_ps = after(until_ps, reach_ps);
  for (int end = 0; end < 2; end++) {
    for (size_t i = 0; i < state->tail_count[end]; i++)
      insert(&outputs[end], state->tail_times_ps[TAIL * end + (int)i],
             state->tail_channels[TAIL * end + (int)i]);
    state->tail_count[end] = 0;
  }

  int64_t complete_ps = until_ps;
  int other = earliest(state, DARKS);
  for (;;) {
    const int source = state->next_ps[PAIRS] <= state->next_ps[other] ? PAIRS : other;
    const int64_t time_ps = state->next_ps[source];
    if (time_ps >= horizon_ps) break;
    if (outputs[0].count >= capacity || outputs[1].count >= capacity) {
      complete_ps = time_ps - reach_ps;
      break;
    }
    if (source == PAIRS) {
      state->next_ps[PAIRS] = next_event(state->random, time_ps, seen_rate_hz);
      const uint64_t fate = draw(state->random);
      const uint64_t choice = draw(state->random);
      const uint64_t lot = all_equal ? 0 : draw(state->random);
      const uint64_t arms = fate >> 32; /* below both: both; below first: end 0 only; else end 1 */
      const int basis[2] = {(choice >> 32) >= basis_z[0], (choice & 0xffffffff) >= basis_z[1]};
      const int bit = (int)(fate & 1);
      const int equal = ((fate & 0xffffffff) | 1) < same[2 * basis[0] + basis[1]];
      const int detector[2] = {2 * basis[0] + bit, 4 + 2 * basis[1] + (equal ? bit : 1 - bit)};
      if (arms < first && (lot >> 32) < relative[detector[0]])
        avalanche(state, table, outputs, detector[0], time_ps, &other);
      if ((arms < both || arms >= first) && (lot & 0xffffffff) < relative[detector[1]])
        avalanche(state, table, outputs, detector[1], time_ps, &other);
    } else {
      const int detector = (source - DARKS) % DETECTORS;
      const double rate_hz = source < AFTERPULSES ? table->dark_rate_hz[detector] : 0;
      state->next_ps[source] = next_event(state->random, time_ps, rate_hz);
      other = earliest(state, DARKS);
      avalanche(state, table, outputs, detector, time_ps, &other);
    }
  }

  if (complete_ps < state->now_ps) complete_ps = state->now_ps;
  for (int end = 0; end < 2; end++) {
    output *out = &outputs[end];
    size_t done = out->count;
    while (done > 0 && out->times_ps[done - 1] >= complete_ps) done--;
    size_t held = out->count - done;
    if (held > TAIL) {
      state->lost += held - TAIL;
      held = TAIL;
    }
    memcpy(state->tail_times_ps + TAIL * end, out->times_ps + done, held * sizeof *out->times_ps);
    memcpy(state->tail_channels + TAIL * end, out->channels + done, held);
    state->tail_count[end] = held;
    counts[end] = done;
  }
  state->now_ps = complete_ps;
  return complete_ps;
}
