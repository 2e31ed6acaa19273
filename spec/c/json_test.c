/* json_test.c: long numbers keep their digits, everything else its bytes; and which names
 * contradict each other. */
#include "json.h"

#include "test.h"

static const char *const deciding[] = {"sent", "jobId", "id", NULL};

static void check_exact(const char *text, const char *expected) {
  char out[OM_JSON_EXACT_BYTES(512)];
  size_t len = om_json_exact(text, strlen(text), out);
  CHECK(len == strlen(expected) && memcmp(out, expected, len) == 0, "%s became %.*s", text,
        (int)len, out);
  CHECK(strcmp(text, expected) == 0 || om_json_has_long_numbers(text, strlen(text)), "%s", text);
}

/* A number with so many digits, at every place: it is found, and fits. */
static void check_places(void) {
  static char text[512];
  static char out[OM_JSON_EXACT_BYTES(sizeof text)];
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
      CHECK(om_json_exact(text, len, out) == len + (digits >= 16 ? 2 : 0), "%zu %zu", before,
            digits);
    }
  }
}

/* Nothing is read beyond the end, wherever a text breaks off (under ASan), and all fits. */
static void check_cut(const char *text) {
  static char out[OM_JSON_EXACT_BYTES(512)];
  char copy[512];
  for (size_t len = 0; len <= strlen(text); len++) {
    char *cut = copy + sizeof copy - len; /* the last byte is the array's */
    memcpy(cut, text, len);
    size_t written = om_json_exact(cut, len, out);
    CHECK(written <= OM_JSON_EXACT_BYTES(len), "%.*s", (int)len, text);
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
  check_places();
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    CHECK(om_json_contradicts(pairs[i].text, strlen(pairs[i].text), deciding) ==
              pairs[i].contradicts,
          "%s", pairs[i].text);
    check_cut(pairs[i].text);
  }
  check_cut("{\"sent\":true,\"id\":-12345678901234567890,\"x\":[1,{\"y\":\"\\u0065\\\\\"}]}");
  return test_end();
}
