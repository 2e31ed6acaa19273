/* message.c: see message.h. The wire format is the sample program's of the use case, field for
 * field; the rules of texts and numbers are PLATFORM.md section 5.
 */
#include "message.h"

#include "phone.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* USE_CASE: Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our
 * service. */
static const char *const use_case[] = {"name", "action", "next_step"};

static const char *const fields[] = {"phone",    "chat_id", "name",    "action",   "next_step",
                                     "body",     "header",  "buttons", "template", "namespace",
                                     "language", "ttl",     "text",    NULL};

#define FIELD_BYTES 48

struct build {
  lua_State *L;
  int message; /* stack indices */
  int wire;
  int texts;
  int changes; /* 0: no table yet */
  int changes_slot;
  enum om_text_mode text;
  const struct om_message_defaults *defaults;
};

bool om_is_placeholder(const char *text, size_t len) {
  return len > 0 && strspn(text, "_") >= len;
}

/* ---- names ---- */

static bool all_of(const char *text, size_t len, const char *extra) {
  for (size_t i = 0; i < len; i++) {
    char c = text[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!plain && (c == '\0' || strchr(extra, c) == NULL)) {
      return false;
    }
  }
  return true;
}

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

const char *om_message_template_fault(const char *name, size_t len) {
  if (len > 512) {
    return "is longer than 512 characters";
  }
  return all_of(name, len, "")
             ? NULL
             : "takes lower-case letters, digits and _ only, as Meta names templates";
}

const char *om_message_namespace_fault(const char *name, size_t len) {
  return len <= 256 && all_of(name, len, UPPER "-")
             ? NULL
             : "is not a namespace; copy it from the list of "
               "templates (channel:templates())";
}

const char *om_message_language_fault(const char *code, size_t len) {
  size_t letters = 0;
  while (letters < len && code[letters] >= 'a' && code[letters] <= 'z') {
    letters++;
  }
  bool region = len == letters + 3 && code[letters] == '_' && code[letters + 1] >= 'A' &&
                code[letters + 1] <= 'Z' && code[letters + 2] >= 'A' && code[letters + 2] <= 'Z';
  if ((letters == 2 || letters == 3) && (len == letters || region)) {
    return NULL;
  }
  return "is not a language code of a template; write it like en, en_US or pt_BR";
}

/* ---- values ---- */

/* Pushes a value as text: strings as they are, numbers without ".0". Raises on other types. */
static void push_text(lua_State *L, int index, const char *field) {
  char digits[40];
  switch (lua_type(L, index)) {
  case LUA_TSTRING:
    lua_pushvalue(L, index);
    return;
  case LUA_TNUMBER: {
    double value = lua_tonumber(L, index);
    if (value == floor(value) && fabs(value) < 1e15) {
      snprintf(digits, sizeof digits, "%.0f", value);
      lua_pushstring(L, digits);
      return;
    }
    if (value - value == 0) { /* finite */
      snprintf(digits, sizeof digits, "%.14g", value);
      lua_pushstring(L, digits);
      return;
    }
    om_raise(L, "%s must be a text, and is not even a finite number", field);
  }
  default:
    om_raise(L, "%s must be a text, and is a %s", field, luaL_typename(L, index));
  }
}

static bool is_absent(lua_State *L, int index) {
  return lua_isnil(L, index) ||
         (lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL); /* null */
}

static int fail_value(lua_State *L, const char *field, const char *why) {
  return om_fail(L, "invalid", NULL, "%s %s", field, why);
}

/* Notes that cleaning changed a field: changes[field] = { sentence, … }. */
static void note_changes(struct build *b, const char *field, unsigned changes) {
  lua_State *L = b->L;
  int n = 0;
  if (b->changes == 0) {
    lua_newtable(L);
    lua_replace(L, b->changes_slot);
    b->changes = b->changes_slot;
  }
  lua_newtable(L);
  for (unsigned bit = 1; bit <= OM_TEXT_SHORTENED; bit <<= 1) {
    if ((changes & bit) != 0) {
      lua_pushstring(L, om_text_describe(bit));
      lua_rawseti(L, -2, ++n);
    }
  }
  lua_setfield(L, b->changes, field);
}

/* Replaces the text on top of the stack by what may be sent; 0, or 3 and `nil, err, info`. */
static int settle_text(struct build *b, const char *field, size_t max_chars) {
  lua_State *L = b->L;
  size_t len = 0;
  const char *text = lua_tolstring(L, -1, &len);
  enum om_text_fault fault = OM_TEXT_OK;
  if (b->text == OM_TEXT_RAW) {
    fault = !om_text_utf8(text, len, NULL) ? OM_TEXT_UTF8 : len == 0 ? OM_TEXT_EMPTY : OM_TEXT_OK;
  } else {
    fault = om_text_check(text, len, max_chars);
  }
  if (fault == OM_TEXT_OK) {
    return 0;
  }
  if (b->text != OM_TEXT_CLEAN || fault == OM_TEXT_UTF8 || fault == OM_TEXT_EMPTY) {
    return fail_value(L, field, om_text_explain(fault));
  }
  unsigned changes = 0;
  size_t cleaned_len = 0;
  char *cleaned = (char *)lua_newuserdatauv(L, len + OM_TEXT_ELLIPSIS_BYTES, 0);
  fault = om_text_clean(text, len, max_chars, cleaned, &cleaned_len, &changes);
  if (fault != OM_TEXT_OK) {
    return fail_value(L, field, om_text_explain(fault));
  }
  lua_pushlstring(L, cleaned, cleaned_len);
  lua_replace(L, -3);
  lua_pop(L, 1);
  note_changes(b, field, changes);
  return 0;
}

static size_t chars_at(lua_State *L, int index) {
  size_t len = 0;
  size_t chars = 0;
  const char *text = lua_tolstring(L, index, &len);
  om_text_utf8(text, len, &chars);
  return chars;
}

/* ---- who ---- */

static int read_phone(struct build *b) {
  lua_State *L = b->L;
  char digits[OM_PHONE_MAX_DIGITS + 1];
  size_t len = 0;
  push_text(L, -1, "phone");
  const char *text = lua_tolstring(L, -1, &len);
  if (om_is_placeholder(text, len)) {
    return fail_value(L, "phone", "is still the placeholder of the sample");
  }
  enum om_phone_fault fault = om_phone_normalize(text, len, b->defaults->country, digits);
  if (fault != OM_PHONE_OK) {
    return fail_value(L, "phone", om_phone_explain(fault));
  }
  lua_pushstring(L, digits);
  lua_setfield(L, b->wire, "phone");
  lua_pop(L, 2);
  return 0;
}

static int read_chat_id(struct build *b) {
  lua_State *L = b->L;
  size_t len = 0;
  if (lua_type(L, -1) != LUA_TSTRING) {
    om_raise(L, "chat_id must be a text, and is a %s", luaL_typename(L, -1));
  }
  const char *text = lua_tolstring(L, -1, &len);
  bool plain = len > 1 && len <= 128 && memchr(text, '@', len) != NULL;
  for (size_t i = 0; plain && i < len; i++) {
    plain = text[i] > ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\';
  }
  if (!plain) {
    return fail_value(L, "chat_id", "must look like 12020721369@c.us, or be an @username");
  }
  lua_setfield(L, b->wire, "chatId");
  return 0;
}

static int read_recipient(struct build *b) {
  lua_State *L = b->L;
  lua_getfield(L, b->message, "phone");
  lua_getfield(L, b->message, "chat_id");
  bool phone = !is_absent(L, -2);
  bool chat = !is_absent(L, -1);
  if (phone == chat) {
    return om_fail(L, "invalid", NULL, "%s",
                   phone ? "phone and chat_id are both set; a message has one recipient"
                         : "phone is missing; give the number in international form");
  }
  if (chat) {
    int failed = read_chat_id(b);
    if (failed == 0) {
      lua_pop(L, 1);
    }
    return failed;
  }
  lua_pop(L, 1);
  return read_phone(b);
}

/* ---- which template ---- */

/* wire[key] = the message's own value, or the channel's. */
static int read_name(struct build *b, const char *field, const char *key, const char *variable,
                     const char *preset, const char *(*fault_of)(const char *, size_t)) {
  lua_State *L = b->L;
  size_t len = 0;
  lua_getfield(L, b->message, field);
  if (is_absent(L, -1)) {
    lua_pop(L, 1);
    if (preset == NULL) {
      return om_fail(L, "config", "invalid", "%s is missing; set %s in onemsg.new or %s", field,
                     field, variable);
    }
    lua_pushstring(L, preset); /* checked by onemsg.new */
  } else if (lua_type(L, -1) != LUA_TSTRING) {
    om_raise(L, "%s must be a text, and is a %s", field, luaL_typename(L, -1));
  } else {
    const char *text = lua_tolstring(L, -1, &len);
    if (len == 0 || om_is_placeholder(text, len)) {
      return fail_value(L, field, "is empty, or still the placeholder of the sample");
    }
    const char *fault = fault_of(text, len);
    if (fault != NULL) {
      return fail_value(L, field, fault);
    }
  }
  if (strcmp(key, "language") == 0) {
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "deterministic");
    lua_setfield(L, -2, "policy");
    lua_insert(L, -2);
    lua_setfield(L, -2, "code");
  }
  lua_setfield(L, b->wire, key);
  return 0;
}

static int read_template(struct build *b) {
  const struct om_message_defaults *d = b->defaults;
  int failed = read_name(b, "template", "template", "ONE_MSG_TEMPLATE", d->template_name,
                         om_message_template_fault);
  if (failed == 0) {
    failed = read_name(b, "namespace", "namespace", "ONE_MSG_TEMPLATE_NAMESPACE", d->name_space,
                       om_message_namespace_fault);
  }
  if (failed == 0) {
    failed = read_name(b, "language", "language", "ONE_MSG_TEMPLATE_LANGUAGE", d->language,
                       om_message_language_fault);
  }
  return failed;
}

/* ---- the components ---- */

/* Appends { type = "text", text = <top> } to the parameters at index; pops the text. */
static void append_parameter(lua_State *L, int parameters, int n, const char *type) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, type);
  lua_setfield(L, -2, "type");
  lua_insert(L, -2);
  lua_setfield(L, -2, type);
  lua_rawseti(L, parameters, n);
}

static int read_use_case(struct build *b) {
  lua_State *L = b->L;
  for (int i = 0; i < 3; i++) {
    lua_getfield(L, b->message, use_case[i]);
    if (is_absent(L, -1)) {
      return om_fail(L, "invalid", NULL, "%s ({{%d}}) is missing", use_case[i], i + 1);
    }
    push_text(L, -1, use_case[i]);
    int failed = settle_text(b, use_case[i], OM_TEXT_MAX_CHARS - OM_MESSAGE_FIXED_CHARS);
    if (failed != 0) {
      return failed;
    }
    lua_rawseti(L, b->texts, i + 1);
    lua_pop(L, 1);
  }
  return 0;
}

/* body[i]: a text, or { name =, text = } for a named template, or a ready { type = …, … }. */
static int read_value(struct build *b, int parameters, int i) {
  lua_State *L = b->L;
  char field[FIELD_BYTES];
  snprintf(field, sizeof field, "body[%d]", i);
  if (is_absent(L, -1)) {
    return fail_value(L, field, "is missing");
  }
  if (!lua_istable(L, -1)) {
    push_text(L, -1, field);
    lua_replace(L, -2);
    int failed = settle_text(b, field, OM_TEXT_MAX_CHARS);
    if (failed == 0) {
      lua_rawseti(L, b->texts, i);
    }
    return failed;
  }
  lua_getfield(L, -1, "type");
  bool ready = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "text") != 0;
  lua_pop(L, 1);
  if (ready) { /* a currency or a date: Meta's business */
    lua_rawseti(L, parameters, i);
    lua_pushboolean(L, 0);
    lua_rawseti(L, b->texts, i);
    return 0;
  }
  lua_getfield(L, -1, "text");
  if (is_absent(L, -1)) {
    return fail_value(L, field, "has no text; write \"…\", or { name = \"…\", text = \"…\" }");
  }
  push_text(L, -1, field);
  lua_replace(L, -2);
  int failed = settle_text(b, field, OM_TEXT_MAX_CHARS);
  if (failed != 0) {
    return failed;
  }
  lua_pushvalue(L, -1);
  lua_rawseti(L, b->texts, i);
  append_parameter(L, parameters, i, "text");
  lua_getfield(L, -1, "name");
  if (lua_type(L, -1) == LUA_TSTRING) {
    lua_rawgeti(L, parameters, i);
    lua_insert(L, -2);
    lua_setfield(L, -2, "parameter_name");
  }
  lua_pop(L, 2);
  return 0;
}

static int read_list(struct build *b, int parameters) {
  lua_State *L = b->L;
  int body = lua_gettop(L);
  size_t count = lua_rawlen(L, body);
  if (count > OM_MESSAGE_MAX_VALUES) {
    return om_fail(L, "invalid", NULL, "body has %zu values; a template has at most %d", count,
                   OM_MESSAGE_MAX_VALUES);
  }
  lua_pushnil(L);
  while (lua_next(L, body) != 0) {
    lua_pop(L, 1);
    double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (key < 1 || key > (double)count || key != floor(key)) {
      om_raise(L, "body must be a list without gaps: { \"first\", \"second\" }");
    }
  }
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, body, i);
    int failed = read_value(b, parameters, i);
    if (failed != 0) {
      return failed;
    }
  }
  return 0;
}

/* The filled-in body must stay within Meta's limit: clean shortens the longest value, strict
 * refuses. */
static int fit_length(struct build *b, size_t room) {
  lua_State *L = b->L;
  size_t total = 0;
  size_t longest = 0;
  int at = 0;
  int count = (int)lua_rawlen(L, b->texts);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, b->texts, i);
    size_t chars = lua_type(L, -1) == LUA_TSTRING ? chars_at(L, -1) : 0;
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
  snprintf(field, sizeof field, "body[%d]", at);
  lua_rawgeti(L, b->texts, at);
  int failed = settle_text(b, count == 3 && room != OM_TEXT_MAX_CHARS ? use_case[at - 1] : field,
                           room - (total - longest));
  if (failed == 0) {
    lua_rawseti(L, b->texts, at);
  }
  return failed;
}

/* texts[i] -> parameters[i] = { type = "text", text = … }, but for those that stand there already.
 */
static void fill_parameters(struct build *b, int parameters) {
  lua_State *L = b->L;
  int count = (int)lua_rawlen(L, b->texts);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, b->texts, i);
    if (lua_type(L, -1) != LUA_TSTRING) {
      lua_pop(L, 1);
      continue;
    }
    lua_rawgeti(L, parameters, i);
    if (lua_istable(L, -1)) {
      lua_insert(L, -2);
      lua_setfield(L, -2, "text");
      lua_pop(L, 1);
    } else {
      lua_pop(L, 1);
      append_parameter(L, parameters, i, "text");
    }
  }
}

/* Appends { type = "body", parameters = … } to the components at index. */
static int read_body(struct build *b, int components) {
  lua_State *L = b->L;
  int top = lua_gettop(L);
  size_t room = OM_TEXT_MAX_CHARS;
  int failed = 0;
  lua_createtable(L, 3, 0);
  int parameters = lua_gettop(L);
  lua_getfield(L, b->message, "body");
  if (is_absent(L, -1)) {
    room -= OM_MESSAGE_FIXED_CHARS;
    failed = read_use_case(b);
  } else if (!lua_istable(L, -1)) {
    om_raise(L, "body must be a list of texts, and is a %s", luaL_typename(L, -1));
  } else {
    for (int i = 0; i < 3; i++) {
      lua_getfield(L, b->message, use_case[i]);
      if (!lua_isnil(L, -1)) {
        om_raise(L, "body and %s are both set; give one or the other", use_case[i]);
      }
      lua_pop(L, 1);
    }
    failed = read_list(b, parameters);
  }
  if (failed == 0) {
    failed = fit_length(b, room);
  }
  if (failed != 0) {
    return failed;
  }
  fill_parameters(b, parameters);
  if (lua_rawlen(L, parameters) > 0) { /* lua-cjson would write an empty list as {} */
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "body");
    lua_setfield(L, -2, "type");
    lua_pushvalue(L, parameters);
    lua_setfield(L, -2, "parameters");
    lua_rawseti(L, components, (int)lua_rawlen(L, components) + 1);
  }
  lua_settop(L, top);
  return 0;
}

static const char *const media[] = {"image", "video", "document", NULL};

/* header = "text", or { image | video | document = "https://…" [, filename = "…"] }, or a ready
 * { type = …, … } */
static int read_header(struct build *b, int components) {
  lua_State *L = b->L;
  int top = lua_gettop(L);
  lua_getfield(L, b->message, "header");
  if (is_absent(L, -1)) {
    lua_settop(L, top);
    return 0;
  }
  int header = lua_gettop(L);
  lua_createtable(L, 1, 0);
  int parameters = lua_gettop(L);
  if (!lua_istable(L, header)) {
    push_text(L, header, "header");
    int failed = settle_text(b, "header", OM_MESSAGE_HEADER_CHARS);
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
      found = lua_type(L, -1) == LUA_TSTRING;
      if (found) {
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
      return fail_value(L, "header",
                        "must be a text, or { image = \"https://…\" } (or video, document)");
    }
  }
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "header");
  lua_setfield(L, -2, "type");
  lua_pushvalue(L, parameters);
  lua_setfield(L, -2, "parameters");
  lua_rawseti(L, components, (int)lua_rawlen(L, components) + 1);
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
static int read_button(struct build *b, int components, int i) {
  lua_State *L = b->L;
  char field[FIELD_BYTES];
  snprintf(field, sizeof field, "buttons[%d]", i);
  if (!lua_istable(L, -1)) {
    om_raise(L, "%s must be a table like { url = \"suffix\" }, and is a %s", field,
             luaL_typename(L, -1));
  }
  int button = lua_gettop(L);
  lua_createtable(L, 0, 4);
  int component = lua_gettop(L);
  lua_pushliteral(L, "button");
  lua_setfield(L, component, "type");
  lua_getfield(L, button, "index");
  lua_Integer index = lua_isnil(L, -1) ? i - 1 : om_check_whole(L, -1, "a button's index", 0, 9);
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
    if (is_absent(L, -1)) {
      lua_pop(L, 1);
      continue;
    }
    push_text(L, -1, field);
    int failed = settle_text(b, field, OM_MESSAGE_SUFFIX_CHARS);
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
  return fail_value(L, field,
                    "must have url, payload or code; a static URL button needs no entry at all");
}

static int read_buttons(struct build *b, int components) {
  lua_State *L = b->L;
  int top = lua_gettop(L);
  lua_getfield(L, b->message, "buttons");
  if (!is_absent(L, -1)) {
    if (!lua_istable(L, -1)) {
      om_raise(L, "buttons must be a list of tables, and is a %s", luaL_typename(L, -1));
    }
    int buttons = lua_gettop(L);
    int count = (int)lua_rawlen(L, buttons);
    if (count > 10) {
      return fail_value(L, "buttons", "are more than 10");
    }
    for (int i = 1; i <= count; i++) {
      lua_rawgeti(L, buttons, i);
      int failed = read_button(b, components, i);
      if (failed != 0) {
        return failed;
      }
      lua_settop(L, buttons);
    }
  }
  lua_settop(L, top);
  return 0;
}

/* How long WhatsApp may try to deliver: 30 s to 30 days; -1 is Meta's word for 30 days. */
static void read_ttl(struct build *b) {
  lua_State *L = b->L;
  double seconds = 0;
  lua_getfield(L, b->message, "ttl");
  if (!is_absent(L, -1)) {
    if (!om_to_seconds(L, -1, &seconds) || seconds != floor(seconds) ||
        ((seconds < 30 || seconds > 2592000) && seconds != -1)) {
      om_raise(L, "ttl must be whole seconds from 30 to 2592000 (30 days), or like \"10m\"");
    }
    lua_pushinteger(L, (lua_Integer)seconds);
    lua_setfield(L, b->wire, "messageSendTtlSeconds");
  }
  lua_pop(L, 1);
}

static void read_mode(struct build *b) {
  static const char *const modes[] = {"clean", "strict", "raw", NULL};
  lua_State *L = b->L;
  lua_getfield(L, b->message, "text");
  b->text = b->defaults->text;
  if (!lua_isnil(L, -1)) {
    int mode = 0;
    const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    while (modes[mode] != NULL && strcmp(modes[mode], word) != 0) {
      mode++;
    }
    if (modes[mode] == NULL) {
      om_raise(L, "text must be \"clean\", \"strict\" or \"raw\"");
    }
    b->text = (enum om_text_mode)mode;
  }
  lua_pop(L, 1);
}

int om_message_build(lua_State *L, int index, const struct om_message_defaults *defaults) {
  if (!lua_istable(L, index)) {
    om_raise(L,
             "a message must be a table like { phone = …, name = …, action = …, next_step = … }, "
             "and is a %s",
             luaL_typename(L, index));
  }
  luaL_checkstack(L, 40, NULL);
  struct build build = {.L = L, .message = lua_absindex(L, index), .defaults = defaults};
  struct build *b = &build;
  om_check_names(L, b->message, "a message", fields);
  lua_createtable(L, 0, 6);
  b->wire = lua_gettop(L);
  lua_createtable(L, 3, 0);
  b->texts = b->wire + 1;
  lua_pushnil(L);
  b->changes_slot = b->wire + 2;
  lua_createtable(L, 1, 0);
  int components = b->wire + 3;
  read_mode(b);
  read_ttl(b);
  int failed = read_recipient(b);
  failed = failed != 0 ? failed : read_template(b);
  failed = failed != 0 ? failed : read_header(b, components);
  failed = failed != 0 ? failed : read_body(b, components);
  failed = failed != 0 ? failed : read_buttons(b, components);
  if (failed != 0) {
    return failed;
  }
  if (lua_rawlen(L, components) > 0) {
    lua_pushvalue(L, components);
    lua_setfield(L, b->wire, "params");
  }
  lua_settop(L, b->changes_slot);
  return 0;
}
