/* text_test.c: text.c, case by case and then over random text. */
#include "test.h"
#include "text.h"

#define ZWJ      "\xE2\x80\x8D"
#define ZWNJ     "\xE2\x80\x8C"
#define ZWSP     "\xE2\x80\x8B"
#define NBSP     "\xC2\xA0"
#define VS16     "\xEF\xB8\x8F"
#define ELLIPSIS "\xE2\x80\xA6"
#define ACUTE    "\xCC\x81"
#define MAN      "\xF0\x9F\x91\xA8"
#define WOMAN    "\xF0\x9F\x91\xA9"
#define GIRL     "\xF0\x9F\x91\xA7"
#define FAMILY   MAN ZWJ WOMAN ZWJ GIRL
#define HEART    "\xE2\x9D\xA4" VS16
#define SCOTLAND                                                                                   \
  "\xF0\x9F\x8F\xB4\xF3\xA0\x81\xA7\xF3\xA0\x81\xA2\xF3\xA0\x81\xB3\xF3\xA0\x81\xA3\xF3\xA0\x81"   \
  "\xB4\xF3\xA0\x81\xBF"
#define BRAZIL  "\xF0\x9F\x87\xA7\xF0\x9F\x87\xB7"
#define PERSIAN "\xD9\x85\xDB\x8C" ZWNJ "\xD8\xAE\xD9\x88\xD8\xA7\xD9\x87\xD9\x85"
#define CHILLU  "\xE0\xB4\xA8\xE0\xB5\x8D" ZWJ /* the old spelling of a Malayalam final n */
#define KSSA    "\xE0\xA4\x95\xE0\xA5\x8D" ZWJ "\xE0\xA4\xB7"

enum {
  LINES = OM_TEXT_JOINED_LINES,
  BLANKS = OM_TEXT_JOINED_BLANKS,
  TRIM = OM_TEXT_TRIMMED,
  MARKS = OM_TEXT_DROPPED_MARKS,
  SHORT = OM_TEXT_SHORTENED
};

struct row {
  const char *text;
  unsigned max; /* code points, 0: no limit */
  enum om_text_fault strict;
  const char *clean; /* NULL: the fault that strict finds is left */
  unsigned changes;
};

#define SAME(text)                                                                                 \
  { text, 0, OM_TEXT_OK, text, 0 }
#define ROW(text, fault, ...)                                                                      \
  { text, 0, OM_TEXT_##fault, __VA_ARGS__ }
#define NONE(text, fault)                                                                          \
  { text, 0, OM_TEXT_##fault, NULL, 0 }
#define CUT(text, max, clean)                                                                      \
  { text, max, OM_TEXT_LONG, clean, SHORT }

static const struct row rows[] = {
    /* text as it should be */
    SAME("Maria"),
    SAME("Access activated in your account."),
    SAME("a    b"),
    SAME("10" NBSP "000\xE2\x80\xAF\xE2\x82\xAC"),
    SAME("*bold* _it_ ~no~ `code` https://example.com/?a=b&c=%20"),
    SAME("Jos\xC3\xA9, Jose" ACUTE),
    SAME("\xD0\x9C\xD0\xB0\xD1\x80\xD0\xB8\xD1\x8F"),
    SAME(FAMILY),
    SAME(HEART ZWJ "\xF0\x9F\x94\xA5"),
    SAME("\xF0\x9F\x91\xA9\xF0\x9F\x8F\xBD" ZWJ "\xF0\x9F\x92\xBB"),
    SAME("1" VS16 "\xE2\x83\xA3"),
    SAME(SCOTLAND),
    SAME(PERSIAN),
    SAME(KSSA),
    SAME(CHILLU " a " CHILLU),
    SAME("\xEF\xBF\xBD\xEE\x80\x80"), /* replacement character, private use */
    /* nothing to show */
    NONE("", EMPTY),
    NONE(" ", EMPTY),
    NONE("\n", EMPTY),
    NONE(" \t\r\n" NBSP "\xE3\x80\x80", EMPTY),
    NONE(ZWSP, EMPTY),
    NONE(ZWJ VS16, EMPTY),
    NONE("\xE3\x85\xA4", EMPTY),
    NONE("\xE2\xA0\x80", EMPTY),
    NONE("\xEF\xBB\xBF", EMPTY),
    /* bytes */
    NONE("a\xFF", UTF8),
    NONE("a\n\xC3", UTF8),
    NONE("\xC0\x80", UTF8),
    NONE("\xE0\x9F\xBF", UTF8),
    NONE("\xED\xA0\x80", UTF8),
    NONE("\xF4\x90\x80\x80", UTF8),
    NONE("\xF0\x8F\xBF\xBF", UTF8),
    NONE("\x80", UTF8),
    NONE("\xF8\x88\x80\x80\x80", UTF8),
    NONE("ok\xE2\x80", UTF8),
    SAME("\xEF\xBF\xBC\xF4\x8F\xBF\xBD\xED\x9F\xBF\xEE\x80\x80"), /* the last before each border */
    /* lines and tabs */
    ROW("a\nb", NEWLINE, "a b", LINES),
    ROW("a\rb", NEWLINE, "a b", LINES),
    ROW("a \r\n\r\n  b", NEWLINE, "a b", LINES),
    ROW("a\vb", NEWLINE, "a b", LINES),
    ROW("a\fb", NEWLINE, "a b", LINES),
    ROW("a\xC2\x85"
        "b",
        NEWLINE, "a b", LINES),
    ROW("a\xE2\x80\xA8"
        "b",
        NEWLINE, "a b", LINES),
    ROW("a\xE2\x80\xA9"
        "b",
        NEWLINE, "a b", LINES),
    ROW("a\tb", TAB, "a b", LINES),
    ROW("a\tb\nc", TAB, "a b c", LINES),
    ROW("\na", NEWLINE, "a", TRIM),
    ROW("a\n", NEWLINE, "a", TRIM),
    ROW("a\n b \n", NEWLINE, "a b", LINES | TRIM),
    /* blanks */
    ROW("a     b", BLANKS, "a b", BLANKS),
    ROW("a" NBSP NBSP NBSP NBSP NBSP "b", BLANKS, "a b", BLANKS),
    ROW("a     \nb", BLANKS, "a b", LINES),
    ROW("a\n     b", NEWLINE, "a b", LINES),
    ROW("a      b      c", BLANKS, "a b c", BLANKS),
    ROW("     a", BLANKS, "a", TRIM),
    ROW("a     ", BLANKS, "a", TRIM),
    {" a ", 0, OM_TEXT_OK, "a", TRIM},
    {"    a" NBSP, 0, OM_TEXT_OK, "a", TRIM},
    /* marks */
    ROW("a" ZWSP "b", CONTROL, "ab", MARKS),
    ROW("\xEF\xBB\xBF"
        "a",
        CONTROL, "a", MARKS),
    ROW("a\x01"
        "b\x7F",
        CONTROL, "ab", MARKS),
    ROW("a\xC2\x9F", CONTROL, "a", MARKS),
    ROW("\xE2\x80\xAE"
        "abc\xE2\x80\xAC",
        CONTROL, "abc", MARKS),
    ROW("\xE2\x81\xA6"
        "abc\xE2\x81\xA9",
        CONTROL, "abc", MARKS),
    ROW("a\xE2\x80\x8E\xE2\x80\x8F"
        "b",
        CONTROL, "ab", MARKS),
    ROW("co\xC2\xAD"
        "op",
        CONTROL, "coop", MARKS),
    ROW("a\xEF\xBF\xBE", CONTROL, "a", MARKS),
    ROW("a\xF3\xA0\x80\x81", CONTROL, "a", MARKS),
    ROW("a\xF3\xA0\x81\xA1"
        "b",
        CONTROL, "ab", MARKS), /* a hidden tag letter */
    ROW("pay" ZWJ "pal", CONTROL, "paypal", MARKS),
    ROW("pay" ZWNJ "pal", CONTROL, "paypal", MARKS),
    ROW(ZWJ MAN, CONTROL, MAN, MARKS),
    ROW(MAN ZWJ, CONTROL, MAN, MARKS),
    ROW(MAN ZWJ " " WOMAN, CONTROL, MAN " " WOMAN, MARKS),
    ROW(MAN " " ZWJ WOMAN, CONTROL, MAN " " WOMAN, MARKS),
    ROW(MAN ZWJ ZWJ WOMAN, CONTROL, MAN ZWJ WOMAN, MARKS),
    ROW(MAN ZWJ ZWSP WOMAN, CONTROL, MAN WOMAN, MARKS),
    ROW(VS16 "a", CONTROL, "a", MARKS),
    ROW("a " VS16 "b", CONTROL, "a b", MARKS),
    ROW(HEART VS16 VS16, CONTROL, HEART, MARKS),
    ROW("a   " ZWSP "   b", CONTROL, "a b", MARKS | BLANKS),
    ROW("a " ZWSP, CONTROL, "a", MARKS | TRIM),
    ROW("a" ZWSP "\n", CONTROL, "a", MARKS | TRIM),
    /* length, in code points */
    {"abcd", 4, OM_TEXT_OK, "abcd", 0},
    {"\xC3\xA9\xC3\xA9", 2, OM_TEXT_OK, "\xC3\xA9\xC3\xA9", 0},
    {" abcd ", 4, OM_TEXT_LONG, "abcd", TRIM},
    {"ab\n\n\ncd", 5, OM_TEXT_NEWLINE, "ab cd", LINES},
    {"ab\ncdef", 5, OM_TEXT_NEWLINE, "ab c" ELLIPSIS, LINES | SHORT},
    CUT("abcde", 4, "abc" ELLIPSIS),
    CUT("abcde", 1, ELLIPSIS),
    CUT("ab cde", 4, "ab" ELLIPSIS),
    CUT("a    bcd", 6, "a" ELLIPSIS),
    CUT("\xC3\xA9\xC3\xA9\xC3\xA9", 2, "\xC3\xA9" ELLIPSIS),
    CUT("abe" ACUTE "cd", 4, "ab" ELLIPSIS),
    CUT("ab" FAMILY "cd", 5, "ab" ELLIPSIS),
    CUT("ab" FAMILY "cd", 8, "ab" FAMILY ELLIPSIS),
    CUT("ab" BRAZIL "cd", 4, "ab" ELLIPSIS),
    CUT("ab" HEART "cd", 4, "ab" ELLIPSIS),
    CUT("ab" SCOTLAND "cd", 8, "ab" ELLIPSIS),
    CUT(FAMILY, 3, MAN ELLIPSIS), /* too long to keep whole: code points */
};

static void check_row(const struct row *row) {
  char out[256];
  size_t len = strlen(row->text), out_len = 99;
  unsigned changes = 99;
  enum om_text_fault fault = om_text_check(row->text, len, row->max);
  CHECK(fault == row->strict, "\"%s\": strict %d, not %d", row->text, (int)fault, (int)row->strict);
  fault = om_text_clean(row->text, len, row->max, out, &out_len, &changes);
  const char *want = row->clean ? row->clean : "";
  CHECK(fault == (row->clean ? OM_TEXT_OK : row->strict), "\"%s\": clean %d", row->text,
        (int)fault);
  CHECK(out_len == strlen(want) && memcmp(out, want, out_len) == 0, "\"%s\": \"%.*s\", not \"%s\"",
        row->text, (int)out_len, out, want);
  CHECK(changes == row->changes, "\"%s\": changes %u, not %u", row->text, changes, row->changes);
}

/* Whatever goes in: within bounds; what comes out passes check, and cleaned again stays itself.
 * What check accepts, clean only trims. */
static bool check_any(const char *text, size_t len, size_t max) {
  char one[512], two[512];
  size_t one_len, two_len, chars = 0;
  unsigned changes, again;
  memset(one, '#', sizeof one);
  enum om_text_fault strict = om_text_check(text, len, max);
  enum om_text_fault fault = om_text_clean(text, len, max, one, &one_len, &changes);
  CHECK(one_len <= len + OM_TEXT_ELLIPSIS_BYTES && one[len + OM_TEXT_ELLIPSIS_BYTES] == '#',
        "%zu bytes from %zu", one_len, len);
  CHECK((fault == OM_TEXT_UTF8) == !om_text_utf8(text, len, NULL), "UTF-8");
  if (fault != OM_TEXT_OK) {
    CHECK(fault == strict && one_len == 0 && changes == 0, "clean %d, strict %d", (int)fault,
          (int)strict);
    return false;
  }
  CHECK(om_text_utf8(one, one_len, &chars) && (max == 0 || chars <= max), "%zu of %zu", chars, max);
  CHECK(om_text_check(one, one_len, max) == OM_TEXT_OK, "\"%.*s\" fails strict", (int)one_len, one);
  CHECK(strict != OM_TEXT_OK || (changes & ~(unsigned)TRIM) == 0, "good text changed: %u", changes);
  fault = om_text_clean(one, one_len, max, two, &two_len, &again);
  CHECK(fault == OM_TEXT_OK && again == 0 && two_len == one_len && memcmp(one, two, one_len) == 0,
        "\"%.*s\" changes again: %u", (int)one_len, one, again);
  CHECK((changes == 0) == (one_len == len && memcmp(text, one, len) == 0), "changes %u untold",
        changes);
  return true;
}

static void check_random(void) {
  static const char *const pieces[] = {"a",
                                       "Maria",
                                       " ",
                                       " ",
                                       "    ",
                                       "\n",
                                       "\t",
                                       NBSP,
                                       ZWJ,
                                       ZWNJ,
                                       ZWSP,
                                       VS16,
                                       MAN,
                                       FAMILY,
                                       HEART,
                                       BRAZIL,
                                       CHILLU,
                                       ACUTE,
                                       KSSA,
                                       "\r\n",
                                       "\x01",
                                       SCOTLAND,
                                       PERSIAN,
                                       "\xF3\xA0\x81\xA1",
                                       "\xE2\x80\xAE",
                                       "\xEF\xBB\xBF",
                                       "\xE3\x85\xA4",
                                       ELLIPSIS};
  unsigned good = 0;
  for (int i = 0; i < 200000; i++) {
    char text[400];
    size_t len = 0, parts = test_random(12);
    for (size_t k = 0; k < parts; k++) {
      const char *piece = pieces[test_random(sizeof pieces / sizeof *pieces)];
      memcpy(text + len, piece, strlen(piece));
      len += strlen(piece);
    }
    for (size_t k = 0; i % 4 == 0 && k < 2 && len > 0; k++)
      text[test_random((uint32_t)len)] = (char)test_random(256);
    good += check_any(text, len, test_random(2) ? 0 : 1 + test_random(24));
  }
  CHECK(good > 10000, "only %u random texts were good: the properties were not tried", good);
}

static void check_words(void) {
  for (int a = OM_TEXT_OK; a <= OM_TEXT_LONG + 1; a++)
    for (int b = OM_TEXT_OK; b < a; b++)
      CHECK(strcmp(om_text_explain((enum om_text_fault)a),
                   om_text_explain((enum om_text_fault)b)) != 0,
            "%d and %d say the same", a, b);
  for (unsigned bit = 1; bit <= SHORT; bit *= 2)
    CHECK(strcmp(om_text_describe(bit), om_text_describe(bit | SHORT)) == 0 &&
              strcmp(om_text_describe(bit), om_text_describe(bit * 2)) != 0,
          "bit %u", bit);
}

int main(void) {
  char out[16];
  size_t chars = 99, out_len;
  unsigned changes;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    check_row(&rows[i]);
  CHECK(om_text_check("a\0b", 3, 0) == OM_TEXT_CONTROL, "a NUL inside");
  CHECK(om_text_clean("a\0b", 3, 0, out, &out_len, &changes) == OM_TEXT_OK && out_len == 2 &&
            memcmp(out, "ab", 2) == 0 && changes == MARKS,
        "a NUL inside");
  CHECK(om_text_check("ab\n", 2, 0) == OM_TEXT_OK, "len ends the text");
  CHECK(om_text_utf8("\xC3\xA9"
                     "a" MAN,
                     7, &chars) &&
            chars == 3,
        "%zu", chars);
  CHECK(om_text_utf8(NULL, 0, &chars) && chars == 0, "%zu", chars);
  CHECK(!om_text_utf8("ab\xFF"
                      "c",
                      4, &chars) &&
            chars == 2,
        "%zu", chars);
  check_random();
  check_words();
  return test_end();
}
