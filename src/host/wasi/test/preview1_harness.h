// Preview 1 as a module would call it: its functions by name, on a fiber, with a memory and streams that the test holds.
#ifndef TENON_WASI_TEST_PREVIEW1_HARNESS_H
#define TENON_WASI_TEST_PREVIEW1_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../preview1.h"

enum { MEMORY = 2 * 65536 };  // bytes of the guest's memory
enum { TRAPPED = 1000, ENDED, KILLED };  // what `call` gives beside an errno

static struct loop *loop;
static struct vm_shard *shard;
static struct seam_tasks *tasks;
static struct wasi_process process;
static struct wasi_stdio *stdio;

// ---- streams -----------------------------------------------------------------------------------------------------------------------------
// What is there to read, and how the input goes on after it; what was written, and how much room there is.
static struct {
	struct wasi_event event;
	const char *there;
	enum wasi_io after;  // WASI_IO_AGAIN until somebody changes it
	struct wasi_error error;
} source;
static struct {
	struct wasi_event event;
	char bytes[4096];
	size_t len, room;
	uint64_t refill;  // that much room comes with each turn of the loop
	enum wasi_io after;
	struct wasi_error error;
} sink;

static enum wasi_io source_peek(struct wasi_input *in, size_t max, struct slice *ret)
{
	*ret = slice_sub(slice_str(source.there), 0, max);
	return ret->len ? WASI_IO_OK : source.after;
}
static void source_consume(struct wasi_input *in, size_t n)
{
	source.there += n;
}
static void source_release(struct wasi_input *in)
{
}
static struct wasi_error source_error(struct wasi_input *in)
{
	source.after = WASI_IO_CLOSED;
	return source.error;
}
static enum wasi_io sink_permit(struct wasi_output *out, size_t *ret)
{
	*ret = sink.room;
	return sink.after;
}
static enum wasi_io sink_write(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	assert_in_range(data.len, 1, sink.room);
	assert_in_range(sink.len + data.len, 1, sizeof sink.bytes);
	memcpy(sink.bytes + sink.len, data.ptr, data.len);
	sink.len += data.len;
	sink.room -= data.len;
	return WASI_IO_OK;
}
static enum wasi_io sink_flush(struct wasi_output *out)
{
	return sink.after;
}
static void sink_release(struct wasi_output *out)
{
}
static struct wasi_error sink_error(struct wasi_output *out)
{
	sink.after = WASI_IO_CLOSED;
	return sink.error;
}
static const struct wasi_input_ops source_ops = {source_peek, source_consume, source_release, source_error, NULL};
static const struct wasi_output_ops sink_ops = {sink_permit, sink_write, sink_flush, sink_release, sink_error, 0};

// What it is given beside, from open_guest on.
static struct seam_folder folders[2];
static uint32_t n_folders;
static const struct seam_listen *given_listen;

// ---- a guest -----------------------------------------------------------------------------------------------------------------------------
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
#include "../preview1.def"
#undef PREVIEW1
};
static const char *const sigs[] = {
#define PREVIEW1(name, sig, ...) sig,
#include "../preview1.def"
#undef PREVIEW1
};

static uint8_t *at(uint32_t offset)
{
	return vm_memory_base(guest.memory) + offset;
}

static int index_of(const char *name)
{
	for (int i = 0; i < P1_FUNCS; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	fail_msg("no function %s", name);
	return -1;
}

static struct wasm_func_type type_of(const char *sig, struct wasm_valtype *types)
{
	struct wasm_func_type t = {.params = types, .results = types + strcspn(sig, ":")};
	t.nparams = (uint32_t)strcspn(sig, ":");
	t.nresults = (uint32_t)strlen(sig) - t.nparams - 1;
	for (uint32_t i = 0, k = 0; sig[i]; i++)
		if (sig[i] != ':')
			types[k++] = (struct wasm_valtype){.kind = sig[i] == 'i' ? WASM_I32 : WASM_I64};
	return t;
}

// Its standard streams are the source and the sink (both outputs).
static void open_guest(void)
{
	struct err e = {0};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct wasm_memory_type type = {.limits = {.min = 2, .max = 4, .has_max = true}, .page_shift = 16};
	limits.survives_traps = true;
	guest = (struct guest){.grants = {.folders = folders, .n_folders = n_folders, .listens = given_listen, .n_listens = given_listen != NULL}};
	memset(&source, 0, sizeof source);
	memset(&sink, 0, sizeof sink);
	source.there = "";
	sink.room = sizeof sink.bytes;
	assert_true(vm_process_handle_signals(&e));
	wasi_init(&guest.wasi, NULL);
	guest.wasi.process = &process;
	guest.wasi.stdio = stdio;
	assert_true(vm_store_new(shard, &limits, &guest.store, &e) && vm_memory_new(guest.store, &type, &guest.memory, &e));
	guest.task = seam_task_new(tasks, NULL);
	struct wasi_preview1_given given = {guest.store, guest.task, &guest.grants, 8};
	assert_true(wasi_preview1_new(&guest.wasi, &given, &guest.p, &e));
	wasi_preview1_set_memory(guest.p, guest.memory);
	for (int i = 0; i < P1_FUNCS; i++) {
		struct wasm_valtype types[16];
		struct wasm_func_type t = type_of(sigs[i], types);
		struct vm_extern x;
		assert_true(wasi_preview1_check(slice_str(names[i]), &t, &e) && wasi_preview1_import(guest.p, slice_str(names[i]), &t, &x, &e));
		guest.funcs[i] = x.func;
	}
	guest.p->files[0].in->ops = &source_ops;
	guest.p->files[0].in->readable = &source.event;
	for (int fd = 1; fd < 3; fd++) {
		guest.p->files[fd].out->ops = &sink_ops;
		guest.p->files[fd].out->writable = &sink.event;
	}
}

static void close_guest(void)
{
	wasi_preview1_free(guest.p);
	seam_task_free(guest.task);
	vm_store_free(guest.store);
	seam_provider_unref(&guest.wasi.seam, SEAM_HELD_BY_MAKER);
}

// ---- a call ------------------------------------------------------------------------------------------------------------------------------
struct call {
	int func;
	const uint64_t *args;
	uint64_t result;
	enum trap trap;
	bool done;
};

static void call_main(void *arg)
{
	struct call *c = arg;
	c->trap = vm_call(guest.store, guest.funcs[c->func], c->args, &c->result);
}

static int outcome(const struct call *c)
{
	return c->trap == TRAP_NONE ? (int)c->result : c->trap == TRAP_EXIT ? ENDED
		: c->trap == TRAP_HOST                                          ? TRAPPED
																		: KILLED;
}

static int call_until(int func, const uint64_t *args, uint64_t deadline_ns, const bool *stop)
{
	struct call c = {.func = func, .args = args};
	struct vm_budget budget = {UINT64_MAX, deadline_ns};
	seam_task_free(guest.task);
	guest.p->task = guest.task = seam_task_new(tasks, NULL);
	guest.told = (struct canon_trap){0};
	guest.task->canon.trap = &guest.told;
	assert_true(seam_task_run_to_end(guest.task, call_main, &c, budget, stop));
	return outcome(&c);
}

#define CELLS(...) ((const uint64_t[12]){__VA_ARGS__})
#define call(name, ...) call_until(index_of(#name), CELLS(__VA_ARGS__), UINT64_MAX, NULL)
#define gives(want, name, ...) assert_int_equal(call(name, __VA_ARGS__), want)

static uint32_t u32_at(uint32_t offset)
{
	uint32_t v;
	memcpy(&v, at(offset), sizeof v);
	return v;
}
static uint64_t u64_at(uint32_t offset)
{
	uint64_t v;
	memcpy(&v, at(offset), sizeof v);
	return v;
}
// The iovecs {buf, len}… at `offset`.
static void put_iovs(uint32_t offset, const struct p1_iovec *list, uint32_t n)
{
	memcpy(at(offset), list, n * sizeof *list);
}
#define IOVS(offset, ...) put_iovs((offset), (const struct p1_iovec[]){__VA_ARGS__}, sizeof((const struct p1_iovec[]){__VA_ARGS__}) / sizeof(struct p1_iovec))

static int open_process(void **state)
{
	struct err e = {0};
	return vm_process_init(&e) && loop_new(&loop, &e) && vm_shard_new(&shard, &e) && seam_tasks_new(loop, shard, &tasks, &e) && wasi_process_open(&process, &e) &&
			wasi_stdio_open(loop, &process, &stdio, &e)
		? 0
		: -1;
}
static int close_process(void **state)
{
	wasi_stdio_close(stdio);
	wasi_process_close(&process);
	seam_tasks_free(tasks);
	vm_shard_free(shard);
	loop_free(loop);
	return 0;
}
static int begin(void **state)
{
	open_guest();
	return 0;
}
static int end(void **state)
{
	close_guest();
	return 0;
}

#endif
