/* redact.c: see redact.h. All pieces of the token of that length stand in a hash table; a window of
 * that length slides over the text, its hash with it, so that a text costs the same whatever the
 * token's length. A text with escapes is gone through twice: as it is, and unescaped. */
#include "redact.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REDACTED    "[token]"
#define FACTOR      UINT32_C(0x01000193)
#define TABLE_SHARE 4 /* slots a piece: most windows of a text meet an empty one */

struct om_secret {
  size_t len;
  size_t window;       /* bytes of a piece */
  uint32_t out_factor; /* of the byte that leaves the window */
  uint32_t mask;
  uint16_t *table; /* where a piece begins in the token, plus 1; 0: empty */
  char token[];
};

static uint32_t slot_of(const struct om_secret *secret, uint32_t hash) {
  return (hash ^ hash >> 15) & secret->mask;
}

static uint32_t hash_of(const char *piece, size_t len) {
  uint32_t hash = 0;
  for (size_t i = 0; i < len; i++) {
    hash = hash * FACTOR + (unsigned char)piece[i];
  }
  return hash;
}

struct om_secret *om_secret_new(const char *token) {
  size_t len = strlen(token);
  size_t window = len < OM_SECRET_BYTES ? len : OM_SECRET_BYTES;
  size_t pieces = len - window + 1;
  uint32_t slots = 64;
  struct om_secret *secret =
      len > 0 && len <= OM_SECRET_MAX_BYTES ? calloc(1, sizeof *secret + len + 1) : NULL;
  if (secret == NULL) {
    return NULL;
  }
  while (slots < pieces * TABLE_SHARE) {
    slots *= 2;
  }
  secret->table = calloc(slots, sizeof *secret->table);
  if (secret->table == NULL) {
    free(secret);
    return NULL;
  }
  memcpy(secret->token, token, len);
  secret->len = len;
  secret->window = window;
  secret->mask = slots - 1;
  secret->out_factor = 1;
  for (size_t i = 1; i < window; i++) {
    secret->out_factor *= FACTOR;
  }
  for (size_t i = 0; i < pieces; i++) {
    uint32_t slot = slot_of(secret, hash_of(token + i, window));
    while (secret->table[slot] != 0) {
      slot = (slot + 1) & secret->mask;
    }
    secret->table[slot] = (uint16_t)(i + 1);
  }
  return secret;
}

void om_secret_free(struct om_secret *secret) {
  if (secret != NULL) {
    free(secret->table);
    free(secret);
  }
}

/* Whether the piece, whose hash this is, stands in the token. */
static bool is_piece(const struct om_secret *secret, const char *piece, uint32_t hash) {
  for (uint32_t slot = slot_of(secret, hash); secret->table[slot] != 0;
       slot = (slot + 1) & secret->mask) {
    if (memcmp(secret->token + secret->table[slot] - 1, piece, secret->window) == 0) {
      return true;
    }
  }
  return false;
}

/* ---- escapes ---- */

static int hex_value(char c) {
  static const char digits[] = "0123456789abcdef0123456789ABCDEF";
  const char *at = c != '\0' ? strchr(digits, c) : NULL;
  return at != NULL ? (int)(at - digits) % 16 : -1;
}

/* The character that the text begins with, unescaped as JSON (\/ \" \\ \u00HH) and URLs (%HH) do;
 * *size gets its bytes in the text. */
static char unescaped(const char *text, size_t len, size_t *size) {
  size_t digits = 0;
  *size = 1;
  if (text[0] == '\\' && len >= 2 && strchr("/\"\\", text[1]) != NULL && text[1] != '\0') {
    *size = 2;
    return text[1];
  }
  if (text[0] == '%') {
    digits = 1;
  } else if (len >= 4 && strncmp(text, "\\u00", 4) == 0) {
    digits = 4;
  }
  if (digits == 0 || len < digits + 2 || hex_value(text[digits]) < 0 ||
      hex_value(text[digits + 1]) < 0) {
    return text[0];
  }
  *size = digits + 2;
  return (char)(hex_value(text[digits]) * 16 + hex_value(text[digits + 1]));
}

static bool has_escapes(const char *text, size_t len) {
  return memchr(text, '%', len) != NULL || memchr(text, '\\', len) != NULL;
}

/* ---- searching ---- */

/* Sets marks[i] to 1 for each byte of the text that belongs to a piece; marks NULL: ends at the
 * first one. Returns whether there is one. */
static bool mark_plain(const struct om_secret *secret, const char *text, size_t len, char *marks) {
  size_t window = secret->window;
  bool found = false;
  if (len < window) {
    return false;
  }
  uint32_t hash = hash_of(text, window);
  for (size_t at = 0;; at++) {
    if (is_piece(secret, text + at, hash)) {
      found = true;
      if (marks == NULL) {
        return true;
      }
      memset(marks + at, 1, window);
    }
    if (at + window >= len) {
      return found;
    }
    hash = (hash - (unsigned char)text[at] * secret->out_factor) * FACTOR +
           (unsigned char)text[at + window];
  }
}

/* How many bytes of the text, unescaped, are a piece; 0: they are none. */
static size_t escaped_piece(const struct om_secret *secret, const char *text, size_t len) {
  char piece[OM_SECRET_BYTES];
  size_t at = 0;
  for (size_t have = 0, size = 0; have < secret->window; have++, at += size) {
    if (at == len) {
      return 0;
    }
    piece[have] = unescaped(text + at, len - at, &size);
  }
  return is_piece(secret, piece, hash_of(piece, secret->window)) ? at : 0;
}

/* The same as mark_plain for the text unescaped. A % may stand for itself as well: from each byte
 * on. */
static bool mark_escaped(const struct om_secret *secret, const char *text, size_t len,
                         char *marks) {
  bool found = false;
  for (size_t at = 0; at < len; at++) {
    size_t size = escaped_piece(secret, text + at, len - at);
    if (size > 0) {
      found = true;
      if (marks == NULL) {
        return true;
      }
      memset(marks + at, 1, size);
    }
  }
  return found;
}

bool om_secret_is_in(const struct om_secret *secret, const char *text, size_t len) {
  return mark_plain(secret, text, len, NULL) ||
         (has_escapes(text, len) && mark_escaped(secret, text, len, NULL));
}

size_t om_secret_redact(const struct om_secret *secret, const char *text, size_t len, char *out) {
  size_t written = 0;
  memset(out, 0, len);
  bool found = mark_plain(secret, text, len, out);
  if (has_escapes(text, len)) {
    found = mark_escaped(secret, text, len, out) || found;
  }
  if (!found) {
    memcpy(out, text, len);
    return len;
  }
  for (size_t at = 0, end = 0; at < len; at = end) { /* the marks lie ahead of what is written */
    bool marked = out[at] != 0;
    for (end = at + 1; end < len && (out[end] != 0) == marked; end++) {
    }
    if (!marked) {
      memcpy(out + written, text + at, end - at);
      written += end - at;
    } else if (end - at >= sizeof REDACTED - 1) {
      memcpy(out + written, REDACTED, sizeof REDACTED - 1);
      written += sizeof REDACTED - 1;
    } else {
      out[written++] = '*';
    }
  }
  return written;
}
