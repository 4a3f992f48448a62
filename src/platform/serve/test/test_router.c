// Routes: what a request matches, what is refused when a router is made, how paths are resolved, and who a proxy says that asks.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "serve/serve_int.h"
#include "sys/sys.h"

enum { MAX = 2000 };
static struct serve_route_config configs[MAX];
static struct serve_route routes[MAX];
static const char *methods[MAX][4];
static unsigned n;

// A route; `method`: "GET", "GET POST", NULL: all.
static void add(const char *host, const char *pattern, const char *id, const char *method)
{
	struct serve_route_config *c = &configs[n];
	*c = (struct serve_route_config){.pattern = pattern, .id = id, .host = host, .status = 200, .methods.ptr = methods[n]};
	static char words[MAX][32];
	snprintf(words[n], sizeof words[n], "%s", method ? method : "");
	for (char *w = words[n]; *w; c->methods.len++) {
		size_t len = strcspn(w, " ");
		methods[n][c->methods.len] = w;
		w += len + (w[len] != 0);
		w[-1] = w[-1] == ' ' ? 0 : w[-1];
	}
	routes[n++] = (struct serve_route){.config = c};
}

static struct serve_router *make(void)
{
	struct err e = {0};
	struct serve_router *r;
	if (!serve__router_new(routes, n, NULL, &r, &e))
		fail_msg("%s", e.text);
	return r;
}

static const char *refusal(void)
{
	static struct err e;
	struct serve_router *r;
	err_clear(&e);
	assert_false(serve__router_new(routes, n, NULL, &r, &e));
	assert_int_equal(err_exit_status(e.code), 2);
	n = 0;
	return e.text;
}

static struct serve_match match;
static const char *ask(const struct serve_router *r, const char *host, const char *method, const char *path)
{
	bool found = serve__router_find(r, slice_str(host), slice_str(method), slice_str(path), &match);
	return found ? match.route->config->id : match.other ? "405"
														 : "404";
}

static int setup(void **state)
{
	n = 0;
	return 0;
}

static void a_literal_beats_a_parameter_and_that_beats_the_rest(void **state)
{
	add(NULL, "/...", "rest", NULL);
	add(NULL, "/users/:id", "param", NULL);
	add(NULL, "/users/me", "literal", NULL);
	add(NULL, "/users/:id/posts/:post", "post", NULL);
	add(NULL, "/users/me/...", "mine", NULL);
	struct serve_router *r = make();
	assert_string_equal(ask(r, "", "GET", "/users/me"), "literal");
	assert_string_equal(ask(r, "", "GET", "/users/7"), "param");
	assert_true(slice_eq_str(match.params[0], "7"));
	assert_string_equal(ask(r, "", "GET", "/users/7/posts/9"), "post");
	assert_true(match.n_params == 2 && slice_eq_str(match.params[1], "9"));
	assert_string_equal(ask(r, "", "GET", "/users/me/posts/9"), "mine");  // the literal on the left decides
	assert_true(slice_eq_str(match.rest, "/posts/9"));
	assert_string_equal(ask(r, "", "GET", "/users/"), "rest");  // a parameter is not empty
	assert_string_equal(ask(r, "", "GET", "/"), "rest");
	serve__router_unref(r);
}

static void what_leads_nowhere_is_gone_back_from(void **state)
{
	add(NULL, "/a/b/d", "abd", NULL);
	add(NULL, "/a/:x/c", "axc", NULL);
	add(NULL, "/:y/...", "y", NULL);
	struct serve_router *r = make();
	assert_string_equal(ask(r, "", "GET", "/a/b/c"), "axc");
	assert_true(match.n_params == 1 && slice_eq_str(match.params[0], "b"));
	assert_string_equal(ask(r, "", "GET", "/a/b/e"), "y");
	assert_true(match.n_params == 1 && slice_eq_str(match.params[0], "a") && slice_eq_str(match.rest, "/b/e"));
	serve__router_unref(r);
}

static void the_rest_may_be_nothing_and_a_slash_is_a_segment(void **state)
{
	add(NULL, "/api/...", "api", NULL);
	add(NULL, "/one", "one", NULL);
	add(NULL, "/two/", "two", NULL);
	add(NULL, "/", "root", NULL);
	struct serve_router *r = make();
	assert_string_equal(ask(r, "", "GET", "/api"), "api");
	assert_true(match.rest.len == 0);
	assert_string_equal(ask(r, "", "GET", "/api/"), "api");
	assert_true(slice_eq_str(match.rest, "/"));
	assert_string_equal(ask(r, "", "GET", "/api/a/b"), "api");
	assert_string_equal(ask(r, "", "GET", "/apis"), "404");
	assert_string_equal(ask(r, "", "GET", "/one/"), "404");
	assert_string_equal(ask(r, "", "GET", "/two"), "404");
	assert_string_equal(ask(r, "", "GET", "/two/"), "two");
	assert_string_equal(ask(r, "", "GET", "/"), "root");
	assert_string_equal(ask(r, "", "GET", "//"), "404");
	serve__router_unref(r);
}

static void a_host_beats_any_and_leaves_the_rest_to_it(void **state)
{
	add("Shop.example", "/a", "shop", NULL);
	add(NULL, "/a", "any", NULL);
	add(NULL, "/b", "b", NULL);
	struct serve_router *r = make();
	assert_string_equal(ask(r, "shop.example", "GET", "/a"), "shop");
	assert_string_equal(ask(r, "other.example", "GET", "/a"), "any");
	assert_string_equal(ask(r, "", "GET", "/a"), "any");
	assert_string_equal(ask(r, "shop.example", "GET", "/b"), "b");
	serve__router_unref(r);
}

static void methods_are_part_of_a_route(void **state)
{
	add(NULL, "/a", "all", NULL);
	add(NULL, "/a", "get", "GET");
	add(NULL, "/a", "head", "HEAD");
	add(NULL, "/b", "post", "POST PUT");
	add(NULL, "/c", "c", "GET");
	add(NULL, "/d/...", "d", "POST");
	add(NULL, "/d/:x", "dx", "GET");
	struct serve_router *r = make();
	assert_string_equal(ask(r, "", "GET", "/a"), "get");
	assert_string_equal(ask(r, "", "HEAD", "/a"), "head");
	assert_string_equal(ask(r, "", "POST", "/a"), "all");
	assert_string_equal(ask(r, "", "PUT", "/b"), "post");
	assert_string_equal(ask(r, "", "GET", "/b"), "405");
	assert_string_equal(ask(r, "", "HEAD", "/c"), "c");
	assert_string_equal(ask(r, "", "get", "/c"), "405");  // methods are case-sensitive
	assert_string_equal(ask(r, "", "POST", "/d/1"), "d");  // what names another method doesn't stand in the way
	struct buf b = {0};
	assert_string_equal(ask(r, "", "DELETE", "/b"), "405");
	serve__router_put_methods(match.other, &b);
	assert_true(slice_eq_str(buf_view(&b), "POST, PUT"));
	buf_release(&b);
	serve__router_unref(r);
}

static void routes_that_are_the_same_are_refused(void **state)
{
	add(NULL, "/a/:x", "one", NULL);
	add(NULL, "/a/:y", "two", NULL);
	assert_non_null(strstr(refusal(), "two routes are the same"));
	add("a.example", "/a", "one", "GET POST");
	add("A.Example", "/a", "two", "POST");
	assert_non_null(strstr(refusal(), "two routes are the same"));
	add(NULL, "/...", "one", NULL);
	add(NULL, "/...", "two", NULL);
	assert_non_null(strstr(refusal(), "two routes are the same"));
}

static void patterns_that_match_nothing_are_refused(void **state)
{
	static const char *const bad[] = {"", "a", "/a?b", "/a b", "/.../a", "/:", "/:a b", "/:x/:x", "/:x/:X", "/a/./b", "/a/..", "/a%2Fb", "/%61", "/a#b"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		add(NULL, bad[i], "bad", NULL);
		refusal();
	}
	add("a.example:80", "/", "port", NULL);
	assert_non_null(strstr(refusal(), "no host"));
	add(NULL, "/", "method", "G@T");
	assert_non_null(strstr(refusal(), "no method"));
	add(NULL, "/%20/a.b/..c/:a-b_9", "good", NULL);
	serve__router_unref(make());
}

static void paths_are_resolved_once(void **state)
{
	static const char *const rows[][2] = {{"/a/b", "/a/b"}, {"/a/../b", "/b"}, {"/a/./b", "/a/b"}, {"/a/..", "/"}, {"/a/.", "/a/"}, {"/..", "/"}, {"/../../x", "/x"},
		{"/a%2Fb", "/a/b"}, {"/a%2fb", "/a/b"}, {"/a/%2e%2E/b", "/b"}, {"/a%2F..%2Fb", "/b"}, {"/a%252Fb", "/a%252Fb"}, {"/%25%32%46", "/%252F"}, {"/%61dmin", "/admin"},
		{"/a%20b", "/a%20b"}, {"/a%2", "/a%2"}, {"/a%", "/a%"}, {"/a%zz", "/a%zz"}, {"/a//b", "/a//b"}, {"/a/..b/.c", "/a/..b/.c"}, {"/a/b/../../..", "/"},
		{"//..//a", "//a"}, {"/...", "/..."}};
	struct buf scratch = {0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice ret;
		assert_true(serve__path_resolve(slice_str(rows[i][0]), &scratch, &ret));
		if (!slice_eq_str(ret, rows[i][1]))
			fail_msg("%s gives %.*s", rows[i][0], SLICE_ARGS(ret));
	}
	buf_release(&scratch);
}

// ---- who asks --------------------------------------------------------------------------------------------------------------------------------

static const char *origin_of(const char *peer, const struct http_field *fields, uint32_t count)
{
	static const char *const ranges[] = {"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"};
	static char text[200];
	struct serve_listener_config c = {.trust_proxy = {.ptr = UNCONST(ranges), .len = ARRAY_LEN(ranges)}};
	struct http_request r = {.fields = fields, .field_count = count, .authority = SLICE_LIT("a.example")};
	struct err e = {0};
	struct serve_trust trust;
	struct serve_origin o;
	struct arena a;
	arena_init(&a, 0);
	assert_true(http_address_parse(slice_str(peer), &r.peer, &e));
	assert_true(serve__trust_parse(&a, &c, &trust, &e));
	serve__origin_of(&trust, &r, &o);
	http_address_print(&o.client, text, sizeof text);
	size_t at = strlen(text);
	snprintf(text + at, sizeof text - at, " %s %.*s", o.https ? "https" : "http", SLICE_ARGS(o.authority));
	arena_release(&a);
	return text;
}

static const char *origin(const char *peer, const char *name, const char *value, const char *name2, const char *value2)
{
	struct http_field fields[] = {{slice_str(name), slice_str(value)}, {slice_str(name2), slice_str(value2)}};
	return origin_of(peer, fields, name2 ? 2 : 1);
}

// As many fields as a client likes, before the one that its proxy adds.
static void a_client_hides_no_field_of_its_proxy_behind_its_own(void **state)
{
	static const char *const names[] = {"x-forwarded-for", "forwarded"};
	struct http_field fields[HTTP_FIELDS_MAX];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool pairs = i == 1;
		for (uint32_t k = 0; k < HTTP_FIELDS_MAX; k++)
			fields[k] = (struct http_field){slice_str(names[i]), pairs ? SLICE_LIT("for=6.6.6.6") : SLICE_LIT("6.6.6.6")};
		fields[HTTP_FIELDS_MAX - 1].value = pairs ? SLICE_LIT("for=1.2.3.4") : SLICE_LIT("1.2.3.4");
		assert_string_equal(origin_of("10.1.1.1:9", fields, HTTP_FIELDS_MAX), "1.2.3.4:0 http a.example");
	}
}

static void proxies_that_are_trusted_say_who_asks(void **state)
{
	assert_string_equal(origin("198.51.100.1:9", "x-forwarded-for", "1.2.3.4", NULL, NULL), "198.51.100.1:9 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "x-forwarded-for", "1.2.3.4", NULL, NULL), "1.2.3.4:0 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "x-forwarded-for", "6.6.6.6, 1.2.3.4, 192.0.2.7", NULL, NULL), "1.2.3.4:0 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "X-Forwarded-For", "6.6.6.6", "x-forwarded-for", "1.2.3.4"), "1.2.3.4:0 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "x-forwarded-for", "1.2.3.4, nonsense, 192.0.2.7", NULL, NULL), "192.0.2.7:0 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "x-forwarded-proto", "https", "x-forwarded-host", "b.example:8"), "10.1.1.1:9 https b.example:8");
	assert_string_equal(origin("10.1.1.1:9", "x-forwarded-proto", "ftp", "x-forwarded-host", "b c"), "10.1.1.1:9 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "forwarded", "for=\"[2001:db9::1]:80\";proto=https;host=\"c.example\"", "x-forwarded-for", "6.6.6.6"),
		"[2001:db9::1]:80 https c.example");
	assert_string_equal(origin("[2001:db8::5]:9", "Forwarded", "for=6.6.6.6, for=\"1.2.3.4:5\";by=\"a,b\", For=10.2.2.2", NULL, NULL), "1.2.3.4:5 http a.example");
	assert_string_equal(origin("10.1.1.1:9", "forwarded", "for=6.6.6.6, for=_hidden;proto=https", NULL, NULL), "10.1.1.1:9 https a.example");
	assert_string_equal(origin("10.1.1.1:9", "forwarded", "", NULL, NULL), "10.1.1.1:9 http a.example");
}

static void what_is_trusted_is_a_range(void **state)
{
	static const char *const bad[] = {"example.com", "all", "10.0.0.0/33", "http://10.0.0.0/8", "10.0.0.1:80", ""};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct serve_listener_config c = {.trust_proxy = {.ptr = UNCONST(&bad[i]), .len = 1}};
		struct err e = {0};
		struct serve_trust trust;
		struct arena a;
		arena_init(&a, 0);
		assert_false(serve__trust_parse(&a, &c, &trust, &e));
		assert_int_equal(err_exit_status(e.code), 2);
		arena_release(&a);
	}
}

// What it takes is printed, not held to a time: the machine may have much else to do.
static void one_of_a_thousand_routes_is_found(void **state)
{
	static char patterns[1000][64];
	uint64_t took[2];
	for (unsigned round = 0; round < 2; round++) {
		unsigned count = round ? 1000 : 10;
		n = 0;
		for (unsigned i = 0; i < count; i++) {
			snprintf(patterns[i], sizeof patterns[i], i % 2 ? "/api/v1/thing%u/:id" : "/service%u/...", i);
			add(NULL, patterns[i], "one", NULL);
		}
		struct serve_router *r = make();
		uint64_t best = UINT64_MAX;
		for (unsigned k = 0; k < 20; k++) {
			uint64_t began = sys_now_ns();
			for (unsigned i = 0; i < 10000; i++)
				assert_true(serve__router_find(r, slice_str("a.example"), slice_str("GET"), i % 2 ? slice_str("/api/v1/thing7/4711") : slice_str("/service6/a/b"), &match));
			best = min_u64(best, sys_now_ns() - began);
		}
		took[round] = best / 10000;
		serve__router_unref(r);
	}
	print_message("a request finds its route in %llu ns among 10, in %llu ns among 1,000\n", (unsigned long long)took[0], (unsigned long long)took[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_literal_beats_a_parameter_and_that_beats_the_rest, setup),
		cmocka_unit_test_setup(what_leads_nowhere_is_gone_back_from, setup),
		cmocka_unit_test_setup(the_rest_may_be_nothing_and_a_slash_is_a_segment, setup),
		cmocka_unit_test_setup(a_host_beats_any_and_leaves_the_rest_to_it, setup),
		cmocka_unit_test_setup(methods_are_part_of_a_route, setup),
		cmocka_unit_test_setup(routes_that_are_the_same_are_refused, setup),
		cmocka_unit_test_setup(patterns_that_match_nothing_are_refused, setup),
		cmocka_unit_test_setup(paths_are_resolved_once, setup),
		cmocka_unit_test_setup(proxies_that_are_trusted_say_who_asks, setup),
		cmocka_unit_test_setup(a_client_hides_no_field_of_its_proxy_behind_its_own, setup),
		cmocka_unit_test_setup(what_is_trusted_is_a_range, setup),
		cmocka_unit_test_setup(one_of_a_thousand_routes_is_found, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
