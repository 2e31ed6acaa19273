/* test.h: all that the C unit tests need. CHECK counts and, on failure, says where and on what; a
 * program ends with `return test_end();`. The numbers of bytes and cases come from a fixed seed, so
 * a failure repeats. */
#ifndef OM_TEST_H
#define OM_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned test_passed, test_failed;

/* CHECK(condition, format, ...): the format names the case. */
#define CHECK(condition, ...)                                                                      \
  do {                                                                                             \
    if (condition) {                                                                               \
      test_passed++;                                                                               \
    } else {                                                                                       \
      test_failed++;                                                                               \
      printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                       \
      printf(__VA_ARGS__);                                                                         \
      putchar('\n');                                                                               \
    }                                                                                              \
  } while (0)

/* Numbers of xorshift64*, from below `below`. */
static inline uint32_t test_random(uint32_t below) {
  static uint64_t state = 20261123;
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static inline int test_end(void) {
  printf("%u passed, %u failed\n", test_passed, test_failed);
  return test_failed > 0 || test_passed == 0;
}

#endif
