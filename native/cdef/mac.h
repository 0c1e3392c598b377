/* Polynomial hash over GF(2^128): declarations read by C and by cffi. */

/* Absorbs whole 16-byte blocks: state = (state ^ block) * key, block by block, in a tier that
 * this machine has. */
void qkd_poly_absorb(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                     size_t block_count, int tier);
