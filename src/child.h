/* child.h: programs that run beside the caller (child.c). */
#ifndef OM_CHILD_H
#define OM_CHILD_H

#include "check.h"

/* Puts child_start, child_poll and child_kill into `core`. The state is on top of the stack, and
 * stays there. */
void om_child_open(lua_State *L, int core);

#endif
