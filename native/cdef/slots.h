/* Which pulse of a pulsed link a tag belongs to: declarations read by C and by cffi. */

/* The grid of slots, how it follows the tags, and what became of them. */
typedef struct {
  int64_t slot;            /* a slot and its centre: whole ps and 2^-32 ps from 0 to 2^32 - 1 */
  int64_t centre_ps;
  int64_t centre_fraction;
  int64_t period;          /* 2^-32 ps, from 2^38 to 2^58 (64 ps to 67 us) */
  int64_t least_period;    /* tracking stays within these */
  int64_t most_period;
  int64_t gate;            /* 2^-32 ps: a tag further from its slot's centre is rejected */
  int64_t interval;        /* tags a tracking step, from 1 to 2^16 */
  int64_t phase_gain;      /* 1/256ths of the mean residual of a step that are made good */
  int64_t period_gain;
  int64_t tags;            /* of the step under way, with the accepted ones and the sum of their */
  int64_t gated;           /* residuals in 2^-16 ps */
  int64_t residuals;
  int64_t error;           /* mean residual of the last step, 2^-16 ps */
  int64_t last_slot;       /* of the newest accepted tag, if there is one */
  uint64_t accepted;
  uint64_t rejected;
  uint64_t repeated;       /* accepted tags in the slot of the accepted tag before */
} qkd_slot_grid;

/* Writes the slots and channels of the tags within the gate; returns how many, or -1, and leaves
 * the grid as it was, where a tag is 2^51 ps (37 minutes) or more from the last tracking step. The
 * outputs have room for count tags. */
int64_t qkd_slots_assign(int tier, qkd_slot_grid *grid, const int64_t *times,
                         const uint8_t *channels, size_t count, int64_t *slots,
                         uint8_t *slot_channels);
