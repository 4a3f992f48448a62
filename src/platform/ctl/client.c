// One question to a control socket, and its answer: HTTP/1.1 of ours to ours, read strictly, a connection a question.
#include <errno.h>
#include <stdio.h>

#include "ctl_int.h"

enum { HEAD_MAX = 16 << 10, PIECE = 64 << 10 };

struct talk {
	const struct ctl_question *q;
	int fd;
	struct buf in;      // what has come and was not looked at
	size_t at;          // of it: looked at
	bool chunked, ended, has_head;
	uint64_t left;      // of the body, or of the chunk
	struct buf body;    // of a stream: the line that is not whole yet
	bool enough, late;
	struct err *e;
};

static bool gone(struct talk *t, const char *what)
{
	err_set(t->e, ERR_ENV, "%s", what);
	return err_hint(t->e, "tenon status tells what runs now");
}

// More of it. false: an error, or (`ended`) there is no more.
static bool receive(struct talk *t)
{
	const struct ctl_question *q = t->q;
	for (;;) {
		uint8_t *to = buf_reserve(&t->in, PIECE);
		if (!to)
			return err_nomem(t->e);
		uint64_t until = q->timeout_ns == UINT64_MAX ? UINT64_MAX : sys_now_ns() + q->timeout_ns;
		int64_t n = sys_socket_receive(t->fd, to, PIECE, until);
		if (n > 0) {
			t->in.len += (size_t)n;
			return true;
		}
		if (n == -EINTR) {
			if (q->interrupted && q->interrupted(q->user))
				return err_set(t->e, ERR_TIMEOUT, "interrupted");
			continue;
		}
		t->ended = n == 0;
		t->late = n == -ETIMEDOUT;
		if (n == -ETIMEDOUT)
			return err_set(t->e, ERR_ENV, "tenon does not answer");
		return n == 0 ? false : err_set_errno(t->e, (int)-n, "tenon's control socket");
	}
}

// A line without its CRLF, borrowed until the next call.
static bool take_line(struct talk *t, struct slice *ret)
{
	for (;;) {
		struct slice rest = slice_sub(buf_view(&t->in), t->at, SIZE_MAX);
		size_t end = slice_find(rest, '\n');
		if (end < rest.len) {
			t->at += end + 1;
			*ret = slice_sub(rest, 0, end && rest.ptr[end - 1] == '\r' ? end - 1 : end);
			return true;
		}
		if (rest.len > HEAD_MAX)
			return err_set(t->e, ERR_MALFORMED, "what answers on the control socket is no tenon");
		if (!receive(t))
			return !t->ended ? false : gone(t, t->has_head && t->q->on_line ? "tenon has ended" : "tenon went away before it had answered");
	}
}

static bool read_head(struct talk *t, struct ctl_reply *ret)
{
	struct slice line;
	uint64_t status;
	if (!take_line(t, &line))
		return false;
	if (line.len < 12 || !slice_starts_with(line, SLICE_LIT("HTTP/1.1 ")) || !slice_parse_u64(slice_sub(line, 9, 3), 999, &status))
		return err_set(t->e, ERR_MALFORMED, "what answers on the control socket is no tenon");
	ret->status = (unsigned)status;
	t->left = 0;
	while (take_line(t, &line)) {
		if (line.len == 0)
			return t->has_head = true;
		size_t colon = slice_find(line, ':');
		struct slice name = slice_sub(line, 0, colon), value = slice_sub(line, min_u64(colon + 2, line.len), SIZE_MAX);
		if (http_name_eq(name, SLICE_LIT("content-length")) && !http_length_parse(value, &t->left))
			return err_set(t->e, ERR_MALFORMED, "what answers on the control socket is no tenon");
		t->chunked |= http_name_eq(name, SLICE_LIT("transfer-encoding"));
	}
	return false;
}

// Whole lines go out as they come.
static bool give_lines(struct talk *t)
{
	size_t from = 0;
	while (!t->enough) {
		struct slice rest = slice_sub(buf_view(&t->body), from, SIZE_MAX);
		size_t end = slice_find(rest, '\n');
		if (end == rest.len)
			break;
		t->enough = !t->q->on_line(t->q->user, slice_sub(rest, 0, end));
		from += end + 1;
	}
	memmove(t->body.ptr, t->body.ptr + from, t->body.len - from);
	t->body.len -= from;
	return true;
}

static bool take_bytes(struct talk *t)
{
	while (t->left && !t->enough) {
		struct slice rest = slice_sub(buf_view(&t->in), t->at, min_u64(t->left, SIZE_MAX));
		if (rest.len == 0) {
			buf_clear(&t->in);
			t->at = 0;
			if (!receive(t))
				return t->ended ? gone(t, "tenon went away in the middle of its answer") : false;
			continue;
		}
		if (!buf_put_slice(&t->body, rest))
			return err_set(t->e, ERR_LIMIT, "the answer is too long");
		t->at += rest.len;
		t->left -= rest.len;
		if (t->q->on_line && t->body.len && !give_lines(t))
			return false;
	}
	return true;
}

static bool take_chunk_size(struct talk *t)
{
	struct slice line;
	char digits[20];
	char *end;
	if (!take_line(t, &line))
		return false;
	snprintf(digits, sizeof digits, "%.*s", SLICE_ARGS(slice_sub(line, 0, 16)));
	t->left = strtoull(digits, &end, 16);
	return end > digits || err_set(t->e, ERR_MALFORMED, "what answers on the control socket is no tenon");
}

static bool read_body(struct talk *t)
{
	struct slice line;
	if (!t->chunked)
		return take_bytes(t);
	while (take_chunk_size(t)) {
		if (t->left == 0)
			return true;  // trailers: there are none
		if (!take_bytes(t))
			return false;
		if (t->enough)
			return true;
		if (!take_line(t, &line))
			return false;
	}
	return false;
}

static bool send_file(struct talk *t)
{
	const struct ctl_question *q = t->q;
	uint8_t *piece = mem_alloc(PIECE);
	bool ok = piece || err_nomem(t->e);
	for (uint64_t at = 0; ok && at < q->file_size;) {
		int64_t n = sys_file.read(q->file - 1, piece, (size_t)min_u64(PIECE, q->file_size - at), at, false);
		if (n <= 0) {
			ok = n < 0 ? err_set_errno(t->e, (int)-n, "cannot read the file that is sent") : err_set(t->e, ERR_ENV, "the file that is sent has become shorter");
			(void)err_hint(t->e, "somebody may write to it: try again when that is done; nothing was changed");
		} else if (sys_write_all(t->fd, piece, (size_t)n)) {
			at += (uint64_t)n;
		} else {
			break;  // as below
		}
	}
	mem_free(piece);
	return ok;
}

static bool send_all(struct talk *t)
{
	const struct ctl_question *q = t->q;
	uint64_t size = q->file ? q->file_size : q->body.len;
	struct buf b = {.max = HEAD_MAX};
	buf_printf(&b, "%s %s HTTP/1.1\r\nHost: tenon\r\nConnection: close\r\n", q->method, q->target);
	if (size)
		buf_printf(&b, "Content-Type: %s\r\n", q->type ? q->type : "application/json");
	if (size || strcmp(q->method, "POST") == 0)
		buf_printf(&b, "Content-Length: %llu\r\n", (unsigned long long)size);
	buf_put_str(&b, q->fields ? q->fields : "");
	buf_put_str(&b, "\r\n");
	bool ok = !b.failed || err_set(t->e, ERR_LIMIT, "what is asked for is too long");
	// Who refuses it before it has all of it has answered.
	if (ok && sys_write_all(t->fd, b.ptr, b.len)) {
		if (q->file)
			ok = send_file(t);
		else
			(void)sys_write_all(t->fd, q->body.ptr, q->body.len);
	}
	buf_release(&b);
	return ok;
}

bool ctl_ask(struct arena *a, const struct ctl_question *q, struct ctl_reply *ret, struct err *e)
{
	struct talk t = {.q = q, .fd = sys_connect_file(q->path), .in = {.max = CTL_ANSWER_MAX}, .body = {.max = CTL_ANSWER_MAX}, .e = e};
	*ret = (struct ctl_reply){0};
	if (t.fd < 0)
		return err_set_errno(e, -t.fd, "no tenon answers on '%s'", q->path);
	bool ok = send_all(&t) && read_head(&t, ret) && (strcmp(q->method, "HEAD") == 0 || read_body(&t));
	if (ok && (!q->on_line || ret->status >= 300)) {
		ok = slice_dup(a, buf_view(&t.body), &ret->body) || err_nomem(e);
		struct err ignored = {0};
		if (ok && ret->body.len && !json_parse(a, ret->body, &ret->json, &ignored))
			ret->json = NULL;
	}
	ret->late = !ok && t.late;
	sys_close(t.fd);
	buf_release(&t.in);
	buf_release(&t.body);
	return ok;
}

// ---- what it means -----------------------------------------------------------------------------------------------------------------------------

static enum err_code code_of(struct slice word)
{
	static const char *const names[] = {
#define ERROR(name, exit, text) #name,
#include "base/errors.def"
#undef ERROR
	};
	for (size_t i = 1; i < ARRAY_LEN(names); i++)
		if (http_name_eq(word, slice_str(names[i])))
			return (enum err_code)i;
	return ERR_ENV;
}

bool ctl_reply_error(const struct json *error, struct err *e)
{
	struct slice message = json_text(error, "message"), where = json_text(error, "where"), hint = json_text(error, "hint");
	err_set(e, code_of(json_text(error, "code")), "%.*s", SLICE_ARGS(message));
	if (where.len)
		err_note(e, "%.*s", SLICE_ARGS(where));
	return hint.len ? err_hint(e, "%.*s", SLICE_ARGS(hint)) : false;
}

void ctl_encode(struct buf *b, struct slice text)
{
	static const char kept[] = "-._~";
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(kept, c));
		buf_printf(b, plain ? "%c" : "%%%02X", c);
	}
}
