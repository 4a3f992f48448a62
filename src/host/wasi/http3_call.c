// One HTTP request on its way through wasi:http/handler@0.3: the sibling of http_call.c, which ends both.
#include "http3_int.h"
#include "wasi_provider.h"

// ---- the request -----------------------------------------------------------------------------------------------------------------------------

// Of its head what is short is copied: a guest may keep a request for longer than it is served.
static struct wasi_http3_message *new_request(struct wasi_http_call *c, struct canon_instance *i)
{
	const struct http_request *h = http_exchange_request(c->flow.x);
	struct wasi_http3_message *m = wasi__http3_message_new(i);
	if (!m)
		return NULL;
	m->wasi = c->wasi;
	m->head.scheme.is_some = true;
	m->head.scheme.some.tag = (c->fields ? c->https : h->https) ? WASI_HTTP_TYPES_SCHEME_HTTPS : WASI_HTTP_TYPES_SCHEME_HTTP;
	m->head.path.is_some = true;
	struct slice authority = c->fields ? c->authority : h->authority;
	m->head.authority.is_some = authority.len != 0;
	bool ok = wasi__http3_message_method(m, h->method) && wasi__http3_message_keep(m, TEXT_PATH, c->target.len ? c->target : h->target, &m->head.path.some);
	if (ok && m->head.authority.is_some)
		ok = wasi__http3_message_keep(m, TEXT_AUTHORITY, authority, &m->head.authority.some);
	if (ok && (m->in = wasi__body_new(i, &c->flow))) {
		c->flow.in = m->in;
		c->message = m;
		m->call = c;
		return m;
	}
	wasi__http3_message_free(m);
	return NULL;
}

static void wake(struct wasi_http_call *c)
{
	if (c->park)
		seam_wake(c->park);
}

static void on_idle(void *call)
{
	wake(call);
}

static void detach(struct wasi_http_call *c)
{
	struct wasi_http3_message *m = c->message;
	wasi__http3_sending_end(c->sending, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED});
	if (!m)
		return;
	wasi__http3_message_fields(m);  // for who keeps it; without memory it has none
	m->call = NULL;
	c->message = NULL;
}

bool wasi_http3_begin(struct wasi_http_call *c, struct canon_instance *i, struct http_exchange *x, struct wasi_http_args *ret)
{
	wasi__http_flow_init(c, x);
	c->is_3 = true;
	c->changed = wake;
	c->detach = detach;
	c->instance = i;
	struct wasi_http3_message *m = new_request(c, i);
	if (!m)
		return false;
	ret->outparam = 0;
	if (!seam_instance_give(i, &c->wasi->seam, &wasi_http3_types_request_class, m, &ret->request)) {
		wasi__http3_message_free(m);
		return false;
	}
	wasi__http_flow_own(c);
	return true;
}

// ---- the response ----------------------------------------------------------------------------------------------------------------------------

// The length of a body that is known to be none. Not of one that isn't sent: what a GET would have got is not known (RFC 9110, 8.6).
static uint64_t known_length(const struct wasi_http_call *c, uint64_t announced, unsigned status)
{
	bool empty = announced == HTTP_LENGTH_UNKNOWN && http_status_has_body(c->flow.x, status) && wasi__http3_sending_is_empty(c->sending);
	return empty ? 0 : announced;
}

static bool send_head(struct wasi_http_call *c, const struct wasi_http3_message *m, uint64_t *ret_announced, struct err *e)
{
	const struct wasi_fields *f = m->head.headers;
	return wasi__fields_length(f, ret_announced) &&
		http_respond_head(c->flow.x, m->status, f->list, f->n, known_length(c, *ret_announced, m->status), e);
}

// false: memory is out.
static bool send_body(struct wasi_http_call *c, struct seam_task *t, unsigned status, uint64_t announced)
{
	struct wasi_http_body *b = wasi__body_new(c->instance, NULL);
	if (!b)
		return false;
	b->length = http_status_has_body(c->flow.x, status) ? announced : HTTP_LENGTH_UNKNOWN;
	wasi__body_send(b, &c->flow);
	wasi__http3_sending_watch(c->sending, on_idle, c);
	return wasi__http3_sending_start(c->sending, b, t);
}

static void send_response(struct wasi_http_call *c, struct seam_task *t, struct wasi_http3_message *m)
{
	uint64_t announced;
	bool trap;
	struct err e = {0};
	bool ok = wasi__http3_sending_new(m, &t->canon, &c->sending, &trap);
	if (!ok && !trap)
		err_nomem(&e);
	if (!ok || !send_head(c, m, &announced, &e)) {
		wasi__http3_sending_end(c->sending, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR});
		wasi__http_refuse(c, &e);
		return;
	}
	c->status = m->status;
	if (!send_body(c, t, m->status, announced))
		wasi__http3_sending_end(c->sending, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR});
}

void wasi_http3_respond(struct wasi_http_call *c, struct seam_task *t, const struct wasi_result_own_http3_types_response_http3_types_error_code *r,
	const struct wit_type *code)
{
	struct wasi_http3_message *m = r->is_err ? NULL : canon_host_resource_take(c->instance, &wasi_http3_types_response_resource.wit, r->ok);
	if (!c->given_up) {
		c->head_set = true;
		if (m) {
			send_response(c, t, m);
		} else {
			wasi__http_refuse(c, NULL);
			c->error = code->fields[r->err.tag].name;
		}
		if (c->on_head && !c->flow.finished)
			c->on_head(c);
	}
	if (m)
		wasi__http3_message_free(m);
}

static bool is_under_way(const struct wasi_http_call *c)
{
	return c->sending && !c->flow.finished && !c->flow.cancelled && !c->given_up;
}

enum seam_result wasi_http3_wait(struct wasi_http_call *c, struct seam_task *t, uint64_t deadline_ns)
{
	struct seam_call call = {.task = t, .thread = &t->canon, .canon = c->instance, .instance = canon_instance_user(c->instance)};
	enum seam_result r = SEAM_OK;
	while (r == SEAM_OK && is_under_way(c)) {
		struct seam_park park;
		bool stuck = wasi__http3_sending_waits_for_guest(c->sending);
		if (stuck && loop_now_fresh_ns(t->loop) >= deadline_ns)
			break;
		seam_park_init(&park);
		c->park = &park;
		r = seam_park_until(&call, &park, stuck ? deadline_ns : UINT64_MAX, NULL);
		c->park = NULL;
	}
	return r;
}
