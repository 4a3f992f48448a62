// TLS that is served, against a client that does what each test has it do: half a handshake, records without data, while certificates are replaced.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "harness.h"

static char cert[] = "/tmp/tenon-cert-XXXXXX", key[] = "/tmp/tenon-key-XXXXXX";
static struct http_tls *tls;

// ---- OpenSSL's memory, counted -------------------------------------------------------------------------------------------------------

static int64_t blocks;

static void *count_malloc(size_t n, const char *file, int line)
{
	void *p = malloc(n);
	blocks += p != NULL;
	return p;
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
	void *q = realloc(p, n);
	blocks += (q && !p) - (p && !n);
	return q;
}

static void count_free(void *p, const char *file, int line)
{
	blocks -= p != NULL;
	free(p);
}

// ---- both sides ------------------------------------------------------------------------------------------------------------------------

static void write_certificate(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	assert_true(k && x);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, k);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)"a", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, k, EVP_sha256()) > 0);
	FILE *c = fdopen(mkstemp(cert), "w"), *p = fdopen(mkstemp(key), "w");
	assert_true(c && p && PEM_write_X509(c, x) && PEM_write_PrivateKey(p, k, NULL, NULL, 0, NULL, NULL));
	fclose(c);
	fclose(p);
	X509_free(x);
	EVP_PKEY_free(k);
}

static void start(uint64_t head_ns, uint64_t idle_ns)
{
	struct http_tls_pair pair = {cert, key};
	struct http_limits l = http_limits_default;
	l.head_ns = head_ns;
	l.idle_ns = idle_ns;
	assert_true(http_tls_server_new(&pair, 1, &tls, NULL));
	start_server_with((struct http_server_config){.limits = l, .on_request = on_request, .tls = tls});
}

static void stop(void)
{
	stop_server();
	http_tls_free(tls);
}

static SSL *new_client(int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *s = SSL_new(context);
	SSL_CTX_free(context);
	assert_true(s && SSL_set_fd(s, fd));
	SSL_set_connect_state(s);
	return s;
}

static void shake_hands(SSL *s)
{
	for (int i = 0; i < 2000 && SSL_do_handshake(s) != 1; i++)
		turn(1);
	assert_true(SSL_is_init_finished(s));
}

static void ask_by(SSL *s)
{
	char got[1000] = "";
	int n = SSL_write(s, GET("/hello"), sizeof(GET("/hello")) - 1);
	assert_int_equal(n, sizeof(GET("/hello")) - 1);
	for (int i = 0; i < 2000 && (n = SSL_read(s, got, sizeof got - 1)) <= 0; i++)
		turn(1);
	assert_non_null(strstr(got, "hello"));
}

static bool ends_within(struct client *c, uint64_t ns)
{
	uint64_t end = sys_now_ns() + ns;
	while (!c->eof && sys_now_ns() < end) {
		turn(1);
		receive_some(c);
	}
	return c->eof;
}

// ---- tests -----------------------------------------------------------------------------------------------------------------------------

static void a_handshake_has_the_time_of_a_head(void **state)
{
	start(SECOND, 3600 * SECOND);
	struct client silent = dial(), half = dial(), whole = dial();
	SSL *s = new_client(whole.fd);
	shake_hands(s);
	send_bytes(&half, "\x16\x03\x01\x02\x00\x01", 6);
	assert_true(ends_within(&silent, 5 * SECOND));
	assert_true(ends_within(&half, 5 * SECOND));
	ask_by(s);  // one that is idle behind its handshake has more
	SSL_free(s);
	hang_up(&silent);
	hang_up(&half);
	hang_up(&whole);
	stop();
}

static void an_idle_connection_behind_its_handshake_is_closed_in_time(void **state)
{
	start(10 * SECOND, SECOND);
	struct client c = dial();
	SSL *s = new_client(c.fd);
	shake_hands(s);
	assert_true(ends_within(&c, 5 * SECOND));
	SSL_free(s);
	hang_up(&c);
	stop();
}

static void certificates_that_were_replaced_go_with_their_last_connection(void **state)
{
	start(SECOND * 60, SECOND * 60);
	struct client old = dial();
	SSL *s = new_client(old.fd);
	SSL_do_handshake(s);  // the server has not come to it
	int64_t before = 0;
	for (int i = 0; i < 10; i++) {
		assert_true(http_tls_reload(tls, NULL));
		if (i == 1)
			before = blocks;
	}
	assert_int_equal(blocks, before);
	shake_hands(s);
	ask_by(s);
	SSL_free(s);
	hang_up(&old);
	stop();
}

static int receives;
static int64_t count_recv(int fd, void *into, size_t max)
{
	receives++;
	return sys_net_real.recv(fd, into, max);
}

static void records_without_data_leave_the_others_their_turn(void **state)
{
	start(SECOND * 60, SECOND * 60);
	struct client c = dial();
	SSL *s = new_client(c.fd);
	shake_hands(s);
	ask_by(s);
	for (int i = 0; i < 200; i++)
		assert_true(SSL_key_update(s, SSL_KEY_UPDATE_NOT_REQUESTED) && SSL_do_handshake(s) == 1);
	sys_net.recv = count_recv;
	receives = 0;
	turn(1);
	assert_in_range(receives, 1, 20);
	sys_net = sys_net_real;
	ask_by(s);
	SSL_free(s);
	hang_up(&c);
	stop();
}

static int64_t refuse_sendv(int fd, const struct iovec *parts, int n)
{
	return -EAGAIN;
}

// Reads a chunked answer; how many bytes its body has, which must be those of write_digits.
static size_t read_digits(SSL *s)
{
	static char got[65536];
	size_t len = 0, total = 0;
	for (int i = 0; i < 2000; i++) {
		int n = SSL_read(s, got + len, (int)(sizeof got - 1 - len));
		len += n > 0 ? (size_t)n : 0;
		got[len] = 0;
		if (len > 5 && !strcmp(got + len - 5, "0\r\n\r\n"))
			break;
		turn(1);
	}
	char *at = strstr(got, "\r\n\r\n");
	assert_non_null(at);
	assert_memory_equal(got, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(got, "Transfer-Encoding: chunked\r\n"));
	for (at += 4;;) {
		size_t n = strtoul(at, &at, 16);
		assert_memory_equal(at, "\r\n", 2);
		if (n == 0)
			return total;
		for (at += 2; n; n--)
			assert_int_equal(*at++, '0' + total++ % 10);
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
	}
}

static void write_digits(struct http_exchange *x, int times)
{
	for (int i = 0; i < times; i++)
		assert_int_equal(http_body_write(x, SLICE_LIT("0123456789")), HTTP_WRITE_OK);
}

// What a record was made of that the kernel did not take must be offered again as it was: neither does its last chunk get longer, nor its head a length.
static void what_is_encrypted_is_not_written_anew(void **state)
{
	start(SECOND * 60, SECOND * 60);
	struct client c = dial();
	SSL *s = new_client(c.fd);
	shake_hands(s);
	for (int head_first = 0; head_first < 2; head_first++) {
		assert_int_equal(SSL_write(s, GET("/hold"), sizeof(GET("/hold")) - 1), sizeof(GET("/hold")) - 1);
		for (int i = 0; i < 2000 && !held; i++)
			turn(1);
		struct http_exchange *x = held->x;
		assert_true(http_respond_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
		if (head_first)
			turn(2);
		sys_net.sendv = refuse_sendv;
		turn(2);
		write_digits(x, 100);
		turn(2);
		write_digits(x, 100);
		assert_true(http_body_finish(x, NULL, 0));
		turn(2);
		sys_net = sys_net_real;
		assert_int_equal(read_digits(s), 2000);
		let_go(held);
	}
	ask_by(s);
	SSL_free(s);
	hang_up(&c);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_has_the_time_of_a_head),
		cmocka_unit_test(an_idle_connection_behind_its_handshake_is_closed_in_time),
		cmocka_unit_test(certificates_that_were_replaced_go_with_their_last_connection),
		cmocka_unit_test(records_without_data_leave_the_others_their_turn),
		cmocka_unit_test(what_is_encrypted_is_not_written_anew),
	};
	if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
		return 1;
	signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to what the server has closed
	write_certificate();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(cert);
	unlink(key);
	return failed;
}
