// Inside room wasm: the one bounded cursor that all bytes are read through (L59), and value types as words.
#ifndef TENON_WASM_INT_H
#define TENON_WASM_INT_H

#include "wasm.h"

enum {
#define LIMIT(name, value, what) LIMIT_##name = value,
#include "limits.def"
#undef LIMIT
};

// ---- cursor -----------------------------------------------------------------------------------------------------
// p <= end always; all reads fail (set the error, return false) where they would pass `end`.
struct wasm__cursor {
	const uint8_t *p, *end;
	const uint8_t *start;  // of the module
	uint64_t base;         // offset of `start` in the file
	struct err *e;
};
// Sets the error with the offset of `at`. Returns false.
bool wasm__fail(const struct wasm__cursor *c, const uint8_t *at, enum err_code code, const char *fmt, ...) PRINTF_LIKE(4, 5);
// A count or size above its row in limits.def.
bool wasm__fail_limit(const struct wasm__cursor *c, const uint8_t *at, const char *what, uint64_t limit);
bool wasm__fail_feature(const struct wasm__cursor *c, const uint8_t *at, uint32_t feature, const char *what);

NODISCARD bool wasm__leb_slow(struct wasm__cursor *c, unsigned bits, bool sign, uint64_t *ret);
NODISCARD static inline bool wasm__u32(struct wasm__cursor *c, uint32_t *ret)
{
	if (LIKELY(c->p < c->end && *c->p < 0x80)) {
		*ret = *c->p++;
		return true;
	}
	uint64_t v;
	if (!wasm__leb_slow(c, 32, false, &v))
		return false;
	*ret = (uint32_t)v;
	return true;
}
NODISCARD static inline bool wasm__byte(struct wasm__cursor *c, uint8_t *ret)
{
	if (UNLIKELY(c->p == c->end))
		return wasm__fail(c, c->p, ERR_MALFORMED, "unexpected end");
	*ret = *c->p++;
	return true;
}
// A count of things that take at least `each` bytes, at most `limit` of them.
NODISCARD bool wasm__count(struct wasm__cursor *c, uint32_t limit, const char *what, uint32_t each, uint32_t *ret);
// Length and UTF-8 bytes.
NODISCARD bool wasm__name(struct wasm__cursor *c, struct slice *ret);
// Types; `ntypes` type indices are known. The heap type of ref.null comes as the nullable reference to it.
NODISCARD bool wasm__valtype(struct wasm__cursor *c, uint32_t features, uint32_t ntypes, struct wasm_valtype *ret);
NODISCARD bool wasm__reftype(struct wasm__cursor *c, uint32_t features, uint32_t ntypes, struct wasm_valtype *ret);
NODISCARD bool wasm__heaptype(struct wasm__cursor *c, uint32_t features, uint32_t ntypes, struct wasm_valtype *ret);

// ---- value types as words -----------------------------------------------------------------------------------------
typedef uint64_t wasm__word;
_Static_assert(sizeof(struct wasm_valtype) == sizeof(wasm__word) && _Alignof(struct wasm_valtype) == 8, "a value type is a word");
static inline wasm__word wasm__pack(struct wasm_valtype t)
{
	wasm__word w;
	memcpy(&w, &t, sizeof(w));
	return w;
}
static inline struct wasm_valtype wasm__unpack(wasm__word w)
{
	struct wasm_valtype t;
	memcpy(&t, &w, sizeof(t));
	return t;
}
static inline const wasm__word *wasm__words(const struct wasm_valtype *types)
{
	return (const wasm__word *)types;
}
// Numeric types are their kind (little endian). Only the validator has these two: the bottom type, and the heap type below all.
#define WASM__BOTTOM ((wasm__word)0xff)
enum { WASM__HEAP_BOTTOM = 0xff };
#define WASM__REF(nullable, heap, type) wasm__pack((struct wasm_valtype){WASM_REF, (nullable), (heap), 0, (type)})
static inline bool wasm__is_ref(wasm__word w)
{
	return (uint8_t)w == WASM_REF;
}
static inline wasm__word wasm__non_null(wasm__word w)
{
	return w & ~(wasm__word)0xff00;
}
static inline bool wasm__is_defaultable(struct wasm_valtype t)
{
	return t.kind != WASM_REF || t.nullable;
}
// Subtyping within one module.
bool wasm__matches_slow(const struct wasm_module *m, wasm__word have, wasm__word want);
static inline bool wasm__matches(const struct wasm_module *m, wasm__word have, wasm__word want)
{
	return LIKELY(have == want) || wasm__matches_slow(m, have, want);
}
// Writes the type as the text format spells it.
const char *wasm__type_text(wasm__word w, char buf[48]);

// ---- types of the process -------------------------------------------------------------------------------------------
// Canonical ids of a recursion group of n types, one after the other; the first is returned, 0: memory is out. References in it, and `super`, hold canonical
// ids, or places in the group where `group` (`super_in_group`) is set. Depth and layout are set. What the types refer to outside of the group is interned.
uint32_t wasm__intern_group(const struct wasm_type *types, uint32_t n);
// Does the subtype's definition fit the supertype's (core specification 3.0, "Composite Types", matching)?
bool wasm__type_fits(const struct wasm_module *m, const struct wasm_type *t, const struct wasm_type *super);
// Where fields lie in an object.
void wasm__type_lay_out(struct wasm_type *t, struct wasm_field *fields);
// Subtyping of fields.
bool wasm__field_matches(const struct wasm_module *m, const struct wasm_field *have, const struct wasm_field *want);

// ---- decoding ---------------------------------------------------------------------------------------------------------
struct wasm__decoder {
	struct wasm__cursor c;  // of the section being read
	struct wasm_module *m;
	struct arena *a;
	uint32_t features;
	VEC(struct wasm_type)
	types;
	VEC(struct wasm_import)
	imports;
	VEC(struct wasm_func)
	funcs;
	VEC(struct wasm_table)
	tables;
	VEC(struct wasm_memory_type)
	memories;
	VEC(struct wasm_global)
	globals;
	VEC(struct wasm_tag)
	tags;
	VEC(struct wasm_custom)
	customs;
	VEC(struct wasm_const_op)
	ops;  // of the constant expression being read; reused
	uint32_t nbodies;
	uint32_t data_count;
	wasm__word stack[LIMIT_CONST_HEIGHT];  // of the constant expression being read
};
// Sections; each reads the contents from d->c.
NODISCARD bool wasm__read_types(struct wasm__decoder *d);
NODISCARD bool wasm__read_imports(struct wasm__decoder *d);
NODISCARD bool wasm__read_functions(struct wasm__decoder *d);
NODISCARD bool wasm__read_tables(struct wasm__decoder *d);
NODISCARD bool wasm__read_memories(struct wasm__decoder *d);
NODISCARD bool wasm__read_globals(struct wasm__decoder *d);
NODISCARD bool wasm__read_tags(struct wasm__decoder *d);
NODISCARD bool wasm__read_exports(struct wasm__decoder *d);
NODISCARD bool wasm__read_start(struct wasm__decoder *d);
NODISCARD bool wasm__read_elements(struct wasm__decoder *d);
NODISCARD bool wasm__read_data_count(struct wasm__decoder *d);
NODISCARD bool wasm__read_code(struct wasm__decoder *d);
NODISCARD bool wasm__read_data(struct wasm__decoder *d);
// A constant expression of type `want`; globals known so far may be read.
NODISCARD bool wasm__const_expr(struct wasm__decoder *d, wasm__word want, struct wasm_const_expr *ret);
NODISCARD bool wasm__func_index(struct wasm__decoder *d, uint32_t *ret);

#endif
