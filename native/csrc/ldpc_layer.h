/* One block row in vectors of any width: a version names its operations and includes this.
 *
 * The bits of a column that neighbouring checks take are neighbours, but for the wrap: a column's
 * first posteriors are repeated behind its end, and made equal again after the row.
 *
 * Packing int16 to bytes weaves the two halves lane by lane. Messages stay in that order, and lie
 * as they are used, step by step, edge by edge, for they stream through the cache; nobody else
 * reads them. Only the syndrome must be brought into the woven order.
 */
enum { LANES = sizeof(bytes), HALF = LANES / 2 };

INLINE bytes corrected(bytes a, bytes b, bytes table) {
  const bytes low = min_u8(a, b), high = max_u8(a, b);
  /* Beyond 15 the top bit is set, and the shuffle gives zero. */
  const bytes sixteen = all8(0x70);
  const bytes gain = shuffle(table, adds_u8(adds_u8(a, b), sixteen));
  const bytes loss = shuffle(table, adds_u8(sub8(high, low), sixteen));
  return subs_u8(add8(low, gain), loss);
}

INLINE void mend_wrap(int16_t *column, size_t size, size_t shift) {
  /* The row's last vector has renewed the first few behind the end, its first one the others. */
  static const int16_t ramp[2 * 64] = {
#define EIGHT -1, -1, -1, -1, -1, -1, -1, -1
      EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT,
#undef EIGHT
  };
  const int16_t *mask = ramp + 64 - shift % LANES;
  for (size_t k = 0; k < LANES; k += HALF) {
    const bytes behind = load(mask + k);
    const bytes last = and(behind, load(column + size + k));
    const bytes renewed = or(last, andnot(behind, load(column + k)));
    store(column + k, renewed);
    store(column + size + k, renewed);
  }
}

void LAYER(const qkd_ldpc_code *code, uint32_t row, const uint8_t *signs,
           int16_t *posteriors, uint8_t *messages) {
  int16_t others[LDPC_MAX_ROW * LANES];
  static const uint8_t correction[16] = LDPC_CORRECTION;
  const size_t size = code->size;
  const uint32_t first = code->row_start[row];
  const uint32_t degree = code->row_start[row + 1] - first;
  const qkd_ldpc_edge *edges = code->edges + first;
  const bytes table = repeat16(correction), zero = all8(0);
  for (size_t k = 0; k < size; k += LANES) {
    uint8_t *of_step = messages + first * size + k * degree;
    bytes odd = to_top_bit(weave(load(signs + k)));
    bytes least = all8(LDPC_FIRST), rest = least, least_edge = all8(-1);
    for (uint32_t e = 0; e < degree; e++) {
      const int16_t *bits = qkd_ldpc_column(code, posteriors, edges[e].column) +
                            qkd_ldpc_place(k, edges[e].shift, size);
      const bytes message = load(of_step + e * LANES);
      const bytes low = sub16(load(bits), unpack_low(message, zero));
      const bytes high = sub16(load(bits + HALF), unpack_high(message, zero));
      store(others + e * LANES, low);
      store(others + e * LANES + HALF, high);
      const bytes heard = pack16(low, high), reliability = abs8(heard);
      odd = xor(odd, heard);
      rest = corrected(rest, max_u8(least, reliability), table);
      least_edge = where_less_u8(reliability, least, all8((char)e), least_edge);
      least = min_u8(least, reliability);
    }
    const bytes all = corrected(rest, least, table);
    for (uint32_t e = 0; e < degree; e++) {
      int16_t *bits = qkd_ldpc_column(code, posteriors, edges[e].column) +
                      qkd_ldpc_place(k, edges[e].shift, size);
      const bytes low = load(others + e * LANES), high = load(others + e * LANES + HALF);
      const bytes told = where_equal8(least_edge, all8((char)e), rest, all);
      const bytes signed_told = negated_where_top(xor(odd, pack16(low, high)), told);
      const bytes message = xor(signed_told, all8((char)LDPC_BIAS));
      store(of_step + e * LANES, message);
      store(bits, add16(low, unpack_low(message, zero)));
      store(bits + HALF, add16(high, unpack_high(message, zero)));
    }
  }
  for (uint32_t e = 0; e < degree; e++)
    mend_wrap(qkd_ldpc_column(code, posteriors, edges[e].column), size, edges[e].shift);
}
