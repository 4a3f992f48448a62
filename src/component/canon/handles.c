// Handle tables of component instances, and lifting and lowering of own and borrow. CanonicalABI "Table State", "Resource State", lift_own,
// lift_borrow, lower_own, lower_borrow.
//
// 1. An entry that is lent (lends > 0) stays where it is: both ways of removing it trap. So a subtask may keep indices of its lenders.
// 2. Every change of a table sets the instance's dirty bit: a reset copies the image's tables back only then.
// 3. An entry remembers the runtime type; types are compared by identity, never by name or structure (L65, C13).
#include "canon_int.h"

struct canon__table *canon__table_of(struct canon_instance *i, uint32_t component)
{
	return &i->components[component].handles;
}

// NULL: no such handle.
struct canon__handle *canon__table_get(struct canon__table *t, uint32_t index)
{
	return index < t->len && t->array[index].kind != HANDLE_FREE ? &t->array[index] : NULL;
}

// Room for `want` entries.
bool canon__table_reserve(struct canon_instance *i, struct canon__table *t, uint32_t want)
{
	if (want <= t->cap)
		return true;
	uint32_t cap = t->cap ? t->cap : 16;
	while (cap < want)
		cap *= 2;
	struct canon__handle *array = pool_realloc(&i->pool, t->array, (size_t)cap * sizeof(*array));
	if (!array)
		return false;
	t->array = array;
	t->cap = cap;
	return true;
}

const char *canon__handles_full(const struct canon_instance *i, uint32_t n)
{
	if (n > MAX_TABLE_LENGTH || (i->limits.handles && n >= i->limits.handles))
		return "too many resource handles: the instance's limit is reached (--handles)";
	return i->pool.over ? "no memory for another resource handle: the instance's limit is reached (--memory)" : "no memory for another resource handle";
}

// false: the table is full (the limit of the instance, C31's bound) or memory is out.
bool canon__table_add(struct canon_instance *i, struct canon__table *t, struct canon__handle h, uint32_t *ret)
{
	i->dirty = true;
	if (t->free) {
		*ret = t->free;
		t->free = t->array[*ret].rep;
		t->array[*ret] = h;
		return true;
	}
	if (t->len == 0) {
		if (!canon__table_reserve(i, t, 1))
			return false;
		t->array[0] = (struct canon__handle){0};
		t->len = 1;
	}
	if (t->len > MAX_TABLE_LENGTH || (i->limits.handles && t->len > i->limits.handles) || !canon__table_reserve(i, t, t->len + 1))
		return false;
	*ret = t->len++;
	t->array[*ret] = h;
	return true;
}

void canon__table_remove(struct canon_instance *i, struct canon__table *t, uint32_t index)
{
	i->dirty = true;
	t->array[index] = (struct canon__handle){.rep = t->free};
	t->free = index;
}

// The runtime type that the descriptor's resource means in this store.
static uint32_t type_of(const struct wit_type *t)
{
	return canon__resource_index(t->resource);
}

static struct canon__handle *checked(struct canon__cx *cx, uint32_t index, uint32_t rt)
{
	struct canon__handle *h = canon__table_get(canon__table_of(cx->inst, cx->component), index);
	if (!h)
		canon__fail(cx, TRAP_HANDLE, "unknown handle index %u", index);
	else if (h->rt != rt)
		canon__fail(cx, TRAP_HANDLE, "handle index %u is used with the wrong type of resource", index), h = NULL;
	return h;
}

bool canon__lift_own(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret_rep)
{
	struct canon__handle *h = checked(cx, index, type_of(t));
	if (!h)
		return false;
	if (h->lends)
		return canon__fail(cx, TRAP_HANDLE, "cannot remove owned resource while borrowed: handle index %u", index);
	if (h->kind != HANDLE_OWN)
		return canon__fail(cx, TRAP_HANDLE, "cannot lift own resource from a borrow: handle index %u", index);
	*ret_rep = h->rep;
	canon__table_remove(cx->inst, canon__table_of(cx->inst, cx->component), index);
	return true;
}

// add_lender
static bool add_lender(struct canon__cx *cx, struct canon__handle *h, uint32_t index)
{
	struct canon__subtask *s = cx->subtask;
	uint32_t *list = s->cap ? s->lenders : s->few;
	if (s->n == (s->cap ? s->cap : ARRAY_LEN(s->few))) {
		uint32_t *more = s->n > MAX_TABLE_LENGTH ? NULL : arena_alloc(cx->arena, sizeof(uint32_t) * s->n * 2, 4);
		if (!more)
			return canon__no_room(cx, "a list of borrowed handles", sizeof(uint32_t) * 2 * (uint64_t)s->n);
		memcpy(more, list, sizeof(uint32_t) * s->n);
		list = s->lenders = more;
		s->cap = s->n * 2;
	}
	list[s->n++] = index;
	h->lends++;
	return true;
}

bool canon__lift_borrow(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret_rep)
{
	struct canon__handle *h = checked(cx, index, type_of(t));
	if (!h)
		return false;
	*ret_rep = h->rep;
	// A borrow that comes out of a call can't be (validation): without a subtask there is nobody to lend to.
	return cx->subtask ? add_lender(cx, h, index) : canon__fail(cx, TRAP_CANON, "a borrow may not leave its call");
}

// The callee's resolution has been delivered: nothing is lent any more (C33).
bool canon__deliver_resolve(struct canon__cx *cx, struct canon__subtask *s)
{
	const uint32_t *list = s->cap ? s->lenders : s->few;
	struct canon__table *t = canon__table_of(cx->inst, cx->component);
	for (uint32_t k = 0; k < s->n; k++) {
		t->array[list[k]].lends--;
		if (k % 1024 == 1023 && !canon__work(cx, 1024 * VM_WORK_ITEM))
			return false;
	}
	s->n = s->cap = 0;
	return true;
}

static bool add(struct canon__cx *cx, struct canon__handle h, uint32_t *ret)
{
	if (canon__table_add(cx->inst, canon__table_of(cx->inst, cx->component), h, ret))
		return true;
	return canon__fail(cx, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(cx->inst, canon__table_of(cx->inst, cx->component)->len));
}

bool canon__lower_own(struct canon__cx *cx, uint32_t rep, const struct wit_type *t, uint32_t *ret_index)
{
	return add(cx, (struct canon__handle){.kind = HANDLE_OWN, .rt = type_of(t), .rep = rep}, ret_index);
}

bool canon__lower_borrow(struct canon__cx *cx, uint32_t rep, const struct wit_type *t, uint32_t *ret_index)
{
	uint32_t rt = type_of(t);
	if (cx->inst->resources[rt].component == cx->component) {  // the component that defines it gets the rep itself (C34)
		*ret_index = rep;
		return true;
	}
	if (!cx->scope)
		return canon__fail(cx, TRAP_CANON, "a borrow may not be returned");
	if (!add(cx, (struct canon__handle){.kind = HANDLE_BORROW, .rt = rt, .rep = rep, .scope = cx->scope}, ret_index))
		return false;
	cx->scope->num_borrows++;
	return true;
}
