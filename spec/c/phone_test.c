/* phone_test.c: phone.c, case by case and then over random bytes. */
#include "phone.h"
#include "test.h"

struct row {
  const char *text, *country, *digits; /* digits NULL: fault */
  enum om_phone_fault fault;
};

#define GOOD(text, country, digits)                                                                \
  { text, country, digits, OM_PHONE_OK }
#define BAD(text, country, fault)                                                                  \
  { text, country, NULL, OM_PHONE_##fault }

static const struct row rows[] = {
    /* as people write them */
    GOOD("12020721369", NULL, "12020721369"),
    GOOD("+1 202 072 1369", NULL, "12020721369"),
    GOOD("+55 (11) 91234-5678", NULL, "5511912345678"),
    GOOD("  +49.171/123 45 67\t", NULL, "491711234567"),
    GOOD("0055 11 91234 5678", NULL, "5511912345678"),
    GOOD("(+44) 7911 123456", NULL, "447911123456"),
    GOOD("+\xC2\xA0"
         "44\xE2\x80\xAF"
         "7911\xE2\x80\x89"
         "123456",
         NULL, "447911123456"),
    GOOD("\xE2\x80\xAA+44 7911 123456\xE2\x80\xAC", NULL, "447911123456"),
    GOOD("\xEF\xBB\xBF+447911\xE2\x80\x8B"
         "123456\xE2\x80\x8F",
         NULL, "447911123456"),
    GOOD("\xE2\x81\xA6+447911123456\xE2\x81\xA9", NULL, "447911123456"),
    GOOD("+44\xE2\x80\x91"
         "7911\xE2\x80\x93"
         "123\xE2\x80\x95"
         "456",
         NULL, "447911123456"),
    GOOD("+44\xE2\x88\x92"
         "7911123456",
         NULL, "447911123456"),
    GOOD("+44\xC2\xAD"
         "7911\xE3\x80\x80"
         "123456",
         NULL, "447911123456"),
    /* lengths */
    GOOD("1234567", NULL, "1234567"),
    GOOD("123456789012345", NULL, "123456789012345"),
    GOOD("+123456789012345", NULL, "123456789012345"),
    GOOD("00123456789012345", NULL, "123456789012345"),
    BAD("123456", NULL, SHORT),
    BAD("+123456", NULL, SHORT),
    BAD("1234567890123456", NULL, LONG),
    BAD("5511912345678 5511912345679", NULL, LONG),
    BAD("12020721369/12020721370", NULL, LONG),
    BAD("1111111111111111111111111111111111111111111111111111111111111111", NULL, LONG),
    /* the trunk prefix */
    GOOD("+44 (0)20 7946 0958", NULL, "442079460958"),
    GOOD("+44 ( 0 ) 20 7946 0958", NULL, "442079460958"),
    GOOD("0044 (0) 20 7946 0958", NULL, "442079460958"),
    GOOD("+49(0)171 1234567", NULL, "491711234567"),
    GOOD("+351 (0) 912345678", NULL, "351912345678"),
    GOOD("+1 (202) 072-1369", NULL, "12020721369"),
    BAD("+4930 (0)1234567", NULL, ZERO),   /* not behind the country code */
    BAD("44 (0)20 7946 0958", NULL, ZERO), /* country code or not: nobody knows */
    BAD("+(0)44 20 7946 0958", NULL, ZERO),
    BAD("+39 (0)6 6982 1234", NULL, ZERO), /* in Italy the 0 may belong to the number */
    BAD("00 (0) 44 20 7946 0958", NULL, ZERO),
    BAD("000 44 7911 123456", NULL, ZERO),
    BAD("+00447911123456", NULL, ZERO),
    BAD("+0447911123456", NULL, ZERO),
    BAD("+0447911123456", "44", ZERO),
    /* national numbers */
    BAD("020 7946 0958", NULL, NATIONAL),
    BAD("(020) 7946 0958", NULL, NATIONAL),
    BAD("(0)20 7946 0958", NULL, NATIONAL),
    BAD("020 7946 0958", "", NATIONAL),
    BAD("020 7946 0958", "+44", NATIONAL),
    BAD("020 7946 0958", "4400", NATIONAL),
    GOOD("020 7946 0958", "44", "442079460958"),
    GOOD("(0)20 7946 0958", "44", "442079460958"),
    GOOD("(020) 7946 0958", "44", "442079460958"),
    GOOD("07 89 88 12 34", "225", "2250789881234"), /* Ivory Coast: the 0 stays */
    GOOD("06 6982 1234", "39", "390669821234"),
    GOOD("0 12345678901234", "1", "112345678901234"),
    BAD("0 123456789012345", "1", LONG),
    BAD("01234", "55", SHORT),
    BAD("0", NULL, NATIONAL),
    BAD("0", "55", SHORT),
    BAD("00", NULL, SHORT),
    /* a country changes nothing else */
    GOOD("11912345678", "55", "11912345678"),
    GOOD("5511912345678", "55", "5511912345678"),
    GOOD("+12020721369", "55", "12020721369"),
    GOOD("0012020721369", "55", "12020721369"),
    /* refusals */
    BAD("", NULL, EMPTY),
    BAD(" ", NULL, EMPTY),
    BAD("+", NULL, EMPTY),
    BAD("()-./", NULL, EMPTY),
    BAD("\xE2\x80\x8B", NULL, EMPTY),
    BAD("12020721369x12", NULL, LETTER),
    BAD("+12020721369 ext 12", NULL, LETTER),
    BAD("tel:+12020721369", NULL, LETTER),
    BAD("Maria", NULL, LETTER),
    BAD("maria1234567@example.com", NULL, LETTER),
    BAD("1.2020721369e+10", NULL, LETTER),
    BAD("1202O721369", NULL, LETTER),
    BAD("\xD0\x9C\xD0\xB0\xD1\x80\xD0\xB8\xD1\x8F", NULL, LETTER),
    BAD("12020721369\xE7\x95\xAA", NULL, LETTER),
    BAD("12020721369;ext=12", NULL, CHARACTER),
    BAD("12020721369@c.us", NULL, CHARACTER),
    BAD("12020721369,12020721370", NULL, CHARACTER),
    BAD("12020721369\n", NULL, CHARACTER),
    BAD("12020721369\r12", NULL, CHARACTER),
    BAD("12020721369\xE2\x80\xA8"
        "1",
        NULL, CHARACTER),
    BAD("12020721369#", NULL, CHARACTER),
    BAD("*12020721369", NULL, CHARACTER),
    BAD("___", NULL, CHARACTER),
    BAD("1202072\xC3\x97"
        "1369",
        NULL, CHARACTER),
    BAD("\xF0\x9F\x93\x9E 12020721369", NULL, CHARACTER),
    BAD("1\xEF\xB8\x8F\xE2\x83\xA3"
        "2020721369",
        NULL, CHARACTER),
    BAD("++12020721369", NULL, PLUS),
    BAD("1+2020721369", NULL, PLUS),
    BAD("00+12020721369", NULL, PLUS),
    BAD("+12020721369 / +12020721370", NULL, PLUS),
    BAD("12020721369.0", NULL, DECIMAL),
    BAD("+12020721369.0 ", NULL, DECIMAL),
    BAD("12020721369.5", NULL, DECIMAL),
    GOOD("+1.202.072.10", NULL, "120207210"),
    BAD("+1202072136\xD9\xA9", NULL, DIGITS),
    BAD("\xDB\xB1\xDB\xB2\xDB\xB0", NULL, DIGITS),
    BAD("\xE0\xA5\xA7\xE0\xA5\xA8", NULL, DIGITS),
    BAD("\xEF\xBC\x91\xEF\xBC\x92", NULL, DIGITS),
    BAD("\xEF\xBC\x8B"
        "12020721369",
        NULL, DIGITS),
    BAD("\xF0\x9D\x9F\xBF"
        "2020721369",
        NULL, DIGITS),
    BAD("12020721369\xFF", NULL, UTF8),
    BAD("\xC0\xB1"
        "2020721369",
        NULL, UTF8),
    BAD("12020721369\xE2\x80", NULL, UTF8),
};

static void check_row(const struct row *row) {
  char out[OM_PHONE_MAX_DIGITS + 1] = "untouched";
  enum om_phone_fault fault = om_phone_normalize(row->text, strlen(row->text), row->country, out);
  const char *want = row->digits ? row->digits : "";
  CHECK(fault == row->fault, "\"%s\": fault %d, not %d", row->text, (int)fault, (int)row->fault);
  CHECK(strcmp(out, want) == 0, "\"%s\": \"%s\", not \"%s\"", row->text, out, want);
}

/* Whatever goes in: digits only, in number, that normalise to themselves; or nothing at all. */
static void check_any(const char *text, size_t len, const char *country) {
  struct {
    char out[OM_PHONE_MAX_DIGITS + 1];
    char after[8];
  } one, two;
  memset(&one, 'x', sizeof one);
  enum om_phone_fault fault = om_phone_normalize(text, len, country, one.out);
  size_t count = strspn(one.out, "0123456789");
  CHECK(one.out[count] == '\0' && memcmp(one.after, "xxxxxxxx", 8) == 0, "out of form");
  if (fault != OM_PHONE_OK) {
    CHECK(count == 0, "digits in spite of fault %d", (int)fault);
    return;
  }
  CHECK(count >= OM_PHONE_MIN_DIGITS && count <= OM_PHONE_MAX_DIGITS && one.out[0] != '0', "\"%s\"",
        one.out);
  fault = om_phone_normalize(one.out, count, country, two.out);
  CHECK(fault == OM_PHONE_OK && strcmp(one.out, two.out) == 0, "\"%s\" then \"%s\"", one.out,
        two.out);
}

static void check_random(void) {
  static const char *const pieces[] = {"+", "0",        "00",           "(0)",  "(",   ")",
                                       "1", "44",       "39",           "7911", " ",   "-",
                                       ".", "\xC2\xA0", "\xE2\x80\x8F", "a",    "\xFF"};
  static const char *const countries[] = {NULL, "1", "44", "225", "999", "", "+1", "12345"};
  const uint32_t piece_count = sizeof pieces / sizeof *pieces;
  unsigned good = 0;
  for (int i = 0; i < 100000; i++) {
    char text[64], out[OM_PHONE_MAX_DIGITS + 1];
    size_t len = 0, parts = test_random(12);
    for (size_t k = 0; k < parts; k++) {
      /* mostly digits and their company; the last two pieces, which end it, seldom */
      const char *piece = pieces[test_random(test_random(4) ? piece_count - 2 : piece_count)];
      memcpy(text + len, piece, strlen(piece));
      len += strlen(piece);
    }
    for (size_t k = 0; i % 4 == 0 && k < 3 && len > 0; k++)
      text[test_random((uint32_t)len)] = (char)test_random(256);
    const char *country = countries[test_random(8)];
    check_any(text, len, country);
    good += om_phone_normalize(text, len, country, out) == OM_PHONE_OK;
  }
  CHECK(good > 1000, "only %u random numbers were good: the properties were not tried", good);
}

static void check_words(void) {
  static const char *const yes[] = {"1", "55", "999"};
  static const char *const no[] = {"", "0", "044", "+1", "1234", "5 5", "55\n", "br"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
    CHECK(om_phone_country(yes[i]), "\"%s\"", yes[i]);
  for (size_t i = 0; i < sizeof no / sizeof *no; i++)
    CHECK(!om_phone_country(no[i]), "\"%s\"", no[i]);
  for (int a = OM_PHONE_OK; a <= OM_PHONE_UTF8 + 1; a++)
    for (int b = OM_PHONE_OK; b < a; b++)
      CHECK(strcmp(om_phone_explain((enum om_phone_fault)a),
                   om_phone_explain((enum om_phone_fault)b)) != 0,
            "%d and %d say the same", a, b);
}

int main(void) {
  char out[OM_PHONE_MAX_DIGITS + 1];
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    check_row(&rows[i]);
  CHECK(om_phone_normalize("1202072\0"
                           "1369",
                           12, NULL, out) == OM_PHONE_CHARACTER,
        "a NUL inside");
  CHECK(om_phone_normalize("12020721369999", 11, NULL, out) == OM_PHONE_OK &&
            strcmp(out, "12020721369") == 0,
        "len ends the text, not the NUL: %s", out);
  check_random();
  check_words();
  return test_end();
}
