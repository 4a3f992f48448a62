// Component values of scripts: JSON to native values (wit.h), and native values compared with what is expected.
#include "conform.h"
#include "wit/wit.h"

static bool text_is(const json_t *v, struct slice name)
{
	return json_is_string(v) && slice_eq(slice_of(json_string_value(v), json_string_length(v)), name);
}
static bool find_name(const struct wit_type *t, const json_t *name, uint32_t *ret)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (text_is(name, t->fields[i].name)) {
			*ret = i;
			return true;
		}
	return false;
}
static uint64_t load_bits(const uint8_t *p, uint32_t size)
{
	uint64_t v = 0;
	memcpy(&v, p, size);
	return v;
}

// Parts of a variant, option or result: which case, and its payload's JSON (NULL: none).
static bool split_case(const json_t *value, const struct wit_type *t, uint32_t *ret_case, const json_t **ret_payload)
{
	const json_t *ok = json_object_get(value, "Ok"), *err = json_object_get(value, "Err");
	switch (t->kind) {
	case WIT_OPTION:
		*ret_case = !json_is_null(value);
		*ret_payload = *ret_case ? value : NULL;
		return true;
	case WIT_RESULT:
		*ret_case = !ok;
		*ret_payload = ok ? ok : err;
		return ok || err;
	case WIT_ENUM:
		*ret_payload = NULL;
		return find_name(t, value, ret_case);
	default:
		*ret_payload = json_object_get(value, "payload");
		return find_name(t, json_object_get(value, "case"), ret_case);
	}
}

static bool read_list(struct arena *a, const json_t *value, const struct wit_type *t, uint8_t *ret)
{
	size_t n = json_array_size(value);
	uint8_t *items = arena_zalloc(a, n * t->elem->size64 + 1, t->elem->align64);
	if (!items)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!wit_value_read(a, json_array_get(value, i), t->elem, items + i * t->elem->size64))
			return false;
	memcpy(ret, &(struct wit_list){items, n}, sizeof(struct wit_list));
	return true;
}

static bool read_variant(struct arena *a, const json_t *value, const struct wit_type *t, uint8_t *ret)
{
	uint32_t k;
	const json_t *payload;
	if (!split_case(value, t, &k, &payload))
		return false;
	wit_discriminant_store(ret, t->discriminant_size, k);
	const struct wit_type *type = t->fields[k].type;
	return !type || wit_value_read(a, payload, type, ret + t->payload64);
}

bool wit_value_read(struct arena *a, const json_t *v, const struct wit_type *t, uint8_t *ret)
{
	const json_t *value = json_object_get(v, "value");
	uint64_t n;
	uint32_t k;
	switch (t->kind) {
	case WIT_BOOL:
		*ret = json_is_true(value);
		return json_is_boolean(value);
	case WIT_S8 ... WIT_F64:
		if (!json_u64(value, &n))
			return false;
		memcpy(ret, &n, t->size64);
		return true;
	case WIT_CHAR:
		utf8_decode(slice_of(json_string_value(value), json_string_length(value)), &k);
		memcpy(ret, &k, 4);
		return json_is_string(value);
	case WIT_STRING:
		memcpy(ret, &(struct wit_string){(const uint8_t *)json_string_value(value), json_string_length(value)}, sizeof(struct wit_string));
		return json_is_string(value);
	case WIT_LIST:
	case WIT_MAP:
		return json_is_array(value) && read_list(a, value, t, ret);
	case WIT_FIXED_LIST:
		for (uint32_t i = 0; i < t->n; i++)
			if (!wit_value_read(a, json_array_get(value, i), t->elem, ret + i * t->elem->size64))
				return false;
		return true;
	case WIT_RECORD:
	case WIT_TUPLE:
		for (uint32_t i = 0; i < t->n; i++) {
			const json_t *field = json_array_get(value, i);
			if (!wit_value_read(a, t->kind == WIT_RECORD ? json_array_get(field, 1) : field, t->fields[i].type, ret + t->fields[i].offset64))
				return false;
		}
		return true;
	case WIT_VARIANT ... WIT_RESULT:
		return read_variant(a, value, t, ret);
	case WIT_FLAGS:
		n = 0;
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (!find_name(t, json_array_get(value, i), &k))
				return false;
			n |= UINT64_C(1) << k;
		}
		memcpy(ret, &n, t->size64);
		return true;
	default:
		return false;
	}
}

static bool float_equal(const json_t *value, bool wide, uint64_t got)
{
	uint64_t n, top = wide ? UINT64_C(0x7ff8000000000000) : 0x7fc00000;
	const char *s = json_string_value(value);
	if (s && !strncmp(s, "nan:", 4))
		return (got & top) == top;
	return json_u64(value, &n) && n == got;
}

bool wit_value_equal(const json_t *expected, const struct wit_type *t, const uint8_t *got)
{
	const json_t *value = json_object_get(expected, "value"), *payload;
	uint64_t n;
	uint32_t k;
	struct wit_string s;
	struct wit_list l;
	switch (t->kind) {
	case WIT_BOOL:
		return json_is_boolean(value) && *got == json_is_true(value);
	case WIT_S8 ... WIT_U64:
		return json_u64(value, &n) && (t->size64 == 8 ? n : n & ((UINT64_C(1) << t->size64 * 8) - 1)) == load_bits(got, t->size64);
	case WIT_F32:
	case WIT_F64:
		return float_equal(value, t->kind == WIT_F64, load_bits(got, t->size64));
	case WIT_CHAR:
		utf8_decode(slice_of(json_string_value(value), json_string_length(value)), &k);
		return json_is_string(value) && k == load_bits(got, 4);
	case WIT_STRING:
		memcpy(&s, got, sizeof(s));
		return text_is(value, slice_of(s.ptr, s.len));
	case WIT_LIST:
	case WIT_MAP:
		memcpy(&l, got, sizeof(l));
		if (json_array_size(value) != l.len)
			return false;
		for (size_t i = 0; i < l.len; i++)
			if (!wit_value_equal(json_array_get(value, i), t->elem, (const uint8_t *)l.ptr + i * t->elem->size64))
				return false;
		return true;
	case WIT_FIXED_LIST:
		for (uint32_t i = 0; i < t->n; i++)
			if (!wit_value_equal(json_array_get(value, i), t->elem, got + i * t->elem->size64))
				return false;
		return json_array_size(value) == t->n;
	case WIT_RECORD:
	case WIT_TUPLE:
		for (uint32_t i = 0; i < t->n; i++) {
			const json_t *field = json_array_get(value, i);
			if (t->kind == WIT_RECORD && !text_is(json_array_get(field, 0), t->fields[i].name))
				return false;
			if (!wit_value_equal(t->kind == WIT_RECORD ? json_array_get(field, 1) : field, t->fields[i].type, got + t->fields[i].offset64))
				return false;
		}
		return json_array_size(value) == t->n;
	case WIT_VARIANT ... WIT_RESULT:
		if (!split_case(value, t, &k, &payload) || k != wit_discriminant_load(got, t->discriminant_size))
			return false;
		return !t->fields[k].type || wit_value_equal(payload, t->fields[k].type, got + t->payload64);
	case WIT_FLAGS:
		n = 0;
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (!find_name(t, json_array_get(value, i), &k))
				return false;
			n |= UINT64_C(1) << k;
		}
		return n == load_bits(got, t->size64);
	default:
		return false;
	}
}
