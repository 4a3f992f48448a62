// The loop: timers, jobs, I/O, other threads, the pool.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "loop/loop.h"
#include "sys/sys.h"

#define MS UINT64_C(1000000)

static struct loop *new_loop(void)
{
	struct err e = {0};
	struct loop *l;
	assert_true(loop_new(&l, &e));
	return l;
}

struct stamp {
	struct loop_timer t;
	struct loop *l;
	uint64_t asked, fired;
	int count;
};
static int fired_total;
static void on_stamp(struct loop_timer *t)
{
	struct stamp *s = CONTAINER_OF(t, struct stamp, t);
	s->fired = sys_now_ns();
	s->count++;
	fired_total++;
}

static void timers_fire_once_never_early_and_soon_after(void **state)
{
	struct loop *l = new_loop();
	enum { N = 400 };
	static struct stamp s[N];
	memset(s, 0, sizeof s);
	fired_total = 0;
	uint64_t seed = 7, base = loop_now_fresh_ns(l);
	for (int i = 0; i < N; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		s[i].t.fn = on_stamp;
		s[i].asked = base + (seed >> 33) % (200 * MS);
		loop_timer_set(l, &s[i].t, s[i].asked);
	}
	for (int i = 0; i < N; i += 4)
		loop_timer_cancel(l, &s[i].t);
	for (int i = 1; i < N; i += 4)  // later, then earlier than at first
		loop_timer_set(l, &s[i].t, s[i].asked + 90 * MS);
	for (int i = 1; i < N; i += 8)
		loop_timer_set(l, &s[i].t, s[i].asked = base + (s[i].asked - base) / 2);
	for (int i = 5; i < N; i += 8)
		s[i].asked += 90 * MS;
	while (fired_total < N - N / 4 && sys_now_ns() < base + 2000 * MS)
		loop_run_once(l, 100 * MS);
	for (int i = 0; i < N; i++) {
		assert_int_equal(s[i].count, i % 4 != 0);
		if (i % 4) {
			assert_true(s[i].fired >= s[i].asked);
			assert_true(s[i].fired < s[i].asked + 400 * MS);
		}
	}
	loop_free(l);
}

static void far_and_extreme_deadlines_are_kept(void **state)
{
	struct loop *l = new_loop();
	struct stamp a = {.t.fn = on_stamp}, b = {.t.fn = on_stamp}, c = {.t.fn = on_stamp};
	loop_timer_set(l, &a.t, UINT64_MAX - 1);  // L78: extreme times saturate
	loop_timer_set(l, &b.t, 0);
	loop_timer_set(l, &c.t, UINT64_MAX);
	assert_true(loop_timer_is_armed(&a.t));
	assert_false(loop_timer_is_armed(&c.t));
	loop_run_once(l, 5 * MS);
	loop_run_once(l, 5 * MS);
	assert_int_equal(b.count, 1);
	assert_int_equal(a.count, 0);
	loop_free(l);
}

static void on_rearm(struct loop_timer *t)
{
	struct stamp *s = CONTAINER_OF(t, struct stamp, t);
	if (++s->count < 5)
		loop_timer_set(s->l, t, 0);
}
static void a_timer_may_rearm_itself_in_the_past_without_hanging(void **state)
{
	struct loop *l = new_loop();
	struct stamp s = {.t.fn = on_rearm, .l = l};
	loop_timer_set(l, &s.t, 0);
	for (int i = 0; i < 50 && s.count < 5; i++)
		loop_run_once(l, 2 * MS);
	assert_int_equal(s.count, 5);
	loop_free(l);
}

struct job {
	struct loop_job t;
	struct loop *l;
	int *log, *n, id;
	struct job *also;
};
static void on_job(struct loop_job *t)
{
	struct job *j = CONTAINER_OF(t, struct job, t);
	j->log[(*j->n)++] = j->id;
	if (j->also)
		loop_post(j->l, &j->also->t);
}
static void jobs_run_in_order_in_the_same_iteration(void **state)
{
	struct loop *l = new_loop();
	int log[8], n = 0;
	struct job c = {.t.fn = on_job, .l = l, .log = log, .n = &n, .id = 3};
	struct job a = {.t.fn = on_job, .l = l, .log = log, .n = &n, .id = 1, .also = &c};
	struct job b = {.t.fn = on_job, .l = l, .log = log, .n = &n, .id = 2};
	struct job d = {.t.fn = on_job, .l = l, .log = log, .n = &n, .id = 4};
	loop_post(l, &a.t);
	loop_post(l, &d.t);
	loop_post(l, &b.t);
	loop_post(l, &a.t);  // queued already
	loop_job_cancel(&d.t);
	loop_run_once(l, UINT64_MAX);
	assert_int_equal(n, 3);
	assert_true(log[0] == 1 && log[1] == 2 && log[2] == 3);
	loop_free(l);
}

static struct job endless;
struct job_of_order {
	struct loop_job t;
	char name;
};
static char order_text[16];
static void on_order(struct loop_job *t)
{
	order_text[strlen(order_text)] = CONTAINER_OF(t, struct job_of_order, t)->name;
}
static void of_slow_jobs_one_runs_an_iteration_after_the_others(void **state)
{
	struct loop *l = new_loop();
	struct job_of_order jobs[4] = {{{.fn = on_order}, 'a'}, {{.fn = on_order}, 'b'}, {{.fn = on_order}, 'c'}, {{.fn = on_order}, 'd'}};
	memset(order_text, 0, sizeof order_text);
	loop_post_slow(l, &jobs[0].t);
	loop_post_slow(l, &jobs[1].t);
	loop_post(l, &jobs[2].t);
	loop_post(l, &jobs[3].t);
	loop_run_once(l, 10000 * MS);
	assert_string_equal(order_text, "cda");
	loop_job_cancel(&jobs[1].t);
	loop_post_slow(l, &jobs[1].t);
	loop_run_once(l, 10000 * MS);  // does not wait: one is left
	assert_string_equal(order_text, "cdab");
	loop_free(l);
}

static void on_endless(struct loop_job *t)
{
	loop_post(endless.l, t);
}
static void a_job_that_posts_itself_does_not_starve_the_loop(void **state)
{
	struct loop *l = new_loop();
	endless.l = l;
	endless.t = (struct loop_job){.fn = on_endless};
	loop_post(l, &endless.t);
	loop_run_once(l, UINT64_MAX);
	loop_run_once(l, UINT64_MAX);
	loop_job_cancel(&endless.t);
	loop_free(l);
}

static int io_calls;
static struct loop_io *io_both[2];
static void on_io(struct loop_io *io, uint32_t ready)
{
	io_calls++;
	for (int i = 0; i < 2; i++) {
		loop_io_close(io_both[i], false);
		mem_free(io_both[i]);
	}
}
static void a_closed_io_gets_no_event_of_the_same_batch(void **state)
{
	struct loop *l = new_loop();
	struct err e = {0};
	int p[2], q[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, q), 0);
	struct loop_io *a = mem_zalloc(sizeof *a), *b = mem_zalloc(sizeof *b);
	assert_true(loop_io_open(l, a, p[0], LOOP_READ, on_io, &e));
	assert_true(loop_io_open(l, b, q[0], LOOP_READ, on_io, &e));
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(write(q[1], "x", 1), 1);
	io_calls = 0;
	io_both[0] = a;
	io_both[1] = b;
	loop_run_once(l, 100 * MS);
	assert_int_equal(io_calls, 1);
	loop_run_once(l, 0);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(q[i]);
	}
	loop_free(l);
}

struct far {
	struct loop_remote r;
	int value;
};
static int far_sum, far_seen;
static void on_far(struct loop_remote *r)
{
	struct far *f = CONTAINER_OF(r, struct far, r);
	far_sum += f->value;
	far_seen++;
	mem_free(f);
}
enum { FAR_EACH = 20000 };
static void *post_many(void *arg)
{
	for (int i = 0; i < FAR_EACH; i++) {
		struct far *f = mem_zalloc(sizeof *f);
		f->r.fn = on_far;
		f->value = 1;
		loop_post_remote(arg, &f->r);
	}
	return NULL;
}
static void posts_from_threads_all_arrive_and_wake_the_loop(void **state)
{
	struct loop *l = new_loop();
	pthread_t t[3];
	far_sum = far_seen = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, post_many, l), 0);
	uint64_t give_up = sys_now_ns() + 20000 * MS;
	while (far_seen < 3 * FAR_EACH && sys_now_ns() < give_up)
		loop_run_once(l, 5000 * MS);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(far_sum, 3 * FAR_EACH);
	loop_free(l);
}

struct sleepy {
	struct loop_work w;
	int ran, done;
};
static void sleepy_run(struct loop_work *w)
{
	usleep(2000);
	CONTAINER_OF(w, struct sleepy, w)->ran++;
}
static int sleepy_total;
static void sleepy_done(struct loop_work *w)
{
	CONTAINER_OF(w, struct sleepy, w)->done++;
	sleepy_total++;
}
static void the_pool_runs_bounded_work(void **state)
{
	struct loop *l = new_loop();
	struct err e = {0};
	struct loop_pool *p;
	assert_true(loop_pool_new(&p, 2, 4, &e));
	static struct sleepy s[32];
	memset(s, 0, sizeof s);
	int taken = 0;
	sleepy_total = 0;
	for (int i = 0; i < 32; i++) {
		s[i].w.run = sleepy_run;
		s[i].w.done = sleepy_done;
		if (!loop_work_submit(p, l, &s[i].w))
			break;
		taken++;
	}
	assert_in_range(taken, 4, 31);  // the queue is bounded
	while (sleepy_total < taken)
		loop_run_once(l, 1000 * MS);
	for (int i = 0; i < taken; i++) {
		assert_int_equal(s[i].done, 1);
		assert_int_equal(s[i].ran, 1);
	}
	loop_pool_free(p);
	loop_free(l);
}

// Of works that were let go: one that runs until it may end, those behind it.
struct stuck {
	struct loop_work w;
	int ran, done;  // any thread
};
static int may_end;
static void stuck_run(struct loop_work *w)
{
	__atomic_fetch_add(&CONTAINER_OF(w, struct stuck, w)->ran, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&may_end, __ATOMIC_SEQ_CST))
		usleep(200);
}
static void stuck_done(struct loop_work *w)
{
	__atomic_fetch_add(&CONTAINER_OF(w, struct stuck, w)->done, 1, __ATOMIC_SEQ_CST);
}
static int now(int *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}
static void let_go_a_work_ends_without_its_loop_and_nobody_waits_for_it(void **state)
{
	struct loop *l = new_loop();
	struct err e = {0};
	struct loop_pool *p;
	static struct stuck runs, never, kept;
	runs.w = never.w = kept.w = (struct loop_work){.run = stuck_run, .done = stuck_done};
	may_end = 0;
	assert_true(loop_pool_new(&p, 1, 4, &e));
	assert_true(loop_work_submit(p, l, &runs.w) && loop_work_submit(p, l, &never.w) && loop_work_submit(p, l, &kept.w));
	while (!now(&runs.ran))
		usleep(200);
	loop_work_let_go(p, &never.w, false);
	assert_int_equal(never.done, 1);
	loop_work_let_go(p, &kept.w, true);
	loop_work_let_go(p, &runs.w, false);
	assert_int_equal(now(&runs.done), 0);
	loop_free(l);
	loop_pool_free(p);  // does not wait for what hangs
	assert_int_equal(now(&runs.done), 0);
	__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
	while (!now(&kept.done))
		usleep(200);
	assert_int_equal(now(&runs.done), 1);
	assert_int_equal(never.ran, 0);
	assert_int_equal(now(&kept.ran), 1);
}

static void the_pool_finishes_what_was_let_go_to_be_finished(void **state)
{
	struct loop *l = new_loop();
	struct err e = {0};
	struct loop_pool *p;
	static struct sleepy s[3];
	assert_true(loop_pool_new(&p, 1, 4, &e));
	for (int i = 0; i < 3; i++) {
		s[i].w = (struct loop_work){.run = sleepy_run, .done = sleepy_done};
		assert_true(loop_work_submit(p, l, &s[i].w));
		loop_work_let_go(p, &s[i].w, true);
	}
	loop_pool_free(p);
	for (int i = 0; i < 3; i++)
		assert_true(s[i].ran == 1 && s[i].done == 1);
	loop_free(l);
}

static void *stop_later(void *arg)
{
	usleep(3000);
	loop_stop(arg);
	return NULL;
}
// Runs again until it has had its turns; each turn and what others want are noted in their order.
struct turns {
	struct loop_work w;
	int left;
};
static char order[16];
static uint32_t n_order;

static void note(char c)
{
	order[__atomic_fetch_add(&n_order, 1, __ATOMIC_RELAXED)] = c;
}

static void run_turn(struct loop_work *w)
{
	struct turns *t = CONTAINER_OF(w, struct turns, w);
	note('a');
	w->again = --t->left > 0;
}

static void run_other(struct loop_work *w)
{
	(void)w;
	note('b');
}

static int turns_done;
static void turn_done(struct loop_work *w)
{
	(void)w;
	__atomic_fetch_add(&turns_done, 1, __ATOMIC_SEQ_CST);
}

// Also one that is nobody's any more and is to be finished.
static void work_that_goes_on_lets_others_have_their_turn(void **state)
{
	(void)state;
	for (int let_go = 0; let_go < 2; let_go++) {
		struct loop *l = new_loop();
		struct err e = {0};
		struct loop_pool *p;
		struct stuck first = {.w = {.run = stuck_run, .done = stuck_done}};
		struct turns goes_on = {.w = {.run = run_turn, .done = turn_done}, .left = 3};
		struct loop_work other = {.run = run_other, .done = turn_done};
		may_end = turns_done = 0;
		n_order = 0;
		assert_true(loop_pool_new(&p, 1, 8, &e));
		assert_true(loop_work_submit(p, l, &first.w) && loop_work_submit(p, l, &goes_on.w) && loop_work_submit(p, l, &other));
		if (let_go)
			loop_work_let_go(p, &goes_on.w, true);
		__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
		while (now(&turns_done) < 2 || !now(&first.done))
			loop_run_once(l, MS);
		assert_int_equal(n_order, 4);
		assert_memory_equal(order, "abaa", 4);
		loop_pool_free(p);
		loop_free(l);
	}
}

static void stop_from_another_thread_ends_run(void **state)
{
	struct loop *l = new_loop();
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, stop_later, l), 0);
	loop_run(l);
	pthread_join(t, NULL);
	loop_free(l);
}

static void *wake_later(void *arg)
{
	usleep(3000);
	loop_wakeup(arg);
	return NULL;
}
static void a_wakeup_ends_the_wait_each_time(void **state)
{
	struct loop *l = new_loop();
	for (int i = 0; i < 3; i++) {
		pthread_t t;
		uint64_t before = sys_now_ns();
		assert_int_equal(pthread_create(&t, NULL, wake_later, l), 0);
		loop_run_once(l, 10000 * MS);
		assert_true(sys_now_ns() - before < 5000 * MS);
		pthread_join(t, NULL);
	}
	loop_free(l);
}

// Works that hold their threads until they may end, of two owners.
struct held {
	struct loop_work w;
	_Atomic bool *may_end;
	_Atomic int *began;
	bool done;
};

static void held_run(struct loop_work *w)
{
	struct held *h = CONTAINER_OF(w, struct held, w);
	++*h->began;
	while (!*h->may_end)
		usleep(200);
}

static void held_done(struct loop_work *w)
{
	CONTAINER_OF(w, struct held, w)->done = true;
}

static bool all_done(const struct held *list, int n)
{
	for (int i = 0; i < n; i++)
		if (!list[i].done)
			return false;
	return true;
}

static void one_owner_leaves_room_and_threads_for_others(void **state)
{
	enum { MANY = 6 };
	struct err e = {0};
	struct loop *l = new_loop();
	struct loop_pool *p;
	_Atomic bool many_may_end = false, other_may_end = true;
	_Atomic int many_began = 0, other_began = 0;
	struct held many[MANY] = {0}, other = {0}, too_many = {0};
	assert_true(loop_pool_new(&p, 4, 8, &e));
	for (int i = 0; i < MANY; i++) {
		many[i] = (struct held){{.run = held_run, .done = held_done, .owner = 1}, &many_may_end, &many_began, false};
		assert_true(loop_work_submit(p, l, &many[i].w));
		while (i < 2 && many_began <= i)
			loop_run_once(l, MS);
	}
	too_many.w = (struct loop_work){.run = held_run, .done = held_done, .owner = 1};
	assert_false(loop_work_submit(p, l, &too_many.w));  // four of them wait
	other = (struct held){{.run = held_run, .done = held_done, .owner = 2}, &other_may_end, &other_began, false};
	assert_true(loop_work_submit(p, l, &other.w));
	while (!other.done)
		loop_run_once(l, MS);
	assert_int_equal(many_began, 2);
	many_may_end = true;
	while (!all_done(many, MANY))
		loop_run_once(l, MS);
	loop_pool_free(p);
	loop_free(l);
}

// One thread does what was queued while it was busy; the order in which that was.
static struct loop_work *done_first[16];
static _Atomic int n_run;

static void note_run(struct loop_work *w)
{
	done_first[n_run] = w;  // there is one thread; who counts them sees it
	n_run++;
}

static void forget(struct loop_work *w UNUSED)
{
}

static void groups_take_turns_and_owners_within_them(void **state)
{
	enum { MANY = 6 };
	struct err e = {0};
	struct loop *l = new_loop();
	struct loop_pool *p;
	_Atomic bool first_may_end = false;
	_Atomic int began = 0;
	struct held first = {{.run = held_run, .done = held_done}, &first_may_end, &began, false};
	// Of group 100 owner 1 has six works, then owner 2 has one; of group 200 owner 3 has two; nobody owns the last.
	struct loop_work many[MANY], of_same = {.run = note_run, .done = forget, .owner = 2, .group = 100}, other[2], nobodys = {.run = note_run, .done = forget};
	n_run = 0;
	assert_true(loop_pool_new(&p, 1, 40, &e));
	assert_true(loop_work_submit(p, l, &first.w));
	while (!began)
		loop_run_once(l, MS);
	for (int i = 0; i < MANY; i++) {
		many[i] = (struct loop_work){.run = note_run, .done = forget, .owner = 1, .group = 100};
		assert_true(loop_work_submit(p, l, &many[i]));
	}
	assert_true(loop_work_submit(p, l, &of_same));
	for (int i = 0; i < 2; i++) {
		other[i] = (struct loop_work){.run = note_run, .done = forget, .owner = 3, .group = 200};
		assert_true(loop_work_submit(p, l, &other[i]));
	}
	assert_true(loop_work_submit(p, l, &nobodys));
	first_may_end = true;
	while (n_run < MANY + 4 || !first.done)
		loop_run_once(l, MS);
	int at[MANY + 4];
	for (int i = 0; i < MANY + 4; i++)
		for (int k = 0; k < MANY + 4; k++)
			if (done_first[k] == (i < MANY ? &many[i] : i == MANY ? &of_same
										 : i == MANY + 3          ? &nobodys
																  : &other[i - MANY - 1]))
				at[i] = k;
	for (int i = 1; i < MANY; i++)
		assert_true(at[i - 1] < at[i]);         // an owner's own order
	assert_true(at[MANY] < at[1]);              // owner 2 before the second of owner 1
	assert_true(at[MANY + 1] <= 2);             // each group has one of the first three
	assert_true(at[MANY + 2] < at[1]);          // and one of the next
	assert_true(at[MANY + 3] <= 2);
	loop_pool_free(p);
	loop_free(l);
}

static void a_group_leaves_room_and_threads_for_others(void **state)
{
	enum { MANY = 9 };
	struct err e = {0};
	struct loop *l = new_loop();
	struct loop_pool *p;
	_Atomic bool many_may_end = false, other_may_end = true;
	_Atomic int many_began = 0, other_began = 0;
	struct held many[MANY] = {0}, other = {0}, too_many = {0};
	assert_true(loop_pool_new(&p, 4, 8, &e));
	for (int i = 0; i < MANY; i++) {  // each of another owner: three run, six wait
		many[i] = (struct held){{.run = held_run, .done = held_done, .owner = 1 + (uintptr_t)i, .group = 100}, &many_may_end, &many_began, false};
		assert_true(loop_work_submit(p, l, &many[i].w));
		while (i < 3 && many_began <= i)
			loop_run_once(l, MS);
	}
	too_many.w = (struct loop_work){.run = held_run, .done = held_done, .owner = 50, .group = 100};
	assert_false(loop_work_submit(p, l, &too_many.w));
	other = (struct held){{.run = held_run, .done = held_done, .owner = 60, .group = 200}, &other_may_end, &other_began, false};
	assert_true(loop_work_submit(p, l, &other.w));
	while (!other.done)
		loop_run_once(l, MS);
	assert_int_equal(many_began, 3);
	many_may_end = true;
	while (!all_done(many, MANY))
		loop_run_once(l, MS);
	loop_pool_free(p);
	loop_free(l);
}

// ---- what several callbacks have done together -----------------------------------------------------------------------------------
enum { TOGETHER = 40 };
static struct gathering {
	struct loop *l;
	struct loop_job send, slow;
	int waiting, sent, callbacks, last, slow_at, most;
	bool any;  // of this iteration
	uint64_t takes_ns;
} gathering;
static void on_send(struct loop_job *t)
{
	gathering.sent += gathering.waiting;
	gathering.waiting = 0;
}
static void on_slow_turn(struct loop_job *t)
{
	gathering.slow_at = gathering.callbacks;
}
static void on_gathering(struct loop_io *io, uint32_t ready)
{
	uint8_t byte;
	struct gathering *g = &gathering;
	assert_int_equal(sys_net.recv(io->fd, &byte, 1), 1);
	g->callbacks++;
	if (loop_gathers(g->l)) {
		assert_true(g->callbacks < TOGETHER);
		g->waiting++;
		g->any = true;
		loop_post(g->l, &g->send);
	} else {
		g->last = g->callbacks;
		g->sent++;
	}
	g->most = g->waiting > g->most ? g->waiting : g->most;
	for (uint64_t from = sys_now_ns(); sys_now_ns() - from < g->takes_ns;)
		;
}
static void gather(uint64_t takes_ns)
{
	struct err e = {0};
	int p[TOGETHER][2];
	struct loop_io ios[TOGETHER];
	struct loop *l = new_loop();
	gathering = (struct gathering){.l = l, .send.fn = on_send, .slow.fn = on_slow_turn, .takes_ns = takes_ns};
	for (int i = 0; i < TOGETHER; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p[i]), 0);
		assert_true(loop_io_open(l, &ios[i], p[i][0], LOOP_READ, on_gathering, &e));
		assert_int_equal(write(p[i][1], "x", 1), 1);
	}
	loop_post_slow(l, &gathering.slow);
	for (int iterations = 0; gathering.callbacks < TOGETHER; iterations++) {
		int before = gathering.callbacks;
		assert_true(iterations < TOGETHER);
		gathering.any = false;
		loop_run_once(l, UINT64_MAX);
		assert_true(gathering.callbacks > before);
		assert_true(!gathering.any || gathering.callbacks - before <= 16);
		assert_int_equal(gathering.waiting, 0);
		assert_int_equal(gathering.sent, gathering.callbacks);
	}
	assert_int_equal(gathering.last, TOGETHER);  // behind it there is nobody
	assert_int_equal(gathering.slow_at, TOGETHER);
	for (int i = 0; i < TOGETHER; i++) {
		loop_io_close(&ios[i], false);
		close(p[i][0]);
		close(p[i][1]);
	}
	loop_free(l);
}
static void what_gathers_is_done_within_sixteen_callbacks_and_before_what_is_slow(void **state)
{
	for (int tries = 0; tries < 1000 && gathering.most < 2; tries++)
		gather(0);  // again where another process took the first of it
	assert_true(gathering.most > 1);
}
static void what_gathers_waits_for_one_long_callback_at_most(void **state)
{
	gathering.most = 0;
	for (int tries = 0; tries < 1000 && gathering.most < 1; tries++)
		gather(1500000);
	assert_int_equal(gathering.most, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_once_never_early_and_soon_after),
		cmocka_unit_test(far_and_extreme_deadlines_are_kept),
		cmocka_unit_test(a_timer_may_rearm_itself_in_the_past_without_hanging),
		cmocka_unit_test(jobs_run_in_order_in_the_same_iteration),
		cmocka_unit_test(a_job_that_posts_itself_does_not_starve_the_loop),
		cmocka_unit_test(of_slow_jobs_one_runs_an_iteration_after_the_others),
		cmocka_unit_test(a_closed_io_gets_no_event_of_the_same_batch),
		cmocka_unit_test(what_gathers_is_done_within_sixteen_callbacks_and_before_what_is_slow),
		cmocka_unit_test(what_gathers_waits_for_one_long_callback_at_most),
		cmocka_unit_test(posts_from_threads_all_arrive_and_wake_the_loop),
		cmocka_unit_test(the_pool_runs_bounded_work),
		cmocka_unit_test(one_owner_leaves_room_and_threads_for_others),
		cmocka_unit_test(groups_take_turns_and_owners_within_them),
		cmocka_unit_test(a_group_leaves_room_and_threads_for_others),
		cmocka_unit_test(let_go_a_work_ends_without_its_loop_and_nobody_waits_for_it),
		cmocka_unit_test(the_pool_finishes_what_was_let_go_to_be_finished),
		cmocka_unit_test(work_that_goes_on_lets_others_have_their_turn),
		cmocka_unit_test(a_wakeup_ends_the_wait_each_time),
		cmocka_unit_test(stop_from_another_thread_ends_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
