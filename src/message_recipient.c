/* message_recipient.c: whom a message is for (see message_component.h): a phone, a business-scoped
 * user id, a username or a chat id, exactly one of them. PLATFORM.md 1.4 and 5.4.
 */
#include "message_component.h"

#include <string.h>

#define BSUID_CHARS    128 /* after the country: PLATFORM.md 5.4 */
#define USERNAME_CHARS 64
#define CHAT_ID_CHARS  160
#define LID            "@lid"

#define UPPER   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LETTERS UPPER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

/* The country of a national number: the message's own, else the channel's. `false` says that the
 * number is international, whatever the channel's country. Pushes what keeps the text alive. */
static const char *read_country(struct om_build *b) {
  lua_State *L = b->L;
  int country = b->fields + OM_FIELD_COUNTRY;
  size_t len = 0;
  bool none = lua_type(L, country) == LUA_TBOOLEAN && !lua_toboolean(L, country);
  if (none || om_build_absent(L, country)) {
    lua_pushnil(L);
    return none ? NULL : b->defaults->country;
  }
  om_build_push_text(L, country, "country");
  const char *text = lua_tolstring(L, -1, &len);
  return len == 0 ? b->defaults->country : strlen(text) == len ? text : "?";
}

/* CC.<letters and digits>, or CC.ENT.<…> for the customer of a parent business. */
static bool is_bsuid(const struct om_piece *id) {
  size_t prefix = id->len > 7 && memcmp(id->at + 2, ".ENT.", 5) == 0 ? 7 : 3;
  return id->len > prefix && strspn(id->at, UPPER) == 2 && id->at[2] == '.' &&
         id->len - prefix <= BSUID_CHARS &&
         strspn(id->at + prefix, LETTERS DIGITS) == id->len - prefix;
}

static int read_phone(struct om_build *b) {
  lua_State *L = b->L;
  int phone = b->fields + OM_FIELD_PHONE;
  if (lua_type(L, phone) != LUA_TNUMBER) {
    size_t len = 0;
    om_build_push_text(L, phone, "phone");
    const char *text = lua_tolstring(L, -1, &len);
    if (om_is_placeholder(text, len)) {
      return om_build_fail(L, "phone", "is still the placeholder of the sample");
    }
    if (is_bsuid(&(struct om_piece){text, len})) {
      return om_build_fail(L, "phone", "is a business-scoped user id; give it as bsuid");
    }
    lua_pop(L, 1);
  }
  const char *country = read_country(b);
  enum om_phone_fault fault = om_to_phone(L, phone, country, b->message->phone);
  if (fault != OM_PHONE_OK) {
    return om_build_fail(L, "phone", om_phone_explain(fault));
  }
  lua_pop(L, 1);
  return 0;
}

/* Each judges a text of its kind and may change it to the form that is sent; NULL, or what is wrong
 * with it. */
static const char *bsuid_fault(struct om_message *m) {
  return is_bsuid(&m->address) ? NULL
                               : "is no business-scoped user id; it looks like "
                                 "BR.13491208655302741918";
}

static const char *username_fault(struct om_message *m) {
  if (m->address.len > 0 && m->address.at[0] == '@') { /* as people write it */
    m->address.at++;
    m->address.len--;
  }
  size_t len = m->address.len;
  return len > 0 && len <= USERNAME_CHARS && strspn(m->address.at, LETTERS DIGITS "._") == len
             ? NULL
             : "is no username; it has letters, digits, dots and underscores only";
}

/* Messages to <bsuid>@lid fail at 1MSG, those to the bsuid arrive: PLATFORM.md 5.4. */
static const char *lid_fault(struct om_message *m) {
  m->address.len -= strlen(LID);
  m->recipient = OM_TO_BSUID;
  return is_bsuid(&m->address)
             ? NULL
             : "ends in @lid, which messages can't be sent to; give the customer's bsuid or phone";
}

static const char *chat_id_fault(struct om_message *m) {
  struct om_piece id = m->address;
  bool good = id.len > 1 && id.len <= CHAT_ID_CHARS && memchr(id.at, '@', id.len) != NULL;
  for (size_t i = 0; good && i < id.len; i++) {
    good = id.at[i] > ' ' && id.at[i] < 0x7f && id.at[i] != '"' && id.at[i] != '\\';
  }
  if (!good) {
    return "must look like 12020721369@c.us, or be an @username";
  }
  bool lid = id.len > strlen(LID) && memcmp(id.at + id.len - strlen(LID), LID, strlen(LID)) == 0;
  return lid ? lid_fault(m) : NULL;
}

static int read_address(struct om_build *b, enum om_recipient kind) {
  static const char *(*const fault_of[])(struct om_message *) = {NULL, bsuid_fault, username_fault,
                                                                 chat_id_fault};
  lua_State *L = b->L;
  int field = b->fields + OM_FIELD_PHONE + (int)kind;
  const char *name = om_field_names[OM_FIELD_PHONE + kind];
  struct om_piece *address = &b->message->address;
  if (lua_type(L, field) != LUA_TSTRING) {
    om_raise(L, "%s must be a text, and is a %s", name, luaL_typename(L, field));
  }
  address->at = lua_tolstring(L, field, &address->len);
  b->message->recipient = kind;
  const char *fault = fault_of[kind](b->message);
  return fault != NULL ? om_build_fail(L, name, fault) : 0;
}

int om_message_recipient(struct om_build *b) {
  int found = -1;
  for (int kind = OM_TO_PHONE; kind <= OM_TO_CHAT_ID; kind++) {
    if (om_build_absent(b->L, b->fields + OM_FIELD_PHONE + kind)) {
      continue;
    }
    if (found >= 0) {
      return om_fail(b->L, "invalid", NULL, "%s and %s are both set; a message has one recipient",
                     om_field_names[OM_FIELD_PHONE + found], om_field_names[OM_FIELD_PHONE + kind]);
    }
    found = kind;
  }
  if (found < 0) {
    return om_fail(b->L, "invalid", NULL,
                   "phone is missing; give the number in international form");
  }
  return found == OM_TO_PHONE ? read_phone(b) : read_address(b, (enum om_recipient)found);
}
