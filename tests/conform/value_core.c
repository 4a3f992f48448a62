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

// ---- vectors --------------------------------------------------------------------------------------------------------------------
// Bits of a lane of lane_type i8 ... f64; 0: there is no such type.
static unsigned lane_bits(const char *lane_type)
{
	static const char *const names[] = {"i8", "i16", "i32", "i64", "f32", "f64"};
	static const uint8_t bits[] = {8, 16, 32, 64, 32, 64};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], lane_type))
			return bits[i];
	return 0;
}

static uint64_t lane_of(const uint64_t cells[2], unsigned bits, unsigned i)
{
	uint64_t lane = 0;
	memcpy(&lane, (const uint8_t *)cells + i * bits / 8, bits / 8);
	return lane;
}

static bool vector_read(const json_t *v, uint64_t ret[2])
{
	unsigned bits = lane_bits(json_text(v, "lane_type"));
	const json_t *list = json_object_get(v, "value");
	if (!bits || json_array_size(list) != 128 / bits)
		return false;
	for (unsigned i = 0; i < 128 / bits; i++) {
		uint64_t n;
		if (!json_u64(json_array_get(list, i), &n))
			return false;
		memcpy((uint8_t *)ret + i * bits / 8, &n, bits / 8);
	}
	return true;
}

static bool nan_equal(const char *kind, bool wide, uint64_t got)
{
	uint64_t top = wide ? UINT64_C(0x7ff8000000000000) : 0x7fc00000;
	uint64_t sign = wide ? UINT64_C(1) << 63 : UINT64_C(1) << 31;
	return !strcmp(kind, "nan:canonical") ? (got & ~sign) == top : (got & top) == top;
}

static bool vector_equal(const json_t *expected, const uint64_t got[2])
{
	unsigned bits = lane_bits(json_text(expected, "lane_type"));
	const json_t *list = json_object_get(expected, "value");
	if (!bits || json_array_size(list) != 128 / bits)
		return false;
	for (unsigned i = 0; i < 128 / bits; i++) {
		const json_t *want = json_array_get(list, i);
		const char *text = json_string_value(want);
		uint64_t lane = lane_of(got, bits, i), n;
		if (text && !strncmp(text, "nan:", 4)) {
			if (!nan_equal(text, bits == 64, lane))
				return false;
		} else if (!json_u64(want, &n) || (bits == 64 ? n : n & ((UINT64_C(1) << bits) - 1)) != lane) {
			return false;
		}
	}
	return true;
}

// ---- all values -----------------------------------------------------------------------------------------------------------------
bool core_value_read(const json_t *v, uint64_t ret[2])
{
	const char *type = json_text(v, "type");
	uint64_t n;
	if (!strcmp(type, "v128"))
		return vector_read(v, ret);
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
	else if (!strcmp(type, "externref") || !strcmp(type, "anyref"))
		*ret = vm_externref((uint32_t)n);
	else
		return false;
	return true;
}

// A reference that isn't null; those of any and extern are the same.
static bool ref_equal(const struct vm_store *st, const json_t *expected, const char *want, struct wasm_valtype type, uint32_t got)
{
	static const struct {
		const char *name;
		enum wasm_heap heap;
	} heaps[] = {{"anyref", WASM_HEAP_ANY}, {"externref", WASM_HEAP_ANY}, {"eqref", WASM_HEAP_EQ}, {"i31ref", WASM_HEAP_I31}, {"structref", WASM_HEAP_STRUCT},
		{"arrayref", WASM_HEAP_ARRAY}};
	uint64_t n[2];
	if (!wasm_valtype_is_object(NULL, type))
		return !strcmp(want, "funcref") && got;
	for (size_t i = 0; i < ARRAY_LEN(heaps); i++)
		if (!strcmp(want, heaps[i].name))
			return json_object_get(expected, "value") ? core_value_read(expected, n) && n[0] == got : vm_ref_is(st, got, heaps[i].heap);
	return false;
}

bool core_value_equal(const struct vm_store *st, const json_t *expected, struct wasm_valtype type, const uint64_t cells[2])
{
	uint64_t got = cells[0];
	const char *want = json_text(expected, "type");
	if (!strcmp(want, "either")) {
		size_t i;
		json_t *v;
		json_array_foreach(json_object_get(expected, "values"), i, v) if (core_value_equal(st, v, type, cells)) return true;
		return false;
	}
	if (type.kind == WASM_REF) {
		if (is_null(expected, want))
			return got == 0;
		return ref_equal(st, expected, want, type, (uint32_t)got);
	}
	static const char *const names[] = {[WASM_I32] = "i32", [WASM_I64] = "i64", [WASM_F32] = "f32", [WASM_F64] = "f64", [WASM_V128] = "v128"};
	if (type.kind > WASM_V128 || strcmp(want, names[type.kind]))
		return false;
	if (type.kind == WASM_V128)
		return vector_equal(expected, cells);
	const char *value = json_text(expected, "value");
	if (!strncmp(value, "nan:", 4))
		return nan_equal(value, type.kind == WASM_F64, got);
	uint64_t n[2];
	return core_value_read(expected, n) && n[0] == got;
}

void core_value_print(struct wasm_valtype type, const uint64_t cells[2], char *buf, size_t size)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128", "ref"};
	if (type.kind == WASM_V128)
		snprintf(buf, size, "v128:0x%016llx%016llx", (unsigned long long)cells[1], (unsigned long long)cells[0]);
	else
		snprintf(buf, size, "%s:0x%llx", names[type.kind <= WASM_REF ? type.kind : WASM_REF], (unsigned long long)cells[0]);
}
