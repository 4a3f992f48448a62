// Modules and instances: linking, and the two halves of instantiation. Allocation has no effect that a guest could see; initialisation
// follows the specification's order: globals, tables' initial values, element segments, data segments, start function.
#include "vm_int.h"

// ---- modules -----------------------------------------------------------------------------------------------------
bool vm_module_new(const struct wasm_module *m, struct code_object *code, void (*drop)(void *arg), void *drop_arg, struct vm_module **ret, struct err *e)
{
	struct vm_module *mod = mem_zalloc(sizeof *mod);
	uint32_t *ids = mem_zalloc(sizeof *ids * ((size_t)m->ntypes + 1));
	if (!mod || !ids) {
		mem_free(mod);
		mem_free(ids);
		return err_nomem(e);
	}
	*mod = (struct vm_module){.m = m, .code = code_object_ref(code), .type_ids = ids, .refs = 1, .drop = drop, .drop_arg = drop_arg};
	for (uint32_t i = 0; i < m->ntypes; i++)
		ids[i] = m->types[i].id;
	abi_layout(m, &mod->layout);
	*ret = mod;
	return true;
}

struct vm_module *vm_module_ref(struct vm_module *m)
{
	__atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void vm_module_unref(struct vm_module *m)
{
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	code_object_unref(m->code);
	if (m->drop)
		m->drop(m->drop_arg);
	mem_free(m->type_ids);
	mem_free(m);
}

// ---- versions of code --------------------------------------------------------------------------------------------
// Under the lock: between reading the pointer and counting the reference nobody may let the object go.
void vm_module_set_code(struct vm_module *m, struct code_object *code)
{
	code_object_ref(code);
	vm__process_lock();
	struct code_object *old = m->code;
	m->code = code;
	__atomic_store_n(&m->code_version, m->code_version + 1, __ATOMIC_RELAXED);
	vm__process_unlock();
	code_object_unref(old);
}

static void take_code(struct vm_instance *inst)
{
	struct code_object *old = inst->code;
	vm__process_lock();
	inst->code = code_object_ref(inst->mod->code);
	inst->code_version = inst->mod->code_version;
	vm__process_unlock();
	code_object_unref(old);
}

static const void *code_of(const struct vm_instance *inst, uint32_t func)
{
	return code_object_func(inst->code, func - inst->mod->m->nimported_funcs);
}

static void link_imported_funcs(struct vm_instance *inst)
{
	struct abi_import *imports = (struct abi_import *)((uint8_t *)inst->ctx + inst->mod->layout.imported_funcs);
	for (uint32_t i = 0; i < inst->mod->m->nimported_funcs; i++) {
		const struct abi_func *f = &inst->store->funcs[inst->func_refs[i]];
		imports[i] = (struct abi_import){f->code, f->vmctx};
	}
}

// Code pointers stand in the store's function array and, of functions that are imported, in the importers' vmctx: nowhere else. Images and
// references hold indices.
void vm__relink_slow(struct vm_store *st)
{
	for (struct vm_instance *i = st->instances; i; i = i->next) {
		if (i->code_version == __atomic_load_n(&i->mod->code_version, __ATOMIC_RELAXED))
			continue;
		take_code(i);
		for (uint32_t f = i->mod->m->nimported_funcs; f < i->mod->m->nfuncs; f++)
			st->funcs[i->func_refs[f]].code = code_of(i, f);
	}
	for (struct vm_instance *i = st->instances; i; i = i->next)
		link_imported_funcs(i);
}

// ---- import checks -----------------------------------------------------------------------------------------------
static bool func_fits(const struct vm_store *st, const struct vm_module *mod, const struct wasm_import *im, struct vm_extern x)
{
	return x.func < st->nfuncs && st->funcs[x.func].type == mod->type_ids[mod->m->funcs[im->index].type];
}

static bool table_fits(const struct vm_module *mod, const struct wasm_import *im, const struct vm_table *t)
{
	const struct wasm_table_type *want = &mod->m->tables[im->index].type;
	struct wasm_limits have = t->type.limits;
	have.min = t->abi.length;
	// Tables are read and written: the element types must be the same.
	return wasm_limits_match(&have, &want->limits) && wasm_valtype_matches(t->m, t->type.elem, mod->m, want->elem) &&
		wasm_valtype_matches(mod->m, want->elem, t->m, t->type.elem);
}

static bool memory_fits(const struct vm_module *mod, const struct wasm_import *im, const struct vm_memory *m)
{
	const struct wasm_memory_type *want = &mod->m->memories[im->index];
	struct wasm_limits have = m->type.limits;
	unsigned have_shift = m->type.page_shift ? m->type.page_shift : 16, want_shift = want->page_shift ? want->page_shift : 16;
	have.min = m->abi.length >> have_shift;
	return have_shift == want_shift && wasm_limits_match(&have, &want->limits);
}

static bool global_fits(const struct vm_module *mod, const struct wasm_import *im, const struct vm_global *g)
{
	const struct wasm_global_type *want = &mod->m->globals[im->index].type;
	if (g->type.mutable != want->mutable || !wasm_valtype_matches(g->m, g->type.type, mod->m, want->type))
		return false;
	return !want->mutable || wasm_valtype_matches(mod->m, want->type, g->m, g->type.type);
}

static bool import_fits(const struct vm_store *st, const struct vm_module *mod, const struct wasm_import *im, struct vm_extern x)
{
	if (x.kind != im->kind)
		return false;
	switch (x.kind) {
	case WASM_EXTERN_FUNC:
		return func_fits(st, mod, im, x);
	case WASM_EXTERN_TABLE:
		return table_fits(mod, im, x.table);
	case WASM_EXTERN_MEMORY:
		return memory_fits(mod, im, x.memory);
	case WASM_EXTERN_GLOBAL:
		return global_fits(mod, im, x.global);
	default:
		return false;
	}
}

bool vm_imports_check(const struct vm_store *st, const struct vm_module *mod, const struct vm_extern *imports, uint32_t nimports, struct err *e)
{
	static const char *const kinds[] = {"function", "table", "memory", "global", "tag"};
	const struct wasm_module *m = mod->m;
	if (nimports != m->nimports)
		return err_set(e, ERR_LINK, "unknown import: the module has %u imports, %u were given", m->nimports, nimports);
	for (uint32_t i = 0; i < nimports; i++) {
		const struct wasm_import *im = &m->imports[i];
		if (import_fits(st, mod, im, imports[i]))
			continue;
		return err_set_at(e, ERR_LINK, im->offset + m->base_offset, "incompatible import type: '%.*s' '%.*s' is imported as a %s%s", SLICE_ARGS(im->module),
			SLICE_ARGS(im->name), kinds[im->kind], imports[i].kind == im->kind ? " of another type" : "");
	}
	return true;
}

// ---- allocation --------------------------------------------------------------------------------------------------
static void *at(struct abi_vmctx *ctx, uint32_t offset)
{
	return (uint8_t *)ctx + offset;
}

static bool allocate_arrays(struct vm_instance *inst, const struct wasm_module *m)
{
	struct arena *a = &inst->store->arena;
	inst->func_refs = ARENA_ARRAY(a, uint32_t, (size_t)m->nfuncs + 1);
	inst->memories = ARENA_ARRAY(a, struct vm_memory *, (size_t)m->nmemories + 1);
	inst->tables = ARENA_ARRAY(a, struct vm_table *, (size_t)m->ntables + 1);
	inst->globals = ARENA_ARRAY(a, struct vm_global *, (size_t)m->nglobals + 1);
	inst->dropped_size = (m->nelems + m->ndata + 7) / 8;
	inst->dropped = ARENA_ARRAY(a, uint8_t, (size_t)inst->dropped_size + 1);
	inst->ctx = arena_zalloc(a, inst->mod->layout.size, 16);
	return inst->func_refs && inst->memories && inst->tables && inst->globals && inst->dropped && inst->ctx;
}

static void link_imports(struct vm_instance *inst, const struct vm_extern *imports)
{
	const struct wasm_module *m = inst->mod->m;
	const struct abi_layout *l = &inst->mod->layout;
	for (uint32_t i = 0; i < m->nimports; i++) {
		uint32_t index = m->imports[i].index;
		switch (imports[i].kind) {
		case WASM_EXTERN_FUNC:
			inst->func_refs[index] = imports[i].func;
			break;
		case WASM_EXTERN_TABLE:
			inst->tables[index] = imports[i].table;
			break;
		case WASM_EXTERN_MEMORY:
			inst->memories[index] = imports[i].memory;
			break;
		case WASM_EXTERN_GLOBAL:
			inst->globals[index] = imports[i].global;
			((void **)at(inst->ctx, l->imported_globals))[index] = imports[i].global->cell;
			break;
		default:
			break;
		}
	}
	link_imported_funcs(inst);
}

static bool make_own(struct vm_instance *inst, struct err *e)
{
	struct vm_store *st = inst->store;
	const struct wasm_module *m = inst->mod->m;
	for (uint32_t i = m->nimported_memories; i < m->nmemories; i++)
		if (!vm__memory_new(st, &m->memories[i], &inst->memories[i], e))
			return false;
	for (uint32_t i = m->nimported_tables; i < m->ntables; i++)
		if (!vm_table_new(st, &m->tables[i].type, m, 0, &inst->tables[i], e))
			return false;
	uint32_t own = m->nglobals - m->nimported_globals;
	struct vm_global *globals = ARENA_ARRAY(&st->arena, struct vm_global, (size_t)own + 1);
	if (!globals)
		return err_nomem(e);
	for (uint32_t i = 0; i < own; i++) {
		globals[i] = (struct vm_global){.type = m->globals[m->nimported_globals + i].type, .m = m, .cell = at(inst->ctx, inst->mod->layout.globals + 16 * i)};
		inst->globals[m->nimported_globals + i] = &globals[i];
	}
	for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++) {
		struct abi_func f = {.code = code_of(inst, i),
			.vmctx = inst->ctx,
			.type = inst->mod->type_ids[m->funcs[i].type],
			.index = i,
			.instance = inst};
		if (!vm__func_add(st, f, &inst->func_refs[i], e))
			return false;
	}
	return true;
}

// Memories and tables that were made for an instance that could not be finished stay in the store until it is freed.
bool vm_instance_allocate(struct vm_store *st, struct vm_module *mod, const struct vm_extern *imports, uint32_t nimports, struct vm_instance **ret,
	struct err *e)
{
	const struct wasm_module *m = mod->m;
	BUG_ON(nimports != m->nimports);
	struct vm_instance *inst = ARENA_NEW(&st->arena, struct vm_instance);
	if (!inst)
		return err_nomem(e);
	inst->store = st;
	inst->mod = mod;
	if (!allocate_arrays(inst, m))
		return err_nomem(e);
	*inst->ctx = (struct abi_vmctx){.exec = &st->shard->exec,
		.funcs = st->funcs,
		.type_ids = mod->type_ids,
		.libcalls = &vm__libcalls,
		.func_refs = inst->func_refs,
		.instance = inst};
	// Linked in now, so that a growing function array finds it.
	vm_module_ref(mod);
	take_code(inst);
	*st->instances_end = inst;
	st->instances_end = &inst->next;
	link_imports(inst, imports);
	if (!make_own(inst, e))
		return false;
	for (uint32_t i = 0; i < m->nmemories; i++)
		((struct abi_memory **)at(inst->ctx, mod->layout.memories))[i] = &inst->memories[i]->abi;
	for (uint32_t i = 0; i < m->ntables; i++)
		((struct abi_table **)at(inst->ctx, mod->layout.tables))[i] = &inst->tables[i]->abi;
	if (m->nmemories) {
		inst->ctx->mem0 = &inst->memories[0]->abi;
		inst->ctx->mem0_base = inst->memories[0]->abi.base;
	}
	*ret = inst;
	return true;
}

// ---- initialisation ----------------------------------------------------------------------------------------------
#define CONST_STACK 64
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

// The stack of a valid expression may be deeper than CONST_STACK: then it lives on the heap.
bool vm__const_eval(const struct vm_instance *inst, const struct wasm_const_expr *x, uint64_t ret[2])
{
	uint64_t small[CONST_STACK][2], (*stack)[2] = small;
	if (x->nops > CONST_STACK && !(stack = mem_alloc(sizeof *stack * x->nops)))
		return false;
	uint32_t n = 0;
	for (uint32_t i = 0; i < x->nops; i++) {
		const struct wasm_const_op *op = &x->ops[i];
		uint64_t *top = stack[n++];
		top[1] = 0;
		switch (op->op) {
		case WASM_OP_GLOBAL_GET:
			vm_global_get(inst->globals[op->imm], top);
			break;
		case WASM_OP_REF_NULL:
			top[0] = 0;
			break;
		case WASM_OP_REF_FUNC:
			top[0] = inst->func_refs[op->imm];
			break;
		case WASM_OP_I32_CONST:
		case WASM_OP_F32_CONST:
			top[0] = (uint32_t)op->imm;
			break;
		case WASM_OP_I64_CONST:
		case WASM_OP_F64_CONST:
			top[0] = op->imm;
			break;
		default:
			n -= 2;
			stack[n - 1][0] = eval_binary(op->op, stack[n - 1][0], stack[n][0]);
		}
	}
	ret[0] = n ? stack[n - 1][0] : 0;
	ret[1] = n ? stack[n - 1][1] : 0;
	if (stack != small)
		mem_free(stack);
	return true;
}

static enum trap init_elem(struct vm_instance *inst, uint32_t index)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[index];
	uint64_t offset[2];
	if (!vm__const_eval(inst, &seg->offset, offset))
		return TRAP_OUT_OF_MEMORY;
	return vm__table_init(inst, inst->tables[seg->table], index, offset[0], 0, seg->count);
}

static enum trap init_data(struct vm_instance *inst, uint32_t index)
{
	const struct wasm_data *seg = &inst->mod->m->data[index];
	uint64_t offset[2];
	if (!vm__const_eval(inst, &seg->offset, offset))
		return TRAP_OUT_OF_MEMORY;
	uint8_t *to = vm_memory_map(&inst->memories[seg->memory]->abi, offset[0], seg->bytes.len);
	if (!to)
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	if (seg->bytes.len)
		memcpy(to, seg->bytes.ptr, seg->bytes.len);
	return TRAP_NONE;
}

static enum trap initialize(struct vm_instance *inst)
{
	const struct wasm_module *m = inst->mod->m;
	for (uint32_t i = m->nimported_globals; i < m->nglobals; i++) {
		uint64_t v[2];
		if (!vm__const_eval(inst, &m->globals[i].init, v))
			return TRAP_OUT_OF_MEMORY;
		vm_global_set(inst->globals[i], v);
	}
	for (uint32_t i = m->nimported_tables; i < m->ntables; i++) {
		uint64_t v[2] = {0};
		if (m->tables[i].has_init && !vm__const_eval(inst, &m->tables[i].init, v))
			return TRAP_OUT_OF_MEMORY;
		for (uint64_t k = 0; v[0] && k < inst->tables[i]->abi.length; k++)
			inst->tables[i]->abi.elems[k] = (uint32_t)v[0];
	}
	for (uint32_t i = 0; i < m->nelems; i++) {
		enum trap t = m->elems[i].mode == WASM_SEGMENT_ACTIVE ? init_elem(inst, i) : TRAP_NONE;
		if (t)
			return t;
		if (m->elems[i].mode != WASM_SEGMENT_PASSIVE)
			vm__bit_set(inst->dropped, i);
	}
	for (uint32_t i = 0; i < m->ndata; i++) {
		if (m->data[i].mode != WASM_SEGMENT_ACTIVE)
			continue;
		enum trap t = init_data(inst, i);
		if (t)
			return t;
		vm__bit_set(inst->dropped, m->nelems + i);
	}
	return TRAP_NONE;
}

enum trap vm_instance_initialize_segments(struct vm_instance *inst)
{
	struct vm_store *st = inst->store;
	if (st->poisoned)
		return TRAP_POISONED;
	vm__own(st->shard, st);
	st->segments_dirty = true;
	enum trap t = initialize(inst);
	if (t) {
		st->shard->pending = TRAP_NONE;
		vm__trap_note(st->shard, t, 0, 0, UINT64_MAX);
		vm__trap_finish(st, t);
	}
	return t;
}

enum trap vm_instance_start(struct vm_instance *inst)
{
	const struct wasm_module *m = inst->mod->m;
	return m->has_start ? vm_call(inst->store, inst->func_refs[m->start], NULL, NULL) : TRAP_NONE;
}

enum trap vm_instance_initialize(struct vm_instance *inst)
{
	enum trap t = vm_instance_initialize_segments(inst);
	return t ? t : vm_instance_start(inst);
}

// ---- looking -----------------------------------------------------------------------------------------------------
struct vm_module *vm_instance_module(const struct vm_instance *inst)
{
	return inst->mod;
}

const struct code_object *vm_instance_code(const struct vm_instance *inst)
{
	return inst->code;
}

struct vm_store *vm_instance_store(const struct vm_instance *inst)
{
	return inst->store;
}

struct abi_vmctx *vm_instance_vmctx(const struct vm_instance *inst)
{
	return inst->ctx;
}

struct vm_extern vm_instance_extern(const struct vm_instance *inst, enum wasm_extern_kind kind, uint32_t index)
{
	struct vm_extern x = {.kind = kind};
	switch (kind) {
	case WASM_EXTERN_FUNC:
		x.func = inst->func_refs[index];
		break;
	case WASM_EXTERN_TABLE:
		x.table = inst->tables[index];
		break;
	case WASM_EXTERN_MEMORY:
		x.memory = inst->memories[index];
		break;
	case WASM_EXTERN_GLOBAL:
		x.global = inst->globals[index];
		break;
	default:
		break;
	}
	return x;
}

bool vm_instance_export(const struct vm_instance *inst, struct slice name, struct vm_extern *ret)
{
	const struct wasm_export *x = wasm_module_find_export(inst->mod->m, name);
	if (!x)
		return false;
	*ret = vm_instance_extern(inst, x->kind, x->index);
	return true;
}
