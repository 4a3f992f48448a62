// What an owner does with an exchange: read the request's body, write the response. Knows no protocol: what travels goes through x->wire.
//
//   of the response:  none ── http_respond_head ──► head_given ── http_body_finish ──► finished
//   of the wire:      wired ── http__exchange_detach ──► through; ── http__exchange_cancel ──► cancelled (then on_cancel, from the loop)
//   of the owner:     owned ── http_exchange_release ──► not owned; recycled once the wire is through too
//
// 1. Once the wire is through with it, cleanly or not, every call still has an answer.
// 2. No call here runs a callback of an owner: what must be told is told by the loop.
#include "http_int.h"

enum { PERMIT_MIN = 4096 };

// ---- between owner and wire ------------------------------------------------------------------------------------------------------

void http__exchange_init(struct http_exchange *x, struct http_server *s, const struct http_wire *wire, const struct http_request *request)
{
	*x = (struct http_exchange){.wire = wire, .server = s, .request = request, .wired = true, .owned = true};
	s->exchanges++;
	s->counters.in_flight++;
}

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
	return x->request;
}

void http_exchange_set_owner(struct http_exchange *x, const struct http_exchange_ops *ops, void *user)
{
	x->ops = ops;
	x->user = user;
}

enum http_failure http_exchange_failure(const struct http_exchange *x)
{
	return (enum http_failure)x->failure;
}

const char *http_failure_text(enum http_failure f)
{
	static const char *const texts[] = {
		[HTTP_FAILURE_NONE] = "nothing went wrong",
#define FAILURE(name, text) [HTTP_FAILURE_##name] = text,
#include "failures.def"
#undef FAILURE
	};
	return texts[f];
}

const char *http_exchange_failure_detail(const struct http_exchange *x, unsigned *ret_number)
{
	static const struct {
		uint8_t failure, number;
		const char *name;
	} details[] = {
#define DETAIL(failure, number, name) {HTTP_FAILURE_##failure, number, name},
#include "details.def"
#undef DETAIL
	};
	*ret_number = x->failure_number;
	for (size_t i = 0; i < ARRAY_LEN(details); i++)
		if (details[i].failure == x->failure && details[i].number == x->failure_number)
			return details[i].name;
	return NULL;
}

bool http_exchange_is_cancelled(const struct http_exchange *x, enum http_cancel *ret_why, unsigned *ret_status)
{
	if (ret_why)
		*ret_why = x->why;
	if (ret_status)
		*ret_status = x->answered;
	return x->cancelled;
}

void http__exchange_detach(struct http_exchange *x, bool in_ended)
{
	x->wired = false;
	x->in_ended = in_ended;
	x->server->counters.in_flight--;
	if (!x->owned)
		x->wire->recycle(x);
}

void http__exchange_cancel(struct http_exchange *x, enum http_cancel why)
{
	struct http_server *s = x->server;
	x->wired = false;
	x->cancelled = x->cancel_pending = true;
	x->why = why;
	s->counters.in_flight--;
	s->counters.cancelled++;
	x->next = s->cancels;
	s->cancels = x;
	loop_post(s->loop, &s->job);
}

void http__exchange_notify_head(struct http_exchange *x)
{
	if (x->ops && x->ops->on_head)
		x->ops->on_head(x->user, x);
}

void http__exchange_notify_read(struct http_exchange *x)
{
	if (!x->want_readable)
		return;
	x->want_readable = false;
	if (x->ops && x->ops->on_readable)
		x->ops->on_readable(x->user, x);
}

// What was permitted once stays so until it is written: others' bytes in the output, heads and framing do not count (H11).
static size_t room(const struct http_exchange *x)
{
	return HTTP_WINDOW - (x->wired ? min_u64(x->queued, x->wire->waiting(x)) : 0);
}

void http__exchange_notify_write(struct http_exchange *x)
{
	if (!x->want_writable || room(x) < PERMIT_MIN)
		return;
	x->want_writable = false;
	if (x->ops && x->ops->on_writable)
		x->ops->on_writable(x->user, x);
}

void http_exchange_release(struct http_exchange *x)
{
	if (!x)
		return;
	BUG_ON(!x->owned);
	x->ops = NULL;
	x->owned = false;
	if (x->cancel_pending)
		return;  // recycled where it would have been told
	if (!x->wired)
		x->wire->recycle(x);
	else if (x->finished)
		x->wire->go_on(x);
	else if (!x->head_given)
		http_respond_error(x, 500, 0);
	else
		x->wire->abort(x, HTTP_CANCEL_SERVER);
}

void http_exchange_bodies(const struct http_exchange *x, uint64_t *ret_in, uint64_t *ret_out)
{
	*ret_in = x->taken;
	*ret_out = x->has_body ? x->written : 0;
}

// ---- request body ----------------------------------------------------------------------------------------------------------------

enum http_read http_body_peek(struct http_exchange *x, struct slice *ret_data)
{
	*ret_data = (struct slice){0};
	if (x->cancelled)
		return HTTP_READ_ERROR;
	if (!x->wired)
		return x->in_ended ? HTTP_READ_END : HTTP_READ_ERROR;
	enum http_read got = x->wire->peek(x, ret_data);
	x->want_readable = got == HTTP_READ_AGAIN;
	return got;
}

void http_body_consume(struct http_exchange *x, size_t n)
{
	x->taken += n;
	if (x->wired && n)
		x->wire->consume(x, n);
}

enum http_read http_body_read(struct http_exchange *x, void *into, size_t max, size_t *ret_n)
{
	struct slice data;
	enum http_read got = http_body_peek(x, &data);
	size_t n = min_u64(max, data.len);
	if (n)
		memcpy(into, data.ptr, n);
	*ret_n = n;
	http_body_consume(x, n);
	return got;
}

const struct http_field *http_body_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	return x->wire->trailers(x, ret_count);
}

void http_body_discard(struct http_exchange *x)
{
	x->discarded = true;
	x->want_readable = false;
	if (x->wired)
		x->wire->discard(x);
}

// ---- response head ---------------------------------------------------------------------------------------------------------------

const char *http_version_name(enum http_version v)
{
	static const char *const names[] = {[HTTP_1_0] = "HTTP/1.0", [HTTP_1_1] = "HTTP/1.1", [HTTP_2] = "HTTP/2.0"};
	return names[v];
}

// RFC 9110, 6.4.1.
bool http_status_has_body(const struct http_exchange *x, unsigned status)
{
	return !x->request->is_head && status != 204 && status != 205 && status != 304;
}

static bool plan_field(struct http_response *p, const struct http_field *f, struct err *e)
{
	if (!http_field_name_is_valid(f->name))
		return err_set(e, ERR_INVALID, "invalid field name");
	if (!http_field_value_is_valid(f->value))
		return err_set(e, ERR_INVALID, "invalid value of field %.*s", SLICE_ARGS(slice_sub(f->name, 0, 64)));
	if (http_field_is_forbidden(f->name))
		return err_set(e, ERR_INVALID, "field %.*s belongs to the connection", SLICE_ARGS(slice_sub(f->name, 0, 64)));
	p->bytes += f->name.len + f->value.len + 4;
	p->has_date |= http_name_eq(f->name, SLICE_LIT("date"));
	p->has_server |= http_name_eq(f->name, SLICE_LIT("server"));
	if (http_name_eq(f->name, SLICE_LIT("content-length"))) {
		uint64_t length;
		if (!http_length_parse(f->value, &length))
			return err_set(e, ERR_INVALID, "malformed content-length");
		if (p->has_length && length != p->length)
			return err_set(e, ERR_INVALID, "content-length fields that differ");
		p->has_length = true;
		p->length = length;
	}
	return true;
}

bool http__fields_plan(struct http_response *p, struct err *e)
{
	if (p->n > HTTP_FIELDS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d fields", HTTP_FIELDS_MAX);
	for (uint32_t i = 0; i < p->n; i++)
		if (!plan_field(p, &p->fields[i], e))
			return false;
	if (p->bytes > HTTP_HEAD_MAX)
		return err_set(e, ERR_LIMIT, "fields of more than %d bytes", HTTP_HEAD_MAX);
	return true;
}

// Of an answer that has no body the length is what the owner said, if it did (RFC 9110, 8.6); with 204 it is dropped, and 205 says that there is none.
static bool plan_length(struct http_response *p, uint64_t length, struct err *e)
{
	if (length != HTTP_LENGTH_UNKNOWN) {
		if (p->has_length && p->length != length && p->has_body)
			return err_set(e, ERR_INVALID, "content-length differs from the length of the body");
		if (!p->has_length)
			p->length = length;
		p->has_length = true;
	}
	if (p->status == 204 || p->status == 205) {
		p->has_length = p->status == 205;
		p->length = 0;
	}
	return true;
}

void http_exchange_add_field(struct http_exchange *x, struct http_field f)
{
	x->more = f;
}

static bool give_head(struct http_exchange *x, unsigned status, const struct http_field *fields, uint32_t n, uint64_t length, struct err *e)
{
	struct http_response p = {.status = status, .fields = fields, .n = n, .has_body = http_status_has_body(x, status)};
	if (!http__fields_plan(&p, e) || !plan_length(&p, length, e))
		return false;
	x->head_given = true;
	x->has_body = p.has_body;
	x->length = p.has_body && p.has_length ? p.length : HTTP_LENGTH_UNKNOWN;
	if (!x->wired || x->wire->head(x, &p))
		return true;  // where nobody listens the first write tells
	return err_nomem(e);
}

// With the field of its own, if there is room.
static bool give_longer_head(struct http_exchange *x, unsigned status, const struct http_field *fields, uint32_t n, uint64_t length)
{
	struct http_field all[HTTP_FIELDS_MAX];
	struct err ignored = {0};
	if (!x->more.name.len || n >= HTTP_FIELDS_MAX)
		return false;
	if (n)
		memcpy(all, fields, n * sizeof *all);
	all[n] = x->more;
	return give_head(x, status, all, n + 1, length, &ignored) || x->head_given;
}

bool http_respond_head(struct http_exchange *x, unsigned status, const struct http_field *fields, uint32_t n, uint64_t length, struct err *e)
{
	if (x->head_given)
		return err_set(e, ERR_USAGE, "the response has a head already");
	if (status < 200 || status > 599)
		return err_set(e, ERR_INVALID, "status %u is not one of 200..599", status);
	return give_longer_head(x, status, fields, n, length) || give_head(x, status, fields, n, length, e);
}

// ---- response body ---------------------------------------------------------------------------------------------------------------

size_t http_body_permit(struct http_exchange *x)
{
	size_t room_now = room(x);
	if (room_now >= PERMIT_MIN)
		return room_now;
	x->want_writable = true;
	return 0;
}

enum http_write http_body_write(struct http_exchange *x, struct slice data)
{
	BUG_ON(!x->head_given);
	if (!x->wired || x->finished)
		return HTTP_WRITE_CLOSED;
	if (x->length != HTTP_LENGTH_UNKNOWN && data.len > x->length - x->written) {
		x->bad_length = true;
		return HTTP_WRITE_TOO_LONG;
	}
	if (x->has_body && data.len > room(x))
		return HTTP_WRITE_NO_PERMIT;
	x->written += data.len;
	if (!x->has_body || data.len == 0)
		return HTTP_WRITE_OK;
	x->queued = min_u64(x->queued, x->wire->waiting(x)) + data.len;
	return x->wire->write(x, data) ? HTTP_WRITE_OK : HTTP_WRITE_CLOSED;
}

static bool trailers_are_valid(const struct http_field *trailers, uint32_t n, size_t *ret_bytes)
{
	*ret_bytes = 0;
	for (uint32_t i = 0; i < n && n <= HTTP_FIELDS_MAX; i++) {
		if (!http_field_name_is_valid(trailers[i].name) || !http_field_value_is_valid(trailers[i].value))
			return false;
		*ret_bytes += trailers[i].name.len + trailers[i].value.len + 4;
	}
	return n <= HTTP_FIELDS_MAX && *ret_bytes <= HTTP_HEAD_MAX / 2;
}

bool http_body_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n)
{
	size_t bytes;
	BUG_ON(!x->head_given);
	if (!x->wired || x->finished)
		return true;
	bool ok = !x->bad_length && (x->length == HTTP_LENGTH_UNKNOWN || x->written == x->length) && trailers_are_valid(trailers, n, &bytes);
	if (!ok || !x->wire->finish(x, trailers, n, bytes)) {
		http_abort(x);
		return false;
	}
	x->finished = true;
	x->wire->go_on(x);
	return true;
}

void http_abort(struct http_exchange *x)
{
	if (!x->wired || x->finished)
		return;
	x->told = true;
	x->wire->abort(x, HTTP_CANCEL_SERVER);
}

void http_respond_error(struct http_exchange *x, unsigned status, unsigned retry_after)
{
	char body[128], seconds[16];
	if (x->head_given)
		return;
	int n = snprintf(body, sizeof body, "%u %s\n", status, http__status_reason(status));
	int m = snprintf(seconds, sizeof seconds, "%u", retry_after);
	struct http_field fields[2] = {
		{SLICE_LIT("Content-Type"), SLICE_LIT("text/plain")},
		{SLICE_LIT("Retry-After"), slice_of(seconds, (size_t)m)},
	};
	if (!http_respond_head(x, status, fields, retry_after ? 2 : 1, (uint64_t)n, NULL))
		return;
	if (http_body_write(x, slice_of(body, (size_t)n)) != HTTP_WRITE_OK)
		http_abort(x);
	else if (!http_body_finish(x, NULL, 0))
		http_abort(x);
}
