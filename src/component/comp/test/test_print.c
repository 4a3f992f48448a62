// What WIT says in a form of its own, or can't say.
#include "build.h"

#include <time.h>

#define DECLARES_A_FUNC "42 02 01 40 00 01 00 04 00 'a' 01 00 "

static void prints(const char *component, const char *wit)
{
	struct decoded d = decode_ok(component);
	struct buf b = {0};
	struct arena a;
	struct wit_packages packages;
	struct err e;
	err_clear(&e);
	arena_init(&a, 0);
	assert_true(comp_print(&b, d.c, NULL));
	struct wit_source source = {.path = SLICE_LIT("printed.wit"), .text = buf_view(&b)};
	if (!wit_text_resolve(&a, &source, 1, NULL, &packages, &e))
		fail_msg("%s\n%.*s", e.text, SLICE_ARGS(buf_view(&b)));
	assert_true(buf_put_byte(&b, 0));
	assert_string_equal((char *)b.ptr, wit);
	arena_release(&a);
	buf_release(&b);
	decoded_release(&d);
}

static void an_interface_imported_in_part_and_exported_whole_has_all(void **state)
{
	prints(COMPONENT TYPE "[ 01 " DECLARES_A_FUNC "] " IMPORT "[ 01 00 'a:b/c' 05 00 ] " ALIAS "[ 01 01 00 00 'a' ] " INSTANCE
						  "[ 01 01 02 00 'a' 01 00 00 'b' 01 00 ] " EXPORT "[ 01 00 'a:b/c' 05 01 00 ] ",
		"package root:component;\n\nworld root {\n  import a:b/c;\n  export a:b/c;\n}\n\npackage a:b {\n  interface c {\n    a: func();\n    b: func();\n  }\n}\n");
}

static void sides_that_contradict_each_other_are_noted(void **state)
{
	prints(COMPONENT TYPE "[ 02 " DECLARES_A_FUNC "40 01 'x' 79 01 00 ] " IMPORT "[ 02 00 'a:b/c' 05 00 00 'g' 01 01 ] " INSTANCE
						  "[ 01 01 01 00 'a' 01 00 ] " EXPORT "[ 01 00 'a:b/c' 05 01 00 ] ",
		"package root:component;\n\n// Not in WIT: a:b/c: the exported function `a` has another type than the imported.\nworld root {\n  import a:b/c;\n"
		"  import g: func(x: u32);\n  export a:b/c;\n}\n\npackage a:b {\n  interface c {\n    a: func();\n  }\n}\n");
}

static void a_type_of_an_interface_in_line_gets_a_name_outside_of_it(void **state)
{
	prints(COMPONENT TYPE "[ 01 42 02 01 72 01 'x' 79 04 00 't' 03 00 00 ] " IMPORT "[ 01 00 'i' 05 00 ] " ALIAS "[ 01 03 00 00 't' ] " TYPE
						  "[ 01 40 01 'p' 01 01 00 ] " IMPORT "[ 01 00 'f' 01 02 ] ",
		"package root:component;\n\nworld root {\n  record t {\n    x: u32,\n  }\n  import i: interface {\n    record t {\n      x: u32,\n    }\n  }\n"
		"  import f: func(p: t);\n}\n");
}

static void a_resource_that_wit_cannot_name_is_noted(void **state)
{
	prints(COMPONENT TYPE "[ 01 42 01 04 00 'r' 03 01 ] " IMPORT "[ 01 00 'i' 05 00 ] " ALIAS "[ 01 03 00 00 'r' ] " TYPE "[ 02 69 01 40 01 'p' 02 01 00 ] " IMPORT
						  "[ 01 00 'f' 01 03 ] ",
		"package root:component;\n\n// Not in WIT: world root: the resource `r` is one that has no name here.\nworld root {\n  resource r;\n"
		"  import i: interface {\n    resource r;\n  }\n  import f: func(p: r);\n}\n");
}

static void other_names_of_a_resource_are_aliases(void **state)
{
	prints(COMPONENT IMPORT "[ 03 00 'a' 03 01 00 'b' 03 00 00 00 'c' 03 00 01 ] ",
		"package root:component;\n\nworld root {\n  resource a;\n  type b = a;\n  type c = b;\n}\n");
}

static void what_has_no_form_in_wit_is_noted(void **state)
{
	prints(COMPONENT CORE_TYPE "[ 01 50 00 ] " IMPORT "[ 01 00 'm' 00 11 00 ] ",
		"package root:component;\n\n// Not in WIT: import m: a core module.\nworld root {\n}\n");
}

// Nested pairs: 2^14 parts in each of fifteen types. Printing ends with the buffer, not with the types.
static void what_grows_when_it_is_spelled_out_is_cut_by_the_limit(void **state)
{
	struct decoded d = {0};
	struct buf text = {0};
	buf_put_str(&text, COMPONENT TYPE "[ #15 6f 02 79 79 ");
	for (unsigned i = 0; i < 14; i++)
		buf_printf(&text, "6f 02 #%u #%u ", i, i);
	buf_put_str(&text, "] ");
	for (unsigned i = 0; i < 15; i++)
		buf_printf(&text, TYPE "[ 01 40 01 'p' 0d 01 00 ] " IMPORT "[ 01 00 'f%u' 01 #%u ] ", i, 15 + i);
	buf_put_byte(&text, 0);
	build_text(&d.bytes, (char *)text.ptr);
	decode_bytes(&d, 0);
	if (!d.ok)
		fail_msg("%s", d.e.text);
	struct buf b = {.max = 1 << 18};
	struct err e;
	err_clear(&e);
	assert_false(comp_print(&b, d.c, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	buf_release(&b);
	buf_release(&text);
	decoded_release(&d);
}

// Each a name of the one before: 100,000 of them took half a minute.
static void a_chain_of_names_is_followed_in_one_step(void **state)
{
	struct decoded d = {0};
	struct buf text = {0};
	buf_put_str(&text, COMPONENT TYPE "[ 01 70 79 ] " IMPORT "[ #50000 ");
	for (unsigned i = 0; i < 50000; i++)
		buf_printf(&text, "00 't%u' 03 00 #%u ", i, i);
	buf_put(&text, "] ", 3);
	build_text(&d.bytes, (char *)text.ptr);
	decode_bytes(&d, 0);
	if (!d.ok)
		fail_msg("%s", d.e.text);
	struct buf b = {.max = 64 << 20};
	clock_t begin = clock();
	assert_true(comp_print(&b, d.c, NULL));
	assert_true(clock() - begin < 3 * CLOCKS_PER_SEC);  // of CPU: 0.1 s; with a walk for each 8 s
	assert_true(buf_put_byte(&b, 0));
	assert_non_null(strstr((char *)b.ptr, "type t49999 = t49998;"));
	buf_release(&b);
	buf_release(&text);
	decoded_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_imported_in_part_and_exported_whole_has_all),
		cmocka_unit_test(sides_that_contradict_each_other_are_noted),
		cmocka_unit_test(a_type_of_an_interface_in_line_gets_a_name_outside_of_it),
		cmocka_unit_test(a_resource_that_wit_cannot_name_is_noted),
		cmocka_unit_test(other_names_of_a_resource_are_aliases),
		cmocka_unit_test(what_has_no_form_in_wit_is_noted),
		cmocka_unit_test(what_grows_when_it_is_spelled_out_is_cut_by_the_limit),
		cmocka_unit_test(a_chain_of_names_is_followed_in_one_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
