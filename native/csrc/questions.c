/* Coding of Cascade's questions: that of the sorted integers (deltas_impl.h) that are left when
 * each takes off its ordinal. What is coded of each question is so how far it lies above the least
 * number that it could be.
 */
#include <stddef.h>
#include <stdint.h>

#include "deltas_impl.h"
#include "questions.h"

enum { AT_ONCE = 8 * BLOCK };

size_t qkd_questions_room(size_t count) { return qkd_deltas_room(count); }

size_t qkd_questions_encode(int tier, const uint32_t *questions, size_t count, uint8_t *bytes) {
  int64_t values[AT_ONCE];
  int64_t before = 0;
  size_t written = 0;
  for (size_t done = 0; done < count; done += AT_ONCE) {
    const size_t taken = count - done < AT_ONCE ? count - done : AT_ONCE;
    for (size_t i = 0; i < taken; i++)
      values[i] = (int64_t)questions[done + i] - (int64_t)(done + i);
    const int64_t length = qkd_deltas_encode(tier, values, taken, before, bytes + written);
    if (length < 0) return 0;
    written += (size_t)length;
    before = values[taken - 1];
  }
  return written;
}

int qkd_questions_decode(int tier, const uint8_t *bytes, size_t length, size_t count,
                         uint32_t *questions) {
  int64_t values[AT_ONCE];
  int64_t before = 0;
  for (size_t done = 0; done < count; done += AT_ONCE) {
    const size_t taken = count - done < AT_ONCE ? count - done : AT_ONCE;
    const int64_t read = qkd_deltas_read(tier, bytes, length, taken, before, values);
    if (read < 0) return -1;
    bytes += read;
    length -= (size_t)read;
    before = values[taken - 1];
    /* They do not fall, so that the last is the largest. */
    if (before > (int64_t)UINT32_MAX - (int64_t)(done + taken - 1)) return -1;
    for (size_t i = 0; i < taken; i++)
      questions[done + i] = (uint32_t)(values[i] + (int64_t)(done + i));
  }
  return length == 0 ? 0 : -1;
}
