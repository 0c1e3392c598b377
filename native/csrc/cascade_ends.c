#include "cascade_corrector.h"
#include "cascade_reference.h"

size_t qkd_cascade_ask(const qkd_cascade_plan *plan, uint64_t *bits, uint64_t *state,
                       const uint32_t *asked, const uint8_t *parities, size_t count,
                       uint32_t *questions, int tier) {
#if defined(__x86_64__)
  if (tier > 0) {
    return cascade_ask_avx2(plan, bits, state, asked, parities, count, questions, tier);
  }
#endif
  return cascade_ask(plan, bits, state, asked, parities, count, questions, tier);
}

size_t qkd_cascade_answer(const qkd_cascade_plan *plan, uint64_t *state, const uint32_t *questions,
                          size_t count, uint8_t *parities, int tier) {
#if defined(__x86_64__)
  if (tier > 0) return cascade_answer_avx2(plan, state, questions, count, parities, tier);
#endif
  return cascade_answer(plan, state, questions, count, parities, tier);
}
