/* operation.c: see operation.h. One function an operation: arguments to method, path and body. */
#include "operation.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_MAX_BYTES   512 /* message ids have about 60 */
#define PATH_MAX_BYTES OM_URL_MAX_BYTES
#define ARGUMENTS_MAX  3 /* of an operation: request(method, path, body) */

static const struct om_work send_work = {"send", om_transfer_submit, om_transfer_cancel,
                                         om_answer_send};
static const struct om_work read_work = {"request", om_transfer_submit, om_transfer_cancel,
                                         om_answer_read};
static const struct om_work request_work = {"request", om_transfer_submit, om_transfer_cancel,
                                            om_answer_request};
static const struct om_work hooks_work = {"hookInfo", om_transfer_submit, om_transfer_cancel,
                                          om_answer_hooks};
static const struct om_work webhook_work = {"webhook", om_transfer_submit, om_transfer_cancel,
                                            om_answer_webhook};

/* ---- pieces ---- */

/* A GET of this path, a literal. */
static int get(lua_State *L, const char *path, struct om_request *request) {
  lua_pushstring(L, path);
  request->method = "GET";
  request->path = lua_gettop(L);
  return 0;
}

/* The table on top becomes the body of a POST to this path, a literal. */
static int post(lua_State *L, struct om_state *state, const char *path,
                struct om_request *request) {
  int failed = om_message_encode(L, state->encode);
  if (failed != 0) {
    return failed;
  }
  request->method = "POST";
  request->body = lua_gettop(L);
  lua_pushstring(L, path);
  request->path = request->body + 1;
  return 0;
}

/* Appends text, percent-encoded, to the string on top of the stack. */
static void append_escaped(lua_State *L, const char *text, size_t len) {
  char *escaped = curl_easy_escape(NULL, text, (int)len);
  if (escaped == NULL) {
    om_raise(L, "not enough memory");
  }
  /* three bytes at most for one: within what a caller of ours may pass */
  char copy[ID_MAX_BYTES * 3 + 1];
  snprintf(copy, sizeof copy, "%s", escaped);
  curl_free(escaped);
  lua_pushstring(L, copy);
  lua_concat(L, 2);
}

/* ---- operations ---- */

static int build_send(lua_State *L, struct om_state *state, const struct om_channel *channel,
                      int first, struct om_request *request) {
  int failed = om_message_read(L, first, &channel->defaults, state->encode, &request->message);
  if (failed != 0) {
    if (channel->endpoint != NULL) {
      channel->endpoint->statistics.counts[OM_COUNT_INVALID]++;
    }
    return failed;
  }
  request->method = "POST";
  request->is_message = true;
  request->note = lua_istable(L, request->message.changes) ? request->message.changes : 0;
  return 0;
}

static int build_hook_info(lua_State *L, struct om_state *state, const struct om_channel *channel,
                           int first, struct om_request *request) {
  size_t len = 0;
  (void)state;
  (void)channel;
  if (lua_type(L, first) != LUA_TSTRING) {
    om_raise(L, "hookInfo takes a message id (receipt.id), and got a %s", luaL_typename(L, first));
  }
  const char *id = lua_tolstring(L, first, &len);
  if (len == 0 || len > ID_MAX_BYTES || strlen(id) != len) {
    return om_fail(L, "invalid", NULL,
                   "a message id has 1 to %d characters and no NUL; give receipt.id as it came",
                   ID_MAX_BYTES);
  }
  get(L, "hookInfo?messageId=", request);
  append_escaped(L, id, len);
  lua_createtable(L, 0, 1);
  request->note = lua_gettop(L);
  lua_pushvalue(L, first);
  lua_setfield(L, -2, "id");
  return 0;
}

static int build_status(lua_State *L, struct om_state *state, const struct om_channel *channel,
                        int first, struct om_request *request) {
  (void)state;
  (void)channel;
  (void)first;
  return get(L, "status", request);
}

/* settings() reads; settings{ ackNotificationsOn = true } changes what it names. */
static int build_settings(lua_State *L, struct om_state *state, const struct om_channel *channel,
                          int first, struct om_request *request) {
  (void)channel;
  if (lua_isnoneornil(L, first)) {
    return get(L, "settings", request);
  }
  if (!lua_istable(L, first)) {
    om_raise(L, "settings takes a table of what to change, or nothing to read, and got a %s",
             luaL_typename(L, first));
  }
  lua_pushnil(L);
  if (lua_next(L, first) == 0) {
    return om_fail(L, "invalid", NULL,
                   "settings has nothing to change; call it without a table to "
                   "read");
  }
  lua_pop(L, 2);
  lua_pushvalue(L, first);
  return post(L, state, "settings", request);
}

/* messages{ chatId =, min_time =, … }: the API's own names. */
static int build_messages(lua_State *L, struct om_state *state, const struct om_channel *channel,
                          int first, struct om_request *request) {
  static const char *const names[] = {"last",   "lastMessageNumber", "firstMessageNumber", "limit",
                                      "chatId", "min_time",          "max_time",           "msgId",
                                      NULL};
  char number[40];
  const char *mark = "?";
  (void)state;
  (void)channel;
  if (lua_isnoneornil(L, first)) {
    return get(L, "messages", request);
  }
  if (!lua_istable(L, first)) {
    om_raise(L, "messages takes a table like { chatId = …, limit = 10 }, and got a %s",
             luaL_typename(L, first));
  }
  om_check_names(L, first, "messages", names);
  get(L, "messages", request);
  for (int i = 0; names[i] != NULL; i++) {
    size_t len = 0;
    lua_getfield(L, first, names[i]);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      continue;
    }
    if (lua_type(L, -1) == LUA_TNUMBER) {
      snprintf(number, sizeof number, "%.0f", (double)om_check_whole(L, -1, names[i], 0, 1e15));
      lua_pushstring(L, number);
      lua_replace(L, -2);
    }
    const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (value == NULL || len == 0 || len > ID_MAX_BYTES) {
      om_raise(L, "messages: %s must be a whole number or a text of 1 to %d characters", names[i],
               ID_MAX_BYTES);
    }
    lua_insert(L, -2); /* value, path */
    lua_pushstring(L, mark);
    lua_pushstring(L, names[i]);
    lua_pushliteral(L, "=");
    lua_concat(L, 4);
    append_escaped(L, value, len);
    lua_remove(L, -2);
    mark = "&";
  }
  return 0;
}

static int build_webhook(lua_State *L, struct om_state *state, const struct om_channel *channel,
                         int first, struct om_request *request) {
  (void)state;
  (void)channel;
  (void)first;
  return get(L, "webhook", request);
}

/* setWebhook(list [, before]): replaces the whole list. What may stand in one, and how it is
 * written, is onemsg.webhook's to say. */
static int build_set_webhook(lua_State *L, struct om_state *state, const struct om_channel *channel,
                             int first, struct om_request *request) {
  char path[sizeof "settings"];
  (void)channel;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "onemsg.webhook");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "written");
  lua_pushvalue(L, first);
  lua_pushvalue(L, first + 1);
  lua_call(L, 2, 2); /* the body, the path | nil, what is wrong */
  if (lua_isnil(L, -2)) {
    return om_fail(L, "invalid", NULL, "%s", lua_tostring(L, -1));
  }
  snprintf(path, sizeof path, "%s", lua_tostring(L, -1));
  lua_pop(L, 1);
  return post(L, state, path, request);
}

/* What is wrong with a path for request, or NULL. It is appended to the base: it can neither leave
 * the host nor, without "..", the channel. */
static const char *path_fault(const struct om_channel *channel, const char *path, size_t len) {
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~!$&'()*+,;=:@%/?";
  if (len == 0 || len > PATH_MAX_BYTES || strspn(path, allowed) != len) {
    return "must be like templates?limit=10, percent-encoded";
  }
  if (path[0] == '/' || strstr(path, "..") != NULL || strstr(path, "//") != NULL ||
      strstr(path, "%2e") != NULL || strstr(path, "%2E") != NULL) {
    return "must stay within the channel: no .. and no //, and no dot as %2E";
  }
  if (strstr(path, channel->endpoint->token) != NULL || strstr(path, "token=") != NULL) {
    return "must not carry a token: it goes into a header, not into a URL";
  }
  return NULL;
}

/* request(method, path [, body]). lua-cjson writes 14 digits of a number: longer ones as texts. */
static int build_request(lua_State *L, struct om_state *state, const struct om_channel *channel,
                         int first, struct om_request *request) {
  static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
  size_t len = 0;
  int known = 0;
  const char *method = lua_type(L, first) == LUA_TSTRING ? lua_tostring(L, first) : "";
  while (methods[known] != NULL && strcmp(methods[known], method) != 0) {
    known++;
  }
  if (methods[known] == NULL) {
    om_raise(L, "request takes \"GET\", \"POST\", \"PUT\", \"PATCH\" or \"DELETE\" first");
  }
  if (lua_type(L, first + 1) != LUA_TSTRING) {
    om_raise(L, "request takes a path second, and got a %s", luaL_typename(L, first + 1));
  }
  const char *path = lua_tolstring(L, first + 1, &len);
  if (path[0] == '/') {
    path++;
    len--;
  }
  int failed = om_operation_check_open(L, state, channel);
  if (failed != 0) {
    return failed; /* closed meanwhile: there is no token to look for */
  }
  const char *fault = path_fault(channel, path, len);
  if (fault != NULL) {
    return om_fail(L, "invalid", NULL, "the path %s", fault);
  }
  if (!lua_isnoneornil(L, first + 2) && !lua_istable(L, first + 2)) {
    om_raise(L, "request takes a table as body third, and got a %s", luaL_typename(L, first + 2));
  }
  if (lua_istable(L, first + 2) && known == 0) {
    om_raise(L, "a GET has no body; put the values into the path");
  }
  if (known != 0 && known != 4 && !lua_istable(L, first + 2)) {
    om_raise(L, "request takes a table as body for %s", method);
  }
  request->method = methods[known];
  lua_pushstring(L, path);
  request->path = lua_gettop(L);
  if (!lua_istable(L, first + 2)) {
    return 0;
  }
  lua_pushvalue(L, first + 2);
  request->body = request->path + 1;
  return om_message_encode(L, state->encode);
}

const struct om_operation om_operations[] = {
    {"send", build_send, &send_work},
    {"hookInfo", build_hook_info, &hooks_work},
    {"status", build_status, &read_work},
    {"settings", build_settings, &read_work},
    {"messages", build_messages, &read_work},
    {"webhook", build_webhook, &webhook_work},
    {"setWebhook", build_set_webhook, &read_work},
    {"request", build_request, &request_work},
    {NULL, NULL, NULL},
};

/* ---- beginning ---- */

int om_operation_check_open(lua_State *L, const struct om_state *state,
                            const struct om_channel *channel) {
  if (channel->endpoint == NULL) {
    return om_fail(L, "closed", "not_sent",
                   "this channel was closed; make a new one with onemsg.new");
  }
  if (channel->used_by != 0 && channel->used_by != om_process()) {
    return om_fail(L, "closed", "not_sent",
                   "this channel was in use before the process forked; make a new one with "
                   "onemsg.new");
  }
  if (state->ended) {
    return om_fail(L, "closed", "not_sent", "the Lua state is ending; nothing can begin in it");
  }
  return 0;
}

/* "base/path", malloced; NULL: no memory. */
static char *join_url(const char *base, const char *path, size_t path_len) {
  size_t base_len = strlen(base);
  char *url = malloc(base_len + path_len + 2);
  if (url != NULL) {
    memcpy(url, base, base_len);
    url[base_len] = '/';
    memcpy(url + base_len + 1, path, path_len + 1);
  }
  return url;
}

/* The body, malloced, in an empty *body. False: no memory. */
static bool write_body(lua_State *L, const struct om_request *request, struct om_json *body) {
  if (request->is_message) {
    return om_message_write(&request->message, body);
  }
  if (request->body != 0) {
    size_t len = 0;
    const char *bytes = lua_tolstring(L, request->body, &len);
    om_json_raw(body, bytes, len);
  }
  return !body->failed;
}

/* The transfer that was asked for; NULL: no memory. Runs no Lua: the channel, which was open a
 * moment ago, still is. */
static struct om_transfer *make_transfer(lua_State *L, struct om_state *state,
                                         const struct om_channel *channel,
                                         const struct om_request *request) {
  size_t path_len = 0;
  struct om_json body = {NULL, 0, 0, false};
  char *url = NULL;
  struct om_port *port = om_state_port(state);
  if (request->path != 0) {
    const char *path = lua_tolstring(L, request->path, &path_len);
    url = join_url(channel->endpoint->base, path, path_len);
  }
  bool whole = write_body(L, request, &body) && port != NULL;
  if (!whole || (request->path != 0 && url == NULL)) {
    free(url);
    free(body.at);
    return NULL;
  }
  return om_transfer_new(port, channel->endpoint, request->method, url, body.at, body.len,
                         channel->timeout_ms);
}

int om_operation_begin(lua_State *L, struct om_state *state, struct om_channel *channel,
                       const struct om_operation *operation, int first, int group, bool track,
                       const struct om_fence *fence) {
  struct om_request request;
  memset(&request, 0, offsetof(struct om_request, message));
  luaL_checkstack(L, 20, NULL);
  int failed = om_operation_check_open(L, state, channel);
  if (failed != 0) {
    return failed;
  }
  if (lua_gettop(L) < first + ARGUMENTS_MAX - 1) {
    lua_settop(L, first + ARGUMENTS_MAX - 1); /* so that no argument is mistaken for a temporary */
  }
  om_pending_new(L, state);
  int pending = lua_gettop(L);
  failed = operation->build(L, state, channel, first, &request);
  if (failed != 0) {
    return failed;
  }
  om_pending_keep(L, pending, request.note, group);
  failed = om_operation_check_open(L, state, channel); /* Lua ran in between */
  if (failed != 0) {
    return failed;
  }
  struct om_transfer *transfer = make_transfer(L, state, channel, &request);
  if (transfer == NULL) {
    return om_fail(L, "not_sent", NULL, "out of memory");
  }
  if (fence != NULL) {
    transfer->fence = *fence;
  }
  failed = om_pending_start(L, state, pending, operation->work, &transfer->job, track);
  if (failed != 0) {
    return failed;
  }
  channel->used_by = om_process();
  lua_settop(L, pending);
  return 0;
}
