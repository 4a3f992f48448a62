// The admin address: /healthz, /readyz, /metrics. A listener and a thread of its own, so that it answers where every shard is busy, and from before the
// component is loaded until the drain is over; a few connections of its own, so that guests' clients can't take them, nor it theirs.
//
// Its thread reads what other threads count and changes nothing: p->phase (release and acquire) says when services, shards and ports stand, and it ends
// before they go.
#include "serve_int.h"

enum { CONNECTIONS = 256, BACKLOG = 1024, BODY_MAX = 16 << 20, PAGES_MAX = 8, PAGE_LEAST = 4096 };
// Who asks is near, or is asked for again: who is silent makes room at once, the longest silent first, and who takes nothing of an answer is soon cut off.
#define COMING (5 * MILLISECOND)
#define WRITE (5 * SECOND)
#define STANDS (SECOND / 4)  // a page of which nothing was taken for so long makes room for another

// An answer that is being sent.
struct answer {
	struct http_exchange *x;
	struct buf body;
	size_t sent;
	struct serve_admin *of;
	struct answer *next, **prev;  // of pages of metrics, which are large; prev NULL: it is none
	uint64_t moved_ns;            // something of it was taken last
};

static void end_answer(struct answer *a)
{
	if (a->prev) {
		*a->prev = a->next;
		if (a->next)
			a->next->prev = a->prev;
		a->of->n_pages--;
	}
	http_exchange_release(a->x);
	buf_release(&a->body);
	mem_free(a);
}

static void pump(struct answer *a)
{
	while (a->sent < a->body.len) {
		size_t n = min_u64(http_body_permit(a->x), a->body.len - a->sent);
		if (n == 0)
			return;
		if (http_body_write(a->x, slice_of(a->body.ptr + a->sent, n)) != HTTP_WRITE_OK) {
			end_answer(a);
			return;
		}
		a->sent += n;
		a->moved_ns = loop_now_ns(a->of->loop);
	}
	if (!http_body_finish(a->x, NULL, 0))
		http_abort(a->x);
	end_answer(a);
}

static void on_writable(void *user, struct http_exchange *x)
{
	pump(user);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	end_answer(user);
}

static void list_page(struct serve_admin *of, struct answer *a)
{
	a->next = of->pages;
	a->prev = &of->pages;
	if (a->next)
		a->next->prev = &a->next;
	of->pages = a;
	of->n_pages++;
}

// A place for one more page: where there is none the one that has stood longest goes. false: all of them are being taken.
static bool has_place(struct serve_admin *of)
{
	struct answer *oldest = of->pages;
	uint64_t now = loop_now_ns(of->loop);
	if (of->n_pages < PAGES_MAX)
		return true;
	for (struct answer *a = of->pages; a; a = a->next)
		if (a->moved_ns < oldest->moved_ns)
			oldest = a;
	if (now - oldest->moved_ns < STANDS)
		return false;
	http_abort(oldest->x);
	end_answer(oldest);
	return true;
}

// Takes the body over.
static void respond(struct serve_admin *of, struct http_exchange *x, unsigned status, const char *type, struct buf *body)
{
	static const struct http_exchange_ops ops = {.on_writable = on_writable, .on_cancel = on_cancel};
	struct http_field fields[] = {
		{SLICE_LIT("Content-Type"), slice_str(type)},
		{SLICE_LIT("Cache-Control"), SLICE_LIT("no-store")},
		{SLICE_LIT("Allow"), SLICE_LIT("GET, HEAD")},
	};
	struct answer *a = body->failed ? NULL : mem_zalloc(sizeof *a);
	if (!a || !http_respond_head(x, status, fields, status == 405 ? 3 : 2, body->len, NULL)) {
		http_respond_error(x, 503, 1);
		http_exchange_release(x);
		buf_release(body);
		mem_free(a);
		return;
	}
	a->x = x;
	a->of = of;
	a->moved_ns = loop_now_ns(of->loop);
	a->body = *body;
	if (body->len > PAGE_LEAST)
		list_page(of, a);
	http_exchange_set_owner(x, &ops, a);
	pump(a);
}

static void respond_word(struct serve_admin *of, struct http_exchange *x, unsigned status, const char *word)
{
	struct buf b = {.max = 64};
	buf_printf(&b, "%s\n", word);
	respond(of, x, status, "text/plain; charset=utf-8", &b);
}

// Whether it is among what the client takes, whatever it likes best.
static bool accepts(struct slice list, const char *type)
{
	while (list.len) {
		size_t end = slice_find(list, ',');
		struct slice one = slice_sub(list, 0, end);
		while (one.len && (one.ptr[0] == ' ' || one.ptr[0] == '	'))
			one = slice_sub(one, 1, one.len);
		list = slice_sub(list, min_u64(end + 1, list.len), list.len);
		if (slice_starts_with(one, slice_str(type)))
			return true;
	}
	return false;
}

static void respond_metrics(struct serve_process *p, struct http_exchange *x)
{
	if (!has_place(&p->admin)) {
		http_respond_error(x, 503, 1);
		http_exchange_release(x);
		return;
	}
	bool open = accepts(serve__field(http_exchange_request(x), "accept"), "application/openmetrics-text");
	struct buf b = {.max = BODY_MAX};
	serve__metrics_print(p, open, &b);
	respond(&p->admin, x, 200, open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8", &b);
}

static void respond_ready(struct serve_process *p, struct http_exchange *x)
{
	static const char *const words[] = {[SERVE_STARTING] = "starting", [SERVE_READY] = "ready", [SERVE_DRAINING] = "draining"};
	enum serve_phase phase = serve__phase(p);
	respond_word(&p->admin, x, phase == SERVE_READY ? 200 : 503, words[phase]);
}

static void on_request(void *user, struct http_exchange *x)
{
	struct serve_process *p = user;
	const struct http_request *r = http_exchange_request(x);
	struct slice path = slice_sub(r->target, 0, slice_find(r->target, '?'));
	http_body_discard(x);
	if (!slice_eq_str(r->method, "GET") && !r->is_head)
		respond_word(&p->admin, x, 405, "GET and HEAD alone");
	else if (slice_eq_str(path, "/healthz"))
		respond_word(&p->admin, x, 200, "ok");
	else if (slice_eq_str(path, "/readyz"))
		respond_ready(p, x);
	else if (slice_eq_str(path, "/metrics"))
		respond_metrics(p, x);
	else
		respond_word(&p->admin, x, 404, "/healthz, /readyz and /metrics are here");
}

// ---- life ------------------------------------------------------------------------------------------------------------------------------

static void on_quit(struct loop_remote *r)
{
	loop_stop(CONTAINER_OF(r, struct serve_admin, quit)->loop);
}

static void *admin_main(void *arg)
{
	struct serve_admin *a = arg;
	loop_run(a->loop);
	http_server_free(a->http);
	return NULL;
}

static bool start_listening(struct serve_admin *a, int handed, struct err *e)
{
	struct sys_address address;
	int fd = handed;
	if (handed >= 0) {
		if (!sys_handed_socket(fd, &address, a->handed_path, e)) {
			sys_close(fd);
			return false;
		}
		memcpy(a->address.bytes, address.bytes, address.len);
		a->address.len = address.len;
	} else if (!a->path) {
		return http_server_listen(a->http, &a->address, true, e);
	} else if (!sys_listen_file(a->path, BACKLOG, &fd, &a->file, e)) {
		return err_note(e, "address unix:%s", a->path);
	} else {
		a->bound = true;
	}
	return http_server_listen_on(a->http, fd, e);
}

bool serve__admin_start(struct serve_process *p, const char *address, int handed, struct err *e)
{
	struct serve_admin *a = &p->admin;
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .user = p};
	config.limits.head_bytes = 8192;
	config.limits.coming_ns = COMING;
	config.limits.write_ns = WRITE;
	if (!address && handed < 0)
		return true;
	a->quit.fn = on_quit;
	bool ok = (handed >= 0 || serve__address_parse(address, &a->address, &a->path, e)) && loop_new(&a->loop, e) &&
		http_gate_new(CONNECTIONS, HTTP_NO_LIMIT, &a->gate, e);
	config.gate = a->gate;
	ok = ok && http_server_new(a->loop, &config, &a->http, e) && start_listening(a, handed, e);
	int why = ok ? sys_thread_new(&a->thread, admin_main, a) : 0;
	if (why < 0)
		ok = err_set_errno(e, -why, "cannot start a thread");
	a->runs = ok;
	return ok || err_note(e, "--admin");
}

void serve__admin_stop(struct serve_process *p)
{
	struct serve_admin *a = &p->admin;
	if (a->runs) {
		loop_post_remote(a->loop, &a->quit);
		sys_thread_join(&a->thread);
	} else {
		http_server_free(a->http);
	}
	if (a->bound)
		sys_remove_socket_file(a->path, a->file);
	if (a->loop)
		loop_free(a->loop);
	http_gate_free(a->gate);
	*a = (struct serve_admin){0};
}

void serve__admin_print(const struct serve_process *p, struct buf *b)
{
	const struct serve_admin *a = &p->admin;
	char address[64];
	http_address_print(&a->address, address, sizeof address);
	if (a->address.len)
		buf_printf(b, "http://%s", address);
	else
		buf_printf(b, "unix:%s", a->path ? a->path : a->handed_path);
}
