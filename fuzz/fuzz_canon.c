// Lifting and lowering of random types over random memory, of 32-bit addresses or of 64-bit ones above 4 GiB. A load from hostile memory reads nothing out of
// bounds; what it gave is stored, in that memory and in one of the other width, read back and must be equal, by memory and by flat values.
// PROGRAM(fuzz_canon, "canon", "")
#include "canon/canon_int.h"
#include "sys/sys.h"

enum { MEMORY = 1 << 16, MAX_PARTS = 6 };
#define HIGH (UINT64_C(5) << 30)

struct input {
	const uint8_t *p, *end;
};
static uint8_t take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

// ---- types ----

static const struct wit_type *make_type(struct arena *a, struct input *in, unsigned depth);

static const struct wit_type *make_members(struct arena *a, struct input *in, unsigned depth, bool variant)
{
	static const char *const names[MAX_PARTS] = {"a", "b", "c", "d", "e", "f"};
	struct wit_member m[MAX_PARTS];
	uint32_t n = 1 + take(in) % MAX_PARTS;
	for (uint32_t i = 0; i < n; i++) {
		const struct wit_type *t = variant && take(in) % 3 == 0 ? NULL : make_type(a, in, depth + 1);
		m[i] = (struct wit_member){slice_str(names[i]), t};
		if (!t && !variant)
			return NULL;
	}
	const struct wit_type *ret = NULL;
	bool ok = variant ? wit_type_variant(a, m, n, &ret, NULL) : wit_type_record(a, m, n, &ret, NULL);
	return ok ? ret : NULL;
}

static const struct wit_type *make_labels(struct arena *a, struct input *in, bool flags)
{
	static char text[300][5];
	struct slice names[300];
	uint32_t n = flags ? 1 + take(in) % 32 : 1 + (take(in) | (take(in) & 1) << 8) % 299;
	for (uint32_t i = 0; i < n; i++)
		names[i] = slice_of(text[i], (size_t)snprintf(text[i], sizeof(text[i]), "x%u", i));
	const struct wit_type *ret = NULL;
	bool ok = flags ? wit_type_flags(a, names, n, &ret, NULL) : wit_type_enum(a, names, n, &ret, NULL);
	return ok ? ret : NULL;
}

static const struct wit_type *make_type(struct arena *a, struct input *in, unsigned depth)
{
	const struct wit_type *ret = NULL, *part;
	unsigned kind = take(in) % WIT_N_KINDS;
	if (depth > 5 || kind < WIT_ERROR_CONTEXT)
		return wit_type_primitive(kind % WIT_ERROR_CONTEXT);
	switch (kind) {
	case WIT_LIST:
		part = make_type(a, in, depth + 1);
		return part && wit_type_list(a, part, &ret, NULL) ? ret : NULL;
	case WIT_FIXED_LIST:
		part = make_type(a, in, depth + 1);
		return part && wit_type_fixed_list(a, part, 1 + take(in) % 4, &ret, NULL) ? ret : NULL;
	case WIT_OPTION:
		part = make_type(a, in, depth + 1);
		return part && wit_type_option(a, part, &ret, NULL) ? ret : NULL;
	case WIT_RESULT:
		part = make_type(a, in, depth + 1);
		return wit_type_result(a, part, take(in) & 1 ? part : NULL, &ret, NULL) ? ret : NULL;
	case WIT_RECORD:
	case WIT_TUPLE:
		return make_members(a, in, depth, false);
	case WIT_VARIANT:
		return make_members(a, in, depth, true);
	case WIT_ENUM:
		return make_labels(a, in, false);
	case WIT_FLAGS:
		return make_labels(a, in, true);
	default:
		return wit_type_primitive(kind % WIT_ERROR_CONTEXT);
	}
}

// ---- equality of native values ----

// Between components a string may come back in another encoding: then only shapes are compared.
static bool texts_too;

static bool equal(const struct wit_type *t, const uint8_t *a, const uint8_t *b);

static bool equal_elements(const struct wit_type *elem, const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!equal(elem, a + i * elem->size64, b + i * elem->size64))
			return false;
	return true;
}

static bool equal(const struct wit_type *t, const uint8_t *a, const uint8_t *b)
{
	if (t->kind == WIT_STRING) {
		const struct wit_string *x = (const void *)a, *y = (const void *)b;
		return !texts_too || (x->len == y->len && (x->len == 0 || memcmp(x->ptr, y->ptr, x->len) == 0));
	}
	if (t->kind == WIT_LIST) {
		const struct wit_list *x = (const void *)a, *y = (const void *)b;
		return x->len == y->len && equal_elements(t->elem, x->ptr, y->ptr, x->len);
	}
	if (t->kind == WIT_FIXED_LIST)
		return equal_elements(t->elem, a, b, t->n);
	if (wit_kind_is_record(t->kind)) {
		for (uint32_t i = 0; i < t->n; i++)
			if (!equal(t->fields[i].type, a + t->fields[i].offset64, b + t->fields[i].offset64))
				return false;
		return true;
	}
	if (wit_kind_is_variant(t->kind)) {
		uint32_t x = wit_discriminant_load(a, t->discriminant_size), y = wit_discriminant_load(b, t->discriminant_size);
		const struct wit_type *p = x < t->n ? t->fields[x].type : NULL;
		return x == y && x < t->n && (!p || equal(p, a + t->payload64, b + t->payload64));
	}
	return memcmp(a, b, t->size64) == 0;
}

// ---- a memory with a bump allocator ----

struct guest {
	struct canon_instance inst;
	struct abi_memory memory;
	struct canon_trap trap;
	struct canon_task task;
	struct canon__cx cx;
	uint8_t *bytes;
	uint64_t low, next;  // addresses: of bytes[0], below which all is zero; of what is free
};

static bool bump(struct canon__cx *cx, uint64_t old, uint64_t old_size, uint32_t align, uint64_t size, uint64_t *ret)
{
	struct guest *g = CONTAINER_OF(cx, struct guest, cx);
	uint64_t at = (g->next + align - 1) & ~(uint64_t)(align - 1);
	if (old && size <= old_size) {
		*ret = old;
		return true;
	}
	if (at + size > g->memory.length) {
		*ret = cx->wide ? UINT64_MAX : UINT32_MAX;
		return true;
	}
	if (old)
		memmove(g->memory.base + at, g->memory.base + old, old_size);
	g->next = at + size;
	*ret = at;
	return true;
}

// The end of a memory that reaches beyond 4 GiB, with nothing accessible behind it; there is one, and one guest that has it.
static uint8_t *high_bytes(void)
{
	static uint8_t *base;
	if (!base && (base = sys_reserve(HIGH + MEMORY + SYS_PAGE)) && sys_protect(base, HIGH + MEMORY, true))
		base = NULL;
	return base ? memset(base + HIGH, 0, MEMORY) : NULL;
}

static bool guest_init(struct guest *g, uint8_t encoding, bool wide)
{
	*g = (struct guest){.bytes = wide ? high_bytes() : mem_zalloc(MEMORY), .low = wide ? HIGH : 0};
	if (!g->bytes)
		return false;
	g->next = g->low + MEMORY / 2;
	g->memory = (struct abi_memory){.base = g->bytes - g->low, .length = g->low + MEMORY, .max_bytes = g->low + MEMORY};
	struct vm_shard *shard = vm_shard_current();
	if (!shard && !vm_shard_new(&shard, NULL))
		return false;
	g->inst.exec = vm_shard_exec(shard);
	g->task = (struct canon_task){.instance = &g->inst, .trap = &g->trap};
	arena_init(&g->task.arena, 4 << 20);
	g->cx = (struct canon__cx){.inst = &g->inst, .task = &g->task, .memory = &g->memory, .encoding = encoding, .wide = wide, .arena = &g->task.arena, .reallocate = bump};
	return true;
}

static void guest_release(struct guest *g)
{
	if (!g->low)
		mem_free(g->bytes);
	arena_release(&g->task.arena);
}

static void *native(struct guest *g, const struct wit_type *t)
{
	return arena_zalloc(&g->task.arena, t->size64 + 1, 16);
}

// By way of the other half of a memory.
static void through_memory(struct guest *g, const struct wit_type *t, const uint8_t *a)
{
	uint64_t back = g->low + MEMORY / 2;
	uint8_t *b = native(g, t);
	g->cx.copy = true;
	g->cx.trap = TRAP_NONE;
	g->next = back + canon__size(g->cx.wide, t);
	if (!b || canon__size(g->cx.wide, t) > MEMORY / 4 || !canon__store(&g->cx, a, t, back))
		return;
	BUG_ON(!canon__load(&g->cx, back, t, b) && g->cx.trap != TRAP_OUT_OF_MEMORY);
	BUG_ON(g->cx.trap == TRAP_NONE && !equal(t, a, b));
}

static void through_cells(struct guest *g, const struct wit_type *t, const uint8_t *a)
{
	uint8_t *b = native(g, t);
	if (!b || t->n_flat > MAX_FLAT_PARAMS)
		return;
	uint64_t cells[MAX_FLAT_PARAMS + 1], *vo = cells;
	const uint64_t *vi = cells;
	g->cx.trap = TRAP_NONE;
	if (!canon__lower_flat(&g->cx, a, t, &vo))
		return;
	BUG_ON(vo != cells + t->n_flat);
	if (canon__lift_flat(&g->cx, &vi, t, b))
		BUG_ON(vi != cells + t->n_flat || !equal(t, a, b));
	else
		BUG_ON(g->cx.trap != TRAP_OUT_OF_MEMORY);
}

static void round_trip(struct guest *g, struct guest *other, const struct wit_type *t, uint64_t ptr)
{
	uint8_t *a = native(g, t);
	g->cx.trap = TRAP_NONE;
	g->cx.copy = false;
	if (!a || !canon__load(&g->cx, ptr, t, a))
		return;
	g->cx.copy = true;
	if (!canon__load(&g->cx, ptr, t, a))  // what follows writes into the same memory
		return;
	through_memory(g, t, a);
	through_cells(g, t, a);
	through_memory(other, t, a);
	through_cells(other, t, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t encodings[] = {CANON_UTF8, CANON_UTF16, CANON_LATIN1_UTF16};
	struct input in = {data, data + size};
	struct arena types;
	arena_init(&types, 16 << 20);
	struct guest g, other;
	uint8_t mode = take(&in);
	bool ok = guest_init(&g, encodings[mode % 3], mode & 16);
	ok = guest_init(&other, encodings[mode / 32 % 3], !(mode & 16)) && ok;
	g.cx.between = other.cx.between = mode & 8;
	texts_too = !g.cx.between;
	const struct wit_type *t = ok ? make_type(&types, &in, 0) : NULL;
	if (t) {
		size_t n = min_u64((size_t)(in.end - in.p), MEMORY / 2);
		uint32_t bytes = canon__size(g.cx.wide, t);
		if (n)
			memcpy(g.bytes, in.p, n);
		uint64_t where[] = {g.low, (g.low + MEMORY - bytes) & ~(uint64_t)(canon__align(g.cx.wide, t) - 1u)};
		for (size_t i = 0; i < ARRAY_LEN(where) && bytes <= MEMORY / 4; i++)
			round_trip(&g, &other, t, where[i]);
	}
	guest_release(&g);
	guest_release(&other);
	arena_release(&types);
	return 0;
}
