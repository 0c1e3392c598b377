/* Cascade's questions from the peer: every tier alike, and only what the coder writes. */
#include "fuzz.h"

#include "questions.h"
#include "tier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const size_t count = take(&in, 2) % (8 * size + 2);
  uint8_t *bytes = rest(&in);
  uint32_t *portable = room(count, sizeof *portable);
  const int verdict = qkd_questions_decode(0, bytes, in.left, count, portable);
  for (int tier = 0; tier <= qkd_tier_best(); tier++) {
    uint32_t *questions = room(count, sizeof *questions);
    require(qkd_questions_decode(tier, bytes, in.left, count, questions) == verdict);
    require(verdict != 0 || memcmp(questions, portable, count * sizeof *questions) == 0);
    if (verdict == 0 && count > 0) {
      uint8_t *again = room(qkd_questions_room(count), 1);
      for (size_t i = 1; i < count; i++) require(questions[i] > questions[i - 1]);
      require(qkd_questions_encode(tier, questions, count, again) == in.left);
      require(memcmp(again, bytes, in.left) == 0);
      free(again);
    }
    free(questions);
  }
  free(portable);
  free(bytes);
  return 0;
}
