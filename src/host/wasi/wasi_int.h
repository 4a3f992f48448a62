// Inside the room wasi: the objects behind the handles.
//
// Invariants:
//  1. An object that another one reaches is counted: a stream keeps its body, a pollable what it watches, whatever the order in which the guest
//     drops them (W10).
//  2. An event is fired on the loop's thread only; firing makes calls ready and runs nothing of a guest.
//  3. What goes to another instance, over a link of two components, is charged there and goes with that. A body that its writer has here, and its request
//     there, is the writer's, and follows the request when nobody here has it any more; a request that was sent is where its future is, and follows its body
//     likewise. So two instances hold each other's objects, and either may end first.
//  4. A body knows its flow as long as that lives; afterwards (`over`) it reads as ended and writes as closed.
#ifndef TENON_WASI_INT_H
#define TENON_WASI_INT_H

#include "wasi.h"

// ---- events: what a call can wait for ------------------------------------------------------------------------------------------------
struct wasi_waiter {
	struct wasi_waiter *next, **prev;
	struct seam_park *park;               // NULL: it is told instead:
	void (*fn)(struct wasi_waiter *w);  // posts something, and no more
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
bool wasi__pollable_is_ready(const struct wasi_pollable *p, uint64_t now_ns);
// Waits until one of them is ready. `waiters`: room for as many, zeroed. They live until it returns.
enum seam_result wasi__pollables_wait(struct seam_call *c, struct wasi_pollable *const *list, struct wasi_waiter *waiters, uint32_t n);

// ---- streams -------------------------------------------------------------------------------------------------------------------------
enum wasi_io {
	WASI_IO_OK,
	WASI_IO_AGAIN,
	WASI_IO_CLOSED,
	WASI_IO_FAILED,  // an input will not come to its end, an output lost what it took; told once (take_error), closed afterwards
};

// What the handle of a wasi:io error stands for.
struct wasi_error {
	const char *text;   // static
	bool of_http;       // http-error-code has an answer
	uint8_t http_code;  // WASI_HTTP_TYPES_ERROR_CODE_*
	bool http_has_number;
	uint64_t http_number;    // a size, or an alert's number: of codes that have one
	const char *http_text;   // static; an alert's name, or that of a DNS answer's code; NULL: none
	bool of_files;      // filesystem-error-code has one
	uint8_t file_code;  // WASI_FILESYSTEM_TYPES_ERROR_CODE_*
	bool closed;        // it takes no more, and nothing else is known
	bool of_sockets;    // network-error-code has one
	uint8_t socket_code;  // WASI_SOCKETS_NETWORK_ERROR_CODE_*
};

struct wasi_input;
struct wasi_input_ops {
	// A view of at most `max` bytes (max > 0) of what is there, until the next call on the stream.
	enum wasi_io (*peek)(struct wasi_input *in, size_t max, struct slice *ret);
	void (*consume)(struct wasi_input *in, size_t n);
	void (*release)(struct wasi_input *in);
	// After WASI_IO_FAILED: why. It is closed from then on.
	struct wasi_error (*take_error)(struct wasi_input *in);  // NULL: it never fails
	// Whether a peek would not give WASI_IO_AGAIN. NULL: a peek tells.
	bool (*is_ready)(struct wasi_input *in);
	// Whether it is known to be closed, as a read of nothing tells then. NULL: that tells nothing.
	bool (*is_over)(struct wasi_input *in);
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
	// After WASI_IO_FAILED: why. It is closed from then on.
	struct wasi_error (*take_error)(struct wasi_output *out);  // NULL: it never fails
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
// Ready when there is something to read, or to be told of the end; when there is room. With a reference on the stream.
struct wasi_pollable wasi__input_pollable(struct wasi_input *in);
struct wasi_pollable wasi__output_pollable(struct wasi_output *out);
NODISCARD bool wasi__input_handle(struct seam_call *c, struct wasi_input *in, uint32_t *ret_rep);   // takes over a reference
NODISCARD bool wasi__output_handle(struct seam_call *c, struct wasi_output *out, uint32_t *ret_rep);

// ---- what an output took and could not pass on yet (pending.c) --------------------------------------------------------------------------
struct wasi_pending {
	struct pool *pool;  // what is charged
	uint8_t *bytes;
	size_t from, to, cap;
};
// At its end. false: no memory.
NODISCARD bool wasi__pending_put(struct wasi_pending *p, struct slice data);
static inline struct slice wasi__pending_view(const struct wasi_pending *p)
{
	return slice_sub(slice_of(p->bytes, p->to), p->from, p->to);
}
// The first n bytes have gone on.
void wasi__pending_took(struct wasi_pending *p, size_t n);
void wasi__pending_clear(struct wasi_pending *p);
// The pool goes; what waits stays, and nobody is charged for it.
void wasi__pending_keep(struct wasi_pending *p);

// ---- standard streams of a guest (cli.c): the process's own, else one that is at its end, the log ---------------------------------------
// A reference; NULL: no memory.
struct wasi_input *wasi__cli_input(struct seam_call *c);
struct wasi_output *wasi__cli_output(struct seam_call *c, int fd);
// Whether that is a terminal.
bool wasi__cli_is_terminal(const struct seam_call *c, int fd);

// ---- errors of files (fs_code.c) -----------------------------------------------------------------------------------------------------------
// WASI_FILESYSTEM_TYPES_ERROR_CODE_* of an errno.
uint8_t wasi__file_code(int errnum);
struct wasi_error wasi__file_error(int errnum);

// ---- standard streams ----------------------------------------------------------------------------------------------------------------------
// Of the process, in `memory` of the guest that has them; fd is 1 or 2. NULL: no memory.
struct wasi_input *wasi__stdin(struct wasi_stdio *s, struct pool *memory);
struct wasi_output *wasi__stdout(struct wasi_stdio *s, struct pool *memory, int fd);
// The guest goes: what it wrote stays until it is flushed. NULL does nothing.
void wasi__stdio_keep(struct wasi_stdio *s);
// `s` may be NULL: none is one then (W15).
bool wasi__stdio_is_terminal(const struct wasi_stdio *s, int fd);

// ---- state of an instance ----------------------------------------------------------------------------------------------------------------
// What a task has printed of a line.
struct wasi_line {
	struct wasi_line *next;
	const struct seam_task *task;
	int fd;
	uint32_t len;
	uint8_t text[4096];
};
struct wasi_fs;
struct wasi_sockets;
struct wasi_preview1;
struct wasi_state {
	struct wasi *wasi;
	struct canon_instance *instance;
	struct wasi_line *lines;  // of the tasks that are in it; of one at most one a stream
	bool has_seed;
	uint64_t seed[2];         // once it was asked for
	struct wasi_fs *fs;       // once files were asked for
	struct wasi_sockets *sockets;  // likewise
	struct wasi_preview1 *preview1;  // of a core module with worlds, once it called a function of it
};
// Preview 1 as core functions of such modules; what it has of an instance goes (NULL does nothing); is that as any other instance would have it at first?
struct seam_core wasi__preview1_core(struct wasi *w);
void wasi__preview1_close(struct wasi_preview1 *p);
bool wasi__preview1_is_fresh(const struct wasi_preview1 *p);
extern const struct seam_provider_ops wasi__provider_ops;
// Text that a guest printed, cut into lines. Without memory for a line it is lost.
void wasi__log_write(struct wasi_state *s, struct seam_task *task, int fd, struct slice data);
// The lines that were begun are forgotten / those of the task end.
void wasi__log_clear(struct wasi_state *s);
void wasi__log_end(struct wasi_state *s, struct seam_task *task);
// A message of wasi:logging. It is charged to the same limit, as far as it is shown.
void wasi__log_message(const struct wasi_log *log, struct seam_task *task, uint8_t level, struct slice context, struct slice text);

// ---- random bytes ----------------------------------------------------------------------------------------------------------------------
// false: the system has none.
NODISCARD bool wasi__random_fill(struct seam_call *c, void *into, size_t n);
// So many bytes as a list; a trap where the system has none.
enum seam_result wasi__random_bytes(struct seam_call *c, uint64_t n, struct wit_list *ret);
enum seam_result wasi__random_words(struct seam_call *c, uint64_t *ret, size_t n);
enum { WASI_RANDOM_MAX = 1 << 20 };  // bytes a call (L77)

// ---- fields ----------------------------------------------------------------------------------------------------------------------------
enum wasi_fields_error { WASI_FIELDS_OK, WASI_FIELDS_SYNTAX, WASI_FIELDS_FORBIDDEN, WASI_FIELDS_IMMUTABLE, WASI_FIELDS_SIZE, WASI_FIELDS_NOMEM };
struct wasi_fields {
	struct canon_instance *instance;
	uint32_t refs;
	bool immutable;
	bool is_3;               // of WASI 0.3: values may have blanks around them until they are sent, a name has one casing
	uint32_t n, cap;
	uint32_t bytes;              // of names and values: bounded
	struct http_field *list;     // first_list, or a block of its own
	struct http_field first_list[8];
	uint32_t first_used;         // of first_bytes: a field's name and value lie there, or in a block of their own
	uint8_t first_bytes[512];
};
struct wasi_fields *wasi__fields_new(struct canon_instance *i);  // NULL: memory is out
struct wasi_fields *wasi__fields_clone(const struct wasi_fields *f, struct canon_instance *i);  // that can be changed, in `i`
// The same in another instance.
struct wasi_fields *wasi__fields_remake(const struct wasi_fields *f, struct canon_instance *i);
// They, or a copy where others have them too, are another instance's. NULL stays NULL. false: no room there, and they are good for being dropped alone.
NODISCARD bool wasi__fields_move(struct wasi_fields **at, struct canon_instance *to);
enum canon_move wasi__fields_object_move(struct canon_instance *to, void **object);  // the same as an object (canon_resource_ops.move)
struct wasi_fields *wasi__fields_ref(struct wasi_fields *f);
void wasi__fields_unref(void *f);
// Copies. Checks syntax, forbidden names, limits (L82, L83, W27, W28).
enum wasi_fields_error wasi__fields_append(struct wasi_fields *f, struct slice name, struct slice value);
enum wasi_fields_error wasi__fields_delete(struct wasi_fields *f, struct slice name);
enum wasi_fields_error wasi__fields_set(struct wasi_fields *f, struct slice name, const struct wit_list *values, size_t n);
// Values lose the blanks around them, which are none of theirs (RFC 9110, 5.5).
void wasi__fields_trim(struct wasi_fields *f);
// What came over the wire, without what guests do not see. false: memory is out.
NODISCARD bool wasi__fields_fill(struct wasi_fields *f, const struct http_field *list, uint32_t n);
// Those of a request that is served, with the host's own. Likewise.
NODISCARD bool wasi__fields_of_call(struct wasi_fields *f, struct wasi_http_call *call, const struct http_request *h);

// ---- bodies ------------------------------------------------------------------------------------------------------------------------------
struct wasi_http_body {
	struct canon_instance *instance;
	struct canon_instance *away;  // out: another one, where its request is, which has one of the references; NULL: it is here, or gone
	uint32_t refs;
	struct wasi_http_flow *flow;  // NULL: not yet sent (out), or over
	bool over;
	struct wasi_event ready;      // readable (in), writable (out)
	bool stream_taken;
	uint32_t streams;             // live streams: finish traps while there are any (W29)
	bool ended;       // in: read to its end, or its failure was told
	bool of_request;              // out: not of a response
	bool finished, abandoned;     // out: finished, or dropped unfinished; before the response is set writes are kept in `held`
	bool too_long;                // out: more was written than was announced
	struct buf held;
	struct wasi_fields *trailers; // out: finished before the response was set
	uint64_t length, written;     // out: Content-Length that the guest set, or HTTP_LENGTH_UNKNOWN
};
struct wasi_http_body *wasi__body_new(struct canon_instance *i, struct wasi_http_flow *flow);
// As a handle of `class`, with the caller's own reference borrowed from it. NULL: a trap.
struct wasi_http_body *wasi__body_give(struct seam_call *c, struct wasi_http_flow *flow, const struct canon_resource_ops *class, uint32_t *ret_rep);
// The function `consume` of what comes in by the flow: once.
enum seam_result wasi__body_give_incoming(struct seam_call *c, struct wasi_http_flow *flow, bool *consumed, struct wasi_result_own_http_types_incoming_body_void *ret);
// The function `body` of what goes out, which has it at *at: given once.
enum seam_result wasi__body_give_outgoing(struct seam_call *c, struct wasi_http_body **at, struct wasi_result_own_http_types_outgoing_body_void *ret);
// Why what comes will not come to its end, where that is lost, or over (NULL).
struct wasi_error wasi__body_error(const struct wasi_http_flow *flow);
// It goes on without the flow: reads as lost, writes as closed.
void wasi__body_over(struct wasi_http_body *b);
// Of a flow: callbacks of its exchange, as its owner.
void wasi__flow_readable(void *flow, struct http_exchange *x);
void wasi__flow_writable(void *flow, struct http_exchange *x);
struct wasi_http_body *wasi__body_ref(struct wasi_http_body *b);
void wasi__body_unref(void *b);
struct wasi_input *wasi__body_input(struct wasi_http_body *b);
struct wasi_output *wasi__body_output(struct wasi_http_body *b);
// The head was sent on `flow`: what was held goes out, and its end if it is finished already.
void wasi__body_send(struct wasi_http_body *b, struct wasi_http_flow *flow);
// What the guest holds of a request; `call` is NULL once that is over.
struct wasi_http_request {
	struct wasi_http_call *call;
	bool consumed;
};
struct wasi_http_outparam {
	struct wasi_http_call *call;
};
// A request that is served begins: its flow, then (when nothing can fail any more) whose exchange it is.
void wasi__http_flow_init(struct wasi_http_call *c, struct http_exchange *x);
void wasi__http_flow_own(struct wasi_http_call *c);
// The host answers instead of what the guest set: with 503 where memory is out (`why`), else with 500; NULL: it set an error.
void wasi__http_refuse(struct wasi_http_call *c, const struct err *why);
struct wasi_http_response {
	unsigned status;
	struct wasi_fields *headers;
	struct wasi_http_body *body;  // once asked for
};
// A request that the guest makes, until it is sent.
enum { TEXT_METHOD, TEXT_PATH, TEXT_AUTHORITY, TEXT_SCHEME, TEXTS };
struct wasi_http_outgoing_request {
	struct wasi_fields *headers;
	struct wasi_http_body *body;
	struct wasi_http_types_method method;
	struct wasi_option_string path, authority;
	struct wasi_option_http_types_scheme scheme;
	uint8_t *texts[TEXTS];  // what those four point to: each is given back when it is set anew
};
void wasi__http_outgoing_request_free(struct wasi_http_outgoing_request *r);
struct wasi_http_options {
	struct wasi_option_u64 connect, first_byte, between_bytes;
};
// The link that the call goes by; NULL: by none (http_link.c). May it have that method? The fields that go out, in the call's arena; false: no memory.
const struct wasi_http_link *wasi__http_link_of(const struct seam_call *c);
bool wasi__http_link_allows(const struct wasi_http_link *l, struct slice method);
NODISCARD bool wasi__http_link_fields(struct seam_call *c, const struct wasi_http_link *l, const struct wasi_fields *of_guest, const struct http_field **ret,
	uint32_t *ret_n);
// Sends it, and what there is of its body. A flow with one reference, of its callers; NULL: *ret_code, the case of error-code.
struct wasi_http_flow *wasi__http_send(struct seam_call *c, const struct wasi_http_outgoing_request *r, const struct wasi_http_options *o, uint8_t *ret_code);
// Of such a flow: the answer's head is there (http_exchange_answer), or none will come; what fires then.
bool wasi__http_has_come(const struct wasi_http_flow *f);
struct wasi_event *wasi__http_answered(struct wasi_http_flow *f);
// Content-Length as the guest set it, HTTP_LENGTH_UNKNOWN if it did not. false: not a length (W32).
bool wasi__fields_length(const struct wasi_fields *f, uint64_t *ret);
// What an error says to guests of HTTP; its text is static.
struct wasi_http_types_error_code wasi__http_error(const struct wasi_error *error);
// A handle of fields that somebody keeps; NULL: memory is out.
enum seam_result wasi__fields_handle(struct seam_call *c, struct wasi_fields *f, uint32_t *ret);
enum wasi_finish { WASI_FINISH_OK, WASI_FINISH_SIZE, WASI_FINISH_CLOSED };  // SIZE: it is not as long as announced
// Keeps a reference on the trailers when the response is still to be set.
enum wasi_finish wasi__body_finish(struct wasi_http_body *b, struct wasi_fields *trailers);
void wasi__flow_finished(struct wasi_http_flow *f);
// Its response or request is gone. If that was never sent nobody will take what is written: the body is closed.
void wasi__body_lost(struct wasi_http_body *b);
// Its request goes to another instance: it follows, now or later (`away`). NULL: there is none. false: no room there, the request is to be dropped.
NODISCARD bool wasi__body_follow(struct wasi_http_body *b, struct canon_instance *to);
// One that came and that nobody reads yet, which alone is left of what it is of, but for what we send. false: as above.
NODISCARD bool wasi__body_move(struct wasi_http_body *b, struct canon_instance *to);
// Dropped without finish: never a clean end (L87).
void wasi__body_abandon(struct wasi_http_body *b);

#endif
