// Bodies of HTTP messages as streams. What the wire does stands in room http; here is what the guest may do when (W29 to W33).
//
// An outgoing body, and who changes its state:
//   held (until response-outparam.set) → on the wire (send) → finished (finish, abandon) or over (the call is gone)
#include "wasi_host.h"
#include "wasi_int.h"

enum { HELD_MAX = HTTP_WINDOW };

struct wasi_http_body *wasi__body_new(struct canon_instance *i, struct wasi_http_call *call)
{
	struct wasi_http_body *b = seam_mem_zalloc(i, sizeof *b);
	if (!b)
		return NULL;
	b->instance = i;
	b->refs = 1;
	b->call = call;
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

void wasi__body_unref(void *p)
{
	struct wasi_http_body *b = p;
	if (!b || --b->refs)
		return;
	if (b->call && b->call->in == b) {
		b->call->in = NULL;
		http_body_discard(b->call->x);
	}
	if (b->call && b->call->out == b)
		b->call->out = NULL;
	buf_release(&b->held);
	wasi__fields_unref(b->trailers);
	seam_mem_free(b);
}

static struct http_exchange *exchange(const struct wasi_http_body *b)
{
	return b->call ? b->call->x : NULL;
}

// ---- in ----------------------------------------------------------------------------------------------------------------------------

// A body that can't be read to its end never looks as if it had been: also one whose call is over.
static enum wasi_io in_peek(struct wasi_input *in, struct slice *ret)
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

struct wasi_error wasi__body_error(const struct wasi_http_call *call)
{
	static const struct wasi_error errors[] = {
		[HTTP_CANCEL_PEER] = {"the client is gone", true, WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED},
		[HTTP_CANCEL_TIMEOUT] = {"the body did not arrive in time", true, WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_READ_TIMEOUT},
		[HTTP_CANCEL_BAD_BODY] = {"the body is malformed", true, WASI_HTTP_TYPES_ERROR_CODE_HTTP_PROTOCOL_ERROR},
		[HTTP_CANCEL_TOO_LARGE] = {"the body is longer than allowed", true, WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE},
		[HTTP_CANCEL_SERVER] = {"the request was ended by the server", true, WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED},
		[HTTP_CANCEL_NOMEM] = {"the server is out of memory", true, WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR},
	};
	enum http_cancel why;
	if (call && call->x && http_exchange_is_cancelled(call->x, &why, NULL))
		return errors[why];
	return (struct wasi_error){"the request is over", true, WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED};
}

static struct wasi_error in_take_error(struct wasi_input *in)
{
	struct wasi_http_body *b = in->of;
	b->ended = true;
	return wasi__body_error(b->call);
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

static bool is_closed(const struct wasi_http_body *b)
{
	return b->finished || b->over || (b->call && b->call->cancelled);
}

static enum wasi_io out_permit(struct wasi_output *out, size_t *ret)
{
	struct wasi_http_body *b = out->of;
	if (is_closed(b))
		return WASI_IO_CLOSED;
	*ret = b->call ? http_body_permit(b->call->x) : HELD_MAX - b->held.len;
	return WASI_IO_OK;
}

static enum wasi_io out_write(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	struct wasi_http_body *b = out->of;
	if (is_closed(b))
		return WASI_IO_CLOSED;
	b->written += data.len;
	if (!b->call)
		return buf_put_slice(&b->held, data) ? WASI_IO_OK : WASI_IO_CLOSED;
	return http_body_write(b->call->x, data) == HTTP_WRITE_OK ? WASI_IO_OK : WASI_IO_CLOSED;
}

// What was written leaves when the guest waits, returns or is preempted, at the latest at the end of the loop's turn: a flush need not send it in
// a call of its own. It waits only while the client does not take what was sent before.
static enum wasi_io out_flush(struct wasi_output *out)
{
	const struct wasi_http_body *b = out->of;
	size_t n = 0;
	if (!b->call && !is_closed(b))
		return WASI_IO_OK;  // held until the response is set: nothing to wait for
	enum wasi_io r = out_permit(out, &n);
	return r == WASI_IO_OK && n == 0 ? WASI_IO_AGAIN : r;
}

static void out_release(struct wasi_output *out)
{
	struct wasi_http_body *b = out->of;
	b->streams--;
	wasi__body_unref(b);
}

struct wasi_output *wasi__body_output(struct wasi_http_body *b)
{
	static const struct wasi_output_ops ops = {out_permit, out_write, out_flush, out_release};
	struct wasi_output *out = seam_mem_zalloc(b->instance, sizeof *out);
	if (!out)
		return NULL;
	*out = (struct wasi_output){.ops = &ops, .refs = 1, .writable = &b->ready, .of = wasi__body_ref(b)};
	b->streams++;
	return out;
}

void wasi__call_finished(struct wasi_http_call *call)
{
	call->finished = true;
	if (call->on_finished)
		call->on_finished(call);
}

// The whole of the body has been given to the wire, or it was too short.
static enum wasi_finish end_on_wire(struct wasi_http_body *b)
{
	const struct wasi_fields *t = b->trailers;
	if (b->length != HTTP_LENGTH_UNKNOWN && b->written != b->length) {
		http_abort(b->call->x);
		return WASI_FINISH_SHORT;
	}
	if (!http_body_finish(b->call->x, t ? t->list : NULL, t ? t->n : 0))
		return WASI_FINISH_SHORT;
	wasi__call_finished(b->call);
	return WASI_FINISH_OK;
}

void wasi__body_send(struct wasi_http_body *b, struct wasi_http_call *call)
{
	b->call = call;
	call->out = b;
	if (b->held.len && http_body_write(call->x, buf_view(&b->held)) == HTTP_WRITE_TOO_LONG)
		b->length = 0;  // it can't end cleanly (W32)
	buf_release(&b->held);
	if (b->abandoned)
		http_abort(call->x);
	else if (b->finished)
		end_on_wire(b);
	wasi__event_fire(&b->ready);
}

enum wasi_finish wasi__body_finish(struct wasi_http_body *b, struct wasi_fields *trailers)
{
	if (is_closed(b))
		return WASI_FINISH_CLOSED;
	b->finished = true;
	b->trailers = trailers ? wasi__fields_ref(trailers) : NULL;
	return b->call ? end_on_wire(b) : WASI_FINISH_OK;
}

void wasi__body_lost(struct wasi_http_body *b)
{
	if (b->call)
		return;
	b->over = true;
	wasi__event_fire(&b->ready);
}

void wasi__body_abandon(struct wasi_http_body *b)
{
	if (b->finished || b->over)
		return;
	b->finished = b->abandoned = true;
	if (b->call)
		http_abort(b->call->x);
}
