// What the faces of wasi:sockets@0.3 share.
#ifndef TENON_WASI_SOCKETS3_INT_H
#define TENON_WASI_SOCKETS3_INT_H

#include "end_int.h"
#include "sockets_int.h"

#undef FAILED
#undef DO

struct wasi_sockets3_types_error_code wasi__socket3_code(int errnum);
// wasi_flow_fn of both directions.
size_t wasi__socket3_ended(void *into, const struct wasi_error *why);
struct sys_endpoint wasi__endpoint3(const struct wasi_sockets3_types_ip_socket_address *a);
void wasi__endpoint3_give(const struct sys_endpoint *p, struct wasi_sockets3_types_ip_socket_address *ret);
// One that was not bound gets a free port, if it may have one. 0 or -errno.
int wasi__socket_bind_any(struct wasi_socket *s);
// As wasi__socket_bind; it is done.
int wasi__socket_bind_now(struct wasi_socket *s, const struct sys_endpoint *at);

static inline bool wasi__socket3_failed(int64_t why, bool *is_err, struct wasi_sockets3_types_error_code *err)
{
	*is_err = why < 0;
	if (why < 0)
		*err = wasi__socket3_code((int)-why);
	return why < 0;
}
#define FAILED(ret, why) wasi__socket3_failed((why), &(ret)->is_err, &(ret)->err)
// A function that gives nothing but that.
#define DO(ret, why) (FAILED(ret, why), SEAM_OK)

// Getter and setter of a number of the system's: of which one is `unit` of the guest's, `most` at most.
#define OPTION3(kind, name, option, type, unit, most)                                                                                                              \
	enum seam_result wasi_sockets3_types_##kind##_socket_get_##name(struct seam_call *c, const struct wasi_sockets3_types_##kind##_socket_get_##name##_args *args, \
		struct wasi_result_##type##_sockets3_types_error_code *ret)                                                                                                \
	{                                                                                                                                                              \
		int n = 0;                                                                                                                                                 \
		if (!FAILED(ret, wasi__socket_option(socket_of(c, args->self), option, &n)))                                                                               \
			ret->ok = (typeof(ret->ok))((uint64_t)n * (unit));                                                                                                     \
		return SEAM_OK;                                                                                                                                            \
	}                                                                                                                                                              \
	enum seam_result wasi_sockets3_types_##kind##_socket_set_##name(struct seam_call *c, const struct wasi_sockets3_types_##kind##_socket_set_##name##_args *args, \
		struct wasi_result_void_sockets3_types_error_code *ret)                                                                                                    \
	{                                                                                                                                                              \
		return DO(ret, wasi__socket_set_option(socket_of(c, args->self), option, args->value, unit, most));                                                        \
	}

#endif
