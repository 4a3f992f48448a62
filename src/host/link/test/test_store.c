// Stores by themselves: names, counters, targets; what a file keeps when its process is killed.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../file_base.h"
#include "../move.h"

static struct loop *loop;
static struct loop_pool *pool;
static struct link_host *host;
static struct arena arena;
static char folder[64];

static void open_host(void)
{
	struct err e = {0};
	assert_true(loop_new(&loop, &e) && loop_pool_new(&pool, 4, 1000, &e));
	const struct link_host_config c = {.loops = &loop, .n_loops = 1, .threads = pool};
	assert_true(link_host_open(&c, &host, &e));
}

static void close_host(void)
{
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, 0);
	link_thread_close(host, loop);
	link_host_close(host);
	loop_pool_free(pool);
	loop_free(loop);
}

static struct link *open_link(const char *target)
{
	struct link_target t;
	struct link *l = NULL;
	struct err e = {0};
	struct link_config c = {.app = SLICE_LIT("shop"), .name = SLICE_LIT("sessions"), .target = &t};
	if (!link_target_parse(&arena, slice_str(target), slice_str(folder), &t, &e) || !link_new(host, &c, &l, &e))
		fail_msg("%s", e.text);
	return l;
}

struct asked {
	struct link_op op;
	bool is_over;
	char value[64];
	uint32_t keys;
};

static void on_asked(struct link_op *op)
{
	struct asked *a = CONTAINER_OF(op, struct asked, op);
	a->is_over = true;
	a->keys = op->n_ret_keys;
	if (op->kind == LINK_GET && op->found)
		snprintf(a->value, sizeof a->value, "%.*s", SLICE_ARGS(op->ret_value));
}

static struct asked ask(struct link *l, struct link_op op)
{
	struct asked a = {.op = op};
	a.op.bucket = SLICE_LIT("default");
	a.op.done = on_asked;
	a.op.deadline_ns = UINT64_MAX;
	link__submit(&l->shards[0], &a.op);
	while (!a.is_over)
		loop_run_once(loop, UINT64_MAX);
	return a;
}

// ---- names ----------------------------------------------------------------------------------------------------------------------------------------

static void names_are_different_where_their_parts_are_and_lead_back(void **s)
{
	static const char odd[][8] = {"", "=", "a", "a/b", "a=2Fb", "A", "a b", "*", "\xff", "\x01", "..", "=00"};
	enum { N = ARRAY_LEN(odd) };
	struct link_store two = {.parts = {SLICE_LIT("default"), SLICE_LIT("shop")}, .n_parts = 2}, one = {.parts = {SLICE_LIT("default/shop")}, .n_parts = 1};
	struct buf names[2 * N * N] = {0};
	for (unsigned i = 0; i < 2 * N * N; i++) {
		struct slice bucket = slice_str(odd[i / 2 / N]), key = slice_str(odd[i / 2 % N]);
		const struct link_store *of = i % 2 ? &one : &two;
		struct link_key back;
		link__name_put(&names[i], of, bucket, key, "-_.", '/');
		assert_int_equal(link__name_parse(&arena, of, buf_view(&names[i]), "-_.", '/', &back), LINK__NAME);
		assert_true(slice_eq(back.bucket, bucket) && slice_eq(back.key, key));
		assert_int_equal(link__name_parse(&arena, i % 2 ? &two : &one, buf_view(&names[i]), "-_.", '/', &back), LINK__NO_NAME);
		for (unsigned k = 0; k < i; k++)
			assert_false(slice_eq(buf_view(&names[i]), buf_view(&names[k])));
	}
	for (unsigned i = 0; i < 2 * N * N; i++)
		buf_release(&names[i]);
}

static void in_a_raw_space_no_key_of_a_guest_is_one_of_ours(void **s)
{
	struct link_store raw = {.n_parts = 0};
	struct buf name = {0};
	struct link_key back;
	link__name_put(&name, &raw, SLICE_LIT(""), SLICE_LIT("marker"), "-_.", '/');
	assert_true(slice_eq_str(buf_view(&name), "=tenon/marker"));
	assert_int_equal(link__name_parse(&arena, &raw, buf_view(&name), "-_.", '/', &back), LINK__NO_NAME);
	assert_true(link__name_is_own(&raw, SLICE_LIT("b"), buf_view(&name), '/') && !link__name_is_own(&raw, SLICE_LIT(""), SLICE_LIT("marker"), '/'));
	static const char *const theirs[] = {"", "marker", "=tenon", "=tenons/x", "default/shop/b/k"};
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
		buf_clear(&name);
		link__name_put(&name, &raw, SLICE_LIT("b"), slice_str(theirs[i]), "-_.", '/');
		assert_true(slice_eq_str(buf_view(&name), theirs[i]) && !link__name_is_own(&raw, SLICE_LIT("b"), slice_str(theirs[i]), '/'));
		assert_true(link__name_parse(&arena, &raw, buf_view(&name), "-_.", '/', &back) == LINK__NAME && slice_eq_str(back.key, theirs[i]) && slice_eq_str(back.bucket, "default"));
	}
	buf_release(&name);
}

static void what_nobody_wrote_so_is_no_name(void **s)
{
	static const char *const wrong[] = {"", "default/shop", "default/shop/b", "default/shop/b/", "default/shop//k", "default/shop/b/k/x", "default/shop/b/=", "default/shop/b/=6",
		"default/shop/b/=61", "default/shop/b/=2f", "default/shop/b/a b", "default/shopb/k"};
	struct link_store two = {.parts = {SLICE_LIT("default"), SLICE_LIT("shop")}, .n_parts = 2};
	struct link_key back;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (strcmp(wrong[i], "default/shop/b/=") != 0)  // the empty key
			assert_int_equal(link__name_parse(&arena, &two, slice_str(wrong[i]), "-_.", '/', &back), LINK__NO_NAME);
}

// Else a key that is copied while memory is out would be left out, as one of somebody else.
static void a_name_for_which_there_is_no_memory_is_not_taken_for_anothers(void **s)
{
	struct link_store two = {.parts = {SLICE_LIT("default"), SLICE_LIT("shop")}, .n_parts = 2};
	struct buf name = {0};
	struct arena full;
	struct link_key back;
	arena_init(&full, 1);
	link__name_put(&name, &two, SLICE_LIT("b"), SLICE_LIT("key"), "-_.", '/');
	assert_int_equal(link__name_parse(&full, &two, buf_view(&name), "-_.", '/', &back), LINK__NAME_NO_MEMORY);
	assert_int_equal(link__name_parse(&full, &two, SLICE_LIT("other/shop/b/key"), "-_.", '/', &back), LINK__NO_NAME);
	buf_release(&name);
	arena_release(&full);
}

static void a_marker_is_read_as_it_was_written(void **s)
{
	struct link__marker m = {{UINT64_MAX, 1}, LINK__SUPERSEDED, 7, 42, 1234567890123}, back;
	char text[LINK__MARKER_MAX];
	assert_true(link__marker_parse(slice_of(text, link__marker_print(&m, text)), &back));
	assert_memory_equal(&m, &back, sizeof m);
	static const char *const wrong[] = {"", "tenon-store", "tenon-store 2 1 1 live 1 1 1", "tenon-store 1 1 1 gone 1 1 1", "tenon-store 1 1 1 live 1 1", "tenon-store 1 1 1 live 1 1 1 1"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(link__marker_parse(slice_str(wrong[i]), &back));
}

// ---- targets --------------------------------------------------------------------------------------------------------------------------------------

static void targets_are_read_and_shown_without_passwords(void **s)
{
	struct link_target t;
	struct err e = {0};
	assert_true(link_target_parse(&arena, SLICE_LIT("@sessions"), SLICE_LIT(""), &t, &e) && t.kind == LINK_TARGET_LINK && slice_eq_str(t.name, "sessions"));
	assert_true(link_target_parse(&arena, SLICE_LIT("component:cache"), SLICE_LIT(""), &t, &e) && t.kind == LINK_TARGET_COMPONENT);
	assert_true(link_target_parse(&arena, SLICE_LIT("memory:"), SLICE_LIT(""), &t, &e) && t.name.len == 0);
	assert_true(link_target_parse(&arena, SLICE_LIT("memory:2-b"), SLICE_LIT(""), &t, &e) && slice_eq_str(t.name, "2-b"));
	assert_true(link_target_parse(&arena, SLICE_LIT("file:a/kv.db"), SLICE_LIT("/srv"), &t, &e) && slice_eq_str(t.path, "/srv/a/kv.db"));
	assert_true(link_target_make(&arena, SLICE_LIT("file"), slice_of("", 0), SLICE_LIT("/x.db"), SLICE_LIT("/srv"), &t, &e) && slice_eq_str(t.path, "/x.db"));
	static const struct {
		const char *text, *shown, *user, *password;
		bool is_reference;
	} told[] = {{"redis://h", "redis://h", "", NULL, false}, {"redis://u:p%23@h/1", "redis://u:***@h/1", "u", "p#", false}, {"redis://:a?b#c@h", "redis://:***@h", "", "a?b#c", false},
		{"redis://u@h", "redis://u@h", "u", NULL, false}, {"redis://u:${x}@h", "redis://u:***@h", "u", "${x}", true}, {"redis://u:${x}y@h", "redis://u:***@h", "u", "${x}y", false},
		{"redis://u:%24{x}@h", "redis://u:***@h", "u", "${x}", false}, {"nats://tok@h/b", "nats://***@h/b", "", "tok", false}, {"nats://${t}@h/b", "nats://***@h/b", "", "${t}", true},
		{"nats://u:p@h/b", "nats://u:***@h/b", "u", "p", false}};
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		assert_true(link_target_parse(&arena, slice_str(told[i].text), SLICE_LIT(""), &t, &e));
		assert_true(slice_eq_str(t.text, told[i].shown) && slice_eq_str(t.user, told[i].user) && t.password_is_reference == told[i].is_reference);
		assert_true(t.has_password == (told[i].password != NULL) && (!told[i].password || slice_eq_str(t.password, told[i].password)));
	}
	static const char *const wrong[] = {"", "@", "@Big", "redis", "file:", "memory:A", "memory:-a", "@2", "component:2", "nosuch:x", "component:", "file:x"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err w = {0};
		assert_false(link_target_parse(&arena, slice_str(wrong[i]), SLICE_LIT(""), &t, &w));
		assert_int_equal(w.code, ERR_USAGE);
	}
}

static void targets_are_one_place_whoever_asks_there(void **s)
{
	static const struct {
		const char *a, *b;
		bool same;
	} told[] = {{"redis://h", "redis://h:6379/0", true}, {"redis://h/1", "redis://u:p@H:6379/1", true}, {"redis://h", "rediss://h", true}, {"redis://h", "redis://h/1", false},
		{"redis://h", "redis://h:6380", false}, {"redis://h", "redis://g", false}, {"nats://h/b", "nats://h:4222/b", true}, {"nats://h/b", "tls://t@H/b", true}, {"nats://t@h/b", "nats://o@h/b", true},
		{"nats://u:p@h/b", "nats://u:q@h/b", true}, {"nats://u:p@h/b", "nats://v:p@h/b", false}, {"nats://h/b", "nats://h/c", false}, {"memory:a", "memory:a", true},
		{"memory:a", "memory:b", false}, {"memory:", "file:/a", false}, {"file:/a", "file:/a", true}, {"file:/a", "file:/b", false}, {"@a", "@a", true}, {"@a", "@b", false},
		{"@a", "component:a", false}};
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		struct link_target a, b;
		struct err e = {0};
		assert_true(link_target_parse(&arena, slice_str(told[i].a), SLICE_LIT(""), &a, &e) && link_target_parse(&arena, slice_str(told[i].b), SLICE_LIT(""), &b, &e));
		assert_true(link_target_same(&a, &b) == told[i].same && link_target_same(&b, &a) == told[i].same);
	}
}

// ---- files ----------------------------------------------------------------------------------------------------------------------------------------

static void make_folder(void)
{
	snprintf(folder, sizeof folder, "/tmp/tenon-store-XXXXXX");
	assert_non_null(mkdtemp(folder));
}

static void drop_folder(void)
{
	char text[128];
	snprintf(text, sizeof text, "rm -r '%s'", folder);
	assert_int_equal(system(text), 0);
}

static void a_file_keeps_what_it_was_given(void **s)
{
	make_folder();
	open_host();
	struct link *l = open_link("file:kv.db");
	for (uint32_t i = 0; i < 300; i++) {
		char key[16];
		snprintf(key, sizeof key, "k%u", i);
		assert_int_equal(ask(l, (struct link_op){.kind = LINK_SET, .key = slice_str(key), .value = SLICE_LIT("v")}).op.code, LINK_OK);
	}
	assert_int_equal(ask(l, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("soon"), .value = SLICE_LIT("v"), .ttl_ms = 1}).op.code, LINK_OK);
	link_unref(l);
	close_host();
	open_host();
	l = open_link("file:kv.db");
	uint64_t cursor = 0;
	uint32_t n = 0;
	usleep(5000);
	do {
		struct asked a = ask(l, (struct link_op){.kind = LINK_LIST, .cursor = cursor, .limit = 100});
		cursor = a.op.ret_cursor;
		n += a.keys;
	} while (cursor);
	assert_int_equal(n, 300);
	assert_false(ask(l, (struct link_op){.kind = LINK_EXISTS, .key = SLICE_LIT("soon")}).op.found);
	struct link_version at = ask(l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k0"), .wants_version = true}).op.ret_version;
	assert_int_equal(ask(l, (struct link_op){.kind = LINK_SWAP, .key = SLICE_LIT("k0"), .value = SLICE_LIT("w"), .version = at}).op.code, LINK_OK);
	assert_int_equal(ask(l, (struct link_op){.kind = LINK_SWAP, .key = SLICE_LIT("k0"), .value = SLICE_LIT("x"), .version = at}).op.code, LINK_STALE);
	assert_string_equal(ask(l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k0")}).value, "w");
	assert_int_equal(ask(l, (struct link_op){.kind = LINK_INCREMENT, .key = SLICE_LIT("k0"), .delta = 1}).op.code, LINK_REFUSED);
	link_unref(l);
	close_host();
	drop_folder();
}

static void counters_are_numbers_up_to_their_bounds(void **s)
{
	static const struct {
		int64_t delta;
		const char *text;  // NULL: refused
	} steps[] = {{INT64_MIN, "-9223372036854775808"}, {-1, NULL}, {INT64_MAX, "-1"}, {1, "0"}, {0, "0"}, {-10, "-10"}, {INT64_MAX, "9223372036854775797"}, {11, NULL},
		{10, "9223372036854775807"}};
	open_host();
	struct link *l = open_link("memory:");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct asked a = ask(l, (struct link_op){.kind = LINK_INCREMENT, .key = SLICE_LIT("n"), .delta = steps[i].delta});
		assert_int_equal(a.op.code, steps[i].text ? LINK_OK : LINK_REFUSED);
		if (!steps[i].text)
			continue;
		assert_int_equal(a.op.ret_number, strtoll(steps[i].text, NULL, 10));
		assert_string_equal(ask(l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("n")}).value, steps[i].text);
	}
	link_unref(l);
	close_host();
}

// Increments one counter and tells each that was acknowledged, until it is killed.
_Noreturn static void count_on(int out)
{
	open_host();
	struct link *l = open_link("file:kv.db");
	for (;;) {
		struct asked a = ask(l, (struct link_op){.kind = LINK_INCREMENT, .key = SLICE_LIT("n"), .delta = 1});
		if (a.op.code != LINK_OK || write(out, &a.op.ret_number, sizeof a.op.ret_number) != sizeof a.op.ret_number)
			_exit(1);
	}
}

static void what_was_acknowledged_survives_a_kill(void **s)
{
	int64_t last = 0;
	make_folder();
	for (int i = 0; i < 10; i++) {
		int ends[2], status;
		int64_t told;
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();
		if (pid == 0)
			count_on(ends[1]);
		close(ends[1]);
		for (int k = 0; k < 5 + i * 7; k++) {
			assert_int_equal(read(ends[0], &told, sizeof told), sizeof told);
			last = told;
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		while (read(ends[0], &told, sizeof told) == sizeof told)
			last = told;
		close(ends[0]);
		open_host();
		struct link *l = open_link("file:kv.db");
		int64_t kept = strtoll(ask(l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("n")}).value, NULL, 10);
		assert_true(kept == last || kept == last + 1);  // the one that was under way
		last = kept;
		link_unref(l);
		close_host();
	}
	drop_folder();
}

static void what_is_no_store_says_what_is_wrong(void **s)
{
	char path[128];
	make_folder();
	snprintf(path, sizeof path, "%s/text.db", folder);
	FILE *f = fopen(path, "wb");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", f);
	fclose(f);
	open_host();
	struct link *l = open_link("file:text.db");
	struct asked a = ask(l, (struct link_op){.kind = LINK_CHECK});
	assert_int_equal(a.op.code, LINK_REFUSED);
	assert_non_null(strstr(a.op.ret_text, "no database"));
	a = ask(l, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k")});
	assert_int_equal(a.op.code, LINK_REFUSED);
	link_unref(l);
	close_host();
	drop_folder();
}

// ---- files that are written to without a pause --------------------------------------------------------------------------------------------------

enum { CROWD = 2048, VALUE = 8192 };
struct crowd {
	struct link *link;
	uint32_t begun, over, most, failed;
	bool differ;  // each write has a key of its own
	struct member {
		struct link_op op;
		struct crowd *of;
		char key[16];
	} list[CROWD];
};

static void write_next(struct member *m)
{
	static uint8_t value[VALUE];
	struct crowd *c = m->of;
	int n = snprintf(m->key, sizeof m->key, "k%u", c->differ ? c->begun : (uint32_t)(m - c->list));
	void (*done)(struct link_op *) = m->op.done;
	m->op = (struct link_op){.kind = LINK_SET, .bucket = SLICE_LIT("default"), .key = slice_of(m->key, (size_t)n), .done = done, .deadline_ns = UINT64_MAX};
	m->op.value = slice_of(value, c->differ ? 1 : sizeof value);
	c->begun++;
	link__submit(&c->link->shards[0], &m->op);
}

static void on_written(struct link_op *op)
{
	struct member *m = CONTAINER_OF(op, struct member, op);
	m->of->over++;
	m->of->failed += op->code != LINK_OK;
	if (m->of->begun < m->of->most)
		write_next(m);
}

static void crowd_begin(struct crowd *c, struct link *l, uint32_t most, bool differ)
{
	*c = (struct crowd){.link = l, .most = most, .differ = differ};
	for (unsigned i = 0; i < CROWD && c->begun < most; i++) {
		c->list[i].of = c;
		c->list[i].op.done = on_written;
		write_next(&c->list[i]);
	}
}

static void crowd_end(struct crowd *c)
{
	while (c->over < c->begun)
		loop_run_once(loop, UINT64_MAX);
	assert_int_equal(c->failed, 0);
}

static struct crowd crowd;

static void the_log_of_a_file_that_is_always_written_to_is_bounded(void **s)
{
	char path[128];
	struct stat st;
	make_folder();
	open_host();
	struct link *l = open_link("file:kv.db");
	crowd_begin(&crowd, l, 16000, false);
	crowd_end(&crowd);
	snprintf(path, sizeof path, "%s/kv.db-wal", folder);
	assert_int_equal(stat(path, &st), 0);
	if (st.st_size > 40 << 20)  // of 125 MiB and more that were written
		fail_msg("the log has %lld bytes", (long long)st.st_size);
	link_unref(l);
	close_host();
	drop_folder();
}

// As many files as there are threads; who reads another waits for a turn of one, and not until somebody has no more to write.
static void files_that_are_always_written_to_leave_threads_to_others(void **s)
{
	enum { FILES = 4, MOST = 40000 };
	static struct crowd busy[FILES];
	struct link *l[FILES];
	char name[16];
	make_folder();
	open_host();
	struct link *other = open_link("file:other.db");
	assert_int_equal(ask(other, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k")}).op.code, LINK_OK);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "file:%d.db", i);
		l[i] = open_link(name);
		crowd_begin(&busy[i], l[i], MOST, true);
	}
	assert_int_equal(ask(other, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k")}).op.code, LINK_OK);
	for (int i = 0; i < FILES; i++)
		assert_in_range(busy[i].over, 0, MOST - 1);
	for (int i = 0; i < FILES; i++) {
		crowd_end(&busy[i]);
		link_unref(l[i]);
	}
	link_unref(other);
	close_host();
	drop_folder();
}

// CPU time of this process for a list of all, by pages.
static uint64_t list_all(struct link *l, uint32_t most, bool all)
{
	struct timespec from, to;
	uint64_t cursor = 0;
	uint32_t n = 0;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	do {
		struct asked a = ask(l, (struct link_op){.kind = LINK_LIST, .cursor = cursor, .limit = 64, .all = all});
		cursor = a.op.ret_cursor;
		n += a.keys;
	} while (cursor);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_int_equal(n, most);
	return (uint64_t)(to.tv_sec - from.tv_sec) * SECOND + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
}

static void a_list_of_a_file_costs_as_much_as_it_has_keys(void **s)
{
	enum { FEW = 2000, TIMES = 10 };
	for (int all = 0; all < 2; all++) {
		uint64_t ns[2];
		make_folder();
		open_host();
		struct link *l = open_link("file:kv.db");
		for (int i = 0; i < 2; i++) {
			crowd_begin(&crowd, l, i ? FEW * TIMES : FEW, true);
			crowd_end(&crowd);
			ns[i] = UINT64_MAX;
			for (int k = 0; k < 25; k++)  // the least of many: what is seldom run finds its caches cold
				ns[i] = min_u64(ns[i], list_all(l, crowd.most, all));
		}
		if (ns[1] > 3 * TIMES * ns[0])
			fail_msg("%u keys take %llu ns, %u keys %llu", FEW, (unsigned long long)ns[0], FEW * TIMES, (unsigned long long)ns[1]);
		link_unref(l);
		close_host();
		drop_folder();
	}
}

// ---- who waits for whom --------------------------------------------------------------------------------------------------------------------------

enum { MANY = 64 };
struct crew {
	struct asked list[MANY];
	char keys[MANY][8], values[MANY][8];
	unsigned n;
};

static struct link_op *begin(struct crew *c, struct link *l, struct link_op op)
{
	struct asked *a = &c->list[c->n++];
	*a = (struct asked){.op = op};
	a->op.bucket = SLICE_LIT("default");
	a->op.done = on_asked;
	a->op.deadline_ns = UINT64_MAX;
	link__submit(&l->shards[0], &a->op);
	return &a->op;
}

static unsigned n_over(const struct crew *c)
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->n; i++)
		n += c->list[i].is_over;
	return n;
}

static void end_all(const struct crew *c)
{
	while (n_over(c) < c->n)
		loop_run_once(loop, UINT64_MAX);
}

static void a_file_does_what_a_guest_asks_of_a_key_in_its_order(void **s)
{
	static struct crew c;
	make_folder();
	open_host();
	struct link *l = open_link("file:kv.db");
	for (int round = 0; round < 20; round++) {
		memset(&c, 0, sizeof c);
		for (int i = 0; i < MANY / 4; i++) {  // each set between two reads
			snprintf(c.values[i], sizeof c.values[i], "%d.%d", round, i);
			begin(&c, l, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k"), .value = slice_str(c.values[i])});
			begin(&c, l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k")});
			begin(&c, l, (struct link_op){.kind = LINK_INCREMENT, .key = SLICE_LIT("n"), .delta = 1});
			begin(&c, l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("n")});
		}
		end_all(&c);
		for (int i = 0; i < MANY / 4; i++) {
			assert_string_equal(c.list[4 * i + 1].value, c.values[i]);
			assert_int_equal(c.list[4 * i + 2].op.ret_number, round * MANY / 4 + i + 1);
			assert_int_equal(strtol(c.list[4 * i + 3].value, NULL, 10), round * MANY / 4 + i + 1);
		}
	}
	link_unref(l);
	close_host();
	drop_folder();
}

static void what_waits_for_a_file_in_a_guests_order_is_given_back_and_taken_back(void **s)
{
	static struct crew c;
	make_folder();
	open_host();
	struct link *l = open_link("file:kv.db");
	for (int round = 0; round < 20; round++) {
		memset(&c, 0, sizeof c);
		for (int i = 0; i < 20; i++) {
			snprintf(c.values[i], sizeof c.values[i], "%d", i);
			begin(&c, l, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k"), .value = slice_str(c.values[i])});
			begin(&c, l, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k")});
		}
		l->store->provider->ops->recall(l->shards[0].part);  // nobody holds it: all are begun anew
		for (int i = 30; i < 40; i++) {
			link__cancel(&c.list[i].op);
			c.list[i].is_over = true;
		}
		end_all(&c);
		for (int i = 0; i < 15; i++)
			assert_string_equal(c.list[2 * i + 1].value, c.values[i]);
	}
	link_unref(l);
	close_host();
	drop_folder();
}

// SQL's functions of numbers, which no text of ours calls, are libm's, though nobody links it.
static void functions_of_numbers_are_there(void **s)
{
	static const char *const texts[] = {"acos(-1) - pi()", "acosh(cosh(2)) - 2", "asin(sin(0.5)) - 0.5", "asinh(sinh(2)) - 2", "atan(tan(0.5)) - 0.5",
		"atanh(tanh(0.5)) - 0.5", "atan2(1, 1) - pi() / 4", "cos(pi()) + 1", "exp(ln(5)) - 5", "mod(7.5, 2) - 1.5", "pow(2, 10) - 1024", "sqrt(81) - 9",
		"trunc(-2.5) + 2"};
	sqlite3 *db;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char text[80];
		sqlite3_stmt *st;
		snprintf(text, sizeof text, "SELECT %s", texts[i]);
		assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(st), SQLITE_ROW);
		assert_int_equal(sqlite3_column_type(st, 0), SQLITE_FLOAT);
		if (sqlite3_column_double(st, 0) > 1e-12 || sqlite3_column_double(st, 0) < -1e-12)
			fail_msg("%s is %g", texts[i], sqlite3_column_double(st, 0));
		assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	}
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

// So that whoever opens it waits a second for it.
static sqlite3 *lock_file(const char *name)
{
	char path[128];
	sqlite3 *db;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; CREATE TABLE x(y); BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static void a_file_that_is_slow_leaves_threads_to_others(void **s)
{
	static struct crew slow;
	make_folder();
	open_host();
	struct link *other = open_link("file:other.db"), *l = open_link("file:slow.db");
	assert_int_equal(ask(other, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k")}).op.code, LINK_OK);
	sqlite3 *db = lock_file("slow.db");
	memset(&slow, 0, sizeof slow);
	for (unsigned i = 0; i < MANY; i++)
		begin(&slow, l, (struct link_op){.kind = i % 8 ? LINK_GET : LINK_SET, .key = SLICE_LIT("k")});
	assert_int_equal(ask(other, (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k")}).op.code, LINK_OK);
	assert_in_range(n_over(&slow), 0, MANY / 2);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	end_all(&slow);
	link_unref(other);
	link_unref(l);
	close_host();
	drop_folder();
}

struct stopper {
	struct loop_work work;
	int ends[2];
};

static void on_stopped(struct loop_work *w)
{
	char c;
	assert_int_equal(read(CONTAINER_OF(w, struct stopper, work)->ends[0], &c, 1), 1);
}

static void on_went_on(struct loop_work *w)
{
}

// Its threads are all at something else: the main one goes on all the same, and the file is closed when they have come to it.
static void a_file_is_closed_without_the_main_thread_waiting(void **s)
{
	static struct crew c;
	struct stopper stop[4];
	make_folder();
	open_host();
	struct link *l = open_link("file:kv.db");
	assert_int_equal(ask(l, (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k")}).op.code, LINK_OK);
	for (unsigned i = 0; i < ARRAY_LEN(stop); i++) {
		stop[i] = (struct stopper){.work = {.run = on_stopped, .done = on_went_on}};
		assert_int_equal(pipe(stop[i].ends), 0);
		assert_true(loop_work_submit(pool, loop, &stop[i].work));
	}
	memset(&c, 0, sizeof c);
	for (int i = 0; i < 2; i++)
		link__cancel(begin(&c, l, (struct link_op){.kind = i ? LINK_GET : LINK_SET, .key = SLICE_LIT("k")}));
	link_unref(l);
	for (int i = 0; i < 100; i++)
		loop_run_once(loop, 0);
	assert_non_null(host->stores);
	for (unsigned i = 0; i < ARRAY_LEN(stop); i++)
		assert_int_equal(write(stop[i].ends[1], "x", 1), 1);
	for (int i = 0; i < 60000 && host->stores; i++)
		loop_run_once(loop, MILLISECOND);
	assert_null(host->stores);
	for (unsigned i = 0; i < ARRAY_LEN(stop); i++) {
		close(stop[i].ends[0]);
		close(stop[i].ends[1]);
	}
	close_host();
	drop_folder();
}

static void answers_that_find_no_room_wait_for_it(void **s)
{
	static uint8_t value[60000];
	static struct crew c;
	uint64_t before = file__held_max;
	make_folder();
	open_host();
	struct link *l[2] = {open_link("file:a.db"), open_link("file:b.db")};
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(l[i], (struct link_op){.kind = LINK_SET, .key = SLICE_LIT("k"), .value = slice_of(value, sizeof value)}).op.code, LINK_OK);
	file__held_max = 130000;
	memset(&c, 0, sizeof c);
	for (int i = 0; i < MANY; i++)
		begin(&c, l[i % 2], (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k")});
	usleep(20000);  // until there is no more
	link__cancel(&c.list[MANY - 1].op);
	c.list[MANY - 1].is_over = true;
	end_all(&c);
	for (int i = 0; i < MANY - 1; i++)
		assert_true(c.list[i].op.code == LINK_OK && c.list[i].op.found);
	file__held_max = 1;  // less than one: each file still has one at a time
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask(l[i % 2], (struct link_op){.kind = LINK_GET, .key = SLICE_LIT("k")}).op.code, LINK_OK);
	file__held_max = before;
	link_unref(l[0]);
	link_unref(l[1]);
	close_host();
	drop_folder();
}

static int setup(void **s)
{
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **s)
{
	arena_release(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_different_where_their_parts_are_and_lead_back),
		cmocka_unit_test(what_nobody_wrote_so_is_no_name),
		cmocka_unit_test(a_name_for_which_there_is_no_memory_is_not_taken_for_anothers),
		cmocka_unit_test(in_a_raw_space_no_key_of_a_guest_is_one_of_ours),
		cmocka_unit_test(a_marker_is_read_as_it_was_written),
		cmocka_unit_test(targets_are_read_and_shown_without_passwords),
		cmocka_unit_test(counters_are_numbers_up_to_their_bounds),
		cmocka_unit_test(targets_are_one_place_whoever_asks_there),
		cmocka_unit_test(what_was_acknowledged_survives_a_kill),
		cmocka_unit_test(a_file_keeps_what_it_was_given),
		cmocka_unit_test(what_is_no_store_says_what_is_wrong),
		cmocka_unit_test(the_log_of_a_file_that_is_always_written_to_is_bounded),
		cmocka_unit_test(files_that_are_always_written_to_leave_threads_to_others),
		cmocka_unit_test(a_list_of_a_file_costs_as_much_as_it_has_keys),
		cmocka_unit_test(a_file_does_what_a_guest_asks_of_a_key_in_its_order),
		cmocka_unit_test(what_waits_for_a_file_in_a_guests_order_is_given_back_and_taken_back),
		cmocka_unit_test(a_file_that_is_slow_leaves_threads_to_others),
		cmocka_unit_test(functions_of_numbers_are_there),
		cmocka_unit_test(a_file_is_closed_without_the_main_thread_waiting),
		cmocka_unit_test(answers_that_find_no_room_wait_for_it),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
