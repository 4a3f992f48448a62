// wit/, the interfaces that we serve, against the packages that the guests were built with.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>

#include "wit/wit.h"

static struct arena arena;
static struct wit_packages ours, theirs;

static bool load(const char *suffix, struct wit_packages *ret)
{
	static const struct wit_options all = {.all_features = true};
	const char *source = getenv("TENON_SOURCE");
	char path[512];
	struct err e = {0};
	snprintf(path, sizeof(path), "%s/%s", source ? source : ".", suffix);
	DIR *d = opendir(path);
	if (!d)
		return false;
	closedir(d);
	if (!wit_dir_resolve(&arena, path, &all, ret, &e))
		fail_msg("%s (%s) %s", e.text, e.where, e.hint);
	return true;
}

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

static const char *const packages[] = {"io", "clocks", "random", "cli", "filesystem", "sockets", "http"};

static const char *const packages_3[] = {"clocks", "random", "cli", "filesystem", "http", "sockets"};  // that are served of 0.3

static const struct wit_package *find(const struct wit_packages *p, const char *name, const char *version)
{
	struct wit_version v = {0};
	if (version)
		assert_true(wit_version_parse(slice_str(version), false, &v));
	return wit_packages_find(p, SLICE_LIT("wasi"), slice_str(name), &v);
}

static void the_world_of_the_host_has_all_of_them(void **state)
{
	assert_true(load("wit", &ours));
	const struct wit_world *w = wit_package_world(ours.list[ours.n - 1], SLICE_LIT("host"));
	assert_non_null(w);
	assert_int_equal(w->n_exports, 4);
	uint32_t interfaces = 0;
	for (size_t i = 0; i < ARRAY_LEN(packages); i++)
		interfaces += find(&ours, packages[i], "0.2.12")->n_interfaces;
	for (size_t i = 0; i < ARRAY_LEN(packages_3); i++)
		interfaces += find(&ours, packages_3[i], "0.3.0")->n_interfaces;
	interfaces += find(&ours, "config", "0.2.0-rc.1")->n_interfaces + find(&ours, "logging", "0.1.0-draft")->n_interfaces;
	assert_int_equal(w->n_imports + w->n_exports, interfaces);
}

static void served_interfaces_equal_those_of_the_newest_guests(void **state)
{
	assert_true(load("wit", &ours));
	if (!load("../shared/guests/wit", &theirs)) {
		print_message("skipped 1: no WIT packages of the guests\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(packages); i++) {
		struct err e = {0};
		const struct wit_package *x = find(&theirs, packages[i], "0.2.12"), *y = find(&ours, packages[i], "0.2.12");
		assert_true(x && y);
		if (!wit_package_equal(x, y, false, &e) || !wit_package_equal(y, x, false, &e))
			fail_msg("wasi:%s: %s (%s)", packages[i], e.text, e.where);
	}
}

static void those_of_0_3_equal_what_its_guests_import(void **state)
{
	assert_true(load("wit", &ours));
	if (!load("../shared/guests-async/wit", &theirs)) {
		print_message("skipped 1: no WIT packages of the guests of 0.3\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(packages_3); i++) {
		const struct wit_package *x = find(&theirs, packages_3[i], "0.3.0"), *y = find(&ours, packages_3[i], "0.3.0");
		struct wit_package interfaces = *x;
		struct err e = {0};
		interfaces.n_worlds = 0;
		assert_true(x && y);
		if (!wit_package_equal(&interfaces, y, true, &e))
			fail_msg("wasi:%s: %s (%s)", packages_3[i], e.text, e.where);
	}
}

// W1: what an older guest imports is there with the same types.
static void older_versions_are_part_of_what_is_served(void **state)
{
	static const char *const versions[] = {"0.2.0", "0.2.2", "0.2.3", "0.2.6"};
	unsigned compared = 0;
	assert_true(load("wit", &ours));
	if (!load("../shared/guests/wit", &theirs)) {
		print_message("skipped 1: no WIT packages of the guests\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(packages); i++) {
		for (size_t k = 0; k < ARRAY_LEN(versions); k++) {
			struct err e = {0};
			const struct wit_package *x = find(&theirs, packages[i], versions[k]);
			if (!x)
				continue;
			compared++;
			for (uint32_t n = 0; n < x->n_interfaces; n++) {
				struct wit_package one = *x;
				one.interfaces = &x->interfaces[n];
				one.n_interfaces = 1;
				one.n_worlds = 0;
				if (!wit_package_equal(&one, find(&ours, packages[i], "0.2.12"), true, &e))
					fail_msg("wasi:%s@%s: %s (%s)", packages[i], versions[k], e.text, e.where);
			}
		}
	}
	assert_true(compared >= 21);
}

static void a_scope_need_not_name_the_resources_of_its_types(void **state)
{
	static const char text[] = "package a:b; interface x { resource r; record rec { a: r } } interface y { use x.{rec}; f: func(v: rec) -> list<rec>; }"
							   "world w { use x.{rec}; import f: func(v: rec); }";
	struct wit_source s = {{0}, SLICE_LIT(text), 0};
	struct wit_packages p, q;
	struct err e = {0};
	assert_true(wit_text_resolve(&arena, &s, 1, NULL, &p, NULL) && wit_text_resolve(&arena, &s, 1, NULL, &q, NULL));
	if (!wit_package_equal(p.list[0], q.list[0], false, &e))
		fail_msg("%s %s", e.text, e.where);
}

static void a_changed_type_is_noticed(void **state)
{
	struct wit_source s[] = {{{0}, SLICE_LIT("package a:b; interface x { resource r; f: func(a: r, b: list<option<u8>>) -> borrowed; type borrowed = u8; }"), 0},
		{{0}, SLICE_LIT("package a:b; interface x { resource r; f: func(a: r, b: list<option<u16>>) -> borrowed; type borrowed = u8; }"), 0},
		{{0}, SLICE_LIT("package a:b; interface x { resource r; f: func(a: borrow<r>, b: list<option<u8>>) -> borrowed; type borrowed = u8; }"), 0},
		{{0}, SLICE_LIT("package a:b; interface x { resource r; resource s; f: func(a: s, b: list<option<u8>>) -> borrowed; type borrowed = u8; }"), 0}};
	struct wit_packages p[4];
	for (int i = 0; i < 4; i++)
		assert_true(wit_text_resolve(&arena, &s[i], 1, NULL, &p[i], NULL));
	struct err e = {0};
	assert_true(wit_package_equal(p[0].list[0], p[0].list[0], false, &e));
	for (int i = 1; i < 4; i++) {
		err_clear(&e);
		assert_false(wit_package_equal(p[0].list[0], p[i].list[0], true, &e));
		assert_non_null(strstr(e.where, "function `f`"));
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_world_of_the_host_has_all_of_them),
		T(served_interfaces_equal_those_of_the_newest_guests),
		T(those_of_0_3_equal_what_its_guests_import),
		T(older_versions_are_part_of_what_is_served),
		T(a_scope_need_not_name_the_resources_of_its_types),
		T(a_changed_type_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
