/* Random dither of detection times: the portable version, and the choice. */
#include "dither_impl.h"

void qkd_dither(int tier, qkd_dither_state *state, uint32_t step_ps, const int64_t *times,
                size_t count, int64_t *dithered) {
#if defined(__x86_64__)
  if (tier > 1) {
    qkd_dither_avx512(state, step_ps, times, count, dithered);
    return;
  }
  if (tier) {
    qkd_dither_avx2(state, step_ps, times, count, dithered);
    return;
  }
#else
  (void)tier;
#endif
  dither(state, step_ps, times, count, dithered);
}
