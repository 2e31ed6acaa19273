/* check.h: arguments in, errors out. A wrong type or name raises at the caller's line; everything
 * that the world can cause comes back as `nil, err, info` (DESIGN.md section 3). */
#ifndef OM_CHECK_H
#define OM_CHECK_H

#include "compat.h"

#include <stdbool.h>

#define OM_SECONDS_MAX (366.0 * 86400) /* a longer duration is a mistake in its unit */

/* Pushes nil, "word: sentence", { outcome = outcome }; returns 3. outcome NULL: the word. */
int om_fail(lua_State *L, const char *word, const char *outcome, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Raises with the position of the first caller that is not a file of this library. */
int om_raise(lua_State *L, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Raises unless every key of the table at index is one of names (NULL-terminated); suggests one. */
void om_check_names(lua_State *L, int index, const char *what, const char *const names[]);

/* The name nearest to word, or NULL when none is near. */
const char *om_nearest(const char *word, const char *const names[]);

/* Raises unless the value at index is a whole number in the range (NaN, 1.5 and "3" are not). */
lua_Integer om_check_whole(lua_State *L, int index, const char *name, double min, double max);

/* Seconds as a number, or "30s", "10m", "6h", "2d". False: neither; no stack change. */
bool om_to_seconds(lua_State *L, int index, double *seconds);
/* The same; raises when it is neither, or outside min..OM_SECONDS_MAX. */
double om_check_seconds(lua_State *L, int index, const char *name, double min);

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
