/* phone.c: from what people paste to E.164 digits, or to the reason why not.
 *
 * phone_digits.c sorts out what was written. The digits are then read in every way that the
 * numbering plans allow: as a foreign number behind an exit code, as a national one with or without
 * its trunk prefix, as one behind a calling code. A way counts when its number has a length that
 * numbers of that calling code have, and counts more when it has it behind that first digit. Two
 * numbers that count the same are a guess, and refused. Which ranges are assigned is not asked:
 * they change every month, and a table that is a year old would refuse people.
 *
 * Pure: no state, any thread.
 */
#include "phone.h"

#include <stdlib.h>
#include <string.h>

#include "phone_digits.h"

/* One numbering plan, and the name of a country that has it. */
struct plan {
  const char code[OM_PHONE_COUNTRY_DIGITS + 1];
  const char *trunks, *exits; /* prefixes, between blanks; see the table */
  uint16_t fits[10];
};
struct country_name {
  const char iso[3], code[OM_PHONE_COUNTRY_DIGITS + 1];
};
#include "phone_table.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- numbering plans ---- */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static const struct plan *plan_of(const char *digits, size_t count) {
  for (size_t i = 0; i < COUNT(plans); i++) {
    size_t len = strlen(plans[i].code);
    if (count >= len && memcmp(plans[i].code, digits, len) == 0)
      return &plans[i]; /* no code begins with another */
  }
  return NULL;
}

/* The digits that the first prefix of a list takes away from the front, 0: it is not there. */
static size_t matches(const char *prefix, const char *digits, size_t count) {
  size_t i = 0;
  while (is_digit(prefix[i]) || prefix[i] == '.') {
    if (i >= count || (prefix[i] != '.' && prefix[i] != digits[i]))
      return 0;
    i++;
  }
  if (prefix[i] == '>' && count - i < (size_t)strtoul(prefix + i + 1, NULL, 10))
    return 0;
  return i;
}

static const char *next(const char *prefix) {
  prefix += strcspn(prefix, " ");
  return *prefix == ' ' ? prefix + 1 : prefix;
}

/* How well digits are a number of a plan: by length behind that first digit; by length alone, if no
 * trunk prefix or 0 stands first. */
enum fit { FIT_NONE, FIT_LENGTH, FIT_BOTH };

static enum fit fit(const struct plan *plan, const char *digits, size_t count) {
  unsigned any = 0, bit = count < 16 ? 1u << count : 0;
  if (count == 0)
    return FIT_NONE;
  if ((plan->fits[digits[0] - '0'] & bit) != 0)
    return FIT_BOTH;
  for (const char *prefix = plan->trunks; *prefix != '\0'; prefix = next(prefix))
    if (matches(prefix, digits, count) != 0)
      return FIT_NONE;
  for (size_t i = 0; i < COUNT(plan->fits); i++)
    any |= plan->fits[i];
  return (any & bit) != 0 && digits[0] != '0' ? FIT_LENGTH : FIT_NONE;
}

/* ---- ways to read ---- */

/* The best number so far. */
struct found {
  char digits[OM_PHONE_MAX_DIGITS + 1];
  enum fit fit;
  bool two;      /* another one is as good */
  bool no_code;  /* a way failed because no calling code begins so */
  bool bad_zero; /* … because a 0 stands where none can */
};

static void consider(struct found *f, const struct plan *plan, const char *digits, size_t count,
                     enum fit how) {
  size_t code_len = strlen(plan->code), total = code_len + count;
  if (how == FIT_NONE || how < f->fit || total < OM_PHONE_MIN_DIGITS || total > OM_PHONE_MAX_DIGITS)
    return;
  char all[OM_PHONE_MAX_DIGITS + 1];
  memcpy(all, plan->code, code_len);
  memcpy(all + code_len, digits, count);
  all[total] = '\0';
  f->two = how == f->fit && (f->two || strcmp(all, f->digits) != 0);
  f->fit = how;
  memcpy(f->digits, all, sizeof all);
}

/* Argentina: a mobile is area code and number behind 9 from abroad, with 15 in between from
 * within. Area codes are 11, or three or four digits from 2 or 3 on. True: it was one. */
static bool from_argentina(struct found *f, const struct plan *plan, const char *digits,
                           size_t count) {
  char mobile[11] = "9";
  if (strcmp(plan->code, "54") != 0)
    return false;
  if (count >= 2 && memcmp(digits, "15", 2) == 0)
    return true; /* without an area code */
  if (count != 12)
    return false;
  size_t area = memcmp(digits, "11", 2) == 0 ? 2 : digits[0] != '2' && digits[0] != '3' ? 0 : 3;
  if (area == 3 && memcmp(digits + 3, "15", 2) != 0)
    area = 4;
  if (area == 0 || memcmp(digits + area, "15", 2) != 0)
    return false;
  memcpy(mobile + 1, digits, area);
  memcpy(mobile + 1 + area, digits + area + 2, 10 - area);
  consider(f, plan, mobile, sizeof mobile, FIT_BOTH);
  return true;
}

/* Digits behind a calling code or in a country: as they stand, and without what is dialled before
 * them. Of several such prefixes the shortest that leaves a number is meant. */
static void read_plan(struct found *f, const struct plan *plan, const char *digits, size_t count) {
  if (from_argentina(f, plan, digits, count))
    return;
  enum fit plain = fit(plan, digits, count), best = FIT_NONE;
  const char *rest = digits;
  for (const char *prefix = plan->trunks; *prefix != '\0' && best != FIT_BOTH;
       prefix = next(prefix)) {
    size_t len = matches(prefix, digits, count);
    if (len == 0)
      continue;
    if (from_argentina(f, plan, digits + len, count - len))
      return;
    enum fit how = fit(plan, digits + len, count - len);
    if (how > best) {
      best = how;
      rest = digits + len;
    }
  }
  consider(f, plan, rest, count - (size_t)(rest - digits), best);
  consider(f, plan, digits, count, plain);
  f->bad_zero |= plain == FIT_NONE && best == FIT_NONE && count > 0 && digits[0] == '0';
}

/* Digits that begin with a calling code; zero_at as in struct om_phone_digits, from here. */
static void read_foreign(struct found *f, const char *digits, size_t count, size_t zero_at) {
  const struct plan *plan = plan_of(digits, count);
  if (plan == NULL) {
    f->no_code |= count > 0 && digits[0] != '0';
    f->bad_zero |= count > 0 && digits[0] == '0';
    return;
  }
  size_t len = strlen(plan->code);
  digits += len;
  count -= len;
  if (zero_at == OM_PHONE_NO_ZERO) {
    read_plan(f, plan, digits, count);
  } else if (zero_at != len || count < 2) {
    f->bad_zero = true;
  } else {
    read_plan(f, plan, digits + 1, count - 1);
    /* Italy's numbers keep their 0; in brackets it may be one, or somebody's habit. */
    bool two = f->fit == FIT_BOTH || plan->fits[digits[1] - '0'] != 0;
    if (fit(plan, digits, count) == FIT_BOTH) {
      consider(f, plan, digits, count, FIT_BOTH);
      f->two |= two;
    }
  }
}

static void read_behind(struct found *f, const struct om_phone_digits *n, size_t skip) {
  size_t zero_at = n->zero_at == OM_PHONE_NO_ZERO ? OM_PHONE_NO_ZERO
                   : n->zero_at < skip            ? 0
                                                  : n->zero_at - skip;
  read_foreign(f, n->digits + skip, n->count - skip, zero_at);
}

/* What stands for "+": the country's own exit codes, and 00, which people write wherever they are.
 * Where an exit code begins with 00 itself, 001 in Korea, 00 is another way to read the digits, but
 * not one to send by, since it makes numbers of what the code leaves without one; but for numbers
 * of the country itself. True: an exit code was there. */
static bool read_exits(struct found *f, const struct plan *home, const struct om_phone_digits *n) {
  bool any = false;
  for (const char *prefix = home->exits; *prefix != '\0'; prefix = next(prefix)) {
    size_t len = matches(prefix, n->digits, n->count);
    if (len > 0 && plan_of(n->digits + len, n->count - len) != NULL) {
      any = true;
      read_behind(f, n, len);
    }
  }
  if (matches("00", n->digits, n->count) == 0)
    return any;
  const struct plan *plan = plan_of(n->digits + 2, n->count - 2);
  if (!any || plan == home) {
    read_behind(f, n, 2);
  } else if (plan != NULL && f->fit != FIT_NONE) {
    size_t skip = 2 + strlen(plan->code);
    consider(f, plan, n->digits + skip, n->count - skip,
             fit(plan, n->digits + skip, n->count - skip) == FIT_BOTH ? f->fit : FIT_NONE);
  }
  return true;
}

/* Digits as they are written in a country: a number of it, or a foreign one behind an exit code. */
static void read_home(struct found *f, const struct plan *home, const struct om_phone_digits *n) {
  struct found own = {.fit = FIT_NONE};
  size_t code_len = strlen(home->code);
  if (n->zero_at == OM_PHONE_NO_ZERO)
    read_plan(&own, home, n->digits, n->count);
  /* "49 151 …" of somebody who lives in Germany may be meant with a + before it. */
  if (own.fit != FIT_NONE && n->count > code_len && memcmp(n->digits, home->code, code_len) == 0) {
    const char *rest = n->digits + code_len;
    if (fit(home, rest, n->count - code_len) == FIT_BOTH)
      consider(&own, home, rest, n->count - code_len, own.fit);
  }
  if (!read_exits(f, home, n))
    *f = own;
  else if (own.fit == FIT_BOTH && strcmp(own.digits, f->digits) != 0)
    f->two = true; /* no number begins with an exit code, so it is none by itself */
}

/* "+49 30 123456/57": what stands before the slash is already a number, and no area code is as
 * long. Dashes between blanks also group digits; one or two behind the last are a second extension.
 */
#define AREA_DIGITS      5
#define EXTENSION_DIGITS 2

static bool is_two(const struct om_phone_digits *n, const struct found *f) {
  const struct plan *plan = plan_of(f->digits, strlen(f->digits));
  size_t code_len = strlen(plan->code), own = strlen(f->digits) - code_len;
  for (size_t at = 1; at < n->count && at < OM_PHONE_READ_DIGITS; at++) {
    size_t behind = n->count - at;
    bool split =
        (n->slashes >> at & 1) != 0 || ((n->dashes >> at & 1) != 0 && behind <= EXTENSION_DIGITS);
    bool one = behind > own - behind && n->digits[at] != '0';
    if (split && !one && own > behind && own - behind > AREA_DIGITS &&
        fit(plan, f->digits + code_len, own - behind) != FIT_NONE)
      return true;
  }
  return false;
}

/* ---- public ---- */

const char *om_phone_country(const char *text) {
  if (strlen(text) == 2 && !is_digit(text[0])) {
    char iso[2] = {(char)(text[0] & ~0x20), (char)(text[1] & ~0x20)};
    for (size_t i = 0; i < COUNT(countries); i++)
      if (memcmp(countries[i].iso, iso, 2) == 0)
        return countries[i].code;
    return NULL;
  }
  for (size_t i = 0; i < COUNT(plans); i++)
    if (strcmp(plans[i].code, text) == 0)
      return plans[i].code;
  return NULL;
}

/* Why nothing was found. */
static enum om_phone_fault why(const struct found *f, const struct om_phone_digits *n,
                               const struct plan *home) {
  bool foreign = n->plus || matches("00", n->digits, n->count) != 0;
  size_t count = n->count - (foreign && !n->plus ? 2 : 0);
  if (n->zero_at != OM_PHONE_NO_ZERO)
    return OM_PHONE_ZERO;
  if (home != NULL && !foreign)
    return OM_PHONE_NOT_THERE;
  if (f->bad_zero)
    return OM_PHONE_ZERO;
  if (count < OM_PHONE_MIN_DIGITS)
    return OM_PHONE_SHORT;
  if (count > OM_PHONE_MAX_DIGITS)
    return OM_PHONE_LONG;
  return f->no_code ? OM_PHONE_CODE : OM_PHONE_LENGTH;
}

enum om_phone_fault om_phone_normalize(const char *text, size_t len, const char *country,
                                       char out[OM_PHONE_MAX_DIGITS + 1]) {
  struct om_phone_digits n;
  struct found f = {.fit = FIT_NONE};
  const struct plan *home = NULL;
  out[0] = '\0';
  enum om_phone_fault fault = om_phone_digits_read(text, len, &n);
  if (fault != OM_PHONE_OK)
    return fault;
  if (country != NULL && country[0] != '\0') {
    const char *code = om_phone_country(country);
    home = code != NULL ? plan_of(code, strlen(code)) : NULL;
  }
  if (n.plus)
    read_behind(&f, &n, 0);
  else if (home != NULL)
    read_home(&f, home, &n);
  else if (matches("00", n.digits, n.count) != 0)
    read_behind(&f, &n, 2);
  else if (country != NULL && country[0] != '\0')
    return OM_PHONE_COUNTRY;
  else if (n.digits[0] == '0')
    return OM_PHONE_NATIONAL;
  else
    read_behind(&f, &n, 0);
  if (f.fit == FIT_NONE)
    return why(&f, &n, home);
  if (f.two)
    return OM_PHONE_AMBIGUOUS;
  if (is_two(&n, &f))
    return OM_PHONE_TWO;
  memcpy(out, f.digits, sizeof f.digits);
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
  case OM_PHONE_NOT_THERE:
    return "is no number of the country that is set, by its length: give it whole, with its area "
           "code, or in international form with +, such as +12020721369";
  case OM_PHONE_COUNTRY:
    return "needs a country, and the one given is none: write its ISO code, like BR, or its "
           "calling code, like 55; or give the international form, such as +12020721369";
  case OM_PHONE_CODE:
    return "begins with no country's calling code: give the international form, such as "
           "+12020721369, or set country";
  case OM_PHONE_LENGTH:
    return "has more or fewer digits than numbers of that country: give one number, whole, in "
           "international form, such as +12020721369, or set country";
  case OM_PHONE_AMBIGUOUS:
    return "may be read as two different numbers: give the international form with +, such as "
           "+12020721369";
  case OM_PHONE_TWO:
    return "looks like two numbers, or like one with an extension: give one number";
  case OM_PHONE_ZERO:
    return "has a 0 where none can stand: give the international form without it, such as "
           "+12020721369";
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
