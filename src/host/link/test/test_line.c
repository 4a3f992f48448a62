// The order of one guest's operations on one key: whatever ends when, nothing begins beside an earlier one that it would have to wait for, all begin, and what is of
// another guest or key waits for nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../line.h"

enum { N = 400, KEYS = 3, GUESTS = 2 };

struct op {
	struct link__in_line x;
	uint64_t key;
	unsigned guest, at;
	enum { RESTS, WAITS, BEGUN, OVER } state;
};
static struct loop *loop;
static struct link__line line;
static struct op ops[N];
static unsigned n_ops;
static bool writes_wait;

// May `x` begin while `y`, which was asked before, is not over?
static bool may_be_beside(const struct op *x, const struct op *y)
{
	enum link__line_kind a = x->x.kind, b = y->x.kind;
	if (x->key != y->key || x->guest != y->guest)
		return true;
	if (y->state == WAITS)
		return false;
	if (a == LINK__LINE_READ)
		return b == LINK__LINE_READ;
	if (b == LINK__LINE_READ)
		return !writes_wait;
	return b == LINK__LINE_WRITE || (a == LINK__LINE_COUNT && b == LINK__LINE_COUNT);
}

static void on_begin(struct link__in_line *x)
{
	struct op *o = CONTAINER_OF(x, struct op, x);
	o->state = BEGUN;
	for (unsigned i = 0; i < o->at; i++)
		if (ops[i].state != OVER && !may_be_beside(o, &ops[i]))
			fail_msg("%u of kind %d begins beside %u of kind %d", o->at, o->x.kind, i, ops[i].x.kind);
}

static void ask(enum link__line_kind kind, uint64_t key, unsigned guest)
{
	struct op *o = &ops[n_ops];
	*o = (struct op){.key = key, .guest = guest, .at = n_ops++};
	enum link__line_order order = link__line_enter(&line, &o->x, kind, (struct hash128){key, key}, (const struct pool *)(uintptr_t)(guest + 1));
	assert_int_not_equal(order, LINK__LINE_NO_MEMORY);
	o->state = WAITS;
	if (order == LINK__LINE_MAY_BEGIN) {
		on_begin(&o->x);
		return;
	}
	bool has_reason = false;
	for (unsigned i = 0; i < o->at; i++)
		has_reason |= ops[i].state != OVER && !may_be_beside(o, &ops[i]);
	assert_true(has_reason);
}

static void leave(struct op *o)
{
	link__line_leave(&line, &o->x);
	o->state = OVER;
	for (int i = 0; i < 3; i++)
		loop_run_once(loop, 0);
}

static void begin_line(bool wait)
{
	writes_wait = wait;
	n_ops = 0;
	assert_true(loop_new(&loop, NULL));
	link__line_init(&line, loop, wait, on_begin);
}

static void end_line(void)
{
	link__line_release(&line);
	loop_free(loop);
}

static void nothing_overtakes_what_it_would_have_to_wait_for(void **s)
{
	uint32_t random = 7;
	for (int round = 0; round < 40; round++) {
		begin_line(round % 2);
		while (n_ops < N) {
			random = random * 1664525 + 1013904223;
			if (random >> 30)
				ask((random >> 20) % 4, (random >> 16) % KEYS, (random >> 12) % GUESTS);
			random = random * 1664525 + 1013904223;
			struct op *o = &ops[n_ops ? (random >> 8) % n_ops : 0];
			if (n_ops && (o->state == BEGUN || (o->state == WAITS && random >> 28 == 0)))  // also some that have not begun
				leave(o);
		}
		for (unsigned turns = 0; turns < N; turns++)
			for (unsigned i = 0; i < N; i++)
				if (ops[i].state == BEGUN)
					leave(&ops[i]);
		for (unsigned i = 0; i < N; i++)
			assert_int_equal(ops[i].state, OVER);
		for (unsigned i = 0; i < LINK__LINE_CHAINS; i++)
			assert_null(line.chains[i]);
		end_line();
	}
}

static void all_that_wait_are_taken_out_in_their_order(void **s)
{
	struct link__in_line *list = NULL;
	begin_line(false);
	ask(LINK__LINE_COUNT, 1, 0);
	for (int i = 0; i < 10; i++)
		ask(i % 2 ? LINK__LINE_READ : LINK__LINE_WRITE, 1, 0);
	ask(LINK__LINE_WRITE, 1, 1);
	link__line_take_all(&line, &list);
	leave(&ops[3]);  // out of the list
	unsigned last = 0;
	for (unsigned n = 0; n < 9; n++) {
		struct op *o = CONTAINER_OF(list, struct op, x);
		assert_true(o->at > last && o->at != 3 && o->state == WAITS);
		last = o->at;
		leave(o);
	}
	assert_true(!list && ops[11].state == BEGUN);
	ask(LINK__LINE_READ, 1, 0);
	assert_int_equal(ops[12].state, WAITS);
	leave(&ops[0]);
	assert_int_equal(ops[12].state, BEGUN);
	leave(&ops[12]);
	leave(&ops[11]);
	end_line();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_overtakes_what_it_would_have_to_wait_for),
		cmocka_unit_test(all_that_wait_are_taken_out_in_their_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
