// Value types: constructors, and all that follows from a type alone: canonical layouts with 32- and 64-bit pointers, flat core types,
// effective size. Follows "Alignment", "Element Size" and "Flattening" of the canonical ABI.
#include "wit_int.h"

const char *wit_kind_name(enum wit_kind kind)
{
	static const char *const names[WIT_N_KINDS] = {
		[WIT_BOOL] = "bool",
		[WIT_S8] = "s8",
		[WIT_U8] = "u8",
		[WIT_S16] = "s16",
		[WIT_U16] = "u16",
		[WIT_S32] = "s32",
		[WIT_U32] = "u32",
		[WIT_S64] = "s64",
		[WIT_U64] = "u64",
		[WIT_F32] = "f32",
		[WIT_F64] = "f64",
		[WIT_CHAR] = "char",
		[WIT_STRING] = "string",
		[WIT_ERROR_CONTEXT] = "error-context",
		[WIT_LIST] = "list",
		[WIT_FIXED_LIST] = "list",
		[WIT_MAP] = "map",
		[WIT_RECORD] = "record",
		[WIT_TUPLE] = "tuple",
		[WIT_VARIANT] = "variant",
		[WIT_ENUM] = "enum",
		[WIT_OPTION] = "option",
		[WIT_RESULT] = "result",
		[WIT_FLAGS] = "flags",
		[WIT_OWN] = "own",
		[WIT_BORROW] = "borrow",
		[WIT_STREAM] = "stream",
		[WIT_FUTURE] = "future",
	};
	return kind < WIT_N_KINDS ? names[kind] : "?";
}

#define ONE_LEVEL(kind_, flags_) .kind = kind_, .flags = flags_, .depth = 1, .effective_size = 1
#define LAYOUT(align_32, align_64, size_32, size_64) .align32 = align_32, .align64 = align_64, .size32 = size_32, .size64 = size_64
#define SCALAR(kind_, size, core) [kind_] = {ONE_LEVEL(kind_, 0), LAYOUT(size, size, size, size), .n_flat = 1, .flat = {core}}

const struct wit_type wit_primitives[WIT_N_PRIMITIVES] = {
	SCALAR(WIT_BOOL, 1, WIT_CORE_I32),
	SCALAR(WIT_S8, 1, WIT_CORE_I32),
	SCALAR(WIT_U8, 1, WIT_CORE_I32),
	SCALAR(WIT_S16, 2, WIT_CORE_I32),
	SCALAR(WIT_U16, 2, WIT_CORE_I32),
	SCALAR(WIT_S32, 4, WIT_CORE_I32),
	SCALAR(WIT_U32, 4, WIT_CORE_I32),
	SCALAR(WIT_S64, 8, WIT_CORE_I64),
	SCALAR(WIT_U64, 8, WIT_CORE_I64),
	SCALAR(WIT_F32, 4, WIT_CORE_F32),
	SCALAR(WIT_F64, 8, WIT_CORE_F64),
	SCALAR(WIT_CHAR, 4, WIT_CORE_I32),
	[WIT_STRING] = {ONE_LEVEL(WIT_STRING, WIT_HAS_PTR), LAYOUT(4, 8, 8, 16), .n_flat = 2, .flat = {WIT_CORE_I32, WIT_CORE_I32}},
	[WIT_ERROR_CONTEXT] = {ONE_LEVEL(WIT_ERROR_CONTEXT, WIT_HAS_HANDLE), LAYOUT(4, 4, 4, 4), .n_flat = 1, .flat = {WIT_CORE_I32}},
};

// A type under construction: sizes in 64 bits, saturating.
struct draft {
	struct wit_type t;
	uint64_t size32, size64, effective;
};

static struct draft draft_of(enum wit_kind kind)
{
	return (struct draft){.t = {.kind = (uint8_t)kind, .align32 = 1, .align64 = 1}, .effective = 1};
}

// Takes a part into account: depth, flags, effective size. Layout is the caller's.
static void draft_part(struct draft *d, const struct wit_type *part)
{
	if (part->depth > d->t.depth)
		d->t.depth = part->depth;
	d->t.flags |= part->flags;
	d->effective = sat_add_u64(d->effective, part->effective_size);
}

static void draft_align(struct draft *d, uint8_t align32, uint8_t align64)
{
	if (align32 > d->t.align32)
		d->t.align32 = align32;
	if (align64 > d->t.align64)
		d->t.align64 = align64;
}

// Flat types of records: those of the parts in order, or WIT_FLAT_OVER with the first ones kept.
static void draft_flat_part(struct draft *d, const struct wit_type *part)
{
	struct wit_type *t = &d->t;
	unsigned n = t->n_flat, i = 0;
	if (n == WIT_FLAT_OVER)
		return;
	for (; i < part->n_flat && n < WIT_MAX_FLAT; i++)
		t->flat[n++] = part->flat[i];
	t->n_flat = (uint8_t)(i < part->n_flat ? WIT_FLAT_OVER : n);
}

static uint8_t flat_join(uint8_t a, uint8_t b)
{
	if (a == b)
		return a;
	if ((a == WIT_CORE_I32 && b == WIT_CORE_F32) || (a == WIT_CORE_F32 && b == WIT_CORE_I32))
		return WIT_CORE_I32;
	return WIT_CORE_I64;
}

// The place of a further member of a record.
static void draft_field(struct draft *d, struct wit_field *f, struct slice name, const struct wit_type *type)
{
	draft_part(d, type);
	draft_align(d, type->align32, type->align64);
	d->size32 = align_up_u64(d->size32, type->align32);
	d->size64 = align_up_u64(d->size64, type->align64);
	*f = (struct wit_field){name, type, (uint32_t)min_u64(d->size32, UINT32_MAX), (uint32_t)min_u64(d->size64, UINT32_MAX)};
	d->size32 = sat_add_u64(d->size32, type->size32);
	d->size64 = sat_add_u64(d->size64, type->size64);
	draft_flat_part(d, type);
}

// Checks the bounds of invariant 3 and writes the type into the arena.
static bool draft_check(struct draft *d, uint64_t max_size, struct err *e)
{
	d->size32 = align_up_u64(d->size32, d->t.align32);
	d->size64 = align_up_u64(d->size64, d->t.align64);
	if (d->size64 >= max_size || d->size32 >= max_size)
		return err_set(e, ERR_INVALID, "%s type exceeds maximum byte size of 2^28 - 1", wit_kind_name(d->t.kind));
	if (d->effective > WIT_MAX_EFFECTIVE_SIZE)
		return err_set(e, ERR_INVALID, "effective type size exceeds the limit of %u", WIT_MAX_EFFECTIVE_SIZE);
	if (d->t.depth >= WIT_MAX_DEPTH)
		return err_set(e, ERR_INVALID, "type nesting is too deep: more than %u levels", WIT_MAX_DEPTH);
	d->t.depth++;
	d->t.size32 = (uint32_t)d->size32;
	d->t.size64 = (uint32_t)d->size64;
	d->t.effective_size = (uint32_t)d->effective;
	return true;
}

static bool draft_finish_within(struct arena *a, struct draft *d, uint64_t max_size, const struct wit_type **ret, struct err *e)
{
	if (!draft_check(d, max_size, e))
		return false;
	struct wit_type *t = arena_copy(a, &d->t, sizeof(d->t), _Alignof(struct wit_type));
	if (!t)
		return err_nomem(e);
	*ret = t;
	return true;
}

static bool draft_finish(struct arena *a, struct draft *d, const struct wit_type **ret, struct err *e)
{
	return draft_finish_within(a, d, WIT_MAX_VALUE_SIZE, ret, e);
}

// Equal but for case and hyphens.
static bool labels_clash(struct slice a, struct slice b)
{
	size_t i = 0, j = 0;
	for (;; i++, j++) {
		while (i < a.len && a.ptr[i] == '-')
			i++;
		while (j < b.len && b.ptr[j] == '-')
			j++;
		if (i == a.len || j == b.len)
			return i == a.len && j == b.len;
		if (wit__lower(a.ptr[i]) != wit__lower(b.ptr[j]))
			return false;
	}
}

static bool labels_set_clash(struct slice have, struct slice old, const char *what, const char *previous, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s `%.*s` conflicts with previous %s `%.*s`", what, SLICE_ARGS(have), previous, SLICE_ARGS(old));
}

// For many labels: a table of their keys, in an arena of its own.
static bool labels_check_many(const struct wit_member *m, uint32_t n, const char *what, const char *previous, struct err *e)
{
	struct arena tmp;
	struct map seen;
	bool ok = true;
	arena_init(&tmp, 0);
	map_init(&seen, &tmp);
	for (uint32_t i = 0; i < n && ok; i++) {
		bool nomem = false;
		uintptr_t old = 0;
		uint8_t *key = arena_alloc(&tmp, m[i].name.len + 1, 1);
		if (!key) {
			ok = err_nomem(e);
			break;
		}
		struct slice s = slice_of(key, wit_name_unique_key(m[i].name, key));
		if (map_get(&seen, s, &old))
			ok = labels_set_clash(m[i].name, m[old].name, what, previous, e);
		else if (!map_insert(&seen, s, i, &nomem))
			ok = err_nomem(e);
	}
	arena_release(&tmp);
	return ok;
}

bool wit__labels_check(const struct wit_member *m, uint32_t n, const char *what, const char *previous, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		if (m[i].name.len == 0)
			return err_set(e, ERR_INVALID, "%s cannot be empty", what);
		if (!wit__label_is_valid(m[i].name)) {
			err_set(e, ERR_INVALID, "%s `%.*s` is not in kebab case", what, SLICE_ARGS(m[i].name));
			return err_hint(e, "words of lower-case letters and digits (or acronyms in upper case), joined by '-', the first one begins with a letter");
		}
		for (uint32_t j = 0; j < i && n <= 24; j++)
			if (labels_clash(m[i].name, m[j].name))
				return labels_set_clash(m[i].name, m[j].name, what, previous, e);
	}
	return n <= 24 || labels_check_many(m, n, what, previous, e);
}

// ---- constructors ----

bool wit_type_list(struct arena *a, const struct wit_type *elem, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_LIST);
	draft_part(&d, elem);
	d.t.flags |= WIT_HAS_PTR;
	d.t.elem = elem;
	draft_align(&d, 4, 8);
	d.size32 = 8;
	d.size64 = 16;
	d.t.n_flat = 2;
	d.t.flat[0] = d.t.flat[1] = WIT_CORE_I32;
	return draft_finish(a, &d, ret, e);
}

bool wit_type_map(struct arena *a, const struct wit_type *key, const struct wit_type *value, const struct wit_type **ret, struct err *e)
{
	if (key->kind > WIT_STRING || key->kind == WIT_F32 || key->kind == WIT_F64)
		return err_set(e, ERR_INVALID, "map key type must be an integer, bool, char or string, not %s", wit_kind_name(key->kind));
	const struct wit_type *pair, *list;
	struct draft d = draft_of(WIT_TUPLE);
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, 2);
	if (!f)
		return err_nomem(e);
	draft_field(&d, &f[0], (struct slice){0}, key);
	draft_field(&d, &f[1], (struct slice){0}, value);
	d.t.fields = f;
	d.t.n = 2;
	// The entry is no type that anybody declared: its parts are within the bound, it need not be.
	if (!draft_finish_within(a, &d, WIT_MAX_VALUE_SIZE + WIT_MAX_VALUE_SIZE / 2, &pair, e) || !wit_type_list(a, pair, &list, e))
		return false;
	struct wit_type *t = arena_copy(a, list, sizeof(*list), _Alignof(struct wit_type));
	if (!t)
		return err_nomem(e);
	t->kind = WIT_MAP;
	*ret = t;
	return true;
}

bool wit_type_fixed_list(struct arena *a, const struct wit_type *elem, uint64_t n, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_FIXED_LIST);
	if (n == 0)
		return err_set(e, ERR_INVALID, "fixed-length lists must have more than zero elements");
	draft_part(&d, elem);
	d.t.elem = elem;
	draft_align(&d, elem->align32, elem->align64);
	d.size32 = sat_mul_u64(elem->size32, n);
	d.size64 = sat_mul_u64(elem->size64, n);
	d.t.n = (uint32_t)min_u64(n, UINT32_MAX);
	for (uint64_t i = 0; i < n && i < WIT_FLAT_OVER; i++)
		draft_flat_part(&d, elem);
	return draft_finish(a, &d, ret, e);
}

static bool make_fields(struct arena *a, struct draft *d, const struct wit_member *m, uint32_t n, struct err *e)
{
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, n ? n : 1);
	if (!f)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		draft_field(d, &f[i], m[i].name, m[i].type);
	d->t.fields = f;
	d->t.n = n;
	return true;
}

bool wit_type_record(struct arena *a, const struct wit_member *fields, uint32_t n, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_RECORD);
	if (n == 0)
		return err_set(e, ERR_INVALID, "record type must have at least one field");
	return wit__labels_check(fields, n, "record field name", "field name", e) && make_fields(a, &d, fields, n, e) && draft_finish(a, &d, ret, e);
}

bool wit_type_tuple(struct arena *a, const struct wit_type *const *types, uint32_t n, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_TUPLE);
	if (n == 0)
		return err_set(e, ERR_INVALID, "tuple type must have at least one type");
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, n);
	if (!f)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		draft_field(&d, &f[i], (struct slice){0}, types[i]);
	d.t.fields = f;
	d.t.n = n;
	return draft_finish(a, &d, ret, e);
}

static unsigned discriminant_size(uint32_t n_cases)
{
	return n_cases <= 0x100 ? 1 : n_cases <= 0x10000 ? 2
													 : 4;
}

// Joined flat types of the payloads behind the discriminant.
static void variant_flat(struct wit_type *t)
{
	unsigned n = 1;
	bool over = false;
	t->flat[0] = WIT_CORE_I32;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_type *p = t->fields[i].type;
		if (!p)
			continue;
		over |= p->n_flat + 1u > WIT_MAX_FLAT;
		for (unsigned k = 0; k < p->n_flat && k + 1 < WIT_MAX_FLAT; k++) {
			if (k + 1 < n) {
				t->flat[k + 1] = flat_join(t->flat[k + 1], p->flat[k]);
			} else {
				t->flat[k + 1] = p->flat[k];
				n = k + 2;
			}
		}
	}
	t->n_flat = over ? WIT_FLAT_OVER : (uint8_t)n;
}

// Only of types whose n_flat is not over: there is room for all.
static void flatten64(const struct wit_type *t, struct wit_flat *out);

static void flatten64_cases(const struct wit_type *t, struct wit_flat *out)
{
	unsigned from = out->n;
	for (uint32_t i = 0; i < t->n; i++) {
		struct wit_flat one = {0};
		if (t->fields[i].type)
			flatten64(t->fields[i].type, &one);
		for (unsigned k = 0; k < one.n; k++)
			out->types[from + k] = from + k < out->n ? flat_join(out->types[from + k], one.types[k]) : one.types[k];
		if (from + one.n > out->n)
			out->n = (uint8_t)(from + one.n);
	}
}

static void flatten64(const struct wit_type *t, struct wit_flat *out)
{
	switch ((enum wit_kind)t->kind) {
	case WIT_STRING:
	case WIT_LIST:
	case WIT_MAP:
		out->types[out->n++] = WIT_CORE_I64;
		out->types[out->n++] = WIT_CORE_I64;
		break;
	case WIT_FIXED_LIST:
		for (uint32_t i = 0; i < t->n; i++)
			flatten64(t->elem, out);
		break;
	case WIT_RECORD:
	case WIT_TUPLE:
		for (uint32_t i = 0; i < t->n; i++)
			flatten64(t->fields[i].type, out);
		break;
	case WIT_VARIANT:
	case WIT_OPTION:
	case WIT_RESULT:
	case WIT_ENUM:
		out->types[out->n++] = WIT_CORE_I32;
		flatten64_cases(t, out);
		break;
	default:
		for (unsigned i = 0; i < t->n_flat; i++)
			out->types[out->n++] = t->flat[i];
	}
}

void wit_type_flatten64(const struct wit_type *t, struct wit_flat *ret)
{
	*ret = (struct wit_flat){0};
	if (t->n_flat > WIT_MAX_FLAT)
		ret->n = WIT_FLAT_OVER;
	else
		flatten64(t, ret);
}

// Takes over `f`, whose names and types are set.
static bool make_variant(struct arena *a, struct draft *d, struct wit_field *f, uint32_t n, const struct wit_type **ret, struct err *e)
{
	uint64_t payload32 = 0, payload64 = 0;
	unsigned align32 = 1, align64 = 1, disc = discriminant_size(n);
	for (uint32_t i = 0; i < n; i++) {
		const struct wit_type *p = f[i].type;
		d->effective = sat_add_u64(d->effective, p ? 0 : 1);
		if (!p)
			continue;
		draft_part(d, p);
		payload32 = max_u64(payload32, p->size32);
		payload64 = max_u64(payload64, p->size64);
		align32 = p->align32 > align32 ? p->align32 : align32;
		align64 = p->align64 > align64 ? p->align64 : align64;
	}
	d->t.discriminant_size = (uint8_t)disc;
	draft_align(d, (uint8_t)disc, (uint8_t)disc);
	draft_align(d, (uint8_t)align32, (uint8_t)align64);
	d->t.payload32 = (uint32_t)align_up_u64(disc, align32);
	d->t.payload64 = (uint32_t)align_up_u64(disc, align64);
	for (uint32_t i = 0; i < n; i++) {
		f[i].offset32 = d->t.payload32;
		f[i].offset64 = d->t.payload64;
	}
	d->size32 = d->t.payload32 + payload32;
	d->size64 = d->t.payload64 + payload64;
	d->t.fields = f;
	d->t.n = n;
	variant_flat(&d->t);
	return draft_finish(a, d, ret, e);
}

bool wit_type_variant(struct arena *a, const struct wit_member *cases, uint32_t n, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_VARIANT);
	if (n == 0)
		return err_set(e, ERR_INVALID, "variant type must have at least one case");
	if (!wit__labels_check(cases, n, "variant case name", "case name", e))
		return false;
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, n);
	if (!f)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		f[i] = (struct wit_field){.name = cases[i].name, .type = cases[i].type};
	return make_variant(a, &d, f, n, ret, e);
}

// Names as fields without type, checked.
static struct wit_field *make_labels(struct arena *a, const struct slice *names, uint32_t n, const char *what, const char *previous, struct err *e)
{
	struct wit_member *m = ARENA_ARRAY(a, struct wit_member, n);
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, n);
	if (!m || !f)
		return (void)err_nomem(e), NULL;
	for (uint32_t i = 0; i < n; i++)
		m[i].name = f[i].name = names[i];
	return wit__labels_check(m, n, what, previous, e) ? f : NULL;
}

bool wit_type_enum(struct arena *a, const struct slice *names, uint32_t n, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_ENUM);
	if (n == 0)
		return err_set(e, ERR_INVALID, "enum type must have at least one variant");
	struct wit_field *f = make_labels(a, names, n, "enum tag name", "tag name", e);
	return f && make_variant(a, &d, f, n, ret, e);
}

bool wit_type_flags(struct arena *a, const struct slice *names, uint32_t n, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_FLAGS);
	if (n == 0)
		return err_set(e, ERR_INVALID, "flags must have at least one entry");
	if (n > 32)
		return err_set(e, ERR_INVALID, "cannot have more than 32 flags, found %u", n);
	struct wit_field *f = make_labels(a, names, n, "flag name", "flag name", e);
	if (!f)
		return false;
	uint8_t size = n <= 8 ? 1 : n <= 16 ? 2
										: 4;
	d.t.discriminant_size = size;
	draft_align(&d, size, size);
	d.size32 = d.size64 = size;
	d.effective += n;
	d.t.fields = f;
	d.t.n = n;
	d.t.n_flat = 1;
	d.t.flat[0] = WIT_CORE_I32;
	return draft_finish(a, &d, ret, e);
}

bool wit_type_option(struct arena *a, const struct wit_type *some, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_OPTION);
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, 2);
	if (!f)
		return err_nomem(e);
	f[0].name = SLICE_LIT("none");
	f[1].name = SLICE_LIT("some");
	f[1].type = some;
	return make_variant(a, &d, f, 2, ret, e);
}

bool wit_type_result(struct arena *a, const struct wit_type *ok, const struct wit_type *err, const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_RESULT);
	struct wit_field *f = ARENA_ARRAY(a, struct wit_field, 2);
	if (!f)
		return err_nomem(e);
	f[0].name = SLICE_LIT("ok");
	f[0].type = ok;
	f[1].name = SLICE_LIT("err");
	f[1].type = err;
	return make_variant(a, &d, f, 2, ret, e);
}

static bool make_handle(struct arena *a, enum wit_kind kind, unsigned flags, const struct wit_resource *r, const struct wit_type *elem,
	const struct wit_type **ret, struct err *e)
{
	struct draft d = draft_of(kind);
	if (elem)
		draft_part(&d, elem);
	d.t.flags = (uint8_t)flags;
	d.t.resource = r;
	d.t.elem = elem;
	draft_align(&d, 4, 4);
	d.size32 = d.size64 = 4;
	d.t.n_flat = 1;
	d.t.flat[0] = WIT_CORE_I32;
	return draft_finish(a, &d, ret, e);
}

bool wit_type_own(struct arena *a, const struct wit_resource *r, const struct wit_type **ret, struct err *e)
{
	return make_handle(a, WIT_OWN, WIT_HAS_HANDLE, r, NULL, ret, e);
}

bool wit_type_borrow(struct arena *a, const struct wit_resource *r, const struct wit_type **ret, struct err *e)
{
	return make_handle(a, WIT_BORROW, WIT_HAS_HANDLE | WIT_HAS_BORROW, r, NULL, ret, e);
}

static bool make_channel(struct arena *a, enum wit_kind kind, const struct wit_type *elem, const struct wit_type **ret, struct err *e)
{
	if (elem && elem->flags & WIT_HAS_BORROW)
		return err_set(e, ERR_INVALID, "%s type cannot contain a `borrow` type", wit_kind_name(kind));
	if (elem && kind == WIT_STREAM && elem->kind == WIT_CHAR)
		return err_set(e, ERR_INVALID, "`stream<char>` is not valid at this time");
	return make_handle(a, kind, WIT_HAS_HANDLE | WIT_HAS_STREAM, NULL, elem, ret, e);
}

bool wit_type_stream(struct arena *a, const struct wit_type *elem, const struct wit_type **ret, struct err *e)
{
	return make_channel(a, WIT_STREAM, elem, ret, e);
}

bool wit_type_future(struct arena *a, const struct wit_type *elem, const struct wit_type **ret, struct err *e)
{
	return make_channel(a, WIT_FUTURE, elem, ret, e);
}

bool wit_func_type_make(struct arena *a, const struct wit_member *params, uint32_t n, const struct wit_type *result, bool is_async,
	const struct wit_func_type **ret, struct err *e)
{
	struct draft d = draft_of(WIT_RECORD);
	if (!wit__labels_check(params, n, "function parameter name", "parameter name", e))
		return false;
	if (result && result->flags & WIT_HAS_BORROW)
		return err_set(e, ERR_INVALID, "function result cannot contain a `borrow` type");
	if (!make_fields(a, &d, params, n, e))
		return false;
	if (result)
		d.effective = sat_add_u64(d.effective, result->effective_size);
	// The parameters are no value of their own: only their offsets must fit.
	if (!draft_check(&d, UINT32_MAX, e))
		return false;
	struct wit_func_type *f = ARENA_NEW(a, struct wit_func_type);
	if (!f)
		return err_nomem(e);
	f->params = d.t;
	f->result = result;
	f->is_async = is_async;
	*ret = f;
	return true;
}
