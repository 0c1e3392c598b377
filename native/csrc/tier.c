/* Run-time choice of instruction set. Nothing is remembered here: the caller asks once. */
#include <stddef.h>
#include <stdint.h>

#include "tier.h"

int qkd_tier_best(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                   __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") &&
                   __builtin_cpu_supports("pclmul");
  if (!avx2) return 0;
  const int avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
      __builtin_cpu_supports("gfni") && __builtin_cpu_supports("vpclmulqdq");
  return avx512 ? 2 : 1;
#else
  return 0;
#endif
}
