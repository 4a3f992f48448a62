// wasi:sockets@0.3: what sockets of both kinds share, and names. Another face of what sockets*.c have.
#include <errno.h>

#include "sockets3_int.h"

// ---- codes -----------------------------------------------------------------------------------------------------------------------------

static const uint8_t tags[] = {
#define TAG(name) [WASI_SOCKETS_NETWORK_ERROR_CODE_##name] = WASI_SOCKETS3_TYPES_ERROR_CODE_##name
#define STATE(name) [WASI_SOCKETS_NETWORK_ERROR_CODE_##name] = WASI_SOCKETS3_TYPES_ERROR_CODE_INVALID_STATE
#define OTHER(name) [WASI_SOCKETS_NETWORK_ERROR_CODE_##name] = WASI_SOCKETS3_TYPES_ERROR_CODE_OTHER
	TAG(ACCESS_DENIED),
	TAG(NOT_SUPPORTED),
	TAG(INVALID_ARGUMENT),
	TAG(OUT_OF_MEMORY),
	TAG(TIMEOUT),
	TAG(INVALID_STATE),
	STATE(CONCURRENCY_CONFLICT),
	STATE(NOT_IN_PROGRESS),
	TAG(ADDRESS_NOT_BINDABLE),
	TAG(ADDRESS_IN_USE),
	TAG(REMOTE_UNREACHABLE),
	TAG(CONNECTION_REFUSED),
	TAG(CONNECTION_RESET),
	TAG(CONNECTION_ABORTED),
	TAG(DATAGRAM_TOO_LARGE),
	OTHER(UNKNOWN),
	OTHER(WOULD_BLOCK),
	OTHER(NEW_SOCKET_LIMIT),
	OTHER(NAME_UNRESOLVABLE),
	OTHER(TEMPORARY_RESOLVER_FAILURE),
	OTHER(PERMANENT_RESOLVER_FAILURE),
#undef TAG
#undef STATE
#undef OTHER
};

static struct wasi_sockets3_types_error_code error_of(uint8_t code)
{
	static const char limit[] = "new-socket-limit";
	struct wasi_sockets3_types_error_code e = {.tag = tags[code]};
	if (code == WASI_SOCKETS_NETWORK_ERROR_CODE_NEW_SOCKET_LIMIT)
		e.other = (struct wasi_option_string){true, {(const uint8_t *)limit, sizeof limit - 1}};
	return e;
}

struct wasi_sockets3_types_error_code wasi__socket3_code(int errnum)
{
	if (errnum == EPIPE)
		return (struct wasi_sockets3_types_error_code){.tag = WASI_SOCKETS3_TYPES_ERROR_CODE_CONNECTION_BROKEN};
	return error_of(wasi__socket_code(errnum));
}

size_t wasi__socket3_ended(void *into, const struct wasi_error *why)
{
	struct wasi_result_void_sockets3_types_error_code *r = into;
	_Static_assert(sizeof *r <= WASI_PROMISE_MAX, "a promise's value");
	r->is_err = why != NULL;
	if (why)
		r->err = why->of_sockets ? error_of(why->socket_code) : wasi__socket3_code(why->closed ? EPIPE : 0);
	return sizeof *r;
}

// ---- addresses: of the same form in both generations --------------------------------------------------------------------------------------

_Static_assert(sizeof(struct wasi_sockets3_types_ip_socket_address) == sizeof(struct wasi_sockets_network_ip_socket_address), "one form");
_Static_assert(sizeof(struct wasi_sockets3_types_ip_address) == sizeof(struct wasi_sockets_network_ip_address), "one form");

struct sys_endpoint wasi__endpoint3(const struct wasi_sockets3_types_ip_socket_address *a)
{
	struct wasi_sockets_network_ip_socket_address same;
	memcpy(&same, a, sizeof same);
	return wasi__endpoint(&same);
}

void wasi__endpoint3_give(const struct sys_endpoint *p, struct wasi_sockets3_types_ip_socket_address *ret)
{
	struct wasi_sockets_network_ip_socket_address same = {0};
	wasi__endpoint_give(p, &same);
	memcpy(ret, &same, sizeof same);
}

// ---- binding: in one step ------------------------------------------------------------------------------------------------------------------

int wasi__socket_bind_now(struct wasi_socket *s, const struct sys_endpoint *at)
{
	int why = wasi__socket_bind(s, at);
	if (why == 0)
		s->state = WASI_SOCKET_BOUND;
	return why;
}

int wasi__socket_bind_any(struct wasi_socket *s)
{
	struct sys_endpoint any = {.v6 = s->v6};
	return s->state == WASI_SOCKET_NEW ? wasi__socket_bind_now(s, &any) : 0;
}

// ---- names ---------------------------------------------------------------------------------------------------------------------------------

static uint8_t name_code(int why)
{
	switch (why) {
	case -EACCES:
		return WASI_SOCKETS3_IP_NAME_LOOKUP_ERROR_CODE_ACCESS_DENIED;
	case -EINVAL:
		return WASI_SOCKETS3_IP_NAME_LOOKUP_ERROR_CODE_INVALID_ARGUMENT;
	case -ENOENT:
		return WASI_SOCKETS3_IP_NAME_LOOKUP_ERROR_CODE_NAME_UNRESOLVABLE;
	case -EAGAIN:
		return WASI_SOCKETS3_IP_NAME_LOOKUP_ERROR_CODE_TEMPORARY_RESOLVER_FAILURE;
	default:
		return WASI_SOCKETS3_IP_NAME_LOOKUP_ERROR_CODE_PERMANENT_RESOLVER_FAILURE;
	}
}

enum seam_result wasi_sockets3_ip_name_lookup_resolve_addresses(struct seam_call *c, const struct wasi_sockets3_ip_name_lookup_resolve_addresses_args *args,
	struct wasi_result_list_sockets3_types_ip_address_sockets3_ip_name_lookup_error_code *ret)
{
	int n = 0;
	struct sys_endpoint *found = SEAM_ARRAY(c, struct sys_endpoint, WASI_ADDRESSES);
	enum seam_result r = found ? wasi__sockets_resolve(c, seam_slice(args->name), found, &n) : SEAM_TRAP;
	if (r != SEAM_OK)
		return r;
	ret->is_err = n < 0;
	if (n < 0) {
		ret->err.tag = name_code(n);
		return SEAM_OK;
	}
	struct wasi_sockets_network_ip_address *list = SEAM_ARRAY(c, struct wasi_sockets_network_ip_address, (size_t)n);
	if (!list)
		return SEAM_TRAP;
	for (int i = 0; i < n; i++)
		wasi__ip_give(&found[i], &list[i]);
	ret->ok = (struct wit_list){list, (size_t)n};
	return SEAM_OK;
}
