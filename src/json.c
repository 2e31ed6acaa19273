/* json.c: see json.h. */
#include "json.h"

#include <string.h>

#define LONG_DIGITS     16                 /* 2^53 has so many */
#define LONG_FIRST      "9007199254740992" /* 2^53 itself is what 2^53 + 1 is read as */
#define NAME_MAX_BYTES  32
#define ESCAPE_HEX_SIZE 6 /* of \u0041 */
#define BOM             "\xEF\xBB\xBF"

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

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_blanks(const char *text, size_t len, size_t at) {
  while (at < len && is_blank(text[at])) {
    at++;
  }
  return at;
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
  while (at < len && (is_digit(text[at]) || text[at] == '+' || text[at] == '-' || text[at] == '.' ||
                      text[at] == 'e' || text[at] == 'E')) {
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

static size_t count_digits(const char *text, size_t len, size_t at) {
  size_t count = 0;
  while (at + count < len && is_digit(text[at + count])) {
    count++;
  }
  return count;
}

/* Whether a number of JSON's grammar may be printed otherwise than it was written, once it was a
 * double: it has an exponent, a zero at the end of its fraction, as many digits as a double has, or
 * is so small that it gets an exponent. */
static bool is_spelled(const char *number, size_t len) {
  size_t at = number[0] == '-' ? 1 : 0;
  size_t whole = count_digits(number, len, at);
  size_t fraction = 0;
  bool exponent = false;
  if (whole == 0 || (whole > 1 && number[at] == '0')) {
    return false;
  }
  at += whole;
  if (at < len && number[at] == '.') {
    fraction = count_digits(number, len, at + 1);
    at += 1 + fraction;
    if (fraction == 0) {
      return false;
    }
  }
  bool zero = fraction > 0 && number[at - 1] == '0';
  if (at < len && (number[at] == 'e' || number[at] == 'E')) {
    at++;
    at += at < len && (number[at] == '+' || number[at] == '-') ? 1 : 0;
    size_t digits = count_digits(number, len, at);
    at += digits;
    exponent = digits > 0;
  }
  return at == len &&
         (exponent || zero || whole + fraction >= LONG_DIGITS || (fraction > 4 && whole == 1));
}

/* ---- half surrogates ---- */

static int hex_value(char c) {
  if (is_digit(c)) {
    return c - '0';
  }
  c = (char)(c | 0x20); /* lower case */
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The unit that the escape \uXXXX at `at` stands for, or -1. */
static long read_unit(const char *text, size_t len, size_t at) {
  long unit = 0;
  if (at + ESCAPE_HEX_SIZE > len || text[at] != '\\' || text[at + 1] != 'u') {
    return -1;
  }
  for (size_t i = at + 2; i < at + ESCAPE_HEX_SIZE; i++) {
    int value = hex_value(text[i]);
    if (value < 0) {
      return -1;
    }
    unit = unit * 16 + value;
  }
  return unit;
}

static bool is_half(long unit, bool second) {
  return unit >= (second ? 0xDC00 : 0xD800) && unit <= (second ? 0xDFFF : 0xDBFF);
}

/* ---- reading ---- */

struct output {
  char *bytes; /* NULL: only counted */
  size_t len;
};

static void put(struct output *out, const char *bytes, size_t len) {
  if (out->bytes != NULL) {
    memcpy(out->bytes + out->len, bytes, len);
  }
  out->len += len;
}

/* A half that has no other half. */
static void put_half(struct output *out, long unit, enum om_json_kind kind) {
  char raw[3] = {(char)0xED, (char)(0x80 | (unit >> 6 & 0x3F)), (char)(0x80 | (unit & 0x3F))};
  if (kind == OM_JSON_EVENT) {
    put(out, raw, sizeof raw);
  } else {
    put(out, "\\ufffd", ESCAPE_HEX_SIZE);
  }
}

/* Puts the string that begins at `at`; returns where it ends. */
static size_t put_string(struct output *out, const char *text, size_t len, size_t at,
                         enum om_json_kind kind) {
  size_t end = skip_string(text, len, at);
  size_t from = at;
  while (at < end) {
    if (kind == OM_JSON_EVENT && text[at] == OM_JSON_MARK[0]) {
      put(out, text + from, at - from);
      put(out, "\xFE", 1); /* as little UTF-8, and no mark */
      from = ++at;
    } else if (text[at] != '\\') {
      at++;
    } else {
      long unit = read_unit(text, end, at);
      bool pair = is_half(unit, false) && is_half(read_unit(text, end, at + ESCAPE_HEX_SIZE), true);
      if (pair) {
        at += ESCAPE_HEX_SIZE + ESCAPE_HEX_SIZE;
      } else if (is_half(unit, false) || is_half(unit, true)) {
        put(out, text + from, at - from);
        put_half(out, unit, kind);
        from = at += ESCAPE_HEX_SIZE;
      } else {
        at += 2;
      }
    }
  }
  put(out, text + from, end - from);
  return end;
}

static void put_marked(struct output *out, const char *text, size_t len, bool *marked) {
  put(out, "\"" OM_JSON_MARK, 2);
  put(out, text, len);
  put(out, "\"", 1);
  *marked = true;
}

/* Puts what begins at `at` and is no string; returns where it ends. */
static size_t put_other(struct output *out, const char *text, size_t len, size_t at,
                        enum om_json_kind kind, bool *marked) {
  size_t end = at + 1;
  if (text[at] == '[' && kind == OM_JSON_EVENT) {
    end = skip_blanks(text, len, end);
    if (end < len && text[end] == ']') {
      put_marked(out, "[]", 2, marked);
      return end + 1;
    }
  } else if (is_digit(text[at]) || text[at] == '-') {
    end = skip_number(text, len, at);
    if (kind == OM_JSON_EVENT && is_spelled(text + at, end - at)) {
      put_marked(out, text + at, end - at, marked);
      return end;
    }
    if (is_long(text + at, end - at)) {
      put(out, "\"", 1);
      put(out, text + at, end - at);
      put(out, "\"", 1);
      return end;
    }
  }
  put(out, text + at, end - at);
  return end;
}

bool om_json_is_plain(const char *text, size_t len) {
  if (om_json_has_long_numbers(text, len) || (len >= 3 && memcmp(text, BOM, 3) == 0)) {
    return false;
  }
  for (const char *at = text; (at = memchr(at, '\\', len - (size_t)(at - text))) != NULL; at++) {
    if (read_unit(text, len, (size_t)(at - text)) >= 0xD800) {
      return false;
    }
  }
  return true;
}

size_t om_json_prepare(const char *text, size_t len, enum om_json_kind kind, char *bytes,
                       bool *marked) {
  struct output out = {.bytes = bytes};
  *marked = false;
  size_t at = len >= 3 && memcmp(text, BOM, 3) == 0 ? 3 : 0;
  while (at < len) {
    size_t from = at;
    while (at < len && text[at] != '"' && text[at] != '[' && text[at] != '-' &&
           !is_digit(text[at])) {
      at++;
    }
    put(&out, text + from, at - from);
    if (at < len) {
      at = text[at] == '"' ? put_string(&out, text, len, at, kind)
                           : put_other(&out, text, len, at, kind, marked);
    }
  }
  return out.len;
}

/* ---- names ---- */

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
    while (value.end > value.begin && is_blank(text[value.end - 1])) {
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

/* ---- pieces ---- */

bool om_json_cut(const char *text, size_t len, size_t most, om_json_piece *piece, void *context,
                 size_t *wrong) {
  char close = text[0] == '[' ? ']' : '}';
  size_t from = 1; /* of the piece that is being gathered */
  size_t at = 1;
  size_t end = 0;
  do {
    end = skip_value(text, len, at);
    if (end == len || (text[end] != ',' && text[end] != close)) {
      *wrong = end;
      return false;
    }
    if (end - at > most) {
      if (at > from) {
        piece(context, from, at - 1, false);
      }
      piece(context, at, end, true);
      from = end + 1;
    } else if (end - from >= most || text[end] == close) {
      piece(context, from, end, false);
      from = end + 1;
    }
    at = end + 1;
  } while (text[end] != close);
  *wrong = skip_blanks(text, len, at);
  return *wrong == len;
}
