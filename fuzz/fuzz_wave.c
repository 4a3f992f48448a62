// WAVE, as `--invoke` takes it: a call is split, its arguments are read as values of every kind of type; what is read is printed, reads back and is printed
// the same.
// PROGRAM(fuzz_wave, "wit", "")
#include "wit/wit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_MEMORY = 256 << 20, MAX_TEXT = 4 << 20, MAX_VALUE = 4096 };

static const char types[] =
	"package a:b; interface x { record point { x: s32, y: s32 } record opt { a: option<u8>, b: option<option<u8>>, c: list<point> }"
	"  variant shape { nothing, circle(f64), rect(tuple<f32, f32>), named(string), poly(list<point>) } variant words { none, ok(u8), %flags(u8), inf, nan }"
	"  enum color { red, green, blue, err, true } flags perms { read, write, exec } flags one { inf }"
	"  flags many { f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31 }"
	"  a: func(v: bool, w: char); b: func(v: u8, w: s8, x: u16, y: s16); c: func(v: u32, w: s32, x: u64, y: s64); d: func(v: f32, w: f64); e: func(v: string);"
	"  f: func(v: list<string>); g: func(v: list<list<f64>>); h: func(v: point); i: func(v: opt); j: func(v: shape); k: func(v: words); l: func(v: color, w: perms);"
	"  m: func(v: many, w: one); n: func(v: option<option<u32>>, w: option<string>); o: func(v: result<u32, string>, w: result); p: func(v: result<_, color>);"
	"  q: func(v: tuple<u8, string, s64>); r: func(v: list<result<option<tuple<string, shape>>, color>>); s: func(v: list<u8, 3>); t: func(v: map<string, u8>);"
	"  u: func(v: list<option<opt>>, w: option<color>); v: func(); w: func(v: result<option<words>, list<char>>); }";

static struct arena described;
static const struct wit_interface *interface;

static void describe(void)
{
	struct wit_source s = {SLICE_LIT("types"), slice_str(types), 0};
	struct wit_options all = {.all_features = true};
	struct wit_packages p;
	struct err e = {0};
	arena_init(&described, 0);
	if (!wit_text_resolve(&described, &s, 1, &all, &p, &e)) {
		fprintf(stderr, "%s %s\n", e.text, e.where);
		abort();
	}
	interface = p.list[0]->interfaces[0];
}

// A fixed point: what was printed of a value reads as one that is printed so.
static void check_value(struct arena *a, const struct wit_type *t, const void *value)
{
	struct buf first = {.max = MAX_TEXT}, second = {.max = MAX_TEXT};
	_Alignas(16) uint8_t again[MAX_VALUE] = {0};
	struct err e = {0};
	if (wit_wave_print(&first, t, value, &e)) {
		bool same = wit_wave_parse(a, buf_view(&first), t, again, &e) && wit_wave_print(&second, t, again, &e) && slice_eq(buf_view(&first), buf_view(&second));
		if (!same && e.code != ERR_NOMEM && e.code != ERR_LIMIT) {
			fprintf(stderr, "%.*s\n%.*s\n%s\n", SLICE_ARGS(buf_view(&first)), SLICE_ARGS(buf_view(&second)), e.text);
			abort();
		}
	}
	buf_release(&first);
	buf_release(&second);
}

static void read_args(struct arena *a, const struct wit_func_type *type, struct slice args)
{
	_Alignas(16) uint8_t values[MAX_VALUE] = {0};
	struct err e = {0};
	BUG_ON(type->params.size64 > sizeof values);
	if (!wit_wave_parse_args(a, args, type, values, &e)) {
		BUG_ON(e.code == ERR_NONE || !e.text[0]);
		return;
	}
	for (uint32_t i = 0; i < type->params.n; i++)
		check_value(a, type->params.fields[i].type, values + type->params.fields[i].offset64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!interface)
		describe();
	if (size == 0)
		return 0;
	const struct wit_func *f = &interface->funcs[data[0] % interface->n_funcs];
	struct slice text = slice_of(data + 1, size - 1);
	struct wit_wave_call call;
	struct arena a;
	arena_init(&a, MAX_MEMORY);
	if (wit_wave_split(text, &call, NULL))
		read_args(&a, f->type, call.args);
	read_args(&a, f->type, text);
	arena_release(&a);
	return 0;
}
