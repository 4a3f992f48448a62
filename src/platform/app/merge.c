// A profile, or live changes, laid over a manifest (contract, section 5): tables merge key by key, a table of a profile that sets `type` or `source` replaces the
// one there was, arrays replace, triggers merge by `id` (those of live changes replace the others of their kind), and "unset" removes.
#include "app_int.h"

static bool is_unset(const struct toml *t)
{
	return t->kind == TOML_STRING && slice_eq_str(t->text, "unset");
}

// What is removed is marked, and taken out when all of the table has been laid over.
static void mark_removed(struct toml *t)
{
	t->made = TOML_REMOVED;
}

static bool take_out_removed(struct app__load *l, struct toml *t)
{
	struct toml *x = t->first, *next;
	t->first = t->last = NULL;
	t->n = 0;
	t->by_key = NULL;
	for (; x; x = next) {
		next = x->next;
		if (x->made != TOML_REMOVED && !toml_append(l->arena, t, x))
			return err_nomem(l->e);
	}
	return true;
}

// A table of which nothing is there yet: only "unset" has to go.
static bool merge_new(struct app__load *l, enum app__table table, struct toml *to, struct toml *over)
{
	struct toml *fresh = ARENA_NEW(l->arena, struct toml);
	if (!fresh)
		return err_nomem(l->e);
	*fresh = *over;
	fresh->first = fresh->last = fresh->next = NULL;
	fresh->by_key = NULL;
	fresh->n = 0;
	if (over->kind == TOML_TABLE && !app__merge(l, table, fresh, over))
		return false;
	if (over->kind != TOML_TABLE)
		*fresh = *over;
	return toml_append(l->arena, to, fresh) || err_nomem(l->e);
}

// `over` takes the place of `base`; what it is called and what follows it stays.
static void replace(struct toml *base, const struct toml *over)
{
	struct toml *next = base->next;
	struct slice key = base->key;
	*base = *over;
	base->next = next;
	base->key = key;
}

// ---- triggers --------------------------------------------------------------------------------------------------------------------------------

static bool id_of(const struct toml *t, struct slice *ret)
{
	const struct toml *id = t->kind == TOML_TABLE ? toml_get_str(t, "id") : NULL;
	if (!id || id->kind != TOML_STRING)
		return false;
	*ret = id->text;
	return true;
}

// Nothing is called any more: the trigger is gone.
static bool calls_nothing(const struct toml *t)
{
	return !toml_get_str(t, "component") && !toml_get_str(t, "static") && !toml_get_str(t, "redirect");
}

static bool merge_triggers(struct app__load *l, enum app__table table, struct toml *base, struct toml *over)
{
	struct map by_id;
	struct slice id;
	uintptr_t found;
	bool nomem = false;
	map_init(&by_id, l->arena);
	for (struct toml *x = base->first; x; x = x->next)
		if (id_of(x, &id) && !map_insert(&by_id, id, (uintptr_t)x, &nomem) && nomem)
			return err_nomem(l->e);
	for (struct toml *x = over->first; x; x = x->next) {
		if (!id_of(x, &id) || !map_get(&by_id, id, &found)) {
			if (!merge_new(l, table, base, x))
				return false;
			continue;
		}
		struct toml *b = (struct toml *)found;
		if (!app__merge(l, table, b, x))
			return false;
		if (calls_nothing(b))
			mark_removed(b);
	}
	return take_out_removed(l, base);
}

// ---- tables ----------------------------------------------------------------------------------------------------------------------------------

// Keys of the merged table's row, or its tables by name, or the free names of a table of texts.
struct shape {
	uint8_t type;  // of the value
	uint8_t of;
};

static bool merge_value(struct app__load *l, struct shape s, struct toml *base, struct toml *over);

static bool merge_names(struct app__load *l, struct shape of_each, struct toml *base, struct toml *over)
{
	bool any = false;
	for (struct toml *x = over->first, *next; x; x = next) {
		next = x->next;
		struct toml *b = toml_get(base, x->key);
		if (is_unset(x)) {
			if (!b)
				return app__fail(l, x->at, "there is no '%.*s' to be unset", (int)min_u64(x->key.len, 64), (const char *)x->key.ptr);
			mark_removed(b);
			any = true;
		} else if (b) {
			if (!merge_value(l, of_each, b, x))
				return false;
		} else if (!merge_new(l, of_each.type == APP__TABLE ? of_each.of : APP__N_TABLES, base, x)) {
			return false;
		}
	}
	return !any || take_out_removed(l, base);
}

bool app__replaces_whole(enum app__table table, const struct toml *over)
{
	return (table == APP__component || table == APP__link) && (toml_get_str(over, "type") || toml_get_str(over, "source"));
}

static bool merge_value(struct app__load *l, struct shape s, struct toml *base, struct toml *over)
{
	bool both_tables = base->kind == TOML_TABLE && over->kind == TOML_TABLE;
	bool is_live = over->at.in == APP_IN_LIVE;  // these say all triggers of a kind, whether a file gives them ids or not
	if (s.type == APP__ARRAY && s.of != APP__file && !is_live && base->kind == TOML_ARRAY && over->kind == TOML_ARRAY)
		return merge_triggers(l, s.of, base, over);
	if (both_tables && s.type == APP__TABLE && over->at.in == APP_IN_PROFILE && app__replaces_whole(s.of, over)) {
		base->first = base->last = NULL;
		base->by_key = NULL;
		base->n = 0;
		base->at = over->at;
		return app__merge(l, s.of, base, over);
	}
	if (both_tables && s.type == APP__TABLE)
		return app__merge(l, s.of, base, over);
	if (both_tables && s.type == APP__TABLES)
		return merge_names(l, (struct shape){APP__TABLE, s.of}, base, over);
	if (both_tables)  // texts or limits by name
		return merge_names(l, (struct shape){APP__TEXT, 0}, base, over);
	replace(base, over);
	return true;
}

bool app__merge(struct app__load *l, enum app__table table, struct toml *base, struct toml *over)
{
	bool any = false;
	for (struct toml *x = over->first, *next; x; x = next) {
		next = x->next;
		struct toml *b = toml_get(base, x->key);
		const struct app__key *k = table < APP__N_TABLES ? app__key_find(table, x->key) : NULL;
		if (is_unset(x)) {
			// In a new table there is nothing that it could remove.
			if (b)
				mark_removed(b);
			any = true;
		} else if (b) {
			if (!merge_value(l, (struct shape){k ? k->type : APP__TEXT, k ? k->of : 0}, b, x))
				return false;
		} else if (k && k->type == APP__TABLES && x->kind == TOML_TABLE) {
			struct toml *names = ARENA_NEW(l->arena, struct toml);
			if (!names)
				return err_nomem(l->e);
			*names = (struct toml){.kind = TOML_TABLE, .key = x->key, .key_at = x->key_at, .at = x->at};
			if (!toml_append(l->arena, base, names) || !merge_names(l, (struct shape){APP__TABLE, k->of}, names, x))
				return l->e && l->e->code == ERR_NONE ? err_nomem(l->e) : false;
		} else if (!merge_new(l, k && k->type == APP__TABLE ? k->of : APP__N_TABLES, base, x)) {
			return false;
		}
	}
	return !any || take_out_removed(l, base);
}
