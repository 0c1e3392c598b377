/* Photon pairs and what the detectors of both ends make of them: read by C and by cffi.
 *
 * Ends are 0 and 1. Detectors are numbered 4 * end + 2 * basis + bit; channels are that number
 * modulo 4, plus 1. Times are int64 picoseconds of true time.
 */

/* The optical table as it stands during one call. */
typedef struct {
  double pair_rate_hz;
  double transmission[2];             /* of each arm, without the detectors */
  double basis_z_probability[2];      /* of each passive analyser */
  double correlation[4];              /* E of (basis at end 0, basis at end 1), row by row */
  double efficiency[8];
  double dark_rate_hz[8];
  double jitter_ps[8];                /* standard deviation; at most 100 ns */
  double afterpulse_probability[8];
  double afterpulse_decay_ps[8];
  int64_t dead_time_ps[8];
} qkd_photon_table;

/* The generator; a call continues where the last one ended. */
typedef struct {
  uint64_t random[32];                /* eight generators side by side */
  int64_t now_ps;
  int64_t served_ps;                  /* pairs before this have been served */
  int64_t pair_ps;                    /* the last pair drawn */
  size_t hits_used, hits_count;       /* photons of pairs drawn ahead, in time order */
  int64_t hit_times_ps[513];
  uint8_t hit_detectors[513];
  size_t clicks_used;                 /* what a click draws: its jitter, its chance */
  double deviates[256];
  uint32_t chances[256];
  size_t waits_used;                  /* unit exponential waits of the other sources */
  double waits[256];
  int64_t next_ps[16];                /* of the other sources: 8 darks, 8 afterpulses */
  double rate_hz[16];                 /* at which next_ps was drawn */
  int64_t ready_ps[8];
  qkd_photon_table table;             /* for which the hits were drawn */
  uint64_t lost;                      /* clicks beyond the room for those of the next call */
  size_t tail_count[2];
  int64_t tail_times_ps[512];
  uint8_t tail_channels[512];
} qkd_photon_state;

/* Starts the generator at a time; one seed gives one sequence. */
void qkd_photons_seed(qkd_photon_state *state, uint64_t seed, int64_t start_ps);

/* Generates the clicks from state->now_ps up to until_ps, sorted by time, for both ends.
 *
 * times_ps and channels hold capacity entries for end 0, then as many for end 1; counts receives
 * how many were written for each. Returns the time up to which the output is complete: until_ps,
 * or less if an end's room ran out; call again to go on. The clicks do not depend on how a span is
 * cut into calls while the table stays the same.
 */
int64_t qkd_photons_generate(int tier, qkd_photon_state *state, const qkd_photon_table *table,
                             int64_t until_ps, size_t capacity, int64_t *times_ps,
                             uint8_t *channels, size_t counts[2]);

/* Reads times on a clock that stood at own_ps + remainder_ps at true_ps and gains rate_error of
 * whatever passes: own_times_ps = own_ps + elapsed + the gain, rounded to even. May be in place. */
void qkd_photons_on_clock(const int64_t *times_ps, size_t count, int64_t true_ps, int64_t own_ps,
                          double remainder_ps, double rate_error, int64_t *own_times_ps);
