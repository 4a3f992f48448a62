// wasi:http/outgoing-handler, and the answers: future-incoming-response, incoming-response.
//
// A request that was sent is counted by what the guest holds of it: the future, the response, the bodies. When the last is dropped, at the latest with the
// instance, room http lets go of it: one that is not complete is cut.
#include "sys/sys.h"
#include "wasi_host.h"
#include "wasi_int.h"
#include "wasi_provider.h"

enum { SENT_BYTES = 2 * HTTP_WINDOW };  // what room http may have buffered of it, both ways

struct sent {
	struct wasi_http_flow flow;
	uint32_t refs;
	struct canon_instance *instance;  // that is charged: where its future is
	struct seam_keeper *keeper;       // of the one that sent it, where that is another one by now
	bool is_kept;
	// What says where it may go, until it has got there; NULL then.
	struct seam_grants *grants;
	const struct wasi_http_link *by;  // NULL: it goes by what the component was granted
	enum seam_net_scheme scheme;
	uint16_t port;
	char host[HTTP_HOST_MAX + 1];
	struct seam_watch *watch;     // who hears of its end, once; NULL: nobody, or no more
	struct seam_watched watched;
	char link[64];                // that it goes out by; empty: none
	char method[16];
	struct wasi_event answered;   // the answer's head is there, or none will come
	struct wasi_fields *headers;  // of the answer, once asked for
	bool consumed;                // the answer's body
	bool was_cut;                 // by its guest, who had written so many bytes of its body
	uint64_t wrote;
};

static struct sent *sent_of(const struct wasi_http_flow *f)
{
	return CONTAINER_OF(UNCONST(f), struct sent, flow);
}

static void sent_ref(struct wasi_http_flow *f)
{
	sent_of(f)->refs++;
}

static void describe(const struct sent *s, char *what, size_t cap);

// Its answer's head is there, or it never will be.
static void tell(struct sent *s, enum seam_outcome outcome, unsigned status)
{
	char origin[HTTP_HOST_MAX + 32];
	struct seam_watch *w = s->watch;
	if (!w)
		return;
	describe(s, origin, sizeof origin);
	const struct seam_seen seen = {.link = s->link[0] ? s->link : NULL,
		.interface = slice_str(origin),
		.func = slice_str(s->method),
		.outcome = outcome,
		.is_request = true,
		.status = status};
	s->watch = NULL;
	w->end(w, &s->watched, &seen);
}

static void uncharge(struct canon_instance *i)
{
	struct account *a = canon_instance_pool(i)->account;
	if (a)
		account_uncharge(a, SENT_BYTES);
}

static bool charge(struct canon_instance *i)
{
	struct account *a = canon_instance_pool(i)->account;
	return !a || account_charge(a, SENT_BYTES);
}

// What it is for is somewhere else from now on: there is neither a response nor anything that waits for one. false: no room there.
static bool move(struct sent *s, struct canon_instance *to)
{
	if (s->instance == to)
		return true;
	if (!charge(to))
		return false;
	if (!pool_move(canon_instance_pool(to), s)) {
		uncharge(to);
		return false;
	}
	uncharge(s->instance);
	wasi__fields_unref(s->headers);
	s->headers = NULL;
	s->instance = to;
	if (s->keeper && !s->is_kept)
		s->keeper->hold(s->keeper);
	s->is_kept = true;
	return true;
}

static bool move_flow(struct wasi_http_flow *f, struct canon_instance *to)
{
	return move(sent_of(f), to);
}

// It has its answer, or will have none: nobody asks any more where it may go.
static void has_arrived(struct sent *s)
{
	struct seam_keeper *keeper = s->is_kept ? s->keeper : NULL;
	s->keeper = NULL;
	s->is_kept = false;
	s->grants = NULL;
	s->by = NULL;
	if (keeper)
		keeper->let_go(keeper);
}

static void sent_free(struct sent *s)
{
	tell(s, SEAM_ENDED, 0);
	http_exchange_release(s->flow.x);
	wasi__fields_unref(s->headers);
	uncharge(s->instance);
	has_arrived(s);
	seam_mem_free(s);
}

// Nothing but the body has it any more, which is written in another instance: it goes there. Where there is no room for it, it is cut.
static void settle(struct sent *s)
{
	struct wasi_http_body *b = s->flow.out;
	if (!b || b->instance == s->instance || move(s, b->instance))
		return;
	wasi__body_abandon(b);
	wasi__body_over(b);
	s->flow.out = NULL;
	sent_free(s);
}

static void sent_unref(struct wasi_http_flow *f)
{
	struct sent *s = sent_of(f);
	if (--s->refs == 0)
		sent_free(s);
	else if (s->refs == 1)
		settle(s);
}

static void unref_object(void *object)
{
	sent_unref(&((struct sent *)object)->flow);
}

// ---- why it failed -----------------------------------------------------------------------------------------------------------------

static uint8_t code_of(enum http_failure f)
{
	static const uint8_t codes[] = {
		[HTTP_FAILURE_NONE] = WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE,  // the guest's own doing: it left the body
#define FAILURE(name, text) [HTTP_FAILURE_##name] = WASI_HTTP_TYPES_ERROR_CODE_##name,
#include "http/failures.def"
#undef FAILURE
	};
	return codes[f];
}

static struct wasi_error error_of(const struct wasi_http_flow *f)
{
	enum http_failure failure = http_exchange_failure(f->x);
	const struct sent *s = sent_of(f);
	struct wasi_error e = {.text = http_failure_text(failure), .of_http = true, .http_code = code_of(failure)};
	unsigned number;
	e.http_text = http_exchange_failure_detail(f->x, &number);
	e.http_has_number = e.http_text || (!failure && s->was_cut);
	e.http_number = e.http_text ? number : s->wrote;
	return e;
}

// ---- grants ------------------------------------------------------------------------------------------------------------------------

static const char *const schemes[] = {[SEAM_NET_HTTP] = "http", [SEAM_NET_HTTPS] = "https"};

static void describe(const struct sent *s, char *what, size_t cap)
{
	bool v6 = strchr(s->host, ':');
	snprintf(what, cap, "%s://%s%s%s:%u", schemes[s->scheme], v6 ? "[" : "", s->host, v6 ? "]" : "", s->port);
}

static void deny(const struct sent *s, enum seam_deny kind, const char *why)
{
	char origin[HTTP_HOST_MAX + 32], what[sizeof origin + 64], flag[sizeof origin + 100];
	describe(s, origin, sizeof origin);
	snprintf(what, sizeof what, "an outgoing HTTP request to %s%s", origin, why);
	if (s->by && kind == SEAM_DENY_PRIVATE)
		snprintf(flag, sizeof flag, "an address in `hosts` of link %.63s, or `private` of the component", s->by->name);
	else if (s->by)
		snprintf(flag, sizeof flag, "%s in `hosts` of link %.63s", origin, s->by->name);
	else
		snprintf(flag, sizeof flag, kind == SEAM_DENY_PRIVATE ? "--private, or --net ADDRESS" : "--net %s", origin);
	seam_grants_deny(s->grants, kind, what, flag);
}

static void deny_method(const struct sent *s, struct slice method)
{
	char what[160], flag[128];
	snprintf(what, sizeof what, "an outgoing HTTP request with the method %.*s", SLICE_ARGS(slice_sub(method, 0, 32)));
	snprintf(flag, sizeof flag, "its name in `methods` of link %.63s", s->by->name);
	seam_grants_deny(s->grants, SEAM_DENY_HTTP_OUT, what, flag);
}

// What says where it may go.
static const struct seam_grants *rules_of(const struct sent *s)
{
	return s->by ? &s->by->to : s->grants;
}

static bool may_connect(void *user, const struct http_address *a)
{
	const struct sent *s = sent_of(user);
	struct sys_address address = {.len = a->len};
	uint8_t ip[16];
	memcpy(address.bytes, a->bytes, sizeof address.bytes);
	sys_address_ip(&address, ip);
	return seam_net_may_connect(rules_of(s), s->scheme, slice_str(s->host), s->port, ip);
}

// ---- what room http tells ------------------------------------------------------------------------------------------------------------

static void on_head(void *user, struct http_exchange *x)
{
	const struct http_answer *a = http_exchange_answer(x);
	tell(sent_of(user), SEAM_WENT_WELL, a ? a->status : 0);
	has_arrived(sent_of(user));
	wasi__event_fire(&sent_of(user)->answered);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct sent *s = sent_of(user);
	s->flow.cancelled = true;
	tell(s, SEAM_WENT_WRONG, 0);
	if (http_exchange_failure(x) == HTTP_FAILURE_DESTINATION_IP_PROHIBITED)
		deny(s, SEAM_DENY_PRIVATE, ", which leads to an address that was not named");
	has_arrived(s);
	wasi__flow_readable(user, x);
	wasi__flow_writable(user, x);
	wasi__event_fire(&s->answered);
}

static void on_cut(struct wasi_http_flow *f)
{
	struct sent *s = sent_of(f);
	s->was_cut = true;
	s->wrote = f->out ? f->out->written : 0;
	wasi__event_fire(&s->answered);
}

// ---- sending -------------------------------------------------------------------------------------------------------------------------

static struct slice method_of(const struct wasi_http_outgoing_request *r)
{
	static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	_Static_assert(ARRAY_LEN(names) == WASI_HTTP_TYPES_METHOD_OTHER, "one name a case");
	return r->method.tag == WASI_HTTP_TYPES_METHOD_OTHER ? seam_slice(r->method.other) : slice_str(names[r->method.tag]);
}

// A duration that the guest gave; 0: none.
static uint64_t duration(struct wasi_option_u64 d)
{
	return d.is_some ? max_u64(d.some, 1) : 0;
}

// 0, or the case of error-code. A request without a scheme is one by https.
static uint8_t aim(struct sent *s, const struct wasi_http_outgoing_request *r)
{
	if (r->scheme.is_some && r->scheme.some.tag == WASI_HTTP_TYPES_SCHEME_OTHER)
		return WASI_HTTP_TYPES_ERROR_CODE_HTTP_PROTOCOL_ERROR;
	s->scheme = r->scheme.is_some && r->scheme.some.tag == WASI_HTTP_TYPES_SCHEME_HTTP ? SEAM_NET_HTTP : SEAM_NET_HTTPS;
	if (!r->authority.is_some || !http_authority_split(seam_slice(r->authority.some), s->scheme == SEAM_NET_HTTPS, s->host, &s->port))
		return WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_URI_INVALID;
	bool may_go = seam_net_may_ask(rules_of(s), s->scheme, slice_str(s->host), s->port);
	if (may_go && wasi__http_link_allows(s->by, method_of(r)))
		return 0;
	if (may_go)
		deny_method(s, method_of(r));
	else
		deny(s, SEAM_DENY_HTTP_OUT, "");
	return WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED;
}

// What was written already goes out, and its end if there is one.
static void send_body(struct sent *s, const struct wasi_http_outgoing_request *r)
{
	struct wasi_http_body *b = r->body;
	if (b) {
		wasi__body_send(b, &s->flow);
	} else if (!http_body_finish(s->flow.x, NULL, 0)) {
		s->flow.cancelled = true;  // a length was announced: http_exchange_is_cancelled tells
	}
}

static bool has_field(const struct http_outgoing_request *r, const char *name)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (http_name_eq(r->fields[i].name, slice_str(name)))
			return true;
	return false;
}

// Who watches may have it carry the context of its trace, unless the guest gave it one. Returns what the fields of *out lie in then, else NULL; without memory
// it goes without.
static struct http_field *begin_watch(struct seam_watch *w, struct seam_call *c, struct sent *s, struct http_outgoing_request *out)
{
	struct slice parent = {0}, state = {0};
	snprintf(s->method, sizeof s->method, "%.*s", SLICE_ARGS(slice_sub(out->method, 0, sizeof s->method - 1)));
	snprintf(s->link, sizeof s->link, "%s", c->binding->link ? c->binding->link : "");
	w->begin(w, c->task, c->instance, &s->watched);
	w->context(w, c->task, &s->watched, &parent, &state);
	struct http_field *list = parent.len && !has_field(out, "traceparent") ? seam_mem_alloc(c->canon, (out->n + 2) * sizeof *list) : NULL;
	if (!list)
		return NULL;
	bool has_state = !state.len || has_field(out, "tracestate");
	if (out->n)
		memcpy(list, out->fields, out->n * sizeof *list);
	list[out->n++] = (struct http_field){SLICE_LIT("traceparent"), parent};
	if (!has_state)
		list[out->n++] = (struct http_field){SLICE_LIT("tracestate"), state};
	out->fields = list;
	return list;
}

// 0, or the case of error-code.
static uint8_t send_request(struct seam_call *c, struct sent *s, const struct wasi_http_outgoing_request *r, const struct wasi_http_options *o)
{
	static const struct http_exchange_ops ops = {on_head, wasi__flow_readable, wasi__flow_writable, on_cancel};
	enum http_failure why;
	const struct http_field *fields;
	uint32_t n;
	uint8_t code = aim(s, r);
	if (code)
		return code;
	if (!wasi__http_link_fields(c, s->by, r->headers, &fields, &n))
		return WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR;
	const struct wasi *wasi = CONTAINER_OF(c->binding->provider, struct wasi, seam);
	struct http_outgoing_request out = {
		.method = method_of(r),
		.authority = seam_slice(r->authority.some),
		.target = r->path.is_some ? seam_slice(r->path.some) : SLICE_LIT("/"),
		.https = s->scheme == SEAM_NET_HTTPS,
		.fields = fields,
		.n = n,
		.tls = wasi->tls,
		.tenant = wasi->id,
		.line = s->by ? s->by->number : 0,
		.line_most = s->by ? s->by->pool : 0,
		.quota = wasi->quota,
		.connect_ns = o ? duration(o->connect) : 0,
		.first_byte_ns = o ? duration(o->first_byte) : 0,
		.between_ns = o ? duration(o->between_bytes) : 0,
		.answer_ns = s->by ? s->by->deadline_ns : 0,
		.may_connect = may_connect,
		.ops = &ops,
		.user = &s->flow,
	};
	struct seam_watch *watch = seam_tasks_watcher(c->task->of);
	struct http_field *with_context = watch ? begin_watch(watch, c, s, &out) : NULL;
	bool sent = http_client_send(c->instance->http, &out, &s->flow.x, &why);
	seam_mem_free(with_context);
	if (!sent)
		return code_of(why);
	s->watch = watch;
	send_body(s, r);
	return 0;
}

static struct sent *new_sent(struct seam_call *c)
{
	if (!charge(c->canon))
		return NULL;
	struct sent *s = seam_mem_zalloc(c->canon, sizeof *s);
	if (s) {
		s->flow = (struct wasi_http_flow){.error = error_of, .on_cut = on_cut, .ref = sent_ref, .unref = sent_unref, .move = move_flow};
		s->refs = 1;
		s->instance = c->canon;
		s->keeper = c->instance->keeper;
		s->grants = c->instance->grants;
		s->by = wasi__http_link_of(c);
	} else {
		uncharge(c->canon);
	}
	return s;
}

// Of one that was not sent.
static void drop_sent(struct sent *s)
{
	uncharge(s->instance);
	seam_mem_free(s);
}

struct future {
	struct sent *sent;
	bool taken;
};

static enum seam_result new_future(struct seam_call *c, struct sent *s, uint32_t *ret)
{
	struct future *f = SEAM_MEM_NEW(c->canon, struct future);
	if (f) {
		f->sent = s;
		if (seam_resource_new(c, &wasi_http_types_future_incoming_response_class, f, ret))
			return SEAM_OK;
		seam_mem_free(f);
	} else {
		seam_no_memory(c);
	}
	sent_unref(&s->flow);
	return SEAM_TRAP;
}

struct wasi_http_flow *wasi__http_send(struct seam_call *c, const struct wasi_http_outgoing_request *r, const struct wasi_http_options *o, uint8_t *ret_code)
{
	struct sent *s = c->instance->http ? new_sent(c) : NULL;
	*ret_code = s ? send_request(c, s, r, o) : WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR;
	if (!*ret_code)
		return &s->flow;
	if (s)
		drop_sent(s);
	return NULL;
}

enum seam_result wasi_http_outgoing_handler_handle(struct seam_call *c, const struct wasi_http_outgoing_handler_handle_args *args,
	struct wasi_result_own_http_types_future_incoming_response_http_types_error_code *ret)
{
	struct wasi_http_outgoing_request *r = seam_resource_take(c, &wasi_http_types_outgoing_request_resource, args->request);
	struct wasi_http_options *o = args->options.is_some ? seam_resource_take(c, &wasi_http_types_request_options_resource, args->options.some) : NULL;
	enum seam_result result = SEAM_OK;
	uint8_t code;
	struct wasi_http_flow *flow = wasi__http_send(c, r, o, &code);
	ret->is_err = code != 0;
	ret->err.tag = code;
	if (flow)
		result = new_future(c, sent_of(flow), &ret->ok);
	wasi__http_outgoing_request_free(r);
	seam_mem_free(o);
	return result;
}

// ---- the future ------------------------------------------------------------------------------------------------------------------------

void wasi_http_types_future_incoming_response_drop(struct canon_instance *i, void *object)
{
	struct future *f = object;
	sent_unref(&f->sent->flow);
	seam_mem_free(f);
}

// Who has a response of it, a body or something to wait with has it for good.
enum canon_move wasi_http_types_future_incoming_response_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	struct future *f = *object;
	if (f->sent->refs > 1u + (f->sent->flow.out != NULL))
		return CANON_MOVE_IN_USE;
	return move(f->sent, to) && pool_move(canon_instance_pool(to), f) ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

static bool has_come(const struct sent *s)
{
	return http_exchange_answer(s->flow.x) || http_exchange_is_cancelled(s->flow.x, NULL, NULL);
}

bool wasi__http_has_come(const struct wasi_http_flow *f)
{
	return has_come(sent_of(f));
}

struct wasi_event *wasi__http_answered(struct wasi_http_flow *f)
{
	return &sent_of(f)->answered;
}

static bool is_answered(const struct wasi_pollable *p, uint64_t now_ns)
{
	return has_come(p->of);
}

enum seam_result wasi_http_types_future_incoming_response_subscribe(struct seam_call *c,
	const struct wasi_http_types_future_incoming_response_subscribe_args *args, uint32_t *ret)
{
	struct future *f = seam_resource_get(c, &wasi_http_types_future_incoming_response_resource, args->self);
	struct wasi_pollable p = {is_answered, &f->sent->answered, f->sent, unref_object, UINT64_MAX};
	sent_ref(&f->sent->flow);
	return wasi__pollable_new(c, p, ret) ? SEAM_OK : SEAM_TRAP;
}

// none until it has come, then once some(ok(…)), after that some(err).
enum seam_result wasi_http_types_future_incoming_response_get(struct seam_call *c, const struct wasi_http_types_future_incoming_response_get_args *args,
	struct wasi_option_result_result_own_http_types_incoming_response_http_types_error_code_void *ret)
{
	struct future *f = seam_resource_get(c, &wasi_http_types_future_incoming_response_resource, args->self);
	struct sent *s = f->sent;
	ret->is_some = f->taken || has_come(s);
	ret->some.is_err = f->taken;
	if (f->taken || !ret->is_some)
		return SEAM_OK;
	f->taken = true;
	ret->some.ok.is_err = !http_exchange_answer(s->flow.x);
	if (ret->some.ok.is_err) {
		struct wasi_error error = error_of(&s->flow);
		ret->some.ok.err = wasi__http_error(&error);
		return SEAM_OK;
	}
	sent_ref(&s->flow);
	if (seam_resource_new(c, &wasi_http_types_incoming_response_class, s, &ret->some.ok.ok))
		return SEAM_OK;
	sent_unref(&s->flow);
	return SEAM_TRAP;
}

// ---- the answer --------------------------------------------------------------------------------------------------------------------------

void wasi_http_types_incoming_response_drop(struct canon_instance *i, void *object)
{
	struct sent *s = object;
	if (!s->consumed)
		http_body_discard(s->flow.x);
	sent_unref(&s->flow);
}

static struct sent *answered(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http_types_incoming_response_resource, rep);
}

enum seam_result wasi_http_types_incoming_response_status(struct seam_call *c, const struct wasi_http_types_incoming_response_status_args *args,
	uint16_t *ret)
{
	*ret = (uint16_t)http_exchange_answer(answered(c, args->self)->flow.x)->status;
	return SEAM_OK;
}

enum seam_result wasi_http_types_incoming_response_headers(struct seam_call *c, const struct wasi_http_types_incoming_response_headers_args *args,
	uint32_t *ret)
{
	struct sent *s = answered(c, args->self);
	if (!s->headers) {
		const struct http_answer *a = http_exchange_answer(s->flow.x);
		struct wasi_fields *f = wasi__fields_new(c->canon);
		if (!f || !wasi__fields_fill(f, a->fields, a->n)) {
			wasi__fields_unref(f);
			return seam_no_memory(c);
		}
		f->immutable = true;
		s->headers = f;
	}
	return wasi__fields_handle(c, s->headers, ret);
}

enum seam_result wasi_http_types_incoming_response_consume(struct seam_call *c, const struct wasi_http_types_incoming_response_consume_args *args,
	struct wasi_result_own_http_types_incoming_body_void *ret)
{
	struct sent *s = answered(c, args->self);
	return wasi__body_give_incoming(c, &s->flow, &s->consumed, ret);
}
