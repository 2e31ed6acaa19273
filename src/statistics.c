/* statistics.c: see statistics.h. */
#include "statistics.h"

#include <math.h>

static int bucket_of(uint64_t us) {
  int octave = 0;
  while (octave < 31 && us >> (octave + 1) != 0) {
    octave++;
  }
  int quarter = octave < 2 ? 0 : (int)(us >> (octave - 2) & 3);
  int bucket = octave * 4 + quarter;
  return bucket < OM_LATENCY_BUCKETS ? bucket : OM_LATENCY_BUCKETS - 1;
}

/* The upper edge of a bucket in seconds. */
static double edge_of(int bucket) {
  return ldexp(1.0 + (bucket % 4 + 1) / 4.0, bucket / 4) / 1e6;
}

void om_statistics_count(struct om_statistics *statistics, enum om_counter counter, int64_t us) {
  statistics->counts[counter]++;
  if (us >= 0) {
    uint64_t waited_us = (uint64_t)us;
    statistics->latency[bucket_of(waited_us)]++;
    statistics->latency_sum_us += waited_us;
    if (waited_us > statistics->latency_max_us) {
      statistics->latency_max_us = waited_us;
    }
  }
}

static double percentile(const struct om_statistics *statistics, uint64_t answers, double share) {
  uint64_t seen = 0;
  for (int i = 0; i < OM_LATENCY_BUCKETS; i++) {
    seen += statistics->latency[i];
    if (seen > 0 && (double)seen >= share * (double)answers) {
      double edge = edge_of(i);
      double most = (double)statistics->latency_max_us / 1e6;
      return edge < most ? edge : most;
    }
  }
  return 0;
}

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

void om_statistics_push(lua_State *L, const struct om_statistics *statistics, int in_flight) {
  static const char *const names[] = {"accepted", "queued",  "rejected", "not_sent",
                                      "unknown",  "invalid", "reads"};
  uint64_t answers = 0;
  for (int i = 0; i < OM_LATENCY_BUCKETS; i++) {
    answers += statistics->latency[i];
  }
  lua_createtable(L, 0, OM_COUNTERS + 2);
  for (int i = 0; i < OM_COUNTERS; i++) {
    lua_pushinteger(L, (lua_Integer)statistics->counts[i]);
    lua_setfield(L, -2, names[i]);
  }
  lua_pushinteger(L, in_flight);
  lua_setfield(L, -2, "in_flight");
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, (lua_Integer)answers);
  lua_setfield(L, -2, "count");
  set_number(L, "mean",
             answers > 0 ? (double)statistics->latency_sum_us / (double)answers / 1e6 : 0);
  set_number(L, "p50", percentile(statistics, answers, 0.50));
  set_number(L, "p95", percentile(statistics, answers, 0.95));
  set_number(L, "p99", percentile(statistics, answers, 0.99));
  set_number(L, "max", (double)statistics->latency_max_us / 1e6);
  lua_setfield(L, -2, "latency");
}
