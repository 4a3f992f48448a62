// HTTP/1.1 and 2 (RFC 9110, 9112, 9113), the server's side and (1.1) the client's, strict. Knows no Wasm. Everything runs on the thread of one loop (a shard).
//
// Layers: transport (bytes) -> connection (output, time, its end) -> protocol (messages; HTTP/1 and 2) -> exchange (what the owner sees of one
// message pair). Owners see exchanges only, so that another protocol or transport changes nothing for them.
//
// 1. An exchange is owned jointly by the wire and by whoever got it in on_request. The owner calls http_exchange_release exactly once,
//    whenever it is done, also after on_cancel; until then the pointer and every slice reached from it stay valid, whether or not the
//    connection still lives.
// 2. Callbacks of the owner (on_readable, on_writable, on_cancel) come from the loop, never from inside a call of this API.
// 3. After on_cancel (peer lost, time-out, malformed body) nothing more is sent or received: reads give HTTP_READ_ERROR, writes
//    HTTP_WRITE_CLOSED. A failure before the response's head was answered by the server itself (400, 408, 413).
// 4. A response that was begun and not finished is never ended cleanly: the connection is cut.
// 5. Every name and value that goes to the wire passes http_field_name_is_valid and http_field_value_is_valid, again, right there (L82).
#ifndef TENON_HTTP_H
#define TENON_HTTP_H

#include "base/base.h"
#include "loop/loop.h"

struct http_server;
struct http_exchange;
struct http_request;

struct http_field {
	struct slice name, value;  // the value without surrounding white space
};

enum { HTTP_FIELDS_MAX = 128, HTTP_HEAD_MAX = 65536, HTTP_WINDOW = 65536 };

// ---- fields ----------------------------------------------------------------------------------------------------------------------
// token of RFC 9110, 1..HTTP_HEAD_MAX bytes.
bool http_field_name_is_valid(struct slice name);
// HTAB, SP..~, 0x80..0xff; no leading or trailing white space is required.
bool http_field_value_is_valid(struct slice value);
// token
bool http_method_is_valid(struct slice method);
// host[:port] as in Host: no user info, port 0..65535, IPv6 literals in brackets. `ret_host`, `ret_port` (empty if none) may be NULL.
bool http_authority_is_valid(struct slice authority, struct slice *ret_host, struct slice *ret_port);
// origin-form: "/" path ["?" query] of visible ASCII without "#".
bool http_target_is_valid(struct slice target);
// Names that a guest may not set and does not see (W28): connection, keep-alive, proxy-*, te, transfer-encoding, upgrade, host, http2-settings...
bool http_field_is_forbidden(struct slice name);
// Case-insensitive comparison of ASCII.
bool http_name_eq(struct slice a, struct slice b);
enum { HTTP_HOST_MAX = 253 };
// The host in lower case, without brackets and without the dot at its end, and the port (of the scheme if there is none). false: the authority is malformed,
// has no host, or one that is too long.
bool http_authority_split(struct slice authority, bool https, char ret_host[HTTP_HOST_MAX + 1], uint16_t *ret_port);
// Strict Content-Length: digits only, no overflow (W32).
bool http_length_parse(struct slice value, uint64_t *ret);

// ---- TLS -------------------------------------------------------------------------------------------------------------------------
// What is needed to speak it, of many connections and from any thread: roots, or certificates.
struct http_tls;
// Of requests that go out: the system's roots, and those of a file in PEM (NULL: none).
NODISCARD bool http_tls_client_new(const char *ca_file, struct http_tls **ret, struct err *e);
// Where the system's are; NULL: it has none, or (*e is set) there is no OpenSSL.
const char *http_tls_roots(struct err *e);
struct http_tls_pair {
	const char *cert, *key;  // files in PEM; `cert`: a chain, the server's own first
};
// Of a server: the certificate that fits the name which the client asks for (SNI), the first where none does. Paths are borrowed.
NODISCARD bool http_tls_server_new(const struct http_tls_pair *pairs, uint32_t n, struct http_tls **ret, struct err *e);
// Reads the files again; connections from now on have what is in them. false: all stays as it is.
NODISCARD bool http_tls_reload(struct http_tls *t, struct err *e);
// Whether the files have changed since they were read last, or since this was asked last.
bool http_tls_has_changed(struct http_tls *t);
void http_tls_free(struct http_tls *t);

// ---- server ----------------------------------------------------------------------------------------------------------------------
#define HTTP_NO_LIMIT UINT64_MAX
struct http_limits {
	uint32_t head_bytes;       // request line and fields; 431
	uint32_t fields;           // at most HTTP_FIELDS_MAX; 431
	uint32_t streams;          // of an HTTP/2 connection: requests at once; 0: any number
	uint64_t body_bytes;       // 413; HTTP_NO_LIMIT: none
	uint32_t drain_bytes;      // unread rest of a request body that is read away to keep the connection
	uint64_t idle_ns;          // between requests: close
	// What a client has begun, by connecting or by a part of a head, is on its way for so long: from then on it makes room where all places are taken. A client sends at
	// once; who sends nothing, or one byte at a time, may not hold places as long as a time limit lets it.
	uint64_t coming_ns;
	uint64_t head_ns;          // first byte to end of head: 408
	uint64_t body_ns;          // no progress of a body that the owner waits for: 408 before the head of the answer, else cut
	uint64_t body_total_ns;    // that the client may take for a request's body: as body_ns
	uint64_t write_ns;         // the client takes nothing of what waits to be sent: cut
	uint64_t min_rate;         // bytes a second of a body, either way, that the client must send or take: as body_ns, or cut; 0: any
	uint64_t grace_ns;         // before that counts
};
extern const struct http_limits http_limits_default;

struct http_counters {
	uint64_t accepted, closed, requests, responses, refused;  // refused: heads answered by us (400, 431...)
	uint64_t cancelled, aborted, timeouts, continues;
	uint64_t evicted, turned_away;  // idle connections closed for others; connections of clients that have too many
	uint64_t bytes_in, bytes_out, recv_calls, send_calls, want_calls;
	uint64_t connections;  // open now
	uint64_t in_flight;    // exchanges whose response is not complete
};

// An address "127.0.0.1:3000", "[::1]:0", "localhost:80", ":80" (all addresses, as [::]) -> numeric; checked here, bound by http_server_listen.
struct http_address {
	uint8_t bytes[28];  // struct sockaddr_in or _in6
	uint32_t len;
	bool all;  // [::] or no host: all addresses of both families
};
NODISCARD bool http_address_parse(struct slice text, struct http_address *ret, struct err *e);
// "127.0.0.1:3000", "[::1]:80"; the port as it is in the address; "unix" of who came by a socket in the file system. Zero-terminated, cut to `cap`.
void http_address_print(const struct http_address *a, char *out, size_t cap);
uint16_t http_address_port(const struct http_address *a);  // for tests

// The connections of several servers, on any threads: at most `connections` together and `per_client` of one address (of a network of 64 bits, for
// IPv6), each HTTP_NO_LIMIT for none. Where places are short the longest idle are closed; if none is idle, accepting waits. Outlives its servers.
struct http_gate;
NODISCARD bool http_gate_new(uint64_t connections, uint64_t per_client, struct http_gate **ret, struct err *e);
void http_gate_free(struct http_gate *g);
enum http_full { HTTP_FULL_CONNECTIONS, HTTP_FULL_CLIENT, HTTP_FULL_DESCRIPTORS, HTTP_FULL_MEMORY };

// A connection on its way between two servers of a gate, with what was read of it. It has its place in the gate, and the time of none of its limits runs. Linked by
// who has it.
struct http_passed {
	struct http_passed *next;
};

struct http_server_config {
	struct http_limits limits;  // start from http_limits_default
	// A complete head has arrived. The callee owns the exchange from here (rule 1); it may answer before it returns.
	void (*on_request)(void *user, struct http_exchange *x);
	void *user;
	// A head that never became a request was answered by the server with `status` (400, 408, 414, 431…); `why` is static. May be NULL.
	void (*on_refused)(void *user, const struct http_address *peer, unsigned status, const char *why);
	struct http_gate *gate;  // borrowed; NULL: no limit
	// Connections that another server of the gate serves: all that it accepts; or from the moment when this says so, of the request that is there next, of no
	// body anything was read of, or (NULL) of a connection that is about to speak HTTP/2. NULL: none. A stream of HTTP/2 can't leave its connection: it is refused
	// as one that nobody has looked at (RFC 9113, 8.7), and its client is told to come anew.
	bool passes_all;
	bool (*is_anothers)(void *user, const struct http_request *r);
	// One of them: somebody gives it to http_server_take. Where one of both above is set.
	void (*on_passed)(void *user, struct http_passed *c);
	// What is short, told for the first time in the life of the gate. May be NULL.
	void (*on_full)(void *user, enum http_full what, const struct http_address *peer);
	struct http_tls *tls;  // borrowed; NULL: in clear
	const char *server_name;  // value of a Server field, or NULL for none
	bool no_date;
};

NODISCARD bool http_server_new(struct loop *l, const struct http_server_config *config, struct http_server **ret, struct err *e);
// Binds and listens. `first`: the first shard of the process: the port must be nobody's (two servers never share it by accident), and
// *addr gets the real port where 0 was asked for. The other shards then bind the same *addr with first = false. May be called for several
// addresses (at most 8).
NODISCARD bool http_server_listen(struct http_server *s, struct http_address *addr, bool first, struct err *e);
// Accepts from a socket that listens already, and that servers of other threads may accept from too. Takes the descriptor over, also when it fails: each of
// them has one of its own.
NODISCARD bool http_server_listen_on(struct http_server *s, int fd, struct err *e);
// It listens and accepts nobody: who comes waits. false: it accepts again.
void http_server_hold(struct http_server *s, bool holds);
// Connections that come from here on have these limits and this TLS (borrowed; NULL: in clear); those that are there keep what they began with.
void http_server_change(struct http_server *s, const struct http_limits *limits, struct http_tls *tls);
// Takes over a connected socket (a test, a tenant's process).
NODISCARD bool http_server_adopt(struct http_server *s, int fd, struct err *e);
// Serves what another server of the same gate has passed on, also while it drains; its limits are those that it began with. On its own thread. NULL: nobody
// serves it, it is closed.
void http_server_take(struct http_server *s, struct http_gate *gate, struct http_passed *c);
// Others may still pass on connections: as long as that is so it isn't drained. Not so in the beginning.
void http_server_await(struct http_server *s, bool more);
// Those who speak HTTP/2 with it are told to come anew: what they have begun until they know is answered. false: they know, all of them (a second later at
// the latest); else it is asked again.
bool http_server_renew(struct http_server *s);
// A GET of the host's own, on no connection; its body has ended, and its answer is checked as others are and goes nowhere. Owned as one of on_request. `target`
// outlives it. NULL: memory is out.
struct http_exchange *http_server_ask(struct http_server *s, struct slice target);
// Stop accepting (what waits in the queues is accepted first), `Connection: close` on what is in flight, close idle connections.
// `on_drained` is called from the loop when the last connection is gone; no request is cut. Once only.
void http_server_drain(struct http_server *s, void (*on_drained)(void *user), void *user);
// Cuts what is left. Exchanges that owners still hold get on_cancel before this returns; each must be released before the loop goes away
// (the server's memory goes with the last of them).
void http_server_free(struct http_server *s);
const struct http_counters *http_server_counters(const struct http_server *s);

// ---- request ---------------------------------------------------------------------------------------------------------------------
enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };
const char *http_version_name(enum http_version v);  // "HTTP/1.1", "HTTP/2.0"
struct http_request {
	struct slice method;     // as sent
	struct slice target;     // path and query, raw; at least "/"; "*" for OPTIONS *
	struct slice authority;  // from an absolute-form target or Host; may be empty (HTTP/1.0)
	const struct http_field *fields;  // in order, duplicates kept, Host and hop-by-hop fields included
	uint32_t field_count;
	enum http_version version;
	bool has_body;           // Content-Length > 0 or chunked
	bool is_head;
	bool accepts_trailers;   // TE: trailers
	bool has_length;
	uint64_t length;         // of the body where has_length
	bool https;              // it came by TLS, or the target was absolute and said so
	struct http_address peer;
};
const struct http_request *http_exchange_request(const struct http_exchange *x);

enum http_cancel { HTTP_CANCEL_PEER, HTTP_CANCEL_TIMEOUT, HTTP_CANCEL_BAD_BODY, HTTP_CANCEL_TOO_LARGE, HTTP_CANCEL_SERVER, HTTP_CANCEL_NOMEM };
struct http_exchange_ops {
	void (*on_head)(void *user, struct http_exchange *x);      // of a request that goes out: the answer's head is there, once
	void (*on_readable)(void *user, struct http_exchange *x);  // after HTTP_READ_AGAIN, once: data, end or error is there
	void (*on_writable)(void *user, struct http_exchange *x);  // after http_body_permit gave 0, once
	void (*on_cancel)(void *user, struct http_exchange *x, enum http_cancel why);  // at most once; release is still the owner's to call
};
// The wire was lost, also when on_cancel is still to come. *ret_status: what the client was answered by the server itself (400, 408, 413), 0:
// nothing. Both may be NULL.
bool http_exchange_is_cancelled(const struct http_exchange *x, enum http_cancel *ret_why, unsigned *ret_status);
// Any of the callbacks may be NULL.
void http_exchange_set_owner(struct http_exchange *x, const struct http_exchange_ops *ops, void *user);
// The owner is done. A response not begun is answered 500; one not finished is aborted (W31). An unread request body is drained or the
// connection closed (W33).
void http_exchange_release(struct http_exchange *x);

// Bytes of the bodies so far: of the request's, that its owner took; of the answer's, that he wrote and that are sent.
void http_exchange_bodies(const struct http_exchange *x, uint64_t *ret_in, uint64_t *ret_out);

// ---- request body ----------------------------------------------------------------------------------------------------------------
enum http_read {
	HTTP_READ_DATA,
	HTTP_READ_AGAIN,  // nothing yet; on_readable follows
	HTTP_READ_END,
	HTTP_READ_ERROR,  // lost, malformed, too large or too slow
};
// What is buffered of the body (a view until the next call on the exchange or return to the loop). The first call on a body that was
// announced with Expect: 100-continue sends the 100.
enum http_read http_body_peek(struct http_exchange *x, struct slice *ret_data);
void http_body_consume(struct http_exchange *x, size_t n);
// peek + copy + consume; 0 < *ret_n <= max on HTTP_READ_DATA. max 0 gives DATA with 0 bytes if there are any.
enum http_read http_body_read(struct http_exchange *x, void *into, size_t max, size_t *ret_n);  // for tests
// After HTTP_READ_END: the trailers (framing, routing and hop-by-hop names are left out); they live as long as the exchange.
const struct http_field *http_body_trailers(const struct http_exchange *x, uint32_t *ret_count);
// The owner will not read any more.
void http_body_discard(struct http_exchange *x);

// ---- response --------------------------------------------------------------------------------------------------------------------
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
// Once. Status 200..599. `length` of the body or HTTP_LENGTH_UNKNOWN (as it turns out if the body is finished before the head leaves; else
// chunked, or until close for HTTP/1.0). A content-length field among `fields` is allowed: it must be strict and equal to `length`, or `length`
// unknown (then it is the length); with HEAD or 304 it is only sent, with 204 and 205 it is dropped (RFC 9110, 8.6).
// Forbidden or invalid fields, or more than the limits: false, nothing happens. The head is buffered and leaves with the first body bytes, at the
// latest when the loop's turn ends.
NODISCARD bool http_respond_head(struct http_exchange *x, unsigned status, const struct http_field *fields, uint32_t n, uint64_t length, struct err *e);
// false: to HEAD, and with 204, 205 and 304, nothing of a body is sent.
bool http_status_has_body(const struct http_exchange *x, unsigned status);
// A field that goes with the head behind those of http_respond_head, where these leave room for it. A view until the head is given.
void http_exchange_add_field(struct http_exchange *x, struct http_field f);
// Bytes that http_body_write takes now without fail: 0 or 4096..HTTP_WINDOW (W12); 0: on_writable follows. For a closed exchange it is
// HTTP_WINDOW: the write tells. It depends on what this exchange has written only: a head and HTTP_WINDOW bytes are always taken.
size_t http_body_permit(struct http_exchange *x);
enum http_write {
	HTTP_WRITE_OK,
	HTTP_WRITE_CLOSED,    // the exchange was cancelled or aborted
	HTTP_WRITE_NO_PERMIT, // longer than the permit; nothing taken
	HTTP_WRITE_TOO_LONG,  // beyond the announced length; nothing taken, the response can't end cleanly any more
};
// All or nothing. To HEAD, 204, 205 and 304 bytes are counted and dropped.
enum http_write http_body_write(struct http_exchange *x, struct slice data);
// The body is complete. Trailers go out only when chunked and the client takes them, else they are dropped (W34). false: fewer bytes than
// announced, or an invalid trailer: the response is aborted. True for an exchange that is closed already.
NODISCARD bool http_body_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n);
// Cuts the response: never a clean end (L87). Before the head was sent too: the connection just ends. No on_cancel follows, nor does one after
// an http_body_finish that failed.
void http_abort(struct http_exchange *x);
// Head, body of one line and finish, for the server's own answers (500, 503, 504). `retry_after` seconds, 0: none. Does nothing when a
// head was given already.
void http_respond_error(struct http_exchange *x, unsigned status, unsigned retry_after);

// ---- failures of what goes out -----------------------------------------------------------------------------------------------------
// Why a request has no answer, or none that is whole, or there is no connection: cases of error-code of wasi:http.
enum http_failure {
	HTTP_FAILURE_NONE,
#define FAILURE(name, text) HTTP_FAILURE_##name,
#include "failures.def"
#undef FAILURE
};

const char *http_failure_text(enum http_failure f);

// ---- client ----------------------------------------------------------------------------------------------------------------------
// Requests that go out, of one shard. The same exchanges turned round: http_body_permit, _write and _finish are the request's body, http_body_peek,
// _consume, _trailers and _discard the answer's. Rules 1, 2 and 5 hold; after on_cancel http_exchange_failure says why. Connections are kept by origin and
// tenant, and outlive who asked for them. No redirect is followed, no proxy variable is read.
struct http_client;

struct http_client_limits {
	uint32_t connections;    // open at once, idle ones among them
	uint32_t idle;           // kept without a request
	uint32_t lookups;        // of names, at once
	uint64_t idle_ns;
	uint64_t connect_ns;     // from the beginning until the connection stands, names and all addresses among it: where the request says nothing
	uint64_t first_byte_ns;  // from then to the answer's head; likewise
	uint64_t between_ns;     // without a byte of a body that is waited for; likewise
	uint64_t write_ns;       // the peer takes nothing of what waits to be sent
};
extern const struct http_client_limits http_client_limits_default;

// `names`: the pool that looks names up; outlives the client.
NODISCARD bool http_client_new(struct loop *l, struct loop_pool *names, const struct http_client_limits *limits, struct http_client **ret, struct err *e);
const struct http_counters *http_client_counters(const struct http_client *cl);
// Cuts what is left: exchanges that owners still hold get on_cancel, and each must be released before. Look-ups that are under way
// are let go.
void http_client_free(struct http_client *cl);

// Connections to servers that an app may have, on all threads together. Its maker's, as long as any client. Zeroed but for `most`.
struct http_quota {
	uint64_t most;             // any thread; 0: no bound
	struct shared_count open;
	bool wanted;               // any thread: somebody waits for a place
};
// A place for a connection of another kind, which doesn't wait for one: false: there is none, and who rests on one gives it up. NULL bounds nothing.
bool http_quota_take(struct http_quota *q);
void http_quota_give(struct http_quota *q);
struct http_outgoing_request {
	struct slice method, authority, target;  // valid by http_method_is_valid and so on; the authority is not empty
	bool https;
	struct http_tls *tls;  // of https; NULL: it can't be spoken. Outlives its connections' handshakes
	const struct http_field *fields;
	uint32_t n;
	uint64_t tenant;  // whose connections: others' are not used
	// Requests of one `line` have at most so many connections on this client, and those of the quota as many as that says; what finds none waits, as long as for a
	// connection. 0, NULL: no bound.
	uint64_t line;
	uint32_t line_most;
	struct http_quota *quota;
	uint64_t connect_ns, first_byte_ns, between_ns;  // 0: as the limits have it
	uint64_t answer_ns;  // from now to the answer's head, over the two before; 0: as they have it
	// Asked for each address before anything is sent to it, that of a connection which is used again among them. From the loop.
	bool (*may_connect)(void *user, const struct http_address *a);
	const struct http_exchange_ops *ops;
	void *user;
};
// All of the request is copied. A content-length among the fields is the body's length. What goes wrong later is told by on_cancel. false: *ret_why.
NODISCARD bool http_client_send(struct http_client *cl, const struct http_outgoing_request *r, struct http_exchange **ret, enum http_failure *ret_why);

struct http_answer {
	unsigned status;  // 200..599, or any of three digits that a server made up
	const struct http_field *fields;
	uint32_t n;
};
// Of a request that went out, after on_head; NULL: not there.
const struct http_answer *http_exchange_answer(const struct http_exchange *x);
enum http_failure http_exchange_failure(const struct http_exchange *x);
// What the other side said to it, as its standard names it, and its number: of TLS_ALERT_RECEIVED the alert (RFC 8446, 6), of DNS_ERROR the code of the answer (RFC
// 1035, 4.1.1). Static; NULL: nothing is known.
const char *http_exchange_failure_detail(const struct http_exchange *x, unsigned *ret_number);

// ---- connections to servers that speak something else ------------------------------------------------------------------------------
// From a name to a connected descriptor: look-up, vetting, one address after the other. Embedded; not moved while it runs. The caller has set all below
// but what is connect.c's.
enum { HTTP_ADDRESSES_MAX = 16 };
struct http_lookup;
struct http_connect {
	struct loop *loop;
	struct loop_pool *names;     // looks names up
	uint32_t *lookups_left;      // how many more may be looked up at once, counted here; NULL: any number
	uint64_t deadline_ns;        // for all of it
	bool (*may_connect)(void *user, const struct http_address *a);  // NULL: to all
	void *user;
	// From the loop, once: `fd` is the callee's, connected to list[at]; -1: failed.
	void (*done)(struct http_connect *k, int fd, enum http_failure failure);
	struct http_address list[HTTP_ADDRESSES_MAX];
	uint32_t n, at;
	// connect.c's
	struct http_lookup *lookup;  // that runs; it outlives a connect that was stopped
	struct loop_io io;
	struct loop_timer timer;
	enum http_failure failure;   // of the address before
	uint8_t rcode;               // of DNS_ERROR: as the answer's code is numbered
};
// From the loop; `done` may be called before this returns.
void http_connect_start(struct http_connect *k, const char *host, uint16_t port);
// `done` is not called any more. Does nothing where it was.
void http_connect_stop(struct http_connect *k);

// How bytes come and go, by TCP or by TLS over it.
struct iovec;
struct http_transport;
struct http_transport_ops {
	// Bytes received, 0 at the end, or -errno; -EAGAIN: io.fn is called when there is something, as far as it is wanted.
	int64_t (*recv)(struct http_transport *t, void *into, size_t max);
	int64_t (*sendv)(struct http_transport *t, const struct iovec *parts, int n);
	void (*shutdown)(struct http_transport *t);           // ends our direction
	void (*close)(struct http_transport *t, bool reset);  // `reset`: the other side is to see that it is not a clean end
	void (*want)(struct http_transport *t, uint32_t interest);
	uint64_t (*unsent)(struct http_transport *t);         // bytes sent that the other side has not taken
	bool (*is_ready)(const struct http_transport *t);     // what comes before the first byte of a message is over; NULL: nothing does
	bool (*is_h2)(const struct http_transport *t);        // and both sides have agreed on HTTP/2; NULL: nothing was agreed
	// From loop to loop, when nothing waits to be sent. Returns the descriptor, which nobody watches any more; `of` is there still.
	int (*detach)(struct http_transport *t);
	bool (*attach)(struct http_transport *t, struct loop *l, int fd, void (*fn)(struct loop_io *io, uint32_t ready));  // by `of`; false: it stays detached
	void (*drop)(int fd, void *of);                       // of one that is detached: closes it
};
struct http_transport {
	const struct http_transport_ops *ops;
	struct loop_io io;
	void *of;         // the kind's own
	uint8_t failure;  // why it can't be used, where it knows better than -errno: enum http_failure
	uint8_t alert;    // of TLS_ALERT_RECEIVED
	uint32_t fixed;   // of what sendv did not take so many bytes, the first, are encrypted already: they are offered again as they are
};
// On a connected descriptor, which is taken over, also when it fails. `tls`: NULL for none; the handshake is within the first recv or sendv; no protocol is
// offered (ALPN). `host`: whom the peer's certificate must vouch for. The transport stays where it is while it is open.
NODISCARD bool http_transport_open(struct http_transport *t, struct loop *l, int fd, struct http_tls *tls, const char *host,
	void (*fn)(struct loop_io *io, uint32_t ready), struct err *e);

#endif
