// One HTTP request on its way through a guest: how room http's exchange and the guest's handles meet, and part again.
#include "wasi_int.h"
#include "wasi_provider.h"

static void on_readable(void *user, struct http_exchange *x)
{
	struct wasi_http_call *c = user;
	if (c->in)
		wasi__event_fire(&c->in->ready);
}

static void on_writable(void *user, struct http_exchange *x)
{
	struct wasi_http_call *c = user;
	if (c->out)
		wasi__event_fire(&c->out->ready);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct wasi_http_call *c = user;
	c->cancelled = true;
	on_readable(c, x);
	on_writable(c, x);
	if (c->on_cancel)
		c->on_cancel(c);
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

bool wasi_http_begin(struct wasi_http_call *c, struct canon_instance *i, struct http_exchange *x, struct wasi_http_args *ret)
{
	static const struct http_exchange_ops ops = {.on_readable = on_readable, .on_writable = on_writable, .on_cancel = on_cancel};
	c->x = x;
	if (!new_request(c, i, &ret->request))
		return false;
	if (!new_outparam(c, i, &ret->outparam)) {
		canon_host_resource_drop(i, ret->request);
		return false;
	}
	http_exchange_set_owner(x, &ops, c);
	return true;
}

// The guest may keep handles (policies reuse and keep): from here on they lead nowhere.
static void detach(struct wasi_http_call *c)
{
	if (c->request)
		c->request->call = NULL;
	if (c->outparam)
		c->outparam->call = NULL;
	if (c->in)
		c->in->call = NULL, c->in->over = true;
	if (c->out)
		c->out->call = NULL, c->out->over = true;
	wasi__fields_unref(c->headers);
	c->request = NULL;
	c->outparam = NULL;
	c->headers = NULL;
	c->in = c->out = NULL;
}

// The guest has returned, holds a body that it never wrote to and has not dropped it: an empty body, not a broken one (JavaScript's runtime
// leaves one so after an error). One that it wrote to or dropped is incomplete (L87).
static bool is_left_empty(const struct wasi_http_call *c)
{
	return c->out && !c->out->finished && c->out->written == 0;
}

void wasi_http_end(struct wasi_http_call *c, bool clean, unsigned status_if_unset)
{
	if (!c->head_set)
		http_respond_error(c->x, status_if_unset, status_if_unset == 503 ? 1 : 0);
	else if (!c->finished && !(clean && is_left_empty(c) && http_body_finish(c->x, NULL, 0)))
		http_abort(c->x);  // begun and not finished: never a clean end (W31, L87)
	detach(c);
	http_exchange_release(c->x);
	c->x = NULL;
}
