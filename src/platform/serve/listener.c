// Listeners: addresses, the limits of their wire, and which service answers what comes there.
#include <stdio.h>

#include "serve_int.h"

static struct serve_service *route(const struct serve_router *r, const struct http_exchange *x)
{
	return r->all;
}

static void on_request(void *user, struct http_exchange *x)
{
	struct serve_port *p = user;
	serve__request_begin(&route(&p->listener->router, x)->shards[p->thread->index], x);
}

static void on_refused(void *user, const struct http_address *peer, unsigned status, const char *why)
{
	struct serve_port *p = user;
	serve__log_refused(p->listener->process->config, peer, status, why);
}

static uint64_t or_none(uint64_t limit)
{
	return limit ? limit : HTTP_NO_LIMIT;
}

static struct http_limits http_limits_of(const struct serve_listener_config *c)
{
	const struct serve_listener_limits *l = &c->limits;
	struct http_limits h = http_limits_default;
	h.head_bytes = (uint32_t)l->head_bytes;  // in limits.def's range
	h.fields = (uint32_t)l->head_fields;
	h.body_bytes = or_none(l->max_body);
	h.idle_ns = or_none(l->idle_timeout);
	h.head_ns = or_none(l->head_timeout);
	h.body_ns = or_none(l->body_timeout);
	h.body_total_ns = or_none(l->body_total);
	h.write_ns = or_none(l->write_timeout);
	h.min_rate = l->min_rate;
	return h;
}

static void on_full(void *user, enum http_full what, const struct http_address *peer)
{
	const struct serve_port *p = user;
	const struct serve_process *process = p->listener->process;
	char client[64];
	switch (what) {
	case HTTP_FULL_CONNECTIONS:
		serve__log(process->config, SERVE_LOG_WARN, "%llu connections are open: the longest idle are closed for new ones (--connections)",
			(unsigned long long)process->connections);
		break;
	case HTTP_FULL_CLIENT:
		http_address_print(peer, client, sizeof client);
		serve__log(process->config, SERVE_LOG_WARN, "client %s has as many connections as it may: others are closed at once (--connections-per-client)", client);
		break;
	case HTTP_FULL_DESCRIPTORS:
		serve__log(process->config, SERVE_LOG_WARN, "no descriptor is left: the longest idle connections are closed for new ones");
		break;
	}
}

bool serve__listener_init(struct serve_listener *l, struct serve_process *p, const struct serve_listener_config *c, struct serve_service *all, struct err *e)
{
	char address[300];
	snprintf(address, sizeof address, strchr(c->host, ':') ? "[%s]:%u" : "%s:%u", c->host, c->port);
	*l = (struct serve_listener){.process = p, .config = c, .router.all = all};
	l->ports = mem_zalloc(p->n_threads * sizeof *l->ports);
	if (!l->ports)
		return err_nomem(e);
	return http_address_parse(slice_str(address), &l->address, e);
}

void serve__listener_release(struct serve_listener *l)
{
	mem_free(l->ports);
}

bool serve__port_open(struct serve_listener *l, struct serve_thread *t, bool first, struct err *e)
{
	struct serve_port *p = &l->ports[t->index];
	struct http_server_config config = {
		.limits = http_limits_of(l->config),
		.on_request = on_request,
		.on_refused = on_refused,
		.user = p,
		.gate = l->process->gate,
		.on_full = on_full,
	};
	*p = (struct serve_port){.listener = l, .thread = t};
	if (l->router.all->on_one_shard && !first)
		return true;
	if (!http_server_new(t->loop, &config, &p->http, e))
		return false;
	if (first)
		return http_server_listen(p->http, &l->address, true, e);
	struct http_address address = l->address;  // each listener writes its own into what it is given
	return http_server_listen(p->http, &address, false, e);
}

static void on_drained(void *user)
{
	struct serve_port *p = user;
	p->drained = true;
	p->thread->look(p->thread);
}

void serve__port_drain(struct serve_port *p)
{
	if (p->http)
		http_server_drain(p->http, on_drained, p);
	else
		p->drained = true;
}

void serve__port_close(struct serve_port *p)
{
	http_server_free(p->http);
	p->http = NULL;
}
