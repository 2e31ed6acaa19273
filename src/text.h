/* text.h: what a template parameter may contain (PLATFORM.md 5.1). Pure: no Lua, no I/O, any
 * thread.
 *
 * Meta refuses a newline, a tab, or more than four blanks in a row inside a parameter, and an empty
 * one. Invisible controls can count as line breaks or disguise a text, so they go the same way.
 * Lengths are in code points. Nothing here allocates: clean writes into the caller's buffer.
 *
 * A blank is any character that shows as empty space: U+0020, no-break and typographic spaces, the
 * ideographic space, the Hangul fillers and the empty Braille cell. Invisible characters that a
 * script or an emoji needs are text, where they can do their work: a joiner between two characters
 * of a script that joins (or behind an Indic one), a variation selector behind a visible character,
 * tag characters behind U+1F3F4 (flags).
 */
#ifndef OM_TEXT_H
#define OM_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define OM_TEXT_MAX_BLANKS     4    /* Meta 132018: a fifth blank in a row is refused */
#define OM_TEXT_MAX_CHARS      1024 /* Meta: a filled-in template body */
#define OM_TEXT_ELLIPSIS_BYTES 3

enum om_text_fault {
  OM_TEXT_OK = 0,
  OM_TEXT_EMPTY,   /* nothing, or only blanks, line breaks and invisible characters */
  OM_TEXT_UTF8,    /* not valid UTF-8: overlong forms, surrogates and beyond U+10FFFF included */
  OM_TEXT_NEWLINE, /* CR, LF, VT, FF, NEL, U+2028, U+2029 */
  OM_TEXT_TAB,
  OM_TEXT_BLANKS,  /* more than OM_TEXT_MAX_BLANKS in a row */
  OM_TEXT_CONTROL, /* other C0 and C1 controls, NUL, zero-width marks, bidi controls, BOM,
                      noncharacters, and joiners, selectors or tags out of place */
  OM_TEXT_LONG     /* more than max_chars code points */
};

/* What om_text_clean did: a set of bits. */
enum om_text_change {
  OM_TEXT_JOINED_LINES = 1,  /* line breaks and tabs, with the blanks around, became one blank */
  OM_TEXT_JOINED_BLANKS = 2, /* a run of blanks became one */
  OM_TEXT_TRIMMED = 4,       /* blanks and line breaks at the ends went */
  OM_TEXT_DROPPED_MARKS = 8, /* invisible characters went */
  OM_TEXT_SHORTENED = 16     /* cut at max_chars, ending in an ellipsis */
};

/* True when the bytes are well-formed UTF-8; *chars (may be NULL) gets the code points, or on false
 * those before the malformed one. */
bool om_text_utf8(const char *text, size_t len, size_t *chars);

/* Strict: OM_TEXT_UTF8 and OM_TEXT_EMPTY before all else, then the first rule that the text breaks,
 * read from its start, then OM_TEXT_LONG. max_chars 0: no limit. */
enum om_text_fault om_text_check(const char *text, size_t len, size_t max_chars);

/* Clean: writes at most len + OM_TEXT_ELLIPSIS_BYTES bytes to out (no NUL; out is not text), their
 * number to *out_len, and the bits of what it changed to *changes. Faults left to it: OM_TEXT_UTF8,
 * OM_TEXT_EMPTY; both numbers are then 0. A run of up to four blanks stays as it is. What comes out
 * passes om_text_check with the same max_chars (0: no limit), and cleaning it again changes
 * nothing. A cut keeps letters with their accents and emoji sequences whole where it can. */
enum om_text_fault om_text_clean(const char *text, size_t len, size_t max_chars, char *out,
                                 size_t *out_len, unsigned *changes);

/* Sentence parts for people, static storage. explain reads on after the field's name: "has a line
 * break …"; describe stands by itself and is about the lowest set bit: "line breaks became …". */
const char *om_text_explain(enum om_text_fault fault);
const char *om_text_describe(unsigned change);

#endif
