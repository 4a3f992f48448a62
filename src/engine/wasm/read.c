// Reading bytes: the checked cursor, and the unchecked readers that compilers use on bodies that have been validated.
#include "wasm_int.h"

#include <stdarg.h>
#include <stdio.h>

bool wasm__fail(const struct wasm__cursor *c, const uint8_t *at, enum err_code code, const char *fmt, ...)
{
	char text[256];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return err_set_at(c->e, code, c->base + (uint64_t)(at - c->start), "%s", text);
}

bool wasm__fail_limit(const struct wasm__cursor *c, const uint8_t *at, const char *what, uint64_t limit)
{
	return wasm__fail(c, at, ERR_LIMIT, "too many %s: at most %llu are supported", what, (unsigned long long)limit);
}

static const char *const feature_names[32] = {
#define FEATURE(name, text, bit, state) [bit] = text,
#include "features.def"
#undef FEATURE
};

const char *wasm_feature_text(uint32_t feature)
{
	const char *name = feature ? feature_names[__builtin_ctz(feature)] : NULL;
	return name ? name : "mvp";
}

bool wasm_feature_find(struct slice name, uint32_t *ret)
{
	for (unsigned bit = 0; bit < ARRAY_LEN(feature_names); bit++) {
		if (feature_names[bit] && slice_eq_str(name, feature_names[bit])) {
			*ret = 1u << bit;
			return true;
		}
	}
	return false;
}

bool wasm__fail_feature(const struct wasm__cursor *c, const uint8_t *at, uint32_t feature, const char *what)
{
	const char *name = wasm_feature_text(feature);
	if (feature & WASM_FEATURES_FINISHED) {
		wasm__fail(c, at, ERR_UNSUPPORTED, "%s: the feature '%s' is off", what, name);
		return err_hint(c->e, "--feature %s turns it on", name);
	}
	wasm__fail(c, at, ERR_UNSUPPORTED, "%s: the feature '%s' is not supported", what, name);
	return err_hint(c->e, "build the module without '%s'", name);
}

// `bits` is 32, 33 or 64. The unused bits of the last byte must extend the sign (or be zero); its continuation bit must be clear.
bool wasm__leb_slow(struct wasm__cursor *c, unsigned bits, bool sign, uint64_t *ret)
{
	const uint8_t *at = c->p;
	uint64_t v = 0;
	for (unsigned shift = 0;; shift += 7) {
		if (c->p == c->end)
			return wasm__fail(c, c->p, ERR_MALFORMED, "unexpected end");
		uint8_t byte = *c->p++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		unsigned used = bits - shift;  // bits of this byte that count
		if (used > 7) {
			if (byte & 0x80)
				continue;
			if (sign && (byte & 0x40))
				v |= ~(uint64_t)0 << (shift + 7);
			break;
		}
		if (byte & 0x80)
			return wasm__fail(c, at, ERR_MALFORMED, "integer representation too long");
		uint8_t rest = (uint8_t)((byte & 0x7f) >> (sign ? used - 1 : used));
		uint8_t ones = (uint8_t)(0x7f >> (sign ? used - 1 : used));
		if (rest != 0 && !(sign && rest == ones))
			return wasm__fail(c, at, ERR_MALFORMED, "integer too large");
		if (sign && rest != 0 && bits < 64)
			v |= ~(uint64_t)0 << bits;
		break;
	}
	*ret = v;
	return true;
}

bool wasm__count(struct wasm__cursor *c, uint32_t limit, const char *what, uint32_t each, uint32_t *ret)
{
	const uint8_t *at = c->p;
	uint32_t n;
	if (!wasm__u32(c, &n))
		return false;
	if (n > limit)
		return wasm__fail_limit(c, at, what, limit);
	if ((uint64_t)n * each > (uint64_t)(c->end - c->p))
		return wasm__fail(c, at, ERR_MALFORMED, "unexpected end: %u %s do not fit in the %zu bytes that are left", n, what, (size_t)(c->end - c->p));
	*ret = n;
	return true;
}

bool wasm__name(struct wasm__cursor *c, struct slice *ret)
{
	const uint8_t *at = c->p;
	uint32_t len;
	if (!wasm__u32(c, &len))
		return false;
	if (len > (size_t)(c->end - c->p))
		return wasm__fail(c, at, ERR_MALFORMED, "unexpected end: length out of bounds");
	if (len > LIMIT_NAME_SIZE)
		return wasm__fail_limit(c, at, "bytes of a name", LIMIT_NAME_SIZE);
	struct slice s = slice_of(c->p, len);
	size_t valid = utf8_valid_prefix(s);
	if (valid != len)
		return wasm__fail(c, c->p + valid, ERR_MALFORMED, "malformed UTF-8 encoding");
	c->p += len;
	*ret = s;
	return true;
}

// ---- types --------------------------------------------------------------------------------------------------------
enum { CODE_REF = 0x64, CODE_REF_NULL = 0x63 };

static bool is_abstract_heap(uint8_t byte, uint8_t *ret)
{
	// From 0x69 on.
	static const uint8_t heaps[] = {WASM_HEAP_EXN, WASM_HEAP_ARRAY, WASM_HEAP_STRUCT, WASM_HEAP_I31, WASM_HEAP_EQ, WASM_HEAP_ANY, WASM_HEAP_EXTERN, WASM_HEAP_FUNC,
		WASM_HEAP_NONE, WASM_HEAP_NOEXTERN, WASM_HEAP_NOFUNC, WASM_HEAP_NOEXN};
	if (byte < 0x69 || byte - 0x69u >= ARRAY_LEN(heaps))
		return false;
	*ret = heaps[byte - 0x69];
	return true;
}

static uint32_t feature_of_heap(unsigned heap)
{
	if (heap == WASM_HEAP_FUNC || heap == WASM_HEAP_EXTERN)
		return 0;
	return heap == WASM_HEAP_EXN || heap == WASM_HEAP_NOEXN ? WASM_FEATURE_EXCEPTIONS : WASM_FEATURE_GC;
}

bool wasm__heaptype(struct wasm__cursor *c, uint32_t features, uint32_t ntypes, struct wasm_valtype *ret)
{
	const uint8_t *at = c->p;
	if (c->p == c->end)
		return wasm__fail(c, at, ERR_MALFORMED, "unexpected end");
	struct wasm_valtype t = {.kind = WASM_REF, .nullable = 1};
	uint8_t byte = *at;
	if ((byte & 0xc0) == 0x40) {
		c->p++;
		if (!is_abstract_heap(byte, &t.heap))
			return wasm__fail(c, at, ERR_MALFORMED, "malformed heap type 0x%02x", byte);
		uint32_t feature = feature_of_heap(t.heap);
		if (feature && !(features & feature))
			return wasm__fail_feature(c, at, feature, "heap type");
		*ret = t;
		return true;
	}
	uint64_t index;
	if (!wasm__leb_slow(c, 33, true, &index))
		return false;
	if ((int64_t)index < 0)
		return wasm__fail(c, at, ERR_MALFORMED, "malformed heap type");
	if (!(features & WASM_FEATURE_FUNCTION_REFERENCES))
		return wasm__fail_feature(c, at, WASM_FEATURE_FUNCTION_REFERENCES, "reference to a type of the module");
	if (index >= ntypes)
		return wasm__fail(c, at, ERR_INVALID, "unknown type %llu", (unsigned long long)index);
	t.heap = WASM_HEAP_CONCRETE;
	t.type = (uint32_t)index;
	*ret = t;
	return true;
}

bool wasm__reftype(struct wasm__cursor *c, uint32_t features, uint32_t ntypes, struct wasm_valtype *ret)
{
	const uint8_t *at = c->p;
	if (c->p == c->end)
		return wasm__fail(c, at, ERR_MALFORMED, "unexpected end");
	if (*at != CODE_REF && *at != CODE_REF_NULL) {
		if ((*at & 0xc0) != 0x40 || (*at > 0x74 || *at < 0x65))
			return wasm__fail(c, at, ERR_MALFORMED, "malformed reference type 0x%02x", *at);
		return wasm__heaptype(c, features, ntypes, ret);
	}
	if (!(features & WASM_FEATURE_FUNCTION_REFERENCES))
		return wasm__fail_feature(c, at, WASM_FEATURE_FUNCTION_REFERENCES, "reference type");
	c->p++;
	if (!wasm__heaptype(c, features, ntypes, ret))
		return false;
	ret->nullable = *at == CODE_REF_NULL;
	return true;
}

bool wasm__valtype(struct wasm__cursor *c, uint32_t features, uint32_t ntypes, struct wasm_valtype *ret)
{
	const uint8_t *at = c->p;
	if (c->p == c->end)
		return wasm__fail(c, at, ERR_MALFORMED, "unexpected end");
	uint8_t byte = *at;
	if (byte <= 0x7f && byte >= 0x7b) {
		c->p++;
		static const uint8_t kinds[] = {WASM_V128, WASM_F64, WASM_F32, WASM_I64, WASM_I32};
		*ret = (struct wasm_valtype){.kind = kinds[byte - 0x7b]};
		if (ret->kind == WASM_V128 && !(features & WASM_FEATURE_SIMD))
			return wasm__fail_feature(c, at, WASM_FEATURE_SIMD, "type v128");
		return true;
	}
	if (byte > 0x74 || byte < 0x63)
		return wasm__fail(c, at, ERR_MALFORMED, "malformed value type 0x%02x", byte);
	if (!(features & WASM_FEATURE_REFERENCE_TYPES))
		return wasm__fail_feature(c, at, WASM_FEATURE_REFERENCE_TYPES, "reference as a value type");
	return wasm__reftype(c, features, ntypes, ret);
}

const char *wasm_heap_text(unsigned heap)
{
	// ORDER heap
	static const char *const texts[] = {"func", "extern", "exn", "any", "eq", "i31", "struct", "array", "none", "nofunc", "noextern", "noexn"};
	return heap < ARRAY_LEN(texts) ? texts[heap] : "";
}

const char *wasm__type_text(wasm__word w, char buf[48])
{
	static const char *const kinds[] = {"i32", "i64", "f32", "f64", "v128"};
	struct wasm_valtype t = wasm__unpack(w);
	if (w == WASM__BOTTOM)
		snprintf(buf, 48, "any type");
	else if (t.kind < ARRAY_LEN(kinds))
		snprintf(buf, 48, "%s", kinds[t.kind]);
	else if (t.heap == WASM_HEAP_CONCRETE)
		snprintf(buf, 48, "(ref %s%u)", t.nullable ? "null " : "", t.type);
	else if (t.nullable && t.heap <= WASM_HEAP_ARRAY)
		snprintf(buf, 48, "%sref", wasm_heap_text(t.heap));
	else
		snprintf(buf, 48, "(ref %s%s)", t.nullable ? "null " : "", t.heap < WASM_HEAP_CONCRETE ? wasm_heap_text(t.heap) : "of any type");
	return buf;
}

// ---- unchecked ------------------------------------------------------------------------------------------------------
struct wasm_valtype wasm_read_heap_type(const uint8_t **p)
{
	struct wasm_valtype t = {.kind = WASM_REF, .nullable = 1};
	if (is_abstract_heap(**p, &t.heap)) {
		(*p)++;
		return t;
	}
	t.heap = WASM_HEAP_CONCRETE;
	t.type = wasm_read_u32(p);
	return t;
}

struct wasm_valtype wasm_read_valtype(const uint8_t **p)
{
	uint8_t byte = **p;
	switch (byte) {
	case 0x7f:
	case 0x7e:
	case 0x7d:
	case 0x7c:
	case 0x7b:
		(*p)++;
		return (struct wasm_valtype){.kind = (uint8_t)(0x7f - byte)};
	case CODE_REF:
	case CODE_REF_NULL: {
		(*p)++;
		struct wasm_valtype t = wasm_read_heap_type(p);
		t.nullable = byte == CODE_REF_NULL;
		return t;
	}
	}
	return wasm_read_heap_type(p);
}
_Static_assert(WASM_I32 == 0 && WASM_I64 == 1 && WASM_F32 == 2 && WASM_F64 == 3 && WASM_V128 == 4, "ORDER value kinds: as 0x7f down to 0x7b");

void wasm_read_block_type(const struct wasm_module *m, const uint8_t **p, struct wasm_block_type *ret)
{
	*ret = (struct wasm_block_type){0};
	uint8_t byte = **p;
	if (byte == 0x40) {
		(*p)++;
	} else if ((byte & 0xc0) == 0x40) {
		ret->inline_result = wasm_read_valtype(p);
		ret->nresults = 1;
		ret->results = &ret->inline_result;
	} else {
		const struct wasm_func_type *t = &m->types[wasm_read_u32(p)].func;
		ret->nparams = t->nparams;
		ret->params = t->params;
		ret->nresults = t->nresults;
		ret->results = t->results;
	}
}

static void skip_leb(const uint8_t **p)
{
	while (*(*p)++ & 0x80)
		;
}

static void skip_block_type(const uint8_t **p)
{
	if (**p == 0x40)
		(*p)++;
	else if ((**p & 0xc0) == 0x40)
		wasm_read_valtype(p);
	else
		skip_leb(p);
}

static void skip_try_table(const uint8_t **p)
{
	skip_block_type(p);
	for (uint32_t n = wasm_read_u32(p); n; n--) {
		if (wasm_catch_has_tag(*(*p)++))
			skip_leb(p);
		skip_leb(p);
	}
}

void wasm_skip_immediate(enum wasm_op op, const uint8_t **p)
{
	switch ((enum wasm_imm)wasm_ops[op].imm) {
	case WASM_IMM_NONE:
		return;
	case WASM_IMM_BLOCK:
		skip_block_type(p);
		return;
	case WASM_IMM_TRY_TABLE:
		skip_try_table(p);
		return;
	case WASM_IMM_LABELS:
		for (uint64_t n = (uint64_t)wasm_read_u32(p) + 1; n; n--)
			skip_leb(p);
		return;
	case WASM_IMM_TYPES:
		for (uint32_t n = wasm_read_u32(p); n; n--)
			wasm_read_valtype(p);
		return;
	case WASM_IMM_HEAP:
		wasm_read_heap_type(p);
		return;
	case WASM_IMM_MEMARG:
		wasm_read_memarg(p);
		return;
	case WASM_IMM_MEMARG_LANE:
		wasm_read_memarg(p);
		(*p)++;
		return;
	case WASM_IMM_ZERO:
	case WASM_IMM_LANE_16:
	case WASM_IMM_LANE_8:
	case WASM_IMM_LANE_4:
	case WASM_IMM_LANE_2:
		(*p)++;
		return;
	case WASM_IMM_F32:
		*p += 4;
		return;
	case WASM_IMM_F64:
		*p += 8;
		return;
	case WASM_IMM_V128:
	case WASM_IMM_SHUFFLE:
		*p += 16;
		return;
	case WASM_IMM_CAST:
		(*p)++;
		skip_leb(p);
		wasm_read_heap_type(p);
		wasm_read_heap_type(p);
		return;
	case WASM_IMM_TYPE_FIELD:
	case WASM_IMM_TYPE_COUNT:
	case WASM_IMM_TYPE_DATA:
	case WASM_IMM_TYPE_ELEM:
	case WASM_IMM_TYPE_TYPE:
	case WASM_IMM_TYPE_TABLE:
	case WASM_IMM_DATA_MEMORY:
	case WASM_IMM_MEMORY_MEMORY:
	case WASM_IMM_ELEM_TABLE:
	case WASM_IMM_TABLE_TABLE:
		skip_leb(p);
		skip_leb(p);
		return;
	case WASM_IMM_LABEL:
	case WASM_IMM_TAG:
	case WASM_IMM_FUNC:
	case WASM_IMM_TYPE:
	case WASM_IMM_LOCAL:
	case WASM_IMM_GLOBAL:
	case WASM_IMM_TABLE:
	case WASM_IMM_MEMORY:
	case WASM_IMM_DATA:
	case WASM_IMM_ELEM:
	case WASM_IMM_I32:
	case WASM_IMM_I64:
		skip_leb(p);
		return;
	}
}
