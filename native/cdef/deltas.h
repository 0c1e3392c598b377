/* Variable-length coding of sorted integers: declarations read by C and by cffi. */

/* Writes the differences of the values, the first against start, seven bits a byte with the low
 * ones first and the high bit set on all but the last byte of each. Needs 9 bytes a value.
 * Returns the bytes written, or -1 where a value is below its predecessor. */
int64_t qkd_deltas_encode(int tier, const int64_t *values, size_t count, int64_t start,
                          uint8_t *bytes);

/* Reads exactly count values from exactly length bytes; returns 0, or -1 for any bytes that
 * qkd_deltas_encode would not have written. */
int qkd_deltas_decode(int tier, const uint8_t *bytes, size_t length, size_t count, int64_t start,
                      int64_t *values);
