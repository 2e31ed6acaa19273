/* multi_poll.c: sends by a bare loop of curl_multi_perform and curl_multi_poll. See load.h. */
#include "load.h"

static void run(struct load *load) {
  int running = 0;
  while (load->ended < load->count) {
    if (curl_multi_perform(load->multi, &running) != CURLM_OK) {
      die("curl_multi_perform failed");
    }
    long before = load->ended;
    load_turn(load);
    if (load->ended == before) { /* what has just begun wants to be performed first */
      curl_multi_poll(load->multi, NULL, 0, 1000, NULL);
    }
  }
}

int main(void) {
  static struct load load;
  load_open(&load);
  return load_measure(&load, run);
}
