// The module around the bodies: preamble, sections to the byte (L59), LEB128, names, constant expressions, segments, exports.
#include "module.h"

static void tells_modules_from_components(void **state)
{
	assert_true(wasm_is_module(BYTES(0, 'a', 's', 'm', 1, 0, 0, 0)));
	assert_false(wasm_is_module(BYTES(0, 'a', 's', 'm', 0x0d, 0, 1, 0)));
	assert_true(wasm_is_component(BYTES(0, 'a', 's', 'm', 0x0d, 0, 1, 0)));
	assert_false(wasm_is_component(BYTES(0, 'a', 's', 'm', 0x0d, 0, 1)));
	expect_valid(BYTES(0, 'a', 's', 'm', 1, 0, 0, 0));
	expect_error(BYTES('(', 'm', 'o', 'd', 'u', 'l', 'e', ')'), ERR_MALFORMED, "magic header not detected");
	expect_error(BYTES(0, 'a', 's', 'm', 2, 0, 0, 0), ERR_MALFORMED, "unknown binary version");
	expect_error(BYTES(0, 'a', 's', 'm', 0x0d, 0, 1, 0), ERR_MALFORMED, "unknown binary version");
	expect_error((struct slice){0}, ERR_MALFORMED, "unexpected end");
	expect_error(BYTES(0, 'a', 's', 'm', 1, 0, 0), ERR_MALFORMED, "unexpected end");
}

static void expect_sections(enum err_code code, const char *text, struct slice sections)
{
	struct buf b = {0};
	put_preamble(&b);
	buf_put_slice(&b, sections);
	if (code == ERR_NONE)
		expect_valid(buf_view(&b));
	else
		expect_error(buf_view(&b), code, text);
	buf_release(&b);
}

// L59
static void sections_end_exactly(void **state)
{
	expect_sections(ERR_NONE, "", BYTES(1, 4, 1, 0x60, 0, 0));
	expect_sections(ERR_MALFORMED, "section size mismatch", BYTES(1, 5, 1, 0x60, 0, 0, 0));
	expect_sections(ERR_MALFORMED, "unexpected end", BYTES(1, 3, 1, 0x60, 0));
	expect_sections(ERR_MALFORMED, "unexpected end: length out of bounds", BYTES(1, 5, 1, 0x60, 0, 0));
	expect_sections(ERR_MALFORMED, "unexpected end", BYTES(1));
	expect_sections(ERR_MALFORMED, "malformed section id", BYTES(14, 1, 0));
	// A name or a body may not reach out of its section into the next one.
	expect_sections(ERR_MALFORMED, "unexpected end", BYTES(2, 2, 1, 5, 0, 5, 'a', 'b', 'c', 'd'));
}

static void sections_come_once_and_in_order(void **state)
{
	expect_sections(ERR_MALFORMED, "unexpected content after last section", BYTES(1, 1, 0, 1, 1, 0));
	expect_sections(ERR_MALFORMED, "unexpected content after last section", BYTES(5, 1, 0, 4, 1, 0));
	expect_sections(ERR_MALFORMED, "unexpected content after last section", BYTES(10, 1, 0, 12, 1, 0));
	expect_sections(ERR_NONE, "", BYTES(12, 1, 0, 10, 1, 0, 11, 1, 0));
	// Custom sections may stand anywhere.
	expect_sections(ERR_NONE, "", BYTES(0, 2, 1, 'x', 1, 1, 0, 0, 2, 1, 'x', 5, 1, 0, 0, 1, 0));
	expect_sections(ERR_MALFORMED, "unexpected end", BYTES(0, 0));
	expect_sections(ERR_MALFORMED, "malformed UTF-8", BYTES(0, 2, 1, 0x80));
}

// L59: last byte of LEB128.
static void integers_end_in_time_and_fit(void **state)
{
	expect_sections(ERR_NONE, "", BYTES(5, 7, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x00));
	expect_sections(ERR_MALFORMED, "integer representation too long", BYTES(5, 8, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00));
	expect_sections(ERR_MALFORMED, "integer too large", BYTES(5, 7, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x10));
	expect_sections(ERR_INVALID, "memory size must be at most 65536 pages (4GiB)", BYTES(5, 7, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f));
	expect_body(BYTES(0x41, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x1a));
	expect_body(BYTES(0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x1a));
	expect_body(BYTES(0x41, 0x80, 0x80, 0x80, 0x80, 0x78, 0x1a));
	expect_body_error(BYTES(0x41, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x1a), ERR_MALFORMED, "integer too large");
	expect_body_error(BYTES(0x41, 0xff, 0xff, 0xff, 0xff, 0x3f, 0x1a), ERR_MALFORMED, "integer too large");
	expect_body_error(BYTES(0x41, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x1a), ERR_MALFORMED, "integer representation too long");
	expect_body(BYTES(0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f, 0x1a));
	expect_body(BYTES(0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x1a));
	expect_body_error(BYTES(0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x1a), ERR_MALFORMED, "integer too large");
	expect_body_error(BYTES(0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x1a), ERR_MALFORMED, "integer representation too long");
}

static struct wasm_module *decode(struct arena *a, struct buf *b)
{
	struct wasm_module *m = NULL;
	struct err e = {0};
	arena_init(a, 0);
	if (!wasm_decode(a, buf_view(b), WASM_FEATURES_DEFAULT, 0, &m, &e))
		fail_msg("%s", e.text);
	return m;
}

static void constants_keep_their_bits(void **state)
{
	struct arena a;
	struct buf b = {0};
	put_preamble(&b);
	static const uint8_t globals[] = {
		5,
		0x7f,
		0,
		0x41,
		0x7e,
		0x0b,
		0x7e,
		0,
		0x42,
		0x7d,
		0x0b,
		0x7d,
		0,
		0x43,
		1,
		2,
		3,
		0xff,
		0x0b,
		0x7c,
		0,
		0x44,
		1,
		2,
		3,
		4,
		5,
		6,
		7,
		0xf8,
		0x0b,
		0x7f,
		0,
		0x23,
		0,
		0x41,
		3,
		0x6c,
		0x0b,
	};
	put_section(&b, GLOBALS, slice_of(globals, sizeof(globals)));
	struct wasm_module *m = decode(&a, &b);
	assert_int_equal(m->globals[0].init.ops[0].imm, UINT32_C(0xfffffffe));
	assert_true(m->globals[1].init.ops[0].imm == (uint64_t)-3);
	assert_int_equal(m->globals[2].init.ops[0].imm, UINT32_C(0xff030201));
	assert_true(m->globals[3].init.ops[0].imm == UINT64_C(0xf807060504030201));
	assert_int_equal(m->globals[4].init.nops, 3);
	assert_int_equal(m->globals[4].init.ops[0].op, WASM_OP_GLOBAL_GET);
	assert_int_equal(m->globals[4].init.ops[2].op, WASM_OP_I32_MUL);
	arena_release(&a);
	buf_release(&b);
}

static void constant_expressions_are_checked(void **state)
{
	expect_sections(ERR_INVALID, "type mismatch", BYTES(6, 6, 1, 0x7e, 0, 0x41, 0, 0x0b));
	expect_sections(ERR_INVALID, "type mismatch", BYTES(6, 4, 1, 0x7f, 0, 0x0b));
	expect_sections(ERR_INVALID, "type mismatch", BYTES(6, 8, 1, 0x7f, 0, 0x41, 0, 0x41, 0, 0x0b));
	expect_sections(ERR_INVALID, "type mismatch", BYTES(6, 7, 1, 0x7f, 0, 0x41, 0, 0x6a, 0x0b));
	expect_sections(ERR_INVALID, "constant expression required", BYTES(6, 7, 1, 0x7f, 0, 0x41, 0, 0x45, 0x0b));
	expect_sections(ERR_INVALID, "unknown global", BYTES(6, 6, 1, 0x7f, 0, 0x23, 0, 0x0b));
	expect_sections(ERR_INVALID, "constant expression required", BYTES(6, 11, 2, 0x7f, 1, 0x41, 0, 0x0b, 0x7f, 0, 0x23, 0, 0x0b));
	expect_sections(ERR_INVALID, "unknown function", BYTES(6, 6, 1, 0x70, 0, 0xd2, 0, 0x0b));
	expect_sections(ERR_MALFORMED, "illegal opcode", BYTES(6, 6, 1, 0x7f, 0, 0x27, 0, 0x0b));
	expect_sections(ERR_MALFORMED, "unexpected end", BYTES(6, 5, 1, 0x7f, 0, 0x41, 0));
	expect_sections(ERR_MALFORMED, "malformed mutability", BYTES(6, 6, 1, 0x7f, 2, 0x41, 0, 0x0b));
}

static void limits_are_checked(void **state)
{
	expect_sections(ERR_NONE, "", BYTES(5, 6, 1, 1, 0, 0x80, 0x80, 0x04));
	expect_sections(ERR_INVALID, "size minimum must not be greater than maximum", BYTES(5, 4, 1, 1, 2, 1));
	expect_sections(ERR_INVALID, "memory size must be at most", BYTES(5, 6, 1, 1, 0, 0x81, 0x80, 0x04));
	expect_sections(ERR_MALFORMED, "malformed limits flags", BYTES(5, 3, 1, 16, 0));
	expect_sections(ERR_UNSUPPORTED, "custom-page-sizes", BYTES(5, 4, 1, 8, 0, 0));
	expect_sections(ERR_MALFORMED, "malformed limits flags", BYTES(4, 5, 1, 0x70, 8, 0, 0));
	// Of 64-bit indices.
	expect_sections(ERR_NONE, "", BYTES(5, 9, 1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40));
	expect_sections(ERR_INVALID, "memory size must be at most", BYTES(5, 9, 1, 4, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40));
	expect_sections(ERR_NONE, "", BYTES(4, 13, 1, 0x70, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1));
	expect_sections(ERR_UNSUPPORTED, "threads", BYTES(5, 4, 1, 3, 0, 1));
	expect_sections(ERR_NONE, "", BYTES(4, 8, 1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f));
	expect_sections(ERR_INVALID, "type mismatch", BYTES(4, 5, 1, 0x64, 0x70, 0, 0));
	expect_sections(ERR_MALFORMED, "malformed reference type", BYTES(4, 4, 1, 0x7f, 0, 0));
}

static void counts_of_sections_agree(void **state)
{
	expect_sections(ERR_MALFORMED, "function and code section have inconsistent lengths", BYTES(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0));
	expect_sections(ERR_MALFORMED, "function and code section have inconsistent lengths", BYTES(10, 4, 1, 2, 0, 0x0b));
	expect_sections(ERR_MALFORMED, "data count and data section have inconsistent lengths", BYTES(12, 1, 1));
	expect_sections(ERR_NONE, "", BYTES(12, 1, 1, 11, 3, 1, 1, 0));
	expect_sections(ERR_NONE, "", BYTES(11, 3, 1, 1, 0));
	// Without a data count code may not name segments.
	expect_sections(ERR_MALFORMED, "data count section required",
		BYTES(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 7, 1, 5, 0, 0xfc, 9, 0, 0x0b, 11, 3, 1, 1, 0));
}

static void exports_are_found_by_name_and_unique(void **state)
{
	struct arena a;
	struct buf b = {0};
	put_preamble(&b);
	put_section(&b, MEMORIES, BYTES(2, 0, 0, 0, 0));
	put_section(&b, EXPORTS, BYTES(2, 1, 'a', 2, 1, 0, 2, 0));
	struct wasm_module *m = decode(&a, &b);
	assert_int_equal(wasm_module_find_export(m, SLICE_LIT("a"))->index, 1);
	assert_int_equal(wasm_module_find_export(m, SLICE_LIT(""))->index, 0);
	assert_null(wasm_module_find_export(m, SLICE_LIT("b")));
	arena_release(&a);
	buf_release(&b);
	expect_sections(ERR_INVALID, "duplicate export name", BYTES(5, 3, 1, 0, 0, 7, 9, 2, 1, 'a', 2, 0, 1, 'a', 2, 0));
	expect_sections(ERR_INVALID, "unknown memory", BYTES(7, 5, 1, 1, 'a', 2, 0));
	expect_sections(ERR_INVALID, "unknown function", BYTES(7, 5, 1, 1, 'a', 0, 0));
}

static void start_functions_take_and_leave_nothing(void **state)
{
	expect_sections(ERR_NONE, "", BYTES(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 4, 1, 2, 0, 0x0b));
	expect_sections(ERR_INVALID, "start function", BYTES(1, 5, 1, 0x60, 1, 0x7f, 0, 3, 2, 1, 0, 8, 1, 0, 10, 4, 1, 2, 0, 0x0b));
	expect_sections(ERR_INVALID, "unknown function", BYTES(8, 1, 0));
}

static void segments_of_all_forms_are_read(void **state)
{
	struct arena a;
	struct buf b = {0};
	put_preamble(&b);
	put_section(&b, TYPES, BYTES(1, 0x60, 0, 0));
	put_section(&b, FUNCTIONS, BYTES(1, 0));
	put_section(&b, TABLES, BYTES(2, 0x70, 0, 9, 0x70, 0, 9));
	static const uint8_t segments[] = {
		8,
		0,
		0x41,
		1,
		0x0b,
		1,
		0,
		1,
		0,
		1,
		0,
		2,
		1,
		0x41,
		2,
		0x0b,
		0,
		1,
		0,
		3,
		0,
		1,
		0,
		4,
		0x41,
		3,
		0x0b,
		1,
		0xd0,
		0x70,
		0x0b,
		5,
		0x70,
		1,
		0xd2,
		0,
		0x0b,
		6,
		1,
		0x41,
		4,
		0x0b,
		0x70,
		1,
		0xd2,
		0,
		0x0b,
		7,
		0x70,
		1,
		0xd2,
		0,
		0x0b,
	};
	put_section(&b, ELEMENTS, slice_of(segments, sizeof(segments)));
	put_body(&b, BYTES(0), BYTES(0x01));
	struct wasm_module *m = decode(&a, &b);
	static const uint8_t modes[] = {WASM_SEGMENT_ACTIVE, WASM_SEGMENT_PASSIVE, WASM_SEGMENT_ACTIVE, WASM_SEGMENT_DECLARATIVE,
		WASM_SEGMENT_ACTIVE, WASM_SEGMENT_PASSIVE, WASM_SEGMENT_ACTIVE, WASM_SEGMENT_DECLARATIVE};
	assert_int_equal(m->nelems, 8);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(m->elems[i].mode, modes[i]);
		assert_int_equal(m->elems[i].count, 1);
		assert_int_equal(m->elems[i].funcs != NULL, i < 4);
		assert_int_equal(m->elems[i].exprs != NULL, i >= 4);
		assert_int_equal(m->elems[i].table, i == 2 || i == 6);
		assert_int_equal(m->elems[i].type.nullable, i >= 4);
	}
	assert_int_equal(m->elems[6].offset.ops[0].imm, 4);
	arena_release(&a);
	buf_release(&b);
	expect_sections(ERR_MALFORMED, "malformed elements segment kind", BYTES(9, 3, 1, 8, 0));
	expect_sections(ERR_INVALID, "unknown table", BYTES(9, 6, 1, 0, 0x41, 0, 0x0b, 0));
	expect_sections(ERR_INVALID, "type mismatch", BYTES(4, 4, 1, 0x6f, 0, 0, 9, 6, 1, 0, 0x41, 0, 0x0b, 0));
	expect_sections(ERR_INVALID, "unknown memory", BYTES(11, 6, 1, 0, 0x41, 0, 0x0b, 0));
	expect_sections(ERR_MALFORMED, "malformed data segment kind", BYTES(11, 3, 1, 3, 0));
}

static struct wasm_module *decode_known(struct arena *a, const struct buf *b)
{
	struct wasm_module *m = NULL;
	struct err e = {0};
	arena_init(a, 0);
	assert_true(wasm_decode(a, buf_view(b), WASM_FEATURES_DEFAULT | WASM_DECODE_KNOWN, 0, &m, &e));
	return m;
}

static void data_of_known_bytes_is_read_when_it_is_asked_for(void **state)
{
	struct arena a;
	struct buf b = {0};
	put_preamble(&b);
	put_section(&b, MEMORIES, BYTES(1, 0, 1));
	put_section(&b, DATA, BYTES(2, 0, 0x41, 5, 0x0b, 2, 'a', 'b', 1, 1, 'c'));
	struct wasm_module *m = decode_known(&a, &b);
	assert_int_equal(m->ndata, 2);
	assert_null(m->data);
	mem_fail_nth(1);
	const struct wasm_data *data = wasm_module_data(m);
	mem_fail_nth(0);
	assert_null(data);
	data = wasm_module_data(m);
	assert_non_null(data);
	assert_int_equal(data[0].mode, WASM_SEGMENT_ACTIVE);
	assert_int_equal(data[0].offset.ops[0].imm, 5);
	assert_true(slice_eq_str(data[0].bytes, "ab"));
	assert_int_equal(data[1].mode, WASM_SEGMENT_PASSIVE);
	assert_true(slice_eq_str(data[1].bytes, "c"));
	assert_ptr_equal(wasm_module_data(m), data);
	arena_release(&a);
	// Bytes that are not those which were decoded before.
	m = decode_known(&a, &b);
	b.ptr[b.len - 2] = 2;
	assert_null(wasm_module_data(m));
	b.ptr[b.len - 11] = 1;
	assert_null(wasm_module_data(m));
	arena_release(&a);
	buf_release(&b);
}

static void errors_tell_the_offset_in_the_file(void **state)
{
	struct arena a;
	struct wasm_module *m;
	struct err e = {0};
	struct buf b = {0};
	put_preamble(&b);
	put_section(&b, MEMORIES, BYTES(1, 1, 2, 1));
	arena_init(&a, 0);
	assert_false(wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 1000, &m, &e));
	assert_int_equal(e.offset, 1000 + 8 + 3);
	arena_release(&a);
	// In a body: the instruction.
	buf_clear(&b);
	put_preamble(&b);
	put_section(&b, TYPES, BYTES(1, 0x60, 0, 0));
	put_section(&b, FUNCTIONS, BYTES(1, 0));
	put_body(&b, BYTES(0), BYTES(0x41, 0, 0x92));
	e = (struct err){0};
	assert_true(wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 1000, &m, &e));
	assert_false(wasm_validate(m, &e));
	assert_int_equal(e.offset, 1000 + b.len - 2);
	assert_string_equal(e.where, "function 0 (func[0])");
	arena_release(&a);
	buf_release(&b);
}

static void names_of_functions_are_optional_and_lenient(void **state)
{
	// Subsection 0 (the module), then 1: two names; in the second section the name is longer than the subsection.
	const struct slice sections[] = {
		BYTES(0, 20, 4, 'n', 'a', 'm', 'e', 0, 2, 1, 'm', 1, 9, 2, 0, 1, 'x', 1, 2, 'h', 'i', 0),
		BYTES(0, 18, 4, 'n', 'a', 'm', 'e', 0, 2, 1, 'm', 1, 7, 2, 0, 1, 'x', 1, 9, 'h'),
	};
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		struct arena a;
		struct buf b = {0};
		char name[32];
		put_preamble(&b);
		buf_put_slice(&b, sections[i]);
		struct wasm_module *m = decode(&a, &b);
		struct wasm_names names;
		wasm_names_make(&names, m);
		wasm_names_put(&names, 1, name, sizeof name);
		assert_string_equal(name, i == 0 ? "hi" : "func[1]");
		wasm_names_put(&names, 7, name, sizeof name);
		assert_string_equal(name, "func[7]");
		wasm_names_release(&names);
		arena_release(&a);
		buf_release(&b);
	}
}

static void imports_come_first_in_their_index_spaces(void **state)
{
	struct arena a;
	struct buf b = {0};
	put_preamble(&b);
	put_section(&b, TYPES, BYTES(2, 0x60, 0, 0, 0x60, 1, 0x7f, 0));
	put_section(&b, IMPORTS, BYTES(4, 1, 'm', 1, 'f', 0, 1, 0, 0, 3, 0x7e, 1, 0, 0, 2, 1, 1, 2, 0, 0, 1, 0x6f, 0, 3));
	put_section(&b, FUNCTIONS, BYTES(1, 0));
	put_body(&b, BYTES(0), BYTES(0x01));
	struct wasm_module *m = decode(&a, &b);
	assert_int_equal(m->nimports, 4);
	assert_int_equal(m->nimported_funcs, 1);
	assert_int_equal(m->nfuncs, 2);
	assert_int_equal(m->funcs[0].type, 1);
	assert_int_equal(m->funcs[1].type, 0);
	assert_int_equal(m->funcs[1].size, 3);
	assert_int_equal(m->bytes.ptr[m->funcs[1].offset + 2], 0x0b);
	assert_true(m->globals[0].type.mutable);
	assert_int_equal(m->memories[0].limits.max, 2);
	assert_int_equal(m->tables[0].type.elem.heap, WASM_HEAP_EXTERN);
	assert_true(slice_eq_str(m->imports[0].name, "f"));
	arena_release(&a);
	buf_release(&b);
	expect_sections(ERR_MALFORMED, "malformed import kind", BYTES(2, 5, 1, 0, 0, 5, 0));
	expect_sections(ERR_INVALID, "unknown type", BYTES(2, 5, 1, 0, 0, 0, 0));
}

// Every allocation of decoding and validating may fail; then the error is NOMEM and nothing else happens.
static void survives_every_failing_allocation(void **state)
{
	struct buf b = {0};
	put_environment(&b, BYTES(0x41, 0, 0x04, 0x40, 0x0b), WASM_FEATURES_DEFAULT);
	unsigned n = 1;
	for (bool ok = false; !ok; n++) {
		struct arena a;
		struct wasm_module *m;
		struct err e = {0};
		arena_init(&a, 0);
		mem_fail_nth(n);
		ok = wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 0, &m, &e) && wasm_validate(m, &e);
		mem_fail_nth(0);
		assert_int_equal(e.code, ok ? ERR_NONE : ERR_NOMEM);
		arena_release(&a);
	}
	assert_true(n > 8);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_every_failing_allocation),
		cmocka_unit_test(tells_modules_from_components),
		cmocka_unit_test(sections_end_exactly),
		cmocka_unit_test(sections_come_once_and_in_order),
		cmocka_unit_test(integers_end_in_time_and_fit),
		cmocka_unit_test(constants_keep_their_bits),
		cmocka_unit_test(constant_expressions_are_checked),
		cmocka_unit_test(limits_are_checked),
		cmocka_unit_test(counts_of_sections_agree),
		cmocka_unit_test(exports_are_found_by_name_and_unique),
		cmocka_unit_test(start_functions_take_and_leave_nothing),
		cmocka_unit_test(segments_of_all_forms_are_read),
		cmocka_unit_test(data_of_known_bytes_is_read_when_it_is_asked_for),
		cmocka_unit_test(errors_tell_the_offset_in_the_file),
		cmocka_unit_test(names_of_functions_are_optional_and_lenient),
		cmocka_unit_test(imports_come_first_in_their_index_spaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
