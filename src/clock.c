/* clock.c: see clock.h. */
#include "clock.h"

#include <time.h>

#define TRIES       5
#define TOGETHER_US 1000 /* the steady clock before and after the wall clock's reading */

static int64_t read_us(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t om_clock_steady_us(void) {
  return read_us(CLOCK_BOOTTIME);
}

struct om_clocks om_clock_read(void) {
  struct om_clocks best = {0, 0};
  int64_t best_us = INT64_MAX;
  for (int i = 0; i < TRIES && best_us > TOGETHER_US; i++) {
    int64_t before_us = om_clock_steady_us();
    int64_t wall_us = read_us(CLOCK_REALTIME);
    int64_t apart_us = om_clock_steady_us() - before_us;
    if (apart_us < best_us) {
      best_us = apart_us;
      best.wall_us = wall_us;
      best.steady_us = before_us + apart_us / 2;
    }
  }
  return best;
}

bool om_clock_is_past(const struct om_fence *fence) {
  if (!fence->set) {
    return false;
  }
  struct om_clocks now = om_clock_read();
  return now.steady_us >= fence->end.steady_us || now.wall_us >= fence->end.wall_us;
}
