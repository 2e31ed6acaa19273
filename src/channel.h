/* channel.h: the channel for Lua (channel.c). */
#ifndef OM_CHANNEL_H
#define OM_CHANNEL_H

#include "pending.h"

/* Puts onemsg.new into the table `module`, and what resty/onemsg replaces into `core`. The state is
 * on top of the stack, and stays there. */
void om_channel_open(lua_State *L, int module, int core);

#endif
