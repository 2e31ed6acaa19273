/* phone_digits.h: what stands in a text that is to be a phone number: one walk sorts every code
 * point into digit, plus, bracket, skipped, refused. It knows no country. Only phone.c uses it.
 * Pure: no state, any thread.
 */
#ifndef OM_PHONE_DIGITS_H
#define OM_PHONE_DIGITS_H

#include "phone.h"

#include <stdint.h>

/* Room for the longest exit code, an operator's, "(0)" and the longest number; a bit for each. */
#define OM_PHONE_READ_DIGITS 32
#define OM_PHONE_NO_ZERO     SIZE_MAX

/* What has been read; digits is not NUL-terminated. */
struct om_phone_digits {
  char digits[OM_PHONE_READ_DIGITS];
  size_t count;
  bool plus; /* a "+" was met */
  bool open; /* within a bracket that opened after bracket_at digits */
  size_t bracket_at;
  size_t zero_at;   /* where a "(0)" stands behind other digits, or OM_PHONE_NO_ZERO */
  uint32_t slashes; /* bit n: behind n digits comes a slash */
  uint32_t dashes;  /* … a dash between blanks */
  bool blank;       /* the last character was one */
  bool dash;        /* the last was a dash behind a blank */
};

/* text: len bytes. OM_PHONE_OK: at least one digit was there and all of them had room. */
enum om_phone_fault om_phone_digits_read(const char *text, size_t len, struct om_phone_digits *n);

#endif
