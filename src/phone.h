/* phone.h: the form of a recipient's number. Pure: no Lua, no I/O, no allocation, any thread.
 *
 * A number leaves as E.164 digits without "+", 7 to 15 of them, the first 1-9 (PLATFORM.md 5.4).
 * What people paste is cleaned: blanks, dashes, . ( ) /, invisible marks, one "+" at the front, a
 * leading "00", and the "(0)" of "+44 (0)20 …". What would be a guess is refused: letters, two
 * numbers in one, line breaks, a national number without a country. Digits of other scripts, and
 * the full-width plus that comes with them, are refused, never dropped or mapped.
 *
 * National or international: "+" or "00" is international, a single leading 0 is national, and
 * anything else is taken as international, country or not: it is the form that the API asks for,
 * and whether "55 1191 2345" begins with a country code nobody can tell.
 */
#ifndef OM_PHONE_H
#define OM_PHONE_H

#include <stdbool.h>
#include <stddef.h>

#define OM_PHONE_MIN_DIGITS     7
#define OM_PHONE_MAX_DIGITS     15 /* E.164 */
#define OM_PHONE_COUNTRY_DIGITS 3  /* the longest calling code */

enum om_phone_fault {
  OM_PHONE_OK = 0,
  OM_PHONE_EMPTY,     /* no digit at all */
  OM_PHONE_LETTER,    /* of any script; "ext", "x12", a name, an address */
  OM_PHONE_CHARACTER, /* a character that no number has: , ; @ NUL, a line break, an emoji … */
  OM_PHONE_PLUS,      /* a "+" that is not at the front, or two */
  OM_PHONE_DIGITS,    /* digits, or the plus, of another script */
  OM_PHONE_NATIONAL,  /* a leading 0 and no country is set */
  OM_PHONE_ZERO,      /* "+0…", "000…", or a "(0)" that is no trunk prefix for certain */
  OM_PHONE_DECIMAL,   /* "12020721369.0": a number that went through a spreadsheet or a float */
  OM_PHONE_SHORT,
  OM_PHONE_LONG,
  OM_PHONE_UTF8
};

/* text: len bytes, not NUL-terminated. country: calling code ("55"), for which om_phone_country is
 * true, or NULL; anything else counts as NULL. With a country a single leading 0 gives way to it,
 * except in the few countries whose numbers really begin with 0 (Italy, Ivory Coast …), where it
 * stays. Countries with another trunk prefix than 0 (Hungary's 06, Russia's 8) need international
 * numbers.
 * Writes digits and a NUL; the digits normalise to themselves. The fault is the first one met,
 * reading from the start. Anything but OM_PHONE_OK leaves out as "". */
enum om_phone_fault om_phone_normalize(const char *text, size_t len, const char *country,
                                       char out[OM_PHONE_MAX_DIGITS + 1]);

/* Whether text is a calling code in form: 1 to 3 digits, the first 1-9, no "+". */
bool om_phone_country(const char *text);

/* A sentence part for people, static storage: what is wrong and what to do. It reads on after the
 * field's name: "has a letter: …". */
const char *om_phone_explain(enum om_phone_fault fault);

#endif
