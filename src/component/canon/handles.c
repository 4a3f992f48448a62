// Handle tables of component instances, and lifting and lowering of own and borrow. CanonicalABI "Table State", "Resource State", lift_own,
// lift_borrow, lower_own, lower_borrow.
//
// 1. An entry that is lent (lends > 0) stays where it is: both ways of removing it trap. So a subtask may keep indices of its lenders.
// 2. Every change of a table sets the instance's dirty bit: a reset copies the image's tables back only then.
// 3. A resource that is represented by i64 has an entry in a table of the instance's from resource.new to its destructor, whose index stands for it in handles
//    and as a native value.
// 4. An entry remembers the runtime type; types are compared by identity, never by name or structure (L65, C13).
#include "canon_int.h"

// Room for `want` entries.
bool canon__table_reserve(struct canon_instance *i, struct canon__table *t, uint32_t want)
{
	if (want <= t->cap)
		return true;
	uint32_t cap = t->cap ? t->cap : 16;
	while (cap < want)
		cap *= 2;
	struct canon__handle *array = pool_realloc(&i->head.pool, t->array, (size_t)cap * sizeof(*array));
	if (!array)
		return false;
	t->array = array;
	t->cap = cap;
	return true;
}

// Async guests have streams, futures, calls and sets in the same table, two ends of a stream among them: four for each handle that they may have.
static bool is_below_limit(const struct canon_instance *i, uint32_t len)
{
	return !i->limits.handles || len <= (i->async ? 4 * (uint64_t)i->limits.handles : i->limits.handles);
}

const char *canon__handles_full(const struct canon_instance *i, uint32_t n)
{
	if (n > MAX_TABLE_LENGTH || (i->limits.handles && n >= i->limits.handles))
		return "too many resource handles: the instance's limit is reached (--handles)";
	return i->head.pool.over ? "no memory for another resource handle: the instance's limit is reached (--memory)" : "no memory for another resource handle";
}

// Room for one more at the end. false: the table is full (the limit of the instance, C31's bound) or memory is out.
NOINLINE static bool make_room(struct canon_instance *i, struct canon__table *t)
{
	if (t->len == 0) {
		if (!canon__table_reserve(i, t, 1))
			return false;
		t->array[0] = (struct canon__handle){0};
		t->len = 1;
	}
	return t->len <= MAX_TABLE_LENGTH && is_below_limit(i, t->len) && canon__table_reserve(i, t, t->len + 1);
}

// An entry to be filled; NULL: none is to be had.
static inline struct canon__handle *new_entry(struct canon_instance *i, struct canon__table *t, uint32_t *ret)
{
	i->dirty = true;
	uint32_t index = t->free;
	if (index) {
		t->free = t->array[index].rep;
	} else {
		bool has_room = t->len && t->len < t->cap && is_below_limit(i, t->len);
		if (UNLIKELY(!has_room) && !make_room(i, t))
			return NULL;
		index = t->len++;
	}
	*ret = index;
	return &t->array[index];
}

bool canon__table_add(struct canon_instance *i, struct canon__table *t, struct canon__handle h, uint32_t *ret)
{
	struct canon__handle *entry = new_entry(i, t, ret);
	if (entry)
		*entry = h;
	return entry;
}

void canon__table_remove(struct canon_instance *i, struct canon__table *t, uint32_t index)
{
	i->dirty = true;
	t->array[index] = (struct canon__handle){.rep = t->free};
	t->free = index;
}

bool canon__rep_new(struct canon_instance *i, uint32_t rt, uint64_t rep, uint32_t *ret)
{
	*ret = (uint32_t)rep;
	return !i->resources[rt].wide || canon__table_add(i, &i->reps, (struct canon__handle){.kind = HANDLE_OWN, .rt = rt, .wide_rep = rep}, ret);
}

bool canon__rep_get(const struct canon_instance *i, uint32_t rt, uint32_t rep, uint64_t *ret)
{
	*ret = rep;
	if (LIKELY(!i->resources[rt].wide))
		return true;
	const struct canon__handle *h = canon__table_get(&i->reps, rep);
	if (!h || h->rt != rt)
		return false;
	*ret = h->wide_rep;
	return true;
}

void canon__rep_free(struct canon_instance *i, uint32_t rt, uint32_t rep)
{
	if (i->resources[rt].wide)
		canon__table_remove(i, &i->reps, rep);
}

// The runtime type that the descriptor's resource means in this store.
static uint32_t type_of(const struct wit_type *t)
{
	return canon__resource_index(t->resource);
}

NOINLINE static struct canon__handle *refuse(struct canon__cx *cx, const struct canon__handle *h, uint32_t index)
{
	if (!h)
		canon__fail(cx, TRAP_HANDLE, "unknown handle index %u", index);
	else
		canon__fail(cx, TRAP_HANDLE, "handle index %u is used with the wrong type of resource", index);
	return NULL;
}

static inline struct canon__handle *checked(struct canon__cx *cx, uint32_t index, uint32_t rt)
{
	struct canon__handle *h = canon__table_get(canon__table_of(cx->inst, cx->component), index);
	return LIKELY(h && h->rt == rt) ? h : refuse(cx, h, index);
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

// add_lender, when `few` is full.
NOINLINE static bool lend_many(struct canon__cx *cx, struct canon__handle *h, uint32_t index)
{
	struct canon__subtask *s = cx->subtask;
	const uint32_t *list = s->cap ? s->lenders : s->few;
	if (s->n == (s->cap ? s->cap : ARRAY_LEN(s->few))) {
		size_t size = sizeof(uint32_t) * 2 * (size_t)s->n;
		uint32_t *more = s->n > MAX_TABLE_LENGTH ? NULL : cx->keeps_lends ? pool_alloc(&cx->inst->head.pool, size)
																		  : arena_alloc(cx->arena, size, 4);
		if (!more)
			return canon__no_room(cx, "a list of borrowed handles", size);
		memcpy(more, list, sizeof(uint32_t) * s->n);
		if (cx->keeps_lends) {
			pool_free(s->kept);
			s->kept = more;
		}
		s->lenders = more;
		s->cap = s->n * 2;
	}
	s->lenders[s->n++] = index;
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
	struct canon__subtask *s = cx->subtask;
	if (UNLIKELY(!s))
		return canon__fail(cx, TRAP_CANON, "a borrow may not leave its call");
	if (UNLIKELY(s->cap || s->n == ARRAY_LEN(s->few)))
		return lend_many(cx, h, index);
	s->few[s->n++] = index;
	h->lends++;
	return true;
}

bool canon__deliver_resolve_many(struct canon__cx *cx, struct canon__subtask *s)
{
	struct canon__table *t = canon__table_of(cx->inst, cx->component);
	for (uint32_t k = 0; k < s->n; k++) {
		t->array[s->lenders[k]].lends--;
		if (k % 1024 == 1023 && !canon__work(cx, 1024 * VM_WORK_ITEM))
			return false;
	}
	s->n = s->cap = 0;
	if (cx->keeps_lends) {
		pool_free(s->kept);
		s->kept = NULL;
	}
	return true;
}

NOINLINE static bool no_room(struct canon__cx *cx)
{
	return canon__fail(cx, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(cx->inst, canon__table_of(cx->inst, cx->component)->len));
}

bool canon__lower_own(struct canon__cx *cx, uint32_t rep, const struct wit_type *t, uint32_t *ret_index)
{
	struct canon__handle *entry = new_entry(cx->inst, canon__table_of(cx->inst, cx->component), ret_index);
	if (UNLIKELY(!entry))
		return no_room(cx);
	*entry = (struct canon__handle){.kind = HANDLE_OWN, .rt = type_of(t), .rep = rep};
	return true;
}

bool canon__lower_borrow(struct canon__cx *cx, uint32_t rep, const struct wit_type *t, uint32_t *ret_index)
{
	uint32_t rt = type_of(t);
	if (cx->inst->resources[rt].component == cx->component) {  // the component that defines it gets the rep itself (C34)
		uint64_t whole;
		if (!canon__rep_get(cx->inst, rt, rep, &whole))
			return canon__fail(cx, TRAP_HOST, "the host gave an unknown resource: %u", rep);
		*ret_index = (uint32_t)whole;  // whatever it is represented by, a borrow is an i32
		return whole <= UINT32_MAX || canon__fail(cx, TRAP_CANON, "a borrow can't be an i32: it is represented by 0x%llx", (unsigned long long)whole);
	}
	if (!cx->scope)
		return canon__fail(cx, TRAP_CANON, "a borrow may not be returned");
	struct canon__handle h = {.kind = HANDLE_BORROW, .rt = rt, .rep = rep, .scope = cx->scope};
	if (!canon__table_add(cx->inst, canon__table_of(cx->inst, cx->component), h, ret_index))
		return no_room(cx);
	cx->scope->num_borrows++;
	return true;
}
