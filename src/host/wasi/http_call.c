// One HTTP request on its way through a guest: how room http's exchange and the guest's handles meet, and part again.
#include "wasi_int.h"
#include "wasi_provider.h"

static struct wasi_http_call *call_of(const struct wasi_http_flow *f)
{
	return CONTAINER_OF(UNCONST(f), struct wasi_http_call, flow);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct wasi_http_call *c = call_of(user);
	c->flow.cancelled = true;
	if (c->changed)
		c->changed(c);
	wasi__flow_readable(user, x);
	wasi__flow_writable(user, x);
	if (c->on_cancel)
		c->on_cancel(c);
}

static void on_finished(struct wasi_http_flow *f)
{
	struct wasi_http_call *c = call_of(f);
	if (c->changed)
		c->changed(c);
	if (c->on_finished)
		c->on_finished(c);
}

static struct wasi_error error_of(const struct wasi_http_flow *f)
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
	http_exchange_is_cancelled(f->x, &why, NULL);
	return errors[why];
}

static bool give(struct wasi_http_call *c, struct canon_instance *i, const struct canon_resource_ops *of, void *object, uint32_t *ret)
{
	return seam_instance_give(i, &c->wasi->seam, of, object, ret);
}

static bool new_request(struct wasi_http_call *c, struct canon_instance *i, uint32_t *ret)
{
	c->request = seam_mem_zalloc(i, sizeof *c->request);
	if (!c->request)
		return false;
	c->request->call = c;
	if (give(c, i, &wasi_http_types_incoming_request_class, c->request, ret))
		return true;
	seam_mem_free(c->request);
	c->request = NULL;
	return false;
}

static bool new_outparam(struct wasi_http_call *c, struct canon_instance *i, uint32_t *ret)
{
	c->outparam = seam_mem_zalloc(i, sizeof *c->outparam);
	if (!c->outparam)
		return false;
	c->outparam->call = c;
	if (give(c, i, &wasi_http_types_response_outparam_class, c->outparam, ret))
		return true;
	seam_mem_free(c->outparam);
	c->outparam = NULL;
	return false;
}

void wasi__http_flow_init(struct wasi_http_call *c, struct http_exchange *x)
{
	c->flow = (struct wasi_http_flow){.x = x, .on_finished = on_finished, .error = error_of};
}

void wasi__http_flow_own(struct wasi_http_call *c)
{
	static const struct http_exchange_ops ops = {.on_readable = wasi__flow_readable, .on_writable = wasi__flow_writable, .on_cancel = on_cancel};
	http_exchange_set_owner(c->flow.x, &ops, &c->flow);
}

bool wasi_http_begin(struct wasi_http_call *c, struct canon_instance *i, struct http_exchange *x, struct wasi_http_args *ret)
{
	wasi__http_flow_init(c, x);
	if (!new_request(c, i, &ret->request))
		return false;
	if (!new_outparam(c, i, &ret->outparam)) {
		canon_host_resource_drop(i, ret->request);
		return false;
	}
	wasi__http_flow_own(c);
	return true;
}

void wasi__http_refuse(struct wasi_http_call *c, const struct err *why)
{
	c->refused = why && why->code == ERR_NOMEM ? 503 : 500;
	http_respond_error(c->flow.x, c->refused, c->refused == 503 ? 1 : 0);
	c->set_error = c->flow.finished = true;
}

static void lose_answer(struct wasi_http_call *c)
{
	if (c->outparam)
		c->outparam->call = NULL;
	if (c->flow.in)
		wasi__body_over(c->flow.in);
	if (c->flow.out)
		wasi__body_over(c->flow.out);
	c->outparam = NULL;
	c->flow.in = c->flow.out = NULL;
}

// The guest may keep handles (policies reuse and keep, and where it serves others): from here on they lead nowhere.
static void detach(struct wasi_http_call *c)
{
	if (c->detach)
		c->detach(c);
	lose_answer(c);
	if (c->request)
		c->request->call = NULL;
	wasi__fields_unref(c->headers);
	c->request = NULL;
	c->headers = NULL;
}

// The guest has returned, holds a body that it never wrote to and has not dropped it: an empty body, not a broken one (JavaScript's runtime
// leaves one so after an error). One that it wrote to or dropped is incomplete (L87).
static bool is_left_empty(const struct wasi_http_call *c)
{
	return !c->is_3 && c->flow.out && !c->flow.out->finished && c->flow.out->written == 0;
}

static void answer(struct wasi_http_call *c, bool clean, unsigned status_if_unset)
{
	if (!c->head_set)
		http_respond_error(c->flow.x, status_if_unset, status_if_unset == 503 ? 1 : 0);
	else if (!c->flow.finished && !(clean && is_left_empty(c) && http_body_finish(c->flow.x, NULL, 0)))
		http_abort(c->flow.x);  // begun and not finished: never a clean end (W31, L87)
}

void wasi_http_give_up(struct wasi_http_call *c, unsigned status_if_unset)
{
	answer(c, false, status_if_unset);
	c->given_up = true;
	http_body_discard(c->flow.x);
	lose_answer(c);
	if (c->changed)
		c->changed(c);
}

void wasi_http_answer(struct wasi_http_call *c, bool clean, unsigned status_if_unset)
{
	if (!c->given_up)
		answer(c, clean, status_if_unset);
	c->given_up = true;
}

void wasi_http_end(struct wasi_http_call *c, bool clean, unsigned status_if_unset)
{
	wasi_http_answer(c, clean, status_if_unset);
	detach(c);
	http_exchange_release(c->flow.x);
	c->flow.x = NULL;
}
