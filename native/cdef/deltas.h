/* Coding of sorted integers by their differences: declarations read by C and by cffi. */

/* Bytes that must be free for the coding of count values. */
size_t qkd_deltas_room(size_t count);

/* Writes the values in Rice codes of their differences, the first against start; returns the bytes
 * written, or -1 where a value is below its predecessor or 2^63 or more above start. */
int64_t qkd_deltas_encode(int tier, const int64_t *values, size_t count, int64_t start,
                          uint8_t *bytes);

/* Reads exactly count values from exactly length bytes; returns 0, or -1 for any bytes that
 * qkd_deltas_encode would not have written. */
int qkd_deltas_decode(int tier, const uint8_t *bytes, size_t length, size_t count, int64_t start,
                      int64_t *values);
