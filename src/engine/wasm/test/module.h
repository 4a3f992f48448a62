// Modules made by hand for the tests of this room: sections are appended to a buffer as bytes.
#ifndef TENON_WASM_TEST_MODULE_H
#define TENON_WASM_TEST_MODULE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/base.h"
#include "wasm/wasm.h"

#define BYTES(...) ((struct slice){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

enum { TYPES = 1, IMPORTS, FUNCTIONS, TABLES, MEMORIES, GLOBALS, EXPORTS, START, ELEMENTS, CODE, DATA, DATA_COUNT, TAGS };

static inline void put_leb(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_byte(b, (uint8_t)(v | 0x80));
	buf_put_byte(b, (uint8_t)v);
}

static inline void put_preamble(struct buf *b)
{
	buf_put(b, "\0asm\1\0\0\0", 8);
}

static inline void put_section(struct buf *b, uint8_t id, struct slice contents)
{
	buf_put_byte(b, id);
	put_leb(b, contents.len);
	buf_put_slice(b, contents);
}

// A vector of n times the same item.
static inline void put_repeated(struct buf *b, uint8_t id, uint32_t n, struct slice item)
{
	struct buf c = {0};
	put_leb(&c, n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_slice(&c, item);
	put_section(b, id, buf_view(&c));
	buf_release(&c);
}

// A section with one body: locals as given (their vector), code without the final end.
static inline void put_body(struct buf *b, struct slice locals, struct slice code)
{
	struct buf c = {0};
	put_leb(&c, 1);
	put_leb(&c, locals.len + code.len + 1);
	buf_put_slice(&c, locals);
	buf_put_slice(&c, code);
	buf_put_byte(&c, 0x0b);
	put_section(b, CODE, buf_view(&c));
	buf_release(&c);
}

// Decodes and validates; the error is in *e.
static inline bool accepts_with(struct slice bytes, uint32_t features, struct err *e)
{
	struct arena a;
	struct wasm_module *m;
	arena_init(&a, 0);
	*e = (struct err){0};
	bool ok = wasm_decode(&a, bytes, features, 0, &m, e) && wasm_validate(m, e);
	assert_int_equal(ok, e->code == ERR_NONE);
	arena_release(&a);
	return ok;
}

static inline void expect_valid(struct slice bytes)
{
	struct err e;
	if (!accepts_with(bytes, WASM_FEATURES_DEFAULT, &e))
		fail_msg("rejected at 0x%llx: %s (%s)", (unsigned long long)e.offset, e.text, e.where);
}

static inline void expect_error(struct slice bytes, enum err_code code, const char *text)
{
	struct err e;
	if (accepts_with(bytes, WASM_FEATURES_DEFAULT, &e))
		fail_msg("accepted, expected %s", text);
	if (e.code != code || !strstr(e.text, text))
		fail_msg("expected %s: %s; got %s: %s", err_code_name(code), text, err_code_name(e.code), e.text);
}

// What most bodies need: type 0 [] → [], 1 [i32] → [i32], 2 [i32 i64] → [i64 i32], 3 [i32] → []; tags 0 and 1 of types 0 and 3;
// functions 0 (the body, type 0) and 1 (type 1,
// exported, so that it may be referred to); table 0 of funcref, 1 of externref; one memory; global 0 mutable i32, 1 constant i64;
// element segment 0 and data segment 0 passive. Locals: 0 i32, 1 i64, 2 funcref, 3 (ref 1). With GC also types 4 structure of mutable i32, mutable i8 and
// i64, arrays of mutable 5 i32, 6 i8, 7 funcref.
static inline void put_environment(struct buf *b, struct slice code, uint32_t features)
{
	put_preamble(b);
	struct slice types = BYTES(8, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 2, 0x7f, 0x7e, 2, 0x7e, 0x7f, 0x60, 1, 0x7f, 0,
		// with GC
		0x5f, 3, 0x7f, 1, 0x78, 1, 0x7e, 0, 0x5e, 0x7f, 1, 0x5e, 0x78, 1, 0x5e, 0x70, 1);
	struct buf t = {0};
	buf_put_slice(&t, features & WASM_FEATURE_GC ? types : slice_sub(types, 0, 20));
	t.ptr[0] = features & WASM_FEATURE_GC ? 8 : 4;
	put_section(b, TYPES, buf_view(&t));
	buf_release(&t);
	put_section(b, FUNCTIONS, BYTES(2, 0, 1));
	put_section(b, TABLES, BYTES(2, 0x70, 0, 1, 0x6f, 0, 1));
	put_section(b, MEMORIES, BYTES(1, 0, 1));
	put_section(b, TAGS, BYTES(2, 0, 0, 0, 3));
	put_section(b, GLOBALS, BYTES(2, 0x7f, 1, 0x41, 0, 0x0b, 0x7e, 0, 0x42, 0, 0x0b));
	put_section(b, EXPORTS, BYTES(1, 1, 'f', 0, 1));
	put_section(b, ELEMENTS, BYTES(1, 1, 0, 1, 1));
	put_section(b, DATA_COUNT, BYTES(1));
	struct buf c = {0};
	struct slice locals = BYTES(4, 1, 0x7f, 1, 0x7e, 1, 0x70, 1, 0x64, 1);
	put_leb(&c, 2);
	put_leb(&c, locals.len + code.len + 1);
	buf_put_slice(&c, locals);
	buf_put_slice(&c, code);
	buf_put_byte(&c, 0x0b);
	buf_put_slice(&c, BYTES(4, 0, 0x20, 0, 0x0b));
	put_section(b, CODE, buf_view(&c));
	put_section(b, DATA, BYTES(1, 1, 2, 'h', 'i'));
	buf_release(&c);
}

static inline bool body_accepted_with(struct slice code, uint32_t features, struct err *e)
{
	struct buf b = {0};
	put_environment(&b, code, features);
	bool ok = accepts_with(buf_view(&b), features, e);
	buf_release(&b);
	return ok;
}

static inline bool body_accepted(struct slice code, struct err *e)
{
	return body_accepted_with(code, WASM_FEATURES_DEFAULT, e);
}

static inline void expect_body(struct slice code)
{
	struct err e;
	if (!body_accepted(code, &e))
		fail_msg("rejected at 0x%llx: %s", (unsigned long long)e.offset, e.text);
}

static inline void expect_body_error(struct slice code, enum err_code error, const char *text)
{
	struct buf b = {0};
	put_environment(&b, code, WASM_FEATURES_DEFAULT);
	expect_error(buf_view(&b), error, text);
	buf_release(&b);
}

#endif
