/* Cascade's questions from the peer: only what the coder writes. */
#include "fuzz.h"

#include "questions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const size_t count = take(&in, 2) % (8 * size + 2);
  uint8_t *bytes = rest(&in);
  uint32_t *questions = room(count, sizeof *questions);
  if (qkd_questions_decode(bytes, in.left, count, questions) == 0 && count > 0) {
    uint8_t *again = room(qkd_questions_room(count), 1);
    for (size_t i = 1; i < count; i++) require(questions[i] > questions[i - 1]);
    require(qkd_questions_encode(questions, count, again) == in.left);
    require(memcmp(again, bytes, in.left) == 0);
    free(again);
  }
  free(questions);
  free(bytes);
  return 0;
}
