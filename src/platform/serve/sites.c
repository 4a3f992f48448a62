// The sites of a process: certificates, listeners, routes.
#include "serve_int.h"

#include "sys/sys.h"

// ---- what was handed over ----------------------------------------------------------------------------------------------------------------

// What a socket that was handed over is for: FileDescriptorName= of a socket unit.
static struct slice name_of_handed(const struct sys_handed *handed, unsigned i)
{
	struct slice rest = slice_str(handed->names ? handed->names : "");
	for (; i > 0; i--)
		rest = slice_sub(rest, min_u64(slice_find(rest, ':') + 1, rest.len), rest.len);
	return slice_sub(rest, 0, slice_find(rest, ':'));
}

int serve__handed_for_admin(const struct sys_handed *handed)
{
	for (unsigned i = 0; i < handed->n; i++)
		if (slice_eq_str(name_of_handed(handed, i), "admin"))
			return SYS_HANDED_FIRST + (int)i;
	return -1;
}

// Of several each says what it is for.
bool serve__check_handed(const struct sys_handed *handed, const char *admin, struct err *e)
{
	int for_admin = serve__handed_for_admin(handed);
	if (for_admin >= 0 && admin)
		return err_set(e, ERR_USAGE, "--admin and a socket for it that was handed over (LISTEN_FDNAMES): one is enough");
	for (unsigned i = 0; handed->n > 1 && i < handed->n; i++) {
		struct slice name = name_of_handed(handed, i);
		if (slice_eq_str(name, "http") || SYS_HANDED_FIRST + (int)i == for_admin)
			continue;
		err_set(e, ERR_USAGE, "socket %u of the %u that were handed over (LISTEN_FDS) is named '%.*s'", i + 1, handed->n, SLICE_ARGS(slice_sub(name, 0, 100)));
		return err_hint(e, "where there are several each has a name (LISTEN_FDNAMES, FileDescriptorName= of the socket unit): http, or one admin");
	}
	return true;
}

// ---- listeners ---------------------------------------------------------------------------------------------------------------------------

unsigned serve__count_addresses(const struct serve_setup *setup, const struct sys_handed *handed)
{
	unsigned sum = handed->n;
	for (unsigned i = 0; i < setup->n_listeners; i++)
		sum += setup->listeners[i].addresses.len ? setup->listeners[i].addresses.len : 1;
	return sum;
}

static struct serve_listener *next_listener(struct serve_process *p)
{
	return &p->listeners[p->n_listeners++];
}

// `handed`: it has addresses without any of its own.
static bool open_addresses(struct serve_site *s, const struct serve_listener_config *c, bool handed, struct err *e)
{
	for (uint32_t i = 0; i < c->addresses.len; i++)
		if (!serve__listener_init(next_listener(s->process), s, c->addresses.ptr[i], e))
			return false;
	return c->addresses.len || handed || serve__listener_init(next_listener(s->process), s, SERVE_ADDRESS, e);
}

static bool check_tls(const struct serve_site *s, struct err *e)
{
	const struct serve_process *p = s->process;
	for (unsigned i = 0; s->wire->tls && i < p->n_listeners; i++)
		if (p->listeners[i].site == s && p->listeners[i].is_tls)
			return true;
	if (!s->wire->tls)
		return true;
	err_set(e, ERR_USAGE, "--tls-cert: there is no address to speak TLS on");
	return err_hint(e, "a socket in the file system is served in clear; HOST:PORT by TLS");
}

// ---- how connections are served ----------------------------------------------------------------------------------------------------------

// What it is read by later: certificates, limits.
static bool copy_config(struct serve_wire *w, const struct serve_listener_config *from)
{
	struct serve_listener_config *c = &w->config;
	const char **certs, **keys, **trust;
	if (!texts_dup(&w->arena, from->certs.ptr, from->certs.len, &certs) || !texts_dup(&w->arena, from->keys.ptr, from->keys.len, &keys) ||
		!texts_dup(&w->arena, from->trust_proxy.ptr, from->trust_proxy.len, &trust))
		return false;
	*c = (struct serve_listener_config){.limits = from->limits};
	c->certs.ptr = certs;
	c->certs.len = from->certs.len;
	c->keys.ptr = keys;
	c->keys.len = from->keys.len;
	c->trust_proxy.ptr = trust;
	c->trust_proxy.len = from->trust_proxy.len;
	return true;
}

bool serve__wire_new(const struct serve_listener_config *c, struct serve_wire **ret, struct err *e)
{
	struct serve_wire *w = mem_zalloc(sizeof *w);
	if (!w)
		return err_nomem(e);
	arena_init(&w->arena, 0);
	if ((copy_config(w, c) || err_nomem(e)) && serve__trust_parse(&w->arena, &w->config, &w->trust, e) && serve__certificates_open(&w->config, &w->tls, e)) {
		*ret = w;
		return true;
	}
	serve__wire_free(w);
	return false;
}

void serve__wire_free(struct serve_wire *w)
{
	if (!w)
		return;
	http_tls_free(w->tls);
	arena_release(&w->arena);
	mem_free(w);
}

// ---- all of a process ----------------------------------------------------------------------------------------------------------------------

bool serve__sites_open(struct serve_process *p, const struct serve_setup *setup, const struct sys_handed *handed, struct err *e)
{
	int for_admin = serve__handed_for_admin(handed);
	p->max_listeners += serve__count_addresses(setup, handed);
	p->listeners = mem_zalloc(p->max_listeners * sizeof *p->listeners);
	if (!p->listeners)
		return err_nomem(e);
	for (unsigned i = 0; i < setup->n_listeners; i++) {
		struct serve_site *s = &p->sites[p->n_sites++];
		*s = (struct serve_site){.process = p, .there = true};
		if (!serve__wire_new(&setup->listeners[i], &s->wire, e) || !open_addresses(s, &setup->listeners[i], i == 0 && handed->n > (for_admin >= 0), e))
			return false;
	}
	for (unsigned i = 0; p->n_sites && i < handed->n; i++)
		if (SYS_HANDED_FIRST + (int)i != for_admin && !serve__listener_init_handed(next_listener(p), &p->sites[0], SYS_HANDED_FIRST + (int)i, e))
			return false;
	for (unsigned i = 0; i < p->n_sites; i++)
		if (!check_tls(&p->sites[i], e))
			return false;
	return true;
}

// ---- one that comes while it serves ------------------------------------------------------------------------------------------------------

static struct serve_site *take_site(struct serve_process *p)
{
	for (unsigned i = 0; i < p->n_sites; i++)
		if (!p->sites[i].there)
			return &p->sites[i];
	return p->n_sites < p->max_sites ? &p->sites[p->n_sites++] : NULL;
}

bool serve__wire_fits(const struct serve_wire *w, const struct serve_listener_config *c, struct err *e)
{
	bool can = !w->tls || c->addresses.len == 0;
	for (uint32_t i = 0; i < c->addresses.len; i++)
		can |= strncmp(c->addresses.ptr[i], "unix:", 5) != 0;
	return can || err_set(e, ERR_USAGE, "tls: there is no address to speak it on");
}

bool serve__site_new(struct serve_process *p, const struct serve_listener_config *c, struct serve_site **ret, struct err *e)
{
	struct serve_site *s = take_site(p);
	if (!s)
		return err_set(e, ERR_LIMIT, "more than %u sites", p->max_sites);
	*s = (struct serve_site){.process = p, .there = true};
	if (serve__wire_new(c, &s->wire, e) && serve__wire_fits(s->wire, c, e) && serve__router_new(NULL, 0, NULL, &s->router, e)) {
		*ret = s;
		return true;
	}
	serve__site_free(s);
	return false;
}

void serve__site_free(struct serve_site *s)
{
	serve__wire_free(s->wire);
	serve__router_unref(s->router);
	*s = (struct serve_site){.process = s->process};
}

// ---- routes ------------------------------------------------------------------------------------------------------------------------------

typedef VEC(struct serve_route) route_list;

static bool check_answer(const struct serve_route_config *c, struct err *e)
{
	if (c->status >= 200 && c->status <= 599)
		return true;
	return err_set(e, ERR_USAGE, "the route '%.200s': %u is no status that it could answer with", c->pattern, c->status);
}

static bool collect_routes(struct serve_process *p, const struct serve_app_config *app, route_list *list, struct err *e)
{
	for (uint32_t i = 0; i < app->routes.len; i++) {
		struct serve_route route = {.config = &app->routes.ptr[i]};
		const char *name = route.config->service;
		route.service = name ? serve_service_find(p, app->name, name) : NULL;
		if (name && !route.service)
			return err_set(e, ERR_USAGE, "the route '%.200s' leads to '%.100s', which is no component of %s", route.config->pattern, name, app->name);
		if (route.service && !serve__version_must_answer(serve__service_ahead(route.service), e))
			return err_note(e, "the route '%.200s' leads to component %s of %s", route.config->pattern, name, app->name);
		if (!name && !check_answer(route.config, e))
			return false;
		route.is_kept = route.service && serve__service_ahead(route.service)->config->policy == SERVE_KEEP;
		if (!VEC_PUSH(NULL, list, route, UINT32_MAX))
			return err_nomem(e);
	}
	return true;
}

// Of a listener with one app, which has one component and no routes: that answers everything. Services stand in the order of the setup.
static struct serve_service *answers_all(const struct serve_process *p, const struct serve_setup *setup, unsigned site)
{
	struct serve_service *all = NULL;
	unsigned apps = 0, first = 0;
	for (unsigned k = 0; k < setup->n_apps; k++) {
		const struct serve_app_config *app = &setup->apps[k];
		if (app->listener == site && ++apps == 1 && app->routes.len == 0 && app->services.len == 1)
			all = p->services[first];
		first += app->services.len;
	}
	return apps == 1 ? all : NULL;
}

bool serve__site_routes(struct serve_process *p, const struct serve_setup *setup, unsigned site, struct serve_service *all, struct serve_router **ret,
	struct err *e)
{
	route_list list = {0};
	bool ok = true;
	for (unsigned k = 0; ok && k < setup->n_apps; k++)
		ok = setup->apps[k].listener != site || collect_routes(p, &setup->apps[k], &list, e);
	ok = ok && serve__router_new(list.ptr, list.len, all, ret, e);
	VEC_FREE(&list);
	return ok;
}

bool serve__sites_route(struct serve_process *p, const struct serve_setup *setup, struct err *e)
{
	for (unsigned i = 0; i < p->n_sites; i++) {
		p->sites[i].all = answers_all(p, setup, i);
		if (!serve__site_routes(p, setup, i, p->sites[i].all, &p->sites[i].router, e))
			return false;
	}
	return true;
}

void serve__sites_close(struct serve_process *p)
{
	for (unsigned i = 0; i < p->n_listeners; i++)
		serve__listener_release(&p->listeners[i]);
	for (unsigned i = 0; i < p->n_sites; i++) {
		serve__wire_free(p->sites[i].wire);
		serve__router_unref(p->sites[i].router);
	}
	mem_free(p->listeners);
}
