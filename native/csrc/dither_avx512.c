/* Random dither of detection times, with AVX-512. */
#if defined(__x86_64__)
#include "dither_impl.h"

void qkd_dither_avx512(qkd_dither_state *state, uint32_t step_ps, const int64_t *times, size_t count,
                     int64_t *dithered) {
  dither(state, step_ps, times, count, dithered);
}
#endif
