// What blocks, in threads of the pool: a call waits for it, is killed meanwhile, finds no place; its memory and what it holds.
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "seam/seam.h"

static struct loop *loop;
static struct vm_shard *shard;
static struct seam_tasks *tasks;
static struct loop_pool *threads;
static struct account account;
static struct pool memory;

static int may_end, runs, drops;  // any thread

static int now(int *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}

struct data {
	int in, out;
	uint8_t bytes[20000];
};

static void work(void *p)
{
	struct data *d = p;
	__atomic_fetch_add(&runs, 1, __ATOMIC_SEQ_CST);
	while (!now(&may_end))
		usleep(200);
	d->out = d->in + 1;
	memset(d->bytes, 7, sizeof d->bytes);
}

static void drop(void *p)
{
	__atomic_fetch_add(&drops, 1, __ATOMIC_SEQ_CST);
}

static const struct seam_chore_ops ops = {work, drop};

struct job {
	struct seam_task *task;
	struct data *data;
	enum seam_result result;
	bool full, done;
};

static void wait_for_it(void *arg)
{
	struct job *j = arg;
	struct seam_call c = {.task = j->task, .thread = &j->task->canon};
	j->result = seam_chore_do(&c, threads, j->data, &j->full);
}

static void on_done(struct seam_task *t)
{
	((struct job *)t->owner)->done = true;
	seam_task_free(t);
}

static struct data *new_data(int in)
{
	struct data *d = seam_chore_new(&memory, 0, sizeof *d, &ops);
	assert_non_null(d);
	d->in = in;
	return d;
}

static void begin(struct job *j)
{
	*j = (struct job){.data = new_data(41)};
	j->task = seam_task_new(tasks, NULL);
	j->task->owner = j;
	assert_true(seam_task_run(j->task, wait_for_it, j, VM_BUDGET_NONE, on_done));
}

static void finish(struct job *j)
{
	for (int i = 0; i < 5000 && !j->done; i++)
		loop_run_once(loop, 1000000);
	assert_true(j->done);
}

static void wait_until(int *what, int n)
{
	for (int i = 0; i < 50000 && now(what) < n; i++)
		usleep(200);
	assert_int_equal(now(what), n);
}

static int setup(void **s)
{
	struct err e = {0};
	may_end = runs = drops = 0;
	account = (struct account){.limit = 1 << 20};
	pool_init(&memory, &account);
	assert_true(loop_pool_new(&threads, 1, 4, &e));
	return 0;
}

static int teardown(void **s)
{
	__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
	loop_pool_free(threads);
	assert_int_equal(account.used, 0);
	pool_release(&memory);
	return 0;
}

static void a_call_waits_while_others_go_on(void **s)
{
	struct job j;
	begin(&j);
	wait_until(&runs, 1);
	loop_run_once(loop, 0);
	assert_false(j.done);
	may_end = 1;
	finish(&j);
	assert_int_equal(j.result, SEAM_OK);
	assert_false(j.full);
	assert_int_equal(j.data->out, 42);
	assert_true(account.used >= sizeof(struct data));
	assert_int_equal(now(&drops), 0);
	seam_chore_free(j.data);
	assert_int_equal(now(&drops), 1);
}

static void killed_while_it_runs_a_call_ends_and_the_data_lives_on(void **s)
{
	struct job j;
	begin(&j);
	wait_until(&runs, 1);
	seam_task_kill(j.task, TRAP_DEADLINE);
	finish(&j);
	assert_int_equal(j.result, SEAM_KILLED);
	assert_int_equal(account.used, 0);  // it is the chore's own
	assert_int_equal(now(&drops), 0);
	__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
	wait_until(&drops, 1);
}

static void killed_before_it_has_begun_it_never_runs(void **s)
{
	struct job first, second;
	begin(&first);
	wait_until(&runs, 1);
	begin(&second);
	seam_task_kill(second.task, TRAP_DEADLINE);
	finish(&second);
	assert_int_equal(second.result, SEAM_KILLED);
	assert_int_equal(now(&drops), 1);
	__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
	finish(&first);
	assert_int_equal(now(&runs), 1);
	seam_chore_free(first.data);
}

// Full for this guest: another finds room, which nobody waits for here.
static void a_full_pool_is_said_at_once(void **s)
{
	struct job j[4];
	begin(&j[0]);
	wait_until(&runs, 1);
	for (int i = 1; i < 4; i++)
		begin(&j[i]);
	assert_true(j[3].done && j[3].full);
	assert_int_equal(j[3].result, SEAM_OK);
	seam_chore_free(j[3].data);
	struct data *others = seam_chore_new(NULL, 0, sizeof *others, &ops);
	assert_true(others && seam_chore_begin(others, threads, loop, NULL, NULL));
	seam_chore_let_go(others, false);
	assert_int_equal(now(&drops), 2);
	__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 3; i++) {
		finish(&j[i]);
		assert_false(j[i].full);
		seam_chore_free(j[i].data);
	}
}

static void let_go_to_be_finished_it_runs(void **s)
{
	struct job first;
	begin(&first);
	wait_until(&runs, 1);
	struct data *d = new_data(1), *idle = new_data(2);
	assert_true(seam_chore_begin(d, threads, loop, NULL, NULL));
	seam_chore_let_go(d, true);
	seam_chore_let_go(idle, true);
	seam_chore_let_go(NULL, true);
	assert_int_equal(now(&drops), 1);
	__atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
	wait_until(&runs, 2);
	wait_until(&drops, 2);
	finish(&first);
	seam_chore_free(first.data);
}

static void memory_over_the_limit_is_refused(void **s)
{
	assert_null(seam_chore_new(&memory, 0, 2 << 20, &ops));
	assert_null(seam_chore_new(&memory, 0, SIZE_MAX, &ops));
	assert_int_equal(account.used, 0);
}

static int open_all(void **s)
{
	struct err e = {0};
	return vm_process_init(&e) && vm_shard_new(&shard, &e) && loop_new(&loop, &e) && seam_tasks_new(loop, shard, &tasks, &e) ? 0 : -1;
}

static int close_all(void **s)
{
	seam_tasks_free(tasks);
	vm_shard_free(shard);
	loop_free(loop);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_waits_while_others_go_on),
		TEST(killed_while_it_runs_a_call_ends_and_the_data_lives_on),
		TEST(killed_before_it_has_begun_it_never_runs),
		TEST(a_full_pool_is_said_at_once),
		TEST(let_go_to_be_finished_it_runs),
		TEST(memory_over_the_limit_is_refused),
	};
	return cmocka_run_group_tests(tests, open_all, close_all);
}
