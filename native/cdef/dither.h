/* Random dither of detection times: declarations read by C and by cffi. */

/* Where the random stream stands; the key is secret. */
typedef struct {
  uint32_t key[8];
  uint64_t next_block;
} qkd_dither_state;

/* dithered[i] = times[i] + floor(step_ps * u[i] / 2^32), with u fresh words of the ChaCha stream
 * of eight rounds. A call begins with a block of its own. The two arrays may be the same one. */
void qkd_dither(int tier, qkd_dither_state *state, uint32_t step_ps, const int64_t *times,
                size_t count, int64_t *dithered);
