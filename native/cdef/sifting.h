/* Basis sift of event codes (bit 0 the bit, bit 1 the basis, 0 z and 1 x, bit 2 set for one of
 * several clicks at once): read by C and by cffi. Strings are packed as bits.h says. */

/* Takes count codes apart into a string of bits and one of bases, and overwrites them with zeros.
 * Returns how many came of several clicks. */
size_t qkd_sift_codes(int tier, uint8_t *codes, size_t count, uint64_t *bits, uint64_t *bases);

/* Keeps the bits of the events whose basis is the peer's, in order: the string of bits becomes that
 * of the z events, the string of bases that of the x events, the rest of both words zero.
 * peer_bases has (count + 7) / 8 bytes; kept[basis] says how many bits they are. */
void qkd_sift(int tier, uint64_t *bits, uint64_t *bases, const uint8_t *peer_bases, size_t count,
              size_t kept[2]);

/* Takes the codes at these indices; returns 0, or -1 if one lies outside. */
int qkd_sift_take(const uint8_t *codes, size_t codes_count, const int64_t *indices, size_t count,
                  uint8_t *taken);
