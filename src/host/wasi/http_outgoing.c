// wasi:http: requests that guests make. They can be built; to send one is denied (HTTP-request-denied), as nothing is granted yet.
#include "wasi_host.h"
#include "wasi_int.h"

// ---- outgoing request -------------------------------------------------------------------------------------------------------------------

struct outgoing_request {
	struct arena arena;  // of the texts; a setter that is called again and again fails in the end
	struct wasi_fields *headers;
	struct wasi_http_body *body;
	struct wasi_http_types_method method;
	struct wasi_option_string path, authority;
	struct wasi_option_http_types_scheme scheme;
};
enum { TEXTS_MAX = 256 << 10 };

static void free_request(struct outgoing_request *r)
{
	wasi__fields_unref(r->headers);
	wasi__body_unref(r->body);
	arena_release(&r->arena);
	mem_free(r);
}

void wasi_http_types_outgoing_request_drop(struct canon_instance *i, void *object)
{
	free_request(object);
}

static struct outgoing_request *request(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http_types_outgoing_request_resource, rep);
}

enum seam_result wasi_http_types_outgoing_request_new(struct seam_call *c, const struct wasi_http_types_outgoing_request_new_args *args, uint32_t *ret)
{
	struct wasi_fields *headers = seam_resource_take(c, &wasi_http_types_fields_resource, args->headers);
	struct outgoing_request *r = mem_zalloc(sizeof *r);
	if (!r) {
		wasi__fields_unref(headers);
		return wasi__no_memory(c);
	}
	arena_init(&r->arena, TEXTS_MAX);
	r->headers = headers;
	headers->immutable = true;
	if (seam_resource_new(c, &wasi_http_types_outgoing_request_resource, r, ret))
		return SEAM_OK;
	free_request(r);
	return SEAM_TRAP;
}

enum seam_result wasi_http_types_outgoing_request_body(struct seam_call *c, const struct wasi_http_types_outgoing_request_body_args *args,
	struct wasi_result_own_http_types_outgoing_body_void *ret)
{
	struct outgoing_request *r = request(c, args->self);
	ret->is_err = r->body != NULL;
	if (r->body)
		return SEAM_OK;
	struct wasi_http_body *b = wasi__body_new(NULL);
	if (!b)
		return wasi__no_memory(c);
	if (!seam_resource_new(c, &wasi_http_types_outgoing_body_resource, b, &ret->ok)) {
		wasi__body_unref(b);
		return SEAM_TRAP;
	}
	r->body = wasi__body_ref(b);
	return SEAM_OK;
}

// Keeps a text. false: too many of them.
static bool keep(struct outgoing_request *r, struct wit_string *s)
{
	struct slice kept;
	if (!slice_dup(&r->arena, seam_slice(*s), &kept))
		return false;
	*s = (struct wit_string){kept.ptr, kept.len};
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
	struct outgoing_request *r = request(c, args->self);
	struct wasi_http_types_method m = args->method;
	bool other = m.tag == WASI_HTTP_TYPES_METHOD_OTHER;
	ret->is_err = other && (!http_method_is_valid(seam_slice(m.other)) || !keep(r, &m.other));
	if (!ret->is_err)
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
	struct outgoing_request *r = request(c, args->self);
	struct wasi_option_string path = args->path_with_query;
	ret->is_err = path.is_some && (!http_target_is_valid(seam_slice(path.some)) || !keep(r, &path.some));
	if (!ret->is_err)
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

enum seam_result wasi_http_types_outgoing_request_set_scheme(struct seam_call *c, const struct wasi_http_types_outgoing_request_set_scheme_args *args,
	struct wasi_result_void_void *ret)
{
	struct outgoing_request *r = request(c, args->self);
	struct wasi_option_http_types_scheme scheme = args->scheme;
	bool other = scheme.is_some && scheme.some.tag == WASI_HTTP_TYPES_SCHEME_OTHER;
	ret->is_err = other && !keep(r, &scheme.some.other);
	if (!ret->is_err)
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
	struct outgoing_request *r = request(c, args->self);
	struct wasi_option_string authority = args->authority;
	ret->is_err = authority.is_some && (!http_authority_is_valid(seam_slice(authority.some), NULL, NULL) || !keep(r, &authority.some));
	if (!ret->is_err)
		r->authority = authority;
	return SEAM_OK;
}

enum seam_result wasi_http_types_outgoing_request_headers(struct seam_call *c, const struct wasi_http_types_outgoing_request_headers_args *args,
	uint32_t *ret)
{
	struct wasi_fields *f = wasi__fields_ref(request(c, args->self)->headers);
	if (seam_resource_new(c, &wasi_http_types_fields_resource, f, ret))
		return SEAM_OK;
	wasi__fields_unref(f);
	return SEAM_TRAP;
}

// ---- request options ------------------------------------------------------------------------------------------------------------------------

struct request_options {
	struct wasi_option_u64 connect, first_byte, between_bytes;
};

void wasi_http_types_request_options_drop(struct canon_instance *i, void *object)
{
	mem_free(object);
}

enum seam_result wasi_http_types_request_options_new(struct seam_call *c, uint32_t *ret)
{
	struct request_options *o = mem_zalloc(sizeof *o);
	if (!o)
		return wasi__no_memory(c);
	if (seam_resource_new(c, &wasi_http_types_request_options_resource, o, ret))
		return SEAM_OK;
	mem_free(o);
	return SEAM_TRAP;
}

#define TIMEOUT(name)                                                                                                    \
	enum seam_result wasi_http_types_request_options_##name##_timeout(struct seam_call *c,                               \
		const struct wasi_http_types_request_options_##name##_timeout_args *args, struct wasi_option_u64 *ret)           \
	{                                                                                                                    \
		const struct request_options *o = seam_resource_get(c, &wasi_http_types_request_options_resource, args->self);   \
		*ret = o->name;                                                                                                  \
		return SEAM_OK;                                                                                                  \
	}                                                                                                                    \
	enum seam_result wasi_http_types_request_options_set_##name##_timeout(struct seam_call *c,                           \
		const struct wasi_http_types_request_options_set_##name##_timeout_args *args, struct wasi_result_void_void *ret) \
	{                                                                                                                    \
		struct request_options *o = seam_resource_get(c, &wasi_http_types_request_options_resource, args->self);         \
		o->name = args->duration;                                                                                        \
		ret->is_err = false;                                                                                             \
		return SEAM_OK;                                                                                                  \
	}
TIMEOUT(connect)
TIMEOUT(first_byte)
TIMEOUT(between_bytes)

// ---- sending ----------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_http_outgoing_handler_handle(struct seam_call *c, const struct wasi_http_outgoing_handler_handle_args *args,
	struct wasi_result_own_http_types_future_incoming_response_http_types_error_code *ret)
{
	free_request(seam_resource_take(c, &wasi_http_types_outgoing_request_resource, args->request));
	if (args->options.is_some)
		mem_free(seam_resource_take(c, &wasi_http_types_request_options_resource, args->options.some));
	seam_deny(c, SEAM_DENY_HTTP_OUT, "an outgoing HTTP request", "--net");
	ret->is_err = true;
	ret->err.tag = WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED;
	return SEAM_OK;
}
