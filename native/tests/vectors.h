/* Reads the known-answer vectors (vectors/README.md): the little of JSON that they use. A case is
 * one flat object of strings without escapes and of integers. */
#ifndef QKD_TEST_VECTORS_H
#define QKD_TEST_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "tier.h"

enum { MOST_FIELDS = 32 };

typedef struct {
  const char *at;
  size_t length;
} text;

typedef struct {
  text key[MOST_FIELDS], value[MOST_FIELDS];
  size_t fields;
} vector;

static inline _Noreturn void broken(const char *what) {
  fprintf(stderr, "failed: a file of vectors: %s\n", what);
  exit(1);
}

/* The whole of a family's file, zero-terminated. */
static inline char *whole_file(const char *family) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s.json", QKD_VECTORS, family);
  FILE *file = fopen(path, "rb");
  if (file == NULL) broken(path);
  size_t size = 0, room = 1 << 16;
  char *all = malloc(room);
  while (all != NULL && (size += fread(all + size, 1, room - size - 1, file)) == room - 1)
    all = realloc(all, room *= 2);
  fclose(file);
  if (all == NULL) broken("no memory");
  all[size] = 0;
  return all;
}

/* The next string or integer from *at on. */
static inline text token(const char **at) {
  *at += strspn(*at, " \t\r\n:,");
  if (**at == '"') {
    const char *end = strchr(*at + 1, '"');
    if (end == NULL) broken("an open string");
    const text found = {*at + 1, (size_t)(end - *at) - 1};
    *at = end + 1;
    return found;
  }
  const text found = {*at, strspn(*at, "-0123456789")};
  if (found.length == 0) broken("neither string nor integer");
  *at += found.length;
  return found;
}

/* The next case; 0 after the last. *at begins behind "cases". */
static inline int next_case(const char **at, vector *v) {
  *at += strspn(*at, " \t\r\n:,[");
  if (**at != '{') return 0;
  (*at)++;
  for (v->fields = 0;; v->fields++) {
    *at += strspn(*at, " \t\r\n,");
    if (**at == '}') break;
    if (v->fields == MOST_FIELDS) broken("too many fields");
    v->key[v->fields] = token(at);
    v->value[v->fields] = token(at);
  }
  (*at)++;
  return 1;
}

static inline text field(const vector *v, const char *key) {
  for (size_t i = 0; i < v->fields; i++)
    if (v->key[i].length == strlen(key) && memcmp(v->key[i].at, key, strlen(key)) == 0)
      return v->value[i];
  broken(key);
}

static inline int is(const vector *v, const char *function) {
  const text name = field(v, "function");
  return name.length == strlen(function) && memcmp(name.at, function, name.length) == 0;
}

static inline int64_t number(const vector *v, const char *key) {
  return strtoll(field(v, key).at, NULL, 10);
}

/* The bytes that an input stands for, and their number. The caller frees them. */
static inline void *given(const vector *v, const char *key, size_t *size) {
  const text from = field(v, key);
  const char *colon = memchr(from.at, ':', from.length);
  if (colon == NULL) broken(key);
  if (strncmp(from.at, "hex:", 4) == 0) {
    *size = (from.length - 4) / 2;
    uint8_t *bytes = calloc(*size + 1, 1);
    if (bytes == NULL) broken("no memory");
    for (size_t i = 0; i < *size; i++) {
      const char pair[3] = {from.at[4 + 2 * i], from.at[5 + 2 * i], 0};
      bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return bytes;
  }
  char *end;
  uint64_t seed = strtoull(colon + 1, &end, 10);
  const size_t count = strtoull(end + 1, &end, 10);
  const int times = strncmp(from.at, "times:", 6) == 0;
  *size = times ? 8 * count : count;
  const size_t words = times ? count : (count + 7) / 8;
  uint64_t *all = calloc(words + 1, sizeof *all);
  if (all == NULL) broken("no memory");
  const uint64_t widest = times ? strtoull(end + 1, NULL, 10) : 0;
  uint64_t now = 0;
  for (size_t i = 0; i < words; i++) {
    const uint64_t word = splitmix64(&seed);
    if (times) now += (word >> 32) % widest;
    all[i] = times ? now : word;
  }
  return all;
}

static inline int wrong(const vector *v, const char *key, const char *answer) {
  const text function = field(v, "function"), expected = field(v, key);
  if (expected.length == strlen(answer) && memcmp(expected.at, answer, expected.length) == 0)
    return 0;
  fprintf(stderr, "failed: %.*s: %s is %s instead of %.*s\n", (int)function.length, function.at,
          key, answer, (int)expected.length, expected.at);
  return 1;
}

static inline int wrong_number(const vector *v, const char *key, uint64_t answer) {
  char written[32];
  snprintf(written, sizeof written, "%llu", (unsigned long long)answer);
  return wrong(v, key, written);
}

static inline int wrong_bytes(const vector *v, const char *key, const void *answer, size_t size) {
  const uint8_t *bytes = answer;
  char written[80] = "hex:";
  if (size <= 32) {
    for (size_t i = 0; i < size; i++) snprintf(written + 4 + 2 * i, 3, "%02x", bytes[i]);
  } else {
    uint64_t state = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) state = (state ^ bytes[i]) * UINT64_C(0x100000001b3);
    snprintf(written, sizeof written, "fnv:%016llx", (unsigned long long)state);
  }
  return wrong(v, key, written);
}

static inline void *room(size_t count, size_t size) {
  void *at = calloc(count + 1, size);
  if (at == NULL) broken("no memory");
  return at;
}

static inline int family(const char *name, int (*run)(const vector *v, int tier)) {
  char *all = whole_file(name);
  const char *at = strstr(all, "\"cases\"");
  if (at == NULL) broken(name);
  at += strlen("\"cases\"");
  int failures = 0, cases = 0;
  vector v;
  for (; next_case(&at, &v); cases++)
    for (int tier = 0; tier <= qkd_tier_best(); tier++) failures += run(&v, tier);
  if (cases == 0) broken("no cases");
  if (failures) fprintf(stderr, "failed: vectors of %s\n", name);
  free(all);
  return failures;
}

#endif
