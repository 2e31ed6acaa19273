/* options.h: what onemsg.new takes, from its table or the environment. */
#ifndef OM_OPTIONS_H
#define OM_OPTIONS_H

#include "operation.h"

/* What onemsg.new takes; NULL-terminated. */
extern const char *const om_option_names[];

/* Raises when the table at index has a field that is no option. */
void om_options_check(lua_State *L, int index);

/* Fills a zeroed channel from the table at index 1 and the environment; texts that the channel
 * points to are kept in the table at index `anchors`. 0, or 3 and `nil, err, info`. */
int om_options_read(lua_State *L, struct om_state *state, int anchors, struct om_channel *channel);

#endif
