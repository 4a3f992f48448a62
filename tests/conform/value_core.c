// Core values of scripts: JSON to cells, and cells compared with what is expected.
#include "conform.h"

const char *json_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));
	return s ? s : "";
}

bool json_u64(const json_t *v, uint64_t *ret)
{
	if (json_is_integer(v)) {
		*ret = (uint64_t)json_integer_value(v);
		return true;
	}
	const char *s = json_string_value(v);
	if (!s)
		return false;
	bool negative = *s == '-';
	uint64_t n;
	if (!slice_parse_u64(slice_str(s + negative), UINT64_MAX, &n))
		return false;
	*ret = negative ? -n : n;
	return true;
}

static bool is_null(const json_t *v, const char *type)
{
	static const char *const always[] = {"nullref", "nullfuncref", "nullexternref", "nullexnref", "refnull"};
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (!strcmp(type, always[i]))
			return true;
	return !strcmp(json_text(v, "value"), "null");
}

bool core_value_read(const json_t *v, uint64_t *ret)
{
	const char *type = json_text(v, "type");
	uint64_t n;
	if (is_null(v, type)) {
		*ret = 0;
		return true;
	}
	if (!json_u64(json_object_get(v, "value"), &n))
		return false;
	if (!strcmp(type, "i32") || !strcmp(type, "f32"))
		*ret = (uint32_t)n;
	else if (!strcmp(type, "i64") || !strcmp(type, "f64"))
		*ret = n;
	else if (!strcmp(type, "externref"))
		*ret = (uint32_t)n + 1;  // 0 is null
	else
		return false;
	return true;
}

static bool nan_equal(const char *kind, bool wide, uint64_t got)
{
	uint64_t top = wide ? UINT64_C(0x7ff8000000000000) : 0x7fc00000;
	uint64_t sign = wide ? UINT64_C(1) << 63 : UINT64_C(1) << 31;
	return !strcmp(kind, "nan:canonical") ? (got & ~sign) == top : (got & top) == top;
}

bool core_value_equal(const json_t *expected, struct wasm_valtype type, uint64_t got)
{
	const char *want = json_text(expected, "type");
	if (!strcmp(want, "either")) {
		size_t i;
		json_t *v;
		json_array_foreach(json_object_get(expected, "values"), i, v) if (core_value_equal(v, type, got)) return true;
		return false;
	}
	if (type.kind == WASM_REF) {
		if (is_null(expected, want))
			return got == 0;
		bool is_extern = type.heap == WASM_HEAP_EXTERN || type.heap == WASM_HEAP_NOEXTERN;
		if (strcmp(want, is_extern ? "externref" : "funcref"))
			return false;
		uint64_t n;
		return json_object_get(expected, "value") ? core_value_read(expected, &n) && n == got : got != 0;
	}
	static const char *const names[] = {[WASM_I32] = "i32", [WASM_I64] = "i64", [WASM_F32] = "f32", [WASM_F64] = "f64"};
	if (type.kind > WASM_F64 || strcmp(want, names[type.kind]))
		return false;
	const char *value = json_text(expected, "value");
	if (!strncmp(value, "nan:", 4))
		return nan_equal(value, type.kind == WASM_F64, got);
	uint64_t n;
	return core_value_read(expected, &n) && n == got;
}

void core_value_print(struct wasm_valtype type, uint64_t got, char *buf, size_t size)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128", "ref"};
	snprintf(buf, size, "%s:0x%llx", names[type.kind <= WASM_REF ? type.kind : WASM_REF], (unsigned long long)got);
}
