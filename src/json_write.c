/* json_write.c: see json.h. */
#include "json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 512 /* a message of three values has about 330 */

/* Room for so many more bytes; NULL: no memory. */
static char *reserve(struct om_json *json, size_t more) {
  if (json->failed) {
    return NULL;
  }
  if (json->room - json->len < more) {
    size_t room = json->room > 0 ? json->room * 2 : FIRST_BYTES;
    while (room - json->len < more) {
      room *= 2;
    }
    char *at = realloc(json->at, room);
    if (at == NULL) {
      json->failed = true;
      return NULL;
    }
    json->at = at;
    json->room = room;
  }
  return json->at + json->len;
}

void om_json_raw(struct om_json *json, const char *bytes, size_t len) {
  char *to = reserve(json, len);
  if (to != NULL) {
    memcpy(to, bytes, len);
    json->len += len;
  }
}

void om_json_put(struct om_json *json, const char *text) {
  om_json_raw(json, text, strlen(text));
}

/* Bytes from the start of text that stand for themselves. */
static size_t plain_bytes(const char *text, size_t len) {
  size_t n = 0;
  while (n < len && (unsigned char)text[n] >= 0x20 && text[n] != '"' && text[n] != '\\' &&
         text[n] != 0x7F) {
    n++;
  }
  return n;
}

static void put_escape(struct om_json *json, char c) {
  static const char letters[] = "\"\\\b\f\n\r\t";
  static const char names[] = "\"\\bfnrt";
  char escape[8];
  const char *letter = c != '\0' ? strchr(letters, c) : NULL;
  if (letter != NULL) {
    snprintf(escape, sizeof escape, "\\%c", names[letter - letters]);
  } else {
    snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)c);
  }
  om_json_put(json, escape);
}

void om_json_text(struct om_json *json, const char *text, size_t len) {
  om_json_raw(json, "\"", 1);
  for (size_t at = 0; at < len;) {
    size_t n = plain_bytes(text + at, len - at);
    om_json_raw(json, text + at, n);
    at += n;
    if (at < len) {
      put_escape(json, text[at++]);
    }
  }
  om_json_raw(json, "\"", 1);
}

void om_json_whole(struct om_json *json, long number) {
  char digits[24];
  snprintf(digits, sizeof digits, "%ld", number);
  om_json_put(json, digits);
}
