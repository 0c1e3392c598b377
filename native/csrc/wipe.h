/* Zeros over a secret. */
#ifndef QKD_WIPE_H
#define QKD_WIPE_H

#include <stddef.h>
#include <string.h>

/* No compiler leaves these writes out, though nobody reads them. */
static inline void qkd_wipe(void *at, size_t bytes) {
  memset(at, 0, bytes);
  __asm__ volatile("" : : "r"(at) : "memory");
}

#endif
