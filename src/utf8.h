/* utf8.h: one code point from bytes that nobody vouches for. Pure; header-only so that phone.c and
 * text.c each stand alone.
 *
 * Strict by RFC 3629: overlong forms, surrogates and anything beyond U+10FFFF are malformed.
 */
#ifndef OM_UTF8_H
#define OM_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define OM_UTF8_MAX_BYTES 4

/* The code point at s, which has len >= 1 readable bytes. Returns the bytes that it takes, 0 when
 * they are malformed or cut short; *code is then untouched. */
static inline size_t om_utf8_decode(const char *s, size_t len, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length; less is overlong */
  const unsigned char *p = (const unsigned char *)s;
  if (p[0] < 0x80) {
    *code = p[0];
    return 1;
  }
  size_t need = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC0 || p[0] > 0xF7 || len < need)
    return 0;
  uint32_t c = p[0] & (0xFFu >> (need + 1));
  for (size_t i = 1; i < need; i++) {
    if ((p[i] & 0xC0) != 0x80)
      return 0;
    c = c << 6 | (p[i] & 0x3Fu);
  }
  if (c < least[need] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
    return 0;
  *code = c;
  return need;
}

#endif
