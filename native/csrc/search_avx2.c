/* The search's loops with AVX2. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define LANES 8
#include "search_loops.h"

const qkd_search_loops qkd_search_avx2 = {correlate, flatten, lines};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_avx2;
#endif
