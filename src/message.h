/* message.h: from the table that a caller gives to `send` to the body of sendTemplate. */
#ifndef OM_MESSAGE_H
#define OM_MESSAGE_H

#include "check.h"
#include "text.h"

/* The use-case's template spends this many code points on its fixed words; see USE_CASE in
 * message.c. What name, action and next_step may fill is the rest of OM_TEXT_MAX_CHARS. */
#define OM_MESSAGE_FIXED_CHARS  76
#define OM_MESSAGE_MAX_VALUES   64
#define OM_MESSAGE_HEADER_CHARS 60   /* Meta: a text header with its value */
#define OM_MESSAGE_SUFFIX_CHARS 2000 /* Meta: what completes a dynamic URL button */

/* What a channel lends to its messages; the strings are anchored by the channel. NULL: not set. */
struct om_message_defaults {
  const char *template_name;
  const char *name_space;
  const char *language;
  const char *country;
  enum om_text_mode { OM_TEXT_CLEAN, OM_TEXT_STRICT, OM_TEXT_RAW } text;
};

/* Reads the table at index. Returns 0 and pushes two values: the table to be encoded as JSON, good
 * until the next call, and what cleaning changed ({ field = { sentence, … } } or nil). Else pushes
 * `nil, err, info` and returns 3. A wrong type or name raises. */
int om_message_build(lua_State *L, int index, const struct om_message_defaults *defaults);

/* The three forms that a name may have; each returns NULL or a sentence part. Pure. */
const char *om_message_template_fault(const char *name, size_t len);
const char *om_message_namespace_fault(const char *name, size_t len);
const char *om_message_language_fault(const char *code, size_t len);

/* Still the "___" of the use-case's sample program? */
bool om_is_placeholder(const char *text, size_t len);

#endif
