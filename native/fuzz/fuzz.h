/* What the fuzz targets share. A target reads its input as parameters first and bytes after, gives
 * every tier buffers of the exact size that its declaration asks for, and aborts where a tier
 * differs from the portable one. */
#ifndef QKD_FUZZ_H
#define QKD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *bytes;
  size_t left;
} input;

/* The next count bytes as a little-endian number; missing ones are zero. */
static inline uint64_t take(input *in, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count && in->left > 0; i++, in->bytes++, in->left--)
    value |= (uint64_t)*in->bytes << (8 * i);
  return value;
}

/* Room for count items that the sanitizer watches both ends of. */
static inline void *room(size_t count, size_t size) {
  void *at = calloc(count > 0 ? count : 1, size);
  if (at == NULL) abort();
  return at;
}

/* A copy of the bytes left, so that reading past them is seen. */
static inline uint8_t *rest(const input *in) {
  uint8_t *copy = malloc(in->left > 0 ? in->left : 1);
  if (copy == NULL) abort();
  if (in->left > 0) memcpy(copy, in->bytes, in->left);
  return copy;
}

static inline void require(int condition) {
  if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
