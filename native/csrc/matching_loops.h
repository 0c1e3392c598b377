/* The matcher's vector versions: blocks of a's against blocks of b's, some lanes of either at a
 * time. Each version includes this after it has named
 *   LANES       how many;
 *   numbers     so many int64, with load and store;
 *   on_clock    b's on the a's clock;
 *   partners    of each a: whether it has had a partner, whether several, and the place and the
 *               time of the last one; with look, which adds those in a block of b's;
 *   near        which of some numbers are within two windows above others;
 *   to_front    marked numbers, moved to the front in order;
 *   bytes_front the same of bytes in a word.
 *
 * Which block comes next is decided by the last numbers of both, so that no step waits for the
 * vectors of the one before it. Whether a block of a's is over stands for the same reason in no
 * branch, which would be guessed wrong half the time: its findings are written down in every step,
 * and stay there if it is.
 */
enum {
  MAPPED = 1024,     /* b's on the a's clock at a time */
  FOUND = 64,        /* blocks of a's whose findings are kept */
  AHEAD_BYTES = 4096 /* of a list: where it is read next shows too late for memory to be quick */
};

INLINE void fetch_ahead(const int64_t *list) {
  __builtin_prefetch((const void *)((uintptr_t)list + AHEAD_BYTES));
}

/* Consecutive b's on the a's clock, between one that is before all and, where b has ended, some
 * that are beyond all. */
typedef struct {
  size_t first;
  int64_t time_ps[1 + MAPPED];
} mapped;

/* From the b before b[j] on. */
static const int64_t *at(const mapped *m, size_t j) { return m->time_ps + (j - m->first); }

/* Blocks of a's, from a[first] on, and one more a; with the times before and after each of them. */
typedef struct {
  size_t first, blocks;
  const int64_t *at, *before, *after;
  const uint8_t *codes;
  uint32_t valid; /* the lanes that are a's */
} run;

static void map_from(const qkd_match_streams *s, size_t first, mapped *m) {
  const size_t left = s->b_count - first, count = left < MAPPED ? left : MAPPED;
  const int64_t *b = s->b + first;
  int64_t *mapped_ps = m->time_ps + 1;
  m->first = first;
  m->time_ps[0] = INT64_MIN;
  size_t i = 0;
  qkd_clock_near near = qkd_clock_at(&s->clock, count > 0 ? b[0] : 0);
  for (; count - i >= LANES; i += LANES) {
    fetch_ahead(b + i);
    if ((uint64_t)qkd_minus(b[i + LANES - 1], near.base_ps) >> 31) {
      near = qkd_clock_at(&s->clock, b[i]);
      if ((uint64_t)qkd_minus(b[i + LANES - 1], b[i]) >> 31) {
        for (size_t k = 0; k < LANES; k++) mapped_ps[i + k] = qkd_clock_map(&s->clock, b[i + k]);
        continue;
      }
    }
    store(mapped_ps + i, on_clock(&near, b + i));
  }
  for (; i < count; i++) mapped_ps[i] = qkd_clock_map(&s->clock, b[i]);
  for (; i < MAPPED; i++) mapped_ps[i] = INT64_MAX;
}

/* What was found of blocks of a's. */
typedef struct {
  uint32_t one[FOUND], many[FOUND];
  int64_t place[FOUND * LANES], time_ps[FOUND * LANES];
} findings;

/* Writes the pairs among the findings of blocks of a's. */
INLINE void write_pairs(const qkd_match_streams *s, const run *r, size_t block,
                        const findings *found, size_t count, qkd_match_out *out) {
  const int64_t window_ps = s->window_ps;
  int64_t residuals[FOUND * LANES];
  size_t counted = 0;
  for (size_t k = 0; k < count; k++, block++) {
    const size_t i = LANES * block;
    const numbers time_b = load(found->time_ps + LANES * k);
    const uint32_t shared = near(plus(time_b, window_ps), load(r->before + i), window_ps) |
                            near(load(r->after + i), plus(time_b, -window_ps), window_ps);
    const uint32_t some = found->one[k] & r->valid;
    uint32_t pairs = some & ~found->many[k] & ~shared;
    const size_t number = (size_t)__builtin_popcount(pairs);
    out->ambiguous += (size_t)__builtin_popcount(some) - number;
    if (out->residuals) {
      const numbers time = load(r->at + i);
      const numbers place = plus(load(found->place + LANES * k), out->first_b);
      pairs &= ~below(time, out->low_ps) & below(time, out->high_ps) & ~below(place, out->least_b);
      store(out->ib + out->kept_pairs, to_front(place, pairs));
      bytes_front(r->codes + i, pairs, out->kept + out->kept_pairs);
      store(residuals + counted, to_front(minus(plus(time, window_ps), time_b), pairs));
      const size_t kept = (size_t)__builtin_popcount(pairs);
      out->kept_pairs += kept;
      counted += kept;
    } else if (out->ia) {
      store(out->ia + out->pairs, to_front(plus(ordinals(), (int64_t)(r->first + i)), pairs));
      store(out->ib + out->pairs, to_front(load(found->place + LANES * k), pairs));
    }
    out->pairs += number;
  }
  for (size_t k = 0; k < counted; k++) out->residuals[residuals[k]]++;
}

/* Maps on where b[j] is not mapped, from the first b that may be a partner of a block of a's; 0
 * where the b's about the block are too many. */
static int map_on(const qkd_match_streams *s, const int64_t *a, size_t j, mapped *m) {
  size_t first = j;
  while (*at(m, first) >= a[0] - s->window_ps) first--;
  if (j - first > MAPPED / 2) {
    if (*at(m, j) >= a[LANES - 1] - s->window_ps) return 0;
    first = j; /* no later a has a partner before */
  }
  map_from(s, first, m);
  return 1;
}

/* Matches a run of a's with the b's from *next on, which it moves on; 0 where too crowded. */
INLINE int match_run(const qkd_match_streams *s, const run *r, mapped *m, size_t *next,
                     qkd_match_out *out) {
  const int64_t window_ps = s->window_ps;
  findings found;
  size_t j = *next;
  partners p = {all(0), all(0), 0, 0};
  /* A block of a's may have gone beyond b's that are partners of the one after it. */
  int64_t earliest_ps = r->at[0] - window_ps;
  for (size_t done = 0; done < r->blocks; done += FOUND) {
    const size_t left = r->blocks - done, blocks = left < FOUND ? left : FOUND;
    const int64_t *begin = r->at + LANES * done;
    for (size_t i = 0; i < LANES * blocks;) {
      const int64_t *a = begin + i;
      while (*at(m, j) >= earliest_ps) j--;
      if (j + LANES > m->first + MAPPED && !map_on(s, a, j, m)) return 0;
      const int64_t *b = at(m, j) + 1;
      fetch_ahead(a);
      p = look(p, a, b, (int64_t)j, window_ps);
      store(found.place + i, p.place);
      store(found.time_ps + i, p.time);
      found.one[i / LANES] = p.one;
      found.many[i / LANES] = p.many;
      /* All bits where the block of a's is over. */
      const int64_t over = -(int64_t)(b[LANES - 1] > a[LANES - 1] + window_ps);
      earliest_ps = ((a[LANES] - window_ps) & over) | (INT64_MAX & ~over);
      i += LANES & (size_t)over;
      j += LANES & (size_t)~over;
      p.one &= (uint32_t)~over;
      p.many &= (uint32_t)~over;
    }
    write_pairs(s, r, done, &found, blocks, out);
  }
  *next = j;
  return 1;
}

/* The first or the last a's as a run of one block, filled up with the last of them. */
typedef struct {
  int64_t at[LANES + 1], before[LANES], after[LANES];
  uint8_t codes[8];
} edge;

static run edge_run(const qkd_match_streams *s, const qkd_match_out *out, size_t first, edge *e) {
  const size_t left = s->a_count - first, count = left < LANES ? left : LANES;
  const int64_t *a = s->a + first;
  for (size_t k = 0; k < LANES; k++) {
    e->at[k] = a[k < count ? k : count - 1];
    e->before[k] = first + k > 0 && k < count ? *(a + k - 1) : INT64_MIN;
    e->after[k] = first + k + 1 < s->a_count ? a[k + 1] : INT64_MAX;
    e->codes[k] = out->codes && k < count ? out->codes[first + k] : 0;
  }
  e->at[LANES] = e->after[LANES - 1];
  return (run){first, 1, e->at, e->before, e->after, e->codes, (1u << count) - 1};
}

INLINE int match_blocks(const qkd_match_streams *s, qkd_match_out *out) {
  if (s->a_count == 0 || s->b_count == 0) return 1;
  mapped m;
  edge e;
  size_t next = 0;
  map_from(s, 0, &m);
  run r = edge_run(s, out, 0, &e);
  if (!match_run(s, &r, &m, &next, out)) return 0;
  if (s->a_count <= LANES) return 1;
  const size_t inner = (s->a_count - 1) / LANES - 1; /* blocks, with an a after the last */
  const int64_t *a = s->a + LANES;
  const uint8_t *codes = out->codes ? out->codes + LANES : NULL;
  r = (run){LANES, inner, a, a - 1, a + 1, codes, (1u << LANES) - 1};
  if (!match_run(s, &r, &m, &next, out)) return 0;
  r = edge_run(s, out, LANES * (1 + inner), &e);
  return match_run(s, &r, &m, &next, out);
}
