/* Basis sift of event codes (bit 0 the bit, bit 1 the basis: 0 z, 1 x): read by C and by cffi.
 * Packed bits stand in a byte from the low one on, zeros after the last. */

/* Packs the bases of the codes. */
void qkd_sift_bases(int tier, const uint8_t *codes, size_t count, uint8_t *bases);

/* Own bits of the events whose packed peer basis is their own, in order, one a byte: those of
 * basis z and those of basis x. Both outputs hold count bytes; kept[basis] of them are results, the
 * others hold no bits. */
void qkd_sift(int tier, const uint8_t *codes, const uint8_t *peer_bases, size_t count, uint8_t *z,
              uint8_t *x, size_t kept[2]);

/* The same, packed; the outputs hold (count + 7) / 8 bytes. */
void qkd_sift_packed(int tier, const uint8_t *codes, const uint8_t *peer_bases, size_t count,
                     uint8_t *z, uint8_t *x, size_t kept[2]);

/* Takes the codes at these indices; returns 0, or -1 if one lies outside. */
int qkd_sift_take(const uint8_t *codes, size_t codes_count, const int64_t *indices, size_t count,
                  uint8_t *taken);

/* Copies the codes but for those at these indices, which must rise; kept holds codes_count -
 * dropped_count. Returns 0, or -1 if an index lies outside or does not rise. */
int qkd_sift_drop(const uint8_t *codes, size_t codes_count, const int64_t *dropped,
                  size_t dropped_count, uint8_t *kept);
