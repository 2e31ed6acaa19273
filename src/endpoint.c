/* endpoint.c: see endpoint.h. */
#include "endpoint.h"

#include "base64.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *copy(const char *text) {
  size_t size = strlen(text) + 1;
  char *out = malloc(size);
  if (out != NULL) {
    memcpy(out, text, size);
  }
  return out;
}

/* ---- tokens ---- */

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

size_t om_endpoint_clean_token(const char *token, size_t len, char *out) {
  static const char *const schemes[] = {"Bearer", "Basic"};
  while (len > 0 && is_blank(token[len - 1])) {
    len--;
  }
  for (size_t i = 0; i < 3; i++) { /* blanks, a scheme, blanks, a scheme pasted twice, blanks */
    while (len > 0 && is_blank(token[0])) {
      token++;
      len--;
    }
    for (size_t s = 0; s < sizeof schemes / sizeof schemes[0]; s++) {
      size_t n = strlen(schemes[s]);
      if (len >= n && strncasecmp(token, schemes[s], n) == 0 && (len == n || is_blank(token[n]))) {
        token += n;
        len -= n;
      }
    }
  }
  if (len == 0 || len > OM_TOKEN_MAX_BYTES || strspn(token, "_") >= len) {
    return 0;
  }
  for (size_t i = 0; i < len; i++) {
    if ((unsigned char)token[i] <= ' ' || (unsigned char)token[i] >= 0x7f) {
      return 0;
    }
  }
  memcpy(out, token, len);
  out[len] = '\0';
  return len;
}

size_t om_endpoint_jwt_payload(const char *token, size_t len, char *out) {
  const char *first = memchr(token, '.', len);
  const char *end = token + len;
  const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
  if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
    return 0;
  }
  size_t written = om_base64_decode(first + 1, (size_t)(second - first - 1), true, out);
  return written != OM_BASE64_BAD ? written : 0;
}

/* ---- the base URL ---- */

static bool is_loopback(const char *host) {
  return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
         (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

/* Whether a URL is printable ASCII of a length that people write; names in other scripts have an
 * ASCII form (xn--…). */
static bool is_plain(const char *url) {
  size_t len = 0;
  for (; url[len] != '\0'; len++) {
    if (url[len] <= ' ' || url[len] >= 0x7f || strchr("\\\"<>", url[len]) != NULL) {
      return false;
    }
  }
  return len > 0 && len <= OM_URL_MAX_BYTES / 2;
}

/* A name or an address; libcurl lets more pass. */
static bool is_host(const char *host) {
  static const char allowed[] = "-._ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  return host[0] == '[' ||
         (strchr("-._", host[0]) == NULL && strspn(host, allowed) == strlen(host));
}

/* Cuts trailing slashes, and a last segment that repeats the channel. */
static void trim_path(char *path, const char *channel) {
  size_t len = strlen(path);
  size_t channel_len = strlen(channel);
  while (len > 0 && path[len - 1] == '/') {
    path[--len] = '\0';
  }
  if (len > channel_len && path[len - channel_len - 1] == '/' &&
      strcmp(path + len - channel_len, channel) == 0) {
    path[len - channel_len - 1] = '\0';
    trim_path(path, "\n"); /* slashes before it */
  }
}

/* Says what is wrong with a parsed base URL, or NULL. */
static const char *base_fault(CURLU *url, const char *scheme, const char *host) {
  char *part = NULL;
  if (curl_url_get(url, CURLUPART_USER, &part, 0) == CURLUE_OK ||
      curl_url_get(url, CURLUPART_PASSWORD, &part, 0) == CURLUE_OK) {
    curl_free(part);
    return "must not carry a user or password";
  }
  if (curl_url_get(url, CURLUPART_QUERY, &part, 0) == CURLUE_OK ||
      curl_url_get(url, CURLUPART_FRAGMENT, &part, 0) == CURLUE_OK) {
    curl_free(part);
    return "must not carry a query: the token goes into a header, not into a URL";
  }
  if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0) {
    return "must begin with https://";
  }
  if (strcmp(scheme, "http") == 0 && !is_loopback(host)) {
    return "must begin with https:// (plain http would show the token to the network; only "
           "loopback "
           "may use it)";
  }
  return NULL;
}

/* Fills base, host and send_url from options->base_url. NULL, or what is wrong. */
static const char *set_base(struct om_endpoint *endpoint,
                            const struct om_endpoint_options *options) {
  const char *fault = "is not a URL; write it like https://api.1msg.io";
  char *scheme = NULL;
  char *host = NULL;
  char *path = NULL;
  char *whole = NULL;
  char text[OM_URL_MAX_BYTES + 1];
  CURLU *url = endpoint->send_url;
  if (!is_plain(options->base_url) ||
      curl_url_set(url, CURLUPART_URL, options->base_url,
                   strstr(options->base_url, "://") == NULL ? CURLU_DEFAULT_SCHEME : 0) !=
          CURLUE_OK) {
    return fault;
  }
  if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && is_host(host) &&
      curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK) {
    fault = base_fault(url, scheme, host);
    if (fault == NULL) {
      fault = "is too long";
      trim_path(path, options->channel);
      int n = snprintf(text, sizeof text, "%s/%s", path, options->channel);
      if (n > 0 && (size_t)n < sizeof text &&
          curl_url_set(url, CURLUPART_PATH, text, 0) == CURLUE_OK &&
          curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK) {
        endpoint->base = copy(whole);
        endpoint->host = copy(host);
        n = snprintf(text, sizeof text, "%s/%s/sendTemplate", path, options->channel);
        fault = n > 0 && (size_t)n < sizeof text && endpoint->base != NULL &&
                        endpoint->host != NULL &&
                        curl_url_set(url, CURLUPART_PATH, text, 0) == CURLUE_OK
                    ? NULL
                    : fault;
      }
    }
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(path);
  curl_free(whole);
  return fault;
}

/* As curl(1) chooses: the scheme's own variable, then the one for all. HTTP_PROXY is not read: a
 * CGI client could set it. */
static const char *proxy_from_environment(void) {
  static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    const char *value = getenv(names[i]);
    if (value != NULL && value[0] != '\0') {
      return value;
    }
  }
  return "";
}

/* NULL, or what is wrong with a proxy that was asked for. */
static const char *proxy_fault(const char *proxy) {
  static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
  const char *fault = "is not a proxy; write it like http://proxy.example:3128";
  char *scheme = NULL;
  char *host = NULL;
  CURLU *url = curl_url();
  if (url != NULL && is_plain(proxy) &&
      curl_url_set(url, CURLUPART_URL, proxy,
                   (strstr(proxy, "://") == NULL ? CURLU_DEFAULT_SCHEME : 0) |
                       CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && is_host(host)) {
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
      if (strcmp(scheme, schemes[i]) == 0) {
        fault = NULL;
      }
    }
  }
  curl_free(scheme);
  curl_free(host);
  curl_url_cleanup(url);
  return fault;
}

static bool is_plain_http(const struct om_endpoint *endpoint) {
  return strncmp(endpoint->base, "http:", strlen("http:")) == 0;
}

/* Plain http goes to loopback only, and never leaves this machine: a proxy would be shown the
 * token, and whatever stands at its own loopback would be asked. */
static bool set_proxy(struct om_endpoint *endpoint, const char *proxy) {
  const char *except = getenv("no_proxy");
  if (except == NULL) {
    except = getenv("NO_PROXY");
  }
  if (is_plain_http(endpoint)) {
    proxy = "";
  }
  endpoint->proxy = copy(proxy != NULL ? proxy : proxy_from_environment());
  endpoint->no_proxy = copy(except != NULL ? except : "");
  return endpoint->proxy != NULL && endpoint->no_proxy != NULL;
}

static bool set_peer(struct om_endpoint *endpoint) {
  char *port = NULL;
  if (curl_url_get(endpoint->send_url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
    return false;
  }
  size_t size = strlen(endpoint->host) + strlen(port) + strlen(endpoint->proxy) + 32;
  endpoint->peer = malloc(size);
  if (endpoint->peer != NULL) {
    snprintf(endpoint->peer, size, "%s://%s:%s via %s", is_plain_http(endpoint) ? "http" : "https",
             endpoint->host, port, endpoint->proxy);
    for (char *c = endpoint->peer; *c != '\0'; c++) {
      *c = (char)tolower((unsigned char)*c);
    }
  }
  curl_free(port);
  return endpoint->peer != NULL;
}

static bool set_headers(struct om_endpoint *endpoint, const char *token) {
  static const char *const fixed[] = {"Content-Type: application/json", "Accept: application/json",
                                      "Expect:"};
  char line[OM_TOKEN_MAX_BYTES + sizeof "Authorization: Bearer "];
  snprintf(line, sizeof line, "Authorization: Bearer %s", token);
  endpoint->headers = curl_slist_append(NULL, line);
  for (size_t i = 0; endpoint->headers != NULL && i < sizeof fixed / sizeof fixed[0]; i++) {
    if (curl_slist_append(endpoint->headers, fixed[i]) == NULL) {
      return false;
    }
  }
  endpoint->token = copy(token);
  endpoint->secret = om_secret_new(token);
  return endpoint->headers != NULL && endpoint->token != NULL && endpoint->secret != NULL;
}

struct om_endpoint *om_endpoint_new(const struct om_endpoint_options *options, char *sentence,
                                    size_t sentence_bytes) {
  struct om_endpoint *endpoint = calloc(1, sizeof *endpoint);
  if (endpoint == NULL) {
    snprintf(sentence, sentence_bytes, "out of memory");
    return NULL;
  }
  endpoint->refs = 1;
  endpoint->connect_timeout_ms = options->connect_timeout_ms;
  endpoint->http_version = options->http_version;
  endpoint->max_connections = options->max_connections;
  endpoint->send_url = curl_url();
  const char *fault = endpoint->send_url != NULL ? set_base(endpoint, options) : "needs memory";
  if (fault == NULL && strlen(options->token) >= OM_SECRET_BYTES &&
      strstr(endpoint->base, options->token) != NULL) {
    fault =
        "or channel (ONE_MSG_INSTANCE_ID) has the token in it: that goes into a header, not into "
        "a URL";
  }
  if (fault != NULL) {
    snprintf(sentence, sentence_bytes, "base_url (ONE_MSG_BASE_URL) %s", fault);
    om_endpoint_drop(endpoint);
    return NULL;
  }
  if (is_plain_http(endpoint)) {
    /* without TLS nothing says early that HTTP/2 is not spoken: with PIPEWAIT the second send
     * would wait for the first one's answer */
    endpoint->http_version = CURL_HTTP_VERSION_1_1;
  }
  fault = options->proxy != NULL ? proxy_fault(options->proxy) : NULL;
  if (fault != NULL) {
    snprintf(sentence, sentence_bytes, "proxy (ONE_MSG_PROXY) %s", fault);
    om_endpoint_drop(endpoint);
    return NULL;
  }
  if (options->ca_file != NULL) {
    endpoint->ca_file = copy(options->ca_file);
  }
  if (!set_headers(endpoint, options->token) || !set_proxy(endpoint, options->proxy) ||
      !set_peer(endpoint) || (options->ca_file != NULL && endpoint->ca_file == NULL)) {
    snprintf(sentence, sentence_bytes, "out of memory");
    om_endpoint_drop(endpoint);
    return NULL;
  }
  return endpoint;
}

void om_endpoint_hold(struct om_endpoint *endpoint) {
  __atomic_add_fetch(&endpoint->refs, 1, __ATOMIC_RELAXED);
}

void om_endpoint_drop(struct om_endpoint *endpoint) {
  if (__atomic_sub_fetch(&endpoint->refs, 1, __ATOMIC_ACQ_REL) != 0) {
    return;
  }
  curl_url_cleanup(endpoint->send_url);
  curl_slist_free_all(endpoint->headers);
  free(endpoint->base);
  free(endpoint->host);
  free(endpoint->peer);
  free(endpoint->token);
  om_secret_free(endpoint->secret);
  free(endpoint->ca_file);
  free(endpoint->proxy);
  free(endpoint->no_proxy);
  free(endpoint);
}
