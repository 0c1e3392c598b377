/* Photon pairs and detectors, event by event in true time.
 *
 * Sources of events are Poisson processes. The photons of pairs are drawn ahead by the batch; the
 * other sources (dark counts, afterpulses), of which there is little, have one next event each; the
 * earliest event is served. All random numbers are drawn in the order of events, so a span gives
 * the same clicks however it is cut into calls. When the table changes, photons drawn ahead are
 * drawn anew and the other sources' waits rescaled, which is exact for a memoryless process.
 */
#include <stddef.h>
#include <stdint.h>

#include "photons.h"
#include "photons_impl.h"

enum { DARKS = 0, AFTERPULSES = 8, SOURCES = 16, DETECTORS = 8, TAIL = 256 };
/* An outcome of a pair is 5 i + j: detector i of end 0 and j of end 1, 4 being none. */
enum { NONE = 4, OUTCOMES = 24, SLOTS = 32, SLOT_SHIFT = 59 };

static const int64_t never = INT64_MAX;
static const double ps_per_s = 1e12;
static const double furthest_ps = 4e18;

typedef struct {
  int64_t *times_ps[2];
  uint8_t *channels[2];
  size_t count[2];
} output;

/* Walker's alias table (Electron. Lett. 10, 127 (1974)): a slot's first outcome below its cut. */
typedef struct {
  uint64_t cut[SLOTS];
  uint8_t outcome[2][SLOTS];
  double seen; /* the share of pairs that have an outcome */
} pair_lottery;

QKD_PHOTON_DRAWS(qkd_photon_draws_portable);

static const qkd_photon_draws *draws_of(int tier) {
  switch (tier) {
#if defined(__x86_64__)
    case 2:
      return &qkd_photon_draws_avx512;
    case 1:
      return &qkd_photon_draws_avx2;
#endif
    default:
      return &qkd_photon_draws_portable;
  }
}

/* The 32-bit threshold below which an event of this probability happens. */
static uint64_t threshold(double probability) {
  if (!(probability > 0)) return 0;
  return probability >= 1 ? UINT64_C(1) << 32 : (uint64_t)(probability * 4294967296.0);
}

/* A later time, or never if it does not fit. */
static inline int64_t after(int64_t time_ps, int64_t wait_ps) {
  return wait_ps > never - time_ps ? never : time_ps + wait_ps;
}

static inline int64_t after_wait(int64_t time_ps, double wait_ps) {
  return wait_ps < furthest_ps ? after(time_ps, (int64_t)(wait_ps + 0.5)) : never;
}

static int64_t next_event(qkd_photon_state *state, const qkd_photon_draws *draws, int64_t time_ps,
                          double mean_ps) {
  if (state->waits_used == QKD_BATCH) {
    draws->waits(state->random, state->waits);
    state->waits_used = 0;
  }
  return after_wait(time_ps, state->waits[state->waits_used++] * mean_ps);
}

/* Brings a dark source to its present rate. */
static void retune(qkd_photon_state *state, const qkd_photon_draws *draws, int source,
                   double rate_hz) {
  const double before_hz = state->rate_hz[source];
  if (rate_hz == before_hz) return;
  int64_t *next = &state->next_ps[source];
  if (!(rate_hz > 0)) {
    *next = never;
  } else if (!(before_hz > 0) || *next == never) {
    *next = next_event(state, draws, state->now_ps, ps_per_s / rate_hz);
  } else {
    *next = after_wait(state->now_ps, (double)(*next - state->now_ps) * (before_hz / rate_hz));
  }
  state->rate_hz[source] = rate_hz;
}

/* What a pair does at the eight detectors, given that something is seen. */
static void weigh(const qkd_photon_table *table, double weight[SLOTS]) {
  for (int k = 0; k < SLOTS; k++) weight[k] = 0;
  for (int i = 0; i < NONE; i++) {
    for (int j = 0; j < NONE; j++) {
      const double z[2] = {table->basis_z_probability[0], table->basis_z_probability[1]};
      const double bases = (i < 2 ? z[0] : 1 - z[0]) * (j < 2 ? z[1] : 1 - z[1]);
      const double e = table->correlation[2 * (i / 2) + j / 2];
      const double share = bases * (i % 2 == j % 2 ? 1 + e : 1 - e) / 4;
      const double at_0 = table->transmission[0] * table->efficiency[i];
      const double at_1 = table->transmission[1] * table->efficiency[4 + j];
      weight[5 * i + j] += share * at_0 * at_1;
      weight[5 * i + NONE] += share * at_0 * (1 - at_1);
      weight[5 * NONE + j] += share * (1 - at_0) * at_1;
    }
  }
}

/* Each slot too light is filled up from one too heavy (Vose, IEEE Trans. Softw. Eng. 17, 972
 * (1991)). */
static void prepare(pair_lottery *lottery, const qkd_photon_table *table) {
  double weight[SLOTS];
  int light[SLOTS], heavy[SLOTS], lights = 0, heavies = 0;
  weigh(table, weight);
  lottery->seen = 0;
  for (int k = 0; k < OUTCOMES; k++) lottery->seen += weight[k];
  const double scale = lottery->seen > 0 ? SLOTS / lottery->seen : 0;
  for (int k = 0; k < SLOTS; k++) {
    weight[k] *= scale;
    lottery->cut[k] = threshold(1);
    for (int i = 0; i < 2; i++) lottery->outcome[i][k] = (uint8_t)(k / 5 | (k % 5) << 4);
    if (weight[k] < 1) light[lights++] = k;
    else heavy[heavies++] = k;
  }
  while (lights > 0 && heavies > 0) {
    const int small = light[--lights], large = heavy[heavies - 1];
    lottery->cut[small] = threshold(weight[small]);
    lottery->outcome[1][small] = lottery->outcome[0][large];
    weight[large] -= 1 - weight[small];
    if (weight[large] < 1) light[lights++] = heavy[--heavies];
  }
}

/* Draws the photons of the next pairs. */
static void draw_hits(qkd_photon_state *state, const qkd_photon_draws *draws,
                      const pair_lottery *lottery, double mean_ps) {
  double waits[QKD_BATCH];
  uint64_t words[QKD_BATCH];
  draws->waits(state->random, waits);
  draws->words(state->random, words);
  int64_t time_ps = state->pair_ps;
  size_t count = 0;
  for (size_t i = 0; i < QKD_BATCH; i++) {
    time_ps = after_wait(time_ps, waits[i] * mean_ps);
    const size_t slot = (size_t)(words[i] >> SLOT_SHIFT);
    const size_t second = (words[i] & UINT64_C(0xffffffff)) >= lottery->cut[slot];
    const unsigned outcome = lottery->outcome[second][slot];
    const unsigned end_0 = outcome & 0xF, end_1 = outcome >> 4;
    state->hit_times_ps[count] = time_ps;
    state->hit_detectors[count] = (uint8_t)end_0;
    count += end_0 < NONE;
    state->hit_times_ps[count] = time_ps;
    state->hit_detectors[count] = (uint8_t)(4 + end_1);
    count += end_1 < NONE;
  }
  state->pair_ps = time_ps;
  state->hits_used = 0;
  state->hits_count = count;
}

static inline void insert(output *out, int end, int64_t time_ps, uint8_t channel) {
  int64_t *times = out->times_ps[end];
  uint8_t *channels = out->channels[end];
  size_t i = out->count[end]++;
  while (i > 0 && times[i - 1] > time_ps) {
    times[i] = times[i - 1];
    channels[i] = channels[i - 1];
    i--;
  }
  times[i] = time_ps;
  channels[i] = channel;
}

/* An avalanche at a detector: a click, unless the detector is still dead, and perhaps an
 * afterpulse. Returns whether there is one. */
static inline int avalanche(qkd_photon_state *state, const qkd_photon_draws *draws, output *out,
                            int detector, int64_t time_ps) {
  const qkd_photon_table *table = &state->table;
  if (time_ps < state->ready_ps[detector]) return 0;
  if (state->clicks_used == QKD_BATCH) {
    draws->clicks(state->random, state->deviates, state->chances);
    state->clicks_used = 0;
  }
  const double deviate = state->deviates[state->clicks_used];
  const double chance = state->chances[state->clicks_used++] * 0x1p-32;
  const int64_t lift = 1 << 20; /* more than the jitter, so that the cast rounds down */
  const int64_t jitter_ps =
      (int64_t)(deviate * table->jitter_ps[detector] + 0.5 + (double)lift) - lift;
  state->ready_ps[detector] = after(time_ps, table->dead_time_ps[detector]);
  insert(out, detector / 4, time_ps + jitter_ps, (uint8_t)(detector % 4 + 1));
  if (!(chance < table->afterpulse_probability[detector])) return 0;
  int64_t *next = &state->next_ps[AFTERPULSES + detector];
  const int64_t pulse_ps = next_event(state, draws, state->ready_ps[detector],
                                      table->afterpulse_decay_ps[detector]);
  if (pulse_ps < *next) *next = pulse_ps;
  return 1;
}

static int earliest(const qkd_photon_state *state) {
  int best = 0;
  for (int i = 1; i < SOURCES; i++)
    if (state->next_ps[i] < state->next_ps[best]) best = i;
  return best;
}

/* Serves the hits up to a time while there is room; ends early after one that set an afterpulse. */
static void serve_hits(qkd_photon_state *state, const qkd_photon_draws *draws, output *out,
                       int64_t last_ps, size_t room) {
  const size_t count = state->hits_count - state->hits_used < room ? state->hits_count
                                                                   : state->hits_used + room;
  size_t i = state->hits_used;
  int pulsed = 0;
  while (i < count && state->hit_times_ps[i] <= last_ps && !pulsed) {
    pulsed = avalanche(state, draws, out, state->hit_detectors[i], state->hit_times_ps[i]);
    i++;
  }
  state->hits_used = i;
}

void qkd_photons_seed(qkd_photon_state *state, uint64_t seed, int64_t start_ps) {
  memset(state, 0, sizeof *state);
  for (int i = 0; i < 4 * QKD_LANES; i++) {
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    state->random[i] = z ^ (z >> 31);
  }
  state->now_ps = state->served_ps = state->pair_ps = start_ps;
  state->clicks_used = state->waits_used = QKD_BATCH;
  for (int i = 0; i < SOURCES; i++) state->next_ps[i] = never;
  for (int i = 0; i < DETECTORS; i++) state->ready_ps[i] = start_ps;
}

int64_t qkd_photons_generate(int tier, qkd_photon_state *state, const qkd_photon_table *table,
                             int64_t until_ps, size_t capacity, int64_t *times_ps,
                             uint8_t *channels, size_t counts[2]) {
  const qkd_photon_draws *draws = draws_of(tier);
  output out = {{times_ps, times_ps + capacity}, {channels, channels + capacity}, {0, 0}};
  counts[0] = counts[1] = 0;
  if (until_ps <= state->now_ps || capacity <= TAIL) return state->now_ps;

  if (memcmp(table, &state->table, sizeof *table) != 0) {
    state->table = *table;
    state->pair_ps = state->served_ps;
    state->hits_used = state->hits_count = 0;
    for (int i = 0; i < DETECTORS; i++) retune(state, draws, DARKS + i, table->dark_rate_hz[i]);
  }
  pair_lottery lottery;
  prepare(&lottery, table);
  const double seen_rate_hz = table->pair_rate_hz * lottery.seen;
  double widest_ps = 0;
  for (int i = 0; i < DETECTORS; i++)
    if (table->jitter_ps[i] > widest_ps) widest_ps = table->jitter_ps[i];
  const int64_t reach_ps = (int64_t)(6 * widest_ps) + 1;
  const int64_t horizon_ps = after(until_ps, reach_ps);
  for (int end = 0; end < 2; end++) {
    for (size_t i = 0; i < state->tail_count[end]; i++)
      insert(&out, end, state->tail_times_ps[TAIL * end + (int)i],
             state->tail_channels[TAIL * end + (int)i]);
    state->tail_count[end] = 0;
  }

  int64_t complete_ps = until_ps, served_ps;
  for (;;) {
    if (state->hits_used == state->hits_count && seen_rate_hz > 0)
      draw_hits(state, draws, &lottery, ps_per_s / seen_rate_hz);
    const int other = earliest(state);
    const int64_t hit_ps =
        state->hits_used < state->hits_count ? state->hit_times_ps[state->hits_used] : never;
    const int64_t other_ps = state->next_ps[other];
    const int64_t time_ps = hit_ps <= other_ps ? hit_ps : other_ps;
    const size_t fuller = out.count[0] > out.count[1] ? out.count[0] : out.count[1];
    if (time_ps >= horizon_ps || fuller >= capacity) {
      if (time_ps < horizon_ps) complete_ps = time_ps - reach_ps;
      served_ps = time_ps < horizon_ps ? time_ps : horizon_ps;
      break;
    }
    if (hit_ps <= other_ps) {
      serve_hits(state, draws, &out, other_ps < horizon_ps ? other_ps : horizon_ps - 1,
                 capacity - fuller);
    } else {
      const int detector = other % DETECTORS;
      const double rate_hz = other < AFTERPULSES ? table->dark_rate_hz[detector] : 0;
      state->next_ps[other] =
          rate_hz > 0 ? next_event(state, draws, time_ps, ps_per_s / rate_hz) : never;
      avalanche(state, draws, &out, detector, time_ps);
    }
  }

  if (served_ps > state->served_ps) state->served_ps = served_ps;
  if (complete_ps < state->now_ps) complete_ps = state->now_ps;
  for (int end = 0; end < 2; end++) {
    size_t done = out.count[end];
    while (done > 0 && out.times_ps[end][done - 1] >= complete_ps) done--;
    size_t held = out.count[end] - done;
    if (held > TAIL) {
      state->lost += held - TAIL;
      held = TAIL;
    }
    memcpy(state->tail_times_ps + TAIL * end, out.times_ps[end] + done,
           held * sizeof *state->tail_times_ps);
    memcpy(state->tail_channels + TAIL * end, out.channels[end] + done, held);
    state->tail_count[end] = held;
    counts[end] = done;
  }
  state->now_ps = complete_ps;
  return complete_ps;
}

void qkd_photons_on_clock(const int64_t *times_ps, size_t count, int64_t true_ps, int64_t own_ps,
                          double remainder_ps, double rate_error, int64_t *own_times_ps) {
  for (size_t i = 0; i < count; i++) {
    const int64_t elapsed_ps = times_ps[i] - true_ps;
    const double gained_ps = (double)elapsed_ps * rate_error + remainder_ps;
    own_times_ps[i] = own_ps + elapsed_ps + (int64_t)((gained_ps + 0x1.8p52) - 0x1.8p52);
  }
}
