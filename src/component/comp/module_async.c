// Built-ins of async that a core module with worlds imports, by the names of wit-component (module.c): those of its root, those of what it exports, and those of a
// function's streams and futures, which are counted in its type.
#include "module.h"

enum { OF_ROOT = 1, OF_EXPORTS = 2 };

// Built-ins of no type.
static const struct plain {
	const char *name;
	uint8_t builtin, imm, places;
	bool is_async, memory;
} plains[] = {
	{"[backpressure-inc]", COMP_BUILTIN_BACKPRESSURE_INC, .places = OF_ROOT},
	{"[backpressure-dec]", COMP_BUILTIN_BACKPRESSURE_DEC, .places = OF_ROOT},
	{"[waitable-set-new]", COMP_BUILTIN_WAITABLE_SET_NEW, .places = OF_ROOT},
	{"[waitable-set-wait]", COMP_BUILTIN_WAITABLE_SET_WAIT, .places = OF_ROOT, .memory = true},
	{"[waitable-set-poll]", COMP_BUILTIN_WAITABLE_SET_POLL, .places = OF_ROOT, .memory = true},
	{"[waitable-set-drop]", COMP_BUILTIN_WAITABLE_SET_DROP, .places = OF_ROOT},
	{"[waitable-join]", COMP_BUILTIN_WAITABLE_JOIN, .places = OF_ROOT},
	{"[subtask-drop]", COMP_BUILTIN_SUBTASK_DROP, .places = OF_ROOT},
	{"[subtask-cancel]", COMP_BUILTIN_SUBTASK_CANCEL, .places = OF_ROOT},
	{"[async-lower][subtask-cancel]", COMP_BUILTIN_SUBTASK_CANCEL, .places = OF_ROOT, .is_async = true},
	{"[context-get-0]", COMP_BUILTIN_CONTEXT_GET, 0, OF_ROOT},
	{"[context-get-1]", COMP_BUILTIN_CONTEXT_GET, 1, OF_ROOT},
	{"[context-set-0]", COMP_BUILTIN_CONTEXT_SET, 0, OF_ROOT},
	{"[context-set-1]", COMP_BUILTIN_CONTEXT_SET, 1, OF_ROOT},
	{"[thread-yield]", COMP_BUILTIN_THREAD_YIELD, .places = OF_ROOT},
	{"[task-cancel]", COMP_BUILTIN_TASK_CANCEL, .places = OF_EXPORTS},
};

// Built-ins of a stream or future: "[stream-read-0]f", "[stream-read-unit]f".
static const struct typed {
	const char *prefix;
	uint8_t builtin;
	bool may_be_async, memory, realloc, is_future;
} typeds[] = {
	{"[stream-new-", COMP_BUILTIN_STREAM_NEW},
	{"[stream-read-", COMP_BUILTIN_STREAM_READ, true, true, true},
	{"[stream-write-", COMP_BUILTIN_STREAM_WRITE, true, true},
	{"[stream-cancel-read-", COMP_BUILTIN_STREAM_CANCEL_READ, true},
	{"[stream-cancel-write-", COMP_BUILTIN_STREAM_CANCEL_WRITE, true},
	{"[stream-drop-readable-", COMP_BUILTIN_STREAM_DROP_READABLE},
	{"[stream-drop-writable-", COMP_BUILTIN_STREAM_DROP_WRITABLE},
	{"[future-new-", COMP_BUILTIN_FUTURE_NEW, .is_future = true},
	{"[future-read-", COMP_BUILTIN_FUTURE_READ, true, true, true, true},
	{"[future-write-", COMP_BUILTIN_FUTURE_WRITE, true, true, .is_future = true},
	{"[future-cancel-read-", COMP_BUILTIN_FUTURE_CANCEL_READ, true, .is_future = true},
	{"[future-cancel-write-", COMP_BUILTIN_FUTURE_CANCEL_WRITE, true, .is_future = true},
	{"[future-drop-readable-", COMP_BUILTIN_FUTURE_DROP_READABLE, .is_future = true},
	{"[future-drop-writable-", COMP_BUILTIN_FUTURE_DROP_WRITABLE, .is_future = true},
};

// ---- the type that is meant ----------------------------------------------------------------------------------------------------------------

// The n-th stream or future of a type, each after those in it; *left counts down. NULL: there are fewer, or the error is set.
static const struct wit_type *nth(struct dec *d, const struct wit_type *t, uint64_t *left)
{
	const struct wit_type *found = NULL;
	uint32_t n = t->kind == WIT_FIXED_LIST ? 0 : t->n;
	if (!(t->flags & WIT_HAS_HANDLE) || !comp__steps(d, 1 + (uint64_t)n))
		return NULL;
	if (t->elem && (found = nth(d, t->elem, left)))
		return found;
	for (uint32_t i = 0; i < n && !found; i++)
		found = t->fields[i].type ? nth(d, t->fields[i].type, left) : NULL;
	if (found || (t->kind != WIT_STREAM && t->kind != WIT_FUTURE))
		return found;
	return (*left)-- ? NULL : t;
}

static const struct wit_type *nth_of_func(struct dec *d, const struct wit_func_type *f, uint64_t n)
{
	const struct wit_type *found = nth(d, &f->params, &n);
	return found || !f->result ? found : nth(d, f->result, &n);
}

// The function that a place has; for what is exported by no interface the root's exports. NULL: it has none.
static const struct wit_func_type *find_func(struct build *b, const struct place *p, struct slice name, uint8_t *ret_encoding)
{
	struct world_part *part = NULL;
	struct world_entry *e = p->entry;
	const struct item *x;
	if (e) {
		x = e->inst ? comp__world_item(&b->w, e, name, &part) : NULL;
	} else {
		e = p->kind == PLACE_EXPORT ? comp__world_export(&b->w, name, false) : comp__world_import(&b->w, name);
		x = e ? &e->item : NULL;
	}
	if (!x || x->e.kind != COMP_EXTERN_FUNC)
		return NULL;
	*ret_encoding = part ? part->encoding : e->parts.ptr[0].encoding;
	return x->e.ty.func;
}

static bool unit(struct dec *d, bool is_future, const struct wit_type **ret)
{
	return is_future ? wit_type_future(d->a, NULL, ret, d->e) : wit_type_stream(d->a, NULL, ret, d->e);
}

// ---- by name -------------------------------------------------------------------------------------------------------------------------------

static bool find_plain(const struct place *p, struct slice name, struct target *t)
{
	uint8_t place = p->kind == PLACE_EXPORT ? OF_EXPORTS : p->kind == PLACE_ROOT ? OF_ROOT
																				 : 0;
	for (size_t i = 0; i < ARRAY_LEN(plains); i++) {
		const struct plain *x = &plains[i];
		if (!(x->places & place) || !slice_eq_str(name, x->name))
			continue;
		*t = (struct target){.kind = TARGET_BUILTIN, .builtin = x->builtin, .imm = x->imm, .is_async = x->is_async, .memory = x->memory};
		return true;
	}
	return false;
}

// `rest`: "0]f", behind the prefix.
static bool find_type(struct build *b, const struct place *p, const struct typed *x, struct slice rest, struct target *t)
{
	size_t end = slice_find(rest, ']');
	struct slice which = slice_sub(rest, 0, end);
	uint64_t n;
	const struct wit_func_type *f = find_func(b, p, slice_sub(rest, end + 1, rest.len), &t->encoding);
	if (slice_eq_str(which, "unit"))
		return unit(b->d, x->is_future, &t->type);
	if (!f || !slice_parse_u64(which, UINT32_MAX, &n))
		return true;
	const struct wit_type *found = nth_of_func(b->d, f, n);
	t->type = found && (found->kind == WIT_FUTURE) == x->is_future ? found : NULL;
	return !b->d->e->code && comp__world_use_func(&b->w, f);
}

static bool find_typed(struct build *b, const struct place *p, struct slice name, struct target *t)
{
	bool is_async = comp__strip(name, (struct affix){"[async-lower]"}, &name);
	for (size_t i = 0; i < ARRAY_LEN(typeds); i++) {
		const struct typed *x = &typeds[i];
		struct slice rest;
		if (!comp__strip(name, (struct affix){x->prefix}, &rest) || (is_async && !x->may_be_async))
			continue;
		*t = (struct target){.kind = TARGET_BUILTIN, .builtin = x->builtin, .is_async = is_async, .is_export = p->kind == PLACE_EXPORT};
		if (!find_type(b, p, x, rest, t))
			return false;
		t->memory = x->memory && t->type && t->type->elem;
		t->realloc = t->memory && x->realloc && t->type->elem->flags & WIT_HAS_PTR;
		return true;
	}
	return true;
}

static bool find_return(struct build *b, const struct place *p, struct slice name, struct target *t, bool *ret_is)
{
	*ret_is = p->kind == PLACE_EXPORT && comp__strip(name, (struct affix){"[task-return]"}, &name);
	if (!*ret_is)
		return true;
	*t = (struct target){.kind = TARGET_BUILTIN, .builtin = COMP_BUILTIN_TASK_RETURN, .is_export = true};
	const struct wit_func_type *f = find_func(b, p, name, &t->encoding);
	*ret_is = f != NULL;
	if (!f)
		return true;
	t->type = f->result;
	t->memory = f->result && (f->result->flags & WIT_HAS_PTR || f->result->n_flat > WIT_MAX_FLAT);
	return comp__world_use_func(&b->w, f);
}

bool comp__async_builtin(struct build *b, const struct place *p, struct slice name, struct target *t, bool *ret_is)
{
	*ret_is = !p->naming->canonical && find_plain(p, name, t);
	if (*ret_is || p->naming->canonical)
		return true;
	if (!find_return(b, p, name, t, ret_is))
		return false;
	if (*ret_is)
		return true;
	*t = (struct target){.kind = TARGET_HOST};
	if (!find_typed(b, p, name, t))
		return false;
	*ret_is = t->kind == TARGET_BUILTIN && t->type;
	return true;
}
