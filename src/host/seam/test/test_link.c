// Which interface serves an import, and what is told when none does (design §6, §7).
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "seam/seam.h"

static enum seam_result nothing(struct seam_call *c, const void *args, void *ret)
{
	return SEAM_OK;
}

static struct arena arena;
static struct seam_resource stream = {.wit.name = SLICE_LIT("output-stream"), .ops.name = "wasi:io/streams.output-stream"};
static struct seam_resource *const stream_resources[] = {&stream};
static struct seam_func stream_funcs[] = {{.name = "[method]output-stream.flush", .fn = nothing}, {.name = "open", .fn = nothing}};
static struct seam_interface streams = {
	.name = "wasi:io/streams@0.2.12", .funcs = stream_funcs, .n_funcs = 2, .resources = stream_resources, .n_resources = 1};
static struct seam_interface unversioned = {.name = "demo:plain/thing"};
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
		if ((seam_registry_find(&registry, slice_str(rows[i].name)) != NULL) != rows[i].found)
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
	assert_ptr_equal(h->resources[0], &stream.ops);
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
		cmocka_unit_test(a_function_that_is_imported_must_be_there_also_when_nothing_calls_it),
	};
	struct err e = {0};
	arena_init(&arena, 0);
	struct seam_interface *list[] = {&streams, &unversioned};
	stream_funcs[0].type = func(borrow(&stream.wit), NULL);
	stream_funcs[1].type = func(NULL, NULL);
	if (!seam_registry_add(&registry, list, 2, &e))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	seam_registry_release(&registry);
	arena_release(&arena);
	return failed;
}
