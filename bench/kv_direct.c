// A direct client of a store, one call after the other on one connection: what a component's calls are measured beside. CPU of this process and time, a call.
//   bench-kv redis PORT N | nats PORT BUCKET N
// Redis by hiredis; NATS by its protocol on a socket, as tenon's own provider speaks it: a put is a publish with a reply, a get is a direct one. Prints JSON.
//
// PROGRAM(bench-kv, "base sys libhiredis", "")
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wconversion"
#include <hiredis.h>
#pragma clang diagnostic pop
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

static double seconds(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

_Noreturn static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

// ---- Redis ---------------------------------------------------------------------------------------------------------------------------

static redisContext *redis;

static void redis_call(const char *command)
{
	redisReply *r = redisCommand(redis, command);
	if (!r || r->type == REDIS_REPLY_ERROR)
		fail(command, r ? r->str : redis->errstr);
	freeReplyObject(r);
}

// ---- NATS ----------------------------------------------------------------------------------------------------------------------------

static int nats;
static char input[65536];
static size_t have;

// Until `word` has come; all up to its line's end is gone then.
static void nats_await(const char *word)
{
	for (;;) {
		input[have] = 0;
		char *at = strstr(input, word), *end = at ? strstr(at, "\r\n") : NULL;
		if (strstr(input, "-ERR"))
			fail("nats", input);
		if (end) {
			end += 2;
			have -= (size_t)(end - input);
			memmove(input, end, have);
			return;
		}
		ssize_t n = recv(nats, input + have, sizeof input - 1 - have, 0);
		if (n <= 0)
			fail("nats", "the connection ended");
		have += (size_t)n;
	}
}

static void nats_send(const char *text)
{
	if (send(nats, text, strlen(text), 0) != (ssize_t)strlen(text))
		fail("nats", "cannot send");
}

static void nats_open(int port, const char *bucket)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char text[512], config[256];
	nats = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(nats, (struct sockaddr *)&to, sizeof to) != 0)
		fail("nats", "cannot connect");
	setsockopt(nats, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	nats_await("INFO ");
	nats_send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nSUB R 1\r\nPING\r\n");
	nats_await("PONG");
	snprintf(config, sizeof config, "{\"name\":\"KV_%s\",\"subjects\":[\"$KV.%s.>\"],\"max_msgs_per_subject\":1,\"allow_direct\":true,\"discard\":\"new\"}", bucket, bucket);
	snprintf(text, sizeof text, "PUB $JS.API.STREAM.CREATE.KV_%s R %zu\r\n%s\r\n", bucket, strlen(config), config);
	nats_send(text);
	nats_await("\r\n{");
}

// ---- the whole -----------------------------------------------------------------------------------------------------------------------

static char nats_texts[2][256];

static void call(const char *store, int which)
{
	static const char *const commands[] = {"GET n", "SET n 12345", "INCR n"};
	if (store[0] == 'r') {
		redis_call(commands[which]);
		return;
	}
	nats_send(nats_texts[which]);
	nats_await(which ? "\"seq\":" : "\r\n12345");
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"get", "set", "increment"};
	if (argc < 4)
		fail("usage", "bench-kv redis PORT N | nats PORT BUCKET N");
	bool is_redis = strcmp(argv[1], "redis") == 0;
	uint64_t port_number, times;
	if (!slice_parse_u64(slice_str(argv[2]), UINT16_MAX, &port_number) || !slice_parse_u64(slice_str(argv[argc - 1]), INT32_MAX, &times))
		fail("usage", "a port, and a number of calls");
	int port = (int)port_number, n = (int)times;
	if (is_redis) {
		redis = redisConnect("127.0.0.1", port);
		if (!redis || redis->err)
			fail("redis", "cannot connect");
	} else {
		nats_open(port, argv[3]);
		snprintf(nats_texts[0], sizeof nats_texts[0], "PUB $JS.API.DIRECT.GET.KV_%s.$KV.%s.n R 0\r\n\r\n", argv[3], argv[3]);
		snprintf(nats_texts[1], sizeof nats_texts[1], "PUB $KV.%s.n R 5\r\n12345\r\n", argv[3]);
	}
	call(argv[1], 1);
	printf("{");
	for (int which = 0; which < (is_redis ? 3 : 2); which++) {
		double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
		for (int i = 0; i < n; i++)
			call(argv[1], which);
		printf("%s\"%s\": {\"cpu_us\": %.3f, \"us\": %.3f}", which ? ", " : "", names[which], (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / n,
			(seconds(CLOCK_MONOTONIC) - wall) * 1e6 / n);
	}
	printf("}\n");
	return 0;
}
