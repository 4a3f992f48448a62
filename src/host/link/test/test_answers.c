// Answers of servers, whole and byte by byte, and what is none of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "../nats.h"
#include "../redis.h"

enum { VALUE_MAX = 1000 };

// ---- Redis -----------------------------------------------------------------------------------------------------------------------

static void print_reply(struct buf *b, const redisReply *a)
{
	static const char kinds[] = "?$*:_+-";
	buf_put_byte(b, (uint8_t)kinds[a->type]);
	if (a->type == REDIS_REPLY_INTEGER)
		buf_printf(b, "%lld", a->integer);
	else if (a->type == REDIS_REPLY_ARRAY)
		for (size_t i = 0; i < a->elements; i++)
			print_reply(b, a->element[i]);
	else if (a->type != REDIS_REPLY_NIL)
		buf_put(b, a->str, (size_t)a->len);
	buf_put_byte(b, ';');
}

// All answers as one text, and where it ended why; in pieces of `step` bytes.
static void read_replies(struct slice bytes, size_t step, struct buf *b)
{
	struct redis_replies r;
	assert_true(redis__replies_init(&r, VALUE_MAX, 8 * VALUE_MAX));
	for (size_t at = 0; at < bytes.len; at += step) {
		struct slice in = slice_sub(bytes, at, step);
		while (in.len) {
			redisReply *a;
			if (!redis__replies_next(&r, &in, &a)) {
				buf_printf(b, "! %s", r.why);
				redis__replies_release(&r);
				return;
			}
			if (a)
				print_reply(b, a);
			freeReplyObject(a);
		}
	}
	redis__replies_release(&r);
}

static void replies(struct slice bytes, const char *expected)
{
	for (size_t step = 1; step <= bytes.len; step = step < 8 ? step + 1 : step * 3) {
		struct buf b = {0};
		read_replies(bytes, step, &b);
		buf_put_byte(&b, 0);
		assert_string_equal(b.ptr, expected);
		buf_release(&b);
	}
}
#define REPLIES(text, expected) replies(SLICE_LIT(text), expected)

static void answers_of_redis_are_taken_however_they_are_cut(void **state)
{
	REPLIES("+OK\r\n:12\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n", "+OK;:12;$a\r\n;$;_;_;");
	REPLIES("*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$-1\r\n-ERR no\r\n", "*$0;*$a;_;;;-ERR no;");
	REPLIES("*0\r\n*1\r\n*1\r\n:-5\r\n", "*;**:-5;;;");
}

static void a_value_that_is_too_long_is_an_error_in_its_place(void **state)
{
	struct buf b = {0};
	buf_put_str(&b, "*2\r\n$1001\r\n");
	for (int i = 0; i < 1001; i++)
		buf_put_byte(&b, '\n');
	buf_put_str(&b, "\r\n$1\r\nx\r\n+after\r\n");
	replies(buf_view(&b), "*-TOOLARGE the value has 1001 bytes, more than are read;$x;;+after;");
	buf_release(&b);
}

static void what_announces_too_much_is_none(void **state)
{
	REPLIES("*65537\r\n", "! an answer has too many parts");
	REPLIES("$99999999999999\r\n", "! a value is too large");
	REPLIES("$999999999999999999999\r\n", "! a length is none");
	REPLIES("$-2\r\n", "! a length is none");
	REPLIES("$\r\n", "! a length is none");
	REPLIES("$1\n", "! a length is none");
	REPLIES("+OK\r\nHTTP/1.1 400\r\n", "+OK;! these are no answers of Redis");
	REPLIES("\n", "! an empty line");
	struct buf b = {0}, expected = {0};
	for (int i = 0; i < 9; i++)
		buf_put_str(&b, "*9\r\n");
	read_replies(buf_view(&b), 1, &expected);
	assert_true(slice_starts_with(buf_view(&expected), SLICE_LIT("! ")));  // within each other deeper than hiredis goes
	buf_clear(&b);
	buf_clear(&expected);
	for (int i = 0; i < 9000; i++)
		buf_put_str(&b, i ? ":1\r\n" : "*9000\r\n");
	read_replies(buf_view(&b), 1000, &expected);
	assert_true(slice_ends_with(buf_view(&expected), SLICE_LIT("! an answer is too large")));
	buf_clear(&b);
	buf_clear(&expected);
	for (int i = 0; i < REDIS_LINE_MAX + 2; i++)
		buf_put_byte(&b, '+');
	read_replies(buf_view(&b), 100, &expected);
	assert_true(slice_starts_with(buf_view(&expected), SLICE_LIT("! ")));
	buf_release(&b);
	buf_release(&expected);
}

// ---- NATS ------------------------------------------------------------------------------------------------------------------------

static void messages_of(struct slice bytes, const char *expected)
{
	for (size_t step = 1; step <= bytes.len; step = step < 8 ? step + 1 : step * 3) {
		struct nats_input n = {.max_message = VALUE_MAX};
		struct buf b = {0};
		bool any = false, ok = true;
		for (size_t at = 0; ok && at < bytes.len; at += step) {
			struct nats_message m;
			ok = nats__input_put(&n, slice_sub(bytes, at, step));
			while (ok && (ok = nats__input_next(&n, &m, &any)) && any)
				buf_printf(&b, "%d|%.*s|%.*s|%llu|%.*s|%.*s|%.*s;", m.verb, SLICE_ARGS(m.text), SLICE_ARGS(m.subject), (unsigned long long)m.sid, SLICE_ARGS(m.reply),
					SLICE_ARGS(m.headers), SLICE_ARGS(m.payload));
		}
		if (!ok)
			buf_printf(&b, "! %s", n.why);
		buf_put_byte(&b, 0);
		assert_string_equal(b.ptr, expected);
		buf_release(&b);
		nats__input_release(&n);
	}
}
#define MESSAGES(text, expected) messages_of(SLICE_LIT(text), expected)

static void messages_of_nats_are_taken_however_they_are_cut(void **state)
{
	MESSAGES("INFO {\"a\":1} \r\nPING\r\npong\r\n+OK\r\n-ERR 'No'\r\n", "0|{\"a\":1} ||0|||;2|||0|||;3|||0|||;4|||0|||;5|'No'||0|||;");
	MESSAGES("MSG a.b 12 3\r\nx\ny\r\nMSG\ta 1 re.ply  0\r\n\r\n", "1||a.b|12|||x\ny;1||a|1|re.ply||;");
	MESSAGES("HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n", "1||a|1|r|NATS/1.0\r\n\r\n|hi;2|||0|||;");
}

static void what_is_no_message_of_nats_ends_it(void **state)
{
	MESSAGES("HTTP/1.1 400\r\n", "! these are no messages of NATS");
	MESSAGES("MSG a 1 1001\r\n", "! a message is too large");
	MESSAGES("MSG a 1 99999999999\r\n", "! a message's line is none");
	MESSAGES("MSG a 1\r\n", "! a message's line is none");
	MESSAGES("MSG a b c d e f\r\n", "! a message's line is none");
	MESSAGES("HMSG a 1 3 2\r\n", "! a message's line is none");
	MESSAGES("MSG a 1 1\r\nxyPING\r\n", "! a message does not end where it says");
	struct nats_input n = {.max_message = VALUE_MAX};
	struct nats_message m;
	bool any, ok = true;
	for (int i = 0; ok && i <= NATS_LINE_MAX; i++)
		ok = nats__input_put(&n, SLICE_LIT("I")) && nats__input_next(&n, &m, &any);
	assert_false(ok);
	assert_string_equal(n.why, "a line is too long");
	nats__input_release(&n);
}

static void headers_and_subjects_are_read(void **state)
{
	struct slice h = SLICE_LIT("NATS/1.0 404 No Messages\r\nNats-Sequence:  12 \r\nA: b:c\r\nA: d\r\n\r\n");
	assert_int_equal(nats__status(h), 404);
	assert_int_equal(nats__status(SLICE_LIT("NATS/1.0\r\n\r\n")), 0);
	assert_int_equal(nats__status((struct slice){0}), 0);
	assert_true(slice_eq_str(nats__header(h, "Nats-Sequence"), "12") && slice_eq_str(nats__header(h, "A"), "b:c") && !nats__header(h, "B").len);
	struct slice s = SLICE_LIT("$JS.ACK.s.c.1");
	assert_true(slice_eq_str(nats__token(s, 0), "$JS") && slice_eq_str(nats__token(s, -1), "1") && slice_eq_str(nats__token(s, 4), "1"));
	assert_true(!nats__token(s, 5).len && !nats__token(s, -6).len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_of_redis_are_taken_however_they_are_cut),
		cmocka_unit_test(a_value_that_is_too_long_is_an_error_in_its_place),
		cmocka_unit_test(what_announces_too_much_is_none),
		cmocka_unit_test(messages_of_nats_are_taken_however_they_are_cut),
		cmocka_unit_test(what_is_no_message_of_nats_ends_it),
		cmocka_unit_test(headers_and_subjects_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
