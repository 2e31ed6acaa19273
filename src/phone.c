/* phone.c: from what people paste to E.164 digits, or to the reason why not.
 *
 * One walk sorts every code point into digit, plus, bracket, skipped, refused; the digits then show
 * what kind of number it is. It knows the form of numbers, not the numbering plans: no length per
 * country, and no rewriting of Brazilian, Mexican or Argentinian mobiles, which WhatsApp does.
 *
 * Pure: no state, any thread.
 */
#include "phone.h"

#include <string.h>

#include "utf8.h"

/* Space while reading: "00" and a trunk 0 before the longest number, and one more to see "long". */
#define READ_DIGITS (OM_PHONE_MAX_DIGITS + 4)

struct range {
  uint32_t first, last;
};

/* Skipped wherever they stand. Sorted, as are all tables here. */
static const struct range skipped[] = {
    {0x0009, 0x0009}, {0x0020, 0x0020}, {0x002D, 0x002F}, /* tab, blank, - . / */
    {0x00A0, 0x00A0}, {0x00AD, 0x00AD},                   /* no-break space, soft hyphen */
    {0x061C, 0x061C}, {0x1680, 0x1680}, {0x180E, 0x180E}, /* Arabic mark, rare blanks */
    {0x2000, 0x2015}, /* typographic blanks, zero-width and direction marks, dashes */
    {0x202A, 0x202F}, /* embeddings and overrides, narrow no-break space */
    {0x205F, 0x206F}, /* mathematical space, word joiner, isolates */
    {0x2212, 0x2212}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}, /* minus, ideographic space, BOM */
};

/* The zero of every other set of ten decimal digits in Unicode 14 (category Nd). */
static const uint32_t zeros[] = {
    0x0660,  0x06F0,  0x07C0,  0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,  0x0BE6,  0x0C66,
    0x0CE6,  0x0D66,  0x0DE6,  0x0E50,  0x0ED0,  0x0F20,  0x1040,  0x1090,  0x17E0,  0x1810,
    0x1946,  0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,  0x1C50,  0xA620,  0xA8D0,
    0xA900,  0xA9D0,  0xA9F0,  0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950,
    0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
    0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
};
#define FULLWIDTH_PLUS 0xFF0B

/* Where the letters are, by block: it only chooses between two ways to say no. */
static const struct range letters[] = {
    {'A', 'Z'},         {'a', 'z'},         {0x00AA, 0x00AA},   {0x00B5, 0x00B5},
    {0x00BA, 0x00BA},   {0x00C0, 0x00D6},   {0x00D8, 0x00F6},   {0x00F8, 0x1FFF},
    {0x2C00, 0x2DFF},   {0x3005, 0x3007},   {0x3040, 0xD7FF},   {0xF900, 0xFDCF},
    {0xFE70, 0xFEFC},   {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0xFF66, 0xFFDC},
    {0x10000, 0x1CFFF}, {0x1D400, 0x1D7CB}, {0x1E000, 0x1EFFF}, {0x20000, 0x3FFFF},
};

/* Calling codes whose numbers keep a leading 0 when dialled from abroad: Italy, Ivory Coast, Benin,
 * Congo, San Marino. */
static const char *const keeps_zero[] = {"225", "229", "242", "378", "39"};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool within(uint32_t c, const struct range *table, size_t count) {
  for (size_t i = 0; i < count && c >= table[i].first; i++)
    if (c <= table[i].last)
      return true;
  return false;
}

static bool is_foreign_digit(uint32_t c) {
  for (size_t i = 0; i < COUNT(zeros) && c >= zeros[i]; i++)
    if (c - zeros[i] < 10)
      return true;
  return c == FULLWIDTH_PLUS;
}

static bool keeps(const char *code, size_t len) {
  for (size_t i = 0; i < COUNT(keeps_zero); i++)
    if (strlen(keeps_zero[i]) == len && memcmp(keeps_zero[i], code, len) == 0)
      return true;
  return false;
}

/* What has been read of a number. */
struct number {
  char digits[READ_DIGITS];
  size_t count; /* digits met; those beyond READ_DIGITS are counted, not kept */
  bool plus;    /* a "+" was met */
  bool open;    /* within a bracket that opened after bracket_at digits */
  size_t bracket_at;
};

/* A bracket closes. "(0)" behind a country code is the trunk prefix of national calls and goes; at
 * the front it is a national number's own; elsewhere nobody knows what it is. */
static enum om_phone_fault close_bracket(struct number *n) {
  bool lone_zero = n->open && n->count == n->bracket_at + 1 && n->bracket_at < READ_DIGITS &&
                   n->digits[n->bracket_at] == '0';
  n->open = false;
  if (!lone_zero || n->bracket_at == 0)
    return OM_PHONE_OK;
  bool zeros_first = n->bracket_at > 2 && memcmp(n->digits, "00", 2) == 0;
  size_t code_at = !n->plus && zeros_first ? 2 : 0, code_len = n->bracket_at - code_at;
  if ((!n->plus && !zeros_first) || code_len > OM_PHONE_COUNTRY_DIGITS ||
      n->digits[code_at] == '0' || keeps(n->digits + code_at, code_len))
    return OM_PHONE_ZERO;
  n->count = n->bracket_at;
  return OM_PHONE_OK;
}

static enum om_phone_fault take(struct number *n, uint32_t c) {
  if (c >= '0' && c <= '9') {
    if (n->count < READ_DIGITS)
      n->digits[n->count] = (char)c;
    n->count++;
  } else if (c == '+') {
    if (n->plus || n->count > 0)
      return OM_PHONE_PLUS;
    n->plus = true;
  } else if (c == '(') {
    n->open = true;
    n->bracket_at = n->count;
  } else if (c == ')') {
    return close_bracket(n);
  } else if (!within(c, skipped, COUNT(skipped))) {
    return is_foreign_digit(c)                  ? OM_PHONE_DIGITS
           : within(c, letters, COUNT(letters)) ? OM_PHONE_LETTER
                                                : OM_PHONE_CHARACTER;
  }
  return OM_PHONE_OK;
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* "12020721369.0" would pass for another, longer number. No one writes a lone digit as the last
 * group, so it is a float's text. */
static bool is_decimal(const char *text, size_t len) {
  while (len > 0 && text[len - 1] == ' ')
    len--;
  return len > 2 && is_digit(text[len - 1]) && text[len - 2] == '.' && is_digit(text[len - 3]);
}

static enum om_phone_fault read_number(const char *text, size_t len, struct number *n) {
  size_t used;
  uint32_t c;
  for (size_t at = 0; at < len; at += used) {
    used = om_utf8_decode(text + at, len - at, &c);
    if (used == 0)
      return OM_PHONE_UTF8;
    enum om_phone_fault fault = take(n, c);
    if (fault != OM_PHONE_OK)
      return fault;
  }
  if (n->count == 0)
    return OM_PHONE_EMPTY;
  return is_decimal(text, len) ? OM_PHONE_DECIMAL : OM_PHONE_OK;
}

bool om_phone_country(const char *text) {
  size_t len = strspn(text, "0123456789");
  return len >= 1 && len <= OM_PHONE_COUNTRY_DIGITS && text[len] == '\0' && text[0] != '0';
}

enum om_phone_fault om_phone_normalize(const char *text, size_t len, const char *country,
                                       char out[OM_PHONE_MAX_DIGITS + 1]) {
  struct number n = {.count = 0};
  size_t skip = 0, code_len = 0;
  out[0] = '\0';
  enum om_phone_fault fault = read_number(text, len, &n);
  if (fault != OM_PHONE_OK)
    return fault;
  if (!n.plus && n.count > 1 && memcmp(n.digits, "00", 2) == 0) {
    skip = 2;
  } else if (!n.plus && n.digits[0] == '0') {
    if (!country || !om_phone_country(country))
      return OM_PHONE_NATIONAL;
    code_len = strlen(country);
    skip = keeps(country, code_len) ? 0 : 1;
  }
  size_t total = n.count - skip + code_len;
  if (code_len == 0 && total > 0 && n.digits[skip] == '0')
    return OM_PHONE_ZERO;
  if (total < OM_PHONE_MIN_DIGITS)
    return OM_PHONE_SHORT;
  if (total > OM_PHONE_MAX_DIGITS)
    return OM_PHONE_LONG;
  if (code_len > 0)
    memcpy(out, country, code_len);
  memcpy(out + code_len, n.digits + skip, n.count - skip);
  out[total] = '\0';
  return OM_PHONE_OK;
}

const char *om_phone_explain(enum om_phone_fault fault) {
  switch (fault) {
  case OM_PHONE_OK:
    return "is fine";
  case OM_PHONE_EMPTY:
    return "has no digits: give the number in international form, such as +12020721369";
  case OM_PHONE_LETTER:
    return "has a letter: give digits only, without a name or an extension";
  case OM_PHONE_CHARACTER:
    return "has a character that no number has: give one number, digits only";
  case OM_PHONE_PLUS:
    return "has a + that is not at the front: give one number";
  case OM_PHONE_DIGITS:
    return "has digits of another script: write them as 0-9";
  case OM_PHONE_NATIONAL:
    return "begins with 0 and no country is set: give the international form, such as "
           "+12020721369, or set country";
  case OM_PHONE_ZERO:
    return "has a 0 where the country code begins, or a (0) that is not clear: give the "
           "international form without it";
  case OM_PHONE_DECIMAL:
    return "is a decimal or negative number, as spreadsheets make them: give its digits as text";
  case OM_PHONE_SHORT:
    return "is too short: 7 to 15 digits with the country code";
  case OM_PHONE_LONG:
    return "is too long: 7 to 15 digits with the country code, and one number only";
  case OM_PHONE_UTF8:
    return "is not valid UTF-8";
  }
  return "is not a phone number";
}
