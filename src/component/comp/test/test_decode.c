// Decoding and validation: what each rule accepts and refuses.
#include "build.h"

// ---- preamble, sections, integers ----

static void accepts_only_the_preamble_of_a_component(void **state)  // C1
{
	accepts(COMPONENT);
	rejects("00 61 73 6d 0d 00", ERR_MALFORMED, "unexpected end-of-file");
	rejects("00 61 73 6e 0d 00 01 00", ERR_MALFORMED, "magic header not detected");
	rejects(MODULE, ERR_MALFORMED, "expected a version header for a component");
	rejects("00 61 73 6d 0c 00 01 00", ERR_MALFORMED, "unknown binary version");
	rejects("00 61 73 6d 0d 00 02 00", ERR_MALFORMED, "expected a version header for a component");
}

static void sections_repeat_and_interleave(void **state)  // C2
{
	accepts(COMPONENT TYPE "[ 01 72 01 'a' 79 ] " CUSTOM "[ 'x' 00 ] " TYPE "[ 01 70 00 ] " CUSTOM "[ 'x' ] " TYPE "[ 00 ] ");
	rejects(COMPONENT TYPE "[ 01 70 00 ] " TYPE "[ 01 72 01 'a' 79 ] ", ERR_INVALID, "index out of bounds");
	rejects(COMPONENT "0d [ ] ", ERR_MALFORMED, "malformed section id");
	rejects(COMPONENT TYPE "[ 00 00 ] ", ERR_MALFORMED, "section size mismatch");
	rejects(COMPONENT "07 05 00", ERR_MALFORMED, "unexpected end-of-file");
}

static void integers_may_be_padded_but_not_too_large(void **state)  // C3
{
	accepts(COMPONENT TYPE "[ 81 80 80 80 00 73 ] ");
	rejects(COMPONENT TYPE "[ 81 80 80 80 10 73 ] ", ERR_MALFORMED, "integer too large");
	rejects(COMPONENT TYPE "[ 81 80 80 80 80 00 73 ] ", ERR_MALFORMED, "integer representation too long");
	rejects(COMPONENT TYPE "[ ff ff ff ff 0f ] ", ERR_MALFORMED, "unexpected end-of-file");
}

static void names_are_utf8(void **state)
{
	rejects(COMPONENT CUSTOM "[ 01 ff ] ", ERR_MALFORMED, "malformed UTF-8 encoding");
	rejects(COMPONENT CUSTOM "[ 05 61 ] ", ERR_MALFORMED, "unexpected end-of-file");
}

static void core_type_0x50_is_a_module_type(void **state)  // C4
{
	accepts(COMPONENT CORE_TYPE "[ 01 50 02 01 60 00 00 03 'f' 00 00 ] ");
	accepts(COMPONENT CORE_TYPE "[ 01 00 50 00 60 00 00 ] ");
	rejects(COMPONENT CORE_TYPE "[ 01 50 02 01 60 00 00 03 'f' 00 01 ] ", ERR_INVALID, "type index out of bounds");
	rejects(COMPONENT CORE_TYPE "[ 01 50 03 01 60 00 00 03 'f' 00 00 03 'f' 00 00 ] ", ERR_INVALID, "already defined");
}

// ---- types ----

static void aggregates_are_not_empty_and_labels_differ(void **state)  // C5
{
	accepts(COMPONENT TYPE "[ 05 72 01 'a' 79 71 01 'a' 00 00 6f 01 79 6e 01 'a' 6d 01 'a' ] ");
	rejects(COMPONENT TYPE "[ 01 72 00 ] ", ERR_INVALID, "record type must have at least one field");
	rejects(COMPONENT TYPE "[ 01 71 00 ] ", ERR_INVALID, "variant type must have at least one case");
	rejects(COMPONENT TYPE "[ 01 6f 00 ] ", ERR_INVALID, "tuple type must have at least one type");
	rejects(COMPONENT TYPE "[ 01 6e 00 ] ", ERR_INVALID, "flags must have at least one entry");
	rejects(COMPONENT TYPE "[ 01 6d 00 ] ", ERR_INVALID, "enum type must have at least one variant");
	rejects(COMPONENT TYPE "[ 01 72 02 'a' 79 'A' 79 ] ", ERR_INVALID, "conflicts");
	rejects(COMPONENT TYPE "[ 01 71 01 'a' 00 01 ] ", ERR_MALFORMED, "zero byte required");
}

static void flags_have_at_most_32_labels(void **state)  // C5
{
	struct decoded d = {0};
	for (unsigned n = 32; n <= 33; n++) {
		d = (struct decoded){0};
		build_text(&d.bytes, COMPONENT "07 ");
		buf_put(&d.bytes, (uint8_t[]){(uint8_t)(3 + n * 3), 1, 0x6e, (uint8_t)n}, 4);
		for (unsigned i = 0; i < n; i++)
			buf_put(&d.bytes, (uint8_t[]){2, (uint8_t)('a' + i / 26), (uint8_t)('a' + i % 26)}, 3);
		decode_bytes(&d, 0);
		assert_int_equal(d.ok, n == 32);
		decoded_release(&d);
	}
}

static void value_types_name_value_types_and_handles_resources(void **state)
{
	rejects(COMPONENT TYPE "[ 02 40 00 01 00 70 00 ] ", ERR_INVALID, "type index 0 is not a defined type");
	rejects(COMPONENT TYPE "[ 02 72 01 'a' 79 69 00 ] ", ERR_INVALID, "type index 0 is not a resource type");
	rejects(COMPONENT TYPE "[ 01 30 ] ", ERR_MALFORMED, "invalid leading byte (0x30)");
	accepts(COMPONENT TYPE "[ 03 3f 7f 00 69 00 68 00 ] ");
	rejects(COMPONENT TYPE "[ 01 3f 7d 00 ] ", ERR_INVALID, "represented by `i32`");
}

static void borrow_is_not_allowed_in_results_and_streams(void **state)  // C7
{
	accepts(COMPONENT TYPE "[ 03 3f 7f 00 68 00 40 01 'x' 01 01 00 ] ");
	rejects(COMPONENT TYPE "[ 03 3f 7f 00 68 00 40 00 00 01 ] ", ERR_INVALID, "function result cannot contain a `borrow` type");
	rejects(COMPONENT TYPE "[ 04 3f 7f 00 68 00 70 01 40 00 00 02 ] ", ERR_INVALID, "function result cannot contain a `borrow` type");
	rejects_with(COMP_FEATURE_ASYNC, COMPONENT TYPE "[ 03 3f 7f 00 68 00 66 01 01 ] ", ERR_INVALID, "`stream` element type cannot contain a `borrow` type");
	rejects_with(COMP_FEATURE_ASYNC, COMPONENT TYPE "[ 01 66 01 74 ] ", ERR_INVALID, "not valid at this time");
}

static void fixed_lists_are_sized_in_64_bits(void **state)  // C6, L57
{
	accepts(COMPONENT TYPE "[ 01 67 7d ff ff ff 7f ] ");
	rejects(COMPONENT TYPE "[ 01 67 7d 80 80 80 80 01 ] ", ERR_INVALID, "exceeds maximum byte size");
	rejects(COMPONENT TYPE "[ 01 67 77 80 80 80 80 02 ] ", ERR_INVALID, "exceeds maximum byte size");  // wraps to 0 in 32 bits
	rejects(COMPONENT TYPE "[ 02 67 7d 80 80 04 67 00 80 80 04 ] ", ERR_INVALID, "exceeds maximum byte size");
}

static void resources_are_defined_in_components_only(void **state)
{
	rejects(COMPONENT TYPE "[ 01 42 01 01 3f 7f 00 ] ", ERR_INVALID, "resources can only be defined within a concrete component");
	rejects(COMPONENT WITH_F TYPE "[ 01 3f 7f 01 00 ] ", ERR_INVALID, "wrong signature for a destructor");
	rejects(COMPONENT TYPE "[ 01 3f 7f 01 00 ] ", ERR_INVALID, "index out of bounds");
}

// ---- bombs ----

static void types_of_exponential_size_are_refused(void **state)  // L55
{
	// (tuple u32 u32), then 30 times (tuple k k).
	struct decoded d = {0};
	build_text(&d.bytes, COMPONENT TYPE "[ 01 6f 02 79 79 ] ");
	for (unsigned i = 0; i < 30; i++) {
		char text[100];
		snprintf(text, sizeof(text), TYPE "[ 01 6f 02 %02x %02x ] ", i, i);
		build_text(&d.bytes, text);
	}
	decode_bytes(&d, 0);
	assert_false(d.ok);
	assert_true(d.e.code == ERR_LIMIT || d.e.code == ERR_INVALID);
	assert_non_null(strstr(d.e.text, "size"));
	decoded_release(&d);
}

static void instance_types_of_exponential_size_are_refused(void **state)  // L55
{
	// Type k is an instance that exports type k-1 twice: (type (instance (alias outer 1 k-1) (export "a" (instance 0)) (export "b" (instance 0)))).
	struct decoded d = {0};
	build_text(&d.bytes, COMPONENT TYPE "[ 01 42 01 04 00 'r' 03 01 ] ");
	for (unsigned i = 0; i < 40; i++) {
		char text[200];
		snprintf(text, sizeof(text), TYPE "[ 01 42 03 02 03 02 01 %02x 04 00 'a' 05 00 04 00 'b' 05 00 ] ", i);
		build_text(&d.bytes, text);
	}
	decode_bytes(&d, 0);
	assert_false(d.ok);
	assert_int_equal(d.e.code, ERR_LIMIT);
	decoded_release(&d);
}

static void instantiations_of_exponential_number_are_refused(void **state)  // L55
{
	// Component k holds component k-1 and instantiates it twice.
	struct decoded d = {0};
	struct buf inner = {0};
	build_text(&inner, COMPONENT);
	for (unsigned i = 0; i < 40; i++) {
		struct buf outer = {0};
		build_text(&outer, COMPONENT "04 ");
		for (unsigned shift = 0; shift < 35; shift += 7)
			buf_put_byte(&outer, (uint8_t)(((inner.len >> shift) & 0x7f) | (shift < 28 ? 0x80 : 0)));
		buf_put_slice(&outer, buf_view(&inner));
		build_text(&outer, INSTANCE "[ 02 00 00 00 00 00 00 ] ");
		buf_release(&inner);
		inner = outer;
	}
	d.bytes = inner;
	decode_bytes(&d, 0);
	assert_false(d.ok);
	assert_int_equal(d.e.code, ERR_LIMIT);
	decoded_release(&d);
}

static void nesting_of_100000_components_is_refused(void **state)  // L56
{
	struct decoded d = {0};
	enum { DEPTH = 100000 };
	// Sizes are those of what follows: 8 bytes of preamble, 6 of the section's head, for each.
	for (unsigned i = 0; i < DEPTH; i++) {
		size_t size = (size_t)(DEPTH - 1 - i) * 14 + 8;
		buf_put(&d.bytes, "\0asm\x0d\0\x01\0\x04", 9);
		for (unsigned shift = 0; shift < 35; shift += 7)
			buf_put_byte(&d.bytes, (uint8_t)(((size >> shift) & 0x7f) | (shift < 28 ? 0x80 : 0)));
	}
	buf_put(&d.bytes, "\0asm\x0d\0\x01\0", 8);
	decode_bytes(&d, 0);
	assert_false(d.ok);
	assert_int_equal(d.e.code, ERR_LIMIT);
	assert_non_null(strstr(d.e.text, "nested"));
	decoded_release(&d);
}

static void nesting_of_types_is_refused(void **state)  // L56
{
	struct decoded d = {0};
	build_text(&d.bytes, COMPONENT "07 ");
	size_t size = 1 + 100000 * 3;
	for (unsigned shift = 0; shift < 35; shift += 7)
		buf_put_byte(&d.bytes, (uint8_t)(((size >> shift) & 0x7f) | (shift < 28 ? 0x80 : 0)));
	buf_put_byte(&d.bytes, 1);
	for (unsigned i = 0; i < 100000; i++)
		buf_put(&d.bytes, "\x42\x01\x01", 3);  // (instance (type …
	decode_bytes(&d, 0);
	assert_false(d.ok);
	assert_int_equal(d.e.code, ERR_LIMIT);
	decoded_release(&d);
}

// ---- names ----

static void names_are_strongly_unique(void **state)  // C8
{
	rejects(COMPONENT TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 02 00 'a' 01 00 00 'A' 01 00 ] ", ERR_INVALID, "conflicts with previous name");
	rejects(COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 02 68 00 40 01 'self' 01 01 00 ] " IMPORT "[ 01 00 '[method]a.a' 01 02 ] ", ERR_INVALID,
		"conflicts");
	accepts(COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 02 69 00 40 00 00 01 ] " IMPORT "[ 01 00 '[constructor]a' 01 02 ] ");
	// An import and an export may have one name.
	accepts(COMPONENT TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 01 00 'a' 01 00 ] " EXPORT "[ 01 00 'a' 01 00 00 ] ");
}

static void annotations_fix_types(void **state)  // C8
{
	rejects(COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 01 00 '[constructor]a' 01 01 ] ", ERR_INVALID,
		"should return one value");
	rejects(COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 01 00 '[method]a.b' 01 01 ] ", ERR_INVALID,
		"at least one argument");
	rejects(COMPONENT TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 01 00 '[static]a.b' 01 00 ] ", ERR_INVALID, "not known in this context");
	rejects(COMPONENT IMPORT "[ 02 00 'a' 03 01 00 'b' 03 01 ] " TYPE "[ 02 69 01 40 00 00 02 ] " IMPORT "[ 01 00 '[constructor]a' 01 03 ] ",
		ERR_INVALID, "does not match expected resource name");
	rejects(COMPONENT IMPORT "[ 02 00 'a' 03 01 00 '[static]a.b' 03 01 ] ", ERR_INVALID, "is not a func");
}

static void versions_are_imported_side_by_side(void **state)  // C9
{
	accepts(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 03 00 'a:b/c@0.2.0' 05 00 00 'a:b/c@0.2.1' 05 00 00 'a:b/c@1.0.0-rc.1' 05 00 ] ");
	rejects(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 00 'a:b/c@0.2.x' 05 00 ] ", ERR_INVALID, "unexpected character");
}

static void name_forms_0_and_1_are_the_same_and_attributes_take_no_part(void **state)  // C10
{
	accepts(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 01 'a:b/c' 05 00 ] ");
	accepts(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 02 'x' 01 00 'a:b/c' 05 00 ] ");
	accepts(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 02 'a:b/c@0.2' 01 01 '.3' 05 00 ] ");
	rejects(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 02 00 'x' 05 00 02 'x' 01 00 'a:b/c' 05 00 ] ", ERR_INVALID, "conflicts");
	rejects(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 02 'x' 02 00 'a:b/c' 00 'a:b/d' 05 00 ] ", ERR_MALFORMED, "duplicate 'implements'");
	rejects(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 02 'a:b/c@0.2' 01 01 'x' 05 00 ] ", ERR_INVALID, "not a valid semver");
	rejects(COMPONENT TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 01 02 'x' 01 00 'a:b/c' 01 00 ] ", ERR_INVALID, "`implements` is only allowed on instances");
	rejects(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 03 'x' 05 00 ] ", ERR_MALFORMED, "invalid leading byte (0x3)");
}

static void exported_functions_use_visible_types(void **state)  // C11
{
	// (record) used before it has a name outside; then through its exported name.
	rejects(COMPONENT TYPE "[ 02 72 01 'x' 79 40 01 'p' 00 01 00 ] " IMPORT "[ 01 00 'f' 01 01 ] ", ERR_INVALID, "func not valid to be used as import");
	accepts(COMPONENT TYPE "[ 01 72 01 'x' 79 ] " IMPORT "[ 01 00 'r' 03 00 00 ] " TYPE "[ 01 40 01 'p' 01 01 00 ] " IMPORT "[ 01 00 'f' 01 02 ] ");
	// The definition stays invisible after its export.
	rejects(COMPONENT TYPE "[ 01 3f 7f 00 ] " EXPORT "[ 01 00 'r' 03 00 00 ] " TYPE "[ 02 69 00 70 02 ] " EXPORT "[ 01 00 'l' 03 03 00 ] ", ERR_INVALID,
		"type not valid to be used as export");
	accepts(COMPONENT TYPE "[ 01 3f 7f 00 ] " EXPORT "[ 01 00 'r' 03 00 00 ] " TYPE "[ 02 69 01 70 02 ] " EXPORT "[ 01 00 'l' 03 03 00 ] ");
}

// ---- instantiation ----

#define IMPORTS_U32_FUNC COMPONENT TYPE "[ 01 40 01 'a' 79 01 00 ] " IMPORT "[ 01 00 'f' 01 00 ] "

static void arguments_match_imports(void **state)  // C12
{
	accepts(COMPONENT NESTED "[ " IMPORTS_U32_FUNC "] " TYPE "[ 02 40 01 'a' 79 01 00 42 00 ] " IMPORT "[ 02 00 'g' 01 00 00 'i' 05 01 ] " INSTANCE
							 "[ 01 00 00 02 'more' 05 00 'f' 01 00 ] ");
	rejects(COMPONENT NESTED "[ " IMPORTS_U32_FUNC "] " INSTANCE "[ 01 00 00 00 ] ", ERR_INVALID, "missing import named `f`");
	rejects(COMPONENT NESTED "[ " IMPORTS_U32_FUNC "] " TYPE "[ 01 40 01 'a' 73 01 00 ] " IMPORT "[ 01 00 'g' 01 00 ] " INSTANCE
							 "[ 01 00 00 01 'f' 01 00 ] ",
		ERR_INVALID, "type mismatch: expected u32, found string");
	rejects(COMPONENT NESTED "[ " IMPORTS_U32_FUNC "] " TYPE "[ 01 42 00 ] " IMPORT "[ 01 00 'i' 05 00 ] " INSTANCE "[ 01 00 00 01 'f' 05 00 ] ",
		ERR_INVALID, "expected func, found instance");
	rejects(COMPONENT NESTED "[ " IMPORTS_U32_FUNC "] " TYPE "[ 01 40 01 'a' 79 01 00 ] " IMPORT "[ 01 00 'g' 01 00 ] " INSTANCE
							 "[ 01 00 00 02 'f' 01 00 'f' 01 00 ] ",
		ERR_INVALID, "conflicts with previous argument");
}

// Imports resources "t" and "u" (u may be eq t), and func "f" (param "x" (own u)).
#define IMPORTS_T_U(bound)                                                                                     \
	COMPONENT IMPORT "[ 02 00 't' 03 01 00 'u' 03 " bound " ] " TYPE "[ 02 69 01 40 01 'x' 02 01 00 ] " IMPORT \
					 "[ 01 00 'f' 01 03 ] "
// The root's own "t" (type 0), "u" (type 1) and "g" (param "x" (own `type`)).
#define HAS_T_U(type) IMPORT "[ 02 00 't' 03 01 00 'u' 03 01 ] " TYPE "[ 02 69 " type " 40 01 'x' 02 01 00 ] " IMPORT "[ 01 00 'g' 01 03 ] "

static void later_arguments_are_checked_against_the_types_given(void **state)  // C12, C13, L65
{
	accepts(COMPONENT NESTED "[ " IMPORTS_T_U("01") "] " HAS_T_U("01") INSTANCE "[ 01 00 00 03 't' 03 00 'u' 03 01 'f' 01 00 ] ");
	rejects(COMPONENT NESTED "[ " IMPORTS_T_U("01") "] " HAS_T_U("00") INSTANCE "[ 01 00 00 03 't' 03 00 'u' 03 01 'f' 01 00 ] ", ERR_INVALID,
		"resource types are not the same");
	rejects(COMPONENT NESTED "[ " IMPORTS_T_U("00 00") "] " HAS_T_U("01") INSTANCE "[ 01 00 00 03 't' 03 00 'u' 03 01 'f' 01 00 ] ", ERR_INVALID,
		"resource types are not the same");
	accepts(COMPONENT NESTED "[ " IMPORTS_T_U("00 00") "] " HAS_T_U("00") INSTANCE "[ 01 00 00 03 't' 03 00 'u' 03 00 'f' 01 00 ] ");
}

static void core_arguments_match_core_imports(void **state)
{
	accepts(IMPORTS_RUN);
	rejects(COMPONENT CORE_MODULE "[ " MODULE "01 [ 01 60 00 00 ] 02 [ 01 'a' 'b' 00 00 ] ] " CORE_INSTANCE "[ 01 00 00 00 ] ", ERR_INVALID,
		"missing module instantiation argument named `a`");
	rejects(COMPONENT WITH_F CORE_MODULE "[ " MODULE "01 [ 01 60 01 7f 00 ] 02 [ 01 'a' 'f' 00 00 ] ] " CORE_INSTANCE "[ 01 00 01 01 'a' 12 00 ] ",
		ERR_INVALID, "expected: (func (param i32)), found: (func)");
	rejects(COMPONENT WITH_F CORE_MODULE "[ " MODULE "01 [ 01 60 00 00 ] 02 [ 01 'a' 'g' 00 00 ] ] " CORE_INSTANCE "[ 01 00 01 01 'a' 12 00 ] ", ERR_INVALID,
		"does not export an item named `g`");
	rejects(COMPONENT WITH_F CORE_MODULE "[ " MODULE "02 [ 01 'a' 'm' 02 00 02 ] ] " CORE_INSTANCE "[ 01 00 01 01 'a' 12 00 ] ", ERR_INVALID,
		"mismatch in memory limits");
	rejects(COMPONENT CORE_MODULE "[ " MODULE "01 [ 01 60 00 00 ] 02 [ 02 'a' 'b' 00 00 'a' 'b' 00 00 ] ] ", ERR_INVALID, "duplicate import name");
}

static void outer_aliases_reach_no_resource(void **state)  // C14
{
	accepts(COMPONENT TYPE "[ 01 72 01 'x' 79 ] " NESTED "[ " COMPONENT ALIAS "[ 01 03 02 01 00 ] ] ");
	rejects(COMPONENT TYPE "[ 01 3f 7f 00 ] " NESTED "[ " COMPONENT ALIAS "[ 01 03 02 01 00 ] ] ", ERR_INVALID, "transitively refers to resources");
	rejects(COMPONENT TYPE "[ 03 3f 7f 00 69 00 70 01 ] " NESTED "[ " COMPONENT ALIAS "[ 01 03 02 01 02 ] ] ", ERR_INVALID,
		"transitively refers to resources");
	// What a type binds itself is no matter, and types may look out of types.
	accepts(COMPONENT TYPE "[ 01 42 01 04 00 'r' 03 01 ] " NESTED "[ " COMPONENT ALIAS "[ 01 03 02 01 00 ] ] ");
	accepts(COMPONENT TYPE "[ 02 3f 7f 00 42 02 02 03 02 01 00 04 00 'r' 03 00 00 ] ");
	rejects(COMPONENT ALIAS "[ 01 03 02 01 00 ] ", ERR_INVALID, "invalid outer alias count");
	rejects(COMPONENT NESTED "[ " COMPONENT ALIAS "[ 01 01 02 01 00 ] ] ", ERR_MALFORMED, "component outer alias kind");
}

// ---- canonical definitions ----

#define WITH_MEMORY WITH_F ALIAS "[ 02 00 02 01 00 'm' 00 00 01 00 'r' ] "  // memory 0, core function 1 = realloc
#define IMPORTS_STRING_FUNC(result) TYPE "[ 01 40 01 's' 73 " result " ] " IMPORT "[ 01 00 'g' 01 01 ] "

static void options_are_given_once(void **state)  // C15
{
	accepts(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 03 00 03 00 04 01 ] ");
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 02 03 00 03 00 ] ", ERR_INVALID, "`memory` is specified more than once");
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 03 00 00 03 00 ] ", ERR_INVALID, "conflicts with option `utf8`");
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 02 03 00 05 00 ] ", ERR_INVALID,
		"`post-return` cannot be specified for lowerings");
	rejects(COMPONENT WITH_MEMORY CANON "[ 01 00 00 00 01 08 00 ] ", ERR_MALFORMED, "invalid leading byte (0x8) for canonical option");
	rejects(COMPONENT WITH_MEMORY CANON "[ 01 00 00 00 02 03 00 05 01 00 ] ", ERR_INVALID, "`post-return` uses a core function with an incorrect signature");
}

static void pointers_need_memory_and_realloc(void **state)  // C16
{
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 00 ] ", ERR_INVALID, "`memory` is required");
	accepts(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 01 03 00 ] ");
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("00 73") CANON "[ 01 01 00 00 01 03 00 ] ", ERR_INVALID, "`realloc` is required");
	accepts(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("00 73") CANON "[ 01 01 00 00 02 03 00 04 01 ] ");
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 01 04 01 ] ", ERR_INVALID, "`realloc` requires `memory`");
	rejects(COMPONENT WITH_MEMORY IMPORTS_STRING_FUNC("01 00") CANON "[ 01 01 00 00 02 03 00 04 00 ] ", ERR_INVALID,
		"`realloc` uses a core function with an incorrect signature");
}

static void lifted_functions_have_the_flattened_type(void **state)  // C17
{
	accepts(EXPORTS_RUN);
	rejects(COMPONENT WITH_F TYPE "[ 01 40 01 'x' 79 01 00 ] " CANON "[ 01 00 00 00 00 01 ] ", ERR_INVALID, "lowered parameter types do not match");
	rejects(COMPONENT WITH_F TYPE "[ 01 40 00 00 79 ] " CANON "[ 01 00 00 00 00 01 ] ", ERR_INVALID, "lowered result types do not match");
	rejects(COMPONENT WITH_F TYPE "[ 01 72 01 'x' 79 ] " CANON "[ 01 00 00 00 00 01 ] ", ERR_INVALID, "not a function type");
}

static void resource_builtins_need_a_local_resource(void **state)
{
	accepts(COMPONENT TYPE "[ 01 3f 7f 00 ] " CANON "[ 03 02 00 03 00 04 00 ] ");
	accepts(COMPONENT IMPORT "[ 01 00 'r' 03 01 ] " CANON "[ 01 03 00 ] ");
	rejects(COMPONENT IMPORT "[ 01 00 'r' 03 01 ] " CANON "[ 01 02 00 ] ", ERR_INVALID, "not a local resource");
	rejects(COMPONENT IMPORT "[ 01 00 'r' 03 01 ] " CANON "[ 01 04 00 ] ", ERR_INVALID, "not a local resource");
	rejects(COMPONENT TYPE "[ 01 72 01 'x' 79 ] " CANON "[ 01 03 00 ] ", ERR_INVALID, "not a resource type");
}

static void error_contexts_and_values_are_refused_by_name(void **state)
{
	rejects(COMPONENT CANON "[ 01 1e ] ", ERR_UNSUPPORTED, "`error-context.drop` is not supported");
	rejects(COMPONENT "09 [ 00 00 00 ] ", ERR_UNSUPPORTED, "start functions");
	rejects(COMPONENT "0c [ 00 ] ", ERR_UNSUPPORTED, "values");
}

// One set of features decides, wherever something stands: each row with its feature and without.
static void a_feature_decides_wherever_something_stands(void **state)
{
	static const struct {
		uint32_t feature;
		const char *text;
	} rows[] = {
		{COMP_FEATURE_ASYNC, COMPONENT CANON "[ 03 05 1f 24 ] "},
		{COMP_FEATURE_ASYNC, COMPONENT TYPE "[ 01 66 01 7d ] "},
		{COMP_FEATURE_ASYNC, COMPONENT TYPE "[ 01 65 00 ] "},
		{COMP_FEATURE_ASYNC, COMPONENT TYPE "[ 01 43 00 01 00 ] "},
		{COMP_FEATURE_ASYNC, COMPONENT TYPE "[ 01 42 01 01 43 00 01 00 ] "},
		{COMP_FEATURE_THREADING, COMPONENT CANON "[ 01 26 ] "},
		{COMP_FEATURE_ERROR_CONTEXT, COMPONENT CANON "[ 01 1e ] "},
		{COMP_FEATURE_ERROR_CONTEXT, COMPONENT TYPE "[ 01 64 ] "},
		{COMP_FEATURE_ERROR_CONTEXT, COMPONENT TYPE "[ 01 70 64 ] "},
		{COMP_FEATURE_FIXED_LISTS, COMPONENT TYPE "[ 01 67 7d 02 ] "},
		{COMP_FEATURE_MAP, COMPONENT TYPE "[ 01 63 7d 7d ] "},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int on = 0; on < 2; on++) {
			struct decoded d = {0};
			struct comp_options opt = {.features = on ? rows[i].feature : COMP_FEATURES_ALL & ~rows[i].feature, .core_features = WASM_FEATURES_DEFAULT};
			build_text(&d.bytes, rows[i].text);
			arena_init(&d.arena, 0);
			err_clear(&d.e);
			d.ok = comp_decode(&d.arena, buf_view(&d.bytes), &opt, &d.c, &d.e);
			if (d.ok != on || (!on && d.e.code != ERR_UNSUPPORTED))
				fail_msg("%s: %s with feature 0x%x %s", rows[i].text, d.ok ? "accepted" : d.e.text, rows[i].feature, on ? "on" : "off");
			decoded_release(&d);
		}
}

static void core_types_go_by_the_features_of_core_modules(void **state)
{
	accepts(COMPONENT CORE_TYPE "[ 01 60 01 7b 00 ] ");
	rejects(COMPONENT CORE_TYPE "[ 01 50 01 00 'a' 'b' 02 03 01 02 ] ", ERR_UNSUPPORTED, "shared memory is not supported");
	accepts(COMPONENT CORE_TYPE "[ 01 50 02 01 60 00 00 00 'a' 'b' 04 00 00 ] ");
	accepts(COMPONENT CORE_TYPE "[ 01 60 01 70 00 ] ");
}

// Explainer, "External Visibility of Types": imports refer to imports; what goes into an export gets no name by that.
static void resources_need_a_name_outside(void **state)
{
	rejects(COMPONENT TYPE "[ 01 3f 7f 00 ] " IMPORT "[ 01 00 'it' 03 00 00 ] ", ERR_INVALID, "not valid to be used as import");
	rejects(COMPONENT TYPE "[ 01 41 02 04 00 'a' 03 01 03 00 'b' 03 00 00 ] ", ERR_INVALID, "not valid to be used as import");
	accepts(COMPONENT TYPE "[ 01 41 02 03 00 'a' 03 01 03 00 'b' 03 00 00 ] ");
	accepts(COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 01 41 02 02 03 02 01 00 03 00 'b' 03 00 00 ] ");
	accepts(COMPONENT TYPE "[ 01 3f 7f 00 ] " EXPORT "[ 01 00 'r' 03 00 00 ] ");
// A component that exports as "y" what it imports as "x", given a resource $R; its instance is exported as "c".
#define GIVES_R COMPONENT TYPE "[ 01 3f 7f 00 ] " NESTED "[ " COMPONENT IMPORT "[ 01 00 'x' 03 01 ] " EXPORT "[ 01 00 'y' 03 00 00 ] ] " INSTANCE "[ 01 00 00 01 'x' 03 00 ] " EXPORT "[ 01 00 'c' 05 00 00 ] " ALIAS "[ 01 03 00 01 'y' ] " CANON "[ 01 03 01 ] "
#define EXPORTS_F CANON "[ 01 00 00 00 00 03 ] " EXPORT "[ 01 00 'f' 01 00 00 ] "
	rejects(GIVES_R TYPE "[ 02 69 00 40 01 'x' 02 01 00 ] " EXPORTS_F, ERR_INVALID, "not valid to be used as export");
	accepts(GIVES_R TYPE "[ 02 69 01 40 01 'x' 02 01 00 ] " EXPORTS_F);
}

static void constructors_are_sync_and_name_their_resource_exactly(void **state)
{
	accepts(COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 02 69 00 40 00 00 01 ] " IMPORT "[ 01 00 '[constructor]a' 01 02 ] ");
	rejects(COMPONENT IMPORT "[ 01 00 'A' 03 01 ] " TYPE "[ 02 69 00 40 00 00 01 ] " IMPORT "[ 01 00 '[constructor]a' 01 02 ] ", ERR_INVALID,
		"does not match expected resource name");
	rejects_with(COMP_FEATURE_ASYNC, COMPONENT IMPORT "[ 01 00 'a' 03 01 ] " TYPE "[ 02 69 00 43 00 00 01 ] " IMPORT "[ 01 00 '[constructor]a' 01 02 ] ",
		ERR_INVALID, "a constructor cannot be async");
}

static void a_maps_entry_may_be_larger_than_a_declared_type(void **state)
{
	accepts(COMPONENT TYPE "[ 02 67 7d ff ff ff 7f 63 7d 00 ] ");
	rejects(COMPONENT TYPE "[ 02 67 7d ff ff ff 7f 6f 02 7d 00 ] ", ERR_INVALID, "exceeds maximum byte size");
}

static void survives_every_cut_and_every_changed_byte(void **state)
{
	struct buf good = {0};
	build_text(&good, COMPOSED);
	for (size_t i = 0; i < good.len; i++) {
		struct decoded d = {0};
		buf_put(&d.bytes, good.ptr, i);
		decode_bytes(&d, 0);
		decoded_release(&d);
		static const uint8_t flips[] = {0x01, 0x80, 0xff};
		for (unsigned j = 0; j < ARRAY_LEN(flips); j++) {
			d = (struct decoded){0};
			buf_put_slice(&d.bytes, buf_view(&good));
			d.bytes.ptr[i] ^= flips[j];
			decode_bytes(&d, 0);
			assert_true(d.ok || d.e.code != ERR_NONE);
			decoded_release(&d);
		}
	}
	buf_release(&good);
}

static void survives_the_failure_of_each_allocation(void **state)
{
	struct buf bytes = {0};
	build_text(&bytes, COMPOSED);
	bool ok = false;
	for (uint64_t n = 1; n < 500 && !ok; n++) {
		struct decoded d = {.bytes = {0}};
		buf_put_slice(&d.bytes, buf_view(&bytes));
		struct comp_options opt = COMP_OPTIONS_DEFAULT;
		arena_init(&d.arena, 0);
		err_clear(&d.e);
		mem_fail_nth(n);
		ok = comp_decode(&d.arena, buf_view(&d.bytes), &opt, &d.c, &d.e);
		mem_fail_nth(0);
		assert_true(ok || d.e.code == ERR_NOMEM);
		decoded_release(&d);
	}
	assert_true(ok);
	buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_only_the_preamble_of_a_component),
		cmocka_unit_test(sections_repeat_and_interleave),
		cmocka_unit_test(integers_may_be_padded_but_not_too_large),
		cmocka_unit_test(names_are_utf8),
		cmocka_unit_test(core_type_0x50_is_a_module_type),
		cmocka_unit_test(aggregates_are_not_empty_and_labels_differ),
		cmocka_unit_test(flags_have_at_most_32_labels),
		cmocka_unit_test(value_types_name_value_types_and_handles_resources),
		cmocka_unit_test(borrow_is_not_allowed_in_results_and_streams),
		cmocka_unit_test(fixed_lists_are_sized_in_64_bits),
		cmocka_unit_test(resources_are_defined_in_components_only),
		cmocka_unit_test(types_of_exponential_size_are_refused),
		cmocka_unit_test(instance_types_of_exponential_size_are_refused),
		cmocka_unit_test(instantiations_of_exponential_number_are_refused),
		cmocka_unit_test(nesting_of_100000_components_is_refused),
		cmocka_unit_test(nesting_of_types_is_refused),
		cmocka_unit_test(names_are_strongly_unique),
		cmocka_unit_test(annotations_fix_types),
		cmocka_unit_test(versions_are_imported_side_by_side),
		cmocka_unit_test(name_forms_0_and_1_are_the_same_and_attributes_take_no_part),
		cmocka_unit_test(exported_functions_use_visible_types),
		cmocka_unit_test(arguments_match_imports),
		cmocka_unit_test(later_arguments_are_checked_against_the_types_given),
		cmocka_unit_test(core_arguments_match_core_imports),
		cmocka_unit_test(outer_aliases_reach_no_resource),
		cmocka_unit_test(options_are_given_once),
		cmocka_unit_test(pointers_need_memory_and_realloc),
		cmocka_unit_test(lifted_functions_have_the_flattened_type),
		cmocka_unit_test(resource_builtins_need_a_local_resource),
		cmocka_unit_test(error_contexts_and_values_are_refused_by_name),
		cmocka_unit_test(a_feature_decides_wherever_something_stands),
		cmocka_unit_test(core_types_go_by_the_features_of_core_modules),
		cmocka_unit_test(resources_need_a_name_outside),
		cmocka_unit_test(constructors_are_sync_and_name_their_resource_exactly),
		cmocka_unit_test(a_maps_entry_may_be_larger_than_a_declared_type),
		cmocka_unit_test(survives_every_cut_and_every_changed_byte),
		cmocka_unit_test(survives_the_failure_of_each_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
