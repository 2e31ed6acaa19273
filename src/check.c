/* check.c: see check.h. The only C file, with compat.h, that has to know about Lua versions. */
#include "check.h"

#include "utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_CHARS     31 /* longer words are no typing mistakes of our option names */
#define PART_MIN_CHARS     3  /* "lang" is meant to be "language"; shorter parts say nothing */
#define DURATION_MAX_CHARS 32
#define SENTENCE_BYTES     768

static const char home_key = 0; /* their addresses are registry keys */
static const char bare_key = 0;

/* Ends a text that was cut off after `end` bytes between two letters. */
static void end_with_letter(char *text, size_t end) {
  size_t lead = end;
  uint32_t code = 0;
  while (lead > 0 && lead + OM_UTF8_MAX_BYTES > end &&
         ((unsigned char)text[lead - 1] & 0xC0) == 0x80) {
    lead--;
  }
  if (lead > 0 && (unsigned char)text[lead - 1] >= 0xC0 &&
      om_utf8_decode(text + lead - 1, end - lead + 1, &code) == 0) {
    text[lead - 1] = '\0';
  }
}

static void write_sentence(char out[SENTENCE_BYTES], const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void write_sentence(char out[SENTENCE_BYTES], const char *format, va_list arguments) {
  if (vsnprintf(out, SENTENCE_BYTES, format, arguments) >= SENTENCE_BYTES) {
    end_with_letter(out, SENTENCE_BYTES - 1);
  }
}

int om_fail(lua_State *L, const char *word, const char *outcome, const char *format, ...) {
  char sentence[SENTENCE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  write_sentence(sentence, format, arguments);
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

void om_check_home(lua_State *L, int index) {
  static const char file[] = "onemsg/codes.lua";
  lua_Debug info;
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &info);
  size_t length = strlen(info.source);
  size_t own = sizeof file - 1;
  if (length > own && strcmp(info.source + length - own, file) == 0) {
    lua_pushlstring(L, info.source, length - own);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &home_key);
  }
}

/* A file of this library, which its user did not write and need not look into. What is in the
 * folder that holds lua/onemsg/, but in none of our two folders, is the user's. */
static bool is_ours(lua_State *L, const lua_Debug *info) {
  static const char *const parts[] = {"onemsg/", "resty/onemsg/", "resty/onemsg.lua"};
  lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
  size_t length = 0;
  const char *home = lua_tolstring(L, -1, &length);
  bool ours = false;
  if (home != NULL && strncmp(info->source, home, length) == 0) {
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !ours; i++) {
      ours = strncmp(info->source + length, parts[i], strlen(parts[i])) == 0;
    }
  }
  lua_pop(L, 1);
  return ours;
}

/* Pushes the position of the first caller that is not a file of this library; "" without one, and
 * while none is wanted. */
static void push_position(lua_State *L) {
  lua_Debug info;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &bare_key);
  bool wanted = !lua_toboolean(L, -1);
  lua_pop(L, 1);
  for (int level = 1; wanted && lua_getstack(L, level, &info) == 1; level++) {
    lua_getinfo(L, "Sl", &info);
    if (info.currentline > 0 && !is_ours(L, &info)) {
      lua_pushfstring(L, "%s:%d: ", info.short_src, info.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

int om_positions(lua_State *L) {
  bool wanted = lua_toboolean(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &bare_key);
  lua_pushboolean(L, !wanted);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &bare_key);
  lua_pushboolean(L, !lua_toboolean(L, -1));
  return 1;
}

int om_raise(lua_State *L, const char *format, ...) {
  char sentence[SENTENCE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  write_sentence(sentence, format, arguments);
  va_end(arguments);
  luaL_checkstack(L, 4, NULL);
  push_position(L);
  lua_pushstring(L, sentence);
  lua_concat(L, 2);
  lua_error(L);
  abort(); /* lua_error does not return; its prototype does not say so */
}

static int small_letter(char c) {
  return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Edits between two words, each of at most NAME_MAX_CHARS: letters added, dropped, changed, or
 * swapped with their neighbour. Capital letters count as small ones. */
static size_t distance(const char *a, const char *b) {
  size_t rows[3][NAME_MAX_CHARS + 1];
  size_t *before = rows[0];
  size_t *last = rows[1];
  size_t *row = rows[2];
  size_t b_length = strlen(b);
  for (size_t j = 0; j <= b_length; j++) {
    before[j] = last[j] = j;
  }
  for (size_t i = 1; a[i - 1] != '\0'; i++) {
    int letter = small_letter(a[i - 1]);
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      int other = small_letter(b[j - 1]);
      row[j] = smaller(smaller(last[j], row[j - 1]) + 1, last[j - 1] + (letter != other));
      if (i > 1 && j > 1 && letter == small_letter(b[j - 2]) && small_letter(a[i - 2]) == other) {
        row[j] = smaller(row[j], before[j - 2] + 1);
      }
    }
    size_t *free_row = before;
    before = last;
    last = row;
    row = free_row;
  }
  return last[b_length];
}

void om_near_try(struct om_near *near, const char *name) {
  size_t word_length = strlen(near->word);
  size_t length = strlen(name);
  if (word_length > NAME_MAX_CHARS || length > NAME_MAX_CHARS) {
    return;
  }
  bool part = word_length >= PART_MIN_CHARS && strstr(name, near->word) != NULL;
  size_t most = length <= 3 ? 1 : length <= 6 ? 2 : 3; /* slips */
  size_t edits = part ? 1 : distance(near->word, name);
  size_t apart = length > word_length ? length - word_length : word_length - length;
  if (edits <= most && edits < length &&
      (near->name == NULL || edits < near->edits ||
       (edits == near->edits && apart < near->apart))) {
    near->name = name;
    near->edits = edits;
    near->apart = apart;
  }
}

const char *om_nearest(const char *word, const char *const names[]) {
  struct om_near near = {.word = word};
  for (; *names != NULL; names++) {
    om_near_try(&near, *names);
  }
  return near.name;
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
      char shown[NAME_MAX_CHARS + 1];
      const char *near = om_nearest(key, names);
      if (snprintf(shown, sizeof shown, "%s", key) > NAME_MAX_CHARS) {
        end_with_letter(shown, NAME_MAX_CHARS);
      }
      if (near != NULL) {
        om_raise(L, "%s has no field '%s', did you mean '%s'?", what, shown, near);
      }
      om_raise(L, "%s has no field '%s'; it has %s", what, shown, push_list(L, names));
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

bool om_duration(const char *text, bool bare, double *seconds) {
  static const char units[] = "smhd";
  static const double factors[] = {1, 60, 3600, 86400};
  size_t len = strlen(text);
  if (len == 0 || len > DURATION_MAX_CHARS) {
    return false;
  }
  *seconds = 0;
  for (const char *at = text; *at != '\0'; at++) { /* no strtod: its point is the locale's */
    double number = 0;
    double below = 1; /* what the digits behind the point are divided by */
    bool point = false;
    bool digit = false;
    for (; (*at >= '0' && *at <= '9') || (*at == '.' && !point); at++) {
      point = point || *at == '.';
      if (*at != '.') {
        digit = true;
        number = number * 10 + (*at - '0');
        below *= point ? 10 : 1;
      }
    }
    const char *unit = *at != '\0' ? strchr(units, *at) : NULL;
    if (digit && bare && *at == '\0' && strpbrk(text, units) == NULL) {
      *seconds = number / below;
      return true;
    }
    if (!digit || unit == NULL) {
      return false;
    }
    *seconds += number / below * factors[unit - units];
  }
  return true;
}

bool om_to_seconds(lua_State *L, int index, double *seconds) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    *seconds = lua_tonumber(L, index);
    return *seconds == *seconds;
  }
  if (lua_type(L, index) != LUA_TSTRING) {
    return false;
  }
  const char *text = lua_tostring(L, index);
  return strlen(text) == lua_rawlen(L, index) && om_duration(text, false, seconds);
}

double om_check_seconds(lua_State *L, int index, const char *name, double min) {
  double seconds = 0;
  if (!om_to_seconds(L, index, &seconds)) {
    om_raise(L, "%s must be " OM_DURATION_FORM, name);
  }
  if (!(seconds >= min && seconds <= OM_SECONDS_MAX)) {
    om_raise(L, "%s must be from %g seconds to a year, and is %.14g", name, min, seconds);
  }
  return seconds;
}

enum om_phone_fault om_to_phone(lua_State *L, int index, const char *country,
                                char out[OM_PHONE_MAX_DIGITS + 1]) {
  char digits[40];
  size_t len = 0;
  if (lua_type(L, index) != LUA_TNUMBER) {
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : "";
    return om_phone_normalize(text, len, country, out);
  }
  double number = lua_tonumber(L, index);
  out[0] = '\0';
  if (!(number >= 0) || number != floor(number)) { /* its text would pass for another number */
    return OM_PHONE_DECIMAL;
  }
  if (number > OM_EXACT_MAX) {
    return OM_PHONE_LONG;
  }
  len = (size_t)snprintf(digits, sizeof digits, "%.0f", number);
  return om_phone_normalize(digits, len, country, out);
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
