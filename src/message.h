/* message.h: from the table that a caller gives to `send` to the body of sendTemplate.
 *
 * Reading and writing are two steps. While a table is read, Lua may run at every allocation and in
 * every metamethod: a message is a struct of the call's own, and its texts are strings on the
 * call's own part of the Lua stack. Writing runs no Lua: what was read is what leaves.
 */
#ifndef OM_MESSAGE_H
#define OM_MESSAGE_H

#include "check.h"
#include "json_write.h"
#include "phone.h"
#include "text.h"

/* The use-case's template spends this many code points on its fixed words; see USE_CASE in
 * message_component.c. What name, action and next_step may fill is the rest of OM_TEXT_MAX_CHARS.
 */
#define OM_MESSAGE_FIXED_CHARS  76
#define OM_MESSAGE_MAX_VALUES   64
#define OM_MESSAGE_MAX_BUTTONS  10   /* Meta */
#define OM_MESSAGE_HEADER_CHARS 60   /* Meta: a text header with its value */
#define OM_MESSAGE_SUFFIX_CHARS 2000 /* Meta: what completes a dynamic URL button */

/* cjson.safe answers nil also when a finalizer raised in it (LuaJIT) or memory was short: what
 * fails so often is no JSON. */
#define OM_JSON_ATTEMPTS 3

/* What a channel lends to its messages; the strings are anchored by the channel. NULL: not set. */
struct om_message_defaults {
  const char *template_name;
  const char *name_space;
  const char *language;
  const char *country;
  enum om_text_mode { OM_TEXT_CLEAN, OM_TEXT_STRICT, OM_TEXT_RAW } text;
};

/* A text that a string on the Lua stack or the channel keeps alive. at NULL: none. */
struct om_piece {
  const char *at;
  size_t len;
};

/* A value of the header or the body: a text, or the JSON of a ready { type = …, … }. */
struct om_parameter {
  struct om_piece text;
  struct om_piece name; /* of a named value */
  bool ready;
};

struct om_button {
  struct om_piece sub_type;
  const char *type; /* of its parameter, and the key of its value; NULL: text is ready JSON */
  struct om_piece text;
  int index;
};

/* The kinds of names by which a message may be addressed (PLATFORM.md 1.4), as in the fields of a
 * message. */
enum om_recipient { OM_TO_PHONE, OM_TO_BSUID, OM_TO_USERNAME, OM_TO_CHAT_ID };

struct om_message {
  enum om_recipient recipient;
  char phone[OM_PHONE_MAX_DIGITS + 1];
  struct om_piece address; /* of the other kinds; on the stack, as all texts */
  struct om_piece template_name;
  struct om_piece name_space;
  struct om_piece language;
  long ttl_s;  /* 0: none */
  int changes; /* stack index of what cleaning changed: { field = { sentence, … } }, or nil */
  struct om_parameter header; /* no text: no header */
  int body_count;
  int button_count;
  struct om_parameter body[OM_MESSAGE_MAX_VALUES]; /* only the first body_count are set */
  struct om_button buttons[OM_MESSAGE_MAX_BUTTONS];
};

/* Reads the table at index into *message, which is good as long as what this pushes stays on the
 * stack. encode: registry reference of cjson's. Returns 0, or pushes `nil, err, info` and returns
 * 3. A wrong type or name raises. */
int om_message_read(lua_State *L, int index, const struct om_message_defaults *defaults, int encode,
                    struct om_message *message);

/* The body of sendTemplate, malloced, in an empty *json. Runs no Lua. False: no memory. */
bool om_message_write(const struct om_message *message, struct om_json *json);

/* Pushes the message as channel:check shows it. */
void om_message_push(lua_State *L, const struct om_message *message);

/* Replaces the table on top of the stack by its JSON, by lua-cjson; 0, or 3 and `nil, err, info`.
 */
int om_message_encode(lua_State *L, int encode);

/* The three forms that a name may have; each returns NULL or a sentence part. Pure. */
const char *om_message_template_fault(const char *name, size_t len);
const char *om_message_namespace_fault(const char *name, size_t len);
const char *om_message_language_fault(const char *code, size_t len);

/* Still the "___" of the use-case's sample program? */
bool om_is_placeholder(const char *text, size_t len);

#endif
