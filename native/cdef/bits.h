/* Strings of bits, 64 a word: bit i is bit i % 64 of word i / 64, and beyond the last bit stand
 * zeros. Declarations read by C and by cffi. */

/* How many bits of two strings of so many words differ. */
size_t qkd_bits_differ(int tier, const uint64_t *a, const uint64_t *b, size_t words);

/* Keeps those of count bits whose indices are listed, or with listed_kept 0 all others, in order and
 * in place; what was behind them becomes zero. Returns 0; or -1, the string as it was, where the
 * indices do not rise within it. */
int qkd_bits_keep(int tier, uint64_t *bits, size_t count, const int64_t *listed,
                  size_t listed_count, int listed_kept);

/* Overwrites words with zeros, as no compiler leaves out. */
void qkd_bits_wipe(uint64_t *words, size_t count);
