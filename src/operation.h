/* operation.h: the operations of the 1MSG API, by name: from arguments to a transfer under way. */
#ifndef OM_OPERATION_H
#define OM_OPERATION_H

#include "answer.h"
#include "message.h"

struct om_channel {
  struct om_endpoint *endpoint; /* counted; NULL: closed */
  struct om_message_defaults defaults;
  long timeout_ms;
  pid_t used_by; /* the process that first used it; 0: none */
};

struct om_operation {
  const char *name;
  /* Reads the arguments from index `first` on. Returns 0 and pushes four values: the method, the
   * path under the channel's base (nil: the send URL), the body (a string, or nil), and what the
   * answer wants to know (a table, or nil). Else
   * pushes `nil, err, info` and returns 3. Raises on misuse. */
  int (*build)(lua_State *L, struct om_state *state, const struct om_channel *channel, int first);
  const struct om_work *work;
};

/* NULL-terminated by name. */
extern const struct om_operation om_operations[];

/* Begins the operation with the arguments from index `first` on. Returns 0 and pushes the pending,
 * or pushes `nil, err, info` and returns 3. group: stack index of a list for om_pending_keep, or 0.
 * track: dispatch shall report it. */
int om_operation_begin(lua_State *L, struct om_state *state, struct om_channel *channel,
                       const struct om_operation *operation, int first, int group, bool track);

#endif
