// Counters of NATS that several threads increment: each that was told is in the sum once, with a number of its own, and those that leave hold up nobody. The server is
// a number of this process.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../nats_counter.h"

enum { THREADS = 3, WRITERS = 24, EACH = 400, KEYS = 3 };

struct writer {
	struct nats_waiter w;
	struct nats_counter *counter;
	struct thread *of;
	struct loop_job again, writes;
	unsigned key, left;
	char text[160];
	bool is_out;  // has left, while it was to be told
};
struct thread {
	struct loop *loop;
	pthread_t id;
	struct writer writers[WRITERS];
	int64_t sums[KEYS], perhaps[KEYS];
	unsigned over, sums_sent;
};
static struct nats_counters *counters;
static struct {
	int64_t number;     // atomic
	uint64_t sequence;  // atomic
} server[KEYS];
static struct thread threads[THREADS];

static void next(struct writer *x);

static void on_again(struct loop_job *j)
{
	next(CONTAINER_OF(j, struct writer, again));
}

static void is_over(struct writer *x)
{
	if (--x->left)
		loop_post(x->of->loop, &x->again);
	else
		x->of->over++;
}

static void take(struct writer *x)
{
	assert_int_equal(x->w.share, NATS_SUMMED);
	x->of->sums[x->key] += x->w.delta;
}

// A turn later, so that others come meanwhile.
static void on_writes(struct loop_job *j)
{
	struct writer *x = CONTAINER_OF(j, struct writer, writes);
	struct nats_known *known = nats__counter_known(x->counter);
	uint64_t sequence = __atomic_load_n(&server[x->key].sequence, __ATOMIC_ACQUIRE);
	int64_t base = __atomic_load_n(&server[x->key].number, __ATOMIC_ACQUIRE);
	assert_true(known->sequence == 0 || (known->sequence == sequence && known->number == base));
	struct nats_sum sum = nats__counter_sum(x->counter, &x->w, &base);
	if (x->left % 7 == 0) {  // another process was before
		nats__counter_put_back(x->counter);
		sum = nats__counter_sum(x->counter, &x->w, &base);
	}
	__atomic_store_n(&server[x->key].number, sum.number, __ATOMIC_RELEASE);
	__atomic_store_n(&server[x->key].sequence, sequence + 1, __ATOMIC_RELEASE);
	*known = (struct nats_known){sequence + 1, sum.number};
	x->of->sums_sent++;
	take(x);
	nats__counter_tell(x->counter, LINK_OK, "");
	nats__counter_pass_on(x->counter, &x->w);
	is_over(x);
}

static void on_told(struct loop_remote *r)
{
	struct writer *x = CONTAINER_OF(r, struct writer, w.told);
	if (x->w.state == NATS_GRANTED && x->is_out) {
		nats__counter_pass_on(x->counter, &x->w);
	} else if (x->w.state == NATS_GRANTED) {
		x->w.state = NATS_HOLDS;
		loop_post_slow(x->of->loop, &x->writes);
		return;
	} else if (x->is_out) {
		x->of->perhaps[x->key] += x->w.delta;
	} else {
		assert_int_equal(x->w.code, LINK_OK);
		take(x);
	}
	is_over(x);
}

static void next(struct writer *x)
{
	static const char *const subjects[KEYS] = {"$KV.b.a", "$KV.b.b", "$KV.b.c"};
	x->key = (x->key + 1) % KEYS;
	x->is_out = false;
	x->w = (struct nats_waiter){.delta = x->left % 5 + 1, .text = x->text, .loop = x->of->loop, .told.fn = on_told};
	if (nats__counter_enter(counters, slice_str(subjects[x->key]), &x->w, &x->counter)) {
		loop_post_slow(x->of->loop, &x->writes);
		return;
	}
	assert_non_null(x->counter);
	if (x->left % 11)
		return;
	enum nats_waiter_state was = nats__counter_leave(x->counter, &x->w, x->left % 2);
	if (was == NATS_CARRIED && x->left % 2)
		return;  // it is told
	if (was == NATS_CARRIED)
		x->of->perhaps[x->key] += x->w.delta;
	x->is_out = true;
	if (was == NATS_WAITS || was == NATS_CARRIED)
		is_over(x);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	for (unsigned i = 0; i < WRITERS; i++) {
		t->writers[i] = (struct writer){.of = t, .key = i, .left = EACH, .again.fn = on_again, .writes.fn = on_writes};
		next(&t->writers[i]);
	}
	while (t->over < WRITERS)
		loop_run_once(t->loop, UINT64_MAX);
	return NULL;
}

static void each_that_was_told_is_in_the_sum_once(void **s)
{
	unsigned sent = 0;
	counters = nats__counters_new();
	assert_non_null(counters);
	for (unsigned i = 0; i < THREADS; i++)
		assert_true(loop_new(&threads[i].loop, NULL));
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i].id, NULL, thread_main, &threads[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i].id, NULL);
	for (unsigned k = 0; k < KEYS; k++) {
		int64_t least = 0, perhaps = 0;
		for (unsigned i = 0; i < THREADS; i++) {
			least += threads[i].sums[k];
			perhaps += threads[i].perhaps[k];
		}
		assert_in_range(server[k].number, least, least + perhaps);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		sent += threads[i].sums_sent;
		loop_free(threads[i].loop);
	}
	if (sent >= THREADS * WRITERS * EACH)
		fail_msg("%u sums for %u increments", sent, THREADS * WRITERS * EACH);
	nats__counters_free(counters);
}

static void one_out_of_range_is_left_out_and_what_is_put_back_is_first(void **s)
{
	struct nats_waiter w[4];
	struct nats_counter *c = NULL;
	struct loop *loop;
	const int64_t base = INT64_MAX - 2, deltas[] = {1, 2, 1, -1};
	const enum nats_share shares[] = {NATS_SUMMED, NATS_OUT_OF_RANGE, NATS_SUMMED, NATS_SUMMED};
	counters = nats__counters_new();
	assert_true(counters && loop_new(&loop, NULL));
	for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct nats_waiter){.delta = deltas[i], .deadline_ns = i, .loop = loop};
		assert_true(nats__counter_enter(counters, SLICE_LIT("k"), &w[i], &c) == (i == 0));
	}
	for (int again = 0; again < 2; again++) {
		struct nats_sum sum = nats__counter_sum(c, &w[0], &base);
		assert_true(sum.n == 3 && sum.number == INT64_MAX - 1 && sum.latest_ns == 3 && nats__counter_carries(c));
		for (unsigned i = 0; i < ARRAY_LEN(w); i++)
			assert_int_equal(w[i].share, shares[i]);
		assert_true(w[0].number == INT64_MAX - 1 && w[1].number == INT64_MAX - 1 && w[2].number == INT64_MAX && w[3].number == INT64_MAX - 1);
		nats__counter_put_back(c);
		assert_false(nats__counter_carries(c));
	}
	assert_int_equal(nats__counter_leave(c, &w[2], true), NATS_WAITS);
	assert_int_equal(nats__counter_sum(c, NULL, &base).number, INT64_MAX - 1);
	assert_int_equal(nats__counter_sum(c, NULL, NULL).n, 0);
	assert_int_equal(w[3].share, NATS_NO_NUMBER);
	assert_int_equal(nats__counter_leave(c, &w[1], true), NATS_CARRIED);  // and it stays
	assert_int_equal(nats__counter_leave(c, &w[1], false), NATS_CARRIED);
	assert_int_equal(nats__counter_leave(c, &w[3], false), NATS_CARRIED);
	nats__counter_pass_on(c, &w[0]);
	loop_free(loop);
	nats__counters_free(counters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_out_of_range_is_left_out_and_what_is_put_back_is_first),
		cmocka_unit_test(each_that_was_told_is_in_the_sum_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
