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
    GOOD("2908123", NULL, "2908123"),                 /* Saint Helena: 7 in all */
    GOOD("436641234567890", NULL, "436641234567890"), /* Austria: as many as there can be */
    BAD("+290812", NULL, SHORT),
    BAD("+1 202 555 012", NULL, LENGTH),
    BAD("123456789012345", NULL, LENGTH),
    BAD("00123456789012345", NULL, LENGTH),
    BAD("+999 1234567", NULL, CODE),
    BAD("89123456789", NULL, CODE), /* Russia's trunk prefix, and no country */
    BAD("123456", NULL, SHORT),
    BAD("+123456", NULL, SHORT),
    BAD("1234567890123456", NULL, LONG),
    BAD("5511912345678 5511912345679", NULL, LONG),
    BAD("12020721369/12020721370", NULL, LONG),
    /* two numbers, or a second extension */
    BAD("+49 170 1234567 / 8", NULL, TWO),
    BAD("+49 170 1234567 - 8", NULL, TWO),
    BAD("+49 30 12345/678901", NULL, TWO),
    BAD("+43 1 12345/67890", NULL, TWO),
    BAD("+43 1 12345/01 67890", NULL, TWO),
    /* nobody's second number is longer than the first with its area code */
    GOOD("+49 30 1234/5678901", NULL, "493012345678901"),
    BAD("+298 201234/2056789", NULL, LONG),
    BAD("0170 1234567/8", "49", TWO),
    BAD("+1 202 555 0123/0124", NULL, LENGTH),
    BAD("+44 7700 900123 - 124", NULL, LENGTH),
    GOOD("+49 030/123456", NULL, "4930123456"),
    GOOD("+1 202/555/0123", NULL, "12025550123"),
    GOOD("06/12/34/56/78", "33", "33612345678"),
    GOOD("+55 11 98765 - 4321", NULL, "5511987654321"),
    GOOD("+49 170 12 34 - 567", NULL, "491701234567"),
    BAD("1111111111111111111111111111111111111111111111111111111111111111", NULL, LONG),
    /* the trunk prefix */
    GOOD("+44 (0)20 7946 0958", NULL, "442079460958"),
    GOOD("+44 ( 0 ) 20 7946 0958", NULL, "442079460958"),
    GOOD("0044 (0) 20 7946 0958", NULL, "442079460958"),
    GOOD("+49(0)171 1234567", NULL, "491711234567"),
    GOOD("+351 (0) 912345678", NULL, "351912345678"),
    GOOD("+1 (202) 072-1369", NULL, "12020721369"),
    BAD("+4930 (0)1234567", NULL, ZERO), /* not behind the country code */
    GOOD("44 (0)20 7946 0958", NULL, "442079460958"),
    BAD("44 (0)20 7946 0958", "44", ZERO), /* national, and a (0) in the middle */
    GOOD("+44 07911 123456", NULL, "447911123456"),
    GOOD("44 0161 496 0000", NULL, "441614960000"),
    GOOD("+49 0151 23456789", NULL, "4915123456789"),
    GOOD("+7 (8) 912 345-67-89", NULL, "79123456789"),
    GOOD("+36 06 20 123 4567", NULL, "36201234567"),
    GOOD("+54 11 15 2345-6789", NULL, "5491123456789"),
    GOOD("+39 06 698 12345", NULL, "390669812345"),
    GOOD("+225 07 12 34 56 78", NULL, "2250712345678"),
    GOOD("+225 07 12 34 56", NULL, "22507123456"), /* as before 2021 */
    GOOD("+242 06 123 4567", NULL, "242061234567"),
    GOOD("+229 01 95 12 34 56", NULL, "2290195123456"),
    BAD("+34 0612 345 678", NULL, ZERO), /* Spain has no trunk prefix */
    BAD("+(0)44 20 7946 0958", NULL, ZERO),
    GOOD("+39 (0)6 6982 1234", NULL, "390669821234"), /* in Italy the 0 belongs to the number … */
    BAD("+39 (0)312 345 6789", NULL, AMBIGUOUS),      /* … or does not */
    BAD("+44 (0) (0)20 7946 0958", NULL, ZERO),
    BAD("+44 (0)", NULL, ZERO),
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
    BAD("020 7946 0958", "+44", COUNTRY),
    BAD("020 7946 0958", "4400", COUNTRY),
    BAD("7911 123456", "XX", COUNTRY),
    BAD("7911 123456", "999", COUNTRY),
    GOOD("+44 7911 123456", "XX", "447911123456"),
    GOOD("0044 7911 123456", "XX", "447911123456"),
    GOOD("020 7946 0958", "44", "442079460958"),
    GOOD("020 7946 0958", "GB", "442079460958"),
    GOOD("020 7946 0958", "uk", "442079460958"),
    GOOD("(0)20 7946 0958", "44", "442079460958"),
    GOOD("20 7946 0958", "44", "442079460958"),
    GOOD("(11) 98765-4321", "55", "5511987654321"),
    GOOD("0 11 98765-4321", "BR", "5511987654321"),
    GOOD("0 21 11 98765-4321", "BR", "5511987654321"), /* by an operator's 21 … */
    GOOD("021 98765-4321", "BR", "5521987654321"),     /* … and in Rio */
    GOOD("(202) 555-0123", "US", "12025550123"),
    GOOD("1 (202) 072-1369", "1",
         "12020721369"), /* the exchange is not assigned, and need not be */
    GOOD("98765 43210", "91", "919876543210"),
    GOOD("5109 6468", "KW", "96551096468"),
    GOOD("55 1234 5678", "52", "525512345678"),
    GOOD("045 55 1234 5678", "52", "525512345678"),
    GOOD("1 55 1234 5678", "52", "5215512345678"), /* WhatsApp's own form */
    GOOD("8 (912) 345-67-89", "7", "79123456789"),
    GOOD("8 (701) 234-56-78", "KZ", "77012345678"),
    GOOD("800 555 35 35", "7", "78005553535"), /* free, not behind 8 */
    GOOD("8 029 491-19-11", "375", "375294911911"),
    GOOD("06 20 123 4567", "36", "36201234567"),
    GOOD("06 6982 1234", "IT", "390669821234"),
    GOOD("312 345 6789", "39", "393123456789"),
    GOOD("07 12 34 56 78", "225", "2250712345678"),
    GOOD("0 74 12 34 56", "241", "24174123456"), /* Gabon: a 0 before eight digits only … */
    GOOD("07 41 23 45", "241", "24107412345"),
    GOOD("011 15-2345-6789", "54", "5491123456789"),
    GOOD("0351 15 512-3456", "AR", "5493515123456"),
    GOOD("02966 15-412345", "AR", "5492966412345"),
    GOOD("11 2345-6789", "54", "541123456789"),
    BAD("15 2345-6789", "54", NOT_THERE), /* whose area code? */
    BAD("555-0123", "1", NOT_THERE),
    BAD("5511912345678", "55", NOT_THERE), /* international, and no + */
    BAD("4915123456789", "49", AMBIGUOUS),
    BAD("01234", "55", NOT_THERE),
    BAD("0", NULL, NATIONAL),
    BAD("0", "55", NOT_THERE),
    BAD("00", NULL, SHORT),
    /* foreign numbers with a country */
    GOOD("+12020721369", "55", "12020721369"),
    GOOD("0012020721369", "55", "12020721369"),
    GOOD("0055 11 98765-4321", "55", "5511987654321"), /* 0055 is an operator's exit code, too */
    GOOD("0015 1 202 072 1369", "55", "12020721369"),
    GOOD("011 44 20 7946 0958", "1", "442079460958"),
    GOOD("010 44 20 7946 0958", "81", "442079460958"),
    GOOD("8-10-44-20-7946-0958", "RU", "442079460958"),
    GOOD("0011 44 20 7946 0958", "AU", "442079460958"),
    BAD("0011 44 20 7946 0958", NULL, LENGTH),
    BAD("011 44 20 7946 0958", NULL, NATIONAL),
    GOOD("0044 20 7946 0958", "AU", "442079460958"),
    GOOD("001 44 20 7946 0958", "82", "442079460958"),
    BAD("00 1 202 555 0123", "82", AMBIGUOUS), /* 001, Korea's exit code, and +20 for Egypt */
    BAD("001 853 0800 501", "82", ZERO),       /* a free number in Macau, not +1 853 … */
    BAD("010 31 14020", "81", NOT_THERE),      /* nor a number in Japan */
    /* refusals */
    BAD("", NULL, EMPTY),
    BAD(" ", NULL, EMPTY),
    BAD("+", NULL, EMPTY),
    BAD("()-./", NULL, EMPTY),
    BAD("\xE2\x80\x8B", NULL, EMPTY),
    BAD("12020721369x12", NULL, LETTER),
    BAD("+12020721369 ext 12", NULL, LETTER),
    GOOD("tel:+12020721369", NULL, "12020721369"),
    GOOD(" TEL: 020 7946 0958", "44", "442079460958"),
    BAD("tel:+12020721369;ext=5", NULL, CHARACTER),
    BAD("tel+12020721369", NULL, LETTER),
    BAD("tel:", NULL, EMPTY),
    BAD("+tel:12020721369", NULL, LETTER),
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
    GOOD("+1.202.072.13.69", NULL, "12020721369"),
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
  fault = om_phone_normalize(one.out, count, NULL, two.out);
  CHECK(fault == OM_PHONE_OK && strcmp(one.out, two.out) == 0, "\"%s\" then \"%s\"", one.out,
        two.out);
}

static void check_random(void) {
  static const char *const pieces[] = {"+", "0",        "00",           "(0)",  "(",   ")",
                                       "1", "44",       "39",           "7911", " ",   "-",
                                       ".", "\xC2\xA0", "\xE2\x80\x8F", "a",    "\xFF"};
  static const char *const countries[] = {NULL, "1", "44", "225", "39", "", "XX", "AR"};
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

/* Spellings of one person, each list apart from the others. */
static const char *const people[][6] = {
    {"525512345678", "5215512345678", "+52 1 55 1234 5678", "+52 01 55 1234 5678"},
    {"541112345678", "5491112345678", "+54 9 11 1234-5678", "+54 11 15 1234-5678"},
    {"551187654321", "5511987654321", "+55 (011) 98765-4321"},
    {"551112345678", "5511912345678"},
    {"22507654321", "2250707654321", "+225 07 07 65 43 21"},
    {"2250507654321"}, /* another operator's: never had eight digits */
    {"22544654321", "2250544654321"},
    {"22502654321", "2250102654321"},
    {"22520221234", "2252720221234"},
    {"22520381234", "2252720381234"},
    {"22520881234", "2252120881234"},
    {"22520001234", "2252520001234"},
    {"22997123456", "2290197123456"},
    {"584121234567", "5804121234567"},
    {"442079460958", "+44 (0)20 7946 0958", "4402079460958"},
    {"551123456789"},  /* a line … */
    {"5511923456789"}, /* … and a mobile that never had eight digits */
    {"12125550123"},
    {"12015550123"},
    {"79123456789", "+7 8 912 345-67-89"},
    {"390669812345"},
    {"39669812345"},
    {"9991234567"}, /* no calling code: as it stands */
    {"99912345678"},
};

static void check_people(void) {
  const size_t count = sizeof people / sizeof *people;
  char keys[sizeof people / sizeof *people][OM_PHONE_MAX_DIGITS + 1];
  char key[OM_PHONE_MAX_DIGITS + 1], again[OM_PHONE_MAX_DIGITS + 1];
  for (size_t i = 0; i < count; i++) {
    CHECK(om_phone_key(people[i][0], strlen(people[i][0]), keys[i]), "\"%s\"", people[i][0]);
    for (size_t k = 1; k < 6 && people[i][k]; k++)
      CHECK(om_phone_key(people[i][k], strlen(people[i][k]), key) && strcmp(key, keys[i]) == 0,
            "\"%s\" is \"%s\", not \"%s\"", people[i][k], key, keys[i]);
    CHECK(om_phone_key(keys[i], strlen(keys[i]), key) && strcmp(key, keys[i]) == 0,
          "\"%s\" is not its own key", keys[i]);
    bool two = om_phone_longer(keys[i], key);
    CHECK(!two || (om_phone_key(key, strlen(key), again) && strcmp(again, keys[i]) == 0),
          "\"%s\", the other spelling, has another key than \"%s\"", key, keys[i]);
    for (size_t k = 0; k < i; k++)
      CHECK(strcmp(keys[i], keys[k]) != 0, "\"%s\" and \"%s\" are joined", people[i][0],
            people[k][0]);
  }
  CHECK(!om_phone_key("@maria", 6, key) && !om_phone_key("12020721369@lid", 15, key) &&
            !om_phone_key("123456", 6, key) && !om_phone_key("", 0, key),
        "a key of no number");
}

static void check_words(void) {
  static const char *const countries[][2] = {
      {"1", "1"},    {"55", "55"},  {"380", "380"}, {"BR", "55"},   {"br", "55"},  {"KZ", "7"},
      {"DO", "1"},   {"IT", "39"},  {"VA", "39"},   {"UK", "44"},   {"gB", "44"},  {"", NULL},
      {"0", NULL},   {"044", NULL}, {"+1", NULL},   {"1234", NULL}, {"5 5", NULL}, {"55\n", NULL},
      {"999", NULL}, {"XX", NULL},  {"BRA", NULL},  {"5", NULL},    {"B", NULL},   {"[2", NULL},
  };
  for (size_t i = 0; i < sizeof countries / sizeof *countries; i++) {
    const char *code = om_phone_country(countries[i][0]), *want = countries[i][1];
    CHECK(want ? code && strcmp(code, want) == 0 : !code, "\"%s\": %s", countries[i][0],
          code ? code : "none");
  }
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
  check_people();
  check_words();
  return test_end();
}
