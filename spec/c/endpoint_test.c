/* endpoint_test.c: what a token may be, what is taken out of a JWT, and which proxy is used. (The
 * base URL and the rest: spec/new_spec.lua.) */
#include "endpoint.h"

#include <stdlib.h>

#include "test.h"

static void check_clean(const char *given, const char *expected) {
  char out[256];
  size_t len = om_endpoint_clean_token(given, strlen(given), out);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "\"%s\"", given);
}

static void check_payload(const char *token, const char *expected) {
  char out[256];
  size_t len = om_endpoint_jwt_payload(token, strlen(token), out);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "\"%s\"", token);
}

static struct om_endpoint *endpoint_with(const char *token, const char *base_url,
                                         const char *proxy) {
  struct om_endpoint_options options = {
      .base_url = base_url, .channel = "ODI1", .token = token, .proxy = proxy};
  char sentence[256] = "";
  struct om_endpoint *endpoint = om_endpoint_new(&options, sentence, sizeof sentence);
  CHECK(endpoint != NULL || strstr(sentence, "token") != NULL, "%s", sentence);
  return endpoint;
}

/* What is done with a proxy, and whom the connections end at. */
static void check_peer(const char *base_url, const char *proxy, const char *peer) {
  struct om_endpoint *endpoint = endpoint_with("secret", base_url, proxy);
  if (endpoint != NULL) {
    CHECK(strcmp(endpoint->peer, peer) == 0, "%s by %s: %s", base_url, proxy, endpoint->peer);
    om_endpoint_drop(endpoint);
  }
}

int main(void) {
  static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
  for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
    unsetenv(variables[i]);
  }
  check_clean("abc", "abc");
  check_clean(" \tabc\r\n", "abc");
  check_clean("Bearer abc", "abc");
  check_clean("bearer\tBASIC  abc ", "abc");
  check_clean("Bearerabc", "Bearerabc");
  check_clean("Bearer", "");
  check_clean(" Bearer Bearer \n", "");
  check_clean("a b", "");
  check_clean("a\nb", "");
  check_clean("a\x7f", "");
  check_clean("\xc3\xa9", "");
  check_clean("", "");
  check_clean("___", "");

  check_payload("a.eyJhIjoxfQ.c", "{\"a\":1}");
  check_payload("a.eyJhIjoxfQ==.c", "{\"a\":1}");
  check_payload("a._-8.c", "\xff\xef");
  check_payload("a..c", "");
  check_payload("a.b", "");
  check_payload("a.b.c.d", "");
  check_payload("a.e!.c", "");

  check_peer("https://API.1msg.io", NULL, "https://api.1msg.io:443 via ");
  check_peer("https://api.1msg.io:8443/x", "http://P:1", "https://api.1msg.io:8443 via http://p:1");
  check_peer("http://127.0.0.1:81", NULL, "http://127.0.0.1:81 via ");
  check_peer("http://localhost", "http://p:1", "http://localhost:80 via ");
  check_peer("http://[::1]:81", "socks5://p:1", "http://[::1]:81 via ");

  CHECK(endpoint_with("link_0123456789", "https://h/link_0123456789", NULL) == NULL, "in a path");
  CHECK(endpoint_with("link-0123456789", "https://link-0123456789", NULL) == NULL, "in a host");
  return test_end();
}
