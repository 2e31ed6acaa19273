/* phone.h: a recipient's number. Pure: no Lua, no I/O, no allocation, any thread.
 *
 * A number leaves as E.164 digits without "+", 7 to 15 of them, the first 1-9 (PLATFORM.md 5.4).
 * What people paste is cleaned: blanks, dashes, . ( ) /, invisible marks, "tel:", one "+" at the
 * front, an exit code, the trunk prefix, also the "(0)" of "+44 (0)20 …". What would be a guess is
 * refused: letters, two numbers in one, line breaks, a national number without a country, what can
 * be read as two numbers. Digits of other scripts, and the full-width plus that comes with them,
 * are refused, never dropped or mapped.
 *
 * National or international: with a country, digits are national unless "+", "00" or that country's
 * exit code stands first. Without one, digits that begin with neither "+" nor 0 are international,
 * and those behind a single 0 are refused. Either way the calling code must exist, and the number
 * have a length that numbers there have; whether its range is assigned is not asked.
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
  OM_PHONE_NOT_THERE, /* a country is set, and its numbers have other lengths */
  OM_PHONE_COUNTRY,   /* a country is needed, and the one given is not known */
  OM_PHONE_CODE,      /* no calling code begins so */
  OM_PHONE_LENGTH,    /* numbers of that calling code have other lengths */
  OM_PHONE_AMBIGUOUS, /* two ways to read it give two numbers */
  OM_PHONE_TWO,       /* "+1 202 555 0123/0124": two, or one with an extension */
  OM_PHONE_ZERO,      /* "+0…", "000…", or a "(0)" that is no trunk prefix for certain */
  OM_PHONE_DECIMAL,   /* "12020721369.0": a number that went through a spreadsheet or a float */
  OM_PHONE_SHORT,
  OM_PHONE_LONG,
  OM_PHONE_UTF8
};

/* text: len bytes, not NUL-terminated. country: whatever om_phone_country knows, or NULL or
 * "" for none; with anything else only "+" and "00" are understood. Writes digits and a NUL;
 * without a country the digits normalise to themselves. The fault is the first one met, reading
 * from the start. Anything but OM_PHONE_OK leaves out as "". */
enum om_phone_fault om_phone_normalize(const char *text, size_t len, const char *country,
                                       char out[OM_PHONE_MAX_DIGITS + 1]);

/* The calling code of a country, static storage: text is its ISO code ("BR", any case) or the
 * calling code itself, without "+". NULL: there is no such country. */
const char *om_phone_country(const char *text);

/* One spelling for all spellings of one person's number, to compare by; not one to send to. False:
 * text is neither a number in international form nor 7 to 15 digits, and out holds nothing. Mexico
 * with and without 1, Argentina with and without 9, Brazil with and without the ninth digit, Ivory
 * Coast and Benin before and after they had ten digits, a trunk prefix behind the calling code. */
bool om_phone_key(const char *text, size_t len, char out[OM_PHONE_MAX_DIGITS + 1]);

/* The other spelling, if a key has one. */
bool om_phone_longer(const char *key, char out[OM_PHONE_MAX_DIGITS + 1]);

/* A sentence part for people, static storage: what is wrong and what to do. It reads on after the
 * field's name: "has a letter: …". */
const char *om_phone_explain(enum om_phone_fault fault);

#endif
