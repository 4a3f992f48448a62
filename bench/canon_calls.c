// What a call of a host function costs through the canonical ABI, sync and async, one of an async export, and a reset of a small slot. Nanoseconds a call.
// PROGRAM(bench_canon_calls, "canon tier cmocka", "")
#include <time.h>

#include "../tests/canon/subject.h"

// Imports h: async func(). nop: async func(), lifted with a callback, returns at once. calls: async func(n: u32), lowers h async and calls it n times.
#define ASYNC_MODULE                                                                                                                         \
	MODULE TYPES "[ 04 60 00 01 7f 60 00 00 60 01 7f 01 7f 60 03 7f 7f 7f 01 7f ] " IMPORTS "[ 02 'x' 'h' 00 00 'x' 'return' 00 01 ] " FUNCS \
				 "[ 03 00 02 03 ] " EXPORTS "[ 03 'nop' 00 02 'calls' 00 03 'cb' 00 04 ] " CODE "[ 03 [ 00 call #1 i32.const #0 end ] "      \
				 "[ 00 local.get #0 if 40 loop 40 call #0 i32.const #2 i32.ne if 40 unreachable end local.get #0 i32.const #1 i32.sub "      \
				 "local.tee #0 br_if #0 end end call #1 i32.const #0 end ] [ 00 unreachable end ] ] "
#define ASYNC                                                                                                                                              \
	COMPONENT TYPE "[ 02 43 00 01 00 43 01 'n' 79 01 00 ] " IMPORT "[ 01 00 'h' 01 00 ] " CANON "[ 02 01 00 00 01 06 09 01 00 00 ] " CORE_MODULE           \
				   "[ " ASYNC_MODULE "] " CORE_INSTANCE "[ 02 01 02 'h' 00 00 'return' 00 01 00 00 01 'x' 12 00 ] " ALIAS                                  \
				   "[ 03 00 00 01 01 'nop' 00 00 01 01 'calls' 00 00 01 01 'cb' ] " CANON "[ 02 00 00 02 02 06 07 04 00 00 00 03 02 06 07 04 01 ] " EXPORT \
				   "[ 02 00 'nop' 01 01 00 00 'calls' 01 02 00 ] "

static enum trap on_log(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	const struct wit_string *s = args;
	memcpy(ret, &(uint32_t){(uint32_t)s->len}, 4);
	return TRAP_NONE;
}
static enum trap on_fill(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	uint32_t n;
	memcpy(&n, args, 4);
	*(struct wit_list *)ret = (struct wit_list){arena_zalloc(&t->arena, n, 1), n};
	return TRAP_NONE;
}
static enum trap on_nop(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	return TRAP_NONE;
}
static const struct canon_host_func funcs[] = {{.fn = on_log}, {.fn = on_fill}, {.fn = on_nop}, {.fn = on_nop, .flags = CANON_HOST_LEAVES}};
static const struct canon_host host = {.funcs = funcs, .n_funcs = 3};

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// ---- async ------------------------------------------------------------------------------------------------------------------------------

// One on a stack of its own, and one that needs none.
static const struct canon_host async_hosts[] = {{.funcs = &funcs[2], .n_funcs = 1}, {.funcs = &funcs[3], .n_funcs = 1}};
struct async_run {
	struct loaded *l;
	struct canon_instance *i;
	const char *name;
	bool ok;
};

// On a fiber, as a server's calls are.
static void run_async(void *arg)
{
	struct async_run *r = arg;
	struct canon_trap trap = {0};
	const uint32_t calls = 1000000;
	uint32_t n = 5000000;
	double from = now_ns();
	r->ok = canon_call_export(r->i, canon_find_export(r->l->canon, SLICE_LIT(""), SLICE_LIT("calls")), NULL, &n, NULL, NULL, &trap);
	printf("%-10s %6.1f ns an async call of the host\n", r->name, (now_ns() - from) / n);
	const struct comp_export_func *nop = canon_find_export(r->l->canon, SLICE_LIT(""), SLICE_LIT("nop"));
	from = now_ns();
	for (uint32_t k = 0; r->ok && k < calls; k++)
		r->ok = canon_call_export(r->i, nop, NULL, NULL, NULL, NULL, &trap);
	printf("%-10s %6.1f ns a call of the async export\n", r->name, (now_ns() - from) / calls);
	if (!r->ok)
		printf("%s\n", trap.text);
}

static bool bench_async(const struct canon_host *of, const char *name)
{
	struct buf bytes = {0};
	struct loaded l;
	struct err e = {0};
	struct canon_trap trap = {0};
	struct async_run r = {.l = &l, .name = name};
	build_text(&bytes, ASYNC);
	if (!load_component(&l, buf_view(&bytes), &e) || !canon_instance_new(shard, l.canon, of, NULL, NULL, &r.i, &e) ||
		!canon_instance_initialize(r.i, 0, canon_component_steps(l.canon), NULL, &trap)) {
		printf("%s %s\n", e.text, trap.text);
		return false;
	}
	struct vm_fiber *f = vm_fiber_new(shard, run_async, &r);
	bool ended = f && vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_DONE;
	if (ended)
		vm_fiber_free(f);
	canon_instance_free(r.i);
	unload_component(&l);
	buf_release(&bytes);
	return ended && r.ok;
}

int main(void)
{
	static const char *const names[] = {"run-nop", "run-log", "run-fill"};
	struct loaded l;
	struct canon_image *m;
	struct canon_instance *i;
	struct canon_trap trap = {0};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !load_component(&l, SLICE_LIT(calling_bytes), &e) ||
		!canon_image_new(shard, l.canon, &host, NULL, CANON_INIT_AUTO, NULL, NULL, &m, &trap, &e) || !canon_slot_new(shard, m, NULL, &i, &e)) {
		printf("%s %s\n", e.text, trap.text);
		return 1;
	}
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		const struct comp_export_func *f = canon_find_export(l.canon, SLICE_LIT(""), slice_str(names[k]));
		uint32_t n = 5000000, v;
		double from = now_ns();
		if (!canon_call_export(i, f, NULL, &n, &v, NULL, &trap)) {
			printf("%s\n", trap.text);
			return 1;
		}
		printf("%-10s %6.1f ns a call of the host\n", names[k], (now_ns() - from) / n);
		n = 0;
		from = now_ns();
		for (int r = 0; r < 1000000; r++)
			if (!canon_call_export(i, f, NULL, &n, &v, NULL, &trap))
				return 1;
		printf("%-10s %6.1f ns a call of the export\n", names[k], (now_ns() - from) / 1000000);
	}
	double from = now_ns();
	for (int r = 0; r < 1000000; r++)
		if (!canon_slot_reset(i))
			return 1;
	printf("reset      %6.1f ns\n", (now_ns() - from) / 1000000);
	canon_instance_free(i);
	canon_image_free(m);
	unload_component(&l);
	bool ok = bench_async(&async_hosts[0], "nop") && bench_async(&async_hosts[1], "nop, leaves");
	vm_shard_free(shard);
	return ok ? 0 : 1;
}
