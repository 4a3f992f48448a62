// Names and versions: the texts of the specification's tests (cm/validation/kebab, extern-names, annotated-names), C8, C9, W1.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "wit/wit_int.h"

static void labels_are_kebab_case(void **state)
{
	static const char *const good[] = {"a", "a1", "a-1", "a-1-b-2-c-3", "B", "B1", "B-1-C-2-D-3", "a11-B11-123-ABC-abc", "is-XML"};
	static const char *const bad[] = {"", "1", "1-a", "-", "a-", "a--", "a--b", "aBc", "GonnA", "NevEr", "lET", "DOWn", "a_b", "a.b", "é", "a b"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(wit__label_is_valid(slice_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(wit__label_is_valid(slice_str(bad[i])));
}

static void refuses_names_with_the_words_of_the_specification(void **state)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{"a:b/c@", "empty string"},
		{"a:b/c@.", "unexpected character '.'"},
		{"a:b/c@1.", "unexpected end of input"},
		{"a:b/c@a.2", "unexpected character 'a'"},
		{"a:b/c@2.b", "unexpected character 'b'"},
		{"a:b/c@2.0x0", "unexpected character 'x'"},
		{"a:b/c@2.0.0+", "empty identifier segment"},
		{"a:b/c@2.0.0-", "empty identifier segment"},
		{"foo:bar:baz", "expected `/` after package name"},
		{"foo:bar/baz/", "is not in kebab case"},
		{"foo:bar//baz", "is not in kebab case"},
		{"foo::bar/baz", "`` is not in kebab case"},
		{"foo:bAr:b/c", "`bAr` is not in kebab case"},
		{"1", "is not in kebab case"},
		{"", "is not in kebab case"},
		{"aBc", "`aBc` is not in kebab case"},
		{"1:a/b", "is not in kebab case"},
		{"wasi:http/TyPeS", "`TyPeS` is not in kebab case"},
		{"WaSi:http/types", "`WaSi` is not in kebab case"},
		{"wasi:HtTp/types", "`HtTp` is not in kebab case"},
		{"wasi/http", "`wasi/http` is not in kebab case"},
		{"wasi:", "`` is not in kebab case"},
		{"wasi:/", "`` is not in kebab case"},
		{":/", "`` is not in kebab case"},
		{"A:b/c", "is not a valid extern name"},
		{"ns-A:b/c", "is not a valid extern name"},
		{"ns:1/a", "is not a valid extern name"},
		{"ns:pkg-A/b", "is not a valid extern name"},
		{"[constructor]", "not in kebab case"},
		{"[method]", "failed to find `.` character"},
		{"[method]a", "failed to find `.` character"},
		{"[method]a.", "not in kebab case"},
		{"[static].a", "not in kebab case"},
		{"[statik]a.b", "not a valid extern name"},
		{"url=<a", "names of URLs, hashes and dependencies are not supported"},
		{"url=<https://example.com>", "not supported"},
		{"integrity=<sha256-abc>", "not supported"},
		{"locked-dep=<a:b@1.0.0>", "not supported"},
		{"unlocked-dep=<a:b@{>=1.0.0}>", "not supported"},
		{"a:b/c@99999999999999999999.0.0", "exceeds 2^64 - 1"},
		{"a:b/c@01.0.0", "invalid leading zero"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wit_name n;
		struct err e = {0};
		assert_false(wit_name_parse(slice_str(rows[i].name), false, &n, &e));
		if (!strstr(e.text, rows[i].text))
			fail_msg("`%s`: %s", rows[i].name, e.text);
	}
}

static void takes_names_apart(void **state)
{
	struct wit_name n;
	assert_true(wit_name_parse(SLICE_LIT("ns-1-a:b-1-c/D-2@0.0.0-abcd.1.2+efg.4.ee.5"), true, &n, NULL));
	assert_int_equal(n.kind, WIT_NAME_INTERFACE);
	assert_true(slice_eq_str(n.ns, "ns-1-a") && slice_eq_str(n.package, "b-1-c") && slice_eq_str(n.iface, "D-2"));
	assert_true(slice_eq_str(n.version.pre, "abcd.1.2") && slice_eq_str(n.version.build, "efg.4.ee.5"));
	assert_true(wit_name_parse(SLICE_LIT("[method]output-stream.write"), true, &n, NULL));
	assert_int_equal(n.kind, WIT_NAME_METHOD);
	assert_true(slice_eq_str(n.resource, "output-stream") && slice_eq_str(n.label, "write"));
	assert_true(wit_name_parse(SLICE_LIT("[constructor]fields"), true, &n, NULL));
	assert_true(slice_eq_str(n.resource, "fields") && wit_name_is_annotated(&n));
	assert_true(wit_name_parse(SLICE_LIT("a:b/c@0.2"), true, &n, NULL));
	assert_int_equal(n.version.minor, 2);
	assert_false(wit_name_parse(SLICE_LIT("a:b/c@1.2"), true, &n, NULL));
	assert_true(wit_name_parse(SLICE_LIT("a:b:c/d/E@1.0.0"), true, &n, NULL));
	assert_true(slice_eq_str(n.ns, "a:b") && slice_eq_str(n.package, "c/d") && slice_eq_str(n.iface, "E") && n.version.major == 1);
}

// C9, W1
static void versions_match_by_their_canonical_part(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"0.2.0", "0.2.12", true},
		{"0.2", "0.2.6", true},
		{"0.2.0", "0.3.0", false},
		{"1.0.0", "1.9.3", true},
		{"1", "1.2.3", true},
		{"1.0.0", "2.0.0", false},
		{"0.0.1", "0.0.1", true},
		{"0.0.1", "0.0.2", false},
		{"0.2.0-rc", "0.2.0", false},
		{"0.2.0-rc", "0.2.0-rc", true},
		{"0.2.0-draft", "0.2.0-draft2", false},
		{"0.2.0+x", "0.2.1+y", true},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wit_version a, b;
		assert_true(wit_version_parse(slice_str(rows[i].a), true, &a) && wit_version_parse(slice_str(rows[i].b), true, &b));
		assert_int_equal(wit_version_compatible(&a, &b), rows[i].same);
		assert_int_equal(wit_version_compatible(&b, &a), rows[i].same);
	}
	struct wit_name have, want;
	assert_true(wit_name_parse(SLICE_LIT("wasi:io/streams@0.2.12"), true, &have, NULL));
	assert_true(wit_name_parse(SLICE_LIT("wasi:io/streams@0.2.0"), true, &want, NULL));
	assert_true(wit_name_serves(&have, &want));
	assert_true(wit_name_parse(SLICE_LIT("wasi:io/streams"), true, &want, NULL));
	assert_false(wit_name_serves(&have, &want));
	assert_true(wit_name_parse(SLICE_LIT("wasi:io/poll@0.2.0"), true, &want, NULL));
	assert_false(wit_name_serves(&have, &want));
}

static void the_last_candidate_of_wasi_3_is_the_release(void **state)
{
	static const struct {
		const char *have, *want;
		bool serves;
	} rows[] = {
		{"wasi:http/client@0.3.0", "wasi:http/client@0.3.0-rc-2026-03-15", true},
		{"wasi:http/client@0.3.1", "wasi:http/client@0.3.0-rc-2026-03-15", true},
		{"wasi:http/client@0.3.0-rc-2026-03-15", "wasi:http/client@0.3.0", true},
		{"wasi:http/client@0.3.0-rc-2026-03-15", "wasi:http/client@0.3.0-rc-2026-03-15", true},
		{"wasi:http/client@0.3.0", "wasi:http/client@0.3.0-rc-2026-02-09", false},
		{"wasi:http/client@0.2.9", "wasi:http/client@0.3.0-rc-2026-03-15", false},
		{"wasi:http/client", "wasi:http/client@0.3.0-rc-2026-03-15", false},
		{"a:http/client@0.3.0", "a:http/client@0.3.0-rc-2026-03-15", false},
		{"wasi:keyvalue/store@0.2.0", "wasi:keyvalue/store@0.2.0-draft", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wit_name have, want;
		assert_true(wit_name_parse(slice_str(rows[i].have), true, &have, NULL) && wit_name_parse(slice_str(rows[i].want), true, &want, NULL));
		assert_int_equal(wit_name_serves(&have, &want), rows[i].serves);
	}
}

static void versions_have_the_order_of_semver(void **state)
{
	static const char *const rising[] = {"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0", "1.0.1", "1.2.0", "2.0.0"};
	for (size_t i = 0; i + 1 < ARRAY_LEN(rising); i++) {
		struct wit_version a, b;
		assert_true(wit_version_parse(slice_str(rising[i]), false, &a) && wit_version_parse(slice_str(rising[i + 1]), false, &b));
		assert_true(wit__version_compare(&a, &b) < 0 && wit__version_compare(&b, &a) > 0 && wit__version_compare(&a, &a) == 0);
	}
}

// C8
static void unique_keys_collide_where_names_do(void **state)
{
	static const char *const unique[] = {"foo", "foo-bar", "[constructor]foo", "[method]foo.bar", "[static]foo.baz", "foo:bar/baz"};
	static const char *const clash[] = {"FOO", "foo-BAR", "[constructor]FOO", "[method]foo.BAR", "[static]foo.bar", "[method]foo.baz", "[method]foo.foo",
		"[static]foo-BAR.FOO-bar", "foo:bar/BAZ",
		"FOOBAR", "f-oo", "[constructor]f-OO", "[method]f-oo.b-ar", "foo:b-ar/ba-z"};
	for (size_t i = 0; i < ARRAY_LEN(unique); i++) {
		for (size_t j = 0; j < i; j++) {
			uint8_t a[64], b[64];
			size_t x = wit_name_unique_key(slice_str(unique[i]), a), y = wit_name_unique_key(slice_str(unique[j]), b);
			assert_false(x == y && memcmp(a, b, x) == 0);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(clash); i++) {
		unsigned hits = 0;
		for (size_t j = 0; j < ARRAY_LEN(unique); j++) {
			uint8_t a[64], b[64];
			size_t x = wit_name_unique_key(slice_str(clash[i]), a), y = wit_name_unique_key(slice_str(unique[j]), b);
			hits += x == y && memcmp(a, b, x) == 0;
		}
		assert_int_equal(hits, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_are_kebab_case),
		cmocka_unit_test(refuses_names_with_the_words_of_the_specification),
		cmocka_unit_test(takes_names_apart),
		cmocka_unit_test(versions_match_by_their_canonical_part),
		cmocka_unit_test(the_last_candidate_of_wasi_3_is_the_release),
		cmocka_unit_test(versions_have_the_order_of_semver),
		cmocka_unit_test(unique_keys_collide_where_names_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
