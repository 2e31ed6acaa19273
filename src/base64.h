/* base64.h: bytes to base64 and back (RFC 4648), for signatures and for what a token says of
 * itself. Pure: no Lua, no allocation, any thread; header-only so that endpoint.c stands alone. Not
 * for secrets that time must not tell: the alphabet is a table.
 */
#ifndef OM_BASE64_H
#define OM_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OM_BASE64_BAD SIZE_MAX
/* Room for the text of len bytes, without a NUL. */
#define OM_BASE64_TEXT_BYTES(len) (((len) + 2) / 3 * 4)

#define OM_BASE64_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Writes the text, padded; returns its length. */
static inline size_t om_base64_encode(const char *bytes, size_t len, char *out) {
  static const char alphabet[] = OM_BASE64_COMMON "+/";
  const unsigned char *p = (const unsigned char *)bytes;
  size_t written = 0;
  for (size_t i = 0; i < len; i += 3) {
    size_t here = len - i < 3 ? len - i : 3;
    uint32_t group = (uint32_t)p[i] << 16;
    group |= here > 1 ? (uint32_t)p[i + 1] << 8 : 0;
    group |= here > 2 ? (uint32_t)p[i + 2] : 0;
    for (size_t k = 0; k < 4; k++) {
      out[written++] = k <= here ? alphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return written;
}

/* Writes the bytes of a text (at most len of them), with or without its padding; url: in the
 * alphabet for URLs, and that only. Returns how many, or OM_BASE64_BAD. */
static inline size_t om_base64_decode(const char *text, size_t len, bool url, char *out) {
  const char *alphabet = url ? OM_BASE64_COMMON "-_" : OM_BASE64_COMMON "+/";
  size_t written = 0;
  uint32_t bits = 0;
  unsigned held = 0;
  for (int padding = 0; padding < 2 && len > 0 && text[len - 1] == '='; padding++) {
    len--;
  }
  if (len % 4 == 1) {
    return OM_BASE64_BAD;
  }
  for (size_t i = 0; i < len; i++) {
    const char *at = text[i] != '\0' ? strchr(alphabet, text[i]) : NULL;
    if (at == NULL) {
      return OM_BASE64_BAD;
    }
    bits = (bits << 6 | (uint32_t)(at - alphabet)) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[written++] = (char)(bits >> held & 0xff);
    }
  }
  return written;
}

#endif
