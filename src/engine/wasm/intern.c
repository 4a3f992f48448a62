// The types of the process, and matching. Invariants:
//  1. Equal types have equal ids; an id is never reused and never 0; nothing here is ever freed (L22).
//  2. Types are equal when their recursion groups are and they have the same place there. So what is interned is a group; its types have ids one after the
//     other. A key is the whole group (L21): of each type its form and counts, its supertype, its values as words, in which a concrete reference holds the
//     canonical id of its type, or a place in the group.
//  3. A type knows all its supertypes by their depth (its display), so that one look says whether it is below another.
#include "wasm_int.h"

#include <stdatomic.h>

#include "sys/sys.h"

// Records by id - 1, in chunks that never move: they are read without the lock.
enum { MAX_IDS = 1 << 28, CHUNK_BITS = 12, CHUNK = 1 << CHUNK_BITS, SELF = 0 };
static _Atomic(struct wasm_type *) chunks[MAX_IDS / CHUNK];
static _Atomic uint32_t nids;

static struct {
	struct sys_mutex lock;
	struct map by_key;
	struct arena arena;
} interned = {.lock = SYS_MUTEX, .arena = {.max = SIZE_MAX}};

const struct wasm_type *wasm_interned_type(uint32_t id)
{
	if (id - 1 >= atomic_load_explicit(&nids, memory_order_acquire))
		return NULL;
	return &atomic_load_explicit(&chunks[(id - 1) >> CHUNK_BITS], memory_order_relaxed)[(id - 1) & (CHUNK - 1)];
}

const struct wasm_func_type *wasm_interned_func_type(uint32_t id)
{
	const struct wasm_type *t = wasm_interned_type(id);
	return t && t->form == WASM_FORM_FUNC ? &t->func : NULL;
}

// ---- layout ---------------------------------------------------------------------------------------------------------
static uint8_t bytes_of(const struct wasm_field *f)
{
	static const uint8_t sizes[] = {[WASM_I32] = 4, [WASM_I64] = 8, [WASM_F32] = 4, [WASM_F64] = 8, [WASM_V128] = 16, [WASM_REF] = 4};
	return f->packed ? f->packed / 8 : sizes[f->type.kind];
}

// Aligned to their size, at most to 8, in order: what a type has of its supertype lies where that has it.
void wasm__type_lay_out(struct wasm_type *t, struct wasm_field *fields)
{
	uint32_t at = WASM_OBJECT_HEAD;
	for (uint32_t i = 0; i < t->nfields; i++) {
		struct wasm_field *f = &fields[i];
		f->size = bytes_of(f);
		f->offset = (uint32_t)align_up_u64(at, f->size > 8 ? 8 : f->size);
		at = f->offset + f->size;
	}
	t->fields = fields;
	t->size = at;
}

// ---- keys -----------------------------------------------------------------------------------------------------------
// A host's type, or a component's, refers to itself by 0.
static wasm__word word_of(struct wasm_valtype v)
{
	if (v.kind == WASM_REF && v.heap == WASM_HEAP_CONCRETE && v.type == SELF)
		v.group = 1;
	return wasm__pack(v);
}

static bool put_word(struct buf *b, wasm__word w)
{
	return buf_put(b, &w, sizeof w);
}

enum { HEAD_WORDS = 4 };
static bool put_type(struct buf *b, const struct wasm_type *t)
{
	wasm__word head = t->form | t->is_final << 8 | t->has_super << 9 | (uint64_t)t->super_in_group << 10;
	bool ok = put_word(b, head) && put_word(b, t->has_super ? t->super : 0) && put_word(b, (uint64_t)t->nfields << 32 | t->func.nparams) &&
		put_word(b, t->func.nresults);
	for (uint32_t i = 0; ok && i < t->func.nparams; i++)
		ok = put_word(b, word_of(t->func.params[i]));
	for (uint32_t i = 0; ok && i < t->func.nresults; i++)
		ok = put_word(b, word_of(t->func.results[i]));
	// The word of a number has room for how it is packed.
	for (uint32_t i = 0; ok && i < t->nfields; i++) {
		const struct wasm_field *f = &t->fields[i];
		ok = put_word(b, (f->type.kind == WASM_REF ? word_of(f->type) : (uint64_t)f->type.kind | (uint64_t)f->packed << 8) | (uint64_t)f->mutable << 30);
	}
	return ok;
}

// ---- records --------------------------------------------------------------------------------------------------------
static struct wasm_valtype canonical_in(struct wasm_valtype v, uint32_t first)
{
	if (v.kind == WASM_REF && v.heap == WASM_HEAP_CONCRETE && (v.group || v.type == SELF)) {
		v.type += first;
		v.group = 0;
	}
	return v;
}

static bool copy_func(struct wasm_type *to, const struct wasm_func_type *from, uint32_t first)
{
	struct wasm_valtype *types = ARENA_ARRAY(&interned.arena, struct wasm_valtype, from->nparams + from->nresults);
	if (!types)
		return false;
	for (uint32_t i = 0; i < from->nparams; i++)
		types[i] = canonical_in(from->params[i], first);
	for (uint32_t i = 0; i < from->nresults; i++)
		types[from->nparams + i] = canonical_in(from->results[i], first);
	to->func = (struct wasm_func_type){from->nparams, from->nresults, types, types + from->nparams};
	return true;
}

static bool copy_fields(struct wasm_type *to, uint32_t first)
{
	struct wasm_field *fields = ARENA_ARRAY(&interned.arena, struct wasm_field, to->nfields);
	if (!fields)
		return false;
	for (uint32_t i = 0; i < to->nfields; i++) {
		fields[i] = to->fields[i];
		fields[i].type = canonical_in(fields[i].type, first);
	}
	to->fields = fields;
	return true;
}

static bool make_display(struct wasm_type *t)
{
	uint32_t *display = ARENA_ARRAY(&interned.arena, uint32_t, t->depth + 1u);
	if (!display)
		return false;
	if (t->has_super)
		memcpy(display, wasm_interned_type(t->super)->display, t->depth * sizeof *display);
	display[t->depth] = t->id;
	t->display = display;
	return true;
}

// A supertype comes before its subtypes.
static bool add_record(const struct wasm_type *from, uint32_t first)
{
	uint32_t n = atomic_load_explicit(&nids, memory_order_relaxed);
	_Atomic(struct wasm_type *) *chunk = &chunks[n >> CHUNK_BITS];
	struct wasm_type *records = atomic_load_explicit(chunk, memory_order_relaxed);
	if (!records && !(records = arena_alloc(&interned.arena, CHUNK * sizeof *records, _Alignof(struct wasm_type))))  // not cleared: a page that nobody needs isn't there
		return false;
	atomic_store_explicit(chunk, records, memory_order_relaxed);
	struct wasm_type *t = &records[n & (CHUNK - 1)];
	*t = *from;
	t->id = n + 1;
	t->super += t->has_super && t->super_in_group ? first : 0;
	t->super_in_group = false;
	if (!copy_func(t, &from->func, first) || !copy_fields(t, first) || !make_display(t))
		return false;
	atomic_store_explicit(&nids, n + 1, memory_order_release);
	return true;
}

// Ids of a group that could not be finished are never given to another.
static uint32_t intern_key(struct slice key, const struct wasm_type *types, uint32_t n)
{
	uintptr_t found;
	if (map_get(&interned.by_key, key, &found))
		return (uint32_t)found;
	uint32_t first = atomic_load_explicit(&nids, memory_order_relaxed) + 1;
	struct slice copy;
	bool nomem;
	if (n > MAX_IDS - first || !slice_dup(&interned.arena, key, &copy))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (!add_record(&types[i], first))
			return 0;
	return map_insert(&interned.by_key, copy, first, &nomem) ? first : 0;
}

uint32_t wasm__intern_group(const struct wasm_type *types, uint32_t n)
{
	struct buf key = {0};
	bool ok = buf_reserve(&key, n * HEAD_WORDS * sizeof(wasm__word));
	for (uint32_t i = 0; ok && i < n; i++)
		ok = put_type(&key, &types[i]);
	uint32_t first = 0;
	if (ok) {
		sys_mutex_lock(&interned.lock);
		first = intern_key(buf_view(&key), types, n);
		sys_mutex_unlock(&interned.lock);
	}
	buf_release(&key);
	return first;
}

uint32_t wasm_intern_func_type(const struct wasm_func_type *type)
{
	if (type->nparams > LIMIT_PARAMS || type->nresults > LIMIT_RESULTS)
		return 0;
	return wasm__intern_group(&(struct wasm_type){.func = *type, .is_final = true}, 1);
}

// ---- matching -------------------------------------------------------------------------------------------------------
bool wasm_type_is_sub(uint32_t id, uint32_t super)
{
	if (id == super)
		return true;
	const struct wasm_type *a = wasm_interned_type(id), *b = wasm_interned_type(super);
	return a && b && b->depth < a->depth && a->display[b->depth] == super;
}

static uint32_t canonical(const struct wasm_module *m, uint32_t type)
{
	return m ? m->types[type].id : type;
}

// The form of a concrete type; -1 of an abstract one.
static int form_of(const struct wasm_module *m, struct wasm_valtype t)
{
	if (t.heap != WASM_HEAP_CONCRETE)
		return -1;
	if (m)
		return m->types[t.type].form;
	const struct wasm_type *x = wasm_interned_type(t.type);
	return x ? x->form : -1;
}

static bool is_object(int form)
{
	return form == WASM_FORM_STRUCT || form == WASM_FORM_ARRAY;
}

bool wasm_valtype_is_object(const struct wasm_module *m, struct wasm_valtype t)
{
	if (t.kind != WASM_REF)
		return false;
	return t.heap == WASM_HEAP_EXTERN || t.heap == WASM_HEAP_NOEXTERN || (t.heap >= WASM_HEAP_ANY && t.heap <= WASM_HEAP_NONE) || is_object(form_of(m, t));
}

static bool heap_matches(const struct wasm_module *mh, struct wasm_valtype have, const struct wasm_module *mw, struct wasm_valtype want)
{
	if (have.heap == WASM__HEAP_BOTTOM)
		return true;
	int form = form_of(mh, have);
	switch (want.heap) {
	case WASM_HEAP_FUNC:
		return have.heap == WASM_HEAP_FUNC || have.heap == WASM_HEAP_NOFUNC || form == WASM_FORM_FUNC;
	case WASM_HEAP_EXTERN:
		return have.heap == WASM_HEAP_EXTERN || have.heap == WASM_HEAP_NOEXTERN;
	case WASM_HEAP_EXN:
		return have.heap == WASM_HEAP_EXN || have.heap == WASM_HEAP_NOEXN;
	case WASM_HEAP_ANY:
	case WASM_HEAP_EQ:
		return (have.heap >= want.heap && have.heap <= WASM_HEAP_NONE) || is_object(form);
	case WASM_HEAP_I31:
		return have.heap == WASM_HEAP_I31 || have.heap == WASM_HEAP_NONE;
	case WASM_HEAP_STRUCT:
		return have.heap == WASM_HEAP_STRUCT || have.heap == WASM_HEAP_NONE || form == WASM_FORM_STRUCT;
	case WASM_HEAP_ARRAY:
		return have.heap == WASM_HEAP_ARRAY || have.heap == WASM_HEAP_NONE || form == WASM_FORM_ARRAY;
	case WASM_HEAP_CONCRETE:
		if (form >= 0)
			return wasm_type_is_sub(canonical(mh, have.type), canonical(mw, want.type));
		return have.heap == (is_object(form_of(mw, want)) ? WASM_HEAP_NONE : WASM_HEAP_NOFUNC);
	}
	return have.heap == want.heap;
}

bool wasm_valtype_matches(const struct wasm_module *mh, struct wasm_valtype have, const struct wasm_module *mw, struct wasm_valtype want)
{
	if (have.kind != want.kind)
		return false;
	if (have.kind != WASM_REF)
		return true;
	return (want.nullable || !have.nullable) && heap_matches(mh, have, mw, want);
}

bool wasm__matches_slow(const struct wasm_module *m, wasm__word have, wasm__word want)
{
	return have == want || have == WASM__BOTTOM || wasm_valtype_matches(m, wasm__unpack(have), m, wasm__unpack(want));
}

bool wasm__field_matches(const struct wasm_module *m, const struct wasm_field *have, const struct wasm_field *want)
{
	return have->mutable == want->mutable && have->packed == want->packed && wasm_valtype_matches(m, have->type, m, want->type) &&
		(!have->mutable || wasm_valtype_matches(m, want->type, m, have->type));
}

bool wasm__type_fits(const struct wasm_module *m, const struct wasm_type *t, const struct wasm_type *super)
{
	if (t->form != super->form || t->nfields < super->nfields || t->func.nparams != super->func.nparams || t->func.nresults != super->func.nresults)
		return false;
	for (uint32_t i = 0; i < super->nfields; i++)
		if (!wasm__field_matches(m, &t->fields[i], &super->fields[i]))
			return false;
	for (uint32_t i = 0; i < t->func.nparams; i++)
		if (!wasm_valtype_matches(m, super->func.params[i], m, t->func.params[i]))
			return false;
	for (uint32_t i = 0; i < t->func.nresults; i++)
		if (!wasm_valtype_matches(m, t->func.results[i], m, super->func.results[i]))
			return false;
	return true;
}

bool wasm_limits_match(const struct wasm_limits *have, const struct wasm_limits *want)
{
	if (have->is64 != want->is64 || have->shared != want->shared || have->min < want->min)
		return false;
	return !want->has_max || (have->has_max && have->max <= want->max);
}
