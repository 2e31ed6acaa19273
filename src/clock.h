/* clock.h: the two clocks that times are told by. Pure: no Lua.
 *
 * The wall clock is for people and for what processes compare; it may be set, by anybody, in both
 * directions. The steady clock (CLOCK_BOOTTIME) only rises, and counts while the machine sleeps.
 * The difference of the two is constant until the wall clock is set: slewing moves both.
 */
#ifndef OM_CLOCK_H
#define OM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct om_clocks {
  int64_t wall_us;   /* since the epoch */
  int64_t steady_us; /* since the machine started */
};

/* Both, read at one instant: to a millisecond, unless the machine stands still in between each
 * time. */
struct om_clocks om_clock_read(void);

int64_t om_clock_steady_us(void);

/* A time by both clocks after which something must not happen any more. */
struct om_fence {
  bool set;
  struct om_clocks end;
};

/* Whether it is past, by either clock: one may have stood still while the machine was paused. */
bool om_clock_is_past(const struct om_fence *fence);

#endif
