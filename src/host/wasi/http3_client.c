// wasi:http/client@0.3: requests go out as those of 0.2 do (http_send.c); the call waits for the answer's head.
#include "http3_int.h"
#include "wasi_provider.h"

// What the wire is to get after the head. NULL: nothing (*ret_ok), or no memory.
static struct wasi_http_body *new_body(const struct wasi_http3_message *m, bool *ret_ok)
{
	struct wasi_http_body *b = NULL;
	*ret_ok = true;
	if (!m->contents && !m->in)
		return NULL;
	b = wasi__body_new(m->instance, NULL);
	*ret_ok = b != NULL;
	if (!b)
		return NULL;
	b->of_request = true;
	if (!wasi__fields_length(m->head.headers, &b->length))
		b->length = HTTP_LENGTH_UNKNOWN;  // the request will be refused for it
	return b;
}

static enum seam_result give_response(struct seam_call *c, struct wasi_http_flow *flow, uint32_t *ret)
{
	const struct http_answer *a = http_exchange_answer(flow->x);
	struct wasi_http3_message *m = wasi__http3_message_new(c->canon);
	struct wasi_fields *f = m ? m->head.headers = wasi__fields_new(c->canon) : NULL;
	if (!f || !wasi__fields_fill(f, a->fields, a->n) || !(m->in = wasi__body_new(c->canon, flow))) {
		if (m)
			wasi__http3_message_free(m);
		return seam_no_memory(c);
	}
	f->immutable = true;
	flow->in = m->in;
	m->status = (uint16_t)a->status;
	if (seam_resource_new(c, &wasi_http3_types_response_class, m, ret))
		return SEAM_OK;
	wasi__http3_message_free(m);
	return SEAM_TRAP;
}

// Of a request that has gone out.
static enum seam_result wait_for_answer(struct seam_call *c, struct wasi_http_flow *flow,
	struct wasi_result_own_http3_types_response_http3_types_error_code *ret, struct wasi_error *ret_why)
{
	while (!wasi__http_has_come(flow)) {
		enum seam_result r = wasi__event_wait(c, wasi__http_answered(flow));
		if (r != SEAM_OK)
			return r;
	}
	ret->is_err = !http_exchange_answer(flow->x);
	if (!ret->is_err)
		return give_response(c, flow, &ret->ok);
	*ret_why = flow->error(flow);
	ret->err = wasi__http3_error(ret_why);
	return SEAM_OK;
}

// NULL: *ret_code, or (0) a trap.
static struct wasi_http_flow *send(struct seam_call *c, struct wasi_http3_message *m, struct wasi_http3_sending **sending, uint8_t *ret_code)
{
	bool ok, trap;
	struct wasi_http_body *b = m->head.body = new_body(m, &ok);
	*ret_code = 0;
	if (!ok || !wasi__http3_sending_new(m, c->thread, sending, &trap)) {
		if (!ok || !trap)
			seam_no_memory(c);
		return NULL;
	}
	struct wasi_http_flow *flow = wasi__http_send(c, &m->head, m->options ? &m->options->o : NULL, ret_code);
	if (!flow)
		wasi__http3_sending_end(*sending, *ret_code ? &(struct wasi_error){.http_code = *ret_code} : NULL);
	if (!flow || !b)
		return flow;
	if (wasi__http3_sending_start(*sending, wasi__body_ref(b), c->task))
		return flow;
	wasi__http3_sending_end(*sending, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR});
	flow->unref(flow);
	seam_no_memory(c);
	return NULL;
}

enum seam_result wasi_http3_client_send(struct seam_call *c, const struct wasi_http3_client_send_args *args,
	struct wasi_result_own_http3_types_response_http3_types_error_code *ret)
{
	struct wasi_http3_message *m = seam_resource_take(c, &wasi_http3_types_request_resource, args->request);
	struct wasi_http3_sending **sending = SEAM_NEW(c, struct wasi_http3_sending *);
	enum seam_result r = SEAM_TRAP;
	uint8_t code;
	if (!sending || !wasi__http3_message_fields(m)) {
		wasi__http3_message_free(m);
		return sending ? seam_no_memory(c) : SEAM_TRAP;
	}
	struct wasi_http_flow *flow = send(c, m, sending, &code);
	bool has_body = m->head.body;
	wasi__http3_message_free(m);
	if (flow) {
		struct wasi_error why;
		r = wait_for_answer(c, flow, ret, &why);
		if (r != SEAM_OK)
			wasi__http3_sending_end(*sending, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED});
		else if (has_body)
			wasi__http3_sending_leave(*sending);
		else  // it was its head alone: an answer says that it went
			wasi__http3_sending_end(*sending, ret->is_err ? &why : NULL);
		flow->unref(flow);
	} else if (code) {
		ret->is_err = true;
		ret->err.tag = code;
		r = SEAM_OK;
	}
	return r;
}
