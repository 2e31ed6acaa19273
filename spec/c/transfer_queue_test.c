/* transfer_queue_test.c: no host waits for another, each gets what it may carry and no more, oldest
 * first; a model of a few lines plays against the queue. */
#include "transfer_queue.h"

#include <stdlib.h>

#include "test.h"

#define CARRIED 40
#define SHARE   4
#define STREAMS 16

static struct om_queue open_queue(void) {
  struct om_queue queue;
  memset(&queue, 0, sizeof queue);
  om_queue_init(&queue, CARRIED, SHARE, STREAMS);
  return queue;
}

static struct om_host *add(struct om_queue *queue, const char *peer, long connections) {
  struct om_host *host = om_queue_add(queue, peer);
  host->connections = connections;
  return host;
}

static void put(struct om_queue *queue, struct om_host *host, struct om_job *jobs, int count) {
  for (int i = 0; i < count; i++) {
    om_queue_put(queue, host, &jobs[i]);
  }
}

/* Begins all that may begin; of each host's jobs the oldest come first. Returns how many began. */
static int begin_all(struct om_queue *queue, struct om_host *host, const struct om_job *jobs,
                     int begun) {
  int count = 0;
  CHECK(om_queue_may_take(queue) || begun >= 0, "may take");
  for (struct om_job *job = om_queue_take(queue); job != NULL; job = om_queue_take(queue)) {
    CHECK(job == &jobs[begun + count], "the oldest first");
    om_queue_began(queue, host);
    count++;
  }
  CHECK(!om_queue_may_take(queue), "took all");
  return count;
}

static void close_queue(struct om_queue *queue) {
  while (queue->turn != NULL) {
    om_queue_remove(queue, queue->turn);
  }
  CHECK(queue->hosts == 0, "hosts left");
  om_queue_close(queue);
}

/* What one host may carry, by what is known of it. */
static void check_room(void) {
  static const struct {
    long connections;
    bool may_multiplex;
    enum om_host_speaks speaks;
    int room;
  } rows[] = {
      {1, false, OM_SPEAKS_UNKNOWN, 1},     {10, false, OM_SPEAKS_UNKNOWN, 10},
      {10, false, OM_SPEAKS_HTTP1, 10},     {10, true, OM_SPEAKS_UNKNOWN, STREAMS},
      {20, true, OM_SPEAKS_UNKNOWN, 20},    {10, true, OM_SPEAKS_HTTP1, 10},
      {10, true, OM_SPEAKS_HTTP2, CARRIED}, {10000, false, OM_SPEAKS_HTTP1, CARRIED},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct om_job jobs[100] = {{0}};
    struct om_queue queue = open_queue();
    struct om_host *host = add(&queue, "a", rows[i].connections);
    host->may_multiplex = rows[i].may_multiplex;
    host->speaks = rows[i].speaks;
    put(&queue, host, jobs, 100);
    CHECK(begin_all(&queue, host, jobs, 0) == rows[i].room, "row %zu", i);
    om_queue_ended(&queue, host);
    CHECK(begin_all(&queue, host, jobs, rows[i].room) == 1, "row %zu: one ended", i);
    close_queue(&queue);
  }
}

/* One that hangs, with all that a process may carry: the others get their share at once. */
static void check_starved(void) {
  static struct om_job hung[1000];
  static struct om_job well[100];
  struct om_queue queue = open_queue();
  struct om_host *a = add(&queue, "a", 1000);
  put(&queue, a, hung, 1000);
  CHECK(begin_all(&queue, a, hung, 0) == CARRIED, "all that there is");
  struct om_host *b = add(&queue, "b", 1000);
  put(&queue, b, well, 100);
  CHECK(begin_all(&queue, b, well, 0) == SHARE, "its share");
  for (int i = 0; i < 96; i++) {
    om_queue_ended(&queue, b);
    CHECK(begin_all(&queue, b, well, SHARE + i) == 1, "and goes on");
  }
  close_queue(&queue);
}

/* Three hosts with work: they take turns. */
static void check_turns(void) {
  static struct om_job jobs[3][30];
  struct om_queue queue = open_queue();
  struct om_host *hosts[3] = {add(&queue, "a", 10), add(&queue, "b", 10), add(&queue, "c", 2)};
  int begun[3] = {0, 0, 0};
  for (int i = 0; i < 3; i++) {
    put(&queue, hosts[i], jobs[i], 30);
    CHECK(om_queue_find(&queue, hosts[i]->peer) == hosts[i], "find");
  }
  CHECK(om_queue_find(&queue, "d") == NULL, "find");
  for (int n = 0; n < 22; n++) {
    struct om_job *job = om_queue_take(&queue);
    for (int i = 0; i < 3; i++) {
      if (job >= jobs[i] && job < jobs[i] + 30) {
        CHECK(job == &jobs[i][begun[i]], "the oldest first");
        begun[i]++;
        om_queue_began(&queue, hosts[i]);
      }
    }
    CHECK(abs(begun[0] - begun[1]) <= 1, "in turn: %d, %d", begun[0], begun[1]);
    CHECK(n < 5 || begun[2] == 2, "in turn: %d", begun[2]);
  }
  CHECK(begun[0] == 10 && begun[1] == 10 && om_queue_take(&queue) == NULL, "each its own");
  close_queue(&queue);
}

static void check_spare(void) {
  static struct om_job jobs[OM_HOSTS_KEPT + 2];
  struct om_queue queue = open_queue();
  char peer[16];
  for (int i = 0; i < OM_HOSTS_KEPT + 2; i++) {
    snprintf(peer, sizeof peer, "host%d", i);
    put(&queue, add(&queue, peer, 1), &jobs[i], 1);
    CHECK(om_queue_spare(&queue) == NULL, "all have work");
  }
  while (om_queue_take(&queue) != NULL) {
  }
  struct om_host *busy = om_queue_find(&queue, "host0");
  om_queue_began(&queue, busy);
  struct om_host *spare = om_queue_spare(&queue);
  CHECK(spare != NULL && strcmp(spare->peer, "host1") == 0, "idle for the longest");
  CHECK(om_queue_own(&queue, 5, spare) && om_queue_own(&queue, 1000, busy), "own");
  CHECK(om_queue_owner(&queue, 5) == spare && om_queue_owner(&queue, 1000) == busy, "owner");
  CHECK(om_queue_owner(&queue, 6) == NULL && om_queue_owner(&queue, 1 << 20) == NULL, "nobody");
  om_queue_remove(&queue, spare);
  CHECK(om_queue_owner(&queue, 5) == NULL, "gone");
  CHECK(om_queue_find(&queue, "host1") == NULL && om_queue_spare(&queue) == NULL,
        "as many as kept");
  close_queue(&queue);
}

int main(void) {
  check_room();
  check_starved();
  check_turns();
  check_spare();
  return test_end();
}
