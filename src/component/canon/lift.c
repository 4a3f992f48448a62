// Lifting: from guest memory or flat core values to native values. CanonicalABI "Loading", "Flat Lifting", "Lifting and Lowering Values".
//
// 1. The caller of canon__load has checked alignment and range of [ptr, ptr + canon__size); types were bounded by wit (depth, sizes), so recursion is.
// 2. Each guest value is hostile: what can be out of range traps here, exactly where the specification has it (L62, L63).
// 3. Nothing here runs guest code, so pointers into the memory are good for the whole of one lift.
#include "canon_int.h"

static void put_list(void *dst, const void *ptr, size_t len)
{
	*(struct wit_list *)dst = (struct wit_list){ptr, len};
}

bool canon__is_plain(const struct wit_type *t)
{
	switch (t->kind) {
	case WIT_S8:
	case WIT_U8:
	case WIT_S16:
	case WIT_U16:
	case WIT_S32:
	case WIT_U32:
	case WIT_S64:
	case WIT_U64:
		return true;
	case WIT_FIXED_LIST:
		return canon__is_plain(t->elem);
	case WIT_RECORD:
	case WIT_TUPLE: {
		if (t->flags)
			return false;
		uint32_t end = 0;
		for (uint32_t i = 0; i < t->n; i++) {
			if (t->fields[i].offset32 != end || !canon__is_plain(t->fields[i].type))
				return false;
			end += t->fields[i].type->size32;
		}
		return end == t->size32;
	}
	default:
		return false;
	}
}

// decode_i32_as_float, decode_i64_as_float: a NaN becomes the canonical one (C23).
static uint32_t canonical_f32(uint32_t bits)
{
	return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits;
}

static uint64_t canonical_f64(uint64_t bits)
{
	return (bits & INT64_MAX) > UINT64_C(0x7ff0000000000000) ? UINT64_C(0x7ff8000000000000) : bits;
}

static bool convert_i32_to_char(struct canon__cx *cx, uint32_t i, void *dst)
{
	if (i >= 0x110000 || (i >= 0xd800 && i <= 0xdfff))
		return canon__fail(cx, TRAP_CANON, "invalid char: 0x%x is not a Unicode scalar value", i);
	memcpy(dst, &i, 4);
	return true;
}

// Undefined bits are dropped (C22).
static uint32_t mask_flags(const struct wit_type *t, uint32_t bits)
{
	return t->n >= 32 ? bits : bits & ((UINT32_C(1) << t->n) - 1);
}

NOINLINE static bool not_supported(struct canon__cx *cx, const struct wit_type *t)
{
	return canon__fail(cx, TRAP_NOT_IMPLEMENTED, "values of type %s are not supported yet", wit_kind_name(t->kind));
}

NOINLINE static bool load_elements(struct canon__cx *cx, uint64_t ptr, uint32_t length, const struct wit_type *elem, uint8_t *dst)
{
	uint64_t size = canon__size(cx->wide, elem);
	for (uint32_t i = 0; i < length; i++)
		if (!canon__work(cx, VM_WORK_ITEM) || !canon__load(cx, ptr + i * size, elem, dst + (size_t)i * elem->size64))
			return false;
	return true;
}

// Of a list that host code may keep, or that must not change under the callee.
static bool copy_list(struct canon__cx *cx, const void **p, uint64_t bytes)
{
	void *copy = arena_alloc(cx->arena, bytes, 8);
	if (!copy)
		return canon__no_room(cx, "a list", bytes);
	if (!canon__copy(cx, copy, *p, bytes))
		return false;
	*p = copy;
	return true;
}

NOINLINE static bool load_list_from_range(struct canon__cx *cx, uint64_t ptr, uint64_t length, const struct wit_type *elem, void *dst)
{
	uint64_t bytes = sat_mul_u64(length, canon__size(cx->wide, elem));
	if (bytes > MAX_LIST_BYTE_LENGTH)
		return canon__fail(cx, TRAP_CANON, "list length %llu is too long: %llu bytes", (unsigned long long)length, (unsigned long long)bytes);
	if (!canon__is_aligned(ptr, canon__align(cx->wide, elem)))
		return canon__fail(cx, TRAP_CANON, "list pointer 0x%llx is not aligned to %u", (unsigned long long)ptr, canon__align(cx->wide, elem));
	if (!canon__in_memory(cx, ptr, bytes))
		return canon__fail(cx, TRAP_CANON, "list pointer/length out of bounds of memory: 0x%llx, %llu", (unsigned long long)ptr, (unsigned long long)length);
	if (length == 0) {
		put_list(dst, NULL, 0);
		return true;
	}
	if (canon__is_plain(elem)) {
		const void *p = canon__at(cx, ptr);
		if (cx->copy && !copy_list(cx, &p, bytes))
			return false;
		put_list(dst, p, length);
		return true;
	}
	uint8_t *p = arena_alloc(cx->arena, length * elem->size64, 8);
	if (!p)
		return canon__no_room(cx, "a list", length * elem->size64);
	if (!load_elements(cx, ptr, (uint32_t)length, elem, p))
		return false;
	put_list(dst, p, length);
	return true;
}

NOINLINE static bool load_record(struct canon__cx *cx, uint64_t ptr, const struct wit_type *t, uint8_t *dst)
{
	if (!canon__work(cx, t->n * VM_WORK_ITEM))
		return false;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_field *f = &t->fields[i];
		if (!canon__load(cx, ptr + canon__offset(cx->wide, f), f->type, dst + f->offset64))
			return false;
	}
	return true;
}

NOINLINE static bool load_variant(struct canon__cx *cx, uint64_t ptr, const struct wit_type *t, uint8_t *dst)
{
	uint32_t index = wit_discriminant_load(canon__at(cx, ptr), t->discriminant_size);
	if (index >= t->n)
		return canon__fail(cx, TRAP_CANON, "invalid %s discriminant: %u of %u", wit_kind_name(t->kind), index, t->n);
	wit_discriminant_store(dst, t->discriminant_size, index);
	const struct wit_type *payload = t->fields[index].type;
	return !payload || canon__load(cx, ptr + canon__payload(cx->wide, t), payload, dst + t->payload64);
}

static uint32_t load_u32(const struct canon__cx *cx, uint64_t ptr)
{
	uint32_t v;
	memcpy(&v, canon__at(cx, ptr), 4);
	return v;
}

// The k-th of two words as large as a pointer: where a string or list begins, and its length.
static uint64_t load_word(const struct canon__cx *cx, uint64_t ptr, unsigned k)
{
	uint64_t v;
	if (!cx->wide)
		return load_u32(cx, ptr + 4 * k);
	memcpy(&v, canon__at(cx, ptr + 8 * k), 8);
	return v;
}

// What leaves the table.
static bool take(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret)
{
	return t->kind == WIT_OWN ? canon__lift_own(cx, index, t, ret) : canon__lift_async_value(cx, index, t, ret);
}

static bool load_taken(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret)
{
	if (!cx->defers)
		return take(cx, index, t, ret);
	cx->n_ends += t->kind != WIT_OWN;
	*ret = index;
	return true;
}

bool canon__load(struct canon__cx *cx, uint64_t ptr, const struct wit_type *t, void *dst)
{
	switch ((enum wit_kind)t->kind) {
	case WIT_BOOL:
		*(uint8_t *)dst = *canon__at(cx, ptr) != 0;
		return true;
	case WIT_S8:
	case WIT_U8:
		memcpy(dst, canon__at(cx, ptr), 1);
		return true;
	case WIT_S16:
	case WIT_U16:
		memcpy(dst, canon__at(cx, ptr), 2);
		return true;
	case WIT_S32:
	case WIT_U32:
		memcpy(dst, canon__at(cx, ptr), 4);
		return true;
	case WIT_S64:
	case WIT_U64:
		memcpy(dst, canon__at(cx, ptr), 8);
		return true;
	case WIT_F32: {
		uint32_t v = canonical_f32(load_u32(cx, ptr));
		memcpy(dst, &v, 4);
		return true;
	}
	case WIT_F64: {
		uint64_t v;
		memcpy(&v, canon__at(cx, ptr), 8);
		v = canonical_f64(v);
		memcpy(dst, &v, 8);
		return true;
	}
	case WIT_CHAR:
		return convert_i32_to_char(cx, load_u32(cx, ptr), dst);
	case WIT_STRING:
		return canon__load_string_from_range(cx, load_word(cx, ptr, 0), load_word(cx, ptr, 1), dst);
	case WIT_LIST:
	case WIT_MAP:
		return load_list_from_range(cx, load_word(cx, ptr, 0), load_word(cx, ptr, 1), t->elem, dst);
	case WIT_FIXED_LIST:
		return load_elements(cx, ptr, t->n, t->elem, dst);
	case WIT_RECORD:
	case WIT_TUPLE:
		return load_record(cx, ptr, t, dst);
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_OPTION:
	case WIT_RESULT:
		return load_variant(cx, ptr, t, dst);
	case WIT_FLAGS:
		wit_discriminant_store(dst, t->discriminant_size, mask_flags(t, wit_discriminant_load(canon__at(cx, ptr), t->discriminant_size)));
		return true;
	case WIT_BORROW:
		return canon__lift_borrow(cx, load_u32(cx, ptr), t, dst);
	case WIT_OWN:
	case WIT_STREAM:
	case WIT_FUTURE:
		return load_taken(cx, load_u32(cx, ptr), t, dst);
	case WIT_ERROR_CONTEXT:
		return not_supported(cx, t);
	case WIT_N_KINDS:
		break;
	}
	return canon__fail(cx, TRAP_NOT_IMPLEMENTED, "unknown kind of type");
}

static bool take_deferred(void *ctx, const struct wit_type *t, uint32_t *index)
{
	return take(ctx, *index, t, index);
}

// Whatever may want memory comes first.
bool canon__load_whole(struct canon__cx *cx, uint64_t ptr, const struct wit_type *t, void *dst)
{
	cx->defers = true;
	cx->n_ends = 0;
	bool ok = canon__load(cx, ptr, t, dst);
	cx->defers = false;
	if (!ok)
		return false;
	if (cx->n_ends && !canon__numbers_reserve(cx->inst, cx->n_ends))
		return canon__no_room(cx, "the numbers of streams", sizeof(void *) * (uint64_t)cx->n_ends);
	return canon_value_handles(t, dst, take_deferred, cx);
}

// What most parameters are is lifted without another call.
NOINLINE static bool lift_flat_record(struct canon__cx *cx, const uint64_t **vi, const struct wit_type *t, uint8_t *dst)
{
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_type *f = t->fields[i].type;
		void *to = dst + t->fields[i].offset64;
		if (f->kind == WIT_U32 || f->kind == WIT_S32)
			memcpy(to, (*vi)++, 4);
		else if (f->kind == WIT_U64 || f->kind == WIT_S64)
			memcpy(to, (*vi)++, 8);
		else if (f->kind == WIT_BORROW ? !canon__lift_borrow(cx, (uint32_t)*(*vi)++, f, to) : !canon__lift_flat(cx, vi, f, to))
			return false;
	}
	return true;
}

NOINLINE static bool lift_flat_elements(struct canon__cx *cx, const uint64_t **vi, const struct wit_type *t, uint8_t *dst)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!canon__work(cx, VM_WORK_ITEM) || !canon__lift_flat(cx, vi, t->elem, dst + (size_t)i * t->elem->size64))
			return false;
	return true;
}

NOINLINE static bool lift_flat_variant(struct canon__cx *cx, const uint64_t **vi, const struct wit_type *t, uint8_t *dst)
{
	// Cells hold the joined types: the low half of an i64 is the i32 or f32 that the case wants, so that reading a cell is the coercion (C19).
	const uint64_t *start = *vi;
	uint32_t index = (uint32_t)*(*vi)++;
	if (index >= t->n)
		return canon__fail(cx, TRAP_CANON, "invalid %s discriminant: %u of %u", wit_kind_name(t->kind), index, t->n);
	wit_discriminant_store(dst, t->discriminant_size, index);
	const struct wit_type *payload = t->fields[index].type;
	if (payload && !canon__lift_flat(cx, vi, payload, dst + t->payload64))
		return false;
	*vi = start + t->n_flat;
	return true;
}

bool canon__lift_flat(struct canon__cx *cx, const uint64_t **vi, const struct wit_type *t, void *dst)
{
	switch ((enum wit_kind)t->kind) {
	case WIT_BOOL:
		*(uint8_t *)dst = (uint32_t)*(*vi)++ != 0;
		return true;
	case WIT_S8:
	case WIT_U8:
		memcpy(dst, (*vi)++, 1);  // upper bits are ignored (C21)
		return true;
	case WIT_S16:
	case WIT_U16:
		memcpy(dst, (*vi)++, 2);
		return true;
	case WIT_S32:
	case WIT_U32:
		memcpy(dst, (*vi)++, 4);
		return true;
	case WIT_S64:
	case WIT_U64:
		memcpy(dst, (*vi)++, 8);
		return true;
	case WIT_F32: {
		uint32_t v = canonical_f32((uint32_t)*(*vi)++);
		memcpy(dst, &v, 4);
		return true;
	}
	case WIT_F64: {
		uint64_t v = canonical_f64(*(*vi)++);
		memcpy(dst, &v, 8);
		return true;
	}
	case WIT_CHAR:
		return convert_i32_to_char(cx, (uint32_t)*(*vi)++, dst);
	case WIT_STRING: {
		const uint64_t *v = *vi;
		*vi += 2;
		return canon__load_string_from_range(cx, canon__ptr(cx->wide, v[0]), canon__ptr(cx->wide, v[1]), dst);
	}
	case WIT_LIST:
	case WIT_MAP: {
		const uint64_t *v = *vi;
		*vi += 2;
		return load_list_from_range(cx, canon__ptr(cx->wide, v[0]), canon__ptr(cx->wide, v[1]), t->elem, dst);
	}
	case WIT_FIXED_LIST:
		return lift_flat_elements(cx, vi, t, dst);
	case WIT_RECORD:
	case WIT_TUPLE:
		return lift_flat_record(cx, vi, t, dst);
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_OPTION:
	case WIT_RESULT:
		return lift_flat_variant(cx, vi, t, dst);
	case WIT_FLAGS:
		wit_discriminant_store(dst, t->discriminant_size, mask_flags(t, (uint32_t)*(*vi)++));
		return true;
	case WIT_OWN:
		return canon__lift_own(cx, (uint32_t)*(*vi)++, t, dst);
	case WIT_BORROW:
		return canon__lift_borrow(cx, (uint32_t)*(*vi)++, t, dst);
	case WIT_STREAM:
	case WIT_FUTURE:
		return canon__lift_async_value(cx, (uint32_t)*(*vi)++, t, dst);
	case WIT_ERROR_CONTEXT:
		return not_supported(cx, t);
	case WIT_N_KINDS:
		break;
	}
	return canon__fail(cx, TRAP_NOT_IMPLEMENTED, "unknown kind of type");
}

bool canon__lift_flat_values(struct canon__cx *cx, uint32_t max_flat, const uint64_t **vi, const struct wit_type *t, void *dst)
{
	if (LIKELY(t->n_flat <= max_flat))
		return t->kind == WIT_RECORD ? lift_flat_record(cx, vi, t, dst) : canon__lift_flat(cx, vi, t, dst);
	uint64_t ptr = canon__ptr(cx->wide, *(*vi)++);
	if (!canon__is_aligned(ptr, canon__align(cx->wide, t)))
		return canon__fail(cx, TRAP_CANON, "pointer 0x%llx to spilled values is not aligned to %u", (unsigned long long)ptr, canon__align(cx->wide, t));
	if (!canon__in_memory(cx, ptr, canon__size(cx->wide, t)))
		return canon__fail(cx, TRAP_CANON, "pointer 0x%llx to spilled values is out of bounds of memory", (unsigned long long)ptr);
	return canon__load(cx, ptr, t, dst);
}
