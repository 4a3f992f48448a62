// Bodies of HTTP messages as streams. What the wire does stands in room http; here is what the guest may do when (W29 to W33).
//
// An outgoing body, and who changes its state:
//   held (until response-outparam.set) → on the wire (send) → finished (finish, abandon) or over (the call is gone)
#include "wasi_host.h"
#include "wasi_int.h"

enum { HELD_MAX = HTTP_WINDOW };

struct wasi_http_body *wasi__body_new(struct canon_instance *i, struct wasi_http_flow *flow)
{
	struct wasi_http_body *b = seam_mem_zalloc(i, sizeof *b);
	if (!b)
		return NULL;
	b->instance = i;
	b->refs = 1;
	b->flow = flow;
	if (flow && flow->ref)
		flow->ref(flow);
	b->length = HTTP_LENGTH_UNKNOWN;
	b->held.max = HELD_MAX;
	b->held.pool = canon_instance_pool(i);
	return b;
}

struct wasi_http_body *wasi__body_ref(struct wasi_http_body *b)
{
	b->refs++;
	return b;
}

// false: no room there, and it is good for being dropped alone.
static bool move(struct wasi_http_body *b, struct canon_instance *to)
{
	struct pool *pool = canon_instance_pool(to);
	if (!pool_move(pool, b->held.ptr) || !wasi__fields_move(&b->trailers, to) || !pool_move(pool, b))
		return false;
	b->held.pool = pool;
	b->instance = to;
	return true;
}

bool wasi__body_follow(struct wasi_http_body *b, struct canon_instance *to)
{
	if (!b)
		return true;
	b->away = b->refs > 1 && b->instance != to ? to : NULL;
	return b->refs > 1 || move(b, to);
}

bool wasi__body_move(struct wasi_http_body *b, struct canon_instance *to)
{
	struct wasi_http_flow *f = b->flow;
	return move(b, to) && (!f || !f->move || f->move(f, to));
}

// Nobody has it any more in the instance that it was made in, but its request elsewhere. Where that has no room for it, it is as one that was dropped.
static void settle(struct wasi_http_body *b)
{
	struct canon_instance *to = b->away;
	b->away = NULL;
	if (move(b, to))
		return;
	buf_release(&b->held);
	wasi__fields_unref(b->trailers);
	b->trailers = NULL;
	b->finished = b->abandoned = true;
	pool_disown(b);
	b->instance = to;
}

void wasi__body_unref(void *p)
{
	struct wasi_http_body *b = p;
	if (b && b->refs == 2 && b->away) {
		b->refs--;
		settle(b);
		return;
	}
	if (!b || --b->refs)
		return;
	struct wasi_http_flow *f = b->flow;
	if (f && f->in == b) {
		f->in = NULL;
		http_body_discard(f->x);
	}
	if (f && f->out == b)
		f->out = NULL;
	if (f && f->unref)
		f->unref(f);
	buf_release(&b->held);
	wasi__fields_unref(b->trailers);
	seam_mem_free(b);
}

struct wasi_http_body *wasi__body_give(struct seam_call *c, struct wasi_http_flow *flow, const struct canon_resource_ops *class, uint32_t *ret_rep)
{
	struct wasi_http_body *b = wasi__body_new(c->canon, flow);
	if (!b) {
		seam_no_memory(c);
		return NULL;
	}
	if (seam_resource_new(c, class, b, ret_rep))
		return b;
	wasi__body_unref(b);
	return NULL;
}

static struct http_exchange *exchange(const struct wasi_http_body *b)
{
	return b->flow ? b->flow->x : NULL;
}

// ---- in ----------------------------------------------------------------------------------------------------------------------------

// A body that can't be read to its end never looks as if it had been: also one whose call is over.
static enum wasi_io in_peek(struct wasi_input *in, size_t max, struct slice *ret)
{
	struct wasi_http_body *b = in->of;
	struct http_exchange *x = exchange(b);
	if (b->ended)
		return WASI_IO_CLOSED;
	switch (x ? http_body_peek(x, ret) : HTTP_READ_ERROR) {
	case HTTP_READ_DATA:
		return WASI_IO_OK;
	case HTTP_READ_AGAIN:
		return WASI_IO_AGAIN;
	case HTTP_READ_ERROR:
		return WASI_IO_FAILED;
	case HTTP_READ_END:
		break;
	}
	b->ended = true;
	return WASI_IO_CLOSED;
}

struct wasi_error wasi__body_error(const struct wasi_http_flow *flow)
{
	if (flow && flow->x && http_exchange_is_cancelled(flow->x, NULL, NULL))
		return flow->error(flow);
	return (struct wasi_error){"the request is over", true, WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED};
}

static struct wasi_error in_take_error(struct wasi_input *in)
{
	struct wasi_http_body *b = in->of;
	b->ended = true;
	return wasi__body_error(b->flow);
}

static void in_consume(struct wasi_input *in, size_t n)
{
	struct http_exchange *x = exchange(in->of);
	if (x)
		http_body_consume(x, n);
}

static void in_release(struct wasi_input *in)
{
	struct wasi_http_body *b = in->of;
	b->streams--;
	wasi__body_unref(b);
}

struct wasi_input *wasi__body_input(struct wasi_http_body *b)
{
	static const struct wasi_input_ops ops = {in_peek, in_consume, in_release, in_take_error};
	struct wasi_input *in = seam_mem_zalloc(b->instance, sizeof *in);
	if (!in)
		return NULL;
	*in = (struct wasi_input){.ops = &ops, .refs = 1, .readable = &b->ready, .of = wasi__body_ref(b)};
	b->streams++;
	return in;
}

// ---- out ---------------------------------------------------------------------------------------------------------------------------

// Never a clean end (L87). Other tasks of the instance may wait for what it would have brought.
static void cut(struct wasi_http_body *b)
{
	struct wasi_http_flow *f = b->flow;
	if (!f)
		return;
	http_abort(f->x);
	wasi__flow_readable(f, f->x);
	wasi__flow_writable(f, f->x);
	if (f->on_cut)
		f->on_cut(f);
}

static bool is_closed(const struct wasi_http_body *b)
{
	return b->finished || b->too_long || b->over || (b->flow && b->flow->cancelled);
}

static enum wasi_io out_permit(struct wasi_output *out, size_t *ret)
{
	struct wasi_http_body *b = out->of;
	if (is_closed(b))
		return WASI_IO_CLOSED;
	*ret = b->flow ? http_body_permit(b->flow->x) : HELD_MAX - b->held.len;
	return WASI_IO_OK;
}

static enum wasi_io out_write(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	struct wasi_http_body *b = out->of;
	if (is_closed(b))
		return WASI_IO_CLOSED;
	b->written += data.len;
	if (b->length != HTTP_LENGTH_UNKNOWN && b->written > b->length) {
		b->too_long = true;
		cut(b);
		return WASI_IO_FAILED;
	}
	if (!b->flow)
		return buf_put_slice(&b->held, data) ? WASI_IO_OK : WASI_IO_CLOSED;
	return http_body_write(b->flow->x, data) == HTTP_WRITE_OK ? WASI_IO_OK : WASI_IO_CLOSED;
}

// What was written leaves when the guest waits, returns or is preempted, at the latest at the end of the loop's turn: a flush need not send it in
// a call of its own. It waits only while the client does not take what was sent before.
static enum wasi_io out_flush(struct wasi_output *out)
{
	const struct wasi_http_body *b = out->of;
	size_t n = 0;
	if (!b->flow && !is_closed(b))
		return WASI_IO_OK;  // held until the response is set: nothing to wait for
	enum wasi_io r = out_permit(out, &n);
	return r == WASI_IO_OK && n == 0 ? WASI_IO_AGAIN : r;
}

// It has failed in one way only.
static struct wasi_error out_take_error(struct wasi_output *out)
{
	const struct wasi_http_body *b = out->of;
	return (struct wasi_error){
		.text = "the body is longer than announced",
		.of_http = true,
		.http_code = b->of_request ? WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE : WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_BODY_SIZE,
		.http_has_number = true,
		.http_number = b->written,
	};
}

static void out_release(struct wasi_output *out)
{
	struct wasi_http_body *b = out->of;
	b->streams--;
	wasi__body_unref(b);
}

struct wasi_output *wasi__body_output(struct wasi_http_body *b)
{
	static const struct wasi_output_ops ops = {out_permit, out_write, out_flush, out_release, out_take_error};
	struct wasi_output *out = seam_mem_zalloc(b->instance, sizeof *out);
	if (!out)
		return NULL;
	*out = (struct wasi_output){.ops = &ops, .refs = 1, .writable = &b->ready, .of = wasi__body_ref(b)};
	b->streams++;
	return out;
}

void wasi__flow_finished(struct wasi_http_flow *f)
{
	f->finished = true;
	if (f->on_finished)
		f->on_finished(f);
}

void wasi__flow_readable(void *flow, struct http_exchange *x)
{
	struct wasi_http_flow *f = flow;
	if (f->in)
		wasi__event_fire(&f->in->ready);
}

void wasi__flow_writable(void *flow, struct http_exchange *x)
{
	struct wasi_http_flow *f = flow;
	if (f->out)
		wasi__event_fire(&f->out->ready);
}

// The whole of the body has been given to the wire, or it was too short.
static enum wasi_finish end_on_wire(struct wasi_http_body *b)
{
	const struct wasi_fields *t = b->trailers;
	if (b->length != HTTP_LENGTH_UNKNOWN && b->written != b->length) {
		cut(b);
		return WASI_FINISH_SIZE;
	}
	if (!http_body_finish(b->flow->x, t ? t->list : NULL, t ? t->n : 0)) {
		cut(b);
		return WASI_FINISH_SIZE;
	}
	wasi__flow_finished(b->flow);
	return WASI_FINISH_OK;
}

void wasi__body_send(struct wasi_http_body *b, struct wasi_http_flow *flow)
{
	b->flow = flow;
	flow->out = b;
	if (flow->ref)
		flow->ref(flow);
	if (b->held.len && http_body_write(flow->x, buf_view(&b->held)) == HTTP_WRITE_TOO_LONG)
		b->length = 0;  // it can't end cleanly (W32)
	buf_release(&b->held);
	if (b->abandoned || b->too_long)
		cut(b);
	else if (b->finished)
		end_on_wire(b);
	wasi__event_fire(&b->ready);
}

enum wasi_finish wasi__body_finish(struct wasi_http_body *b, struct wasi_fields *trailers)
{
	if (b->too_long)
		return WASI_FINISH_SIZE;
	if (is_closed(b))
		return WASI_FINISH_CLOSED;
	b->finished = true;
	if (!b->flow && b->length != HTTP_LENGTH_UNKNOWN && b->written != b->length) {
		b->abandoned = true;
		return WASI_FINISH_SIZE;
	}
	b->trailers = trailers ? wasi__fields_ref(trailers) : NULL;
	return b->flow ? end_on_wire(b) : WASI_FINISH_OK;
}

void wasi__body_over(struct wasi_http_body *b)
{
	b->flow = NULL;
	b->over = true;
	wasi__event_fire(&b->ready);  // another task of the instance may wait for it
}

void wasi__body_lost(struct wasi_http_body *b)
{
	if (b->flow)
		return;
	b->over = true;
	wasi__event_fire(&b->ready);
}

void wasi__body_abandon(struct wasi_http_body *b)
{
	if (b->finished || b->over)
		return;
	b->finished = b->abandoned = true;
	cut(b);
}
