/* The kernels against known answers that Python reads too, in every tier. */
#include "vectors.h"

#include "bits.h"
#include "cascade.h"
#include "clicks.h"
#include "decode.h"
#include "deltas.h"
#include "gf2x.h"
#include "mac.h"
#include "matching.h"
#include "photons.h"

static int mac(const vector *v, int tier) {
  size_t size, ignored;
  uint8_t *key = given(v, "key", &ignored), digest[16] = {0};
  int failures;
  if (is(v, "absorb")) {
    uint8_t *blocks = given(v, "blocks", &size);
    qkd_poly_absorb(digest, key, blocks, size / 16, tier);
    failures = wrong_bytes(v, "digest", digest, 16);
    free(blocks);
  } else if (is(v, "hash")) {
    const uint8_t start[16] = {0};
    uint8_t *message = given(v, "message", &size);
    qkd_poly_finish(digest, start, key, message, size, size, tier);
    failures = wrong_bytes(v, "digest", digest, 16);
    free(message);
  } else {
    uint8_t *string = given(v, "string", &size);
    const size_t bits = (size_t)number(v, "bits"), frame_bits = (size_t)number(v, "frame_bits");
    const size_t frames = (bits + frame_bits - 1) / frame_bits;
    uint8_t *digests = room(frames, 16);
    qkd_poly_frames(digests, key, string, bits, frame_bits, tier);
    failures = wrong_bytes(v, "digest", digests, 16 * frames);
    free(digests);
    free(string);
  }
  free(key);
  return failures;
}

static int gf2x(const vector *v, int tier) {
  size_t a_bytes, b_bytes;
  uint64_t *a = given(v, "a", &a_bytes), *b = given(v, "b", &b_bytes);
  const size_t first = (size_t)number(v, "first"), count = (size_t)number(v, "count");
  uint64_t *window = room(count, 8);
  uint64_t *scratch = room(qkd_gf2x_scratch_words(count, a_bytes / 8, b_bytes / 8), 8);
  qkd_gf2x_window(window, first, count, a, a_bytes / 8, b, b_bytes / 8, scratch, tier);
  const int failures = wrong_bytes(v, "window", window, 8 * count);
  free(scratch);
  free(window);
  free(a);
  free(b);
  return failures;
}

static int decode(const vector *v, int tier) {
  size_t size, tags;
  uint8_t *bytes = given(v, "input", &size);
  int64_t *times = room(4 * size, 8);
  uint8_t *channels = room(4 * size, 1);
  qkd_tdc1 tdc1 = {0};
  qkd_t2 t2 = {0};
  qkd_word_counts counts = {0};
  if (is(v, "tdc1")) {
    tags = qkd_tdc1_decode(tier, &tdc1, bytes, size, times, channels);
  } else if (is(v, "legacy")) {
    tags = qkd_legacy_decode(tier, bytes, size / 8, times, channels, &counts);
  } else if (is(v, "t2")) {
    tags = qkd_t2_decode(tier, &t2, bytes, size / 4, (int)number(v, "flavour"),
                         (int32_t)number(v, "tick_ps"), times, channels);
  } else if (is(v, "qutag")) {
    qkd_qutag_decode(bytes, tags = size / 10, times, channels);
  } else if (is(v, "uint64")) {
    qkd_uint64_decode(bytes, tags = size / 8, 1, times);
  } else {
    tags = qkd_a1_decode(tier, bytes, size / 8, is(v, "a1_swapped"), times, channels, &counts);
  }
  const int failures = wrong_number(v, "tags", tags) + wrong_bytes(v, "times", times, 8 * tags) +
                       wrong_bytes(v, "channels", channels, tags);
  free(channels);
  free(times);
  free(bytes);
  return failures;
}

static int matching(const vector *v, int tier) {
  size_t a_bytes, b_bytes;
  uint64_t ambiguous;
  int64_t *a = given(v, "a", &a_bytes), *b = given(v, "b", &b_bytes);
  const size_t most = a_bytes / 8 + QKD_MATCH_SPARE;
  int64_t *ia = room(most, 8), *ib = room(most, 8);
  const size_t pairs = qkd_match(tier, a, a_bytes / 8, b, b_bytes / 8, 0, number(v, "shift_ps"), 0,
                                 number(v, "window_ps"), ia, ib, &ambiguous);
  const int failures = wrong_number(v, "pairs", pairs) +
                       wrong_number(v, "ambiguous", ambiguous) +
                       wrong_bytes(v, "ia", ia, 8 * pairs) + wrong_bytes(v, "ib", ib, 8 * pairs);
  free(ib);
  free(ia);
  free(b);
  free(a);
  return failures;
}

static int deltas(const vector *v, int tier) {
  size_t size;
  int64_t *values = given(v, "values", &size);
  const size_t count = size / 8;
  const int64_t start = number(v, "start");
  uint8_t *bytes = room(qkd_deltas_room(count), 1);
  int64_t *again = room(count, 8);
  const int64_t length = qkd_deltas_encode(tier, values, count, start, bytes);
  int failures = wrong_number(v, "length", (uint64_t)length) +
                 wrong_bytes(v, "bytes", bytes, (size_t)length);
  failures += qkd_deltas_decode(tier, bytes, (size_t)length, count, start, again) != 0 ||
              memcmp(again, values, size) != 0;
  free(again);
  free(bytes);
  free(values);
  return failures;
}

static int clicks(const vector *v, int tier) {
  size_t size, ignored;
  int64_t *times = given(v, "times", &size), delays[256] = {0};
  uint8_t *channels = given(v, "channels", &ignored);
  const size_t count = size / 8;
  int64_t *held_times = room(count, 8), *event_times = room(count + 1, 8);
  uint8_t *held_codes = room(count, 1), *event_codes = room(count + 1, 1), codes[256];
  uint64_t per_channel[256] = {0};
  memset(codes, 255, sizeof codes);
  for (uint8_t i = 0; i < 4; i++) codes[i + 1] = i;
  for (size_t i = 0; i < count; i++) channels[i] = channels[i] % 6;
  delays[2] = number(v, "delay_ps");
  qkd_click_order order = {0};
  qkd_click_resolver resolver = {0};
  order.reorder_ps = number(v, "reorder_ps") + delays[2];
  resolver.window_ps = number(v, "window_ps");
  resolver.dead_time_ps = number(v, "dead_time_ps");
  qkd_clicks_order(tier, &order, times, channels, count, delays, codes, held_times, held_codes,
                   per_channel);
  size_t events = qkd_clicks_resolve(tier, &resolver, held_times, held_codes, order.held,
                                     event_times, event_codes);
  events += qkd_clicks_close(&resolver, event_times + events, event_codes + events);
  uint8_t *drawn = room(events / 4 + 1, 1);
  memset(drawn, (int)(0x55 * number(v, "drawn_bits")), events / 4 + 1);
  qkd_clicks_draw(event_codes, events, drawn);
  const int failures = wrong_number(v, "events", events) +
                       wrong_number(v, "multi", resolver.multi) +
                       wrong_bytes(v, "event_times", event_times, 8 * events) +
                       wrong_bytes(v, "event_codes", event_codes, events);
  free(event_codes);
  free(held_codes);
  free(event_times);
  free(held_times);
  free(drawn);
  free(channels);
  free(times);
  return failures;
}

static int cascade(const vector *v, int tier) {
  size_t passes;
  uint8_t *blocks = given(v, "blocks", &passes);
  const uint32_t bits = (uint32_t)number(v, "bits");
  uint64_t seed = (uint64_t)number(v, "seed");
  uint32_t depth = 1;
  while ((UINT32_C(1) << depth) < bits) depth++;
  uint64_t *truth = room((bits + 63) / 64, 8), *noisy = room((bits + 63) / 64, 8);
  for (uint32_t i = 0; i < bits; i++) {
    const uint64_t word = splitmix64(&seed);
    const uint64_t wrong = (word >> 32) % (uint64_t)number(v, "errors_one_in") == 0;
    truth[i / 64] |= (word & 1) << (i % 64);
    noisy[i / 64] |= ((word & 1) ^ wrong) << (i % 64);
  }
  uint16_t *leaves = room(passes * bits, 2), *places = room(passes << depth, 2);
  uint16_t *order = room(bits, 2);
  for (size_t pass = 0; pass < passes; pass++) {
    uint64_t *draws = room(bits, 8);
    for (uint32_t i = 0; i < bits; i++) {
      draws[i] = splitmix64(&seed);
      order[i] = (uint16_t)i;
    }
    for (uint32_t i = bits - 1; i > 0; i--) {
      const uint64_t j = draws[i] % (i + 1);
      const uint16_t swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    for (uint32_t i = 0; i < bits; i++) {
      const uint32_t leaf = (uint32_t)(((uint64_t)i << depth) / bits);
      leaves[pass * bits + order[i]] = (uint16_t)leaf;
      places[(pass << depth) + leaf] = order[i];
    }
    free(draws);
  }
  qkd_cascade_plan plan = {1, bits, bits, depth, (uint32_t)passes, {0}, leaves, places,
                           leaves, places, NULL, NULL};
  memcpy(plan.block_log2, blocks, passes);
  uint64_t *corrector = room(qkd_cascade_state_words(&plan), 8);
  uint64_t *reference = room(qkd_cascade_state_words(&plan), 8);
  const size_t most = qkd_cascade_round_questions(&plan);
  uint32_t *questions = room(most, 4), *given_questions = room(most, 4), *asked = NULL;
  uint8_t *parities = room(most, 1);
  size_t rounds = 0, total = 0, left, answered = 0, count;
  int failures = 0;
  qkd_cascade_begin(&plan, noisy, corrector, tier);
  qkd_cascade_begin(&plan, truth, reference, tier);
  while ((count = qkd_cascade_ask(&plan, noisy, corrector, given_questions, parities, answered,
                                  questions, tier)) > 0) {
    failures +=
        qkd_cascade_answer(&plan, reference, questions, count, parities, tier) != count;
    memcpy(given_questions, questions, 4 * count);
    answered = count;
    asked = realloc(asked, 4 * (total + count));
    if (asked == NULL) broken("no memory");
    memcpy(asked + total, questions, 4 * count);
    total += count;
    rounds++;
  }
  left = qkd_bits_differ(tier, truth, noisy, (bits + 63) / 64);
  failures += wrong_number(v, "rounds", rounds) + wrong_number(v, "questions", total) +
              wrong_bytes(v, "asked", asked, 4 * total) + wrong_number(v, "left", left);
  free(asked);
  free(parities);
  free(given_questions);
  free(questions);
  free(reference);
  free(corrector);
  free(order);
  free(places);
  free(leaves);
  free(noisy);
  free(truth);
  free(blocks);
  return failures;
}

static int photons(const vector *v, int tier) {
  enum { CAPACITY = 1 << 14 };
  static qkd_photon_state state;
  qkd_photon_table table = {.pair_rate_hz = (double)number(v, "pair_rate_hz")};
  const double e = (double)number(v, "correlation_permille") / 1000;
  for (int end = 0; end < 2; end++) {
    table.transmission[end] = (double)number(v, "transmission_permille") / 1000;
    table.basis_z_probability[end] = end == 0 ? 0.5 : 0.25;
    table.correlation[3 * end] = e;
  }
  for (int i = 0; i < 8; i++) {
    table.efficiency[i] = (double)number(v, "efficiency_permille") / 1000;
    table.dark_rate_hz[i] = (double)number(v, "dark_rate_hz");
    table.jitter_ps[i] = (double)number(v, "jitter_ps");
    table.dead_time_ps[i] = number(v, "dead_time_ps");
    table.afterpulse_probability[i] = (double)number(v, "afterpulse_permille") / 1000;
    table.afterpulse_decay_ps[i] = 50000;
  }
  int64_t *times = room(2 * CAPACITY, 8);
  uint8_t *channels = room(2 * CAPACITY, 1);
  size_t counts[2];
  qkd_photons_seed(&state, (uint64_t)number(v, "seed"), 0);
  const int64_t until_ps = number(v, "until_ps");
  int failures = qkd_photons_generate(tier, &state, &table, until_ps, CAPACITY, times, channels,
                                      counts) != until_ps;
  failures += wrong_number(v, "clicks_0", counts[0]) + wrong_number(v, "clicks_1", counts[1]) +
              wrong_bytes(v, "times_0", times, 8 * counts[0]) +
              wrong_bytes(v, "times_1", times + CAPACITY, 8 * counts[1]) +
              wrong_bytes(v, "channels_0", channels, counts[0]) +
              wrong_bytes(v, "channels_1", channels + CAPACITY, counts[1]);
  free(channels);
  free(times);
  return failures;
}

int main(void) {
  const int failures = family("mac", mac) + family("gf2x", gf2x) + family("decode", decode) +
                       family("matching", matching) + family("deltas", deltas) +
                       family("clicks", clicks) + family("cascade", cascade) +
                       family("photons", photons);
  return failures != 0;
}
