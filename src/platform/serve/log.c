// What a server says of itself and of its guests, on stderr: text on a terminal, otherwise one JSON object a line.
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "serve_int.h"
#include "sys/sys.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};

// One write a line, so that lines of several shards do not mix. A full pipe (of which nobody reads: serving goes on) or a closed stderr loses the
// line: there is nobody to tell.
static void put_line(struct buf *b)
{
	buf_put_byte(b, '\n');
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (!b->failed && poll(&ready, 1, 0) == 1 && write(STDERR_FILENO, b->ptr, b->len) < 0)
		b->failed = true;
	buf_release(b);
}

static bool as_text(const struct serve_config *c)
{
	return c->terminal && !c->json;
}

static void begin_json(struct buf *b, enum serve_log level)
{
	uint64_t ms = sys_wall_ns() / 1000000;
	buf_printf(b, "{\"time\":%llu.%03llu,\"level\":\"%s\"", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000), level_names[level]);
}

void serve__log(const struct serve_config *c, enum serve_log level, const char *fmt, ...)
{
	if (level > c->log_level)
		return;
	char text[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	struct buf b = {.max = 1 << 20};
	if (as_text(c)) {
		buf_printf(&b, "%s: %s", level_names[level], text);
	} else {
		begin_json(&b, level);
		buf_put_str(&b, ",\"message\":");
		buf_put_json_string(&b, slice_str(text));
		buf_put_byte(&b, '}');
	}
	put_line(&b);
}

// What became of a request whose wire was lost, whatever its guest made of that.
static const char *lost(enum http_cancel why, bool answered)
{
	switch (why) {
	case HTTP_CANCEL_PEER:
		return "client gone";
	case HTTP_CANCEL_TIMEOUT:
		return answered ? "body too slow" : "client gone";
	case HTTP_CANCEL_BAD_BODY:
		return "malformed body";
	case HTTP_CANCEL_TOO_LARGE:
		return "body too large";
	case HTTP_CANCEL_SERVER:
		return "killed";
	case HTTP_CANCEL_NOMEM:
		break;
	}
	return "out of memory";
}

// Outcome of a call in one word.
static const char *outcome(const struct serve_call *c)
{
	enum http_cancel why;
	unsigned answered;
	if (c->state == CALL_QUEUED)
		return "refused";
	if (http_exchange_is_cancelled(c->x, &why, &answered) && (c->ok || c->trap.trap == TRAP_KILLED))
		return lost(why, answered != 0);
	if (c->ok)
		return c->http.head_set ? "ok" : "no response";
	switch (c->trap.trap) {
	case TRAP_EXIT:
		return c->trap.exit_code == 0 ? "ok" : "exit";
	case TRAP_CPU_BUDGET:
		return "cpu budget spent";
	case TRAP_DEADLINE:
		return c->http.finished ? "linger over" : "deadline exceeded";
	case TRAP_KILLED:
		return "client gone";
	default:
		return "trap";
	}
}

static void put_call_json(struct buf *b, const struct serve_call *c, unsigned status, uint64_t cpu_ns, uint64_t wall_ns)
{
	const struct http_request *r = http_exchange_request(c->x);
	buf_put_str(b, ",\"request\":{\"method\":");
	buf_put_json_string(b, r->method);
	buf_put_str(b, ",\"path\":");
	buf_put_json_string(b, r->target);
	buf_printf(b, "},\"receipt\":{\"id\":%llu,\"shard\":%u,\"outcome\":\"%s\",\"status\":%u,\"cpu_us\":%llu,\"wall_us\":%llu,\"host_calls\":%u,\"wait_us\":%llu",
		(unsigned long long)c->id, c->shard->index, outcome(c), status, (unsigned long long)cpu_ns / 1000, (unsigned long long)wall_ns / 1000,
		c->task.n_calls, (unsigned long long)c->task.wait_ns / 1000);
	if (c->slot) {
		struct vm_store *store = canon_instance_store(c->slot->canon);
		struct vm_reset_stats stats = vm_store_reset_stats(store);
		buf_printf(b, ",\"peak_memory\":%llu,\"private_pages\":%llu", (unsigned long long)vm_store_memory_peak(store),
			(unsigned long long)stats.private_pages);
	}
	buf_put_byte(b, '}');
	if (!c->ok && c->state != CALL_QUEUED) {
		buf_put_str(b, ",\"trap\":");
		buf_put_json_string(b, slice_str(c->trap.text));
		if (c->trap.backtrace[0]) {
			buf_put_str(b, ",\"backtrace\":");
			buf_put_json_string(b, slice_str(c->trap.backtrace));
		}
	}
	buf_put_byte(b, '}');
}

static void put_call_text(struct buf *b, const struct serve_call *c, unsigned status, uint64_t cpu_ns, uint64_t wall_ns)
{
	const struct http_request *r = http_exchange_request(c->x);
	buf_printf(b, "%.*s ", SLICE_ARGS(r->method));
	buf_printf(b, "%.*s", SLICE_ARGS(slice_sub(r->target, 0, 200)));
	buf_printf(b, " %u %.2f ms, %.2f ms CPU", status, (double)wall_ns / 1e6, (double)cpu_ns / 1e6);
	if (!c->ok && c->state != CALL_QUEUED) {
		buf_printf(b, ": %s: ", outcome(c));
		buf_put_printable(b, slice_str(c->trap.text), "");
		buf_put_str(b, c->trap.backtrace[0] ? "\n" : "");
		buf_put_printable(b, slice_str(c->trap.backtrace), "\n");
	}
}

void serve__log_call(const struct serve_call *c, unsigned status)
{
	const struct serve_config *config = c->shard->server->config;
	bool failed = !c->ok || !c->http.head_set || http_exchange_is_cancelled(c->x, NULL, NULL);
	enum serve_log level = failed ? SERVE_LOG_WARN : as_text(config) ? SERVE_LOG_INFO
																	 : SERVE_LOG_DEBUG;
	if (level > config->log_level)
		return;
	uint64_t wall_ns = sys_now_ns() - c->started_ns, cpu_ns = c->cpu_ns;
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		put_call_text(&b, c, status, cpu_ns, wall_ns);
	} else {
		begin_json(&b, level);
		put_call_json(&b, c, status, cpu_ns, wall_ns);
	}
	put_line(&b);
}

void serve__log_guest(void *ctx, struct seam_task *task, int fd, struct slice text)
{
	const struct serve_config *config = ctx;
	const struct serve_call *c = task ? task->request : NULL;
	if (config->log_level < SERVE_LOG_INFO)
		return;
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		buf_printf(&b, "guest %s: ", fd == 1 ? "stdout" : "stderr");
		buf_put_printable(&b, text, "\t");  // no terminal escapes in the operator's log
	} else {
		begin_json(&b, SERVE_LOG_INFO);
		buf_printf(&b, ",\"stream\":\"%s\",\"request\":%llu,\"guest\":", fd == 1 ? "stdout" : "stderr", (unsigned long long)(c ? c->id : 0));
		buf_put_json_string(&b, text);
		buf_put_byte(&b, '}');
	}
	put_line(&b);
}

void serve__log_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag)
{
	serve__log(ctx, SERVE_LOG_WARN, "denied: %s; no option grants it yet", what);
}
