// Threads of a core module under tenon run (wasi:thread/spawn of preview 1): each is a thread of the process with a shard, a store and an instance of its own,
// around the shared memories of the first.
//
// 1. What a thread calls of preview 1 is carried out on the first thread, which has the descriptors, as a task of its own; the caller waits. The first one's
//    guest, if it computes or waits for an atomic, gives way for it.
// 2. Whoever traps or exits first ends all; the first thread's return from _start does, too. A thread that is to end is told by its fiber's kill, which it finds
//    wherever it computes or waits (vm); calls of preview 1 that wait end with their tasks.
// 3. A thread may spend what is left of the CPU budget after the threads that have ended, and the calls of all of them; the first one has a budget of its own.
// 4. Under the lock: the list, what is said to end all, calls on their way. The first thread joins the others before anything that they use goes.
#include "serve_int.h"
#include "sys/sys.h"

enum { THREADS_MAX = 256 };
#define EAGAIN_OF_PREVIEW1 6

struct module_thread {
	struct module_threads *all;
	struct module_thread *next;
	pthread_t thread;  // one that takes the signals of guests, as those of sys don't
	int32_t id;
	uint32_t argument;
	bool ended;
	struct vm_shard *shard;
	struct vm_store *store;
	struct vm_instance *instance;
	struct vm_fiber *fiber;  // while it may be killed
	enum trap trap;
	// The call that waits for the first thread.
	struct loop_remote remote;
	struct seam_task *task;  // the first thread's own
	const struct p1_import *function;
	const uint64_t *args;
	uint64_t *results;
	struct canon_trap told;
	enum trap call_trap;
	bool answered;
	struct sys_cond answer;
};
struct module_import {
	struct module_threads *all;
	struct module_thread *thread;  // NULL: the first
	const struct wasm_import *import;
	const struct p1_import *function;  // of preview 1
};
struct module_threads {
	struct module_threads_given given;
	struct vm_memory **memories;  // by index, of those that are imported
	struct module_import *imports;  // the first thread's
	struct sys_mutex lock;
	struct module_thread *list;
	uint32_t n;
	int32_t last_id;
	uint64_t cpu_spent;  // by threads that have ended, and by calls
	bool ending, by_thread;  // by_thread: `told` is what one that isn't the first was told
	enum trap trap;  // why
	struct canon_trap told;
	struct vm_trap_info info;
	struct loop_remote end;
};

// ---- what a module imports and exports for it ------------------------------------------------------------------------------------------

bool serve__module_threads_provide(const struct wasm_module *m, const struct wasm_import *im)
{
	if (im->kind == WASM_EXTERN_MEMORY)
		return m->memories[im->index].limits.shared;
	return im->kind == WASM_EXTERN_FUNC && slice_eq_str(im->module, "wasi") && slice_eq_str(im->name, "thread-spawn");
}

static bool is_func(const struct wasm_func_type *t, uint32_t nparams, uint32_t nresults)
{
	bool fits = t->nparams == nparams && t->nresults == nresults;
	for (uint32_t i = 0; fits && i < nparams; i++)
		fits = t->params[i].kind == WASM_I32;
	return fits && (!nresults || t->results[0].kind == WASM_I32);
}

bool serve__module_threads_check(const struct wasm_module *m, const struct wasm_import *im, struct err *e)
{
	if (im->kind != WASM_EXTERN_FUNC)
		return true;
	const struct wasm_export *x = wasm_module_find_export(m, SLICE_LIT("wasi_thread_start"));
	if (!is_func(wasm_func_type_of(m, im->index), 1, 1))
		return err_set(e, ERR_LINK, "cannot link: wasi.thread-spawn is imported with another type than it has");
	if (!x || x->kind != WASM_EXTERN_FUNC || !is_func(wasm_func_type_of(m, x->index), 2, 0))
		return err_set(e, ERR_LINK, "cannot link: a module with threads exports wasi_thread_start as a (func (param i32 i32))");
	const struct wasm_export *memory = wasm_module_find_export(m, SLICE_LIT("memory"));
	if (memory && memory->kind == WASM_EXTERN_MEMORY && !(memory->index < m->nimported_memories && m->memories[memory->index].limits.shared))
		return err_set(e, ERR_LINK, "cannot link: what a module with threads exports as memory is the shared one that it imports");
	for (uint32_t i = 0; i < m->nimported_memories; i++)
		if (m->memories[i].limits.shared)
			return true;
	return err_set(e, ERR_LINK, "cannot link: a module with threads imports a shared memory");
}

// ---- the end ---------------------------------------------------------------------------------------------------------------------------

// On the first thread: what others can't do.
static void end_tasks(struct module_threads *a)
{
	if (a->given.task->fiber)
		seam_task_kill(a->given.task, TRAP_KILLED);
	sys_mutex_lock(&a->lock);
	for (struct module_thread *t = a->list; t; t = t->next)
		if (t->task)
			seam_task_kill(t->task, TRAP_KILLED);
	sys_mutex_unlock(&a->lock);
}

static void on_end(struct loop_remote *r)
{
	end_tasks(CONTAINER_OF(r, struct module_threads, end));
}

// `t`: whose end it is; NULL: the first thread's. `why`: it could not be made; else NULL.
static void end_all(struct module_threads *a, enum trap trap, const struct module_thread *t, const char *why)
{
	sys_mutex_lock(&a->lock);
	bool first = !a->ending;
	if (first) {
		a->ending = true;
		a->trap = trap;
		if (why)
			snprintf(a->info.message, sizeof a->info.message, "a thread could not be made: %.200s", why);
		else
			a->info = *vm_trap_info(t ? t->shard : a->given.shard);
		a->by_thread = t != NULL;
		if (t)
			a->told = t->told;
	}
	for (struct module_thread *x = a->list; x; x = x->next)
		if (x->fiber)
			vm_fiber_kill(x->fiber, TRAP_KILLED);
	sys_mutex_unlock(&a->lock);
	if (first && t) {
		loop_post_remote(a->given.loop, &a->end);
		vm_shard_look(a->given.shard);
	}
}

// What a thread, or a call of one, may still spend.
static struct vm_budget budget_left(struct module_threads *a)
{
	struct vm_budget b = a->given.budget;
	sys_mutex_lock(&a->lock);
	if (b.cpu_ns != UINT64_MAX)
		b.cpu_ns -= min_u64(b.cpu_ns, a->cpu_spent);
	sys_mutex_unlock(&a->lock);
	return b;
}

static void spend(struct module_threads *a, uint64_t cpu_ns)
{
	sys_mutex_lock(&a->lock);
	a->cpu_spent = sat_add_u64(a->cpu_spent, cpu_ns);
	sys_mutex_unlock(&a->lock);
}

// ---- calls of preview 1 ----------------------------------------------------------------------------------------------------------------

static void answer(struct module_thread *t, enum trap trap)
{
	struct module_threads *a = t->all;
	sys_mutex_lock(&a->lock);
	t->call_trap = trap;
	t->answered = true;
	sys_cond_signal(&t->answer);
	sys_mutex_unlock(&a->lock);
}

static void perform(void *arg)
{
	struct module_thread *t = arg;
	t->call_trap = wasi_preview1_call(t->function, t->task, t->args, t->results);
}

static void on_performed(struct seam_task *task)
{
	struct module_thread *t = task->owner;
	t->task = NULL;
	spend(t->all, task->cpu_ns);
	seam_task_free(task);
	answer(t, t->call_trap);
}

static void on_call(struct loop_remote *r)
{
	struct module_thread *t = CONTAINER_OF(r, struct module_thread, remote);
	struct module_threads *a = t->all;
	sys_mutex_lock(&a->lock);
	bool ending = a->ending;
	sys_mutex_unlock(&a->lock);
	struct vm_budget budget = budget_left(a);
	t->task = ending || !budget.cpu_ns ? NULL : seam_task_new(a->given.tasks, NULL);
	if (!t->task) {
		answer(t, ending ? TRAP_KILLED : budget.cpu_ns ? TRAP_OUT_OF_MEMORY
													   : TRAP_CPU_BUDGET);
		return;
	}
	t->task->owner = t;
	t->task->canon.trap = &t->told;
	if (seam_task_run(t->task, perform, t, budget, on_performed))
		return;
	seam_task_free(t->task);
	t->task = NULL;
	answer(t, TRAP_OUT_OF_MEMORY);
}

// On a thread that isn't the first.
static enum trap ask_first(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct module_import *im = call->data;
	struct module_thread *t = im->thread;
	struct module_threads *a = t->all;
	t->function = im->function;
	t->args = args;
	t->results = results;
	t->answered = false;
	loop_post_remote(a->given.loop, &t->remote);
	vm_shard_look(a->given.shard);
	sys_mutex_lock(&a->lock);
	while (!t->answered)
		sys_cond_wait(&t->answer, &a->lock);
	enum trap trap = t->call_trap;
	sys_mutex_unlock(&a->lock);
	return trap == TRAP_HOST ? vm_trapf(call->shard, trap, "%s", t->told.text) : trap;
}

// ---- threads ---------------------------------------------------------------------------------------------------------------------------

static enum trap spawn(struct vm_call *call, const uint64_t *args, uint64_t *results);

static bool import_for(struct module_threads *a, struct module_import *im, struct vm_store *st, struct vm_extern *ret, struct err *e)
{
	const struct wasm_module *m = a->given.mod->m;
	ret->kind = im->import->kind;
	if (im->import->kind == WASM_EXTERN_MEMORY) {
		ret->memory = a->memories[im->import->index];
		return !im->thread || vm_memory_share(st, ret->memory) || err_nomem(e);
	}
	bool spawns = serve__module_threads_provide(m, im->import);
	if (!spawns)
		im->function = wasi_preview1_imported(a->given.preview1, im->import->name);
	return vm_host_func_new(st, wasm_func_type_of(m, im->import->index), spawns ? spawn : ask_first, im, spawns ? "thread-spawn" : "preview 1", &ret->func, e);
}

static bool open_thread(struct module_thread *t, struct arena *arena, struct err *e)
{
	const struct module_threads_given *g = &t->all->given;
	const struct wasm_module *m = g->mod->m;
	struct vm_extern *imports = ARENA_ARRAY(arena, struct vm_extern, (size_t)m->nimports + 1);
	struct module_import *ours = ARENA_ARRAY(arena, struct module_import, (size_t)m->nimports + 1);
	if (!imports || !ours)
		return err_nomem(e);
	if (!vm_shard_new(&t->shard, e) || !vm_store_new(t->shard, &g->limits, &t->store, e))
		return false;
	for (uint32_t i = 0; i < m->nimports; i++) {
		ours[i] = (struct module_import){.all = t->all, .thread = t, .import = &m->imports[i]};
		if (!import_for(t->all, &ours[i], t->store, &imports[i], e))
			return false;
	}
	return vm_imports_check(t->store, g->mod, imports, m->nimports, e) && vm_instance_allocate(t->store, g->mod, imports, m->nimports, &t->instance, e);
}

static void guest_main(void *arg)
{
	struct module_thread *t = arg;
	struct vm_extern x;
	t->trap = vm_instance_initialize(t->instance);
	if (t->trap || !vm_instance_export(t->instance, SLICE_LIT("wasi_thread_start"), &x))
		return;
	t->trap = vm_call(t->store, x.func, (const uint64_t[2]){(uint32_t)t->id, t->argument}, NULL);
}

static void run_thread(struct module_thread *t)
{
	struct module_threads *a = t->all;
	struct vm_fiber *f = vm_fiber_new(t->shard, guest_main, t);
	t->trap = TRAP_OUT_OF_MEMORY;
	if (!f)
		return;
	vm_fiber_set_budget(f, budget_left(a));
	sys_mutex_lock(&a->lock);
	t->fiber = f;
	if (a->ending)
		vm_fiber_kill(f, TRAP_KILLED);
	sys_mutex_unlock(&a->lock);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	sys_mutex_lock(&a->lock);
	t->fiber = NULL;
	sys_mutex_unlock(&a->lock);
	spend(a, vm_fiber_cpu_ns(f));
	vm_fiber_free(f);
}

static void *thread_main(void *arg)
{
	struct module_thread *t = arg;
	struct module_threads *a = t->all;
	struct arena arena;
	struct err e = {0};
	arena_init(&arena, 0);
	bool is_open = open_thread(t, &arena, &e);
	if (is_open)
		run_thread(t);
	else
		t->trap = TRAP_OUT_OF_MEMORY;
	if (t->trap)
		end_all(a, t->trap, t, is_open ? NULL : e.text);
	if (t->store)
		vm_store_free(t->store);
	if (t->shard)
		vm_shard_free(t->shard);
	arena_release(&arena);
	sys_mutex_lock(&a->lock);
	t->ended = true;
	sys_mutex_unlock(&a->lock);
	loop_wakeup(a->given.loop);
	return NULL;
}

// Under the lock. Those that have ended are let go.
static void reap(struct module_threads *a)
{
	for (struct module_thread **at = &a->list, *t; (t = *at);) {
		if (!t->ended) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		a->n--;
		pthread_join(t->thread, NULL);
		sys_cond_release(&t->answer);
		mem_free(t);
	}
}

// Under the lock. Its number, or an error of preview 1's, negative.
static int32_t start(struct module_threads *a, uint32_t argument)
{
	reap(a);
	if (a->ending || a->n == THREADS_MAX || a->last_id == (1 << 29) - 1)
		return -EAGAIN_OF_PREVIEW1;
	struct module_thread *t = mem_zalloc(sizeof *t);
	if (!t)
		return -EAGAIN_OF_PREVIEW1;
	*t = (struct module_thread){.all = a, .id = a->last_id + 1, .argument = argument, .remote.fn = on_call};
	if (!sys_cond_init(&t->answer)) {
		mem_free(t);
		return -EAGAIN_OF_PREVIEW1;
	}
	if (pthread_create(&t->thread, NULL, thread_main, t)) {
		sys_cond_release(&t->answer);
		mem_free(t);
		return -EAGAIN_OF_PREVIEW1;
	}
	t->next = a->list;
	a->list = t;
	a->n++;
	return ++a->last_id;
}

static enum trap spawn(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct module_import *im = call->data;
	sys_mutex_lock(&im->all->lock);
	results[0] = (uint32_t)start(im->all, (uint32_t)args[0]);
	sys_mutex_unlock(&im->all->lock);
	return TRAP_NONE;
}

// ---- the first thread's side -----------------------------------------------------------------------------------------------------------

bool serve__module_threads_new(struct arena *arena, const struct module_threads_given *given, struct module_threads **ret, struct err *e)
{
	const struct wasm_module *m = given->mod->m;
	struct module_threads *a = ARENA_NEW(arena, struct module_threads);
	if (!a)
		return err_nomem(e);
	a->given = *given;
	a->end.fn = on_end;
	sys_mutex_init(&a->lock);
	a->memories = ARENA_ARRAY(arena, struct vm_memory *, (size_t)m->nimported_memories + 1);
	a->imports = ARENA_ARRAY(arena, struct module_import, (size_t)m->nimports + 1);
	if (!a->memories || !a->imports)
		return err_nomem(e);
	for (uint32_t i = 0; i < m->nimported_memories; i++)
		if (!vm_memory_new(given->store, &m->memories[i], &a->memories[i], e))
			return false;
	*ret = a;
	return true;
}

bool serve__module_threads_import(struct module_threads *a, uint32_t import, struct vm_extern *ret, struct err *e)
{
	a->imports[import] = (struct module_import){.all = a, .import = &a->given.mod->m->imports[import]};
	return import_for(a, &a->imports[import], a->given.store, ret, e);
}

enum trap serve__module_threads_end(struct module_threads *a, enum trap trap, struct canon_trap *told, struct vm_trap_info *ret_info)
{
	end_all(a, trap, NULL, NULL);
	end_tasks(a);
	sys_mutex_lock(&a->lock);
	for (reap(a); a->list; reap(a)) {
		sys_mutex_unlock(&a->lock);
		loop_run_once(a->given.loop, 100 * MILLISECOND);
		sys_mutex_lock(&a->lock);
	}
	sys_mutex_unlock(&a->lock);
	if (a->by_thread)
		*told = a->told;
	*ret_info = a->info;
	return a->trap;
}
