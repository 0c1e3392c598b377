/* The versions of the polynomial hash; state and key are whole elements, 16 bytes each. */
#ifndef QKD_MAC_IMPL_H
#define QKD_MAC_IMPL_H

#include <stddef.h>
#include <stdint.h>

void qkd_poly_absorb_portable(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                              size_t block_count);

#if defined(__x86_64__)
void qkd_poly_absorb_avx2(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                          size_t block_count);
void qkd_poly_absorb_avx512(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                            size_t block_count);
#endif

#endif
