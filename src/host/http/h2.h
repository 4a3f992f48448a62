// HTTP/2 (RFC 9113) by nghttp2, inside of the room http, each below what follows:
//   h2_fields    lists of fields: those that come, those that are sent
//   h2_cost      what a peer may cost
//   h2_stream    a stream of either side: what has come, what waits
//   h2_session   frames and flow control of a connection, of either side
//   h2_refusal   answers of the server's own
//   h2           requests that come in: a protocol for conn, a wire for exchange; those that go out stand in client.h
#ifndef TENON_HTTP_H2_H
#define TENON_HTTP_H2_H

#include <nghttp2/nghttp2.h>

#include "http_int.h"

// ---- h2_fields.c -----------------------------------------------------------------------------------------------------------------
enum h2_pseudo { H2_METHOD, H2_SCHEME, H2_AUTHORITY, H2_PATH, H2_STATUS, H2_PSEUDO };
// Fields of one head or trailer section, as they came, in a block: first the table, then the texts.
struct h2_list {
	struct block *block;  // NULL: none
	size_t len;           // used of it
	size_t bytes;         // of all, also of those that were left out; four for each besides, as in an HTTP/1 head
	uint32_t n, seen;     // kept, and come
	uint32_t cookies;
	struct slice pseudo[H2_PSEUDO];  // ptr NULL: not there
};
static inline const struct http_field *h2_list_fields(const struct h2_list *l)
{
	return l->block ? (const void *)l->block->data : NULL;
}
// One more; beyond the limits it is counted only. false: memory is out.
bool h2_list_add(struct http_server *s, const struct http_limits *most, struct h2_list *l, struct slice name, struct slice value);
bool h2_list_is_too_large(const struct http_limits *most, const struct h2_list *l);
// It is complete: several cookie fields are one (RFC 9113, 8.2.3). false: memory is out.
bool h2_list_end(struct http_server *s, struct h2_list *l);
// Of a trailer section: those that may not stand there are left out.
void h2_list_keep_trailers(struct h2_list *l);
void h2_list_release(struct http_server *s, struct h2_list *l);

// A head or trailer section that is sent: nghttp2 reads it where it stands, names in lower case.
struct h2_section {
	struct block *block;
	uint32_t n;
	size_t len;  // of the texts
};
// Room for `n` fields of `bytes` in all. false: memory is out.
bool h2_section_init(struct http_server *s, struct h2_section *h, uint32_t n, size_t bytes);
void h2_section_put(struct h2_section *h, struct slice name, struct slice value);
void h2_section_put_number(struct h2_section *h, struct slice name, uint64_t v);
static inline const nghttp2_nv *h2_section_fields(const struct h2_section *h)
{
	return h->block ? (const void *)h->block->data : NULL;
}
void h2_section_release(struct http_server *s, struct h2_section *h);

// ---- what files share ------------------------------------------------------------------------------------------------------------
struct h2_session;
// What happened to a stream while nghttp2 worked; its side is told afterwards.
enum h2_event {
	H2_HEAD = 1,      // `head` is complete
	H2_READ = 2,      // more of the body, or its end
	H2_WRITTEN = 4,   // some of `out` has left
	H2_CLOSED = 8,    // `closed`, `error`
};
// A stream, as both sides have it. Embedded in what owns it.
struct h2_stream {
	struct http_exchange *x;
	struct h2_session *session;      // NULL: the session is through with it, or gone
	struct h2_stream *next, **prev;  // of the session
	struct h2_stream *event_next, **event_prev;  // event_prev NULL: nothing has happened
	struct h2_stream *submit_next, **submit_prev;  // whose head waits; submit_prev NULL: it does not
	uint32_t events;
	int32_t id;
	uint32_t error;                  // closed: the code
	bool closed;                     // both sides have ended, or one has reset it
	bool has_head;                   // what comes next are trailers
	bool in_ended, broken;           // the peer has ended it; what it sent was malformed
	bool out_ended, end_sent;        // all is in `out`; and has left
	bool submitted;
	struct block *in, *out;          // in->data[in_start..in_len) has come and was not read, out->data[out_start..out_len) waits
	size_t in_start, in_len, out_start, out_len;
	uint64_t received;               // of its body
	uint32_t informational;          // answers before the final one
	struct h2_list head, trailers;   // that came
	struct h2_section head_out, trailers_out;
	uint64_t read_by, write_by;      // UINT64_MAX: nobody waits
	struct http_meter taking;        // of what waits in `out` for the peer's window
	uint64_t took_ns;                // when it last took some
};
// What a side does when a session hears something. `event`s come when nghttp2 does nothing; the stream may be gone afterwards.
struct h2_side {
	bool is_client;
	struct h2_stream *(*begin)(struct h2_session *s);   // a request's head begins; NULL: it is refused
	bool (*submit)(struct h2_stream *st);               // its head waits and is to be given to nghttp2 now. false: it can't
	void (*event)(struct h2_stream *st, uint32_t events);
	void (*lost)(struct h2_stream *st, enum http_cancel why);  // the connection is gone; st->session is NULL already
	uint64_t (*late)(struct h2_stream *st, uint64_t now_ns);   // one of its deadlines may be over; the next one. It may be gone afterwards
	void (*rest)(struct h2_session *s);                 // no stream is left; NULL: that is all the same
};
struct h2_session {
	struct http_conn *conn;   // NULL: gone; exchanges may be left
	const struct h2_side *side;
	nghttp2_session *ng;      // NULL: memory was out within it
	struct h2_memory *memory; // what it has
	bool poor;
	int32_t last_id;          // of the streams that the peer began
	uint32_t busy;            // nghttp2 works, or somebody walks through its streams: it is not freed
	uint32_t held;            // streams whose owners or wires have not let go
	uint32_t cancelled;       // those of them that are no streams any more, but may have somebody who works for them
	uint32_t n;               // of the list
	struct h2_stream *streams, *events, **events_end, *submits, **submits_end;
	struct h2_list list;      // of the head that is being received
	uint32_t why;             // it can't go on: an error code
	uint32_t ended_with;      // what the last GOAWAY has told the peer
	uint32_t told_to_go;      // and what the last of the peer's has told us
	bool failed;
	bool greeted;             // the peer's SETTINGS have come
	bool goes, said_bye;      // it is to end: told so (GOAWAY without a last stream), and told the last stream
	bool ping_out;            // the answer to our PING says that it has heard
	uint64_t idle_by, head_by, bye_by;
	struct {
		uint64_t at_ns, level;
	} resets, noise;          // what it has cost
	size_t skip;              // bytes until the next frame begins,
	uint8_t frame[9];         // and what has come of its head
	uint32_t frame_len;
	bool brings_fields, ends_fields;  // the frame before that: some of a head or of trailers, the last of them
};
static inline void h2_session_send_later(struct h2_session *s)
{
	http__conn_turn_later(s->conn);
}
// The session looks at its deadlines then, at the latest.
static inline void h2_session_look_by(struct h2_session *s, uint64_t at_ns)
{
	if (at_ns < s->conn->read_deadline)
		http__conn_read_by(s->conn, at_ns);
}

// ---- h2_cost.c -------------------------------------------------------------------------------------------------------------------
// Frames that begin in p[0..n) are paid for. false: it has cost too much (`why`).
bool h2_cost_frames(struct h2_session *s, const uint8_t *p, size_t n);
// Of a head or of trailers more is to come. nghttp2 does not tell of the end of one whose stream is gone.
bool h2_cost_awaits_fields(const struct h2_session *s);
// For a reset that it has brought about.
bool h2_cost_reset(struct h2_session *s);
// For a frame that brought nothing.
bool h2_cost_noise(struct h2_session *s);
// Something of use was sent, `bytes` of a body; `whole`: the end of an answer.
void h2_cost_earn(struct h2_session *s, size_t bytes, bool whole);

// ---- h2_stream.c -----------------------------------------------------------------------------------------------------------------
void h2_stream_list(struct h2_session *s, struct h2_stream *st, int32_t id);
// The session forgets it: `lost` and events don't come any more.
void h2_stream_unlist(struct h2_stream *st);
void h2_stream_event(struct h2_stream *st, enum h2_event e);
void h2_stream_forget_event(struct h2_stream *st);
// Resets it, if it is not closed; unlisted.
void h2_stream_reset(struct h2_stream *st, uint32_t code);
static inline struct slice h2_stream_raw(const struct h2_stream *st)
{
	return st->in ? slice_of(st->in->data + st->in_start, st->in_len - st->in_start) : (struct slice){0};
}
static inline size_t h2_stream_waiting(const struct h2_stream *st)
{
	return st->out_len - st->out_start;
}
// n bytes of `in` were read: the peer may send as many more.
void h2_stream_consume(struct h2_stream *st, size_t n);
// What came and will come of a body is thrown away.
void h2_stream_drop_in(struct h2_stream *st);
bool h2_stream_write(struct h2_stream *st, struct slice data);
// No more is written; `n` trailers.
bool h2_stream_end(struct h2_stream *st, const struct http_field *trailers, uint32_t n, size_t bytes);
// Its head waits until the turn is over, or is sent then at the latest.
void h2_stream_submit_later(struct h2_stream *st);
void h2_stream_forget_submit(struct h2_stream *st);
void h2_stream_release(struct h2_stream *st);
// For nghttp2_submit_request and _response.
nghttp2_data_provider h2_stream_source(struct h2_stream *st);
static inline struct h2_stream *h2_stream_of(const struct h2_session *s, int32_t id)
{
	return s->ng ? nghttp2_session_get_stream_user_data(s->ng, id) : NULL;
}
// More of its body has come. false: memory is out.
bool h2_stream_take(struct h2_stream *st, const uint8_t *p, size_t n);
// n bytes of `out` have left.
void h2_stream_took(struct h2_stream *st, size_t n);

// ---- h2_refusal.c ----------------------------------------------------------------------------------------------------------------
// Why the server answers by itself.
enum h2_refused {
	H2_NOT_REFUSED,
	H2_AUTHORITY_MALFORMED,
	H2_TARGET_MALFORMED,
	H2_SCHEME_UNKNOWN,
	H2_BODY_LATE,
	H2_BODY_TOO_LONG,
	H2_EXPECTATION_UNKNOWN,
	H2_HEAD_TOO_LARGE,
	H2_TRAILERS_TOO_LARGE,
	H2_CONNECT_REFUSED,
	H2_REFUSALS,
};
struct h2_refusal {
	unsigned status;
	const char *why, *text;  // for the log, for the client
};
extern const struct h2_refusal h2_refusals[];
// Head and body are given to nghttp2: the stream may be forgotten then. false: memory is out, or the session is over.
bool h2_refusal_put(struct h2_stream *st, enum h2_refused why);

// ---- h2_session.c ----------------------------------------------------------------------------------------------------------------
// On a connection whose `protocol` is the side's. The peer hears SETTINGS with what is sent next. NULL: memory is out.
struct h2_session *h2_session_new(struct http_conn *c, const struct h2_side *side, uint32_t max_streams);
void h2_session_unhold(struct h2_session *s);
// The connection is gone (conn.c's `lost`).
void h2_session_lost(struct h2_session *s, enum http_cancel why);
// Bytes came. false: the connection is gone, or ends.
bool h2_session_feed(struct h2_session *s, const uint8_t *p, size_t n);
// From the socket, once.
void h2_session_read(struct h2_session *s);
// Sends what may be sent, and tells of what has happened. false: the connection is gone, or ends.
bool h2_session_send(struct h2_session *s);
// GOAWAY with `code`; streams are lost.
void h2_session_fail(struct h2_session *s, uint32_t code, enum http_cancel why);
// No new streams are taken; those that were begun until the peer knows it are served; then it ends.
void h2_session_go(struct h2_session *s);
void h2_session_late(struct h2_session *s);
bool h2_session_wants_read(const struct h2_session *s);

// ---- h2.c ------------------------------------------------------------------------------------------------------------------------
// A connection that has been read from, or handshaken, speaks HTTP/2 from here on; `p` are its first bytes, the preface among them. false: it is gone, or ends.
bool http__h2_take(struct http_conn *c, const uint8_t *p, size_t n);

#endif
