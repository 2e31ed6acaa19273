/* statistics.h: what a channel counts (endpoint.h has the counters). Owner's thread. */
#ifndef OM_STATISTICS_H
#define OM_STATISTICS_H

#include "compat.h"
#include "endpoint.h"

/* us: how long the answer took, or -1: there was none. */
void om_statistics_count(struct om_statistics *statistics, enum om_counter counter, int64_t us);

/* Pushes the table of channel:stats(). */
void om_statistics_push(lua_State *L, const struct om_statistics *statistics, int in_flight);

#endif
