/* Coding of Cascade's questions, ascending 32-bit numbers: declarations read by C and by cffi. */

/* Bytes that must be free for the coding of count questions. */
size_t qkd_questions_room(size_t count);

/* Writes the questions in Rice codes of their differences; returns the bytes written, or 0 where one
 * of them is not above its predecessor. count is not 0. */
size_t qkd_questions_encode(int tier, const uint32_t *questions, size_t count, uint8_t *bytes);

/* Reads exactly count questions from exactly length bytes; returns 0, or -1 for any bytes that
 * qkd_questions_encode would not have written. */
int qkd_questions_decode(int tier, const uint8_t *bytes, size_t length, size_t count,
                         uint32_t *questions);
