// What a server says of itself and of its guests, on stderr: text on a terminal, otherwise one JSON object a line. What is cut is said by an ellipsis.
#include <stdarg.h>

#include "relay.h"
#include "sys/sys.h"

enum { LINE_MAX_BYTES = 32 << 10, STRING_MAX = 4096, TARGET_MAX = 1024, METHOD_MAX = 32, ID_MAX = SERVE_ID_MAX };
#define ELLIPSIS "\xe2\x80\xa6"

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct slice serve__cut(struct slice s, size_t max)
{
	if (s.len <= max)
		return s;
	while (max && (s.ptr[max] & 0xc0) == 0x80)
		max--;
	return slice_sub(s, 0, max);
}

void serve__put_member(struct buf *b, const char *name, struct slice s, size_t max)
{
	struct slice head = serve__cut(s, max);
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, head);
	if (head.len < s.len && !b->failed) {
		b->len--;
		buf_put_str(b, ELLIPSIS "\"");
	}
}

// A line that memory does not suffice for is lost.
static void put_line(struct buf *b)
{
	if (b->len >= LINE_MAX_BYTES) {  // of a terminal: members of an object are bounded
		b->len = LINE_MAX_BYTES - 8;
		buf_put_str(b, ELLIPSIS);
	}
	buf_put_byte(b, '\n');
	if (!b->failed)
		serve__write_line(SERVE_STDERR, buf_view(b));
	serve__line_keep(b);
}

static bool as_text(const struct serve_process_config *c)
{
	return c->terminal && !c->json;
}

static void begin_json(struct buf *b, enum serve_log level)
{
	uint64_t ms = sys_wall_ns() / 1000000;
	buf_printf(b, "{\"time\":%llu.%03llu,\"level\":\"%s\"", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000), level_names[level]);
}

static void put_message(struct buf *b, bool text, enum serve_log level, const char *message)
{
	if (text) {
		buf_printf(b, "%s: %s", level_names[level], message);
	} else {
		begin_json(b, level);
		serve__put_member(b, "message", slice_str(message), STRING_MAX);
		buf_put_byte(b, '}');
	}
}

void serve__log(const struct serve_process_config *c, enum serve_log level, const char *fmt, ...)
{
	if (level > c->log_level)
		return;
	char text[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	struct buf b = {.max = 1 << 20};
	put_message(&b, as_text(c), level, text);
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

static bool lost_as_text;

static void say_lost(struct buf *b, enum serve_stream of, uint64_t lines)
{
	static const char *const names[] = {[SERVE_STDOUT] = "for stdout", [SERVE_ACCESS] = "of the access log", [SERVE_STDERR] = "of the log"};
	char text[80];
	snprintf(text, sizeof text, "%llu lines %s were lost", (unsigned long long)lines, names[of]);
	put_message(b, lost_as_text, SERVE_LOG_WARN, text);
	buf_put_byte(b, '\n');
}

void serve__log_start(const struct serve_process_config *c)
{
	lost_as_text = as_text(c);
	serve__writers_start(say_lost);
}

// ---- requests ------------------------------------------------------------------------------------------------------------------------

struct slice serve__field(const struct http_request *r, const char *name)
{
	for (uint32_t i = 0; r && i < r->field_count; i++)
		if (http_name_eq(r->fields[i].name, slice_str(name)))
			return r->fields[i].value;
	return slice_of(NULL, 0);
}

// What a proxy in front of us calls the request.
struct slice serve__request_id(const struct http_request *r)
{
	struct slice id = serve__field(r, "x-request-id");
	bool ok = id.len <= ID_MAX;
	for (size_t i = 0; ok && i < id.len; i++)
		ok = id.ptr[i] > ' ' && id.ptr[i] < 0x7f;
	return ok ? id : slice_of(NULL, 0);
}

// W3C Trace Context: version, trace, parent and flags in lower-case hexadecimal.
struct slice serve__trace_parent(const struct http_request *r)
{
	static const char form[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
	struct slice t = serve__field(r, "traceparent");
	bool ok = t.len == sizeof form - 1;
	for (size_t i = 0; ok && i < t.len; i++)
		ok = form[i] == '-' ? t.ptr[i] == '-' : (t.ptr[i] >= '0' && t.ptr[i] <= '9') || (t.ptr[i] >= 'a' && t.ptr[i] <= 'f');
	return ok ? t : slice_of(NULL, 0);
}

static void put_these_ids(struct buf *b, struct slice id, struct slice trace)
{
	if (id.len)
		serve__put_member(b, "request_id", id, ID_MAX);
	if (trace.len)
		serve__put_member(b, "traceparent", trace, ID_MAX);
}

static void put_ids(struct buf *b, const struct serve_request *c)
{
	if (!c || !c->x)
		return;
	const struct http_request *r = http_exchange_request(c->x);
	put_these_ids(b, serve__request_id(r), serve__trace_parent(r));
}

static uint64_t id_of(const struct seam_task *task)
{
	const struct serve_request *c = task ? task->request : NULL;
	const struct serve_names *names = task ? task->names : NULL;
	return c ? c->id : names ? names->id
							 : 0;
}

static void put_ids_of(struct buf *b, const struct seam_task *task)
{
	const struct serve_names *names = task ? task->names : NULL;
	if (task && task->request)
		put_ids(b, task->request);
	else if (names)
		put_these_ids(b, slice_str(names->request_id), slice_str(names->trace_parent));
}

const char *serve__outcome(const struct serve_request *c)
{
	enum http_cancel why;
	unsigned answered;
	if (c->client_gone)
		return "client gone";
	if (c->state == REQUEST_QUEUED)
		return "refused";
	if (http_exchange_is_cancelled(c->x, &why, &answered) && (c->ok || c->trap.trap == TRAP_KILLED))
		return lost(why, answered != 0);
	if (c->inside.overdue)
		return c->http.flow.finished ? "linger over" : "deadline exceeded";
	if (c->ok || (c->trap.trap == TRAP_EXIT && c->trap.exit_code == 0))
		return c->http.set_error ? "error" : c->http.head_set ? "ok"
															  : "no response";
	switch (c->trap.trap) {
	case TRAP_EXIT:
		return "exit";
	case TRAP_CPU_BUDGET:
		return "cpu budget spent";
	case TRAP_DEADLINE:
		return c->http.flow.finished ? "linger over" : "deadline exceeded";
	case TRAP_KILLED:
		return "ended by the server";
	case TRAP_PROCESS_MEMORY:
		return "ended for memory";
	case TRAP_POISONED:
		return "ended by a neighbour";
	default:
		return "trap";
	}
}

static bool has_trap(const struct serve_request *c)
{
	return !c->ok && c->state != REQUEST_QUEUED && !c->client_gone;
}

static void put_request_json(struct buf *b, const struct http_request *r, const struct http_address *peer)
{
	char client[64];
	http_address_print(peer, client, sizeof client);
	struct slice method = serve__cut(r->method, METHOD_MAX);
	buf_put_str(b, ",\"request\":{\"method\":");
	buf_put_json_string(b, method);
	serve__put_member(b, "path", r->target, TARGET_MAX);
	serve__put_member(b, "client", slice_str(client), sizeof client);
	buf_put_byte(b, '}');
}

static void put_route(struct buf *b, const struct serve_request *c)
{
	const struct serve_service *s = c->shard->service;
	if (!c->routed.routing)
		return;
	buf_printf(b, ",\"app\":\"%s\",\"component\":\"%s\"", s->app, s->name);
	serve__put_member(b, "route", slice_str(c->routed.route->config->id ? c->routed.route->config->id : c->routed.route->config->pattern), ID_MAX);
}

static void put_call_json(struct buf *b, const struct serve_request *c, unsigned status, uint64_t cpu_ns, uint64_t wall_ns)
{
	put_request_json(b, http_exchange_request(c->x), c->routed.routing ? &c->routed.client : &http_exchange_request(c->x)->peer);
	put_route(b, c);
	put_ids(b, c);
	buf_printf(b, ",\"receipt\":{\"id\":%llu,\"shard\":%u,\"outcome\":\"%s\",\"status\":%u,\"cpu_us\":%llu,\"wall_us\":%llu,\"host_calls\":%u,\"wait_us\":%llu,\"link_calls\":%u,\"link_us\":%llu",
		(unsigned long long)c->id, c->shard->index, serve__outcome(c), status, (unsigned long long)cpu_ns / 1000, (unsigned long long)wall_ns / 1000,
		c->task ? c->task->n_calls : 0, (unsigned long long)(c->task ? c->task->wait_ns : 0) / 1000, c->link_calls,
		(unsigned long long)c->link_ns / 1000);
	if (c->http.error.len)
		serve__put_member(b, "error", c->http.error, ID_MAX);
	if (c->slot) {
		struct vm_store *store = canon_instance_store(c->slot->canon);
		struct vm_reset_stats stats = vm_store_reset_stats(store);
		buf_printf(b, ",\"peak_memory\":%llu,\"private_pages\":%llu", (unsigned long long)vm_store_memory_peak(store),
			(unsigned long long)stats.private_pages);
	}
	buf_put_byte(b, '}');
	if (has_trap(c))
		serve__put_member(b, "trap", slice_str(c->trap.text), STRING_MAX);
}

// What a line ends with; `frames` may be empty.
static void end_call_json(struct buf *b, struct slice frames)
{
	if (frames.len)
		serve__put_member(b, "backtrace", frames, SERVE_BACKTRACE_MAX);
	buf_put_byte(b, '}');
	put_line(b);
}

static void end_call_text(struct buf *b, struct slice frames)
{
	buf_put_str(b, frames.len ? "\n" : "");
	buf_put_printable(b, slice_sub(frames, 0, frames.len ? frames.len - 1 : 0), "\n");
	put_line(b);
}

static void put_call_text(struct buf *b, const struct serve_request *c, unsigned status, uint64_t cpu_ns, uint64_t wall_ns)
{
	const struct http_request *r = http_exchange_request(c->x);
	struct slice method = serve__cut(r->method, METHOD_MAX), target = serve__cut(r->target, 200), id = serve__request_id(r);
	buf_printf(b, "%.*s ", SLICE_ARGS(method));
	buf_printf(b, "%.*s%s", SLICE_ARGS(target), target.len < r->target.len ? ELLIPSIS : "");
	buf_printf(b, " %u %.2f ms, %.2f ms CPU #%llu", status, (double)wall_ns / 1e6, (double)cpu_ns / 1e6, (unsigned long long)c->id);
	if (id.len)
		buf_printf(b, " %.*s", SLICE_ARGS(id));
	if (c->client_gone || c->http.error.len)
		buf_printf(b, ": %s %.*s", serve__outcome(c), SLICE_ARGS(c->http.error));
	if (has_trap(c)) {
		buf_printf(b, ": %s: ", serve__outcome(c));
		buf_put_printable(b, slice_str(c->trap.text), "");
	}
}

static enum serve_log level_of(const struct serve_request *c, bool text)
{
	if (c->client_gone)
		return SERVE_LOG_INFO;
	if (!c->ok || !c->http.head_set || c->http.set_error || http_exchange_is_cancelled(c->x, NULL, NULL))
		return SERVE_LOG_WARN;
	return text ? SERVE_LOG_INFO : SERVE_LOG_DEBUG;
}

void serve__log_call(const struct serve_request *c, unsigned status,
	void (*trapped)(const struct serve_request *c, struct buf *line, void (*end)(struct buf *line, struct slice frames)))
{
	const struct serve_process_config *config = c->shard->service->process->config;
	enum serve_log level = level_of(c, as_text(config));
	if (level > config->log_level)
		return;
	uint64_t wall_ns = sys_now_ns() - c->started_ns, cpu_ns = c->task ? c->task->cpu_ns : 0;
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		put_call_text(&b, c, status, cpu_ns, wall_ns);
	} else {
		begin_json(&b, level);
		put_call_json(&b, c, status, cpu_ns, wall_ns);
	}
	void (*end)(struct buf *, struct slice) = as_text(config) ? end_call_text : end_call_json;
	if (trapped && has_trap(c) && c->trap.frames.n)
		trapped(c, &b, end);
	else
		end(&b, slice_of(NULL, 0));
}

void serve__log_answered(const struct serve_process_config *config, const struct http_request *r, unsigned status, uint64_t wall_ns)
{
	enum serve_log level = as_text(config) ? SERVE_LOG_INFO : SERVE_LOG_DEBUG;
	if (config->log_level < level)
		return;
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		struct slice method = serve__cut(r->method, METHOD_MAX), target = serve__cut(r->target, 200);
		buf_printf(&b, "%.*s %.*s%s %u %.2f ms", SLICE_ARGS(method), SLICE_ARGS(target), target.len < r->target.len ? ELLIPSIS : "", status, (double)wall_ns / 1e6);
	} else {
		begin_json(&b, level);
		put_request_json(&b, r, &r->peer);
		buf_printf(&b, ",\"answered\":{\"status\":%u,\"wall_us\":%llu}}", status, (unsigned long long)wall_ns / 1000);
	}
	put_line(&b);
}

void serve__log_refused(const struct serve_process_config *config, const struct http_address *peer, unsigned status, const char *why)
{
	char client[64];
	if (config->log_level < SERVE_LOG_INFO)
		return;
	http_address_print(peer, client, sizeof client);
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		buf_printf(&b, "%s refused with %u: %s", client, status, why);
	} else {
		begin_json(&b, SERVE_LOG_INFO);
		buf_printf(&b, ",\"refused\":{\"client\":\"%s\",\"status\":%u", client, status);
		serve__put_member(&b, "why", slice_str(why), STRING_MAX);
		buf_put_str(&b, "}}");
	}
	put_line(&b);
}

void serve__log_state(const struct serve_shard *s)
{
	unsigned free_slots = 0;
	for (unsigned i = 0; i < ARRAY_LEN(s->stocks); i++)
		for (const struct serve_slot *slot = s->stocks[i].free_slots; slot; slot = slot->next)
			free_slots++;
	serve__log(s->service->process->config, SERVE_LOG_INFO,
		"state of shard %u: %llu requests running, %llu waiting, %llu instances of which %u are free, %llu requests so far", s->index,
		(unsigned long long)s->calls, (unsigned long long)s->queued, (unsigned long long)s->slots, free_slots,
		(unsigned long long)s->request_count);
	for (const struct serve_request *c = s->running; c; c = c->list_next) {
		const struct http_request *r = http_exchange_request(c->x);
		struct slice target = serve__cut(r->target, 200);
		serve__log(s->service->process->config, SERVE_LOG_INFO, "running on shard %u: #%llu %.*s for %llu ms%s", s->index, (unsigned long long)c->id, SLICE_ARGS(target),
			(unsigned long long)(sys_now_ns() - c->started_ns) / 1000000, c->task->parked ? ", waits" : "");
	}
}

void serve__log_guest(void *ctx, struct seam_task *task, int fd, struct slice text)
{
	const struct serve_process_config *config = ctx;
	uint64_t id = id_of(task);
	if (config->log_level < SERVE_LOG_INFO)
		return;
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		buf_printf(&b, "guest %s", fd == 1 ? "stdout" : "stderr");
		if (id)
			buf_printf(&b, " #%llu", (unsigned long long)id);
		buf_put_str(&b, ": ");
		buf_put_printable(&b, text, "\t");  // no terminal escapes in the operator's log
	} else {
		begin_json(&b, SERVE_LOG_INFO);
		buf_printf(&b, ",\"stream\":\"%s\",\"request\":%llu", fd == 1 ? "stdout" : "stderr", (unsigned long long)id);
		put_ids_of(&b, task);
		serve__put_member(&b, "guest", text, STRING_MAX);
		buf_put_byte(&b, '}');
	}
	put_line(&b);
}

// ---- wasi:logging --------------------------------------------------------------------------------------------------------------------

static const struct {
	const char *name;
	enum serve_log is;  // in our log
} guest_levels[] = {
	[WASI_LOGGING_LOGGING_LEVEL_TRACE] = {"trace", SERVE_LOG_DEBUG},
	[WASI_LOGGING_LOGGING_LEVEL_DEBUG] = {"debug", SERVE_LOG_DEBUG},
	[WASI_LOGGING_LOGGING_LEVEL_INFO] = {"info", SERVE_LOG_INFO},
	[WASI_LOGGING_LOGGING_LEVEL_WARN] = {"warn", SERVE_LOG_WARN},
	[WASI_LOGGING_LOGGING_LEVEL_ERROR] = {"error", SERVE_LOG_ERROR},
	[WASI_LOGGING_LOGGING_LEVEL_CRITICAL] = {"critical", SERVE_LOG_ERROR},
};

uint8_t serve__log_least(enum serve_log level)
{
	uint8_t least = 0;
	while (guest_levels[least].is > level)
		least++;
	return least;
}

void serve__log_message(void *ctx, struct seam_task *task, uint8_t level, struct slice context, struct slice text)
{
	const struct serve_process_config *config = ctx;
	uint64_t id = id_of(task);
	struct slice shown = serve__cut(text, STRING_MAX);
	struct buf b = {.max = 1 << 20};
	if (as_text(config)) {
		buf_printf(&b, "guest %s", guest_levels[level].name);
		if (id)
			buf_printf(&b, " #%llu", (unsigned long long)id);
		buf_put_str(&b, context.len ? " " : "");
		buf_put_printable(&b, serve__cut(context, ID_MAX), "");
		buf_put_str(&b, ": ");
		buf_put_printable(&b, shown, "\t");
		buf_put_str(&b, shown.len < text.len ? ELLIPSIS : "");
	} else {
		begin_json(&b, guest_levels[level].is);
		buf_printf(&b, ",\"guest_level\":\"%s\",\"request\":%llu", guest_levels[level].name, (unsigned long long)id);
		put_ids_of(&b, task);
		serve__put_member(&b, "context", context, ID_MAX);
		serve__put_member(&b, "guest", text, STRING_MAX);
		buf_put_byte(&b, '}');
	}
	put_line(&b);
}

// What the flag is in a manifest. `before` begins the flag; its argument ends at a blank, and stands where %.*s is.
static const struct {
	const char *before, *tenon, *spin;
} flags[] = {
	{"--net ", "network = [\"%.*s\"]", "allowed_outbound_hosts = [\"%.*s\"]"},
	{"--listen-tcp ", "listen = [\"tcp://%.*s\"]", "listen = [\"tcp://%.*s\"] of a tenon.toml"},
	{"--listen-udp ", "listen = [\"udp://%.*s\"]", "listen = [\"udp://%.*s\"] of a tenon.toml"},
	{"--private", "private = [\"RANGE\"], or its address in `network`,", "its address in `allowed_outbound_hosts`"},
};

void serve__log_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag)
{
	const struct serve_deployment *d = ctx;
	enum serve_words words = d->config->words;
	char line[512];
	snprintf(line, sizeof line, "%s", flag);
	for (size_t i = 0; i < ARRAY_LEN(flags) && words != SERVE_WORDS_FLAGS; i++) {
		size_t n = strlen(flags[i].before);
		if (strncmp(flag, flags[i].before, n) == 0)
			snprintf(line, sizeof line, words == SERVE_WORDS_SPIN ? flags[i].spin : flags[i].tenon, (int)strcspn(flag + n, " "), flag + n);
	}
	serve__log(d->process, SERVE_LOG_WARN, "denied: %s; %s would grant it", what, line);
}

void serve__log_listens(void *ctx, const char *address)
{
	serve__log(ctx, SERVE_LOG_INFO, "listens on %s (--listen-tcp)", address);
}
