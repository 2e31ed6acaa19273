/* check.c: see check.h. The only C file, with compat.h, that has to know about Lua versions. */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_CHARS 31 /* longer words are no typing mistakes of our option names */
#define PART_MIN_CHARS 3  /* "lang" is meant to be "language"; shorter parts say nothing */
#define SENTENCE_BYTES 768

int om_fail(lua_State *L, const char *word, const char *outcome, const char *format, ...) {
  char sentence[SENTENCE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", word, sentence);
  lua_createtable(L, 0, 2);
  lua_pushstring(L, outcome != NULL ? outcome : word);
  lua_setfield(L, -2, "outcome");
  lua_pushboolean(L, strcmp(outcome != NULL ? outcome : word, "not_sent") == 0);
  lua_setfield(L, -2, "retry");
  return 3;
}

/* A file of this library, which its user did not write and need not look into: resty/onemsg…, or
 * right in lua/onemsg/. Not the rest of a tree that was cloned into a folder of that name. */
static bool is_ours(const lua_Debug *info) {
  static const char folder[] = "lua/onemsg/";
  static const char *const installed[] = {"resty/onemsg", "/onemsg/each.lua", "/onemsg/misuse.lua",
                                          "/onemsg/template.lua", "/onemsg/webhook.lua"};
  const char *file = info->source;
  for (const char *at = strstr(file, folder); at != NULL; at = strstr(file, folder)) {
    file = at + strlen(folder);
  }
  if (file != info->source && (strchr(file, '/') == NULL || strncmp(file, "cmd/", 4) == 0)) {
    return true;
  }
  for (size_t i = 0; i < sizeof installed / sizeof installed[0]; i++) {
    if (strstr(info->source, installed[i]) != NULL) {
      return true;
    }
  }
  return false;
}

int om_raise(lua_State *L, const char *format, ...) {
  char sentence[SENTENCE_BYTES];
  lua_Debug info;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  luaL_checkstack(L, 4, NULL);
  lua_pushliteral(L, "");
  for (int level = 1; lua_getstack(L, level, &info) == 1; level++) {
    lua_getinfo(L, "Sl", &info);
    if (info.currentline > 0 && !is_ours(&info)) {
      lua_pop(L, 1);
      lua_pushfstring(L, "%s:%d: ", info.short_src, info.currentline);
      break;
    }
  }
  lua_pushstring(L, sentence);
  lua_concat(L, 2);
  lua_error(L);
  abort(); /* lua_error does not return; its prototype does not say so */
}

static size_t smallest(size_t a, size_t b, size_t c) {
  size_t least = a < b ? a : b;
  return least < c ? least : c;
}

/* Levenshtein's distance between two short words. */
static size_t distance(const char *a, const char *b) {
  size_t row[NAME_MAX_CHARS + 1];
  size_t b_length = strlen(b);
  for (size_t j = 0; j <= b_length; j++) {
    row[j] = j;
  }
  for (size_t i = 1; a[i - 1] != '\0'; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t above = row[j];
      row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
      diagonal = above;
    }
  }
  return row[b_length];
}

const char *om_nearest(const char *word, const char *const names[]) {
  const char *best = NULL;
  size_t best_distance = strlen(word) / 3 + 2; /* one slip for a short word, more for a long one */
  if (strlen(word) > NAME_MAX_CHARS) {
    return NULL;
  }
  for (; *names != NULL; names++) {
    bool part = strlen(word) >= PART_MIN_CHARS && strstr(*names, word) != NULL;
    size_t d = part ? 0 : distance(word, *names);
    if (d < best_distance) {
      best = *names;
      best_distance = d;
    }
  }
  return best;
}

/* Pushes the names, with commas. */
static const char *push_list(lua_State *L, const char *const names[]) {
  luaL_Buffer list;
  luaL_buffinit(L, &list);
  for (size_t i = 0; names[i] != NULL; i++) {
    luaL_addstring(&list, i > 0 ? ", " : "");
    luaL_addstring(&list, names[i]);
  }
  luaL_pushresult(&list);
  return lua_tostring(L, -1);
}

void om_check_names(lua_State *L, int index, const char *what, const char *const names[]) {
  index = lua_absindex(L, index);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) {
      om_raise(L, "%s takes named fields, and got a key of type %s", what, luaL_typename(L, -1));
    }
    const char *key = lua_tostring(L, -1);
    const char *const *name = names;
    while (*name != NULL && (**name != key[0] || strcmp(*name, key) != 0)) {
      name++;
    }
    if (*name == NULL) {
      const char *near = om_nearest(key, names);
      if (near != NULL) {
        om_raise(L, "%s has no field '%.40s', did you mean '%s'?", what, key, near);
      }
      om_raise(L, "%s has no field '%.40s'; it has %s", what, key, push_list(L, names));
    }
  }
}

lua_Integer om_check_whole(lua_State *L, int index, const char *name, double min, double max) {
  if (lua_type(L, index) != LUA_TNUMBER) {
    om_raise(L, "%s must be a whole number, and is a %s", name, luaL_typename(L, index));
  }
  double value = lua_tonumber(L, index);
  if (!(value >= min && value <= max) || value != floor(value)) {
    om_raise(L, "%s must be a whole number from %.0f to %.0f, and is %.14g", name, min, max, value);
  }
  return (lua_Integer)value;
}

bool om_to_seconds(lua_State *L, int index, double *seconds) {
  static const char units[] = "smhd";
  static const double factors[] = {1, 60, 3600, 86400};
  if (lua_type(L, index) == LUA_TNUMBER) {
    *seconds = lua_tonumber(L, index);
    return *seconds == *seconds;
  }
  if (lua_type(L, index) != LUA_TSTRING) {
    return false;
  }
  const char *text = lua_tostring(L, index);
  char *end = NULL;
  if (text[strspn(text, "0123456789.")] == '\0' || text[0] == '\0') {
    return false; /* no unit, or nothing at all */
  }
  *seconds = strtod(text, &end);
  const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
  if (end == text || strspn(text, "0123456789.") != (size_t)(end - text) || unit == NULL ||
      end[1] != '\0') {
    return false;
  }
  *seconds *= factors[unit - units];
  return true;
}

double om_check_seconds(lua_State *L, int index, const char *name, double min) {
  double seconds = 0;
  if (!om_to_seconds(L, index, &seconds)) {
    om_raise(L, "%s must be seconds as a number, or like \"30s\", \"10m\", \"6h\"", name);
  }
  if (!(seconds >= min && seconds <= OM_SECONDS_MAX)) {
    om_raise(L, "%s must be from %g seconds to a year, and is %.14g", name, min, seconds);
  }
  return seconds;
}

void om_add_functions(lua_State *L, int index, const luaL_Reg *functions) {
  lua_pushvalue(L, index);
  lua_pushvalue(L, -2);
  om_setfuncs(L, functions, 1);
  lua_pop(L, 1);
}

void om_class_open(lua_State *L, const struct om_class *class, int core) {
  int upvalue = lua_gettop(L);
  luaL_newmetatable(L, class->name);
  lua_pushstring(L, class->name); /* LuaJIT's luaL_newmetatable does not */
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, core, class->key);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_pushvalue(L, upvalue);
  om_add_functions(L, upvalue + 1, class->meta);
  om_add_functions(L, upvalue + 2, class->methods);
  om_add_functions(L, core, class->inner);
  lua_settop(L, upvalue);
}
