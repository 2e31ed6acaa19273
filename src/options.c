/* options.c: see options.h. An option is a field of the table, or else its environment variable; an
 * empty value or the sample's "___" is an error that names both.
 */
#include "options.h"

#include "environment.h"
#include "phone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE_URL_DEFAULT          "https://api.1msg.io"
#define TIMEOUT_DEFAULT_S         20.0 /* others wait 20 to 30 s, PLATFORM.md 1.3 */
#define CONNECT_TIMEOUT_DEFAULT_S 5.0
#define TIMEOUT_MIN_S             0.01
#define TIMEOUT_MAX_S             86400.0 /* a day */
#define CONNECTIONS_DEFAULT       64
#define CONNECTIONS_MAX           10000
#define PATH_SHOWN_BYTES          256

const char *const om_option_names[] = {
    "base_url",        "channel",         "token",    "token_file",
    "template",        "namespace",       "language", "text",
    "country",         "timeout",         "ca_file",  "proxy",
    "connect_timeout", "max_connections", "http",     NULL};

/* An option on its way from the table or the environment. */
struct option {
  const char *name;
  const char *variable;
};

static const struct option base_url = {"base_url", "ONE_MSG_BASE_URL"};
static const struct option channel_id = {"channel", "ONE_MSG_INSTANCE_ID"};
static const struct option token = {"token", "ONE_MSG_TOKEN"};
static const struct option token_file = {"token_file", "ONE_MSG_TOKEN_FILE"};
static const struct option template_name = {"template", "ONE_MSG_TEMPLATE"};
static const struct option name_space = {"namespace", "ONE_MSG_TEMPLATE_NAMESPACE"};
static const struct option language = {"language", "ONE_MSG_TEMPLATE_LANGUAGE"};
static const struct option text_mode = {"text", "ONE_MSG_TEXT"};
static const struct option country = {"country", "ONE_MSG_COUNTRY"};
static const struct option timeout = {"timeout", "ONE_MSG_TIMEOUT"};
static const struct option connect_timeout = {"connect_timeout", "ONE_MSG_CONNECT_TIMEOUT"};
static const struct option max_connections = {"max_connections", "ONE_MSG_MAX_CONNECTIONS"};
static const struct option http = {"http", "ONE_MSG_HTTP"};
static const struct option ca_file = {"ca_file", "ONE_MSG_CA_FILE"};
static const struct option proxy = {"proxy", "ONE_MSG_PROXY"};

static int fail_option(lua_State *L, const struct option *option, const char *why) {
  return om_fail(L, "config", "invalid", "%s (%s) %s", option->name, option->variable, why);
}

/* Pushes a variable's value, or nil; without the quotes around it that docker's --env-file leaves.
 */
static void push_variable(lua_State *L, const char *name) {
  const char *value = om_environment(name);
  size_t len = value != NULL ? strlen(value) : 0;
  if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
    lua_pushlstring(L, value + 1, len - 2);
  } else {
    lua_pushstring(L, value); /* nil for NULL */
  }
}

/* Pushes the option's value from the table at 1, else from the environment, else nil. */
static bool push_option(lua_State *L, const struct option *option) {
  lua_getfield(L, 1, option->name);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    push_variable(L, option->variable);
  }
  return !lua_isnil(L, -1);
}

/* Pushes a text option, or nil when it is not set. 0, or 3 and `nil, err, info`. */
static int push_text_option(lua_State *L, const struct option *option) {
  size_t len = 0;
  if (!push_option(L, option)) {
    return 0;
  }
  if (lua_type(L, -1) != LUA_TSTRING) {
    om_raise(L, "%s must be a text, and is a %s", option->name, luaL_typename(L, -1));
  }
  const char *value = lua_tolstring(L, -1, &len);
  if (len == 0 || om_is_placeholder(value, len)) {
    return fail_option(L, option, "is empty, or still the placeholder of the sample; fill it in");
  }
  if (strlen(value) != len) {
    return fail_option(L, option, "has a NUL byte in it");
  }
  return 0;
}

/* Reads seconds; 0, or 3. */
static int read_seconds(lua_State *L, const struct option *option, double preset, long *ms) {
  double seconds = preset;
  if (push_option(L, option)) {
    if (lua_type(L, -1) == LUA_TSTRING) {
      const char *text = lua_tostring(L, -1); /* the environment knows only texts */
      if (strlen(text) != lua_rawlen(L, -1) || !om_duration(text, true, &seconds)) {
        return fail_option(L, option, "must be " OM_DURATION_FORM);
      }
    } else if (!om_to_seconds(L, -1, &seconds)) {
      om_raise(L, "%s must be " OM_DURATION_FORM, option->name);
    }
    if (!(seconds >= TIMEOUT_MIN_S && seconds <= TIMEOUT_MAX_S)) {
      return fail_option(L, option, "must be from 0.01 seconds to a day (86400 seconds)");
    }
  }
  *ms = (long)(seconds * 1000);
  return 0;
}

static int read_connections(lua_State *L, long *connections) {
  *connections = CONNECTIONS_DEFAULT;
  if (push_option(L, &max_connections)) {
    if (lua_type(L, -1) == LUA_TSTRING) {
      char *end = NULL;
      const char *digits = lua_tostring(L, -1);
      *connections = strtol(digits, &end, 10);
      if (end == digits || *end != '\0' || *connections < 1 || *connections > CONNECTIONS_MAX) {
        return fail_option(L, &max_connections, "must be a whole number from 1 to 10000");
      }
    } else {
      *connections = (long)om_check_whole(L, -1, "max_connections", 1, CONNECTIONS_MAX);
    }
  }
  return 0;
}

/* One word of a list; *index keeps its value when the option is not set. */
static int read_word(lua_State *L, const struct option *option, const char *const words[],
                     const char *why, int *index) {
  int failed = push_text_option(L, option);
  if (failed != 0 || lua_isnil(L, -1)) {
    return failed;
  }
  const char *word = lua_tostring(L, -1);
  for (int i = 0; words[i] != NULL; i++) {
    if (strcmp(words[i], word) == 0) {
      *index = i;
      return 0;
    }
  }
  return fail_option(L, option, why);
}

/* ---- token and channel ---- */

/* Whether a text can be nothing but a path: of a file in a directory that there is. */
static bool is_surely_path(const char *text) {
  struct stat facts;
  char directory[PATH_SHOWN_BYTES + 1];
  const char *slash = strrchr(text, '/');
  if ((text[0] != '/' && text[0] != '.') || slash == NULL || slash == text ||
      slash - text > PATH_SHOWN_BYTES) {
    return false;
  }
  snprintf(directory, sizeof directory, "%.*s", (int)(slash - text), text);
  return stat(directory, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* `nil, err, info` for a file that errno keeps from us. What cannot be a path stays out of it, and
 * so does a token_file that is not there: it may be the token itself. */
static int fail_file(lua_State *L, const struct option *option, const char *path) {
  int error = errno;
  size_t len = strlen(path);
  bool shown =
      option != &token_file || (error != ENOENT && error != ENAMETOOLONG) || is_surely_path(path);
  bool plain = shown && len <= PATH_SHOWN_BYTES && om_text_check(path, len, 0) == OM_TEXT_OK;
  return om_fail(L, "config", "invalid", "%s (%s) cannot be read: %s%s%s%s", option->name,
                 option->variable, plain ? path : "", plain ? ": " : "", strerror(error),
                 shown ? "" : "; give the path of a file with the token in it, not the token");
}

/* Pushes what the file holds. */
static int push_token_file(lua_State *L, const char *path) {
  char content[OM_TOKEN_MAX_BYTES + 2];
  FILE *file = fopen(path, "re");
  if (file == NULL) {
    return fail_file(L, &token_file, path);
  }
  size_t len = fread(content, 1, sizeof content, file);
  fclose(file);
  lua_pushlstring(L, content, len);
  return 0;
}

/* Pushes the cleaned token. What the table names, be it a file, comes before the environment. */
static int push_token(lua_State *L) {
  size_t len = 0;
  const struct option *from = &token;
  lua_getfield(L, 1, "token");
  lua_getfield(L, 1, "token_file");
  bool file_named = lua_isnil(L, -2) && !lua_isnil(L, -1);
  lua_pop(L, 2);
  int failed = 0;
  if (file_named) {
    lua_pushnil(L);
  } else {
    failed = push_text_option(L, &token);
  }
  if (failed != 0) {
    return failed;
  }
  if (lua_isnil(L, -1)) {
    from = &token_file;
    failed = push_text_option(L, &token_file);
    if (failed == 0 && !lua_isnil(L, -1)) {
      failed = push_token_file(L, lua_tostring(L, -1));
    }
    if (failed != 0) {
      return failed;
    }
  }
  if (lua_isnil(L, -1)) {
    return fail_option(L, &token, "is missing; copy the channel's token from the 1MSG cabinet");
  }
  const char *given = lua_tolstring(L, -1, &len);
  char *cleaned = (char *)lua_newuserdatauv(L, len + 1, 0);
  len = om_endpoint_clean_token(given, len, cleaned);
  if (len == 0) {
    return fail_option(L, from,
                       "is empty, too long, a placeholder, or has a character that no "
                       "header may have; copy it again, on one line");
  }
  lua_pushlstring(L, cleaned, len);
  return 0;
}

/* Pushes the instanceId inside a JWT, or nil. */
static void push_instance(lua_State *L, struct om_state *state, int token_at) {
  size_t len = 0;
  const char *jwt = lua_tolstring(L, token_at, &len);
  char *payload = (char *)lua_newuserdatauv(L, len + 1, 0);
  len = om_endpoint_jwt_payload(jwt, len, payload);
  if (len > 0) {
    om_answer_decode(L, state, payload, len);
    if (lua_istable(L, -1)) {
      lua_getfield(L, -1, "instanceId");
      if (lua_type(L, -1) == LUA_TNUMBER) {
        char digits[OM_DIGITS_BYTES]; /* an id of bare digits */
        if (!om_answer_digits(L, -1, digits)) {
          snprintf(digits, sizeof digits, "%.14g", lua_tonumber(L, -1)); /* refused as a name */
        }
        lua_pushstring(L, digits);
      }
      if (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) > 0 &&
          strlen(lua_tostring(L, -1)) == lua_rawlen(L, -1)) {
        return;
      }
    }
  }
  lua_pushnil(L);
}

/* "instance371267300" is the old way to write 371267300. */
static const char *without_prefix(const char *id) {
  size_t n = strlen("instance");
  return strncmp(id, "instance", n) == 0 && id[n] >= '0' && id[n] <= '9' ? id + n : id;
}

/* Of two that have letters in front, both must be the same. */
bool om_options_same_channel(const char *a, const char *b) {
  a = without_prefix(a);
  b = without_prefix(b);
  const char *digits_a = a + strcspn(a, "0123456789");
  const char *digits_b = b + strcspn(b, "0123456789");
  if (digits_a == a || digits_b == b) {
    return strcmp(digits_a, digits_b) == 0;
  }
  return strcmp(a, b) == 0;
}

/* Pushes the channel's id. */
static int push_channel_id(lua_State *L, struct om_state *state, int token_at) {
  int failed = push_text_option(L, &channel_id);
  if (failed != 0) {
    return failed;
  }
  const char *given = lua_isnil(L, -1) ? NULL : without_prefix(lua_tostring(L, -1));
  push_instance(L, state, token_at);
  const char *inside = lua_isnil(L, -1) ? NULL : without_prefix(lua_tostring(L, -1));
  const char *id = given != NULL ? given : inside;
  if (id == NULL) {
    return fail_option(L, &channel_id,
                       "is missing, and the token does not name it; copy it from the 1MSG cabinet");
  }
  size_t len = strlen(id);
  if (len == 0 || len > OM_CHANNEL_MAX_BYTES ||
      strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != len) {
    return fail_option(L, &channel_id, "takes letters, digits, - and _ only, like ODI371267300");
  }
  if (given != NULL && inside != NULL && !om_options_same_channel(given, inside)) {
    return om_fail(L, "config", "invalid",
                   "channel (ONE_MSG_INSTANCE_ID) is %.64s, but the token belongs to %.64s; one of "
                   "them is another number's",
                   given, inside);
  }
  lua_pushstring(L, id);
  return 0;
}

/* ---- onemsg.new ---- */

/* anchors[name] = the option's text; *where points into it. 0, or 3. */
static int read_default(lua_State *L, int anchors, const struct option *option,
                        const char *(*fault_of)(const char *, size_t), const char **where) {
  int failed = push_text_option(L, option);
  if (failed != 0 || lua_isnil(L, -1)) {
    return failed;
  }
  size_t len = 0;
  const char *value = lua_tolstring(L, -1, &len);
  const char *fault = fault_of(value, len);
  if (fault != NULL) {
    return fail_option(L, option, fault);
  }
  *where = value;
  lua_setfield(L, anchors, option->name);
  return 0;
}

static const char *country_fault(const char *text, size_t len) {
  return strlen(text) == len && om_phone_country(text) != NULL
             ? NULL
             : "must be a country's ISO code, like BR, or its calling code, like 55";
}

static int read_country(lua_State *L, int anchors, struct om_channel *channel) {
  lua_getfield(L, 1, "country");
  if (lua_type(L, -1) != LUA_TNUMBER) {
    return read_default(L, anchors, &country, country_fault, &channel->defaults.country);
  }
  lua_pushfstring(L, "%d", (int)om_check_whole(L, -1, "country", 1, 999));
  const char *code = lua_tostring(L, -1), *fault = country_fault(code, strlen(code));
  if (fault != NULL) {
    return fail_option(L, &country, fault);
  }
  channel->defaults.country = code;
  lua_setfield(L, anchors, "country");
  return 0;
}

static int read_defaults(lua_State *L, int anchors, struct om_channel *channel) {
  static const char *const modes[] = {"clean", "strict", "raw", NULL};
  struct om_message_defaults *d = &channel->defaults;
  int mode = OM_TEXT_CLEAN;
  int failed = read_word(L, &text_mode, modes, "must be clean, strict or raw", &mode);
  d->text = (enum om_text_mode)mode;
  failed = failed ? failed
                  : read_default(L, anchors, &template_name, om_message_template_fault,
                                 &d->template_name);
  failed = failed
               ? failed
               : read_default(L, anchors, &name_space, om_message_namespace_fault, &d->name_space);
  failed = failed ? failed
                  : read_default(L, anchors, &language, om_message_language_fault, &d->language);
  failed = failed ? failed : read_country(L, anchors, channel);
  return failed ? failed : read_seconds(L, &timeout, TIMEOUT_DEFAULT_S, &channel->timeout_ms);
}

/* As curl(1): its own variable, then OpenSSL's. */
static const char *ca_from_environment(void) {
  const char *path = om_environment("CURL_CA_BUNDLE");
  return path != NULL && path[0] != '\0' ? path : om_environment("SSL_CERT_FILE");
}

/* A device or a pipe would keep libcurl's thread reading. */
static bool is_readable_file(const char *path) {
  struct stat facts;
  if (stat(path, &facts) != 0 || access(path, R_OK) != 0) {
    return false;
  }
  errno = EINVAL;
  return S_ISREG(facts.st_mode);
}

static int read_endpoint(lua_State *L, struct om_state *state, int anchors,
                         struct om_channel *channel) {
  static const char *const versions[] = {"1.1", "auto", "2", NULL};
  struct om_endpoint_options options = {.base_url = BASE_URL_DEFAULT};
  char sentence[256];
  int version = 0;
  int failed = push_token(L);
  int token_at = lua_gettop(L);
  options.token = failed ? NULL : lua_tostring(L, token_at);
  failed = failed ? failed : push_channel_id(L, state, token_at);
  if (!failed) {
    options.channel = lua_tostring(L, -1);
    lua_pushvalue(L, -1);
    lua_setfield(L, anchors, channel_id.name);
  }
  failed = failed ? failed : push_text_option(L, &base_url);
  if (!failed && !lua_isnil(L, -1)) {
    options.base_url = lua_tostring(L, -1);
  }
  failed = failed ? failed : push_text_option(L, &ca_file);
  if (!failed && lua_isnil(L, -1)) {
    lua_pushstring(L, ca_from_environment());
  }
  options.ca_file = failed ? NULL : lua_tostring(L, -1);
  failed = failed ? failed : push_text_option(L, &proxy);
  options.proxy = failed || lua_isnil(L, -1) ? NULL : lua_tostring(L, -1);
  failed = failed ? failed : read_connections(L, &options.max_connections);
  failed = failed ? failed
                  : read_seconds(L, &connect_timeout, CONNECT_TIMEOUT_DEFAULT_S,
                                 &options.connect_timeout_ms);
  failed = failed ? failed : read_word(L, &http, versions, "must be 1.1, auto or 2", &version);
  if (failed) {
    return failed;
  }
  if (options.ca_file != NULL && !is_readable_file(options.ca_file)) {
    return fail_file(L, &ca_file, options.ca_file);
  }
  channel->connect_timeout_ms = options.connect_timeout_ms;
  options.http_version = version == 0 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS;
  channel->endpoint = om_endpoint_new(&options, sentence, sizeof sentence);
  return channel->endpoint != NULL ? 0 : om_fail(L, "config", "invalid", "%s", sentence);
}

void om_options_check(lua_State *L, int index) {
  om_check_names(L, index, "onemsg.new", om_option_names);
}

int om_options_read(lua_State *L, struct om_state *state, int anchors, struct om_channel *channel) {
  int failed = read_defaults(L, anchors, channel);
  return failed ? failed : read_endpoint(L, state, anchors, channel);
}
