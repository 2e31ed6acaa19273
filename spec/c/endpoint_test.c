/* endpoint_test.c: what a token may be, what is taken out of a JWT, and that no token survives
 * redaction, whole, cut or escaped. (The base URL and the rest: spec/new_spec.lua.) */
#include "endpoint.h"

#include <stdlib.h>

#include "test.h"

#define ROOM 65536

static void check_clean(const char *given, const char *expected) {
  char out[256];
  size_t len = om_endpoint_clean_token(given, strlen(given), out);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "\"%s\"", given);
}

static void check_payload(const char *token, const char *expected) {
  char out[256];
  size_t len = om_endpoint_jwt_payload(token, strlen(token), out);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "\"%s\"", token);
}

static struct om_endpoint *endpoint_with(const char *token) {
  struct om_endpoint_options options = {
      .base_url = "https://api.1msg.io", .channel = "ODI1", .token = token, .proxy = "http://p:1"};
  char sentence[256];
  struct om_endpoint *endpoint = om_endpoint_new(&options, sentence, sizeof sentence);
  CHECK(endpoint != NULL, "%s", sentence);
  return endpoint;
}

static void check_redact(const struct om_endpoint *endpoint, const char *text,
                         const char *expected) {
  char out[ROOM];
  size_t len = om_endpoint_redact(endpoint, text, strlen(text), out);
  CHECK(len <= strlen(text), "grew: %s", text);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "%s became %.*s", text,
        (int)len, out);
}

/* Appends c to text, as it is or in one of the escapes that servers use. */
static size_t append(char *text, size_t at, char c) {
  switch (test_random(4)) {
  case 0:
    return at + (size_t)sprintf(text + at, "%%%02X", (unsigned)c);
  case 1:
    return at + (size_t)sprintf(text + at, "\\u00%02x", (unsigned)c);
  case 2:
    if (c == '/') {
      text[at++] = '\\';
    }
    break;
  default:
    break;
  }
  text[at] = c;
  return at + 1;
}

static unsigned hex_byte(const char *from) {
  char digits[3] = {from[0], from[1], '\0'};
  return strspn(digits, "0123456789abcdefABCDEF") == 2 ? (unsigned)strtoul(digits, NULL, 16) : 0;
}

/* Undoes all escapes, so that whatever hides is seen. */
static void unescape(const char *from, size_t len, char *to) {
  size_t written = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned byte = (unsigned char)from[i];
    if (from[i] == '%' && i + 2 < len && hex_byte(from + i + 1) != 0) {
      byte = hex_byte(from + i + 1);
      i += 2;
    } else if (i + 5 < len && strncmp(from + i, "\\u00", 4) == 0 && hex_byte(from + i + 4) != 0) {
      byte = hex_byte(from + i + 4);
      i += 5;
    } else if (from[i] == '\\' && i + 1 < len && from[i + 1] == '/') {
      byte = '/';
      i++;
    }
    to[written++] = byte != 0 ? (char)byte : '0';
  }
  to[written] = '\0';
}

static void check_random(const char *token) {
  static const char noise[] = "abc /\\%{}\":,.eyJ0";
  static char text[ROOM];
  static char out[ROOM];
  static char seen[ROOM];
  struct om_endpoint *endpoint = endpoint_with(token);
  char prefix[17];
  snprintf(prefix, sizeof prefix, "%.16s", token);
  for (int round = 0; round < 2000; round++) {
    size_t len = 0;
    for (uint32_t i = test_random(40); i > 0; i--) {
      text[len++] = noise[test_random(sizeof noise - 1)];
    }
    size_t whole = strlen(token);
    size_t cut = test_random(2) != 0 ? whole : 16 + test_random((uint32_t)(whole - 16) + 1);
    for (size_t i = 0; i < cut; i++) {
      len = append(text, len, token[i]);
    }
    for (uint32_t i = test_random(40); i > 0; i--) {
      text[len++] = noise[test_random(sizeof noise - 1)];
    }
    text[len] = '\0';
    size_t left = om_endpoint_redact(endpoint, text, len, out);
    unescape(out, left, seen);
    CHECK(left <= len && strstr(seen, prefix) == NULL, "%s in %s", prefix, text);
    CHECK(strstr(seen, "[token]") != NULL, "%s", text);
  }
  om_endpoint_drop(endpoint);
}

int main(void) {
  check_clean("abc", "abc");
  check_clean(" \tabc\r\n", "abc");
  check_clean("Bearer abc", "abc");
  check_clean("bearer\tBASIC  abc ", "abc");
  check_clean("Bearerabc", "Bearerabc");
  check_clean("Bearer", "");
  check_clean(" Bearer Bearer \n", "");
  check_clean("a b", "");
  check_clean("a\nb", "");
  check_clean("a\x7f", "");
  check_clean("\xc3\xa9", "");
  check_clean("", "");
  check_clean("___", "");

  check_payload("a.eyJhIjoxfQ.c", "{\"a\":1}");
  check_payload("a.eyJhIjoxfQ==.c", "{\"a\":1}");
  check_payload("a._-8.c", "\xff\xef");
  check_payload("a..c", "");
  check_payload("a.b", "");
  check_payload("a.b.c.d", "");
  check_payload("a.e!.c", "");

  struct om_endpoint *endpoint = endpoint_with("secret/token+0123456789=");
  check_redact(endpoint, "", "");
  check_redact(endpoint, "s", "s");
  check_redact(endpoint, "a secret", "a secret");
  check_redact(endpoint, "=secret/token+0123456789==", "=[token]=");
  check_redact(endpoint, "secret/token+012 and more", "[token] and more");
  check_redact(endpoint, "secret\\/token+0123456789=", "[token]");
  check_redact(endpoint, "secret%2Ftoken%2b0123456789%3D&x=%41", "[token]&x=%41");
  check_redact(endpoint, "secret/token+0123456789\\u003d\"", "[token]\"");
  check_redact(endpoint, "%73ecret/token+0123456789=", "[token]");
  check_redact(endpoint, "secretsecret/token+0123456789=secret", "secret[token]secret");
  om_endpoint_drop(endpoint);
  endpoint = endpoint_with("100%41token-0123456789");
  check_redact(endpoint, "100%41token-0123456789", "[token]");
  om_endpoint_drop(endpoint);
  endpoint = endpoint_with("abc");
  check_redact(endpoint, "abc ab cabcabc", "* ab c**");
  om_endpoint_drop(endpoint);

  check_random("eyJhbGciOiJIUzI1NiJ9.eyJpbnN0YW5jZUlkIjoiT0RJMSJ9.c2lnbmF0dXJl");
  check_random("link_/+/+/==0123456789~abcdef");
  return test_end();
}
