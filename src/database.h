/* database.h: onemsg.sql for Lua (database.c). */
#ifndef OM_DATABASE_H
#define OM_DATABASE_H

#include "pending.h"

/* Puts the functions of onemsg.sql into the table `module`, and what resty/onemsg replaces into
 * `core`. The state is on top of the stack, and stays there. */
void om_database_open(lua_State *L, int module, int core);

#endif
