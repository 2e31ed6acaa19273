/* core.h: what event loops, resty/onemsg and our own Lua files use (core.c). */
#ifndef OM_CORE_H
#define OM_CORE_H

#include "json.h"
#include "pending.h"

/* Puts fd, dispatch and sleep into the table `module`, and the rest into `core`. The state is on
 * top of the stack, and stays there. */
void om_core_open(lua_State *L, int module, int core);

/* Pushes the text as lua-cjson can read it (om_json_prepare). Whether there are marks in it. */
bool om_core_push_json(lua_State *L, const char *text, size_t len, enum om_json_kind kind);

#endif
