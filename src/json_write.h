/* json_write.h: writes JSON into a malloced buffer. Pure: no Lua, no I/O, any thread.
 *
 * For what onemsg itself puts together from texts that were checked; what a caller brings as a
 * table is lua-cjson's (om_message_encode). Nothing can run between two pieces, so no other
 * document can get into this one.
 */
#ifndef OM_JSON_WRITE_H
#define OM_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed: empty. `at` is malloced, not NUL-terminated, and the owner's to free. */
struct om_json {
  char *at;
  size_t len;
  size_t room;
  bool failed; /* no memory: what is written from then on is nothing */
};

/* Bytes as they are: punctuation, names that need no escapes, ready JSON. */
void om_json_raw(struct om_json *json, const char *bytes, size_t len);
/* The same for a NUL-terminated text. */
void om_json_put(struct om_json *json, const char *text);
/* A string: in quotes, with escapes where JSON asks for them. text is UTF-8. */
void om_json_text(struct om_json *json, const char *text, size_t len);
/* A whole number. */
void om_json_whole(struct om_json *json, long number);

#endif
