/* json.h: what lua-cjson does not tell of a JSON text: the digits of its long numbers, and names
 * that stand twice. Reads texts that lua-cjson has read or is about to; checks nothing itself.
 * Pure.
 */
#ifndef OM_JSON_H
#define OM_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* So many bytes suffice for om_json_exact(len). */
#define OM_JSON_EXACT_BYTES(len) ((len) + (len) / 8 + 2)

/* Whether the text may have a whole number in it that a double does not hold. */
bool om_json_has_long_numbers(const char *text, size_t len);
/* Writes the text to out with every whole number of 2^53 and beyond as a string, its digits as they
 * came. Returns the length. */
size_t om_json_exact(const char *text, size_t len, char *out);

/* Whether one of the names (NULL-terminated) stands in the outermost object more than once, with
 * values that are not the same. */
bool om_json_contradicts(const char *text, size_t len, const char *const names[]);

#endif
