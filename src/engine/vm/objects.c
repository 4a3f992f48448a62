// What generated code calls of objects (abi/libcalls.def): makes them, and operations on whole arrays. Bounds are checked first; long operations go in pieces.
#include "heap_int.h"

static struct vm_instance *of(const struct abi_vmctx *ctx)
{
	return ctx->instance;
}

static const struct abi_object_type *type_at(const struct vm_store *st, uint32_t place)
{
	return (const struct abi_object_type *)(st->heap->base + place);
}

// ---- made ------------------------------------------------------------------------------------------------------------
// The reference as the result of a call that may trap.
static uint32_t result(struct abi_vmctx *ctx, enum trap t, uint32_t ref)
{
	ctx->exec->libcall_result = ref;
	return t ? t : vm__between_pieces(ctx);
}

uint32_t vm__call_struct_new(struct abi_vmctx *ctx, uint32_t type)
{
	struct vm__here here = VM__HERE();
	uint32_t ref = 0;
	return result(ctx, vm__struct_new(of(ctx), type, &here, &ref), ref);
}

uint32_t vm__call_array_new(struct abi_vmctx *ctx, uint32_t type, uint32_t n)
{
	struct vm__here here = VM__HERE();
	uint32_t ref = 0;
	return result(ctx, vm__array_new(of(ctx), type, n, &here, &ref), ref);
}

// ---- arrays ----------------------------------------------------------------------------------------------------------
struct array {
	uint8_t *at;  // of its first element
	uint32_t length, elem_size;
};
static enum trap find(const struct abi_vmctx *ctx, uint32_t ref, struct array *ret)
{
	const struct vm_store *st = of(ctx)->store;
	if (!ref)
		return TRAP_NULL_ARRAY_REFERENCE;
	struct abi_object *o = (struct abi_object *)vm__object_at(st, ref);
	*ret = (struct array){(uint8_t *)(o + 1), o->length, type_at(st, o->type)->elem_size};
	return TRAP_NONE;
}

static enum trap find_range(const struct abi_vmctx *ctx, uint32_t ref, uint32_t i, uint32_t n, struct array *ret)
{
	enum trap t = find(ctx, ref, ret);
	return t || vm__fits(i, n, ret->length) ? t : TRAP_ARRAY_OUT_OF_BOUNDS;
}

static enum trap fill(struct abi_vmctx *ctx, const struct array *a, uint32_t i, uint64_t cells, uint64_t n)
{
	return vm__fill_pieces(ctx, a->at + (uint64_t)i * a->elem_size, (const void *)(uintptr_t)cells, a->elem_size, n);
}

uint32_t vm__call_array_set_all(struct abi_vmctx *ctx, uint32_t ref, uint64_t cells)
{
	struct array a;
	enum trap t = find(ctx, ref, &a);
	if (!t)
		t = fill(ctx, &a, 0, cells, a.length);
	ctx->exec->libcall_result = ref;
	return t;
}

uint32_t vm__call_array_fill(struct abi_vmctx *ctx, uint32_t ref, uint32_t i, uint64_t cells, uint32_t n)
{
	struct array a;
	enum trap t = find_range(ctx, ref, i, n, &a);
	return t ? t : fill(ctx, &a, i, cells, n);
}

uint32_t vm__call_array_copy(struct abi_vmctx *ctx, uint32_t dst, uint32_t i, uint32_t src, uint32_t k, uint32_t n)
{
	struct array to, from;
	enum trap t = find_range(ctx, dst, i, n, &to);
	if (!t)
		t = find_range(ctx, src, k, n, &from);
	if (t)
		return t;
	return vm__move_pieces(ctx, to.at + (uint64_t)i * to.elem_size, from.at + (uint64_t)k * from.elem_size, (uint64_t)n * to.elem_size);
}

// ---- from data -------------------------------------------------------------------------------------------------------
static enum trap data_range(const struct vm_instance *inst, uint32_t data, uint32_t src, uint64_t size, const uint8_t **ret)
{
	struct slice bytes;
	if (!vm__data_bytes(inst, data, &bytes))
		return TRAP_OUT_OF_MEMORY;
	if (!vm__fits(src, size, bytes.len))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	*ret = bytes.ptr ? bytes.ptr + src : NULL;
	return TRAP_NONE;
}

uint32_t vm__call_array_new_data(struct abi_vmctx *ctx, uint32_t type, uint32_t data, uint32_t src, uint32_t n)
{
	struct vm__here here = VM__HERE();
	const struct vm_instance *inst = of(ctx);
	uint64_t size = (uint64_t)n * type_at(inst->store, ctx->object_types[type])->elem_size;
	const uint8_t *from;
	uint32_t ref = 0;
	enum trap t = data_range(inst, data, src, size, &from);
	if (!t)
		t = vm__array_new(inst, type, n, &here, &ref);
	if (!t && size)
		t = vm__move_pieces(ctx, vm__object_at(inst->store, ref) + sizeof(struct abi_object), from, size);
	return result(ctx, t, ref);
}

uint32_t vm__call_array_init_data(struct abi_vmctx *ctx, uint32_t data, uint32_t ref, uint32_t i, uint32_t src, uint32_t n)
{
	struct array a;
	const uint8_t *from;
	enum trap t = find_range(ctx, ref, i, n, &a);
	if (!t)
		t = data_range(of(ctx), data, src, (uint64_t)n * a.elem_size, &from);
	if (t || !n)
		return t ? t : (uint32_t)vm__between_pieces(ctx);
	return vm__move_pieces(ctx, a.at + (uint64_t)i * a.elem_size, from, (uint64_t)n * a.elem_size);
}

// ---- from elements ---------------------------------------------------------------------------------------------------
static enum trap elem_range(struct vm_instance *inst, uint32_t elem, uint32_t src, uint32_t n, const struct vm__here *here, const uint32_t **ret_made)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[elem];
	*ret_made = NULL;
	if (!vm__fits(src, n, vm__bit(inst->dropped, elem) ? 0 : seg->count))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	return seg->allocates && n ? vm__elem_refs(inst, elem, here, ret_made) : TRAP_NONE;
}

uint32_t vm__call_array_new_elem(struct abi_vmctx *ctx, uint32_t type, uint32_t elem, uint32_t src, uint32_t n)
{
	struct vm__here here = VM__HERE();
	struct vm_instance *inst = of(ctx);
	const uint32_t *made;
	uint32_t ref = 0;
	enum trap t = elem_range(inst, elem, src, n, &here, &made);
	if (!t)
		t = vm__array_new(inst, type, n, &here, &ref);
	if (!t)
		t = vm__elem_write(inst, elem, made, src, n, (uint32_t *)(vm__object_at(inst->store, ref) + sizeof(struct abi_object)));
	return result(ctx, t, ref);
}

uint32_t vm__call_array_init_elem(struct abi_vmctx *ctx, uint32_t elem, uint32_t ref, uint32_t i, uint32_t src, uint32_t n)
{
	struct vm__here here = VM__HERE();
	struct vm_instance *inst = of(ctx);
	const uint32_t *made;
	struct array a;
	struct vm__root root;
	enum trap t = find_range(ctx, ref, i, n, &a);
	if (t)
		return t;
	vm__root_push(inst->store->heap, &root, &ref, 1);
	t = elem_range(inst, elem, src, n, &here, &made);
	vm__root_pop(inst->store->heap);
	return t ? t : vm__elem_write(inst, elem, made, src, n, (uint32_t *)a.at + i);
}

// ---- functions -------------------------------------------------------------------------------------------------------
uint32_t vm__call_func_is(struct abi_vmctx *ctx, uint32_t type, uint32_t null, uint32_t func)
{
	return func ? wasm_type_is_sub(ctx->funcs[func].type, ctx->type_ids[type]) : null;
}

bool vm_ref_is(const struct vm_store *st, uint32_t ref, enum wasm_heap heap)
{
	bool is_i31 = ref & ABI_REF_I31, is_object = !(ref & ABI_REF_TAGS);
	switch (heap) {
	case WASM_HEAP_ANY:
		return ref;
	case WASM_HEAP_EQ:
		return is_i31 || (ref && is_object);
	case WASM_HEAP_I31:
		return is_i31;
	case WASM_HEAP_STRUCT:
	case WASM_HEAP_ARRAY:
		if (!ref || !is_object)
			return false;
		const struct abi_object *o = (const struct abi_object *)vm__object_at(st, ref);
		return type_at(st, o->type)->form == (heap == WASM_HEAP_STRUCT ? WASM_FORM_STRUCT : WASM_FORM_ARRAY);
	default:
		return false;
	}
}
