// Stores of the servers of others. Without arguments: what is refused before anybody is asked. With them (tests/real does that) a door to one store:
//
//   link_test_stores [--raw] [--deadline-ms N] [--pool N] [--ca FILE] [--loops N] TARGET
//
// reads a command a line and says what became of it, a line each; keys and values are hexadecimal, "-" is the empty one. With "&" before it a command is begun
// and not waited for; `wait` does. `storm N bucket key [AT-ONCE]` makes N increments, 64 at a time, by turns on all loops, and says how they ended.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../link_int.h"
#include "http/http.h"
#include "sys/sys.h"

enum { LOOPS = 4, OPS = 4096 };
static struct loop *loops[LOOPS];
static unsigned n_loops = 1;
static struct loop_pool *names;
static struct http_tls *tls;
static struct link_host *host;
static struct link_store *store;
static uint64_t deadline_ns = 2 * SECOND;

struct asked {
	struct link_op op;
	unsigned number, loop;
	bool counts;  // of a storm
	uint64_t since_ns;
	uint8_t *bytes[3];
};
static struct asked *all[OPS];
static unsigned under_way, numbers, tally[LINK_RECALLED + 1];
static struct link_version version;  // of the last get

static const char *const codes[] = {"ok", "stale", "refused", "unsent", "unknown", "recalled"};

static void put_hex(struct slice s)
{
	if (!s.len)
		putchar('-');
	if (s.len > 70000) {
		printf("#%zu", s.len);
		return;
	}
	for (size_t i = 0; i < s.len; i++)
		printf("%02x", s.ptr[i]);
}

static void say(const struct asked *a)
{
	const struct link_op *op = &a->op;
	printf("%u %s", a->number, codes[op->code]);
	if (op->code == LINK_OK && op->kind == LINK_GET) {
		printf(" %s ", op->found ? "found" : "absent");
		put_hex(op->ret_value);
		printf(" ttl %llu", (unsigned long long)op->ret_ttl_ms);
	} else if (op->code == LINK_OK && op->kind == LINK_EXISTS) {
		printf(" %s", op->found ? "found" : "absent");
	} else if (op->code == LINK_OK && op->kind == LINK_INCREMENT) {
		printf(" %lld", (long long)op->ret_number);
	} else if (op->code == LINK_OK && op->kind == LINK_LIST) {
		printf(" %llu", (unsigned long long)op->ret_cursor);
		for (uint32_t i = 0; i < op->n_ret_keys; i++) {
			putchar(' ');
			put_hex(op->ret_keys[i].bucket);
			putchar('/');
			put_hex(op->ret_keys[i].key);
		}
	} else if (op->code != LINK_OK || op->kind == LINK_CHECK) {
		printf(" %s", op->ret_text);
	}
	printf(" (%llu ms)\n", (unsigned long long)((sys_now_ns() - a->since_ns) / MILLISECOND));
	fflush(stdout);
}

static void on_done(struct link_op *op)
{
	struct asked *a = CONTAINER_OF(op, struct asked, op);
	tally[op->code]++;
	if (!a->counts)
		say(a);
	if (op->kind == LINK_GET && op->code == LINK_OK)
		version = op->ret_version;
	for (unsigned i = 0; i < 3; i++)
		mem_free(a->bytes[i]);
	all[a->number % OPS] = NULL;
	mem_free(a);
	under_way--;
}

static struct slice from_hex(struct asked *a, unsigned i, const char *text)
{
	size_t n = text && text[0] != '-' ? strlen(text) / 2 : 0;
	// "*N": N bytes of 'v'
	if (text && text[0] == '*')
		n = (size_t)strtoull(text + 1, NULL, 10);
	uint8_t *p = a->bytes[i] = mem_alloc(n + 1);
	for (size_t k = 0; k < n; k++) {
		char digits[3] = {text[0] == '*' ? '7' : text[2 * k], text[0] == '*' ? '6' : text[2 * k + 1], 0};
		p[k] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return slice_of(p, n);
}

static struct asked *begin(enum link_kind kind, char **word)
{
	struct asked *a = mem_zalloc(sizeof *a);
	a->number = ++numbers;
	a->since_ns = sys_now_ns();
	a->op.kind = kind;
	a->op.done = on_done;
	a->op.bucket = from_hex(a, 0, word[1] ? word[1] : "-");
	a->op.key = from_hex(a, 1, word[1] && word[2] ? word[2] : "-");
	return a;
}

static void submit(struct asked *a, unsigned loop)
{
	a->op.deadline_ns = loop_now_fresh_ns(loops[loop]) + deadline_ns;
	all[a->number % OPS] = a;
	under_way++;
	link__store_submit(store, loop, &a->op);
}

static void turn(void)
{
	for (unsigned i = 0; i < n_loops; i++)
		loop_run_once(loops[i], (n_loops == 1 ? 20 : 1) * MILLISECOND);
}

static void await_all(void)
{
	while (under_way)
		turn();
}

static bool one(char **word)
{
	static const struct {
		const char *name;
		enum link_kind kind;
	} kinds[] = {{"check", LINK_CHECK}, {"get", LINK_GET}, {"look", LINK_GET}, {"exists", LINK_EXISTS}, {"set", LINK_SET}, {"delete", LINK_DELETE},
		{"incr", LINK_INCREMENT}, {"swap", LINK_SWAP}, {"create", LINK_SWAP}, {"list", LINK_LIST}, {"list-all", LINK_LIST}, {"purge", LINK_PURGE}};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(word[0], kinds[i].name) != 0)
			continue;
		struct asked *a = begin(kinds[i].kind, word);
		struct link_op *op = &a->op;
		op->wants_version = op->wants_ttl = strcmp(word[0], "look") == 0;
		if (op->kind == LINK_SET || op->kind == LINK_SWAP)
			op->value = from_hex(a, 2, word[3]);
		if (op->kind == LINK_SET && word[3] && word[4])
			op->ttl_ms = strtoull(word[4], NULL, 10);
		if (op->kind == LINK_INCREMENT)
			op->delta = strtoll(word[3], NULL, 10);
		if (strcmp(word[0], "swap") == 0 || op->kind == LINK_PURGE)
			op->version = version;
		if (op->kind == LINK_LIST) {  // BUCKET LIMIT CURSOR
			op->all = strcmp(word[0], "list-all") == 0;
			op->limit = (uint32_t)strtoul(word[2], NULL, 10);
			op->cursor = strtoull(word[3], NULL, 10);
		}
		submit(a, 0);
		return true;
	}
	return false;
}

static void storm(char **word)
{
	unsigned n = (unsigned)strtoul(word[1], NULL, 10), most = word[4] ? (unsigned)strtoul(word[4], NULL, 10) : 64;
	memset(tally, 0, sizeof tally);
	uint64_t since = sys_now_ns(), cpu = sys_thread_cpu_ns();
	for (unsigned i = 0; i < n; i++) {
		struct asked *a = begin(LINK_INCREMENT, word + 1);
		a->counts = true;
		a->op.delta = 1;
		submit(a, i % n_loops);
		while (under_way >= most)
			turn();
	}
	await_all();
	for (unsigned i = 0; i < ARRAY_LEN(tally); i++)
		printf("%s %u ", codes[i], tally[i]);
	printf("in %llu us, cpu %llu us\n", (unsigned long long)(sys_now_ns() - since) / 1000, (unsigned long long)(sys_thread_cpu_ns() - cpu) / 1000);
	fflush(stdout);
}

// false: the end.
static bool command(char *line)
{
	char *word[8] = {0}, *at = NULL;
	unsigned n = 0;
	for (char *w = strtok_r(line, " \n", &at); w && n < 7; w = strtok_r(NULL, " \n", &at))
		word[n++] = w;
	if (n == 0)
		return true;
	bool waits = strcmp(word[0], "&") != 0;
	char **from = waits ? word : word + 1;
	if (strcmp(from[0], "storm") == 0)
		storm(from);
	else if (strcmp(from[0], "recall") == 0)
		store->provider->ops->recall(store->by_thread[0]);
	else if (strcmp(from[0], "cancel") == 0)  // all that is under way
		for (unsigned i = 0; i < OPS; i++) {
			struct asked *a = all[i];
			if (!a)
				continue;
			link__cancel(&a->op);
			all[i] = NULL;
			under_way--;
			for (unsigned k = 0; k < 3; k++)
				mem_free(a->bytes[k]);
			mem_free(a);
		}
	else if (strcmp(from[0], "rest") == 0)  // MS
		for (uint64_t end = sys_now_ns() + strtoull(from[1], NULL, 10) * MILLISECOND; sys_now_ns() < end;)
			turn();
	else if (strcmp(from[0], "wait") != 0 && !one(from))
		return false;
	if (waits && strcmp(from[0], "recall") != 0 && strcmp(from[0], "rest") != 0)
		await_all();
	if (strcmp(from[0], "wait") == 0 || strcmp(from[0], "rest") == 0 || strcmp(from[0], "recall") == 0 || strcmp(from[0], "cancel") == 0) {
		printf("done\n");
		fflush(stdout);
	}
	return true;
}

static bool open_store(const char *target, bool raw, uint32_t pool, struct err *e)
{
	struct arena a;
	struct link_target t;
	struct link__space space = {.text = SLICE_LIT("t/a"), .parts = {SLICE_LIT("t"), SLICE_LIT("a")}, .n_parts = 2};
	struct link_host_config c = {.loops = loops, .n_loops = n_loops, .threads = names, .names = names, .tls = tls};
	arena_init(&a, 0);
	if (raw)
		space = (struct link__space){0};
	bool ok = link_target_parse(&a, slice_str(target), SLICE_LIT("/"), &t, e) && link_host_open(&c, &host, e) && link__store_open(host, &t, &space, pool, &store, e);
	arena_release(&a);
	return ok;
}

static void open_loops(void)
{
	for (unsigned i = 0; i < n_loops; i++)
		if (!loop_new(&loops[i], NULL))
			abort();
	if (!loop_pool_new(&names, 2, 64, NULL))
		abort();
}

static void close_all(void)
{
	if (store)
		link__store_unref(store);
	store = NULL;
	for (int i = 0; i < 20; i++)
		turn();
	for (unsigned i = 0; host && i < n_loops; i++)
		link_thread_close(host, loops[i]);
	link_host_close(host);
	host = NULL;
	loop_pool_free(names);
	for (unsigned i = 0; i < n_loops; i++)
		loop_free(loops[i]);
	http_tls_free(tls);
}

static int door(int argc, char **argv)
{
	struct err e = {0};
	bool raw = false;
	uint32_t pool = 4;
	const char *ca = NULL;
	int at = 1;
	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--raw") == 0)
			raw = true;
		else if (strcmp(argv[at], "--deadline-ms") == 0)
			deadline_ns = strtoull(argv[++at], NULL, 10) * MILLISECOND;
		else if (strcmp(argv[at], "--pool") == 0)
			pool = (uint32_t)strtoul(argv[++at], NULL, 10);
		else if (strcmp(argv[at], "--ca") == 0)
			ca = argv[++at];
		else if (strcmp(argv[at], "--loops") == 0)
			n_loops = (unsigned)min_u64(strtoul(argv[++at], NULL, 10), LOOPS);
	}
	open_loops();
	if (ca && !http_tls_client_new(ca, &tls, &e)) {
		printf("error %s\n", e.text);
		return 1;
	}
	if (!open_store(argv[at], raw, pool, &e)) {
		printf("error %s\n", e.text);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	char *line = NULL;
	size_t cap = 0;
	while (getline(&line, &cap, stdin) > 0 && command(line))
		;
	free(line);
	await_all();
	close_all();
	return 0;
}

// ---- without a server ------------------------------------------------------------------------------------------------------------

static void refuses(const char *target, const char *why)
{
	struct err e = {0};
	open_loops();
	assert_false(open_store(target, false, 1, &e));
	assert_int_equal(e.code, ERR_USAGE);
	if (!strstr(e.text, why))
		fail_msg("%s: %s", target, e.text);
	close_all();
}

static void addresses_that_name_nothing_are_refused(void **state)
{
	refuses("redis://127.0.0.1/one", "no number of a database");
	refuses("redis://127.0.0.1/99999999", "no number of a database");
	refuses("rediss://127.0.0.1/0", "TLS is not to be had");
	refuses("nats://127.0.0.1/", "names no bucket");
	refuses("nats://127.0.0.1/a.b", "names no bucket");
}

static void a_server_that_is_not_there_is_said_within_the_deadline(void **state)
{
	struct err e = {0};
	char *words[] = {UNCONST("set"), UNCONST("61"), UNCONST("62"), UNCONST("63"), NULL};
	open_loops();
	assert_true(open_store("redis://127.0.0.1:1/0", false, 1, &e));
	memset(tally, 0, sizeof tally);
	for (int i = 0; i < 3; i++) {
		assert_true(one(words));
		await_all();
	}
	assert_int_equal(tally[LINK_UNSENT], 3);
	close_all();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_that_name_nothing_are_refused),
		cmocka_unit_test(a_server_that_is_not_there_is_said_within_the_deadline),
	};
	return argc > 1 ? door(argc, argv) : cmocka_run_group_tests(tests, NULL, NULL);
}
