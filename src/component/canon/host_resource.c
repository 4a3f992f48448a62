// Host objects that guests hold handles to. A rep is an index; freed ones are reused. Entries are linked in order of creation, so that they can be
// dropped the youngest first: what was made from something is younger than it.
#include "canon_int.h"

static bool reserve(struct canon_instance *i, struct canon__host_table *t)
{
	if (t->len < t->cap)
		return true;
	uint32_t cap = t->cap ? t->cap * 2 : 16;
	struct canon__host_entry *array = pool_realloc(&i->head.pool, t->array, (size_t)cap * sizeof(*array));
	if (!array)
		return false;
	if (!t->cap) {
		array[0] = (struct canon__host_entry){0};  // head of the ring
		t->len = 1;
	}
	t->array = array;
	t->cap = cap;
	return true;
}

bool canon_host_resource_new(struct canon_instance *i, const struct canon_resource_ops *ops, void *owner, void *object, uint32_t *ret_rep)
{
	struct canon__host_table *t = &i->host_table;
	if (i->limits.handles && t->count >= i->limits.handles)
		return false;
	uint32_t rep = t->free;
	if (!rep) {
		if (!reserve(i, t))
			return false;
		rep = t->len++;
	} else {
		t->free = t->array[rep].next;
	}
	struct canon__host_entry *head = t->array;
	uint32_t last = head->prev;
	t->array[rep] = (struct canon__host_entry){.ops = ops, .owner = owner, .object = object, .prev = last, .next = 0};
	t->array[last].next = rep;
	head->prev = rep;
	t->count++;
	i->dirty = true;
	*ret_rep = rep;
	return true;
}

static struct canon__host_entry *find(const struct canon__host_table *t, uint32_t rep)
{
	return rep && rep < t->len && t->array[rep].ops ? &t->array[rep] : NULL;
}

static void unlink_entry(struct canon__host_table *t, uint32_t rep)
{
	struct canon__host_entry *en = &t->array[rep];
	t->array[en->prev].next = en->next;
	t->array[en->next].prev = en->prev;
	*en = (struct canon__host_entry){.next = t->free};
	t->free = rep;
	t->count--;
}

// After the object is where it goes.
static void tell_owner(struct canon_instance *i, void *owner)
{
	if (owner && i->host->gone)
		i->host->gone(i, owner);
}

void *canon_host_resource_get(struct canon_instance *i, const struct wit_resource *type, uint32_t rep)
{
	struct canon__host_entry *en = find(&i->host_table, rep);
	i->dirty = true;  // who asks may change the object: at a reset it is made anew
	return en && en->ops->type == type ? en->object : NULL;
}

void *canon_host_resource_owner(const struct canon_instance *i, uint32_t rep)
{
	const struct canon__host_entry *en = find(&i->host_table, rep);
	return en ? en->owner : NULL;
}

void *canon_host_resource_take(struct canon_instance *i, const struct wit_resource *type, uint32_t rep)
{
	struct canon__host_entry *en = find(&i->host_table, rep);
	if (!en || en->ops->type != type)
		return NULL;
	struct canon__host_entry old = *en;
	unlink_entry(&i->host_table, rep);
	i->dirty = true;
	tell_owner(i, old.owner);
	return old.object;
}

void canon_host_resource_drop(struct canon_instance *i, uint32_t rep)
{
	struct canon__host_entry *en = find(&i->host_table, rep);
	if (!en)
		return;
	struct canon__host_entry old = *en;
	unlink_entry(&i->host_table, rep);
	i->dirty = true;
	if (old.ops->drop)
		old.ops->drop(i, old.object);
	tell_owner(i, old.owner);
}

enum canon_move canon_host_resource_move(struct canon_instance *i, uint32_t rep, struct canon_instance *to, void *owner, struct canon_carrier *by,
	uint32_t *ret)
{
	struct canon__host_entry *en = find(&i->host_table, rep);
	BUG_ON(!en || !en->ops->move);
	struct canon__host_entry old = *en;
	struct canon_instance *where = i;
	unlink_entry(&i->host_table, rep);
	i->dirty = true;
	enum canon_move how = old.ops->move(to, &old.object, by);
	if (how == CANON_MOVED) {
		where = to;
		if (!canon_host_resource_new(to, old.ops, owner, old.object, ret))
			how = CANON_MOVE_NO_ROOM;
	}
	if (how != CANON_MOVED && old.ops->drop)
		old.ops->drop(where, old.object);
	tell_owner(i, old.owner);
	return how;
}

const char *canon_handles_full(const struct canon_instance *i)
{
	return canon__handles_full(i, i->host_table.count);
}

uint32_t canon_host_resource_count(const struct canon_instance *i)
{
	return i->host_table.count;
}

void canon__host_table_drop(struct canon_instance *i, uint32_t most)
{
	struct canon__host_table *t = &i->host_table;
	for (uint32_t n = 0; t->count && n < most; n++)
		canon_host_resource_drop(i, t->array[0].prev);
}

void canon__host_table_clear(struct canon_instance *i)
{
	struct canon__host_table *t = &i->host_table;
	canon__host_table_drop(i, UINT32_MAX);
	// The order of reuse is that of a fresh table.
	t->free = 0;
	if (t->len)
		t->len = 1;
}

void canon__host_table_release(struct canon_instance *i)
{
	canon__host_table_clear(i);
	pool_free(i->host_table.array);
	i->host_table = (struct canon__host_table){0};
}

bool canon__host_table_can_remake(const struct canon_instance *i, const char **ret_name)
{
	const struct canon__host_table *t = &i->host_table;
	for (uint32_t rep = 1; rep < t->len; rep++)
		if (t->array[rep].ops && !t->array[rep].ops->remake) {
			*ret_name = t->array[rep].ops->name;
			return false;
		}
	return true;
}

static bool make_anew(struct canon_instance *i, const struct canon__host_entry *old, struct canon__host_entry *ret)
{
	void *owner = NULL;
	if (old->owner && i->host->adopt && !i->host->adopt(i, old->owner, &owner))
		return false;
	ret->owner = owner;
	if (old->ops->remake(i, old->object, &ret->object))
		return true;
	tell_owner(i, owner);
	return false;
}

bool canon__host_table_remake(struct canon_instance *i, const struct canon__host_table *from)
{
	struct canon__host_table *t = &i->host_table;
	BUG_ON(t->count != 0);
	if (from->len == 0)
		return true;
	if (t->cap < from->len) {
		struct canon__host_entry *array = pool_realloc(&i->head.pool, t->array, (size_t)from->cap * sizeof(*array));
		if (!array)
			return false;
		t->array = array;
		t->cap = from->cap;
	}
	// Free entries and order as in the image; objects appear one by one, the oldest first, so that a failure leaves a table that can be cleared.
	memcpy(t->array, from->array, (size_t)from->len * sizeof(*t->array));
	for (uint32_t rep = 1; rep < from->len; rep++)
		t->array[rep].ops = NULL;
	t->len = from->len;
	t->free = from->free;
	t->count = from->count;
	for (uint32_t rep = from->array[0].next; rep; rep = from->array[rep].next) {
		const struct canon__host_entry *old = &from->array[rep];
		if (!make_anew(i, old, &t->array[rep])) {
			// Only what was made is left: cut the ring here.
			t->array[old->prev].next = 0;
			t->array[0].prev = old->prev;
			uint32_t left = 0;
			for (uint32_t r = t->array[0].next; r; r = t->array[r].next)
				left++;
			t->count = left;
			return false;
		}
		t->array[rep].ops = old->ops;
	}
	return true;
}
