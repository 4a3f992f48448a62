// Preview 1's functions with hostile arguments: the input is a list of calls, with what the guest's memory holds; lists of buffers, names and subscriptions that
// mean something stand in it besides, and cells that point there. Whatever is asked for, a call gives an errno or ends; nothing outside of the memory is written,
// nothing of the host's is lost.
//
// PROGRAM(fuzz_preview1, "wasi", "")
#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/sys.h"
#include "wasi/preview1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 65536, CALLS = 64 };

static struct loop *loop;
static struct vm_shard *shard;
static struct seam_tasks *tasks;
static struct wasi_process process;
static struct wasi_stdio *stdio;
static struct seam_folder folders[2];
static struct guest {
	struct wasi wasi;
	struct seam_grants grants;
	struct vm_store *store;
	struct vm_memory *memory;
	struct wasi_preview1 *p;
	struct seam_task *task;
	struct canon_trap told;
	uint32_t funcs[P1_FUNCS];
} guest;
static const char *const names[] = {
#define PREVIEW1(name, ...) #name,
#include "wasi/preview1.def"
#undef PREVIEW1
};
static const char *const sigs[] = {
#define PREVIEW1(name, sig, ...) sig,
#include "wasi/preview1.def"
#undef PREVIEW1
};

static void must(bool ok)
{
	BUG_ON(!ok);
}

// ---- what it is given: folders of its own, and streams that are nobody's -----------------------------------------------------------------

static char path[] = "/tmp/tenon-fuzz-preview1-XXXXXX";
static const char inside[] = "inside";

static enum wasi_io peek(struct wasi_input *in, size_t max, struct slice *ret)
{
	*ret = slice_sub(SLICE_LIT("what is there to read"), 0, max);
	return WASI_IO_OK;
}
static void consume(struct wasi_input *in, size_t n)
{
}
static void release_input(struct wasi_input *in)
{
}
static enum wasi_io permit(struct wasi_output *out, size_t *ret)
{
	*ret = 1000;
	return WASI_IO_OK;
}
static enum wasi_io take(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	return WASI_IO_OK;
}
static enum wasi_io flush(struct wasi_output *out)
{
	return WASI_IO_OK;
}
static void release_output(struct wasi_output *out)
{
}
static const struct wasi_input_ops source_ops = {peek, consume, release_input, NULL, NULL};
static const struct wasi_output_ops sink_ops = {permit, take, flush, release_output, NULL, 0};

static void open_process(void)
{
	struct err e;
	must(vm_process_init(&e) && loop_new(&loop, &e) && vm_shard_new(&shard, &e) && seam_tasks_new(loop, shard, &tasks, &e) && wasi_process_open(&process, &e));
	must(mkdtemp(path) && chdir(path) == 0);
	must(wasi_stdio_open(loop, &process, &stdio, &e));
	folders[0] = (struct seam_folder){.name = SLICE_LIT("/"), .fd = sys_open_folder(path), .is_local = true};
	must(folders[0].fd >= 0 && sys_beneath_mkdir(folders[0].fd, inside) == 0);
	folders[1] = (struct seam_folder){.name = SLICE_LIT("ro"), .fd = sys_open_folder(inside), .read_only = true};
	must(folders[1].fd >= 0);
}

static int clean_one(const char *at, const struct stat *st, int kind, struct FTW *where)
{
	bool keep = where->level == 0 || (where->level == 1 && strcmp(at + where->base, inside) == 0);
	if (!keep && remove(at) < 0)
		abort();
	return 0;
}

// ---- a guest -----------------------------------------------------------------------------------------------------------------------------

static void import(int i)
{
	struct wasm_valtype types[16];
	struct wasm_func_type t = {.params = types, .nparams = (uint32_t)strcspn(sigs[i], ":")};
	struct vm_extern x;
	struct err e;
	t.nresults = (uint32_t)strlen(sigs[i]) - t.nparams - 1;
	t.results = types + t.nparams;
	for (uint32_t k = 0, at = 0; sigs[i][k]; k++)
		if (sigs[i][k] != ':')
			types[at++] = (struct wasm_valtype){.kind = sigs[i][k] == 'i' ? WASM_I32 : WASM_I64};
	must(wasi_preview1_import(guest.p, slice_str(names[i]), &t, &x, &e));
	guest.funcs[i] = x.func;
}

static void open_guest(void)
{
	static const struct slice args[] = {SLICE_LIT("a"), SLICE_LIT("bc")};
	static const struct seam_pair env[] = {{SLICE_LIT("A"), SLICE_LIT("b")}};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct wasm_memory_type type = {.limits = {.min = 1, .max = 1, .has_max = true}, .page_shift = 16};
	struct err e;
	guest = (struct guest){.grants = {.args = args, .n_args = 2, .env = env, .n_env = 1, .folders = folders, .n_folders = 2, .max_files = 20}};
	guest.grants.max_file_size = 1 << 20;
	limits.survives_traps = true;
	limits.memory = 4 << 20;
	wasi_init(&guest.wasi, NULL);
	guest.wasi.process = &process;
	guest.wasi.stdio = stdio;
	must(vm_store_new(shard, &limits, &guest.store, &e) && vm_memory_new(guest.store, &type, &guest.memory, &e));
	must((guest.task = seam_task_new(tasks, NULL)));
	struct wasi_preview1_given given = {guest.store, guest.task, &guest.grants, 32};
	must(wasi_preview1_new(&guest.wasi, &given, &guest.p, &e));
	wasi_preview1_set_memory(guest.p, guest.memory);
	for (int i = 0; i < P1_FUNCS; i++)
		import(i);
	guest.p->files[0].in->ops = &source_ops;
	guest.p->files[1].out->ops = guest.p->files[2].out->ops = &sink_ops;
}

static void close_guest(void)
{
	wasi_preview1_free(guest.p);
	seam_task_free(guest.task);
	vm_store_free(guest.store);
	seam_provider_unref(&guest.wasi.seam, SEAM_HELD_BY_MAKER);
	BUG_ON(process.files.n != 0);
	must(nftw(path, clean_one, 10, FTW_DEPTH | FTW_PHYS) == 0);
}

// ---- a call ------------------------------------------------------------------------------------------------------------------------------

struct call {
	int func;
	uint64_t args[16], result;
	enum trap trap;
};
static void call_main(void *arg)
{
	struct call *c = arg;
	c->trap = vm_call(guest.store, guest.funcs[c->func], c->args, &c->result);
}

// ---- what stands in the memory -----------------------------------------------------------------------------------------------------------

enum { IOVS = 0x8000, NAMES = 0x8400, SUBSCRIPTIONS = 0x8800, BUFFERS = 0xa000, EACH = 64, SUBSCRIPTION = 48 };
static const char *const texts[16] = {"a", "inside", "inside/b", "../a", "/", "a/./b", "ro", "", ".", "l", "a/", "..", "inside/../a", "\xff", "b", "inside/.."};

static void furnish(uint8_t *memory)
{
	for (uint32_t k = 0; k < ARRAY_LEN(texts); k++) {
		uint32_t iovs[8] = {BUFFERS + 256 * k, k, BUFFERS + 128 * k, 200, 8 * k, k * k * k, MEMORY - k, k};
		uint64_t clock[6] = {k, 0, k % 4, k * 1000, 0, k % 2}, stream[6] = {k, 1 + k % 2, k % 8};
		memcpy(memory + IOVS + EACH * k, iovs, sizeof iovs);
		memcpy(memory + NAMES + EACH * k, texts[k], strlen(texts[k]));
		memcpy(memory + SUBSCRIPTIONS + SUBSCRIPTION * k, k % 3 ? clock : stream, SUBSCRIPTION);
	}
}

// A cell: small, a place in the memory, one where something stands, its end, or anything.
static uint64_t cell(const uint8_t **at, const uint8_t *end, bool wide)
{
	uint64_t v = 0;
	if (end - *at < 3)
		return 0;
	uint8_t how = *(*at)++;
	uint16_t n;
	memcpy(&n, *at, sizeof n);
	*at += how % 4 == 0 ? 1 : 2;
	switch (how % 4) {
	case 0:
		return how & 16 ? strlen(texts[n & 15]) : n & 15;
	case 1:
		return how & 16 ? (how & 32 ? IOVS : NAMES) + EACH * (n & 15u) : how & 32 ? SUBSCRIPTIONS + SUBSCRIPTION * (n & 15u)
																				  : n;
	case 2:
		return (how & 8 ? MEMORY : UINT64_C(1) << 32) - (n & 255);
	default:
		v = (uint64_t)n << (how >> 2);
		return wide ? v : (uint32_t)v;
	}
}

static bool run_call(const uint8_t **at, const uint8_t *end)
{
	struct call c = {.func = *(*at)++ % P1_FUNCS};
	struct vm_budget budget = {UINT64_MAX, loop_now_fresh_ns(loop) + MILLISECOND};
	for (int i = 0; sigs[c.func][i] != ':'; i++)
		c.args[i] = cell(at, end, sigs[c.func][i] == 'l');
	for (int i = 0; sigs[c.func][i] != ':'; i++)
		c.args[i] = sigs[c.func][i] == 'i' ? (uint32_t)c.args[i] : c.args[i];
	seam_task_free(guest.task);
	must((guest.p->task = guest.task = seam_task_new(tasks, NULL)));
	guest.told = (struct canon_trap){0};
	guest.task->canon.trap = &guest.told;
	must(seam_task_run_to_end(guest.task, call_main, &c, budget, NULL));
	BUG_ON(c.trap == TRAP_NONE && c.result > P1_NOTCAPABLE);
	BUG_ON(c.trap != TRAP_NONE && c.trap != TRAP_HOST && c.trap != TRAP_EXIT && c.trap != TRAP_DEADLINE && c.trap != TRAP_KILLED);
	return c.trap == TRAP_NONE || c.trap == TRAP_HOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!loop)
		open_process();
	if (size < 2)
		return 0;
	open_guest();
	size_t n = min_u64(data[0] * 4u, size - 1);  // of the memory; the calls follow
	furnish(vm_memory_base(guest.memory));
	memcpy(vm_memory_base(guest.memory), data + 1, n);
	const uint8_t *at = data + 1 + n, *end = data + size;
	for (int i = 0; i < CALLS && at < end && run_call(&at, end); i++)
		;
	close_guest();
	return 0;
}
