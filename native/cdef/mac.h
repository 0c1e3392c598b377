/* Polynomial hash over GF(2^128): declarations read by C and by cffi. */

/* Absorbs whole 16-byte blocks: state = (state ^ block) * key, block by block, in a tier that
 * this machine has. */
void qkd_poly_absorb(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                     size_t block_count, int tier);

/* digest = the state after tail, zero padding to whole blocks, and a block that holds the bit length
 * of the whole message; tail has any length. */
void qkd_poly_finish(uint8_t digest[16], const uint8_t state[16], const uint8_t key[16],
                     const uint8_t *tail, size_t tail_bytes, uint64_t message_bytes, int tier);
