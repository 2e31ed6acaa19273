/* carrier.h: a reused curl easy handle and the one transfer it carries. Transfer thread only. */
#ifndef OM_CARRIER_H
#define OM_CARRIER_H

#include "transfer.h"

struct om_carrier {
  CURL *easy;
  struct om_endpoint *endpoint; /* counted; whose options are set on `easy` */
  struct om_transfer *transfer; /* NULL: idle */
  struct om_carrier *next;      /* in the list of idle ones */
  char error[CURL_ERROR_SIZE];
};

/* What the thread wants to know about sockets: clientp of both is `thread`. */
struct om_carrier_hooks {
  curl_opensocket_callback open_socket;
  curl_closesocket_callback close_socket;
  void *thread;
};

struct om_carrier *om_carrier_new(void);
void om_carrier_free(struct om_carrier *carrier);

/* Sets the options for a transfer. False: libcurl refused one, carrier->error says why. */
bool om_carrier_load(struct om_carrier *carrier, struct om_transfer *transfer,
                     const struct om_carrier_hooks *hooks);

/* Writes what happened into the transfer and gives it back; the carrier is idle again. */
struct om_transfer *om_carrier_unload(struct om_carrier *carrier, CURLcode code);

#endif
