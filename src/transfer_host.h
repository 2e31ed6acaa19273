/* transfer_host.h: the hosts of transfer_queue.h with their multi handles. Transfer thread only. */
#ifndef OM_TRANSFER_HOST_H
#define OM_TRANSFER_HOST_H

#include "transfer_thread.h"

#define OM_STREAMS_MAX 256L /* default 100; a cold burst of 256 over HTTP/2 is 4 times faster */

/* Where an endpoint's transfers go to. NULL: no memory. */
struct om_host *om_host_of(struct om_engine *engine, const struct om_endpoint *endpoint);
/* Closes its connections and frees it; it carries nothing, and nothing waits for it. */
void om_host_close(struct om_engine *engine, struct om_host *host);
/* Whether it speaks HTTP/2, from the easy handle of an answer that came. */
void om_host_learn(struct om_host *host, CURL *easy);
/* Sets engine->timer_us. */
void om_host_find_timer(struct om_engine *engine);

#endif
