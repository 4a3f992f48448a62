// Requests that go out, inside of the room http, each below what follows:
//   places        bounds of connections: who has a place, who waits for one
//   origin        whose connections there are, and who waits to hear what is spoken on them
//   outgoing      requests and connections, whatever is spoken
//   h1_client     HTTP/1 on a connection of ours: a protocol for conn, a wire for exchange
//   h2_client     HTTP/2 on one: the same
//   client_hello  a handshake: which of the two it will be
//   client        requests before they have a connection, connections that wait for one
#ifndef TENON_HTTP_CLIENT_H
#define TENON_HTTP_CLIENT_H

#include "h1.h"
#include "h2.h"

enum { ORIGIN_BUCKETS = 64, LINE_BUCKETS = 1024, STREAMS_MOST = 100 };

struct http_client {
	struct loop *loop;
	struct loop_pool *names;
	struct http_server *hub;          // memory, counters and time of the connections; it listens nowhere
	struct http_client_limits limits;
	struct client_conn *idle;         // newest first
	uint32_t idle_count, connections, lookups_left;
	struct http_outgoing *waiting;    // that have no connection yet
	struct http_origin *origins[ORIGIN_BUCKETS];
	struct http_line **lines;  // LINE_BUCKETS, so that a thousand links in use are found as one is; NULL: there was none yet
};

// ---- places.c --------------------------------------------------------------------------------------------------------------------
// Requests whose connections are bounded together, on one client. It lives while a request or a connection has it.
struct http_line {
	struct http_line *next, **prev;
	struct http_client *client;  // NULL: it has gone
	uint32_t refs, most, open;   // most: 0: as many as the quota has
	uint64_t id, said_by;        // said_by: the youngest tenant of its requests, which `most` is of
	struct http_quota *quota;    // NULL: none
	struct http_outgoing *first, **last;  // that wait
	struct loop_timer look;
};
// With a reference. NULL: memory is out.
struct http_line *http__line_get(struct http_client *cl, const struct http_outgoing_request *r);
void http__line_unref(struct http_line *l);
// The client goes.
void http__lines_forget(struct http_client *cl);
void http__line_wake(struct http_line *l);
// A request that got no place waits for one, from then on behind those who do; its connect's timer is the caller's to set. Or it does not any more.
void http__line_wait(struct http_outgoing *o);
void http__line_leave(struct http_outgoing *o);
// Others wait there, before it.
bool http__line_is_ahead(const struct http_outgoing *o);
// A place for a connection that is begun. false: there is none, or others wait for one.
bool http__place_take(struct http_outgoing *o);
void http__place_give(struct http_outgoing *o);
// It is the connection's, which was lost, or has nothing to do.
void http__place_pass(struct http_outgoing *o, struct client_conn *c);
void http__place_lost(struct client_conn *c);
// The bound is lower by now than what is open.
bool http__place_is_too_much(const struct client_conn *c);
void http__place_rests(struct client_conn *c);

// ---- origin.c --------------------------------------------------------------------------------------------------------------------
// Whose a connection is, and where it leads. It lives while a request or a connection has it.
struct http_origin {
	struct http_origin *next, **prev;
	struct http_client *client;
	uint32_t refs;
	uint64_t tenant;
	bool https;
	bool is_h1;              // as the last handshake said: nobody waits for the next
	uint16_t port;
	uint32_t streams;                 // at once on a connection, 1..STREAMS_MOST
	uint32_t dialing, waiting;        // connections that are begun; requests that wait for one of them
	struct http_outgoing *waiters;
	struct client_conn *sessions;     // on which HTTP/2 is spoken
	char host[HTTP_HOST_MAX + 1];
};
// With a reference. NULL: memory is out.
struct http_origin *http__origin_get(struct http_client *cl, uint64_t tenant, bool https, const char *host, uint16_t port);
struct http_origin *http__origin_ref(struct http_origin *o);
void http__origin_unref(struct http_origin *o);
// The client goes, before who still has one of them.
void http__origins_forget(struct http_client *cl);
// A connection is begun, and it is known what it speaks and how many streams it takes, or it has failed: who waited for that looks again.
void http__origin_begin_dial(struct http_origin *o);
void http__origin_end_dial(struct http_origin *o, bool failed);
// A request waits for those that are begun; its connect's timer is the caller's to set. false: none is, or enough wait for them.
bool http__origin_wait(struct http_outgoing *r);
void http__origin_wait_no_more(struct http_outgoing *r);

// ---- outgoing.c: a request that goes out -----------------------------------------------------------------------------------------------------
struct http_outgoing {
	struct http_exchange x;     // first
	struct http_client *client;
	struct http_outgoing *next, **prev;  // of those that wait; prev NULL: it has a connection, or is over
	const struct http_wire *waits;       // what stands under it then
	void (*begins)(struct loop_job *t);  // looks for a connection
	struct loop_job start;     // it begins, or begins anew; at the end: its owner hears that he need not wait to write
	struct http_connect connect;
	bool connecting;            // it runs
	bool dials;              // others of its origin may wait to hear what its connection speaks
	bool needs_h1;           // its server wants HTTP/1.1 for it: a connection of its own
	bool alone;              // it has waited for another's, which failed
	struct client_conn *hello;  // whose handshake it waits for
	struct http_outgoing *wait_next, **wait_prev;  // of those that wait for another's; wait_prev NULL: it does not
	struct http_request request;         // what exchange.c wants to know
	struct http_origin *origin;
	struct http_line *line;     // NULL: nothing bounds its connections
	struct http_outgoing *line_next, **line_prev;  // line_prev NULL: it does not wait there
	bool has_place;
	bool (*may_connect)(void *user, const struct http_address *a);
	struct http_tls *tls;
	uint64_t connect_by_ns, answer_by_ns, first_byte_ns, between_ns;
	uint64_t head_by_ns;        // whenever its connection stands
	bool idempotent, expects_length, again;  // expects_length: POST and the like say how long even an empty body is; again: was begun anew
	// What was asked: kept until something of an answer has come.
	struct slice method, target, authority;  // in `head`
	struct block *head, *early, *tail;   // the fields, as a table and its texts; the body before there is a connection; trailers, as the fields
	uint32_t n_fields, n_trailers;
	size_t head_bytes, early_len, tail_bytes;  // head and tail: of names and values, with four for each
	bool early_is_all;          // all that was written lies in `early`
	// On a connection.
	struct client_conn *conn;   // NULL: none yet, or no more
	bool begun;              // something of an answer has come
	bool has_answer;
	uint32_t informational;     // answers before the final one
	struct http_answer answer;
	// On HTTP/2.
	struct h2_stream stream;
	struct h2_session *held_by;
	// On HTTP/1.
	enum h1_kind kind;
	size_t chunk;
	bool until_close;
	bool ended_well;            // the peer has ended its side, and all that it sent has come
	bool broken;                // nothing more of the answer is to be had
	struct block *in;           // received and not consumed: in->data[in_start..in_len)
	size_t in_start, in_len;
	struct h1_scan scan, trailer_scan;
	struct h1_body body;
	struct block *answer_block, *trailer_block;
	uint32_t trailer_count;
};
// It waits for a connection, and looks for one soon.
void http__outgoing_wait(struct http_outgoing *o);
void http__outgoing_wait_no_more(struct http_outgoing *o);
// Nothing is under it any more: its owner hears from the loop why.
void http__outgoing_fail(struct http_outgoing *o, enum http_failure why);
// What was asked is not asked anew.
void http__outgoing_begun(struct http_outgoing *o);
// Owner and wire have let go.
void http__outgoing_recycle(struct http_exchange *x);
static inline const struct http_field *http__outgoing_fields(const struct block *b)
{
	return b ? (const void *)b->data : NULL;
}

// ---- outgoing.c: connections of ours ---------------------------------------------------------------------------------------------------------
// Idle: in its client's list, or just made.
struct client_conn {
	struct http_conn conn;      // first
	struct http_client *client;
	struct client_conn *idle_next, **idle_prev;
	struct http_origin *origin;
	struct http_line *line;     // whose place it has; NULL: none's
	struct http_outgoing *o;    // that is on it, or waits for its handshake; not on HTTP/2
	bool dials;              // others may wait to hear what it speaks
	bool used;              // has brought an answer
	bool keep;              // HTTP/1: may be used again after this answer
	enum http_failure failure;  // why it is being closed
	// HTTP/2.
	struct h2_session *session;
	struct client_conn *session_next, **session_prev;  // of the origin
};
// On a connected descriptor, which is taken over. NULL: closed again.
struct client_conn *http__client_conn_open(struct http_origin *origin, const struct http_protocol *p, int fd, const struct http_address *peer,
	struct http_tls *tls);
// Of `lost`.
void http__client_conn_lost(struct client_conn *c);
// It has nothing to do, or (false) there are so many such that it ends.
bool http__client_conn_rest(struct client_conn *c);
void http__client_conn_leave_idle(struct client_conn *c);

// ---- h1_client.c -----------------------------------------------------------------------------------------------------------------
extern const struct http_protocol http__h1c_protocol;
// Whether an idle one neither has ended nor says what nobody asked for (RFC 9112, 9.2); else it is closed.
bool http__h1c_is_quiet(struct client_conn *c);
// An idle one gets a request that waits: what is there of it is sent.
void http__h1c_send(struct client_conn *c, struct http_outgoing *o);

// ---- h2_client.c -----------------------------------------------------------------------------------------------------------------
// HTTP/2 is spoken on it from here on. false: memory is out, the connection is gone.
bool http__h2c_begin(struct client_conn *c);
// p[0..n) has come with the end of the handshake, and what waits is sent.
void http__h2c_feed(struct client_conn *c, const uint8_t *p, size_t n);
// Whether one more request can begin on it now.
bool http__h2c_has_room(const struct client_conn *c);
void http__h2c_send(struct client_conn *c, struct http_outgoing *o);

// ---- client_hello.c --------------------------------------------------------------------------------------------------------------
// Begins a handshake on a connected descriptor, which is taken over; then `o` is sent. false: closed again.
bool http__client_hello(struct http_outgoing *o, int fd, const struct http_address *peer);

#endif
