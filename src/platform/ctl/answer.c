// The life of a request: read → answered, or → waits (look) → answered, or → streams (look) → ended; or cancelled by its client at any point.
#include "ctl_int.h"
#include "upload.h"

#include <ctype.h>
#include <stdio.h>

static void request_free(struct ctl_request *r)
{
	if (r->prev) {
		*r->prev = r->next;
		if (r->next)
			r->next->prev = r->prev;
		r->ctl->n_waiting--;
		r->ctl->n_following -= r->follows;
	}
	loop_timer_cancel(r->loop, &r->timer);
	http_exchange_release(r->x);
	ctl__upload_leave(r->upload);
	buf_release(&r->in);
	buf_release(&r->out);
	arena_release(&r->arena);
	mem_free(r);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	request_free(user);
}

// What is in `out` leaves as far as there is room. false: the request is over.
static bool send_out(struct ctl_request *r)
{
	while (r->sent < r->out.len) {
		size_t n = min_u64(http_body_permit(r->x), r->out.len - r->sent);
		if (n == 0)
			return true;
		if (http_body_write(r->x, slice_of(r->out.ptr + r->sent, n)) != HTTP_WRITE_OK) {
			request_free(r);
			return false;
		}
		r->sent += n;
	}
	buf_clear(&r->out);
	r->sent = 0;
	return true;
}

static void pump(struct ctl_request *r)
{
	while (send_out(r) && r->out.len == 0) {
		if (r->ends) {
			if (!http_body_finish(r->x, NULL, 0))
				http_abort(r->x);
			request_free(r);
			return;
		}
		if (r->fill)
			r->fill(r);
		if (r->out.len == 0 && !r->ends)
			return;
	}
}

static void on_writable(void *user, struct http_exchange *x)
{
	pump(user);
}

static void read_body(struct ctl_request *r);

static void on_readable(void *user, struct http_exchange *x)
{
	read_body(user);
}

static const struct http_exchange_ops ops = {.on_readable = on_readable, .on_writable = on_writable, .on_cancel = on_cancel};

struct ctl_request *ctl__request_new(struct ctl *ctl, struct loop *l, struct http_exchange *x)
{
	struct ctl_request *r = mem_zalloc(sizeof *r);
	if (!r) {
		http_respond_error(x, 503, 1);
		http_exchange_release(x);
		return NULL;
	}
	r->ctl = ctl;
	r->loop = l;
	r->x = x;
	r->out.max = CTL_ANSWER_MAX;
	r->in.max = CTL_BODY_MAX;
	arena_init(&r->arena, CTL_REQUEST_MEMORY);
	http_exchange_set_owner(x, &ops, r);
	return r;
}

// ---- what it says ----------------------------------------------------------------------------------------------------------------------------

static int digit_of(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
																			   : -1;
}

bool ctl__decode(struct arena *a, struct slice text, struct slice *ret)
{
	uint8_t *out = arena_alloc(a, text.len + 1, 1);
	size_t n = 0;
	for (size_t i = 0; out && i < text.len; i++) {
		int high = 0, low = 0;
		if (text.ptr[i] != '%') {
			out[n++] = text.ptr[i];
			continue;
		}
		if (i + 2 >= text.len || (high = digit_of(text.ptr[i + 1])) < 0 || (low = digit_of(text.ptr[i + 2])) < 0)
			return false;
		out[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	if (!out)
		return false;
	out[n] = 0;
	*ret = slice_of(out, n);
	return utf8_is_valid(*ret) && slice_find(*ret, 0) == n;
}

bool ctl__request_query(struct ctl_request *r, const char *name, struct slice *ret)
{
	struct slice rest = r->query;
	while (rest.len) {
		size_t end = slice_find(rest, '&');
		struct slice pair = slice_sub(rest, 0, end);
		size_t eq = slice_find(pair, '=');
		if (slice_eq_str(slice_sub(pair, 0, eq), name))
			return ctl__decode(&r->arena, slice_sub(pair, min_u64(eq + 1, pair.len), SIZE_MAX), ret);
		rest = slice_sub(rest, min_u64(end + 1, rest.len), SIZE_MAX);
	}
	return false;
}

bool ctl__request_flag(struct ctl_request *r, const char *name, bool *ret, struct err *e)
{
	struct slice text;
	if (!ctl__request_query(r, name, &text))
		return true;
	if (!slice_eq_str(text, "true") && !slice_eq_str(text, "false"))
		return err_set(e, ERR_USAGE, "%s is true or false", name);
	*ret = slice_eq_str(text, "true");
	return true;
}

struct slice ctl__request_field(const struct ctl_request *r, const char *name)
{
	const struct http_request *q = http_exchange_request(r->x);
	for (uint32_t i = 0; i < q->field_count; i++)
		if (http_name_eq(q->fields[i].name, slice_str(name)))
			return q->fields[i].value;
	return (struct slice){0};
}

// ---- its body ----------------------------------------------------------------------------------------------------------------------------------

static void have_body(struct ctl_request *r)
{
	struct err e;
	err_clear(&e);
	if (r->in.len && !json_parse(&r->arena, buf_view(&r->in), &r->body, &e))
		ctl__answer_error(r, 400, &e);
	else
		r->on_body(r);
}

// What of it was taken; false: it does not fit, or can't be kept.
static bool take_piece(struct ctl_request *r, struct slice *data)
{
	struct err e = {0};
	if (!r->upload)
		return buf_put_slice(&r->in, *data);
	if (ctl__upload_is_busy(r->upload)) {
		data->len = 0;
		return true;
	}
	bool fits = ctl__upload_size(r->upload) + data->len <= CTL_FILE_MAX;
	if (!fits || ctl__upload_failed(r->upload, &e))
		return false;
	data->len = ctl__upload_put(r->upload, *data);
	return data->len > 0;
}

static void refuse_body(struct ctl_request *r)
{
	struct err e = {0};
	http_body_discard(r->x);
	if (r->upload && ctl__upload_failed(r->upload, &e)) {
		ctl__answer_failed(r, &e);
		return;
	}
	err_set(&e, ERR_LIMIT, "the body of this request has at most %d bytes", r->upload ? CTL_FILE_MAX : CTL_BODY_MAX);
	ctl__answer_error(r, 413, &e);
}

static void read_body(struct ctl_request *r)
{
	struct slice data;
	enum http_read got;
	while ((got = http_body_peek(r->x, &data)) == HTTP_READ_DATA) {
		bool fits = take_piece(r, &data);
		http_body_consume(r->x, data.len);
		if (!fits) {
			refuse_body(r);
			return;
		}
		if (data.len == 0)
			return;  // what came is being written
	}
	if (got == HTTP_READ_END && r->upload && ctl__upload_is_busy(r->upload))
		return;
	if (got == HTTP_READ_END && r->upload && ctl__upload_failed(r->upload, &(struct err){0}))
		refuse_body(r);
	else if (got == HTTP_READ_END)
		have_body(r);
	else if (got == HTTP_READ_ERROR && !http_exchange_is_cancelled(r->x, NULL, NULL))
		request_free(r);  // else on_cancel does
}

void ctl__request_read(struct ctl_request *r, void (*on_body)(struct ctl_request *r))
{
	r->on_body = on_body;
	read_body(r);
}

void ctl__request_go_on(void *request)
{
	read_body(request);
}

// ---- its answer --------------------------------------------------------------------------------------------------------------------------------

static bool send_head(struct ctl_request *r, unsigned status, const char *type, uint64_t length)
{
	struct http_field fields[] = {{SLICE_LIT("Content-Type"), slice_str(type)}, {SLICE_LIT("Cache-Control"), SLICE_LIT("no-store")}};
	if (!r->out.failed && http_respond_head(r->x, status, fields, 2, length, NULL))
		return true;
	http_respond_error(r->x, 503, 1);
	request_free(r);
	return false;
}

void ctl__answer(struct ctl_request *r, unsigned status)
{
	buf_put_byte(&r->out, '\n');
	r->look = NULL;
	loop_timer_cancel(r->loop, &r->timer);
	if (!send_head(r, status, "application/json", r->out.len))
		return;
	r->ends = true;
	pump(r);
}

// The name of errors.def in lower case; client.c reads it again.
static void put_code(struct buf *b, enum err_code code)
{
	static const char *const names[] = {
#define ERROR(name, exit, text) #name,
#include "base/errors.def"
#undef ERROR
	};
	for (const char *c = names[code]; *c; c++)
		buf_put_byte(b, (uint8_t)tolower((unsigned char)*c));
}

static void put_member(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, slice_str(text));
}

void ctl__put_error(struct buf *b, const struct err *e)
{
	buf_put_str(b, "{\"code\":\"");
	put_code(b, e->code);
	buf_put_str(b, "\",\"message\":");
	buf_put_json_string(b, slice_str(e->text));
	char place[400];
	snprintf(place, sizeof place, ":%u:%u", e->line, e->col);
	if (e->line && !strstr(e->where, place)) {  // else it was said with the file
		snprintf(place, sizeof place, "%s%sline %u, column %u", e->where, e->where[0] ? ", " : "", e->line, e->col);
		put_member(b, "where", place);
	} else if (e->where[0]) {
		put_member(b, "where", e->where);
	}
	if (e->hint[0])
		put_member(b, "hint", e->hint);
	buf_put_byte(b, '}');
}

void ctl__answer_error(struct ctl_request *r, unsigned status, const struct err *e)
{
	buf_clear(&r->out);
	buf_put_str(&r->out, "{\"error\":");
	ctl__put_error(&r->out, e);
	buf_put_byte(&r->out, '}');
	ctl__answer(r, status);
}

void ctl__answer_failed(struct ctl_request *r, const struct err *e)
{
	static const uint16_t statuses[] = {
		[ERR_USAGE] = 400,
		[ERR_MALFORMED] = 422,
		[ERR_INVALID] = 422,
		[ERR_UNSUPPORTED] = 422,
		[ERR_LIMIT] = 422,
		[ERR_LINK] = 422,
		[ERR_TRAP] = 422,
		[ERR_ENV] = 503,
		[ERR_NOMEM] = 503,
		[ERR_TIMEOUT] = 504,
		[ERR_REFUSED] = 409,
	};
	unsigned status = (size_t)e->code < ARRAY_LEN(statuses) ? statuses[e->code] : 0;
	ctl__answer_error(r, status ? status : 500, e);
}

void ctl__answer_not_found(struct ctl_request *r, const char *what, struct slice name)
{
	struct err e;
	err_clear(&e);
	err_set(&e, ERR_USAGE, "there is no %s '%.*s'", what, SLICE_ARGS(slice_sub(name, 0, 100)));
	ctl__answer_error(r, 404, &e);
}

// ---- a stream ------------------------------------------------------------------------------------------------------------------------------------

void ctl__stream(struct ctl_request *r, const char *type, void (*fill)(struct ctl_request *r))
{
	r->fill = fill;
	if (send_head(r, 200, type, HTTP_LENGTH_UNKNOWN))
		pump(r);
}

void ctl__request_look(struct ctl_request *r)
{
	if (r->look)
		r->look(r);
	else if (r->fill && r->out.len == 0)
		pump(r);
}
