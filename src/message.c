/* message.c: reads a message (see message.h); writing it is message_build.c's. The rules of texts
 * and numbers are PLATFORM.md section 5.
 */
#include "message_component.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *const om_field_names[] = {"phone",    "bsuid",     "username", "chat_id", "name",
                                      "action",   "next_step", "body",     "header",  "buttons",
                                      "template", "namespace", "language", "ttl",     "text",
                                      "country",  NULL}; /* as om_field */

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
void om_build_push_text(lua_State *L, int index, const char *field) {
  char digits[40];
  switch (lua_type(L, index)) {
  case LUA_TSTRING:
    lua_pushvalue(L, index);
    return;
  case LUA_TNUMBER: {
    double value = lua_tonumber(L, index);
    if (om_is_integer(L, index)) {
      lua_pushvalue(L, index);
      lua_tolstring(L, -1, NULL); /* all 64 bits */
      return;
    }
    if (value - value != 0) {
      om_raise(L, "%s must be a text, and is not even a finite number", field);
    }
    if (fabs(value) > OM_EXACT_MAX) {
      om_raise(L, "%s is too large for a number to be exact; give it as a text", field);
    }
    snprintf(digits, sizeof digits, value == floor(value) ? "%.0f" : "%.14g", value);
    lua_pushstring(L, digits);
    return;
  }
  default:
    om_raise(L, "%s must be a text, and is a %s", field, luaL_typename(L, index));
  }
}

bool om_build_absent(lua_State *L, int index) {
  return lua_isnil(L, index) ||
         (lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL); /* null */
}

struct om_piece om_build_piece(lua_State *L) {
  struct om_piece piece = {NULL, 0};
  piece.at = lua_tolstring(L, -1, &piece.len);
  return piece;
}

int om_build_fail(lua_State *L, const char *field, const char *why) {
  return om_fail(L, "invalid", NULL, "%s %s", field, why);
}

/* Notes that cleaning changed a field: changes[field] = { sentence, … }. */
static void note_changes(struct om_build *b, const char *field, unsigned changes) {
  lua_State *L = b->L;
  int n = 0;
  if (lua_isnil(L, b->message->changes)) {
    lua_newtable(L);
    lua_replace(L, b->message->changes);
  }
  lua_newtable(L);
  for (unsigned bit = 1; bit <= OM_TEXT_SHORTENED; bit <<= 1) {
    if ((changes & bit) != 0) {
      lua_pushstring(L, om_text_describe(bit));
      lua_rawseti(L, -2, ++n);
    }
  }
  lua_setfield(L, b->message->changes, field);
}

/* Replaces the text on top of the stack by what may be sent; 0, or 3 and `nil, err, info`. */
int om_build_settle(struct om_build *b, const char *field, size_t max_chars) {
  lua_State *L = b->L;
  size_t len = 0;
  const char *text = lua_tolstring(L, -1, &len);
  enum om_text_fault fault = OM_TEXT_OK;
  if (len == 3 && om_is_placeholder(text, len)) {
    return om_build_fail(L, field, "is still the placeholder of the sample");
  }
  if (b->text == OM_TEXT_RAW) {
    fault = !om_text_utf8(text, len, NULL) ? OM_TEXT_UTF8 : len == 0 ? OM_TEXT_EMPTY : OM_TEXT_OK;
  } else {
    fault = om_text_check(text, len, max_chars);
  }
  if (fault == OM_TEXT_OK) {
    return 0;
  }
  if (b->text != OM_TEXT_CLEAN || fault == OM_TEXT_UTF8 || fault == OM_TEXT_EMPTY) {
    return om_build_fail(L, field, om_text_explain(fault));
  }
  unsigned changes = 0;
  size_t cleaned_len = 0;
  char *cleaned = (char *)lua_newuserdatauv(L, len + OM_TEXT_ELLIPSIS_BYTES, 0);
  fault = om_text_clean(text, len, max_chars, cleaned, &cleaned_len, &changes);
  if (fault != OM_TEXT_OK) {
    return om_build_fail(L, field, om_text_explain(fault));
  }
  lua_pushlstring(L, cleaned, cleaned_len);
  lua_replace(L, -3);
  lua_pop(L, 1);
  note_changes(b, field, changes);
  return 0;
}

/* ---- which template ---- */

/* *piece = the message's own value, or the channel's. */
static int read_name(struct om_build *b, enum om_field field, const char *variable,
                     const char *preset, const char *(*fault_of)(const char *, size_t),
                     struct om_piece *piece) {
  lua_State *L = b->L;
  const char *name = om_field_names[field];
  int value = b->fields + (int)field;
  if (om_build_absent(L, value)) {
    if (preset == NULL) {
      return om_fail(L, "config", "invalid", "%s is missing; set %s in onemsg.new or %s", name,
                     name, variable);
    }
    *piece = (struct om_piece){preset, strlen(preset)}; /* checked by onemsg.new */
    return 0;
  }
  if (lua_type(L, value) != LUA_TSTRING) {
    om_raise(L, "%s must be a text, and is a %s", name, luaL_typename(L, value));
  }
  piece->at = lua_tolstring(L, value, &piece->len);
  if (piece->len == 0 || om_is_placeholder(piece->at, piece->len)) {
    return om_build_fail(L, name, "is empty, or still the placeholder of the sample");
  }
  const char *fault = fault_of(piece->at, piece->len);
  return fault != NULL ? om_build_fail(L, name, fault) : 0;
}

static int read_template(struct om_build *b) {
  const struct om_message_defaults *d = b->defaults;
  struct om_message *m = b->message;
  int failed = read_name(b, OM_FIELD_TEMPLATE, "ONE_MSG_TEMPLATE", d->template_name,
                         om_message_template_fault, &m->template_name);
  failed = failed != 0 ? failed
                       : read_name(b, OM_FIELD_NAMESPACE, "ONE_MSG_TEMPLATE_NAMESPACE",
                                   d->name_space, om_message_namespace_fault, &m->name_space);
  return failed != 0 ? failed
                     : read_name(b, OM_FIELD_LANGUAGE, "ONE_MSG_TEMPLATE_LANGUAGE", d->language,
                                 om_message_language_fault, &m->language);
}

/* How long WhatsApp may try to deliver: 30 s to 30 days; -1 is Meta's word for 30 days. */
static void read_ttl(struct om_build *b) {
  lua_State *L = b->L;
  double seconds = 0;
  int ttl = b->fields + OM_FIELD_TTL;
  if (!om_build_absent(L, ttl)) {
    if (!om_to_seconds(L, ttl, &seconds) || seconds != floor(seconds) ||
        ((seconds < 30 || seconds > 2592000) && seconds != -1)) {
      om_raise(L, "ttl must be whole seconds from 30 to 2592000 (30 days), or like \"10m\"");
    }
    b->message->ttl_s = (long)seconds;
  }
}

static void read_mode(struct om_build *b) {
  static const char *const modes[] = {"clean", "strict", "raw", NULL};
  lua_State *L = b->L;
  int text = b->fields + OM_FIELD_TEXT;
  b->text = b->defaults->text;
  if (!lua_isnil(L, text)) {
    int mode = 0;
    const char *word = lua_type(L, text) == LUA_TSTRING ? lua_tostring(L, text) : "";
    while (modes[mode] != NULL && strcmp(modes[mode], word) != 0) {
      mode++;
    }
    if (modes[mode] == NULL) {
      om_raise(L, "text must be \"clean\", \"strict\" or \"raw\"");
    }
    b->text = (enum om_text_mode)mode;
  }
}

/* ---- all together ---- */

/* The message's values to their places on the stack, in one pass over the table. */
static void read_fields(struct om_build *b, int message) {
  lua_State *L = b->L;
  b->fields = lua_gettop(L) + 1;
  lua_settop(L, lua_gettop(L) + OM_FIELDS + 1); /* nils; the last begins the pass */
  while (lua_next(L, message) != 0) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    int f = 0;
    while (f < OM_FIELDS &&
           (om_field_names[f][0] != key[0] || strcmp(om_field_names[f], key) != 0)) {
      f++;
    }
    if (f == OM_FIELDS) {
      om_check_names(L, message, "a message", om_field_names); /* raises, with a suggestion */
    }
    lua_replace(L, b->fields + f);
  }
}

int om_message_read(lua_State *L, int index, const struct om_message_defaults *defaults, int encode,
                    struct om_message *message) {
  if (!lua_istable(L, index)) {
    om_raise(L,
             "a message must be a table like { phone = …, name = …, action = …, next_step = … }, "
             "and is a %s",
             luaL_typename(L, index));
  }
  luaL_checkstack(L, OM_FIELDS + 40, NULL);
  struct om_build b = {.L = L, .message = message, .encode = encode, .defaults = defaults};
  index = lua_absindex(L, index);
  memset(message, 0, offsetof(struct om_message, body));
  lua_pushnil(L);
  message->changes = lua_gettop(L);
  read_fields(&b, index);
  read_mode(&b);
  read_ttl(&b);
  int failed = om_message_recipient(&b);
  failed = failed != 0 ? failed : read_template(&b);
  failed = failed != 0 ? failed : om_message_component_header(&b);
  failed = failed != 0 ? failed : om_message_component_body(&b);
  return failed != 0 ? failed : om_message_component_buttons(&b);
}

int om_message_encode(lua_State *L, int encode) {
  int table = lua_gettop(L);
  for (int i = 0; i < OM_JSON_ATTEMPTS; i++) {
    lua_settop(L, table);
    lua_rawgeti(L, LUA_REGISTRYINDEX, encode);
    lua_pushvalue(L, table);
    lua_call(L, 1, 2);
    if (!lua_isnil(L, -2)) {
      lua_pop(L, 1);
      lua_replace(L, table);
      return 0;
    }
  }
  return om_fail(L, "invalid", NULL, "the message cannot be written as JSON: %s",
                 lua_tostring(L, -1));
}
