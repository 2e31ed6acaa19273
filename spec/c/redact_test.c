/* redact_test.c: no token survives redaction, whole, cut at either end or escaped; nothing else
 * goes. */
#include "redact.h"

#include <stdlib.h>

#include "test.h"

#define ROOM 65536

static void check_redact(const struct om_secret *secret, const char *text, const char *expected) {
  char out[ROOM];
  size_t len = om_secret_redact(secret, text, strlen(text), out);
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

/* Whether any piece of the token that matters is in a text. */
static int shows(const char *token, const char *text) {
  char piece[OM_SECRET_BYTES + 1] = {0};
  for (size_t i = 0; i + OM_SECRET_BYTES <= strlen(token); i++) {
    memcpy(piece, token + i, OM_SECRET_BYTES);
    if (strstr(text, piece) != NULL) {
      return 1;
    }
  }
  return 0;
}

/* A token in noise: whole, or cut at either end or at both. */
static void check_random(const char *token) {
  static const char noise[] = "abc /\\%{}\":,.eyJ0";
  static char text[ROOM];
  static char out[ROOM];
  static char seen[ROOM];
  struct om_secret *secret = om_secret_new(token);
  for (int round = 0; round < 4000; round++) {
    size_t len = 0;
    for (uint32_t i = test_random(40); i > 0; i--) {
      text[len++] = noise[test_random(sizeof noise - 1)];
    }
    size_t whole = strlen(token);
    size_t from = test_random(2) != 0 ? 0 : test_random((uint32_t)(whole - OM_SECRET_BYTES) + 1);
    size_t most = whole - from;
    size_t cut = test_random(2) != 0
                     ? most
                     : OM_SECRET_BYTES + test_random((uint32_t)(most - OM_SECRET_BYTES) + 1);
    for (size_t i = from; i < from + cut; i++) {
      len = append(text, len, token[i]);
    }
    for (uint32_t i = test_random(40); i > 0; i--) {
      text[len++] = noise[test_random(sizeof noise - 1)];
    }
    text[len] = '\0';
    size_t left = om_secret_redact(secret, text, len, out);
    unescape(out, left, seen);
    CHECK(left <= len && !shows(token, seen), "%s in %s", token, text);
    CHECK(strstr(seen, "[token]") != NULL, "%s", text);
    CHECK(om_secret_is_in(secret, text, len), "%s", text);
    CHECK(!om_secret_is_in(secret, out, left), "%s", text);
  }
  om_secret_free(secret);
}

/* Noise that only begins like the token, at every length that does not matter, stays as it is. */
static void check_short(const char *token) {
  struct om_secret *secret = om_secret_new(token);
  char out[ROOM];
  char text[OM_SECRET_BYTES + 8];
  for (size_t from = 0; from + OM_SECRET_BYTES <= strlen(token); from++) {
    size_t len = (size_t)snprintf(text, sizeof text, "<%.*s>", OM_SECRET_BYTES - 1, token + from);
    CHECK(om_secret_redact(secret, text, len, out) == len && memcmp(text, out, len) == 0, "%s",
          text);
    CHECK(!om_secret_is_in(secret, text, len), "%s", text);
  }
  om_secret_free(secret);
}

/* The longest token, and a text of nothing but pieces of it, one byte too short each. */
static void check_long(void) {
  static char token[OM_SECRET_MAX_BYTES + 2];
  static char text[8 * OM_SECRET_MAX_BYTES];
  static char out[sizeof text];
  size_t len = 0;
  for (size_t i = 0; i < OM_SECRET_MAX_BYTES; i++) {
    token[i] = (char)('!' + test_random(94));
  }
  struct om_secret *secret = om_secret_new(token);
  while (len + OM_SECRET_BYTES < sizeof text) {
    memcpy(text + len, token + test_random(OM_SECRET_MAX_BYTES - OM_SECRET_BYTES),
           OM_SECRET_BYTES - 1);
    text[len + OM_SECRET_BYTES - 1] = ' ';
    len += OM_SECRET_BYTES;
  }
  CHECK(om_secret_redact(secret, text, len, out) == len, "long");
  CHECK(om_secret_redact(secret, token, strlen(token), out) == 7, "long");
  om_secret_free(secret);
  token[OM_SECRET_MAX_BYTES] = 'x';
  CHECK(om_secret_new(token) == NULL, "too long");
  CHECK(om_secret_new("") == NULL, "empty");
}

int main(void) {
  struct om_secret *secret = om_secret_new("secret/token+0123456789=");
  check_redact(secret, "", "");
  check_redact(secret, "s", "s");
  check_redact(secret, "a secret", "a secret");
  check_redact(secret, "=secret/token+0123456789==", "=[token]=");
  check_redact(secret, "secret/token+012 and more", "[token] and more");
  check_redact(secret, "token+0123456 and token+012345", "[token] and [token]");
  check_redact(secret, "n+0123456789= and n+012345678", "[token] and n+012345678");
  check_redact(secret, "t%2Ftoken%2b01234", "[token]");
  check_redact(secret, "secret/token+0123456789=secret/token+0", "[token]");
  check_redact(secret, "secret\\/token+0123456789=", "[token]");
  check_redact(secret, "secret%2Ftoken%2b0123456789%3D&x=%41", "[token]&x=%41");
  check_redact(secret, "secret/token+0123456789\\u003d\"", "[token]\"");
  check_redact(secret, "%73ecret/token+0123456789=", "[token]");
  check_redact(secret, "secretsecret/token+0123456789=secret", "secret[token]secret");
  om_secret_free(secret);
  secret = om_secret_new("100%41token-0123456789");
  check_redact(secret, "100%41token-0123456789", "[token]");
  om_secret_free(secret);
  secret = om_secret_new("abc");
  check_redact(secret, "abc ab cabcabc", "* ab c*");
  om_secret_free(secret);

  check_random("eyJhbGciOiJIUzI1NiJ9.eyJpbnN0YW5jZUlkIjoiT0RJMSJ9.c2lnbmF0dXJl");
  check_random("link_/+/+/==0123456789~abcdef");
  check_short("link_confirmation-of-your-payment-0123456789");
  check_long();
  return test_end();
}
