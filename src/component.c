/* component.c: the components of a template message: body, header, buttons (PLATFORM.md 1.4).
 *
 * An empty component is never written: the API refuses some, and lua-cjson would write an empty
 * list as {}. The static URL button of the use case is no component at all.
 */
#include "component.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIELD_BYTES 48
#define BUTTONS_MAX 10 /* Meta */

/* USE_CASE: Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our
 * service. */
static const char *const use_case[] = {"name", "action", "next_step"};
#define USE_CASE_VALUES 3

static size_t chars_at(lua_State *L, int index) {
  size_t len = 0;
  size_t chars = 0;
  const char *text = lua_tolstring(L, index, &len);
  om_text_utf8(text, len, &chars);
  return chars;
}

/* ---- body ---- */

/* Appends { type = "text", text = <top> } to the parameters at index; pops the text. */
static void append_parameter(lua_State *L, int parameters, int n, const char *type) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  lua_insert(L, -2);
  lua_setfield(L, -2, type);
  lua_rawseti(L, parameters, n);
}

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

/* body[i], on top: a text, or { name =, text = } for a named template (parameter_name is the API's
 * word for name), or a ready { type = …, … }. */
static int read_value(struct om_build *b, int parameters, int i) {
  lua_State *L = b->L;
  static const char *const text_names[] = {"name", "text", "parameter_name", "type", NULL};
  char field[FIELD_BYTES];
  snprintf(field, sizeof field, "body[%d]", i);
  if (om_build_absent(L, -1)) {
    return om_build_fail(L, field, "is missing");
  }
  int value = lua_gettop(L);
  if (lua_istable(L, value)) {
    lua_getfield(L, value, "type");
    if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "text") != 0) {
      lua_pop(L, 1);
      lua_rawseti(L, parameters, i); /* a currency or a date: Meta's business */
      return 0;
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
  append_parameter(L, parameters, i, "text");
  if (lua_istable(L, value)) {
    lua_rawgeti(L, parameters, i);
    lua_getfield(L, value, "name");
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_getfield(L, value, "parameter_name");
    }
    lua_setfield(L, -2, "parameter_name");
  }
  lua_settop(L, value - 1);
  return 0;
}

static int read_list(struct om_build *b, int parameters) {
  lua_State *L = b->L;
  int body = b->fields + OM_FIELD_BODY;
  size_t count = lua_rawlen(L, body);
  if (count > OM_MESSAGE_MAX_VALUES) {
    return om_fail(L, "invalid", NULL, "body has %zu values; a template has at most %d", count,
                   OM_MESSAGE_MAX_VALUES);
  }
  check_list(L, body, count, "body must be a list without gaps: { \"first\", \"second\" }");
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, body, i);
    int failed = read_value(b, parameters, i);
    if (failed != 0) {
      return failed;
    }
  }
  return 0;
}

/* Pushes the text of parameters[i]; false: it is none. */
static bool push_text_of(lua_State *L, int parameters, int i) {
  lua_rawgeti(L, parameters, i);
  lua_getfield(L, -1, "text");
  lua_remove(L, -2);
  return lua_type(L, -1) == LUA_TSTRING;
}

/* The filled-in body must stay within Meta's limit: clean shortens the longest value, strict
 * refuses. name: of the value i in sentences. */
static int fit_length(struct om_build *b, int parameters, size_t room,
                      const char *(*name)(int i, char *buffer)) {
  lua_State *L = b->L;
  size_t total = 0;
  size_t longest = 0;
  int at = 0;
  int count = (int)lua_rawlen(L, parameters);
  for (int i = 1; i <= count; i++) {
    size_t chars = push_text_of(L, parameters, i) ? chars_at(L, -1) : 0;
    lua_pop(L, 1);
    total += chars;
    if (chars > longest) {
      longest = chars;
      at = i;
    }
  }
  if (total <= room || b->text == OM_TEXT_RAW) {
    return 0;
  }
  if (b->text == OM_TEXT_STRICT || total - longest >= room) {
    return om_fail(L, "invalid", NULL,
                   "the values have %zu characters together; the template's body has room for %zu",
                   total, room);
  }
  char field[FIELD_BYTES];
  lua_rawgeti(L, parameters, at);
  push_text_of(L, parameters, at);
  int failed = om_build_settle(b, name(at, field), room - (total - longest));
  if (failed == 0) {
    lua_setfield(L, -2, "text");
    lua_pop(L, 1);
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

int om_component_use_case(struct om_build *b, int parameters) {
  lua_State *L = b->L;
  for (int i = 0; i < USE_CASE_VALUES; i++) {
    int value = b->fields + OM_FIELD_NAME + i;
    if (om_build_absent(L, value)) {
      return om_fail(L, "invalid", NULL, "%s ({{%d}}) is missing", use_case[i], i + 1);
    }
    lua_rawgeti(L, parameters, i + 1);
    om_build_push_text(L, value, use_case[i]);
    int failed = om_build_settle(b, use_case[i], OM_TEXT_MAX_CHARS - OM_MESSAGE_FIXED_CHARS);
    if (failed != 0) {
      return failed;
    }
    lua_setfield(L, -2, "text");
    lua_pop(L, 1);
  }
  return fit_length(b, parameters, OM_TEXT_MAX_CHARS - OM_MESSAGE_FIXED_CHARS, use_case_name);
}

/* Appends { type = type, parameters = <top> } to the components at index; pops the parameters. */
static void append_component(lua_State *L, int components, const char *type) {
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "parameters");
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  lua_rawseti(L, components, (int)lua_rawlen(L, components) + 1);
}

static int read_body(struct om_build *b, int parameters) {
  lua_State *L = b->L;
  int body = b->fields + OM_FIELD_BODY;
  if (om_build_absent(L, body)) {
    for (int i = 1; i <= USE_CASE_VALUES; i++) {
      lua_pushliteral(L, "");
      append_parameter(L, parameters, i, "text");
    }
    return om_component_use_case(b, parameters);
  }
  if (!lua_istable(L, body)) {
    om_raise(L, "body must be a list of texts, and is a %s", luaL_typename(L, body));
  }
  for (int i = 0; i < USE_CASE_VALUES; i++) {
    if (!lua_isnil(L, b->fields + OM_FIELD_NAME + i)) {
      om_raise(L, "body and %s are both set; give one or the other", use_case[i]);
    }
  }
  int failed = read_list(b, parameters);
  return failed != 0 ? failed : fit_length(b, parameters, OM_TEXT_MAX_CHARS, body_name);
}

int om_component_body(struct om_build *b, int components) {
  lua_State *L = b->L;
  lua_createtable(L, 3, 0);
  int parameters = lua_gettop(L);
  int failed = read_body(b, parameters);
  if (failed != 0) {
    return failed;
  }
  if (lua_rawlen(L, parameters) > 0) { /* lua-cjson would write an empty list as {} */
    append_component(L, components, "body");
  }
  lua_settop(L, parameters - 1);
  return 0;
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

/* header = "text", or { image | video | document = "https://…" [, filename = "…"] } (the API's
 * { image = { link = … } } as well), or a ready { type = …, … } */
int om_component_header(struct om_build *b, int components) {
  lua_State *L = b->L;
  int top = lua_gettop(L);
  int header = b->fields + OM_FIELD_HEADER;
  if (om_build_absent(L, header)) {
    return 0;
  }
  lua_createtable(L, 1, 0);
  int parameters = lua_gettop(L);
  if (push_header_text(L, header)) {
    int failed = om_build_settle(b, "header", OM_MESSAGE_HEADER_CHARS);
    if (failed != 0) {
      return failed;
    }
    append_parameter(L, parameters, 1, "text");
  } else {
    lua_getfield(L, header, "type");
    bool found = lua_type(L, -1) == LUA_TSTRING;
    if (found) {
      lua_pushvalue(L, header);
      lua_rawseti(L, parameters, 1);
    }
    for (int i = 0; media[i] != NULL && !found; i++) {
      lua_getfield(L, header, media[i]);
      found = lua_type(L, -1) == LUA_TSTRING || lua_istable(L, -1);
      if (lua_istable(L, -1)) {
        append_parameter(L, parameters, 1, media[i]);
      } else if (found) {
        lua_createtable(L, 0, 2);
        lua_insert(L, -2);
        lua_setfield(L, -2, "link");
        lua_getfield(L, header, "filename");
        lua_setfield(L, -2, "filename");
        append_parameter(L, parameters, 1, media[i]);
      } else {
        lua_pop(L, 1);
      }
    }
    if (!found) {
      return om_build_fail(L, "header",
                           "must be a text, or { image = \"https://…\" } (or video, document)");
    }
  }
  lua_settop(L, parameters);
  append_component(L, components, "header");
  lua_settop(L, top);
  return 0;
}

struct button {
  const char *field;
  const char *sub_type;
  const char *parameter; /* its type, and the key of its value */
};

static const struct button button_kinds[] = {{"url", "url", "text"},
                                             {"payload", "quick_reply", "payload"},
                                             {"code", "copy_code", "coupon_code"}};

/* buttons[i] = { url = "suffix" | payload = "…" | code = "…" [, index = 0] }, or a ready
 * { sub_type = …, parameters = { … } [, index =] }. A static URL button has no entry. */
static int read_button(struct om_build *b, int components, int i) {
  lua_State *L = b->L;
  static const char *const button_names[] = {"url",      "payload",    "code", "index",
                                             "sub_type", "parameters", "type", NULL};
  char field[FIELD_BYTES];
  snprintf(field, sizeof field, "buttons[%d]", i);
  if (!lua_istable(L, -1)) {
    om_raise(L, "%s must be a table like { url = \"suffix\" }, and is a %s", field,
             luaL_typename(L, -1));
  }
  int button = lua_gettop(L);
  om_check_names(L, button, field, button_names);
  lua_createtable(L, 0, 4);
  int component = lua_gettop(L);
  lua_pushliteral(L, "button");
  lua_setfield(L, component, "type");
  lua_getfield(L, button, "index");
  lua_Integer index = lua_isnil(L, -1) ? i - 1 : om_check_whole(L, -1, "index of buttons[…]", 0, 9);
  lua_pushinteger(L, index);
  lua_setfield(L, component, "index");
  lua_getfield(L, button, "parameters");
  lua_getfield(L, button, "sub_type");
  if (lua_istable(L, -2) && lua_type(L, -1) == LUA_TSTRING) {
    lua_setfield(L, component, "sub_type");
    lua_setfield(L, component, "parameters");
    lua_pushvalue(L, component);
    lua_rawseti(L, components, (int)lua_rawlen(L, components) + 1);
    return 0;
  }
  for (size_t k = 0; k < sizeof button_kinds / sizeof button_kinds[0]; k++) {
    lua_getfield(L, button, button_kinds[k].field);
    if (om_build_absent(L, -1)) {
      lua_pop(L, 1);
      continue;
    }
    om_build_push_text(L, -1, field);
    int failed = om_build_settle(b, field, OM_MESSAGE_SUFFIX_CHARS);
    if (failed != 0) {
      return failed;
    }
    lua_createtable(L, 1, 0);
    lua_insert(L, -2);
    append_parameter(L, lua_gettop(L) - 1, 1, button_kinds[k].parameter);
    lua_setfield(L, component, "parameters");
    lua_pushstring(L, button_kinds[k].sub_type);
    lua_setfield(L, component, "sub_type");
    lua_pushvalue(L, component);
    lua_rawseti(L, components, (int)lua_rawlen(L, components) + 1);
    return 0;
  }
  return om_build_fail(L, field,
                       "must have url, payload or code; a static URL button needs no entry at all");
}

int om_component_buttons(struct om_build *b, int components) {
  lua_State *L = b->L;
  int top = lua_gettop(L);
  int buttons = b->fields + OM_FIELD_BUTTONS;
  if (om_build_absent(L, buttons)) {
    return 0;
  }
  if (!lua_istable(L, buttons)) {
    om_raise(L, "buttons must be a list of tables, and is a %s", luaL_typename(L, buttons));
  }
  int count = (int)lua_rawlen(L, buttons);
  if (count > BUTTONS_MAX) {
    return om_build_fail(L, "buttons", "are more than 10");
  }
  check_list(L, buttons, (size_t)count, "buttons must be a list: { { url = \"suffix\" } }");
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, buttons, i);
    int failed = read_button(b, components, i);
    if (failed != 0) {
      return failed;
    }
    lua_settop(L, top);
  }
  return 0;
}
