// The function types of the process, and matching. Invariants:
//  1. Equal types have equal ids; an id is never reused and never 0; nothing here is ever freed (L22).
//  2. A key is the whole type (L21): counts, then each value type as a word in which a concrete reference holds the canonical id of its
//     type. A reference of a type to itself (its recursion group is itself alone) holds 0.
#include "wasm_int.h"

#include <pthread.h>

enum { MAX_IDS = 1 << 28, SELF = 0 };

static struct {
	pthread_mutex_t lock;
	struct map by_key;
	struct arena arena;
	VEC(const struct wasm_func_type *)
	types;  // by id - 1
} interned = {.lock = PTHREAD_MUTEX_INITIALIZER, .arena = {.max = SIZE_MAX}};

static const struct wasm_func_type *new_type(const wasm__word *key, uint32_t id)
{
	uint32_t nparams = (uint32_t)key[0], n = nparams + (uint32_t)key[1];
	struct wasm_func_type *t = ARENA_NEW(&interned.arena, struct wasm_func_type);
	struct wasm_valtype *types = ARENA_ARRAY(&interned.arena, struct wasm_valtype, n);
	if (!t || !types)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		types[i] = wasm__unpack(key[2 + i]);
		if (types[i].kind == WASM_REF && types[i].heap == WASM_HEAP_CONCRETE && types[i].type == SELF)
			types[i].type = id;
	}
	*t = (struct wasm_func_type){nparams, (uint32_t)key[1], types, types + nparams};
	return t;
}

static uint32_t intern_key(const wasm__word *key, size_t words)
{
	struct slice k = slice_of(key, words * sizeof(*key));
	uintptr_t found;
	if (map_get(&interned.by_key, k, &found))
		return (uint32_t)found;
	uint32_t id = interned.types.len + 1;
	const wasm__word *copy = arena_copy(&interned.arena, key, k.len, _Alignof(wasm__word));
	const struct wasm_func_type *t = copy ? new_type(copy, id) : NULL;
	if (!t || !VEC_PUSH(NULL, &interned.types, t, MAX_IDS))
		return 0;
	bool nomem;
	if (!map_insert(&interned.by_key, slice_of(copy, k.len), id, &nomem)) {
		interned.types.len--;
		return 0;
	}
	return id;
}

static uint32_t intern(const struct wasm_func_type *t, const struct wasm_type *types, uint32_t self)
{
	if (t->nparams > LIMIT_PARAMS || t->nresults > LIMIT_RESULTS)
		return 0;
	wasm__word key[2 + LIMIT_PARAMS + LIMIT_RESULTS];
	uint32_t n = t->nparams + t->nresults;
	key[0] = t->nparams;
	key[1] = t->nresults;
	for (uint32_t i = 0; i < n; i++) {
		struct wasm_valtype v = i < t->nparams ? t->params[i] : t->results[i - t->nparams];
		if (types && v.kind == WASM_REF && v.heap == WASM_HEAP_CONCRETE)
			v.type = v.type == self ? SELF : types[v.type].id;
		key[2 + i] = wasm__pack(v);
	}
	pthread_mutex_lock(&interned.lock);
	uint32_t id = intern_key(key, 2 + n);
	pthread_mutex_unlock(&interned.lock);
	return id;
}

uint32_t wasm__intern(const struct wasm_type *types, uint32_t index)
{
	return intern(&types[index].func, types, index);
}

uint32_t wasm_intern_func_type(const struct wasm_func_type *type)
{
	return intern(type, NULL, 0);
}

const struct wasm_func_type *wasm_interned_func_type(uint32_t id)
{
	pthread_mutex_lock(&interned.lock);
	const struct wasm_func_type *t = id - 1 < interned.types.len ? interned.types.ptr[id - 1] : NULL;
	pthread_mutex_unlock(&interned.lock);
	return t;
}

// ---- matching -------------------------------------------------------------------------------------------------------
static uint32_t canonical(const struct wasm_module *m, uint32_t type)
{
	return m ? m->types[type].id : type;
}

static bool heap_matches(const struct wasm_module *mh, struct wasm_valtype have, const struct wasm_module *mw, struct wasm_valtype want)
{
	if (have.heap == WASM__HEAP_BOTTOM)
		return true;
	switch (want.heap) {
	case WASM_HEAP_FUNC:
		return have.heap == WASM_HEAP_FUNC || have.heap == WASM_HEAP_NOFUNC || have.heap == WASM_HEAP_CONCRETE;
	case WASM_HEAP_EXTERN:
		return have.heap == WASM_HEAP_EXTERN || have.heap == WASM_HEAP_NOEXTERN;
	case WASM_HEAP_CONCRETE:
		return have.heap == WASM_HEAP_NOFUNC || (have.heap == WASM_HEAP_CONCRETE && canonical(mh, have.type) == canonical(mw, want.type));
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

bool wasm_limits_match(const struct wasm_limits *have, const struct wasm_limits *want)
{
	if (have->is64 != want->is64 || have->shared != want->shared || have->min < want->min)
		return false;
	return !want->has_max || (have->has_max && have->max <= want->max);
}
