// Answers of a Redis server: what is announced is looked at before hiredis allocates for it, and what is too long to keep is skipped, so that one value which
// another program has put there costs its caller an error, and not everybody the connection.
#include "redis.h"

#include <stdio.h>

bool redis__replies_init(struct redis_replies *r, uint64_t max_value, uint64_t max_bytes)
{
	*r = (struct redis_replies){.reader = redisReaderCreate(), .max_value = max_value, .max_bytes = max_bytes};
	return r->reader != NULL;
}

void redis__replies_release(struct redis_replies *r)
{
	if (r->reader)
		redisReaderFree(r->reader);
	r->reader = NULL;
}

static bool bad(struct redis_replies *r, const char *why)
{
	r->why = why;
	return false;
}

static bool feed(struct redis_replies *r, const void *p, size_t n)
{
	r->bytes += n;
	if (r->bytes > r->max_bytes)
		return bad(r, "an answer is too large");
	if (redisReaderFeed(r->reader, p, n) != REDIS_OK)
		return bad(r, "memory is out");
	return true;
}

// "$5\r" without its first: -1, or a number of at most 15 digits.
static bool announced(struct slice text, int64_t *ret)
{
	uint64_t n;
	if (slice_eq_str(text, "-1\r")) {
		*ret = -1;
		return true;
	}
	if (text.len < 2 || text.len > 16 || text.ptr[text.len - 1] != '\r' || !slice_parse_u64(slice_sub(text, 0, text.len - 1), INT64_MAX, &n))
		return false;
	*ret = (int64_t)n;
	return true;
}

// The line that announces a string or an array has come, but for its newline.
static bool take_announcement(struct redis_replies *r)
{
	char line[sizeof r->head + 1], instead[96];
	uint32_t len = r->line;
	int64_t n;
	r->line = 0;
	if (!announced(slice_of(r->head + 1, len - 1), &n))
		return bad(r, "a length is none");
	if (r->head[0] == '*' && n > REDIS_ITEMS_MAX / 2)
		return bad(r, "an answer has too many parts");
	if (r->head[0] == '$' && n >= 0) {
		r->left = (uint64_t)n + 2;
		r->state = REDIS_PAYLOAD;
	}
	if (r->head[0] == '$' && n > (int64_t)r->max_value) {
		if (n > (int64_t)GIB)
			return bad(r, "a value is too large");
		r->state = REDIS_SKIPPED;
		snprintf(instead, sizeof instead, "-TOOLARGE the value has %lld bytes, more than are read\r\n", (long long)n);
		return feed(r, instead, strlen(instead));
	}
	memcpy(line, r->head, len);
	line[len] = '\n';
	return feed(r, line, len + 1);
}

// Of a line: all up to its newline, or all there is.
static bool take_line(struct redis_replies *r, struct slice *in)
{
	size_t n = slice_find(*in, '\n');
	bool whole = n < in->len, held;
	if (r->line == 0 && n > 0) {
		r->head[0] = (char)in->ptr[0];
		if (++r->items > REDIS_ITEMS_MAX)
			return bad(r, "an answer has too many parts");
	}
	if (r->line + n > REDIS_LINE_MAX)
		return bad(r, "a line is too long");
	if (r->line + n == 0)
		return bad(r, "an empty line");
	held = r->head[0] == '$' || r->head[0] == '*';
	if (held && r->line + n >= sizeof r->head)
		return bad(r, "a length is none");
	if (held)
		memcpy(r->head + r->line, in->ptr, n);
	else if (!feed(r, in->ptr, whole ? n + 1 : n))
		return false;
	r->line += (uint32_t)n;
	*in = slice_sub(*in, whole ? n + 1 : n, SIZE_MAX);
	if (!whole)
		return true;
	if (held)
		return take_announcement(r);
	r->line = 0;
	return true;
}

static bool take_some(struct redis_replies *r, struct slice *in)
{
	if (r->state == REDIS_LINE)
		return take_line(r, in);
	size_t n = min_u64(in->len, r->left);
	if (r->state == REDIS_PAYLOAD && !feed(r, in->ptr, n))
		return false;
	r->left -= n;
	*in = slice_sub(*in, n, SIZE_MAX);
	if (r->left == 0)
		r->state = REDIS_LINE;
	return true;
}

bool redis__replies_next(struct redis_replies *r, struct slice *in, redisReply **ret)
{
	void *reply = NULL;
	while (!reply && in->len) {
		if (!take_some(r, in))
			return false;
		// An answer ends where a line or a payload does.
		if (r->state == REDIS_LINE && r->line == 0 && redisReaderGetReply(r->reader, &reply) != REDIS_OK)
			return bad(r, "these are no answers of Redis");
	}
	if (reply) {
		r->bytes = 0;
		r->items = 0;
	}
	*ret = reply;
	return true;
}
