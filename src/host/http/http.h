// HTTP/1.1 server (RFC 9112, 9110), strict. Knows no Wasm. Everything runs on the thread of one loop (a shard).
//
// Layers: transport (bytes) -> connection (output, time, its end) -> protocol (messages; HTTP/1 so far) -> exchange (what the owner sees of one
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
// Strict Content-Length: digits only, no overflow (W32).
bool http_length_parse(struct slice value, uint64_t *ret);

// ---- server ----------------------------------------------------------------------------------------------------------------------
#define HTTP_NO_LIMIT UINT64_MAX
struct http_limits {
	uint32_t head_bytes;       // request line and fields; 431
	uint32_t fields;           // at most HTTP_FIELDS_MAX; 431
	uint64_t body_bytes;       // 413; HTTP_NO_LIMIT: none
	uint32_t drain_bytes;      // unread rest of a request body that is read away to keep the connection
	uint64_t idle_ns;          // between requests: close
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
// "127.0.0.1:3000", "[::1]:80"; the port as it is in the address. Zero-terminated, cut to `cap`.
void http_address_print(const struct http_address *a, char *out, size_t cap);
uint16_t http_address_port(const struct http_address *a);  // for tests

// The connections of several servers, on any threads: at most `connections` together and `per_client` of one address (of a network of 64 bits, for
// IPv6), each HTTP_NO_LIMIT for none. Where places are short the longest idle are closed; if none is idle, accepting waits. Outlives its servers.
struct http_gate;
NODISCARD bool http_gate_new(uint64_t connections, uint64_t per_client, struct http_gate **ret, struct err *e);
void http_gate_free(struct http_gate *g);
enum http_full { HTTP_FULL_CONNECTIONS, HTTP_FULL_CLIENT, HTTP_FULL_DESCRIPTORS };

struct http_server_config {
	struct http_limits limits;  // start from http_limits_default
	// A complete head has arrived. The callee owns the exchange from here (rule 1); it may answer before it returns.
	void (*on_request)(void *user, struct http_exchange *x);
	void *user;
	// A head that never became a request was answered by the server with `status` (400, 408, 414, 431…); `why` is static. May be NULL.
	void (*on_refused)(void *user, const struct http_address *peer, unsigned status, const char *why);
	struct http_gate *gate;  // borrowed; NULL: no limit
	// What is short, told for the first time in the life of the gate. May be NULL.
	void (*on_full)(void *user, enum http_full what, const struct http_address *peer);
	const char *server_name;  // value of a Server field, or NULL for none
	bool no_date;
};

NODISCARD bool http_server_new(struct loop *l, const struct http_server_config *config, struct http_server **ret, struct err *e);
// Binds and listens. `first`: the first shard of the process: the port must be nobody's (two servers never share it by accident), and
// *addr gets the real port where 0 was asked for. The other shards then bind the same *addr with first = false. May be called for several
// addresses (at most 8).
NODISCARD bool http_server_listen(struct http_server *s, struct http_address *addr, bool first, struct err *e);
// Takes over a connected socket (a test, a tenant's process).
NODISCARD bool http_server_adopt(struct http_server *s, int fd, struct err *e);
// Stop accepting (what waits in the queues is accepted first), `Connection: close` on what is in flight, close idle connections.
// `on_drained` is called from the loop when the last connection is gone; no request is cut. Once only.
void http_server_drain(struct http_server *s, void (*on_drained)(void *user), void *user);
// Cuts what is left. Exchanges that owners still hold get on_cancel before this returns; each must be released before the loop goes away
// (the server's memory goes with the last of them).
void http_server_free(struct http_server *s);
const struct http_counters *http_server_counters(const struct http_server *s);

// ---- request ---------------------------------------------------------------------------------------------------------------------
struct http_request {
	struct slice method;     // as sent
	struct slice target;     // path and query, raw; at least "/"; "*" for OPTIONS *
	struct slice authority;  // from an absolute-form target or Host; may be empty (HTTP/1.0)
	const struct http_field *fields;  // in order, duplicates kept, Host and hop-by-hop fields included
	uint32_t field_count;
	uint8_t version_minor;   // 0 or 1
	bool has_body;           // Content-Length > 0 or chunked
	bool is_head;
	bool accepts_trailers;   // TE: trailers
	bool has_length;
	uint64_t length;         // of the body where has_length
	bool https;              // the target was absolute and said so
	struct http_address peer;
};
const struct http_request *http_exchange_request(const struct http_exchange *x);

enum http_cancel { HTTP_CANCEL_PEER, HTTP_CANCEL_TIMEOUT, HTTP_CANCEL_BAD_BODY, HTTP_CANCEL_TOO_LARGE, HTTP_CANCEL_SERVER, HTTP_CANCEL_NOMEM };
struct http_exchange_ops {
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

#endif
