/* carrier.h: a reused curl easy handle and the one transfer it carries. Transfer thread only. */
#ifndef OM_CARRIER_H
#define OM_CARRIER_H

#include "transfer.h"
#include "watch.h"

/* Why a transfer that libcurl gave up has to begin again: nothing of it left, or nothing that the
 * server took. */
enum om_again {
  OM_AGAIN_NOT,
  OM_AGAIN_FRESH, /* the reused connection was not fit to write to */
  OM_AGAIN_HTTP1  /* the server wants HTTP/1.1 */
};

struct om_carrier {
  CURL *easy;
  struct om_endpoint *endpoint; /* counted; whose options are set on `easy` */
  struct om_transfer *transfer; /* NULL: idle */
  struct om_carrier *next;      /* in the list of idle ones */
  const struct om_carrier_hooks *hooks;
  struct om_connection connection; /* that the request was handed to */
  unsigned long stream;            /* its number there, over HTTP/2; 0: not known */
  int64_t handed_us;
  enum om_again again;
  bool fresh;   /* a connection of its own was asked for */
  bool late;    /* no time is left for an answer */
  bool proving; /* see may_prove_refusal */
  char error[CURL_ERROR_SIZE];
};

/* What the thread knows, and wants to know, about sockets: clientp of all is `thread`. */
struct om_carrier_hooks {
  struct om_watches *watches;
  curl_opensocket_callback open_socket;
  curl_closesocket_callback close_socket;
  /* The server answers no stream of an HTTP/2 connection beyond this one (GOAWAY). */
  void (*goes_away)(void *thread, struct om_connection connection, unsigned long last_stream);
  void *thread;
};

struct om_carrier *om_carrier_new(void);
void om_carrier_free(struct om_carrier *carrier);

/* Whether an answer may still come in time, judged by those that came to the endpoint's sends. */
bool om_carrier_in_time(const struct om_transfer *transfer);

/* Sets the options for a transfer, or once more for the one it has, as carrier->again says. False:
 * libcurl refused one, carrier->error says why. */
bool om_carrier_load(struct om_carrier *carrier, struct om_transfer *transfer,
                     const struct om_carrier_hooks *hooks);

/* Writes what happened into the transfer and gives it back; the carrier is idle again. */
struct om_transfer *om_carrier_unload(struct om_carrier *carrier, CURLcode code);

#endif
