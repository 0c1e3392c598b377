/* Times to ticks and back, with AVX-512. */
#if defined(__x86_64__)
#include "ticks_impl.h"

void qkd_ticks_of_avx512(const int64_t *times, size_t count, int64_t resolution_ps,
                         int64_t *ticks) {
  ticks_of(times, count, resolution_ps, ticks);
}

void qkd_ticks_begin_avx512(int64_t *ticks, size_t count, int64_t resolution_ps) {
  ticks_begin(ticks, count, resolution_ps);
}

int qkd_ticks_copy_avx512(const int64_t *times, size_t count, int64_t *held) {
  return ticks_copy(times, count, held);
}
#endif
