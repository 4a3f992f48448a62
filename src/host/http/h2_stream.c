// A stream of HTTP/2: what has come of its body and was not read, what waits to be sent, and its places in the lists of its session.
//
// 1. The window of a stream is what its reader has not read: bytes are given back to the peer when they are consumed.
// 2. What is written waits here until nghttp2 pulls it (on_pull): as far as the windows of the peer go, while the kernel takes what is sent.
#include "h2.h"

void h2_stream_list(struct h2_session *s, struct h2_stream *st, int32_t id)
{
	st->session = s;
	st->id = id;
	st->read_by = st->write_by = UINT64_MAX;
	st->next = s->streams;
	st->prev = &s->streams;
	if (st->next)
		st->next->prev = &st->next;
	s->streams = st;
	s->n++;
	s->conn->idle_since = UINT64_MAX;
	http__meter_start(&st->taking, &s->conn->limits);
}

void h2_stream_forget_event(struct h2_stream *st)
{
	struct h2_session *s = st->session;
	if (!st->event_prev)
		return;
	*st->event_prev = st->event_next;
	if (st->event_next)
		st->event_next->event_prev = st->event_prev;
	else
		s->events_end = st->event_prev;
	st->event_prev = NULL;
	st->events = 0;
}

void h2_stream_forget_submit(struct h2_stream *st)
{
	struct h2_session *s = st->session;
	if (!st->submit_prev)
		return;
	*st->submit_prev = st->submit_next;
	if (st->submit_next)
		st->submit_next->submit_prev = st->submit_prev;
	else
		s->submits_end = st->submit_prev;
	st->submit_prev = NULL;
}

static void rest(struct h2_session *s)
{
	struct http_conn *c = s->conn;
	uint64_t now = loop_now_ns(c->server->loop);
	c->idle_since = now;
	s->idle_by = sat_add_u64(now, c->limits.idle_ns);
	h2_session_look_by(s, s->idle_by);
	if (s->side->rest)
		s->side->rest(s);
	if (s->said_bye)
		h2_session_send_later(s);  // it ends
}

void h2_stream_unlist(struct h2_stream *st)
{
	struct h2_session *s = st->session;
	if (!s)
		return;
	h2_stream_forget_event(st);
	h2_stream_forget_submit(st);
	*st->prev = st->next;
	if (st->next)
		st->next->prev = st->prev;
	if (s->ng && !st->closed)
		nghttp2_session_set_stream_user_data(s->ng, st->id, NULL);
	st->session = NULL;
	if (--s->n == 0 && s->conn && !s->failed)
		rest(s);
}

void h2_stream_event(struct h2_stream *st, enum h2_event e)
{
	struct h2_session *s = st->session;
	st->events |= e;
	if (st->event_prev)
		return;
	st->event_next = NULL;
	st->event_prev = s->events_end;
	*s->events_end = st;
	s->events_end = &st->event_next;
}

void h2_stream_submit_later(struct h2_stream *st)
{
	struct h2_session *s = st->session;
	if (!st->submit_prev) {
		st->submit_next = NULL;
		st->submit_prev = s->submits_end;
		*s->submits_end = st;
		s->submits_end = &st->submit_next;
	}
	h2_session_send_later(s);
}

void h2_stream_reset(struct h2_stream *st, uint32_t code)
{
	struct h2_session *s = st->session;
	if (!s)
		return;
	int32_t id = st->id;
	bool closed = st->closed;
	h2_stream_unlist(st);
	if (closed || !s->ng || !s->conn)
		return;
	nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, code);
	h2_session_send_later(s);
}

void h2_stream_release(struct h2_stream *st)
{
	struct http_server *s = st->x->server;
	h2_stream_unlist(st);
	http__block_put(s, st->in);
	http__block_put(s, st->out);
	h2_list_release(s, &st->head);
	h2_list_release(s, &st->trailers);
	h2_section_release(s, &st->head_out);
	h2_section_release(s, &st->trailers_out);
	st->in = st->out = NULL;
}

// ---- what comes of a body ------------------------------------------------------------------------------------------------------------

static void give_back(struct h2_stream *st, size_t n)
{
	struct h2_session *s = st->session;
	if (!s || !s->ng || st->closed || !n)
		return;
	nghttp2_session_consume_stream(s->ng, st->id, n);
	if (!s->ng || nghttp2_session_want_write(s->ng))
		h2_session_send_later(s);
}

void h2_stream_consume(struct h2_stream *st, size_t n)
{
	st->in_start += n;
	if (st->in_start == st->in_len) {
		http__block_put(st->x->server, st->in);
		st->in = NULL;
		st->in_start = st->in_len = 0;
	}
	give_back(st, n);
}

void h2_stream_drop_in(struct h2_stream *st)
{
	size_t n = h2_stream_raw(st).len;
	if (n)
		h2_stream_consume(st, n);
}

bool h2_stream_take(struct h2_stream *st, const uint8_t *p, size_t n)
{
	struct slice there = h2_stream_raw(st);
	if (!st->in || st->in->cap - st->in_len < n) {
		struct block *to = st->in;
		if (!to || to->cap < there.len + n)
			to = http__block_get(st->x->server, there.len + n);
		if (!to)
			return false;
		if (there.len)
			memmove(to->data, there.ptr, there.len);
		if (to != st->in)
			http__block_put(st->x->server, st->in);
		st->in = to;
		st->in_start = 0;
		st->in_len = there.len;
	}
	memcpy(st->in->data + st->in_len, p, n);
	st->in_len += n;
	return true;
}

// ---- what is sent of one -------------------------------------------------------------------------------------------------------------

bool h2_stream_write(struct h2_stream *st, struct slice data)
{
	size_t there = h2_stream_waiting(st);
	if (!st->out && !(st->out = http__block_get(st->x->server, HTTP_WINDOW)))
		return false;
	if (st->out->cap - st->out_len < data.len) {
		memmove(st->out->data, st->out->data + st->out_start, there);
		st->out_start = 0;
		st->out_len = there;
	}
	BUG_ON(st->out->cap - st->out_len < data.len);
	memcpy(st->out->data + st->out_len, data.ptr, data.len);
	st->out_len += data.len;
	if (st->submitted && st->session->ng)
		nghttp2_session_resume_data(st->session->ng, st->id);
	h2_session_send_later(st->session);
	return true;
}

bool h2_stream_end(struct h2_stream *st, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	if (n && !h2_section_init(st->x->server, &st->trailers_out, n, bytes))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!http__is_trailer_forbidden(trailers[i].name))
			h2_section_put(&st->trailers_out, trailers[i].name, trailers[i].value);
	st->out_ended = true;
	if (st->submitted && st->session->ng)
		nghttp2_session_resume_data(st->session->ng, st->id);
	h2_session_send_later(st->session);
	return true;
}

static ssize_t on_pull(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct h2_stream *st = h2_stream_of(user, id);
	if (!st)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t there = h2_stream_waiting(st), n = min_u64(there, length);
	if (there == 0 && !st->out_ended)
		return NGHTTP2_ERR_DEFERRED;
	if (n)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == there && st->out_ended) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (st->trailers_out.n) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			if (nghttp2_submit_trailer(ng, id, h2_section_fields(&st->trailers_out), st->trailers_out.n) != 0)
				return NGHTTP2_ERR_CALLBACK_FAILURE;
		}
	}
	return (ssize_t)n;
}

nghttp2_data_provider h2_stream_source(struct h2_stream *st)
{
	return (nghttp2_data_provider){.source.ptr = st, .read_callback = on_pull};
}

void h2_stream_took(struct h2_stream *st, size_t n)
{
	const struct h2_session *s = st->session;
	const struct http_limits *l = &s->conn->limits;
	uint64_t now = loop_now_ns(s->conn->server->loop);
	st->out_start += n;
	st->took_ns = now;
	st->write_by = UINT64_MAX;
	http__meter_take(&st->taking, l, now, n);
	http__meter_stop(&st->taking, l, now);
	if (st->out_start < st->out_len)
		return;
	http__block_put(st->x->server, st->out);
	st->out = NULL;
	st->out_start = st->out_len = 0;
}
