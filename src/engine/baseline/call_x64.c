// Calls: of functions of this module, through imports, tables and references; tail calls; the runtime.
//
// A call that may leave the instance keeps its own vmctx in the frame, loads code and vmctx of the callee, and takes both vmctx and memory base
// back afterwards (R7). Our caller relies on r13 and r14 being preserved (R4): a tail call that is the first to leave its instance puts a record between the
// caller's frame and the new arguments, and has the callee return by TAIL_RETURN, which takes both back from there. The next ones find that return address and
// add nothing: any depth takes no more than that record.
#include "baseline_int.h"

enum callee_kind { CALLEE_DIRECT, CALLEE_IMPORT, CALLEE_INDIRECT, CALLEE_REF };
struct callee {
	enum callee_kind kind;
	uint32_t func;         // direct, import
	uint32_t type, table;  // indirect
	struct val v;          // index in the table, or reference
	const struct wasm_func_type *sig;
};

struct placing {
	struct pmove ints[8], floats[9];
	unsigned nints, nfloats;
	struct {
		uint8_t reg;
		struct val v;
	} late[16];  // from memory and constants, once the registers have moved
	unsigned nlate;
};

static void place_register(struct comp *c, struct placing *p, unsigned reg, const struct val *v)
{
	uint8_t s = baseline__reg_of(c, v);
	if (s == NO_REG) {
		p->late[p->nlate].reg = (uint8_t)reg;
		p->late[p->nlate++].v = *v;
	} else if (reg >= XMM0) {
		p->floats[p->nfloats++] = (struct pmove){(uint8_t)reg, s, v->type};
	} else {
		p->ints[p->nints++] = (struct pmove){(uint8_t)reg, s, v->type};
	}
}

static void place_all(struct comp *c, struct placing *p)
{
	baseline__parallel(c, p->ints, p->nints);
	baseline__parallel(c, p->floats, p->nfloats);
	for (unsigned i = 0; i < p->nlate; i++)
		baseline__move_to(c, p->late[i].reg, &p->late[i].v);
}

static struct abi_sig *classify(struct comp *c, const struct wasm_func_type *type, struct abi_sig *sig)
{
	struct baseline_scratch *s = c->s;
	if (s->locs_cap < type->nparams) {
		struct abi_loc *p = mem_realloc(s->locs, (type->nparams + 16) * sizeof *p);
		if (!p) {
			baseline__fail_nomem(c);
			return NULL;
		}
		s->locs = p;
		s->locs_cap = type->nparams + 16;
	}
	abi_classify(type, s->locs, sig);
	return sig;
}

// Arguments from the top of the stack to where the convention wants them; `extra` (the callee's index) to rax. Own vmctx is still in r13.
static void place_arguments(struct comp *c, const struct wasm_func_type *type, const struct abi_sig *sig, const struct val *extra)
{
	struct placing p;
	struct x64 *a = &c->a;
	const struct val *v = &c->stack[c->sp - type->nparams];
	p.nints = p.nfloats = p.nlate = 0;
	if (sig->stack_cells) {
		x64_alu_ri(a, W64, ALU_SUB, RSP, (int32_t)(8 * sig->stack_cells));
		if (sig->stack_cells > c->max_cells)
			c->max_cells = sig->stack_cells;
	}
	for (uint32_t i = 0; i < type->nparams; i++) {
		struct abi_loc l = sig->params[i];
		if (l.place == ABI_STACK) {
			x64_room(a, 64);
			baseline__store_cell(c, x64_at(x64_r64(RSP), 8 * l.index), &v[i]);
		} else {
			place_register(c, &p, l.place == ABI_GPR ? baseline__args[l.index] : (unsigned)(XMM0 + l.index), &v[i]);
		}
	}
	x64_room(a, 1024);
	if (extra)
		place_register(c, &p, RAX, extra);
	place_all(c, &p);
}

// The hidden parameter: `at`, or our own caller's array.
static void place_results_pointer(struct comp *c, const struct abi_sig *sig, bool own)
{
	struct x64 *a = &c->a;
	bool on_stack = sig->results_pointer.place == ABI_STACK;
	uint8_t r = on_stack ? R10 : baseline__args[sig->results_pointer.index];
	if (own)
		x64_mov_rm(a, W64, r, at_rbp(c->results_home));
	else
		x64_lea(a, W64, r, x64_at(x64_r64(RSP), (int32_t)(8 * sig->stack_cells)));
	if (on_stack)
		x64_mov_mr(a, W64, x64_at(x64_r64(RSP), 8 * sig->results_pointer.index), r);
}

// rax: index in the table. Afterwards rax points to the callee's struct abi_func. r10 and r11 are free: pins were saved.
static void check_indirect(struct comp *c, const struct callee *f)
{
	struct x64 *a = &c->a;
	x64_mov_rm(a, W64, R10, at_vmctx(c->layout->tables + 8u * f->table));
	x64_alu_rm(a, W64, ALU_CMP, RAX, x64_at(x64_r64(R10), offsetof(struct abi_table, length)));
	x64_alu_rr(a, W64, ALU_SBB, R11, R11);  // all ones when below (L51)
	baseline__jcc_trap(c, CC_AE, TRAP_UNDEFINED_ELEMENT);
	x64_alu_rr(a, W64, ALU_AND, RAX, R11);
	x64_mov_rm(a, W64, R10, x64_at(x64_r64(R10), offsetof(struct abi_table, elems)));
	x64_mov_rm(a, W32, RAX, x64_at_index(x64_r64(R10), x64_r64(RAX), 2, 0));
	x64_mov_rm(a, W64, R11, at_vmctx(offsetof(struct abi_vmctx, type_ids)));
	_Static_assert(sizeof(struct abi_func) == 32, "shift by 5");
	x64_shift_ri(a, W64, SHIFT_SHL, RAX, 5);
	x64_alu_rm(a, W64, ALU_ADD, RAX, at_vmctx(offsetof(struct abi_vmctx, funcs)));
	x64_mov_rm(a, W32, R11, x64_at(x64_r64(R11), (int32_t)(4 * f->type)));
	x64_alu_rm(a, W32, ALU_CMP, R11, x64_at(x64_r64(RAX), offsetof(struct abi_func, type)));
	// Null is function 0, whose type is none: the slow path tells the two apart. A type that is not final may have others below it.
	bool is_final = c->m->types[f->type].is_final;
	struct ool *o = baseline__ool(c, is_final ? OOL_INDIRECT : OOL_INDIRECT_SUB);
	o->type = f->type;
	x64_jcc(a, CC_NE, &o->from);
	if (!is_final)
		x64_bind(a, &o->back);
}

// Code in rax and vmctx in r10.
static void load_callee(struct comp *c, const struct callee *f)
{
	struct x64 *a = &c->a;
	if (f->kind == CALLEE_IMPORT) {
		uint32_t at = c->layout->imported_funcs + 16u * f->func;
		x64_mov_rm(a, W64, RAX, at_vmctx(at + offsetof(struct abi_import, code)));
		x64_mov_rm(a, W64, R10, at_vmctx(at + offsetof(struct abi_import, vmctx)));
		return;
	}
	if (f->kind == CALLEE_INDIRECT) {
		check_indirect(c, f);
	} else {
		x64_test_rr(a, W32, RAX, RAX);
		baseline__jcc_trap(c, CC_E, TRAP_NULL_FUNCTION_REFERENCE);
		x64_shift_ri(a, W64, SHIFT_SHL, RAX, 5);
		x64_alu_rm(a, W64, ALU_ADD, RAX, at_vmctx(offsetof(struct abi_vmctx, funcs)));
	}
	x64_mov_rm(a, W64, R10, x64_at(x64_r64(RAX), offsetof(struct abi_func, vmctx)));
	x64_mov_rm(a, W64, RAX, x64_at(x64_r64(RAX), offsetof(struct abi_func, code)));
}

static void call_foreign(struct comp *c, uint32_t height)
{
	struct x64 *a = &c->a;
	x64_mov_mr(a, W64, at_rbp(c->save_vmctx), R13);
	x64_mov_rr(a, W64, R13, R10);
	x64_mov_rm(a, W64, R14, at_vmctx(offsetof(struct abi_vmctx, mem0_base)));
	baseline__call_site(c, height);
	x64_call_r(a, RAX);
	x64_mov_rm(a, W64, R13, at_rbp(c->save_vmctx));
	x64_mov_rm(a, W64, R14, at_vmctx(offsetof(struct abi_vmctx, mem0_base)));
}

static void reloc(struct comp *c, uint32_t at, uint32_t func)
{
	struct baseline_reloc *r = VEC_ADD(NULL, &c->out->relocs, UINT32_MAX / 16);
	if (!r)
		baseline__fail_nomem(c);
	else
		*r = (struct baseline_reloc){at, func};
}

static void drop_caches(struct comp *c)
{
	while (c->cached)
		drop_cache(c, (unsigned)__builtin_ctz(c->cached));
}

static void push_call_results(struct comp *c, const struct wasm_func_type *type)
{
	if (type->nresults == 1) {
		unsigned kind = kind_of(c, type->results[0]);
		baseline__finish(c, kind, in_vector(kind) ? XMM0 : RAX);
		return;
	}
	// From the area at the frame's bottom, which the next call may use again, to the slots.
	uint32_t at = 0;
	for (uint32_t i = 0; i < type->nresults; i++) {
		unsigned kind = kind_of(c, type->results[i]);
		x64_room(&c->a, 64);
		push_slot(c, kind);
		baseline__copy_to_cell(c, kind == WASM_V128 ? WASM_V128 : WASM_I64, slot_of(c, c->sp - 1), x64_at(x64_r64(RSP), (int32_t)(8 * at)));
		at += abi_cells((uint8_t)kind);
	}
	if (at > c->max_results)
		c->max_results = at;
}

static void emit_call(struct comp *c, struct callee *f)
{
	struct abi_sig sig;
	const struct wasm_func_type *type = f->sig;
	bool has_value = f->kind == CALLEE_INDIRECT || f->kind == CALLEE_REF;
	bool returns = !baseline__next_is(c, WASM_OP_UNREACHABLE);
	if (!classify(c, type, &sig))
		return;
	if (returns || c->has_objects)
		baseline__spill_temps_below(c, c->sp - type->nparams);
	baseline__map_prepare(c, c->sp - type->nparams);
	if (returns || c->info->has_handlers)
		baseline__save_pins(c);
	place_arguments(c, type, &sig, has_value ? &f->v : NULL);
	baseline__truncate(c, c->sp - type->nparams);
	if (sig.by_pointer)
		place_results_pointer(c, &sig, false);
	if (f->kind == CALLEE_DIRECT) {
		baseline__call_site(c, c->sp);
		reloc(c, x64_call_rel(&c->a), f->func);
	} else {
		load_callee(c, f);
		call_foreign(c, c->sp);
	}
	drop_caches(c);
	c->lock = 0;
	if (!returns)
		return;
	baseline__reload_pins(c);
	push_call_results(c, type);
}

// ---- tail calls -------------------------------------------------------------------------------------------------
// The new arguments lie at rsp and go to rbp + area; below them the return address. Two registers hold that and what rbp becomes.
static void move_arguments(struct comp *c, uint32_t cells, int32_t area, unsigned ret, unsigned rbp)
{
	struct x64 *a = &c->a;
	// From the last one down: the destination lies above the source.
	for (uint32_t i = cells; i--;) {
		x64_room(a, 64);
		x64_movs_rm(a, W64, XMM15, x64_at(x64_r64(RSP), (int32_t)(8 * i)));
		x64_movs_mr(a, W64, at_rbp(area + (int32_t)(8 * i)), XMM15);
	}
	x64_mov_mr(a, W64, at_rbp(area - 8), ret);
	x64_lea(a, W64, RSP, at_rbp(area - 8));
	x64_mov_rr(a, W64, RBP, rbp);
}

// They take the place of our own, which ends where it ended.
static void move_frame(struct comp *c, uint32_t cells)
{
	struct x64 *a = &c->a;
	baseline__restore_preserved(c);
	if (!cells && !c->cells) {
		x64_leave(a);
		return;
	}
	x64_mov_rm(a, W64, R10, at_rbp(8));
	x64_mov_rm(a, W64, R11, at_rbp(0));
	move_arguments(c, cells, 16 + 8 * ((int32_t)c->cells - (int32_t)cells), R10, R11);
}

// The same, with r13 and r14 of the callee, whose code is in rax and vmctx in r10. The first time on the way our own place ends with the record.
static void leave_instance(struct comp *c, uint32_t cells)
{
	enum { RECORD = 16 };
	struct x64 *a = &c->a;
	struct x64_label again = X64_LABEL, done = X64_LABEL;
	int32_t area = 16 + 8 * ((int32_t)c->cells - (int32_t)cells), record = 16 + 8 * (int32_t)c->cells - RECORD;
	baseline__restore_preserved(c);
	x64_mov_rm(a, W64, R11, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_mov_rm(a, W64, R11, x64_at(x64_r64(R11), 8 * ABI_LIBCALL_TAIL_RETURN));
	x64_mov_rm(a, W64, R14, at_rbp(8));
	x64_alu_rr(a, W64, ALU_CMP, R14, R11);
	x64_jcc(a, CC_E, &again);
	// Without parameters of our own the record lies where the frame's two words are.
	x64_mov_mr(a, W64, at_rbp(record + 8), R14);
	x64_mov_rm(a, W64, R14, at_rbp(0));
	x64_mov_mr(a, W64, at_rbp(record), R13);
	x64_mov_rr(a, W64, R13, R10);
	move_arguments(c, cells, area - RECORD, R11, R14);
	x64_jmp(a, &done);
	x64_bind(a, &again);
	x64_room(a, 256);
	x64_mov_rm(a, W64, R14, at_rbp(0));
	x64_mov_rr(a, W64, R13, R10);
	move_arguments(c, cells, area, R11, R14);
	x64_bind(a, &done);
	x64_room(a, 256);
	x64_mov_rm(a, W64, R14, at_vmctx(offsetof(struct abi_vmctx, mem0_base)));
	x64_jmp_r(a, RAX);
}

static void emit_tail_call(struct comp *c, struct callee *f)
{
	struct abi_sig sig;
	struct x64 *a = &c->a;
	const struct wasm_func_type *type = f->sig;
	bool has_value = f->kind == CALLEE_INDIRECT || f->kind == CALLEE_REF;
	if (!classify(c, type, &sig))
		return;
	place_arguments(c, type, &sig, has_value ? &f->v : NULL);
	if (sig.by_pointer)
		place_results_pointer(c, &sig, true);
	if (f->kind == CALLEE_DIRECT) {
		move_frame(c, sig.stack_cells);
		reloc(c, x64_jmp_rel(a), f->func);
	} else {
		struct x64_label same = X64_LABEL;
		load_callee(c, f);
		x64_alu_rr(a, W64, ALU_CMP, R10, R13);
		x64_jcc(a, CC_E, &same);
		leave_instance(c, sig.stack_cells);
		x64_bind(a, &same);
		x64_room(a, 256);
		// move_frame needs r10, r11; rax stays.
		move_frame(c, sig.stack_cells);
		x64_jmp_r(a, RAX);
	}
	baseline__truncate(c, c->s->ctl.ptr[c->s->ctl.len - 1].height);
	c->unreachable = true;
}

static void call_or_tail(struct comp *c, struct callee *f, bool tail)
{
	if (tail)
		emit_tail_call(c, f);
	else
		emit_call(c, f);
}

void baseline__emit_call(struct comp *c, unsigned w, unsigned tail)
{
	struct callee f = {.func = wasm_read_u32(&c->p)};
	f.kind = f.func < c->m->nimported_funcs ? CALLEE_IMPORT : CALLEE_DIRECT;
	f.sig = wasm_func_type_of(c->m, f.func);
	call_or_tail(c, &f, tail);
}

void baseline__emit_call_indirect(struct comp *c, unsigned w, unsigned tail)
{
	struct callee f = {.kind = CALLEE_INDIRECT};
	f.type = wasm_read_u32(&c->p);
	f.table = wasm_read_u32(&c->p);
	f.sig = &c->m->types[f.type].func;
	f.v = pop(c);
	call_or_tail(c, &f, tail);
}

void baseline__emit_call_ref(struct comp *c, unsigned w, unsigned tail)
{
	struct callee f = {.kind = CALLEE_REF};
	f.type = wasm_read_u32(&c->p);
	f.sig = &c->m->types[f.type].func;
	f.v = pop(c);
	call_or_tail(c, &f, tail);
}

// ---- the runtime ------------------------------------------------------------------------------------------------
static void check_argument(const struct val *v, uint8_t kind)
{
	// An i32 has a zero upper half (R5), so that it may be passed where 64 bits are wanted.
	BUG_ON(in_vector(v->type) || kind == ABI_IMM || (kind == ABI_I32 && width_of(v->type) == W64));
}

// By its row (libcalls.def): vmctx, the immediates, then as many values from the top of the stack as are left. A result is in rax. Traps if the
// function may.
void baseline__libcall(struct comp *c, enum abi_libcall id, const uint32_t *imms)
{
	const struct abi_libcall_row *row = &abi_libcall_rows[id];
	struct placing p;
	struct x64 *a = &c->a;
	unsigned first = 1;
	p.nints = p.nfloats = p.nlate = 0;
	while (first < row->nargs && row->args[first] == ABI_IMM)
		first++;
	unsigned nvalues = row->nargs - first;
	baseline__spill_temps_below(c, c->sp - nvalues);
	baseline__map_prepare(c, c->sp - nvalues);
	baseline__save_pins(c);
	for (unsigned i = 0; i < nvalues; i++) {
		const struct val *v = &c->stack[c->sp - nvalues + i];
		check_argument(v, row->args[first + i]);
		place_register(c, &p, baseline__args[first + i], v);
	}
	place_all(c, &p);
	baseline__truncate(c, c->sp - nvalues);
	for (unsigned i = 1; i < first; i++)
		x64_mov_ri(a, baseline__args[i], imms[i - 1]);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	baseline__call_site(c, c->sp);
	x64_call_m(a, x64_at(x64_r64(RAX), (int32_t)(8 * id)));
	if (row->may_trap) {
		struct ool *o = baseline__ool(c, OOL_RAISE);
		x64_test_rr(a, W32, RAX, RAX);
		x64_jcc(a, CC_NE, &o->from);
	}
	if (row->may_trap && row->result)
		baseline__libcall_result(c);
	else if (row->result == ABI_I32)
		x64_mov_rr(a, W32, RAX, RAX);  // C says nothing of the upper half, which is to be zero (R5)
	drop_caches(c);
	baseline__reload_pins(c);
	c->lock = 0;
}
