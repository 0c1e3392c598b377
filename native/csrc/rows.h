/* Merging of sorted vectors of keys (Batcher, AFIPS Spring Joint Computer Conference, 1968). Whoever
 * includes this has named vector, least, most, reversed and sort_bitonic, which sorts two bitonic
 * vectors, each by itself. */

/* Two sorted vectors to a sorted pair. */
INLINE void merge_vectors(vector *a, vector *b) {
  const vector turned = reversed(*b);
  *b = most(*a, turned);
  *a = least(*a, turned);
  sort_bitonic(a, b);
}

/* Two sorted pairs to four sorted vectors. */
INLINE void merge_pairs(vector v[4]) {
  const vector c = reversed(v[3]), d = reversed(v[2]);
  const vector low_a = least(v[0], c), high_a = most(v[0], c);
  const vector low_b = least(v[1], d), high_b = most(v[1], d);
  v[0] = least(low_a, low_b);
  v[1] = most(low_a, low_b);
  v[2] = least(high_a, high_b);
  v[3] = most(high_a, high_b);
  sort_bitonic(&v[0], &v[1]);
  sort_bitonic(&v[2], &v[3]);
}
