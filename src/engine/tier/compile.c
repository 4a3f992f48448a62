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

// Functions that are too large to be compiled while somebody waits.
struct place {
	uint32_t module, func;
};
typedef VEC(struct place) places;

struct compile_job {
	const struct wasm_module *const *modules;
	struct abi_layout *layouts;
	uint32_t n_modules;
	struct baseline_options options;
	struct tier__lazy **lazies;  // whose the modules are: nothing is compiled, and what is large is noted. NULL: nobody's
	struct piece *pieces;
	uint32_t n_pieces;
	uint64_t bytes;  // of all bodies
	const struct tier__over *is_over;
	_Atomic uint32_t next;
	_Atomic bool failed;
	struct sys_mutex lock;
	struct err *e;
};

struct compile_thread {
	struct compile_job *job;
	struct buf body;                  // that is compiled now
	struct baseline_output *outputs;  // one a module
	const struct wasm_module *checks;  // that its scratch checks bodies of
	places large;
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

// Whether compiling it takes longer than somebody may have to wait: by its bytes, and by what two bytes of a branch or a call may list a thousand of, for
// which there is code that moves each.
static bool is_large(const struct wasm_func *f, uint64_t nlisted)
{
	return f->size + TIER__LAZY_LISTED * nlisted >= TIER__LAZY_BODY;
}

// What is compiled is what was validated, whoever writes to the file meanwhile: `view`, a copy of the module, gets a copy of the body that nobody else has.
static bool take_body(struct compile_thread *t, const struct wasm_module *m, uint32_t func, struct wasm_module *view)
{
	const struct wasm_func *f = &m->funcs[func];
	buf_clear(&t->body);
	uint8_t *body = buf_reserve(&t->body, f->size + 1);
	if (!body)
		return false;
	memcpy(body, m->bytes.ptr + f->offset, f->size);
	view->bytes.ptr = (const uint8_t *)((uintptr_t)body - f->offset);  // so that it lies where its offset says
	return true;
}

static bool compile_func(struct compile_thread *t, uint32_t module, uint32_t func, struct wasm_scratch *scratch, struct err *e)
{
	struct compile_job *j = t->job;
	const struct wasm_module *m = j->modules[module];
	struct wasm_module view = *m;
	struct wasm_func_info info;
	if (!take_body(t, m, func, &view))
		return err_nomem(e);
	if (!wasm_validate_func(&view, func, scratch, &info, e))
		return false;
	return baseline_compile_func(&view, func, &info, &j->layouts[module], &j->options, &t->outputs[module], e) || err_note(e, "function %u", func);
}

static bool check_func(struct compile_thread *t, uint32_t module, uint32_t func, struct wasm_scratch *scratch, struct err *e)
{
	const struct wasm_module *m = t->job->modules[module];
	uint64_t nlisted;
	tier__lazy_take_body(t->job->lazies[module], func);
	if (!wasm_check_func(scratch, func, &nlisted, e))
		return false;
	return !is_large(&m->funcs[func], nlisted) || VEC_PUSH(NULL, &t->large, ((struct place){module, func}), UINT32_MAX) || err_nomem(e);
}

static bool compile_piece(struct compile_thread *t, const struct piece *p, struct wasm_scratch *scratch, struct err *e)
{
	struct compile_job *j = t->job;
	const struct wasm_module *m = j->modules[p->module];
	if (j->lazies && t->checks != m && !wasm_check_begin(scratch, m, e))
		return false;
	t->checks = m;
	for (uint32_t f = p->first; f < p->end; f++)
		if (!(j->lazies ? check_func : compile_func)(t, p->module, f, scratch, e))
			return false;
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
		if (t->job->is_over && t->job->is_over->is(t->job->is_over->arg))
			atomic_store(&t->job->failed, true);
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
			j->bytes += m->funcs[f].size;
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

static void run_threads(struct compile_thread *threads, unsigned n)
{
	unsigned started = 1;
	while (started < n && sys_thread_new(&threads[started].thread, compile_main, &threads[started]) == 0)
		started++;
	compile_main(&threads[0]);  // fewer threads than wished for is slower, not wrong
	for (unsigned t = 1; t < started; t++)
		sys_thread_join(&threads[t].thread);
}

// What becomes of it all: the k-th module's outputs are one a thread.
typedef bool (*finish_fn)(const struct compile_job *j, struct compile_thread *threads, unsigned n_threads, void *ret, struct err *e);

static bool run(struct compile_job *j, unsigned n_threads, finish_fn finish, void *ret, struct err *e)
{
	struct compile_thread threads[MAX_THREADS] = {0};
	bool ok;
	j->e = e;
	sys_mutex_init(&j->lock);
	j->layouts = mem_zalloc(j->n_modules * sizeof *j->layouts);
	for (uint32_t k = 0; j->layouts && k < j->n_modules; k++)
		abi_layout(j->modules[k], &j->layouts[k]);
	ok = (j->layouts || err_nomem(e)) && cut_pieces(j, e);
	// A thread costs as much as some kilobytes of code: not one for each small module.
	n_threads = (unsigned)min_u64(min_u64(n_threads ? n_threads : tier_cores(), MAX_THREADS), min_u64(max_u64(j->n_pieces, 1), 1 + j->bytes / PIECE_BYTES));
	for (unsigned t = 0; ok && t < n_threads; t++) {
		threads[t] = (struct compile_thread){.job = j, .outputs = mem_zalloc(j->n_modules * sizeof(struct baseline_output))};
		ok = threads[t].outputs || err_nomem(e);
	}
	if (ok) {
		run_threads(threads, n_threads);
		ok = !atomic_load(&j->failed) && finish(j, threads, n_threads, ret, e);
	}
	for (unsigned t = 0; t < n_threads; t++) {
		for (uint32_t k = 0; threads[t].outputs && k < j->n_modules; k++)
			baseline_output_release(&threads[t].outputs[k]);
		mem_free(threads[t].outputs);
		VEC_FREE(&threads[t].large);
		buf_release(&threads[t].body);
	}
	mem_free(j->pieces);
	mem_free(j->layouts);
	sys_mutex_release(&j->lock);
	return ok;
}

static struct baseline_options options_of(const struct tier_options *opt, uint32_t cpu)
{
	return (struct baseline_options){.cpu = cpu, .poison_upper = opt->poison_upper, .check_memories = !vm_process_has_cells()};
}

// ---- all of it -----------------------------------------------------------------------------------------------------------------------
static bool link_modules(const struct compile_job *j, struct compile_thread *threads, unsigned n_threads, void *ret, struct err *e)
{
	for (uint32_t k = 0; k < j->n_modules; k++) {
		struct baseline_output *outputs[MAX_THREADS];
		for (unsigned t = 0; t < n_threads; t++)
			outputs[t] = &threads[t].outputs[k];
		if (!baseline_link(j->modules[k], outputs, n_threads, &j->options, (struct code_artifact *)ret + k, e))
			return false;
	}
	return true;
}

bool tier__compile(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu, const struct tier__over *is_over,
	struct code_artifact *ret, struct err *e)
{
	struct compile_job j = {.modules = modules, .n_modules = n, .options = options_of(opt, cpu), .is_over = is_over};
	return run(&j, opt->threads, link_modules, ret, e);
}

// ---- what is called ------------------------------------------------------------------------------------------------------------------
void tier__called_free(struct tier__called *c)
{
	if (!c)
		return;
	for (uint32_t k = 0; k < c->n; k++)
		code_object_unref(c->code[k]);
	mem_free(c->code);
	mem_free(c->modules);
	mem_free(c);
}

// What is compiled ahead, and who does it. Code that it compiles for is counted.
struct tier__ahead {
	uint32_t n;
	struct ahead_place {
		struct tier__lazy *lazy;
		struct code_object *code;
		uint32_t module, func;
	} *places;
	_Atomic uint32_t next;
	struct sys_thread thread;
	bool runs;
};

static void compile_ahead(struct tier__ahead *a, unsigned thread)
{
	struct wasm_scratch *scratch = wasm_scratch_new();  // without one they are compiled when they are called
	for (uint32_t i; scratch && (i = atomic_fetch_add(&a->next, 1)) < a->n;)
		tier__lazy_ahead(a->places[i].lazy, a->places[i].func, thread, scratch);
	wasm_scratch_free(scratch);
}

static void *ahead_main(void *arg)
{
	compile_ahead(arg, 0);
	return NULL;
}

void tier__ahead_end(struct tier__ahead *a)
{
	if (!a)
		return;
	if (atomic_load(&a->next) < a->n)
		compile_ahead(a, 1);
	if (a->runs)
		sys_thread_join(&a->thread);
	for (uint32_t i = 0; i < a->n; i++)
		code_object_unref(a->places[i].code);
	mem_free(a->places);
	mem_free(a);
}

void tier__ahead_cancel(struct tier__ahead *a)
{
	if (a)
		atomic_store(&a->next, a->n);
	tier__ahead_end(a);
}

struct called {
	struct tier__called *c;
	struct tier__ahead *ahead;
};

static bool publish_modules(const struct compile_job *j, struct compile_thread *threads, unsigned n_threads, void *ret, struct err *e)
{
	struct called *r = ret;
	uint32_t n = 0;
	for (unsigned t = 0; t < n_threads; t++)
		n += threads[t].large.len;
	if (n && (!(r->ahead = mem_zalloc(sizeof *r->ahead)) || !(r->ahead->places = mem_alloc(n * sizeof *r->ahead->places))))
		return err_nomem(e);
	for (unsigned t = 0; t < n_threads; t++)
		for (uint32_t i = 0; i < threads[t].large.len; i++) {
			struct place at = threads[t].large.ptr[i];
			r->ahead->places[r->ahead->n++] = (struct ahead_place){j->lazies[at.module], NULL, at.module, at.func};
		}
	for (uint32_t k = 0; k < j->n_modules; k++) {
		struct tier__lazy *z = j->lazies[k];
		j->lazies[k] = NULL;
		if (!tier__lazy_publish(z, &j->layouts[k], &j->options, &r->c->code[k], e))
			return false;
	}
	for (uint32_t i = 0; i < n; i++)
		r->ahead->places[i].code = code_object_ref(r->c->code[r->ahead->places[i].module]);
	return true;
}

static bool make_lazies(const struct wasm_module *const *modules, struct tier__called *c, struct tier__lazy **lazies, struct err *e)
{
	for (uint32_t k = 0; k < c->n; k++) {
		if (!tier__lazy_new(modules[k], &lazies[k], e))
			return false;
		c->modules[k] = tier__lazy_module(lazies[k]);
	}
	return true;
}

bool tier__compile_called(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu,
	const struct tier__over *is_over, struct tier__called **ret, struct tier__ahead **ret_ahead, struct err *e)
{
	struct called r = {.c = mem_zalloc(sizeof *r.c)};
	struct tier__lazy **lazies = mem_zalloc((n + 1) * sizeof(struct tier__lazy *));
	bool ok = r.c && lazies && (r.c->modules = mem_zalloc((n + 1) * sizeof(struct wasm_module *))) &&
		(r.c->code = mem_zalloc((n + 1) * sizeof(struct code_object *)));
	if (ok) {
		r.c->n = n;
		struct compile_job j = {.modules = r.c->modules, .n_modules = n, .options = options_of(opt, cpu), .lazies = lazies, .is_over = is_over};
		ok = make_lazies(modules, r.c, lazies, e) && run(&j, opt->threads, publish_modules, &r, e);
	} else {
		err_nomem(e);
	}
	for (uint32_t k = 0; lazies && k < n; k++)
		tier__lazy_free(lazies[k]);
	mem_free(lazies);
	if (!ok) {
		tier__ahead_cancel(r.ahead);  // not all is there that it would be compiled for
		tier__called_free(r.c);
		return false;
	}
	// Without a thread it is done at the end.
	if (r.ahead)
		r.ahead->runs = opt->threads != 1 && sys_thread_new(&r.ahead->thread, ahead_main, r.ahead) == 0;
	*ret = r.c;
	*ret_ahead = r.ahead;
	return true;
}
