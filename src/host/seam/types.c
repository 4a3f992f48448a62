// Types of interfaces that stand in the program: made of their rows when they are asked for.
#include "seam_int.h"

static const struct wit_type *type_of(const struct seam_types *t, uint32_t number);

static void *take(const struct seam_types *t, size_t size)
{
	void *p = t->room + t->made->used;
	t->made->used += size;
	return p;
}

static void make(const struct seam_types *t, const struct seam_type_row *r, struct wit_type *ret)
{
	uint32_t n_fields = r->kind == WIT_FIXED_LIST ? 0 : r->n;
	struct wit_field *fields = n_fields ? take(t, n_fields * sizeof *fields) : NULL;
	for (uint32_t i = 0; i < n_fields; i++) {
		const struct seam_field_row *f = &t->fields[r->fields + i];
		fields[i] = (struct wit_field){slice_of(t->names + f->name, f->name_len), type_of(t, f->type), f->offset32, f->offset64};
	}
	*ret = (struct wit_type){.kind = r->kind,
		.flags = r->flags,
		.discriminant_size = r->discriminant_size,
		.depth = r->depth,
		.align32 = r->align32,
		.align64 = r->align64,
		.n_flat = r->n_flat,
		.size32 = r->size32,
		.size64 = r->size64,
		.payload32 = r->payload32,
		.payload64 = r->payload64,
		.effective_size = r->effective_size,
		.n = r->n,
		.fields = fields,
		.elem = type_of(t, r->elem),
		.resource = r->resource ? t->resources[r->resource - 1] : NULL};
	memcpy(ret->flat, r->flat, sizeof r->flat);
}

// As deep as types of WIT are (WIT_MAX_DEPTH).
static const struct wit_type *type_of(const struct seam_types *t, uint32_t number)
{
	if (number == 0)
		return NULL;
	if (number <= WIT_N_PRIMITIVES)
		return wit_type_primitive((enum wit_kind)(number - 1));
	uint32_t row = number - 1 - WIT_N_PRIMITIVES;
	if (!t->made_types[row]) {
		struct wit_type *made = take(t, sizeof *made);
		make(t, &t->types[row], made);
		t->made_types[row] = made;
	}
	return t->made_types[row];
}

const struct wit_func_type *seam_func_type(const struct seam_interface *of, uint32_t func)
{
	const struct seam_types *t = of->types;
	const struct wit_func_type *type = of->funcs[func].type;
	if (!t)
		return type;
	size_t k = (size_t)(type - t->made_funcs);
	sys_mutex_lock(&t->made->lock);
	if (!t->are_made[k]) {
		const struct seam_func_row *r = &t->funcs[k];
		struct wit_func_type *ret = &t->made_funcs[k];
		make(t, &r->params, &ret->params);
		ret->result = type_of(t, r->result);
		ret->is_async = r->is_async;
		t->are_made[k] = true;
	}
	sys_mutex_unlock(&t->made->lock);
	return type;
}
