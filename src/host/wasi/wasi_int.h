// Inside the room wasi: the objects behind the handles.
//
// Invariants:
//  1. An object that another one reaches is counted: a stream keeps its body, a pollable what it watches, whatever the order in which the guest
//     drops them (W10).
//  2. An event is fired on the loop's thread only; firing makes calls ready and runs nothing of a guest.
//  3. A body knows its call as long as that lives; afterwards (`over`) it reads as ended and writes as closed.
#ifndef TENON_WASI_INT_H
#define TENON_WASI_INT_H

#include "wasi.h"

// ---- events: what a call can wait for ------------------------------------------------------------------------------------------------
struct wasi_waiter {
	struct wasi_waiter *next, **prev;
	struct seam_park *park;
};
struct wasi_event {
	struct wasi_waiter *waiters;
};
void wasi__event_watch(struct wasi_event *ev, struct wasi_waiter *w, struct seam_park *park);
void wasi__event_unwatch(struct wasi_waiter *w);
void wasi__event_fire(struct wasi_event *ev);
// Parks the call until the event fires.
enum seam_result wasi__event_wait(struct seam_call *c, struct wasi_event *ev);

// ---- pollables -----------------------------------------------------------------------------------------------------------------------
struct wasi_pollable {
	bool (*ready)(const struct wasi_pollable *p, uint64_t now_ns);
	struct wasi_event *event;      // NULL: only time makes it ready
	void *of;       // input or output stream, future…
	void (*release)(void *of);
	uint64_t when_ns;              // of clocks: loop_now_ns; UINT64_MAX: never
};
// As a resource handle. Takes over one reference on `of`. false: the message is set.
NODISCARD bool wasi__pollable_new(struct seam_call *c, struct wasi_pollable p, uint32_t *ret_rep);

// ---- streams -------------------------------------------------------------------------------------------------------------------------
enum wasi_io {
	WASI_IO_OK,
	WASI_IO_AGAIN,
	WASI_IO_CLOSED,
	WASI_IO_FAILED,  // of inputs: it will not come to its end; told once (take_error), closed afterwards
};

// What the handle of a wasi:io error stands for.
struct wasi_error {
	const char *text;   // static
	bool of_http;       // http-error-code has an answer
	uint8_t http_code;  // WASI_HTTP_TYPES_ERROR_CODE_*
};

struct wasi_input;
struct wasi_input_ops {
	// A view of at most `max` bytes (max > 0) of what is there, until the next call on the stream.
	enum wasi_io (*peek)(struct wasi_input *in, struct slice *ret);
	void (*consume)(struct wasi_input *in, size_t n);
	void (*release)(struct wasi_input *in);
	// After WASI_IO_FAILED: why. It is closed from then on.
	struct wasi_error (*take_error)(struct wasi_input *in);  // NULL: it never fails
};
struct wasi_input {
	const struct wasi_input_ops *ops;
	uint32_t refs;
	struct wasi_event *readable;  // NULL: always ready
	void *of;
};

struct wasi_output;
struct wasi_output_ops {
	// Bytes that a write takes now; 0: wait for `writable`. WASI_IO_CLOSED when nothing will be taken any more.
	enum wasi_io (*permit)(struct wasi_output *out, size_t *ret);
	enum wasi_io (*write)(struct wasi_output *out, struct seam_task *task, struct slice data);
	// WASI_IO_AGAIN: not yet flushed, `writable` fires.
	enum wasi_io (*flush)(struct wasi_output *out);
	void (*release)(struct wasi_output *out);
	uint32_t piece;  // bytes that take long enough to look at the time after them (a line may be written for each); 0: a write is fast
};
struct wasi_output {
	const struct wasi_output_ops *ops;
	uint32_t refs;
	struct wasi_event *writable;  // NULL: always ready
	void *of;
	uint64_t promised;  // what check-write promised and write has not used (W12)
};
struct wasi_input *wasi__input_ref(struct wasi_input *in);
void wasi__input_unref(void *in);
struct wasi_output *wasi__output_ref(struct wasi_output *out);
void wasi__output_unref(void *out);
NODISCARD bool wasi__input_handle(struct seam_call *c, struct wasi_input *in, uint32_t *ret_rep);   // takes over a reference
NODISCARD bool wasi__output_handle(struct seam_call *c, struct wasi_output *out, uint32_t *ret_rep);

// ---- state of an instance ----------------------------------------------------------------------------------------------------------------
struct wasi_line {
	uint8_t text[4096];
	uint32_t len;
};
struct wasi_state {
	struct wasi *wasi;
	struct canon_instance *instance;
	struct wasi_line *lines[2];  // unfinished lines of stdout and stderr
};
extern const struct seam_provider_ops wasi__provider_ops;
// Text that a guest printed, cut into lines. Without memory for a line it is lost.
void wasi__log_write(struct wasi_state *s, struct seam_task *task, int fd, struct slice data);

// ---- fields ----------------------------------------------------------------------------------------------------------------------------
enum wasi_fields_error { WASI_FIELDS_OK, WASI_FIELDS_SYNTAX, WASI_FIELDS_FORBIDDEN, WASI_FIELDS_IMMUTABLE, WASI_FIELDS_SIZE, WASI_FIELDS_NOMEM };
struct wasi_fields {
	struct canon_instance *instance;
	uint32_t refs;
	bool immutable;
	uint32_t n, cap;
	uint32_t bytes;              // of names and values: bounded by HTTP_HEAD_MAX
	struct http_field *list;     // first_list, or a block of its own
	struct http_field first_list[8];
	uint32_t first_used;         // of first_bytes: a field's name and value lie there, or in a block of their own
	uint8_t first_bytes[512];
};
struct wasi_fields *wasi__fields_new(struct canon_instance *i);  // NULL: memory is out
struct wasi_fields *wasi__fields_clone(const struct wasi_fields *f);
struct wasi_fields *wasi__fields_ref(struct wasi_fields *f);
void wasi__fields_unref(void *f);
// Copies. Checks syntax, forbidden names, limits (L82, L83, W27, W28).
enum wasi_fields_error wasi__fields_append(struct wasi_fields *f, struct slice name, struct slice value);
enum wasi_fields_error wasi__fields_delete(struct wasi_fields *f, struct slice name);
enum wasi_fields_error wasi__fields_set(struct wasi_fields *f, struct slice name, const struct wit_list *values, size_t n);
// What came over the wire, without what guests do not see. false: memory is out.
NODISCARD bool wasi__fields_fill(struct wasi_fields *f, const struct http_field *list, uint32_t n);

// ---- bodies ------------------------------------------------------------------------------------------------------------------------------
struct wasi_http_body {
	struct canon_instance *instance;
	uint32_t refs;
	struct wasi_http_call *call;  // NULL: not yet sent (out), or over
	bool over;
	struct wasi_event ready;      // readable (in), writable (out)
	bool stream_taken;
	uint32_t streams;             // live streams: finish traps while there are any (W29)
	bool ended;       // in: read to its end, or its failure was told
	bool finished, abandoned;     // out: finished, or dropped unfinished; before the response is set writes are kept in `held`
	struct buf held;
	struct wasi_fields *trailers; // out: finished before the response was set
	uint64_t length, written;     // out: Content-Length that the guest set, or HTTP_LENGTH_UNKNOWN
};
struct wasi_http_body *wasi__body_new(struct canon_instance *i, struct wasi_http_call *call);
// Why the request's body of a call that is lost, or over (NULL), will not come to its end.
struct wasi_error wasi__body_error(const struct wasi_http_call *call);
struct wasi_http_body *wasi__body_ref(struct wasi_http_body *b);
void wasi__body_unref(void *b);
struct wasi_input *wasi__body_input(struct wasi_http_body *b);
struct wasi_output *wasi__body_output(struct wasi_http_body *b);
// The head was sent for `call`: what was held goes out, and its end if it is finished already.
void wasi__body_send(struct wasi_http_body *b, struct wasi_http_call *call);
// What the guest holds of a request; `call` is NULL once that is over.
struct wasi_http_request {
	struct wasi_http_call *call;
	bool consumed;
};
struct wasi_http_outparam {
	struct wasi_http_call *call;
};
struct wasi_http_response {
	unsigned status;
	struct wasi_fields *headers;
	struct wasi_http_body *body;  // once asked for
};
enum wasi_finish { WASI_FINISH_OK, WASI_FINISH_SHORT, WASI_FINISH_CLOSED };
// Keeps a reference on the trailers when the response is still to be set.
enum wasi_finish wasi__body_finish(struct wasi_http_body *b, struct wasi_fields *trailers);
void wasi__call_finished(struct wasi_http_call *call);
// Its response or request is gone. If that was never sent nobody will take what is written: the body is closed.
void wasi__body_lost(struct wasi_http_body *b);
// Dropped without finish: never a clean end (L87).
void wasi__body_abandon(struct wasi_http_body *b);

#endif
