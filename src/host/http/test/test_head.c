// Heads: the table tests/http/heads.txt, limits, and the validators of fields (L80, L82, L83).
#include "table.h"

#include "http/h1.h"

// Outcome as a line of the table, feeding `step` bytes at a time (0: all at once).
static void outcome(const uint8_t *in, size_t len, size_t step, size_t first, char *out, size_t cap)
{
	static struct h1_head h;
	static struct http_field fields[HTTP_FIELDS_MAX];
	uint8_t *copy = mem_alloc(len + 1);
	memcpy(copy, in, len);
	struct h1_scan scan = {0};
	int64_t n = H1_MORE;
	for (size_t at = first ? first : step ? step
										  : len;
		n == H1_MORE; at += step ? step : len) {
		if (at > len)
			at = len;
		n = h1_head_scan(&scan, copy, at, 4000, false);
		if (at == len)
			break;
	}
	if (n == H1_MORE) {
		snprintf(out, cap, "more");
	} else if (n < 0) {
		snprintf(out, cap, "%d", (int)-n);
	} else {
		unsigned status = h1_head_parse(copy + scan.start, (size_t)n - scan.start, fields, HTTP_FIELDS_MAX, &h);
		char length[32];
		snprintf(length, sizeof length, "%llu", (unsigned long long)h.req.length);
		struct slice a = h.req.authority.len ? h.req.authority : SLICE_LIT("-");
		if (status)
			snprintf(out, cap, "%u", status);
		else
			snprintf(out, cap, "ok %.*s %.*s %.*s %s %s %u", SLICE_ARGS(h.req.method), SLICE_ARGS(h.req.target), SLICE_ARGS(a),
				h.chunked            ? "chunked"
					: h.req.has_body ? length
									 : "none",
				h.keep_alive ? "keep" : "close", h.req.field_count);
	}
	mem_free(copy);
}

static void check_head(const struct table_case *c)
{
	char got[600];
	outcome(c->in, c->in_len, 0, 0, got, sizeof got);
	if (strcmp(got, c->out[0]))
		fail_msg("%s: got '%s', not '%s'", c->name, got, c->out[0]);
	for (size_t first = 0; first < c->in_len; first++) {
		outcome(c->in, c->in_len, first ? 0 : 1, first, got, sizeof got);
		if (strcmp(got, c->out[0]))
			fail_msg("%s, cut after %zu: got '%s', not '%s'", c->name, first, got, c->out[0]);
	}
}

static void heads_of_the_table_are_read_whole_and_in_pieces(void **state)
{
	assert_true(table_run("heads.txt", check_head) > 80);
}

static void L83_a_head_beyond_its_limit_is_431_however_it_comes(void **state)
{
	enum { MAX = 4000 };
	static uint8_t in[6000];
	char got[600];
	for (int lines = 0; lines < 2; lines++) {
		struct buf b = {0};
		buf_put_str(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
		while (b.len < 5000)
			buf_put_str(&b, lines ? "\r\nX: aaaaaaaaa" : "aaaaaaaa");
		buf_put_str(&b, "\r\n\r\n");
		memcpy(in, b.ptr, b.len);
		for (size_t step = 0; step < 3; step++) {
			outcome(in, b.len, step, 0, got, sizeof got);
			assert_string_equal(got, "431");
		}
		buf_release(&b);
	}
	memset(in, 'a', sizeof in);
	outcome(in, MAX - 1, 1, 0, got, sizeof got);
	assert_string_equal(got, "more");
	outcome(in, MAX, 1, 0, got, sizeof got);
	assert_string_equal(got, "501");
}

static void a_target_beyond_the_limit_of_the_head_is_414(void **state)
{
	static uint8_t in[6000];
	char got[600];
	memset(in, 'a', sizeof in);
	memcpy(in, "GET /", 5);
	for (size_t step = 0; step < 3; step++) {
		outcome(in, sizeof in, step, 0, got, sizeof got);
		assert_string_equal(got, "414");
	}
	memcpy(in + 5000, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);  // it has an end, but beyond
	for (size_t step = 0; step < 3; step++) {
		outcome(in, sizeof in, step, 0, got, sizeof got);
		assert_string_equal(got, "414");
	}
}

static void L83_more_than_128_fields_are_431(void **state)
{
	char got[600];
	for (int n = 127; n <= 129; n++) {
		struct buf b = {0};
		buf_put_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
		for (int i = 1; i < n; i++)
			buf_put_str(&b, "X:y\r\n");
		buf_put_str(&b, "\r\n");
		outcome(b.ptr, b.len, 0, 0, got, sizeof got);
		if (n <= 128)
			assert_memory_equal(got, "ok ", 3);
		else
			assert_string_equal(got, "431");
		buf_release(&b);
	}
}

static void L82_names_and_values_with_line_ends_are_invalid(void **state)
{
	assert_true(http_field_name_is_valid(SLICE_LIT("x-a!#$%&'*+-.^_`|~9")));
	assert_false(http_field_name_is_valid(SLICE_LIT("")));
	assert_false(http_field_name_is_valid(SLICE_LIT("a b")));
	assert_false(http_field_name_is_valid(SLICE_LIT("a:")));
	assert_false(http_field_name_is_valid(SLICE_LIT("a\r\nb")));
	assert_true(http_field_value_is_valid(SLICE_LIT("")));
	assert_true(http_field_value_is_valid(SLICE_LIT("a b\tc\xff")));
	assert_false(http_field_value_is_valid(SLICE_LIT("a\r\nb: c")));
	assert_false(http_field_value_is_valid(SLICE_LIT("a\nb")));
	assert_false(http_field_value_is_valid(SLICE_LIT("a\0b")));
	assert_false(http_field_value_is_valid(SLICE_LIT(" a")));
	assert_false(http_field_value_is_valid(SLICE_LIT("a\t")));
	assert_false(http_method_is_valid(SLICE_LIT("GET /")));
	assert_false(http_target_is_valid(SLICE_LIT("/a b")));
	assert_false(http_target_is_valid(SLICE_LIT("a")));
	assert_true(http_target_is_valid(SLICE_LIT("/a?b")));
	for (int pos = 0; pos < 24; pos++)  // each lane of the word-wise scan
		for (int c = 0; c < 256; c++) {
			uint8_t text[24];
			memset(text, 'v', sizeof text);
			text[pos] = (uint8_t)c;
			bool bad = (c < 0x20 && c != '\t') || c == 0x7f, edge = pos == 0 || pos == 23;
			assert_int_equal(http_field_value_is_valid(slice_of(text, 24)), !bad && !(edge && (c == ' ' || c == '\t')));
		}
}

static void W28_connection_fields_are_forbidden(void **state)
{
	const char *names[] = {"Connection", "keep-alive", "proxy-connection", "TE", "Transfer-Encoding", "upgrade", "HOST", "HTTP2-Settings"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(http_field_is_forbidden(slice_str(names[i])));
	assert_false(http_field_is_forbidden(SLICE_LIT("content-length")));
	assert_false(http_field_is_forbidden(SLICE_LIT("x-host")));
}

static void authorities_are_split(void **state)
{
	struct slice host, port;
	assert_true(http_authority_is_valid(SLICE_LIT("[::1]:80"), &host, &port));
	assert_true(slice_eq_str(host, "[::1]") && slice_eq_str(port, "80"));
	assert_true(http_authority_is_valid(SLICE_LIT("a.b"), &host, &port));
	assert_true(slice_eq_str(host, "a.b") && port.len == 0);
	assert_false(http_authority_is_valid(SLICE_LIT(":80"), &host, &port));
	assert_false(http_authority_is_valid(SLICE_LIT("a:80:90"), &host, &port));
	assert_false(http_authority_is_valid(SLICE_LIT("[g::]"), &host, &port));
}

// What routes are found by and connections are made to.
static void a_host_is_one_however_it_is_written_U27(void **state)
{
	static const struct {
		const char *authority;
		bool https;
		const char *host;  // NULL: none
		uint16_t port;
	} rows[] = {
		{"shop.example", false, "shop.example", 80},
		{"Shop.EXAMPLE", true, "shop.example", 443},
		{"shop.example:80", false, "shop.example", 80},
		{"shop.example:443", false, "shop.example", 443},
		{"shop.example.", false, "shop.example", 80},
		{"SHOP.example.:8080", false, "shop.example", 8080},
		{"[::1]", false, "::1", 80},
		{"[2001:DB8::A]:8443", true, "2001:db8::a", 8443},
		{"127.0.0.1:1", false, "127.0.0.1", 1},
		{"shop.example:", false, "shop.example", 80},
		{"shop.example:0", false, NULL, 0},
		{"shop.example:65536", false, NULL, 0},
		{"shop.example:99999999999999999999", false, NULL, 0},
		{"shop.example:+80", false, NULL, 0},
		{"shop.example:80:80", false, NULL, 0},
		{"::1", false, NULL, 0},
		{"[::1", false, NULL, 0},
		{"[::1]x", false, NULL, 0},
		{"user@shop.example", false, NULL, 0},
		{"shop%2eexample", false, NULL, 0},
		{"shop.example/", false, NULL, 0},
		{"shop.example\r\n", false, NULL, 0},
		{"", false, NULL, 0},
		{":80", false, NULL, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char host[HTTP_HOST_MAX + 1];
		uint16_t port = 0;
		bool is_one = http_authority_split(slice_str(rows[i].authority), rows[i].https, host, &port);
		if (is_one != (rows[i].host != NULL) || (is_one && (strcmp(host, rows[i].host) != 0 || port != rows[i].port)))
			fail_msg("'%s': %s:%u", rows[i].authority, is_one ? host : "none", port);
	}
}

static void W32_lengths_are_digits_only(void **state)
{
	uint64_t n;
	assert_true(http_length_parse(SLICE_LIT("0012"), &n) && n == 12);
	const char *bad[] = {"", "+5", "-5", "5 ", "0x5", "5,5", "18446744073709551615", "99999999999999999999"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(http_length_parse(slice_str(bad[i]), &n));
}

static void reasons_are_those_of_the_registry(void **state)
{
	assert_string_equal(http__status_reason(404), "Not Found");
	assert_string_equal(http__status_reason(599), "");
}

static void addresses_round_trip(void **state)
{
	struct http_address a;
	struct err e = {0};
	char text[64];
	const char *good[][2] = {{"127.0.0.1:3000", "127.0.0.1:3000"}, {"localhost:0", "127.0.0.1:0"}, {":80", "[::]:80"}, {"[::1]:443", "[::1]:443"}};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(http_address_parse(slice_str(good[i][0]), &a, &e));
		http_address_print(&a, text, sizeof text);
		assert_string_equal(text, good[i][1]);
	}
	const char *bad[] = {"", "3000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "256.0.0.1:1", "[::1:80", "::1:80",
		"example.com:80", "[]:1"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		assert_false(http_address_parse(slice_str(bad[i]), &a, &e));
		assert_int_equal(e.code, ERR_USAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_of_the_table_are_read_whole_and_in_pieces),
		cmocka_unit_test(L83_a_head_beyond_its_limit_is_431_however_it_comes),
		cmocka_unit_test(a_target_beyond_the_limit_of_the_head_is_414),
		cmocka_unit_test(L83_more_than_128_fields_are_431),
		cmocka_unit_test(L82_names_and_values_with_line_ends_are_invalid),
		cmocka_unit_test(W28_connection_fields_are_forbidden),
		cmocka_unit_test(authorities_are_split),
		cmocka_unit_test(a_host_is_one_however_it_is_written_U27),
		cmocka_unit_test(W32_lengths_are_digits_only),
		cmocka_unit_test(reasons_are_those_of_the_registry),
		cmocka_unit_test(addresses_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
