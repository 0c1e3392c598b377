/* The photon generator: determinism in every tier, order, bounds of buffers. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "photons.h"
#include "test.h"
#include "tier.h"

enum { CAPACITY = 4096 };

static qkd_photon_table bright(void) {
  qkd_photon_table table = {.pair_rate_hz = 5e7,
                            .transmission = {0.5, 0.6},
                            .basis_z_probability = {0.7, 0.5},
                            .correlation = {0.9, 0.1, -0.1, 0.8}};
  for (int i = 0; i < 8; i++) {
    table.efficiency[i] = 0.8;
    table.dark_rate_hz[i] = 1e5;
    table.jitter_ps[i] = 350;
    table.afterpulse_probability[i] = 0.05;
    table.afterpulse_decay_ps[i] = 20000;
    table.dead_time_ps[i] = 45000;
  }
  return table;
}

static int64_t times[2 * CAPACITY], whole_times[2 * CAPACITY];
static uint8_t channels[2 * CAPACITY], whole_channels[2 * CAPACITY];

/* The first tier's clicks are those that all others must give, however the span is cut. */
static int same_clicks(int tier) {
  int failures = 0;
  const qkd_photon_table table = bright();
  const int64_t until = 30000000; /* 30 us */
  static qkd_photon_state state;
  size_t counts[2], whole[2], filled[2] = {0, 0};

  qkd_photons_seed(&state, 42, 0);
  failures += check(qkd_photons_generate(0, &state, &table, until, CAPACITY, whole_times,
                                         whole_channels, whole) == until,
                    "all room that is needed");
  failures += check(whole[0] > 300 && whole[1] > 300, "clicks at both ends");
  for (int end = 0; end < 2; end++)
    for (size_t i = 1; i < whole[end]; i++)
      failures += check(whole_times[CAPACITY * end + (int)i - 1] <=
                            whole_times[CAPACITY * end + (int)i],
                        "sorted");

  qkd_photons_seed(&state, 42, 0);
  for (int64_t t = 0; t < until;) {
    t = qkd_photons_generate(tier, &state, &table, t + 77777 < until ? t + 77777 : until, 300,
                             times, channels, counts);
    for (int end = 0; end < 2; end++) {
      const int64_t *part = times + 300 * end;
      failures += check(memcmp(part, whole_times + CAPACITY * end + filled[end],
                               counts[end] * sizeof *part) == 0,
                        "times do not depend on the calls");
      failures += check(memcmp(channels + 300 * end, whole_channels + CAPACITY * end + filled[end],
                               counts[end]) == 0,
                        "channels do not depend on the calls");
      filled[end] += counts[end];
    }
  }
  failures += check(filled[0] == whole[0] && filled[1] == whole[1], "as many clicks");
  failures += check(state.lost == 0, "nothing lost");
  return failures;
}

static int dark(void) {
  static qkd_photon_state state;
  const qkd_photon_table nothing = {0};
  size_t counts[2];
  qkd_photons_seed(&state, 1, 0);
  const int64_t end = qkd_photons_generate(0, &state, &nothing, INT64_C(1000000000000), CAPACITY,
                                           times, channels, counts);
  return check(end == INT64_C(1000000000000) && counts[0] + counts[1] == 0, "no light, no clicks");
}

int main(void) {
  int failures = dark();
  for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += same_clicks(tier);
  return failures ? 1 : 0;
}
