/* database_unit.h: a unit of SQL between Lua and the database thread: statements in, rows and
 * errors out. */
#ifndef OM_DATABASE_UNIT_H
#define OM_DATABASE_UNIT_H

#include "pending.h"
#include "sql.h"

/* What can be done with a unit under way; see pending.h. */
extern const struct om_work om_database_unit_work;

/* Raises unless the table at index is a list of statements. Returns their number. Like the copy, it
 * runs no Lua. word: where on the stack the string "expect" is. */
int om_database_unit_check(lua_State *L, int index, int word);
/* Copies them into the unit. Raises nothing, and allocates nothing in Lua: the unit is nobody's
 * yet. False: no memory. */
bool om_database_unit_copy(lua_State *L, int index, int word, struct om_sql_unit *unit, int count);
/* Pushes nil, err, info { outcome, class, retry, statement, code }; returns 3. statement 0: none.
 */
int om_database_unit_fail(lua_State *L, const struct om_sql_error *error, int statement);
/* Pushes a whole number, on LuaJIT as a string of its digits where a double would round it. */
void om_database_unit_push_whole(lua_State *L, int64_t whole);

#endif
