// v128 values take two cells (abi.h R9): through host calls, guest functions' frames, tables, globals and images. What each instruction computes is
// tested in baseline.
// PROGRAM(test_vectors, "comp code vm tier cmocka threads", "")
#include "guest.h"

// Types: 0 (v128) -> (v128); 1 (i32, v128 * 10, i64) -> (v128 i32 v128), of which two vectors come on the stack; 2 () -> (v128).
// mix: global := host(the last vector); gives it, the i32, and the vector before the last.
// through: the same through a table, with vectors on the operand stack over the call.
// zero: a local that was never set. slow: a vector in a register over a conversion that leaves the fast path.
// choose: by a block's result and a select.
#define VECTORS10 "7b 7b 7b 7b 7b 7b 7b 7b 7b 7b "
#define ALL "local.get #0 local.get #1 local.get #2 local.get #3 local.get #4 local.get #5 local.get #6 local.get #7 local.get #8 local.get #9 local.get #10 local.get #11 "
#define MIX "[ 01 #1 7b local.get #10 call #0 local.set #12 local.get #12 global.set #0 local.get #12 local.get #0 local.get #9 end ] "
#define THROUGH "[ 01 #1 7b local.get #1 local.get #2 call #0 " ALL "i32.const #0 call_indirect #1 #0 local.set #12 local.set #0 local.set #1 drop drop local.get #1 local.get #0 local.get #12 end ] "
#define ZERO "[ 02 #3 7f #2 7b local.get #4 end ] "
#define SLOW "[ 00 local.get #0 call #0 f64.const 00 00 00 00 00 00 f0 43 i64.trunc_sat_f64_u drop end ] "
#define CHOOSE "[ 00 block 7b local.get #0 local.get #0 call #0 i32.const #0 1c #1 7b end end ] "
#define GUEST_TEXT                                                                                                                                               \
	MODULE TYPES "[ 03 60 01 7b 01 7b 60 0c 7f " VECTORS10 "7e 03 7b 7f 7b 60 00 01 7b ] " IMPORTS "[ 02 00 00 00 00 00 00 03 7b 01 ] " FUNCS                    \
				 "[ 05 01 01 02 00 00 ] " TABLES "[ 01 70 00 01 ] " EXPORTS "[ 05 'mix' 00 01 'through' 00 02 'zero' 00 03 'slow' 00 04 'choose' 00 05 ] " ELEMS \
				 "[ 01 00 i32.const #0 end 01 01 ] " CODE "[ 05 " MIX THROUGH ZERO SLOW CHOOSE "] "

// Halves change places, one is counted up.
static bool hook;  // and the next function entered takes the hook
static enum trap host_swaps(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	if (hook)
		call->exec->stack_limit = UINTPTR_MAX;
	results[0] = args[1];
	results[1] = args[0] + 1;
	return TRAP_NONE;
}

static struct guest g;
static struct vm_global *global;

static void make(struct vm_limits limits)
{
	struct err e = {0};
	struct vm_extern x[2] = {{.kind = WASM_EXTERN_FUNC}, {.kind = WASM_EXTERN_GLOBAL}};
	struct wasm_global_type type = {.type = {.kind = WASM_V128}, .mutable = true};
	g = (struct guest){0};
	build_text(&g.bytes, GUEST_TEXT);
	if (!guest_compile(&g, &e) || !vm_store_new(shard, &limits, &g.st, &e) ||
		!vm_host_func_new(g.st, &g.m->types[0].func, host_swaps, NULL, "import", &x[0].func, &e) ||
		!vm_global_new(g.st, &type, g.m, (const uint64_t[]){7, 8}, &x[1].global, &e) || !vm_imports_check(g.st, g.mod, x, 2, &e) ||
		!vm_instance_allocate(g.st, g.mod, x, 2, &g.inst, &e))
		fail_msg("%s (%s)", e.text, e.where);
	global = x[1].global;
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
}

static void check_global(uint64_t low, uint64_t high)
{
	uint64_t v[2];
	vm_global_get(global, v);
	assert_true(v[0] == low && v[1] == high);
}

static void check_mix(const char *name, uint64_t seed)
{
	uint64_t args[22], results[6] = {0};
	args[0] = (uint32_t)seed;
	for (uint64_t i = 1; i < 22; i++)
		args[i] = seed * 1000 + i + (i << 40);
	results[5] = seed;
	assert_int_equal(guest_call(&g, name, args, results), TRAP_NONE);
	// Vector k (from 1) is in cells 2k - 1, 2k.
	assert_true(results[0] == args[20] && results[1] == args[19] + 1);
	assert_true(results[2] == (uint32_t)seed);
	assert_true(results[3] == args[17] && results[4] == args[18]);
	assert_true(results[5] == seed);  // nobody writes behind the five cells
	check_global(args[20], args[19] + 1);
}

static void vectors_go_through_calls_frames_and_tables(void **state UNUSED)
{
	for (int mode = 0; mode < 2; mode++) {
		uint64_t r[2] = {1, 1};
		poison = mode;
		make(ample);
		for (uint64_t seed = 1; seed < 50; seed++) {
			check_mix("mix", seed);
			check_mix("through", seed);
			assert_int_equal(guest_call(&g, "zero", NULL, r), TRAP_NONE);
			assert_true(r[0] == 0 && r[1] == 0);
			assert_int_equal(guest_call(&g, "slow", ARGS(seed, ~seed), r), TRAP_NONE);
			assert_true(r[0] == ~seed && r[1] == seed + 1);
			assert_int_equal(guest_call(&g, "choose", ARGS(seed, ~seed), r), TRAP_NONE);
			assert_true(r[0] == ~seed && r[1] == seed + 1);
		}
		guest_release(&g);
	}
	poison = false;
}

static void on_a_fiber(void *arg)
{
	for (uint64_t seed = 1; seed < 20; seed++)
		check_mix(arg, seed);
}

static void vectors_survive_the_hook_at_entry(void **state UNUSED)
{
	make(ample);
	hook = true;
	struct vm_fiber *f = vm_fiber_new(shard, on_a_fiber, "through");
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	hook = false;
	assert_true(vm_fiber_preemptions(f) >= 19);
	vm_fiber_free(f);
	guest_release(&g);
}

static void an_image_holds_vectors(void **state UNUSED)
{
	struct vm_image *img;
	struct err e = {0};
	make(ample);
	check_mix("mix", 3);
	uint64_t v[2];
	vm_global_get(global, v);
	assert_true(vm_image_capture(g.st, &img, &e));
	assert_true(vm_store_attach(g.st, img, &e));
	for (uint64_t seed = 10; seed < 20; seed++) {
		check_mix("through", seed);
		assert_true(vm_store_reset(g.st));
		check_global(v[0], v[1]);
	}
	vm_image_unref(img);
	guest_release(&g);
}

// ---- loops ----------------------------------------------------------------------------------------------------------------------
// (v128, i32 n) -> (v128, v128): seven vectors in registers, each one added to n times, and two on the operand stack meanwhile.
#define ADD(k) "local.get #" #k " local.get #0 i32x4.add local.set #" #k " "
#define LOOP                                                                                                                                          \
	"[ 01 #7 7b loop 40 local.get #2 v128.not local.get #3 v128.not " ADD(2) ADD(3) ADD(4) ADD(5) ADD(6) ADD(7) ADD(8) "v128.xor v128.any_true drop " \
																													   "local.get #1 i32.const #1 i32.sub local.tee #1 br_if #0 end local.get #2 local.get #3 local.get #4 local.get #5 local.get #6 local.get #7 v128.and v128.and v128.and v128.and v128.and local.get #8 end ] "

static void clobber_vectors(struct vm_fiber *f UNUSED, void *arg)
{
	++*(uint64_t *)arg;
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n movaps %%xmm0, %%xmm1\n movaps %%xmm0, %%xmm2\n movaps %%xmm0, %%xmm7\n movaps %%xmm0, %%xmm8\n"
					 "movaps %%xmm0, %%xmm9\n movaps %%xmm0, %%xmm12\n movaps %%xmm0, %%xmm14\n movaps %%xmm0, %%xmm15"
		:
		:
		: "xmm0", "xmm1", "xmm2", "xmm7", "xmm8", "xmm9", "xmm12", "xmm14", "xmm15");
}

static void run_loop(void *arg)
{
	uint32_t n = 30000000;
	const uint64_t x[3] = {UINT64_C(0x0000000300000007), UINT64_C(0x800000010000000b), n};
	uint64_t r[4];
	assert_int_equal(guest_call(arg, "loop", x, r), TRAP_NONE);
	uint64_t low = (uint32_t)(7u * n) | (uint64_t)(uint32_t)(3u * n) << 32, high = (uint32_t)(11u * n) | (uint64_t)(uint32_t)(0x80000001u * n) << 32;
	assert_true(r[0] == low && r[1] == high && r[2] == low && r[3] == high);
}

static void loops_over_vectors_are_interrupted_anywhere(void **state UNUSED)
{
	struct guest loop;
	uint64_t clobbered = 0;
	guest_init(&loop, MODULE TYPES "[ 01 60 02 7b 7f 02 7b 7b ] " FUNCS "[ 01 00 ] " EXPORTS "[ 01 'loop' 00 00 ] " CODE "[ 01 " LOOP "] ");
	vm_shard_set_on_preempted(shard, clobber_vectors, &clobbered);
	struct vm_fiber *f = vm_fiber_new(shard, run_loop, &loop);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_shard_set_on_preempted(shard, NULL, NULL);
	assert_true(clobbered >= 1);
	vm_fiber_free(f);
	guest_release(&loop);
}

// ---- modules --------------------------------------------------------------------------------------------------------------------
// A constant expression makes one; it goes to another module as a global and through a function imported from there.
static void vectors_go_from_module_to_module(void **state UNUSED)
{
	struct guest one, two;
	uint64_t r[2];
	guest_init(&one, MODULE TYPES "[ 01 60 02 7f 7b 01 7b ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 00 01 ] " GLOBALS "[ 02 7b 00 v128.const 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 end 7b 00 global.get #0 end ] " EXPORTS "[ 02 'g' 03 01 'f' 00 00 ] " CODE "[ 01 [ 00 local.get #1 local.get #0 i8x16.shl end ] ] ");
	guest_init_with(&two, MODULE TYPES "[ 02 60 02 7f 7b 01 7b 60 00 01 7b ] " IMPORTS "[ 02 'm' 'g' 03 7b 00 'm' 'f' 00 00 ] " FUNCS "[ 01 01 ] " EXPORTS "[ 01 'r' 00 01 ] " CODE "[ 01 [ 00 i32.const #1 global.get #0 call #0 end ] ] ", &one);
	assert_int_equal(guest_call(&two, "r", NULL, r), TRAP_NONE);
	assert_true(r[0] == UINT64_C(0x100e0c0a08060402) && r[1] == UINT64_C(0x201e1c1a18161412));
	guest_release(&two);
	guest_release(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_go_through_calls_frames_and_tables),
		cmocka_unit_test(vectors_survive_the_hook_at_entry),
		cmocka_unit_test(an_image_holds_vectors),
		cmocka_unit_test(loops_over_vectors_are_interrupted_anywhere),
		cmocka_unit_test(vectors_go_from_module_to_module),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
