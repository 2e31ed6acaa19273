/* message_build.c: a message that was read, as the body of sendTemplate and as channel:check shows
 * it (see message.h). The wire format is the sample program's of the use case, field for field.
 */
#include "message_component.h"

#include <string.h>

static void put_piece(struct om_json *json, const char *key, struct om_piece piece) {
  om_json_put(json, key);
  om_json_text(json, piece.at, piece.len);
}

/* { "type": type, type: text } */
static void put_typed(struct om_json *json, const char *type, struct om_piece text) {
  om_json_put(json, "{\"type\":\"");
  om_json_put(json, type);
  om_json_put(json, "\",\"");
  om_json_put(json, type);
  put_piece(json, "\":", text);
}

static void put_parameter(struct om_json *json, const struct om_parameter *parameter) {
  if (parameter->ready) {
    om_json_raw(json, parameter->text.at, parameter->text.len);
    return;
  }
  put_typed(json, "text", parameter->text);
  if (parameter->name.at != NULL) {
    put_piece(json, ",\"parameter_name\":", parameter->name);
  }
  om_json_put(json, "}");
}

/* A component of type "header" or "body". */
static void put_component(struct om_json *json, const char *type,
                          const struct om_parameter *parameters, int count) {
  om_json_put(json, "{\"type\":\"");
  om_json_put(json, type);
  om_json_put(json, "\",\"parameters\":[");
  for (int i = 0; i < count; i++) {
    om_json_put(json, i > 0 ? "," : "");
    put_parameter(json, &parameters[i]);
  }
  om_json_put(json, "]}");
}

static void put_button(struct om_json *json, const struct om_button *button) {
  put_piece(json, "{\"type\":\"button\",\"sub_type\":", button->sub_type);
  om_json_put(json, ",\"index\":");
  om_json_whole(json, button->index);
  om_json_put(json, ",\"parameters\":");
  if (button->type != NULL) {
    om_json_put(json, "[");
    put_typed(json, button->type, button->text);
    om_json_put(json, "}]}");
  } else {
    om_json_raw(json, button->text.at, button->text.len);
    om_json_put(json, "}");
  }
}

/* "params": a message without components has none. */
static void put_components(struct om_json *json, const struct om_message *message) {
  const char *before = ",\"params\":[";
  if (message->header.text.at != NULL) {
    om_json_put(json, before);
    put_component(json, "header", &message->header, 1);
    before = ",";
  }
  if (message->body_count > 0) {
    om_json_put(json, before);
    put_component(json, "body", message->body, message->body_count);
    before = ",";
  }
  for (int i = 0; i < message->button_count; i++) {
    om_json_put(json, before);
    put_button(json, &message->buttons[i]);
    before = ",";
  }
  om_json_put(json, before[1] == '\0' ? "]" : "");
}

static struct om_piece address_of(const struct om_message *message) {
  return message->recipient == OM_TO_PHONE
             ? (struct om_piece){message->phone, strlen(message->phone)}
             : message->address;
}

bool om_message_write(const struct om_message *message, struct om_json *json) {
  static const char *const keys[] = {
      "{\"phone\":", "{\"bsuid\":", "{\"username\":", "{\"chatId\":"}; /* as om_recipient */
  put_piece(json, keys[message->recipient], address_of(message));
  put_piece(json, ",\"template\":", message->template_name);
  put_piece(json, ",\"namespace\":", message->name_space);
  put_piece(json, ",\"language\":{\"policy\":\"deterministic\",\"code\":", message->language);
  om_json_put(json, "}");
  if (message->ttl_s != 0) {
    om_json_put(json, ",\"messageSendTtlSeconds\":");
    om_json_whole(json, message->ttl_s);
  }
  put_components(json, message);
  om_json_put(json, "}");
  return !json->failed;
}

/* ---- for people ---- */

static void set_piece(lua_State *L, int table, const char *key, struct om_piece piece) {
  lua_pushlstring(L, piece.at, piece.len);
  lua_setfield(L, table, key);
}

void om_message_push(lua_State *L, const struct om_message *message) {
  lua_createtable(L, 0, 8);
  int table = lua_gettop(L);
  set_piece(L, table, om_field_names[OM_FIELD_PHONE + message->recipient], address_of(message));
  set_piece(L, table, "template", message->template_name);
  set_piece(L, table, "namespace", message->name_space);
  set_piece(L, table, "language", message->language);
  if (message->ttl_s != 0) {
    lua_pushinteger(L, message->ttl_s);
    lua_setfield(L, table, "ttl");
  }
  lua_createtable(L, message->body_count, 0); /* false for a value that is no text */
  for (int i = 0; i < message->body_count; i++) {
    const struct om_parameter *value = &message->body[i];
    if (value->ready) {
      lua_pushboolean(L, 0);
    } else {
      lua_pushlstring(L, value->text.at, value->text.len);
    }
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, table, "body");
  lua_pushvalue(L, message->changes);
  lua_setfield(L, table, "changes");
}
