// HTTP/1 from hostile bytes. The first byte chooses: a head, a chunked body (each fed whole and cut in two: the outcome must be the same), a
// connection of a server that echoes, over a socket pair, or the same alone and behind others in a pipeline: the answers must be the same.
//
// PROGRAM(fuzz_http1, "base sys loop http", "")
#include <sys/socket.h>
#include <unistd.h>

#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	int64_t scan;
	unsigned status;
	size_t target, authority;
	uint32_t fields;
	bool chunked;
	uint64_t length;
};

static struct outcome read_head(const uint8_t *in, size_t len, size_t cut)
{
	static struct h1_head h;
	static struct http_field fields[HTTP_FIELDS_MAX];
	struct outcome o = {0};
	struct h1_scan scan = {0};
	uint8_t *copy = mem_alloc(len + !len);  // exact, so that a sanitizer sees an overrun
	memcpy(copy, in, len);
	o.scan = cut ? h1_head_scan(&scan, copy, cut, 8192, false) : H1_MORE;
	if (o.scan == H1_MORE)
		o.scan = h1_head_scan(&scan, copy, len, 8192, false);
	if (o.scan > 0) {
		o.status = h1_head_parse(copy + scan.start, (size_t)o.scan - scan.start, fields, HTTP_FIELDS_MAX, &h);
		o.fields = h.req.field_count;
		o.target = h.req.target.len;
		o.authority = h.req.authority.len;
		o.chunked = h.chunked;
		o.length = h.req.length;
		for (uint32_t i = 0; !o.status && i < o.fields; i++)
			BUG_ON(!http_field_name_is_valid(h.req.fields[i].name) || !http_field_value_is_valid(h.req.fields[i].value));
	}
	mem_free(copy);
	return o;
}

static void fuzz_head(const uint8_t *in, size_t len)
{
	if (len < 2)
		return;
	size_t cut = in[0] * len / 256;
	struct outcome a = read_head(in + 1, len - 1, 0), b = read_head(in + 1, len - 1, cut < len - 1 ? cut : 0);
	BUG_ON(a.scan != b.scan || a.status != b.status || a.fields != b.fields || a.target != b.target || a.authority != b.authority);
	BUG_ON(a.chunked != b.chunked || a.length != b.length);
}

static uint64_t read_body(const uint8_t *in, size_t len, size_t cut, enum h1_body_state *ret_state)
{
	struct h1_body b;
	size_t at = 0;
	h1_body_init(&b, true, 0);
	for (int part = 0; part < 2; part++) {
		size_t have = part ? len : cut;
		for (;;) {
			at += h1_body_frame(&b, in + at, have - at);
			if (!h1_body_in_data(&b) || at == have)
				break;
			size_t n = min_u64(b.left, have - at);
			h1_body_take(&b, n);
			at += n;
		}
	}
	*ret_state = b.state;
	return b.total << 20 | at;
}

static void fuzz_body(const uint8_t *in, size_t len)
{
	if (len < 2)
		return;
	enum h1_body_state s, t;
	uint64_t a = read_body(in + 1, len - 1, 0, &s), b = read_body(in + 1, len - 1, in[0] * (len - 1) / 256, &t);
	BUG_ON(s != t || (s != H1_BODY_BAD && a != b));
}

// ---- a whole connection ----------------------------------------------------------------------------------------------------------

static struct http_exchange *current;
static void step(void *user, struct http_exchange *x)
{
	uint8_t some[512];
	size_t n, permit;
	enum http_read got = HTTP_READ_AGAIN;
	while ((permit = http_body_permit(x)) && (got = http_body_read(x, some, sizeof some, &n)) == HTTP_READ_DATA)
		if (http_body_write(x, slice_of(some, n)) != HTTP_WRITE_OK)
			break;
	if (got == HTTP_READ_END) {
		uint32_t trailers;
		const struct http_field *t = http_body_trailers(x, &trailers);
		current = NULL;
		(void)!http_body_finish(x, t, trailers);
		http_exchange_release(x);
	}
}
static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	current = NULL;
	http_exchange_release(x);
}
static const struct http_exchange_ops ops = {.on_readable = step, .on_writable = step, .on_cancel = on_cancel};
static void on_request(void *user, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	if (r->target.len > 1 && r->target.ptr[1] == 'd') {  // dropped
		http_exchange_release(x);
		return;
	}
	BUG_ON(current);
	current = x;
	http_exchange_set_owner(x, &ops, NULL);
	if (http_respond_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL))
		step(NULL, x);
}

static struct loop *loop;
static struct http_server *server;

static bool have_server(void)
{
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .no_date = true};
	return server || (loop_new(&loop, NULL) && http_server_new(loop, &config, &server, NULL));
}

static void close_client(int fd)
{
	close(fd);
	for (int i = 0; i < 8 && http_server_counters(server)->connections; i++)
		loop_run_once(loop, 0);
	BUG_ON(http_server_counters(server)->connections || http_server_counters(server)->in_flight || current);
}

static void fuzz_connection(const uint8_t *in, size_t len)
{
	int pair[2];
	if (len < 2 || !have_server())
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 || !http_server_adopt(server, pair[0], NULL))
		return;
	size_t cut = in[0] * (len - 1) / 256;
	static uint8_t sink[65536];
	for (int part = 0; part < 2; part++) {
		const uint8_t *from = part ? in + 1 + cut : in + 1;
		size_t n = part ? len - 1 - cut : cut;
		if (n && send(pair[1], from, n, MSG_NOSIGNAL) < 0)
			break;
		for (int i = 0; i < 3; i++) {
			loop_run_once(loop, 0);
			while (recv(pair[1], sink, sizeof sink, 0) > 0)
				;
		}
	}
	close_client(pair[1]);
}

// What comes back for `n` good requests with `in` behind them, sent at once.
static size_t answers_to(int n, const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
	static uint8_t all[16384];
	static const char good[] = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
	int pair[2];
	size_t at = 0, got = 0;
	for (int i = 0; i < n; i++, at += sizeof good - 1)
		memcpy(all + at, good, sizeof good - 1);
	if (len)
		memcpy(all + at, in, len);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 || !http_server_adopt(server, pair[0], NULL))
		return 0;
	if (send(pair[1], all, at + len, MSG_NOSIGNAL) < 0)
		got = 0;
	for (int i = 0; i < 4; i++) {
		loop_run_once(loop, 0);
		for (ssize_t part; got < cap && (part = recv(pair[1], out + got, cap - got, 0)) > 0;)
			got += (size_t)part;
	}
	close_client(pair[1]);
	return got;
}

static void fuzz_pipeline(const uint8_t *in, size_t len)
{
	static uint8_t alone[65536], behind[131072];
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\n";
	int n = len ? 1 + in[0] % 16 : 0;
	if (len < 2 || len > 8192 || !have_server())
		return;
	// It begins HTTP/2 where nothing came before it only.
	if (memmem(in + 1, len - 1, preface, sizeof preface - 1))
		return;
	size_t a = answers_to(0, in + 1, len - 1, alone, sizeof alone), b = answers_to(n, in + 1, len - 1, behind, sizeof behind);
	size_t good = answers_to(1, NULL, 0, behind + b, sizeof behind - b) * (size_t)n;
	BUG_ON(b != good + a || memcmp(behind + good, alone, a) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 65536)
		return 0;
	if (data[0] % 4 == 0)
		fuzz_head(data + 1, size - 1);
	else if (data[0] % 4 == 1)
		fuzz_body(data + 1, size - 1);
	else if (data[0] % 4 == 3)
		fuzz_pipeline(data + 1, size - 1);
	else
		fuzz_connection(data + 1, size - 1);
	return 0;
}
