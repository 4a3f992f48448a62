// wasi:http/types@0.3: requests, responses and their options.
#include "http3_int.h"
#include "wasi_provider.h"

// ---- messages --------------------------------------------------------------------------------------------------------------------------

struct wasi_http3_message *wasi__http3_message_new(struct canon_instance *i)
{
	struct wasi_http3_message *m = SEAM_MEM_NEW(i, struct wasi_http3_message);
	if (m) {
		m->instance = i;
		m->status = 200;
	}
	return m;
}

void wasi__http3_message_free(struct wasi_http3_message *m)
{
	if (m->call)
		m->call->message = NULL;
	for (size_t k = 0; k < ARRAY_LEN(m->head.texts); k++)
		seam_mem_free(m->head.texts[k]);
	wasi__fields_unref(m->head.headers);
	wasi__body_unref(m->head.body);
	wasi__body_unref(m->in);
	seam_mem_free(m->options);
	if (m->contents)
		canon_end_drop_number(m->instance, m->contents);
	if (m->trailers)
		canon_end_drop_number(m->instance, m->trailers);
	wasi__http3_tell_sent(&m->sent, &(struct wasi_error){.http_code = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR});
	seam_mem_free(m);
}

void wasi_http3_types_request_drop(struct canon_instance *i, void *object)
{
	wasi__http3_message_free(object);
}

void wasi_http3_types_response_drop(struct canon_instance *i, void *object)
{
	wasi__http3_message_free(object);
}

struct wasi_fields *wasi__http3_message_fields(struct wasi_http3_message *m)
{
	if (m->head.headers || !m->call)
		return m->head.headers;
	const struct http_request *h = http_exchange_request(m->call->flow.x);
	struct wasi_fields *f = wasi__fields_new(m->instance);
	if (!f || !wasi__fields_of_call(f, m->call, h)) {
		wasi__fields_unref(f);
		return NULL;
	}
	f->immutable = true;
	return m->head.headers = f;
}

bool wasi__http3_message_keep(struct wasi_http3_message *m, unsigned which, struct slice text, struct wit_string *ret)
{
	uint8_t *copy = seam_mem_alloc(m->instance, text.len ? text.len : 1);
	if (!copy)
		return false;
	if (text.len)
		memcpy(copy, text.ptr, text.len);
	seam_mem_free(m->head.texts[which]);
	m->head.texts[which] = copy;
	*ret = (struct wit_string){copy, text.len};
	return true;
}

static void forget(struct wasi_http3_message *m, unsigned which)
{
	seam_mem_free(m->head.texts[which]);
	m->head.texts[which] = NULL;
}

bool wasi__http3_message_method(struct wasi_http3_message *m, struct slice method)
{
	static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	_Static_assert(ARRAY_LEN(names) == WASI_HTTP3_TYPES_METHOD_OTHER, "one name a case");
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		if (slice_eq_str(method, names[k])) {
			m->head.method.tag = (uint8_t)k;
			forget(m, TEXT_METHOD);
			return true;
		}
	if (!wasi__http3_message_keep(m, TEXT_METHOD, method, &m->head.method.other))
		return false;
	m->head.method.tag = WASI_HTTP_TYPES_METHOD_OTHER;
	return true;
}

static struct wasi_http3_message *request(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http3_types_request_resource, rep);
}

static struct wasi_http3_message *response(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http3_types_response_resource, rep);
}

// ---- from instance to instance -----------------------------------------------------------------------------------------------------------

static const struct wit_type *trailers_type(void)
{
	const struct seam_interface *x = &wasi_http3_types_interface;
	for (uint32_t k = 0; k < x->n_funcs; k++)
		if (strcmp(x->funcs[k].name, "[static]response.new") == 0)
			return seam_func_type(x, k)->params.fields[2].type;
	BUG_ON(true);
	return NULL;
}

static bool move_head(struct wasi_http3_message *m, struct canon_instance *to)
{
	struct pool *pool = canon_instance_pool(to);
	bool ok = wasi__fields_move(&m->head.headers, to) && pool_move(pool, m->options) && pool_move(pool, m);
	for (size_t k = 0; ok && k < ARRAY_LEN(m->head.texts); k++)
		ok = pool_move(pool, m->head.texts[k]);
	return ok;
}

// Its contents and trailers stay, and a joint leads to each. All that is left of it is `to`'s afterwards, also where there was no room.
static bool move_made(struct wasi_http3_message *m, struct canon_instance *to, struct canon_carrier *by)
{
	static const struct wit_type bytes = {.kind = WIT_STREAM, .elem = &wit_primitives[WIT_U8]};
	bool ok = by->stream(by, m->instance, to, &bytes, &m->contents);
	ok = by->stream(by, m->instance, to, trailers_type(), &m->trailers) && ok;
	m->instance = to;
	return ok;
}

// One that came is read from where it came to: it is over with who was asked.
static bool read_there(struct wasi_http3_message *m)
{
	struct wasi_http_body *in = m->in;
	m->in = NULL;
	return wasi__http3_incoming_new(m->wasi, in, trailers_type(), &m->contents, &m->trailers);
}

// Of one that is served the head is what was told of it until now.
static bool leave_call(struct wasi_http3_message *m)
{
	struct wasi_http_call *c = m->call;
	bool ok = !c || wasi__http3_message_fields(m);
	if (c)
		c->message = NULL;
	m->call = NULL;
	return ok;
}

enum canon_move wasi_http3_types_request_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	struct wasi_http3_message *m = *object;
	bool ok = leave_call(m) && (!m->in || read_there(m));
	ok = move_made(m, to, by) && ok;
	return ok && move_head(m, to) ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

enum canon_move wasi_http3_types_response_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	struct wasi_http3_message *m = *object;
	bool ok = m->in ? wasi__body_move(m->in, to) : move_made(m, to, by);
	m->instance = to;
	return ok && move_head(m, to) ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

// ---- new ---------------------------------------------------------------------------------------------------------------------------------

// What a guest makes: its parts are taken over, also where this fails.
static struct wasi_http3_message *make(struct seam_call *c, uint32_t headers, bool has_contents, uint32_t contents, uint32_t trailers,
	struct wasi_http3_options *options, uint32_t *ret_sent)
{
	struct wasi_fields *f = seam_resource_take(c, &wasi_http3_types_fields_resource, headers);
	struct wasi_http3_message *m = wasi__http3_message_new(c->canon);
	f->immutable = true;
	wasi__fields_trim(f);
	if (m) {
		m->head.headers = f;
		m->options = options;
		m->contents = has_contents ? contents : 0;
		m->trailers = trailers;
		if (wasi__promise_new(c->canon, c->func->type->result->fields[1].type, &m->sent, ret_sent))
			return m;
		wasi__http3_message_free(m);
	} else {
		wasi__fields_unref(f);
		seam_mem_free(options);
	}
	seam_no_memory(c);
	return NULL;
}

static enum seam_result give(struct seam_call *c, const struct canon_resource_ops *of, struct wasi_http3_message *m, uint32_t sent, uint32_t *ret)
{
	if (seam_resource_new(c, of, m, ret))
		return SEAM_OK;
	canon_end_drop_number(c->canon, sent);
	wasi__http3_message_free(m);
	return SEAM_TRAP;
}

enum seam_result wasi_http3_types_request_new(struct seam_call *c, const struct wasi_http3_types_request_new_args *args,
	struct wasi_tuple2_own_http3_types_request_future_result_void_http3_types_error_code *ret)
{
	struct wasi_http3_options *o = args->options.is_some ? seam_resource_take(c, &wasi_http3_types_request_options_resource, args->options.some) : NULL;
	struct wasi_http3_message *m = make(c, args->headers, args->contents.is_some, args->contents.some, args->trailers, o, &ret->f1);
	return m ? give(c, &wasi_http3_types_request_class, m, ret->f1, &ret->f0) : SEAM_TRAP;
}

enum seam_result wasi_http3_types_response_new(struct seam_call *c, const struct wasi_http3_types_response_new_args *args,
	struct wasi_tuple2_own_http3_types_response_future_result_void_http3_types_error_code *ret)
{
	struct wasi_http3_message *m = make(c, args->headers, args->contents.is_some, args->contents.some, args->trailers, NULL, &ret->f1);
	return m ? give(c, &wasi_http3_types_response_class, m, ret->f1, &ret->f0) : SEAM_TRAP;
}

// ---- a request's head ----------------------------------------------------------------------------------------------------------------------

static bool string_of(struct seam_call *c, struct wit_string s, struct wit_string *ret)
{
	return seam_string(c, seam_slice(s), ret);
}

// Longer than a head may be: nobody looks at it.
static bool fits(struct wit_string s)
{
	return s.len <= HTTP_HEAD_MAX;
}

// ORDER wasi:http/types.method, of 0.2 and 0.3
_Static_assert(WASI_HTTP3_TYPES_METHOD_OTHER == WASI_HTTP_TYPES_METHOD_OTHER && WASI_HTTP3_TYPES_SCHEME_OTHER == WASI_HTTP_TYPES_SCHEME_OTHER &&
		WASI_HTTP3_TYPES_ERROR_CODE_INTERNAL_ERROR == WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR,
	"the same cases");

enum seam_result wasi_http3_types_request_get_method(struct seam_call *c, const struct wasi_http3_types_request_get_method_args *args,
	struct wasi_http3_types_method *ret)
{
	const struct wasi_http3_message *m = request(c, args->self);
	ret->tag = m->head.method.tag;
	return ret->tag != WASI_HTTP3_TYPES_METHOD_OTHER || string_of(c, m->head.method.other, &ret->other) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_http3_types_request_set_method(struct seam_call *c, const struct wasi_http3_types_request_set_method_args *args,
	struct wasi_result_void_void *ret)
{
	struct wasi_http3_message *m = request(c, args->self);
	struct wit_string other = args->method.other;
	if (args->method.tag != WASI_HTTP3_TYPES_METHOD_OTHER) {
		m->head.method.tag = args->method.tag;
		forget(m, TEXT_METHOD);
		return SEAM_OK;
	}
	ret->is_err = !fits(other) || !http_method_is_valid(seam_slice(other));
	return ret->is_err || wasi__http3_message_method(m, seam_slice(other)) ? SEAM_OK : seam_no_memory(c);
}

static enum seam_result get_text(struct seam_call *c, const struct wasi_option_string *text, struct wasi_option_string *ret)
{
	ret->is_some = text->is_some;
	return !text->is_some || string_of(c, text->some, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result set_text(struct seam_call *c, struct wasi_http3_message *m, unsigned which, struct wasi_option_string text,
	struct wasi_option_string *to)
{
	if (!text.is_some)
		forget(m, which);
	else if (!wasi__http3_message_keep(m, which, seam_slice(text.some), &to->some))
		return seam_no_memory(c);
	to->is_some = text.is_some;
	return SEAM_OK;
}

enum seam_result wasi_http3_types_request_get_path_with_query(struct seam_call *c, const struct wasi_http3_types_request_get_path_with_query_args *args,
	struct wasi_option_string *ret)
{
	return get_text(c, &request(c, args->self)->head.path, ret);
}

// Of whatever form, with letters beyond ASCII and with those characters that RFC 3986 has none of and people write: what can't be sent is an error then.
static bool path_is_valid(struct slice s)
{
	size_t query = slice_find(s, '?');
	bool ok = true;
	for (size_t k = 0; k < s.len; k++) {
		uint8_t c = s.ptr[k];
		ok &= c > 0x20 && c != 0x7f && c != '#' && c != '<' && c != '>' && (c != '`' || k > query);
	}
	return ok;
}

enum seam_result wasi_http3_types_request_set_path_with_query(struct seam_call *c, const struct wasi_http3_types_request_set_path_with_query_args *args,
	struct wasi_result_void_void *ret)
{
	struct wasi_http3_message *m = request(c, args->self);
	struct wasi_option_string path = args->path_with_query;
	ret->is_err = path.is_some && !(fits(path.some) && path_is_valid(seam_slice(path.some)));
	if (path.is_some && !path.some.len)
		path.some = (struct wit_string){(const uint8_t *)"/", 1};
	return ret->is_err ? SEAM_OK : set_text(c, m, TEXT_PATH, path, &m->head.path);
}

enum seam_result wasi_http3_types_request_get_authority(struct seam_call *c, const struct wasi_http3_types_request_get_authority_args *args,
	struct wasi_option_string *ret)
{
	return get_text(c, &request(c, args->self)->head.authority, ret);
}

// It may name a user, which no request can be sent with (RFC 9110, 4.2.4).
static bool authority_is_valid(struct slice s)
{
	size_t at = slice_find(s, '@');
	struct slice host = at == s.len ? s : slice_sub(s, at + 1, SIZE_MAX);
	bool ok = host.len && host.ptr[0] != ':' && http_authority_is_valid(host, NULL, NULL);
	for (size_t k = 0; k < at && at < s.len; k++) {
		uint8_t c = s.ptr[k], letter = c | 0x20;
		ok &= (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~%!$&'()*+,;=:", c));
	}
	return ok;
}

enum seam_result wasi_http3_types_request_set_authority(struct seam_call *c, const struct wasi_http3_types_request_set_authority_args *args,
	struct wasi_result_void_void *ret)
{
	struct wasi_http3_message *m = request(c, args->self);
	struct wasi_option_string authority = args->authority;
	ret->is_err = authority.is_some && !(fits(authority.some) && authority_is_valid(seam_slice(authority.some)));
	return ret->is_err ? SEAM_OK : set_text(c, m, TEXT_AUTHORITY, authority, &m->head.authority);
}

enum seam_result wasi_http3_types_request_get_scheme(struct seam_call *c, const struct wasi_http3_types_request_get_scheme_args *args,
	struct wasi_option_http3_types_scheme *ret)
{
	const struct wasi_option_http_types_scheme *s = &request(c, args->self)->head.scheme;
	ret->is_some = s->is_some;
	ret->some.tag = s->some.tag;
	bool other = s->is_some && s->some.tag == WASI_HTTP_TYPES_SCHEME_OTHER;
	return !other || string_of(c, s->some.other, &ret->some.other) ? SEAM_OK : SEAM_TRAP;
}

// ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ): RFC 3986, 3.1.
static bool scheme_is_valid(struct slice s)
{
	for (size_t k = 0; k < s.len; k++) {
		uint8_t c = s.ptr[k], letter = c | 0x20;
		bool is_letter = letter >= 'a' && letter <= 'z';
		if (!is_letter && (k == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
			return false;
	}
	return s.len != 0;
}

// Schemes that have a case of their own are it, by whatever letters.
static uint8_t scheme_tag(struct slice s)
{
	return http_name_eq(s, SLICE_LIT("http")) ? WASI_HTTP3_TYPES_SCHEME_HTTP
		: http_name_eq(s, SLICE_LIT("https")) ? WASI_HTTP3_TYPES_SCHEME_HTTPS
											  : WASI_HTTP3_TYPES_SCHEME_OTHER;
}

enum seam_result wasi_http3_types_request_set_scheme(struct seam_call *c, const struct wasi_http3_types_request_set_scheme_args *args,
	struct wasi_result_void_void *ret)
{
	struct wasi_http3_message *m = request(c, args->self);
	struct wasi_option_http3_types_scheme scheme = args->scheme;
	if (scheme.is_some && scheme.some.tag == WASI_HTTP3_TYPES_SCHEME_OTHER && fits(scheme.some.other))
		scheme.some.tag = scheme_tag(seam_slice(scheme.some.other));
	bool other = scheme.is_some && scheme.some.tag == WASI_HTTP3_TYPES_SCHEME_OTHER;
	ret->is_err = other && !(fits(scheme.some.other) && scheme_is_valid(seam_slice(scheme.some.other)));
	if (ret->is_err)
		return SEAM_OK;
	if (!other)
		forget(m, TEXT_SCHEME);
	else if (!wasi__http3_message_keep(m, TEXT_SCHEME, seam_slice(scheme.some.other), &m->head.scheme.some.other))
		return seam_no_memory(c);
	m->head.scheme.is_some = scheme.is_some;
	m->head.scheme.some.tag = scheme.some.tag;
	return SEAM_OK;
}

static enum seam_result get_headers(struct seam_call *c, struct wasi_http3_message *m, uint32_t *ret)
{
	struct wasi_fields *f = wasi__http3_message_fields(m);
	if (!f)
		return seam_no_memory(c);
	if (seam_resource_new(c, &wasi_http3_types_fields_class, wasi__fields_ref(f), ret))
		return SEAM_OK;
	wasi__fields_unref(f);
	return SEAM_TRAP;
}

enum seam_result wasi_http3_types_request_get_headers(struct seam_call *c, const struct wasi_http3_types_request_get_headers_args *args, uint32_t *ret)
{
	return get_headers(c, request(c, args->self), ret);
}

// ---- a response's head ----------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_http3_types_response_get_status_code(struct seam_call *c, const struct wasi_http3_types_response_get_status_code_args *args, uint16_t *ret)
{
	*ret = response(c, args->self)->status;
	return SEAM_OK;
}

enum seam_result wasi_http3_types_response_set_status_code(struct seam_call *c, const struct wasi_http3_types_response_set_status_code_args *args,
	struct wasi_result_void_void *ret)
{
	ret->is_err = args->status_code < 100 || args->status_code > 599;  // W35; one below 200 is no answer, and is refused as that
	if (!ret->is_err)
		response(c, args->self)->status = args->status_code;
	return SEAM_OK;
}

enum seam_result wasi_http3_types_response_get_headers(struct seam_call *c, const struct wasi_http3_types_response_get_headers_args *args, uint32_t *ret)
{
	return get_headers(c, response(c, args->self), ret);
}

// ---- bodies ----------------------------------------------------------------------------------------------------------------------------------

// A stream that is at its end.
static bool empty_stream(struct seam_call *c, const struct wit_type *type, uint32_t *ret)
{
	static const struct canon_end_ops nobody = {NULL, NULL, NULL};
	struct canon_end end;
	if (!canon_end_new(c->canon, type, &nobody, &end, ret))
		return false;
	canon_end_drop(&end);
	return true;
}

// Of a message that was taken: it is gone afterwards.
static enum seam_result consume(struct seam_call *c, struct wasi_http3_message *m, uint32_t res,
	struct wasi_tuple2_stream_u8_future_result_option_own_http3_types_fields_http3_types_error_code *ret)
{
	const struct wit_type *stream = c->func->type->result->fields[0].type, *trailers = c->func->type->result->fields[1].type;
	bool ok = wasi__http3_liked(c, res, &m->sent);
	enum seam_result r = ok ? SEAM_OK : SEAM_TRAP;
	if (ok && m->in) {
		struct wasi_http_body *in = m->in;
		m->in = NULL;
		ok = wasi__http3_incoming_new(CONTAINER_OF(c->binding->provider, struct wasi, seam), in, trailers, &ret->f0, &ret->f1);
	} else if (ok && (m->contents || (ok = empty_stream(c, stream, &m->contents)))) {
		ret->f0 = m->contents;
		ret->f1 = m->trailers;
		m->contents = m->trailers = 0;
	}
	if (r == SEAM_OK && !ok)
		r = seam_no_memory(c);
	wasi__http3_message_free(m);
	return r;
}

enum seam_result wasi_http3_types_request_consume_body(struct seam_call *c, const struct wasi_http3_types_request_consume_body_args *args,
	struct wasi_tuple2_stream_u8_future_result_option_own_http3_types_fields_http3_types_error_code *ret)
{
	return consume(c, seam_resource_take(c, &wasi_http3_types_request_resource, args->this), args->res, ret);
}

enum seam_result wasi_http3_types_response_consume_body(struct seam_call *c, const struct wasi_http3_types_response_consume_body_args *args,
	struct wasi_tuple2_stream_u8_future_result_option_own_http3_types_fields_http3_types_error_code *ret)
{
	return consume(c, seam_resource_take(c, &wasi_http3_types_response_resource, args->this), args->res, ret);
}

// ---- options -----------------------------------------------------------------------------------------------------------------------------------

void wasi_http3_types_request_options_drop(struct canon_instance *i, void *object)
{
	seam_mem_free(object);
}

enum canon_move wasi_http3_types_request_options_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	return pool_move(canon_instance_pool(to), *object) ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

static struct wasi_http3_options *options(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http3_types_request_options_resource, rep);
}

static enum seam_result new_options(struct seam_call *c, const struct wasi_http3_options *like, bool immutable, uint32_t *ret)
{
	struct wasi_http3_options *o = SEAM_MEM_NEW(c->canon, struct wasi_http3_options);
	if (!o)
		return seam_no_memory(c);
	if (like)
		o->o = like->o;
	o->immutable = immutable;
	if (seam_resource_new(c, &wasi_http3_types_request_options_class, o, ret))
		return SEAM_OK;
	seam_mem_free(o);
	return SEAM_TRAP;
}

enum seam_result wasi_http3_types_request_options_new(struct seam_call *c, uint32_t *ret)
{
	return new_options(c, NULL, false, ret);
}

enum seam_result wasi_http3_types_request_options_clone(struct seam_call *c, const struct wasi_http3_types_request_options_clone_args *args, uint32_t *ret)
{
	return new_options(c, options(c, args->self), false, ret);
}

enum seam_result wasi_http3_types_request_get_options(struct seam_call *c, const struct wasi_http3_types_request_get_options_args *args,
	struct wasi_option_own_http3_types_request_options *ret)
{
	const struct wasi_http3_options *o = request(c, args->self)->options;
	ret->is_some = o != NULL;
	return o ? new_options(c, o, true, &ret->some) : SEAM_OK;
}

#define TIMEOUT(name)                                                                                               \
	enum seam_result wasi_http3_types_request_options_get_##name##_timeout(struct seam_call *c,                     \
		const struct wasi_http3_types_request_options_get_##name##_timeout_args *args, struct wasi_option_u64 *ret) \
	{                                                                                                               \
		*ret = options(c, args->self)->o.name;                                                                      \
		return SEAM_OK;                                                                                             \
	}                                                                                                               \
	enum seam_result wasi_http3_types_request_options_set_##name##_timeout(struct seam_call *c,                     \
		const struct wasi_http3_types_request_options_set_##name##_timeout_args *args,                              \
		struct wasi_result_void_http3_types_request_options_error *ret)                                             \
	{                                                                                                               \
		struct wasi_http3_options *o = options(c, args->self);                                                      \
		ret->is_err = o->immutable;                                                                                 \
		if (o->immutable)                                                                                           \
			ret->err.tag = WASI_HTTP3_TYPES_REQUEST_OPTIONS_ERROR_IMMUTABLE;                                        \
		else                                                                                                        \
			o->o.name = args->duration;                                                                             \
		return SEAM_OK;                                                                                             \
	}
TIMEOUT(connect)
TIMEOUT(first_byte)
TIMEOUT(between_bytes)
