// Values that pass between a component and who calls it: handles stand for the component's objects (relay.h). And what a trap becomes.
#include "relay.h"

// ---- handles in values -------------------------------------------------------------------------------------------------------------------------

struct passing {
	struct serve_relay *relay;
	struct seam_call *call;
	struct relay_guest *guest;
	struct canon_carrier carrier;
	bool differ, in_use;
	const char *full;  // why one can't pass; in_use: for another reason than that there is no room
};

// What an object has that moves, by the host's types.
static bool carry(struct canon_carrier *by, struct canon_instance *from, struct canon_instance *to, const struct wit_type *t, uint32_t *number)
{
	struct passing *p = CONTAINER_OF(by, struct passing, carrier);
	const char *why;
	if (!*number || serve__relay_stream(p->guest, from, to, t, NULL, number, &why))
		return true;
	p->full = why;
	return false;
}

// One that can't pass is dropped, and so is what comes after it.
static void move(struct passing *p, struct canon_instance *from, struct canon_instance *to, const struct wit_type *t, uint32_t *rep)
{
	uint32_t given = *rep;
	*rep = 0;
	if (p->full) {
		canon_host_resource_drop(from, given);
		return;
	}
	p->carrier.stream = carry;
	switch (seam_resource_move(from, seam_imported(p->call->binding->interface, t->resource), given, to, &p->carrier, rep)) {
	case CANON_MOVED:
		break;
	case CANON_MOVE_IN_USE:
		p->in_use = true;
		p->full = serve__relay_in_use;
		break;
	case CANON_MOVE_NO_ROOM:
		if (!p->full)
			p->full = canon_handles_full(to);
		break;
	}
}

bool serve__relay_has_streams(const struct seam_interface *of, const struct seam_func *f)
{
	const struct wit_type *params = &f->type->params, *result = f->type->result;
	return (params->flags | (result ? result->flags : 0)) & WIT_HAS_STREAM || seam_carries_streams(of, params) || (result && seam_carries_streams(of, result));
}

static bool find_owner(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct passing *p = ctx;
	if (serve__relay_is_stream(t) || serve__relay_is_imported(t))
		return true;
	const struct relay_handle *h = canon_host_resource_get(p->call->canon, serve__relay_class(p->relay, t)->type, *rep);
	BUG_ON(!h);  // by its type it is one of ours
	p->differ |= p->guest && p->guest != h->guest;
	p->guest = h->guest;
	return !p->differ;
}

enum seam_result serve__relay_of_handles(struct serve_relay *r, struct seam_call *c, const void *args, struct relay_guest **ret)
{
	struct passing p = {.relay = r, .call = c};
	bool ok = seam_value_handles(&c->func->type->params, UNCONST(args), find_owner, &p);
	*ret = p.guest;
	return ok ? SEAM_OK : seam_trap(c, "%s: the handles are of different instances of component %s", c->func->name, r->service->name);
}

// From an instance of one side to that of the other.
static void pass_stream(struct passing *p, struct canon_instance *from, struct canon_instance *to, const struct wit_type *t, uint32_t *number)
{
	const char *why;
	if (p->full) {
		canon_end_drop_number(from, *number);
		*number = 0;
	} else if (!serve__relay_stream(p->guest, from, to, t, p->call->binding->interface, number, &why)) {
		p->full = why;
	}
}

static bool take_in(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct passing *p = ctx;
	if (serve__relay_is_stream(t)) {
		pass_stream(p, p->call->canon, p->guest->slot->canon, t, rep);
		return true;
	}
	if (serve__relay_is_imported(t)) {
		move(p, p->call->canon, p->guest->slot->canon, t, rep);
		return true;
	}
	const struct wit_resource *type = serve__relay_class(p->relay, t)->type;
	struct relay_handle *h = canon_host_resource_get(p->call->canon, type, *rep);
	if (t->kind == WIT_OWN)
		h = canon_host_resource_take(p->call->canon, type, *rep);
	if (!h)
		return false;  // the same owned handle a second time, which no guest can pass
	*rep = h->rep;
	if (t->kind == WIT_OWN)
		serve__relay_forget(h);
	return true;
}

bool serve__relay_take_in(struct relay_guest *g, struct seam_call *c, void *args, const char **ret_full)
{
	struct passing p = {.relay = g->relay, .call = c, .guest = g};
	bool ok = seam_value_handles(&c->func->type->params, args, take_in, &p);
	*ret_full = ok ? p.full : NULL;
	return ok && !p.full;
}

void serve__relay_turn_away(struct seam_call *c, const void *args)
{
	serve__relay_close_outer(c->canon, &c->func->type->params, UNCONST(args));
}

static bool give_out(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct passing *p = ctx;
	if (serve__relay_is_stream(t)) {
		pass_stream(p, p->guest->slot->canon, p->call->canon, t, rep);
		return true;
	}
	if (serve__relay_is_imported(t)) {
		move(p, p->guest->slot->canon, p->call->canon, t, rep);
		return true;
	}
	struct relay_handle *h = serve__relay_handle_new(p->guest, t, *rep);
	*rep = 0;  // nothing of the caller's, until it is
	if (!h)
		serve__relay_lose(p->guest);
	if (h && !p->full && seam_resource_new(p->call, serve__relay_class(p->relay, t), h, rep))
		return true;
	if (!p->full)
		p->full = h ? canon_handles_full(p->call->canon) : "the host is out of memory";
	if (h)
		serve__relay_drop(h);
	return true;
}

enum seam_result serve__relay_give_out(struct relay_guest *g, struct seam_call *c, void *ret)
{
	const struct wit_type *result = c->func->type->result;
	struct passing p = {.relay = g->relay, .call = c, .guest = g};
	if (result)
		seam_value_handles(result, ret, give_out, &p);
	if (!p.full)
		return SEAM_OK;
	if (!p.in_use)
		return seam_trap(c, "%s: what component %s returns can't pass: %s", c->func->name, g->relay->service->name, p.full);
	serve__relay_close_outer(c->canon, result, ret);  // what the caller has of it already
	return serve__relay_fails(g->relay, c, p.full, ret);
}

// ---- what a trap becomes -------------------------------------------------------------------------------------------------------------------------

enum seam_result serve__relay_fails(struct serve_relay *r, struct seam_call *c, const char *why, void *ret)
{
	char text[300];
	snprintf(text, sizeof text, "component %s: %s", r->service->name, why);
	serve__log(r->service->process->config, SERVE_LOG_WARN, "%s of %s: %s", c->func->name, r->service->app, text);
	return seam_put_error(c, serve__relay_errors, SERVE_RELAY_ERRORS, slice_str(text), ret) ? SEAM_OK : seam_trap(c, "%s: %s", c->func->name, text);
}

// An interface that was asked for while this version was on its way is found at its first call.
const struct comp_export_func *serve__relay_find(const struct relay_guest *g, const struct relay_func *f, struct err *e)
{
	struct serve_version *v = g->slot->version;
	const struct comp_export_func *x = serve__relay_export(v, f);
	return x || !serve__relay_fits(g->relay->service, v, e) ? x : serve__relay_export(v, f);
}
