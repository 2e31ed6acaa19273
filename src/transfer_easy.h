/* transfer_easy.h: a reused curl easy handle and the one transfer it carries. Transfer thread only.
 */
#ifndef OM_TRANSFER_EASY_H
#define OM_TRANSFER_EASY_H

#include "transfer.h"
#include "transfer_epoll.h"

/* Why a transfer that libcurl gave up has to begin again: nothing of it left, or nothing that the
 * server took. */
enum om_again {
  OM_AGAIN_NOT,
  OM_AGAIN_FRESH, /* the reused connection was not fit to write to */
  OM_AGAIN_HTTP1  /* the server wants HTTP/1.1 */
};

struct om_easy {
  CURL *easy;
  struct om_endpoint *endpoint; /* counted; whose options are set on `easy` */
  struct om_transfer *transfer; /* NULL: idle */
  struct om_easy *next;         /* in the list of idle ones */
  const struct om_easy_hooks *hooks;
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
struct om_easy_hooks {
  struct om_watches *watches;
  curl_opensocket_callback open_socket;
  curl_closesocket_callback close_socket;
  /* The server answers no stream of an HTTP/2 connection beyond this one (GOAWAY). */
  void (*goes_away)(void *thread, struct om_connection connection, unsigned long last_stream);
  void *thread;
};

struct om_easy *om_transfer_easy_new(void);
void om_transfer_easy_free(struct om_easy *handle);

/* Whether an answer may still come in time, judged by those that came to the endpoint's sends. */
bool om_transfer_easy_in_time(const struct om_transfer *transfer);

/* Sets the options for a transfer, or once more for the one it has, as handle->again says. False:
 * libcurl refused one, handle->error says why. */
bool om_transfer_easy_load(struct om_easy *handle, struct om_transfer *transfer,
                           const struct om_easy_hooks *hooks);

/* Writes what happened into the transfer and gives it back; the handle is idle again. */
struct om_transfer *om_transfer_easy_unload(struct om_easy *handle, CURLcode code);

#endif
