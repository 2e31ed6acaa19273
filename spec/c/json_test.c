/* json_test.c: long numbers keep their digits, halves of pairs become one sign, everything else
 * keeps its bytes; what an event has marked; and which names contradict each other. */
#include "json.h"

#include "test.h"

static const char *const deciding[] = {"sent", "jobId", "id", NULL};

static char out[4096];

static size_t prepare(const char *text, size_t len, enum om_json_kind kind, bool *marked) {
  size_t size = om_json_prepare(text, len, kind, NULL, marked);
  CHECK(size <= sizeof out && om_json_prepare(text, len, kind, out, marked) == size, "%.*s",
        (int)len, text);
  return size;
}

static void check_exact(const char *text, const char *expected) {
  bool marked = false;
  size_t len = prepare(text, strlen(text), OM_JSON_ANSWER, &marked);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0 && !marked, "%s became %.*s",
        text, (int)len, out);
  CHECK(strcmp(text, expected) == 0 || !om_json_is_plain(text, strlen(text)), "%s", text);
}

/* What an event's text becomes; M stands for the mark. */
static void check_event(const char *text, const char *expected) {
  bool marked = false;
  size_t len = prepare(text, strlen(text), OM_JSON_EVENT, &marked);
  for (size_t i = 0; i < len; i++) {
    out[i] = out[i] == OM_JSON_MARK[0] ? 'M' : out[i];
  }
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "%s became %.*s", text,
        (int)len, out);
  CHECK(marked == (strchr(expected, 'M') != NULL), "%s", text);
}

/* A number with so many digits, at every place: it is found, and fits. */
static void check_places(void) {
  static char text[512];
  bool marked = false;
  for (size_t before = 0; before < 40; before++) {
    for (size_t digits = 10; digits < 40; digits++) {
      size_t len = 0;
      text[len++] = '[';
      for (size_t i = 0; i < before; i++) {
        text[len++] = ' ';
      }
      for (size_t i = 0; i < digits; i++) {
        text[len++] = '9';
      }
      text[len++] = ']';
      CHECK(om_json_has_long_numbers(text, len) == (digits >= 16), "%zu %zu", before, digits);
      CHECK(prepare(text, len, OM_JSON_ANSWER, &marked) == len + (digits >= 16 ? 2 : 0), "%zu %zu",
            before, digits);
    }
  }
}

/* Nothing is read beyond the end, wherever a text breaks off (under ASan), and all fits. */
static void check_cut(const char *text) {
  char copy[512];
  bool marked = false;
  for (size_t len = 0; len <= strlen(text); len++) {
    char *cut = copy + sizeof copy - len; /* the last byte is the array's */
    memcpy(cut, text, len);
    prepare(cut, len, OM_JSON_ANSWER, &marked);
    prepare(cut, len, OM_JSON_EVENT, &marked);
    om_json_is_plain(cut, len);
    om_json_contradicts(cut, len, deciding);
    om_json_has_long_numbers(cut, len);
  }
}

struct pair {
  const char *text;
  bool contradicts;
};

static const struct pair pairs[] = {
    {"", false},
    {"[]", false},
    {"\"sent\"", false},
    {"{}", false},
    {"{\"sent\":true}", false},
    {"{\"sent\":true,\"sent\":true}", false},
    {"{\"sent\":true , \"sent\" : true }", false},
    {"{\"sent\":true,\"sent\":false}", true},
    {" {\n\"sent\"\t:\r\ntrue\n,\n\"x\":{\"sent\":1},\"sent\"\n:\nfalse\n}", true},
    {"{\"sent\":true,\"sent\":\"true\"}", true},
    {"{\"sent\":true,\"s\\u0065nt\":false}", true},
    {"{\"sent\":true,\"s\\u0065nT\":false}", false},
    {"{\"sent\":true,\"a\":{\"sent\":false},\"b\":[{\"sent\":false}]}", false},
    {"{\"a\":\"}\",\"sent\":true,\"b\":\"\\\"sent\\\":false\",\"c\":\"\\\\\"}", false},
    {"{\"a\":\"\\\\\",\"sent\":true,\"sent\":false}", true},
    {"{\"id\":1,\"id\":2}", true},
    {"{\"id\":{\"a\":1},\"id\":{\"a\":1}}", false},
    {"{\"jobId\":\"a\",\"message\":\"x\",\"message\":\"y\"}", false},
    {"{\"jobId\":\"a\",\"jobId\":\"b\"}", true},
    {"{\"jobId\":null,\"jobId\":\"b\"}", true},
    {"{\"id\":\"a\",\"jobId\":\"a\",\"sent\":\"a\"}", false},
    {"{\"id\":\"a\",\"jobId\":\"a\",\"id\":\"b\"}", true},
    {"{\"\":1,\"\":2}", false},
    {"{\"a-name-that-is-longer-than-any-that-is-asked-for\":1,\"id\":1,\"id\":2}", true},
};

int main(void) {
  check_exact("{\"id\":12345678901234567890}", "{\"id\":\"12345678901234567890\"}");
  check_exact("[9007199254740991,9007199254740992,9007199254740993]",
              "[9007199254740991,\"9007199254740992\",\"9007199254740993\"]");
  check_exact("[-9007199254740991,-9007199254740992]", "[-9007199254740991,\"-9007199254740992\"]");
  check_exact("12345678901234567", "\"12345678901234567\"");
  check_exact("{\"a\":\"12345678901234567\",\"b\\\"\":\"\\\\\"}",
              "{\"a\":\"12345678901234567\",\"b\\\"\":\"\\\\\"}");
  check_exact("{\"12345678901234567\":1}", "{\"12345678901234567\":1}");
  check_exact("[1234567890.12345678901234567,1e22,12345678901234567e1,12345678901234567.5]",
              "[1234567890.12345678901234567,1e22,12345678901234567e1,12345678901234567.5]");
  check_exact("", "");
  check_exact("\xEF\xBB\xBF{}", "{}");
  check_exact("\xEF\xBB", "\xEF\xBB");
  check_exact("[\"\\ud83d\"]", "[\"\\ufffd\"]");
  check_exact("[\"\\uD83D\\uDE00\\uDE00 \\ude00\\ud83d\"]",
              "[\"\\uD83D\\uDE00\\ufffd \\ufffd\\ufffd\"]");
  check_exact("[\"\\\\ud83d\",\"\\\\\\ud83dx\"]", "[\"\\\\ud83d\",\"\\\\\\ufffdx\"]");
  check_exact("[\"\\ud83\",\"\\uzzzz\",\"\\ud83d", "[\"\\ud83\",\"\\uzzzz\",\"\\ufffd");
  check_exact("{\"\\udc00\":1}", "{\"\\ufffd\":1}");
  check_event("{\"a\":19.90,\"b\":[],\"c\":[ \n],\"d\":{},\"e\":[1]}",
              "{\"a\":\"M19.90\",\"b\":\"M[]\",\"c\":\"M[]\",\"d\":{},\"e\":[1]}");
  check_event("[0,-1,12.5,0.25,990.0,1e3,1E-5,0.00001,123456789012345,1234567890123456]",
              "[0,-1,12.5,0.25,\"M990.0\",\"M1e3\",\"M1E-5\",\"M0.00001\",123456789012345,"
              "\"M1234567890123456\"]");
  check_event("[01.10,1.,.5,1e,1e+,--1,1.1.10,1-1]", "[01.10,1.,.5,1e,1e+,--1,1.1.10,1-1]");
  check_event("[\"19.90\",\"[]\"]", "[\"19.90\",\"[]\"]");
  check_event("[\"\\ud83d\\ude00\\ud83d\"]", "[\"\\ud83d\\ude00\xED\xA0\xBD\"]");
  check_event("[\"\xFF\xFF 1\"]", "[\"\xFE\xFE 1\"]");
  check_places();
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    CHECK(om_json_contradicts(pairs[i].text, strlen(pairs[i].text), deciding) ==
              pairs[i].contradicts,
          "%s", pairs[i].text);
    check_cut(pairs[i].text);
  }
  check_cut("{\"s\":\"\\ud83d\\ude00\\ud83d\",\"n\":-1.50e+10,\"e\":[ ]}");
  check_cut("{\"sent\":true,\"id\":-12345678901234567890,\"x\":[1,{\"y\":\"\\u0065\\\\\"}]}");
  return test_end();
}
