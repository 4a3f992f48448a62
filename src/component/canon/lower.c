// Lowering: from native values to guest memory or flat core values. CanonicalABI "Storing", "Flat Lowering", "Lifting and Lowering Values".
//
// 1. The caller of canon__store has checked alignment and range of [ptr, ptr + canon__size).
// 2. Storing a string or list calls the guest's realloc: a host pointer into guest memory is made anew from its offset after that (L61). Memories
//    never shrink, so that a checked range stays valid.
// 3. Native values come from host code, or from canon__load: discriminants and chars are in range. They are checked all the same, because an error
//    of a host function must not become a wild read.
#include "canon_int.h"

static void store_u32(const struct canon__cx *cx, uint32_t v, uint64_t ptr)
{
	memcpy(canon__at(cx, ptr), &v, 4);
}

static uint32_t get_u32(const void *src)
{
	uint32_t v;
	memcpy(&v, src, 4);
	return v;
}

// encode_float_as_i32, encode_float_as_i64 in the deterministic profile (C23).
static uint32_t canonical_f32(uint32_t bits)
{
	return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits;
}

static uint64_t get_canonical_f64(const void *src)
{
	uint64_t bits;
	memcpy(&bits, src, 8);
	return (bits & INT64_MAX) > UINT64_C(0x7ff0000000000000) ? UINT64_C(0x7ff8000000000000) : bits;
}

static bool lower_handle(struct canon__cx *cx, const void *src, const struct wit_type *t, uint32_t *ret)
{
	if (LIKELY(t->kind == WIT_OWN))
		return canon__lower_own(cx, get_u32(src), t, ret);
	if (t->kind == WIT_BORROW)
		return canon__lower_borrow(cx, get_u32(src), t, ret);
	if (t->kind == WIT_STREAM || t->kind == WIT_FUTURE)
		return canon__lower_async_value(cx, get_u32(src), t, ret);
	return canon__fail(cx, TRAP_NOT_IMPLEMENTED, "values of type %s are not supported yet", wit_kind_name(t->kind));
}

NOINLINE static bool store_handle(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t ptr)
{
	uint32_t index;
	if (!lower_handle(cx, src, t, &index))
		return false;
	store_u32(cx, index, ptr);
	return true;
}

NOINLINE static bool store_elements(struct canon__cx *cx, const uint8_t *src, uint32_t n, const struct wit_type *elem, uint64_t ptr)
{
	uint64_t size = canon__size(cx->wide, elem);
	for (uint32_t i = 0; i < n; i++)
		if (!canon__work(cx, VM_WORK_ITEM) || !canon__store(cx, src + (size_t)i * elem->size64, elem, ptr + i * size))
			return false;
	return true;
}

NOINLINE static bool store_list_into_range(struct canon__cx *cx, const struct wit_list *v, const struct wit_type *elem, uint64_t *ret_ptr, uint64_t *ret_length)
{
	uint64_t bytes = sat_mul_u64(v->len, canon__size(cx->wide, elem));
	if (v->len > MAX_LIST_BYTE_LENGTH || bytes > REALLOC_I32_MAX)
		return canon__fail(cx, TRAP_CANON, "list of %zu elements is too long", v->len);
	if (!canon__allocate(cx, canon__align(cx->wide, elem), bytes, ret_ptr))
		return false;
	*ret_length = v->len;
	if (v->len == 0)
		return true;
	if (canon__is_plain(elem))
		return canon__copy(cx, canon__at(cx, *ret_ptr), v->ptr, bytes);
	return store_elements(cx, v->ptr, (uint32_t)v->len, elem, *ret_ptr);
}

static bool store_range(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t *ret_ptr, uint64_t *ret_length)
{
	if (t->kind == WIT_STRING)
		return canon__store_string_into_range(cx, src, ret_ptr, ret_length);
	return store_list_into_range(cx, src, t->elem, ret_ptr, ret_length);
}

NOINLINE static bool store_string_or_list(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t ptr)
{
	uint64_t words[2];
	if (!store_range(cx, src, t, &words[0], &words[1]))
		return false;
	if (cx->wide) {
		memcpy(canon__at(cx, ptr), words, sizeof words);
		return true;
	}
	store_u32(cx, (uint32_t)words[0], ptr);
	store_u32(cx, (uint32_t)words[1], ptr + 4);
	return true;
}

NOINLINE static bool store_record(struct canon__cx *cx, const uint8_t *src, const struct wit_type *t, uint64_t ptr)
{
	if (!canon__work(cx, t->n * VM_WORK_ITEM))
		return false;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_field *f = &t->fields[i];
		if (!canon__store(cx, src + f->offset64, f->type, ptr + canon__offset(cx->wide, f)))
			return false;
	}
	return true;
}

NOINLINE static bool store_variant(struct canon__cx *cx, const uint8_t *src, const struct wit_type *t, uint64_t ptr)
{
	uint32_t index = wit_discriminant_load(src, t->discriminant_size);
	if (index >= t->n)
		return canon__fail(cx, TRAP_HOST, "the host made an invalid %s: case %u of %u", wit_kind_name(t->kind), index, t->n);
	wit_discriminant_store(canon__at(cx, ptr), t->discriminant_size, index);
	const struct wit_type *payload = t->fields[index].type;
	return !payload || canon__store(cx, src + t->payload64, payload, ptr + canon__payload(cx->wide, t));
}

bool canon__store(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t ptr)
{
	switch ((enum wit_kind)t->kind) {
	case WIT_BOOL:
		*canon__at(cx, ptr) = *(const uint8_t *)src != 0;
		return true;
	case WIT_S8:
	case WIT_U8:
		memcpy(canon__at(cx, ptr), src, 1);
		return true;
	case WIT_S16:
	case WIT_U16:
		memcpy(canon__at(cx, ptr), src, 2);
		return true;
	case WIT_S32:
	case WIT_U32:
	case WIT_CHAR:
		memcpy(canon__at(cx, ptr), src, 4);
		return true;
	case WIT_S64:
	case WIT_U64:
		memcpy(canon__at(cx, ptr), src, 8);
		return true;
	case WIT_F32:
		store_u32(cx, canonical_f32(get_u32(src)), ptr);
		return true;
	case WIT_F64: {
		uint64_t v = get_canonical_f64(src);
		memcpy(canon__at(cx, ptr), &v, 8);
		return true;
	}
	case WIT_STRING:
	case WIT_LIST:
	case WIT_MAP:
		return store_string_or_list(cx, src, t, ptr);
	case WIT_FIXED_LIST:
		return store_elements(cx, src, t->n, t->elem, ptr);
	case WIT_RECORD:
	case WIT_TUPLE:
		return store_record(cx, src, t, ptr);
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_OPTION:
	case WIT_RESULT:
		return store_variant(cx, src, t, ptr);
	case WIT_FLAGS:
		wit_discriminant_store(canon__at(cx, ptr), t->discriminant_size, wit_discriminant_load(src, t->discriminant_size));
		return true;
	case WIT_OWN:
	case WIT_BORROW:
	case WIT_STREAM:
	case WIT_FUTURE:
	case WIT_ERROR_CONTEXT:
		return store_handle(cx, src, t, ptr);
	case WIT_N_KINDS:
		break;
	}
	return canon__fail(cx, TRAP_NOT_IMPLEMENTED, "unknown kind of type");
}

NOINLINE static bool lower_flat_handle(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t **vo)
{
	uint32_t index;
	if (!lower_handle(cx, src, t, &index))
		return false;
	*(*vo)++ = index;
	return true;
}

NOINLINE static bool lower_flat_string_or_list(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t **vo)
{
	uint64_t *words = *vo;
	*vo += 2;
	return store_range(cx, src, t, &words[0], &words[1]);
}

NOINLINE static bool lower_flat_elements(struct canon__cx *cx, const uint8_t *src, const struct wit_type *t, uint64_t **vo)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!canon__work(cx, VM_WORK_ITEM) || !canon__lower_flat(cx, src + (size_t)i * t->elem->size64, t->elem, vo))
			return false;
	return true;
}

NOINLINE static bool lower_flat_record(struct canon__cx *cx, const uint8_t *src, const struct wit_type *t, uint64_t **vo)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!canon__lower_flat(cx, src + t->fields[i].offset64, t->fields[i].type, vo))
			return false;
	return true;
}

NOINLINE static bool lower_flat_variant(struct canon__cx *cx, const uint8_t *src, const struct wit_type *t, uint64_t **vo)
{
	uint64_t *start = *vo;
	uint32_t index = wit_discriminant_load(src, t->discriminant_size);
	if (index >= t->n)
		return canon__fail(cx, TRAP_HOST, "the host made an invalid %s: case %u of %u", wit_kind_name(t->kind), index, t->n);
	*(*vo)++ = index;
	const struct wit_type *payload = t->fields[index].type;
	if (payload && !canon__lower_flat(cx, src + t->payload64, payload, vo))
		return false;
	while (*vo < start + t->n_flat)  // unused cells are zero (C19)
		*(*vo)++ = 0;
	return true;
}

bool canon__lower_flat(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t **vo)
{
	switch ((enum wit_kind)t->kind) {
	case WIT_BOOL:
		*(*vo)++ = *(const uint8_t *)src != 0;
		return true;
	case WIT_U8:
		*(*vo)++ = *(const uint8_t *)src;
		return true;
	case WIT_S8:
		*(*vo)++ = (uint32_t)(int32_t)*(const int8_t *)src;
		return true;
	case WIT_U16:
		*(*vo)++ = *(const uint16_t *)src;
		return true;
	case WIT_S16:
		*(*vo)++ = (uint32_t)(int32_t)*(const int16_t *)src;
		return true;
	case WIT_S32:
	case WIT_U32:
	case WIT_CHAR:
		*(*vo)++ = get_u32(src);
		return true;
	case WIT_S64:
	case WIT_U64:
		memcpy((*vo)++, src, 8);
		return true;
	case WIT_F32:
		*(*vo)++ = canonical_f32(get_u32(src));
		return true;
	case WIT_F64:
		*(*vo)++ = get_canonical_f64(src);
		return true;
	case WIT_STRING:
	case WIT_LIST:
	case WIT_MAP:
		return lower_flat_string_or_list(cx, src, t, vo);
	case WIT_FIXED_LIST:
		return lower_flat_elements(cx, src, t, vo);
	case WIT_RECORD:
	case WIT_TUPLE:
		return lower_flat_record(cx, src, t, vo);
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_OPTION:
	case WIT_RESULT:
		return lower_flat_variant(cx, src, t, vo);
	case WIT_FLAGS:
		*(*vo)++ = wit_discriminant_load(src, t->discriminant_size);
		return true;
	case WIT_OWN:
	case WIT_BORROW:
	case WIT_STREAM:
	case WIT_FUTURE:
	case WIT_ERROR_CONTEXT:
		return lower_flat_handle(cx, src, t, vo);
	case WIT_N_KINDS:
		break;
	}
	return canon__fail(cx, TRAP_NOT_IMPLEMENTED, "unknown kind of type");
}

NOINLINE static bool bad_pointer(struct canon__cx *cx, const struct wit_type *t, uint64_t ptr)
{
	if (!canon__is_aligned(ptr, canon__align(cx->wide, t)))
		return canon__fail(cx, TRAP_CANON, "pointer 0x%llx for the result is not aligned to %u", (unsigned long long)ptr, canon__align(cx->wide, t));
	return canon__fail(cx, TRAP_CANON, "pointer 0x%llx for the result is out of bounds of memory", (unsigned long long)ptr);
}

NOINLINE static bool lower_allocated(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t **vo)
{
	uint64_t ptr;
	if (!canon__allocate(cx, canon__align(cx->wide, t), canon__size(cx->wide, t), &ptr))
		return false;
	*(*vo)++ = ptr;
	return canon__store(cx, src, t, ptr);
}

// out_param: the cell of the return pointer of a lower; NULL: the values are allocated by realloc and their address becomes the only cell.
bool canon__lower_flat_values(struct canon__cx *cx, uint32_t max_flat, const void *src, const struct wit_type *t, const uint64_t *out_param, uint64_t **vo)
{
	if (t->n_flat <= max_flat)
		return canon__lower_flat(cx, src, t, vo);
	if (!out_param)
		return lower_allocated(cx, src, t, vo);
	uint64_t ptr = canon__ptr(cx->wide, *out_param);
	if (UNLIKELY(!canon__is_aligned(ptr, canon__align(cx->wide, t)) || !canon__in_memory(cx, ptr, canon__size(cx->wide, t))))
		return bad_pointer(cx, t, ptr);
	return canon__store(cx, src, t, ptr);
}
