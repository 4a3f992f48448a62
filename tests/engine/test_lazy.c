// Functions that are compiled when they are called: when, by whom, what a trap in them says, what happens when they can't be, and what takes their place.
// PROGRAM(test_lazy, "comp code vm tier cmocka threads", "")
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "code/code.h"

// f0(x) = x + 1, f1 = f0 called directly, f2 by a table, f3 by a tail call, f4(x) = 100 / x, f5 = f4, f6(x) calls itself x times and then f7.
#define MANY                                                                                                                                   \
	MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 08 00 00 00 00 00 00 00 00 ] " TABLES "[ 01 70 00 01 ] "                                    \
				 "07 [ 06 'one' 00 01 'table' 00 02 'tail' 00 03 'divide' 00 05 'deep' 00 06 'zero' 00 00 ] " ELEMS                            \
				 "[ 01 00 i32.const #0 end 01 00 ] " CODE "[ 08 [ 00 local.get #0 i32.const #1 i32.add end ] [ 00 local.get #0 call #0 end ] " \
				 "[ 00 local.get #0 i32.const #0 call_indirect #0 #0 end ] [ 00 local.get #0 return_call #0 end ] "                            \
				 "[ 00 i32.const #100 local.get #0 i32.div_s end ] [ 00 local.get #0 call #4 i32.const #0 i32.add end ] "                      \
				 "[ 00 local.get #0 if 7f local.get #0 i32.const #1 i32.sub call #6 else local.get #0 call #7 end i32.const #1 i32.add end ] " \
				 "[ 00 local.get #0 i32.const #2 i32.add end ] ] "

static void start(struct guest *g, const char *text)
{
	lazy = true;
	guest_init(g, text);
	lazy = false;
}

static bool is_there(const struct guest *g, uint32_t func)
{
	return code_lazy_find(g->mod->code, func) != NULL;
}

static void a_function_comes_when_it_is_called(void **state)
{
	struct guest g;
	start(&g, MANY);
	for (uint32_t i = 0; i < 8; i++)
		assert_false(is_there(&g, i));
	gives(&g, 8, "one", 7);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(is_there(&g, i), i < 2);
	gives(&g, 9, "table", 8);
	gives(&g, 10, "tail", 9);
	gives(&g, 20, "divide", 5);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(is_there(&g, i), i < 6);
	guest_release(&g);
}

static void a_trap_says_where(void **state)
{
	struct guest g;
	start(&g, MANY);
	for (int i = 0; i < 2; i++) {
		traps(&g, TRAP_DIVIDE_BY_ZERO, "divide", 0);
		const struct vm_frames *f = &vm_trap_info(shard)->frames;
		assert_int_equal(f->n, 2);
		assert_true(f->list[0].func == 4 && f->list[0].module == g.mod && f->list[1].func == 5 && f->list[1].module == g.mod);
		assert_int_equal(g.m->bytes.ptr[f->list[0].offset], 0x6d);
		assert_int_equal(g.m->bytes.ptr[f->list[1].offset], 0x10);
	}
	guest_release(&g);
}

static bool is_deep_enough(uint32_t depth, bool is_lazy)
{
	struct guest g;
	uint64_t result = 0;
	lazy = is_lazy;
	guest_init(&g, MANY);
	lazy = false;
	enum trap t = guest_call(&g, "deep", ARGS(depth), &result);
	assert_true(t ? t == TRAP_STACK_OVERFLOW : result == depth + 3);
	guest_release(&g);
	return !t;
}

// The deepest call that there is room for is one of a function that isn't there.
static void the_last_of_a_stack_is_enough_to_compile(void **state)
{
	uint32_t fits = 0, not = 1 << 20;
	while (not-fits > 1) {
		uint32_t mid = fits + (not-fits) / 2;
		if (is_deep_enough(mid, false))
			fits = mid;
		else
			not = mid;
	}
	assert_true(fits > 1000);
	assert_true(is_deep_enough(fits, true));
	assert_false(is_deep_enough(not, true));
}

// Once memory is there again the function is, too.
static void what_can_not_be_compiled_is_a_trap(void **state)
{
	static void (*const fails[])(uint64_t) = {mem_fail_nth, sys_fail_nth};
	for (size_t way = 0; way < ARRAY_LEN(fails); way++) {
		unsigned failed = 0;
		for (uint64_t n = 1;; n++) {
			uint64_t result = 0;
			struct guest g;
			start(&g, MANY);
			fails[way](n);
			enum trap t = guest_call(&g, "one", ARGS(7), &result);
			fails[way](0);
			if (t) {
				assert_int_equal(t, TRAP_NOT_COMPILED);
				assert_non_null(strstr(vm_trap_info(shard)->message, "function "));
				failed++;
			}
			gives(&g, 8, "one", 7);
			guest_release(&g);
			if (!t)
				break;
		}
		assert_true(failed >= 2);
	}
}

static void put_leb(struct buf *b, uint32_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_byte(b, (uint8_t)(v | 0x80));
	buf_put_byte(b, (uint8_t)v);
}

static void put_sized(struct buf *b, struct buf *part)
{
	put_leb(b, (uint32_t)part->len);
	assert_true(buf_put_slice(b, buf_view(part)));
	buf_release(part);
}

// f0 calls so many functions of a few hundred bytes that make much more code: each calls the last one, of as many parameters as results, which two bytes list.
static void put_wide(struct buf *out, unsigned copies, unsigned calls, unsigned wide)
{
	struct buf types = {0}, funcs = {0}, code = {0}, f = {0};
	put_leb(&types, 2);
	buf_put(&types, "\x60\0\x01\x7f\x60", 5);
	for (int part = 0; part < 2; part++) {
		put_leb(&types, wide);
		for (unsigned i = 0; i < wide; i++)
			buf_put_byte(&types, 0x7f);
	}
	put_leb(&funcs, copies + 2);
	for (unsigned i = 0; i < copies + 2; i++)
		buf_put_byte(&funcs, i > copies);
	put_leb(&code, copies + 2);
	buf_put(&f, "\0", 1);
	for (unsigned k = 1; k <= copies; k++) {
		buf_put_byte(&f, 0x10);
		put_leb(&f, k);
		buf_put_byte(&f, 0x1a);
	}
	buf_put(&f, "\x41\x07\x0b", 3);
	put_sized(&code, &f);
	for (unsigned k = 0; k < copies; k++) {
		buf_put(&f, "\0", 1);
		for (unsigned i = 0; i < wide; i++)
			buf_put(&f, "\x41\x01", 2);
		for (unsigned i = 0; i < calls; i++) {
			buf_put_byte(&f, 0x10);
			put_leb(&f, copies + 1);
		}
		for (unsigned i = 1; i < wide; i++)
			buf_put_byte(&f, 0x1a);
		buf_put_byte(&f, 0x0b);
		put_sized(&code, &f);
	}
	buf_put(&f, "\0", 1);
	for (unsigned i = 0; i < wide; i++) {
		buf_put_byte(&f, 0x20);
		put_leb(&f, i);
	}
	buf_put_byte(&f, 0x0b);
	put_sized(&code, &f);
	build_text(out, MODULE);
	buf_put_byte(out, 1);
	put_sized(out, &types);
	buf_put_byte(out, 3);
	put_sized(out, &funcs);
	build_text(out, EXPORTS "[ 01 'run' 00 00 ] ");
	buf_put_byte(out, 10);
	put_sized(out, &code);
}

// Whether such a module is accepted.
static bool start_wide(struct guest *g, unsigned copies, unsigned calls, unsigned wide)
{
	struct err e = {0};
	*g = (struct guest){0};
	put_wide(&g->bytes, copies, calls, wide);
	lazy = true;
	bool ok = guest_compile(g, &e);
	lazy = false;
	if (!ok)
		assert_int_equal(e.code, ERR_LIMIT);
	return ok;
}

static void what_is_listed_by_the_thousand_is_compiled_before_or_refused(void **state)
{
	struct guest g;
	assert_true(start_wide(&g, 1, 30, 1000));
	assert_true(!is_there(&g, 0) && is_there(&g, 1));
	guest_release(&g);
	assert_true(start_wide(&g, 1, 30, 10));
	assert_true(!is_there(&g, 0) && !is_there(&g, 1));
	guest_release(&g);
	assert_false(start_wide(&g, 1, 1000, 1000));
	guest_release(&g);
}

// Of a type without results: so many bytes of the same instructions.
static bool is_compiled_before(const char *types, const char *locals, const char *code, size_t len, unsigned size, const char *tables)
{
	struct guest g = {0};
	struct err e = {0};
	struct buf codes = {0}, f = {0};
	uint32_t had = features;
	features = WASM_FEATURES_FINISHED;
	build_text(&g.bytes, MODULE);
	build_text(&g.bytes, types);
	build_text(&g.bytes, FUNCS "[ 01 00 ] ");
	build_text(&g.bytes, tables);
	put_leb(&codes, 1);
	build_text(&f, locals);
	while (f.len < size)
		buf_put(&f, code, len);
	buf_put_byte(&f, 0x0b);
	put_sized(&codes, &f);
	buf_put_byte(&g.bytes, 10);
	put_sized(&g.bytes, &codes);
	lazy = true;
	if (!guest_compile(&g, &e))
		fail_msg("%s", e.text);
	lazy = false;
	features = had;
	bool before = is_there(&g, 0);
	guest_release(&g);
	return before;
}

// Instructions that take five times as long as others of as many bytes, conversions, indirect calls and the old handlers among them.
static void what_takes_long_for_its_bytes_is_compiled_before(void **state)
{
	static const struct {
		const char *locals, *code;
		size_t len;
	} shapes[] = {{"01 01 7c ", "\x20\0\xaa\x1a", 4}, {"01 01 7d ", "\x20\0\xfc\0\x1a", 5}, {"01 01 7b ", "\x20\0\xfd\xf9\1\x1a", 6},
		{"01 01 7f ", "\x20\0\x11\0\0", 5}, {"00 ", "\x06\x40\x19\x0b", 4}};
	static const char types[] = TYPES "[ 01 60 00 00 ] ", table[] = TABLES "[ 01 70 00 01 ] ";
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		assert_true(is_compiled_before(types, shapes[i].locals, shapes[i].code, shapes[i].len, 22000, table));
		assert_false(is_compiled_before(types, shapes[i].locals, shapes[i].code, shapes[i].len, 10000, table));
	}
	assert_false(is_compiled_before(types, "01 01 7f ", "\x20\0\x1a", 3, 45000, table));
	assert_true(is_compiled_before(types, "01 01 7f ", "\x20\0\x1a", 3, 50000, table));
}

// A trap of the guest's own; and it takes work once.
static void code_beyond_the_bound_is_made_once_at_most(void **state)
{
	static const char *const says[] = {"'s machine code would exceed ", "its machine code would exceed its bound"};
	struct guest g;
	struct err e = {0};
	uint64_t result;
	assert_true(start_wide(&g, 300, 28, 100));
	assert_true(vm_store_new(shard, &ample, &g.st, &e) && vm_instance_allocate(g.st, g.mod, NULL, 0, &g.inst, &e));
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(guest_call(&g, "run", ARGS(0), &result), TRAP_CODE_LIMIT);
		assert_non_null(strstr(vm_trap_info(shard)->message, says[i > 0]));
	}
	assert_true(is_there(&g, 1) && !is_there(&g, 300));
	guest_release(&g);
}

static void put_section(struct buf *out, uint8_t number, struct buf *part)
{
	buf_put_byte(out, number);
	put_sized(out, part);
}

// So many functions of two bytes, and one that calls them all by a table.
static void put_tiny(struct buf *out, uint32_t n)
{
	struct buf types = {0}, funcs = {0}, tables = {0}, exports = {0}, elems = {0}, code = {0}, f = {0};
	buf_put(&types, "\2\x60\0\0\x60\0\1\x7f", 8);
	put_leb(&funcs, n + 1);
	buf_put(&tables, "\1\x70\0", 3);
	put_leb(&tables, n);
	buf_put(&exports, "\1\3run\0", 6);
	put_leb(&exports, n);
	buf_put(&elems, "\1\0\x41\0\x0b", 5);
	put_leb(&elems, n);
	put_leb(&code, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		buf_put_byte(&funcs, 0);
		put_leb(&elems, i);
		buf_put(&code, "\2\0\x0b", 3);
	}
	buf_put_byte(&funcs, 1);
	buf_put(&f, "\1\1\x7f\3\x40\x20\0\x11\0\0\x20\0\x41\1\x6a\x22\0\x41", 18);
	put_leb(&f, n);  // below 64 in its highest seven bits
	buf_put(&f, "\x47\x0d\0\x0b\x20\0\x0b", 7);
	put_sized(&code, &f);
	build_text(out, MODULE);
	put_section(out, 1, &types);
	put_section(out, 3, &funcs);
	put_section(out, 4, &tables);
	put_section(out, 7, &exports);
	put_section(out, 9, &elems);
	put_section(out, 10, &code);
}

// What stands for a function beside its code is within the module's bound, too: of these it is three times as much.
static void what_stands_for_functions_is_within_the_bound(void **state)
{
	enum { N = 100000, FEW = 10000 };
	struct guest g = {0};
	struct err e = {0};
	uint64_t result;
	put_tiny(&g.bytes, N);
	lazy = true;
	assert_true(guest_compile(&g, &e));
	lazy = false;
	assert_true(vm_store_new(shard, &ample, &g.st, &e) && vm_instance_allocate(g.st, g.mod, NULL, 0, &g.inst, &e));
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	assert_int_equal(guest_call(&g, "run", ARGS(0), &result), TRAP_CODE_LIMIT);
	assert_true(is_there(&g, FEW) && !is_there(&g, N / 2));
	guest_release(&g);
}

// Whoever writes over the module's bytes.
static void bodies_are_those_that_were_validated(void **state)
{
	struct guest g;
	start(&g, MANY);
	memset(UNCONST(g.m->code_section.ptr), 0xff, g.m->code_section.len);
	gives(&g, 8, "one", 7);
	gives(&g, 9, "table", 8);
	guest_release(&g);
}

static sigjmp_buf fault;
static void on_fault(int sig)
{
	siglongjmp(fault, 1);
}

static void its_code_can_not_be_written_L48(void **state)
{
	struct guest g;
	start(&g, MANY);
	gives(&g, 8, "one", 7);
	uint8_t *at = (uint8_t *)(uintptr_t)code_lazy_find(g.mod->code, 0), *page = (uint8_t *)((uintptr_t)at & ~(uintptr_t)4095);
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), -1);
	void (*before)(int) = signal(SIGSEGV, on_fault);
	if (!sigsetjmp(fault, 1)) {
		*(volatile uint8_t *)at = 0xc3;
		fail_msg("code was written to");
	}
	signal(SIGSEGV, before);
	gives(&g, 8, "one", 7);
	guest_release(&g);
}

// ---- many functions ------------------------------------------------------------------------------------------------------------------
enum { CHAIN = 400, BODY = 10000 };

// f_i(x) = f_(i+1)(x) + 1, after much that does nothing; the last gives x.
static void put_chain(struct buf *out, unsigned body)
{
	struct buf funcs = {0}, code = {0}, f = {0};
	put_leb(&funcs, CHAIN + 1);
	put_leb(&code, CHAIN + 1);
	for (unsigned i = 0; i <= CHAIN; i++) {
		buf_put_byte(&funcs, 0);
		buf_put(&f, "\0", 1);
		for (unsigned k = 0; k < body && i < CHAIN; k++)
			buf_put(&f, "\x41\x01\x1a", 3);
		buf_put(&f, "\x20\0\x10", i < CHAIN ? 3 : 2);
		if (i < CHAIN) {
			put_leb(&f, i + 1);
			buf_put(&f, "\x41\x01\x6a", 3);
		}
		buf_put_byte(&f, 0x0b);
		put_sized(&code, &f);
	}
	build_text(out, MODULE TYPES "[ 01 60 01 7f 01 7f ] ");
	buf_put_byte(out, 3);
	put_sized(out, &funcs);
	build_text(out, EXPORTS "[ 01 'run' 00 00 ] ");
	buf_put_byte(out, 10);
	put_sized(out, &code);
}

static void start_chain(struct guest *g, unsigned body)
{
	*g = (struct guest){0};
	put_chain(&g->bytes, body);
	lazy = true;
	guest_instantiate(g, NULL, 0);
	lazy = false;
	assert_int_equal(vm_instance_initialize(g->inst), TRAP_NONE);
}

// A fiber that may have 10 ms calls functions whose compiling takes several times as much.
static void compiling_is_on_nobodys_budget(void **state)
{
	struct guest g;
	uint64_t result;
	start_chain(&g, BODY);
	uint64_t before = sys_thread_cpu_ns();
	assert_int_equal(guest_on_fiber(&g, "run", ARGS(5), &result, NULL, (struct vm_budget){10000000, UINT64_MAX}), TRAP_NONE);
	assert_int_equal(result, CHAIN + 5);
	assert_true(sys_thread_cpu_ns() - before > 20000000);
	guest_release(&g);
}

struct killer {
	struct vm_fiber *fiber;
	struct guest *g;
};

// Once a tenth of them is there.
static void *kill_early(void *arg)
{
	struct killer *k = arg;
	while (!code_lazy_find(k->g->mod->code, CHAIN / 10))
		;
	vm_fiber_kill(k->fiber, TRAP_KILLED);
	return NULL;
}

static enum trap run_and_kill(struct guest *g)
{
	pthread_t thread;
	start_chain(g, BODY);
	struct guest_job j = {.g = g, .name = "run", .args = ARGS(5)};
	struct killer k = {vm_fiber_new(shard, guest_run_job, &j), g};
	assert_int_equal(pthread_create(&thread, NULL, kill_early, &k), 0);
	while (vm_fiber_resume(k.fiber, VM_RESUMED) != VM_FIBER_DONE)
		;
	pthread_join(thread, NULL);
	vm_fiber_free(k.fiber);
	return j.trap;
}

// In the compiler nothing is interrupted: it ends at the next function. (Where the other thread got no core in time, it ran to its end: once more.)
static void who_is_killed_while_it_compiles_ends(void **state)
{
	struct guest g;
	for (int i = 0; i < 50 && run_and_kill(&g) != TRAP_KILLED; i++)
		guest_release(&g);
	assert_int_equal(vm_trap_info(shard)->trap, TRAP_KILLED);
	assert_false(is_there(&g, CHAIN));
	guest_release(&g);
	start_chain(&g, 10);
	gives(&g, CHAIN + 5, "run", 5);
	guest_release(&g);
}

enum { THREADS = 4 };
struct caller {
	struct guest *g;
	pthread_barrier_t *at_once;
	uint64_t result;
};

static void *call_chain(void *arg)
{
	struct caller *c = arg;
	struct vm_shard *s = NULL;
	struct vm_store *st = NULL;
	struct vm_instance *inst = NULL;
	struct vm_extern x;
	struct err e = {0};
	bool ok = vm_shard_new(&s, &e) && vm_store_new(s, &ample, &st, &e) && vm_instance_allocate(st, c->g->mod, NULL, 0, &inst, &e) &&
		vm_instance_initialize(inst) == TRAP_NONE && vm_instance_export(inst, SLICE_LIT("run"), &x);
	pthread_barrier_wait(c->at_once);
	if (ok)
		ok = vm_call(st, x.func, ARGS(1), &c->result) == TRAP_NONE;
	vm_store_free(st);
	vm_shard_free(s);
	return NULL;
}

static void threads_that_call_the_same_wait_for_one(void **state)
{
	pthread_barrier_t at_once;
	pthread_t threads[THREADS];
	struct caller callers[THREADS];
	struct guest g;
	start_chain(&g, 10);
	pthread_barrier_init(&at_once, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){&g, &at_once, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, call_chain, &callers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(callers[i].result, CHAIN + 1);
	}
	pthread_barrier_destroy(&at_once);
	for (uint32_t i = 0; i <= CHAIN; i++) {
		struct code_site site;
		const void *at = code_lazy_find(g.mod->code, i);
		assert_true(code_site_find((uintptr_t)at, &site) && site.func == i && site.is_guest);
	}
	guest_release(&g);
}

// ---- the whole -----------------------------------------------------------------------------------------------------------------------
static _Atomic bool wanted, released;
static bool is_wanted(void *arg)
{
	return wanted;
}
static void release(void *arg)
{
	released = true;
}

// false: it was not compiled within a minute, or not to be.
static bool rest(struct guest *g, struct tier_file *f, bool want)
{
	const struct tier_owner owner = {.is_wanted = is_wanted, .release = release};
	const struct code_object *before = g->mod->code;
	wanted = want;
	released = false;
	tier_file_compile_rest(f, &g->mod, &owner);
	tier_file_close(f);
	for (int i = 0; i < 6000 && !released; i++)
		usleep(10000);
	assert_true(released);
	return g->mod->code != before;
}

// Of the guest's bytes; none: MANY.
static void begin_file(struct guest *g, struct tier_file **ret)
{
	struct err e = {0};
	struct tier_options opt = {.no_cache = true, .lazy_from = 1};
	struct tier_stats stats;
	if (!g->bytes.len)
		build_text(&g->bytes, MANY);
	arena_init(&g->arena, 0);
	assert_true(wasm_decode(&g->arena, buf_view(&g->bytes), features, 0, &g->m, &e));
	const struct wasm_module *m = g->m;
	if (!tier_file_open(buf_view(&g->bytes), &opt, ret, &e) || !tier_file_compile(*ret, &m, 1, &g->mod, &stats, &e) ||
		!vm_store_new(shard, &ample, &g->st, &e) || !vm_instance_allocate(g->st, g->mod, NULL, 0, &g->inst, &e))
		fail_msg("%s", e.text);
	assert_int_equal(stats.native_bytes, 0);
}

static void the_whole_takes_its_place_at_a_reset(void **state)
{
	struct guest g = {0};
	struct tier_file *f;
	struct vm_image *img = NULL;
	struct err e = {0};
	begin_file(&g, &f);
	assert_true(vm_instance_initialize(g.inst) == TRAP_NONE && vm_image_capture(g.st, &img, &e) && vm_store_attach(g.st, img, &e));
	vm_image_unref(img);
	gives(&g, 8, "one", 7);
	const void *at = code_lazy_find(g.mod->code, 0);
	assert_true(rest(&g, f, true));
	assert_ptr_equal(code_object_whole(code_find(at)), vm_instance_code(g.inst));
	gives(&g, 20, "divide", 5);
	assert_true(vm_store_reset(g.st));
	assert_ptr_equal(g.mod->code, vm_instance_code(g.inst));
	assert_null(code_find(at));
	gives(&g, 8, "one", 7);
	gives(&g, 20, "divide", 5);
	guest_release(&g);
}

static void what_nobody_wants_is_not_compiled(void **state)
{
	struct guest g = {0};
	struct tier_file *f;
	begin_file(&g, &f);
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	assert_false(rest(&g, f, false));
	gives(&g, 8, "one", 7);
	guest_release(&g);
}

// Functions of 60,000 bytes, each of which gives its number: `run` calls them all, from the last to the first.
enum { LARGE = 12 };
static void put_large(struct buf *out)
{
	struct buf code = {0}, f = {0};
	build_text(out, MODULE TYPES "[ 01 60 01 7f 01 7f ] ");
	buf_put_byte(out, 3);
	put_leb(out, LARGE + 2);
	put_leb(out, LARGE + 1);
	for (unsigned i = 0; i <= LARGE; i++)
		buf_put_byte(out, 0);
	build_text(out, EXPORTS "[ 01 'run' 00 00 ] ");
	put_leb(&code, LARGE + 1);
	build_text(&f, "00 local.get #0 ");
	for (unsigned i = LARGE; i; i--) {
		buf_put_byte(&f, 0x10);
		put_leb(&f, i);
	}
	buf_put_byte(&f, 0x0b);
	put_sized(&code, &f);
	for (unsigned i = 1; i <= LARGE; i++) {
		build_text(&f, "00 local.get #0 ");
		for (unsigned k = 0; k < 20000; k++)
			build_text(&f, "i32.const #1 i32.add ");
		for (unsigned k = 0; k < i; k++)
			build_text(&f, "i32.const #1 i32.sub ");
		buf_put_byte(&f, 0x0b);
		put_sized(&code, &f);
	}
	buf_put_byte(out, 10);
	put_sized(out, &code);
}

// What is large is compiled ahead, by a thread beside who calls and by who waits for it; it is there when the file is closed, and who calls it before waits.
static void what_is_large_is_compiled_beside_who_calls_it(void **state)
{
	for (unsigned round = 0; round < 4; round++) {
		struct guest g = {0};
		struct tier_file *f;
		put_large(&g.bytes);
		begin_file(&g, &f);
		assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
		if (round % 2)
			gives(&g, LARGE * 20000 - LARGE * (LARGE + 1) / 2 + 5, "run", 5);
		tier_file_close(f);
		for (uint32_t i = 1; i <= LARGE; i++)
			assert_true(is_there(&g, i));
		assert_int_equal(is_there(&g, 0), round % 2);
		gives(&g, LARGE * 20000 - LARGE * (LARGE + 1) / 2 + 5, "run", 5);
		guest_release(&g);
	}
}

static unsigned open_files(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

// Descriptors that loading files of so many modules keeps open.
static unsigned descriptors_of(uint32_t n, struct guest *g)
{
	const struct wasm_module **modules = calloc(n, sizeof *modules);
	struct vm_module **compiled = calloc(n, sizeof(struct vm_module *));
	struct tier_options opt = {.no_cache = true, .lazy_from = 1};
	struct tier_stats stats;
	struct tier_file *f;
	struct err e = {0};
	unsigned before = open_files();
	for (uint32_t k = 0; k < n; k++)
		modules[k] = g->m;
	if (!tier_file_open(buf_view(&g->bytes), &opt, &f, &e) || !tier_file_compile(f, modules, n, compiled, &stats, &e))
		fail_msg("%s", e.text);
	unsigned more = open_files() - before;
	tier_file_close(f);
	for (uint32_t k = 0; k < n; k++)
		vm_module_unref(compiled[k]);
	assert_int_equal(open_files(), before);
	free(compiled);
	free(modules);
	return more;
}

static void files_of_many_modules_keep_no_descriptors(void **state)
{
	struct guest g;
	start(&g, MANY);
	assert_int_equal(descriptors_of(3, &g), 3);
	assert_in_range(descriptors_of(400, &g), 0, 64);
	guest_release(&g);
}

// Memory fails for what is compiled when it is called, and then no more: all is compiled at once.
static void without_memory_for_it_all_is_compiled_at_once(void **state)
{
	unsigned whole = 0;
	for (uint64_t n = 1;; n++) {
		struct guest g = {0};
		struct err e = {0};
		struct tier_options opt = {.no_cache = true, .threads = 1, .lazy_from = 1};
		struct tier_file *f = NULL;
		struct tier_stats stats;
		build_text(&g.bytes, MANY);
		arena_init(&g.arena, 0);
		if (!wasm_decode(&g.arena, buf_view(&g.bytes), features, 0, &g.m, &e) || !tier_file_open(buf_view(&g.bytes), &opt, &f, &e))
			fail_msg("%s", e.text);
		const struct wasm_module *m = g.m;
		mem_fail_nth(n);
		bool ok = tier_file_compile(f, &m, 1, &g.mod, &stats, &e);
		mem_fail_nth(0);
		tier_file_close(f);
		if (!ok || !vm_store_new(shard, &ample, &g.st, &e) || !vm_instance_allocate(g.st, g.mod, NULL, 0, &g.inst, &e))
			fail_msg("without the allocation %llu: %s", (unsigned long long)n, e.text);
		assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
		gives(&g, 8, "one", 7);
		guest_release(&g);
		if (!stats.native_bytes)
			break;
		whole++;
	}
	assert_true(whole > 5);
}

static void what_is_written_to(int fd, const char *path, char *ret, size_t size)
{
	int in = open(path, O_RDONLY);
	ssize_t n = read(in, ret, size - 1);
	assert_true(in >= 0 && n >= 0);
	ret[n] = 0;
	close(in);
	if (fd >= 0)
		close(fd);
	unlink(path);
}

// It goes on as it is, and says why.
static void a_whole_beyond_its_bound_is_told(void **state)
{
	struct guest g = {0};
	struct tier_file *f;
	char path[] = "/tmp/tenon-lazy-XXXXXX", said[1000];
	uint64_t result;
	put_wide(&g.bytes, 450, 24, 100);
	begin_file(&g, &f);
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	int before = dup(2), to = mkstemp(path);
	assert_true(before >= 0 && to >= 0 && dup2(to, 2) == 2);
	bool changed = rest(&g, f, true);
	assert_int_equal(dup2(before, 2), 2);
	close(before);
	what_is_written_to(to, path, said, sizeof said);
	assert_false(changed);
	assert_non_null(strstr(said, "warning: not all could be compiled behind"));
	assert_non_null(strstr(said, "machine code would exceed"));
	assert_int_equal(guest_call(&g, "run", ARGS(0), &result), TRAP_CODE_LIMIT);
	guest_release(&g);
}

// Else each function that is called costs a pass over all names. Here they can be found once.
static void names_for_profilers_are_indexed_once(void **state)
{
	struct guest g;
	char path[64], said[4000];
	snprintf(path, sizeof path, "/tmp/perf-%d.map", getpid());
	assert_int_equal(setenv("TENON_PERF", "1", 1), 0);
	start(&g, MANY "00 [ 'name' 01 [ 02 00 'sum' 05 'quotient' ] ] ");
	gives(&g, 8, "one", 7);
	memset(UNCONST(g.m->name_section.ptr), 0x7f, 1);
	gives(&g, 20, "divide", 5);
	assert_int_equal(unsetenv("TENON_PERF"), 0);
	guest_release(&g);
	what_is_written_to(-1, path, said, sizeof said);
	assert_non_null(strstr(said, " wasm:sum\n"));
	assert_non_null(strstr(said, " wasm:quotient\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_comes_when_it_is_called),
		cmocka_unit_test(a_trap_says_where),
		cmocka_unit_test(the_last_of_a_stack_is_enough_to_compile),
		cmocka_unit_test(what_can_not_be_compiled_is_a_trap),
		cmocka_unit_test(what_is_listed_by_the_thousand_is_compiled_before_or_refused),
		cmocka_unit_test(what_takes_long_for_its_bytes_is_compiled_before),
		cmocka_unit_test(code_beyond_the_bound_is_made_once_at_most),
		cmocka_unit_test(what_stands_for_functions_is_within_the_bound),
		cmocka_unit_test(bodies_are_those_that_were_validated),
		cmocka_unit_test(its_code_can_not_be_written_L48),
		cmocka_unit_test(compiling_is_on_nobodys_budget),
		cmocka_unit_test(threads_that_call_the_same_wait_for_one),
		cmocka_unit_test(the_whole_takes_its_place_at_a_reset),
		cmocka_unit_test(what_nobody_wants_is_not_compiled),
		cmocka_unit_test(what_is_large_is_compiled_beside_who_calls_it),
		cmocka_unit_test(files_of_many_modules_keep_no_descriptors),
		cmocka_unit_test(who_is_killed_while_it_compiles_ends),
		cmocka_unit_test(without_memory_for_it_all_is_compiled_at_once),
		cmocka_unit_test(a_whole_beyond_its_bound_is_told),
		cmocka_unit_test(names_for_profilers_are_indexed_once),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
