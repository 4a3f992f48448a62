// What imports are bound to, by which rule; routes, schedules and circles.
#include "harness.h"

static void the_most_specific_row_binds_an_import(void **state)
{
	struct app *a = load(HEAD "[component.c]\nsource = \"c\"\nlinks = { cache = \"a\", \"wasi:kv/store@0.2.0\" = \"b\", \"wasi:kv/store\" = \"d\", \"wasi:kv\" = \"e\", "
							  "\"wasi:x/y@0.1.0-draft\" = \"a\" }\n[link]\na.type = \"memory\"\nb.type = \"memory\"\nd.type = \"memory\"\ne.type = \"memory\"\n");
	static const struct {
		const char *name, *implements;
		uint32_t link;
		enum app_rule rule;
	} want[] = {
		{"cache", "wasi:kv/store@0.2.0", 0, APP_BY_LABEL},
		{"other", "wasi:kv/store@0.2.0", 1, APP_BY_VERSION},
		{"wasi:kv/store@0.2.7", NULL, 1, APP_BY_VERSION},
		{"wasi:kv/store@0.3.0", NULL, 2, APP_BY_INTERFACE},
		{"wasi:kv/store", NULL, 2, APP_BY_INTERFACE},
		{"wasi:kv/atomics@0.2.0", NULL, 3, APP_BY_PACKAGE},
		{"wasi:x/y@0.1.0-draft", NULL, 0, APP_BY_VERSION},
		{"wasi:x/y@0.1.0-draft2", NULL, APP_NONE, APP_UNBOUND},
		{"cache", NULL, 0, APP_BY_LABEL},
		{"wasi:kv2/store", NULL, APP_NONE, APP_UNBOUND},
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct app_import x = {slice_str(want[i].name), slice_str(want[i].implements), NULL, 0};
		struct app_binding b;
		assert_true(app_bind(a, a->components.list, &x, 1, &b, &err));
		if (b.link != want[i].link || b.rule != want[i].rule)
			fail_msg("%s: link %u by rule %d", want[i].name, b.link, b.rule);
	}
}

static void imports_that_share_a_resource_are_bound_together(void **state)
{
	struct app *a = load(HEAD "[component.c]\nsource = \"c\"\nlinks = { \"wasi:kv/store\" = \"a\", \"wasi:kv\" = \"b\" }\n[link]\na.type = \"memory\"\nb.type = \"memory\"\n");
	const uint32_t zero = 0;
	struct app_import x[2] = {{SLICE_LIT("wasi:kv/store"), {0}, NULL, 0}, {SLICE_LIT("wasi:kv/atomics"), {0}, &zero, 1}};
	struct app_binding b[2];
	err_clear(&err);
	assert_false(app_bind(a, a->components.list, x, 2, b, &err));
	assert_int_equal(err.code, ERR_LINK);
	assert_non_null(strstr(err.text, "wasi:kv/atomics is linked to b and wasi:kv/store to a"));
	x[1].n_shares = 0;
	err_clear(&err);
	assert_true(app_bind(a, a->components.list, x, 2, b, &err));
}

static void routes_are_taken_apart(void **state)
{
	struct app *a = load(HEAD "[trigger]\nhttp = [{ route = \"/\", static = {} }, { route = \"/a%20b/:id/...\", static = {} }, { route = \"/...\", static = {} }]\n");
	const struct app_route *r = a->triggers.http.list;
	assert_int_equal(r[0].parts.n, 0);
	assert_int_equal(r[1].parts.n, 3);
	assert_string_equal(r[1].parts.list[0].text, "a b");
	assert_int_equal(r[1].parts.list[1].kind, APP_PART_PARAM);
	assert_string_equal(r[1].parts.list[1].text, "id");
	assert_int_equal(r[1].parts.list[2].kind, APP_PART_REST);
	assert_int_equal(r[2].parts.n, 1);
}

static void schedules_become_bits(void **state)
{
	struct app *a = load(HEAD "[component.c]\nsource = \"c\"\n[trigger]\ncron = [{ component = \"c\", schedule = \"*/20 1-3,5 * jan-mar 7\" },\n"
							  "{ component = \"c\", schedule = \"30 5/10 0 13 * fri\" }, { component = \"c\", schedule = \"@hourly\" }]\n");
	const struct app_schedule *s = &a->triggers.cron.list[0].when;
	assert_int_equal(s->seconds, 1);
	assert_int_equal(s->minutes, 1ull | 1ull << 20 | 1ull << 40);
	assert_int_equal(s->hours, 0x2e);
	assert_int_equal(s->days, 0xfffffffe);
	assert_int_equal(s->months, 0xe);
	assert_int_equal(s->weekdays, 1);
	assert_false(s->either_day);
	s = &a->triggers.cron.list[1].when;
	assert_int_equal(s->seconds, 1ull << 30);
	assert_int_equal(s->minutes, 1ull << 5 | 1ull << 15 | 1ull << 25 | 1ull << 35 | 1ull << 45 | 1ull << 55);
	assert_true(s->either_day);
	assert_int_equal(s->days, 1 << 13);
	assert_int_equal(s->weekdays, 1 << 5);
	assert_int_equal(a->triggers.cron.list[2].when.minutes, 1);
	assert_int_equal(a->triggers.cron.list[2].when.hours, 0xffffff);
}

static void circles_of_components_are_found(void **state)
{
	static const char text[] = HEAD "[component]\na = { source = \"a\", links = { \"x:y\" = \"b\" } }\nb = { source = \"b\", links = { \"x:y\" = \"c\" } }\nc = { source = \"c\", links = { \"x:z\" = \"b\" } }\n"
									"[link]\nb = { type = \"component\", component = \"b\" }\nc = { type = \"component\", component = \"c\" }\n";
	refuse(text, "components are linked in a circle: b -> c -> b", "dir/tenon.toml:6:");
	assert_int_equal(err.code, ERR_LINK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_most_specific_row_binds_an_import, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(imports_that_share_a_resource_are_bound_together, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(routes_are_taken_apart, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(schedules_become_bits, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(circles_of_components_are_found, open_arena, close_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
