/* redact.h: keeps a token out of texts that others wrote: answers, errors, what libcurl says. Pure.
 *
 * Servers echo tokens whole, cut at either end, and escaped as JSON and URLs do. Whatever has
 * OM_SECRET_BYTES of it in a row goes; fewer are no help in guessing the rest, and would be words
 * that just happen to stand in a token. Of a shorter token only the whole is looked for.
 */
#ifndef OM_REDACT_H
#define OM_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#define OM_SECRET_BYTES     12
#define OM_SECRET_MAX_BYTES 8192 /* the longest token */

struct om_secret;

/* Any thread; immutable once made. token: 1 to OM_SECRET_MAX_BYTES. NULL: no memory. */
struct om_secret *om_secret_new(const char *token);
void om_secret_free(struct om_secret *secret);

/* Whether the text has the token, or so much of it, in it. */
bool om_secret_is_in(const struct om_secret *secret, const char *text, size_t len);

/* Writes the text without the token to out (at least len bytes, which always suffice: a text never
 * grows; may not be `text` itself). Returns the length. */
size_t om_secret_redact(const struct om_secret *secret, const char *text, size_t len, char *out);

#endif
