// Requests that go out by a link: the same host functions, bound by a table of the link's own, by which a call knows it.
#include "wasi_int.h"
#include "wasi_provider.h"

static const void *standard_ops(const struct seam_interface *of)
{
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++)
		if (wasi_provider[i].interface == of)
			return wasi_provider[i].ops;
	return NULL;
}

static struct slice only_name(const void *list, size_t i UNUSED)
{
	const struct seam_interface *of = list;
	return slice_str(of->name);
}

static bool is_meant(const struct seam_interface *of, struct slice name)
{
	return wit_name_find(name, only_name, of, 1) == 0;
}

bool wasi_http_link_offer(struct wasi_http_link *l, struct slice interface, struct seam_offer *ret, struct err *e)
{
	if (is_meant(&wasi_http_outgoing_handler_interface, interface)) {
		memcpy(&l->ops, standard_ops(&wasi_http_outgoing_handler_interface), sizeof l->ops);
		ret->interface = &wasi_http_outgoing_handler_interface;
		ret->ops = &l->ops;
		return true;
	}
	if (is_meant(&wasi_http3_client_interface, interface)) {
		memcpy(&l->ops_3, standard_ops(&wasi_http3_client_interface), sizeof l->ops_3);
		ret->interface = &wasi_http3_client_interface;
		ret->ops = &l->ops_3;
		return true;
	}
	err_set(e, ERR_LINK, "cannot link: %.*s is not what requests go out by", SLICE_ARGS(slice_sub(interface, 0, 100)));
	return err_hint(e, "a link of type http is for wasi:http/outgoing-handler, and wasi:http/client of 0.3");
}

const struct wasi_http_link *wasi__http_link_of(const struct seam_call *c)
{
	const struct seam_binding *b = c->binding;
	if (b->ops == standard_ops(b->interface))
		return NULL;
	return b->interface == &wasi_http3_client_interface ? CONTAINER_OF(UNCONST(b->ops), struct wasi_http_link, ops_3)
														: CONTAINER_OF(UNCONST(b->ops), struct wasi_http_link, ops);
}

bool wasi__http_link_allows(const struct wasi_http_link *l, struct slice method)
{
	for (uint32_t i = 0; l && i < l->n_methods; i++)
		if (slice_eq(l->methods[i], method))
			return true;
	return !l || (l->n_methods == 0 && !(l->n_fields && slice_eq_str(method, "TRACE")));  // its answer has the fields, which the guest never sees
}

static bool is_the_links(const struct wasi_http_link *l, struct slice name)
{
	for (uint32_t i = 0; i < l->n_fields; i++)
		if (http_name_eq(l->fields[i].name, name))
			return true;
	return false;
}

bool wasi__http_link_fields(struct seam_call *c, const struct wasi_http_link *l, const struct wasi_fields *of_guest, const struct http_field **ret, uint32_t *ret_n)
{
	*ret = of_guest->list;
	*ret_n = of_guest->n;
	if (!l || l->n_fields == 0)
		return true;
	struct http_field *list = SEAM_ARRAY(c, struct http_field, of_guest->n + l->n_fields);
	uint32_t n = 0;
	if (!list)
		return false;
	for (uint32_t i = 0; i < of_guest->n; i++)
		if (!is_the_links(l, of_guest->list[i].name))
			list[n++] = of_guest->list[i];
	memcpy(list + n, l->fields, l->n_fields * sizeof *list);
	*ret = list;
	*ret_n = n + l->n_fields;
	return true;
}
