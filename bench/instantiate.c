// What a fresh instance costs: a request is given to a slot that equals its image, its handler is called on a fiber, the answer is written to a socket
// pair, the slot is reset. Timed from when the request is complete to when the slot equals its image again; and the reset alone.
//
//   tenon-instantiate FILE [ROUNDS]      one JSON object on stdout
// PROGRAM(tenon-instantiate, "serve", "")
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "serve/serve_int.h"

enum { WARM_UP = 2000, MAX_ROUNDS = 1000000 };

struct bench {
	struct serve_deployment deployment;
	struct serve_config config;
	struct loop *loop;
	struct vm_shard *vm;
	struct seam_instance image_seam, seam;
	struct canon_image *image;
	struct canon_instance *slot;
	struct wasi_http_incoming_handler_exports handler;
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct wasi_http_call http;
	struct wasi_http_args args;
	struct arena arena;
	struct canon_trap trap;
	struct err *e;
	bool ok, done;
	uint64_t began, called, reset;  // ns of the last round
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const struct err *e, const struct canon_trap *t)
{
	fprintf(stderr, "error: %s%s%s\n", e->text, e->text[0] ? "; " : "", t->text);
	exit(1);
}

static void image_main(void *arg)
{
	struct bench *b = arg;
	struct serve_deployment *d = &b->deployment;
	b->ok = canon_image_new(b->vm, d->canon, seam_link_host(d->link), &d->limits, CANON_INIT_AUTO, &b->image_seam, &b->task->canon, &b->image, &b->trap, b->e);
}

static void call_main(void *arg)
{
	struct bench *b = arg;
	b->ok = (canon_slot_is_ready(b->slot) || canon_slot_start(b->slot, &b->task->canon, &b->trap)) &&
		wasi_http_incoming_handler_call_handle(b->task, b->slot, &b->handler, b->args.request, b->args.outparam, &b->arena, &b->trap);
}

static void on_done(struct seam_task *t)
{
	((struct bench *)t->owner)->done = true;
}

static void run(struct bench *b, void (*fn)(void *))
{
	b->done = false;
	b->task = seam_task_new(b->tasks, NULL);
	if (!b->task)
		die(b->e, &b->trap);
	b->task->owner = b;
	if (!seam_task_run(b->task, fn, b, VM_BUDGET_NONE, on_done))
		err_nomem(b->e);
	while (!b->done && b->e->code == ERR_NONE)
		loop_run_once(b->loop, UINT64_MAX);
	seam_task_free(b->task);
	if (!b->ok)
		die(b->e, &b->trap);
}

static void on_request(void *user, struct http_exchange *x)
{
	struct bench *b = user;
	b->began = now_ns();
	b->http = (struct wasi_http_call){.wasi = &b->deployment.wasi};
	if (!wasi_http_begin(&b->http, b->slot, x, &b->args))
		die(b->e, &b->trap);
	run(b, call_main);
	wasi_http_end(&b->http, true, 500);
	b->called = now_ns();
	if (!canon_slot_reset(b->slot))
		die(b->e, &b->trap);
	arena_clear(&b->arena);
	b->reset = now_ns();
}

static void open_bench(struct bench *b, const char *path)
{
	struct err *e = b->e;
	b->config = (struct serve_config){.service.path = path, .process.log_level = SERVE_LOG_ERROR};
	serve_limits_default(&b->config, true);
	arena_init(&b->arena, 64 << 20);
	if (!vm_process_init(e) || !serve__deployment_load(&b->deployment, &b->config.service, &b->config.process, e) || !loop_new(&b->loop, e) || !vm_shard_new(&b->vm, e) ||
		!seam_tasks_new(b->loop, b->vm, &b->tasks, e))
		die(e, &b->trap);
	if (!wasi_http_incoming_handler_bind(b->deployment.comp, b->deployment.link, &b->handler, e))
		die(e, &b->trap);
	seam_instance_init(&b->image_seam, b->loop, &b->deployment.grants, NULL);
	run(b, image_main);
	seam_instance_init(&b->seam, b->loop, &b->deployment.grants, NULL);
	if (!canon_slot_new(b->vm, b->image, &b->seam, &b->slot, e))
		die(e, &b->trap);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static double median_us(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return (double)v[n / 2] / 1e3;
}

static void measure(struct bench *b, int fd, size_t rounds)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
	uint64_t *whole = mem_alloc(rounds * sizeof *whole), *reset = mem_alloc(rounds * sizeof *reset);
	BUG_ON(!whole || !reset);
	for (size_t i = 0; i < rounds + WARM_UP; i++) {
		char answer[4096];
		b->reset = 0;
		BUG_ON(write(fd, request, sizeof request - 1) != sizeof request - 1);
		while (!b->reset)
			loop_run_once(b->loop, UINT64_MAX);
		BUG_ON(read(fd, answer, sizeof answer) < 12 || memcmp(answer, "HTTP/1.1 200", 12) != 0);
		if (i >= WARM_UP) {
			whole[i - WARM_UP] = b->reset - b->began;
			reset[i - WARM_UP] = b->reset - b->called;
		}
	}
	struct vm_reset_stats stats = vm_store_reset_stats(canon_instance_store(b->slot));
	printf("{\"rounds\":%zu,\"call_and_reset_us\":%.2f,\"reset_us\":%.2f,\"private_pages\":%llu,\"differing_pages\":%llu}\n", rounds, median_us(whole, rounds),
		median_us(reset, rounds), (unsigned long long)stats.private_pages, (unsigned long long)stats.differing_pages);
	mem_free(whole);
	mem_free(reset);
}

int main(int argc, char **argv)
{
	static struct bench b;
	static struct err e;
	uint64_t rounds = 20000;
	int pair[2];
	struct http_server *server;
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .user = &b};
	if (argc < 2 || (argc > 2 && (!slice_parse_u64(slice_str(argv[2]), MAX_ROUNDS, &rounds) || !rounds)))
		return fprintf(stderr, "usage: tenon-instantiate FILE [ROUNDS]\n"), 2;
	err_clear(&e);
	b.e = &e;
	open_bench(&b, argv[1]);
	if (!http_server_new(b.loop, &config, &server, &e) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || !http_server_adopt(server, pair[0], &e))
		die(&e, &b.trap);
	measure(&b, pair[1], rounds);
	canon_instance_free(b.slot);
	canon_image_free(b.image);
	http_server_free(server);
	close(pair[1]);
	serve__deployment_release(&b.deployment);
	return 0;
}
