// Native values looked through: copied with all that they point to, and the handles in them. How deep they are wit bounds.
#include "canon_int.h"

static enum trap copy_list(const struct wit_type *elem, struct wit_list *l, size_t size, struct arena *a, struct abi_exec *exec)
{
	const void *from = l->ptr;
	size_t bytes = l->len * size;
	enum trap t = TRAP_NONE;
	if (!bytes)
		return TRAP_NONE;
	uint8_t *at = arena_alloc(a, bytes, 8);
	if (!at)
		return TRAP_OUT_OF_MEMORY;
	for (size_t done = 0; done < bytes && t == TRAP_NONE; done += VM_WORK_LOOK) {
		size_t n = min_u64(bytes - done, VM_WORK_LOOK);
		memcpy(at + done, (const uint8_t *)from + done, n);
		t = exec ? vm_work(exec, n) : TRAP_NONE;
	}
	l->ptr = (void *)at;
	for (size_t i = 0; elem && elem->flags & WIT_HAS_PTR && i < l->len && t == TRAP_NONE; i++) {
		t = exec ? vm_work(exec, VM_WORK_ITEM) : TRAP_NONE;
		t = t == TRAP_NONE ? canon_value_copy_parts(elem, at + i * size, a, exec) : t;
	}
	return t;
}

// What the value that was copied points to is copied too.
enum trap canon_value_copy_parts(const struct wit_type *t, void *native, struct arena *a, struct abi_exec *exec)
{
	uint8_t *v = native;
	enum trap r = TRAP_NONE;
	if (!(t->flags & WIT_HAS_PTR))
		return TRAP_NONE;
	if (t->kind == WIT_STRING)
		return copy_list(NULL, (struct wit_list *)(void *)v, 1, a, exec);
	if (wit_kind_is_list(t->kind))
		return copy_list(t->elem, (struct wit_list *)(void *)v, t->elem->size64, a, exec);
	if (wit_kind_is_variant(t->kind)) {
		const struct wit_type *payload = t->fields[wit_discriminant_load(v, t->discriminant_size)].type;
		return payload ? canon_value_copy_parts(payload, v + t->payload64, a, exec) : TRAP_NONE;
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n && r == TRAP_NONE; i++)
		r = canon_value_copy_parts(t->fields[i].type, v + t->fields[i].offset64, a, exec);
	for (uint32_t i = 0; t->kind == WIT_FIXED_LIST && i < t->n && r == TRAP_NONE; i++)
		r = canon_value_copy_parts(t->elem, v + i * t->elem->size64, a, exec);
	return r;
}

bool canon_value_handles(const struct wit_type *t, void *native, canon_visit *visit, void *ctx)
{
	uint8_t *v = native;
	if (!(t->flags & WIT_HAS_HANDLE))
		return true;
	if (t->kind == WIT_OWN || t->kind == WIT_BORROW || t->kind == WIT_STREAM || t->kind == WIT_FUTURE)
		return visit(ctx, t, (uint32_t *)(void *)v);
	if (wit_kind_is_variant(t->kind)) {
		const struct wit_type *payload = t->fields[wit_discriminant_load(v, t->discriminant_size)].type;
		return !payload || canon_value_handles(payload, v + t->payload64, visit, ctx);
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n; i++)
		if (!canon_value_handles(t->fields[i].type, v + t->fields[i].offset64, visit, ctx))
			return false;
	const struct wit_list *list = (const void *)v;
	uint8_t *at = wit_kind_is_list(t->kind) ? UNCONST(list->ptr) : v;
	size_t n = wit_kind_is_list(t->kind) ? list->len : t->kind == WIT_FIXED_LIST ? t->n
																				 : 0;
	for (size_t i = 0; i < n; i++)
		if (!canon_value_handles(t->elem, at + i * t->elem->size64, visit, ctx))
			return false;
	return true;
}
