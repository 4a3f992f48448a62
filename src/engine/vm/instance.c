// Instances: linking, and the two halves of instantiation. Allocation has no effect that a guest could see; initialisation
// follows the specification's order: globals, tables' initial values, element segments, data segments, start function.
#include "heap_int.h"

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
	return x.func < st->nfuncs && wasm_type_is_sub(st->funcs[x.func].type, mod->type_ids[mod->m->funcs[im->index].type]);
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
	have.min = m->abi.length >> m->type.page_shift;
	return m->type.page_shift == want->page_shift && wasm_limits_match(&have, &want->limits);
}

static bool global_fits(const struct vm_module *mod, const struct wasm_import *im, const struct vm_global *g)
{
	const struct wasm_global_type *want = &mod->m->globals[im->index].type;
	if (g->type.mutable != want->mutable || !wasm_valtype_matches(g->m, g->type.type, mod->m, want->type))
		return false;
	return !want->mutable || wasm_valtype_matches(mod->m, want->type, g->m, g->type.type);
}

static bool tag_fits(const struct vm_module *mod, const struct wasm_import *im, const struct vm_tag *t)
{
	return t->type_id == mod->type_ids[mod->m->tags[im->index].type];
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
	case WASM_EXTERN_TAG:
		return tag_fits(mod, im, x.tag);
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
	inst->tags = ARENA_ARRAY(a, const struct vm_tag *, (size_t)m->ntags + 1);
	inst->dropped_size = (m->nelems + m->ndata + 7) / 8;
	inst->dropped = ARENA_ARRAY(a, uint8_t, (size_t)inst->dropped_size + 1);
	inst->ctx = arena_zalloc(a, inst->mod->layout.size, 16);
	bool allocates = false;
	for (uint32_t i = 0; i < m->nelems; i++)
		allocates |= m->elems[i].allocates;
	if (allocates && !(inst->elem_refs = ARENA_ARRAY(a, uint32_t *, m->nelems)))
		return false;
	return inst->func_refs && inst->memories && inst->tables && inst->globals && inst->tags && inst->dropped && inst->ctx;
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
		case WASM_EXTERN_TAG:
			inst->tags[index] = imports[i].tag;
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
		if (!vm_memory_new(st, &m->memories[i], &inst->memories[i], e))
			return false;
	for (uint32_t i = m->nimported_tables; i < m->ntables; i++)
		if (!vm_table_new(st, &m->tables[i].type, m, 0, &inst->tables[i], e))
			return false;
	for (uint32_t i = m->nimported_tags; i < m->ntags; i++)
		if (!vm_tag_new(st, inst->mod->type_ids[m->tags[i].type], &inst->tags[i], e))
			return false;
	uint32_t own = m->nglobals - m->nimported_globals;
	struct vm_global *globals = ARENA_ARRAY(&st->arena, struct vm_global, (size_t)own + 1);
	if (!globals)
		return err_nomem(e);
	for (uint32_t i = 0; i < own; i++) {
		globals[i] = (struct vm_global){.type = m->globals[m->nimported_globals + i].type, .m = m, .cell = at(inst->ctx, inst->mod->layout.globals + 16 * i)};
		inst->globals[m->nimported_globals + i] = &globals[i];
	}
	// One that has thousands has them at once: what growing leaves behind was half of the pages.
	if (!vm__funcs_room(st, m->nfuncs - m->nimported_funcs, e))
		return false;
	for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++) {
		st->funcs[st->nfuncs] = (struct abi_func){.code = code_of(inst, i),
			.vmctx = inst->ctx,
			.type = inst->mod->type_ids[m->funcs[i].type],
			.index = i,
			.instance = inst};
		inst->func_refs[i] = st->nfuncs++;
	}
	return true;
}

// Bytes that stand for an instance: its struct, arrays and vmctx, and what is its own; of a table also what the heap takes for the least one.
static uint64_t records_of(const struct vm_module *mod)
{
	enum { LEAST_TABLE = 32 };
	const struct wasm_module *m = mod->m;
	uint64_t names = (uint64_t)m->nmemories + m->ntables + m->nglobals + m->ntags;
	uint64_t own = (m->nfuncs - m->nimported_funcs) * sizeof(struct abi_func) + (m->nglobals - m->nimported_globals) * sizeof(struct vm_global) +
		(m->ntables - m->nimported_tables) * (sizeof(struct vm_table) + LEAST_TABLE) + (m->nmemories - m->nimported_memories) * sizeof(struct vm_memory) +
		(m->ntags - m->nimported_tags) * sizeof(struct vm_tag);
	return sizeof(struct vm_instance) + mod->layout.size + names * sizeof(void *) + (uint64_t)m->nfuncs * sizeof(uint32_t) + own +
		(m->nelems + m->ndata) / 8;
}

// Memories and tables that were made for an instance that could not be finished stay in the store until it is freed.
bool vm_instance_allocate(struct vm_store *st, struct vm_module *mod, const struct vm_extern *imports, uint32_t nimports, struct vm_instance **ret,
	struct err *e)
{
	const struct wasm_module *m = mod->m;
	BUG_ON(nimports != m->nimports);
	if (!vm_store_charge_records(st, records_of(mod), e))
		return false;
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
	if (!vm__heap_add_types(inst, e) || !make_own(inst, e))
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
static enum trap init_elem(struct vm_instance *inst, uint32_t index, struct vm__pace *pace)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[index];
	uint64_t offset[2];
	enum trap t = vm__const_eval(inst, &seg->offset, pace, NULL, offset);
	return t ? t : vm__table_init(inst, inst->tables[seg->table], index, offset[0], 0, seg->count, NULL);
}

enum { TOGETHER = 1 << 20 };
// The pages of a long segment are asked for together: a fault for each took two thirds of the time of a copy.
static enum trap copy_data(struct vm_instance *inst, uint8_t *to, struct slice bytes)
{
	enum trap t;
	uint64_t done = 0;
	do {
		uint64_t len = min_u64(bytes.len - done, TOGETHER);
		if (len >= 4 * SYS_PAGE) {
			inst->store->faults = 1;  // they are private without a fault that is counted (reset.c)
			sys_populate(to + done, len);
		}
		t = vm__move_pieces(inst->ctx, to + done, bytes.ptr + done, len);
		done += len;
	} while (!t && done < bytes.len);
	return t;
}

static enum trap init_data(struct vm_instance *inst, uint32_t index, struct vm__pace *pace)
{
	const struct wasm_data *seg = &wasm_module_data(inst->mod->m)[index];
	uint64_t offset[2];
	enum trap t = vm__const_eval(inst, &seg->offset, pace, NULL, offset);
	if (t)
		return t;
	uint8_t *to = vm_memory_map(&inst->memories[seg->memory]->abi, offset[0], seg->bytes.len);
	return to ? copy_data(inst, to, seg->bytes) : TRAP_MEMORY_OUT_OF_BOUNDS;
}

static enum trap initialize(struct vm_instance *inst)
{
	const struct wasm_module *m = inst->mod->m;
	struct vm__pace pace = {.shard = inst->store->shard};
	for (uint32_t i = m->nimported_globals; i < m->nglobals; i++) {
		uint64_t v[2];
		enum trap t = vm__const_eval(inst, &m->globals[i].init, &pace, NULL, v);
		if (t)
			return t;
		vm_global_set(inst->globals[i], v);
	}
	for (uint32_t i = m->nimported_tables; i < m->ntables; i++) {
		uint64_t v[2] = {0};
		enum trap t = m->tables[i].has_init ? vm__const_eval(inst, &m->tables[i].init, &pace, NULL, v) : TRAP_NONE;
		if (t)
			return t;
		struct abi_table *table = &inst->tables[i]->abi;
		t = v[0] ? vm__fill_pieces(inst->ctx, (uint8_t *)table->elems, v, sizeof *table->elems, table->length) : TRAP_NONE;
		if (t)
			return t;
	}
	for (uint32_t i = 0; i < m->nelems; i++) {
		enum trap t = m->elems[i].mode == WASM_SEGMENT_ACTIVE ? init_elem(inst, i, &pace) : TRAP_NONE;
		if (t)
			return t;
		if (m->elems[i].mode == WASM_SEGMENT_PASSIVE)
			continue;
		vm__bit_set(inst->dropped, i);
		vm__elem_refs_drop(inst, i);
	}
	const struct wasm_data *data = wasm_module_data(m);
	if (m->ndata && !data)
		return TRAP_OUT_OF_MEMORY;
	for (uint32_t i = 0; i < m->ndata; i++) {
		if (data[i].mode != WASM_SEGMENT_ACTIVE)
			continue;
		enum trap t = init_data(inst, i, &pace);
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
	case WASM_EXTERN_TAG:
		x.tag = inst->tags[index];
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
