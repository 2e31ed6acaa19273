/* component.h: a message under construction, shared by message.c and component.c. */
#ifndef OM_COMPONENT_H
#define OM_COMPONENT_H

#include "message.h"

struct om_build {
  lua_State *L;
  int message; /* stack indices */
  int wire;
  int texts;
  int changes; /* 0: no table yet */
  int changes_slot;
  enum om_text_mode text;
  const struct om_message_defaults *defaults;
};

/* nil, or the null of lua-cjson. */
bool om_build_absent(lua_State *L, int index);
/* Pushes a value as text: strings as they are, numbers without ".0". Raises on other types. */
void om_build_push_text(lua_State *L, int index, const char *field);
/* Replaces the text on top of the stack by what may be sent; 0, or 3 and `nil, err, info`. */
int om_build_settle(struct om_build *b, const char *field, size_t max_chars);
/* Answers `nil, "invalid: field why", info`. */
int om_build_fail(lua_State *L, const char *field, const char *why);

/* Each reads its field of the message and appends its component, if any, to the list at index
 * `components`; 0, or 3 and `nil, err, info`. Leaves the stack as it was on 0. */
int om_component_header(struct om_build *b, int components);
int om_component_body(struct om_build *b, int components);
int om_component_buttons(struct om_build *b, int components);

#endif
