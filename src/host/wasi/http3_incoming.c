// Bodies that came, as a stream and the future of their trailers.
//
//   reading (the stream is open) ─its end, lost─► told
//        └─the guest left the stream─► draining, where it still wants the trailers ─► told
#include "http3_int.h"
#include "wasi_provider.h"

struct incoming {
	struct canon_instance *instance;
	struct wasi_http_body *body;
	struct wasi_promise *trailers;
};

struct wasi_http3_trailers wasi__http3_trailers_of(const struct wasi_http_body *in)
{
	struct wasi_http3_trailers t = {0};
	uint32_t n = 0;
	if (!in->ended || !in->flow) {
		struct wasi_error why = wasi__body_error(in->flow);
		return (struct wasi_http3_trailers){.is_err = true, .code = why.http_code};
	}
	const struct http_field *list = http_body_trailers(in->flow->x, &n);
	if (n == 0)
		return t;
	t.fields = wasi__fields_new(in->instance);
	if (t.fields && wasi__fields_fill(t.fields, list, n))
		return t;
	wasi__fields_unref(t.fields);
	return (struct wasi_http3_trailers){.is_err = true, .code = WASI_HTTP3_TYPES_ERROR_CODE_INTERNAL_ERROR};
}

// The handle is made when the guest takes the value, in its own call, where it is: in another instance than the body perhaps.
static bool make_trailers(struct wasi_promise *p, struct canon_task *t, void *native)
{
	struct wasi_http3_trailers v;
	struct canon_instance *i = t->instance;
	struct wasi *wasi = p->data;
	struct wasi_result_option_own_http3_types_fields_http3_types_error_code *ret = native;
	memcpy(&v, p->value, sizeof v);
	ret->is_err = v.is_err;
	if (v.is_err) {
		ret->err.tag = v.code;
		return true;
	}
	ret->ok.is_some = v.fields != NULL;
	if (!v.fields || (wasi__fields_move(&v.fields, i) && seam_instance_give(i, &wasi->seam, &wasi_http3_types_fields_class, v.fields, &ret->ok.some)))
		return true;
	wasi__fields_unref(v.fields);
	canon_task_trap(t, "no room for the trailers: %s", canon_handles_full(i));
	return false;
}

static void forget_trailers(struct wasi_promise *p)
{
	struct wasi_http3_trailers v;
	memcpy(&v, p->value, sizeof v);
	wasi__fields_unref(v.fields);
}

static void incoming_free(struct incoming *in)
{
	if (in->trailers)
		in->trailers->of = NULL;
	wasi__body_unref(in->body);
	seam_mem_free(in);
}

static void tell(struct incoming *in, enum wasi_over how, const struct wasi_error *why)
{
	struct wasi_http3_trailers t = {.is_err = true};
	if (in->trailers) {
		if (how == WASI_OVER_FAILED)
			t.code = why->http_code;
		else
			t = wasi__http3_trailers_of(in->body);
		wasi__promise_resolve(&in->trailers, &t, sizeof t);
	}
	incoming_free(in);
}

static void drained(void *of, enum wasi_over how, const struct wasi_error *why)
{
	struct incoming *in = of;
	if (how == WASI_OVER_GONE)
		incoming_free(in);
	else
		tell(in, WASI_OVER_END, NULL);
}

// A body that is lost while it is read away: the error is the trailers'.
static void draining_over(void *of, enum wasi_over how, const struct wasi_error *why)
{
	struct incoming *in = of;
	if (how != WASI_OVER_FAILED || !in->trailers)
		return;
	struct wasi_http3_trailers t = {.is_err = true, .code = why->http_code};
	wasi__promise_resolve(&in->trailers, &t, sizeof t);
}

// What is left of the body is read away, for its trailers.
static bool drain(struct incoming *in)
{
	uint32_t number;
	struct wasi_sink *s;
	if (!wasi__source_new(in->instance, wasi__body_input(in->body), draining_over, in, &number))
		return false;
	if (!wasi__sink_new(in->instance, number, wasi__no_output(in->instance), drained, in, &s)) {
		canon_end_drop_number(in->instance, number);
		return false;
	}
	wasi__sink_start(s, NULL);
	return true;
}

static void stream_over(void *of, enum wasi_over how, const struct wasi_error *why)
{
	struct incoming *in = of;
	if (how == WASI_OVER_GONE)
		incoming_free(in);
	else if (how != WASI_OVER_CLOSED || !in->trailers || !drain(in))
		tell(in, how, why);
}

bool wasi__http3_incoming_new(struct wasi *w, struct wasi_http_body *body, const struct wit_type *trailers, uint32_t *ret_stream, uint32_t *ret_trailers)
{
	struct canon_instance *i = body->instance;
	struct incoming *in = SEAM_MEM_NEW(i, struct incoming);
	if (!in || !wasi__promise_new(i, trailers, &in->trailers, ret_trailers)) {
		seam_mem_free(in);
		wasi__body_unref(body);
		return false;
	}
	in->trailers->make = make_trailers;
	in->trailers->forget = forget_trailers;
	in->trailers->data = w;
	in->instance = i;
	in->body = body;
	if (wasi__source_new(i, wasi__body_input(body), stream_over, in, ret_stream))
		return true;
	canon_end_drop_number(i, *ret_trailers);
	incoming_free(in);
	return false;
}
