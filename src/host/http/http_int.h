// Inside of the HTTP server, for its own files. See conn.c for the states of a connection and who changes them.
#ifndef TENON_HTTP_INT_H
#define TENON_HTTP_INT_H

#include <sys/uio.h>

#include "http.h"
#include "sys/sys.h"

// ---- field.c ---------------------------------------------------------------------------------------------------------------------
enum { CH_TOKEN = 1, CH_TARGET = 2, CH_AUTHORITY = 4, CH_HEX = 8 };
extern const uint8_t http__char[256];
bool http__is_trailer_forbidden(struct slice name);
// The first byte of [p, end) that no field value may hold (a control other than HTAB, or DEL), or end.
const uint8_t *http__value_end(const uint8_t *p, const uint8_t *end);

// ---- head.c: the head of a message and its trailers -----------------------------------------------------------------------------
// What was seen of a head that is not complete yet; zero it before the first scan.
struct h1_scan {
	size_t at;     // lines before it are checked
	size_t start;  // of the head (after a leading empty line)
};
enum { H1_MORE = 0, H1_BAD = -400, H1_TARGET_TOO_LONG = -414, H1_TOO_LARGE = -431, H1_METHOD_TOO_LONG = -501 };
// Length of the complete head in p (counted from p), H1_MORE, or the negative status. The answer depends on the bytes only, not on how they
// came in pieces. `max` bounds the head from s->start. `trailers`: no start line, a leading empty line is the end.
int64_t h1_head_scan(struct h1_scan *s, const uint8_t *p, size_t len, size_t max, bool trailers);

// Of a head that is not complete, or malformed: its answer has no body (RFC 9110, 9.3.2).
bool h1_is_head_request(const uint8_t *p, size_t len);

struct h1_head {
	struct http_request req;
	bool chunked, keep_alive, expects_continue, old_keep_alive;  // old: HTTP/1.0 that asked to keep the connection
	const char *why;           // where it was refused
	struct http_field fields[HTTP_FIELDS_MAX];
};
// p[0..len) is a head that h1_head_scan has found complete (without the leading empty line). Slices point into it; an absolute-form target
// without a path may move its authority by one byte. 0, or the status to refuse with.
unsigned h1_head_parse(uint8_t *p, size_t len, uint32_t max_fields, struct h1_head *h);
// The same for a trailer section. Forbidden names are left out.
unsigned h1_trailers_parse(const uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, uint32_t *ret_n);

// ---- body.c: the framing of a body -----------------------------------------------------------------------------------------------
enum h1_body_state {
	H1_BODY_DONE,
	H1_BODY_LENGTH,      // data of a body with Content-Length
	H1_BODY_SIZE_FIRST,  // chunk size, before and after its first digit
	H1_BODY_SIZE,
	H1_BODY_BWS,         // white space before an extension
	H1_BODY_EXT,
	H1_BODY_SIZE_LF,
	H1_BODY_DATA,        // data of a chunk
	H1_BODY_DATA_CR,
	H1_BODY_DATA_LF,
	H1_BODY_TRAILERS,
	H1_BODY_BAD,
};
struct h1_body {
	enum h1_body_state state;
	uint8_t digits;
	uint16_t ext;       // bytes of extensions of this chunk
	uint64_t left;      // of the body or the chunk
	uint64_t total;     // data bytes given out or skipped
	uint64_t overhead;  // bytes of extensions of all chunks
};
void h1_body_init(struct h1_body *b, bool chunked, uint64_t length);
// Eats framing. Returns bytes used of p; afterwards either the state is LENGTH or DATA and what follows is data (min of b->left and what is
// there), or DONE, TRAILERS (h1_head_scan goes on), BAD, or all of p is used.
size_t h1_body_frame(struct h1_body *b, const uint8_t *p, size_t len);
static inline bool h1_body_in_data(const struct h1_body *b)
{
	return b->state == H1_BODY_LENGTH || b->state == H1_BODY_DATA;
}
// n bytes of data were taken.
void h1_body_take(struct h1_body *b, size_t n);

// ---- meter.c: how long a client is waited for while a body moves ----------------------------------------------------------------
struct http_meter {
	uint64_t credit_ns;  // how long it may keep us waiting now
	uint64_t waited_ns;  // in all
	uint64_t since_ns;   // we wait, and have counted up to then; 0: we don't
};
void http__meter_start(struct http_meter *m, const struct http_limits *l);
void http__meter_wait(struct http_meter *m, uint64_t now_ns);
// The client sent or took bytes.
void http__meter_take(struct http_meter *m, const struct http_limits *l, uint64_t now_ns, uint64_t bytes);
void http__meter_stop(struct http_meter *m, const struct http_limits *l, uint64_t now_ns);
// When it will have been too slow, if nothing comes. `total_ns` bounds all waiting together.
uint64_t http__meter_deadline(const struct http_meter *m, const struct http_limits *l, uint64_t total_ns);

// ---- gate.c: places for connections ----------------------------------------------------------------------------------------------
// A place for a connection, before it is accepted; `anyway`: also beyond the limit.
bool http__gate_enter(struct http_gate *g, bool anyway);
void http__gate_leave(struct http_gate *g);
uint64_t http__gate_max(const struct http_gate *g);
// true: for the first time.
bool http__gate_says(struct http_gate *g, enum http_full what);
struct http_client;
// false: it has as many as it may. *ret is NULL where nobody counts.
bool http__gate_enter_client(struct http_gate *g, const struct http_address *peer, struct http_client **ret);
void http__gate_leave_client(struct http_gate *g, struct http_client *c);
void http__gate_join(struct http_gate *g, struct http_server *s);
void http__gate_part(struct http_gate *g, struct http_server *s);
// Another server shall close a connection that is idle, on its own thread.
void http__gate_ask_another(struct http_gate *g, struct http_server *but);
// What connections of one client have in common, in 16 bytes; false: it has no address.
bool http__address_key(const struct http_address *a, uint8_t key[16]);

// ---- server.c: pools, listeners, drain ------------------------------------------------------------------------------------------
enum { BLOCK_SMALL = 16384, BLOCK_IN = 67584, BLOCK_OUT = 212992, BLOCK_CLASSES = 3 };
struct block {
	struct block *next;
	uint32_t cap, class;
	uint8_t data[];
};
enum { LISTENERS_MAX = 8 };
struct http_listener {
	struct loop_io io;
	struct http_server *server;
};
struct http_server {
	struct loop *loop;
	struct http_server_config config;
	struct http_counters counters;
	struct http_listener listeners[LISTENERS_MAX];
	uint32_t listener_count;
	bool draining, freed, paused;
	struct http_gate *gate;
	struct http_server *gate_next;
	bool room_asked;                            // atomic: room_remote is posted
	struct loop_remote room_remote;
	void (*on_drained)(void *user);
	void *drained_user;
	struct loop_timer accept_timer;
	struct loop_task task;                      // cancels, graveyard, drained
	struct http_conn *conns;                    // all that are open
	struct http_conn *graveyard, *spare_conns;
	struct http_exchange *cancels, *spare_exchanges;
	uint32_t spare_conn_count, spare_exchange_count;
	uint32_t exchanges;       // alive
	struct block *blocks[BLOCK_CLASSES];
	uint32_t block_counts[BLOCK_CLASSES];
	uint64_t date_until_ns;
	uint8_t date[40];
	uint32_t date_len;
	uint8_t scratch[16384];                     // what is read to be thrown away
};
struct block *http__block_get(struct http_server *s, size_t cap);
void http__block_put(struct http_server *s, struct block *b);
struct http_exchange *http__exchange_new(struct http_server *s);
void http__exchange_recycle(struct http_exchange *x);
struct http_conn *http__conn_new(struct http_server *s);
// It is closed; its memory is used again after this turn of the loop.
void http__conn_bury(struct http_conn *c);
struct slice http__date(struct http_server *s);

// ---- conn.c, write.c ------------------------------------------------------------------------------------------------------------
enum conn_state { CONN_DEAD, CONN_IDLE, CONN_HEAD, CONN_BUSY, CONN_DRAIN, CONN_CLOSING, CONN_LINGER };
struct http_conn {
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task task;
	struct http_server *server;
	struct http_conn *next, **prev;
	enum conn_state state;
	bool in_dispatch, read_eof, close_after, linger, write_blocked;
	uint64_t requests;
	uint64_t read_deadline, write_deadline;
	uint64_t end_deadline;         // LINGER, DRAIN: whatever the client sends
	uint64_t idle_since;           // IDLE
	struct http_client *client;
	struct http_meter taking;      // of what is sent
	uint64_t out_queue, took_ns;   // write_blocked: bytes in the kernel, and when the client last took some
	struct http_exchange *x;       // BUSY and DRAIN
	struct block *in;              // received and not consumed: in->data[in_start..in_len)
	size_t in_start, in_len;
	struct h1_scan scan;
	struct block *out;             // waits to be sent: out->data[out_start..out_len)
	size_t out_start, out_len;
	struct http_address peer;
};
static inline size_t http__conn_pending(const struct http_conn *c)
{
	return c->out_len - c->out_start;
}
bool http__conn_open(struct http_server *s, int fd, const struct http_address *peer, struct err *e);
// Ends the connection now; a current exchange is cancelled with `why`.
void http__conn_close(struct http_conn *c, enum http_cancel why);
// All was sent and it is to be the end.
void http__conn_finish_close(struct http_conn *c);
// The response is complete or the owner has let go of the request's body: go on if both directions are through.
void http__conn_try_complete(struct http_conn *c);
// The body can't be had: answered with `status` if nothing was yet, else cut.
void http__conn_fail(struct http_conn *c, unsigned status, const char *detail, enum http_cancel why);
void http__conn_abort(struct http_conn *c, enum http_cancel why);
void http__conn_turn_later(struct http_conn *c);
void http__conn_arm(struct http_conn *c);
// The owner waits for more of the request's body, or not any more.
void http__conn_await_body(struct http_conn *c);
void http__conn_have_body(struct http_conn *c);
// Closes it if nothing has come on it.
void http__conn_evict(struct http_conn *c);
void http__conn_update_interest(struct http_conn *c);
void http__conn_send_continue(struct http_conn *c);

uint8_t *http__out_reserve(struct http_conn *c, size_t n);
bool http__out_put(struct http_conn *c, const void *data, size_t n);
// write_deadline is over: has the client taken something of what the kernel holds? Then it is later.
void http__out_look(struct http_conn *c);
// false: the connection is gone.
bool http__out_flush(struct http_conn *c);
// Sends what waits, then the parts; keeps what the kernel does not take.
bool http__out_gather(struct http_conn *c, const struct iovec *parts, int n);
bool http__out_error(struct http_conn *c, unsigned status, const char *detail, unsigned retry_after, bool no_body);

// ---- exchange.c -----------------------------------------------------------------------------------------------------------------
enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };
struct http_exchange {
	struct http_conn *conn;  // NULL: the wire is through with it
	struct http_server *server;
	struct http_exchange *next;
	const struct http_exchange_ops *ops;
	void *user;
	bool owned, cancelled, cancel_pending;
	bool told;        // the owner knows: no on_cancel
	bool want_readable, want_writable, want_flushed;
	bool reading;                  // the owner has begun to read the body
	bool discarded, must_continue;   // Expect: 100-continue, not sent yet
	bool head_given, finished, bad_length;
	bool head_waits;                 // nothing of the head was sent: its framing may still be changed
	uint16_t answered;               // by the server itself when the exchange was lost: 400, 408, 413
	size_t head_before;              // head_waits: bytes of earlier answers in front of it in the output
	size_t head_lines;               // its length up to what h1 adds last: framing, Connection, the empty line
	size_t chunk;                  // bytes of the last chunk at the end of the output, with its framing; 0: none to be added to
	size_t queued;                   // bytes of data in the output, at most
	enum http_cancel why;
	enum body_kind kind;
	uint64_t length, written;
	size_t head_end;                 // in head_block: where the raw body may begin again
	struct http_meter sending;       // of the client, the body
	struct h1_body body;
	struct h1_scan trailer_scan;
	struct block *head_block, *trailer_block;
	uint32_t trailer_count;
	struct h1_head head;
};
static inline bool http__body_has_ended(const struct http_exchange *x)
{
	return x->body.state == H1_BODY_DONE;
}
// The wire lets go of it. With `cancelled`, the owner hears of it from the loop.
void http__exchange_detach(struct http_exchange *x);
void http__exchange_cancel(struct http_exchange *x, enum http_cancel why);
// Frames what is in the raw buffer: false when the body turned out bad (status and detail set).
bool http__body_advance(struct http_exchange *x, unsigned *ret_status, const char **ret_detail);
// Calls on_readable if it is waited for and there is something.
void http__exchange_notify_read(struct http_exchange *x);
void http__exchange_notify_write(struct http_exchange *x);

#endif
