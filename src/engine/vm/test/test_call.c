// Calls in and out, traps, instances. Rows: L5, L26, L34, L38, L39, L40, L42, L44, L45, L47.
#include "guests.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/vm_int.h"

static struct vm_shard *shard;
static struct guest guest;

static int setup(void **state UNUSED)
{
	struct err e = {0};
	if (!vm_shard_new(&shard, &e))
		return -1;
	guest_init(&guest, 1, 10);
	return 0;
}

static int teardown(void **state UNUSED)
{
	guest_release(&guest);
	vm_shard_free(shard);
	return 0;
}

static const struct vm_limits tolerant = {.memory = 1u << 30, .table_elements = 1000000, .stack = 1u << 20, .survives_traps = true};

static void passes_parameters_in_registers_and_on_the_stack(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t r[3];
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	assert_int_equal(guest_call(inst, G_ADD, 40, 2, r), TRAP_NONE);
	assert_int_equal(r[0], 42);
	uint64_t ten[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	assert_int_equal(vm_call(st, guest_func(inst, G_WEIGH), ten, r), TRAP_NONE);
	assert_int_equal(r[0], 55);
	ten[9] = 2;
	assert_int_equal(vm_call(st, guest_func(inst, G_WEIGH), ten, r), TRAP_NONE);
	assert_int_equal(r[0], 65);
	double d = 1.5;
	float f = 0.25f;
	uint64_t mixed[3] = {0, 7, 0};
	memcpy(&mixed[0], &d, 8);
	memcpy(&mixed[2], &f, 4);
	assert_int_equal(vm_call(st, guest_func(inst, G_MIX), mixed, r), TRAP_NONE);
	memcpy(&d, r, 8);
	assert_true(d == 8.75);
	vm_store_free(st);
}

static void returns_many_results_by_pointer(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t arg = 5, r[3];
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	assert_int_equal(vm_call(st, guest_func(inst, G_THREE), &arg, r), TRAP_NONE);
	assert_int_equal(r[0], 5);
	assert_int_equal(r[1], 10);
	assert_int_equal(r[2], (uint32_t)-5);
	vm_store_free(st);
}

static enum trap host_three(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	double d = 0;
	for (int i = 0; i < 12; i++)
		d += (double)(i + 1) * (double)args[i];
	results[0] = (uint64_t)d;
	results[1] = args[11];
	results[2] = args[12];
	return TRAP_NONE;
}

static void calls_host_functions_with_stack_parameters_and_many_results(void **state UNUSED)
{
	struct vm_store *st;
	struct err e = {0};
	struct wasm_valtype params[13], results[3] = {{.kind = WASM_I64}, {.kind = WASM_I32}, {.kind = WASM_F32}};
	for (int i = 0; i < 13; i++)
		params[i] = (struct wasm_valtype){.kind = i == 12 ? WASM_F32 : WASM_I32};
	struct wasm_func_type type = {13, 3, params, results};
	uint32_t f;
	uint64_t args[13] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0x3f800000}, r[3];
	assert_true(vm_store_new(shard, NULL, &st, &e));
	assert_true(vm_host_func_new(st, &type, host_three, NULL, "three", &f, &e));
	for (int i = 0; i < 3; i++) {
		args[11] = (uint64_t)i;
		assert_int_equal(vm_call(st, f, args, r), TRAP_NONE);
		assert_int_equal(r[0], 66 + 12 * i);
		assert_int_equal(r[1], i);
		assert_int_equal(r[2], 0x3f800000);
	}
	vm_store_free(st);
}

static void goes_through_a_guest_into_the_host_and_back(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t r;
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	assert_int_equal(guest_call(inst, G_THROUGH, guest_import_offset(&guest), 21, &r), TRAP_NONE);
	assert_int_equal(r, 43);
	vm_store_free(st);
}

static enum trap host_traps(struct vm_call *call, const uint64_t *args UNUSED, uint64_t *results UNUSED)
{
	return vm_trapf(call->shard, TRAP_HOST, "of %d reasons", 3);
}

static void hands_a_host_trap_to_the_entry_with_its_message(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	guest_make(shard, &guest, host_traps, NULL, NULL, &st, &inst);
	assert_int_equal(guest_call(inst, G_THROUGH, guest_import_offset(&guest), 21, NULL), TRAP_HOST);
	const struct vm_trap_info *info = vm_trap_info(shard);
	assert_string_equal(info->message, "of 3 reasons");
	assert_int_equal(info->frames.n, 1);
	assert_int_equal(info->frames.list[0].func, G_THROUGH);
	assert_ptr_equal(info->frames.list[0].module, guest.mod);
	// L67, C41: dead for ever
	assert_int_equal(guest_call(inst, G_ADD, 1, 2, NULL), TRAP_POISONED);
	vm_store_free(st);
}

// L39: the entry has no guest frame at all.
static void traps_from_a_host_function_called_directly(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	guest_make(shard, &guest, host_traps, NULL, &tolerant, &st, &inst);
	assert_int_equal(guest_call(inst, G_IMPORT, 1, 0, NULL), TRAP_HOST);
	assert_int_equal(vm_trap_info(shard)->frames.n, 0);
	vm_store_free(st);
}

// L26, L40: everything behind the length traps, up to the last byte an index and an offset can reach.
static void turns_faults_of_registered_accesses_into_traps(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t r;
	guest_make(shard, &guest, NULL, NULL, &tolerant, &st, &inst);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(guest_call(inst, G_LOAD, 65532, 0, &r), TRAP_NONE);
		assert_int_equal(guest_call(inst, G_LOAD, 65533, 0, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
		assert_int_equal(guest_call(inst, G_LOAD, 0xffffffff, 0, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
		assert_int_equal(vm_trap_info(shard)->frames.address, 0xffffffff);
		assert_int_equal(guest_call(inst, G_STORE, 65536, 1, NULL), TRAP_MEMORY_OUT_OF_BOUNDS);
		assert_int_equal(guest_call(inst, G_UNREACHABLE, 0, 0, NULL), TRAP_UNREACHABLE);
		assert_int_equal(guest_call(inst, G_DIVIDE, 1, 0, &r), TRAP_DIVIDE_BY_ZERO);
		assert_int_equal(guest_call(inst, G_DIVIDE, 6, 3, &r), TRAP_NONE);
		assert_int_equal(r, 2);
	}
	vm_store_free(st);
}

static int dies_of(enum guest_func f, uint64_t a)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct vm_store *st;
		struct vm_instance *inst;
		struct err e = {0};
		struct guest small;  // without pages: cells are not for children
		guest_init(&small, 0, 10);
		if (!guest_allocate(shard, &small, NULL, NULL, NULL, &st, &inst, &e))
			_exit(1);
		if (f == G_COUNT)
			*(volatile int *)a = 1;
		else
			guest_call(inst, f, a, 0, NULL);
		_exit(0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

// L40, U34: neither a fault in host code nor an unregistered one in guest code is a guest's trap.
static void leaves_faults_of_our_own_alone(void **state UNUSED)
{
	assert_int_equal(dies_of(G_WILD, 16), SIGSEGV);
	assert_int_equal(dies_of(G_COUNT, 16), SIGSEGV);
	assert_int_equal(dies_of(G_ADD, 16), 0);
}

static void ends_endless_recursion(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	guest_make(shard, &guest, NULL, NULL, &tolerant, &st, &inst);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(guest_call(inst, G_RECURSE, 0, 0, NULL), TRAP_STACK_OVERFLOW);
		assert_int_equal(vm_trap_info(shard)->frames.n, VM_BACKTRACE_MAX);  // L38
		assert_true(vm_trap_info(shard)->frames.more);
	}
	vm_store_free(st);
}

struct nesting {
	struct vm_instance *inst;
	int depth, left;
	enum trap seen;
};

static enum trap host_nests(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	struct nesting *n = call->data;
	uint64_t r = 0;
	if (n->left-- <= 0)
		return guest_call(n->inst, G_UNREACHABLE, 0, 0, NULL);
	enum trap t = guest_call(n->inst, G_THROUGH, guest_import_offset(&guest), args[0] + 1, &r);
	results[0] = r;
	n->depth++;  // this frame was not abandoned (L44)
	if (t == TRAP_UNREACHABLE)
		n->seen = t;
	return t;
}

static void unwinds_one_entry_after_the_other(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct nesting n = {.left = 5};
	guest_make(shard, &guest, host_nests, &n, NULL, &st, &inst);
	n.inst = inst;
	assert_int_equal(guest_call(inst, G_THROUGH, guest_import_offset(&guest), 0, NULL), TRAP_UNREACHABLE);
	assert_int_equal(n.depth, 5);
	assert_int_equal(n.seen, TRAP_UNREACHABLE);
	// The innermost report is kept, with the frames of all entries.
	const struct vm_trap_info *info = vm_trap_info(shard);
	assert_int_equal(info->frames.list[0].func, G_UNREACHABLE);
	assert_int_equal(info->frames.n, 7);
	vm_store_free(st);
}

static void ends_endless_recursion_through_the_host(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct nesting n = {.left = 1 << 30};
	guest_make(shard, &guest, host_nests, &n, NULL, &st, &inst);
	n.inst = inst;
	assert_int_equal(guest_call(inst, G_THROUGH, guest_import_offset(&guest), 0, NULL), TRAP_STACK_OVERFLOW);
	assert_true(n.depth > 100);
	vm_store_free(st);
}

static void grows_memory_up_to_its_limits(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	uint64_t r;
	limits.memory = 5 * 65536;
	guest_make(shard, &guest, NULL, NULL, &limits, &st, &inst);
	uint64_t before = vm_store_memory_used(st);
	assert_int_equal(guest_call(inst, G_GROW, 3, 0, &r), TRAP_NONE);
	assert_int_equal(r, 1);
	assert_int_equal(vm_store_memory_used(st), before + 3 * 65536);
	assert_int_equal(guest_call(inst, G_STORE, 4 * 65536 - 4, 7, NULL), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_GROW, 1, 0, &r), TRAP_NONE);
	assert_int_equal((uint32_t)r, UINT32_MAX);  // U11: tables and memories are one account
	assert_int_equal(guest_call(inst, G_GROW, 100, 0, &r), TRAP_NONE);
	assert_int_equal((uint32_t)r, UINT32_MAX);
	assert_int_equal(guest_call(inst, G_LOAD, 4 * 65536, 0, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	vm_store_free(st);
}

// L31: overlaps larger than a piece, both ways.
static void copies_long_overlapping_ranges(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct guest big;
	guest_init(&big, 256, 256);
	guest_make(shard, &big, NULL, NULL, NULL, &st, &inst);
	struct vm_memory *m = vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory;
	uint32_t *words = (uint32_t *)vm_memory_base(m);
	for (int way = 0; way < 2; way++) {
		uint64_t from = way ? MIB : 0, to = way ? 0 : MIB;
		for (uint32_t i = 0; i < 4 * MIB; i++)
			words[i] = i;
		assert_int_equal(vm__libcalls.memory_copy(vm_instance_vmctx(inst), 0, 0, to, from, 15 * MIB), TRAP_NONE);
		for (uint32_t i = 0; i < 15 * MIB / 4; i++)
			assert_true(words[to / 4 + i] == from / 4 + i);
	}
	assert_int_equal(vm__libcalls.memory_copy(vm_instance_vmctx(inst), 0, 0, 0, 1, 16 * MIB), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(vm__libcalls.memory_copy(vm_instance_vmctx(inst), 0, 0, 16 * MIB, 16 * MIB, 0), TRAP_NONE);
	assert_int_equal(vm__libcalls.memory_copy(vm_instance_vmctx(inst), 0, 0, 16 * MIB + 1, 0, 0), TRAP_MEMORY_OUT_OF_BOUNDS);
	vm_store_free(st);
	guest_release(&big);
}

static void checks_the_types_of_imports(void **state UNUSED)
{
	struct vm_store *st;
	struct err e = {0};
	struct vm_extern x = {.kind = WASM_EXTERN_FUNC};
	assert_true(vm_store_new(shard, NULL, &st, &e));
	assert_true(vm_host_func_new(st, &guest.types[G_ADD].func, guest_double, NULL, "import", &x.func, &e));
	assert_false(vm_imports_check(st, guest.mod, &x, 1, &e));
	assert_int_equal(e.code, ERR_LINK);
	assert_memory_equal(e.text, "incompatible import type", 24);
	vm_store_free(st);
}

static bool tenant(struct err *e)
{
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t r;
	if (!guest_allocate(shard, &guest, NULL, NULL, NULL, &st, &inst, e))
		return false;
	assert_int_equal(vm_instance_initialize(inst), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_ADD, 1, 2, &r), TRAP_NONE);
	assert_int_equal(r, 3);
	vm_store_free(st);
	return true;
}

// L29: whatever fails on the way, nothing is left behind and the next one works.
static void survives_every_failing_allocation_and_system_call(void **state UNUSED)
{
	bool done = false;
	for (uint64_t n = 1; !done && n < 1000; n++) {
		struct err e = {0};
		mem_fail_nth(n);
		done = tenant(&e);
		mem_fail_nth(0);
		assert_true(done || e.code != ERR_NONE);
		struct err e2 = {0};
		assert_true(tenant(&e2));
	}
	assert_true(done);
	done = false;
	for (uint64_t n = 1; !done && n < 1000; n++) {
		struct err e = {0};
		sys_fail_nth(n);
		done = tenant(&e);
		sys_fail_nth(0);
		struct err e2 = {0};
		assert_true(tenant(&e2));
	}
	assert_true(done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_parameters_in_registers_and_on_the_stack),
		cmocka_unit_test(returns_many_results_by_pointer),
		cmocka_unit_test(calls_host_functions_with_stack_parameters_and_many_results),
		cmocka_unit_test(goes_through_a_guest_into_the_host_and_back),
		cmocka_unit_test(hands_a_host_trap_to_the_entry_with_its_message),
		cmocka_unit_test(traps_from_a_host_function_called_directly),
		cmocka_unit_test(turns_faults_of_registered_accesses_into_traps),
		cmocka_unit_test(leaves_faults_of_our_own_alone),
		cmocka_unit_test(ends_endless_recursion),
		cmocka_unit_test(unwinds_one_entry_after_the_other),
		cmocka_unit_test(ends_endless_recursion_through_the_host),
		cmocka_unit_test(grows_memory_up_to_its_limits),
		cmocka_unit_test(copies_long_overlapping_ranges),
		cmocka_unit_test(checks_the_types_of_imports),
		cmocka_unit_test(survives_every_failing_allocation_and_system_call),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
