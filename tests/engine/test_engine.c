// Compiled guests against the runtime: stacks, traps and their unwinding. Rows: L37, L38, L39, L42, L44.
// PROGRAM(test_engine, "comp code vm tier cmocka", "")
#include "guest.h"

#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>

// Functions of type (i32) -> (i32); the import is function 0 of that type; a memory of one page, at most 16.
#define MODULE_OF(funcs, exports, bodies) \
	MODULE TYPES "[ 01 60 01 7f 01 7f ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS funcs MEMORIES "[ 01 01 01 10 ] " EXPORTS exports CODE bodies

static enum trap host_same(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	results[0] = args[0];
	return TRAP_NONE;
}

#define LOOP_FOR_EVER "[ 00 loop 40 br #0 end local.get #0 end ] "

static void ends_an_endless_loop_by_its_budget(void **state UNUSED)
{
	struct guest g;
	guest_init_host(&g, MODULE_OF("[ 01 00 ] ", "[ 01 'f' 00 01 ] ", "[ 01 " LOOP_FOR_EVER "] "), host_same, NULL, NULL);
	assert_int_equal(guest_on_fiber(&g, "f", ARGS(0), NULL, NULL, (struct vm_budget){20000000, UINT64_MAX}), TRAP_CPU_BUDGET);
	assert_true(vm_trap_info(shard)->frames.n >= 1);
	assert_int_equal(vm_trap_info(shard)->frames.list[0].func, 1);
	assert_ptr_equal(vm_trap_info(shard)->frames.list[0].module, g.mod);
	guest_release(&g);
}

// L37: frames of a few bytes, of pages, and of more than a stack has.
static void ends_endless_recursion_with_frames_of_any_size_L37(void **state UNUSED)
{
	static const char *const locals[] = {"00 ", "01 #1 7e ", "01 #100 7e ", "01 #5000 7e ", "01 #20000 7e ", "01 #49000 7e "};
	for (size_t i = 0; i < ARRAY_LEN(locals); i++) {
		struct buf text = {0};
		struct guest g;
		buf_printf(&text, "%s%s%s", MODULE_OF("[ 01 00 ] ", "[ 01 'f' 00 01 ] ", "[ 01 [ "), locals[i], "local.get #0 call #1 i32.const #1 i32.add end ] ] ");
		assert_true(buf_put_byte(&text, 0));
		guest_init_host(&g, (const char *)text.ptr, host_same, NULL, &ample);
		for (int k = 0; k < 3; k++) {
			traps(&g, TRAP_STACK_OVERFLOW, "f", 0);
			assert_int_equal(guest_on_fiber(&g, "f", ARGS(0), NULL, NULL, VM_BUDGET_NONE), TRAP_STACK_OVERFLOW);
			assert_true(vm_trap_info(shard)->frames.n >= 1);
		}
		guest_release(&g);
		buf_release(&text);
	}
}

// L37: what is passed on the stack counts: a function of 900 parameters that calls itself.
static void ends_endless_recursion_with_parameters_on_the_stack_L37(void **state UNUSED)
{
	enum { PARAMS = 900 };
	struct buf text = {0};
	struct guest g;
	buf_printf(&text, MODULE TYPES "[ 02 60 01 7f 01 7f 60 #%d ", PARAMS);
	for (int i = 0; i < PARAMS; i++)
		buf_printf(&text, "7e ");
	buf_printf(&text, "01 7f ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 02 00 01 ] " EXPORTS "[ 01 'f' 00 01 ] " CODE "[ 02 [ 00 ");
	for (int i = 0; i < PARAMS; i++)
		buf_printf(&text, "i64.const #%d ", i);
	buf_printf(&text, "call #2 end ] [ 00 ");
	for (int i = 0; i < PARAMS; i++)
		buf_printf(&text, "local.get #%d ", i);
	buf_printf(&text, "call #2 end ] ] ");
	assert_true(buf_put_byte(&text, 0));
	guest_init_host(&g, (const char *)text.ptr, host_same, NULL, &ample);
	for (int k = 0; k < 3; k++) {
		traps(&g, TRAP_STACK_OVERFLOW, "f", 0);
		assert_int_equal(guest_on_fiber(&g, "f", ARGS(0), NULL, NULL, VM_BUDGET_NONE), TRAP_STACK_OVERFLOW);
	}
	guest_release(&g);
	buf_release(&text);
}

// A host function that calls the guest again, with a trap at the bottom.
struct nest {
	struct guest *g;
	int returned;
};

static enum trap host_nests(struct vm_call *c, const uint64_t *args, uint64_t *results)
{
	struct nest *n = c->data;
	enum trap t = guest_call(n->g, args[0] ? "down" : "trap", ARGS(args[0] - 1), results);
	n->returned++;
	return t;
}

static void unwinds_entry_by_entry_L44(void **state UNUSED)
{
	struct guest g;
	struct nest n = {&g, 0};
	guest_init_host(&g,
		MODULE_OF("[ 02 00 00 ] ", "[ 02 'down' 00 01 'trap' 00 02 ] ", "[ 02 [ 00 local.get #0 call #0 i32.const #1 i32.add end ] [ 00 unreachable end ] ] "),
		host_nests, &n, &ample);
	for (int i = 0; i < 2; i++) {
		n.returned = 0;
		assert_int_equal(i ? guest_on_fiber(&g, "down", ARGS(9), NULL, NULL, VM_BUDGET_NONE) : guest_call(&g, "down", ARGS(9), (uint64_t[1]){0}),
			TRAP_UNREACHABLE);
		assert_int_equal(n.returned, 10);
		if (!i) {
			assert_int_equal(vm_trap_info(shard)->frames.n, 11);
			assert_int_equal(vm_trap_info(shard)->frames.list[0].func, 2);
			assert_int_equal(vm_trap_info(shard)->frames.list[10].func, 1);
		}
	}
	guest_release(&g);
}

// A host function that traps, waits to be killed, or ends the call.
struct deed {
	enum trap trap;  // TRAP_KILLED: park
	int entered, left;
};

static enum trap host_does(struct vm_call *c, const uint64_t *args, uint64_t *results)
{
	struct deed *d = c->data;
	d->entered++;
	enum trap t = d->trap;
	if (t == TRAP_KILLED && vm_fiber_park(c->shard) == VM_KILLED)
		t = vm_fiber_kill_reason(vm_fiber_current(c->shard));
	d->left++;
	results[0] = args[0];
	return t == TRAP_HOST ? vm_trapf(c->shard, TRAP_HOST, "enough") : t;
}

// Each way into the host: called, tail-called, tail-called with the caller's frame already replaced, through a table, through a reference,
// tail-called through both, exported as it is.
#define WAYS                                                                                                                                                                                   \
	MODULE TYPES "[ 01 60 01 7f 01 7f ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 07 00 00 00 00 00 00 00 ] " TABLES "[ 01 70 00 01 ] " EXPORTS                                                 \
				 "[ 08 'call' 00 01 'tail' 00 02 'tails' 00 03 'table' 00 04 'ref' 00 05 'tail-table' 00 06 'tail-ref' 00 07 'import' 00 00 ] " ELEMS "[ 01 00 i32.const #0 end 01 00 ] " CODE \
				 "[ 07 [ 00 local.get #0 call #0 end ] [ 00 local.get #0 return_call #0 end ] [ 00 local.get #0 return_call #2 end ] "                                                         \
				 "[ 00 local.get #0 i32.const #0 call_indirect #0 #0 end ] [ 00 local.get #0 ref.func #0 call_ref #0 end ] "                                                                   \
				 "[ 00 local.get #0 i32.const #0 return_call_indirect #0 #0 end ] [ 00 local.get #0 ref.func #0 return_call_ref #0 end ] ] "
static const char *const ways[] = {"call", "tail", "tails", "table", "ref", "tail-table", "tail-ref", "import"};

static void one_way(const char *name, enum trap trap, bool on_fiber)
{
	struct deed d = {.trap = trap};
	struct guest g;
	guest_init_host(&g, WAYS, host_does, &d, &ample);
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	struct guest_job j = {.g = &g, .name = name, .args = ARGS(5)};
	struct vm_fiber *f = NULL;
	if (on_fiber) {
		f = vm_fiber_new(shard, guest_run_job, &j);
		enum vm_fiber_state s = vm_fiber_resume(f, VM_RESUMED);
		if (trap == TRAP_KILLED) {
			assert_int_equal(s, VM_FIBER_PARKED);
			vm_fiber_kill(f, TRAP_KILLED);
			s = vm_fiber_resume(f, VM_KILLED);
		}
		assert_int_equal(s, VM_FIBER_DONE);
	} else {
		guest_run_job(&j);
	}
	if (j.trap != trap || d.entered != 1 || d.left != 1)
		fail_msg("%s: %s instead of %s, %d in, %d out", name, trap_text(j.trap), trap_text(trap), d.entered, d.left);
	if (trap == TRAP_NONE)
		assert_int_equal(j.result[0], 5);
	if (trap == TRAP_HOST)
		assert_string_equal(vm_trap_info(shard)->message, "enough");
	// The store was told to survive: the next call works.
	d.trap = TRAP_NONE;
	gives(&g, 7, name, 7);
	vm_fiber_free(f);
	guest_release(&g);
}

static void a_trap_in_the_host_ends_the_entry_however_it_was_called_L39(void **state UNUSED)
{
	static const enum trap all[] = {TRAP_NONE, TRAP_HOST, TRAP_EXIT, TRAP_KILLED};
	for (size_t w = 0; w < ARRAY_LEN(ways); w++)
		for (size_t t = 0; t < ARRAY_LEN(all); t++)
			for (int fiber = all[t] == TRAP_KILLED; fiber < 2; fiber++)
				one_way(ways[w], all[t], fiber);
}

// L39: a start function that is a host function, calls one, tail-calls one.
static void a_trap_in_a_start_function_is_its_entrys_L39(void **state UNUSED)
{
	static const char *const starts[] = {
		MODULE TYPES "[ 01 60 00 00 ] " IMPORTS "[ 01 00 00 00 00 ] " START "[ #0 ] ",
		MODULE TYPES "[ 01 60 00 00 ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 01 00 ] " START "[ 01 ] " CODE "[ 01 [ 00 call #0 end ] ] ",
		MODULE TYPES "[ 01 60 00 00 ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 01 00 ] " START "[ 01 ] " CODE "[ 01 [ 00 return_call #0 end ] ] ",
	};
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct deed d = {.trap = TRAP_HOST};
		struct guest g;
		guest_init_host(&g, starts[i], host_does, &d, NULL);
		assert_int_equal(vm_instance_initialize(g.inst), TRAP_HOST);
		assert_int_equal(d.left, 1);
		assert_true(vm_trap_info(shard)->frames.n <= 1);  // none is a valid answer
		assert_true(vm_store_is_poisoned(g.st));
		guest_release(&g);
	}
}

static bool is_mapping(const void *at, const char *access)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;
	while (!found && fgets(line, sizeof line, f)) {
		unsigned long from, to;
		char how[5];
		if (sscanf(line, "%lx-%lx %4s", &from, &to, how) == 3 && from <= (uintptr_t)at && (uintptr_t)at < to)
			found = strncmp(how, access, 3) == 0;
	}
	fclose(f);
	return found;
}

// L42: the handlers' stack is large enough for what the processor saves, has a guard below and is none of the guest's memory.
static void handlers_have_a_stack_of_their_own_L42(void **state UNUSED)
{
	stack_t s;
	assert_int_equal(sigaltstack(NULL, &s), 0);
	assert_int_equal(s.ss_flags & SS_DISABLE, 0);
	assert_true(s.ss_size >= 64 * 1024 && s.ss_size >= getauxval(AT_MINSIGSTKSZ) + 32 * 1024);
	assert_true(is_mapping(s.ss_sp, "rw-") && is_mapping((char *)s.ss_sp + s.ss_size - 1, "rw-"));
	assert_true(is_mapping((char *)s.ss_sp - 1, "---"));
}

// ---- tail calls between instances ---------------------------------------------------------------------------------
// even(n, a, b … i), with parameters on the stack: goes on to odd(n - 1, a + 1, b, c) of the other instance, which goes on to even(n - 1, a, b, c, 9 …), or
// traps at 0. go(n): calls even once, and then looks at its own memory.
#define EVEN                                                                                                                                                                                                                                              \
	MODULE TYPES "[ 03 60 0a 7f 7e 7e 7e 7e 7e 7e 7e 7e 7e 01 7e 60 04 7f 7e 7e 7e 01 7e 60 01 7f 01 7e ] " FUNCS "[ 02 00 02 ] " TABLES "[ 01 70 00 01 ] " MEMORIES "[ 01 00 01 ] " EXPORTS "[ 03 'even' 00 00 'go' 00 01 'table' 01 00 ] " CODE "[ 02 " \
				 "[ 00 local.get #0 i32.eqz if 40 local.get #1 local.get #2 i64.add local.get #9 i64.add return end "                                                                                                                                     \
				 "local.get #0 i32.const #1 i32.sub local.get #1 i64.const #1 i64.add local.get #2 local.get #3 i32.const #0 return_call_indirect #1 #0 end ] "                                                                                           \
				 "[ 00 i32.const #8 i64.const #1000000 i64.store #3 #0 local.get #0 i64.const #0 i64.const #200 i64.const #3 i64.const #4 i64.const #5 i64.const #6 "                                                                                     \
				 "i64.const #7 i64.const #8 i64.const #9 call #0 i32.const #8 i64.load #3 #0 i64.add end ] ] "
#define ODD                                                                                                                                                                                                                                                \
	MODULE TYPES "[ 02 60 0a 7f 7e 7e 7e 7e 7e 7e 7e 7e 7e 01 7e 60 04 7f 7e 7e 7e 01 7e ] " IMPORTS "[ 02 'm' 'even' 00 00 'm' 'table' 01 70 00 01 ] " FUNCS "[ 01 01 ] " MEMORIES "[ 01 00 01 ] " ELEMS "[ 01 00 i32.const #0 end 01 01 ] " CODE "[ 01 " \
				 "[ 00 local.get #0 i32.eqz if 40 unreachable end local.get #0 i32.const #1 i32.sub local.get #1 local.get #2 local.get #3 i64.const #0 i64.const #0 "                                                                                     \
				 "i64.const #0 i64.const #0 i64.const #0 i64.const #9 return_call #0 end ] ] "

static void tail_calls_between_instances_take_no_stack_E6(void **state UNUSED)
{
	struct guest even, odd;
	guest_init(&even, EVEN);
	guest_init_with(&odd, ODD, &even);
	gives(&even, 1000209, "go", 0);
	gives(&even, 1000209 + 1, "go", 2);
	gives(&even, 1000209 + 500000, "go", 1000000);
	traps(&even, TRAP_UNREACHABLE, "go", 1001);
	const struct vm_frames *f = &vm_trap_info(shard)->frames;
	assert_int_equal(f->n, 2);
	assert_int_equal(f->list[0].func, 1);
	assert_ptr_equal(f->list[0].module, odd.mod);
	assert_int_equal(f->list[1].func, 1);
	assert_ptr_equal(f->list[1].module, even.mod);
	gives(&even, 1000209 + 5, "go", 10);
	guest_release(&odd);
	guest_release(&even);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tail_calls_between_instances_take_no_stack_E6),
		cmocka_unit_test(ends_an_endless_loop_by_its_budget),
		cmocka_unit_test(ends_endless_recursion_with_frames_of_any_size_L37),
		cmocka_unit_test(ends_endless_recursion_with_parameters_on_the_stack_L37),
		cmocka_unit_test(unwinds_entry_by_entry_L44),
		cmocka_unit_test(a_trap_in_the_host_ends_the_entry_however_it_was_called_L39),
		cmocka_unit_test(a_trap_in_a_start_function_is_its_entrys_L39),
		cmocka_unit_test(handlers_have_a_stack_of_their_own_L42),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
