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

/* Says where this library's Lua files are: in the folder that the function at index, one of
 * onemsg.codes, was loaded from, and in resty/onemsg beside it. */
void om_check_home(lua_State *L, int index);

/* positions(wanted) -> what it was before: whether om_raise gives a position. */
int om_positions(lua_State *L);

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

/* luaL_newmetatable with __name and __tostring-friendly on both Luas; leaves it on the stack. */
void om_newmetatable(lua_State *L, const char *name);

#endif
