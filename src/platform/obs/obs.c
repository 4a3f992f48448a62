// From the rings of threads to a collector.
//
//   obs_send ──► a ring of the thread's ──► on its own thread: flush ── a batch as one request ──► sending ──► taken; or asked anew after a while; or given up
//
// A second after the last request, or as soon as a ring is half full, what is there is sent. One request is under way at a time: where the collector is slow or
// not there the rings fill up, and what finds no room is lost.
#include "http/http.h"
#include "loop/loop.h"
#include "obs_int.h"
#include "sys/sys.h"

enum { RING = 1024, BATCH = 512, TRIES = 5 };
#define EACH (1 * SECOND)
#define ANSWER (10 * SECOND)
#define WARN_EACH (60 * SECOND)

// Written by its thread alone from `head` on, read by ours from `tail` on; both only grow.
struct ring {
	uint64_t head, tail, lost;
	uint64_t taken;  // ours: of those from `tail` on, in the batch
	struct obs_span *spans;
	uint8_t apart[64];
};

struct obs {
	struct obs_config config;
	struct loop *loop;
	struct http_client *http;
	struct http_tls *tls;
	struct sys_thread thread;
	struct ring *rings;
	struct loop_timer timer;  // of the next flush, or of asking anew
	struct loop_timer end;    // of the time that closing may take
	struct loop_remote wake, quit;
	bool waking;    // atomic: `wake` is posted
	bool runs, quits;
	uint64_t quit_ns;         // at most
	char authority[HTTP_HOST_MAX + 16], target[1024];
	bool https;
	// Of the request that is under way.
	struct http_exchange *x;  // NULL: none, or it waits to be asked anew
	struct buf body;          // empty: nothing is to be sent
	size_t written;
	uint32_t spans;           // in it
	unsigned tries;
	unsigned first;           // ring, of the next batch
	uint64_t warned_ns;
	uint64_t sent, failed;    // atomic
};

// ---- from other threads ---------------------------------------------------------------------------------------------------------------------------

void obs_send(struct obs *o, unsigned thread, const struct obs_span *s)
{
	struct ring *r = &o->rings[thread];
	uint64_t used = r->head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	if (used == RING) {
		__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
		return;
	}
	memcpy(&r->spans[r->head % RING], s, offsetof(struct obs_span, text) + s->len);
	__atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
	if (used == RING / 2 && !__atomic_exchange_n(&o->waking, true, __ATOMIC_ACQ_REL))
		loop_post_remote(o->loop, &o->wake);
}

struct obs_counts obs_counts(const struct obs *o)
{
	struct obs_counts n = {.sent = __atomic_load_n(&o->sent, __ATOMIC_RELAXED), .failed = __atomic_load_n(&o->failed, __ATOMIC_RELAXED)};
	for (unsigned i = 0; i < o->config.threads; i++)
		n.lost += __atomic_load_n(&o->rings[i].lost, __ATOMIC_RELAXED);
	return n;
}

// ---- a request ------------------------------------------------------------------------------------------------------------------------------------

static void flush(struct obs *o);
static void ask(struct obs *o);

static void add(uint64_t *to, uint64_t n)
{
	__atomic_store_n(to, *to + n, __ATOMIC_RELAXED);
}

static void is_over(struct obs *o, bool taken)
{
	add(taken ? &o->sent : &o->failed, o->spans);
	buf_clear(&o->body);
	o->spans = 0;
	flush(o);
}

static void warn(struct obs *o, const char *why)
{
	char text[400];
	struct slice url = slice_str(o->config.url);
	uint64_t now = loop_now_fresh_ns(o->loop);
	if (o->warned_ns && now < o->warned_ns + WARN_EACH)
		return;
	o->warned_ns = now;
	snprintf(text, sizeof text, "traces are not taken by %.*s: %s", SLICE_ARGS(slice_sub(url, 0, slice_find(url, '?'))), why);  // a query may hold a secret
	o->config.warn(o->config.ctx, text);
}

// Asked anew after a while, each time twice as long.
static void try_again(struct obs *o, const char *why)
{
	warn(o, why);
	if (++o->tries == TRIES || o->quits)
		is_over(o, false);
	else
		loop_timer_set(o->loop, &o->timer, loop_now_fresh_ns(o->loop) + (EACH << (o->tries - 1)));
}

static void leave(struct obs *o)
{
	http_body_discard(o->x);
	http_exchange_release(o->x);
	o->x = NULL;
}

static void on_head(void *user, struct http_exchange *x)
{
	struct obs *o = user;
	unsigned status = http_exchange_answer(x)->status;
	char why[40];
	leave(o);
	snprintf(why, sizeof why, "it answers %u", status);
	if (status / 100 == 2) {
		is_over(o, true);
	} else if (status == 429 || status == 502 || status == 503 || status == 504) {  // OTLP/HTTP: these alone are asked again
		try_again(o, why);
	} else {
		warn(o, why);
		is_over(o, false);
	}
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why UNUSED)
{
	struct obs *o = user;
	const char *text = http_failure_text(http_exchange_failure(x));
	http_exchange_release(x);
	o->x = NULL;
	try_again(o, text);
}

static void on_writable(void *user, struct http_exchange *x)
{
	struct obs *o = user;
	while (o->written < o->body.len) {
		size_t n = min_u64(http_body_permit(x), o->body.len - o->written);
		if (!n)
			return;
		if (http_body_write(x, slice_sub(buf_view(&o->body), o->written, n)) != HTTP_WRITE_OK)
			return;  // on_cancel follows
		o->written += n;
	}
	(void)!http_body_finish(x, NULL, 0);
}

static bool may_connect(void *user UNUSED, const struct http_address *a UNUSED)
{
	return true;
}

static void ask(struct obs *o)
{
	static const struct http_exchange_ops ops = {.on_head = on_head, .on_writable = on_writable, .on_cancel = on_cancel};
	char length[24], agent[64];
	enum http_failure why;
	snprintf(length, sizeof length, "%zu", o->body.len);
	snprintf(agent, sizeof agent, "tenon/%s", o->config.version);
	const struct http_field fields[] = {{SLICE_LIT("content-type"), SLICE_LIT("application/x-protobuf")}, {SLICE_LIT("content-length"), slice_str(length)},
		{SLICE_LIT("user-agent"), slice_str(agent)}};
	const struct http_outgoing_request r = {.method = SLICE_LIT("POST"),
		.authority = slice_str(o->authority),
		.target = slice_str(o->target),
		.https = o->https,
		.tls = o->tls,
		.fields = fields,
		.n = ARRAY_LEN(fields),
		.connect_ns = ANSWER,
		.first_byte_ns = ANSWER,
		.between_ns = ANSWER,
		.may_connect = may_connect,
		.ops = &ops,
		.user = o};
	o->written = 0;
	if (http_client_send(o->http, &r, &o->x, &why))
		on_writable(o, o->x);
	else
		try_again(o, http_failure_text(why));
}

// ---- a batch --------------------------------------------------------------------------------------------------------------------------------------

static bool fill(struct obs *o)
{
	const struct obs_span *list[BATCH];
	uint32_t n = 0;
	for (unsigned i = 0; i < o->config.threads; i++) {
		struct ring *r = &o->rings[(o->first + i) % o->config.threads];
		uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
		for (r->taken = 0; n < BATCH && r->tail + r->taken < head; r->taken++)
			list[n++] = &r->spans[(r->tail + r->taken) % RING];
	}
	o->first = (o->first + 1) % o->config.threads;
	if (!n)
		return false;
	obs__encode(list, n, o->config.version, &o->body);
	for (unsigned i = 0; i < o->config.threads; i++)
		__atomic_store_n(&o->rings[i].tail, o->rings[i].tail + o->rings[i].taken, __ATOMIC_RELEASE);
	o->spans = n;
	o->tries = 0;
	if (o->body.failed) {
		warn(o, "memory is out");
		add(&o->failed, n);
		buf_clear(&o->body);
	}
	return o->body.len > 0;
}

// What is there begins to be sent, where nothing is.
static void flush(struct obs *o)
{
	if (o->x || o->body.len)
		return;
	if (fill(o))
		ask(o);
	else if (o->quits)
		loop_stop(o->loop);
	else
		loop_timer_set(o->loop, &o->timer, loop_now_fresh_ns(o->loop) + EACH);
}

static void on_timer(struct loop_timer *t)
{
	struct obs *o = CONTAINER_OF(t, struct obs, timer);
	if (o->body.len)
		ask(o);
	else
		flush(o);
}

static void on_wake(struct loop_remote *r)
{
	struct obs *o = CONTAINER_OF(r, struct obs, wake);
	__atomic_store_n(&o->waking, false, __ATOMIC_RELEASE);
	flush(o);
}

// ---- life -----------------------------------------------------------------------------------------------------------------------------------------

static void on_end(struct loop_timer *t)
{
	struct obs *o = CONTAINER_OF(t, struct obs, end);
	warn(o, "it is too slow for what is left at the end");
	loop_stop(o->loop);
}

static void on_quit(struct loop_remote *r)
{
	struct obs *o = CONTAINER_OF(r, struct obs, quit);
	o->quits = true;
	loop_timer_set(o->loop, &o->end, loop_now_fresh_ns(o->loop) + o->quit_ns);
	if (!o->x && o->body.len)
		ask(o);  // it waits to be asked anew
	else
		flush(o);
}

static void *obs_main(void *arg)
{
	struct obs *o = arg;
	loop_run(o->loop);
	if (o->x)
		http_exchange_release(o->x);
	o->x = NULL;
	loop_timer_cancel(o->loop, &o->timer);
	loop_timer_cancel(o->loop, &o->end);
	http_client_free(o->http);
	return NULL;
}

static bool bad_url(const char *url, struct err *e)
{
	struct slice shown = slice_str(url);
	size_t at = slice_find(shown, '@');  // what stands before it may be a password
	shown = slice_sub(shown, at < shown.len ? at : 0, SIZE_MAX);
	err_set(e, ERR_USAGE, "not where traces can be sent to: '%s%.*s'", at < strlen(url) ? "..." : "", (int)min_u64(slice_find(shown, '?'), 200), (const char *)shown.ptr);
	return err_hint(e, "http://HOST[:PORT][/PATH], or https; without a path /v1/traces is meant");
}

static bool take_url(const char *url, struct obs *o, struct err *e)
{
	struct slice s = slice_str(url);
	char host[HTTP_HOST_MAX + 1];
	uint16_t port;
	o->https = slice_starts_with(s, SLICE_LIT("https://"));
	if (!o->https && !slice_starts_with(s, SLICE_LIT("http://")))
		return bad_url(url, e);
	s = slice_sub(s, o->https ? 8 : 7, SIZE_MAX);
	struct slice authority = slice_sub(s, 0, slice_find(s, '/')), path = slice_sub(s, authority.len, SIZE_MAX);
	if (path.len <= 1)
		path = SLICE_LIT("/v1/traces");
	if (authority.len >= sizeof o->authority || path.len >= sizeof o->target || !http_authority_split(authority, o->https, host, &port) || !http_target_is_valid(path))
		return bad_url(url, e);
	snprintf(o->authority, sizeof o->authority, "%.*s", SLICE_ARGS(authority));
	snprintf(o->target, sizeof o->target, "%.*s", SLICE_ARGS(path));
	return true;
}

bool obs_check_url(const char *url, struct err *e)
{
	struct obs o;
	return take_url(url, &o, e);
}

static bool open_rings(struct obs *o, struct err *e)
{
	o->rings = mem_zalloc(o->config.threads * sizeof *o->rings);
	for (unsigned i = 0; o->rings && i < o->config.threads; i++)
		if (!(o->rings[i].spans = mem_zalloc(RING * sizeof(struct obs_span))))
			return err_nomem(e);
	return o->rings || err_nomem(e);
}

static void obs_free(struct obs *o)
{
	for (unsigned i = 0; o->rings && i < o->config.threads; i++)
		mem_free(o->rings[i].spans);
	mem_free(o->rings);
	if (o->loop)
		loop_free(o->loop);
	http_tls_free(o->tls);
	buf_release(&o->body);
	mem_free(o);
}

bool obs_open(const struct obs_config *c, struct obs **ret, struct err *e)
{
	struct obs *o = mem_zalloc(sizeof *o);
	if (!o)
		return err_nomem(e);
	o->config = *c;
	o->timer.fn = on_timer;
	o->end.fn = on_end;
	o->wake.fn = on_wake;
	o->quit.fn = on_quit;
	bool ok = take_url(c->url, o, e) && open_rings(o, e) && loop_new(&o->loop, e) && (!o->https || http_tls_client_new(NULL, &o->tls, e)) &&
		http_client_new(o->loop, c->names, &http_client_limits_default, &o->http, e);
	if (ok)
		loop_timer_set(o->loop, &o->timer, loop_now_fresh_ns(o->loop) + EACH);
	int why = ok ? sys_thread_new(&o->thread, obs_main, o) : 0;
	if (why < 0)
		ok = err_set_errno(e, -why, "cannot start a thread");
	if (ok) {
		*ret = o;
		return true;
	}
	if (o->http)
		http_client_free(o->http);
	obs_free(o);
	return err_note(e, "--otlp");
}

void obs_close(struct obs *o, uint64_t at_most_ns)
{
	if (!o)
		return;
	o->quit_ns = at_most_ns;
	loop_post_remote(o->loop, &o->quit);
	sys_thread_join(&o->thread);
	obs_free(o);
}
