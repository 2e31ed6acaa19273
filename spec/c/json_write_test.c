/* json_write_test.c: json_write.c: what stands for itself, what is escaped, and growth. */
#include "json_write.h"
#include "test.h"

#include <stdlib.h>

static void check_text(const char *text, size_t len, const char *expected) {
  struct om_json json = {NULL, 0, 0, false};
  om_json_text(&json, text, len);
  CHECK(!json.failed && json.len == strlen(expected) && memcmp(json.at, expected, json.len) == 0,
        "%.*s is not %s", (int)json.len, json.at, expected);
  free(json.at);
}

/* Every ASCII character is itself or an escape that names it. */
static void check_ascii(void) {
  for (int c = 0; c < 128; c++) {
    char text[3] = {'a', (char)c, 'b'};
    char expected[16];
    const char *special = c == '"'    ? "\\\""
                          : c == '\\' ? "\\\\"
                          : c == '\b' ? "\\b"
                          : c == '\f' ? "\\f"
                          : c == '\n' ? "\\n"
                          : c == '\r' ? "\\r"
                          : c == '\t' ? "\\t"
                                      : NULL;
    if (special != NULL) {
      snprintf(expected, sizeof expected, "\"a%sb\"", special);
    } else if (c < 0x20 || c == 0x7F) {
      snprintf(expected, sizeof expected, "\"a\\u%04xb\"", (unsigned)c);
    } else {
      snprintf(expected, sizeof expected, "\"a%cb\"", c);
    }
    check_text(text, sizeof text, expected);
  }
}

static void check_growth(void) {
  struct om_json json = {NULL, 0, 0, false};
  char piece[64];
  size_t total = 0;
  memset(piece, 'x', sizeof piece);
  for (int i = 0; i < 1000; i++) {
    size_t len = test_random(sizeof piece + 1);
    om_json_raw(&json, piece, len);
    total += len;
  }
  CHECK(!json.failed && json.len == total && json.room >= total, "%zu of %zu", json.len, total);
  for (size_t i = 0; i < json.len; i++) {
    if (json.at[i] != 'x') {
      CHECK(false, "byte %zu", i);
      break;
    }
  }
  free(json.at);
}

int main(void) {
  struct om_json json = {NULL, 0, 0, false};
  check_text("", 0, "\"\"");
  check_text("Jos\xC3\xA9 \xF0\x9F\x98\x80", 10, "\"Jos\xC3\xA9 \xF0\x9F\x98\x80\"");
  check_text("https://x/y", 11, "\"https://x/y\"");
  check_text("a\0b", 3, "\"a\\u0000b\"");
  check_text("\"\"", 2, "\"\\\"\\\"\"");
  check_ascii();
  check_growth();
  om_json_put(&json, "{\"n\":");
  om_json_whole(&json, -1);
  om_json_put(&json, "}");
  CHECK(json.len == 8 && memcmp(json.at, "{\"n\":-1}", 8) == 0, "%.*s", (int)json.len, json.at);
  free(json.at);
  return test_end();
}
