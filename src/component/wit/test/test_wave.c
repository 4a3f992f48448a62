// WAVE: the guests' expectations (expected.json) and the rules of the format.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <time.h>

#include "wit/wit.h"

static struct arena arena;
static struct wit_packages packages;

static const char text[] =
	"package a:b; interface x {"
	"  record point { x: s32, y: s32 }"
	"  record person { name: string, age: u8, tags: list<string>, at: option<point> }"
	"  record wide { a: u8, b: u64, c: bool, d: f32, e: string, f: u16, g: f64, h: char }"
	"  record opt { a: option<u8>, b: option<option<u8>> }"
	"  variant shape { nothing, circle(f64), rect(tuple<f32, f32>), named(string), poly(list<point>) }"
	"  variant words { none, ok(u8), %flags(u8) }"
	"  enum color { red, green, blue, err }"
	"  flags perms { read, write, exec }"
	"  flags flags32 { f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31 }"
	"  resource res;"
	"  f-u8: func(v: u8); f-s8: func(v: s8); f-u64: func(v: u64); f-s64: func(v: s64); f-f32: func(v: f32); f-f64: func(v: f64); f-c: func(v: char); f-s: func(v: string);"
	"  f-ls: func(v: list<string>); f-lf: func(v: list<f64>); f-ll: func(v: list<list<u16>>); f-point: func(v: point); f-person: func(v: person); f-wide: func(v: wide);"
	"  f-opt: func(v: opt); f-shape: func(v: shape); f-words: func(v: words); f-color: func(v: color); f-perms: func(v: perms); f-flags32: func(v: flags32);"
	"  f-o: func(v: option<u32>); f-oo: func(v: option<option<string>>); f-r: func(v: result<u32, string>); f-ro: func(v: result<point>); f-rr: func(v: result<option<u8>>);"
	"  f-rn: func(v: result); f-t: func(v: tuple<u8, string, s64>); f-fixed: func(v: list<u8, 3>); f-map: func(v: map<string, u8>); f-h: func(v: res);"
	"  f-nested: func(v: list<result<option<tuple<string, shape>>, color>>); f-b: func(v: bool);"
	"  f-many: func(a: u8, b: string, c: option<u8>, d: option<u8>); f-none: func(); }";

static int setup(void **state)
{
	arena_init(&arena, 0);
	struct wit_source s = {SLICE_LIT("x"), slice_str(text), 0};
	struct err e = {0};
	if (!wit_text_resolve(&arena, &s, 1, NULL, &packages, &e))
		fail_msg("%s %s", e.text, e.where);
	return 0;
}

static int teardown(void **state)
{
	arena_release(&arena);
	return 0;
}

static const struct wit_type *type_of(const char *func)
{
	char name[64];
	snprintf(name, sizeof(name), "f-%s", func);
	const struct wit_func *f = wit_interface_func(packages.list[0]->interfaces[0], slice_str(name));
	if (!f)
		fail_msg("no function %s", func);
	return f->type->params.fields[0].type;
}

// func, in, out (NULL: the same)
static const char *const good[][3] = {
	{"b", "true", NULL},
	{"b", "false", NULL},
	{"u8", "0", NULL},
	{"u8", "255", NULL},
	{"s8", "-128", NULL},
	{"s8", "127", NULL},
	{"u64", "18446744073709551615", NULL},
	{"s64", "-9223372036854775808", NULL},
	{"f32", "1.5", NULL},
	{"f32", "-0.25", NULL},
	{"f32", "nan", NULL},
	{"f32", "inf", NULL},
	{"f32", "-inf", NULL},
	{"f32", "0.1", NULL},
	{"f32", "3.4028235e+38", "340282350000000000000000000000000000000"},
	{"f32", "1e-45", "0.000000000000000000000000000000000000000000001"},
	{"f32", "1e39", "inf"},
	{"f32", "-1e5", "-100000"},
	{"f32", "-0.0", "-0"},
	{"f32", "16777217", "16777216"},
	{"f64", "12345.678", NULL},
	{"f64", "0.1", NULL},
	{"f64", "nan", NULL},
	{"f64", "-inf", NULL},
	{"f64", "-1", NULL},
	{"f64", "6.022e+23", "602200000000000000000000"},
	{"f64", "0.30000000000000004", NULL},
	{"f64", "1E2", "100"},
	{"f64", "123e-3", "0.123"},
	{"c", "'a'", NULL},
	{"c", "'€'", NULL},
	{"c", "'𝄞'", NULL},
	{"c", "'\"'", "'\\\"'"},
	{"c", "'\\''", NULL},
	{"c", "'\\u{0}'", NULL},
	{"c", "'\\u{1F30A}'", "'🌊'"},
	{"s", "\"\"", NULL},
	{"s", "\"plain\"", NULL},
	{"s", "\"åäö € 𝄞\"", NULL},
	{"s", "\"\\\\\\'\\\"\\t\\n\\r\"", NULL},
	{"s", "\"'''\"", "\"\\'\\'\\'\""},
	{"s", "\"\\u{2603}\\u{7}\"", "\"☃\\u{7}\""},
	{"s", "\"e\\u{301}\"", "\"e\\u{301}\""},
	{"s", "\"\"\"\n    Indentation determined\n      by ending delimiter\n  \"\"\"", "\"  Indentation determined\\n    by ending delimiter\""},
	{"s", "\"\"\"\n\"\"\"", "\"\""},
	{"s", "\"\"\"\n\nx\n\n\"\"\"", "\"\\nx\\n\""},
	{"s", "\"\"\"\r\na\r\nb\"\"\\\"\"\n\"\"\"", "\"a\\nb\\\"\\\"\\\"\\\"\""},
	{"ls", "[\"a\", \"\", \"é\"]", NULL},
	{"ls", "[]", NULL},
	{"lf", "[0.5, -1]", NULL},
	{"ll", "[[], [1, 2], [65535]]", NULL},
	{"ll", " [ [1 ,2,] , ] // end", "[[1, 2]]"},
	{"point", "{x: -1, y: 2}", NULL},
	{"point", "{y: 2, x: 1,}", "{x: 1, y: 2}"},
	{"point", "{%x: 1, y: 2}", "{x: 1, y: 2}"},
	{"person", "{name: \"Ada\", age: 36, tags: [\"a\", \"b\"], at: some({x: 1, y: 2})}", NULL},
	{"person", "{name: \"Eve\", age: 0, tags: []}", NULL},
	{"person", "{name: \"Eve\", age: 0, tags: [], at: none}", "{name: \"Eve\", age: 0, tags: []}"},
	{"wide", "{a: 1, b: 18446744073709551615, c: true, d: -1.5, e: \"é\", f: 2, g: 0.5, h: '€'}", NULL},
	{"opt", "{:}", NULL},
	{"opt", "{}", "{:}"},
	{"opt", "{a: 1}", "{a: some(1)}"},
	{"opt", "{b: some(none)}", NULL},
	{"shape", "nothing", NULL},
	{"shape", "circle(2.5)", NULL},
	{"shape", "rect((1, 2))", NULL},
	{"shape", "named(\"n\")", NULL},
	{"shape", "poly([{x: 1, y: 2}])", NULL},
	{"words", "%none", NULL},
	{"words", "%ok(3)", NULL},
	{"words", "flags(3)", NULL},
	{"color", "red", NULL},
	{"color", "%err", NULL},
	{"perms", "{}", NULL},
	{"perms", "{read, exec}", NULL},
	{"perms", "{exec, write, read}", "{read, write, exec}"},
	{"flags32", "{f0, f15, f31}", NULL},
	{"o", "none", NULL},
	{"o", "some(0)", NULL},
	{"o", "5", "some(5)"},
	{"oo", "none", NULL},
	{"oo", "some(none)", NULL},
	{"oo", "some(some(\"x\"))", NULL},
	{"oo", "some(\"x\")", "some(some(\"x\"))"},
	{"r", "ok(5)", NULL},
	{"r", "5", "ok(5)"},
	{"r", "err(\"bad\")", NULL},
	{"ro", "ok({x: 1, y: 2})", NULL},
	{"ro", "err", NULL},
	{"rn", "ok", NULL},
	{"rn", "err", NULL},
	{"t", "(1, \"two\", -3)", NULL},
	{"fixed", "[1, 2, 3]", NULL},
	{"fixed", "[1, 2, 3,]", "[1, 2, 3]"},
	{"map", "[(\"a\", 1)]", NULL},
	{"nested", "[ok(none), err(green), ok(some((\"x\", circle(1))))]", NULL},
};

static void values_come_back_as_the_reference_writes_them(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const struct wit_type *t = type_of(good[i][0]);
		struct err e = {0};
		struct buf b = {0};
		_Alignas(16) uint8_t value[256];
		assert_true(t->size64 <= sizeof(value));
		memset(value, 0xaa, sizeof(value));
		if (!wit_wave_parse(&arena, slice_str(good[i][1]), t, value, &e) || !wit_wave_print(&b, t, value, &e))
			fail_msg("%s: %s", good[i][1], e.text);
		const char *want = good[i][2] ? good[i][2] : good[i][1];
		if (!slice_eq_str(buf_view(&b), want))
			fail_msg("%s\nwant %s\nhave %.*s", good[i][1], want, SLICE_ARGS(buf_view(&b)));
		buf_release(&b);
	}
}

static const char *const bad[][3] = {
	{"u8", "256", "not a value of u8"},
	{"u8", "-1", "not a value of u8"},
	{"u8", "1.0", "not a value of u8"},
	{"u8", "\"x\"", "expected a number"},
	{"u8", "", "expected a number"},
	{"u8", "01", "expected a number"},
	{"u8", "1 2", "expected nothing more"},
	{"s8", "-129", "not a value of s8"},
	{"s8", "128", "not a value of s8"},
	{"u64", "18446744073709551616", "not a value of u64"},
	{"f64", "1.", "expected a number"},
	{"f64", ".5", "expected a number"},
	{"f64", "1e", "expected a number"},
	{"f64", "infinity", "expected a number"},
	{"c", "''", "single quotes"},
	{"c", "'ab'", "expected `'`"},
	{"c", "'", "expected a character"},
	{"c", "'\\x'", "unknown escape"},
	{"c", "'\\u{d800}'", "unknown escape"},
	{"c", "'\\u{110000}'", "unknown escape"},
	{"c", "'\\u{}'", "unknown escape"},
	{"s", "\"a", "the end of the string"},
	{"s", "\"a\nb\"", "the end of the string"},
	{"s", "\"\\", "the end of the string"},
	{"s", "\"\xff\"", "expected a character"},
	{"s", "\"\"\"x\"\"\"", "line break"},
	{"s", "\"\"\"\n x\n  \"\"\"", "indented"},
	{"ls", "[\"a\" \"b\"]", "expected `]`"},
	{"ls", "[", "expected a string"},
	{"point", "{x: 1}", "field `y` is missing"},
	{"point", "{x: 1, x: 1, y: 1}", "given twice"},
	{"point", "{x: 1, z: 1}", "no field `z`"},
	{"shape", "square", "no case `square`"},
	{"shape", "nothing(1)", "no payload"},
	{"shape", "circle", "expected `(`"},
	{"words", "none", "percent sign"},
	{"perms", "{read, read}", "given twice"},
	{"perms", "{fly}", "does not exist"},
	{"oo", "\"x\"", "`some(…)` or `none`"},
	{"rn", "5", "`ok` or `err`"},
	{"rr", "5", "`ok` or `err`"},
	{"fixed", "[1, 2]", "3 elements"},
	{"fixed", "[1, 2, 3, 4]", "3 elements"},
	{"h", "1", "can't be written as text"},
	{"b", "truest", "`true` or `false`"},
	{"t", "(1, \"a\")", "expected `,`"},
};

static void what_does_not_fit_the_type_is_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct wit_type *t = type_of(bad[i][0]);
		struct err e = {0};
		_Alignas(16) uint8_t value[256];
		if (wit_wave_parse(&arena, slice_str(bad[i][1]), t, value, &e))
			fail_msg("accepted %s", bad[i][1]);
		if (!strstr(e.text, bad[i][2]) || e.code != ERR_USAGE)
			fail_msg("%s: %s", bad[i][1], e.text);
	}
}

static void calls_are_taken_apart(void **state)
{
	struct wit_wave_call c;
	assert_true(wit_wave_split(SLICE_LIT("f(\"x\", 1)"), &c, NULL));
	assert_true(c.iface.len == 0 && slice_eq_str(c.func, "f") && slice_eq_str(c.args, "(\"x\", 1)"));
	assert_true(wit_wave_split(SLICE_LIT("demo:values/values@1.0.0#echo-u8(1)"), &c, NULL));
	assert_true(slice_eq_str(c.iface, "demo:values/values@1.0.0") && slice_eq_str(c.func, "echo-u8"));
	assert_true(wit_wave_split(SLICE_LIT("counters#[method]counter.get()"), &c, NULL));
	assert_true(slice_eq_str(c.func, "[method]counter.get"));
	assert_false(wit_wave_split(SLICE_LIT("f"), &c, NULL));
	assert_false(wit_wave_split(SLICE_LIT("(1)"), &c, NULL));
	assert_false(wit_wave_split(SLICE_LIT("a b(1)"), &c, NULL));
}

static void arguments_fill_the_native_parameters(void **state)
{
	static const struct {
		const char *args, *error;
	} rows[] = {{"(1, \"x\")", NULL}, {"( 1, \"x\", 2 )", NULL}, {"(1, \"x\", some(2), none,)", NULL}, {"(1)", "argument `b` is missing"},
		{"()", "argument `a` is missing"},
		{"(", "expected a number at the end"}, {"(1, \"x\"", "expected `)`"}, {"(1, \"x\", 2, 3", "expected `)` at the end"},
		{"(1, \"x\", 2, 3, 4)", "too many arguments"}, {"(1, 2)", "expected a string"},
		{"(1, \"x\") y", "nothing more"}};
	const struct wit_func_type *f = wit_interface_func(packages.list[0]->interfaces[0], SLICE_LIT("f-many"))->type;
	struct {
		uint8_t a;
		struct wit_string b;
		struct {
			uint8_t is_some, some;
		} c, d;
	} args;
	assert_int_equal(f->params.size64, sizeof(args));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		memset(&args, 0xff, sizeof(args));
		bool ok = wit_wave_parse_args(&arena, slice_str(rows[i].args), f, &args, &e);
		assert_int_equal(ok, rows[i].error == NULL);
		if (!ok && !strstr(e.text, rows[i].error))
			fail_msg("%s: %s", rows[i].args, e.text);
		if (ok) {
			assert_int_equal(args.a, 1);
			assert_true(slice_eq_str(slice_of(args.b.ptr, args.b.len), "x"));
			assert_int_equal(args.c.is_some, i > 0);
			assert_int_equal(args.d.is_some, 0);
		}
	}
	f = wit_interface_func(packages.list[0]->interfaces[0], SLICE_LIT("f-none"))->type;
	assert_true(wit_wave_parse_args(&arena, SLICE_LIT("()"), f, NULL, NULL));
	assert_false(wit_wave_parse_args(&arena, SLICE_LIT("(1)"), f, NULL, NULL));
}

// 50,000 values, each the last of 50,000 cases: found by name, not one after the other.
static void a_case_of_many_is_found_at_once(void **state)
{
	enum { N = 50000 };
	struct arena a;
	struct buf value = {0};
	const struct wit_type *cases, *list;
	struct wit_list got;
	arena_init(&a, 0);
	struct slice *names = ARENA_ARRAY(&a, struct slice, N);
	char *texts = arena_alloc(&a, (size_t)N * 8, 1);
	assert_true(names && texts);
	for (unsigned i = 0; i < N; i++) {
		int n = snprintf(texts + (size_t)i * 8, 8, "c%u", i);
		names[i] = slice_of(texts + (size_t)i * 8, (size_t)n);
	}
	assert_true(wit_type_enum(&a, names, N, &cases, NULL) && wit_type_list(&a, cases, &list, NULL));
	buf_put_byte(&value, '[');
	for (unsigned i = 0; i < N; i++)
		buf_printf(&value, "c%u,", N - 1);
	buf_put_byte(&value, ']');
	clock_t begin = clock();
	assert_true(wit_wave_parse(&a, buf_view(&value), list, &got, NULL));
	assert_true(clock() - begin < 2 * CLOCKS_PER_SEC);  // of CPU: 0.02 s; one after the other 5 s
	assert_int_equal(got.len, N);
	assert_int_equal(((const uint16_t *)got.ptr)[N - 1], N - 1);
	assert_false(wit_wave_parse(&a, SLICE_LIT("[c50000]"), list, &got, NULL));
	buf_release(&value);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_back_as_the_reference_writes_them),
		cmocka_unit_test(what_does_not_fit_the_type_is_refused),
		cmocka_unit_test(calls_are_taken_apart),
		cmocka_unit_test(arguments_fill_the_native_parameters),
		cmocka_unit_test(a_case_of_many_is_found_at_once),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
