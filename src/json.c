/* json.c: see json.h. */
#include "json.h"

#include <string.h>

#define LONG_DIGITS     16                 /* 2^53 has so many */
#define LONG_FIRST      "9007199254740992" /* 2^53 itself is what 2^53 + 1 is read as */
#define NAME_MAX_BYTES  32
#define ESCAPE_HEX_SIZE 6 /* of \u0041 */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* ---- numbers ---- */

bool om_json_has_long_numbers(const char *text, size_t len) {
  for (size_t at = LONG_DIGITS - 1; at < len; at += LONG_DIGITS) { /* none is jumped over */
    size_t from = at;
    size_t to = at;
    if (!is_digit(text[at])) {
      continue;
    }
    while (from > 0 && is_digit(text[from - 1])) {
      from--;
    }
    while (to < len && is_digit(text[to])) {
      to++;
    }
    if (to - from >= LONG_DIGITS) {
      return true;
    }
  }
  return false;
}

/* Where the string that begins at `at` ends, behind its closing quote. */
static size_t skip_string(const char *text, size_t len, size_t at) {
  for (at++; at < len && text[at] != '"'; at++) {
    if (text[at] == '\\') {
      at++;
    }
  }
  return at < len ? at + 1 : len;
}

static size_t skip_number(const char *text, size_t len, size_t at) {
  while (at < len &&
         (is_digit(text[at]) || (text[at] != '\0' && strchr("+-.eE", text[at]) != NULL))) {
    at++;
  }
  return at;
}

/* Whether a number as JSON writes it is whole and too long for a double. */
static bool is_long(const char *number, size_t len) {
  if (number[0] == '-') {
    number++;
    len--;
  }
  for (size_t i = 0; i < len; i++) {
    if (!is_digit(number[i])) {
      return false;
    }
  }
  return len > LONG_DIGITS || (len == LONG_DIGITS && memcmp(number, LONG_FIRST, LONG_DIGITS) >= 0);
}

size_t om_json_exact(const char *text, size_t len, char *out) {
  size_t written = 0;
  for (size_t at = 0, end = 0; at < len; at = end) {
    bool quoted = false;
    if (text[at] == '"') {
      end = skip_string(text, len, at);
    } else if (is_digit(text[at]) || text[at] == '-') {
      end = skip_number(text, len, at);
      quoted = is_long(text + at, end - at);
    } else {
      end = at + 1;
    }
    if (quoted) {
      out[written++] = '"';
    }
    memcpy(out + written, text + at, end - at);
    written += end - at;
    if (quoted) {
      out[written++] = '"';
    }
  }
  return written;
}

/* ---- names ---- */

static size_t skip_blanks(const char *text, size_t len, size_t at) {
  while (at < len && text[at] != '\0' && strchr(" \t\r\n", text[at]) != NULL) {
    at++;
  }
  return at;
}

/* Where the value that begins at `at` ends. */
static size_t skip_value(const char *text, size_t len, size_t at) {
  size_t depth = 0;
  while (at < len) {
    char c = text[at];
    if (c == '"') {
      at = skip_string(text, len, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
      return at;
    }
    if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      depth--;
    }
    at++;
  }
  return len;
}

static int hex_value(char c) {
  static const char digits[] = "0123456789abcdef0123456789ABCDEF";
  const char *at = c != '\0' ? strchr(digits, c) : NULL;
  return at != NULL ? (int)(at - digits) % 16 : -1;
}

/* Writes the name between two quotes unescaped to out (NAME_MAX_BYTES). A longer name, or one with
 * more than ASCII in an escape, is none that anybody asks for: "". */
static void read_name(const char *text, size_t len, char *out) {
  size_t written = 0;
  out[0] = '\0';
  for (size_t at = 0; at < len; at++) {
    char c = text[at];
    if (c == '\\' && at + ESCAPE_HEX_SIZE <= len && text[at + 1] == 'u' && text[at + 2] == '0' &&
        text[at + 3] == '0' && hex_value(text[at + 4]) >= 0 && hex_value(text[at + 5]) >= 0) {
      c = (char)(hex_value(text[at + 4]) * 16 + hex_value(text[at + 5]));
      at += ESCAPE_HEX_SIZE - 1;
    }
    if (written == NAME_MAX_BYTES - 1) {
      return;
    }
    out[written++] = c;
  }
  out[written] = '\0';
}

struct member {
  size_t begin; /* of the value; 0: the name did not stand there yet */
  size_t end;
};

bool om_json_contradicts(const char *text, size_t len, const char *const names[]) {
  struct member seen[8] = {{0, 0}};
  char name[NAME_MAX_BYTES];
  size_t at = skip_blanks(text, len, 0);
  if (at == len || text[at] != '{') {
    return false;
  }
  at = skip_blanks(text, len, at + 1);
  while (at < len && text[at] == '"') {
    size_t name_end = skip_string(text, len, at);
    read_name(text + at + 1, name_end - at > 2 ? name_end - at - 2 : 0, name);
    at = skip_blanks(text, len, name_end);
    if (at == len || text[at] != ':') {
      return false;
    }
    struct member value = {.begin = skip_blanks(text, len, at + 1)};
    at = value.end = skip_value(text, len, value.begin);
    while (value.end > value.begin && strchr(" \t\r\n", text[value.end - 1]) != NULL) {
      value.end--;
    }
    for (size_t i = 0; i < sizeof seen / sizeof seen[0] && names[i] != NULL; i++) {
      if (strcmp(names[i], name) != 0) {
        continue;
      }
      size_t size = value.end - value.begin;
      if (seen[i].begin != 0 && (seen[i].end - seen[i].begin != size ||
                                 memcmp(text + seen[i].begin, text + value.begin, size) != 0)) {
        return true;
      }
      seen[i] = value;
    }
    at = at < len && text[at] == ',' ? skip_blanks(text, len, at + 1) : len;
  }
  return false;
}
