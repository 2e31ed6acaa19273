/* hmac_test.c: hmac.c against RFC 4231 (its cases for SHA-256, some for SHA-512) and the vector of
 * the Standard Webhooks libraries, and the comparison. */
#include "hmac.h"
#include "test.h"

#define LONG_KEY_BYTES 131

static void hex_of(const unsigned char *bytes, size_t len, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < len; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
  out[2 * len] = '\0';
}

static void check_mac(const void *key, size_t key_len, const void *data, size_t data_len,
                      const char *expected) {
  unsigned char mac[OM_HMAC_MAX_BYTES];
  char hex[2 * OM_HMAC_MAX_BYTES + 1];
  size_t len = strlen(expected) / 2; /* tells the hash */
  memset(mac, 0xEE, sizeof mac);
  CHECK(om_hmac(len == 64 ? OM_SHA512 : OM_SHA256, key, key_len, data, data_len, mac) == len, "%s",
        expected);
  hex_of(mac, len, hex);
  CHECK(strcmp(hex, expected) == 0, "%s is not %s", hex, expected);
}

static void check_text(const void *key, size_t key_len, const char *text, const char *expected) {
  check_mac(key, key_len, text, strlen(text), expected);
}

static void check_rfc4231(void) {
  unsigned char key[LONG_KEY_BYTES], data[50];
  memset(key, 0x0b, 20);
  check_text(key, 20, "Hi There",
             "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  check_text(key, 20, "Hi There",
             "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
             "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854");
  check_text("Jefe", 4, "what do ya want for nothing?",
             "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
             "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
  check_text("Jefe", 4, "what do ya want for nothing?",
             "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  memset(key, 0xaa, sizeof key);
  memset(data, 0xdd, sizeof data);
  check_mac(key, 20, data, sizeof data,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  check_text(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First",
             "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
             "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598");
  check_text(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First",
             "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  check_text(key, sizeof key,
             "This is a test using a larger than block-size key and a larger than block-size data. "
             "The key needs to be hashed before being used by the HMAC algorithm.",
             "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
  for (unsigned char i = 0; i < 25; i++)
    key[i] = (unsigned char)(i + 1);
  memset(data, 0xcd, sizeof data);
  check_mac(key, 25, data, sizeof data,
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
}

/* base64 of the expected MAC: g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= */
static void check_standard_webhooks(void) {
  static const unsigned char key[] = {0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a,
                                      0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f, 0x08, 0x2c,
                                      0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0};
  check_text(key, sizeof key, "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}",
             "83484cf52b04f8e4cf2531adfed9882ad4b2665137b852442d594d20e2c9d4e1");
}

static void check_edges(void) {
  unsigned char mac[OM_HMAC_MAX_BYTES];
  static const char empty[] = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
  check_mac("Jefe", 4, "a\0b", 3,
            "abe96d286949754c65051de08d3f8b1b5d35c314af100829f50c13954d98b7ea");
  check_mac("", 0, "", 0, empty);
  /* twice: an empty key is empty, not "the key of the call before" */
  check_text("Jefe", 4, "what do ya want for nothing?",
             "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  check_mac(NULL, 0, NULL, 0, empty);
  memset(mac, 0xEE, sizeof mac);
  CHECK(om_hmac(OM_SHA256, "k", (size_t)1 << 40, "", 0, mac) == 0, "a key of a terabyte");
  for (size_t i = 0; i < sizeof mac; i++)
    CHECK(mac[i] == 0, "byte %zu of a refused MAC", i);
}

static void check_equal(void) {
  unsigned char a[64], b[64];
  CHECK(om_equal(NULL, 0, NULL, 0) && om_equal("", 0, NULL, 0), "nothing");
  CHECK(!om_equal("a", 1, "", 0) && !om_equal("a", 1, "ab", 2), "lengths");
  CHECK(om_equal("a\0b", 3, "a\0b", 3) && !om_equal("a\0b", 3, "a\0c", 3), "a NUL ends nothing");
  for (size_t i = 0; i < sizeof a; i++) {
    a[i] = (unsigned char)test_random(256);
    b[i] = a[i];
  }
  for (size_t len = 1; len <= sizeof a; len++) {
    CHECK(om_equal(a, len, b, len), "%zu equal bytes", len);
    for (size_t i = 0; i < len; i++) {
      b[i] ^= (unsigned char)(1u << test_random(8));
      CHECK(!om_equal(a, len, b, len), "byte %zu of %zu differs", i, len);
      b[i] = a[i];
    }
  }
}

int main(void) {
  check_rfc4231();
  check_standard_webhooks();
  check_edges();
  check_equal();
  return test_end();
}
