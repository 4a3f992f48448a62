// Inside of the room http, for its own files, each below what follows:
//   field, address, meter, gate, pool    characters, addresses, time, places, memory
//   transport -> conn                    bytes, and a connection that knows not what is spoken on it (http_protocol)
//   exchange                             a message pair that knows not how it travels (http_wire)
//   h2_*                                 HTTP/2: a protocol for conn, a wire for exchange
//   h1_*                                 HTTP/1: the same
//   hello                                which of them a connection speaks
//   server                               listeners, drain
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

// ---- pool.c: blocks, spare objects, the date, what is done after this turn of the loop --------------------------------------------
// BLOCK_HEAD: what most heads and tables of fields need, with malloc's header a KiB.
enum { BLOCK_HEAD = 1000, BLOCK_SMALL = 16384, BLOCK_IN = 67584, BLOCK_OUT = 212992, BLOCK_CLASSES = 4 };
struct block {
	struct block *next;
	uint32_t cap, class;
	uint8_t data[];
};
struct http_spares {  // objects of one size, linked through their first word
	void *first;
	uint32_t count, owned;  // in the list; with those in use
};
enum { LISTENERS_MAX = 8, HTTP_SCRATCH = 64 << 10 };
struct http_listener {
	struct loop_io io;
	struct http_server *server;
};
struct http_server {  // also what the connections of a client have in common: then it listens nowhere, and its spares are the client's
	struct loop *loop;
	struct http_server_config config;
	struct http_counters counters;
	struct http_listener listeners[LISTENERS_MAX];
	uint32_t listener_count;
	bool draining, freed, paused;
	bool awaits;           // others may pass on connections to it
	struct http_gate *gate;
	struct http_server *gate_next;
	bool room_asked;       // atomic: room_remote is posted
	struct loop_remote room_remote;
	void (*on_drained)(void *user);
	void *drained_user;
	struct loop_timer accept_timer;
	struct loop_job job;                       // cancels, graveyard, drained
	struct http_conn *conns;                    // all that are open
	struct http_conn *graveyard;
	struct http_exchange *cancels;
	struct http_spares spare_conns, spare_exchanges;
	uint32_t exchanges;       // alive
	struct block *blocks[BLOCK_CLASSES];
	uint32_t block_counts[BLOCK_CLASSES], blocks_owned[BLOCK_CLASSES];  // spare; with those in use
	uint64_t date_until_ns;
	uint8_t date[40];
	uint32_t date_len;
	// HTTP_SCRATCH: what is read to be thrown away, or is taken at once. Mapped: few servers touch all of it.
	uint8_t *scratch;
};
// At least so many bytes; where memory is out also a larger one that is spare. NULL: there is none.
struct block *http__block_get(struct http_server *s, size_t cap);
void http__block_put(struct http_server *s, struct block *b);
// One of a list, or new; not cleared. NULL: memory is out.
void *http__spare_get(struct http_spares *list, size_t size);
void http__spare_put(struct http_server *s, struct http_spares *list, void *object);
// There are so many at least, in use or not, and one at hand. false: memory is out.
bool http__spares_reserve(struct http_server *s, struct http_spares *list, size_t size, uint32_t n);
bool http__blocks_reserve(struct http_server *s, size_t cap, uint32_t n);
struct slice http__date(struct http_server *s);
// An exchange is gone: the memory of a server that was freed goes with the last.
void http__server_forget_exchange(struct http_server *s);
// Of a server that was freed, if nothing needs it any more.
void http__server_memory_free(struct http_server *s);
// All that is kept for another time.
void http__pools_release(struct http_server *s);
const char *http__status_reason(unsigned status);

// ---- transport.c, tls.c: how bytes come and go -------------------------------------------------------------------------------------
static inline bool http__transport_is_ready(const struct http_transport *t)
{
	return !t->ops->is_ready || t->ops->is_ready(t);
}
// Takes the descriptor over, also when it fails.
NODISCARD bool http__transport_open_plain(struct http_transport *t, struct loop *l, int fd, void (*fn)(struct loop_io *io, uint32_t ready), struct err *e);

// ---- conn.c: a connection, whatever is spoken on it -------------------------------------------------------------------------------
enum conn_state { CONN_DEAD, CONN_OPEN, CONN_CLOSING, CONN_LINGER };
struct http_conn;
// What is spoken. All but `lost` are called while the connection is open.
struct http_protocol {
	// Of what embeds struct http_conn.
	size_t conn_size;
	void (*readable)(struct http_conn *c);
	bool (*wants_read)(const struct http_conn *c);
	void (*writable)(struct http_conn *c);          // after write_blocked: there is room again
	void (*turn)(struct http_conn *c);              // http__conn_turn_later asked for it; the output was flushed
	void (*late)(struct http_conn *c);              // read_deadline is over
	bool (*before_send)(struct http_conn *c);       // watches_output: it is about to leave. false: the connection is gone
	void (*sent)(struct http_conn *c, size_t n);    // watches_output: n more bytes have left, or will leave as they are
	void (*evict)(struct http_conn *c);             // idle: to be closed, if nothing has come
	bool (*deaf)(struct http_conn *c);              // the peer takes nothing more. true: what it says is still read; NULL: the connection is closed
	bool (*renew)(struct http_conn *c);             // its client is to come anew, and knows: nothing more begins; NULL: it needs not
	void (*lost)(struct http_conn *c, enum http_cancel why);  // it is being closed: exchanges are cancelled, input is dropped
};
// What a connection is between two servers.
struct passed_conn {
	struct http_passed passed;  // first
	int fd;
	struct http_address peer;
	const struct http_transport_ops *ops;  // NULL: nothing was read of it, and what follows isn't there
	void *of;
	struct http_client *client;
	struct http_limits limits;
	bool is_tls;
	uint64_t requests;     // that it has brought
	size_t n;
	uint8_t came[];        // that was read, and is to be looked at
};
struct http_conn {
	struct http_conn *next, **prev;
	struct http_transport transport;
	struct loop_timer timer;
	struct loop_job job;
	struct http_server *server;
	const struct http_protocol *protocol;
	struct http_limits limits;     // that it began with
	enum conn_state state;
	bool is_tls;                   // as it began
	bool read_eof, linger, write_blocked, watches_output;
	bool is_deaf;                  // what is sent is thrown away
	uint64_t read_deadline, write_deadline;
	uint64_t end_deadline;         // while input is read away: whatever the client sends
	uint64_t idle_since;           // in the future, UINT64_MAX: it is not; a first byte, or the rest of a head, that doesn't come is idle, too
	struct http_client *client;
	struct http_meter taking;      // of what is sent
	uint64_t out_queue, took_ns;   // write_blocked: bytes in the kernel, and when the client last took some
	struct block *out;             // waits to be sent: out->data[out_start..out_len)
	size_t out_start, out_len;
	size_t out_fixed;              // so many bytes at its beginning may not be changed any more; `sent` was told of them
	struct http_address peer;
};
static inline size_t http__conn_pending(const struct http_conn *c)
{
	return c->out_len - c->out_start;
}
// What of it may still be written anew.
static inline size_t http__conn_loose(const struct http_conn *c)
{
	return http__conn_pending(c) - c->out_fixed;
}
// On a descriptor that has entered the gate. `tls`: NULL for none; `host`: whom its peer must be, NULL where it asks us. NULL: closed again.
struct http_conn *http__conn_open(struct http_server *s, const struct http_protocol *p, int fd, const struct http_address *peer, struct http_tls *tls,
	const char *host, struct err *e);
// One that was accepted. NULL: memory is out.
struct http_passed *http__accepted_new(int fd, const struct http_address *peer);
// The connection leaves its server, for another one, which reads `came` again. Nothing waits to be sent on it, and no exchange is on it. Where memory is out it
// is closed.
void http__conn_pass(struct http_conn *c, struct slice came, uint64_t requests);
// From the other side. NULL: closed.
struct http_conn *http__conn_take(struct http_server *s, const struct http_protocol *p, struct passed_conn *from);
void http__passed_drop(struct http_gate *g, struct passed_conn *k);
static inline bool http__is_anothers(const struct http_server *s, const struct http_request *r)
{
	return UNLIKELY(s->config.is_anothers != NULL) && s->config.is_anothers(s->config.user, r);
}
// Ends the connection now. `reset`: the bytes so far must not look whole.
void http__conn_close(struct http_conn *c, enum http_cancel why, bool reset);
// Ends it when what waits is sent; nothing is read as messages any more.
void http__conn_begin_close(struct http_conn *c);
int64_t http__conn_recv(struct http_conn *c, void *into, size_t max);
void http__conn_turn_later(struct http_conn *c);
void http__conn_read_by(struct http_conn *c, uint64_t deadline_ns);
// What the client still sends is thrown away, for a while: begins; some has come.
void http__conn_begin_read_away(struct http_conn *c);
void http__conn_read_away_on(struct http_conn *c);
void http__conn_update_interest(struct http_conn *c);

// n bytes at the end of the output, not counted yet. NULL: memory is out; the connection is closed.
uint8_t *http__out_reserve(struct http_conn *c, size_t n);
// false: the connection is gone.
bool http__out_put(struct http_conn *c, const void *data, size_t n);
bool http__out_flush(struct http_conn *c);
// Sends what waits, then the parts; keeps what the kernel does not take. Not while write_blocked.
bool http__out_gather(struct http_conn *c, const struct iovec *parts, int n);

// ---- exchange.c: what an owner does with a request and its response; knows no protocol --------------------------------------------
struct http_response {
	unsigned status;
	const struct http_field *fields;  // valid; content-length among them is not to be sent as it is
	uint32_t n;
	size_t bytes;                  // of the fields, with four for each
	bool has_date, has_server, has_body, has_length;
	uint64_t length;                  // has_length
};
// Checks p->fields, and fills in what follows from them.
bool http__fields_plan(struct http_response *p, struct err *e);
// What stands under an exchange. Calls but `trailers` and `recycle` come only while `wired`.
struct http_wire {
	enum http_read (*peek)(struct http_exchange *x, struct slice *ret);
	void (*consume)(struct http_exchange *x, size_t n);
	void (*discard)(struct http_exchange *x);              // nobody will read the body
	const struct http_field *(*trailers)(const struct http_exchange *x, uint32_t *ret_count);
	bool (*head)(struct http_exchange *x, const struct http_response *r);  // false: memory is out
	size_t (*waiting)(const struct http_exchange *x);      // bytes that wait to be sent, in front of its own too
	bool (*write)(struct http_exchange *x, struct slice data);  // within the room that there is. false: cancelled
	bool (*finish)(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes);  // false: cancelled
	void (*go_on)(struct http_exchange *x);                // it is finished, or was released by its owner after that
	void (*abort)(struct http_exchange *x, enum http_cancel why);
	void (*recycle)(struct http_exchange *x);              // both have let go
};
struct http_exchange {
	struct http_exchange *next;
	const struct http_wire *wire;
	struct http_server *server;
	const struct http_request *request;
	const struct http_exchange_ops *ops;
	void *user;
	bool wired;       // false: the wire is through with it
	bool in_ended;    // not wired: the request's body was there to its end
	bool owned, cancelled, cancel_pending;
	bool told;        // the owner knows: no on_cancel
	bool want_readable, want_writable;
	bool discarded;
	bool head_given, finished, bad_length, has_body;
	uint16_t answered;         // by the server itself when the exchange was lost: 400, 408, 413
	uint8_t failure;           // of a request that goes out: enum http_failure
	uint8_t failure_number;    // what http_exchange_failure_detail tells
	enum http_cancel why;
	uint64_t length, written;  // of the response; HTTP_LENGTH_UNKNOWN
	uint64_t taken;            // of the request's body
	size_t queued;             // bytes of its data that wait to be sent, at most
	struct http_field more;    // of the response's head; an empty name: none
};
void http__exchange_init(struct http_exchange *x, struct http_server *s, const struct http_wire *wire, const struct http_request *request);
// The wire lets go of it: all was sent, and of the body of the request all that will.
void http__exchange_detach(struct http_exchange *x, bool in_ended);
// The wire is lost. The owner hears of it from the loop.
void http__exchange_cancel(struct http_exchange *x, enum http_cancel why);
// If the owner waits for it: the body goes on, or has ended; there is room to write. They call out: x may be gone afterwards.
void http__exchange_notify_head(struct http_exchange *x);
void http__exchange_notify_read(struct http_exchange *x);
void http__exchange_notify_write(struct http_exchange *x);

// ---- h1.c ------------------------------------------------------------------------------------------------------------------------
// What n connections need to be read from and answered, with an error at least, is there. false: memory is out.
bool http__h1_reserve(struct http_server *s, uint32_t n);
// Begins to speak HTTP/1 on a descriptor that has entered the gate, in clear. false: closed again.
bool http__h1_open(struct http_server *s, int fd, const struct http_address *peer, struct err *e);
// An open connection speaks HTTP/1 from here on, and has brought so many requests; p[0..n) is what has come since, at most BLOCK_IN.
void http__h1_take(struct http_conn *c, const uint8_t *p, size_t n, uint64_t requests);

// ---- hello.c ---------------------------------------------------------------------------------------------------------------------
// Begins to serve on a descriptor that has entered the gate: in clear, or by TLS as the handshake has it. false: closed again.
bool http__serve_open(struct http_server *s, int fd, const struct http_address *peer, struct err *e);
// Goes on with one that another server has begun with.
void http__serve_passed(struct http_server *s, struct passed_conn *k);

// ---- address.c -------------------------------------------------------------------------------------------------------------------
// Of an address that is `all`, where the machine has no IPv6: its IPv4 form. false: it has.
bool http__address_to_v4(struct http_address *a);

#endif
