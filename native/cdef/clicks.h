/* From detector clicks to events: declarations read by C and by cffi. */

/* Clicks in time order that may still be overtaken by a late one, and what was refused. */
typedef struct {
  int64_t newest_ps;      /* latest delay-corrected time seen */
  int64_t reorder_ps;     /* a click this far behind the newest is still put in its place */
  size_t held;            /* clicks in the buffers */
  uint64_t non_monotone;  /* clicks too far behind, dropped */
  uint64_t unmapped;      /* clicks on channels without a code: no events, but dead time */
  int started;            /* newest_ps is valid */
} qkd_click_order;

/* The event under construction, the dead time, and what became of the clicks. */
typedef struct {
  int64_t window_ps;
  int64_t dead_time_ps;
  int64_t first_ps;       /* first click of the open event */
  int64_t last_ps;        /* last click seen, kept or dropped */
  uint8_t code;           /* code of the open event's first click */
  uint8_t bases;          /* bit 0: a z click in it, bit 1: an x click */
  int open;
  int started;            /* last_ps is valid */
  uint32_t members;       /* clicks in the open event */
  uint64_t multi;         /* events of more than one click */
  uint64_t dropped_dead_time;
} qkd_click_resolver;

/* Subtracts each channel's delay and inserts the clicks into the held ones, in time order.
 * codes[channel] is the event code (0..3), anything above for an unmapped channel. The buffers
 * hold held_times[i], and held_codes[i] = code (4 if unmapped); they must have room for
 * order->held + count. per_channel[256] counts the mapped clicks. */
void qkd_clicks_order(int tier, qkd_click_order *order, const int64_t *times,
                      const uint8_t *channels, size_t count, const int64_t delays_ps[256],
                      const uint8_t codes[256], int64_t *held_times, uint8_t *held_codes,
                      uint64_t per_channel[256]);

/* How many of the held clicks no acceptable late click can precede any more. */
size_t qkd_clicks_ready(const qkd_click_order *order, const int64_t *held_times);

/* Joins ordered clicks to events; returns how many events it wrote, at most count. The outputs
 * hold count + 1 entries. An event of several clicks has code 4 + 2 basis, or 4 + 8 if they are of
 * both bases: its bits are still to be drawn. */
size_t qkd_clicks_resolve(int tier, qkd_click_resolver *resolver, const int64_t *times,
                          const uint8_t *codes, size_t count, int64_t *event_times,
                          uint8_t *event_codes);

/* Closes the open event; returns 0 or 1 events. The dead time goes on. */
size_t qkd_clicks_close(qkd_click_resolver *resolver, int64_t *event_times, uint8_t *event_codes);

/* Draws the bits of events of several clicks, in order: bits 2 (i % 4) of drawn[i / 4] and up are
 * those of the i-th, the first of them alone where the basis is given. */
void qkd_clicks_draw(uint8_t *event_codes, size_t count, const uint8_t *drawn);
