/* Decoders of time tag words: declarations read by C and by cffi. */

/* The state of one TDC1 stream; all zero before its first byte. */
typedef struct {
  uint8_t partial[4];
  uint32_t partial_bytes;
  uint32_t started;
  uint32_t last_ticks;
  int64_t ticks;
  uint64_t words;
  uint64_t dummies;
  uint64_t backward_steps;
  uint64_t implausible;
} qkd_tdc1;

/* What was met in a file besides tags. */
typedef struct {
  uint64_t words;
  uint64_t dummies;
  uint64_t backward_steps;
} qkd_word_counts;

/* The state of one T2 stream: overflow_ticks is the time of the last overflow record. */
typedef struct {
  int64_t overflow_ticks;
  uint64_t overflow_records;
} qkd_t2;

/* Decodes TDC1 words from a byte stream cut anywhere. Writes at most 4 tags a word: both outputs
 * hold partial_bytes + byte_count entries. Returns the number of tags. */
size_t qkd_tdc1_decode(int tier, qkd_tdc1 *state, const uint8_t *bytes, size_t byte_count,
                       int64_t *times_ps, uint8_t *channels);

/* Decodes S-Fifteen a1 events of 8 bytes (1/256 ns); swapped: high half first. Both outputs hold
 * 4 * event_count entries. Returns the number of tags. */
size_t qkd_a1_decode(int tier, const uint8_t *bytes, size_t event_count, int swapped,
                     int64_t *times_ps, uint8_t *channels, qkd_word_counts *counts);

/* Decodes S-Fifteen legacy events of 8 bytes (125 ps, high word first). As above. */
size_t qkd_legacy_decode(int tier, const uint8_t *bytes, size_t event_count,
                         int64_t *times_ps, uint8_t *channels, qkd_word_counts *counts);

/* Decodes T2 words of 4 bytes. flavour: 0 PicoHarp 300, 1 HydraHarp V1, 2 all later. Channel 0 is
 * SYNC, 1 and up the inputs, 128 + bits a marker. tick_ps, above 0, is the resolution. Both outputs
 * hold word_count entries. Returns the number of tags. */
size_t qkd_t2_decode(int tier, qkd_t2 *state, const uint8_t *bytes, size_t word_count,
                     int flavour, int32_t tick_ps, int64_t *times_ps, uint8_t *channels);

/* Decodes quTAG records of 10 bytes, uint64 ps and uint16 channel. Both outputs hold record_count
 * entries. Returns the number of records earlier than the one before them. */
size_t qkd_qutag_decode(const uint8_t *bytes, size_t record_count, int64_t *times_ps,
                        uint8_t *channels);

/* Decodes uint64 ps, the first of every stride words. As above. */
size_t qkd_uint64_decode(const uint8_t *bytes, size_t tag_count, size_t stride,
                         int64_t *times_ps);
