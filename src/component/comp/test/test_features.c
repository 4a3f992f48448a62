// What is decoded and validated though nobody runs it yet: all built-ins, 64-bit memories, core types of garbage collection, nested names.
#include "build.h"

static bool decode_all(struct decoded *d, const char *text)
{
	const struct comp_options all = {.features = COMP_FEATURES_ALL,
		.core_features = WASM_FEATURES_DEFAULT | WASM_FEATURE_GC | WASM_FEATURE_MEMORY64 | WASM_FEATURE_EXCEPTIONS | WASM_FEATURE_THREADS};
	*d = (struct decoded){0};
	build_text(&d->bytes, text);
	arena_init(&d->arena, 0);
	err_clear(&d->e);
	return comp_decode(&d->arena, buf_view(&d->bytes), &all, &d->c, &d->e);
}

static void accepts_all(const char *text)
{
	struct decoded d;
	if (!decode_all(&d, text))
		fail_msg("%s at 0x%llx: %s\n%s", err_code_name(d.e.code), (unsigned long long)d.e.offset, d.e.text, text);
	decoded_release(&d);
}

static void rejects_all(const char *text, enum err_code code, const char *part)
{
	struct decoded d;
	assert_false(decode_all(&d, text));
	if (d.e.code != code || !strstr(d.e.text, part) || d.e.offset > d.bytes.len)
		fail_msg("expected %s '%s', got %s '%s'\n%s", err_code_name(code), part, err_code_name(d.e.code), d.e.text, text);
	decoded_release(&d);
}

// ---- built-ins ----

// f, g (i32 i32), run (-> i32), cb, dtor, realloc, m, t; types: 0 (func), 1 (func async), 2 (stream u8), 3 (future), 4 a resource, 5 (stream string);
// core type 0 (func (param i32)).
#define ALL_MODULE                                                                                                                                     \
	MODULE "01 [ 06 60 00 00 60 02 7f 7f 00 60 00 01 7f 60 03 7f 7f 7f 01 7f 60 01 7f 00 60 04 7f 7f 7f 7f 01 7f ] 03 [ 06 00 01 02 03 04 05 ] "       \
		   "04 [ 01 70 00 01 ] 05 [ 01 00 01 ] 07 [ 08 'f' 00 00 'g' 00 01 'run' 00 02 'cb' 00 03 'dtor' 00 04 'realloc' 00 05 'm' 02 00 't' 01 00 ] " \
		   "0a [ 06 [ 00 0b ] [ 00 0b ] [ 00 41 00 0b ] [ 00 41 00 0b ] [ 00 0b ] [ 00 41 00 0b ] ] "
#define ALL                                                                                                                                         \
	COMPONENT CORE_MODULE "[ " ALL_MODULE "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS                                                               \
						  "[ 08 00 00 01 00 'f' 00 00 01 00 'g' 00 00 01 00 'run' 00 00 01 00 'cb' 00 00 01 00 'dtor' 00 00 01 00 'realloc' "       \
						  "00 02 01 00 'm' 00 01 01 00 't' ] " TYPE "[ 06 40 00 01 00 43 00 01 00 66 01 7d 65 00 3f 7f 01 04 66 01 73 ] " CORE_TYPE \
						  "[ 01 60 01 7f 00 ] "

static void all_built_ins_are_decoded(void **state)
{
	struct decoded d;
	assert_true(decode_all(&d,
		ALL CANON "[ 31 00 00 02 02 06 07 03 01 00 00 00 01 06 01 02 04 03 04 04 04 24 25 09 01 00 00 09 00 79 00 05 0a 7f 00 0b 7f 01 06 00 06 01 0d "
				  "0e 02 0f 02 03 06 03 00 04 05 10 02 02 06 03 00 11 02 00 12 02 01 13 02 14 02 15 03 16 03 00 17 03 01 06 18 03 00 19 03 01 1a 03 1b 03 "
				  "1c 01 03 00 1d 02 03 00 04 05 1e 1f 20 00 00 21 00 00 22 23 26 27 00 00 28 29 00 0c 00 2a 00 2b 00 2c 00 2d 00 "
				  "0f 05 02 03 00 04 05 10 05 01 03 00 09 00 73 01 03 00 ] "));
	const struct comp_plan *p = &d.c->plan;
	assert_int_equal(p->nlifts, 2);
	bool seen[COMP_BUILTIN_COUNT] = {0};
	for (uint32_t i = 0; i < p->nbuiltins; i++)
		seen[p->builtins[i].kind] = true;
	for (unsigned i = 0; i < COMP_BUILTIN_COUNT; i++)
		if (!seen[i])
			fail_msg("%s was not decoded", comp_builtin_text(i));
	decoded_release(&d);
}

static void built_ins_have_the_immediates_and_options_they_need(void **state)
{
	static const struct {
		const char *canon;
		enum err_code code;
		const char *part;
	} rows[] = {
		{"[ 01 0c 01 ] ", ERR_MALFORMED, "`cancellable`"},
		{"[ 01 20 01 00 ] ", ERR_MALFORMED, "`cancellable`"},
		{"[ 01 2d 01 ] ", ERR_MALFORMED, "`cancellable`"},
		{"[ 01 06 02 ] ", ERR_MALFORMED, "invalid boolean value (0x2)"},
		{"[ 01 0a 7d 00 ] ", ERR_INVALID, "context values must be of type `i32`"},
		{"[ 01 0a 7f 02 ] ", ERR_INVALID, "immediate must be less than 2"},
		{"[ 02 0a 7f 00 0b 7e 00 ] ", ERR_INVALID, "all be of one type"},
		{"[ 01 0e 03 ] ", ERR_INVALID, "is not a stream type"},
		{"[ 01 15 02 ] ", ERR_INVALID, "is not a future type"},
		{"[ 01 0f 02 00 ] ", ERR_INVALID, "`memory` is required"},
		{"[ 01 0f 05 01 03 00 ] ", ERR_INVALID, "`realloc` is required"},
		{"[ 01 09 00 79 01 06 ] ", ERR_INVALID, "`async` cannot be specified"},
		{"[ 01 09 00 73 00 ] ", ERR_INVALID, "`memory` is required"},
		{"[ 01 1c 00 ] ", ERR_INVALID, "`memory` is required"},
		{"[ 01 1c 02 03 00 06 ] ", ERR_INVALID, "`async` cannot be specified"},
		{"[ 01 1d 01 03 00 ] ", ERR_INVALID, "`realloc` is required"},
		{"[ 01 20 00 01 ] ", ERR_INVALID, "memory index out of bounds"},
		{"[ 01 27 00 01 ] ", ERR_INVALID, "table index out of bounds"},
		{"[ 01 00 00 02 01 06 00 ] ", ERR_INVALID, "requires an async function type"},
		{"[ 01 00 00 02 01 07 03 01 ] ", ERR_INVALID, "`callback` cannot be specified without `async`"},
		{"[ 01 00 00 02 02 06 07 01 01 ] ", ERR_INVALID, "`callback` uses a core function with an incorrect signature"},
		{"[ 01 00 00 02 02 06 05 00 01 ] ", ERR_INVALID, "`post-return` cannot be specified with `async`"},
		{"[ 01 40 00 00 ] ", ERR_UNSUPPORTED, "shared-everything threads"},
		{"[ 01 07 ] ", ERR_MALFORMED, "invalid leading byte (0x7) for canonical function"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = {0};
		buf_printf(&b, "%s08 %s", ALL, rows[i].canon);
		buf_put_byte(&b, 0);
		rejects_all((const char *)b.ptr, rows[i].code, rows[i].part);
		buf_release(&b);
	}
}

static void what_can_not_be_run_is_named_with_its_offset(void **state)
{
	struct decoded d;
	struct err e = {0};
	assert_true(decode_all(&d, COMPONENT TYPE "[ 01 63 7d 7d ] " TYPE "[ 01 43 00 01 00 ] " CANON "[ 02 24 1e ] "));
	assert_int_equal(d.c->nneeds, 3);
	assert_string_equal(comp_feature_name(d.c->needs[0].feature), "map");
	assert_string_equal(comp_feature_name(d.c->needs[1].feature), "async");
	assert_string_equal(comp_feature_name(d.c->needs[2].feature), "error-context");
	assert_false(comp_can_run(d.c, &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	// As the decoder refuses it that decodes only what is run.
	struct decoded other = {.bytes = d.bytes};
	decode_bytes(&other, 0);
	assert_false(other.ok);
	assert_string_equal(e.text, other.e.text);
	assert_int_equal(e.offset, other.e.offset);
	arena_release(&other.arena);
	decoded_release(&d);
	assert_true(decode_all(&d, COMPONENT TYPE "[ 02 63 7d 7d 67 7d 02 ] "));
	assert_int_equal(d.c->nneeds, 2);
	assert_true(comp_can_run(d.c, &e));
	decoded_release(&d);
}

// ---- 64-bit memories ----

// core func 0: (i64 i64), 1: realloc, 2: (i32 i32), 3: (-> i64), 4: (i64 i64 f64, -> i64); memory 0 is 64-bit; types: 0 (func (param string)),
// 1 (func (result string)), 2 (func (param (variant (a string) (b f32) (c)), s64)), 3 (stream u8).
#define WIDE                                                                                                                                                                                                                                                                                                     \
	COMPONENT CORE_MODULE                                                                                                                                                                                                                                                                                        \
		"[ " MODULE "01 [ 05 60 02 7e 7e 00 60 04 7e 7e 7e 7e 01 7e 60 02 7f 7f 00 60 00 01 7e 60 04 7f 7e 7e 7e 00 ] 03 [ 05 00 01 02 03 04 ] 05 [ 01 04 01 ] "                                                                                                                                                 \
		"07 [ 06 'f' 00 00 'r' 00 01 'g' 00 02 'h' 00 03 'v' 00 04 'm' 02 00 ] 0a [ 05 [ 00 0b ] [ 00 42 00 0b ] [ 00 0b ] [ 00 42 00 0b ] [ 00 0b ] ] ] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 06 00 00 01 00 'f' 00 00 01 00 'r' 00 00 01 00 'g' 00 00 01 00 'h' 00 00 01 00 'v' 00 02 01 00 'm' ] " TYPE \
		"[ 05 40 01 'x' 73 01 00 40 00 00 73 71 03 'a' 01 73 00 'b' 01 76 00 'c' 00 00 40 02 'x' 02 'y' 78 01 00 66 01 7d ] "

static void addresses_of_64_bit_memories_are_i64(void **state)
{
	accepts_all(WIDE CANON "[ 01 00 00 00 02 03 00 04 01 00 ] ");
	rejects_all(WIDE CANON "[ 01 00 00 02 02 03 00 04 01 00 ] ", ERR_INVALID, "lowered parameter types do not match");
	accepts_all(WIDE CANON "[ 01 00 00 03 01 03 00 01 ] ");
	accepts_all(WIDE CANON "[ 01 00 00 04 02 03 00 04 01 03 ] ");  // string and f32 join in i64, their length stays one
	rejects_all(WIDE CANON "[ 01 00 00 00 02 03 00 04 02 00 ] ", ERR_INVALID, "`realloc` uses a core function with an incorrect signature");
	accepts_all(WIDE CANON "[ 03 20 00 00 0f 04 01 03 00 0a 7e 00 ] ");
	accepts(WIDE CANON "[ 03 00 00 00 02 03 00 04 01 00 20 00 00 0a 7e 00 ] ");  // and are run
}

static void resources_may_be_represented_by_i64(void **state)
{
	accepts_all(COMPONENT TYPE "[ 01 3f 7e 00 ] " CANON "[ 03 02 00 03 00 04 00 ] ");
	rejects_all(COMPONENT TYPE "[ 01 3f 7d 00 ] ", ERR_INVALID, "represented by `i32`");
	accepts(COMPONENT TYPE "[ 01 3f 7e 00 ] ");
	rejects_all(WIDE TYPE "[ 01 3f 7f 01 00 ] ", ERR_INVALID, "wrong signature for a destructor");
}

// ---- core types ----

static void core_types_of_garbage_collection_are_decoded(void **state)
{
	accepts_all(COMPONENT CORE_TYPE "[ 03 5f 02 7f 00 78 01 5e 77 01 60 01 64 00 01 63 01 ] ");
	accepts_all(COMPONENT CORE_TYPE "[ 01 4e 02 5f 01 63 01 00 5f 01 63 00 00 ] ");  // each other's
	accepts_all(COMPONENT CORE_TYPE "[ 02 00 50 00 5f 01 7f 00 4f 01 00 5f 02 7f 00 7e 00 ] ");
	accepts_all(COMPONENT CORE_TYPE "[ 01 4e 00 ] ");
	accepts_all(COMPONENT CORE_TYPE "[ 01 60 0b 70 6f 73 72 6e 6d 6c 6b 6a 71 69 00 ] ");
	rejects_all(COMPONENT CORE_TYPE "[ 01 60 01 64 01 00 ] ", ERR_INVALID, "type index out of bounds");
	rejects_all(COMPONENT CORE_TYPE "[ 02 5f 00 4f 01 00 5f 00 ] ", ERR_INVALID, "final super type");
	rejects_all(COMPONENT CORE_TYPE "[ 02 60 00 00 4f 01 00 60 00 00 ] ", ERR_INVALID, "final super type");
	rejects_all(COMPONENT CORE_TYPE "[ 02 00 50 00 5f 01 7f 00 4f 01 00 5f 01 7e 00 ] ", ERR_INVALID, "must match super type");
	rejects_all(COMPONENT CORE_TYPE "[ 02 00 50 00 5f 01 7f 01 4f 01 00 5f 01 7f 00 ] ", ERR_INVALID, "must match super type");
	rejects_all(COMPONENT CORE_TYPE "[ 01 4e 02 4f 01 01 5f 00 00 50 00 5f 00 ] ", ERR_INVALID, "before subtypes");
	rejects_all(COMPONENT CORE_TYPE "[ 01 00 51 ] ", ERR_MALFORMED, "invalid leading byte (0x51)");
	rejects_all(COMPONENT CORE_TYPE "[ 01 5f 01 7f 02 ] ", ERR_MALFORMED, "malformed mutability");
	rejects_all(COMPONENT CORE_TYPE "[ 01 50 02 01 50 00 01 60 00 00 ] ", ERR_MALFORMED, "invalid leading byte (0x1)");  // no module type in one
	accepts_all(COMPONENT CORE_TYPE "[ 01 50 02 01 50 00 60 00 00 01 4f 01 00 60 00 00 ] ");
}

// A component takes a module that exports "g" of type (struct S); given one that says the same in types of its own, or another.
#define TAKES(types, n) COMPONENT CORE_TYPE "[ 01 50 " n " " types " 03 'g' 03 63 00 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] "
#define PASSES(types, n) COMPONENT CORE_TYPE "[ 01 50 " n " " types " 03 'g' 03 63 00 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] "
#define GIVEN(found, nf, expected, ne) PASSES(found, nf) NESTED "[ " TAKES(expected, ne) "] " INSTANCE "[ 01 00 00 01 'm' 00 11 00 ] "

static void core_types_are_equal_by_their_groups(void **state)
{
	accepts_all(GIVEN("01 5f 01 7f 00", "02", "01 5f 01 7f 00", "02"));
	rejects_all(GIVEN("01 5f 01 7f 00", "02", "01 5f 01 7e 00", "02"), ERR_INVALID, "expected global type");
	rejects_all(GIVEN("01 4e 02 5f 01 7f 00 5f 00", "02", "01 5f 01 7f 00", "02"), ERR_INVALID, "expected global type");
	accepts_all(GIVEN("01 4e 01 5f 01 63 00 00", "02", "01 5f 01 63 00 00", "02"));  // a group of one is the type itself
	// Declared subtypes will do for an immutable global.
	accepts_all(PASSES("01 50 00 5f 01 7f 00 01 4f 01 00 5f 02 7f 00 7f 00", "03")
			NESTED "[ " COMPONENT CORE_TYPE "[ 01 50 01 03 'g' 03 63 6b 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] ] " INSTANCE "[ 01 00 00 01 'm' 00 11 00 ] ");
	rejects_all(PASSES("01 5e 7f 00", "02") NESTED "[ " COMPONENT CORE_TYPE "[ 01 50 01 03 'g' 03 63 6b 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] ] " INSTANCE
												   "[ 01 00 00 01 'm' 00 11 00 ] ",
		ERR_INVALID, "expected global type");
}

static void memories_of_module_types_may_be_64_bit(void **state)
{
	accepts_all(COMPONENT CORE_TYPE "[ 01 50 01 03 'm' 02 05 01 80 80 80 80 80 80 40 ] ");
	rejects_all(COMPONENT CORE_TYPE "[ 01 50 01 03 'm' 02 05 01 81 80 80 80 80 80 40 ] ", ERR_INVALID, "2**48 pages");
	rejects_all(COMPONENT CORE_TYPE "[ 01 50 01 03 'm' 02 01 01 81 80 04 ] ", ERR_INVALID, "65536 pages");
	rejects_all(COMPONENT CORE_TYPE "[ 01 50 01 03 'm' 02 04 ff ff ff ff ff ff ff ff ff 7f ] ", ERR_MALFORMED, "integer too large");
	accepts(COMPONENT CORE_TYPE "[ 01 50 01 03 'm' 02 04 01 ] ");
}

// ---- names, and what nobody provides ----

static void names_may_be_nested(void **state)
{
	accepts(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 02 00 'a:b:c/d/e@1.0.0' 05 00 00 'a:b:c/d' 05 00 ] ");
	rejects(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 01 00 'a:b:c//e' 05 00 ] ", ERR_INVALID, "is not in kebab case");
}

static void hyphens_tell_no_names_apart(void **state)
{
	rejects(COMPONENT TYPE "[ 01 40 00 01 00 ] " IMPORT "[ 02 00 'a1' 01 00 00 'a-1' 01 00 ] ", ERR_INVALID, "conflicts with previous name");
	rejects(COMPONENT TYPE "[ 01 72 02 'a-b' 79 'AB' 79 ] ", ERR_INVALID, "conflicts with previous");
	accepts(COMPONENT TYPE "[ 01 42 00 ] " IMPORT "[ 02 00 'a:b/c@1.0.0-ab' 05 00 00 'a:b/c@1.0.0-a-b' 05 00 ] ");
}

// A root that imports a module and instantiates it can't be linked, but it says what it imports and exports.
static void what_can_not_be_linked_is_described(void **state)
{
	struct decoded d = decode_ok(COMPONENT CORE_TYPE "[ 01 50 02 01 60 00 00 03 'f' 00 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] " CORE_INSTANCE "[ 01 00 00 00 ] " TYPE
													 "[ 03 3f 7f 00 69 00 40 00 00 01 ] " ALIAS "[ 01 00 00 01 00 'f' ] " EXPORT "[ 01 00 'r' 03 00 00 ] ");
	assert_non_null(d.c->plan.unlinkable);
	assert_int_equal(d.c->nimports, 1);
	assert_int_equal(d.c->imports[0].kind, COMP_EXTERN_MODULE);
	assert_int_equal(d.c->nexports, 1);
	assert_non_null(d.c->exports[0].resource);
	decoded_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_built_ins_are_decoded),
		cmocka_unit_test(built_ins_have_the_immediates_and_options_they_need),
		cmocka_unit_test(what_can_not_be_run_is_named_with_its_offset),
		cmocka_unit_test(addresses_of_64_bit_memories_are_i64),
		cmocka_unit_test(resources_may_be_represented_by_i64),
		cmocka_unit_test(core_types_of_garbage_collection_are_decoded),
		cmocka_unit_test(core_types_are_equal_by_their_groups),
		cmocka_unit_test(memories_of_module_types_may_be_64_bit),
		cmocka_unit_test(names_may_be_nested),
		cmocka_unit_test(hyphens_tell_no_names_apart),
		cmocka_unit_test(what_can_not_be_linked_is_described),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
