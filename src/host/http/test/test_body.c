// Framing of bodies: the table tests/http/bodies.txt, and the limits on chunk extensions (L80, L81).
#include "table.h"

#include "http/h1.h"

// The decoder as a connection uses it: bytes arrive up to `cut` first, then one by one.
static void outcome(const uint8_t *in, size_t len, size_t cut, char *out, size_t cap)
{
	struct h1_body b;
	struct h1_scan trailers = {0};
	struct buf data = {0};
	struct http_field fields[8];
	uint32_t n;
	size_t at = 0;
	bool bad = false;
	h1_body_init(&b, true, 0);
	for (size_t have = cut; !bad && b.state != H1_BODY_DONE; have++) {
		for (bool more = true; more && !bad;) {
			size_t before = at;
			at += h1_body_frame(&b, in + at, have - at);
			if (h1_body_in_data(&b) && at < have) {
				size_t take = min_u64(b.left, have - at);
				buf_put(&data, in + at, take);
				h1_body_take(&b, take);
				at += take;
			} else if (b.state == H1_BODY_TRAILERS) {
				int64_t end = h1_head_scan(&trailers, in + at, have - at, 4000, true);
				bad = end < 0 || (end > 0 && h1_trailers_parse(in + at, (size_t)end, fields, 8, &n));
				if (end > 0 && !bad) {
					at += (size_t)end;
					b.state = H1_BODY_DONE;
				}
			}
			bad |= b.state == H1_BODY_BAD;
			more = at != before && b.state != H1_BODY_DONE;
		}
		if (have == len)
			break;
	}
	if (bad)
		snprintf(out, cap, "bad");
	else if (b.state != H1_BODY_DONE)
		snprintf(out, cap, "more");
	else
		snprintf(out, cap, "data %.*s|rest %zu", SLICE_ARGS(buf_view(&data)), len - at);
	buf_release(&data);
}

static void check_body(const struct table_case *c)
{
	char got[600], want[1200];
	uint8_t text[600];
	if (!memcmp(c->out[0], "data ", 5)) {
		size_t n = table_unescape(c->out[0] + 5, text, sizeof text);
		snprintf(want, sizeof want, "data %.*s|%s", (int)n, (char *)text, c->outs > 1 ? c->out[1] : "rest 0");
	} else {
		snprintf(want, sizeof want, "%s", c->out[0]);
	}
	for (size_t cut = 0; cut <= c->in_len; cut++) {
		outcome(c->in, c->in_len, cut, got, sizeof got);
		if (strcmp(got, want))
			fail_msg("%s, cut after %zu: got '%s', not '%s'", c->name, cut, got, want);
	}
}

static void bodies_of_the_table_are_read_whole_and_in_pieces(void **state)
{
	assert_true(table_run("bodies.txt", check_body) > 30);
}

static enum h1_body_state after_extension(struct h1_body *b, size_t bytes, size_t size)
{
	struct buf in = {0};
	buf_printf(&in, "%zx;", size);
	for (size_t i = 0; i < bytes; i++)
		buf_put_byte(&in, 'x');
	buf_put_str(&in, "\r\n");
	h1_body_frame(b, in.ptr, in.len);
	buf_release(&in);
	return b->state;
}

static void L81_an_extension_has_256_bytes_at_most(void **state)
{
	struct h1_body b;
	h1_body_init(&b, true, 0);
	assert_int_equal(after_extension(&b, 256, 1), H1_BODY_DATA);
	h1_body_init(&b, true, 0);
	assert_int_equal(after_extension(&b, 257, 1), H1_BODY_BAD);
}

static void L81_extensions_are_bounded_against_the_data(void **state)
{
	struct h1_body b;
	h1_body_init(&b, true, 0);
	int chunks = 0;
	for (; chunks < 1000 && after_extension(&b, 250, 1) == H1_BODY_DATA; chunks++) {
		h1_body_take(&b, 1);
		h1_body_frame(&b, (const uint8_t *)"\r\n", 2);
	}
	assert_in_range(chunks, 60, 70);  // 16 KiB free
	h1_body_init(&b, true, 0);
	for (chunks = 0; chunks < 1000 && after_extension(&b, 250, 300) == H1_BODY_DATA; chunks++) {
		h1_body_take(&b, 300);
		h1_body_frame(&b, (const uint8_t *)"\r\n", 2);
	}
	assert_int_equal(chunks, 1000);
}

static void trailers_leave_out_what_would_change_framing_or_routing(void **state)
{
	const char text[] = "A: 1\r\nContent-Length: 5\r\nHOST: x\r\nTransfer-Encoding: chunked\r\nB: 2\r\n\r\n";
	struct http_field f[8];
	uint32_t n;
	assert_int_equal(h1_trailers_parse((const uint8_t *)text, sizeof text - 1, f, 8, &n), 0);
	assert_int_equal(n, 2);
	assert_true(slice_eq_str(f[0].name, "A") && slice_eq_str(f[1].value, "2"));
	assert_int_equal(h1_trailers_parse((const uint8_t *)text, sizeof text - 1, f, 4, &n), 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_of_the_table_are_read_whole_and_in_pieces),
		cmocka_unit_test(L81_an_extension_has_256_bytes_at_most),
		cmocka_unit_test(L81_extensions_are_bounded_against_the_data),
		cmocka_unit_test(trailers_leave_out_what_would_change_framing_or_routing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
