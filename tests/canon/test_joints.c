// Streams and futures between two instances: as within one, whoever comes first, cancels, drops or ends; and through joints between ends of the host.
// PROGRAM(test_joints, "canon tier cmocka", "")
#include <stdlib.h>

#include "endpoints.h"

#define BLOCKED UINT32_MAX

static struct subject subject;
static struct vm_shard *shard;
static const struct wit_type *stream_type, *future_type, *texts_type;

// What an instance took is given to the next that asks for it: by a joint, or (plain) by the host's own ends.
static struct canon_joint joint;
static struct canon_instance *giver, *expects_dead;
static uint32_t number, posts, overs, traps;
static struct canon_joint *row;  // NULL: `joint`
static const char *why_not;      // there is none
static struct canon_end given, taken;
static bool is_plain, is_text;  // is_text: of the host's own, a future of a string

static void post(struct canon_joint *j UNUSED)
{
	posts++;
}

static void over(struct canon_joint *j UNUSED)
{
	overs++;
}

static void failed(struct canon_joint *j UNUSED, const struct canon_instance *dead, const char *why)
{
	assert_true(why[0]);
	assert_ptr_equal(dead, expects_dead);
	traps++;
}

// Where the test says so a text stands in for one that is lost: why it is.
static bool has_error;

static bool stands_in(struct canon_joint *j UNUSED, const struct wit_type *elem, const char *why, void *native)
{
	if (has_error && native)
		*(struct wit_string *)native = (struct wit_string){(const uint8_t *)why, strlen(why)};
	return has_error && elem->kind == WIT_STRING;
}
static const struct canon_joint_ops joint_ops = {post, over, failed, stands_in};

static char promised[] = "promised";

// What the last value lay in is somebody else's now.
static void changed(struct canon_end *e UNUSED)
{
	memset(promised, 'x', 8);
}

static void gone(struct canon_end *e UNUSED)
{
}

static bool value(struct canon_end *e UNUSED, struct canon_task *t UNUSED, void *native)
{
	if (is_text)
		*(struct wit_string *)native = (struct wit_string){memcpy(promised, "promised", 8), 8};
	else
		*(uint8_t *)native = 7;
	return true;
}
static const struct canon_end_ops ops = {changed, value, gone};

static enum trap hand_over(struct canon_instance *i, const struct wit_type *type, void *ret)
{
	is_text = is_plain ? type == future_type : is_text;
	if (is_plain)
		return canon_end_new(i, type, &ops, &given, ret) ? TRAP_NONE : TRAP_HOST;
	return canon_joint_new(row ? row : &joint, &joint_ops, giver, number, i, type, ret, &why_not) ? TRAP_NONE : TRAP_HOST;
}

static enum trap give(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	return hand_over(i, stream_type, ret);
}

static enum trap promise(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	return hand_over(i, future_type, ret);
}

static enum trap give_texts(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	return hand_over(i, texts_type, ret);
}

static enum trap take(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args, void *ret UNUSED)
{
	giver = i;
	number = *(const uint32_t *)args;
	return !is_plain || canon_end_take(i, number, &ops, &taken) ? TRAP_NONE : TRAP_HOST;
}

static enum trap never(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}
static const struct canon_host_func host_funcs[] = {{.fn = give}, {.fn = take}, {.fn = promise}, {.fn = take}, {.fn = never}, {.fn = give_texts}, {.fn = take},
	[7 ... 8] = {.fn = never}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs)};

static struct canon_instance *instance_with(const struct canon_limits *limits)
{
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, limits, NULL, &i, &e));
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	is_plain = has_error = false;
	posts = overs = traps = 0;
	return i;
}

static struct canon_instance *instance(void)
{
	return instance_with(NULL);
}

static uint64_t call(struct canon_instance *i, enum endpoint op, uint32_t a, uint32_t b, uint32_t c)
{
	struct canon_trap trap;
	uint64_t ret = 0;
	if (endpoint_call(&subject, i, op, a, b, c, &ret, &trap) != TRAP_NONE)
		fail_msg("%s: %s", endpoint_rows[op].name, trap.text);
	return ret;
}

static uint32_t load(struct canon_instance *i, uint32_t at)
{
	return (uint32_t)call(i, LOAD, at, 0, 0);
}

// The bytes at 64 are "\1\2\3\4\5\6\7\10".
static void fill(struct canon_instance *i)
{
	uint8_t *room;
	size_t len;
	is_plain = true;
	uint32_t r = (uint32_t)call(i, GIVE, 0, 0, 0);
	assert_int_equal((uint32_t)call(i, STREAM_READ, r, 64, 8), BLOCKED);
	assert_true(canon_end_room(&given, &room, &len));
	memcpy(room, "\1\2\3\4\5\6\7\10", 8);
	canon_end_move(&given, 8);
	assert_int_equal((uint32_t)call(i, STREAM_CANCEL_READ, r, 0, 0), 8 << 4 | 2);
	canon_end_drop(&given);
	call(i, STREAM_DROP_READABLE, r, 0, 0);
	is_plain = false;
}

// A stream or future whose writable end is in `a`, the readable one in `b`.
struct pipe {
	struct canon_instance *a, *b;
	uint32_t w, r;
};

static struct pipe pipe_between(struct canon_instance *a, struct canon_instance *b, bool is_future)
{
	uint64_t ends = call(a, is_future ? TEXT_NEW : STREAM_NEW, 0, 0, 0);
	call(a, is_future ? HEAR : TAKE, (uint32_t)ends, 0, 0);
	return (struct pipe){a, b, (uint32_t)(ends >> 32), (uint32_t)call(b, is_future ? PROMISE : GIVE, 0, 0, 0)};
}

static void bytes_go_when_both_are_there(void **state UNUSED)
{
	struct canon_instance *a = instance(), *b = instance();
	fill(a);
	struct pipe p = pipe_between(a, b, false);
	assert_int_equal((uint32_t)call(a, STREAM_WRITE, p.w, 64, 8), BLOCKED);
	assert_int_equal(call(b, STREAM_READ, p.r, 128, 5), 5 << 4);
	assert_int_equal(load(b, 128), 0x04030201);
	assert_int_equal(load(b, 132), 5);
	assert_int_equal(call(b, STREAM_READ, p.r, 128, 5), 3 << 4);  // the writer was not told yet: its buffer is taken from further
	assert_int_equal((uint32_t)call(b, STREAM_READ, p.r, 128, 5), BLOCKED);
	assert_int_equal((uint32_t)call(a, STREAM_CANCEL_WRITE, p.w, 0, 0), 8 << 4 | 2);
	assert_int_equal(call(a, STREAM_WRITE, p.w, 64, 2), 2 << 4);
	assert_int_equal((uint32_t)call(b, STREAM_CANCEL_READ, p.r, 0, 0), 2 << 4 | 2);
	call(a, STREAM_DROP_WRITABLE, p.w, 0, 0);
	assert_int_equal(call(b, STREAM_READ, p.r, 128, 5), 1);
	call(b, STREAM_DROP_READABLE, p.r, 0, 0);
	assert_int_equal(overs, 1);
	canon_instance_free(a);
	canon_instance_free(b);
}

// The same steps within one instance and between two have the same answers and bytes.
static void random_steps_are_as_within_one_instance(void **state UNUSED)
{
	struct canon_instance *one = instance(), *a = instance(), *b = instance();
	uint32_t seed = 7, done = 0;
	fill(one);
	fill(a);
	for (uint32_t round = 0; round < 1500; round++) {
		uint64_t ends = call(one, STREAM_NEW, 0, 0, 0);
		struct pipe p = pipe_between(a, b, false), q = {one, one, (uint32_t)(ends >> 32), (uint32_t)ends};
		bool has_w = true, has_r = true, w_busy = false, r_busy = false;
		overs = 0;
		while (has_w || has_r) {
			seed = seed * 1664525 + 1013904223;
			uint32_t what = seed >> 28, n = (seed >> 20) % 6;
			bool writes = (seed >> 27) & 1, busy = writes ? w_busy : r_busy;
			enum endpoint op = busy ? writes ? STREAM_CANCEL_WRITE : STREAM_CANCEL_READ : what == 0 ? writes ? STREAM_DROP_WRITABLE : STREAM_DROP_READABLE
				: writes                                                                            ? STREAM_WRITE
																									: STREAM_READ;
			if (!(writes ? has_w : has_r) || (busy && what > 5))
				continue;
			uint32_t at = writes ? 64 + n : 256;
			uint64_t x = call(q.a, op, writes ? q.w : q.r, at, n), y = call(writes ? p.a : p.b, op, writes ? p.w : p.r, at, n);
			if (x != y)
				fail_msg("round %u: %s of %u gives 0x%x, within one 0x%x", round, endpoint_rows[op].name, n, (unsigned)y, (unsigned)x);
			assert_int_equal(load(one, 256), load(b, 256));
			assert_int_equal(load(one, 260), load(b, 260));
			*(writes ? &w_busy : &r_busy) = !busy && (uint32_t)x == BLOCKED;
			bool is_gone = op == STREAM_DROP_WRITABLE || op == STREAM_DROP_READABLE;
			*(writes ? &has_w : &has_r) = !is_gone;
			if (!is_gone && (x & 15) == 1 && (uint32_t)x != BLOCKED) {  // it was told that the other has gone
				call(one, writes ? STREAM_DROP_WRITABLE : STREAM_DROP_READABLE, writes ? q.w : q.r, 0, 0);
				call(writes ? p.a : p.b, writes ? STREAM_DROP_WRITABLE : STREAM_DROP_READABLE, writes ? p.w : p.r, 0, 0);
				*(writes ? &has_w : &has_r) = false;
			}
			done++;
		}
		assert_int_equal(overs, 1);
	}
	assert_true(done > 5000);
	canon_instance_free(one);
	canon_instance_free(a);
	canon_instance_free(b);
}

static void the_end_of_an_instance_is_that_of_its_streams(void **state UNUSED)
{
	struct canon_instance *a = instance(), *b = instance(), *c = instance();
	struct pipe p = pipe_between(a, b, false);
	assert_int_equal((uint32_t)call(a, STREAM_WRITE, p.w, 64, 8), BLOCKED);
	canon_instance_free(b);
	assert_int_equal(overs, 1);
	assert_int_equal((uint32_t)call(a, STREAM_CANCEL_WRITE, p.w, 0, 0), 1);
	call(a, STREAM_DROP_WRITABLE, p.w, 0, 0);
	p = pipe_between(a, c, false);
	assert_int_equal((uint32_t)call(c, STREAM_READ, p.r, 128, 5), BLOCKED);
	canon_instance_free(a);
	assert_int_equal(overs, 2);
	assert_int_equal((uint32_t)call(c, STREAM_CANCEL_READ, p.r, 0, 0), 1);
	canon_instance_free(c);
}

// A string, at 96, whose bytes are at 32768 (where realloc puts what is read).
static void make_text(struct canon_instance *i)
{
	is_plain = true;
	uint32_t r = (uint32_t)call(i, PROMISE, 0, 0, 0);
	canon_end_resolve(&given);
	assert_int_equal(call(i, TEXT_READ, r, 96, 0), 0);
	canon_end_drop(&given);
	call(i, TEXT_DROP, r, 0, 0);
	is_plain = false;
}

static void a_future_waits_for_its_reader(void **state UNUSED)
{
	struct canon_instance *a = instance(), *b = instance();
	make_text(a);
	struct pipe p = pipe_between(a, b, true);
	uint32_t set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
	assert_int_equal((uint32_t)call(a, TEXT_WRITE, p.w, 96, 0), BLOCKED);
	assert_int_equal(posts, 0);
	assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
	assert_int_equal(posts, 1);
	call(b, JOIN, p.r, set, 0);
	assert_int_equal(call(b, SET_POLL, set, 0, 0), 0);
	canon_joint_run(&joint);
	assert_int_equal(call(b, SET_POLL, set, 0, 0), 4);
	assert_int_equal(load(b, 68), 8);
	assert_int_equal(load(b, load(b, 64)), 0x6d6f7270);  // "prom"
	assert_int_equal(overs, 1);
	canon_instance_free(a);
	canon_instance_free(b);
}

static void a_value_that_was_taken_outlives_its_giver(void **state UNUSED)
{
	struct canon_instance *a = instance(), *b = instance();
	make_text(a);
	struct pipe p = pipe_between(a, b, true);
	uint32_t set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
	call(b, JOIN, p.r, set, 0);
	assert_int_equal((uint32_t)call(a, TEXT_WRITE, p.w, 96, 0), BLOCKED);
	assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
	canon_joint_run(&joint);
	canon_instance_free(a);
	assert_int_equal(overs, 0);
	assert_int_equal(call(b, SET_POLL, set, 0, 0), 4);
	assert_int_equal(load(b, 68), 8);
	assert_int_equal(overs, 1);
	canon_instance_free(b);
	// And one that was not given is gone with its reader.
	a = instance();
	b = instance();
	make_text(a);
	p = pipe_between(a, b, true);
	assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
	assert_int_equal((uint32_t)call(a, TEXT_WRITE, p.w, 96, 0), BLOCKED);
	canon_joint_run(&joint);
	canon_instance_free(b);
	assert_int_equal(overs, 1);
	canon_instance_free(a);
}

// Its reader waits, whether it came before or after, or was told of a value that is none any more; and it may drop it.
static void a_future_that_nobody_will_write_never_comes(void **state UNUSED)
{
	for (int first = 0; first < 3; first++) {
		struct canon_instance *a = instance(), *b = instance();
		struct pipe p = pipe_between(a, b, true);
		uint32_t set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
		call(b, JOIN, p.r, set, 0);
		if (first == 1)
			assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
		canon_instance_free(a);
		assert_int_equal(traps, 1);
		assert_int_equal(overs, 1);
		if (first == 0)
			assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
		assert_int_equal(call(b, SET_POLL, set, 0, 0), 0);
		call(b, JOIN, p.r, 0, 0);
		if (first == 2)
			call(b, TEXT_DROP, p.r, 0, 0);
		assert_false(canon_instance_is_dead(b));
		canon_instance_free(b);
	}
}

static void a_value_that_the_host_takes_back_is_none(void **state UNUSED)
{
	for (int stands = 0; stands < 2; stands++) {
		struct canon_instance *a = instance(), *b = instance();
		has_error = stands;
		is_plain = true;
		uint32_t r = (uint32_t)call(a, PROMISE, 0, 0, 0), set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
		is_plain = false;
		call(a, HEAR, r, 0, 0);
		r = (uint32_t)call(b, PROMISE, 0, 0, 0);
		call(b, JOIN, r, set, 0);
		assert_int_equal((uint32_t)call(b, TEXT_READ, r, 64, 0), BLOCKED);
		canon_end_resolve(&given);  // told of, and not delivered
		canon_instance_free(a);
		assert_int_equal(call(b, SET_POLL, set, 0, 0), stands ? 4 : 0);
		if (stands)
			assert_int_equal(load(b, load(b, 64)), 0x20656874);  // "the "
		assert_int_equal(overs, 1);
		canon_instance_free(b);
	}
}

// Over two links, of which the first is lost: what stands in for it, or nothing, comes through the second.
static void what_is_lost_is_lost_further_on(void **state UNUSED)
{
	static struct canon_joint two[2];
	for (int how = 0; how < 4; how++) {
		bool stands = how & 1, reads = how & 2;  // reads: before it is lost
		struct canon_instance *a = instance(), *b = instance(), *c = instance();
		has_error = stands;
		row = two;
		struct pipe p = pipe_between(a, b, true);
		row = two + 1;
		call(b, HEAR, p.r, 0, 0);
		uint32_t r = (uint32_t)call(c, PROMISE, 0, 0, 0), set = (uint32_t)call(c, SET_NEW, 0, 0, 0);
		row = NULL;
		call(c, JOIN, r, set, 0);
		if (reads)
			assert_int_equal((uint32_t)call(c, TEXT_READ, r, 64, 0), BLOCKED);
		canon_instance_free(a);
		if (!reads)
			assert_int_equal((uint32_t)call(c, TEXT_READ, r, 64, 0), stands ? 0 : BLOCKED);
		else
			assert_int_equal(call(c, SET_POLL, set, 0, 0), stands ? 4 : 0);
		if (stands)
			assert_int_equal(load(c, load(c, 64)), 0x20656874);
		assert_int_equal(overs, 2);
		canon_instance_free(how ? b : c);
		canon_instance_free(how ? c : b);
	}
}

// Over two links: a value that has gone on to the second is not lost with who wrote it, whether he drops his end, ends, or is the host; nor with
// who passed it on, once it was taken.
static void what_has_come_through_is_not_lost(void **state UNUSED)
{
	static struct canon_joint two[2];
	enum { DROPS, ENDS, MIDDLE, HOST, WAYS };
	for (int how = 0; how < WAYS; how++) {
		struct canon_instance *a = instance(), *b = instance(), *c = instance();
		make_text(a);
		is_plain = how == HOST;
		uint64_t ends = how == HOST ? call(a, PROMISE, 0, 0, 0) : call(a, TEXT_NEW, 0, 0, 0);
		uint32_t w = (uint32_t)(ends >> 32), set = (uint32_t)call(c, SET_NEW, 0, 0, 0), set_a = (uint32_t)call(a, SET_NEW, 0, 0, 0);
		is_plain = false;
		overs = 0;
		row = two;
		call(a, HEAR, (uint32_t)ends, 0, 0);
		uint32_t r = (uint32_t)call(b, PROMISE, 0, 0, 0);
		row = two + 1;
		call(b, HEAR, r, 0, 0);
		r = (uint32_t)call(c, PROMISE, 0, 0, 0);
		row = NULL;
		call(c, JOIN, r, set, 0);
		assert_int_equal((uint32_t)call(c, TEXT_READ, r, 64, 0), BLOCKED);
		if (how == HOST) {
			canon_end_resolve(&given);
		} else {
			assert_int_equal((uint32_t)call(a, TEXT_WRITE, w, 96, 0), BLOCKED);
			canon_joint_run(two + 1);
			call(a, JOIN, w, set_a, 0);
			assert_int_equal(call(a, SET_POLL, set_a, 0, 0), 5);
		}
		if (how == DROPS)
			call(a, TEXT_DROP_WRITABLE, w, 0, 0);
		else if (how == ENDS)
			canon_instance_free(a);
		else if (how == MIDDLE)
			canon_instance_free(b);
		assert_int_equal(call(c, SET_POLL, set, 0, 0), 4);
		assert_int_equal(load(c, 68), 8);
		assert_int_equal(load(c, load(c, 64)), 0x6d6f7270);  // "prom"
		assert_int_equal(traps, 0);
		if (how == HOST)
			canon_end_drop(&given);
		assert_int_equal(overs, 2);
		if (how != ENDS)
			canon_instance_free(a);
		if (how != MIDDLE)
			canon_instance_free(b);
		canon_instance_free(c);
	}
}

// As many as come at once, one less and one more: each is there once, in its order, and who wrote them is told of all.
static void values_come_in_batches(void **state UNUSED)
{
	enum { ONCE = 64 };
	static const uint32_t counts[] = {1, ONCE - 1, ONCE, ONCE + 1, 2 * ONCE + 1};
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		struct canon_instance *a = instance(), *b = instance();
		uint32_t n = counts[k], got = 0, set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
		uint64_t ends = call(a, TEXTS_NEW, 0, 0, 0);
		call(a, TAKE_TEXTS, (uint32_t)ends, 0, 0);
		uint32_t w = (uint32_t)(ends >> 32), r = (uint32_t)call(b, GIVE_TEXTS, 0, 0, 0);
		for (uint32_t x = 0; x < n; x++) {
			call(a, STORE, 1024 + x * 8, 64, 0);
			call(a, STORE, 1024 + x * 8 + 4, x, 0);
		}
		assert_int_equal((uint32_t)call(a, TEXTS_WRITE, w, 1024, n), BLOCKED);
		while (got < n) {
			assert_int_equal((uint32_t)call(b, TEXTS_READ, r, 1024, n + 5), BLOCKED);
			call(b, JOIN, r, set, 0);
			canon_joint_run(&joint);
			assert_int_equal(call(b, SET_POLL, set, 0, 0), 2);
			uint32_t came = load(b, 4) >> 4;
			assert_int_equal(came, n - got < ONCE ? n - got : ONCE);
			for (uint32_t x = 0; x < came; x++)
				assert_int_equal(load(b, 1024 + x * 8 + 4), got + x);
			call(b, JOIN, r, 0, 0);
			got += came;
		}
		assert_int_equal((uint32_t)call(a, TEXTS_CANCEL_WRITE, w, 0, 0), n << 4 | 2);
		canon_instance_free(a);
		assert_int_equal(call(b, TEXTS_READ, r, 1024, 1), 1);
		canon_instance_free(b);
		assert_int_equal(overs, 1);
	}
}

static void a_value_that_is_none_ends_its_giver_alone(void **state UNUSED)
{
	struct canon_instance *a = instance(), *b = instance();
	struct canon_trap trap;
	uint64_t ret;
	fill(a);  // a string at 0x04030201 of 0x08070605 bytes
	struct pipe p = pipe_between(a, b, true);
	assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
	assert_int_equal((uint32_t)call(a, TEXT_WRITE, p.w, 64, 0), BLOCKED);
	expects_dead = a;
	canon_joint_run(&joint);
	expects_dead = NULL;
	assert_int_equal(traps, 1);
	assert_true(canon_instance_is_dead(a));
	assert_false(canon_instance_is_dead(b));
	assert_int_equal(endpoint_call(&subject, a, LOAD, 64, 0, 0, &ret, &trap), TRAP_POISONED);
	canon_instance_free(a);
	canon_instance_free(b);
}

// A reader without room for a value has lost it. Who wrote it goes on.
static void a_value_without_room_is_lost_to_its_taker(void **state UNUSED)
{
	static const struct canon_limits narrow = {.call_bytes = 1000};
	struct canon_instance *a = instance(), *b = instance_with(&narrow);
	make_text(a);
	struct pipe p = pipe_between(a, b, true);
	uint32_t set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
	call(b, JOIN, p.r, set, 0);
	assert_int_equal((uint32_t)call(a, TEXT_WRITE, p.w, 96, 0), BLOCKED);
	assert_int_equal((uint32_t)call(b, TEXT_READ, p.r, 64, 0), BLOCKED);
	canon_joint_run(&joint);
	assert_int_equal(traps, 1);
	assert_false(canon_instance_is_dead(a));
	assert_int_equal(load(a, 100), 8);
	assert_int_equal(call(b, SET_POLL, set, 0, 0), 0);
	canon_instance_free(a);
	canon_instance_free(b);
	assert_int_equal(overs, 1);
}

// given → a → joint → b → taken: whoever comes finds who is there.
static void ends_of_the_host_meet_through_it(void **state UNUSED)
{
	struct canon_instance *a = instance(), *b = instance();
	uint8_t *room;
	size_t len;
	is_plain = true;
	uint32_t r = (uint32_t)call(a, GIVE, 0, 0, 0);
	is_plain = false;
	call(a, TAKE, r, 0, 0);
	r = (uint32_t)call(b, GIVE, 0, 0, 0);
	assert_false(canon_end_room(&given, &room, &len));
	assert_int_equal((uint32_t)call(b, STREAM_READ, r, 64, 4), BLOCKED);
	assert_true(canon_end_room(&given, &room, &len));
	assert_int_equal(len, 4);
	memcpy(room, "\1\2\3\4", 4);
	canon_end_move(&given, 4);
	assert_int_equal((uint32_t)call(b, STREAM_CANCEL_READ, r, 0, 0), 4 << 4 | 2);
	assert_int_equal(load(b, 64), 0x04030201);
	is_plain = true;
	call(b, TAKE, r, 0, 0);
	assert_ptr_equal(canon_end_peer(&taken), &given);
	assert_ptr_equal(canon_end_peer(&given), &taken);
	canon_end_drop(&given);
	assert_true(canon_end_is_over(&taken));
	canon_end_drop(&taken);
	assert_int_equal(overs, 1);
	struct pipe p = (is_plain = false, pipe_between(a, b, false));
	is_plain = true;
	call(b, TAKE, p.r, 0, 0);
	assert_null(canon_end_peer(&taken));
	assert_int_equal((uint32_t)call(a, STREAM_WRITE, p.w, 64, 8), BLOCKED);
	assert_true(canon_end_room(&taken, &room, &len));
	assert_int_equal(len, 8);
	canon_end_move(&taken, 3);
	assert_int_equal((uint32_t)call(a, STREAM_CANCEL_WRITE, p.w, 0, 0), 3 << 4 | 2);
	canon_end_drop(&taken);
	assert_int_equal(overs, 2);
	assert_int_equal(call(a, STREAM_WRITE, p.w, 64, 8), 1);
	canon_instance_free(a);
	canon_instance_free(b);
}

static void a_promise_of_the_host_goes_through_it(void **state UNUSED)
{
	for (int first = 0; first < 2; first++) {  // there before it is read, or not
		struct canon_instance *a = instance(), *b = instance();
		is_plain = true;
		uint32_t r = (uint32_t)call(a, PROMISE, 0, 0, 0), set = (uint32_t)call(b, SET_NEW, 0, 0, 0);
		is_plain = false;
		if (first)
			canon_end_resolve(&given);
		call(a, HEAR, r, 0, 0);
		r = (uint32_t)call(b, PROMISE, 0, 0, 0);
		uint32_t got = (uint32_t)call(b, TEXT_READ, r, 64, 0);
		call(b, JOIN, r, set, 0);
		if (!first) {
			assert_int_equal(got, BLOCKED);
			canon_end_resolve(&given);
			assert_int_equal(call(b, SET_POLL, set, 0, 0), 4);
		} else {
			assert_int_equal(got, 0);
		}
		assert_int_equal(load(b, 68), 8);
		assert_int_equal(load(b, load(b, 64)), 0x6d6f7270);  // "prom"
		canon_end_drop(&given);
		canon_instance_free(a);
		canon_instance_free(b);
		assert_int_equal(overs, 1);
	}
}

// Values that the host offers through it are stored when the reader is told, or are no more: then their giver has ended.
static void what_the_host_offers_ends_with_its_giver(void **state UNUSED)
{
	for (int ends = 0; ends < 2; ends++) {
		struct canon_instance *a = instance(), *b = instance();
		is_plain = true;
		uint32_t r = (uint32_t)call(a, GIVE, 0, 0, 0);
		is_plain = false;
		call(a, TAKE, r, 0, 0);
		r = (uint32_t)call(b, GIVE, 0, 0, 0);
		assert_int_equal((uint32_t)call(b, STREAM_READ, r, 64, 4), BLOCKED);
		canon_end_offer(&given, 3);
		if (ends)
			canon_instance_free(a);
		assert_int_equal((uint32_t)call(b, STREAM_CANCEL_READ, r, 0, 0), ends ? 1 : 3 << 4 | 2);
		assert_int_equal(load(b, 64), ends ? 0 : 0x070707);
		if (!ends) {
			canon_end_drop(&given);
			assert_int_equal(call(b, STREAM_READ, r, 64, 4), 1);
			canon_instance_free(a);
		}
		canon_instance_free(b);
		assert_int_equal(overs, 1);
	}
}

// There and back, until it is refused; what was made still works, and goes when its writer does.
static void a_row_of_joints_has_an_end(void **state UNUSED)
{
	static struct canon_joint joints[CANON_JOINTS_MAX + 1];
	struct canon_instance *of[] = {instance(), instance()};
	struct canon_trap trap;
	uint64_t ends = call(of[0], STREAM_NEW, 0, 0, 0), ret;
	uint32_t w = (uint32_t)(ends >> 32), r = (uint32_t)ends;
	fill(of[0]);
	for (unsigned k = 0; k < CANON_JOINTS_MAX; k++) {
		row = joints + k;
		call(of[k % 2], TAKE, r, 0, 0);
		r = (uint32_t)call(of[(k + 1) % 2], GIVE, 0, 0, 0);
		if (k + 1 == CANON_JOINTS_MAX) {
			assert_int_equal((uint32_t)call(of[0], STREAM_WRITE, w, 64, 8), BLOCKED);
			assert_int_equal(call(of[0], STREAM_READ, r, 128, 4), 4 << 4);
			assert_int_equal(load(of[0], 128), 0x04030201);
		}
	}
	assert_int_equal(overs, 0);
	row = joints + CANON_JOINTS_MAX;
	call(of[0], TAKE, r, 0, 0);
	assert_int_equal(endpoint_call(&subject, of[1], GIVE, 0, 0, 0, &ret, &trap), TRAP_HOST);
	assert_string_equal(why_not, "it comes over 32 links in a row already, which is the most");
	row = NULL;
	assert_int_equal(overs, CANON_JOINTS_MAX);
	assert_int_equal((uint32_t)call(of[0], STREAM_CANCEL_WRITE, w, 0, 0), 4 << 4 | 1);
	canon_instance_free(of[0]);
	canon_instance_free(of[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_when_both_are_there),
		cmocka_unit_test(random_steps_are_as_within_one_instance),
		cmocka_unit_test(the_end_of_an_instance_is_that_of_its_streams),
		cmocka_unit_test(a_future_waits_for_its_reader),
		cmocka_unit_test(a_value_that_was_taken_outlives_its_giver),
		cmocka_unit_test(a_future_that_nobody_will_write_never_comes),
		cmocka_unit_test(a_value_that_the_host_takes_back_is_none),
		cmocka_unit_test(what_is_lost_is_lost_further_on),
		cmocka_unit_test(what_has_come_through_is_not_lost),
		cmocka_unit_test(values_come_in_batches),
		cmocka_unit_test(a_value_that_is_none_ends_its_giver_alone),
		cmocka_unit_test(a_value_without_room_is_lost_to_its_taker),
		cmocka_unit_test(ends_of_the_host_meet_through_it),
		cmocka_unit_test(a_promise_of_the_host_goes_through_it),
		cmocka_unit_test(what_the_host_offers_ends_with_its_giver),
		cmocka_unit_test(a_row_of_joints_has_an_end),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e))
		return 1;
	endpoints_load(&subject, ENDPOINTS_WITH_HOST);
	stream_type = subject.l.comp->plan.host_funcs[0].type->result;
	future_type = subject.l.comp->plan.host_funcs[2].type->result;
	texts_type = subject.l.comp->plan.host_funcs[5].type->result;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
