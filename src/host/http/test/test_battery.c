// The table tests/http/battery.txt: what comes back for bytes on a connection, and whether it lives on. Each case is sent at once, byte by byte, and
// behind others in a pipeline: the answers are the same (H11).
#include "harness.h"
#include "table.h"

// The answer at the head of *rest as "STATUS BODY", its framing undone; false: not all of it is there. `no_body`: an answer to HEAD.
static bool take_answer(struct slice *rest, bool no_body, bool eof, char *out, size_t cap, bool *ret_close)
{
	char head[4096] = "";
	uint8_t *end = rest->len ? memmem(rest->ptr, rest->len, "\r\n\r\n", 4) : NULL;
	if (!end)
		return false;
	size_t head_len = (size_t)(end - rest->ptr) + 4;
	assert_true(head_len < sizeof head && memcmp(rest->ptr, "HTTP/1.1 ", 9) == 0);
	memcpy(head, rest->ptr, head_len);
	unsigned long status = strtoul(head + 9, NULL, 10);
	const char *length = strstr(head, "\r\nContent-Length: ");
	bool chunked = strstr(head, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
	struct slice body = slice_sub(*rest, head_len, rest->len);
	struct buf text = {.max = 1 << 20};
	size_t used = 0;
	*ret_close = strstr(head, "\r\nConnection: close\r\n") != NULL;
	assert_false(length && chunked);
	if (no_body || status < 200 || status == 204 || status == 304) {
	} else if (length) {
		used = strtoul(length + 18, NULL, 10);
		if (used > body.len)
			return false;
		buf_put(&text, body.ptr, used);
	} else if (chunked) {
		for (size_t size = 1; size;) {
			char line[16] = "";
			uint8_t *lf = used < body.len ? memchr(body.ptr + used, '\n', body.len - used) : NULL;
			if (!lf || (size_t)(lf - body.ptr) - used >= sizeof line)
				return false;
			memcpy(line, body.ptr + used, (size_t)(lf - body.ptr) - used);
			size = strtoul(line, NULL, 16);
			used = (size_t)(lf - body.ptr) + 1;
			if (body.len - used < size + 2)
				return false;
			buf_put(&text, body.ptr + used, size);
			used += size + 2;
		}
	} else if (!eof) {
		return false;
	} else {
		buf_put(&text, body.ptr, used = body.len);
	}
	while (text.len && text.ptr[text.len - 1] == '\n')
		text.len--;
	if (no_body)
		snprintf(out, cap, "%lu -", status);
	else
		snprintf(out, cap, "%lu%s%.*s", status, text.len ? " " : "", SLICE_ARGS(buf_view(&text)));
	buf_release(&text);
	*rest = slice_sub(body, used, body.len);
	return true;
}

enum { WHOLE, BYTES, BEHIND_ONE, BEHIND_MANY, WAYS };

// Reads until the case's answers are there; compares them.
static void check_answers(const struct table_case *c, int way, struct client *k, int before)
{
	uint64_t give_up = sys_now_ns() + 5000 * MS;
	int n = 0;
	bool said_close = false;
	const char *end = c->out[c->outs - 1];
	for (;;) {
		struct slice rest = buf_view(&k->in);
		char got[600];
		receive_some(k);
		rest = buf_view(&k->in);
		for (n = -before; n < c->outs - 1; n++) {
			const char *want = n < 0 ? "200 hello" : c->out[n];
			size_t len = strlen(want);
			if (!take_answer(&rest, len > 2 && strcmp(want + len - 2, " -") == 0, k->eof, got, sizeof got, &said_close))
				break;
			if (strcmp(got, want))
				fail_msg("%s (way %d): answer %d is '%s', not '%s'", c->name, way, n, got, want);
			bool last = n == c->outs - 2;
			if (said_close != (last && strcmp(end, "close") == 0) && strcmp(end, "cut"))
				fail_msg("%s (way %d): answer %d %s", c->name, way, n, said_close ? "says close" : "does not say close");
		}
		if (n == c->outs - 1 && (k->eof || strcmp(end, "keep") == 0)) {
			if (rest.len && strcmp(end, "cut"))
				fail_msg("%s (way %d): more than that: '%.*s'", c->name, way, SLICE_ARGS(slice_sub(rest, 0, 500)));
			break;
		}
		if (sys_now_ns() > give_up || (k->eof && n < c->outs - 1))
			fail_msg("%s (way %d): %d answers, %s: '%.*s'", c->name, way, n, k->eof ? "ended" : "open", SLICE_ARGS(slice_sub(buf_view(&k->in), 0, 1500)));
		turn(1);
	}
	if (k->reset && strcmp(end, "cut"))
		fail_msg("%s (way %d): reset", c->name, way);
}

static void check_case(const struct table_case *c)
{
	for (int way = 0; way < WAYS; way++) {
		struct client k = dial();
		int before = way == BEHIND_ONE ? 1 : way == BEHIND_MANY ? 40
																: 0;
		struct buf in = {.max = 1 << 20};
		for (int i = 0; i < before; i++)
			buf_put_str(&in, GET("/hello"));
		buf_put(&in, c->in, c->in_len);
		if (way == BYTES)
			for (size_t i = 0; i < in.len; i++)
				send_bytes(&k, in.ptr + i, 1);
		else
			send_bytes(&k, in.ptr, in.len);
		check_answers(c, way, &k, before);
		if (strcmp(c->out[c->outs - 1], "keep") == 0) {
			size_t had = k.in.len;
			say(&k, GET("/hello"));
			wait_for(&k, "hello");
			uint64_t give_up = sys_now_ns() + 5000 * MS;
			while (k.in.len <= had + 20 && sys_now_ns() < give_up) {
				turn(1);
				receive_some(&k);
			}
			if (k.in.len <= had + 20 || memcmp(k.in.ptr + had, "HTTP/1.1 200 ", 13))
				fail_msg("%s (way %d): the connection does not go on", c->name, way);
		}
		buf_release(&in);
		hang_up(&k);
		turn(2);
		while (held)
			let_go(held);
	}
}

static void the_battery_is_answered_the_same_whole_in_pieces_and_in_a_pipeline(void **state)
{
	struct http_limits l = http_limits_default;
	l.body_bytes = 1000;
	l.drain_bytes = 100;
	start_server(&l);
	assert_true(table_run("battery.txt", check_case) > 60);
	stop_server();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_battery_is_answered_the_same_whole_in_pieces_and_in_a_pipeline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
