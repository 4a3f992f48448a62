// Frames and flow control of an HTTP/2 connection, of either side, by nghttp2.
//
//   a session:  new ──► greeted (the peer's SETTINGS) ──► goes (h2_session_go) ──► said_bye ──► no stream is left: the connection ends
//               the end, from any of them: h2_session_fail, h2_session_lost
//   a stream:   listed ──► in_ended, end_sent, in any order ──► closed; or reset by either side: closed with an error
//
// 1. While nghttp2 works (`busy`) nobody else is called: what happens to streams is noted as events and told when it is through. An owner may end the
//    connection from there, so that after each call the session may have no connection any more.
// 2. The window of a stream is what its reader has not read (HTTP_WINDOW); that of the connection is no bound of its own, or one who does not read would
//    hold up the others: memory is bounded by streams times window.
// 3. Frames are given to the connection only while the kernel takes what is sent, so that its output holds two frames at most, and flow control decides who
//    comes next.
// 4. Streams count as long as their owners hold them, so that a reset makes no room for another guest (L84).
#include "h2.h"

enum {
	CONN_WINDOW = 1 << 20,
	FLUSH_AT = 16384,
	GATHER_MIN = 8192,
	OUTBOUND_MAX = 1000,  // frames of nghttp2's own that wait: more is not read
	BOMB = 4,             // heads of so many times what is allowed end the connection
};
#define BYE_NS SECOND     // for the answer to a PING behind GOAWAY

// ---- output --------------------------------------------------------------------------------------------------------------------------

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n, nghttp2_data_source *source, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = h2_stream_of(s, frame->hd.stream_id);
	struct http_conn *c = s->conn;
	if (!c || c->state == CONN_DEAD)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (c->write_blocked)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (!st)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	struct iovec parts[2] = {{UNCONST(head), 9}, {st->out->data + st->out_start, n}};
	bool ok = n >= GATHER_MIN ? http__out_gather(c, parts, 2)
							  : http__out_put(c, head, 9) && http__out_put(c, parts[1].iov_base, n) && (http__conn_pending(c) < FLUSH_AT || http__out_flush(c));
	if (!ok)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2_stream_took(st, n);
	h2_stream_event(st, H2_WRITTEN);
	return 0;
}

// Who has something to send and may not, since the peer's window is closed, waits for it (what the kernel does not take is conn.c's).
static void await_windows(struct h2_session *s)
{
	const struct http_limits *l = &s->conn->limits;
	uint64_t now = loop_now_ns(s->conn->server->loop);
	if (s->conn->write_blocked)
		return;
	for (struct h2_stream *st = s->streams; st; st = st->next) {
		if (!st->submitted || !h2_stream_waiting(st) || st->write_by != UINT64_MAX)
			continue;
		if (!st->taking.since_ns)
			st->took_ns = now;
		http__meter_wait(&st->taking, now);
		st->write_by = min_u64(sat_add_u64(st->took_ns, l->write_ns), http__meter_deadline(&st->taking, l, HTTP_NO_LIMIT));
		h2_session_look_by(s, st->write_by);
	}
}

// ---- what nghttp2 tells --------------------------------------------------------------------------------------------------------------

static bool is_up(const struct h2_session *s)
{
	return s->conn && s->conn->state == CONN_OPEN && !s->failed;
}

static int go_on(const struct h2_session *s, bool ok)
{
	return ok && is_up(s) && s->ng ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static bool begins_request(const struct h2_session *s, const nghttp2_frame *f)
{
	return !s->side->is_client && f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct h2_session *s = user;
	h2_list_release(s->conn->server, &s->list);
	s->head_by = sat_add_u64(loop_now_ns(s->conn->server->loop), s->conn->limits.head_ns);
	h2_session_look_by(s, s->head_by);
	if (!begins_request(s, f))
		return 0;
	s->last_id = f->hd.stream_id;
	struct h2_stream *st = s->side->begin(s);
	if (!st) {
		nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_REFUSED_STREAM);
		return 0;
	}
	h2_stream_list(s, st, f->hd.stream_id);
	if (s->n == 1)  // until its head is whole
		s->conn->idle_since = sat_add_u64(loop_now_ns(s->conn->server->loop), s->conn->limits.coming_ns);
	nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, st);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
	void *user)
{
	struct h2_session *s = user;
	struct http_server *server = s->conn->server;
	const struct http_limits *l = &s->conn->limits;
	bool ok = h2_list_add(server, l, &s->list, slice_of(name, name_len), slice_of(value, value_len));
	if (!ok)
		s->why = NGHTTP2_INTERNAL_ERROR;
	if (s->list.bytes / BOMB > max_u64(l->head_bytes, BLOCK_SMALL) || s->list.seen / BOMB > max_u64(l->fields, HTTP_FIELDS_MAX)) {
		s->why = NGHTTP2_ENHANCE_YOUR_CALM;
		ok = false;
	}
	return go_on(s, ok);
}

static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
	uint8_t flags, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = h2_stream_of(s, f->hd.stream_id);
	if (st)
		st->broken = true;
	s->head_by = UINT64_MAX;
	nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static bool took_section(struct h2_session *s, struct h2_stream *st)
{
	bool ok = h2_list_end(s->conn->server, &s->list);
	bool informational = s->side->is_client && s->list.pseudo[H2_STATUS].ptr && s->list.pseudo[H2_STATUS].ptr[0] == '1';
	s->head_by = UINT64_MAX;
	if (s->n)
		s->conn->idle_since = UINT64_MAX;
	if (st && ok && informational) {
		st->informational++;
		h2_stream_event(st, H2_HEAD);
	} else if (st && ok) {
		struct h2_list *to = st->has_head ? &st->trailers : &st->head;
		h2_list_release(s->conn->server, to);
		*to = s->list;
		s->list = (struct h2_list){0};
		if (st->has_head)
			h2_list_keep_trailers(to);
		h2_stream_event(st, st->has_head ? H2_READ : H2_HEAD);
		st->has_head = true;
	}
	h2_list_release(s->conn->server, &s->list);
	return ok;
}

static void heard_ping(struct h2_session *s)
{
	if (s->ping_out && s->goes)
		s->bye_by = 0;
	s->ping_out = false;
	h2_session_look_by(s, s->bye_by);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = f->hd.stream_id ? h2_stream_of(s, f->hd.stream_id) : NULL;
	bool ok = true, ends = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		ok = took_section(s, st);
		break;
	case NGHTTP2_DATA:
		ok = ends || f->hd.length == 0 || f->hd.length > f->data.padlen || h2_cost_noise(s);  // padding alone; who is empty has paid when it began
		break;
	case NGHTTP2_SETTINGS:
		if (!s->greeted)
			s->head_by = UINT64_MAX;
		s->greeted = true;
		return 0;
	case NGHTTP2_GOAWAY:
		s->told_to_go = f->goaway.error_code;
		return 0;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK)
			heard_ping(s);
		return 0;
	default:
		return 0;
	}
	if (st && ends) {
		st->in_ended = true;
		h2_stream_event(st, H2_READ);
	}
	return go_on(s, ok);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = h2_stream_of(s, id);
	bool ok = true;
	nghttp2_session_consume_connection(ng, n);
	if (!st || st->x->discarded || !st->x->owned) {
		nghttp2_session_consume_stream(ng, id, n);
	} else {
		ok = h2_stream_take(st, p, n);
	}
	if (st) {
		st->received += n;
		h2_stream_event(st, H2_READ);
	}
	if (!ok)
		s->why = NGHTTP2_INTERNAL_ERROR;
	return go_on(s, ok);
}

static int on_closed(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
	struct h2_stream *st = h2_stream_of(user, id);
	if (!st)
		return 0;
	st->closed = true;
	st->error = code;
	h2_stream_event(st, H2_CLOSED);
	return 0;
}

// Nobody reads what still comes of a request that is answered: its sender is told to stop (RFC 9113, 8.1).
static void sent_end(struct h2_session *s, int32_t id, struct h2_stream *st)
{
	if (st) {
		st->end_sent = true;
		h2_stream_event(st, H2_WRITTEN);
	} else if (!s->side->is_client && s->ng && nghttp2_session_get_stream_remote_close(s->ng, id) == 0) {
		nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
	}
}

// Resets that the peer has brought about; not those of owners who can't go on.
static bool is_peers_doing(uint32_t code)
{
	return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR || code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_REFUSED_STREAM ||
		code == NGHTTP2_FRAME_SIZE_ERROR;
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct h2_session *s = user;
	bool ends = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (f->hd.type == NGHTTP2_RST_STREAM && is_peers_doing(f->rst_stream.error_code) && !s->side->is_client)
		return go_on(s, h2_cost_reset(s));
	if (f->hd.type == NGHTTP2_GOAWAY)
		s->ended_with = f->goaway.error_code;
	if (f->hd.type == NGHTTP2_GOAWAY && s->goes && !s->said_bye && !s->ping_out) {
		s->ping_out = nghttp2_submit_ping(ng, NGHTTP2_FLAG_NONE, NULL) == 0;
		return 0;
	}
	if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
		return 0;
	h2_cost_earn(s, f->hd.type == NGHTTP2_DATA ? f->hd.length : 0, ends);
	if (ends)
		sent_end(s, f->hd.stream_id, h2_stream_of(s, f->hd.stream_id));
	return 0;
}

// A request that waited within nghttp2 and can't be sent any more, since the peer has said good-bye: it has not seen it.
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *f, int code, void *user)
{
	const struct h2_session *s = user;
	struct h2_stream *st = s->streams;
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	while (st && st->id != f->hd.stream_id)
		st = st->next;
	if (!st)
		return 0;
	st->closed = true;
	st->error = NGHTTP2_REFUSED_STREAM;
	h2_stream_event(st, H2_CLOSED);
	return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int code, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = f->hd.stream_id ? h2_stream_of(s, f->hd.stream_id) : NULL;
	if (st)
		st->broken = true;
	s->head_by = UINT64_MAX;
	return 0;
}

// ---- making --------------------------------------------------------------------------------------------------------------------------

// nghttp2 does not keep its books where memory is out (it frees things twice, and leaves what is freed in its queues): from then on it is not called any more,
// and what it has is freed as a whole.
struct h2_memory {
	struct h2_memory *next, **prev;
};

static void *keep(struct h2_session *s, struct h2_memory *m)
{
	m->next = s->memory;
	m->prev = &s->memory;
	if (m->next)
		m->next->prev = &m->next;
	s->memory = m;
	return m + 1;
}

static void *is_out(struct h2_session *s)
{
	s->poor = true;
	s->ng = NULL;
	s->why = NGHTTP2_INTERNAL_ERROR;
	return NULL;
}

static void *ng_malloc(size_t n, void *user)
{
	struct h2_session *s = user;
	struct h2_memory *m = s->poor ? NULL : mem_alloc(sizeof *m + n);
	return m ? keep(s, m) : is_out(s);
}

static void *ng_calloc(size_t n, size_t size, void *user)
{
	void *p = ng_malloc(n * size, user);
	return p ? memset(p, 0, n * size) : NULL;
}

static struct h2_memory *forget(void *p)
{
	struct h2_memory *m = (struct h2_memory *)p - 1;
	*m->prev = m->next;
	if (m->next)
		m->next->prev = m->prev;
	return m;
}

static void ng_free(void *p, void *user)
{
	const struct h2_session *s = user;
	if (p && !s->poor)
		mem_free(forget(p));
}

static void *ng_realloc(void *p, size_t n, void *user)
{
	struct h2_session *s = user;
	if (!p || s->poor)
		return p ? NULL : ng_malloc(n, user);
	struct h2_memory *old = forget(p), *m = mem_realloc(old, sizeof *m + n);
	if (m)
		return keep(s, m);
	keep(s, old);
	return is_out(s);
}

static void free_memory(struct h2_session *s)
{
	for (struct h2_memory *m = s->memory, *next; m; m = next) {
		next = m->next;
		mem_free(m);
	}
	s->memory = NULL;
	s->ng = NULL;
}

// One for the life of the process, as that of options.
static nghttp2_session_callbacks *callbacks(void)
{
	static nghttp2_session_callbacks *made;
	nghttp2_session_callbacks *c = __atomic_load_n(&made, __ATOMIC_ACQUIRE), *none = NULL;
	if (c || nghttp2_session_callbacks_new(&c) != 0)
		return c;
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_closed);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
	nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
	if (__atomic_compare_exchange_n(&made, &none, c, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return c;
	nghttp2_session_callbacks_del(c);
	return none;
}

static nghttp2_session *new_session(struct h2_session *s)
{
	nghttp2_mem mem = {s, ng_malloc, ng_free, ng_calloc, ng_realloc};
	nghttp2_session_callbacks *k = callbacks();
	nghttp2_session *ng = NULL;
	nghttp2_option *o;
	if (!k || nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_send_header_block_length(o, 4 * HTTP_HEAD_MAX);
	int bad = s->side->is_client ? nghttp2_session_client_new3(&ng, k, s, o, &mem) : nghttp2_session_server_new3(&ng, k, s, o, &mem);
	nghttp2_option_del(o);
	return bad ? NULL : ng;
}

static bool greet(struct h2_session *s, uint32_t max_streams)
{
	const struct http_limits *l = &s->conn->limits;
	nghttp2_settings_entry list[4];
	size_t n = 0;
	list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
	list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->head_bytes + 28 * l->fields};
	if (s->side->is_client)
		list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	else if (max_streams)
		list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};
	return nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, list, n) == 0 &&
		nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) == 0;
}

static void free_if_over(struct h2_session *s)
{
	if (s->conn || s->busy)
		return;
	free_memory(s);
	if (!s->held)
		mem_free(s);
}

struct h2_session *h2_session_new(struct http_conn *c, const struct h2_side *side, uint32_t max_streams)
{
	struct h2_session *s = mem_zalloc(sizeof *s);
	if (!s)
		return NULL;
	s->conn = c;
	s->side = side;
	s->events_end = &s->events;
	s->submits_end = &s->submits;
	s->idle_by = s->head_by = s->bye_by = UINT64_MAX;
	s->skip = side->is_client ? 0 : NGHTTP2_CLIENT_MAGIC_LEN;
	s->resets.at_ns = s->noise.at_ns = loop_now_ns(c->server->loop);
	s->ng = new_session(s);
	if (s->ng && greet(s, max_streams)) {
		uint64_t now = loop_now_ns(c->server->loop);
		s->head_by = sat_add_u64(now, c->limits.head_ns);
		s->idle_by = sat_add_u64(now, c->limits.idle_ns);
		return s;
	}
	s->conn = NULL;
	free_if_over(s);
	return NULL;
}

void h2_session_unhold(struct h2_session *s)
{
	s->held--;
	free_if_over(s);
}

// ---- the end -------------------------------------------------------------------------------------------------------------------------

static void lose_streams(struct h2_session *s, enum http_cancel why)
{
	struct h2_stream *st;
	s->busy++;
	while ((st = s->streams)) {
		h2_stream_unlist(st);
		s->side->lost(st, why);
	}
	s->busy--;
}

void h2_session_lost(struct h2_session *s, enum http_cancel why)
{
	h2_list_release(s->conn->server, &s->list);
	s->failed = true;
	lose_streams(s, why);
	s->conn = NULL;
	free_if_over(s);
}

static bool put_goaway(struct h2_session *s, uint32_t code)
{
	uint32_t last = (uint32_t)s->last_id;
	uint8_t f[17] = {0, 0, 8, NGHTTP2_GOAWAY};
	for (int i = 0; i < 4; i++) {
		f[9 + i] = (uint8_t)(last >> (24 - 8 * i));
		f[13 + i] = (uint8_t)(code >> (24 - 8 * i));
	}
	return http__out_put(s->conn, f, sizeof f);
}

// Frames are put whole into the connection's output, or sent by parts with what is left of them put there: one that we make ourselves may follow.
void h2_session_fail(struct h2_session *s, uint32_t code, enum http_cancel why)
{
	struct http_conn *c = s->conn;
	if (!is_up(s))
		return;
	s->failed = true;
	c->server->counters.refused += code != NGHTTP2_NO_ERROR;
	s->busy++;
	lose_streams(s, why);
	c->linger = true;
	if (put_goaway(s, code))
		http__conn_begin_close(c);
	s->busy--;
	free_if_over(s);
}

void h2_session_go(struct h2_session *s)
{
	if (s->goes || !is_up(s))
		return;
	s->goes = true;
	if (!s->ng)
		return;
	s->bye_by = sat_add_u64(loop_now_ns(s->conn->server->loop), BYE_NS);
	h2_session_look_by(s, s->bye_by);
	nghttp2_submit_shutdown_notice(s->ng);
	h2_session_send_later(s);
}

// ---- input and output ------------------------------------------------------------------------------------------------------------------

bool h2_session_wants_read(const struct h2_session *s)
{
	return !s->failed && !s->conn->read_eof && !(s->conn->write_blocked && s->ng && nghttp2_session_get_outbound_queue_size(s->ng) > OUTBOUND_MAX);
}

static enum http_cancel cancel_of(uint32_t code)
{
	return code == NGHTTP2_INTERNAL_ERROR ? HTTP_CANCEL_NOMEM : code == NGHTTP2_NO_ERROR ? HTTP_CANCEL_PEER
																						 : HTTP_CANCEL_BAD_BODY;
}

static uint32_t code_of(const struct h2_session *s, int64_t error)
{
	if (s->why)
		return s->why;
	switch (error) {
	case NGHTTP2_ERR_NOMEM:
		return NGHTTP2_INTERNAL_ERROR;
	case NGHTTP2_ERR_FLOODED:
	case NGHTTP2_ERR_TOO_MANY_SETTINGS:
		return NGHTTP2_ENHANCE_YOUR_CALM;
	default:
		return NGHTTP2_PROTOCOL_ERROR;
	}
}

// Tells what has happened. The session is held by the caller (`busy`).
static void tell(struct h2_session *s)
{
	struct h2_stream *st;
	while (!s->failed && (st = s->events)) {
		uint32_t events = st->events;
		h2_stream_forget_event(st);
		s->side->event(st, events);
	}
}

// false: nothing more can be done on it; it is freed if nobody holds it.
static bool leave(struct h2_session *s)
{
	bool up = is_up(s);
	s->busy--;
	if (s->busy == 0)
		free_if_over(s);
	return up;
}

bool h2_session_feed(struct h2_session *s, const uint8_t *p, size_t n)
{
	s->busy++;
	ssize_t got = s->ng && h2_cost_frames(s, p, n) ? nghttp2_session_mem_recv(s->ng, p, n) : 0;
	if (s->conn && (got < 0 || s->why))
		h2_session_fail(s, code_of(s, got), cancel_of(code_of(s, got)));
	tell(s);
	return leave(s);
}

void h2_session_read(struct h2_session *s)
{
	struct http_conn *c = s->conn;
	int64_t got = http__conn_recv(c, c->server->scratch, HTTP_SCRATCH);
	if (got > 0 && h2_session_feed(s, c->server->scratch, (size_t)got))
		h2_session_send(s);
}

static void submit_heads(struct h2_session *s)
{
	struct h2_stream *st;
	while (!s->failed && (st = s->submits)) {
		h2_stream_forget_submit(st);
		if (s->side->submit(st))
			st->submitted = true;
		else
			h2_session_fail(s, NGHTTP2_INTERNAL_ERROR, HTTP_CANCEL_NOMEM);
	}
}

// Gives frames to the connection while it takes them.
static void send_frames(struct h2_session *s)
{
	struct http_conn *c = s->conn;
	while (is_up(s) && !c->write_blocked && s->ng) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(s->ng, &p);
		if (n < 0 || s->why) {
			if (s->conn)
				h2_session_fail(s, code_of(s, n), cancel_of(code_of(s, n)));
			return;
		}
		if (n == 0 || !http__out_put(c, p, (size_t)n) || (http__conn_pending(c) >= FLUSH_AT && !http__out_flush(c)))
			return;
	}
}

// Also where nghttp2 has ended it, with streams that are left.
static bool is_over(const struct h2_session *s)
{
	if (s->events || !s->ng || nghttp2_session_want_write(s->ng))
		return false;
	return !nghttp2_session_want_read(s->ng) || (s->n == 0 && (s->said_bye || s->conn->read_eof));
}

bool h2_session_send(struct h2_session *s)
{
	if (s->busy) {
		h2_session_send_later(s);
		return true;
	}
	s->busy++;
	submit_heads(s);
	send_frames(s);
	if (is_up(s) && !s->ng)
		h2_session_fail(s, NGHTTP2_INTERNAL_ERROR, HTTP_CANCEL_NOMEM);
	if (is_up(s))
		await_windows(s);
	tell(s);
	if (is_up(s) && is_over(s)) {
		s->failed = s->conn->linger = true;
		lose_streams(s, cancel_of(s->ended_with));
		http__conn_begin_close(s->conn);
	} else if (is_up(s)) {
		http__out_flush(s->conn);
		if (is_up(s))
			http__conn_update_interest(s->conn);
	}
	return leave(s);
}

// ---- time ------------------------------------------------------------------------------------------------------------------------------

static void say_bye(struct h2_session *s)
{
	s->said_bye = true;
	s->bye_by = UINT64_MAX;
	h2_session_send_later(s);
	if (!s->ng)
		return;
	if (s->n == 0)
		nghttp2_session_terminate_session(s->ng, NGHTTP2_NO_ERROR);
	else
		nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng), NGHTTP2_NO_ERROR, NULL, 0);
}

static void look_at_streams(struct h2_session *s, uint64_t now)
{
	for (struct h2_stream *st = s->streams, *next; st && is_up(s); st = next) {
		next = st->next;
		h2_session_look_by(s, s->side->late(st, now));
	}
}

void h2_session_late(struct h2_session *s)
{
	uint64_t now = loop_now_ns(s->conn->server->loop);
	if (now >= s->head_by && s->greeted && !h2_cost_awaits_fields(s))
		s->head_by = UINT64_MAX;
	if (now >= s->head_by) {
		s->conn->server->counters.timeouts++;
		h2_session_fail(s, NGHTTP2_NO_ERROR, HTTP_CANCEL_TIMEOUT);
		return;
	}
	s->busy++;
	look_at_streams(s, now);
	if (is_up(s)) {
		if (now >= s->bye_by || (s->n == 0 && now >= s->idle_by && !s->said_bye))
			say_bye(s);
		h2_session_look_by(s, min_u64(s->head_by, s->bye_by));
		if (s->n == 0 && !s->said_bye)
			h2_session_look_by(s, s->idle_by);
		tell(s);
	}
	leave(s);
}
