// wasi:http/types: requests that guests make, and their options. http_send.c sends them.
#include "wasi_int.h"
#include "wasi_provider.h"

// ---- outgoing request -------------------------------------------------------------------------------------------------------------------

void wasi__http_outgoing_request_free(struct wasi_http_outgoing_request *r)
{
	for (size_t k = 0; k < ARRAY_LEN(r->texts); k++)
		seam_mem_free(r->texts[k]);
	wasi__fields_unref(r->headers);
	if (r->body) {
		wasi__body_lost(r->body);
		r->body->away = NULL;
	}
	wasi__body_unref(r->body);
	seam_mem_free(r);
}

enum canon_move wasi_http_types_outgoing_request_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	struct wasi_http_outgoing_request *r = *object;
	struct pool *pool = canon_instance_pool(to);
	for (size_t k = 0; k < ARRAY_LEN(r->texts); k++)
		if (!pool_move(pool, r->texts[k]))
			return CANON_MOVE_NO_ROOM;
	return wasi__fields_move(&r->headers, to) && wasi__body_follow(r->body, to) && pool_move(pool, r) ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

void wasi_http_types_outgoing_request_drop(struct canon_instance *i, void *object)
{
	wasi__http_outgoing_request_free(object);
}

static struct wasi_http_outgoing_request *request(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http_types_outgoing_request_resource, rep);
}

enum seam_result wasi_http_types_outgoing_request_new(struct seam_call *c, const struct wasi_http_types_outgoing_request_new_args *args, uint32_t *ret)
{
	struct wasi_fields *headers = seam_resource_take(c, &wasi_http_types_fields_resource, args->headers);
	struct wasi_http_outgoing_request *r = SEAM_MEM_NEW(c->canon, struct wasi_http_outgoing_request);
	if (!r) {
		wasi__fields_unref(headers);
		return seam_no_memory(c);
	}
	r->headers = headers;
	headers->immutable = true;
	if (seam_resource_new(c, &wasi_http_types_outgoing_request_class, r, ret))
		return SEAM_OK;
	wasi__http_outgoing_request_free(r);
	return SEAM_TRAP;
}

enum seam_result wasi_http_types_outgoing_request_body(struct seam_call *c, const struct wasi_http_types_outgoing_request_body_args *args,
	struct wasi_result_own_http_types_outgoing_body_void *ret)
{
	struct wasi_http_outgoing_request *r = request(c, args->self);
	enum seam_result given = wasi__body_give_outgoing(c, &r->body, ret);
	if (given != SEAM_OK || ret->is_err)
		return given;
	r->body->of_request = true;
	if (!wasi__fields_length(r->headers, &r->body->length))
		r->body->length = HTTP_LENGTH_UNKNOWN;  // the request will be refused for it
	return SEAM_OK;
}

// Longer than a head may be: nobody looks at it.
static bool fits(struct wit_string s)
{
	return s.len <= HTTP_HEAD_MAX;
}

// Keeps a copy in the place of the text before it (NULL: there is none now). false: a trap, memory is out.
static bool keep(struct seam_call *c, struct wasi_http_outgoing_request *r, unsigned which, struct wit_string *s)
{
	uint8_t *text = s ? seam_mem_alloc(c->canon, s->len) : NULL;
	if (s && !text) {
		seam_no_memory(c);
		return false;
	}
	if (s && s->len)
		memcpy(text, s->ptr, s->len);
	if (s)
		s->ptr = text;
	seam_mem_free(r->texts[which]);
	r->texts[which] = text;
	return true;
}

static bool give(struct seam_call *c, struct wit_string s, struct wit_string *ret)
{
	return seam_string(c, seam_slice(s), ret);
}

enum seam_result wasi_http_types_outgoing_request_method(struct seam_call *c, const struct wasi_http_types_outgoing_request_method_args *args,
	struct wasi_http_types_method *ret)
{
	*ret = request(c, args->self)->method;
	return ret->tag != WASI_HTTP_TYPES_METHOD_OTHER || give(c, ret->other, &ret->other) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_http_types_outgoing_request_set_method(struct seam_call *c, const struct wasi_http_types_outgoing_request_set_method_args *args,
	struct wasi_result_void_void *ret)
{
	struct wasi_http_outgoing_request *r = request(c, args->self);
	struct wasi_http_types_method m = args->method;
	bool other = m.tag == WASI_HTTP_TYPES_METHOD_OTHER;
	ret->is_err = other && !(fits(m.other) && http_method_is_valid(seam_slice(m.other)));
	if (ret->is_err)
		return SEAM_OK;
	if (!keep(c, r, TEXT_METHOD, other ? &m.other : NULL))
		return SEAM_TRAP;
	r->method = m;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_request_path_with_query(struct seam_call *c,
	const struct wasi_http_types_outgoing_request_path_with_query_args *args, struct wasi_option_string *ret)
{
	*ret = request(c, args->self)->path;
	return !ret->is_some || give(c, ret->some, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_http_types_outgoing_request_set_path_with_query(struct seam_call *c,
	const struct wasi_http_types_outgoing_request_set_path_with_query_args *args, struct wasi_result_void_void *ret)
{
	struct wasi_http_outgoing_request *r = request(c, args->self);
	struct wasi_option_string path = args->path_with_query;
	ret->is_err = path.is_some && !(fits(path.some) && http_target_is_valid(seam_slice(path.some)));
	if (ret->is_err)
		return SEAM_OK;
	if (!keep(c, r, TEXT_PATH, path.is_some ? &path.some : NULL))
		return SEAM_TRAP;
	r->path = path;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_request_scheme(struct seam_call *c, const struct wasi_http_types_outgoing_request_scheme_args *args,
	struct wasi_option_http_types_scheme *ret)
{
	*ret = request(c, args->self)->scheme;
	bool other = ret->is_some && ret->some.tag == WASI_HTTP_TYPES_SCHEME_OTHER;
	return !other || give(c, ret->some.other, &ret->some.other) ? SEAM_OK : SEAM_TRAP;
}

// RFC 3986, 3.1.
static bool is_scheme(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t lower = s.ptr[i] | 0x20;
		bool letter = lower >= 'a' && lower <= 'z', more = (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '+' || s.ptr[i] == '-' || s.ptr[i] == '.';
		if (!letter && !(more && i))
			return false;
	}
	return s.len > 0;
}

enum seam_result wasi_http_types_outgoing_request_set_scheme(struct seam_call *c, const struct wasi_http_types_outgoing_request_set_scheme_args *args,
	struct wasi_result_void_void *ret)
{
	struct wasi_http_outgoing_request *r = request(c, args->self);
	struct wasi_option_http_types_scheme scheme = args->scheme;
	bool other = scheme.is_some && scheme.some.tag == WASI_HTTP_TYPES_SCHEME_OTHER;
	ret->is_err = other && !(fits(scheme.some.other) && is_scheme(seam_slice(scheme.some.other)));
	if (ret->is_err)
		return SEAM_OK;
	if (!keep(c, r, TEXT_SCHEME, other ? &scheme.some.other : NULL))
		return SEAM_TRAP;
	r->scheme = scheme;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_request_authority(struct seam_call *c, const struct wasi_http_types_outgoing_request_authority_args *args,
	struct wasi_option_string *ret)
{
	*ret = request(c, args->self)->authority;
	return !ret->is_some || give(c, ret->some, &ret->some) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_http_types_outgoing_request_set_authority(struct seam_call *c,
	const struct wasi_http_types_outgoing_request_set_authority_args *args, struct wasi_result_void_void *ret)
{
	struct wasi_http_outgoing_request *r = request(c, args->self);
	struct wasi_option_string authority = args->authority;
	ret->is_err = authority.is_some && !(fits(authority.some) && http_authority_is_valid(seam_slice(authority.some), NULL, NULL));
	if (ret->is_err)
		return SEAM_OK;
	if (!keep(c, r, TEXT_AUTHORITY, authority.is_some ? &authority.some : NULL))
		return SEAM_TRAP;
	r->authority = authority;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_request_headers(struct seam_call *c, const struct wasi_http_types_outgoing_request_headers_args *args,
	uint32_t *ret)
{
	return wasi__fields_handle(c, request(c, args->self)->headers, ret);
}

// ---- request options ------------------------------------------------------------------------------------------------------------------------

void wasi_http_types_request_options_drop(struct canon_instance *i, void *object)
{
	seam_mem_free(object);
}

enum canon_move wasi_http_types_request_options_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	return pool_move(canon_instance_pool(to), *object) ? CANON_MOVED : CANON_MOVE_NO_ROOM;
}

enum seam_result wasi_http_types_request_options_new(struct seam_call *c, uint32_t *ret)
{
	struct wasi_http_options *o = SEAM_MEM_NEW(c->canon, struct wasi_http_options);
	if (!o)
		return seam_no_memory(c);
	if (seam_resource_new(c, &wasi_http_types_request_options_class, o, ret))
		return SEAM_OK;
	seam_mem_free(o);
	return SEAM_TRAP;
}

#define TIMEOUT(name)                                                                                                    \
	enum seam_result wasi_http_types_request_options_##name##_timeout(struct seam_call *c,                               \
		const struct wasi_http_types_request_options_##name##_timeout_args *args, struct wasi_option_u64 *ret)           \
	{                                                                                                                    \
		const struct wasi_http_options *o = seam_resource_get(c, &wasi_http_types_request_options_resource, args->self); \
		*ret = o->name;                                                                                                  \
		return SEAM_OK;                                                                                                  \
	}                                                                                                                    \
	enum seam_result wasi_http_types_request_options_set_##name##_timeout(struct seam_call *c,                           \
		const struct wasi_http_types_request_options_set_##name##_timeout_args *args, struct wasi_result_void_void *ret) \
	{                                                                                                                    \
		struct wasi_http_options *o = seam_resource_get(c, &wasi_http_types_request_options_resource, args->self);       \
		o->name = args->duration;                                                                                        \
		ret->is_err = false;                                                                                             \
		return SEAM_OK;                                                                                                  \
	}
TIMEOUT(connect)
TIMEOUT(first_byte)
TIMEOUT(between_bytes)
