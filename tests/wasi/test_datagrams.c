// Sockets of guests: datagrams, names, and what is granted.
// PROGRAM(test_wasi_datagrams, "wasi tier cmocka", "")
#include "socket_guest.h"

static void datagrams_go_to_whom_they_are_addressed(void **state)
{
	uint16_t port;
	char got[16];
	int peer = peer_datagrams(&port);
	uint32_t s = udp_bound("127.0.0.1", 0);
	struct pair d;
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);
	GIVES4(EC(INVALID_STATE), UDP "remote-address", s);
	puppet_poke(&p, 0, SLICE_LIT("abcdef"));
	put_datagram(0, PUPPET_ARGS, 2, "127.0.0.1", port);
	put_datagram(1, PUPPET_ARGS + 2, 3, "127.0.0.1", port);
	assert_int_equal(sends(d.out, 2), DONE);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 2);
	assert_int_equal(recv(peer, got, sizeof got, 0), 2);
	assert_int_equal(recv(peer, got, sizeof got, 0), 3);
	put_datagram(0, PUPPET_ARGS, 2, NULL, 0);
	assert_int_equal(sends(d.out, 1), EC(INVALID_ARGUMENT));
	put_datagram(0, PUPPET_ARGS, 2, "127.0.0.1", 0);
	assert_int_equal(sends(d.out, 1), EC(INVALID_ARGUMENT));
	put_datagram(0, PUPPET_ARGS, 2, "0.0.0.0", port);
	assert_int_equal(sends(d.out, 1), EC(INVALID_ARGUMENT));
	put_datagram(0, PUPPET_HEAP, 65508, "127.0.0.1", port);
	assert_int_equal(sends(d.out, 1), EC(DATAGRAM_TOO_LARGE));
	put_datagram(0, PUPPET_HEAP, 1 << 20, "127.0.0.1", port);
	assert_int_equal(sends(d.out, 1), EC(DATAGRAM_TOO_LARGE));
	put_datagram(0, PUPPET_ARGS, 2, "127.0.0.1", port);
	put_datagram(1, PUPPET_ARGS, 2, "8.8.8.8", port);  // not granted: behind one that went it is no error
	assert_int_equal(sends(d.out, 2), DONE);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 1);
	drop_pair(&d);
	close(peer);
}

static void the_largest_datagram_arrives_whole(void **state)
{
	uint16_t port;
	static uint8_t bytes[65507];
	int peer = peer_datagrams(&port);
	uint32_t s = udp_bound("127.0.0.1", 0);
	uint16_t mine = port_of(UDP "local-address", s);
	struct pair d;
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);
	put_datagram(0, PUPPET_HEAP, 65507, "127.0.0.1", port);
	assert_int_equal(sends(d.out, 1), DONE);
	assert_int_equal(recv(peer, bytes, sizeof bytes, 0), 65507);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(mine)};
	assert_int_equal(sendto(peer, bytes, sizeof bytes, 0, (const void *)&a, sizeof a), sizeof bytes);
	wait_to_hear(d.in);
	assert_int_equal(hears(d.in, 5, NULL), 1);
	assert_int_equal(puppet_word(&p, puppet_word(&p, PUPPET_RESULT + 4) + 4), 65507);
	close(peer);
}

static void sending_needs_a_permit_each_time(void **state)
{
	struct pair d;
	assert_int_equal(udp_stream(udp_bound("127.0.0.1", 0), NULL, 0, &d), DONE);
	CALL(&p, "[method]outgoing-datagram-stream.send", d.out, PUPPET_ARGS, 0);  // of none it needs none
	assert_int_equal(sends(d.out, 0), DONE);
	TRAPS(&p, TRAP_HOST, "check-send permits 16", "[method]outgoing-datagram-stream.send", d.out, PUPPET_ARGS + 1024, 17);
}

static void the_streams_of_a_socket_must_go_before_it_gives_others(void **state)
{
	struct pair d, e;
	uint32_t s = udp_bound("127.0.0.1", 0);
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);
	drop_pair(&d);
	assert_int_equal(udp_stream(s, "127.0.0.1", 4321, &e), DONE);
	TRAPS(&p, TRAP_HOST, "have not been dropped", UDP "stream", s, 0);
}

static void an_associated_socket_hears_nobody_else_also_of_what_came_before(void **state)
{
	uint16_t port_a, port_b;
	int a = peer_datagrams(&port_a), b = peer_datagrams(&port_b);
	uint32_t s = udp_bound("127.0.0.1", 0);
	uint16_t mine = port_of(UDP "local-address", s);
	struct pair d;
	peer_sends(a, "A", mine);
	peer_sends(b, "B", mine);
	peer_sends(a, "A", mine);
	assert_int_equal(udp_stream(s, "127.0.0.1", port_b, &d), DONE);
	assert_int_equal(port_of(UDP "remote-address", s), port_b);
	wait_to_hear(d.in);
	assert_int_equal(hears(d.in, 10, "B"), 1);
	assert_int_equal(hears(d.in, 10, NULL), 0);
	put_datagram(0, PUPPET_ARGS, 1, "127.0.0.1", port_a);
	assert_int_equal(sends(d.out, 1), EC(INVALID_ARGUMENT));
	put_datagram(0, PUPPET_ARGS, 1, "127.0.0.1", port_b);
	assert_int_equal(sends(d.out, 1), DONE);
	put_datagram(0, PUPPET_ARGS, 1, NULL, 0);
	assert_int_equal(sends(d.out, 1), DONE);
	drop_pair(&d);
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);  // and after that everybody, at the same port
	assert_int_equal(port_of(UDP "local-address", s), mine);
	peer_sends(a, "again", mine);
	wait_to_hear(d.in);
	assert_int_equal(hears(d.in, 10, "again"), 1);
	close(a);
	close(b);
}

static void a_peer_that_is_gone_is_told_by_the_next_receive(void **state)
{
	uint16_t port;
	struct pair d;
	close(peer_datagrams(&port));
	assert_int_equal(udp_stream(udp_bound("127.0.0.1", 0), "127.0.0.1", port, &d), DONE);
	put_datagram(0, PUPPET_ARGS, 1, NULL, 0);
	assert_int_equal(sends(d.out, 1), DONE);
	wait_to_hear(d.in);
	GIVES4(EC(CONNECTION_REFUSED), "[method]incoming-datagram-stream.receive", d.in, 1);
	assert_int_equal(hears(d.in, 1, NULL), 0);
}

static void many_datagrams_come_in_turns(void **state)
{
	uint16_t port;
	int peer = peer_datagrams(&port);
	uint32_t s = udp_bound("127.0.0.1", 0), n = 0;
	uint16_t mine = port_of(UDP "local-address", s);
	struct pair d;
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);
	for (int i = 0; i < 40; i++)
		peer_sends(peer, "x", mine);
	assert_int_equal(hears(d.in, 0, NULL), 0);
	assert_int_equal(hears(d.in, UINT64_MAX, "x"), 16);
	for (n = 16; n < 40;)
		n += hears(d.in, 15, "x");
	assert_int_equal(n, 40);
	close(peer);
}

// ---- grants ----------------------------------------------------------------------------------------------------------------------------

static void without_a_grant_there_is_no_socket_and_no_name(void **state)
{
	for (int i = 0; i < 2; i++) {
		GIVES4(EC(ACCESS_DENIED), "create-tcp-socket", 0);
		GIVES4(EC(ACCESS_DENIED), "create-udp-socket", 1);
		puppet_poke(&p, 0, SLICE_LIT("localhost"));
		GIVES4(EC(PERMANENT_RESOLVER_FAILURE), "resolve-addresses", net(), PUPPET_ARGS, 9);
	}
	assert_int_equal(n_denied, 2);
	assert_non_null(strstr(denied[0], "a TCP socket; --net tcp://HOST:PORT"));
	assert_non_null(strstr(denied[1], "looking up localhost; --net tcp://localhost"));
}

static void a_socket_reaches_what_is_granted_as_an_address(void **state)
{
	uint16_t port, other;
	char rule[64], want[128];
	int listener = peer_listens("127.0.0.1", &port), second = peer_listens("127.0.0.1", &other);
	snprintf(rule, sizeof rule, "tcp://127.0.0.1:%u", port);
	snprintf(want, sizeof want, "connecting to 127.0.0.1:%u over TCP; --net tcp://127.0.0.1:%u", other, other);
	grant(rule);
	connect_to("127.0.0.1", port);
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.1", other), EC(ACCESS_DENIED));
	assert_string_equal(denied[0], want);
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.2", port), EC(ACCESS_DENIED));
	assert_int_equal(start_connect(new_socket(false, true), "64:ff9b::7f00:1", port), DONE);  // what leads there is there
	assert_int_equal(n_denied, 1);
	GIVES4(EC(ACCESS_DENIED), "create-udp-socket", 0);
	close(listener);
	close(second);
}

static void who_only_reaches_out_has_free_ports_and_listens_nowhere(void **state)
{
	uint16_t port = (uint16_t)free_port();
	grant("127.0.0.1");
	uint32_t s = new_socket(false, false);
	assert_int_equal(start_bind(s, "127.0.0.1", port), EC(ACCESS_DENIED));
	assert_int_equal(at_address(UDP "start-bind", new_socket(true, false), "127.0.0.1", port, true), EC(ACCESS_DENIED));
	bind_to(s, "127.0.0.1", 0);
	GIVES(EC(ACCESS_DENIED), TCP "start-listen", s);
	assert_non_null(strstr(denied[0], "--listen-tcp 127.0.0.1:"));
	assert_int_equal(n_denied, 1);
	let_listen("127.0.0.1:0", false);
	s = new_socket(false, false);
	bind_to(s, "127.0.0.1", 0);
	GIVES(DONE, TCP "start-listen", s);
	assert_int_equal(start_bind(new_socket(false, false), "127.0.0.1", port), EC(ACCESS_DENIED));
	assert_int_equal(start_bind(new_socket(false, false), "127.0.0.2", 0), DONE);  // not to listen: it may reach something
}

static void who_listens_hears_everybody_and_may_answer_and_the_others_do_not(void **state)
{
	uint16_t port, mine;
	char got[8];
	struct pair d;
	int peer = peer_datagrams(&port);
	let_listen("127.0.0.1:0", true);
	uint32_t s = udp_bound("127.0.0.1", 0);
	mine = port_of(UDP "local-address", s);
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);
	put_datagram(0, PUPPET_ARGS, 1, "127.0.0.1", port);
	assert_int_equal(sends(d.out, 1), EC(ACCESS_DENIED));
	peer_sends(peer, "ask", mine);
	wait_to_hear(d.in);
	assert_int_equal(hears(d.in, 1, "ask"), 1);
	assert_int_equal(sends(d.out, 1), DONE);
	assert_int_equal(recv(peer, got, sizeof got, 0), 1);
	p.grants.n_listens = 0;
	grant("udp://127.0.0.1:1");
	s = udp_bound("127.0.0.1", 0);
	mine = port_of(UDP "local-address", s);
	assert_int_equal(udp_stream(s, NULL, 0, &d), DONE);
	for (int i = 0; i < 100; i++)
		peer_sends(peer, "x", mine);
	for (int i = 0; i < 4; i++)
		assert_int_equal(hears(d.in, 16, NULL), 0);
	uint32_t w = (uint32_t)CALL(&p, "[method]incoming-datagram-stream.subscribe", d.in);
	assert_int_equal(CALL(&p, "[method]pollable.ready", w), 0);
	close(peer);
}

static void addresses_are_given_back_and_nobody_is_asked(void **state)
{
	static const char *const good[][2] = {{"127.0.0.1", "127.0.0.1"}, {"0.0.0.0", "0.0.0.0"}, {"::", "::"}, {"[::1]", "::1"}, {"DEAD:BEEF::0", "dead:beef::"},
		{"::ffff:1.2.3.4", "1.2.3.4"}, {"2001:0db8:0:0:0:0:0:0", "2001:db8::"}};
	static const char *const bad[] = {"", " ", "a b", "a.b<&>", "127.0.0.1:80", "[::]:80", "http://example.com/", ".a", "a..b", ".", "..", "[127.0.0.1]", "[a]", "[]",
		"a/b", "a\nb", "\xef\xbf\xbd.de", "\xd7\x90z\xd9\xa0.de"};
	char ip[64];
	uint32_t l;
	sys_net.resolve = NULL;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(look_up(good[i][0], &l), DONE);
		assert_int_equal(next_address(l, ip, sizeof ip), DONE);
		assert_string_equal(ip, good[i][1]);
		assert_int_equal(next_address(l, ip, sizeof ip), DONE);
		assert_string_equal(ip, "");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (look_up(bad[i], &l) != EC(INVALID_ARGUMENT))
			fail_msg("'%s' was taken for a name", bad[i]);
	char longest[300];
	memset(longest, 'a', sizeof longest);
	CALL(&p, "resolve-addresses", net(), puppet_poke(&p, 0, slice_of(longest, 254)), 254);
	assert_int_equal(did_at(4), EC(INVALID_ARGUMENT));
}

static void a_name_is_looked_up_where_a_rule_names_it(void **state)
{
	char ip[64];
	uint32_t l;
	sys_net.resolve = answers;
	grant("10.0.0.0/8");
	grant("http://web.test");
	assert_int_equal(look_up("a.test", &l), EC(PERMANENT_RESOLVER_FAILURE));  // names would tell a name server what a guest knows
	assert_int_equal(look_up("web.test", &l), EC(PERMANENT_RESOLVER_FAILURE));
	grant("tcp://*.test:443");
	delay_ms = 100;
	assert_int_equal(look_up("A.test.", &l), DONE);
	assert_int_equal(next_address(l, ip, sizeof ip), EC(WOULD_BLOCK));
	delay_ms = 0;
	wait_for_answer(l);
	static const char *const want[] = {"127.0.0.1", "10.0.0.7", "::1", ""};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(next_address(l, ip, sizeof ip), DONE);
		assert_string_equal(ip, want[i]);
	}
	assert_int_equal(look_up("a.example", &l), EC(PERMANENT_RESOLVER_FAILURE));
}

static char asked_for[300];
static int note_name(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max)
{
	snprintf(asked_for, sizeof asked_for, "%s", host);
	return answers(host, port, numeric, ret, max);
}

static void a_name_that_is_not_ascii_is_what_idna_makes_of_it(void **state)
{
	static const char *const rows[][2] = {{"B\xc3\x9c"
										   "cher.test",
											  "xn--bcher-kva.test"},
		{"stra\xc3\x9f"
		 "e.test.",
			"xn--strae-oqa.test"},
		{"\xe4\xbe\x8b\xe3\x80\x82test", "xn--fsq.test"}, {"b\x75\xcc\x88"
														   "cher.test",
															  "xn--bcher-kva.test"}};
	static const char *const functions[] = {"idn2_lookup_u8"};
	char longest[300] = "\xc3\xbc";
	void *found[1] = {0};
	uint32_t l;
	struct err e = {0};
	sys_net.resolve = note_name;
	grant("tcp://*.test");
	grant("10.0.0.0/8");
	if (!sys_library_load("libidn2.so.0", functions, 1, found, &e)) {
		assert_int_equal(look_up(rows[0][0], &l), EC(INVALID_ARGUMENT));
		skip();  // libidn2 is not on this machine
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(look_up(rows[i][0], &l), DONE);
		wait_for_answer(l);
		assert_string_equal(asked_for, rows[i][1]);
	}
	asked_for[0] = 0;
	assert_int_equal(look_up("b\xc3\xbc"
							 "cher.example",
						 &l),
		EC(PERMANENT_RESOLVER_FAILURE));  // no rule names it
	// What an address looks like in other digits is that address: nobody is asked.
	char ip[64];
	assert_int_equal(look_up("\xef\xbc\x91\xef\xbc\x90.0.0.1", &l), DONE);
	assert_int_equal(next_address(l, ip, sizeof ip), DONE);
	assert_string_equal(ip, "10.0.0.1");
	assert_string_equal(asked_for, "");
	memset(longest + 2, 'a', sizeof longest - 2);
	CALL(&p, "resolve-addresses", net(), puppet_poke(&p, 0, slice_of(longest, 254)), 254);
	assert_int_equal(did_at(4), EC(INVALID_ARGUMENT));
}

static void answers_are_all_given_and_failures_have_their_codes(void **state)
{
	static const struct {
		const char *name;
		int want;
	} rows[] = {{"none.test", EC(NAME_UNRESOLVABLE)}, {"silent.test", EC(TEMPORARY_RESOLVER_FAILURE)}, {"broken.test", EC(PERMANENT_RESOLVER_FAILURE)}};
	char ip[64], want[64];
	uint32_t l;
	sys_net.resolve = answers;
	grant("*.test");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int k = 0; k < 2; k++) {
			assert_int_equal(look_up(rows[i].name, &l), DONE);
			wait_for_answer(l);
			assert_int_equal(next_address(l, ip, sizeof ip), rows[i].want);
			assert_int_equal(next_address(l, ip, sizeof ip), rows[i].want);
		}
	assert_int_equal(look_up("many.test", &l), DONE);
	wait_for_answer(l);
	for (int i = 0; i < 64; i++) {
		snprintf(want, sizeof want, "10.0.%d.1", i);
		assert_int_equal(next_address(l, ip, sizeof ip), DONE);
		assert_string_equal(ip, want);
	}
	assert_int_equal(next_address(l, ip, sizeof ip), DONE);
	assert_string_equal(ip, "");
}

static void a_name_leads_to_the_addresses_that_it_had(void **state)
{
	uint16_t port;
	uint32_t l;
	int listener = peer_listens("127.0.0.1", &port);
	sys_net.resolve = answers;
	grant("tcp://a.test");
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.1", port), EC(ACCESS_DENIED));
	assert_int_equal(look_up("a.test", &l), DONE);
	wait_for_answer(l);
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.1", port), EC(ACCESS_DENIED));  // not for this machine
	p.grants.private_nets = true;
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.1", port), DONE);
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.2", port), EC(ACCESS_DENIED));
	p.grants.private_nets = false;
	grant("tcp://localhost");
	assert_int_equal(look_up("localhost", &l), DONE);
	wait_for_answer(l);
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.1", port), DONE);
	for (int i = 0; i < 70; i++) {  // those of the names that were asked for last
		assert_int_equal(look_up("a.test", &l), DONE);
		wait_for_answer(l);
		puppet_drop(&p, &wasi_sockets_ip_name_lookup_resolve_address_stream_resource, l);
	}
	assert_int_equal(start_connect(new_socket(false, false), "127.0.0.1", port), EC(ACCESS_DENIED));
	close(listener);
}

static void look_ups_have_a_limit_and_may_be_given_up(void **state)
{
	uint32_t l[80];
	int n = 0;
	sys_net.resolve = answers;
	grant("*.test");
	delay_ms = 200;
	while (n < 80 && look_up("a.test", &l[n]) == DONE)
		n++;
	assert_int_equal(n, 64);
	assert_int_equal(did_at(4), EC(TEMPORARY_RESOLVER_FAILURE));
	for (int i = 0; i < n; i++)
		puppet_drop(&p, &wasi_sockets_ip_name_lookup_resolve_address_stream_resource, l[i]);
	assert_int_equal(look_up("a.test", &l[0]), DONE);  // under way when the instance ends
	delay_ms = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(datagrams_go_to_whom_they_are_addressed),
		TEST(the_largest_datagram_arrives_whole),
		TEST(sending_needs_a_permit_each_time),
		TEST(the_streams_of_a_socket_must_go_before_it_gives_others),
		TEST(an_associated_socket_hears_nobody_else_also_of_what_came_before),
		TEST(a_peer_that_is_gone_is_told_by_the_next_receive),
		TEST(many_datagrams_come_in_turns),
		BARE(without_a_grant_there_is_no_socket_and_no_name),
		BARE(a_socket_reaches_what_is_granted_as_an_address),
		BARE(who_only_reaches_out_has_free_ports_and_listens_nowhere),
		BARE(who_listens_hears_everybody_and_may_answer_and_the_others_do_not),
		BARE(addresses_are_given_back_and_nobody_is_asked),
		BARE(a_name_is_looked_up_where_a_rule_names_it),
		BARE(a_name_that_is_not_ascii_is_what_idna_makes_of_it),
		BARE(answers_are_all_given_and_failures_have_their_codes),
		BARE(a_name_leads_to_the_addresses_that_it_had),
		BARE(look_ups_have_a_limit_and_may_be_given_up),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
