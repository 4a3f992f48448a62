// The access log: a line for each request that was answered, or lost, in a file or on stdout. As text in the combined form, with what else is known behind
// it; with --json as an object. What a client chooses is cut and escaped: a line stays one line, and stays within its quotes.
#include "serve_int.h"

enum { LINE_MAX = 16 << 10, TARGET_MAX = 2048, METHOD_MAX = 32, FIELD_MAX = 512, HOST_MAX = 255 };

// What is known of a request; of a head that never became one only who, when and the status.
struct entry {
	const struct http_address *peer;
	const struct http_request *request;  // NULL: none
	const struct serve_request *call;    // NULL: none
	unsigned status;
	uint64_t bytes_in, bytes_out;
	uint64_t head_ns, wall_ns, cpu_ns;   // to the answer's head (0: there was none), to the end; of the guest
};

// ---- text ------------------------------------------------------------------------------------------------------------------------------

// As nginx and Apache do: what would end the quotes or the line, and what is no ASCII, as \xNN.
static void put_quoted(struct buf *b, struct slice s, size_t max)
{
	struct slice head = serve__cut(s, max);
	buf_put_byte(b, '"');
	for (size_t i = 0; i < head.len; i++) {
		uint8_t c = head.ptr[i];
		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			buf_printf(b, "\\x%02x", c);
		else
			buf_put_byte(b, c);
	}
	buf_put_str(b, head.len < s.len ? "...\"" : "\"");
}

static void put_quoted_or_dash(struct buf *b, struct slice s, size_t max)
{
	if (s.len)
		put_quoted(b, s, max);
	else
		buf_put_str(b, "\"-\"");
}

// Without its port.
static void put_host_of(struct buf *b, const struct http_address *peer)
{
	char text[64];
	http_address_print(peer, text, sizeof text);
	struct slice host = slice_str(text);
	char *colon = strrchr(text, ':');
	if (colon)
		host = slice_sub(host, 0, (size_t)(colon - text));
	if (host.len > 2 && host.ptr[0] == '[')
		host = slice_sub(host, 1, host.len - 1);
	buf_put_slice(b, host);
}

static void put_time(struct buf *b)
{
	struct utc t = utc_of((int64_t)(sys_wall_ns() / SECOND));
	buf_printf(b, "[%02u/%s/%04lld:%02u:%02u:%02u +0000]", t.day, utc_month_name(t.month), (long long)t.year, t.hour, t.minute, t.second);
}

static void put_request_line(struct buf *b, const struct http_request *r)
{
	char line[METHOD_MAX + TARGET_MAX + 32];
	struct slice method = serve__cut(r->method, METHOD_MAX), target = serve__cut(r->target, TARGET_MAX);
	int n = snprintf(line, sizeof line, "%.*s %.*s%s %s", SLICE_ARGS(method), SLICE_ARGS(target), target.len < r->target.len ? "..." : "", http_version_name(r->version));
	put_quoted(b, slice_of(line, (size_t)n), sizeof line);
}

static void put_text(struct buf *b, const struct entry *a)
{
	const struct http_request *r = a->request;
	put_host_of(b, a->peer);
	buf_put_str(b, " - - ");
	put_time(b);
	buf_put_byte(b, ' ');
	if (r)
		put_request_line(b, r);
	else
		buf_put_str(b, "\"-\"");
	buf_printf(b, " %u %llu ", a->status, (unsigned long long)a->bytes_out);
	put_quoted_or_dash(b, serve__field(r, "referer"), FIELD_MAX);
	buf_put_byte(b, ' ');
	put_quoted_or_dash(b, serve__field(r, "user-agent"), FIELD_MAX);
	buf_put_byte(b, ' ');
	put_quoted_or_dash(b, r ? r->authority : slice_of(NULL, 0), HOST_MAX);
	buf_printf(b, " %llu %.6f %.6f %.6f ", (unsigned long long)a->bytes_in, (double)a->head_ns / 1e9, (double)a->wall_ns / 1e9, (double)a->cpu_ns / 1e9);
	put_quoted_or_dash(b, serve__request_id(r), FIELD_MAX);
	buf_printf(b, " %llu", (unsigned long long)(a->call ? a->call->id : 0));
}

// ---- JSON ------------------------------------------------------------------------------------------------------------------------------

static void put_optional(struct buf *b, const char *name, struct slice s, size_t max)
{
	if (s.len)
		serve__put_member(b, name, s, max);
}

static void put_object(struct buf *b, const struct entry *a)
{
	const struct http_request *r = a->request;
	char client[64];
	uint64_t ms = sys_wall_ns() / MILLISECOND;
	http_address_print(a->peer, client, sizeof client);
	buf_printf(b, "{\"time\":%llu.%03llu", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
	serve__put_member(b, "client", slice_str(client), sizeof client);
	if (r) {
		put_optional(b, "host", r->authority, HOST_MAX);
		serve__put_member(b, "scheme", r->https ? SLICE_LIT("https") : SLICE_LIT("http"), 8);
		serve__put_member(b, "method", r->method, METHOD_MAX);
		serve__put_member(b, "path", r->target, TARGET_MAX);
		buf_printf(b, ",\"protocol\":\"%s\"", http_version_name(r->version));
	}
	buf_printf(b, ",\"status\":%u,\"bytes_in\":%llu,\"bytes_out\":%llu,\"wall_us\":%llu", a->status, (unsigned long long)a->bytes_in, (unsigned long long)a->bytes_out,
		(unsigned long long)a->wall_ns / 1000);
	if (a->head_ns)
		buf_printf(b, ",\"head_us\":%llu", (unsigned long long)a->head_ns / 1000);
	if (a->call)
		buf_printf(b, ",\"cpu_us\":%llu,\"id\":%llu", (unsigned long long)a->cpu_ns / 1000, (unsigned long long)a->call->id);
	put_optional(b, "request_id", serve__request_id(r), FIELD_MAX);
	put_optional(b, "traceparent", serve__trace_parent(r), FIELD_MAX);
	put_optional(b, "referer", serve__field(r, "referer"), FIELD_MAX);
	put_optional(b, "user_agent", serve__field(r, "user-agent"), FIELD_MAX);
	buf_put_byte(b, '}');
}

// ---- where it goes -----------------------------------------------------------------------------------------------------------------------

static bool is_stdout(const struct serve_process_config *c)
{
	return strcmp(c->access_log, "-") == 0;
}

static void put_entry(const struct serve_process_config *c, const struct entry *a)
{
	struct buf b = {.max = LINE_MAX};
	if (c->json)
		put_object(&b, a);
	else
		put_text(&b, a);
	buf_put_byte(&b, '\n');
	serve__write_line(is_stdout(c) ? SERVE_STDOUT : SERVE_ACCESS, b.failed ? slice_of(NULL, 0) : buf_view(&b));
	buf_release(&b);
}

void serve__access_call(const struct serve_request *r, unsigned status)
{
	const struct serve_process_config *c = r->shard->service->process->config;
	if (LIKELY(!c->access_log))
		return;
	struct entry a = {.request = http_exchange_request(r->x), .call = r, .status = status};
	uint64_t now = loop_now_fresh_ns(r->shard->loop);
	a.peer = r->routed.routing ? &r->routed.client : &a.request->peer;
	http_exchange_bodies(r->x, &a.bytes_in, &a.bytes_out);
	a.wall_ns = now - r->started_ns;
	a.head_ns = r->head_ns ? r->head_ns - r->started_ns : 0;
	a.cpu_ns = r->task ? r->task->cpu_ns : 0;
	put_entry(c, &a);
}

void serve__access_answered(const struct serve_process_config *c, const struct http_exchange *x, unsigned status, uint64_t wall_ns)
{
	if (LIKELY(!c->access_log))
		return;
	struct entry a = {.request = http_exchange_request(x), .status = status, .wall_ns = wall_ns, .head_ns = wall_ns};
	a.peer = &a.request->peer;
	http_exchange_bodies(x, &a.bytes_in, &a.bytes_out);
	put_entry(c, &a);
}

void serve__access_refused(const struct serve_process_config *c, const struct http_address *peer, unsigned status)
{
	if (c->access_log)
		put_entry(c, &(struct entry){.peer = peer, .status = status});
}

bool serve__access_open(const struct serve_process_config *c, struct err *e)
{
	if (!c->access_log || is_stdout(c))
		return true;
	int fd = sys_open_log(c->access_log);
	if (fd < 0) {
		err_set_errno(e, -fd, "the access log '%s' can't be opened", c->access_log);
		return err_hint(e, "--access-log FILE is written to, - is stdout");
	}
	return serve__writer_open(SERVE_ACCESS, fd, e);
}

bool serve__access_reopen(const struct serve_process_config *c)
{
	struct err e = {0};
	if (!c->access_log || is_stdout(c))
		return false;
	if (serve__access_open(c, &e))
		serve__log(c, SERVE_LOG_INFO, "the access log was opened again");
	else
		serve__log(c, SERVE_LOG_ERROR, "the access log stays where it was: %s", e.text);
	return true;
}
