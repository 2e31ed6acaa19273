/* operation.h: the operations of the 1MSG API, by name: from arguments to a transfer under way. */
#ifndef OM_OPERATION_H
#define OM_OPERATION_H

#include "answer.h"
#include "message.h"

struct om_channel {
  struct om_endpoint *endpoint; /* counted; NULL: closed */
  struct om_message_defaults defaults;
  long timeout_ms;
  long connect_timeout_ms;
  pid_t used_by; /* the process that first used it; 0: none */
};

/* What an operation makes of its arguments. Indices are of the Lua stack; 0: there is none. */
struct om_request {
  const char *method; /* static: "GET", "POST", … */
  int path;           /* under the channel's base; 0: the send URL */
  int body;           /* JSON */
  int note;           /* a table that the answer wants to see */
  bool is_message;    /* the body is `message` */
  struct om_message message;
};

struct om_operation {
  const char *name;
  /* Reads the arguments from index `first` on into *request, zeroed up to `message`. Returns 0, or
   * pushes `nil, err, info` and returns 3. Raises on misuse. Lua may run in here, and close the
   * channel. */
  int (*build)(lua_State *L, struct om_state *state, const struct om_channel *channel, int first,
               struct om_request *request);
  const struct om_work *work;
};

/* NULL-terminated by name. */
extern const struct om_operation om_operations[];

/* 0, or pushes `nil, "closed: …", info` and returns 3: closed, inherited over a fork, or its Lua
 * state has ended. To be asked again after Lua ran. */
int om_operation_check_open(lua_State *L, const struct om_state *state,
                            const struct om_channel *channel);

/* Begins the operation with the arguments from index `first` on. Returns 0 and pushes the pending,
 * or pushes `nil, err, info` and returns 3. group: stack index of a list for om_pending_keep, or 0.
 * track: dispatch shall report it. fence: NULL for none. */
int om_operation_begin(lua_State *L, struct om_state *state, struct om_channel *channel,
                       const struct om_operation *operation, int first, int group, bool track,
                       const struct om_fence *fence);

#endif
