// Where apps are asked: addresses of manifests, shared by those that say the same of them. Listeners of the process have the indices that serve has for its sites.
#include "up.h"

enum { PLACE_MEMORY = 16 << 20 };

static bool take_listener_limit(const struct app_limit *l, struct serve_listener_config *ret)
{
	switch (l->kind) {
#define SERVE_LIMIT(scope, ...) SERVE_LIMIT_##scope(__VA_ARGS__)
#define SERVE_LIMIT_process(...)
#define SERVE_LIMIT_service(...)
#define SERVE_LIMIT_listener(field, ...) \
	case APP_LIMIT_##field:              \
		ret->limits.field = l->value;    \
		return true;
#include "app/limits.def"
#undef SERVE_LIMIT
#undef SERVE_LIMIT_process
#undef SERVE_LIMIT_listener
#undef SERVE_LIMIT_service
	default:
		return false;
	}
}

static bool take_listener(struct up *u, const struct app *app, struct serve_listener_config *ret, struct err *e)
{
	const struct app_http *h = &app->http;
	*ret = u->c->config.listener;
	if (ret->addresses.len == 0)
		for (uint32_t i = 0; i < h->addresses.n; i++)
			if (!VEC_PUSH(u->arena, &ret->addresses, h->addresses.list[i].text, CLI_MAX_ADDRESSES))
				return err_set(e, ERR_LIMIT, "more than %d addresses", CLI_MAX_ADDRESSES);
	for (uint32_t i = 0; i < h->trust_proxy.n; i++)
		if (!VEC_PUSH(u->arena, &ret->trust_proxy, h->trust_proxy.list[i].text, CLI_MAX_NETS))
			return err_set(e, ERR_LIMIT, "more than %d ranges", CLI_MAX_NETS);
	for (uint32_t i = 0; i < h->limits.n; i++)
		if (!take_listener_limit(&h->limits.list[i], ret))
			return cli__up_not_yet(app, h->limits.list[i].at, "a limit of [http]", e);
	if (!h->tls.item.is_given || ret->certs.len)
		return true;
	return (VEC_PUSH(u->arena, &ret->certs, h->tls.cert_path, CLI_MAX_CERTS) && VEC_PUSH(u->arena, &ret->keys, h->tls.key_path, CLI_MAX_CERTS)) ||
		err_nomem(e);
}

typedef VEC(const char *) texts;
static bool same(const void *left, const void *right)
{
	const texts *a = left, *b = right;
	for (uint32_t i = 0; a->len == b->len && i < a->len; i++)
		if (strcmp(a->ptr[i], b->ptr[i]) != 0)
			return false;
	return a->len == b->len;
}

// Port 0 is another one for each.
static bool is_one_address(const char *a, const char *b)
{
	return strcmp(a, b) == 0 && !slice_ends_with(slice_str(a), SLICE_LIT(":0"));
}

static bool share_address(const struct serve_listener_config *a, const struct serve_listener_config *b)
{
	if (a->addresses.len == 0 && b->addresses.len == 0)
		return true;
	for (uint32_t i = 0; i < a->addresses.len; i++)
		for (uint32_t k = 0; k < b->addresses.len; k++)
			if (is_one_address(a->addresses.ptr[i], b->addresses.ptr[k]))
				return true;
	return false;
}

static bool serve_alike(const struct serve_listener_config *a, const struct serve_listener_config *b)
{
	return same(&a->certs, &b->certs) && same(&a->keys, &b->keys) && same(&a->trust_proxy, &b->trust_proxy) && memcmp(&a->limits, &b->limits, sizeof a->limits) == 0;
}

static bool are_alike(const struct serve_listener_config *a, const struct serve_listener_config *b)
{
	return same(&a->addresses, &b->addresses) && serve_alike(a, b);
}

// ---- who is asked where -----------------------------------------------------------------------------------------------------------------------

static struct up_hold *find_hold(const struct up *u, const char *app)
{
	for (uint32_t i = 0; i < u->holds.len; i++)
		if (strcmp(u->holds.ptr[i].app, app) == 0)
			return &u->holds.ptr[i];
	return NULL;
}

// Room for one more of each.
static bool reserve(struct up *u)
{
	bool holds = VEC_ADD(&u->c->arena, &u->holds, UP_MAX_APPS), listeners = VEC_ADD(&u->c->arena, &u->listeners, UP_MAX_LISTENERS);
	u->holds.len -= holds;
	u->listeners.len -= listeners;
	return holds && listeners;
}

static void set_hold(struct up *u, const char *app, unsigned listener)
{
	struct up_hold *h = find_hold(u, app);
	if (!h) {
		h = &u->holds.ptr[u->holds.len++];
		snprintf(h->app, sizeof h->app, "%s", app);
	}
	h->listener = listener;
}

static bool is_held(const struct up *u, unsigned listener, const char *but)
{
	for (uint32_t i = 0; i < u->holds.len; i++)
		if (u->holds.ptr[i].listener == listener && strcmp(u->holds.ptr[i].app, but) != 0)
			return true;
	return false;
}

static bool add_listener(struct up *u, const struct serve_listener_config *c, unsigned *ret, struct err *e)
{
	struct up_listener *l = VEC_ADD(&u->c->arena, &u->listeners, UP_MAX_LISTENERS);
	if (!l)
		return err_set(e, ERR_LIMIT, "more than %d listeners", UP_MAX_LISTENERS);
	*l = (struct up_listener){.config = *c};
	*ret = u->listeners.len - 1;
	return true;
}

// ---- at the start -------------------------------------------------------------------------------------------------------------------------------

static bool hold(struct up *u, const struct app *app, unsigned listener, struct err *e)
{
	if (!reserve(u))
		return err_nomem(e);
	set_hold(u, app->about.name.text, listener);
	return true;
}

// That of another app on the same addresses, or a new one.
bool cli__up_listener(struct up *u, const struct app *app, unsigned *ret, struct err *e)
{
	struct serve_listener_config mine;
	bool given = u->c->config.listener.addresses.len > 0;
	if (!take_listener(u, app, &mine, e))
		return false;
	for (uint32_t i = 0; i < u->listeners.len; i++) {
		const struct serve_listener_config *other = &u->listeners.ptr[i].config;
		if (!given && !share_address(&mine, other))
			continue;
		*ret = i;
		if (are_alike(&mine, other))
			return hold(u, app, i, e);
		err_set(e, ERR_USAGE, "app %s: another app has one of its addresses, but not all, or other TLS, trust_proxy or limits there", app->about.name.text);
		return cli__up_at(app, app->http.item.at, e);
	}
	return add_listener(u, &mine, ret, e) && hold(u, app, *ret, e);
}

static bool is_asked(const struct app *app)
{
	const struct app_triggers *t = &app->triggers;
	for (uint32_t i = 0; i < t->http.n; i++)
		if (!t->http.list[i].is_private.value)
			return true;
	return false;
}

bool cli__up_keep_listener(struct up *u, const struct app *app, struct err *e)
{
	struct serve_listener_config mine;
	bool given = u->c->config.listener.addresses.len > 0;
	unsigned at;
	if (!is_asked(app))
		return true;
	if (!take_listener(u, app, &mine, e))
		return false;
	for (uint32_t i = 0; i < u->listeners.len; i++)
		if (given || share_address(&mine, &u->listeners.ptr[i].config))
			return hold(u, app, i, e);  // whether it may be there, too, is seen when it starts
	return add_listener(u, &mine, &at, e) && hold(u, app, at, e);
}

// ---- while it serves ------------------------------------------------------------------------------------------------------------------------------

static bool refuse_shared(const struct app *app, const char *name, struct err *e)
{
	err_set(e, ERR_REFUSED, "app %s: another app has one of its addresses, but not all, or other TLS, trust_proxy or limits there", name);
	return cli__up_at(app, app->http.item.at, e);
}

// Port 0 of one's own is the same one again.
static bool share_own(const struct serve_listener_config *a, const struct serve_listener_config *b)
{
	for (uint32_t i = 0; i < a->addresses.len; i++)
		for (uint32_t k = 0; k < b->addresses.len; k++)
			if (strcmp(a->addresses.ptr[i], b->addresses.ptr[k]) == 0)
				return true;
	return share_address(a, b);
}

// A listener outlives what its app is made of.
static bool own_config(struct up_place *p, struct err *e)
{
	struct serve_listener_config *c = &p->config;
	const char **addresses, **certs, **keys, **trust;
	if (!texts_dup(&p->arena, c->addresses.ptr, c->addresses.len, &addresses) || !texts_dup(&p->arena, c->certs.ptr, c->certs.len, &certs) ||
		!texts_dup(&p->arena, c->keys.ptr, c->keys.len, &keys) || !texts_dup(&p->arena, c->trust_proxy.ptr, c->trust_proxy.len, &trust))
		return err_nomem(e);
	c->addresses.ptr = addresses;
	c->certs.ptr = certs;
	c->keys.ptr = keys;
	c->trust_proxy.ptr = trust;
	return true;
}

// Another app's, or one that several have, is taken as it is, or not at all; what is its own alone gets other addresses and settings.
static bool find_place(const struct up *u, const struct app *app, const char *name, struct up_place *p, struct err *e)
{
	const struct serve_listener_config *mine = &p->config;
	const struct up_hold *h = find_hold(u, name);
	bool given = u->c->config.listener.addresses.len > 0, shared = h && is_held(u, h->listener, name);
	for (uint32_t i = 0; i < u->listeners.len; i++) {
		const struct serve_listener_config *other = &u->listeners.ptr[i].config;
		bool own = h && i == h->listener;
		if (u->listeners.ptr[i].gone || (own && !shared) || (!given && !share_address(mine, other) && !(own && share_own(mine, other))))
			continue;
		p->site = i;
		p->leaves = h && !own && !shared ? h->listener : SERVE_NO_SITE;
		return are_alike(mine, other) || refuse_shared(app, name, e);
	}
	p->opens = true;
	if (!h || shared)
		return true;
	const struct serve_listener_config *before = &u->listeners.ptr[h->listener].config;
	p->site = h->listener;
	p->rewires = !serve_alike(mine, before);
	p->opens = p->rewires || !same(&mine->addresses, &before->addresses);
	return true;
}

bool cli__up_find_place(struct up *u, const struct app *app, const char *name, struct up_place *ret, struct err *e)
{
	*ret = (struct up_place){.site = SERVE_NO_SITE, .leaves = SERVE_NO_SITE};
	arena_init(&ret->arena, PLACE_MEMORY);
	if (!take_listener(u, app, &ret->config, e) || !find_place(u->whole, app, name, ret, e))
		return false;
	if (!reserve(u->whole))
		return err_set(e, ERR_LIMIT, "more than %d listeners", UP_MAX_LISTENERS);
	return !ret->opens || own_config(ret, e);
}

void cli__up_place_release(struct up_place *p)
{
	arena_release(&p->arena);
}

// Of one that left, or has other addresses.
static void set_listener(struct up *u, unsigned i, const struct up_listener *l)
{
	if (i == u->listeners.len)
		u->listeners.ptr[u->listeners.len++] = (struct up_listener){0};  // there is room since it was found
	arena_release(&u->listeners.ptr[i].arena);
	u->listeners.ptr[i] = *l;
}

void cli__up_take_place(struct up *u, const char *name, struct up_place *p)
{
	if (p->opens) {
		set_listener(u, p->site, &(struct up_listener){.config = p->config, .arena = p->arena});
		arena_init(&p->arena, PLACE_MEMORY);
	}
	if (p->leaves != SERVE_NO_SITE)
		set_listener(u, p->leaves, &(struct up_listener){.gone = true});
	set_hold(u, name, p->site);
}

void cli__up_listeners_release(struct up *u)
{
	for (uint32_t i = 0; i < u->listeners.len; i++)
		arena_release(&u->listeners.ptr[i].arena);
}
