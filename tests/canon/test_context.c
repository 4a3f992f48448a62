// The two slots of context.get and context.set (C62): zero where a call begins, a realloc's own, a post-return's those of its call; the caller's are as he left them.
// PROGRAM(test_context, "canon tier cmocka", "")
#include "subject.h"

// What each core module imports first: get() -> i32, set(i32).
#define SLOT_TYPES "60 00 01 7f 60 01 7f 00 "
#define SLOT_IMPORTS "'x' 'get' 00 00 'x' 'set' 00 01 "
#define SLOTS CANON "[ 02 0a 7f 00 0b 7f 00 ] "
#define MUST_BE(n) "call #0 i32.const #" #n " i32.ne if 40 unreachable end "
#define BECOMES(n) "i32.const #" #n " call #1 "
#define SLOT_REALLOC "[ 00 " MUST_BE(0) BECOMES(99) "i32.const #4096 end ] "

// f(s: string) -> string: what realloc gave.
#define CALLEE_MODULE                                                                                                                                                                                                                                         \
	MODULE TYPES "[ 04 " SLOT_TYPES "60 04 7f 7f 7f 7f 01 7f 60 02 7f 7f 01 7f ] " IMPORTS "[ 02 " SLOT_IMPORTS "] " FUNCS "[ 03 02 03 01 ] " MEMORIES "[ 01 00 01 ] " EXPORTS "[ 04 'r' 00 02 'f' 00 03 'post' 00 04 'm' 02 00 ] " CODE "[ 03 " SLOT_REALLOC \
				 "[ 00 " MUST_BE(0) BECOMES(7) "i32.const #32 i32.const #4096 i32.store #2 #0 i32.const #36 i32.const #5 i32.store #2 #0 "                                                                                                                    \
											   "i32.const #32 end ] [ 00 " MUST_BE(7) BECOMES(8) "end ] ] "
#define CALLEE                                                                                          \
	COMPONENT TYPE "[ 01 40 01 's' 73 00 73 ] " SLOTS CORE_MODULE "[ " CALLEE_MODULE "] " CORE_INSTANCE \
				   "[ 02 01 02 'get' 00 00 'set' 00 01 00 00 01 'x' 12 00 ] " ALIAS                     \
				   "[ 04 00 00 01 01 'f' 00 00 01 01 'post' 00 00 01 01 'r' 00 02 01 01 'm' ] " CANON "[ 01 00 00 02 03 03 00 04 04 05 03 00 ] " EXPORT "[ 01 00 'f' 01 00 00 ] "

#define MEMORY_MODULE \
	MODULE TYPES "[ 03 " SLOT_TYPES "60 04 7f 7f 7f 7f 01 7f ] " IMPORTS "[ 02 " SLOT_IMPORTS "] " FUNCS "[ 01 02 ] " MEMORIES "[ 01 00 01 ] " EXPORTS "[ 02 'r' 00 02 'm' 02 00 ] " CODE "[ 01 " SLOT_REALLOC "] "
#define CALLER_MODULE                                                                                                                 \
	MODULE TYPES "[ 03 " SLOT_TYPES "60 03 7f 7f 7f 00 ] " IMPORTS "[ 03 " SLOT_IMPORTS "'y' 'f' 00 02 ] " FUNCS "[ 01 00 ] " EXPORTS \
				 "[ 01 'run' 00 03 ] " CODE "[ 01 [ 00 " MUST_BE(0) BECOMES(5) "i32.const #16 i32.const #5 i32.const #64 call #2 call #0 end ] ] "
#define CALLER                                                                                                                               \
	COMPONENT TYPE "[ 01 40 01 's' 73 00 73 ] " IMPORT "[ 01 00 'f' 01 00 ] " SLOTS CORE_MODULE "[ " MEMORY_MODULE "] " CORE_INSTANCE        \
				   "[ 02 01 02 'get' 00 00 'set' 00 01 00 00 01 'x' 12 00 ] " ALIAS "[ 02 00 02 01 01 'm' 00 00 01 01 'r' ] " CANON          \
				   "[ 01 01 00 00 02 03 00 04 02 ] " CORE_MODULE "[ " CALLER_MODULE "] " CORE_INSTANCE                                       \
				   "[ 02 01 01 'f' 00 03 00 01 02 'x' 12 00 'y' 12 02 ] " ALIAS "[ 01 00 00 01 03 'run' ] " TYPE "[ 01 40 00 00 79 ] " CANON \
				   "[ 01 00 00 04 00 01 ] " EXPORT "[ 01 00 'run' 01 01 00 ] "
#define BOTH                                                                                                                    \
	COMPONENT NESTED "[ " CALLEE "] " NESTED "[ " CALLER "] " INSTANCE "[ 01 00 00 00 ] " ALIAS "[ 01 01 00 00 'f' ] " INSTANCE \
					 "[ 01 00 01 01 'f' 01 00 ] " ALIAS "[ 01 01 00 01 'run' ] " EXPORT "[ 02 00 'run' 01 01 00 00 'f' 01 00 00 ] "

static struct subject subject;
static struct vm_shard *shard;

static void run(void *arg)
{
	subject_run(arg);
}

static void each_call_and_each_realloc_has_slots_of_its_own_C62(void **state UNUSED)
{
	static const struct canon_host host;
	struct subject_call c = {.s = &subject, .name = "run"};
	struct canon_trap trap;
	struct err e = {0};
	assert_true(vm_process_handle_signals(NULL));  // cmocka has taken them
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &c.i, &e));
	assert_true(canon_instance_initialize(c.i, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	for (int n = 0; n < 3; n++) {
		struct vm_fiber *f = vm_fiber_new(shard, run, &c);
		assert_non_null(f);
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
		vm_fiber_free(f);
		if (!c.ok)
			fail_msg("%s", c.trap.text);
		assert_int_equal(c.result, 5);
	}
	canon_instance_free(c.i);
}

int main(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !subject_try(&subject, BOTH, &e)) {
		print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
		return 1;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_and_each_realloc_has_slots_of_its_own_C62),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
