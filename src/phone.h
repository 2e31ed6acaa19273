/* phone.h: the form of a recipient's number. Pure: no Lua, no I/O, no allocation, any thread.
 *
 * A number leaves as E.164 digits without "+", 7 to 15 of them, the first 1-9 (PLATFORM.md 5.4).
 * What people paste is cleaned: blanks, - . ( ) /, invisible marks, one "+", a leading "00", "(0)".
 * What would be a guess is refused: letters, two numbers in one, a national number without a
 * country.
 */
#ifndef OM_PHONE_H
#define OM_PHONE_H

#include <stddef.h>

#define OM_PHONE_MIN_DIGITS 7
#define OM_PHONE_MAX_DIGITS 15

enum om_phone_fault {
  OM_PHONE_OK = 0,
  OM_PHONE_EMPTY,
  OM_PHONE_LETTER,
  OM_PHONE_CHARACTER, /* a character that no number has */
  OM_PHONE_PLUS,      /* a "+" that is not at the front, or two */
  OM_PHONE_DIGITS,    /* digits of another script: refused, never dropped */
  OM_PHONE_NATIONAL,  /* a leading 0 and no country is set */
  OM_PHONE_SHORT,
  OM_PHONE_LONG,
  OM_PHONE_UTF8
};

/* text: len bytes, not NUL-terminated. country: calling code, digits ("55"), or NULL.
 * Writes digits and a NUL. Anything but OM_PHONE_OK leaves out as "". */
enum om_phone_fault om_phone_normalize(const char *text, size_t len, const char *country,
                                       char out[OM_PHONE_MAX_DIGITS + 1]);

/* A sentence part for people: what is wrong and what to do. Static storage. */
const char *om_phone_explain(enum om_phone_fault fault);

#endif
