// Exceptions: what throws them, and how they come to the labels of a try_table. Nothing here costs where none is thrown, but a store at the entry of a
// function with handlers.
//
// A try_table is a region of code with clauses; edges say where which region is the innermost (code.h). The runtime walks the frames, and where a clause
// fits it restores rsp, rbp, the preserved registers, r13 and r14 of the function, copies the exception's values to the frame's bottom (rsp) and goes on
// at the clause's code, with a reference to the exception in rax where the clause gives one. All that the label expects below its values lies in slots
// since its block began; pins that calls don't preserve have their values at home.
#include "baseline_int.h"

static bool is_nomem(struct comp *c, const void *p)
{
	if (!p)
		baseline__fail_nomem(c);
	return !p;
}

// ---- throwing ---------------------------------------------------------------------------------------------------
static uint32_t cells_of(const struct wasm_func_type *t)
{
	uint32_t cells = 0;
	for (uint32_t i = 0; i < t->nparams; i++)
		cells += abi_cells(t->params[i].kind);
	return cells;
}

// Room for values at the frame's bottom.
void baseline__reserve_values(struct comp *c, const struct wasm_func_type *t)
{
	baseline__reserve(c, cells_of(t));
}

static void dead_from_here(struct comp *c)
{
	baseline__truncate(c, c->s->ctl.ptr[c->s->ctl.len - 1].height);
	c->unreachable = true;
}

void baseline__emit_throw(struct comp *c, unsigned w, unsigned arg)
{
	struct x64 *a = &c->a;
	uint32_t tag = wasm_read_u32(&c->p), at = 0;
	const struct wasm_func_type *t = wasm_tag_type_of(c->m, tag);
	baseline__reserve_values(c, t);
	baseline__map_prepare(c, c->sp - t->nparams);
	baseline__save_pins(c);
	for (uint32_t i = 0; i < t->nparams; i++) {
		x64_room(a, 64);
		baseline__store_cell(c, x64_at(x64_r64(RSP), (int32_t)(8 * at)), &c->stack[c->sp - t->nparams + i]);
		at += abi_cells(t->params[i].kind);
	}
	x64_room(a, 256);
	x64_mov_ri(a, RSI, tag);
	x64_mov_rr(a, W64, RDX, RSP);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	baseline__call_site(c, c->sp - t->nparams);
	x64_call_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_THROW));
	dead_from_here(c);
}

void baseline__emit_throw_ref(struct comp *c, unsigned w, unsigned arg)
{
	baseline__libcall(c, ABI_LIBCALL_THROW_REF, NULL);
	dead_from_here(c);
}

// ---- regions ----------------------------------------------------------------------------------------------------
// The label's place among the landings.
static uint32_t landing_of(struct comp *c, struct ctl *t)
{
	if (t->landing)
		return t->landing;
	struct x64_label *l = VEC_ADD(NULL, &c->s->landings, UINT32_MAX / 16);
	if (is_nomem(c, l))
		return 0;
	*l = t->label;  // a loop's is bound
	return t->landing = c->s->landings.len;
}

static void read_clause(struct comp *c)
{
	struct clause x = {.kind = *c->p++};
	if (wasm_catch_has_tag(x.kind)) {
		x.tag = wasm_read_u32(&c->p);
		baseline__reserve_values(c, wasm_tag_type_of(c->m, x.tag));
	}
	// Labels count from outside of the try_table, whose own is the last.
	struct ctl *t = &c->s->ctl.ptr[c->s->ctl.len - 2 - wasm_read_u32(&c->p)];
	uint32_t arity = t->kind == CTL_LOOP ? t->nparams : t->nresults;
	x.returns = t->kind == CTL_FUNC;
	x.arrival = t->kind != CTL_LOOP && arity == 1 ? ARRIVE_REGISTER : x.returns ? ARRIVE_RESULTS
																				: ARRIVE_SLOTS;
	x.height = t->height;
	x.ref = t->height + (wasm_catch_has_tag(x.kind) ? wasm_tag_type_of(c->m, x.tag)->nparams : 0);
	x.landing = x.returns ? 0 : landing_of(c, t);
	struct clause *to = VEC_ADD(NULL, &c->s->clauses, UINT32_MAX / 64);
	if (!is_nomem(c, to))
		*to = x;
}

void baseline__emit_try_table(struct comp *c, unsigned w, unsigned arg)
{
	baseline__flush(c, 0);
	struct ctl *t = baseline__enter(c, CTL_TRY);
	struct region *r = t ? baseline__region_begin(c, t) : NULL;
	if (!r)
		return;
	uint32_t n = wasm_read_u32(&c->p);
	r->first = c->s->clauses.len;
	r->n = n;
	for (; n && !c->failed; n--)
		read_clause(c);
}

// ---- landings ---------------------------------------------------------------------------------------------------
static void arrive_in_register(struct comp *c, const struct clause *x, const struct wasm_func_type *t)
{
	if (t->nparams) {
		unsigned kind = t->params[0].kind;
		baseline__load(c, kind, in_vector(kind) ? XMM0 : RAX, x64_at(x64_r64(RSP), 0));
	}
}

// To the slots of the label, or to the array of the function's results, which has cells as the exception has them.
static void arrive_in_memory(struct comp *c, const struct clause *x, const struct wasm_func_type *t)
{
	struct x64 *a = &c->a;
	uint32_t at = 0;
	bool results = x->arrival == ARRIVE_RESULTS;
	if (results)
		x64_mov_rm(a, W64, RDX, at_rbp(c->results_home));
	for (uint32_t i = 0; i < t->nparams; i++) {
		unsigned kind = t->params[i].kind;
		struct x64_mem to = results ? x64_at(x64_r64(RDX), (int32_t)(8 * at)) : slot_of(c, x->height + i);
		x64_room(a, 64);
		baseline__copy_to_cell(c, kind == WASM_V128 ? WASM_V128 : WASM_I64, to, x64_at(x64_r64(RSP), (int32_t)(8 * at)));
		at += abi_cells((uint8_t)kind);
	}
	if (wasm_catch_gives_ref(x->kind))
		x64_mov_mr(a, W64, results ? x64_at(x64_r64(RDX), (int32_t)(8 * at)) : slot_of(c, x->ref), RAX);
}

static void land(struct comp *c, struct clause *x)
{
	static const struct wasm_func_type none;
	const struct wasm_func_type *t = wasm_catch_has_tag(x->kind) ? wasm_tag_type_of(c->m, x->tag) : &none;
	x64_room(&c->a, 1024);
	x->at = x64_pos(&c->a);
	baseline__reload_pins(c);
	if (x->arrival == ARRIVE_REGISTER)
		arrive_in_register(c, x, t);
	else if (t->nparams || wasm_catch_gives_ref(x->kind))
		arrive_in_memory(c, x, t);
	x64_room(&c->a, 256);
	if (x->returns)
		baseline__epilogue(c);
	else
		x64_jmp(&c->a, &c->s->landings.ptr[x->landing - 1]);
}

void baseline__landings(struct comp *c)
{
	for (uint32_t i = 0; i < c->s->clauses.len && !c->failed; i++)
		land(c, &c->s->clauses.ptr[i]);
}

bool baseline__handlers_put(struct comp *c)
{
	const struct baseline_scratch *s = c->s;
	struct buf *out = &c->out->handlers;
	if (!s->clauses.len)
		return true;
	const uint32_t counts[] = {s->edges.len, s->regions.len};
	bool ok = buf_put(out, counts, sizeof counts) && buf_put(out, s->edges.ptr, s->edges.len * sizeof *s->edges.ptr) &&
		buf_put(out, s->regions.ptr, s->regions.len * sizeof *s->regions.ptr);
	for (uint32_t i = 0; ok && i < s->clauses.len; i++) {
		const uint32_t words[] = {s->clauses.ptr[i].kind, s->clauses.ptr[i].tag, s->clauses.ptr[i].at};
		ok = buf_put(out, words, sizeof words);
	}
	return ok;
}
_Static_assert(sizeof(struct edge) == 8 && sizeof(struct region) == 12, "ORDER region");
