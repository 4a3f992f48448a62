// Requests that go out by HTTP/2, against our own server by TLS in the same loop: what shares a connection, what is begun anew, what is told when it ends.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include "harness.h"

static char cert[] = "/tmp/tenon-cert-XXXXXX", key[] = "/tmp/tenon-key-XXXXXX";
static struct http_tls *tls, *roots;
static struct loop_pool *names;
static struct http_client *client;
static char authority[32];

struct asked {
	struct http_exchange *x;
	bool head, over, lazy, finish_failed;
	enum http_failure failure;
	uint64_t got, to_write;
	enum http_read end;
};

static int denied;

static bool may_connect(void *user, const struct http_address *a)
{
	return denied-- <= 0;
}

static void read_all(struct asked *a)
{
	struct slice data;
	while ((a->end = http_body_peek(a->x, &data)) == HTTP_READ_DATA) {
		a->got += data.len;
		http_body_consume(a->x, data.len);
	}
}

static void write_more(struct asked *a)
{
	static const uint8_t zeros[HTTP_WINDOW];
	size_t permit;
	while (a->to_write && (permit = http_body_permit(a->x))) {
		size_t n = min_u64(permit, a->to_write);
		if (http_body_write(a->x, slice_of(zeros, n)) != HTTP_WRITE_OK)
			return;
		a->to_write -= n;
		if (!a->to_write)
			a->finish_failed = !http_body_finish(a->x, &(struct http_field){SLICE_LIT("t"), SLICE_LIT("end")}, 1);
	}
}

static void client_head(void *user, struct http_exchange *x)
{
	struct asked *a = user;
	a->head = true;
	if (!a->lazy)
		read_all(a);
}

static void client_readable(void *user, struct http_exchange *x)
{
	read_all(user);
}

static void client_writable(void *user, struct http_exchange *x)
{
	write_more(user);
}

static void client_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct asked *a = user;
	a->over = true;
	a->failure = http_exchange_failure(x);
}

static const struct http_exchange_ops client_ops = {client_head, client_readable, client_writable, client_cancel};

// false: it can't be sent.
static bool try_send(struct asked *a, const char *method, const char *path)
{
	enum http_failure why;
	struct http_outgoing_request r = {
		.method = slice_str(method),
		.authority = slice_str(authority),
		.target = slice_str(path),
		.https = true,
		.tls = roots,
		.may_connect = may_connect,
		.ops = &client_ops,
		.user = a,
	};
	*a = (struct asked){.end = HTTP_READ_AGAIN};
	return http_client_send(client, &r, &a->x, &why);
}

static void send_to(struct asked *a, const char *method, const char *path, bool finished)
{
	assert_true(try_send(a, method, path));
	if (finished)
		assert_true(http_body_finish(a->x, NULL, 0));
}

static bool is_through(const struct asked *a)
{
	return a->over || (a->head && (a->end == HTTP_READ_END || a->end == HTTP_READ_ERROR));
}

static void wait_through(struct asked *list, int n)
{
	uint64_t give_up = sys_now_ns() + 20 * SECOND;
	for (int i = 0; i < n;) {
		if (is_through(&list[i]))
			i++;
		else if (sys_now_ns() > give_up)
			fail_msg("request %d: head %d, %d, %llu bytes", i, list[i].head, list[i].end, (unsigned long long)list[i].got);
		else
			turn(1);
	}
}

static void release(struct asked *list, int n)
{
	for (int i = 0; i < n; i++)
		http_exchange_release(list[i].x);
	turn(3);
}

static void expect_whole(struct asked *list, int n, uint64_t bytes)
{
	wait_through(list, n);
	for (int i = 0; i < n; i++) {
		assert_false(list[i].over);
		assert_int_equal(http_exchange_answer(list[i].x)->status, 200);
		assert_int_equal(list[i].got, bytes);
	}
}

static void start(uint32_t streams)
{
	struct http_tls_pair pair = {cert, key};
	struct http_limits l = http_limits_default;
	l.streams = streams;
	denied = 0;
	assert_true(http_tls_server_new(&pair, 1, &tls, NULL) && http_tls_client_new(cert, &roots, NULL));
	start_server_with((struct http_server_config){.limits = l, .on_request = on_request, .tls = tls});
	snprintf(authority, sizeof authority, "127.0.0.1:%u", http_address_port(&address));
	assert_true(loop_pool_new(&names, 1, 10, NULL) && http_client_new(loop, names, &http_client_limits_default, &client, NULL));
}

static void stop(void)
{
	http_client_free(client);
	loop_pool_free(names);
	stop_server();
	http_tls_free(tls);
	http_tls_free(roots);
}

static uint64_t accepted(void)
{
	return http_server_counters(server)->accepted;
}

// ---- tests -----------------------------------------------------------------------------------------------------------------------------

static void requests_of_one_origin_share_a_connection_from_the_first(void **state)
{
	struct asked list[50];
	start(100);
	for (int i = 0; i < 50; i++)
		send_to(&list[i], "GET", "/hello", true);
	expect_whole(list, 50, 5);
	assert_int_equal(accepted(), 1);
	release(list, 50);
	send_to(&list[0], "GET", "/hello", true);
	expect_whole(list, 1, 5);
	assert_int_equal(accepted(), 1);
	release(list, 1);
	stop();
}

static void no_more_requests_are_on_a_connection_than_the_peer_takes(void **state)
{
	struct asked list[10];
	start(3);
	for (int i = 0; i < 10; i++) {
		send_to(&list[i], "GET", "/big", true);
		list[i].lazy = true;
	}
	for (int i = 0; i < 10; i++)
		wait_until(&list[i].head);
	assert_int_equal(accepted(), 4);
	release(list, 10);
	stop();
	start(1);
	for (int i = 0; i < 5; i++)
		send_to(&list[i], "GET", "/hello", true);
	expect_whole(list, 5, 5);
	assert_in_range(accepted(), 1, 5);
	release(list, 5);
	stop();
}

static void bodies_and_trailers_go_both_ways_beside_each_other(void **state)
{
	struct asked list[8];
	start(100);
	for (int i = 0; i < 8; i++) {
		send_to(&list[i], "POST", "/echo", false);
		list[i].to_write = 300000 + (uint64_t)i;
		write_more(&list[i]);
	}
	wait_through(list, 8);
	for (int i = 0; i < 8; i++) {
		uint32_t n;
		const struct http_field *t = http_body_trailers(list[i].x, &n);
		assert_int_equal(list[i].got, 300000 + i);
		assert_int_equal(n, 1);
		assert_true(slice_eq_str(t->name, "t") && slice_eq_str(t->value, "end"));
	}
	assert_int_equal(accepted(), 1);
	release(list, 8);
	stop();
}

static void who_does_not_read_holds_nobody_up_and_costs_a_window(void **state)
{
	struct asked slow, list[3];
	start(100);
	send_to(&slow, "GET", "/big", true);
	slow.lazy = true;
	wait_until(&slow.head);
	for (int i = 0; i < 3; i++)
		send_to(&list[i], "GET", i ? "/hello" : "/big", true);
	expect_whole(list, 1, 8 << 20);
	expect_whole(list + 1, 2, 5);
	assert_int_equal(slow.got, 0);
	assert_int_equal(held_count, 1);
	assert_in_range(held->left, (8 << 20) - 4 * HTTP_WINDOW, (8 << 20) - 1);
	release(list, 3);
	http_exchange_release(slow.x);
	turn(5);
	send_to(&list[0], "GET", "/hello", true);  // the connection goes on
	expect_whole(list, 1, 5);
	assert_int_equal(accepted(), 1);
	release(list, 1);
	stop();
}

// Its server has answered, and wants no more of the request (RFC 9113, 8.1): what is written then is thrown away, whatever of the answer was not read.
static void who_waits_to_write_hears_when_the_server_wants_no_more(void **state)
{
	struct asked a;
	start(100);
	send_to(&a, "POST", "/held", false);
	a.lazy = true;
	a.to_write = 4 << 20;
	write_more(&a);
	wait_held(1);
	for (uint64_t before = 0; before != a.to_write; turn(5))
		before = a.to_write;
	assert_true(a.to_write);
	answer(held->x, "hello");
	let_go(held);
	wait_until(&a.head);
	uint64_t give_up = sys_now_ns() + 20 * SECOND;
	while (a.to_write && sys_now_ns() < give_up)
		turn(1);
	assert_int_equal(a.to_write, 0);
	read_all(&a);
	expect_whole(&a, 1, 5);
	release(&a, 1);
	stop();
}

static void a_connection_is_vetted_for_each_request(void **state)
{
	struct asked first, second;
	start(100);
	send_to(&first, "GET", "/hello", true);
	expect_whole(&first, 1, 5);
	release(&first, 1);
	denied = 2;  // on the one that is there, and where it would lead
	send_to(&second, "GET", "/hello", true);
	wait_through(&second, 1);
	assert_int_equal(second.failure, HTTP_FAILURE_DESTINATION_IP_PROHIBITED);
	assert_int_equal(accepted(), 1);
	release(&second, 1);
	stop();
}

static void requests_that_a_good_bye_left_out_are_begun_anew(void **state)
{
	struct asked list[20];
	for (int turns = 0; turns < 12; turns++) {
		start(100);
		send_to(&list[0], "GET", "/hello", true);
		expect_whole(list, 1, 5);
		release(list, 1);
		struct http_server *old = server;
		struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .tls = tls};
		assert_true(http_server_new(loop, &config, &server, NULL) && http_server_listen(server, &address, false, NULL));
		http_server_drain(old, on_drained, NULL);
		for (int i = 0; i < turns; i++)
			turn(1);
		for (int i = 0; i < 20; i++) {
			send_to(&list[i], "POST", "/read", i % 2);
			if (i % 2 == 0) {
				list[i].to_write = 100;
				write_more(&list[i]);
			}
		}
		wait_through(list, 20);
		for (int i = 0; i < 20; i++)
			expect_whole(&list[i], 1, i % 2 ? 5 : 7);
		release(list, 20);
		http_server_free(old);
		stop();
	}
}

static void requests_that_wait_for_a_handshake_may_be_dropped(void **state)
{
	struct asked list[10];
	start(100);
	for (int i = 0; i < 10; i++)
		send_to(&list[i], "GET", "/hello", true);
	loop_run_once(loop, 0);
	release(list, 5);  // the one that makes the connection among them
	expect_whole(list + 5, 5, 5);
	release(list + 5, 5);
	stop();
}

static void a_peer_that_fails_its_handshake_fails_each_who_waited(void **state)
{
	struct asked list[10];
	start(100);
	http_tls_free(roots);
	assert_true(http_tls_client_new(NULL, &roots, NULL));
	for (int i = 0; i < 10; i++)
		send_to(&list[i], "GET", "/hello", true);
	wait_through(list, 10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(list[i].failure, HTTP_FAILURE_TLS_CERTIFICATE_ERROR);
	release(list, 10);
	stop();
}

static void the_loss_of_a_connection_is_told_to_all_who_are_on_it(void **state)
{
	struct asked list[6];
	start(100);
	for (int i = 0; i < 6; i++)
		send_to(&list[i], "POST", "/read", false);
	wait_held(6);
	http_server_free(server);
	while (held)
		let_go(held);
	wait_through(list, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(list[i].failure, HTTP_FAILURE_CONNECTION_TERMINATED);
	release(list, 6);
	http_client_free(client);
	loop_pool_free(names);
	loop_free(loop);
	http_tls_free(tls);
	http_tls_free(roots);
}

static void each_allocation_may_fail(void **state)
{
	for (int n = 1; n < 200; n += n < 80 ? 1 : 7) {
		struct asked list[3];
		start(100);
		int sent = 0;
		mem_fail_nth((uint64_t)n);
		for (int i = 0; i < 3; i++) {
			if (!try_send(&list[sent], "POST", "/echo"))
				continue;
			list[sent].to_write = 100000;
			write_more(&list[sent++]);
		}
		for (int i = 0; i < 40; i++)
			turn(1);
		mem_fail_nth(0);
		for (int i = 0; i < sent; i++)
			http_exchange_release(list[i].x);
		turn(5);
		stop();
	}
}

// ---- a certificate ---------------------------------------------------------------------------------------------------------------------

static void write_certificate(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	assert_true(k && x);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, k);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)"a", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_EXTENSION *names_of = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	assert_true(names_of && X509_add_ext(x, names_of, -1));
	X509_EXTENSION_free(names_of);
	assert_true(X509_sign(x, k, EVP_sha256()) > 0);
	FILE *c = fdopen(mkstemp(cert), "w"), *p = fdopen(mkstemp(key), "w");
	assert_true(c && p && PEM_write_X509(c, x) && PEM_write_PrivateKey(p, k, NULL, NULL, 0, NULL, NULL));
	fclose(c);
	fclose(p);
	X509_free(x);
	EVP_PKEY_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_one_origin_share_a_connection_from_the_first),
		cmocka_unit_test(no_more_requests_are_on_a_connection_than_the_peer_takes),
		cmocka_unit_test(bodies_and_trailers_go_both_ways_beside_each_other),
		cmocka_unit_test(who_does_not_read_holds_nobody_up_and_costs_a_window),
		cmocka_unit_test(who_waits_to_write_hears_when_the_server_wants_no_more),
		cmocka_unit_test(a_connection_is_vetted_for_each_request),
		cmocka_unit_test(requests_that_a_good_bye_left_out_are_begun_anew),
		cmocka_unit_test(requests_that_wait_for_a_handshake_may_be_dropped),
		cmocka_unit_test(a_peer_that_fails_its_handshake_fails_each_who_waited),
		cmocka_unit_test(the_loss_of_a_connection_is_told_to_all_who_are_on_it),
		cmocka_unit_test(each_allocation_may_fail),
	};
	signal(SIGPIPE, SIG_IGN);
	write_certificate();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(cert);
	unlink(key);
	return failed;
}
