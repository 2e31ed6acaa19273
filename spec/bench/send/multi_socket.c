/* multi_socket.c: sends by a bare loop of curl_multi_socket_action and epoll, which registers
 * exactly what libcurl asks for. See load.h. */
#include "load.h"

#include <sys/epoll.h>

#define EVENTS 256

static int epoll_fd;
static double timer_s = -1; /* below 0: none */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known) {
  static int mark;
  CURLM *multi = user;
  struct epoll_event event = {.data = {.fd = fd}};
  event.events = ((what & CURL_POLL_IN) != 0 ? (unsigned)EPOLLIN : 0) |
                 ((what & CURL_POLL_OUT) != 0 ? (unsigned)EPOLLOUT : 0);
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    curl_multi_assign(multi, fd, NULL);
    return 0;
  }
  epoll_ctl(epoll_fd, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  curl_multi_assign(multi, fd, &mark);
  return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *user) {
  (void)multi;
  (void)user;
  timer_s = timeout_ms < 0 ? -1 : wall_s() + (double)timeout_ms / 1000;
  return 0;
}

static int wait_ms(void) {
  double left = (timer_s - wall_s()) * 1000;
  if (timer_s < 0) {
    return 1000;
  }
  return left <= 0 ? 0 : (int)left + 1;
}

static void run(struct load *load) {
  struct epoll_event events[EVENTS];
  int running = 0;
  while (load->ended < load->count) {
    int n = epoll_wait(epoll_fd, events, EVENTS, wait_ms());
    for (int i = 0; i < n; i++) {
      int mask = ((events[i].events & (unsigned)EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                 ((events[i].events & (unsigned)EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                 ((events[i].events & (unsigned)(EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
      curl_multi_socket_action(load->multi, events[i].data.fd, mask, &running);
    }
    if (timer_s >= 0 && timer_s <= wall_s()) {
      timer_s = -1;
      curl_multi_socket_action(load->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    load_turn(load);
  }
}

int main(void) {
  static struct load load;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  load_open(&load);
  curl_multi_setopt(load.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(load.multi, CURLMOPT_SOCKETDATA, load.multi);
  curl_multi_setopt(load.multi, CURLMOPT_TIMERFUNCTION, on_timer);
  return load_measure(&load, run);
}
