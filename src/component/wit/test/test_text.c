// WIT text: read, resolved, printed, read again.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>

#include "wit/wit.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	arena_release(&arena);
	return 0;
}

static bool resolve_with(const char *text, const struct wit_options *o, struct wit_packages *ret, struct err *e)
{
	struct wit_source s = {SLICE_LIT("test.wit"), slice_str(text), 0};
	return wit_text_resolve(&arena, &s, 1, o, ret, e);
}

static struct wit_packages resolve(const char *text)
{
	struct wit_packages p = {0};
	struct err e = {0};
	if (!resolve_with(text, NULL, &p, &e))
		fail_msg("%s (%s)", e.text, e.where);
	return p;
}

// Prints every package of `p` as nested ones but the last, reads that, compares.
static void comes_back_equal(const struct wit_packages *p, const struct wit_options *o)
{
	struct buf *texts = mem_zalloc(p->n * sizeof(*texts));
	struct wit_source *sources = mem_zalloc(p->n * sizeof(*sources));
	struct wit_packages again;
	struct err e = {0};
	for (uint32_t i = 0; i < p->n; i++) {
		wit_print_package(&texts[i], p->list[i]);
		assert_false(texts[i].failed);
		sources[i] = (struct wit_source){SLICE_LIT("printed"), buf_view(&texts[i]), i};
	}
	if (!wit_text_resolve(&arena, sources, p->n, o, &again, &e)) {
		for (uint32_t i = 0; i < p->n; i++)
			print_message("%.*s\n", SLICE_ARGS(buf_view(&texts[i])));
		fail_msg("%s (%s)", e.text, e.where);
	}
	assert_int_equal(again.n, p->n);
	for (uint32_t i = 0; i < p->n; i++) {
		const struct wit_package *x = wit_packages_find(&again, p->list[i]->ns, p->list[i]->name, &p->list[i]->version);
		struct buf second = {0};
		assert_non_null(x);
		if (!wit_package_equal(p->list[i], x, false, &e))
			fail_msg("%s (%s)\n%.*s", e.text, e.where, SLICE_ARGS(buf_view(&texts[i])));
		wit_print_package(&second, x);
		assert_true(slice_eq(buf_view(&second), buf_view(&texts[i])));
		buf_release(&second);
	}
	for (uint32_t i = 0; i < p->n; i++)
		buf_release(&texts[i]);
	mem_free(texts);
	mem_free(sources);
}

static const char everything[] =
	"/// The package.\n"
	"package a:b@1.2.3-rc.1+x;\n"
	"use c:d/e@0.1.0 as other;\n"
	"/// Types.\n///\n/// More.\n"
	"@since(version = 1.0.0)\n"
	"interface types {\n"
	"  use other.{t, r as their};\n"
	"  /* a /* nested */ comment */\n"
	"  type uses-later = list<rec>;\n"
	"  record rec { a: u8, %type: option<string>, c: tuple<f32, f64, char,>, }\n"
	"  variant v { none, some(rec), HTTP(result<_, e>), }\n"
	"  enum e { x, y }\n"
	"  flags f { read, write }\n"
	"  type alias = v;\n"
	"  type num = u32;\n"
	"  type fixed = list<u8, 4>;\n"
	"  type dict = map<string, list<u8>>;\n"
	"  type map = u8;\n"
	"  type handle = borrow<res>;\n"
	"  resource res {\n"
	"    constructor(init: list<u8>);\n"
	"    @deprecated(version = 1.0.0)\n"
	"    /// Writes.\n"
	"    write: func(bytes: map) -> result<u64>;\n"
	"    merge: static func(lhs: res, rhs: borrow<res>) -> res;\n"
	"    wait: async func() -> future<result>;\n"
	"    feed: func(s: stream<u8>, t: stream, f: future) -> result<res, string>;\n"
	"  }\n"
	"  resource fallible { constructor() -> result<fallible, e>; }\n"
	"  type res-alias = res;\n"
	"  free: func(x: res-alias, y: own<their>, z: error-context, %list: t)->alias;\n"
	"}\n"
	"interface empty {}\n"
	"world one { import f: func(); export g: async func(x: u8) -> u8; import types; use types.{rec as rrr}; h: interface {} }\n";

static void packages_may_lie_in_several_namespaces(void **state)
{
	struct wit_packages p = resolve("package a:%list:c/d/%interface@1.0.0;\ninterface e { type t = u8; }\n"
									"package x:y { interface z { use a:%list:c/d/%interface/e@1.0.0.{t}; } world w { import a:%list:c/d/%interface/e@1.0.0; } }\n");
	assert_int_equal(p.n, 2);
	comes_back_equal(&p, NULL);
	assert_true(slice_eq_str(p.list[1]->ns, "a:list") || slice_eq_str(p.list[0]->ns, "a:list"));
	struct buf long_name = {0};
	buf_put_str(&long_name, "package a");
	for (int i = 0; i < 102; i++)
		buf_put_str(&long_name, ":a");
	buf_put_str(&long_name, "; interface i {}");
	buf_put_byte(&long_name, 0);
	struct err e = {0};
	assert_false(resolve_with((const char *)long_name.ptr, NULL, &p, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	buf_release(&long_name);
}

static void reads_every_construct_and_prints_it_back(void **state)
{
	char text[8192];
	size_t n = sizeof(everything) - 1 - strlen("h: interface {} }\n");
	snprintf(text, sizeof(text),
		"%.*s import h: interface { use types.{num}; k: func(n: num) -> rr; record rr { n: num } } export c:d/e@0.1.0; import named: types; }\n"
		"world two { include one with { f as ff, g as gg, h as hh }; include one with { f as f2, g as g2, h as h2, rrr as r2, named as n2 }\n"
		"  resource cell { constructor(v: u8); get: func() -> u8; } import take: func(c: cell) -> r2; }\n"
		"package c:d@0.1.0 { interface e { type t = u8; resource r; } }\n",
		(int)n, everything);
	struct wit_packages p = resolve(text);
	assert_int_equal(p.n, 2);
	const struct wit_package *ab = p.list[1];
	assert_true(slice_eq_str(ab->name, "b") && slice_eq_str(ab->docs, "The package."));
	const struct wit_interface *types = wit_package_interface(ab, SLICE_LIT("types"));
	assert_true(slice_eq_str(types->docs, "Types.\n\nMore."));
	assert_int_equal(types->n_funcs, 7);
	const struct wit_func *w = wit_interface_func(types, SLICE_LIT("[method]res.write"));
	assert_non_null(w);
	assert_true(slice_eq_str(w->docs, "Writes.") || w->docs.len == 0);
	assert_int_equal(w->type->params.n, 2);
	assert_true(slice_eq_str(w->type->params.fields[0].name, "self"));
	assert_int_equal(w->type->params.fields[0].type->kind, WIT_BORROW);
	const struct wit_type *uses_later = wit_interface_type(types, SLICE_LIT("uses-later"))->type;
	assert_ptr_equal(uses_later->elem, wit_interface_type(types, SLICE_LIT("rec"))->type);
	const struct wit_world *two = wit_package_world(ab, SLICE_LIT("two"));
	// types; ff, hh and named; f2, h2, n2; cell's two functions; take
	assert_int_equal(two->n_imports, 10);
	assert_int_equal(two->n_exports, 3);
	comes_back_equal(&p, NULL);
}

static void reads_back_all_packages_of_the_guests(void **state)
{
	const char *source = getenv("TENON_SOURCE");
	char path[512];
	struct wit_options all = {.all_features = true};
	const struct wit_options *options[] = {NULL, &all};
	snprintf(path, sizeof(path), "%s/../shared/guests/wit", source ? source : ".");
	DIR *d = opendir(path);
	if (!d) {
		print_message("skipped 1: no WIT packages of the guests at %s\n", path);
		skip();
	}
	closedir(d);
	for (int i = 0; i < 2; i++) {
		struct wit_packages p;
		struct err e = {0};
		if (!wit_dir_resolve(&arena, path, options[i], &p, &e))
			fail_msg("%s (%s) %s", e.text, e.where, e.hint);
		assert_true(p.n > 30);
		assert_true(slice_eq_str(p.list[p.n - 1]->ns, "demo"));
		comes_back_equal(&p, options[i]);
	}
}

static void says_where_and_why_text_is_refused(void **state)
{
	static const struct {
		const char *text, *error;
		uint32_t line, col;
	} rows[] = {
		{"package a:b;\ninterface x {\n  f: func(a: u8 -> u8;\n}", "expected `)`, found `->`", 3, 17},
		{"package a:b; interface x { f: func() -> y; }", "name `y` is not defined", 1, 41},
		{"package a:b; interface x { type a = b; type b = list<a>; }", "type `a` depends on itself", 1, 28},
		{"package a:b; interface x { record a { a: a } }", "type `a` depends on itself", 1, 28},
		{"package a:b; interface x { use y.{t}; type t2 = t; } interface y { use x.{t2}; type t = u8; }", "depends on itself", 1, 14},
		{"package a:b; interface x { use x.{t}; }", "interface `x` depends on itself", 1, 14},
		{"package a:b; world x { include y; } world y { include x; }", "world `x` depends on itself", 1, 14},
		{"package a:b; interface x { use c:d/e.{t}; }", "package `c:d` not found", 1, 32},
		{"package a:b; interface x { use y.{t}; }", "interface or world `y` not found in package `a:b`", 1, 32},
		{"package a:b; interface x { type t = u8; t: func(); }", "name `t` is defined more than once", 1, 41},
		{"package a:b; interface x { resource r { m: func(); m: static func(); } }", "defined more than once", 1, 52},
		{"package a:b; interface x { } interface x { }", "`x` is defined more than once", 1, 30},
		{"package a:b; package c:d; ", "must come first", 1, 14},
		{"interface x {}", "no `package` header", 1, 1},
		{"", "no `package`", 0, 0},
		{"package a:b; interface x { record e { } }", "record type must have at least one field", 1, 28},
		{"package a:b; interface x { enum e { a, A } }", "enum tag name `A` conflicts", 1, 28},
		{"package a:b; interface x { f: func() -> borrow<r>; resource r; }", "cannot contain a `borrow`", 1, 28},
		{"package a:b; interface x { f: func(u8: u8); }", "expected a name, found `u8`", 1, 36},
		{"package a:b; interface x { f: func(a: borrow<t>); type t = u8; }", "must be a resource", 1, 39},
		{"package a:b; interface x { resource r { constructor() -> r; } }", "a constructor of `r`", 1, 41},
		{"package a:b; interface aB {}", "invalid identifier `aB`", 1, 24},
		{"package a:b; /* /* */", "unterminated block comment", 1, 14},
		{"package a:b; interface x { $ }", "unexpected character '$'", 1, 28},
		{"package a:b@1.2; ", "unexpected end of input while parsing minor", 1, 13},
		{"package a:b; \x01", "misleading character U+0001", 1, 14},
		{"package a:b; // \xe2\x80\xae", "misleading character U+202E", 1, 17},
		{"package a:b; // \xff", "malformed UTF-8", 1, 17},
		{"package a:b; @since(version = 1.0.0) @unstable(feature = f) interface x {}", "either `@since` or `@unstable`", 1, 38},
		{"package a:b; @sinse(version = 1.0.0) interface x {}", "unknown gate `@sinse`", 1, 14},
		{"package a:b; @unstable(feature = f) interface x {} interface y { use x.{t}; }", "belongs to the feature `f`", 1, 70},
		{"package a:b; world w { import f: func(); import f: func(); }", "import `f` conflicts", 1, 49},
		{"package a:b; world v { import f: func(); } world w { import f: func(); include v; }", "import `f` conflicts", 1, 72},
		{"package a:b; world v { import f: func(); } world w { include v with { g as h }; }", "no import or export with the plain name `g`", 1, 71},
		{"package a:b; world v { import a:b; }", "expected `/`", 1, 34},
		{"package a:b; world v { import v; }", "`v` is a world", 1, 31},
		{"package a:b; interface x { type t = list<u8, 0>; }", "more than zero", 1, 37},
		{"package a:b; interface x { type t = list<u64, 99999999>; }", "exceeds maximum byte size", 1, 37},
		{"package a:b; interface x { type t = map<f32, u8>; }", "map key type", 1, 37},
		{"package a:b { interface x { use c:d/y.{t}; } } package c:d { interface y { type t = u8; } interface z { use a:b/w.{} } }", "expected a name", 1, 116},
		{"package a:b { interface x { use c:d/y.{t}; } interface w {type t = u8;} } package c:d { interface y { type t = u8; } interface z { use a:b/w.{t}; } }",
			"depends on itself", 1, 9},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wit_packages p;
		struct err e = {0};
		if (resolve_with(rows[i].text, NULL, &p, &e))
			fail_msg("accepted: %s", rows[i].text);
		if (!strstr(e.text, rows[i].error) || e.line != rows[i].line || e.col != rows[i].col)
			fail_msg("%s\n%u:%u: %s", rows[i].text, e.line, e.col, e.text);
		if (rows[i].line)
			assert_non_null(strstr(e.where, "test.wit:"));
	}
}

static void features_are_off_unless_named(void **state)
{
	static const char text[] = "package a:b@1.0.0; interface x { f: func(); @unstable(feature = new) g: func(); @since(version = 1.0.0) h: func(); }";
	struct wit_packages p = resolve(text);
	struct slice name = SLICE_LIT("new");
	struct wit_options some = {.features = &name, .n_features = 1};
	assert_int_equal(p.list[0]->interfaces[0]->n_funcs, 2);
	assert_true(resolve_with(text, &some, &p, NULL));
	assert_int_equal(p.list[0]->interfaces[0]->n_funcs, 3);
}

static void types_print_without_a_scope_for_messages(void **state)
{
	struct wit_packages p = resolve("package a:b; interface x { resource r; record rec { a: list<u8, 3>, b: option<r> } f: func(x: rec, y: borrow<r>) -> "
									"result<_, tuple<rec, char>>; g: async func(m: map<string, stream<u8>>); }");
	const struct wit_interface *x = p.list[0]->interfaces[0];
	static const char *const bare[] = {"func(x: record{a: list<u8, 3>, b: option<r>}, y: borrow<r>) -> result<_, tuple<record{a: list<u8, 3>, b: option<r>}, char>>",
		"async func(m: map<string, stream<u8>>)"};
	for (uint32_t i = 0; i < 2; i++) {
		struct buf b = {0};
		wit_print_func_type(&b, x->funcs[i].type, NULL, 0);
		assert_true(slice_eq_str(buf_view(&b), bare[i]));
		buf_release(&b);
	}
	struct buf b = {0};
	wit_print_type(&b, x->funcs[0].type->result, x->types, x->n_types);
	assert_true(slice_eq_str(buf_view(&b), "result<_, tuple<rec, char>>"));
	buf_release(&b);
}

static void files_of_a_folder_form_one_package(void **state)
{
	struct wit_source s[] = {
		{SLICE_LIT("deps/x.wit"), SLICE_LIT("package c:d; interface i { type t = u16; }"), 0},
		{SLICE_LIT("1.wit"), SLICE_LIT("interface x { use y.{t}; f: func() -> t; }"), 1},
		{SLICE_LIT("2.wit"), SLICE_LIT("package a:b; use c:d/i; interface y { use i.{t}; }"), 1},
	};
	struct wit_packages p;
	struct err e = {0};
	assert_true(wit_text_resolve(&arena, s, 3, NULL, &p, &e));
	assert_int_equal(p.n, 2);
	assert_true(slice_eq_str(p.list[1]->ns, "a"));
	assert_ptr_equal(p.list[1]->interfaces[0]->funcs[0].type->result, wit_type_primitive(WIT_U16));
	s[1].text = SLICE_LIT("package a:c;");
	assert_false(wit_text_resolve(&arena, s, 3, NULL, &p, &e));
	assert_non_null(strstr(e.text, "does not match the package"));
}

// L56
static void deep_and_long_input_is_bounded(void **state)
{
	struct buf b = {0};
	struct wit_packages p;
	struct err e = {0};
	buf_put_str(&b, "package a:b; interface x { type t = ");
	for (int i = 0; i < 100000; i++)
		buf_put_str(&b, "list<");
	assert_false(wit_text_resolve(&arena, &(struct wit_source){.text = buf_view(&b)}, 1, NULL, &p, &e));
	assert_non_null(strstr(e.text, "too deep"));
	buf_clear(&b);
	err_clear(&e);
	// A chain of names: no recursion, but the type may not become too deep.
	buf_put_str(&b, "package a:b; interface x { type t50000 = u8;");
	for (int i = 0; i < 50000; i++)
		buf_printf(&b, "type t%d = t%d;", i, i + 1);
	buf_put_str(&b, "}");
	assert_true(wit_text_resolve(&arena, &(struct wit_source){.text = buf_view(&b)}, 1, NULL, &p, &e));
	buf_clear(&b);
	buf_put_str(&b, "package a:b; interface x { type t500 = u8;");
	for (int i = 0; i < 500; i++)
		buf_printf(&b, "type t%d = option<t%d>;", i, i + 1);
	buf_put_str(&b, "}");
	assert_false(wit_text_resolve(&arena, &(struct wit_source){.text = buf_view(&b)}, 1, NULL, &p, &e));
	assert_non_null(strstr(e.text, "too deep"));
	// L55
	buf_clear(&b);
	err_clear(&e);
	buf_put_str(&b, "package a:b; interface x { type t30 = u8;");
	for (int i = 0; i < 30; i++)
		buf_printf(&b, "type t%d = tuple<t%d, t%d>;", i, i + 1, i + 1);
	buf_put_str(&b, "}");
	assert_false(wit_text_resolve(&arena, &(struct wit_source){.text = buf_view(&b)}, 1, NULL, &p, &e));
	assert_non_null(strstr(e.text, "effective type size"));
	// Worlds that include one another.
	buf_clear(&b);
	err_clear(&e);
	buf_put_str(&b, "package a:b; world w0 {");
	for (int i = 0; i < 2000; i++)
		buf_printf(&b, "import fn%d: func();", i);
	buf_put_str(&b, "}");
	for (int i = 1; i < 3000; i++)
		buf_printf(&b, "world w%d { include w0; }", i);
	assert_false(wit_text_resolve(&arena, &(struct wit_source){.text = buf_view(&b)}, 1, NULL, &p, &e));
	if (e.code != ERR_LIMIT)
		fail_msg("%s %s", e.text, e.where);
	buf_release(&b);
}

static void every_failing_allocation_is_an_error(void **state)
{
	uint64_t n = 1;
	for (;; n++) {
		struct arena a;
		struct err e = {0};
		struct wit_packages p;
		struct wit_source s = {SLICE_LIT("x"), SLICE_LIT("package a:b; /// d\ninterface x { record r { a: u8 } resource q { f: func(); } } world w { import x; }"), 0};
		arena_init(&a, 0);
		mem_fail_nth(n);
		bool ok = wit_text_resolve(&a, &s, 1, NULL, &p, &e);
		mem_fail_nth(0);
		arena_release(&a);
		if (ok)
			break;
		assert_true(e.code == ERR_NOMEM || e.code == ERR_LIMIT);
	}
	assert_true(n > 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(packages_may_lie_in_several_namespaces),
		T(reads_every_construct_and_prints_it_back),
		T(reads_back_all_packages_of_the_guests),
		T(says_where_and_why_text_is_refused),
		T(features_are_off_unless_named),
		T(types_print_without_a_scope_for_messages),
		T(files_of_a_folder_form_one_package),
		T(deep_and_long_input_is_bounded),
		T(every_failing_allocation_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
