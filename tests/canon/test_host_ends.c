// Streams and futures whose one end the host holds: bytes straight into and out of the guest's buffers, values of futures, readiness, and each way to end.
// PROGRAM(test_host_ends, "canon tier cmocka", "")
#include "endpoints.h"

#define BLOCKED UINT32_MAX

static struct subject subject;
static struct vm_shard *shard;
static const struct wit_type *stream_type, *future_type;

// The host's two ends of streams and two of futures: given and taken.
static struct canon_end given, taken, promised, heard, *gives = &given;
static uint32_t changes, gones;
static char text[64];  // of the future that was heard
static bool refuses;

static void changed(struct canon_end *e UNUSED)
{
	changes++;
}

static bool drops_the_other;

static void gone(struct canon_end *e)
{
	gones++;
	if (!drops_the_other || e != &taken)
		return;
	memset(e, 0xff, sizeof *e);  // whoever held it is no more
	canon_end_drop(&given);
}

static bool value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct wit_string *s = native;
	if (refuses) {
		canon_task_trap(t, "the host has no value");
		return false;
	}
	if (e->writes)
		*s = (struct wit_string){(const uint8_t *)"promised", 8};
	else
		snprintf(text, sizeof text, "%.*s", (int)s->len, (const char *)s->ptr);
	return true;
}
static const struct canon_end_ops ops = {changed, value, gone};

static enum trap give(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	return canon_end_new(i, stream_type, &ops, gives, ret) ? TRAP_NONE : TRAP_HOST;
}

static enum trap take(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args, void *ret UNUSED)
{
	return canon_end_take(i, *(const uint32_t *)args, &ops, &taken) ? TRAP_NONE : TRAP_HOST;
}

static enum trap promise(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	return canon_end_new(i, future_type, &ops, &promised, ret) ? TRAP_NONE : TRAP_HOST;
}

static enum trap hear(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args, void *ret UNUSED)
{
	return canon_end_take(i, *(const uint32_t *)args, &ops, &heard) ? TRAP_NONE : TRAP_HOST;
}

static enum trap never(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}
static const struct canon_host_func host_funcs[] = {{.fn = give}, {.fn = take}, {.fn = promise}, {.fn = hear}, [4 ... 8] = {.fn = never}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs)};

static struct canon_instance *instance(void)
{
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &i, &e));
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	changes = gones = 0;
	refuses = false;
	return i;
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

static void the_host_writes_into_the_guests_buffer(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint32_t r = (uint32_t)call(i, GIVE, 0, 0, 0), set = (uint32_t)call(i, SET_NEW, 0, 0, 0);
	uint8_t *room;
	size_t len;
	assert_false(canon_end_room(&given, &room, &len));
	assert_int_equal((uint32_t)call(i, STREAM_READ, r, 64, 8), BLOCKED);
	assert_int_equal(changes, 1);
	assert_true(canon_end_room(&given, &room, &len));
	assert_int_equal(len, 8);
	memcpy(room, "\1\2\3\4", 4);
	canon_end_move(&given, 4);
	assert_true(canon_end_room(&given, &room, &len));  // before the guest was told there is room for more
	assert_int_equal(len, 4);
	memcpy(room, "\5", 1);
	canon_end_move(&given, 1);
	call(i, JOIN, r, set, 0);
	assert_int_equal(call(i, SET_POLL, set, 0, 0), 2);
	assert_int_equal(load(i, 4), 5 << 4);
	assert_int_equal(load(i, 64), 0x04030201);
	assert_int_equal(load(i, 68), 5);
	assert_false(canon_end_room(&given, &room, &len));
	// It asks whether we are ready.
	assert_int_equal((uint32_t)call(i, STREAM_READ, r, 64, 0), BLOCKED);
	assert_true(canon_end_room(&given, &room, &len));
	assert_int_equal(len, 0);
	canon_end_move(&given, 0);
	assert_int_equal(call(i, SET_POLL, set, 0, 0), 2);
	assert_int_equal(load(i, 4), 0);
	// It waits, and there is no more.
	assert_int_equal((uint32_t)call(i, STREAM_READ, r, 64, 8), BLOCKED);
	canon_end_drop(&given);
	assert_int_equal(call(i, SET_POLL, set, 0, 0), 2);
	assert_int_equal(load(i, 4), 1);
	call(i, STREAM_DROP_READABLE, r, 0, 0);
	call(i, SET_DROP, set, 0, 0);
	canon_instance_free(i);
	assert_int_equal(gones, 0);
}

static void the_host_reads_from_the_guests_buffer(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint64_t ends = call(i, STREAM_NEW, 0, 0, 0);
	uint32_t w = (uint32_t)(ends >> 32);
	uint8_t *bytes;
	size_t len;
	assert_int_equal((uint32_t)call(i, STREAM_WRITE, w, 0, 6), BLOCKED);
	call(i, TAKE, (uint32_t)ends, 0, 0);  // with a write under way
	assert_null(canon_end_peer(&taken));
	assert_true(canon_end_room(&taken, &bytes, &len));
	assert_int_equal(len, 6);
	canon_end_move(&taken, 2);
	assert_int_equal((uint32_t)call(i, STREAM_CANCEL_WRITE, w, 0, 0), 2 << 4 | 2);
	assert_false(canon_end_room(&taken, &bytes, &len));
	assert_false(canon_end_is_over(&taken));
	call(i, STREAM_DROP_WRITABLE, w, 0, 0);
	assert_true(canon_end_is_over(&taken));
	assert_int_equal(changes, 1);
	canon_end_drop(&taken);
	canon_instance_free(i);
}

static void the_host_leaves_a_writer(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint64_t ends = call(i, STREAM_NEW, 0, 0, 0);
	uint32_t w = (uint32_t)(ends >> 32);
	call(i, TAKE, (uint32_t)ends, 0, 0);
	canon_end_drop(&taken);
	assert_int_equal(call(i, STREAM_WRITE, w, 0, 6), 1);
	call(i, STREAM_DROP_WRITABLE, w, 0, 0);
	canon_instance_free(i);
}

static void a_stream_comes_back_to_the_host(void **state UNUSED)
{
	struct canon_instance *i = instance();
	call(i, TAKE, (uint32_t)call(i, GIVE, 0, 0, 0), 0, 0);
	assert_ptr_equal(canon_end_peer(&taken), &given);
	assert_ptr_equal(canon_end_peer(&given), &taken);
	canon_end_drop(&given);
	assert_true(canon_end_is_over(&taken));
	canon_end_drop(&taken);
	canon_instance_free(i);
}

static void check_text(struct canon_instance *i, uint32_t at, const char *expected)
{
	uint32_t n = load(i, at + 4), first = load(i, load(i, at));
	assert_int_equal(n, strlen(expected));
	assert_memory_equal(&first, expected, 4);
}

static void a_guest_waits_for_the_hosts_value(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint32_t r = (uint32_t)call(i, PROMISE, 0, 0, 0), set = (uint32_t)call(i, SET_NEW, 0, 0, 0);
	assert_int_equal((uint32_t)call(i, TEXT_READ, r, 64, 0), BLOCKED);
	call(i, JOIN, r, set, 0);
	assert_int_equal(call(i, SET_POLL, set, 0, 0), 0);
	canon_end_resolve(&promised);
	assert_int_equal(load(i, 68), 0);  // it is stored when the guest is told
	assert_int_equal(call(i, SET_POLL, set, 0, 0), 4);
	assert_int_equal(load(i, 4), 0);
	check_text(i, 64, "promised");
	assert_int_equal(changes, 2);
	canon_end_drop(&promised);
	call(i, TEXT_DROP, r, 0, 0);
	canon_instance_free(i);
}

static void a_value_is_there_before_it_is_read(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint32_t r = (uint32_t)call(i, PROMISE, 0, 0, 0);
	canon_end_resolve(&promised);
	assert_int_equal(call(i, TEXT_READ, r, 64, 0), 0);
	check_text(i, 64, "promised");
	canon_end_drop(&promised);
	call(i, TEXT_DROP, r, 0, 0);
	r = (uint32_t)call(i, PROMISE, 0, 0, 0);
	call(i, TEXT_DROP, r, 0, 0);  // nobody wants it
	assert_true(canon_end_is_over(&promised));
	canon_end_drop(&promised);
	canon_instance_free(i);
}

static void the_host_hears_a_guests_value(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint32_t r = (uint32_t)call(i, PROMISE, 0, 0, 0);
	canon_end_resolve(&promised);
	call(i, TEXT_READ, r, 64, 0);  // so that there is a string
	uint64_t ends = call(i, TEXT_NEW, 0, 0, 0);
	call(i, HEAR, (uint32_t)ends, 0, 0);
	assert_int_equal(call(i, TEXT_WRITE, (uint32_t)(ends >> 32), 64, 0), 0);
	assert_string_equal(text, "promised");
	canon_end_drop(&heard);
	canon_end_drop(&promised);
	canon_instance_free(i);
}

static void a_value_that_is_not_there_traps(void **state UNUSED)
{
	struct canon_instance *i = instance();
	struct canon_trap trap;
	uint64_t ret;
	uint32_t r = (uint32_t)call(i, PROMISE, 0, 0, 0);
	canon_end_resolve(&promised);
	refuses = true;
	assert_int_equal(endpoint_call(&subject, i, TEXT_READ, r, 64, 0, &ret, &trap), TRAP_HOST);
	assert_string_equal(trap.text, "the host has no value");
	canon_instance_free(i);
	assert_int_equal(gones, 1);
	assert_null(promised.shared);
	canon_end_drop(&promised);  // nothing
}

static void an_instance_takes_its_ends_with_it(void **state UNUSED)
{
	struct canon_instance *i = instance();
	call(i, GIVE, 0, 0, 0);
	call(i, PROMISE, 0, 0, 0);
	call(i, TAKE, (uint32_t)call(i, STREAM_NEW, 0, 0, 0), 0, 0);
	canon_instance_free(i);
	assert_int_equal(gones, 3);
}

static void a_million_bytes_leave_nothing_behind(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint64_t blocks = 0;
	for (uint32_t k = 0; k < 20000; k++) {
		uint8_t *room;
		size_t len;
		uint32_t r = (uint32_t)call(i, GIVE, 0, 0, 0);
		assert_int_equal((uint32_t)call(i, STREAM_READ, r, 64, 64), BLOCKED);
		assert_true(canon_end_room(&given, &room, &len));
		canon_end_move(&given, len);
		assert_int_equal((uint32_t)call(i, STREAM_CANCEL_READ, r, 0, 0), 64 << 4 | 2);
		if (k & 1)
			canon_end_drop(&given);
		call(i, STREAM_DROP_READABLE, r, 0, 0);
		if (!(k & 1))
			canon_end_drop(&given);
		if (k == 100)
			blocks = canon_instance_pool(i)->blocks;
	}
	assert_int_equal(canon_instance_pool(i)->blocks, blocks);
	canon_instance_free(i);
}

static void with_its_instance_an_end_may_take_the_one_that_it_met_along(void **state UNUSED)
{
	struct canon_instance *i = instance();
	call(i, TAKE, (uint32_t)call(i, GIVE, 0, 0, 0), 0, 0);
	assert_ptr_equal(canon_end_peer(&taken), &given);
	drops_the_other = true;
	canon_instance_free(i);
	drops_the_other = false;
	assert_int_equal(gones, 1);
	assert_null(given.shared);
}

// A slot of an instance that has written to a few pages and left a read and a write pending.
static struct canon_instance *slot_with_pending(struct canon_image **ret)
{
	struct canon_instance *i;
	struct canon_trap trap = {0};
	struct err e = {0};
	if (!canon_image_new(shard, subject.l.canon, &host, NULL, CANON_INIT_AUTO, NULL, NULL, ret, &trap, &e) || !canon_slot_new(shard, *ret, NULL, &i, &e))
		fail_msg("%s%s", e.text, trap.text);
	changes = gones = 0;
	for (uint32_t at = 0; at < 5; at++)
		call(i, STORE, at * 8192, 7, 0);
	assert_int_equal((uint32_t)call(i, STREAM_READ, (uint32_t)call(i, GIVE, 0, 0, 0), 64, 8), BLOCKED);
	uint64_t ends = call(i, STREAM_NEW, 0, 0, 0);
	assert_int_equal((uint32_t)call(i, STREAM_WRITE, (uint32_t)(ends >> 32), 8192, 6), BLOCKED);
	call(i, TAKE, (uint32_t)ends, 0, 0);
	return i;
}

static void nobody_writes_into_a_slot_between_the_pieces_of_its_reset(void **state UNUSED)
{
	struct canon_image *m;
	struct canon_instance *i = slot_with_pending(&m);
	unsigned pieces = 0;
	if (vm_process_reset_method() == VM_RESET_DISCARD)
		skip();  // that is one piece
	enum vm_reset is;
	while ((is = canon_slot_reset_some(i, 1)) == VM_RESET_MORE) {
		pieces++;
		assert_int_equal(gones, 2);
		assert_true(!given.shared && !taken.shared);
	}
	assert_int_equal(is, VM_RESET_DONE);
	assert_true(pieces >= 4);
	for (uint32_t at = 0; at < 5; at++)
		assert_int_equal(load(i, at * 8192), 0);
	// It serves again, and is left again.
	assert_int_equal((uint32_t)call(i, STREAM_READ, (uint32_t)call(i, GIVE, 0, 0, 0), 64, 8), BLOCKED);
	assert_true(canon_slot_reset(i));
	assert_int_equal(gones, 3);
	canon_instance_free(i);
	canon_image_free(m);
}

static void nobody_reads_from_a_slot_whose_pages_are_given_back(void **state UNUSED)
{
	struct canon_image *m;
	struct canon_instance *i = slot_with_pending(&m);
	assert_true(canon_instance_shed_some(i, SYS_PAGE));
	assert_int_equal(gones, 2);
	assert_true(!given.shared && !taken.shared);
	canon_instance_free(i);
	assert_int_equal(gones, 2);
	canon_image_free(m);
}

// N streams that the host writes and the guest waits for in a set, and as many that nobody has, or that are on their way.
enum { N = 40 };
static uint32_t guest_of_many(struct canon_instance *i, struct canon_end ends[N])
{
	uint32_t set = (uint32_t)call(i, SET_NEW, 0, 0, 0), number = 0;
	for (uint32_t k = 0; k < N; k++) {
		gives = &ends[k];
		uint32_t r = (uint32_t)call(i, GIVE, 0, 0, 0);
		assert_int_equal((uint32_t)call(i, STREAM_READ, r, 64, 8), BLOCKED);
		call(i, JOIN, r, set, 0);
		call(i, FUTURE_NEW, 0, 0, 0);
		assert_true(canon_end_new(i, stream_type, &ops, &taken, &number));
		canon_end_drop(&taken);
	}
	gives = &given;
	return number;
}

static void between_the_pieces_of_an_end_the_host_goes_on(void **state UNUSED)
{
	for (uint32_t most = 1; most < 2000; most *= 3) {
		struct canon_instance *i = instance();
		struct canon_end ends[N];
		uint32_t number = guest_of_many(i, ends), pieces = 1, drops = 0;
		uint64_t all = canon_instance_things(i), left = all;
		assert_int_equal(all, 1 + 2 * N + 3 * N + N);
		for (; canon_instance_empty_some(i, most); pieces++) {
			struct canon_end *e = &ends[pieces * 7 % N];
			uint8_t *room;
			size_t len;
			if (e->shared && canon_end_room(e, &room, &len) && pieces & 1)
				canon_end_move(e, 1);  // an event for the set
			drops += e->shared != NULL;
			canon_end_drop(e);
			canon_end_drop_number(i, pieces == 5 ? number : 0);  // that of one which nobody has
			assert_in_range(left - canon_instance_things(i), 0, most + (pieces == 5));
			left = canon_instance_things(i);
		}
		assert_int_equal(canon_instance_things(i), 0);
		assert_int_equal(gones + drops, N);
		assert_true(pieces >= all / most);
		canon_end_drop_number(i, number);
		canon_instance_free(i);
		assert_int_equal(gones + drops, N);
	}
}

// What was on its way is taken after its turn was over, before all of the others had theirs.
static void what_is_taken_between_the_pieces_ends_as_well(void **state UNUSED)
{
	struct canon_instance *i = instance();
	struct canon_end ends[N];
	uint32_t number = guest_of_many(i, ends);
	assert_true(canon_instance_empty_some(i, 3));
	assert_true(canon_end_take(i, number, &ops, &taken));
	assert_non_null(taken.shared);
	while (canon_instance_empty_some(i, 3)) {
	}
	assert_null(taken.shared);
	assert_int_equal(gones, N + 1);
	canon_instance_free(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_writes_into_the_guests_buffer),
		cmocka_unit_test(the_host_reads_from_the_guests_buffer),
		cmocka_unit_test(the_host_leaves_a_writer),
		cmocka_unit_test(a_stream_comes_back_to_the_host),
		cmocka_unit_test(a_guest_waits_for_the_hosts_value),
		cmocka_unit_test(a_value_is_there_before_it_is_read),
		cmocka_unit_test(the_host_hears_a_guests_value),
		cmocka_unit_test(a_value_that_is_not_there_traps),
		cmocka_unit_test(an_instance_takes_its_ends_with_it),
		cmocka_unit_test(with_its_instance_an_end_may_take_the_one_that_it_met_along),
		cmocka_unit_test(nobody_writes_into_a_slot_between_the_pieces_of_its_reset),
		cmocka_unit_test(nobody_reads_from_a_slot_whose_pages_are_given_back),
		cmocka_unit_test(between_the_pieces_of_an_end_the_host_goes_on),
		cmocka_unit_test(what_is_taken_between_the_pieces_ends_as_well),
		cmocka_unit_test(a_million_bytes_leave_nothing_behind),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e))
		return 1;
	endpoints_load(&subject, ENDPOINTS_WITH_HOST);
	stream_type = subject.l.comp->plan.host_funcs[0].type->result;
	future_type = subject.l.comp->plan.host_funcs[2].type->result;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
