// Constant expressions: what globals, tables and segments begin with.
#include "heap_int.h"

#define CONST_STACK 64
struct value {
	uint64_t cells[2];
	bool is_object;
};
struct eval {
	const struct vm_instance *inst;
	const struct vm__here *here;
	struct value *stack;
	uint32_t n;
};

static uint64_t eval_binary(uint16_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case WASM_OP_I32_ADD:
		return (uint32_t)(a + b);
	case WASM_OP_I32_SUB:
		return (uint32_t)(a - b);
	case WASM_OP_I32_MUL:
		return (uint32_t)(a * b);
	case WASM_OP_I64_ADD:
		return a + b;
	case WASM_OP_I64_SUB:
		return a - b;
	default:
		return a * b;
	}
}

// ---- objects ---------------------------------------------------------------------------------------------------------
static void store(uint8_t *object, const struct wasm_field *f, uint32_t i, const struct value *v)
{
	memcpy(object + f->offset + (uint64_t)i * f->size, v->cells, f->size);
}

// All that lies on the stack is held while the object is made; n fields or elements are taken from its top, or one value for all.
static enum trap fill_new(struct eval *x, const struct wasm_const_op *op, const struct wasm_type *t, uint32_t n)
{
	struct vm_store *st = x->inst->store;
	uint32_t few[CONST_STACK], *refs = few, nrefs = 0, ref = 0;
	bool is_struct = t->form == WASM_FORM_STRUCT, all = op->op == WASM_OP_ARRAY_NEW;
	bool has_length = all || op->op == WASM_OP_ARRAY_NEW_DEFAULT;
	uint32_t length = has_length ? (uint32_t)x->stack[x->n - 1].cells[0] : n;
	struct vm__root root;
	if (x->n > CONST_STACK && !(refs = mem_alloc(x->n * sizeof *refs)))
		return TRAP_OUT_OF_MEMORY;
	for (uint32_t i = 0; i < x->n; i++)
		if (x->stack[i].is_object)
			refs[nrefs++] = (uint32_t)x->stack[i].cells[0];
	vm__root_push(st->heap, &root, refs, nrefs);
	enum trap trap = is_struct ? vm__struct_new(x->inst, (uint32_t)op->imm, x->here, &ref)
							   : vm__array_new(x->inst, (uint32_t)op->imm, length, x->here, &ref);
	vm__root_pop(st->heap);
	if (refs != few)
		mem_free(refs);
	if (trap)
		return trap;
	x->n -= n + has_length + all;
	const struct value *from = &x->stack[x->n];
	for (uint32_t i = 0; i < n; i++)
		store(vm__object_at(st, ref), &t->fields[is_struct ? i : 0], is_struct ? 0 : i, &from[i]);
	if (all)
		trap = vm__fill_pieces(x->inst->ctx, vm__object_at(st, ref) + t->fields[0].offset, from->cells, t->fields[0].size, length);
	x->stack[x->n++] = (struct value){{ref}, true};
	return trap;
}

static enum trap eval_object(struct eval *x, const struct wasm_const_op *op)
{
	const struct wasm_type *types = x->inst->mod->m->types;  // NULL: there are none, and none is wanted
	switch (op->op) {
	case WASM_OP_REF_I31:
		x->stack[x->n - 1] = (struct value){{(uint32_t)(x->stack[x->n - 1].cells[0] << 1 | ABI_REF_I31)}, true};
		return TRAP_NONE;
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY:
		return TRAP_NONE;
	case WASM_OP_STRUCT_NEW:
		return fill_new(x, op, &types[op->imm], types[op->imm].nfields);
	case WASM_OP_ARRAY_NEW_FIXED:
		return fill_new(x, op, &types[op->imm], (uint32_t)op->high);
	default:
		return fill_new(x, op, &types[op->imm], 0);
	}
}

// ---- all -------------------------------------------------------------------------------------------------------------
static enum trap eval_op(struct eval *x, const struct wasm_const_op *op)
{
	const struct vm_instance *inst = x->inst;
	struct value *top = &x->stack[x->n];
	if (wasm_const_op_is_object(op->op))
		return eval_object(x, op);
	*top = (struct value){{op->imm}, false};
	x->n++;
	switch (op->op) {
	case WASM_OP_GLOBAL_GET:
		vm_global_get(inst->globals[op->imm], top->cells);
		top->is_object = wasm_valtype_is_object(inst->globals[op->imm]->m, inst->globals[op->imm]->type.type);
		return TRAP_NONE;
	case WASM_OP_REF_NULL:
		top->cells[0] = 0;
		return TRAP_NONE;
	case WASM_OP_REF_FUNC:
		top->cells[0] = inst->func_refs[op->imm];
		return TRAP_NONE;
	case WASM_OP_I32_CONST:
	case WASM_OP_F32_CONST:
		top->cells[0] = (uint32_t)op->imm;
		return TRAP_NONE;
	case WASM_OP_I64_CONST:
	case WASM_OP_F64_CONST:
		return TRAP_NONE;
	case WASM_OP_V128_CONST:
		top->cells[1] = op->high;
		return TRAP_NONE;
	}
	x->n -= 2;
	top[-2].cells[0] = eval_binary(op->op, top[-2].cells[0], top[-1].cells[0]);
	return TRAP_NONE;
}

// The stack of a valid expression may be deeper than CONST_STACK: then it lives on the heap.
enum trap vm__const_eval(const struct vm_instance *inst, const struct wasm_const_expr *expr, struct vm__pace *pace, const struct vm__here *here, uint64_t ret[2])
{
	struct value small[CONST_STACK];
	struct eval x = {.inst = inst, .here = here, .stack = small};
	enum trap t = TRAP_NONE;
	if (expr->nops > CONST_STACK && !(x.stack = mem_alloc(sizeof *x.stack * expr->nops)))
		return TRAP_OUT_OF_MEMORY;
	for (uint32_t i = 0; i < expr->nops && !t; i++) {
		t = eval_op(&x, &expr->ops[i]);
		if (!t && !vm__worked(pace, 4))
			t = pace->stop;
	}
	if (!t)
		memcpy(ret, x.stack[x.n - 1].cells, sizeof x.stack->cells);
	if (x.stack != small)
		mem_free(x.stack);
	return t;
}

// ---- element segments ------------------------------------------------------------------------------------------------
static uint64_t size_of(const struct vm_instance *inst, uint32_t elem)
{
	return max_u64(inst->mod->m->elems[elem].count, 1) * sizeof(uint32_t);
}

enum trap vm__elem_refs(struct vm_instance *inst, uint32_t elem, const struct vm__here *here, const uint32_t **ret)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[elem];
	if (!inst->elem_refs[elem]) {
		if (!vm__charge(inst->store, size_of(inst, elem)))
			return TRAP_OUT_OF_MEMORY;
		inst->elem_refs[elem] = mem_zalloc(size_of(inst, elem));
		if (!inst->elem_refs[elem]) {
			vm__uncharge(inst->store, size_of(inst, elem));
			return TRAP_OUT_OF_MEMORY;
		}
		struct vm__pace pace = {.shard = inst->store->shard};
		for (uint32_t i = 0; i < seg->count; i++) {
			uint64_t ref[2];
			enum trap t = vm__const_eval(inst, &seg->exprs[i], &pace, here, ref);
			if (t) {
				vm__elem_refs_drop(inst, elem);
				return t;
			}
			inst->elem_refs[elem][i] = (uint32_t)ref[0];
		}
	}
	*ret = inst->elem_refs[elem];
	return TRAP_NONE;
}

void vm__elem_refs_drop(struct vm_instance *inst, uint32_t elem)
{
	if (!inst->elem_refs || !inst->elem_refs[elem])
		return;
	mem_free(inst->elem_refs[elem]);
	inst->elem_refs[elem] = NULL;
	vm__uncharge(inst->store, size_of(inst, elem));
}

enum trap vm__elem_write(const struct vm_instance *inst, uint32_t elem, const uint32_t *made, uint64_t src, uint64_t n, uint32_t *to)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[elem];
	struct vm__pace pace = {.shard = inst->store->shard};
	for (uint64_t k = 0; k < n; k++) {
		uint64_t ref[2];
		enum trap t = TRAP_NONE;
		if (seg->funcs)
			ref[0] = inst->func_refs[seg->funcs[src + k]];
		else if (made)
			ref[0] = made[src + k];
		else
			t = vm__const_eval(inst, &seg->exprs[src + k], &pace, NULL, ref);
		if (!t && !vm__worked(&pace, 1))
			t = pace.stop;
		if (t)
			return t;
		to[k] = (uint32_t)ref[0];
	}
	return vm__between_pieces(inst->ctx);
}
