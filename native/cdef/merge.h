/* Tags that come channel by channel, as uint64 ps, little-endian: declarations read by C and by cffi. */

/* How far the words of one channel are in order. */
typedef struct {
  uint64_t largest_ps;
  uint64_t step_back_ps; /* the largest fall from a word to the next, 0 if they rise */
} qkd_tag_order;

void qkd_tag_order_of(const uint8_t *bytes, size_t tag_count, qkd_tag_order *order);

/* Merges the words of 1 to 4 channels, each in order and below 2^63 - 1, by time; of equal times the
 * lowest channel is first. Words from taken[i] up to counts[i] of channel i + 1 are left; taken
 * advances. Both outputs hold capacity entries; offset_ps is added to each time. Returns the number
 * of tags, less than capacity only once none is left. Words out of order stay so, none is lost. */
size_t qkd_merge_tags(size_t channel_count, const uint8_t *const *words, const size_t *counts,
                      size_t *taken, int64_t offset_ps, size_t capacity, int64_t *times_ps,
                      uint8_t *channels);
