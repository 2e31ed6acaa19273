/* hmac.h: HMAC-SHA256 and -SHA512, and a comparison that takes the same time wherever two texts
 * differ, by libcrypto. For the signatures of incoming events and the secrets in hook URLs. Pure:
 * no Lua, no I/O, no state of ours, any thread.
 */
#ifndef OM_HMAC_H
#define OM_HMAC_H

#include <stdbool.h>
#include <stddef.h>

#define OM_HMAC_MAX_BYTES 64 /* a SHA-512 */

enum om_hash { OM_SHA256, OM_SHA512 };

/* RFC 2104. An empty key or text is allowed (a pointer may then be NULL). Returns the length of the
 * MAC; 0: libcrypto refused, or the key is longer than INT_MAX; out is then all zero and must not
 * be used. */
size_t om_hmac(enum om_hash hash, const void *key, size_t key_len, const void *data,
               size_t data_len, unsigned char out[OM_HMAC_MAX_BYTES]);

/* The SHA-256 of a text, FIPS 180-4: 32 bytes; 0: libcrypto refused, and out is all zero. */
size_t om_sha256(const void *data, size_t data_len, unsigned char out[OM_HMAC_MAX_BYTES]);

/* True when both are the same bytes. The time depends on the lengths only, which are no secret. */
bool om_equal(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
