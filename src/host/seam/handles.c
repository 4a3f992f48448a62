// Native values looked through: the handles, streams and futures in them (which provider a call goes to when objects of several are there), and copies.
#include "seam_int.h"

static bool is_end(const struct wit_type *t)
{
	return t->kind == WIT_STREAM || t->kind == WIT_FUTURE;
}

static bool each_handle(const struct wit_type *t, uint8_t *v, seam_visit *visit, void *ctx)
{
	if (!(t->flags & WIT_HAS_HANDLE))
		return true;
	if (t->kind == WIT_OWN || t->kind == WIT_BORROW || is_end(t))
		return visit(ctx, t, (uint32_t *)(void *)v);
	if (wit_kind_is_variant(t->kind)) {
		uint32_t k = wit_discriminant_load(v, t->discriminant_size);
		return !t->fields[k].type || each_handle(t->fields[k].type, v + t->payload64, visit, ctx);
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n; i++)
		if (!each_handle(t->fields[i].type, v + t->fields[i].offset64, visit, ctx))
			return false;
	const struct wit_list *list = (const void *)v;
	uint8_t *at = wit_kind_is_list(t->kind) ? UNCONST(list->ptr) : v;
	size_t n = wit_kind_is_list(t->kind) ? list->len : t->kind == WIT_FIXED_LIST ? t->n
																				 : 0;
	for (size_t i = 0; i < n; i++)
		if (!each_handle(t->elem, at + i * t->elem->size64, visit, ctx))
			return false;
	return true;
}

bool seam_value_handles(const struct wit_type *type, void *value, seam_visit *visit, void *ctx)
{
	return each_handle(type, value, visit, ctx);
}

// ---- copies ----

static enum seam_result copy_parts(const struct wit_type *t, uint8_t *v, struct arena *a, struct abi_exec *exec);

static enum seam_result copy_list(const struct wit_type *elem, struct wit_list *l, size_t size, struct arena *a, struct abi_exec *exec)
{
	const void *from = l->ptr;
	size_t bytes = l->len * size;
	if (!bytes)
		return SEAM_OK;
	uint8_t *at = arena_alloc(a, bytes, 8);
	if (!at)
		return SEAM_TRAP;
	for (size_t done = 0; done < bytes; done += VM_WORK_LOOK) {
		size_t n = min_u64(bytes - done, VM_WORK_LOOK);
		memcpy(at + done, (const uint8_t *)from + done, n);
		if (vm_work(exec, n) != TRAP_NONE)
			return SEAM_KILLED;
	}
	l->ptr = (void *)at;
	enum seam_result r = SEAM_OK;
	for (size_t i = 0; elem && elem->flags & WIT_HAS_PTR && i < l->len && r == SEAM_OK; i++)
		r = vm_work(exec, VM_WORK_ITEM) == TRAP_NONE ? copy_parts(elem, at + i * size, a, exec) : SEAM_KILLED;
	return r;
}

// What the value that was copied points to is copied too.
static enum seam_result copy_parts(const struct wit_type *t, uint8_t *v, struct arena *a, struct abi_exec *exec)
{
	enum seam_result r = SEAM_OK;
	if (!(t->flags & WIT_HAS_PTR))
		return SEAM_OK;
	if (t->kind == WIT_STRING)
		return copy_list(NULL, (struct wit_list *)(void *)v, 1, a, exec);
	if (wit_kind_is_list(t->kind))
		return copy_list(t->elem, (struct wit_list *)(void *)v, t->elem->size64, a, exec);
	if (wit_kind_is_variant(t->kind)) {
		const struct wit_type *payload = t->fields[wit_discriminant_load(v, t->discriminant_size)].type;
		return payload ? copy_parts(payload, v + t->payload64, a, exec) : SEAM_OK;
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n && r == SEAM_OK; i++)
		r = copy_parts(t->fields[i].type, v + t->fields[i].offset64, a, exec);
	for (uint32_t i = 0; t->kind == WIT_FIXED_LIST && i < t->n && r == SEAM_OK; i++)
		r = copy_parts(t->elem, v + i * t->elem->size64, a, exec);
	return r;
}

enum seam_result seam_value_copy(const struct wit_type *type, const void *value, void *ret, struct arena *a, struct abi_exec *exec)
{
	memcpy(ret, value, type->size64);
	return copy_parts(type, ret, a, exec);
}

// ---- which provider ----

struct owners {
	const struct canon_instance *instance;
	const struct seam__seat *seat;
};

static bool is_of_the_same(void *ctx, const struct wit_type *type, uint32_t *rep)
{
	struct owners *o = ctx;
	if (is_end(type))
		return true;
	const struct seam__seat *seat = canon_host_resource_owner(o->instance, *rep);
	if (o->seat && seat != o->seat)
		return false;
	o->seat = seat;
	return true;
}

bool seam__local_of_handles(const struct canon_instance *i, const struct seam_func *f, const void *args, struct seam__local **at)
{
	struct owners o = {.instance = i};
	if (!each_handle(&f->type->params, UNCONST(args), is_of_the_same, &o))
		return false;
	if (o.seat && o.seat->local)
		*at = o.seat->local;
	return true;
}
