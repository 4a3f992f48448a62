// Which interface serves an import, and what is told when none does (design §6, §7).
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "seam/seam.h"

static enum seam_result nothing(const void *ops, struct seam_call *c, const void *args, void *ret)
{
	return SEAM_OK;
}

static struct arena arena;
static const struct seam_interface streams;
static const struct seam_resource stream = {.wit.name = SLICE_LIT("output-stream"), .interface = &streams};
static const struct seam_resource *const stream_resources[] = {&stream};
static struct seam_func stream_funcs[] = {{.name = "[method]output-stream.flush", .call = nothing}, {.name = "open", .call = nothing}};
static const struct seam_interface streams = {
	.name = "wasi:io/streams@0.2.12", .funcs = stream_funcs, .n_funcs = 2, .resources = stream_resources, .n_resources = 1};
static const struct seam_interface unversioned = {.name = "demo:plain/thing"};
static void op(void)
{
}
static void (*const stream_ops[])(void) = {op, op};
static void (*const half_ops[])(void) = {NULL, op};
static const struct seam_provider_ops provider_ops = {.name = "ours"};
static struct seam_provider provider;
static struct seam_registry registry;

static const struct wit_func_type *func(const struct wit_type *param, const struct wit_type *result)
{
	const struct wit_func_type *t;
	struct wit_member m = {SLICE_LIT("self"), param};
	struct err e = {0};
	assert_true(wit_func_type_make(&arena, &m, param ? 1 : 0, result, false, &t, &e));
	return t;
}
static const struct wit_type *borrow(const struct wit_resource *r)
{
	const struct wit_type *t;
	assert_true(wit_type_borrow(&arena, r, &t, NULL));
	return t;
}

static void an_older_or_newer_patch_is_the_same_interface(void **s)
{
	static const struct {
		const char *name;
		bool found;
	} rows[] = {
		{"wasi:io/streams@0.2.0", true},
		{"wasi:io/streams@0.2.99", true},
		{"wasi:io/streams@0.2", true},
		{"wasi:io/streams@0.3.0", false},
		{"wasi:io/streams", false},
		{"wasi:io/streams@0.2.0-rc-1", false},
		{"wasi:io/stream@0.2.0", false},
		{"wasi:io/streams@1.0.0", false},
		{"demo:plain/thing", true},
		{"demo:plain/thing@1.0.0", false},
		{"wasi:io/streams@", false},
		{"", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((seam_registry_find(&registry, slice_str(rows[i].name), slice_of("", 0)) != NULL) != rows[i].found)
			fail_msg("%s", rows[i].name);
}

// A component that imports one instance with one resource and one function.
struct guest {
	struct comp_component comp;
	struct comp_import import;
	struct comp_host_func func;
	struct comp_resource resource;
	const struct comp_resource *resources[1];
};
static void guest_init(struct guest *g, const char *interface, const char *func_name, bool used)
{
	*g = (struct guest){.import = {.name = slice_str(interface), .kind = COMP_EXTERN_INSTANCE, .n_funcs = 1, .n_resources = 1},
		.func = {.interface = slice_str(interface), .name = slice_str(func_name), .used = used},
		.resource = {.instance = COMP_NONE, .path = SLICE_LIT("output-stream")}};
	g->func.type = func(borrow(&g->resource.wit), NULL);
	g->resources[0] = &g->resource;
	g->comp.plan = (struct comp_plan){
		.imports = &g->import, .nimports = 1, .host_funcs = &g->func, .nhost_funcs = 1, .host_resources = g->resources, .nhost_resources = 1};
}

static void what_is_imported_is_compared_as_types_with_resources_by_name(void **s)
{
	struct guest g;
	struct seam_link *l;
	struct err e = {0};
	guest_init(&g, "wasi:io/streams@0.2.3", "[method]output-stream.flush", true);
	if (!seam_link_new(&registry, &g.comp, &l, &e))
		fail_msg("%s", e.text);
	const struct canon_host *h = seam_link_host(l);
	assert_int_equal(h->n_funcs, 1);
	assert_int_equal(h->funcs[0].flags, CANON_HOST_CUTS);
	seam_link_free(l);
}

static void refused(struct guest *g, const char *text)
{
	struct seam_link *l;
	struct err e = {0};
	assert_false(seam_link_new(&registry, &g->comp, &l, &e));
	assert_int_equal(e.code, ERR_LINK);
	if (!strstr(e.text, "cannot link") || !strstr(e.text, text))
		fail_msg("%s", e.text);
	assert_true(e.hint[0] != 0);
}

static void what_nobody_has_is_named(void **s)
{
	struct guest g;
	guest_init(&g, "demo:absent/thing", "f", true);
	refused(&g, "demo:absent/thing");
	guest_init(&g, "wasi:io/streams@9.0.0", "f", true);
	refused(&g, "wasi:io/streams@9.0.0");
	guest_init(&g, "wasi:io/streams@0.2.0", "get-nonsense", true);
	refused(&g, "get-nonsense");
	guest_init(&g, "wasi:io/streams@0.2.0", "open", true);  // ours takes nothing
	refused(&g, "wasi:io/streams@0.2.0#open");
	guest_init(&g, "wasi:io/streams@0.2.0", "[method]output-stream.flush", true);
	g.resource.path = SLICE_LIT("input-stream");
	refused(&g, "input-stream");
}

// Called as ours are: but in an instance inside of the interface.
static void what_lies_in_an_inner_instance_is_not_taken_for_the_interfaces(void **s)
{
	struct guest g;
	guest_init(&g, "wasi:io/streams@0.2.0", "[method]output-stream.flush", true);
	g.func.inner = SLICE_LIT("more");
	refused(&g, "wasi:io/streams@0.2.0 has no instance more, which is to have [method]output-stream.flush");
	guest_init(&g, "wasi:io/streams@0.2.0", "[method]output-stream.flush", true);
	g.resource.inner = SLICE_LIT("more");
	refused(&g, "nothing provides 2 imports: output-stream, ");  // and the function that takes it
}

static void a_function_that_is_used_must_be_served(void **s)
{
	struct guest g;
	struct seam_link *l;
	struct seam_registry half = {0};
	struct err e = {0};
	const struct seam_offer offer = {NULL, &streams, half_ops, &provider};
	assert_true(seam_registry_add(&half, &offer, 1, &e));
	guest_init(&g, "wasi:io/streams@0.2.0", "[method]output-stream.flush", true);
	assert_false(seam_link_new(&half, &g.comp, &l, &e));
	assert_int_equal(e.code, ERR_LINK);
	err_clear(&e);
	guest_init(&g, "wasi:io/streams@0.2.0", "[method]output-stream.flush", false);
	assert_true(seam_link_new(&half, &g.comp, &l, &e));
	seam_link_free(l);
	seam_registry_release(&half);
	assert_int_equal(provider.held[SEAM_HELD_BY_TABLE], 0);
}

static void an_import_finds_its_label_before_its_name(void **s)
{
	struct seam_provider primary, other;
	struct seam_registry r = {0};
	struct err e = {0};
	seam_provider_init(&primary, &provider_ops);
	seam_provider_init(&other, &provider_ops);
	const struct seam_offer list[] = {{"primary", &streams, stream_ops, &primary}, {NULL, &streams, stream_ops, &other}};
	assert_true(seam_registry_add(&r, list, 2, &e));
	static const struct {
		const char *name, *implements;
		int found;
	} rows[] = {
		{"primary", "wasi:io/streams@0.2.0", 0},
		{"backup", "wasi:io/streams@0.2.0", 1},
		{"primary", "wasi:io/streams@0.3.0", -1},
		{"primary", "", -1},
		{"wasi:io/streams@0.2.1", "", 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct seam_offer *o = seam_registry_find(&r, slice_str(rows[i].name), slice_str(rows[i].implements));
		if ((o ? (int)(o - r.offers.ptr) : -1) != rows[i].found)
			fail_msg("%s", rows[i].name);
	}
	seam_registry_release(&r);
	assert_int_equal(primary.refs, 1);
	assert_int_equal(other.refs, 1);
}

static void everything_that_is_missing_is_named_with_what_would_serve_it(void **s)
{
	struct comp_import imports[] = {
		{.name = SLICE_LIT("demo:absent/thing"), .kind = COMP_EXTERN_INSTANCE, .n_funcs = 1},
		{.name = SLICE_LIT("wasi:io/streams@9.0.0"), .kind = COMP_EXTERN_INSTANCE, .n_funcs = 1},
		{.name = SLICE_LIT("wasi:io/streams@0.2.0"), .kind = COMP_EXTERN_INSTANCE, .n_funcs = 2},
		{.name = SLICE_LIT("wasi:nn/graph@0.2.0"), .kind = COMP_EXTERN_INSTANCE, .n_funcs = 1},
	};
	const struct wit_func_type *type = func(NULL, NULL);
	struct comp_host_func funcs[] = {
		{.import = 0, .interface = imports[0].name, .name = SLICE_LIT("f"), .type = type},
		{.import = 1, .interface = imports[1].name, .name = SLICE_LIT("f"), .type = type},
		{.import = 2, .interface = imports[2].name, .name = SLICE_LIT("f"), .type = type},
		{.import = 2, .interface = imports[2].name, .name = SLICE_LIT("open"), .type = func(wit_type_primitive(WIT_U8), NULL)},
		{.import = 3, .interface = imports[3].name, .name = SLICE_LIT("f"), .type = type},
	};
	struct comp_component comp = {.plan = {.imports = imports, .nimports = 4, .host_funcs = funcs, .nhost_funcs = 5}};
	struct seam_link *l;
	struct err e = {0};
	assert_false(seam_link_new(&registry, &comp, &l, &e));
	assert_int_equal(e.code, ERR_LINK);
	assert_string_equal(e.text, "cannot link: nothing provides 5 imports: demo:absent/thing, wasi:io/streams@9.0.0, wasi:nn/graph@0.2.0, wasi:io/streams@0.2.0#f, "
								"wasi:io/streams@0.2.0#open");
	assert_non_null(strstr(e.hint, "demo:absent/thing: compose the component"));
	assert_non_null(strstr(e.hint, "wasi:io/streams@9.0.0: this program has wasi:io/streams@0.2.12"));
	assert_non_null(strstr(e.hint, "wasi:nn/graph@0.2.0: this program serves the interfaces of WASI 0.2"));
	assert_non_null(strstr(e.hint, "wasi:io/streams@0.2.0#open: this program has wasi:io/streams@0.2.12: was the component"));
}

static void a_function_that_is_imported_must_be_there_also_when_nothing_calls_it(void **s)
{
	struct guest g;
	guest_init(&g, "wasi:io/streams@0.2.0", "get-nonsense", false);
	refused(&g, "get-nonsense");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_or_newer_patch_is_the_same_interface),
		cmocka_unit_test(what_is_imported_is_compared_as_types_with_resources_by_name),
		cmocka_unit_test(what_nobody_has_is_named),
		cmocka_unit_test(a_function_that_is_used_must_be_served),
		cmocka_unit_test(what_lies_in_an_inner_instance_is_not_taken_for_the_interfaces),
		cmocka_unit_test(an_import_finds_its_label_before_its_name),
		cmocka_unit_test(everything_that_is_missing_is_named_with_what_would_serve_it),
		cmocka_unit_test(a_function_that_is_imported_must_be_there_also_when_nothing_calls_it),
	};
	struct err e = {0};
	arena_init(&arena, 0);
	const struct seam_offer list[] = {{NULL, &streams, stream_ops, &provider}, {NULL, &unversioned, NULL, &provider}};
	seam_provider_init(&provider, &provider_ops);
	stream_funcs[0].type = func(borrow(&stream.wit), NULL);
	stream_funcs[1].type = func(NULL, NULL);
	if (!seam_registry_add(&registry, list, 2, &e))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	seam_registry_release(&registry);
	arena_release(&arena);
	return failed;
}
