// What releases say of components: the update to go back over, the version that was tried, the bytes that one had.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../ctl_int.h"

#define UPDATED(name, has, had) ",\"updated\":{\"component\":\"" name "\",\"sha256\":\"" has "\",\"replaced\":\"" had "\"}"
#define TRIED(name, has) ",\"tried\":{\"component\":\"" name "\",\"sha256\":\"" has "\",\"percent\":5}"
#define BACK(name, from) ",\"rolled_back\":{\"component\":\"" name "\",\"sha256\":\"" from "\"}"
#define PASSED(name, from) ",\"rolled_back\":{\"component\":\"" name "\",\"sha256\":\"" from "\",\"passed\":true}"
#define NOTHING ""

enum { MOST = 16 };
static struct ctl__release releases[MOST];
static struct arena arena;

// Releases from 2 on say that; the newest.
static const struct ctl__release *are(const char *const *says)
{
	unsigned n = 0;
	for (; says[n]; n++) {
		assert_true(n < MOST);
		releases[n] = (struct ctl__release){.number = n + 2, .older = n ? &releases[n - 1] : NULL, .members = slice_str(says[n])};
	}
	return &releases[n - 1];
}

#define ARE(...) are((const char *const[]){__VA_ARGS__, NULL})

// "": there is none.
static void way_back_is(const struct ctl__release *newest, const char *component, uint64_t last, const char *sha256, const char *replaced)
{
	struct ctl__updated u = {0};
	bool found = ctl__release_updated(&arena, newest, component, last, &u);
	assert_int_equal(found, replaced[0] != 0);
	if (!found)
		return;
	assert_true(slice_eq_str(u.sha256, sha256));
	assert_true(slice_eq_str(u.replaced, replaced));
	assert_string_equal((const char *)u.replaced.ptr, replaced);  // it ends where it should
}

static void the_way_back_is_the_newest_update_of_the_component(void **state)
{
	way_back_is(ARE(NOTHING), "a", UINT64_MAX, "", "");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("b", "9", "8"), NOTHING), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2")), "a", UINT64_MAX, "3", "2");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2")), "a", 2, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2")), "a", 1, "", "");
	way_back_is(ARE(",\"updated\":[{\"component\":\"b\",\"sha256\":\"9\",\"replaced\":\"8\"},{\"component\":\"a\",\"sha256\":\"2\",\"replaced\":\"1\"}]"), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", ""), "not JSON"), "a", UINT64_MAX, "", "");
}

static void an_update_that_was_rolled_back_is_no_way_back(void **state)
{
	way_back_is(ARE(UPDATED("a", "2", "1"), BACK("a", "2")), "a", UINT64_MAX, "", "");
	way_back_is(ARE(UPDATED("a", "2", "1"), BACK("b", "2")), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), BACK("a", "3")), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), BACK("a", "3"), BACK("a", "2")), "a", UINT64_MAX, "", "");
	way_back_is(ARE(UPDATED("a", "2", "1"), BACK("a", "2"), UPDATED("a", "2", "1")), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), UPDATED("a", "2", "3"), BACK("a", "2")), "a", UINT64_MAX, "3", "2");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), BACK("a", "")), "a", UINT64_MAX, "2", "1");  // of builds that didn't write which
}

static void one_that_was_tried_and_went_takes_no_update_with_it(void **state)
{
	way_back_is(ARE(UPDATED("a", "2", "1"), TRIED("a", "3"), BACK("a", "3")), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), TRIED("a", "2"), TRIED("a", "2"), BACK("a", "2"), BACK("a", "3")), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(TRIED("a", "2"), UPDATED("a", "2", "1"), BACK("a", "2")), "a", UINT64_MAX, "", "");
}

static void the_way_back_leads_past_what_was_taken_back_meanwhile(void **state)
{
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), PASSED("a", "2")), "a", UINT64_MAX, "2", "1");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), PASSED("a", "2"), BACK("a", "3")), "a", UINT64_MAX, "", "");
	way_back_is(ARE(UPDATED("a", "1", "0"), UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), PASSED("a", "2"), BACK("a", "3")), "a", UINT64_MAX, "1", "0");
	way_back_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), PASSED("b", "2")), "a", UINT64_MAX, "3", "2");
}

static void tries_is(const struct ctl__release *newest, const char *component, const char *sha256)
{
	struct ctl__tried t;
	bool found = ctl__release_tried(&arena, newest, &t);
	assert_int_equal(found, component[0] != 0);
	if (!found)
		return;
	assert_string_equal(t.component, component);
	assert_string_equal(t.sha256, sha256);
	assert_int_equal(t.percent, 5);
}

static void one_is_tried_until_its_component_becomes_another(void **state)
{
	tries_is(ARE(NOTHING), "", "");
	tries_is(ARE(TRIED("a", "2"), NOTHING), "a", "2");
	tries_is(ARE(TRIED("a", "2"), UPDATED("a", "2", "1")), "", "");
	tries_is(ARE(TRIED("a", "2"), BACK("a", "2")), "", "");
	tries_is(ARE(TRIED("a", "2"), UPDATED("b", "9", "8"), BACK("b", "9")), "a", "2");
	tries_is(ARE(UPDATED("a", "1", "0"), TRIED("a", "2"), BACK("a", "1") TRIED("a", "2")), "a", "2");  // what it was tried beside was taken back
	tries_is(ARE(",\"tried\":{\"component\":\"a\",\"sha256\":\"2\",\"percent\":100}"), "", "");
}

static void what_a_release_took_away_is_known_too(void **state)
{
	struct slice had = {0};
	const struct ctl__release *r = ARE(UPDATED("a", "2", "1") ",\"gone\":[{\"component\":\"b\",\"replaced\":\"9\"}]");
	assert_true(ctl__release_had(&arena, r, "a", &had) && slice_eq_str(had, "1"));
	assert_true(ctl__release_had(&arena, r, "b", &had) && slice_eq_str(had, "9"));
	assert_false(ctl__release_had(&arena, r, "c", &had));
}

static int make(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

// "": nothing is watched on.
static void given_is(const struct ctl__release *newest, const char *sha256)
{
	struct slice has;
	uint64_t at_ms;
	for (unsigned i = 0; i < MOST; i++)
		releases[i].time_ms = 1000 * releases[i].number;
	bool found = ctl__release_given(&arena, newest, "a", &has, &at_ms);
	assert_int_equal(found, sha256[0] != 0);
	if (!found)
		return;
	assert_true(slice_eq_str(has, sha256));
	assert_int_equal(at_ms, 3000);
}

static void what_is_watched_on_has_bytes_of_its_last_update_that_nothing_came_behind(void **state)
{
	given_is(ARE(NOTHING, NOTHING), "");
	given_is(ARE(NOTHING, UPDATED("a", "2", "1")), "2");
	given_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), NOTHING, UPDATED("b", "9", "8")), "3");
	given_is(ARE(NOTHING, UPDATED("a", "2", "1"), BACK("a", "2")), "");
	given_is(ARE(NOTHING, UPDATED("a", "2", "1"), BACK("b", "9")), "2");
	given_is(ARE(NOTHING, UPDATED("a", "2", "1"), TRIED("a", "3")), "");  // that one is
	given_is(ARE(UPDATED("a", "2", "1"), UPDATED("a", "3", "2"), BACK("a", "3")), "");
	given_is(ARE(NOTHING, UPDATED("b", "2", "1")), "");
}

static int clear(void **state)
{
	arena_release(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_way_back_is_the_newest_update_of_the_component, make, clear),
		cmocka_unit_test_setup_teardown(an_update_that_was_rolled_back_is_no_way_back, make, clear),
		cmocka_unit_test_setup_teardown(one_that_was_tried_and_went_takes_no_update_with_it, make, clear),
		cmocka_unit_test_setup_teardown(the_way_back_leads_past_what_was_taken_back_meanwhile, make, clear),
		cmocka_unit_test_setup_teardown(one_is_tried_until_its_component_becomes_another, make, clear),
		cmocka_unit_test_setup_teardown(what_is_watched_on_has_bytes_of_its_last_update_that_nothing_came_behind, make, clear),
		cmocka_unit_test_setup_teardown(what_a_release_took_away_is_known_too, make, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
