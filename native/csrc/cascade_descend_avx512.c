/* Eight ways at a time: all are at the same height, so that only words and bits differ. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi2")
#include <immintrin.h>

#include "cascade_descend.h"

typedef struct {
  __m512i words, bits, nodes;
  __mmask8 going, asked, found;
} ways;

static __mmask8 bits_set(__mmask8 in, __m512i words, __m512i bits) {
  return _mm512_mask_test_epi64_mask(in, _mm512_srlv_epi64(words, bits), _mm512_set1_epi64(1));
}

static __m512i odd_of(const parities *tier, __mmask8 in, __m512i words) {
  return _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), in, _mm512_add_epi64(words, words),
                                     &tier->odd, 8);
}

static __m512i known_of(const parities *tier, __mmask8 in, __m512i words) {
  return _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), in, _mm512_add_epi64(words, words),
                                     &tier->known, 8);
}

static void ask(ways *w, __mmask8 unknown, uint32_t level, __m512i indices) {
  const __m512i nodes = _mm512_or_si512(indices, _mm512_set1_epi64((int64_t)1 << level));
  w->nodes = _mm512_mask_mov_epi64(w->nodes, unknown, nodes);
  w->asked |= unknown;
  w->going = (__mmask8)(w->going & ~unknown);
}

static void walk(ways *w, const descent *d) {
  uint32_t tier = d->block_log2 / TIER_LEVELS;
  uint32_t height = d->block_log2 % TIER_LEVELS;
  for (;;) {
    const __m512i odd = odd_of(d->tiers[tier], w->going, w->words);
    const __m512i known = known_of(d->tiers[tier], w->going, w->words);
    for (; height > 0; height--) {
      const __m512i step = _mm512_set1_epi64((int64_t)1 << (height - 1));
      const __m512i left = _mm512_sub_epi64(w->bits, step);
      const __m512i right = _mm512_add_epi64(w->bits, step);
      const __mmask8 unknown = (__mmask8)(w->going & ~bits_set(w->going, known, left));
      ask(w, unknown, d->depth - TIER_LEVELS * tier - height + 1,
          _mm512_or_si512(_mm512_slli_epi64(w->words, TIER_LEVELS - height),
                          _mm512_srli_epi64(left, height)));
      const __mmask8 odd_left = bits_set(w->going, odd, left);
      w->going = odd_left | bits_set(w->going, odd, right);
      if (w->going == 0) return;
      w->bits = _mm512_mask_mov_epi64(right, odd_left, left);
    }
    w->words = _mm512_add_epi64(_mm512_slli_epi64(w->words, 5), _mm512_srli_epi64(w->bits, 1));
    if (tier == 0) {
      w->nodes = _mm512_mask_mov_epi64(w->nodes, w->going, w->words);
      w->found = w->going;
      return;
    }
    tier--;
    height = TIER_LEVELS - 1;
    w->bits = _mm512_set1_epi64(WORD_ROOT);
    w->words = _mm512_add_epi64(w->words, w->words);
    const __m512i after = _mm512_add_epi64(w->words, _mm512_set1_epi64(1));
    const __m512i left = known_of(d->tiers[tier], w->going, w->words);
    const __mmask8 unknown = (__mmask8)(w->going & ~bits_set(w->going, left, w->bits));
    ask(w, unknown, d->depth - TIER_LEVELS * tier - height, w->words);
    const __m512i lefts = odd_of(d->tiers[tier], w->going, w->words);
    const __m512i rights = odd_of(d->tiers[tier], w->going, after);
    const __mmask8 odd_left = bits_set(w->going, lefts, w->bits);
    w->going = odd_left | bits_set(w->going, rights, w->bits);
    if (w->going == 0) return;
    w->words = _mm512_mask_mov_epi64(after, odd_left, w->words);
  }
}

void cascade_descend_avx512(descent *d, uint32_t *nodes) {
  const __m512i each = _mm512_set_epi8(
      63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41,
      40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
      17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const uint32_t height = d->block_log2 % TIER_LEVELS;
  const uint32_t count = (uint32_t)__builtin_popcountll(d->odd);
  uint8_t places[64];
  uint32_t reached[64];
  uint64_t asked = 0;
  uint64_t found = 0;
  _mm512_storeu_si512(places, _mm512_maskz_compress_epi8(d->odd, each));
  for (uint32_t i = 0; i < count; i += 8) {
    const __m128i eight = _mm_loadl_epi64((const __m128i *)(const void *)(places + i));
    const __m512i blocks =
        _mm512_add_epi64(_mm512_cvtepu8_epi64(eight), _mm512_set1_epi64(d->first_block));
    const __m512i middles = _mm512_slli_epi64(
        _mm512_add_epi64(_mm512_add_epi64(blocks, blocks), _mm512_set1_epi64(1)), height);
    ways w;
    w.words = _mm512_srli_epi64(blocks, TIER_LEVELS - 1 - height);
    w.bits = _mm512_and_si512(_mm512_sub_epi64(middles, _mm512_set1_epi64(1)),
                              _mm512_set1_epi64(63));
    w.nodes = _mm512_setzero_si512();
    w.going = (__mmask8)(count - i < 8 ? (1u << (count - i)) - 1 : 0xFFu);
    w.asked = w.found = 0;
    walk(&w, d);
    _mm256_storeu_si256((__m256i *)(void *)(reached + i), _mm512_cvtepi64_epi32(w.nodes));
    asked |= (uint64_t)w.asked << i;
    found |= (uint64_t)w.found << i;
  }
  for (uint32_t i = 0, part = 0; part < 64; part += 16) {
    const __mmask16 here = (__mmask16)(d->odd >> part);
    _mm512_mask_storeu_epi32(nodes + part, here, _mm512_maskz_expandloadu_epi32(here, reached + i));
    i += (uint32_t)__builtin_popcount(here);
  }
  d->asked = _pdep_u64(asked, d->odd);
  d->found = _pdep_u64(found, d->odd);
}
#endif
