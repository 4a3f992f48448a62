// Exceptions in their legacy form: try, catch, catch_all, delegate, rethrow, over regions and landings (handlers_x64.c).
//
// A try's region is that of what is tried; its clauses are put together when it ends, since what lies in its catches may try, too. A catch begins at a
// label that only its landing jumps to, with the values in slots. In functions that rethrow, what was caught is a reference in the slot below these.
#include "baseline_int.h"

void baseline__emit_try(struct comp *c, unsigned w, unsigned arg)
{
	baseline__flush(c, 0);
	struct ctl *t = baseline__enter(c, CTL_LEGACY_TRY);
	if (t)
		baseline__region_begin(c, t);
}

static void add_catch(struct comp *c, struct ctl *t, struct clause x)
{
	struct baseline_scratch *s = c->s;
	struct caught *to = VEC_ADD(NULL, &s->caught, UINT32_MAX / 64);
	if (!to) {
		baseline__fail_nomem(c);
		return;
	}
	*to = (struct caught){.clause = x};
	if (t->last_catch)
		s->caught.ptr[t->last_catch - 1].next = s->caught.len;
	else
		t->catches = s->caught.len;
	t->last_catch = s->caught.len;
}

// What was tried, or the catch before this one, ends.
static struct ctl *end_part(struct comp *c)
{
	struct ctl *t = &c->s->ctl.ptr[c->s->ctl.len - 1];
	if (!c->unreachable) {
		baseline__merge(c, t);
		x64_jmp(&c->a, &t->label);
	}
	if (t->kind == CTL_LEGACY_TRY) {
		baseline__region_end(c, t);
		t->kind = CTL_LEGACY_CATCH;
		t->region = c->region;
	}
	baseline__truncate(c, t->height);
	c->unreachable = false;
	return t;
}

static void begin_catch(struct comp *c, enum wasm_catch kind, uint32_t tag, const struct wasm_func_type *type)
{
	struct ctl *t = end_part(c);
	struct x64_label *l = VEC_ADD(NULL, &c->s->landings, UINT32_MAX / 16);
	if (!l) {
		baseline__fail_nomem(c);
		return;
	}
	bool keeps = c->info->has_rethrow;
	struct clause x = {.kind = (uint8_t)(kind | keeps), .arrival = ARRIVE_SLOTS, .tag = tag, .landing = c->s->landings.len};
	x.height = t->height + keeps;
	x.ref = t->height;
	if (keeps)
		push_slot(c, WASM_REF);
	for (uint32_t i = 0; i < type->nparams; i++)
		push_slot(c, kind_of(c, type->params[i]));
	*l = X64_LABEL;
	baseline__bind(c, l);
	add_catch(c, t, x);
}
_Static_assert((WASM_CATCH | 1) == WASM_CATCH_REF && (WASM_CATCH_ALL | 1) == WASM_CATCH_ALL_REF, "ORDER catch");

void baseline__emit_catch(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t tag = wasm_read_u32(&c->p);
	const struct wasm_func_type *type = wasm_tag_type_of(c->m, tag);
	baseline__reserve_values(c, type);
	begin_catch(c, WASM_CATCH, tag, type);
}

void baseline__emit_catch_all(struct comp *c, unsigned w, unsigned arg)
{
	static const struct wasm_func_type none;
	begin_catch(c, WASM_CATCH_ALL, 0, &none);
}

// What is not handled here goes to what handles exceptions of the label's block: not to its catches, if it has come to these.
void baseline__emit_delegate(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t own = c->s->ctl.ptr[c->s->ctl.len - 1].own, to = c->s->ctl.ptr[c->s->ctl.len - 2 - wasm_read_u32(&c->p)].region;
	baseline__emit_end(c, 0, 0);
	c->s->regions.ptr[own - 1].around = to;
}

void baseline__emit_rethrow(struct comp *c, unsigned w, unsigned arg)
{
	const struct ctl *t = &c->s->ctl.ptr[c->s->ctl.len - 1 - wasm_read_u32(&c->p)];
	c->stack[c->sp++] = (struct val){.kind = K_SLOT, .type = WASM_REF, .local = t->height};
	baseline__emit_throw_ref(c, 0, 0);
}
