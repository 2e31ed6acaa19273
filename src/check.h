/* check.h: arguments in, errors out. A wrong type or name raises at the caller's line; everything
 * that the world can cause comes back as `nil, err, info`. */
#ifndef OM_CHECK_H
#define OM_CHECK_H

#include "compat.h"
#include "phone.h"

#include <stdbool.h>

/* What a sentence says where neither stands. */
#define OM_DURATION_FORM "seconds as a number, or like \"30s\", \"10m\", \"1h30m\""

#define OM_EXACT_MAX   9007199254740992.0 /* 2^53: from here on a double skips whole numbers */
#define OM_SECONDS_MAX (366.0 * 86400)    /* a longer duration is a mistake in its unit */

/* Pushes nil, "word: sentence", { outcome = outcome }; returns 3. outcome NULL: the word. */
int om_fail(lua_State *L, const char *word, const char *outcome, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Raises with the position of the first caller that is not a file of this library. */
int om_raise(lua_State *L, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Says where this library's Lua files are: in the folder that the function at index, one of
 * onemsg.codes, was loaded from, and in resty/onemsg beside it. */
void om_check_home(lua_State *L, int index);

/* positions(wanted) -> what it was before: whether om_raise gives a position. */
int om_positions(lua_State *L);

/* Raises unless every key of the table at index is one of names (NULL-terminated); suggests one. */
void om_check_names(lua_State *L, int index, const char *what, const char *const names[]);

/* "Did you mean": the name that is nearest to a word, and near enough, among those that were tried:
 * the fewest slips of typing, then the most alike in length, then the first. A part of a name
 * counts as one slip. Begins with the word alone set; name NULL: none is near. */
struct om_near {
  const char *word;
  const char *name;
  size_t edits;
  size_t apart; /* in length */
};
void om_near_try(struct om_near *near, const char *name);

/* The nearest of a NULL-terminated list, or NULL. */
const char *om_nearest(const char *word, const char *const names[]);

/* Raises unless the value at index is a whole number in the range (NaN, 1.5 and "3" are not). */
lua_Integer om_check_whole(lua_State *L, int index, const char *name, double min, double max);

/* A duration: numbers, each with its unit s, m, h or d: "30s", "1.5h", "1h30m". bare: also one
 * number without a unit, which then is seconds, as the environment and the command line have it. */
bool om_duration(const char *text, bool bare, double *seconds);

/* Seconds as a number, or a duration as text. False: neither; no stack change. */
bool om_to_seconds(lua_State *L, int index, double *seconds);
/* The same; raises when it is neither, or outside min..OM_SECONDS_MAX. */
double om_check_seconds(lua_State *L, int index, const char *name, double min);

/* The phone at index, a text or a number, in the one form that leaves (phone.h). */
enum om_phone_fault om_to_phone(lua_State *L, int index, const char *country,
                                char out[OM_PHONE_MAX_DIGITS + 1]);

/* A kind of userdata. Every function gets the value on top of the stack as upvalue 1. */
struct om_class {
  const char *name; /* of its metatable */
  const char *key;  /* core[key] is the table of its methods, where resty/onemsg replaces some */
  const luaL_Reg *meta;
  const luaL_Reg *methods;
  const luaL_Reg *inner; /* functions for `core` */
};

/* Makes its metatable, with __name and __index on both Luas. The stack stays as it was. */
void om_class_open(lua_State *L, const struct om_class *class, int core);
/* Adds functions to the table at index, with the value on top of the stack as upvalue 1. */
void om_add_functions(lua_State *L, int index, const luaL_Reg *functions);

#endif
