// A store is changed while many write: each write that was acknowledged is in the store that is in force afterwards, once.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "../link_int.h"

enum { THREADS = 2, WRITERS = 32, KEYS = 40 };

struct writer {
	struct link_op op;
	struct loop_job again;
	struct thread *of;
	unsigned key;
	char name[16];
	bool is_out;
};
struct thread {
	struct loop *loop;
	pthread_t id;
	struct writer writers[WRITERS];
	uint64_t counts[KEYS], failed;
	uint32_t stop;     // atomic
	bool has_stopped, is_over;  // atomic
	struct loop_remote begin;
};
static struct loop_pool *pool;
static struct thread threads[THREADS];
static struct link_host *host;
static struct link *counters, *others;  // others: of the same app; NULL: there is none
static char folder[64];

static void write_on(struct writer *w)
{
	struct thread *t = w->of;
	unsigned thread = (unsigned)(t - threads);
	w->key = (w->key + 7) % KEYS;
	int n = snprintf(w->name, sizeof w->name, "n%u", w->key);
	void (*done)(struct link_op *) = w->op.done;
	w->op = (struct link_op){.kind = LINK_INCREMENT, .bucket = SLICE_LIT("default"), .key = slice_of(w->name, (size_t)n), .delta = 1, .done = done};
	w->op.deadline_ns = loop_now_fresh_ns(t->loop) + 60 * SECOND;
	w->is_out = true;
	struct link *by = others && (w - t->writers) % 2 ? others : counters;
	link__submit(&by->shards[thread], &w->op);
}

static void on_written(struct link_op *op)
{
	struct writer *w = CONTAINER_OF(op, struct writer, op);
	w->is_out = false;
	if (op->code == LINK_OK)
		w->of->counts[w->key]++;
	else
		w->of->failed++;
	if (!__atomic_load_n(&w->of->stop, __ATOMIC_ACQUIRE))
		loop_post_slow(w->of->loop, &w->again);
}

static void on_again(struct loop_job *j)
{
	write_on(CONTAINER_OF(j, struct writer, again));
}

static void begin(struct loop_remote *r)
{
	struct thread *t = CONTAINER_OF(r, struct thread, begin);
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *w = &t->writers[i];
		*w = (struct writer){.of = t, .key = i, .again.fn = on_again, .op.done = on_written};
		write_on(w);
	}
}

static bool is_quiet(struct thread *t)
{
	for (unsigned i = 0; i < WRITERS; i++)
		if (t->writers[i].is_out || loop_job_is_queued(&t->writers[i].again))
			return false;
	return true;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE) || !is_quiet(t))
		loop_run_once(t->loop, MILLISECOND);
	__atomic_store_n(&t->has_stopped, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE) != 2)
		loop_run_once(t->loop, MILLISECOND);
	link_thread_close(host, t->loop);
	__atomic_store_n(&t->is_over, true, __ATOMIC_RELEASE);
	return NULL;
}

// ---- moves --------------------------------------------------------------------------------------------------------------------------------------

struct moved {
	bool is_over, ok;
	struct link_move_facts facts;
	struct err e;
};

static void on_moved(void *ctx, const struct link_move_facts *f, const struct err *e)
{
	struct moved *m = ctx;
	*m = (struct moved){true, e->code == ERR_NONE, *f, *e};
}

static void wait_for(struct moved *m)
{
	uint64_t end = loop_now_fresh_ns(threads[0].loop) + 250 * SECOND;
	while (!m->is_over && loop_now_fresh_ns(threads[0].loop) < end)
		loop_run_once(threads[0].loop, MILLISECOND);
	if (!m->is_over)
		fail_msg("the change does not end");
}

static struct link_target target_of(struct arena *a, const char *text)
{
	struct link_target t;
	struct err e = {0};
	if (!link_target_parse(a, slice_str(text), slice_str(folder), &t, &e))
		fail_msg("%s", e.text);
	return t;
}

static struct moved move_with(const char *text, bool copy, bool replace, bool along)
{
	struct arena a;
	struct moved m = {0};
	struct link_move *move;
	arena_init(&a, 0);
	struct link_target t = target_of(&a, text);
	struct link_move_config c = {.target = &t, .copy = copy, .replace = replace, .max_pause_ns = 20 * SECOND, .limit_ns = 100 * SECOND, .ctx = &m, .done = on_moved};
	struct slice *with;
	if (others && along) {
		assert_true(link_sharers(counters, &a, &with, &c.n_with));
		c.with = with;
	}
	if (!link_move_start(counters, &c, &move, &m.e))
		m.is_over = true;
	wait_for(&m);
	arena_release(&a);
	return m;
}

static struct moved move_to(const char *text, bool copy, bool replace)
{
	return move_with(text, copy, replace, true);
}

static struct moved undo(bool discard)
{
	struct moved m = {0};
	struct link_move *move;
	struct link_move_config c = {.max_pause_ns = 20 * SECOND, .ctx = &m, .done = on_moved};
	if (!link_undo_start(counters, &c, discard, &move, &m.e))
		m.is_over = true;
	wait_for(&m);
	return m;
}

static void must(struct moved m)
{
	if (!m.ok)
		fail_msg("%s: %s", link_step_words[m.facts.step], m.e.text);
}

// ---- one operation, from the main thread --------------------------------------------------------------------------------------------------------

struct asked {
	struct link_op op;
	bool is_over, found;
	char value[64];
};

static void on_asked(struct link_op *op)
{
	struct asked *a = CONTAINER_OF(op, struct asked, op);
	a->is_over = true;
	a->found = op->found;
	if (op->kind == LINK_GET && op->found)
		snprintf(a->value, sizeof a->value, "%.*s", SLICE_ARGS(op->ret_value));
}

static struct asked ask_of(struct link *l, enum link_kind kind, const char *key, const char *value)
{
	struct asked a = {.op = {.kind = kind, .bucket = SLICE_LIT("default"), .key = slice_str(key), .value = slice_str(value), .done = on_asked}};
	a.op.deadline_ns = loop_now_fresh_ns(threads[0].loop) + 60 * SECOND;
	link__submit(&l->shards[0], &a.op);
	for (int i = 0; i < 60000 && !a.is_over; i++)
		loop_run_once(threads[0].loop, MILLISECOND);
	assert_true(a.is_over);
	return a;
}

static struct asked ask(enum link_kind kind, const char *key, const char *value)
{
	return ask_of(counters, kind, key, value);
}

// ---- the whole ------------------------------------------------------------------------------------------------------------------------------------

static struct link *new_link(const char *app, const char *name, const char *target)
{
	struct arena a;
	struct err e = {0};
	struct link *l;
	arena_init(&a, 0);
	struct link_target t = target_of(&a, target);
	const struct link_config c = {.app = slice_str(app), .name = slice_str(name), .target = &t};
	if (!link_new(host, &c, &l, &e))
		fail_msg("%s", e.text);
	arena_release(&a);
	return l;
}

static void open_all(const char *target)
{
	struct err e = {0};
	struct loop *loops[THREADS];
	snprintf(folder, sizeof folder, "/tmp/tenon-move-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_true(loop_pool_new(&pool, 8, 1000, &e));
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i] = (struct thread){.begin.fn = begin};
		assert_true(loop_new(&threads[i].loop, &e));
		loops[i] = threads[i].loop;
	}
	const struct link_host_config h = {.loops = loops, .n_loops = THREADS, .threads = pool};
	assert_true(link_host_open(&h, &host, &e));
	counters = new_link("shop", "counters", target);
	others = NULL;
	for (unsigned i = 1; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i].id, NULL, thread_main, &threads[i]), 0);
}

static void start_writers(void)
{
	for (unsigned i = 0; i < THREADS; i++)
		loop_post_remote(threads[i].loop, &threads[i].begin);
}

static void stop_writers(void)
{
	for (unsigned i = 0; i < THREADS; i++)
		__atomic_store_n(&threads[i].stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 60000 && !is_quiet(&threads[0]); i++)
		loop_run_once(threads[0].loop, MILLISECOND);
	for (unsigned i = 1; i < THREADS; i++)
		while (!__atomic_load_n(&threads[i].has_stopped, __ATOMIC_ACQUIRE))
			loop_run_once(threads[0].loop, MILLISECOND);
}

static void close_all(void)
{
	char text[128];
	for (unsigned i = 0; i < THREADS; i++)
		__atomic_store_n(&threads[i].stop, 2, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < THREADS; i++) {
		while (!__atomic_load_n(&threads[i].is_over, __ATOMIC_ACQUIRE))
			loop_run_once(threads[0].loop, MILLISECOND);
		pthread_join(threads[i].id, NULL);
	}
	link_unref(counters);
	link_unref(others);
	for (int i = 0; i < 10; i++)
		loop_run_once(threads[0].loop, 0);
	link_thread_close(host, threads[0].loop);
	link_host_close(host);
	loop_pool_free(pool);
	for (unsigned i = 0; i < THREADS; i++)
		loop_free(threads[i].loop);
	snprintf(text, sizeof text, "rm -r '%s'", folder);
	assert_int_equal(system(text), 0);
}

static void counts_are_exact(void)
{
	uint64_t failed = 0, all = 0;
	for (unsigned k = 0; k < KEYS; k++) {
		char name[16];
		uint64_t sum = 0;
		for (unsigned i = 0; i < THREADS; i++)
			sum += threads[i].counts[k];
		snprintf(name, sizeof name, "n%u", k);
		struct asked a = ask(LINK_GET, name, "");
		all += sum;
		if (sum && (!a.found || strtoull(a.value, NULL, 10) != sum))
			fail_msg("%s is %s, acknowledged were %llu", name, a.found ? a.value : "not there", (unsigned long long)sum);
	}
	for (unsigned i = 0; i < THREADS; i++)
		failed += threads[i].failed;
	assert_int_equal(failed, 0);
	assert_true(all > 0);
	print_message("# %llu increments\n", (unsigned long long)all);
}

static void counts_are_exact_through_many_changes_under_load(void **s)
{
	open_all("memory:");
	start_writers();
	for (int i = 0; i < 10; i++) {
		must(move_to("file:kv.db", true, false));
		must(move_to("memory:", true, false));
	}
	stop_writers();
	counts_are_exact();
	close_all();
}

static void an_undo_of_a_copy_copies_back_and_a_discard_does_not(void **s)
{
	open_all("memory:");
	ask(LINK_SET, "a", "1");
	must(move_to("file:kv.db", true, false));
	ask(LINK_SET, "a", "2");
	ask(LINK_SET, "b", "new");
	must(undo(false));
	assert_string_equal(ask(LINK_GET, "a", "").value, "2");
	assert_string_equal(ask(LINK_GET, "b", "").value, "new");
	must(move_to("file:kv.db", true, false));
	ask(LINK_SET, "a", "3");
	struct moved m = undo(true);
	must(m);
	assert_int_equal(m.facts.discarded, 1);
	assert_string_equal(ask(LINK_GET, "a", "").value, "2");
	close_all();
}

static void what_would_lose_data_is_refused(void **s)
{
	open_all("memory:");
	ask(LINK_SET, "a", "1");
	struct moved m = move_to("memory:", true, false);
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "in force"));
	must(move_to("file:kv.db", false, false));  // without a copy
	assert_false(ask(LINK_GET, "a", "").found);
	ask(LINK_SET, "other", "1");
	m = move_to("memory:", true, false);  // holds data that is not of this store
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "holds 1 keys"));
	must(move_to("memory:", true, true));
	assert_false(ask(LINK_GET, "a", "").found);
	assert_true(ask(LINK_GET, "other", "").found);
	m = move_to("file:/no/such/folder/kv.db", true, false);
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "check: file:/no/such/folder/kv.db: the file can't be opened"));
	assert_non_null(strstr(m.e.hint, "the target must answer"));
	assert_true(ask(LINK_GET, "other", "").found);
	m = move_to("file:./kv.db", true, false);  // the same file by another name is superseded data of this store, and then the store itself
	must(m);
	m = move_to("file:kv.db", true, false);
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "in force"));
	assert_true(ask(LINK_GET, "other", "").found);
	close_all();
}

static void a_file_by_a_hard_link_is_the_store_in_force(void **s)
{
	open_all("file:kv.db");
	char kv[100], twin[100], name[100];
	ask(LINK_SET, "a", "1");
	snprintf(kv, sizeof kv, "%s/kv.db", folder);
	snprintf(twin, sizeof twin, "%s/twin.db", folder);
	snprintf(name, sizeof name, "%s/name.db", folder);
	assert_true(link(kv, twin) == 0 && symlink("kv.db", name) == 0);
	for (int copy = 0; copy < 2; copy++) {
		struct moved m = move_to("file:twin.db", copy, false);
		assert_false(m.ok);
		assert_non_null(strstr(m.e.text, "by another name (hard link): /"));
		assert_non_null(strstr(m.e.text, "/kv.db"));
	}
	struct moved m = move_to("file:name.db", true, false);
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "in force"));
	char log[120];
	snprintf(log, sizeof log, "%s-wal", twin);
	assert_int_not_equal(access(log, F_OK), 0);  // nothing was written by that name
	assert_true(ask(LINK_GET, "a", "").found);
	// A link that has it by a symbolic link has the same store, and is named.
	others = new_link("shop", "others", "file:name.db");
	assert_true(ask_of(others, LINK_GET, "a", "").found);
	m = move_with("memory:", true, false, false);
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "used by shop/@others as well, by another address"));
	close_all();
}

// ---- several links on one store ----------------------------------------------------------------------------------------------------------------

static void links_of_an_app_on_one_store_move_together(void **s)
{
	open_all("memory:");
	others = new_link("shop", "others", "memory:");
	start_writers();
	for (int i = 0; i < 5; i++) {
		must(move_to("file:kv.db", true, false));
		must(move_to("memory:", true, false));
	}
	stop_writers();
	assert_ptr_equal(others->store, counters->store);
	assert_int_equal(others->epoch, counters->epoch);
	counts_are_exact();
	ask(LINK_SET, "both", "1");
	assert_true(ask_of(others, LINK_GET, "both", "").found);
	must(move_to("memory:plain", false, false));
	assert_false(ask_of(others, LINK_GET, "both", "").found);
	close_all();
}

static void a_link_that_is_not_told_of_stays_and_no_copy_leaves_it_behind(void **s)
{
	open_all("memory:");
	others = new_link("shop", "others", "memory:");
	ask(LINK_SET, "a", "1");
	struct moved m = move_with("memory:new", true, false, false);
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "the store is used by shop/@others as well"));
	must(move_with("memory:new", false, false, false));
	assert_false(ask(LINK_GET, "a", "").found);
	assert_true(ask_of(others, LINK_GET, "a", "").found);
	m = move_to("memory:", true, true);  // where the other one is
	assert_false(m.ok);
	assert_non_null(strstr(m.e.text, "the target is used by shop/@others as well"));
	assert_true(ask_of(others, LINK_GET, "a", "").found);
	close_all();
}

static void a_store_that_another_app_uses_does_not_move(void **s)
{
	struct arena a;
	struct slice *with, space = SLICE_LIT("common");
	struct err e = {0};
	uint32_t n;
	open_all("memory:");
	arena_init(&a, 0);
	struct link_target t = target_of(&a, "memory:");
	struct link *mine = counters;
	const struct link_config configs[] = {{.app = SLICE_LIT("shop"), .name = SLICE_LIT("shared"), .target = &t, .space = &space},
		{.app = SLICE_LIT("bank"), .name = SLICE_LIT("theirs"), .target = &t, .space = &space}};
	assert_true(link_new(host, &configs[0], &counters, &e) && link_new(host, &configs[1], &others, &e));
	assert_true(link_sharers(counters, &a, &with, &n));
	assert_int_equal(n, 0);
	for (int copy = 0; copy < 2; copy++) {
		struct moved m = move_to("memory:new", copy, false);
		assert_false(m.ok);
		assert_non_null(strstr(m.e.text, "used by bank/@theirs as well"));
	}
	link_unref(counters);
	counters = mine;
	arena_release(&a);
	close_all();
}

// ---- what must last ------------------------------------------------------------------------------------------------------------------------------

struct lasting {
	struct moved moved;  // first: it is told that it is over
	struct link_move *move;
	struct err why;      // it can't be written
	bool stays;          // what is asked to be written isn't
	bool is_refused;     // it is not published
	unsigned n_written, n_published;
	char state[16];      // of the link when it was to be written
};

static void on_journal(void *ctx, struct link_move *m)
{
	struct lasting *l = ctx;
	struct link_facts f;
	link_tell(counters, &f);
	snprintf(l->state, sizeof l->state, "%s", f.state);
	l->n_written++;
	if (!l->stays)
		link_move_journalled(m, &l->why);
}

static bool on_publish(void *ctx)
{
	struct lasting *l = ctx;
	l->n_published++;
	return !l->is_refused;
}

static void begin_lasting(struct lasting *l, const char *text, bool copy, uint64_t max_pause_ns)
{
	struct arena a;
	arena_init(&a, 0);
	struct link_target t = target_of(&a, text);
	struct link_move_config c = {.target = &t, .copy = copy, .max_pause_ns = max_pause_ns, .ctx = l, .journal = on_journal, .publish = on_publish, .done = on_moved};
	if (!link_move_start(counters, &c, &l->move, &l->moved.e))
		fail_msg("%s", l->moved.e.text);
	arena_release(&a);
}

static void what_must_last_is_written_before_calls_are_held_or_after_the_last_key(void **s)
{
	open_all("memory:");
	for (int copy = 0; copy < 2; copy++) {
		struct lasting l = {0};
		begin_lasting(&l, copy ? "memory:b" : "memory:a", copy, 20 * SECOND);
		wait_for(&l.moved);
		must(l.moved);
		assert_string_equal(l.state, copy ? "holding" : "open");
		assert_int_equal(l.n_written, 1);
		assert_int_equal(l.n_published, 1);
	}
	close_all();
}

static void what_can_not_be_written_or_published_changes_nothing(void **s)
{
	open_all("memory:");
	ask(LINK_SET, "a", "1");
	for (int copy = 0; copy < 2; copy++)
		for (int refused = 0; refused < 2; refused++) {
			struct lasting l = {.is_refused = refused};
			if (!refused)
				err_set(&l.why, ERR_ENV, "the disk is full");
			begin_lasting(&l, "memory:a", copy, 20 * SECOND);
			wait_for(&l.moved);
			assert_false(l.moved.ok);
			assert_non_null(strstr(l.moved.e.text, refused ? "cancelled" : "the disk is full"));
			assert_int_equal(l.n_published, refused);
			assert_true(ask(LINK_GET, "a", "").found);
		}
	close_all();
}

// Until it is published: also while it is written, and when it was.
static void a_wish_to_cancel_is_heard_while_it_is_written(void **s)
{
	open_all("memory:");
	ask(LINK_SET, "a", "1");
	for (int copy = 0; copy < 2; copy++) {
		struct lasting l = {.stays = true};
		begin_lasting(&l, "memory:a", copy, 20 * SECOND);
		for (int i = 0; i < 60000 && !l.n_written; i++)
			loop_run_once(threads[0].loop, MILLISECOND);
		assert_true(l.n_written && link_move_cancel(l.move));
		for (int i = 0; i < 10; i++)
			loop_run_once(threads[0].loop, MILLISECOND);
		assert_false(l.moved.is_over);  // it waits for what is being written
		link_move_journalled(l.move, &l.why);
		wait_for(&l.moved);
		assert_false(l.moved.ok);
		assert_int_equal(l.n_published, 0);
		assert_true(ask(LINK_GET, "a", "").found);
	}
	close_all();
}

// ---- markers that can't be written ---------------------------------------------------------------------------------------------------------------

struct locking {
	struct lasting lasting;  // first
	bool fails;
	sqlite3 *db;
};

// Nobody else writes to the file from here on.
static void lock_now(struct locking *l)
{
	char path[128];
	snprintf(path, sizeof path, "%s/kv.db", folder);
	assert_int_equal(sqlite3_open(path, &l->db), SQLITE_OK);
	assert_int_equal(sqlite3_busy_timeout(l->db, 60000), SQLITE_OK);
	assert_int_equal(sqlite3_exec(l->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
}

static void on_lock_step(void *ctx, const struct link_move_facts *f)
{
	struct locking *l = ctx;
	if (f->step == LINK_STEP_DRAIN && !l->fails)
		lock_now(l);
}

static void on_lock_journal(void *ctx, struct link_move *m)
{
	struct locking *l = ctx;
	if (l->fails) {
		lock_now(l);
		err_set(&l->lasting.why, ERR_ENV, "the disk is full");
	}
	link_move_journalled(m, &l->lasting.why);
}

static void a_marker_that_can_not_be_written_at_the_end_is_told(void **s)
{
	struct arena a;
	open_all("memory:");
	arena_init(&a, 0);
	ask(LINK_SET, "a", "1");
	for (int fails = 0; fails < 2; fails++) {  // the new store's, of a file; then that of the file, which stays
		struct locking l = {.fails = fails};
		struct link_target t = target_of(&a, fails ? "memory:b" : "file:kv.db");
		struct link_move_config c = {.target = &t, .copy = true, .max_pause_ns = 20 * SECOND, .ctx = &l, .done = on_moved};
		c.on_step = on_lock_step;
		c.journal = on_lock_journal;
		assert_true(link_move_start(counters, &c, &l.lasting.move, &l.lasting.moved.e));
		wait_for(&l.lasting.moved);
		assert_int_equal(l.lasting.moved.ok, !fails);
		const char *said = l.lasting.moved.facts.unmarked;
		if (!strstr(said, fails ? "\"superseded\"" : "\"incomplete\"") || !strstr(said, "locked by another process"))
			fail_msg("%s: %s", said, l.lasting.moved.e.text);
		assert_int_equal(sqlite3_close(l.db), SQLITE_OK);
		assert_true(ask(LINK_GET, "a", "").found);
	}
	struct moved m = move_to("memory:b", true, false);  // which writes it
	must(m);
	assert_string_equal(m.facts.unmarked, "");
	arena_release(&a);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_undo_of_a_copy_copies_back_and_a_discard_does_not),
		cmocka_unit_test(what_would_lose_data_is_refused),
		cmocka_unit_test(a_file_by_a_hard_link_is_the_store_in_force),
		cmocka_unit_test(links_of_an_app_on_one_store_move_together),
		cmocka_unit_test(a_link_that_is_not_told_of_stays_and_no_copy_leaves_it_behind),
		cmocka_unit_test(a_store_that_another_app_uses_does_not_move),
		cmocka_unit_test(what_must_last_is_written_before_calls_are_held_or_after_the_last_key),
		cmocka_unit_test(what_can_not_be_written_or_published_changes_nothing),
		cmocka_unit_test(a_wish_to_cancel_is_heard_while_it_is_written),
		cmocka_unit_test(a_marker_that_can_not_be_written_at_the_end_is_told),
		cmocka_unit_test(counts_are_exact_through_many_changes_under_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
