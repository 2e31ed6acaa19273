/* ready.h: the pendings that ended and that dispatch has not returned yet. A pending begins with an
 * int of ours: its place among them, 0 for none, which may be out of date.
 *
 * They are held until dispatch asks, for nobody else may have them. What was waited for needs that
 * no longer: it goes as soon as nobody has it, so that a program that once asked for dispatch, and
 * then waits, does not keep all that it ever sent.
 */
#ifndef OM_READY_H
#define OM_READY_H

#include "pending.h"

/* Fills in what of a new state is ours. */
void om_ready_init(lua_State *L, struct om_state *state);
/* Keeps the pending at index for the next dispatch. Runs no Lua. */
void om_ready_put(lua_State *L, struct om_state *state, int index);
/* Forgets those that nobody has any more, when there are many. */
void om_ready_pack(lua_State *L, struct om_state *state);
/* The pending at index was waited for. */
void om_ready_let_go(lua_State *L, struct om_state *state, int index);
/* Pushes the list of them, which is the caller's. */
void om_ready_take(lua_State *L, struct om_state *state);

#endif
