// Core modules of one file validated and compiled by all cores at once.
//
// Functions are handed out in pieces of about PIECE_BYTES of code, largest module first come first served; each thread has an output a module,
// and baseline_link puts them together.
#include <stdatomic.h>
#include <stdio.h>

#include "baseline/baseline.h"
#include "tier_int.h"

enum { PIECE_BYTES = 64 << 10, MAX_THREADS = 64 };

// "QUOTA PERIOD" in microseconds, or "max PERIOD".
static unsigned cgroup_quota(void)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	char line[64] = "";
	uint64_t quota, period;
	if (f && !fgets(line, sizeof line, f))
		line[0] = 0;
	if (f)
		fclose(f);
	struct slice s = slice_str(line);
	s.len = slice_find(s, '\n');
	size_t space = slice_find(s, ' ');
	bool both = slice_parse_u64(slice_sub(s, 0, space), UINT32_MAX, &quota) && slice_parse_u64(slice_sub(s, space + 1, s.len), UINT32_MAX, &period);
	return both && period ? (unsigned)((quota + period - 1) / period) : UINT32_MAX;
}

unsigned tier_cores(void)
{
	unsigned n = sys_cores();
	unsigned quota = cgroup_quota();
	if (quota && quota < n)
		n = quota;
	return n ? n : 1;
}

// ---- compiling -----------------------------------------------------------------------------------------------------------------------

struct piece {
	uint32_t module, first, end;  // functions of the module's index space
};

struct compile_job {
	const struct wasm_module *const *modules;
	struct abi_layout *layouts;
	uint32_t n_modules;
	struct baseline_options options;
	struct piece *pieces;
	uint32_t n_pieces;
	_Atomic uint32_t next;
	_Atomic bool failed;
	struct sys_mutex lock;
	struct err *e;
};

struct compile_thread {
	struct compile_job *job;
	struct baseline_output *outputs;  // one a module
	struct sys_thread thread;
};

static void fail(struct compile_job *j, const struct err *e)
{
	sys_mutex_lock(&j->lock);
	if (j->e && j->e->code == ERR_NONE)
		*j->e = *e;
	sys_mutex_unlock(&j->lock);
	atomic_store(&j->failed, true);
}

static bool compile_piece(struct compile_thread *t, const struct piece *p, struct wasm_scratch *scratch, struct err *e)
{
	struct compile_job *j = t->job;
	const struct wasm_module *m = j->modules[p->module];
	for (uint32_t f = p->first; f < p->end; f++) {
		struct wasm_func_info info;
		if (!wasm_validate_func(m, f, scratch, &info, e))
			return false;
		if (!baseline_compile_func(m, f, &info, &j->layouts[p->module], &j->options, &t->outputs[p->module], e))
			return err_note(e, "function %u", f);
	}
	return true;
}

static void *compile_main(void *arg)
{
	struct compile_thread *t = arg;
	struct err e;
	err_clear(&e);
	struct wasm_scratch *scratch = wasm_scratch_new();
	if (!scratch)
		err_nomem(&e);
	while (scratch && !atomic_load(&t->job->failed)) {
		uint32_t i = atomic_fetch_add(&t->job->next, 1);
		if (i >= t->job->n_pieces || !compile_piece(t, &t->job->pieces[i], scratch, &e))
			break;
	}
	if (e.code != ERR_NONE)
		fail(t->job, &e);
	wasm_scratch_free(scratch);
	return NULL;
}

static bool cut_pieces(struct compile_job *j, struct err *e)
{
	VEC(struct piece)
	pieces = {0};
	for (uint32_t k = 0; k < j->n_modules; k++) {
		const struct wasm_module *m = j->modules[k];
		uint64_t bytes = 0;
		uint32_t first = m->nimported_funcs;
		for (uint32_t f = first; f < m->nfuncs; f++) {
			bytes += m->funcs[f].size;
			if (bytes < PIECE_BYTES && f + 1 < m->nfuncs)
				continue;
			if (!VEC_PUSH(NULL, &pieces, ((struct piece){k, first, f + 1}), UINT32_MAX)) {
				VEC_FREE(&pieces);
				return err_nomem(e);
			}
			first = f + 1;
			bytes = 0;
		}
	}
	j->pieces = pieces.ptr;
	j->n_pieces = pieces.len;
	return true;
}

static bool link_modules(struct compile_job *j, struct compile_thread *threads, unsigned n_threads, struct code_artifact *ret, struct err *e)
{
	for (uint32_t k = 0; k < j->n_modules; k++) {
		struct baseline_output *outputs[MAX_THREADS];
		for (unsigned t = 0; t < n_threads; t++)
			outputs[t] = &threads[t].outputs[k];
		if (!baseline_link(j->modules[k], outputs, n_threads, &j->options, &ret[k], e))
			return false;
	}
	return true;
}

static void run_threads(struct compile_thread *threads, unsigned n)
{
	unsigned started = 1;
	while (started < n && sys_thread_new(&threads[started].thread, compile_main, &threads[started]) == 0)
		started++;
	compile_main(&threads[0]);  // fewer threads than wished for is slower, not wrong
	for (unsigned t = 1; t < started; t++)
		sys_thread_join(&threads[t].thread);
}

bool tier__compile(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu, struct code_artifact *ret,
	struct err *e)
{
	struct baseline_options how = {.cpu = cpu, .poison_upper = opt->poison_upper, .check_memories = !vm_process_has_cells()};
	struct compile_job j = {.modules = modules, .n_modules = n, .options = how, .e = e};
	sys_mutex_init(&j.lock);
	unsigned n_threads = opt->threads ? opt->threads : tier_cores();
	struct compile_thread threads[MAX_THREADS] = {0};
	bool ok;
	j.layouts = mem_zalloc(n * sizeof *j.layouts);
	for (uint32_t k = 0; j.layouts && k < n; k++)
		abi_layout(modules[k], &j.layouts[k]);
	ok = (j.layouts || err_nomem(e)) && cut_pieces(&j, e);
	n_threads = (unsigned)min_u64(min_u64(n_threads, MAX_THREADS), j.n_pieces ? j.n_pieces : 1);
	for (unsigned t = 0; ok && t < n_threads; t++) {
		threads[t] = (struct compile_thread){.job = &j, .outputs = mem_zalloc(n * sizeof(struct baseline_output))};
		ok = threads[t].outputs || err_nomem(e);
	}
	if (ok) {
		run_threads(threads, n_threads);
		ok = !atomic_load(&j.failed) && link_modules(&j, threads, n_threads, ret, e);
	}
	for (unsigned t = 0; t < n_threads; t++) {
		for (uint32_t k = 0; threads[t].outputs && k < n; k++)
			baseline_output_release(&threads[t].outputs[k]);
		mem_free(threads[t].outputs);
	}
	mem_free(j.pieces);
	mem_free(j.layouts);
	sys_mutex_release(&j.lock);
	return ok;
}
