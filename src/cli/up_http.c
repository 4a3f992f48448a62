// Links of type http: what requests of a component that go out by one may be like, and what they get.
#include <ctype.h>

#include "up.h"

static bool take_ranges(struct up *u, const struct app_texts *from, const struct seam_net_rule **ret, uint32_t *ret_n, struct err *e)
{
	struct seam_net_rule *list = ARENA_ARRAY(u->arena, struct seam_net_rule, from->n + 1);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < from->n; i++)
		if (!seam_net_rule_parse(u->arena, slice_str(from->list[i].text), &list[i], e))
			return false;
	*ret = list;
	*ret_n = from->n;
	return true;
}

// An origin has a port: the scheme's own, where none is said.
static void give_port(const char *text, struct seam_net_rule *r)
{
	if (r->port == 0 && !slice_ends_with(slice_str(text), SLICE_LIT(":*")))
		r->port = r->scheme == SEAM_NET_HTTPS ? 443 : 80;
}

static bool take_hosts(struct up *u, const struct app_link *from, struct wasi_http_link *ret, struct err *e)
{
	if (!take_ranges(u, &from->hosts, &ret->to.nets, &ret->to.n_nets, e))
		return false;
	for (uint32_t i = 0; i < from->hosts.n; i++)
		give_port(from->hosts.list[i].text, UNCONST(&ret->to.nets[i]));
	return true;
}

static bool take_methods(struct up *u, const struct app_link *from, struct wasi_http_link *ret, struct err *e)
{
	struct slice *list = ARENA_ARRAY(u->arena, struct slice, from->methods.n + 1);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < from->methods.n; i++)
		list[i] = slice_str(from->methods.list[i].text);
	ret->methods = list;
	ret->n_methods = from->methods.n;
	return true;
}

// Names in small letters, as guests' fields have them.
static bool take_name(struct up *u, const struct app_pair *from, struct slice *ret, struct err *e)
{
	uint8_t *text = arena_alloc(u->arena, strlen(from->name) + 1, 1);
	if (!text)
		return err_nomem(e);
	*ret = slice_of(text, strlen(from->name));
	for (size_t i = 0; i < ret->len; i++)
		text[i] = (uint8_t)tolower((unsigned char)from->name[i]);
	return true;
}

static bool take_fields(struct up *u, const struct app *app, const struct app_link *from, struct wasi_http_link *ret, struct err *e)
{
	struct http_field *list = ARENA_ARRAY(u->arena, struct http_field, from->headers.n + 1);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < from->headers.n; i++) {
		const struct app_pair *p = &from->headers.list[i];
		if (!take_name(u, p, &list[i].name, e))
			return false;
		list[i].value = slice_str(p->value.text);
		if (!http_field_value_is_valid(list[i].value)) {  // a variable's, which is not told: it may be secret
			err_set(e, ERR_USAGE, "link %s: the value of the field %s can't stand in a request", from->item.name, p->name);
			return cli__up_at(app, p->value.at, e);
		}
	}
	ret->fields = list;
	ret->n_fields = from->headers.n;
	return true;
}

bool cli__up_http(struct up *u, const struct app *app, const struct app_component *of, const struct app_link *from, struct wasi_http_link **ret, struct err *e)
{
	struct wasi_http_link *l = *ret = ARENA_NEW(u->arena, struct wasi_http_link);
	if (!l)
		return err_nomem(e);
	l->name = from->item.name;
	l->pool = from->pool.is_given ? (uint32_t)min_u64(from->pool.value, UINT32_MAX) : 0;
	l->deadline_ns = from->deadline.value;
	return take_hosts(u, from, l, e) &&
		take_ranges(u, &of->private_ranges, &l->to.private_ranges, &l->to.n_private_ranges, e) && take_methods(u, from, l, e) && take_fields(u, app, from, l, e);
}

bool cli__up_http_is_tls(const struct wasi_http_link *l)
{
	for (uint32_t i = 0; i < l->to.n_nets; i++)
		if (l->to.nets[i].scheme == SEAM_NET_ANY || l->to.nets[i].scheme == SEAM_NET_HTTPS)
			return true;
	return false;
}

bool cli__up_http_offer(void *ctx, struct slice interface, struct seam_offer *ret, struct err *e)
{
	struct wasi_http_link *l = ctx;
	return wasi_http_link_offer(l, interface, ret, e) || err_note(e, "link %s", l->name);
}
