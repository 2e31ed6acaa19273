/* phone_key.c: when two numbers are one person's; see phone.h. Pure. */
#include "phone.h"

#include <string.h>

/* Where WhatsApp and people spell one number in two ways (PLATFORM.md 5.4): the calling code, how
 * many digits the shorter way has with it, where the longer one has more, which ones, and the
 * digits that may follow them. */
struct double_spelling {
  const char *code;
  size_t len, at;
  const char *more; /* NULL: see ivorian */
  const char *followed_by;
};
static const struct double_spelling doubles[] = {
    {"52", 12, 2, "1", "23456789"},     /* Mexico: mobiles */
    {"54", 12, 2, "9", "123"},          /* Argentina: mobiles */
    {"55", 12, 4, "9", "016789"},       /* Brazil: mobiles; with 2 to 5 it is a line */
    {"225", 11, 3, NULL, "0123456789"}, /* Ivory Coast: ten digits since 2021 */
    {"229", 11, 3, "01", "23456789"},   /* Benin: ten digits since 2024 */
};

static const struct double_spelling *double_of(const char *digits) {
  for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
    if (strncmp(digits, doubles[i].code, strlen(doubles[i].code)) == 0)
      return &doubles[i];
  return NULL;
}

/* The two digits that stand before eight of Ivory Coast, by operator: which one it is, the second
 * of the eight tells for mobiles, the third for lines. */
static const char *ivorian(const char *eight) {
  if (eight[0] == '2' || eight[0] == '3')
    return eight[2] == '8' ? "21" : eight[2] == '0' ? "25" : "27";
  return eight[1] < '4' ? "01" : eight[1] < '7' ? "05" : "07";
}

bool om_phone_longer(const char *digits, char out[OM_PHONE_MAX_DIGITS + 1]) {
  const struct double_spelling *way = double_of(digits);
  if (way == NULL || strlen(digits) != way->len ||
      strchr(way->followed_by, digits[way->at]) == NULL)
    return false;
  const char *more = way->more != NULL ? way->more : ivorian(digits + way->at);
  size_t len = strlen(more);
  memcpy(out, digits, way->at);
  memcpy(out + way->at, more, len);
  memcpy(out + way->at + len, digits + way->at, way->len - way->at + 1);
  return true;
}

/* Makes the shorter spelling of the longer one. */
static void shorten(char digits[OM_PHONE_MAX_DIGITS + 1]) {
  const struct double_spelling *way = double_of(digits);
  size_t len = strlen(digits);
  char shorter[OM_PHONE_MAX_DIGITS + 1], longer[OM_PHONE_MAX_DIGITS + 1];
  if (way == NULL || len <= way->len)
    return;
  memcpy(shorter, digits, way->at);
  memcpy(shorter + way->at, digits + way->at + len - way->len, way->len - way->at + 1);
  if (om_phone_longer(shorter, longer) && strcmp(longer, digits) == 0)
    memcpy(digits, shorter, way->len + 1);
}

bool om_phone_key(const char *text, size_t len, char out[OM_PHONE_MAX_DIGITS + 1]) {
  if (om_phone_normalize(text, len, NULL, out) != OM_PHONE_OK) {
    if (len < OM_PHONE_MIN_DIGITS || len > OM_PHONE_MAX_DIGITS)
      return false;
    for (size_t i = 0; i < len; i++)
      if (text[i] < '0' || text[i] > '9')
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
  }
  shorten(out);
  return true;
}
