/* Tags that come channel by channel, as uint64 ps, little-endian: declarations read by C and by cffi. */

/* The words of channels 1 to 4 on their way into one stream. Those of channel i + 1 that are left lie
 * in bytes[i] from begin[i] to end[i]: a torn word at the end waits for its rest, and to_come[i] bytes
 * will follow. A word is refused that is limit_ps or more (2^62 at most), or more than reorder_ps
 * below the largest of its channel so far. */
typedef struct {
  const uint8_t *bytes[4]; /* of a channel that nothing comes of: of no account */
  size_t begin[4], end[4], to_come[4];
  uint64_t largest_ps[4]; /* of the words taken; begins as 0 */
  uint64_t limit_ps, reorder_ps;
  int64_t offset_ps; /* is added to each time; none may overflow */
  size_t refused;    /* the channel whose next word is refused; begins as 0, which is none */
} qkd_merge;

/* Merges by time; of equal times the lowest channel is first. Words that are out of order, but not
 * refused, stay so and none is lost. Both outputs hold capacity entries, of which those after the
 * last tag may be written too. Moves begin, and returns the number of tags: capacity, or less once
 * none is left, one is refused, or a channel with some to come has none left to compare. */
size_t qkd_merge_tags(int tier, qkd_merge *merge, size_t capacity, int64_t *times_ps,
                      uint8_t *channels);
