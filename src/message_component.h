/* message_component.h: a message that is being read, shared by message.c and message_component.c.
 */
#ifndef OM_MESSAGE_COMPONENT_H
#define OM_MESSAGE_COMPONENT_H

#include "message.h"

/* What a message may hold. Its values stand on the stack, one a field, from `fields` on. */
enum om_field {
  OM_FIELD_PHONE, /* these four in a row, as om_recipient */
  OM_FIELD_BSUID,
  OM_FIELD_USERNAME,
  OM_FIELD_CHAT_ID,
  OM_FIELD_NAME, /* these three in a row: {{1}}, {{2}}, {{3}} */
  OM_FIELD_ACTION,
  OM_FIELD_NEXT_STEP,
  OM_FIELD_BODY,
  OM_FIELD_HEADER,
  OM_FIELD_BUTTONS,
  OM_FIELD_TEMPLATE,
  OM_FIELD_NAMESPACE,
  OM_FIELD_LANGUAGE,
  OM_FIELD_TTL,
  OM_FIELD_TEXT,
  OM_FIELD_COUNTRY,
  OM_FIELDS
};

extern const char *const om_field_names[];

struct om_build {
  lua_State *L;
  struct om_message *message;
  int fields; /* stack indices: field f stands at fields + f */
  int encode; /* registry reference of cjson's */
  enum om_text_mode text;
  const struct om_message_defaults *defaults;
};

/* nil, or the null of lua-cjson. */
bool om_build_absent(lua_State *L, int index);
/* Pushes a value as text: strings as they are, numbers without ".0". Raises on other types. */
void om_build_push_text(lua_State *L, int index, const char *field);
/* Replaces the text on top of the stack by what may be sent; 0, or 3 and `nil, err, info`. */
int om_build_settle(struct om_build *b, const char *field, size_t max_chars);
/* The string on top of the stack, which must stay there. */
struct om_piece om_build_piece(lua_State *L);
/* Answers `nil, "invalid: field why", info`. */
int om_build_fail(lua_State *L, const char *field, const char *why);

/* Each reads its field of the message; 0, or 3 and `nil, err, info`. What it leaves on the stack
 * keeps the message's texts. */
int om_message_recipient(struct om_build *b);
int om_message_component_header(struct om_build *b);
int om_message_component_body(struct om_build *b);
int om_message_component_buttons(struct om_build *b);

#endif
