// An exception that leaves a component traps at its boundary: nobody outside can catch it, neither another component nor the host (CanonicalABI,
// call_and_trap_on_throw).
// PROGRAM(test_throw, "canon tier cmocka", "")
#include "subject.h"

#define TAGS "0d "
// f() -> i32, post(i32), cb(i32, i32, i32) -> i32 and realloc throw; one() -> i32 is 1; own() -> i32 catches what f throws, and is 1 then; take(i32, i32) -> i32.
#define THROWER_MODULE                                                                                                                                                                                                \
	MODULE TYPES "[ 06 60 00 01 7f 60 01 7f 00 60 03 7f 7f 7f 01 7f 60 04 7f 7f 7f 7f 01 7f 60 00 00 60 02 7f 7f 01 7f ] " FUNCS "[ 07 00 01 02 03 00 00 05 ] " MEMORIES "[ 01 00 01 ] " TAGS "[ 01 00 04 ] " EXPORTS \
				 "[ 08 'f' 00 00 'post' 00 01 'cb' 00 02 'realloc' 00 03 'one' 00 04 'own' 00 05 'take' 00 06 'm' 02 00 ] " CODE                                                                                      \
				 "[ 07 [ 00 throw #0 end ] [ 00 throw #0 end ] [ 00 throw #0 end ] [ 00 throw #0 end ] [ 00 i32.const #1 end ] "                                                                                      \
				 "[ 00 block 40 try_table 40 01 02 00 call #0 drop end i32.const #0 return end i32.const #1 end ] [ 00 i32.const #1 end ] ] "
// run: its function throws; after: its post-return; own: caught within; later: async, its callback; take: func(string), its realloc.
#define THROWER                                                                                                                                                    \
	COMPONENT CORE_MODULE "[ " THROWER_MODULE "] " CORE_INSTANCE "[ 01 00 00 00 ] " ALIAS                                                                          \
						  "[ 08 00 00 01 00 'f' 00 00 01 00 'post' 00 00 01 00 'cb' 00 00 01 00 'realloc' 00 00 01 00 'one' 00 00 01 00 'own' 00 00 01 00 'take' " \
						  "00 02 01 00 'm' ] " TYPE "[ 03 40 00 00 79 43 00 01 00 40 01 's' 73 00 79 ] " CANON                                                     \
						  "[ 05 00 00 00 00 00 00 00 04 01 05 01 00 00 00 05 00 00 00 00 04 02 06 07 02 01 00 00 06 02 03 00 04 03 02 ] " EXPORT                   \
						  "[ 05 00 'run' 01 00 00 00 'after' 01 01 00 00 'own' 01 02 00 00 'later' 01 03 00 00 'take' 01 04 00 ] "
// Each calls what it imports, and catches all that it throws: 1 then.
#define CATCHES(n) "[ 00 block 40 try_table 40 01 02 00 call #" #n " drop end i32.const #0 return end i32.const #1 end ] "
#define CATCHER                                                                                                                                                                                                    \
	COMPONENT TYPE "[ 01 40 00 00 79 ] " IMPORT "[ 02 00 'run' 01 00 00 'after' 01 00 ] " CANON "[ 02 01 00 00 00 01 00 01 00 ] " CORE_MODULE                                                                      \
				   "[ " MODULE TYPES "[ 01 60 00 01 7f ] " IMPORTS "[ 02 'x' 'run' 00 00 'x' 'after' 00 00 ] " FUNCS "[ 02 00 00 ] " EXPORTS                                                                       \
				   "[ 02 'run' 00 02 'after' 00 03 ] " CODE "[ 02 " CATCHES(0) CATCHES(1) "] ] " CORE_INSTANCE                                                                                                     \
																						  "[ 02 01 02 'run' 00 00 'after' 00 01 00 00 01 'x' 12 00 ] " ALIAS "[ 02 00 00 01 01 'run' 00 00 01 01 'after' ] " CANON \
																						  "[ 02 00 00 02 00 00 00 00 03 00 00 ] " EXPORT "[ 02 00 'run' 01 02 00 00 'after' 01 03 00 ] "
#define BOTH                                                                                                             \
	COMPONENT NESTED "[ " THROWER "] " NESTED "[ " CATCHER "] " INSTANCE "[ 01 00 00 00 ] " ALIAS                        \
					 "[ 05 01 00 00 'run' 01 00 00 'after' 01 00 00 'own' 01 00 00 'later' 01 00 00 'take' ] " INSTANCE  \
					 "[ 01 00 01 02 'run' 01 00 'after' 01 01 ] " ALIAS "[ 02 01 00 01 'run' 01 00 01 'after' ] " EXPORT \
					 "[ 07 00 'run' 01 00 00 00 'after' 01 01 00 00 'own' 01 02 00 00 'later' 01 03 00 00 'take' 01 04 00 00 'catch-run' 01 05 00 00 'catch-after' 01 06 00 ] "

static struct subject subject;
static struct vm_shard *shard;

static struct canon_instance *instance(void)
{
	static const struct canon_host host;
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &i, &e));
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	return i;
}

static void run(void *arg)
{
	subject_run(arg);
}

// In an instance of its own, which is dead afterwards if it trapped.
static struct subject_call call(const char *name, const char *text)
{
	struct subject_call c = {.s = &subject, .i = instance(), .name = name, .text = text};
	struct vm_fiber *f = vm_fiber_new(shard, run, &c);
	assert_non_null(f);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	vm_fiber_free(f);
	assert_int_equal(canon_instance_is_dead(c.i), !c.ok);
	canon_instance_free(c.i);
	return c;
}

static void what_is_caught_within_goes_no_further(void **state UNUSED)
{
	struct subject_call c = call("own", NULL);
	assert_true(c.ok);
	assert_int_equal(c.result, 1);
}

static void it_traps_at(const char *name, const char *text)
{
	struct subject_call c = call(name, text);
	if (c.ok || c.trap.trap != TRAP_EXCEPTION || strcmp(c.trap.text, "uncaught exception") != 0)
		fail_msg("%s: %s, %s", name, c.ok ? "returned" : trap_text(c.trap.trap), c.trap.text);
}

static void one_that_leaves_for_the_host_traps(void **state UNUSED)
{
	it_traps_at("run", NULL);
	it_traps_at("after", NULL);
	it_traps_at("later", NULL);
	it_traps_at("take", "hello");
}

static void one_that_leaves_for_another_component_is_not_caught_there(void **state UNUSED)
{
	it_traps_at("catch-run", NULL);
	it_traps_at("catch-after", NULL);
}

int main(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !subject_try(&subject, BOTH, &e)) {
		print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
		return 1;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_caught_within_goes_no_further),
		cmocka_unit_test(one_that_leaves_for_the_host_traps),
		cmocka_unit_test(one_that_leaves_for_another_component_is_not_caught_there),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
