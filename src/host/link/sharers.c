// Who uses a store besides a link: links that have the same one, and those that may have it by another address.
#include "move.h"

static bool is_one_of(const struct link *l, const struct slice *names, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (slice_eq(l->name, names[i]))
			return true;
	return false;
}

static bool is_another(const struct link *x, const struct link *l)
{
	return x != l && x->store == l->store;
}

static bool is_of_app(const struct link *x, const struct link *l)
{
	return slice_eq(x->app, l->app) && slice_eq(x->tenant, l->tenant);
}

bool link_sharers(const struct link *l, struct arena *a, struct slice **ret, uint32_t *ret_n)
{
	uint32_t n = 0;
	for (const struct link *x = l->host->first_link; x; x = x->next_link)
		n += is_another(x, l) && is_of_app(x, l);
	struct slice *list = ARENA_ARRAY(a, struct slice, n + 1);
	if (!list)
		return false;
	n = 0;
	for (const struct link *x = l->host->first_link; x; x = x->next_link)
		if (is_another(x, l) && is_of_app(x, l) && !slice_eq(x->name, l->name) && !is_one_of(x, list, n) && !slice_dup(a, x->name, &list[n++]))
			return false;
	*ret = list;
	*ret_n = n;
	return true;
}

bool link__moves_along(const struct link *x, const struct link *l, const struct link_move_config *c)
{
	return is_another(x, l) && is_of_app(x, l) && (slice_eq(x->name, l->name) || is_one_of(x, c->with, c->n_with));
}

bool link__nobody_else(const struct link *l, const struct link_move_config *c, const struct link_store *target, struct err *e)
{
	struct buf b = {.max = 200};
	bool of_target = false;
	for (const struct link *x = l->host->first_link; x; x = x->next_link) {
		bool stays = is_another(x, l) && !link__moves_along(x, l, c) && (c->copy || !is_of_app(x, l)), there = c->copy && x->store == target;
		of_target |= there;
		if (stays || there)
			buf_printf(&b, "%s%.*s/@%.*s", b.len ? ", " : "", SLICE_ARGS(x->app), SLICE_ARGS(x->name));
	}
	bool ok = !b.len;
	if (!ok)
		err_set(e, ERR_ENV, "probe: the %s is used by %.*s as well", of_target ? "target" : "store", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return ok;
}

// ---- by other addresses -------------------------------------------------------------------------------------------------------------------------

// It may be the same one: a server has many names, a file is known by its device and inode, what is in memory has one name.
static bool may_be(const struct link_store *s, const struct link_store *x)
{
	return x != s && x->provider == s->provider && (x->provider->port || link__is_one_file(x, s)) && slice_eq(x->space, s->space);
}

static bool is_listed(const struct link__other *list, uint32_t n, const struct link_store *s)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i].store == s)
			return true;
	return false;
}

static void put_other(struct link__other *to, struct link_store *s, const struct link *x, const struct link *l)
{
	link__store_ref(s);
	to->store = s;
	to->is_of_app = is_of_app(x, l);
	snprintf(to->name, sizeof to->name, "%.*s/@%.*s", SLICE_ARGS(x->app), SLICE_ARGS(x->name));
}

bool link__others(const struct link *l, const struct link_store *s, struct link_store *first, struct link__other **ret, uint32_t *ret_n)
{
	uint32_t n = first != NULL;
	for (const struct link *x = l->host->first_link; x; x = x->next_link)
		n += may_be(s, x->store);
	*ret_n = 0;
	*ret = n ? mem_zalloc(n * sizeof **ret) : NULL;
	if (n && !*ret)
		return false;
	if (first)
		put_other(&(*ret)[(*ret_n)++], first, l, l);
	for (const struct link *x = l->host->first_link; x; x = x->next_link)
		if (may_be(s, x->store) && x->store != l->store && !is_listed(*ret, *ret_n, x->store))
			put_other(&(*ret)[(*ret_n)++], x->store, x, l);
	return true;
}

void link__others_free(struct link__other *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		link__store_unref(list[i].store);
	mem_free(list);
}
