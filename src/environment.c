/* environment.c: see environment.h. */
#include "environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST 256 /* variables that are kept */

extern char **environ;

static char *kept[MOST]; /* "NAME=value" */
static size_t kept_count;
static pid_t loaded_by;

static bool is_setting(const char *variable) {
  return strncmp(variable, "ONE_MSG_", strlen("ONE_MSG_")) == 0 ||
         strncmp(variable, "CURL_CA_BUNDLE=", strlen("CURL_CA_BUNDLE=")) == 0 ||
         strncmp(variable, "SSL_CERT_FILE=", strlen("SSL_CERT_FILE=")) == 0;
}

/* Before any thread of ours can run. */
__attribute__((constructor)) static void keep(void) {
  loaded_by = getpid();
  for (char **variable = environ; variable && *variable && kept_count < MOST; variable++) {
    char *copy = is_setting(*variable) ? strdup(*variable) : NULL;
    if (copy != NULL) {
      kept[kept_count++] = copy;
    }
  }
}

const char *om_environment(const char *name) {
  const char *value = getenv(name);
  size_t len = strlen(name);
  for (size_t i = 0; value == NULL && i < kept_count && getpid() != loaded_by; i++) {
    if (strncmp(kept[i], name, len) == 0 && kept[i][len] == '=') {
      value = kept[i] + len + 1;
    }
  }
  return value;
}
