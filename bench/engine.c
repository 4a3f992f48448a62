// Measures the engine from inside: what a whole process would drown in its own start.
// PROGRAM(tenon-bench, "cli", "")
//
//   tenon-bench compile FILE [ROUNDS]       validates and compiles all core modules of FILE on one thread
//   tenon-bench validate FILE [ROUNDS]      validates the bodies of all core modules of FILE on one thread, and compiles nothing
//   tenon-bench kernel FILE N [ROUNDS]      run(N) of a core module; the time of the call alone
//   tenon-bench program FILE FOLDER   a preview 1 command in that folder: the time between its calls of bench.start and bench.end
//   tenon-bench serve FILE PORT [FILE PORT...]   several components on one shard
// One JSON object on stdout; of a program its last line.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "comp/comp.h"
#include "serve/serve.h"
#include "sys/sys.h"
#include "tier/tier.h"
#include "vm/vm.h"
#include "wasi/wasi.h"

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const struct err *e)
{
	fprintf(stderr, "error: %s (%s)\n", e->text, e->where);
	exit(1);
}

static struct slice map_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		perror(path);
		exit(1);
	}
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		exit(1);
	return slice_of(p, (size_t)st.st_size);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return v[n / 2];
}

struct loaded {
	struct arena arena;
	struct slice file;
	const struct wasm_module *modules[256];
	uint32_t n;
};

static void load(const char *path, struct loaded *l, struct err *e)
{
	arena_init(&l->arena, 0);
	l->file = map_file(path);
	if (wasm_is_module(l->file)) {
		struct wasm_module *m;
		if (!wasm_decode(&l->arena, l->file, WASM_FEATURES_DEFAULT, 0, &m, e))
			die(e);
		l->modules[l->n++] = m;
		return;
	}
	struct comp_options options = COMP_OPTIONS_DEFAULT;
	struct comp_component *c;
	if (!comp_decode(&l->arena, l->file, &options, &c, e))
		die(e);
	for (uint32_t i = 0; i < c->nmodules && l->n < ARRAY_LEN(l->modules); i++)
		l->modules[l->n++] = c->modules[i].wasm;
}

enum { MAX_ROUNDS = 1001 };

static int rounds_of(int argc, char **argv, int at, int otherwise)
{
	uint64_t n;
	return argc > at && slice_parse_u64(slice_str(argv[at]), MAX_ROUNDS, &n) && n ? (int)n : otherwise;
}

static void bench_compile(const char *path, int rounds, struct err *e)
{
	static double times[MAX_ROUNDS];
	struct loaded l = {0};
	struct tier_stats stats = {0};
	struct tier_options options = {.no_cache = true, .threads = 1};
	load(path, &l, e);
	for (int i = 0; i < rounds; i++) {
		struct vm_module *out[256];
		if (!tier_compile(l.modules, l.n, l.file, &options, out, &stats, e))
			die(e);
		times[i] = (double)stats.compile_ns / 1e9;
		for (uint32_t k = 0; k < l.n; k++)
			vm_module_unref(out[k]);
	}
	double t = median(times, rounds);
	printf("{\"file\":\"%s\",\"modules\":%u,\"code_bytes\":%llu,\"native_bytes\":%llu,\"seconds\":%.6f,\"mb_per_s\":%.2f}\n", path, l.n,
		(unsigned long long)stats.code_bytes, (unsigned long long)stats.native_bytes, t, (double)stats.code_bytes / 1e6 / t);
}

static void validate_all(const struct loaded *l, struct wasm_scratch *scratch, struct err *e)
{
	uint64_t listed;
	for (uint32_t k = 0; k < l->n; k++) {
		if (!wasm_check_begin(scratch, l->modules[k], e))
			die(e);
		for (uint32_t f = l->modules[k]->nimported_funcs; f < l->modules[k]->nfuncs; f++)
			if (!wasm_check_func(scratch, f, &listed, e))
				die(e);
	}
}

static void bench_validate(const char *path, int rounds, struct err *e)
{
	static double times[MAX_ROUNDS];
	struct loaded l = {0};
	uint64_t bytes = 0;
	load(path, &l, e);
	for (uint32_t k = 0; k < l.n; k++)
		bytes += l.modules[k]->code_section.len;
	struct wasm_scratch *scratch = wasm_scratch_new();
	if (!scratch) {
		err_nomem(e);
		die(e);
	}
	for (int i = 0; i < rounds; i++) {
		double before = now();
		validate_all(&l, scratch, e);
		times[i] = now() - before;
	}
	wasm_scratch_free(scratch);
	double t = median(times, rounds);
	printf("{\"file\":\"%s\",\"modules\":%u,\"code_bytes\":%llu,\"seconds\":%.6f,\"mb_per_s\":%.2f}\n", path, l.n, (unsigned long long)bytes, t, (double)bytes / 1e6 / t);
}

static void bench_kernel(const char *path, int32_t n, int rounds, struct err *e)
{
	static double times[MAX_ROUNDS];
	struct loaded l = {0};
	struct tier_stats stats;
	struct tier_options options = {.no_cache = true};
	struct vm_module *module;
	struct vm_shard *shard;
	struct vm_store *store;
	struct vm_instance *instance;
	struct vm_extern run;
	load(path, &l, e);
	if (!tier_compile(l.modules, 1, l.file, &options, &module, &stats, e) || !vm_shard_new(&shard, e) ||
		!vm_store_new(shard, &VM_LIMITS_DEFAULT, &store, e) || !vm_instance_allocate(store, module, NULL, 0, &instance, e))
		die(e);
	if (vm_instance_initialize(instance) != TRAP_NONE || !vm_instance_export(instance, SLICE_LIT("run"), &run)) {
		err_set(e, ERR_TRAP, "no run(i32) -> i64");
		die(e);
	}
	uint64_t arg = (uint32_t)n, result = 0;
	for (int i = 0; i < rounds; i++) {
		double before = now();
		if (vm_call(store, run.func, &arg, &result) != TRAP_NONE) {
			err_set(e, ERR_TRAP, "%s", trap_text(vm_trap_info(shard)->trap));
			die(e);
		}
		times[i] = now() - before;
	}
	printf("{\"file\":\"%s\",\"n\":%d,\"checksum\":%lld,\"seconds\":%.6f,\"compile_ms\":%.3f}\n", path, n, (long long)result, median(times, rounds),
		(double)stats.compile_ns / 1e6);
	vm_store_free(store);
	vm_shard_free(shard);
}

// ---- programs ------------------------------------------------------------------------------------------------------------------------
enum { MAX_IMPORTS = 128 };
struct program {
	struct loop *loop;
	struct vm_shard *shard;
	struct vm_store *store;
	struct vm_instance *instance;
	struct wasi_process process;
	struct wasi wasi;
	struct seam_grants grants;
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct canon_trap told;
	struct wasi_preview1 *preview1;
	enum trap trap;
	double began, seconds;
	unsigned ends;
};

static enum trap on_start(struct vm_call *c, const uint64_t *args, uint64_t *results)
{
	((struct program *)c->data)->began = now();
	return TRAP_NONE;
}

static enum trap on_end(struct vm_call *c, const uint64_t *args, uint64_t *results)
{
	struct program *p = c->data;
	p->seconds += now() - p->began;
	p->ends++;
	return TRAP_NONE;
}

static void program_main(void *arg)
{
	struct program *p = arg;
	struct vm_extern start;
	p->trap = vm_instance_initialize(p->instance);
	if (p->trap == TRAP_NONE && vm_instance_export(p->instance, SLICE_LIT("_start"), &start))
		p->trap = vm_call(p->store, start.func, NULL, NULL);
}

static bool import_all(struct program *p, const struct wasm_module *m, struct vm_extern *ret, struct err *e)
{
	for (uint32_t i = 0; i < m->nimports; i++) {
		const struct wasm_import *im = &m->imports[i];
		const struct wasm_func_type *type = im->kind == WASM_EXTERN_FUNC ? wasm_func_type_of(m, im->index) : NULL;
		bool start = slice_eq_str(im->name, "start"), of_bench = slice_eq_str(im->module, "bench") && (start || slice_eq_str(im->name, "end"));
		if (!type || i == MAX_IMPORTS || (of_bench && (type->nparams || type->nresults)))
			return err_set(e, ERR_LINK, "nobody provides %.*s.%.*s", SLICE_ARGS(im->module), SLICE_ARGS(im->name));
		ret[i].kind = WASM_EXTERN_FUNC;
		if (of_bench ? !vm_host_func_new(p->store, type, start ? on_start : on_end, p, "bench", &ret[i].func, e)
					 : !wasi_preview1_check(im->name, type, e) || !wasi_preview1_import(p->preview1, im->name, type, &ret[i], e))
			return false;
	}
	return true;
}

static bool open_program(struct program *p, const char *folder, struct err *e)
{
	static struct seam_folder folders[1];
	static const struct slice arguments[1] = {SLICE_LIT("program")};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	int fd = sys_open_folder(folder);
	if (fd < 0)
		return err_set_errno(e, -fd, "cannot open the folder '%s'", folder);
	folders[0] = (struct seam_folder){SLICE_LIT("."), fd, false, sys_file.is_local(fd)};
	p->grants = (struct seam_grants){.folders = folders, .n_folders = 1, .args = arguments, .n_args = 1};
	wasi_init(&p->wasi, NULL);
	p->wasi.process = &p->process;
	if (!loop_new(&p->loop, e) || !vm_shard_new(&p->shard, e) || !seam_tasks_new(p->loop, p->shard, &p->tasks, e) || !wasi_process_open(&p->process, e) ||
		!wasi_stdio_open(p->loop, &p->process, &p->wasi.stdio, e) || !vm_store_new(p->shard, &limits, &p->store, e))
		return false;
	vm_store_prefer_huge(p->store);  // as `tenon run` has it
	p->task = seam_task_new(p->tasks, NULL);
	if (!p->task)
		return err_nomem(e);
	p->task->canon.trap = &p->told;
	struct wasi_preview1_given given = {p->store, p->task, &p->grants, 0};
	return wasi_preview1_new(&p->wasi, &given, &p->preview1, e);
}

static void close_program(struct program *p)
{
	wasi_preview1_free(p->preview1);
	vm_store_free(p->store);
	wasi_stdio_close(p->wasi.stdio);
	wasi_process_close(&p->process);
	seam_task_free(p->task);
	seam_tasks_free(p->tasks);
	vm_shard_free(p->shard);
	loop_free(p->loop);
}

static void bench_program(const char *path, const char *folder, struct err *e)
{
	static struct program p;
	static struct vm_extern imports[MAX_IMPORTS];
	struct loaded l = {0};
	struct tier_stats stats;
	struct tier_options options = {.no_cache = true};
	struct vm_module *module;
	struct vm_extern memory;
	load(path, &l, e);
	if (!tier_compile(l.modules, 1, l.file, &options, &module, &stats, e) || !open_program(&p, folder, e) ||
		!import_all(&p, l.modules[0], imports, e) || !vm_instance_allocate(p.store, module, imports, l.modules[0]->nimports, &p.instance, e))
		die(e);
	if (vm_instance_export(p.instance, SLICE_LIT("memory"), &memory) && memory.kind == WASM_EXTERN_MEMORY)
		wasi_preview1_set_memory(p.preview1, memory.memory);
	if (!seam_task_run_to_end(p.task, program_main, &p, VM_BUDGET_NONE, NULL))
		err_nomem(e);
	else if (p.trap != TRAP_NONE && !(p.trap == TRAP_EXIT && p.told.exit_code == 0))
		err_set(e, ERR_TRAP, "%s (exit status %d)", p.trap == TRAP_EXIT ? "it exited" : trap_text(p.trap), p.told.exit_code);
	else if (p.ends != 1)
		err_set(e, ERR_TRAP, "bench.end was called %u times", p.ends);
	if (e->code != ERR_NONE)
		die(e);
	close_program(&p);
	printf("\n{\"file\":\"%s\",\"seconds\":%.9f,\"compile_ms\":%.3f}\n", path, p.seconds, (double)stats.compile_ns / 1e6);
}

// ---- servers -------------------------------------------------------------------------------------------------------------------------
enum { MAX_SERVERS = 8 };

// Several components on one shard of one process.
static void bench_serve(int argc, char **argv, struct err *e)
{
	static struct serve_config standard;
	static struct serve_listener_config listeners[MAX_SERVERS];
	static struct serve_service_config services[MAX_SERVERS];
	static struct serve_app_config apps[MAX_SERVERS];
	static char addresses[MAX_SERVERS][32];
	static const char *first_address[MAX_SERVERS];
	unsigned n = 0;
	serve_limits_default(&standard, true);
	standard.process.shards = 1;
	standard.process.log_level = SERVE_LOG_WARN;
	for (int i = 2; i + 1 < argc && n < MAX_SERVERS; i += 2, n++) {
		uint64_t port;
		if (!slice_parse_u64(slice_str(argv[i + 1]), 65535, &port)) {
			err_set(e, ERR_USAGE, "not a port: %s", argv[i + 1]);
			die(e);
		}
		snprintf(addresses[n], sizeof addresses[n], "127.0.0.1:%u", (unsigned)port);
		first_address[n] = addresses[n];
		listeners[n] = standard.listener;
		listeners[n].addresses.ptr = &first_address[n];
		listeners[n].addresses.len = 1;
		services[n] = standard.service;
		services[n].path = argv[i];
		apps[n].listener = n;
		apps[n].services.ptr = &services[n];
		apps[n].services.len = 1;
	}
	struct serve_process *p;
	struct serve_setup setup = {&standard.process, listeners, n, apps, n};
	if (serve_open(&setup, &p, e))
		serve_run(p);
	if (serve_close(p, e) != 0)
		die(e);
}

int main(int argc, char **argv)
{
	struct err e;
	err_clear(&e);
	uint64_t n;
	if (!vm_process_init(&e))
		die(&e);
	if (argc >= 3 && strcmp(argv[1], "compile") == 0)
		bench_compile(argv[2], rounds_of(argc, argv, 3, 5), &e);
	else if (argc >= 3 && strcmp(argv[1], "validate") == 0)
		bench_validate(argv[2], rounds_of(argc, argv, 3, 5), &e);
	else if (argc >= 4 && strcmp(argv[1], "kernel") == 0 && slice_parse_u64(slice_str(argv[3]), INT32_MAX, &n))
		bench_kernel(argv[2], (int32_t)n, rounds_of(argc, argv, 4, 5), &e);
	else if (argc == 4 && strcmp(argv[1], "program") == 0)
		bench_program(argv[2], argv[3], &e);
	else if (argc >= 4 && argc % 2 == 0 && strcmp(argv[1], "serve") == 0)
		bench_serve(argc, argv, &e);
	else
		return fprintf(stderr, "usage: tenon-bench compile|validate FILE [ROUNDS] | kernel FILE N [ROUNDS] | program FILE FOLDER | serve FILE PORT ...\n"), 2;
	return 0;
}
