// wasi:http@0.3: requests and responses, whichever way they go, over the same exchanges, bodies and fields as 0.2's.
//
//   message   a request or response in a guest's hands: it came (its body is an exchange's), or a guest made it (its body is a stream and a future)
//   sending   one on its way out: its contents go into an outgoing body, then its trailers end that; what became of it is told to who made it
#ifndef TENON_WASI_HTTP3_INT_H
#define TENON_WASI_HTTP3_INT_H

#include "end_int.h"

struct wasi_http3_options {
	struct wasi_http_options o;
	bool immutable;
};
struct wasi_http3_sending;
struct wasi_http3_message {
	struct canon_instance *instance;
	struct wasi *wasi;                       // of a request that came: of whom it came to
	struct wasi_http_outgoing_request head;  // of a response: its fields alone; headers NULL: not asked for yet, of a request that came
	struct wasi_http3_options *options;      // NULL: none
	struct wasi_http_call *call;             // of a request that is served, until that is over
	struct wasi_http_body *in;               // of one that came
	uint32_t contents, trailers;             // of one that was made, native values; 0: no contents
	struct wasi_promise *sent;               // what became of it; of who made it, in another instance perhaps
	uint16_t status;
};
struct wasi_http3_message *wasi__http3_message_new(struct canon_instance *i);
void wasi__http3_message_free(struct wasi_http3_message *m);
// The fields of one; NULL: no memory.
struct wasi_fields *wasi__http3_message_fields(struct wasi_http3_message *m);
// The text of `which` (TEXT_*) is a copy of this from now on. false: no memory.
NODISCARD bool wasi__http3_message_keep(struct wasi_http3_message *m, unsigned which, struct slice text, struct wit_string *ret);

// Its method is the case of that name, or a copy of the name. false: no memory.
NODISCARD bool wasi__http3_message_method(struct wasi_http3_message *m, struct slice method);

// What a future of trailers brings, to the host.
struct wasi_http3_trailers {
	struct wasi_fields *fields;  // NULL: none; a reference
	uint8_t code;
	bool is_err;
};
// The stream and the future of a body that came, whose message has been taken apart. Takes over the reference on `in`. false: no memory, or too many.
NODISCARD bool wasi__http3_incoming_new(struct wasi *w, struct wasi_http_body *in, const struct wit_type *trailers, uint32_t *ret_stream, uint32_t *ret_trailers);
// Trailers of a body whose end was reached; of one that was not an error.
struct wasi_http3_trailers wasi__http3_trailers_of(const struct wasi_http_body *in);

// ---- on its way out (http3_send.c) ------------------------------------------------------------------------------------------------------
// Its trailers are asked for at once. *of: where the owner has it: NULL there when it is over. false: a trap (*ret_trap), or no memory.
NODISCARD bool wasi__http3_sending_new(struct wasi_http3_message *m, struct canon_task *t, struct wasi_http3_sending **of, bool *ret_trap);
// Nothing comes before its end: it has no contents and no trailers.
bool wasi__http3_sending_is_empty(const struct wasi_http3_sending *s);
// The head went out before `body`, which goes to the wire; takes over the reference on it. `task`: that sends. It may be over, and gone, when this returns.
NODISCARD bool wasi__http3_sending_start(struct wasi_http3_sending *s, struct wasi_http_body *body, struct seam_task *task);
// Its owner goes, and it goes on. NULL does nothing.
void wasi__http3_sending_leave(struct wasi_http3_sending *s);
// It has ended otherwise: with an error, or without (`why` NULL). NULL does nothing.
void wasi__http3_sending_end(struct wasi_http3_sending *s, const struct wasi_error *why);
// Tells when it has come to wait for a guest.
void wasi__http3_sending_watch(struct wasi_http3_sending *s, void (*idle)(void *ctx), void *ctx);
// Nobody but a guest of its instance can bring it on.
bool wasi__http3_sending_waits_for_guest(const struct wasi_http3_sending *s);
void wasi__http3_tell_sent(struct wasi_promise **sent, const struct wasi_error *why);
// Who would have told of it is gone, with its instance: whoever waits in another one is told that.
void wasi__http3_leave_sent(struct wasi_promise **sent, const struct canon_instance *gone);
// What an error says; its text is static.
struct wasi_http3_types_error_code wasi__http3_error(const struct wasi_error *why);

// How its reader liked a body, for who made it: takes the future over. *sent is NULL afterwards. false: a trap, or no memory.
NODISCARD bool wasi__http3_liked(struct seam_call *c, uint32_t res, struct wasi_promise **sent);

#endif
