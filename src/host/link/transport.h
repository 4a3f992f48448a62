// Connections to a server of a store, on the loop of one shard. Knows no protocol: redis.c and nats.c speak over it.
//
//   a pool   of one shard and server: the calls that wait, the connections (wires) that take them, when to try again, when not to try at all
//   a wire   name, address, TLS, greeting; then calls are written one behind the other, and answers are told by their number
//
// States of a wire:  CONNECTS ──► GREETS ──► READY ──► (SUSPECT ◄──► READY) ──► gone
//     http_connect's `done`: GREETS; the protocol's link__wire_greeted: READY; a call ran out of time and nothing was heard since it left: SUSPECT, which takes
//     no calls until something is heard; link__wire_fail, from any, is the end.
// States of a call:  waits in the pool ──► on a wire ──► done, once. A wire that ends gives back what has not left it at all, and reads, once; the rest ends as
//     CALL_UNKNOWN: what was written and has left is never written again.
//
// 1. Everything here is called on the loop's thread. `done` may be called from within link__pool_call and from the loop.
// 2. The pool's memory is bounded: a call that waits is its owner's memory, a wire takes no call while more than OUT_MANY bytes wait to be sent or CALLS_MAX
//    calls have no answer.
// 3. A lane has calls on one wire only. What was cancelled does not count.
// 4. While there is no connection and none can be had (for BREAK_AFTER, or the server has refused us), calls end at once, as CALL_NOT_SENT with what went wrong; from
//    time to time (back-off with jitter) the first that comes is what tries again.
#ifndef TENON_LINK_TRANSPORT_H
#define TENON_LINK_TRANSPORT_H

#include "base/base.h"
#include "http/http.h"
#include "loop/loop.h"

struct link_pool;
struct link_wire;
struct link_call;

enum link_call_end {
	CALL_ANSWERED,  // by the protocol
	CALL_NOT_SENT,  // nothing of it has left this process: it may be sent anew
	CALL_RECALLED,  // as NOT_SENT: link__pool_recall
	CALL_TOO_LARGE, // as NOT_SENT: the server would not take it
	CALL_UNKNOWN,   // it has left, and there is no answer
};

enum { LANES = 64 };
// One request and its answer. Embedded in what knows what it asks; not moved until it is done.
struct link_call {
	struct link_call *next, **prev;  // of those that wait; prev NULL: it does not
	struct link_pool *pool;          // NULL: done, or never begun
	struct link_wire *wire;          // that has it
	uint64_t number;                 // on its wire
	uint64_t begins;                 // its first byte, of all that the wire sends
	uint64_t left_ns;                // when it was given to the wire
	uint64_t deadline_ns;            // its owner cancels it then
	uint32_t lane;                   // calls of one lane leave and are answered in the order in which they were begun; LANES: it stands in none
	bool reads;                // asking twice changes nothing
	bool again;                // has been given back
	void (*done)(struct link_call *c, enum link_call_end end, const char *why);  // `why` (of the last two) lives until it returns
};

// What is spoken.
struct link_protocol {
	size_t wire_size;                      // of what embeds struct link_wire
	bool (*greet)(struct link_wire *w);         // the connection stands. false: memory is out
	bool (*write)(struct link_wire *w, struct link_call *c);  // puts it to w->out, once. false: it is more than the server takes, and nothing was put
	bool (*read)(struct link_wire *w, struct slice bytes);    // they have come. false: it has called link__wire_fail
	void (*gone)(struct link_wire *w);          // releases what is its own
	bool in_order;                  // answers come in the order of calls: each is waited for, also when nobody wants it any more
};

enum link_wire_state { WIRE_CONNECTS, WIRE_GREETS, WIRE_READY, WIRE_SUSPECT };
struct link_wire {
	struct link_wire *next, **prev;
	struct link_pool *pool;
	enum link_wire_state state;
	bool open;               // the transport is
	bool in_read;                // the protocol reads: the end waits for it
	bool failed, refused;
	bool served;                 // a call was answered
	struct http_connect connect;
	struct http_transport transport;
	struct loop_timer timer;     // for connecting and the greeting; then for idleness
	struct loop_job flush;
	struct buf out;              // waits to be sent: out.ptr[out_start..out.len)
	size_t out_start;
	uint64_t sent;               // bytes so far
	uint64_t heard_ns;
	struct link_call **calls;    // ring of calls_cap: those from `first` to `end`; NULL: nobody wants the answer
	uint32_t calls_cap, live;
	uint64_t first, end;
};

struct link_server {
	char host[HTTP_HOST_MAX + 1];
	uint16_t port;
	bool tls;              // from the first byte on
	struct http_tls *tls_of;     // borrowed; NULL: TLS can't be spoken
	uint32_t wires;              // a shard, at most; atomic
	uint64_t connect_ns;         // name, addresses, TLS and greeting together
	uint64_t idle_ns;            // a connection without calls ends after
};

struct link_pool {
	struct loop *loop;
	struct loop_pool *names;
	const struct link_server *server;    // outlives the pool
	const struct link_protocol *protocol;
	void *user;
	struct link_wire *wires;
	uint32_t count, opening;
	struct link_call *first, **last;     // that wait
	bool pumping, closed;
	bool refused;                  // the server said what trying again at once won't change
	uint32_t failures;                   // attempts without success, in a row
	uint64_t failing_since_ns;           // 0: the last one succeeded
	uint64_t next_try_ns;
	struct loop_timer retry;
	struct loop_job turn;                // those that wait are looked at again
	uint64_t random;
	struct {
		struct link_wire *wire;
		uint32_t calls;                  // on it
	} lanes[LANES];
	char why[160];                   // of the last failure
};

struct link_store;
// From a store's target. ERR_USAGE: it has no host, or TLS is asked for and not to be had.
NODISCARD bool link__server_init(struct link_server *s, const struct link_store *store, struct err *e);
void link__pool_init(struct link_pool *p, struct loop *l, struct loop_pool *names, const struct link_server *server, const struct link_protocol *protocol,
	void *user);
// All calls end; none may be begun by what they call.
void link__pool_release(struct link_pool *p);
// Begins a call; the caller has set deadline_ns, lane, reads, done.
void link__pool_call(struct link_pool *p, struct link_call *c);
// Nobody wants its answer any more: `done` is not called. Whether it had left.
bool link__call_cancel(struct link_call *c);
// Its owner's deadline has come, and its answer is waited for all the same.
void link__call_is_late(struct link_call *c);
// All that wait end as CALL_RECALLED; those on a wire go on.
void link__pool_recall(struct link_pool *p);
// So many have been begun and have no end.
uint32_t link__pool_on_wires(const struct link_pool *p);

// ---- for protocols ---------------------------------------------------------------------------------------------------------------
void link__wire_greeted(struct link_wire *w);
// What lies in w->out is sent when the loop's turn ends.
void link__wire_flush(struct link_wire *w);
// The end of it. `refused`: an attempt anew at once won't change it.
void link__wire_fail(struct link_wire *w, bool refused, const char *fmt, ...) PRINTF_LIKE(3, 4);
// TLS from here on, over what has been a connection in clear: everything the server has sent was read. false: it has failed.
bool link__wire_start_tls(struct link_wire *w);
// The call whose answer is next where they come in order, or NULL: nobody wants it; *ret_any false: none is waited for.
struct link_call *link__wire_next(const struct link_wire *w, bool *ret_any);
// The call with that number, NULL: nobody wants it.
struct link_call *link__wire_find(const struct link_wire *w, uint64_t number);
// The answer with that number is there: its call is the caller's to end by link__call_answered, if there is one.
void link__wire_took(struct link_wire *w, uint64_t number);
void link__call_answered(struct link_call *c);
// As if it had not been sent: the server has said that it did nothing, and will be able to later.
void link__call_not_taken(struct link_call *c, const char *why);

#endif
