// Sockets of guests: their states, connections both ways with real peers, limits, what ends a wait.
// PROGRAM(test_wasi_sockets, "wasi tier cmocka", "")
#include "socket_guest.h"

// ---- states ----------------------------------------------------------------------------------------------------------------------------

// What each step gives in each state: WIT, and wasmtime where that leaves it open.
static void steps_in_a_state(uint32_t s, int bind_, int finish_bind, int connect_, int finish_connect_, int listen_, int finish_listen, int accept_, int shutdown_,
	int local, int remote, bool listens_)
{
	if (bind_ >= DONE)
		assert_int_equal(start_bind(s, address_text, 0), bind_);
	GIVES(finish_bind, TCP "finish-bind", s);
	if (connect_ >= DONE)
		assert_int_equal(start_connect(s, address_text, 9), connect_);
	GIVES4(finish_connect_, TCP "finish-connect", s);
	if (listen_ >= DONE)
		GIVES(listen_, TCP "start-listen", s);
	GIVES(finish_listen, TCP "finish-listen", s);
	GIVES4(accept_, TCP "accept", s);
	GIVES(shutdown_, TCP "shutdown", s, 2);
	GIVES4(local, TCP "local-address", s);
	GIVES4(remote, TCP "remote-address", s);
	assert_int_equal(CALL(&p, TCP "is-listening", s), listens_);
}

static void each_step_has_its_states(void **state)
{
	enum { SKIP = -2, BAD = EC(INVALID_STATE), NONE = EC(NOT_IN_PROGRESS), BUSY = EC(CONCURRENCY_CONFLICT), BLOCK = EC(WOULD_BLOCK) };
	for (int v6 = 0; v6 < 2; v6++) {
		address_text = v6 ? "::1" : "127.0.0.1";
		uint32_t s = new_socket(false, v6);
		assert_int_equal(CALL(&p, TCP "address-family", s), v6);
		steps_in_a_state(s, SKIP, NONE, SKIP, NONE, BAD, NONE, BAD, BAD, BAD, BAD, false);  // new
		assert_int_equal(start_bind(s, address_text, 0), DONE);
		assert_int_equal(start_bind(s, address_text, 0), BUSY);
		assert_int_equal(start_connect(s, address_text, 9), BUSY);
		GIVES(BUSY, TCP "start-listen", s);
		GIVES4(BAD, TCP "local-address", s);
		GIVES(DONE, TCP "finish-bind", s);
		steps_in_a_state(s, BAD, NONE, SKIP, NONE, SKIP, NONE, BAD, BAD, DONE, BAD, false);  // bound
		GIVES(DONE, TCP "start-listen", s);
		steps_in_a_state(s, BUSY, NONE, BUSY, NONE, BUSY, DONE, BLOCK, BAD, DONE, BAD, true);
		steps_in_a_state(s, BAD, NONE, BAD, NONE, BAD, NONE, BLOCK, BAD, DONE, BAD, true);  // listening
		struct stream c = connect_to(address_text, port_of(TCP "local-address", s));
		steps_in_a_state(c.socket, BAD, NONE, BAD, NONE, BAD, NONE, BAD, DONE, DONE, DONE, false);  // connected
		GIVES(BAD, TCP "set-listen-backlog-size", c.socket, 5);
		GIVES(DONE, TCP "set-listen-backlog-size", s, 5);
	}
	uint32_t s = new_socket(false, false);
	struct stream c;
	assert_int_equal(start_connect(s, "127.0.0.1", (uint16_t)free_port()), DONE);
	assert_int_equal(start_connect(s, "127.0.0.1", 9), EC(CONCURRENCY_CONFLICT));
	assert_int_equal(finish_connect(s, &c), EC(CONNECTION_REFUSED));
	steps_in_a_state(s, BAD, NONE, BAD, NONE, BAD, NONE, BAD, BAD, BAD, BAD, false);  // failed
	GIVES(BAD, TCP "hop-limit", s);
}

static void addresses_that_no_socket_may_have_are_refused(void **state)
{
	static const struct {
		bool v6;
		const char *ip;
		uint16_t port;
		bool bind, connect;  // as an address, whatever is granted
	} rows[] = {
		{false, "::1", 9, false, false},
		{true, "127.0.0.1", 9, false, false},
		{true, "::ffff:127.0.0.1", 9, false, false},
		{true, "::127.0.0.1", 9, false, false},
		{true, "::2", 9, false, false},
		{false, "224.0.0.1", 9, false, false},
		{false, "239.255.255.255", 9, false, false},
		{false, "255.255.255.255", 9, false, false},
		{true, "ff02::1", 9, false, false},
		{false, "127.0.0.1", 0, true, false},
		{false, "0.0.0.0", 9, true, false},
		{true, "::", 9, true, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t s = new_socket(false, rows[i].v6);
		int connect_ = start_connect(s, rows[i].ip, rows[i].port);
		assert_true((connect_ != EC(INVALID_ARGUMENT)) == rows[i].connect);
		int bind_ = start_bind(s, rows[i].ip, rows[i].port);
		assert_true((bind_ != EC(INVALID_ARGUMENT)) == rows[i].bind);
	}
	uint32_t s = new_socket(false, false);
	assert_int_equal(start_bind(s, "192.0.2.1", 0), EC(ADDRESS_NOT_BINDABLE));
	assert_int_equal(start_bind(s, "127.0.0.1", 0), DONE);  // one that failed may be tried again
}

static void an_address_has_one_listener_and_is_free_when_that_is_gone(void **state)
{
	uint16_t port;
	uint32_t first = listen_at("127.0.0.1", &port), second = new_socket(false, false);
	assert_int_equal(start_bind(second, "127.0.0.1", port), EC(ADDRESS_IN_USE));
	struct stream c = connect_to("127.0.0.1", port), a = accept_one(first);
	drop_stream(&a);  // its end is the first: it waits, and holds the port no more than that
	drop_stream(&c);
	puppet_drop(&p, &wasi_sockets_tcp_tcp_socket_resource, first);
	bind_to(second, "127.0.0.1", port);
	GIVES(DONE, TCP "start-listen", second);
}

static uint16_t handed_port;

// As a service manager does (sd_listen_fds(3)), before anything else has a descriptor.
static void hand_over(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || listen(fd, 8) || getsockname(fd, (struct sockaddr *)&at, &len))
		exit(1);
	handed_port = ntohs(at.sin_port);
	if (fd != SYS_HANDED_FIRST) {
		dup2(fd, SYS_HANDED_FIRST);
		close(fd);
	}
}

// How many descriptors the epolls of this process have (proc(5), fdinfo).
static unsigned n_watched(void)
{
	char path[64], line[256];
	unsigned n = 0;
	for (int i = 0; i < 64; i++) {
		snprintf(path, sizeof path, "/proc/self/fdinfo/%d", i);
		FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof line, f))
			n += strncmp(line, "tfd:", 4) == 0;
		if (f)
			fclose(f);
	}
	return n;
}

// What was handed over stays open when its guest has dropped it: who connects then is nothing that it hears of.
static void a_socket_that_was_handed_over_is_watched_no_more_when_it_is_dropped(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(handed_port)};
	unsigned before = n_watched();
	process.n_handed = 1;
	uint32_t s = new_socket(false, false);
	bind_to(s, "127.0.0.1", handed_port);
	GIVES(DONE, TCP "start-listen", s);
	GIVES(DONE, TCP "finish-listen", s);
	GIVES4(EC(WOULD_BLOCK), TCP "accept", s);
	assert_int_equal(n_watched(), before + 1);
	puppet_drop(&p, &wasi_sockets_tcp_tcp_socket_resource, s);
	assert_int_equal(n_watched(), before);
	new_socket(false, false);  // where the other one was, most likely
	int client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof at), 0);
	loop_run_once(loop, 20 * MILLISECOND);
	close(client);
	process.n_handed = 0;
}

static void options_are_what_they_were_set_to_within_bounds(void **state)
{
	static const struct {
		const char *name;
		uint64_t set, want, huge, most;
		uint32_t width;
	} rows[] = {
		{"keep-alive-idle-time", 42 * SECOND, 42 * SECOND, UINT64_MAX, 32767 * SECOND, 8},
		{"keep-alive-interval", 5 * SECOND + 1, 6 * SECOND, UINT64_MAX, 32767 * SECOND, 8},
		{"keep-alive-count", 7, 7, UINT32_MAX, 127, 4},
		{"hop-limit", 42, 42, 255, 255, 1},
		{"receive-buffer-size", 65536, 65536, UINT64_MAX, UINT64_MAX, 8},
		{"send-buffer-size", 65536, 65536, UINT64_MAX, UINT64_MAX, 8},
	};
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t s = new_socket(false, v6);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			char get[64], set[64];
			snprintf(get, sizeof get, TCP "%s", rows[i].name);
			snprintf(set, sizeof set, TCP "set-%s", rows[i].name);
			GIVES(EC(INVALID_ARGUMENT), set, s, 0);
			GIVES(DONE, set, s, 1);
			GIVES(DONE, set, s, rows[i].huge);
			CALL(&p, get, s);
			uint32_t at = PUPPET_RESULT + rows[i].width;
			uint64_t v = rows[i].width == 1 ? puppet_peek(&p, at) : puppet_word(&p, at);
			v |= rows[i].width == 8 ? (uint64_t)puppet_word(&p, at + 4) << 32 : 0;
			assert_in_range(v, 1, rows[i].most);
			GIVES(DONE, set, s, rows[i].set);
			CALL(&p, get, s);
			v = rows[i].width == 1 ? puppet_peek(&p, at) : puppet_word(&p, at);
			v |= rows[i].width == 8 ? (uint64_t)puppet_word(&p, at + 4) << 32 : 0;
			assert_true(v == rows[i].want);
		}
		GIVES(EC(INVALID_ARGUMENT), TCP "set-listen-backlog-size", s, 0);
		GIVES(DONE, TCP "set-listen-backlog-size", s, UINT64_MAX);
		GIVES(DONE, TCP "set-keep-alive-enabled", s, 1);
		CALL(&p, TCP "keep-alive-enabled", s);
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), 1);
		uint32_t d = new_socket(true, v6);
		GIVES(EC(INVALID_ARGUMENT), UDP "set-unicast-hop-limit", d, 0);
		GIVES(DONE, UDP "set-unicast-hop-limit", d, 7);
		CALL(&p, UDP "unicast-hop-limit", d);
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), 7);
	}
}

static void an_accepted_connection_has_its_listeners_options(void **state)
{
	uint16_t port;
	uint32_t s = listen_at("127.0.0.1", &port);
	GIVES(DONE, TCP "set-hop-limit", s, 42);
	GIVES(DONE, TCP "set-keep-alive-idle-time", s, 77 * SECOND);
	int peer = peer_connects("127.0.0.1", port);
	struct stream c = accept_one(s);
	CALL(&p, TCP "hop-limit", c.socket);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), 42);
	CALL(&p, TCP "keep-alive-idle-time", c.socket);
	assert_true(puppet_word(&p, PUPPET_RESULT + 8) == (uint32_t)(77 * SECOND));
	close(peer);
}

// ---- connections -----------------------------------------------------------------------------------------------------------------------

static void bytes_go_both_ways_and_each_way_ends_by_itself(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const char *ip = v6 ? "::1" : "127.0.0.1";
		char got[64];
		uint16_t port;
		int listener = peer_listens(ip, &port);
		struct stream c = connect_to(ip, port);
		int peer = accept(listener, NULL, NULL);
		writes(c.out, "hello");
		assert_int_equal(read(peer, got, sizeof got), 5);
		CALL(&p, IN "read", c.in, 10);
		assert_int_equal(stream_did(4), FINE);  // nothing yet
		assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 0);
		assert_int_equal(write(peer, "world", 5), 5);
		reads(c.in, "world");
		GIVES(DONE, TCP "shutdown", c.socket, 1);
		assert_int_equal(read(peer, got, sizeof got), 0);
		CALL(&p, OUT "check-write", c.out);
		assert_int_equal(stream_did(8), CLOSED);
		CALL(&p, OUT "flush", c.out);
		assert_int_equal(stream_did(4), CLOSED);
		assert_int_equal(write(peer, "still", 5), 5);
		reads(c.in, "still");
		assert_int_equal(shutdown(peer, SHUT_WR), 0);
		for (int i = 0; i < 2; i++) {
			CALL(&p, IN "blocking-read", c.in, 10);
			assert_int_equal(stream_did(4), CLOSED);
		}
		CALL(&p, IN "read", c.in, 0);
		assert_int_equal(stream_did(4), CLOSED);
		close(peer);
		close(listener);
	}
}

static void a_side_that_was_shut_gives_nothing_that_came_before(void **state)
{
	uint16_t port;
	int listener = peer_listens("127.0.0.1", &port);
	struct stream c = connect_to("127.0.0.1", port);
	int peer = accept(listener, NULL, NULL);
	assert_int_equal(write(peer, "text", 4), 4);
	wait_for(c.in, IN "subscribe");
	assert_true(permit(c.out) > 0);
	GIVES(DONE, TCP "shutdown", c.socket, 0);
	GIVES(DONE, TCP "shutdown", c.socket, 1);
	GIVES(DONE, TCP "shutdown", c.socket, 2);
	CALL(&p, IN "read", c.in, 10);
	assert_int_equal(stream_did(4), CLOSED);
	CALL(&p, OUT "write", c.out, PUPPET_ARGS, 3);
	assert_int_equal(stream_did(4), CLOSED);
	close(peer);
	close(listener);
}

static void a_reset_is_told_once_with_its_code(void **state)
{
	uint16_t port;
	int listener = peer_listens("127.0.0.1", &port);
	struct stream c = connect_to("127.0.0.1", port);
	peer_resets(accept(listener, NULL, NULL));
	CALL(&p, IN "blocking-read", c.in, 10);
	assert_int_equal(stream_did(4), FAILED);
	uint32_t error = puppet_word(&p, PUPPET_RESULT + 8);
	CALL(&p, "network-error-code", error);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 1), EC(CONNECTION_RESET));
	CALL(&p, IN "blocking-read", c.in, 10);
	assert_int_equal(stream_did(4), CLOSED);
	CALL(&p, OUT "blocking-write-and-flush", c.out, PUPPET_ARGS, 1);
	assert_true(stream_did(4) != FINE);
	close(listener);
}

// What a peer that does not read leaves: bounded by what the kernel takes, and one permit.
static void a_peer_that_does_not_read_stops_the_guest_and_loses_nothing(void **state)
{
	uint16_t port;
	uint64_t sent = 0, got = 0;
	static uint8_t bytes[1 << 16];
	int listener = peer_listens("127.0.0.1", &port);
	struct stream c = connect_to("127.0.0.1", port);
	int peer = accept(listener, NULL, NULL);
	GIVES(DONE, TCP "set-send-buffer-size", c.socket, 4096);
	for (uint32_t n; (n = permit(c.out)) > 0; sent += n) {
		CALL(&p, OUT "write", c.out, PUPPET_HEAP, n);
		assert_int_equal(stream_did(4), FINE);
		assert_in_range(sent, 0, 64 << 20);
	}
	CALL(&p, OUT "flush", c.out);
	assert_int_equal(stream_did(4), FINE);
	drop_stream(&c);  // all of it goes still
	assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
	for (ssize_t n = 1; n != 0;) {
		n = read(peer, bytes, sizeof bytes);
		assert_true(n >= 0 || errno == EAGAIN);
		got += n > 0 ? (uint64_t)n : 0;
		if (n < 0)
			loop_run_once(loop, MILLISECOND);
	}
	assert_true(got == sent && sent >= 65536);
	close(peer);
	close(listener);
}

static void what_was_written_before_a_shutdown_arrives(void **state)
{
	uint16_t port;
	uint64_t got = 0;
	static uint8_t bytes[1 << 16];
	int listener = peer_listens("127.0.0.1", &port), small = 4096;
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	struct stream c = connect_to("127.0.0.1", port);
	int peer = accept(listener, NULL, NULL);
	GIVES(DONE, TCP "set-send-buffer-size", c.socket, 1024);
	uint32_t n = permit(c.out);
	CALL(&p, OUT "write", c.out, PUPPET_HEAP, n);
	GIVES(DONE, TCP "shutdown", c.socket, 1);
	assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
	for (ssize_t k = 1; k != 0;) {
		k = read(peer, bytes, sizeof bytes);
		got += k > 0 ? (uint64_t)k : 0;
		if (k < 0)
			loop_run_once(loop, MILLISECOND);
	}
	assert_int_equal(got, n);
	drop_stream(&c);
	close(peer);
	close(listener);
}

static void a_connection_is_accepted_and_what_watches_it_may_go_last(void **state)
{
	char got[8];
	uint16_t port;
	uint32_t s = listen_at("::1", &port);
	GIVES4(EC(WOULD_BLOCK), TCP "accept", s);
	int peer = peer_connects("::1", port);
	struct stream c = accept_one(s);
	uint32_t w = (uint32_t)CALL(&p, IN "subscribe", c.in), of_socket = (uint32_t)CALL(&p, TCP "subscribe", s);
	writes(c.out, "yes");
	drop_stream(&c);
	puppet_drop(&p, &wasi_sockets_tcp_tcp_socket_resource, s);
	assert_int_equal(read(peer, got, sizeof got), 3);
	assert_int_equal(CALL(&p, "[method]pollable.ready", of_socket), 0);
	assert_int_equal(write(peer, "no", 2), 2);
	CALL(&p, "[method]pollable.block", w);
	puppet_drop(&p, &wasi_io_poll_pollable_resource, w);
	puppet_drop(&p, &wasi_io_poll_pollable_resource, of_socket);
	close(peer);
}

// ---- limits ----------------------------------------------------------------------------------------------------------------------------

static void sockets_have_a_limit_also_accepted_ones(void **state)
{
	uint16_t port;
	p.grants.max_sockets = 1;
	uint32_t s = new_socket(true, false);
	GIVES4(EC(NEW_SOCKET_LIMIT), "create-tcp-socket", 0);
	GIVES4(EC(NEW_SOCKET_LIMIT), "create-udp-socket", 0);
	puppet_drop(&p, &wasi_sockets_udp_udp_socket_resource, s);
	s = listen_at("127.0.0.1", &port);
	int peer = peer_connects("127.0.0.1", port);
	wait_for(s, TCP "subscribe");
	GIVES4(EC(NEW_SOCKET_LIMIT), TCP "accept", s);
	p.grants.max_sockets = 2;
	accept_one(s);
	GIVES4(EC(NEW_SOCKET_LIMIT), "create-tcp-socket", 1);
	close(peer);
}

static void thousands_of_sockets_stop_at_the_limit(void **state)
{
	enum { MANY = 9000 };
	uint32_t n = 0, most = process.max_files > MANY ? MANY : (uint32_t)process.max_files - 50;
	p.grants.max_sockets = most;
	while (CALL(&p, "create-tcp-socket", 0), did_at(4) == DONE)
		assert_in_range(++n, 1, most);
	assert_int_equal(did_at(4), EC(NEW_SOCKET_LIMIT));
	assert_int_equal(n, most);
}

static void of_all_guests_together_sockets_have_a_limit_too(void **state)
{
	process.max_files = 3;
	for (int i = 0; i < 3; i++)
		new_socket(i & 1, false);
	GIVES4(EC(NEW_SOCKET_LIMIT), "create-tcp-socket", 0);
}

// ---- what ends a wait ------------------------------------------------------------------------------------------------------------------

// The call begins, waits, and is ended; the instance goes afterwards with all that it has.
static void ends(const char *name, const uint64_t *args, uint32_t n)
{
	puppet_set(&p, name, args, n);
	puppet_begin(&p);
	for (int i = 0; i < 20; i++)
		loop_run_once(loop, MILLISECOND);
	if (p.done)
		fail_msg("%s did not wait", name);
	seam_task_kill(p.task, TRAP_KILLED);
	for (int i = 0; i < 1000 && !p.done; i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(p.done && !p.ok);
	assert_int_equal(p.trap.trap, TRAP_KILLED);
	close_one(NULL);
	open_one(NULL);
}
static void block_ends(uint32_t s, const char *subscribe)
{
	ends("[method]pollable.block", (const uint64_t[]){CALL(&p, subscribe, s)}, 1);
}

// Those by HTTP are counted in the same place.
static void connections_of_an_app_are_counted_until_they_end(void **state)
{
	struct http_quota quota = {.most = 2};
	uint16_t port;
	int listener = peer_listens("127.0.0.1", &port);
	p.wasi.quota = &quota;
	struct stream first = connect_to("127.0.0.1", port);
	assert_true(http_quota_take(&quota));
	uint32_t s = new_socket(false, false);
	assert_int_equal(start_connect(s, "127.0.0.1", port), EC(NEW_SOCKET_LIMIT));
	assert_false(http_quota_take(&quota));
	http_quota_give(&quota);
	assert_int_equal(start_connect(s, "127.0.0.1", (uint16_t)free_port()), DONE);  // it came back for it
	assert_int_equal(shared_count_now(&quota.open), 2);
	struct stream c;
	assert_int_equal(finish_connect(s, &c), EC(CONNECTION_REFUSED));
	assert_int_equal(shared_count_now(&quota.open), 1);
	s = new_socket(false, false);
	assert_int_equal(start_connect(s, "127.0.0.1", port), DONE);
	assert_int_equal(finish_connect(s, &c), DONE);
	assert_int_equal(shared_count_now(&quota.open), 2);
	drop_stream(&first);
	assert_int_equal(shared_count_now(&quota.open), 1);
	p.wasi.quota = NULL;
	close(listener);
}

static void each_wait_can_be_ended(void **state)
{
	uint16_t port;
	uint32_t l;
	struct pair d;
	block_ends(listen_at("127.0.0.1", &port), TCP "subscribe");
	assert_int_equal(udp_stream(udp_bound("127.0.0.1", 0), NULL, 0, &d), DONE);
	block_ends(d.in, "[method]incoming-datagram-stream.subscribe");
	sys_net.resolve = answers;
	grant("*.test");
	delay_ms = 1000;
	assert_int_equal(look_up("a.test", &l), DONE);
	block_ends(l, "[method]resolve-address-stream.subscribe");
	delay_ms = 0;
	int listener = peer_listens("127.0.0.1", &port), small = 4096;
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	struct stream c = connect_to("127.0.0.1", port);
	ends(IN "blocking-read", (const uint64_t[]){c.in, 10}, 2);
	c = connect_to("127.0.0.1", port);
	GIVES(DONE, TCP "set-send-buffer-size", c.socket, 4096);
	for (uint32_t n; (n = permit(c.out)) > 0;)
		CALL(&p, OUT "write", c.out, PUPPET_HEAP, n);
	block_ends(c.out, OUT "subscribe");
	close(listener);
}

static void a_connection_under_way_can_be_given_up(void **state)
{
	uint16_t port;
	int listener = peer_listens("127.0.0.1", &port), peers[8];
	assert_int_equal(listen(listener, 0), 0);
	struct sys_endpoint to = {.ip = {127, 0, 0, 1}, .port = port};
	for (size_t i = 0; i < ARRAY_LEN(peers); i++) {  // those that wait fill its queue
		peers[i] = sys_socket(false, false);
		sys_socket_connect(peers[i], &to);
	}
	uint32_t s = new_socket(false, false);
	assert_int_equal(start_connect(s, "127.0.0.1", port), DONE);
	GIVES4(EC(WOULD_BLOCK), TCP "finish-connect", s);
	block_ends(s, TCP "subscribe");
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		close(peers[i]);
	close(listener);
}

int main(void)
{
	hand_over();
	const struct CMUnitTest tests[] = {
		TEST(each_step_has_its_states),
		TEST(addresses_that_no_socket_may_have_are_refused),
		TEST(an_address_has_one_listener_and_is_free_when_that_is_gone),
		TEST(a_socket_that_was_handed_over_is_watched_no_more_when_it_is_dropped),
		TEST(options_are_what_they_were_set_to_within_bounds),
		TEST(an_accepted_connection_has_its_listeners_options),
		TEST(bytes_go_both_ways_and_each_way_ends_by_itself),
		TEST(a_side_that_was_shut_gives_nothing_that_came_before),
		TEST(a_reset_is_told_once_with_its_code),
		TEST(a_peer_that_does_not_read_stops_the_guest_and_loses_nothing),
		TEST(what_was_written_before_a_shutdown_arrives),
		TEST(a_connection_is_accepted_and_what_watches_it_may_go_last),
		TEST(sockets_have_a_limit_also_accepted_ones),
		TEST(thousands_of_sockets_stop_at_the_limit),
		TEST(of_all_guests_together_sockets_have_a_limit_too),
		TEST(connections_of_an_app_are_counted_until_they_end),
		TEST(each_wait_can_be_ended),
		TEST(a_connection_under_way_can_be_given_up),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
