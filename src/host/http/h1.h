// HTTP/1: what is spoken on a connection (http_protocol) and what stands under its exchanges (http_wire). See h1.c for the states.
#ifndef TENON_HTTP_H1_H
#define TENON_HTTP_H1_H

#include "http_int.h"

// ---- h1_head.c: the head of a message and its trailers ---------------------------------------------------------------------------
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
	bool moved;                // an authority was, within what was parsed
	const char *why;           // where it was refused
};
// What was parsed is as it came again.
void h1_head_restore(const struct h1_head *h);
// p[0..len) is a head that h1_head_scan has found complete (without the leading empty line). Slices point into it; an absolute-form target
// without a path may move its authority by one byte. The fields, at most max_fields, come into `fields`. 0, or the status to refuse with.
unsigned h1_head_parse(uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, struct h1_head *h);
// One line of [p, end) that ends in CRLF. Returns where the next line begins, NULL if it is malformed.
const uint8_t *h1_field_parse(const uint8_t *p, const uint8_t *end, struct http_field *f);
// Splits a comma-separated list; false at its end. Elements are trimmed; empty ones are skipped.
bool h1_list_next(struct slice *rest, struct slice *ret);
// The same for a trailer section. Forbidden names are left out.
unsigned h1_trailers_parse(const uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, uint32_t *ret_n);

// ---- h1_answer.c: the head of an answer ------------------------------------------------------------------------------------------
struct h1_answer {
	unsigned status;
	uint8_t version_minor;
	bool chunked, has_length, keep_alive;
	uint64_t length;
	uint32_t n;
};
// p[0..len) is a head that h1_head_scan has found complete. The fields, at most max_fields, point into it. HTTP_FAILURE_NONE, or what is wrong with it.
enum http_failure h1_answer_parse(const uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, struct h1_answer *ret);

// ---- h1_body.c: the framing of a body --------------------------------------------------------------------------------------------
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
// A trailer section of p is complete, trailers_end bytes long: nothing follows it.
static inline void h1_body_end(struct h1_body *b)
{
	b->state = H1_BODY_DONE;
}

// ---- a connection and the exchange on it -----------------------------------------------------------------------------------------
enum h1_state { H1_IDLE, H1_HEAD, H1_BUSY, H1_DRAIN };
struct h1_conn {
	struct http_conn conn;     // first; the rest means something while it is open
	enum h1_state state;
	bool in_dispatch, close_after;
	bool gathers;              // an answer that is complete leaves with those of other connections: when this turn of the loop is over
	bool is_h2;                // what came is not HTTP/1: it becomes another
	uint64_t requests;
	struct h1_exchange *x;     // BUSY and DRAIN: HTTP/1 has one at a time
	struct block *in;          // received and not consumed: in->data[in_start..in_len)
	size_t in_start, in_len;
	struct h1_scan scan;
};
enum { H1_FIELDS = 16 };  // of a request that lie with its exchange
enum h1_kind { H1_NONE, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };
struct h1_exchange {
	struct http_exchange x;    // first
	struct h1_conn *conn;      // NULL: the wire is through with it
	bool must_continue;        // Expect: 100-continue, not sent yet
	bool reading;              // the owner has begun to read the body
	bool head_waits;           // nothing of the head was sent: its framing may still be changed
	enum h1_kind kind;         // how the end of the response is told
	size_t head_before;        // head_waits: bytes of earlier answers in front of it in the output
	size_t head_lines;         // its length up to what h1 adds last: framing, Connection, the empty line
	size_t chunk;              // bytes of the last chunk at the end of the output, with its framing; 0: none to be added to
	size_t head_end;           // in head_block: where the raw body may begin
	struct http_meter sending; // of the client, the body
	struct h1_body body;
	struct h1_scan trailer_scan;
	struct block *head_block, *trailer_block;
	struct block *field_block;  // of more fields than there is room for here
	uint32_t trailer_count;
	struct h1_head head;       // this and what follows: not cleared
	struct http_field fields[H1_FIELDS];
};
static inline bool h1_has_ended(const struct h1_exchange *h)
{
	return h->body.state == H1_BODY_DONE;
}

// ---- h1_in.c: what has come and is not consumed ----------------------------------------------------------------------------------
static inline size_t h1_raw_len(const struct h1_conn *c)
{
	return c->in_len - c->in_start;
}
static inline struct slice h1_raw(const struct h1_conn *c)
{
	return c->in ? slice_of(c->in->data + c->in_start, c->in_len - c->in_start) : (struct slice){0};
}
// Room for more raw bytes of a body?
bool h1_raw_has_room(const struct h1_conn *c);
void h1_drop_input(struct h1_conn *c);
// A block with room for more of a head: it may move, nothing points into it yet. false: memory is out.
bool h1_head_room(struct h1_conn *c);
// p[0..n) is the first that came, at most BLOCK_SMALL: into a block of its size. false: memory is out.
bool h1_take_first(struct h1_conn *c, const uint8_t *p, size_t n);
// Room for more of a body: the head stays where it is. false: memory is out.
bool h1_body_room(struct h1_conn *c);
// What is left in the buffer belongs to the next request; the block with the head stays with an exchange that somebody holds. false: memory is out.
bool h1_take_leftover(struct h1_conn *c, struct h1_exchange *h);
// Receives into the free end of c->in. false: nothing came (the connection may be closed, or conn.read_eof was set).
bool h1_receive(struct h1_conn *c);
// Frames what is in the raw buffer: false when the body turned out bad (status and detail set).
bool h1_body_advance(struct h1_exchange *h, unsigned *ret_status, const char **ret_detail);
// Is the rest of the body buffered, however little of it was read? Also true of what can't be a body: who reads it comes to that.
bool h1_body_has_come(const struct h1_exchange *h);
// Reads away what is buffered of a body that nobody reads. false: it is bad.
bool h1_skip_body(struct h1_exchange *h);

// ---- h1_out.c: what is sent ------------------------------------------------------------------------------------------------------
bool h1_put_head(struct h1_exchange *h, const struct http_response *r);
bool h1_put_data(struct h1_exchange *h, struct slice data);
// Whatever the framing needs at the end of a body. false: memory is out.
bool h1_put_end(struct h1_exchange *h, const struct http_field *trailers, uint32_t n, size_t bytes);
// An answer of the server's own to a message that it can't go on with: `Connection: close`. false: the connection is gone.
bool h1_put_error(struct h1_conn *c, unsigned status, const char *detail, bool no_body);
bool h1_put_continue(struct h1_conn *c);
// Data of a body, as a chunk or not. *chunk: bytes of the last chunk at the end of the output with its framing; 0: none to be added to. false: the
// connection is gone.
bool h1_data_put(struct http_conn *c, size_t *chunk, bool chunked, struct slice data);
// The last chunk and the trailers, of `bytes` in all, but those that may not stand there. false: the connection is gone.
bool h1_trailers_put(struct http_conn *c, const struct http_field *trailers, uint32_t n, size_t bytes);
uint8_t *h1_fields_put(uint8_t *to, const struct http_field *fields, uint32_t n);
// Output is about to leave: a 100 that is still owed goes before the head. false: the connection is gone.
bool h1_before_send(struct http_conn *c);
void h1_sent(struct http_conn *c, size_t n);

#endif
