/* answer.h: from what came home to `value` or `nil, err, info`. On the owner's thread. */
#ifndef OM_ANSWER_H
#define OM_ANSWER_H

#include "pending.h"
#include "transfer.h"

#define OM_JSON_MAX_DEPTH  64 /* a template with a carousel has about 12 */
#define OM_DIGITS_BYTES    24
#define OM_INFO_BODY_BYTES 2048 /* of an answer's body in info.body, after redaction */

/* struct om_work.answer of the operations. changes: what cleaning changed, or nil. */
int om_answer_send(lua_State *L, struct om_state *state, struct om_job *job, int changes);
/* An answer that is a JSON object or list is the value. */
int om_answer_read(lua_State *L, struct om_state *state, struct om_job *job, int nothing);
/* The same, but any complete 2xx is a value (a text if it is no JSON), and info comes with it. */
int om_answer_request(lua_State *L, struct om_state *state, struct om_job *job, int nothing);
/* { hooks = … } becomes a report; note: { id = the message id }. */
int om_answer_hooks(lua_State *L, struct om_state *state, struct om_job *job, int note);
/* The list of webhook URLs, by onemsg.webhook. */
int om_answer_webhook(lua_State *L, struct om_state *state, struct om_job *job, int nothing);

/* Pushes what a JSON text says, or nil; whole numbers that a double does not hold as strings. */
void om_answer_decode(lua_State *L, struct om_state *state, const char *text, size_t len);
/* The digits of a whole number at index. False: it is none, or has lost some. */
bool om_answer_digits(lua_State *L, int index, char digits[OM_DIGITS_BYTES]);

#endif
