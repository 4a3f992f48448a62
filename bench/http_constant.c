// A constant answer through http.h: what the HTTP server costs on top of bare_epoll. http_constant PORT [chunked]; prints
// `ready http://127.0.0.1:PORT`; SIGTERM drains and prints counters.
//
// PROGRAM(http_constant, "base sys loop http", "")
#include <signal.h>

#include "http/http.h"
#include "sys/sys.h"

static bool chunked;
static struct http_server *server;
static struct loop *loop;

static void on_request(void *user, struct http_exchange *x)
{
	static const struct slice body = {(const uint8_t *)"Hello, world!", 13};
	static const struct http_field type = {{(const uint8_t *)"Content-Type", 12}, {(const uint8_t *)"text/plain", 10}};
	if (http_respond_head(x, 200, &type, 1, chunked ? HTTP_LENGTH_UNKNOWN : body.len, NULL) && http_body_write(x, body) == HTTP_WRITE_OK)
		if (!http_body_finish(x, NULL, 0))
			http_abort(x);
	http_exchange_release(x);
}

static void on_drained(void *user)
{
	loop_stop(loop);
}

static void on_signal(struct loop_io *io, uint32_t ready)
{
	sys_signalfd_next(io->fd);
	http_server_drain(server, on_drained, NULL);
}

int main(int argc, char **argv)
{
	struct err e = {0};
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request};
	struct http_address addr;
	struct loop_io signals;
	int numbers[] = {SIGTERM, SIGINT}, fd;
	char text[64];
	snprintf(text, sizeof text, "127.0.0.1:%s", argc > 1 ? argv[1] : "0");
	chunked = argc > 2;
	if (!loop_new(&loop, &e) || !sys_signalfd(numbers, 2, &fd, &e) || !loop_io_open(loop, &signals, fd, LOOP_READ, on_signal, &e) ||
		!http_server_new(loop, &config, &server, &e) || !http_address_parse(slice_str(text), &addr, &e) ||
		!http_server_listen(server, &addr, true, &e)) {
		fprintf(stderr, "error: %s\n", e.text);
		return err_exit_status(e.code);
	}
	http_address_print(&addr, text, sizeof text);
	printf("ready http://%s\n", text);
	fflush(stdout);
	loop_run(loop);
	const struct http_counters *n = http_server_counters(server);
	printf("requests %llu, recv %llu, send %llu, epoll_ctl %llu\n", (unsigned long long)n->requests, (unsigned long long)n->recv_calls,
		(unsigned long long)n->send_calls, (unsigned long long)n->want_calls);
	http_server_free(server);
	loop_io_close(&signals, true);
	sys_close(fd);
	loop_free(loop);
	return 0;
}
