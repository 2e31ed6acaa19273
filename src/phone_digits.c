/* phone_digits.c: see phone_digits.h. Tables of code points come from Unicode 14. */
#include "phone_digits.h"

#include <string.h>

#include "utf8.h"

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

/* A bracket closes. "(0)" behind a calling code is the trunk prefix of national calls; at the front
 * it is a national number's own; elsewhere nobody knows what it is. */
static enum om_phone_fault close_bracket(struct om_phone_digits *n) {
  bool lone_zero = n->open && n->count == n->bracket_at + 1 &&
                   n->bracket_at < OM_PHONE_READ_DIGITS && n->digits[n->bracket_at] == '0';
  n->open = false;
  if (!lone_zero || n->bracket_at == 0)
    return OM_PHONE_OK;
  if (n->zero_at != OM_PHONE_NO_ZERO)
    return OM_PHONE_ZERO;
  n->zero_at = n->bracket_at;
  return OM_PHONE_OK;
}

static bool is_blank(uint32_t c) {
  return c == ' ' || c == '\t' || c == 0xA0 || (c >= 0x2000 && c <= 0x200A) || c == 0x202F;
}

/* Slashes, and dashes between blanks, may part two numbers. */
static void note_split(struct om_phone_digits *n, uint32_t c) {
  bool blank = is_blank(c), dash = c == '-' || (c >= 0x2010 && c <= 0x2015) || c == 0x2212;
  uint32_t bit = n->count < OM_PHONE_READ_DIGITS ? UINT32_C(1) << n->count : 0;
  n->slashes |= c == '/' ? bit : 0;
  n->dashes |= blank && n->dash ? bit : 0;
  n->dash = dash && n->blank;
  n->blank = blank;
}

static enum om_phone_fault take(struct om_phone_digits *n, uint32_t c) {
  note_split(n, c);
  if (c >= '0' && c <= '9') {
    if (n->count < OM_PHONE_READ_DIGITS)
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

/* "-12020721369": a number's text, and no phone's. */
static bool is_negative(const char *text, size_t len) {
  size_t at = 0;
  while (at < len && text[at] == ' ')
    at++;
  return at + 1 < len && text[at] == '-' && is_digit(text[at + 1]);
}

/* How many bytes "tel:" of RFC 3966 takes at the front. */
static size_t scheme(const char *text, size_t len) {
  static const char word[] = "tel:";
  size_t at = 0, i = 0;
  while (at < len && text[at] == ' ')
    at++;
  while (word[i] != '\0' && at + i < len && (text[at + i] | 0x20) == (word[i] | 0x20))
    i++;
  return word[i] == '\0' ? at + i : 0;
}

enum om_phone_fault om_phone_digits_read(const char *text, size_t len, struct om_phone_digits *n) {
  size_t used;
  uint32_t c;
  memset(n, 0, sizeof *n);
  n->zero_at = OM_PHONE_NO_ZERO;
  for (size_t at = scheme(text, len); at < len; at += used) {
    used = om_utf8_decode(text + at, len - at, &c);
    if (used == 0)
      return OM_PHONE_UTF8;
    enum om_phone_fault fault = take(n, c);
    if (fault != OM_PHONE_OK)
      return fault;
  }
  if (n->count == 0)
    return OM_PHONE_EMPTY;
  if (n->count > OM_PHONE_READ_DIGITS)
    return OM_PHONE_LONG;
  return is_decimal(text, len) || is_negative(text, len) ? OM_PHONE_DECIMAL : OM_PHONE_OK;
}
