// wasi:sockets: the network, new sockets, what sockets of both kinds share. What is not granted is denied at the call (W25).
#include "sockets_int.h"

#include <errno.h>
#include <limits.h>

// ---- the network -----------------------------------------------------------------------------------------------------------------------

static char the_network;  // its identity is all there is to it

enum seam_result wasi_sockets_instance_network_instance_network(struct seam_call *c, uint32_t *ret)
{
	return seam_resource_new(c, &wasi_sockets_network_network_class, &the_network, ret) ? SEAM_OK : SEAM_TRAP;
}

void wasi_sockets_network_network_drop(struct canon_instance *i, void *object)
{
}

bool wasi_sockets_network_network_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = &the_network;
	return true;
}

enum seam_result wasi_sockets_network_network_error_code(struct seam_call *c, const struct wasi_sockets_network_network_error_code_args *args,
	struct wasi_option_sockets_network_error_code *ret)
{
	const struct wasi_error *error = seam_resource_get(c, &wasi_io_error_error_resource, args->err);
	ret->is_some = error->of_sockets;
	ret->some = error->socket_code;
	return SEAM_OK;
}

// ---- addresses -------------------------------------------------------------------------------------------------------------------------

static void take_v6(const struct wasi_sockets_network_ipv6_address *a, uint8_t ret[16])
{
	const uint16_t words[8] = {a->f0, a->f1, a->f2, a->f3, a->f4, a->f5, a->f6, a->f7};
	for (int i = 0; i < 8; i++) {
		ret[2 * i] = (uint8_t)(words[i] >> 8);
		ret[2 * i + 1] = (uint8_t)words[i];
	}
}

static struct wasi_sockets_network_ipv6_address give_v6(const uint8_t ip[16])
{
	uint16_t w[8];
	for (int i = 0; i < 8; i++)
		w[i] = (uint16_t)(ip[2 * i] << 8 | ip[2 * i + 1]);
	return (struct wasi_sockets_network_ipv6_address){w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]};
}

struct sys_endpoint wasi__endpoint(const struct wasi_sockets_network_ip_socket_address *a)
{
	struct sys_endpoint p = {.v6 = a->tag == WASI_SOCKETS_NETWORK_IP_SOCKET_ADDRESS_IPV6};
	if (p.v6) {
		take_v6(&a->ipv6.address, p.ip);
		p.port = a->ipv6.port;
		p.flow = a->ipv6.flow_info;
		p.scope = a->ipv6.scope_id;
	} else {
		const uint8_t ip[4] = {a->ipv4.address.f0, a->ipv4.address.f1, a->ipv4.address.f2, a->ipv4.address.f3};
		memcpy(p.ip, ip, sizeof ip);
		p.port = a->ipv4.port;
	}
	return p;
}

void wasi__endpoint_give(const struct sys_endpoint *p, struct wasi_sockets_network_ip_socket_address *ret)
{
	if (p->v6) {
		ret->tag = WASI_SOCKETS_NETWORK_IP_SOCKET_ADDRESS_IPV6;
		ret->ipv6 = (struct wasi_sockets_network_ipv6_socket_address){p->port, p->flow, give_v6(p->ip), p->scope};
	} else {
		ret->tag = WASI_SOCKETS_NETWORK_IP_SOCKET_ADDRESS_IPV4;
		ret->ipv4 = (struct wasi_sockets_network_ipv4_socket_address){p->port, {p->ip[0], p->ip[1], p->ip[2], p->ip[3]}};
	}
}

void wasi__ip_give(const struct sys_endpoint *p, struct wasi_sockets_network_ip_address *ret)
{
	ret->tag = p->v6 ? WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV6 : WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV4;
	if (p->v6)
		ret->ipv6 = give_v6(p->ip);
	else
		ret->ipv4 = (struct wasi_sockets_network_ipv4_address){p->ip[0], p->ip[1], p->ip[2], p->ip[3]};
}

// ---- what sockets share ----------------------------------------------------------------------------------------------------------------

struct wasi_sockets *wasi__sockets_of(struct seam_call *c)
{
	struct wasi_state *s = seam_state(c);
	if (s && !s->sockets)
		s->sockets = wasi__sockets_new(s->wasi, canon_instance_pool(c->canon), c->instance->grants, c->instance->loop);
	return s ? s->sockets : NULL;
}

enum seam_result wasi__socket_subscribe(struct seam_call *c, struct wasi_socket *s, bool (*ready)(const struct wasi_pollable *p, uint64_t now_ns),
	uint32_t *ret)
{
	struct wasi_pollable p = {ready, &s->event, wasi__socket_ref(s), wasi__socket_unref, UINT64_MAX};
	return wasi__pollable_new(c, p, ret) ? SEAM_OK : SEAM_TRAP;
}

int wasi__socket_option(const struct wasi_socket *s, enum sys_socket_option o, int *ret)
{
	int why = s->state == WASI_SOCKET_FAILED ? -EISCONN : sys_socket_get(s->fd, s->v6, o, ret);
	if (o == SYS_SOCKET_RECEIVE_BUFFER || o == SYS_SOCKET_SEND_BUFFER)
		*ret /= 2;
	return why;
}

int wasi__socket_set_option(const struct wasi_socket *s, enum sys_socket_option o, uint64_t value, uint64_t unit, int most)
{
	uint64_t n = value / unit + (value % unit != 0);
	if (s->state == WASI_SOCKET_FAILED)
		return -EISCONN;
	return value == 0 ? -EINVAL : sys_socket_set(s->fd, s->v6, o, (int)min_u64(n, (uint64_t)most));
}

int wasi__socket_set_backlog(struct wasi_socket *s, uint64_t value)
{
	if (value == 0)
		return -EINVAL;
	if (s->state >= WASI_SOCKET_CONNECTING)
		return -EISCONN;
	s->backlog = (int)min_u64(value, INT_MAX);
	return s->state == WASI_SOCKET_LISTENING ? sys_socket_listen(s->fd, s->backlog) : 0;
}

// ---- new sockets -----------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__socket_create(struct seam_call *c, bool v6, bool datagrams, const struct canon_resource_ops *class, uint32_t *ret, int *ret_why)
{
	struct wasi_sockets *of = wasi__sockets_of(c);
	struct wasi_socket *s = NULL;
	*ret_why = of ? wasi__socket_new(of, v6, datagrams, &s) : -ENOMEM;
	if (*ret_why || seam_resource_new(c, class, s, ret))
		return SEAM_OK;
	wasi__socket_unref(s);
	return SEAM_TRAP;
}

enum seam_result wasi_sockets_tcp_create_socket_create_tcp_socket(struct seam_call *c,
	const struct wasi_sockets_tcp_create_socket_create_tcp_socket_args *args, struct wasi_result_own_sockets_tcp_tcp_socket_sockets_network_error_code *ret)
{
	int why;
	bool v6 = args->address_family == WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV6;
	enum seam_result r = wasi__socket_create(c, v6, false, &wasi_sockets_tcp_tcp_socket_class, &ret->ok, &why);
	if (r == SEAM_OK)
		FAILED(ret, why);
	return r;
}

enum seam_result wasi_sockets_udp_create_socket_create_udp_socket(struct seam_call *c,
	const struct wasi_sockets_udp_create_socket_create_udp_socket_args *args, struct wasi_result_own_sockets_udp_udp_socket_sockets_network_error_code *ret)
{
	int why;
	bool v6 = args->address_family == WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV6;
	enum seam_result r = wasi__socket_create(c, v6, true, &wasi_sockets_udp_udp_socket_class, &ret->ok, &why);
	if (r == SEAM_OK)
		FAILED(ret, why);
	return r;
}
