// Atomics and shared memories: every row against a second implementation, wherever its operands lie; threads that add, wait, wake and grow.
// PROGRAM(test_atomics, "comp code vm tier cmocka", "")
#include "guest.h"

// ---- every row ------------------------------------------------------------------------------------------------------------
enum form { LOCAL, TEMP, SLOT, CONSTANT, FORMS };
enum { ADDRESS = 16, OFFSET = 8, FIVE = 5 };

static const uint64_t values[] = {0, FIVE, 0x7f, 0x80, 0xff, 0x100, 0x8000, 0xffff, 0x10005, 0x80000000, 0xffffffff, 0x100000005, 0x8000000000000000, UINT64_MAX,
	0x0123456789abcdef};

static uint64_t below(uint64_t v, unsigned size)
{
	return size == 8 ? v : v & ((UINT64_C(1) << 8 * size) - 1);
}

// What the memory has after it, and what the instruction gives.
static uint64_t expect(const struct wasm_op_info *op, uint64_t old, uint64_t a, uint64_t b, uint64_t *ret)
{
	const char *name = strrchr(wasm_op_text((enum wasm_op)(op - wasm_ops)), '.') + 1;
	unsigned size = op->access;
	uint64_t was = below(old, size), now = was;
	*ret = was;
	if (!strncmp(name, "store", 5))
		*ret = 0, now = a;
	else if (!strncmp(name, "add", 3))
		now = was + a;
	else if (!strncmp(name, "sub", 3))
		now = was - a;
	else if (!strncmp(name, "and", 3))
		now = was & a;
	else if (!strncmp(name, "or", 2))
		now = was | a;
	else if (!strncmp(name, "xor", 3))
		now = was ^ a;
	else if (!strncmp(name, "xchg", 4))
		now = a;
	else if (!strncmp(name, "cmpxchg", 7))
		now = was == below(a, size) ? b : was;
	else
		assert_memory_equal(name, "load", 4);
	return size == 8 ? now : (old & ~below(UINT64_MAX, size)) | below(now, size);
}

static void put_operand(struct buf *to, enum form form, char type, unsigned local)
{
	const char *bits = type == 'l' ? "64" : "32";
	if (form == CONSTANT)
		buf_printf(to, "i%s.const #%u ", bits, local ? FIVE : ADDRESS);
	else
		buf_printf(to, "local.get #%u ", local);
	if (form == TEMP)
		buf_printf(to, "i%s.const #0 i%s.add ", bits, bits);
	else if (form == SLOT)
		buf_printf(to, "block 40 end ");
}

static unsigned operands_of(const struct wasm_op_info *op)
{
	return (unsigned)strcspn(op->sig, ":");
}

// (index, a, b) -> (index, a, result), the first two still on the stack when the instruction runs.
static void put_module(struct buf *to, const struct wasm_op_info *op, const char *memory, char index, enum form fi, enum form fv)
{
	char type = op->sig[operands_of(op) > 1 ? 1 : 2];
	const char *t = type == 'l' ? "7e" : "7f", *i = index == 'l' ? "7e" : "7f";
	buf_printf(to, MODULE TYPES "[ 01 60 03 %s %s %s 03 %s %s %s ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 %s ] " EXPORTS "[ 01 'f' 00 00 ] " CODE "[ 01 [ 00 local.get #0 local.get #1 ", i, t, t,
		i, t, t, memory);
	put_operand(to, fi, index, 0);
	for (unsigned k = 1; k < operands_of(op); k++)
		put_operand(to, fv, type, k);
	buf_printf(to, "%s #%u #%u ", wasm_op_text((enum wasm_op)(op - wasm_ops)), (unsigned)__builtin_ctz(op->access), OFFSET);
	if (!op->sig[operands_of(op) + 1])
		buf_printf(to, "i%s.const #0 ", type == 'l' ? "64" : "32");
	buf_printf(to, "end ] ] ");
}

static void check_values(const struct guest *g, const struct wasm_op_info *op, enum form fv)
{
	bool wide = op->sig[operands_of(op) > 1 ? 1 : 2] == 'l';
	uint8_t *at = vm_memory_base(vm_instance_extern(g->inst, WASM_EXTERN_MEMORY, 0).memory) + ADDRESS + OFFSET;
	for (size_t x = 0; x < ARRAY_LEN(values) * ARRAY_LEN(values); x++) {
		uint64_t old = values[x % ARRAY_LEN(values)], a = values[x / ARRAY_LEN(values)], b = values[(x + x / 7) % ARRAY_LEN(values)], r[16] = {0}, want, now;
		if (fv == CONSTANT)
			a = b = FIVE;
		a = wide ? a : (uint32_t)a;
		b = wide ? b : (uint32_t)b;
		uint64_t after = expect(op, old, a, b, &want);
		memcpy(at, &old, 8);
		enum trap t = guest_call(g, "f", ARGS(ADDRESS, a, b), r);
		memcpy(&now, at, 8);
		if (t || r[0] != ADDRESS || r[1] != a || r[2] != want || now != after)
			fail_msg("%s: 0x%llx with 0x%llx, 0x%llx gives 0x%llx and 0x%llx, not 0x%llx and 0x%llx (%s)", wasm_op_text((enum wasm_op)(op - wasm_ops)), (unsigned long long)old, (unsigned long long)a,
				(unsigned long long)b, (unsigned long long)r[2], (unsigned long long)now, (unsigned long long)want, (unsigned long long)after, trap_text(t));
	}
	if (op->access > 1 && fv == LOCAL) {
		traps(g, TRAP_UNALIGNED_ATOMIC, "f", ADDRESS + 1);
		traps(g, TRAP_UNALIGNED_ATOMIC, "f", 65535);  // before its bounds
	}
}

static void every_row_does_what_it_says_wherever_operands_lie_L3_L10(void **state UNUSED)
{
	static const struct {
		const char *limits;
		char index;
	} memories[] = {{"03 01 01", 'i'}, {"00 01", 'i'}, {"07 01 01", 'l'}};
	for (unsigned op = WASM_OP_I32_ATOMIC_LOAD; op < WASM_OP_COUNT && wasm_ops[op].prefix == 0xfe; op++)
		for (unsigned k = 0; k < ARRAY_LEN(memories) * FORMS; k++) {
			struct guest g;
			enum form fi = k % FORMS, fv = (k + op) % FORMS;
			struct buf text = {0};
			put_module(&text, &wasm_ops[op], memories[k / FORMS].limits, memories[k / FORMS].index, fi, fv);
			assert_true(buf_put_byte(&text, 0));
			guest_init(&g, (const char *)text.ptr);
			buf_release(&text);
			if (fi != CONSTANT)
				traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "f", 65536 - OFFSET);
			check_values(&g, &wasm_ops[op], fi == CONSTANT && fv == LOCAL ? TEMP : fv);
			guest_release(&g);
		}
}

// ---- threads --------------------------------------------------------------------------------------------------------------
// add(n): adds 1 n times to the word at 0. wait(t): waits at 8 + offset, where 0 is expected, t ns. wake(n). size, grow, load(at): of the memory. spin: for ever.
#define AGENT                                                                                                                                                                                                                                                                                           \
	MODULE TYPES "[ 04 60 01 7f 01 7f 60 01 7e 01 7f 60 00 01 7f 60 00 00 ] " IMPORTS "[ 01 'm' 'memory' 02 03 01 10 ] " FUNCS "[ 08 00 01 00 02 00 00 03 01 ] " EXPORTS "[ 08 'add' 00 00 'wait' 00 01 'wake' 00 02 'size' 00 03 'grow' 00 04 'load' 00 05 'spin' 00 06 'other' 00 07 ] " CODE "[ 08 " \
				 "[ 00 loop 40 i32.const #0 i32.const #1 i32.atomic.rmw.add #2 #0 drop local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] "                                                                                                                                 \
				 "[ 00 i32.const #4 i32.const #0 local.get #0 memory.atomic.wait32 #2 #4 end ] "                                                                                                                                                                                                        \
				 "[ 00 i32.const #4 local.get #0 memory.atomic.notify #2 #4 end ] "                                                                                                                                                                                                                     \
				 "[ 00 memory.size 00 end ] [ 00 local.get #0 memory.grow 00 end ] [ 00 local.get #0 i32.atomic.load #2 #0 end ] [ 00 loop 40 br #0 end end ] "                                                                                                                                         \
				 "[ 00 i32.const #16 i64.const #1 local.get #0 memory.atomic.wait64 #3 #0 end ] ] "

struct agent {
	struct guest g;
	struct vm_shard *shard;
	const char *name;
	uint64_t arg;
	struct vm_budget budget;
	uint64_t result;
	enum trap trap;
};

static struct vm_memory *memory;  // of all agents

// On the thread that it will be on. The first one makes the memory.
static void agent_begin(struct agent *a, struct vm_shard *of_thread)
{
	static const struct wasm_memory_type type = {.limits = {.min = 1, .max = 16, .has_max = true, .shared = true}, .page_shift = 16};
	struct vm_limits limits = ample;
	struct err e = {0};
	limits.may_block = true;
	a->shard = of_thread;
	if ((!a->shard && !vm_shard_new(&a->shard, &e)) || !vm_store_new(a->shard, &limits, &a->g.st, &e) ||
		(memory ? !vm_memory_share(a->g.st, memory) : !vm_memory_new(a->g.st, &type, &memory, &e)))
		fail_msg("%s", e.text);
	struct vm_extern x = {.kind = WASM_EXTERN_MEMORY, .memory = memory};
	build_text(&a->g.bytes, AGENT);
	guest_instantiate(&a->g, &x, 1);
	assert_int_equal(vm_instance_initialize(a->g.inst), TRAP_NONE);
}

static void agent_end(struct agent *a)
{
	guest_release(&a->g);
	if (a->shard != shard)
		vm_shard_free(a->shard);
}

static void agent_run(void *arg)
{
	struct agent *a = arg;
	uint64_t r[16] = {0};
	a->trap = guest_call(&a->g, a->name, (const uint64_t[16]){a->arg}, r);
	a->result = r[0];
}

static void agent_call(struct agent *a)
{
	struct vm_fiber *f = vm_fiber_new(a->shard, agent_run, a);
	assert_non_null(f);
	vm_fiber_set_budget(f, a->budget);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_fiber_free(f);
}

static void *agent_thread(void *arg)
{
	struct agent *a = arg;
	agent_begin(a, NULL);
	agent_call(a);
	agent_end(a);
	return NULL;
}

static void two_threads_lose_no_addition(void **state UNUSED)
{
	struct agent a = {.budget = VM_BUDGET_NONE, .name = "add", .arg = 300000}, b = a;
	struct sys_thread t;
	agent_begin(&a, shard);
	assert_int_equal(sys_thread_new(&t, agent_thread, &b), 0);
	agent_call(&a);
	sys_thread_join(&t);
	assert_true(!a.trap && !b.trap);
	gives(&a.g, 600000, "load", 0);
	agent_end(&a);
	memory = NULL;
}

static void who_waits_is_woken_or_late_or_finds_another_value(void **state UNUSED)
{
	struct agent a = {.budget = VM_BUDGET_NONE}, b = {.budget = VM_BUDGET_NONE, .name = "wait", .arg = UINT64_MAX};
	struct sys_thread t;
	agent_begin(&a, shard);
	gives(&a.g, 2, "wait", 0);
	gives(&a.g, 2, "wait", 20000000);
	gives(&a.g, 1, "other", UINT64_MAX);
	gives(&a.g, 0, "wake", 1);
	assert_int_equal(sys_thread_new(&t, agent_thread, &b), 0);
	while (!result_of(&a.g, "wake", ARGS(0)) && !result_of(&a.g, "wake", ARGS(7)))
		;
	sys_thread_join(&t);
	assert_int_equal(b.trap, TRAP_NONE);
	assert_int_equal(b.result, 0);
	gives(&a.g, 0, "wake", 7);
	agent_end(&a);
	memory = NULL;
}

static void who_waits_ends_by_its_deadline(void **state UNUSED)
{
	struct agent a = {.budget = {UINT64_MAX, sys_now_ns() + 60000000}, .name = "wait", .arg = UINT64_MAX};
	agent_begin(&a, shard);
	agent_call(&a);
	assert_int_equal(a.trap, TRAP_DEADLINE);
	gives(&a.g, 0, "wake", 1);  // nobody is left there
	agent_end(&a);
	memory = NULL;
}

static void what_one_thread_grows_all_have(void **state UNUSED)
{
	struct agent a = {.budget = VM_BUDGET_NONE}, b = {.budget = VM_BUDGET_NONE, .name = "grow", .arg = 1};
	struct sys_thread t;
	agent_begin(&a, shard);
	traps(&a.g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 65536);
	assert_int_equal(sys_thread_new(&t, agent_thread, &b), 0);
	while (guest_call(&a.g, "load", ARGS(65536), (uint64_t[16]){0}) != TRAP_NONE)
		;
	sys_thread_join(&t);
	assert_int_equal(b.result, 1);
	gives(&a.g, 2, "size", 0);
	gives(&a.g, UINT32_MAX, "grow", 15);
	gives(&a.g, 2, "grow", 14);
	gives(&a.g, 16, "size", 0);
	agent_end(&a);
	memory = NULL;
}

static void a_store_with_a_shared_memory_is_no_image(void **state UNUSED)
{
	struct agent a = {.budget = VM_BUDGET_NONE};
	struct vm_image *image;
	struct err e = {0};
	agent_begin(&a, shard);
	assert_false(vm_image_capture(a.g.st, &image, &e));
	assert_non_null(strstr(e.text, "shared memory"));
	agent_end(&a);
	memory = NULL;
}

// In a server, and where nobody else could wake.
#define WAITER                                                                                                                                           \
	MODULE TYPES "[ 01 60 00 01 7f ] " FUNCS "[ 02 00 00 ] " MEMORIES "[ 02 03 01 01 00 01 ] " EXPORTS "[ 02 'shared' 00 00 'own' 00 01 ] " CODE "[ 02 " \
				 "[ 00 i32.const #0 i32.const #0 i64.const #0 memory.atomic.wait32 #2 #0 end ] [ 00 i32.const #0 i32.const #0 i64.const #0 memory.atomic.wait32 #66 #1 #0 end ] ] "

static void who_may_not_block_traps(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, WAITER);
	traps(&g, TRAP_ATOMIC_WAIT, "shared", 0);
	traps(&g, TRAP_EXPECTED_SHARED_MEMORY, "own", 0);
	guest_release(&g);
}

static int setup(void **state)
{
	features |= WASM_FEATURE_THREADS;
	return guest_setup(state);
}

static int setup_poisoned(void **state)
{
	poison = true;
	return setup(state);
}

int main(void)
{
	const struct CMUnitTest rows[] = {cmocka_unit_test(every_row_does_what_it_says_wherever_operands_lie_L3_L10)};
	const struct CMUnitTest threads[] = {
		cmocka_unit_test(two_threads_lose_no_addition),
		cmocka_unit_test(who_waits_is_woken_or_late_or_finds_another_value),
		cmocka_unit_test(who_waits_ends_by_its_deadline),
		cmocka_unit_test(what_one_thread_grows_all_have),
		cmocka_unit_test(a_store_with_a_shared_memory_is_no_image),
		cmocka_unit_test(who_may_not_block_traps),
	};
	return cmocka_run_group_tests(rows, setup, guest_teardown) + cmocka_run_group_tests(threads, setup, guest_teardown) +
		cmocka_run_group_tests(rows, setup_poisoned, guest_teardown) + cmocka_run_group_tests(rows, guest_setup_without_cells, guest_teardown) +
		cmocka_run_group_tests(threads, guest_setup_without_cells, guest_teardown);
}
