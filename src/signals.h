/* signals.h: what the command needs of the system and plain Lua lacks: to be asked to stop, to read
 * what is there, to know a terminal. Nothing happens unless called: a library installs no handlers.
 */
#ifndef OM_SIGNALS_H
#define OM_SIGNALS_H

#include "compat.h"

/* Puts the functions into the table at index `core`. Lua's thread. */
void om_signals_open(lua_State *L, int core);

#endif
