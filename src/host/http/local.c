// Requests that no client sent: a GET of the host's own, without a connection. Its answer is checked as any other and goes nowhere. (exchange.c)
#include "http_int.h"

struct local_exchange {
	struct http_exchange x;
	struct http_request request;
};

static enum http_read local_peek(struct http_exchange *x UNUSED, struct slice *ret UNUSED)
{
	return HTTP_READ_END;
}

static void local_consume(struct http_exchange *x UNUSED, size_t n UNUSED)
{
}

static void local_discard(struct http_exchange *x UNUSED)
{
}

static const struct http_field *local_trailers(const struct http_exchange *x UNUSED, uint32_t *ret_count)
{
	*ret_count = 0;
	return NULL;
}

static bool local_head(struct http_exchange *x UNUSED, const struct http_response *r UNUSED)
{
	return true;
}

static size_t local_waiting(const struct http_exchange *x UNUSED)
{
	return 0;
}

static bool local_write(struct http_exchange *x UNUSED, struct slice data UNUSED)
{
	return true;
}

static bool local_finish(struct http_exchange *x UNUSED, const struct http_field *trailers UNUSED, uint32_t n UNUSED, size_t bytes UNUSED)
{
	return true;
}

static void local_go_on(struct http_exchange *x)
{
	http__exchange_detach(x, true);
}

static void local_recycle(struct http_exchange *x)
{
	struct http_server *s = x->server;
	mem_free(CONTAINER_OF(x, struct local_exchange, x));
	http__server_forget_exchange(s);
}

static const struct http_wire wire = {
	.peek = local_peek,
	.consume = local_consume,
	.discard = local_discard,
	.trailers = local_trailers,
	.head = local_head,
	.waiting = local_waiting,
	.write = local_write,
	.finish = local_finish,
	.go_on = local_go_on,
	.abort = http__exchange_cancel,
	.recycle = local_recycle,
};

struct http_exchange *http_server_ask(struct http_server *s, struct slice target)
{
	static const struct http_field host = {SLICE_LIT("host"), SLICE_LIT("localhost")};
	struct local_exchange *l = mem_zalloc(sizeof *l);
	if (!l)
		return NULL;
	l->request = (struct http_request){.method = SLICE_LIT("GET"), .target = target, .authority = host.value, .fields = &host, .field_count = 1, .version = HTTP_1_1};
	http__exchange_init(&l->x, s, &wire, &l->request);
	return &l->x;
}
