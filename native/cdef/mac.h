/* Polynomial hash over GF(2^128): declarations read by C and by cffi. */

/* Absorbs whole 16-byte blocks: state = (state ^ block) * key, block by block, in a tier that
 * this machine has. */
void qkd_poly_absorb(uint8_t state[16], const uint8_t key[16], const uint8_t *blocks,
                     size_t block_count, int tier);

/* digest = the state after tail, zero padding to whole blocks, and a block that holds the bit length
 * of the whole message; tail has any length. */
void qkd_poly_finish(uint8_t digest[16], const uint8_t state[16], const uint8_t key[16],
                     const uint8_t *tail, size_t tail_bytes, uint64_t message_bytes, int tier);

/* The hash of each frame of a packed string (bit 0 of byte 0 first): of its bits, packed anew from
 * the frame's first on, zero padding, and its length in bytes. All frames hold frame_bits, above 0,
 * but for a shorter last one; digests receives 16 bytes a frame. */
void qkd_poly_frames(uint8_t *digests, const uint8_t key[16], const uint8_t *packed,
                     size_t bit_count, size_t frame_bits, int tier);
