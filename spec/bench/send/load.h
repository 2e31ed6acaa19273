/* load.h: what the two bare libcurl loops share: the settings that all clients of send_bench.lua
 * read from the environment, one reused easy handle per message in flight, and the line of figures.
 *
 * They are the yardstick, not an example of how to send: the body is a constant, no JSON is written
 * or read, an answer counts when it is 200 and contains "sent":true, and libcurl may repeat a
 * request.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <curl/curl.h>

#define ANSWER_BYTES 1024
#define URL_BYTES    1024
#define HEADER_BYTES 10240

struct slot {
  CURL *easy;
  struct load *load;
  size_t bytes;
  char answer[ANSWER_BYTES];
};

struct load {
  CURLM *multi;
  CURLU *url;
  struct curl_slist *headers;
  struct slot *slots;
  long window;
  long count; /* to send in this run */
  long begun;
  long ended;
  long accepted;
  char body[1024];
};

static void die(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static const char *need(const char *name) {
  const char *value = getenv(name);
  if (value == NULL || value[0] == '\0') {
    fprintf(stderr, "%s is not set\n", name);
    exit(1);
  }
  return value;
}

static double wall_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static size_t keep_answer(char *from, size_t size, size_t count, void *user) {
  struct slot *slot = user;
  size_t n = size * count;
  if (n > sizeof slot->answer - 1 - slot->bytes) {
    return 0;
  }
  memcpy(slot->answer + slot->bytes, from, n);
  slot->bytes += n;
  slot->answer[slot->bytes] = '\0';
  return n;
}

static void load_open(struct load *load) {
  char text[HEADER_BYTES];
  memset(load, 0, sizeof *load);
  load->window = strtol(need("BENCH_WINDOW"), NULL, 10);
  bool http1 = strcmp(need("BENCH_HTTP"), "1.1") == 0;
  curl_global_init(CURL_GLOBAL_DEFAULT);
  load->multi = curl_multi_init();
  load->url = curl_url();
  load->slots = calloc((size_t)load->window, sizeof *load->slots);
  snprintf(text, sizeof text, "%s/%s/sendTemplate", need("ONE_MSG_BASE_URL"),
           need("ONE_MSG_INSTANCE_ID"));
  if (load->multi == NULL || load->slots == NULL ||
      curl_url_set(load->url, CURLUPART_URL, text, 0) != CURLUE_OK) {
    die("cannot begin");
  }
  snprintf(text, sizeof text, "Authorization: Bearer %s", need("ONE_MSG_TOKEN"));
  load->headers = curl_slist_append(NULL, text);
  curl_slist_append(load->headers, "Content-Type: application/json");
  curl_slist_append(load->headers, "Expect:");
  snprintf(load->body, sizeof load->body,
           "{\"phone\":\"12020721300\",\"template\":\"%s\",\"namespace\":\"%s\","
           "\"language\":{\"policy\":\"deterministic\",\"code\":\"%s\"},\"params\":[{\"type\":"
           "\"body\",\"parameters\":[{\"type\":\"text\",\"text\":\"Maria\"},{\"type\":\"text\","
           "\"text\":\"subscription payment\"},{\"type\":\"text\",\"text\":\"Access activated in "
           "your account.\"}]}]}",
           need("ONE_MSG_TEMPLATE"), need("ONE_MSG_TEMPLATE_NAMESPACE"),
           need("ONE_MSG_TEMPLATE_LANGUAGE"));
  curl_multi_setopt(load->multi, CURLMOPT_MAX_HOST_CONNECTIONS, load->window);
  curl_multi_setopt(load->multi, CURLMOPT_MAXCONNECTS, load->window);
  curl_multi_setopt(load->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, 256L);
  for (long i = 0; i < load->window; i++) {
    struct slot *slot = &load->slots[i];
    slot->load = load;
    slot->easy = curl_easy_init();
    if (slot->easy == NULL) {
      die("no easy handle");
    }
    curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(slot->easy, CURLOPT_CURLU, load->url);
    curl_easy_setopt(slot->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, load->headers);
    curl_easy_setopt(slot->easy, CURLOPT_CAINFO, need("ONE_MSG_CA_FILE"));
    curl_easy_setopt(slot->easy, CURLOPT_HTTP_VERSION,
                     http1 ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(slot->easy, CURLOPT_PIPEWAIT, http1 ? 0L : 1L);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, load->body);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(load->body));
    curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, keep_answer);
    curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, 20000L);
  }
}

static void load_begin(struct slot *slot) {
  slot->bytes = 0;
  slot->answer[0] = '\0';
  slot->load->begun++;
  curl_multi_add_handle(slot->load->multi, slot->easy);
}

/* The first `window` messages of a run of `count`. */
static void load_start(struct load *load, long count) {
  load->count = count;
  load->begun = load->ended = load->accepted = 0;
  for (long i = 0; i < load->window && i < count; i++) {
    load_begin(&load->slots[i]);
  }
}

/* Counts what has ended and begins the next with the same handles. */
static void load_turn(struct load *load) {
  int left = 0;
  for (CURLMsg *m = curl_multi_info_read(load->multi, &left); m != NULL;
       m = curl_multi_info_read(load->multi, &left)) {
    struct slot *slot = NULL;
    long status = 0;
    CURLcode code = m->data.result;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
    curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(load->multi, slot->easy);
    load->ended++;
    if (code == CURLE_OK && status == 200 && strstr(slot->answer, "\"sent\":true") != NULL) {
      load->accepted++;
    }
    if (load->begun < load->count) {
      load_begin(slot);
    }
  }
}

/* Warms up, measures, prints the line; the exit code. run: until load->ended == load->count. */
static int load_measure(struct load *load, void (*run)(struct load *load)) {
  long count = strtol(need("BENCH_COUNT"), NULL, 10);
  long warm = strtol(need("BENCH_WARM"), NULL, 10);
  if (warm > 0) {
    load_start(load, warm);
    run(load);
  }
  double began = wall_s();
  double burnt = cpu_s();
  load_start(load, count);
  run(load);
  printf("accepted=%ld seconds=%.6f cpu=%.6f\n", load->accepted, wall_s() - began, cpu_s() - burnt);
  return load->accepted == count ? 0 : 1;
}

#endif
