// Components and modules for tests, written as text: hex bytes, 'names' (with their length), [ … ] for what is preceded by its size,
// instructions by name, #numbers as LEB128 (signed after i32.const and i64.const). Adjacent strings join, so that a component reads as a list of
// sections.
#ifndef TENON_COMP_TEST_BUILD_H
#define TENON_COMP_TEST_BUILD_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "comp/comp.h"

#define COMPONENT "00 61 73 6d 0d 00 01 00 "
#define MODULE "00 61 73 6d 01 00 00 00 "
#define CUSTOM "00 "
#define CORE_MODULE "01 "
#define CORE_INSTANCE "02 "
#define CORE_TYPE "03 "
#define NESTED "04 "
#define INSTANCE "05 "
#define ALIAS "06 "
#define TYPE "07 "
#define CANON "08 "
#define IMPORT "0a "
#define EXPORT "0b "

// A core module with (func (export "f")), (memory (export "m") 1) and a realloc (export "r").
#define MODULE_F                                         \
	MODULE "01 [ 02 60 00 00 60 04 7f 7f 7f 7f 01 7f ] " \
		   "03 [ 02 00 01 ] "                            \
		   "05 [ 01 00 01 ] "                            \
		   "07 [ 03 'f' 00 00 'm' 02 00 'r' 00 01 ] "    \
		   "0a [ 02 [ 00 0b ] [ 00 41 00 0b ] ] "
// Its instance as core instance 0, "f" as core function 0, (func) as type 0.
#define WITH_F \
	CORE_MODULE "[ " MODULE_F "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 00 00 01 00 'f' ] " TYPE "[ 01 40 00 01 00 ] "
// Exports (func) lifted from "f" as "run".
#define EXPORTS_RUN COMPONENT WITH_F CANON "[ 01 00 00 00 00 00 ] " EXPORT "[ 01 00 'run' 01 00 00 ] "
// Imports (func) "run", calls it from a core module, exports that as "go".
#define CALLS_RUN MODULE "01 [ 01 60 00 00 ] 02 [ 01 '' 'run' 00 00 ] 07 [ 01 'go' 00 00 ] "
#define LOWERS_RUN COMPONENT TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 01 00 'run' 01 00 ] " CANON "[ 01 01 00 00 00 ] "
#define GIVES_RUN CORE_INSTANCE "[ 01 01 01 'run' 00 00 ] " CORE_INSTANCE "[ 01 00 00 01 '' 12 00 ] "
#define LIFTS_GO ALIAS "[ 01 00 00 01 01 'go' ] " CANON "[ 01 00 00 01 00 00 ] " EXPORT "[ 01 00 'go' 01 01 00 ] "
#define IMPORTS_RUN LOWERS_RUN CORE_MODULE "[ " CALLS_RUN "] " GIVES_RUN LIFTS_GO
// The one plugged into the other.
#define MAKES_RUN COMPONENT NESTED "[ " EXPORTS_RUN "] " NESTED "[ " IMPORTS_RUN "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 01 00 00 'run' ] "
#define COMPOSED MAKES_RUN INSTANCE "[ 01 00 01 01 'run' 01 00 ] " EXPORT "[ 01 00 'b' 05 01 00 ] "

static inline void build__leb(struct buf *b, const char *number, bool is_signed)
{
	int64_t v = (int64_t)strtoull(number, NULL, 0);  // "-1" wraps as it should
	for (;;) {
		uint8_t byte = v & 0x7f;
		v = is_signed ? v >> 7 : (int64_t)((uint64_t)v >> 7);
		bool last = is_signed ? (v == 0 && !(byte & 0x40)) || (v == -1 && (byte & 0x40)) : v == 0;
		assert_true(buf_put_byte(b, last ? byte : byte | 0x80));
		if (last)
			return;
	}
}

// true: numbers that follow are signed.
static inline bool build__instruction(struct buf *b, struct slice name)
{
	unsigned op = 0;
	while (op < WASM_OP_COUNT && !slice_eq_str(name, wasm_op_text((enum wasm_op)op)))
		op++;
	if (op == WASM_OP_COUNT)
		fail_msg("no instruction '%.*s'", (int)name.len, (const char *)name.ptr);
	uint32_t code = wasm_ops[op].code;
	if (wasm_ops[op].prefix)
		assert_true(buf_put_byte(b, wasm_ops[op].prefix));
	for (; wasm_ops[op].prefix && code >= 0x80; code >>= 7)
		assert_true(buf_put_byte(b, (uint8_t)(code | 0x80)));
	assert_true(buf_put_byte(b, (uint8_t)code));
	return op == WASM_OP_I32_CONST || op == WASM_OP_I64_CONST;
}

__attribute__((unused)) static void build_text(struct buf *b, const char *text)
{
	size_t open[64];
	unsigned depth = 0;
	bool is_signed = false;
	for (const char *p = text; *p;) {
		if (*p == ' ') {
			p++;
		} else if (*p == '[') {
			assert_true(depth < 64 && buf_put(b, "\0\0\0\0\0", 5));
			open[depth++] = b->len;
			p++;
		} else if (*p == ']') {
			assert_true(depth > 0);
			size_t at = open[--depth], n = b->len - at;
			for (unsigned i = 0; i < 5; i++)  // padded: C3
				b->ptr[at - 5 + i] = (uint8_t)(((n >> (7 * i)) & 0x7f) | (i < 4 ? 0x80 : 0));
			p++;
		} else if (*p == '\'') {
			const char *end = strchr(p + 1, '\'');
			size_t n = (size_t)(end - p - 1);
			assert_true(n < 128 && buf_put_byte(b, (uint8_t)n) && (n == 0 || buf_put(b, p + 1, n)));
			p = end + 1;
		} else if (*p == '#') {
			build__leb(b, p + 1, is_signed);
			p += strcspn(p, " ");
		} else if (strspn(p, "0123456789abcdef") < strcspn(p, " []'")) {
			is_signed = build__instruction(b, slice_of(p, strcspn(p, " ")));
			p += strcspn(p, " ");
		} else {
			unsigned v;
			assert_int_equal(sscanf(p, "%2x", &v), 1);
			assert_true(buf_put_byte(b, (uint8_t)v));
			p += 2;
		}
	}
	assert_int_equal(depth, 0);
}

// What decoding gave. Release with decoded_release.
struct decoded {
	struct buf bytes;
	struct arena arena;
	struct comp_component *c;
	struct err e;
	bool ok;
};

__attribute__((unused)) static void decode_bytes(struct decoded *d, uint32_t features)
{
	struct comp_options opt = COMP_OPTIONS_DEFAULT;
	opt.features |= features;
	arena_init(&d->arena, 0);
	err_clear(&d->e);
	d->ok = comp_decode(&d->arena, buf_view(&d->bytes), &opt, &d->c, &d->e);
}

__attribute__((unused)) static void decoded_release(struct decoded *d)
{
	arena_release(&d->arena);
	buf_release(&d->bytes);
}

static void same_ref(struct comp_core_ref a, struct comp_core_ref b)
{
	assert_int_equal(a.kind, b.kind);
	assert_int_equal(a.extern_kind, b.extern_kind);
	assert_int_equal(a.instance, b.instance);
	assert_int_equal(a.index, b.index);
}

static void same_plan(const struct comp_plan *a, const struct comp_plan *b)
{
	const uint32_t counts[][2] = {{a->nsteps, b->nsteps}, {a->ninstances, b->ninstances}, {a->nresources, b->nresources}, {a->ncore_instances, b->ncore_instances},
		{a->nlifts, b->nlifts}, {a->nlowers, b->nlowers}, {a->nbuiltins, b->nbuiltins}, {a->ncore_funcs, b->ncore_funcs}, {a->nimports, b->nimports},
		{a->nhost_funcs, b->nhost_funcs}, {a->nhost_resources, b->nhost_resources}, {a->nexport_funcs, b->nexport_funcs}};
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		assert_int_equal(counts[i][0], counts[i][1]);
	for (uint32_t i = 0; i < a->ncore_instances; i++) {
		const struct comp_core_instance *x = &a->core_instances[i], *y = &b->core_instances[i];
		assert_int_equal(x->module, y->module);
		assert_int_equal(x->nimports, y->nimports);
		for (uint32_t k = 0; k < x->nimports; k++)
			same_ref(x->imports[k], y->imports[k]);
	}
	for (uint32_t i = 0; i < a->nlifts; i++)
		same_ref(a->lifts[i].func, b->lifts[i].func);
	for (uint32_t i = 0; i < a->nlowers; i++) {
		assert_int_equal(a->lowers[i].callee.kind, b->lowers[i].callee.kind);
		assert_int_equal(a->lowers[i].callee.index, b->lowers[i].callee.index);
	}
}

// What was decoded before is decoded into the same again, though less is looked at.
static void is_the_same_where_it_is_known(const struct decoded *d)
{
	struct comp_options opt = COMP_OPTIONS_DEFAULT;
	struct decoded known = {0};
	struct buf text = {0}, again = {0};
	struct err e;
	opt.core_features |= WASM_DECODE_KNOWN;
	arena_init(&known.arena, 0);
	err_clear(&known.e);
	if (!comp_decode(&known.arena, buf_view(&d->bytes), &opt, &known.c, &known.e))
		fail_msg("known: %s", known.e.text);
	same_plan(&d->c->plan, &known.c->plan);
	err_clear(&e);
	assert_int_equal(comp_print(&text, d->c, &e), comp_print(&again, known.c, &e));
	assert_true(slice_eq(buf_view(&text), buf_view(&again)));
	buf_release(&text);
	buf_release(&again);
	arena_release(&known.arena);
}

__attribute__((unused)) static struct decoded decode_ok(const char *text)
{
	struct decoded d = {0};
	build_text(&d.bytes, text);
	decode_bytes(&d, 0);
	if (!d.ok)
		fail_msg("%s at 0x%llx: %s (%s)\n%s", err_code_name(d.e.code), (unsigned long long)d.e.offset, d.e.text, d.e.where, text);
	is_the_same_where_it_is_known(&d);
	return d;
}

__attribute__((unused)) static void accepts(const char *text)
{
	struct decoded d = decode_ok(text);
	decoded_release(&d);
}

// The same with features that are off by default.
__attribute__((unused)) static void rejects_with(uint32_t features, const char *text, enum err_code code, const char *part)
{
	struct decoded d = {0};
	build_text(&d.bytes, text);
	decode_bytes(&d, features);
	assert_false(d.ok);
	if (d.e.code != code || !strstr(d.e.text, part) || d.e.offset > d.bytes.len)
		fail_msg("expected %s '%s', got %s '%s' at 0x%llx\n%s", err_code_name(code), part, err_code_name(d.e.code), d.e.text,
			(unsigned long long)d.e.offset, text);
	decoded_release(&d);
}

// Rejected with this code, a text that has `part`, and an offset within the input.
__attribute__((unused)) static void rejects(const char *text, enum err_code code, const char *part)
{
	rejects_with(0, text, code, part);
}

#endif
