/* hmac.c: see hmac.h. Two calls into libcrypto, and what their interfaces leave to the caller: an
 * int for the key's length, and a key pointer that must not be NULL even when it is empty.
 */
#include "hmac.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

size_t om_hmac(enum om_hash hash, const void *key, size_t key_len, const void *data,
               size_t data_len, unsigned char out[OM_HMAC_MAX_BYTES]) {
  static const unsigned char nothing[1] = {0};
  unsigned int len = 0;

  memset(out, 0, OM_HMAC_MAX_BYTES);
  if (key_len > INT_MAX) {
    return 0;
  }
  const void *k = key_len > 0 ? key : nothing; /* HMAC() takes NULL for "the key of before" */
  const void *d = data_len > 0 ? data : nothing;
  const EVP_MD *md = hash == OM_SHA512 ? EVP_sha512() : EVP_sha256();
  unsigned char *mac = HMAC(md, k, (int)key_len, d, data_len, out, &len);
  return mac != NULL ? len : 0;
}

size_t om_sha256(const void *data, size_t data_len, unsigned char out[OM_HMAC_MAX_BYTES]) {
  static const unsigned char nothing[1] = {0};
  unsigned int len = 0;

  memset(out, 0, OM_HMAC_MAX_BYTES);
  const void *d = data_len > 0 ? data : nothing;
  return EVP_Digest(d, data_len, out, &len, EVP_sha256(), NULL) == 1 ? len : 0;
}

bool om_equal(const void *a, size_t a_len, const void *b, size_t b_len) {
  if (a_len != b_len) {
    return false;
  }
  return a_len == 0 || CRYPTO_memcmp(a, b, a_len) == 0;
}
