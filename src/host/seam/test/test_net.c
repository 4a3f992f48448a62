// Rules of --net: what they name, and what addresses are.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "seam/seam.h"
#include "sys/sys.h"

static struct arena arena;

static void rules_that_are_none_are_refused_L76(void **state)
{
	static const char *const bad[] = {"", "ftp://a", "a:0", "a:65536", "a:b", "a b", "a..:", ".a", "*.", "[::1", "[::1]x", "10.0.0.0/33", "::/129", "a/8", "user@a",
		"http://", "*a.b", "10.0.0.0/", "a:", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/0x8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.0/8x", "10.0.0.0//8", "10.0.0.0/8/8",
		"10.0.0/8", "999.0.0.1/8", "/8", "all/8", "all:x", "all:", "all://a", "tcp:a", "tcp://", "tcp:///a", "a:80:80", "a:-1", "a:1-2", "10.0.0.0/8:", "[::1]:", "[::]/129",
		"[::/8", "::/8:80", "[]", "[]:80", "[a]", "[a]:80", "[10.0.0.0/8]", "fe80::1%1", "*.*", "*.a.*", "a.*", "**.a", "*..a", "http//a", "http://a/b", "http://a?b", "a#b",
		"a%00", "a\\b", "a,b", "a;b", "a\tb", "a\nb"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct seam_net_rule r;
		struct err e = {0};
		if (seam_net_rule_parse(&arena, slice_str(bad[i]), &r, &e))
			fail_msg("'%s' was taken for a rule", bad[i]);
		assert_int_equal(e.code, ERR_USAGE);
	}
}

static const struct row {
	const char *rule;
	enum seam_net_scheme scheme;
	const char *host;
	uint16_t port;
	const char *address;
	bool without, with;  // --private: may it connect?
} rows[] = {
	{"all", SEAM_NET_HTTP, "example.com", 80, "93.184.216.34", true, true},
	{"all", SEAM_NET_HTTP, "example.com", 80, "2606:2800:220:1::1", true, true},
	{"all", SEAM_NET_HTTP, "example.com", 80, "127.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "127.0.0.1", 80, "127.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "0.0.0.0", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "10.1.2.3", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "172.31.255.255", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "172.32.0.0", true, true},
	{"all", SEAM_NET_HTTP, "a", 80, "192.168.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "100.127.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "100.128.0.1", true, true},
	{"all", SEAM_NET_HTTP, "a", 80, "169.254.169.254", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "224.0.0.1", false, false},
	{"all", SEAM_NET_HTTP, "a", 80, "255.255.255.255", false, false},
	{"all", SEAM_NET_HTTP, "a", 80, "::1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "::", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "fe80::1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "fd12::1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "ff02::1", false, false},
	{"all", SEAM_NET_HTTP, "a", 80, "2001:0:1::1", false, false},
	// Ways to write an address of IPv4.
	{"all", SEAM_NET_HTTP, "a", 80, "::ffff:127.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "::ffff:0:127.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "::127.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "64:ff9b::127.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "64:ff9b::10.0.0.1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "64:ff9b:1::8.8.8.8", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "64:ff9b::8.8.8.8", true, true},
	{"all", SEAM_NET_HTTP, "a", 80, "2002:7f00:1::1", false, true},
	{"all", SEAM_NET_HTTP, "a", 80, "::ffff:8.8.8.8", true, true},
	// Names.
	{"example.com", SEAM_NET_HTTP, "example.com", 80, "8.8.8.8", true, true},
	{"EXAMPLE.com.", SEAM_NET_HTTP, "example.com", 80, "8.8.8.8", true, true},
	{"example.com", SEAM_NET_HTTP, "a.example.com", 80, "8.8.8.8", false, false},
	{"example.com", SEAM_NET_HTTP, "badexample.com", 80, "8.8.8.8", false, false},
	{"example.com", SEAM_NET_HTTP, "example.com", 80, "10.0.0.1", false, true},
	{"*.example.com", SEAM_NET_HTTP, "a.example.com", 80, "8.8.8.8", true, true},
	{"*.example.com", SEAM_NET_HTTP, "a.b.example.com", 80, "8.8.8.8", true, true},
	{"*.example.com", SEAM_NET_HTTP, "example.com", 80, "8.8.8.8", false, false},
	{"*.example.com", SEAM_NET_HTTP, ".example.com", 80, "8.8.8.8", false, false},
	{"*.example.com", SEAM_NET_HTTP, "badexample.com", 80, "8.8.8.8", false, false},
	{"localhost", SEAM_NET_HTTP, "localhost", 80, "127.0.0.1", true, true},
	{"localhost", SEAM_NET_HTTP, "localhost", 80, "::1", true, true},
	{"localhost", SEAM_NET_HTTP, "localhost", 80, "10.0.0.1", false, true},
	{"localhost", SEAM_NET_HTTP, "127.0.0.1", 80, "127.0.0.1", false, false},
	// Addresses are named by what they are.
	{"127.0.0.1", SEAM_NET_HTTP, "127.0.0.1", 80, "127.0.0.1", true, true},
	{"127.0.0.1", SEAM_NET_HTTP, "some.name", 80, "127.0.0.1", true, true},
	{"127.0.0.1", SEAM_NET_HTTP, "a", 80, "127.0.0.2", false, false},
	{"127.0.0.1", SEAM_NET_HTTP, "a", 80, "::ffff:127.0.0.1", true, true},
	{"127.0.0.1", SEAM_NET_HTTP, "a", 80, "::1", false, false},
	{"10.0.0.0/8", SEAM_NET_HTTP, "a", 80, "10.255.1.1", true, true},
	{"10.0.0.0/8", SEAM_NET_HTTP, "a", 80, "11.0.0.0", false, false},
	{"10.0.0.0/8", SEAM_NET_HTTP, "a", 80, "64:ff9b::10.0.0.1", true, true},
	{"10.9.9.9/8:80", SEAM_NET_HTTP, "a", 80, "10.0.0.1", true, true},
	{"0.0.0.0/0", SEAM_NET_HTTP, "a", 80, "10.0.0.1", true, true},
	{"0.0.0.0/0", SEAM_NET_HTTP, "a", 80, "::1", false, false},
	{"0.0.0.0/0", SEAM_NET_HTTP, "a", 80, "2606:2800::1", false, false},
	{"::/0", SEAM_NET_HTTP, "a", 80, "2606:2800::1", true, true},
	{"[fd00::]/8", SEAM_NET_HTTP, "a", 80, "fd12::1", false, false},  // no rule: see below
	{"[fd00::/8]:80", SEAM_NET_HTTP, "a", 80, "fd12::1", true, true},
	{"fd00::/8", SEAM_NET_HTTP, "a", 80, "fe12::1", false, false},
	{"::1", SEAM_NET_HTTP, "::1", 80, "::1", true, true},
	{"[::1]:80", SEAM_NET_HTTP, "::1", 80, "::1", true, true},
	{"[::1]:80", SEAM_NET_HTTP, "::1", 81, "::1", false, false},
	// Schemes and ports.
	{"http://a", SEAM_NET_HTTP, "a", 80, "8.8.8.8", true, true},
	{"http://a/", SEAM_NET_HTTP, "a", 8080, "8.8.8.8", true, true},
	{"http://a", SEAM_NET_HTTPS, "a", 80, "8.8.8.8", false, false},
	{"https://a:443", SEAM_NET_HTTPS, "a", 443, "8.8.8.8", true, true},
	{"https://a:443", SEAM_NET_HTTPS, "a", 444, "8.8.8.8", false, false},
	{"all:443", SEAM_NET_HTTPS, "a", 443, "8.8.8.8", true, true},
	{"all:443", SEAM_NET_HTTPS, "a", 80, "8.8.8.8", false, false},
	{"a:*", SEAM_NET_HTTPS, "a", 80, "8.8.8.8", true, true},
	{"tcp://a:443", SEAM_NET_TCP, "a", 443, "8.8.8.8", true, true},
	{"tcp://a", SEAM_NET_UDP, "a", 443, "8.8.8.8", false, false},
	{"tcp://a", SEAM_NET_HTTP, "a", 443, "8.8.8.8", false, false},
	{"udp://8.8.8.0/24:53", SEAM_NET_UDP, "", 53, "8.8.8.8", true, true},
	{"a", SEAM_NET_TCP, "", 443, "8.8.8.8", false, false},
	{"all", SEAM_NET_TCP, "", 443, "8.8.8.8", true, true},
	{"all", SEAM_NET_TCP, "", 443, "10.0.0.1", false, true},
};

static void an_address_is_granted_by_what_it_is_and_a_name_by_how_it_is_written(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct seam_net_rule rule;
		struct sys_address a;
		uint8_t ip[16];
		bool ok = seam_net_rule_parse(&arena, slice_str(r->rule), &rule, NULL);
		assert_true(ok || strcmp(r->rule, "[fd00::]/8") == 0);
		assert_true(sys_address_parse(r->address, r->port, &a));
		sys_address_ip(&a, ip);
		for (int private = 0; private < 2; private ++) {
			struct seam_grants g = {.nets = &rule, .n_nets = ok, .private_nets = private};
			bool may = seam_net_may_connect(&g, r->scheme, slice_str(r->host), r->port, ip);
			if (may != (private ? r->with : r->without))
				fail_msg("--net %s%s: %s (%s) %s", r->rule, private ? " --private" : "", r->host, r->address, may ? "is granted" : "is denied");
			struct sys_address host;
			bool name_of_an_address = ok && rule.kind == SEAM_NET_RANGE && !sys_address_parse(r->host, 0, &host);
			assert_true(!may || name_of_an_address || seam_net_may_ask(&g, r->scheme, slice_str(r->host), r->port));
		}
	}
}

static bool may_ask(const char *rule, const char *host)
{
	struct seam_net_rule r;
	assert_true(seam_net_rule_parse(&arena, slice_str(rule), &r, NULL));
	struct seam_grants g = {.nets = &r, .n_nets = 1, .private_nets = true};
	bool asks = seam_net_may_ask(&g, SEAM_NET_HTTP, slice_str(host), 80);
	assert_true(seam_net_may_look_up(&g, slice_str(host)) == (asks && r.kind != SEAM_NET_RANGE && r.scheme != SEAM_NET_HTTP));
	return asks;
}

static void a_name_is_asked_for_only_by_a_rule_for_names(void **state)
{
	assert_true(may_ask("all", "secret.example.com") && may_ask("*.example.com", "secret.example.com") && may_ask("http://a", "a"));
	assert_false(may_ask("0.0.0.0/0", "secret.example.com"));
	assert_false(may_ask("127.0.0.1", "2130706433"));
	assert_true(may_ask("10.0.0.0/8", "10.1.2.3") && may_ask("10.0.0.0/8", "192.0.2.1") && may_ask("fd00::/8", "fd00::1"));
}

static void an_address_to_listen_on_covers_what_it_is(void **state)
{
	static const char *const bad[] = {"", ":", "a:1", "127.0.0.1", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:80", "[::1]", "127.0.0.0/8:80", "127.0.0.1:a", "127.0.0.1:",
		"127.0.0.1:-1", "[::1:80"};
	static const struct {
		const char *given, *ip;
		uint16_t port;
		bool may;
	} list[] = {
		{"127.0.0.1:7000", "127.0.0.1", 7000, true},
		{"127.0.0.1:7000", "127.0.0.1", 7001, false},
		{"127.0.0.1:7000", "127.0.0.1", 0, false},
		{"127.0.0.1:7000", "127.0.0.2", 7000, false},
		{"127.0.0.1:7000", "0.0.0.0", 7000, false},
		{"127.0.0.1:0", "127.0.0.1", 0, true},
		{"127.0.0.1:0", "127.0.0.1", 80, false},
		{"127.0.0.1:*", "127.0.0.1", 80, true},
		{"0.0.0.0:80", "127.0.0.1", 80, true},
		{"0.0.0.0:80", "0.0.0.0", 80, true},
		{"0.0.0.0:80", "::1", 80, false},
		{"0.0.0.0:80", "::", 80, false},
		{"[::]:80", "::1", 80, true},
		{"[::]:80", "127.0.0.1", 80, false},
		{"[::1]:80", "::", 80, false},
		{":80", "::", 80, true},
		{":80", "127.0.0.1", 80, true},
		{":80", "127.0.0.1", 81, false},
		{":*", "::1", 0, true},
	};
	struct seam_listen l;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = {0};
		if (seam_listen_parse(slice_str(bad[i]), false, &l, &e))
			fail_msg("'%s' was taken for an address", bad[i]);
		assert_int_equal(e.code, ERR_USAGE);
	}
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct sys_address a;
		uint8_t ip[16];
		assert_true(seam_listen_parse(slice_str(list[i].given), i & 1, &l, NULL));
		assert_true(sys_address_parse(list[i].ip, 0, &a));
		sys_address_ip(&a, ip);
		struct seam_grants g = {.listens = &l, .n_listens = 1};
		if (seam_net_may_listen(&g, i & 1, list[i].port, ip) != list[i].may)
			fail_msg("%s: %s %u", list[i].given, list[i].ip, list[i].port);
		assert_false(seam_net_may_listen(&g, !(i & 1), list[i].port, ip));
	}
	assert_false(seam_net_may_listen(NULL, false, 0, (const uint8_t[16]){0}));
}

static void nothing_is_granted_without_a_rule(void **state)
{
	struct seam_grants g = {.private_nets = true};
	uint8_t ip[16] = {[15] = 1};
	assert_false(seam_net_may_ask(&g, SEAM_NET_HTTP, SLICE_LIT("a"), 80));
	assert_false(seam_net_may_ask(NULL, SEAM_NET_HTTP, SLICE_LIT("a"), 80));
	assert_false(seam_net_may_connect(&g, SEAM_NET_HTTP, SLICE_LIT("a"), 80, ip));
}

int main(void)
{
	arena_init(&arena, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_that_are_none_are_refused_L76),
		cmocka_unit_test(an_address_is_granted_by_what_it_is_and_a_name_by_how_it_is_written),
		cmocka_unit_test(a_name_is_asked_for_only_by_a_rule_for_names),
		cmocka_unit_test(an_address_to_listen_on_covers_what_it_is),
		cmocka_unit_test(nothing_is_granted_without_a_rule),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_release(&arena);
	return failed;
}
