// What a call of a host function costs through the canonical ABI, and a reset of a small slot. Nanoseconds a call.
// PROGRAM(bench_canon_calls, "canon tier", "")
#include <time.h>

#include "../tests/canon/components.h"

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
static const struct canon_host_func funcs[] = {{.fn = on_log}, {.fn = on_fill}, {.fn = on_nop}};
static const struct canon_host host = {.funcs = funcs, .n_funcs = 3};

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(void)
{
	static const char *const names[] = {"run-nop", "run-log", "run-fill"};
	struct vm_shard *shard;
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
	vm_shard_free(shard);
	return 0;
}
