/* The search's loops with AVX512. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define LANES 16
#include "search_loops.h"

const qkd_search_loops qkd_search_avx512 = {correlate, flatten, lines};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_avx512;
#endif
