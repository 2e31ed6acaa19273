/* message_component.c: the components of a template message: body, header, buttons
 * (PLATFORM.md 1.4).
 *
 * An empty component is never written: the API refuses some. The static URL button of the use case
 * is no component at all. A table that a caller brings ready for the API is turned to JSON where it
 * is read, so that nothing can change it later.
 */
#include "message_component.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIELD_BYTES 48

/* USE_CASE: Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our
 * service. */
static const char *const use_case[] = {"name", "action", "next_step"};
#define USE_CASE_VALUES 3

/* ---- body ---- */

/* Raises unless the table at index is a list of `count` values and nothing else. */
static void check_list(lua_State *L, int index, size_t count, const char *sentence) {
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (key < 1 || key > (double)count || key != floor(key)) {
      om_raise(L, "%s", sentence);
    }
  }
}

/* The table on top of the stack becomes its JSON: a ready parameter. */
static int read_ready(struct om_build *b, struct om_parameter *parameter) {
  int failed = om_message_encode(b->L, b->encode);
  if (failed == 0) {
    parameter->text = om_build_piece(b->L);
    parameter->ready = true;
  }
  return failed;
}

/* The name of a named value in the table on top; the string takes the table's place. */
static int read_value_name(struct om_build *b, const char *field, struct om_piece *name) {
  lua_State *L = b->L;
  int value = lua_gettop(L);
  lua_getfield(L, value, "name");
  if (om_build_absent(L, -1)) {
    lua_pop(L, 1);
    lua_getfield(L, value, "parameter_name");
  }
  if (!om_build_absent(L, -1)) {
    om_build_push_text(L, -1, field);
    *name = om_build_piece(L);
    if (!om_text_utf8(name->at, name->len, NULL)) {
      return om_build_fail(L, field, "has a name that is not valid UTF-8");
    }
  }
  lua_replace(L, value);
  lua_settop(L, value);
  return 0;
}

/* body[i], on top: a text, or { name =, text = } for a named template (parameter_name is the API's
 * word for name), or a ready { type = …, … }. */
static int read_value(struct om_build *b, int i) {
  lua_State *L = b->L;
  static const char *const text_names[] = {"name", "text", "parameter_name", "type", NULL};
  struct om_parameter *parameter = &b->message->body[i - 1];
  char field[FIELD_BYTES];
  snprintf(field, sizeof field, "body[%d]", i);
  *parameter = (struct om_parameter){.ready = false};
  if (om_build_absent(L, -1)) {
    return om_build_fail(L, field, "is missing");
  }
  int value = lua_gettop(L);
  bool named = lua_istable(L, value);
  if (named) {
    lua_getfield(L, value, "type");
    bool ready = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "text") != 0;
    lua_pop(L, 1);
    if (ready) {
      return read_ready(b, parameter); /* a currency or a date: Meta's business */
    }
    om_check_names(L, value, field, text_names);
    lua_getfield(L, value, "text");
    if (om_build_absent(L, -1)) {
      return om_build_fail(L, field, "has no text; write \"…\", or { name = \"…\", text = \"…\" }");
    }
  }
  om_build_push_text(L, -1, field);
  int failed = om_build_settle(b, field, OM_TEXT_MAX_CHARS);
  if (failed != 0) {
    return failed;
  }
  parameter->text = om_build_piece(L);
  if (named) {
    lua_insert(L, value); /* the text stays, below the table */
    lua_settop(L, value + 1);
    return read_value_name(b, field, &parameter->name);
  }
  lua_replace(L, value);
  return 0;
}

static int read_list(struct om_build *b) {
  lua_State *L = b->L;
  int body = b->fields + OM_FIELD_BODY;
  size_t count = lua_rawlen(L, body);
  if (count > OM_MESSAGE_MAX_VALUES) {
    return om_fail(L, "invalid", NULL, "body has %zu values; a template has at most %d", count,
                   OM_MESSAGE_MAX_VALUES);
  }
  check_list(L, body, count, "body must be a list without gaps: { \"first\", \"second\" }");
  luaL_checkstack(L, (int)count * 2 + 20, NULL);
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, body, i);
    int failed = read_value(b, i);
    if (failed != 0) {
      return failed;
    }
    b->message->body_count = i;
  }
  return 0;
}

/* The filled-in body must stay within Meta's limit: clean shortens the longest value, strict
 * refuses. name: of the value i in sentences. */
static int fit_length(struct om_build *b, size_t room, const char *(*name)(int i, char *buffer)) {
  lua_State *L = b->L;
  struct om_message *m = b->message;
  struct om_piece *longest_text = NULL;
  size_t total = 0;
  size_t longest = 0;
  int at = 0;
  for (int i = 0; i < m->body_count; i++) {
    size_t chars = 0;
    if (!m->body[i].ready) {
      om_text_utf8(m->body[i].text.at, m->body[i].text.len, &chars);
    }
    total += chars;
    if (chars > longest) {
      longest = chars;
      longest_text = &m->body[i].text;
      at = i + 1;
    }
  }
  if (total <= room || b->text == OM_TEXT_RAW) {
    return 0;
  }
  if (longest_text == NULL || b->text == OM_TEXT_STRICT || total - longest >= room) {
    return om_fail(L, "invalid", NULL,
                   "the values have %zu characters together; the template's body has room for %zu",
                   total, room);
  }
  char field[FIELD_BYTES];
  lua_pushlstring(L, longest_text->at, longest_text->len);
  int failed = om_build_settle(b, name(at, field), room - (total - longest));
  if (failed == 0) {
    *longest_text = om_build_piece(L);
  }
  return failed;
}

static const char *use_case_name(int i, char *buffer) {
  (void)buffer;
  return use_case[i - 1];
}

static const char *body_name(int i, char *buffer) {
  snprintf(buffer, FIELD_BYTES, "body[%d]", i);
  return buffer;
}

static int read_use_case(struct om_build *b) {
  lua_State *L = b->L;
  for (int i = 0; i < USE_CASE_VALUES; i++) {
    int value = b->fields + OM_FIELD_NAME + i;
    if (om_build_absent(L, value)) {
      return om_fail(L, "invalid", NULL, "%s ({{%d}}) is missing", use_case[i], i + 1);
    }
    om_build_push_text(L, value, use_case[i]);
    int failed = om_build_settle(b, use_case[i], OM_TEXT_MAX_CHARS - OM_MESSAGE_FIXED_CHARS);
    if (failed != 0) {
      return failed;
    }
    b->message->body[i] = (struct om_parameter){.text = om_build_piece(L)};
  }
  b->message->body_count = USE_CASE_VALUES;
  return fit_length(b, OM_TEXT_MAX_CHARS - OM_MESSAGE_FIXED_CHARS, use_case_name);
}

int om_message_component_body(struct om_build *b) {
  lua_State *L = b->L;
  int body = b->fields + OM_FIELD_BODY;
  if (om_build_absent(L, body)) {
    return read_use_case(b);
  }
  if (!lua_istable(L, body)) {
    om_raise(L, "body must be a list of texts, and is a %s", luaL_typename(L, body));
  }
  for (int i = 0; i < USE_CASE_VALUES; i++) {
    if (!lua_isnil(L, b->fields + OM_FIELD_NAME + i)) {
      om_raise(L, "body and %s are both set; give one or the other", use_case[i]);
    }
  }
  int failed = read_list(b);
  return failed != 0 ? failed : fit_length(b, OM_TEXT_MAX_CHARS, body_name);
}

/* ---- header and buttons ---- */

static const char *const media[] = {"image", "video", "document", NULL};
static const char *const header_names[] = {"image", "video", "document", "filename",
                                           "type",  "text",  NULL};

/* Pushes the header's text when it is one: "text", or the API's { type = "text", text = "…" }. */
static bool push_header_text(lua_State *L, int header) {
  if (!lua_istable(L, header)) {
    om_build_push_text(L, header, "header");
    return true;
  }
  lua_getfield(L, header, "type");
  lua_getfield(L, header, "text");
  bool typed = lua_type(L, -2) == LUA_TSTRING;
  if (!om_build_absent(L, -1) && (!typed || strcmp(lua_tostring(L, -2), "text") == 0)) {
    om_build_push_text(L, -1, "header");
    return true;
  }
  lua_pop(L, 2);
  if (!typed) {
    om_check_names(L, header, "header", header_names);
  }
  return false;
}

/* Replaces the value on top of the stack by { type = type, [type] = value }. */
static void push_typed(lua_State *L, const char *type) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  lua_insert(L, -2);
  lua_setfield(L, -2, type);
}

/* Pushes the parameter of a header that is no text; false: it is none. */
static bool push_media(lua_State *L, int header) {
  lua_getfield(L, header, "type");
  bool ready = lua_type(L, -1) == LUA_TSTRING;
  lua_pop(L, 1);
  if (ready) {
    lua_pushvalue(L, header);
    return true;
  }
  for (int i = 0; media[i] != NULL; i++) {
    lua_getfield(L, header, media[i]);
    if (lua_type(L, -1) == LUA_TSTRING) {
      lua_createtable(L, 0, 2);
      lua_insert(L, -2);
      lua_setfield(L, -2, "link");
      lua_getfield(L, header, "filename");
      lua_setfield(L, -2, "filename");
    }
    if (lua_istable(L, -1)) {
      push_typed(L, media[i]);
      return true;
    }
    lua_pop(L, 1);
  }
  return false;
}

/* header = "text", or { image | video | document = "https://…" [, filename = "…"] } (the API's
 * { image = { link = … } } as well), or a ready { type = …, … } */
int om_message_component_header(struct om_build *b) {
  lua_State *L = b->L;
  int failed = 0;
  int top = lua_gettop(L);
  int header = b->fields + OM_FIELD_HEADER;
  struct om_parameter *parameter = &b->message->header;
  if (om_build_absent(L, header)) {
    return 0;
  }
  if (push_header_text(L, header)) {
    failed = om_build_settle(b, "header", OM_MESSAGE_HEADER_CHARS);
    parameter->text = om_build_piece(L);
  } else if (push_media(L, header)) {
    failed = read_ready(b, parameter);
  } else {
    return om_build_fail(L, "header",
                         "must be a text, or { image = \"https://…\" } (or video, document)");
  }
  if (failed == 0) {
    lua_insert(L, top + 1); /* only the string has to stay */
    lua_settop(L, top + 1);
  }
  return failed;
}

struct kind {
  const char *field;
  const char *sub_type;
  const char *parameter; /* its type, and the key of its value */
};

static const struct kind button_kinds[] = {{"url", "url", "text"},
                                           {"payload", "quick_reply", "payload"},
                                           {"code", "copy_code", "coupon_code"}};

/* { sub_type = …, parameters = { … } }: what the API takes. Leaves two strings on top, or pushes
 * nothing and answers false. */
static bool push_ready_button(lua_State *L, int button) {
  lua_getfield(L, button, "sub_type");
  lua_getfield(L, button, "parameters");
  bool ready = lua_type(L, -2) == LUA_TSTRING && lua_istable(L, -1);
  if (!ready) {
    lua_pop(L, 2);
  }
  return ready;
}

/* Reads url, payload or code of the button at index; its text is left on top. */
static int read_button_text(struct om_build *b, int button, const char *field,
                            struct om_button *to) {
  lua_State *L = b->L;
  for (size_t k = 0; k < sizeof button_kinds / sizeof button_kinds[0]; k++) {
    lua_getfield(L, button, button_kinds[k].field);
    if (om_build_absent(L, -1)) {
      lua_pop(L, 1);
      continue;
    }
    om_build_push_text(L, -1, field);
    int failed = om_build_settle(b, field, OM_MESSAGE_SUFFIX_CHARS);
    to->text = om_build_piece(L);
    to->type = button_kinds[k].parameter;
    to->sub_type = (struct om_piece){button_kinds[k].sub_type, strlen(button_kinds[k].sub_type)};
    return failed;
  }
  return om_build_fail(L, field,
                       "must have url, payload or code; a static URL button needs no entry at all");
}

/* buttons[i], on top, = { url = "suffix" | payload = "…" | code = "…" [, index = 0] }, or a ready
 * { sub_type = …, parameters = { … } [, index =] }. A static URL button has no entry. */
static int read_button(struct om_build *b, int i) {
  lua_State *L = b->L;
  static const char *const button_names[] = {"url",      "payload",    "code", "index",
                                             "sub_type", "parameters", "type", NULL};
  struct om_button *to = &b->message->buttons[i - 1];
  char field[FIELD_BYTES];
  int failed = 0;
  snprintf(field, sizeof field, "buttons[%d]", i);
  if (!lua_istable(L, -1)) {
    om_raise(L, "%s must be a table like { url = \"suffix\" }, and is a %s", field,
             luaL_typename(L, -1));
  }
  int button = lua_gettop(L);
  om_check_names(L, button, field, button_names);
  *to = (struct om_button){.index = i - 1};
  lua_getfield(L, button, "index");
  if (!lua_isnil(L, -1)) {
    to->index = (int)om_check_whole(L, -1, "index of buttons[…]", 0, 9);
  }
  lua_pop(L, 1);
  if (push_ready_button(L, button)) {
    failed = om_message_encode(L, b->encode);
    if (failed == 0) {
      to->text = om_build_piece(L);
      to->sub_type.at = lua_tolstring(L, -2, &to->sub_type.len);
      lua_remove(L, button);
    }
    return failed;
  }
  failed = read_button_text(b, button, field, to);
  if (failed == 0) {
    lua_replace(L, button);
    lua_settop(L, button);
  }
  return failed;
}

int om_message_component_buttons(struct om_build *b) {
  lua_State *L = b->L;
  int buttons = b->fields + OM_FIELD_BUTTONS;
  if (om_build_absent(L, buttons)) {
    return 0;
  }
  if (!lua_istable(L, buttons)) {
    om_raise(L, "buttons must be a list of tables, and is a %s", luaL_typename(L, buttons));
  }
  size_t count = lua_rawlen(L, buttons);
  if (count > OM_MESSAGE_MAX_BUTTONS) {
    return om_build_fail(L, "buttons", "are more than 10");
  }
  check_list(L, buttons, count, "buttons must be a list: { { url = \"suffix\" } }");
  luaL_checkstack(L, (int)count * 2 + 20, NULL);
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, buttons, i);
    int failed = read_button(b, i);
    if (failed != 0) {
      return failed;
    }
    b->message->button_count = i;
  }
  return 0;
}
