// wasi:http/types: the request that came in and the response that goes out.
#include "wasi_int.h"
#include "wasi_provider.h"

static bool string_of(struct seam_call *c, struct slice s, struct wasi_option_string *ret)
{
	ret->is_some = true;
	return seam_string(c, s, &ret->some);
}

// ---- incoming request --------------------------------------------------------------------------------------------------------------------

// One that a guest kept when its request had ended leads nowhere: so does the new one.
bool wasi_http_types_incoming_request_remake(struct canon_instance *i, const void *object, void **ret)
{
	const struct wasi_http_request *from = object;
	struct wasi_http_request *r = from->call ? NULL : SEAM_MEM_NEW(i, struct wasi_http_request);
	if (r)
		*r = *from;
	*ret = r;
	return r != NULL;
}

void wasi_http_types_incoming_request_drop(struct canon_instance *i, void *object)
{
	struct wasi_http_request *r = object;
	if (r->call) {
		r->call->request = NULL;
		if (!r->consumed)
			http_body_discard(r->call->flow.x);
	}
	seam_mem_free(r);
}

// NULL, and a trap: the request is over (a handle that was kept from one call to the next).
static const struct http_request *request(struct seam_call *c, uint32_t rep, struct wasi_http_request **ret)
{
	*ret = seam_resource_get(c, &wasi_http_types_incoming_request_resource, rep);
	if ((*ret)->call)
		return http_exchange_request((*ret)->call->flow.x);
	seam_trap(c, "the request of this handle is over");
	return NULL;
}

enum seam_result wasi_http_types_incoming_request_method(struct seam_call *c, const struct wasi_http_types_incoming_request_method_args *args,
	struct wasi_http_types_method *ret)
{
	static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	_Static_assert(ARRAY_LEN(names) == WASI_HTTP_TYPES_METHOD_OTHER, "one name a case");
	struct wasi_http_request *r;
	const struct http_request *h = request(c, args->self, &r);
	if (!h)
		return SEAM_TRAP;
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		if (slice_eq_str(h->method, names[k])) {
			ret->tag = (uint8_t)k;
			return SEAM_OK;
		}
	ret->tag = WASI_HTTP_TYPES_METHOD_OTHER;
	return seam_string(c, h->method, &ret->other) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_http_types_incoming_request_path_with_query(struct seam_call *c,
	const struct wasi_http_types_incoming_request_path_with_query_args *args, struct wasi_option_string *ret)
{
	struct wasi_http_request *r;
	const struct http_request *h = request(c, args->self, &r);
	return h && string_of(c, r->call->target.len ? r->call->target : h->target, ret) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_http_types_incoming_request_scheme(struct seam_call *c, const struct wasi_http_types_incoming_request_scheme_args *args,
	struct wasi_option_http_types_scheme *ret)
{
	struct wasi_http_request *r;
	const struct http_request *h = request(c, args->self, &r);
	if (!h)
		return SEAM_TRAP;
	ret->is_some = true;
	ret->some.tag = (r->call->fields ? r->call->https : h->https) ? WASI_HTTP_TYPES_SCHEME_HTTPS : WASI_HTTP_TYPES_SCHEME_HTTP;
	return SEAM_OK;
}

// Guests take it for granted that there is one (W26); HTTP/1.0 may send none.
enum seam_result wasi_http_types_incoming_request_authority(struct seam_call *c, const struct wasi_http_types_incoming_request_authority_args *args,
	struct wasi_option_string *ret)
{
	struct wasi_http_request *r;
	const struct http_request *h = request(c, args->self, &r);
	if (!h)
		return SEAM_TRAP;
	struct slice authority = r->call->fields ? r->call->authority : h->authority;
	return string_of(c, authority.len ? authority : SLICE_LIT("localhost"), ret) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi__fields_handle(struct seam_call *c, struct wasi_fields *f, uint32_t *ret)
{
	if (!f)
		return seam_no_memory(c);
	if (seam_resource_new(c, &wasi_http_types_fields_class, wasi__fields_ref(f), ret))
		return SEAM_OK;
	wasi__fields_unref(f);
	return SEAM_TRAP;
}

enum seam_result wasi_http_types_incoming_request_headers(struct seam_call *c, const struct wasi_http_types_incoming_request_headers_args *args,
	uint32_t *ret)
{
	struct wasi_http_request *r;
	const struct http_request *h = request(c, args->self, &r);
	if (!h)
		return SEAM_TRAP;
	if (!r->call->headers) {
		struct wasi_fields *f = wasi__fields_new(c->canon);
		if (!f || !wasi__fields_of_call(f, r->call, h)) {
			wasi__fields_unref(f);
			return seam_no_memory(c);
		}
		f->immutable = true;
		r->call->headers = f;
	}
	return wasi__fields_handle(c, r->call->headers, ret);
}

enum seam_result wasi_http_types_incoming_request_consume(struct seam_call *c, const struct wasi_http_types_incoming_request_consume_args *args,
	struct wasi_result_own_http_types_incoming_body_void *ret)
{
	struct wasi_http_request *r;
	if (!request(c, args->self, &r))
		return SEAM_TRAP;
	return wasi__body_give_incoming(c, &r->call->flow, &r->consumed, ret);
}

// ---- incoming body and its trailers --------------------------------------------------------------------------------------------------------

enum seam_result wasi__body_give_incoming(struct seam_call *c, struct wasi_http_flow *flow, bool *consumed, struct wasi_result_own_http_types_incoming_body_void *ret)
{
	ret->is_err = *consumed;
	if (*consumed)
		return SEAM_OK;
	struct wasi_http_body *b = wasi__body_give(c, flow, &wasi_http_types_incoming_body_class, &ret->ok);
	if (!b)
		return SEAM_TRAP;
	*consumed = true;
	flow->in = b;
	return SEAM_OK;
}

void wasi_http_types_incoming_body_drop(struct canon_instance *i, void *object)
{
	wasi__body_unref(object);
}

enum seam_result wasi_http_types_incoming_body_stream(struct seam_call *c, const struct wasi_http_types_incoming_body_stream_args *args,
	struct wasi_result_own_io_streams_input_stream_void *ret)
{
	struct wasi_http_body *b = seam_resource_get(c, &wasi_http_types_incoming_body_resource, args->self);
	ret->is_err = b->stream_taken;
	if (b->stream_taken)
		return SEAM_OK;
	b->stream_taken = true;
	return wasi__input_handle(c, wasi__body_input(b), &ret->ok) ? SEAM_OK : SEAM_TRAP;
}

// Of sizes beyond a limit nothing is said: all that is known is the limit.
struct wasi_http_types_error_code wasi__http_error(const struct wasi_error *error)
{
	struct wasi_option_u64 size = {error->http_has_number, error->http_number};
	struct slice s = slice_str(error->http_text ? error->http_text : "");
	struct wasi_option_string text = {error->http_text != NULL, {s.ptr, s.len}};
	struct wasi_http_types_error_code code = {.tag = error->http_code};
	switch (error->http_code) {
	case WASI_HTTP_TYPES_ERROR_CODE_DNS_ERROR:
		code.dns_error.rcode = text;
		break;
	case WASI_HTTP_TYPES_ERROR_CODE_TLS_ALERT_RECEIVED:
		code.tls_alert_received.alert_id = (struct wasi_option_u8){error->http_has_number, (uint8_t)error->http_number};
		code.tls_alert_received.alert_message = text;
		break;
	case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE:
		code.http_request_body_size = size;
		break;
	case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_BODY_SIZE:
		code.http_response_body_size = size;
		break;
	default:
		break;
	}
	return code;
}

struct future_trailers {
	struct wasi_http_body *body;
	bool taken;
};

enum seam_result wasi_http_types_incoming_body_finish(struct seam_call *c, const struct wasi_http_types_incoming_body_finish_args *args, uint32_t *ret)
{
	struct wasi_http_body *b = seam_resource_take(c, &wasi_http_types_incoming_body_resource, args->this);
	struct future_trailers *t = b->streams ? NULL : seam_mem_zalloc(c->canon, sizeof *t);
	if (!t) {
		bool live = b->streams;
		wasi__body_unref(b);
		return live ? seam_trap(c, "incoming-body.finish while its stream is alive") : seam_no_memory(c);
	}
	t->body = b;
	if (seam_resource_new(c, &wasi_http_types_future_trailers_class, t, ret))
		return SEAM_OK;
	wasi__body_unref(b);
	seam_mem_free(t);
	return SEAM_TRAP;
}

void wasi_http_types_future_trailers_drop(struct canon_instance *i, void *object)
{
	struct future_trailers *t = object;
	wasi__body_unref(t->body);
	seam_mem_free(t);
}

// Reads away what the guest left of the body. WASI_IO_OK: its end was reached; WASI_IO_AGAIN: not yet; WASI_IO_CLOSED: it was lost.
static enum wasi_io drain(struct wasi_http_body *b)
{
	struct slice data;
	if (!b->flow)
		return WASI_IO_CLOSED;
	for (;;)
		switch (http_body_peek(b->flow->x, &data)) {
		case HTTP_READ_DATA:
			http_body_consume(b->flow->x, data.len);
			break;
		case HTTP_READ_AGAIN:
			return WASI_IO_AGAIN;
		case HTTP_READ_END:
			return WASI_IO_OK;
		case HTTP_READ_ERROR:
			return WASI_IO_CLOSED;
		}
}

static bool trailers_are_ready(const struct wasi_pollable *p, uint64_t now_ns)
{
	return drain(p->of) != WASI_IO_AGAIN;
}

enum seam_result wasi_http_types_future_trailers_subscribe(struct seam_call *c, const struct wasi_http_types_future_trailers_subscribe_args *args,
	uint32_t *ret)
{
	struct future_trailers *t = seam_resource_get(c, &wasi_http_types_future_trailers_resource, args->self);
	struct wasi_pollable p = {trailers_are_ready, &t->body->ready, wasi__body_ref(t->body), wasi__body_unref, UINT64_MAX};
	return wasi__pollable_new(c, p, ret) ? SEAM_OK : SEAM_TRAP;
}

// none until the body has ended, then once some(ok(…)), after that some(err) (W34).
enum seam_result wasi_http_types_future_trailers_get(struct seam_call *c, const struct wasi_http_types_future_trailers_get_args *args,
	struct wasi_option_result_result_option_own_http_types_fields_http_types_error_code_void *ret)
{
	struct future_trailers *t = seam_resource_get(c, &wasi_http_types_future_trailers_resource, args->self);
	enum wasi_io io = t->taken ? WASI_IO_OK : drain(t->body);
	ret->is_some = io != WASI_IO_AGAIN;
	ret->some.is_err = t->taken;
	if (io == WASI_IO_AGAIN || t->taken)
		return SEAM_OK;
	t->taken = true;
	if (io == WASI_IO_CLOSED) {
		struct wasi_error error = wasi__body_error(t->body->flow);
		ret->some.ok.is_err = true;
		ret->some.ok.err = wasi__http_error(&error);
		return SEAM_OK;
	}
	uint32_t n;
	const struct http_field *list = http_body_trailers(t->body->flow->x, &n);
	if (n == 0)
		return SEAM_OK;
	struct wasi_fields *f = wasi__fields_new(c->canon);
	if (!f || !wasi__fields_fill(f, list, n)) {
		wasi__fields_unref(f);
		return seam_no_memory(c);
	}
	ret->some.ok.ok.is_some = true;
	enum seam_result r = wasi__fields_handle(c, f, &ret->some.ok.ok.some);
	wasi__fields_unref(f);
	return r;
}

// ---- outgoing response ---------------------------------------------------------------------------------------------------------------------

static void free_response(struct wasi_http_response *r)
{
	wasi__fields_unref(r->headers);
	if (r->body)
		wasi__body_lost(r->body);
	wasi__body_unref(r->body);
	seam_mem_free(r);
}

void wasi_http_types_outgoing_response_drop(struct canon_instance *i, void *object)
{
	free_response(object);
}

static struct wasi_http_response *response(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http_types_outgoing_response_resource, rep);
}

enum seam_result wasi_http_types_outgoing_response_new(struct seam_call *c, const struct wasi_http_types_outgoing_response_new_args *args, uint32_t *ret)
{
	struct wasi_fields *headers = seam_resource_take(c, &wasi_http_types_fields_resource, args->headers);
	struct wasi_http_response *r = seam_mem_zalloc(c->canon, sizeof *r);
	if (!r) {
		wasi__fields_unref(headers);
		return seam_no_memory(c);
	}
	r->status = 200;
	r->headers = headers;
	headers->immutable = true;
	if (seam_resource_new(c, &wasi_http_types_outgoing_response_class, r, ret))
		return SEAM_OK;
	free_response(r);
	return SEAM_TRAP;
}

enum seam_result wasi_http_types_outgoing_response_status_code(struct seam_call *c, const struct wasi_http_types_outgoing_response_status_code_args *args,
	uint16_t *ret)
{
	*ret = (uint16_t)response(c, args->self)->status;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_response_set_status_code(struct seam_call *c,
	const struct wasi_http_types_outgoing_response_set_status_code_args *args, struct wasi_result_void_void *ret)
{
	ret->is_err = args->status_code < 200 || args->status_code > 599;  // W35
	if (!ret->is_err)
		response(c, args->self)->status = args->status_code;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_response_headers(struct seam_call *c, const struct wasi_http_types_outgoing_response_headers_args *args,
	uint32_t *ret)
{
	return wasi__fields_handle(c, response(c, args->self)->headers, ret);
}

enum seam_result wasi_http_types_outgoing_response_body(struct seam_call *c, const struct wasi_http_types_outgoing_response_body_args *args,
	struct wasi_result_own_http_types_outgoing_body_void *ret)
{
	return wasi__body_give_outgoing(c, &response(c, args->self)->body, ret);
}

// ---- outgoing body, of a response or a request --------------------------------------------------------------------------------------------------

enum seam_result wasi__body_give_outgoing(struct seam_call *c, struct wasi_http_body **at, struct wasi_result_own_http_types_outgoing_body_void *ret)
{
	ret->is_err = *at != NULL;
	if (*at)
		return SEAM_OK;
	struct wasi_http_body *b = wasi__body_give(c, NULL, &wasi_http_types_outgoing_body_class, &ret->ok);
	if (!b)
		return SEAM_TRAP;
	*at = wasi__body_ref(b);
	return SEAM_OK;
}

void wasi_http_types_outgoing_body_drop(struct canon_instance *i, void *object)
{
	wasi__body_abandon(object);
	wasi__body_unref(object);
}

enum seam_result wasi_http_types_outgoing_body_write(struct seam_call *c, const struct wasi_http_types_outgoing_body_write_args *args,
	struct wasi_result_own_io_streams_output_stream_void *ret)
{
	struct wasi_http_body *b = seam_resource_get(c, &wasi_http_types_outgoing_body_resource, args->self);
	ret->is_err = b->stream_taken;
	if (b->stream_taken)
		return SEAM_OK;
	b->stream_taken = true;
	return wasi__output_handle(c, wasi__body_output(b), &ret->ok) ? SEAM_OK : SEAM_TRAP;
}

// It is not as long as was announced.
static void set_body_size(struct wasi_http_types_error_code *ret, const struct wasi_http_body *b)
{
	struct wasi_option_u64 size = {true, b->written};
	ret->tag = b->of_request ? WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE : WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_BODY_SIZE;
	if (b->of_request)
		ret->http_request_body_size = size;
	else
		ret->http_response_body_size = size;
}

enum seam_result wasi_http_types_outgoing_body_finish(struct seam_call *c, const struct wasi_http_types_outgoing_body_finish_args *args,
	struct wasi_result_void_http_types_error_code *ret)
{
	struct wasi_fields *trailers = args->trailers.is_some ? seam_resource_take(c, &wasi_http_types_fields_resource, args->trailers.some) : NULL;
	struct wasi_http_body *b = seam_resource_take(c, &wasi_http_types_outgoing_body_resource, args->this);
	enum seam_result r = SEAM_OK;
	if (b->streams) {
		wasi__body_abandon(b);
		r = seam_trap(c, "outgoing-body.finish while its stream is alive");
	} else {
		enum wasi_finish how = wasi__body_finish(b, trailers);
		ret->is_err = how != WASI_FINISH_OK;
		if (how == WASI_FINISH_CLOSED)
			ret->err.tag = WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED;
		else
			set_body_size(&ret->err, b);
	}
	wasi__body_unref(b);
	wasi__fields_unref(trailers);
	return r;
}

// ---- response-outparam -------------------------------------------------------------------------------------------------------------------------

void wasi_http_types_response_outparam_drop(struct canon_instance *i, void *object)
{
	struct wasi_http_outparam *o = object;
	if (o->call)
		o->call->outparam = NULL;
	seam_mem_free(o);
}

// 1xx responses are not sent: HTTP/1.1 clients must do without them.
enum seam_result wasi_http_types_response_outparam_send_informational(struct seam_call *c,
	const struct wasi_http_types_response_outparam_send_informational_args *args, struct wasi_result_void_http_types_error_code *ret)
{
	wasi__fields_unref(seam_resource_take(c, &wasi_http_types_fields_resource, args->headers));
	ret->is_err = true;
	ret->err.tag = WASI_HTTP_TYPES_ERROR_CODE_CONFIGURATION_ERROR;
	return SEAM_OK;
}

// The length of a body that is all here: as long as nobody said one. Not of one that isn't sent: what a GET would have got is not known (RFC 9110, 8.6).
static uint64_t known_length(const struct wasi_http_call *call, const struct wasi_http_response *r, uint64_t announced)
{
	const struct wasi_http_body *b = r->body;
	if (announced != HTTP_LENGTH_UNKNOWN || !http_status_has_body(call->flow.x, r->status))
		return announced;
	if (!b)
		return 0;
	return b->finished && !b->abandoned && !b->trailers ? b->held.len : HTTP_LENGTH_UNKNOWN;
}

// What the guest set can't be sent: memory is out, or it is not what HTTP allows.
static void refuse_response(struct wasi_http_call *call, struct wasi_http_body *b, const struct err *why)
{
	wasi__http_refuse(call, why);
	if (b)
		b->over = true;
}

static void send_response(struct wasi_http_call *call, struct wasi_http_response *r)
{
	uint64_t announced;
	struct wasi_http_body *b = r->body;
	struct err e = {0};
	if (!wasi__fields_length(r->headers, &announced) ||
		!http_respond_head(call->flow.x, r->status, r->headers->list, r->headers->n, known_length(call, r, announced), &e)) {
		refuse_response(call, b, &e);
		return;
	}
	call->status = r->status;
	if (b) {
		b->length = http_status_has_body(call->flow.x, r->status) ? announced : HTTP_LENGTH_UNKNOWN;
		wasi__body_send(b, &call->flow);
	} else if (http_body_finish(call->flow.x, NULL, 0)) {
		wasi__flow_finished(&call->flow);
	}
}

// The code's name in the type of response-outparam.set.
static struct slice error_name(const struct seam_call *c, uint32_t tag)
{
	const struct wit_type *result = c->func->type->params.fields[1].type, *code = result->fields[1].type;
	return code->fields[tag].name;
}

enum seam_result wasi_http_types_response_outparam_set(struct seam_call *c, const struct wasi_http_types_response_outparam_set_args *args)
{
	struct wasi_http_outparam *o = seam_resource_take(c, &wasi_http_types_response_outparam_resource, args->param);
	struct wasi_http_response *r = args->response.is_err ? NULL : seam_resource_take(c, &wasi_http_types_outgoing_response_resource, args->response.ok);
	struct wasi_http_call *call = o->call;
	if (call) {
		call->outparam = NULL;
		call->head_set = true;
		if (r) {
			send_response(call, r);
		} else {
			wasi__http_refuse(call, NULL);
			call->error = error_name(c, args->response.err.tag);
		}
		if (call->on_head && !call->flow.finished)
			call->on_head(call);
	}
	seam_mem_free(o);
	if (r)
		free_response(r);
	return SEAM_OK;
}

enum seam_result wasi_http_types_http_error_code(struct seam_call *c, const struct wasi_http_types_http_error_code_args *args,
	struct wasi_option_http_types_error_code *ret)
{
	const struct wasi_error *error = seam_resource_get(c, &wasi_io_error_error_resource, args->err);
	ret->is_some = error->of_http;
	if (error->of_http)
		ret->some = wasi__http_error(error);
	return SEAM_OK;
}
