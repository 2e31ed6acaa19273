/* json.h: what lua-cjson does not tell of a JSON text, or does not take: the digits of its numbers,
 * empty lists, halves of surrogate pairs, names that stand twice. Reads texts that lua-cjson has
 * read or is about to; checks nothing itself.
 * Pure.
 */
#ifndef OM_JSON_H
#define OM_JSON_H

#include <stdbool.h>
#include <stddef.h>

#define OM_JSON_MARK "\xFF" /* stands in no text that is UTF-8 */

enum om_json_kind {
  OM_JSON_ANSWER, /* what is told: half a surrogate pair becomes U+FFFD */
  OM_JSON_EVENT   /* what will be said to people: what lua-cjson would lose is marked */
};

/* Whether the text may have a whole number in it that a double does not hold. */
bool om_json_has_long_numbers(const char *text, size_t len);

/* Whether om_json_prepare would change nothing in an answer. */
bool om_json_is_plain(const char *text, size_t len);

/* Writes the text, as lua-cjson can read it, to bytes (NULL: nothing is written) and returns its
 * length. A byte order mark goes. Of an answer, every whole number of 2^53 and beyond becomes a
 * string, its digits as they came, and each \uXXXX that is half a surrogate pair \ufffd.
 * Of an event, each number that would be written otherwise than it came becomes a string of
 * OM_JSON_MARK and the number, [] a string of OM_JSON_MARK and [] (*marked: there are such), and
 * half a pair the three bytes that UTF-8 forbids, so that the field can be named. */
size_t om_json_prepare(const char *text, size_t len, enum om_json_kind kind, char *bytes,
                       bool *marked);

/* Whether one of the names (NULL-terminated) stands in the outermost object more than once, with
 * values that are not the same. */
bool om_json_contradicts(const char *text, size_t len, const char *const names[]);

/* A piece of a list or an object: its members from `from` to before `to`, with their commas;
 * alone: one member that is longer than a piece. */
typedef void om_json_piece(void *context, size_t from, size_t to, bool alone);

/* Cuts the list or object that the text is into pieces of about `most` bytes, for who reads it in
 * turns: what stands in them is read, and found wrong, by lua-cjson. False: it has no end, or
 * something stands behind it; at *wrong. */
bool om_json_cut(const char *text, size_t len, size_t most, om_json_piece *piece, void *context,
                 size_t *wrong);

#endif
