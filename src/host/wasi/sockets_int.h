// What the faces of wasi:sockets share: addresses and results as WIT has them.
#ifndef TENON_WASI_SOCKETS_INT_H
#define TENON_WASI_SOCKETS_INT_H

#include "socket_int.h"
#include "wasi_host.h"
#include "wasi_provider.h"

struct sys_endpoint wasi__endpoint(const struct wasi_sockets_network_ip_socket_address *a);
void wasi__endpoint_give(const struct sys_endpoint *p, struct wasi_sockets_network_ip_socket_address *ret);
void wasi__ip_give(const struct sys_endpoint *p, struct wasi_sockets_network_ip_address *ret);
// NULL: no memory.
struct wasi_sockets *wasi__sockets_of(struct seam_call *c);
// A new one behind a handle. *ret_why: 0 or -errno.
enum seam_result wasi__socket_create(struct seam_call *c, bool v6, bool datagrams, const struct canon_resource_ops *class, uint32_t *ret, int *ret_why);
// Where a name leads, when that is known: `found` has room for WASI_ADDRESSES; *ret_n of them, or -errno (-EACCES: denied, -ENOENT: there is none).
enum seam_result wasi__sockets_resolve(struct seam_call *c, struct slice name, struct sys_endpoint *found, int *ret_n);
// A pollable that keeps the socket.
enum seam_result wasi__socket_subscribe(struct seam_call *c, struct wasi_socket *s, bool (*ready)(const struct wasi_pollable *p, uint64_t now_ns),
	uint32_t *ret);

// Where an operation has an end: 0 or -errno into a result, whose error is at `err`. true: it failed.
static inline bool wasi__socket_failed(int64_t why, bool *is_err, uint8_t *err)
{
	*is_err = why < 0;
	if (why < 0)
		*err = wasi__socket_code((int)-why);
	return why < 0;
}
#define FAILED(ret, why) wasi__socket_failed((why), &(ret)->is_err, &(ret)->err)
// A function that gives nothing but that.
#define DO(ret, why) (FAILED(ret, why), SEAM_OK)

// Numbers between bounds, as the system has them. `unit`: how many of the guest's one of the system's is, rounded up.
int wasi__socket_option(const struct wasi_socket *s, enum sys_socket_option o, int *ret);
int wasi__socket_set_backlog(struct wasi_socket *s, uint64_t value);
int wasi__socket_set_option(const struct wasi_socket *s, enum sys_socket_option o, uint64_t value, uint64_t unit, int most);

#endif
