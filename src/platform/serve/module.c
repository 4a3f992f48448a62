// tenon run with a core module: one instance, given preview 1 and nothing else. Its _initialize is called if it has one, then _start, or what --invoke says.
#include "serve_int.h"
#include "sys/sys.h"

struct module_job {
	struct serve_deployment deployment;
	const struct wasm_module *m;
	struct loop *loop;
	struct vm_shard *vm;
	struct wasi_process wasi;
	struct wasi_stdio *stdio;
	struct vm_store *store;
	struct wasi_preview1 *preview1;
	struct vm_instance *instance;
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct canon_trap told;   // what host functions say of a trap, or of the end
	struct module_call call;
	struct module_threads *threads;  // NULL: it imports nothing for them
	enum trap trap;
	struct vm_trap_info info;
	bool printed;
	struct err *e;
};

static size_t read_file(void *ctx, uint64_t at, uint8_t *to, size_t n)
{
	int64_t got = sys_file.read(*(int *)ctx, to, n, at, false);
	return got > 0 ? (size_t)got : 0;
}

bool serve_file_has_world(int fd)
{
	return comp_module_has_world_by(read_file, &fd);
}

bool serve__is_module(const struct serve_service_config *c)
{
	uint8_t head[8];
	FILE *f = c->file ? NULL : fopen(c->path, "re");
	int fd = c->file ? c->file - 1 : f ? fileno(f)
									   : -1;
	bool is = fd >= 0 && wasm_is_module(slice_of(head, read_file(&fd, 0, head, sizeof head))) && !serve_file_has_world(fd);
	if (f)
		fclose(f);
	return is;
}

// ---- what it imports and exports -------------------------------------------------------------------------------------------------------

static bool check_imports(const struct wasm_module *m, struct err *e)
{
	for (uint32_t i = 0; i < m->nimports; i++) {
		const struct wasm_import *im = &m->imports[i];
		bool preview1 = slice_eq_str(im->module, "wasi_snapshot_preview1") && im->kind == WASM_EXTERN_FUNC;
		if (serve__module_threads_provide(m, im)) {
			if (!serve__module_threads_check(m, im, e))
				return false;
			continue;
		}
		if (!preview1) {
			err_set_at(e, ERR_LINK, im->offset, "cannot link: nobody provides %.*s.%.*s", SLICE_ARGS(im->module), SLICE_ARGS(im->name));
			return err_hint(e, "a core module gets nothing but wasi_snapshot_preview1; components have links");
		}
		if (!wasi_preview1_check(im->name, wasm_func_type_of(m, im->index), e))
			return false;
	}
	return true;
}

static void put_types(struct buf *b, const char *what, const struct wasm_valtype *types, uint32_t n)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128", "ref"};
	for (uint32_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? " " : what, names[types[i].kind]);
	buf_put_str(b, n ? ")" : "");
}

// An export that is called with nothing and gives nothing.
static bool check_entry(const struct wasm_module *m, const char *name, struct err *e)
{
	const struct wasm_export *x = wasm_module_find_export(m, slice_str(name));
	if (x->kind != WASM_EXTERN_FUNC)
		return err_set(e, ERR_LINK, "cannot link: the export %s is no function; expected is a (func)", name);
	const struct wasm_func_type *type = wasm_func_type_of(m, x->index);
	if (type->nparams == 0 && type->nresults == 0)
		return true;
	struct buf b = {.max = 200};
	put_types(&b, " (param ", type->params, type->nparams);
	put_types(&b, " (result ", type->results, type->nresults);
	err_set(e, ERR_LINK, "cannot link: the export %s is a (func%.*s); expected is a (func)", name, SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return false;
}

static bool check_entries(const struct wasm_module *m, bool is_command, struct err *e)
{
	const struct wasm_export *start = wasm_module_find_export(m, SLICE_LIT("_start"));
	bool has_initialize = wasm_module_find_export(m, SLICE_LIT("_initialize"));
	if (is_command && (!start || start->kind != WASM_EXTERN_FUNC)) {
		err_set(e, ERR_LINK, "the module is no command: it exports no function _start");
		return err_hint(e, has_initialize ? "it is a reactor: --invoke 'f(1)' calls one of its exports" : "--invoke 'f(1)' calls another export");
	}
	return (!is_command || check_entry(m, "_start", e)) && (!has_initialize || check_entry(m, "_initialize", e));
}

// Without one only what needs none can be called.
static bool check_memory(const struct wasm_module *m, struct err *e)
{
	const struct wasm_export *x = wasm_module_find_export(m, SLICE_LIT("memory"));
	if (m->nimports == 0 || !x)
		return true;
	if (x->kind == WASM_EXTERN_MEMORY && !m->memories[x->index].limits.is64)
		return true;
	err_set(e, ERR_LINK, "cannot link: the export memory is no 32-bit memory of its own");
	return err_hint(e, "wasi_snapshot_preview1 has pointers of 32 bits into the memory that a module exports under that name");
}

// ---- running it ------------------------------------------------------------------------------------------------------------------------

static enum trap call_entry(struct module_job *j, struct slice name)
{
	struct vm_extern x;
	return vm_instance_export(j->instance, name, &x) ? vm_call(j->store, x.func, NULL, NULL) : TRAP_NONE;
}

static enum trap run_all(struct module_job *j)
{
	enum trap t = vm_instance_initialize(j->instance);
	if (t == TRAP_NONE)
		t = call_entry(j, SLICE_LIT("_initialize"));
	if (t != TRAP_NONE || !j->call.type)
		return t != TRAP_NONE ? t : call_entry(j, SLICE_LIT("_start"));
	struct vm_extern x = vm_instance_extern(j->instance, WASM_EXTERN_FUNC, j->call.func);
	return vm_call(j->store, x.func, j->call.args, j->call.results);
}

static void module_main(void *arg)
{
	struct module_job *j = arg;
	j->trap = run_all(j);
	if (j->trap != TRAP_NONE || !j->call.type)
		return;
	wasi_stdio_flush(j->stdio);
	j->printed = serve__module_call_print(&j->call, j->e);
}

static void wake_loop(void *loop)
{
	loop_wakeup(loop);
}

// A signal ends the call, and the process afterwards.
static bool run(struct module_job *j, struct err *e)
{
	struct vm_budget budget = serve__budget(&j->deployment.config->limits, loop_now_fresh_ns(j->loop));
	if (!seam_task_run_to_end(j->task, module_main, j, budget, sys_stop_begin(wake_loop, j->loop)))
		return err_nomem(e);
	j->info = *vm_trap_info(j->vm);
	if (j->threads)
		j->trap = serve__module_threads_end(j->threads, j->trap, &j->told, &j->info);
	return true;
}

// ---- what it is given ------------------------------------------------------------------------------------------------------------------

// Preview 1 has connections of sockets that are given to it listening, and no others.
static bool check_listens(const struct serve_service_config *c, struct err *e)
{
	for (uint32_t i = 0; i < c->listens.len; i++)
		if (c->listens.ptr[i].udp || c->listens.ptr[i].any_port) {
			err_set(e, ERR_USAGE, "a core module gets sockets that listen already: --listen-tcp IP:PORT");
			return err_hint(e, c->listens.ptr[i].udp ? "preview 1 has no datagrams" : "* is no port to listen on");
		}
	return true;
}

static bool load(struct module_job *j, const struct serve_config *c, const char *invoke, struct err *e)
{
	struct serve_deployment *d = &j->deployment;
	if (!vm_process_init(e) || !serve__deployment_load_module(d, &c->service, &c->process, e))
		return false;
	j->m = d->modules[0]->m;
	return check_listens(&c->service, e) && check_imports(j->m, e) && check_memory(j->m, e) && check_entries(j->m, !invoke, e) &&
		(!invoke || serve__module_call_parse(&d->arena, j->m, invoke, &j->call, e));
}

bool serve__take_handed(struct wasi_process *p, struct err *e)
{
	struct sys_handed handed;
	struct sys_address address;
	char path[SYS_SOCKET_PATH_MAX + 2];
	if (!sys_handed_over(&handed, e))
		return false;
	for (unsigned i = 0; i < handed.n; i++) {
		if (!sys_handed_socket(SYS_HANDED_FIRST + (int)i, &address, path, e))
			return false;
		if (!address.len)
			return err_set(e, ERR_ENV, "descriptor %u, which was handed over (LISTEN_FDS), is in the file system: a guest's sockets are of IP", SYS_HANDED_FIRST + i);
	}
	p->n_handed = handed.n;
	return true;
}

static bool open_process(struct module_job *j, struct err *e)
{
	if (!loop_new(&j->loop, e) || !vm_shard_new(&j->vm, e) || !seam_tasks_new(j->loop, j->vm, &j->tasks, e))
		return false;
	if (!wasi_process_open(&j->wasi, e) || !serve__take_handed(&j->wasi, e) || !wasi_stdio_open(j->loop, &j->wasi, &j->stdio, e))
		return false;
	j->deployment.wasi.process = &j->wasi;
	j->deployment.wasi.stdio = j->stdio;
	j->task = seam_task_new(j->tasks, NULL);
	if (!j->task)
		return err_nomem(e);
	j->task->canon.trap = &j->told;
	return true;
}

static struct vm_limits limits_of(const struct module_job *j)
{
	const struct serve_service_limits *l = &j->deployment.config->limits;
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	limits.may_block = true;  // the thread is its alone
	limits.memory = l->memory ? l->memory : UINT64_MAX;
	limits.table_elements = l->table_elements ? l->table_elements : UINT64_MAX;
	limits.stack = l->stack ? l->stack : limits.stack;
	return limits;
}

static bool open_store(struct module_job *j, struct err *e)
{
	const struct serve_service_limits *l = &j->deployment.config->limits;
	struct vm_limits limits = limits_of(j);
	if (!vm_store_new(j->vm, &limits, &j->store, e))
		return false;
	vm_store_prefer_huge(j->store);
	struct wasi_preview1_given given = {j->store, j->task, &j->deployment.grants, (uint32_t)min_u64(l->handles, UINT32_MAX)};
	return wasi_preview1_new(&j->deployment.wasi, &given, &j->preview1, e);
}

static bool open_threads(struct module_job *j, struct err *e)
{
	struct module_threads_given given = {.mod = j->deployment.modules[0],
		.store = j->store,
		.limits = limits_of(j),
		.budget = serve__budget(&j->deployment.config->limits, loop_now_fresh_ns(j->loop)),
		.preview1 = j->preview1,
		.loop = j->loop,
		.shard = j->vm,
		.tasks = j->tasks,
		.task = j->task};
	for (uint32_t i = 0; i < j->m->nimports; i++)
		if (serve__module_threads_provide(j->m, &j->m->imports[i]))
			return serve__module_threads_new(&j->deployment.arena, &given, &j->threads, e);
	return true;
}

static bool import(struct module_job *j, uint32_t i, struct vm_extern *ret, struct err *e)
{
	const struct wasm_import *im = &j->m->imports[i];
	if (serve__module_threads_provide(j->m, im))
		return serve__module_threads_import(j->threads, i, ret, e);
	return wasi_preview1_import(j->preview1, im->name, wasm_func_type_of(j->m, im->index), ret, e);
}

static bool instantiate(struct module_job *j, struct err *e)
{
	const struct wasm_module *m = j->m;
	struct vm_extern *imports = ARENA_ARRAY(&j->deployment.arena, struct vm_extern, m->nimports + 1);
	struct vm_extern memory;
	if (!imports)
		return err_nomem(e);
	for (uint32_t i = 0; i < m->nimports; i++)
		if (!import(j, i, &imports[i], e))
			return false;
	if (!vm_instance_allocate(j->store, j->deployment.modules[0], imports, m->nimports, &j->instance, e))
		return false;
	if (vm_instance_export(j->instance, SLICE_LIT("memory"), &memory) && memory.kind == WASM_EXTERN_MEMORY)
		wasi_preview1_set_memory(j->preview1, memory.memory);
	return true;
}

static void close_job(struct module_job *j)
{
	wasi_preview1_free(j->preview1);
	if (j->store)
		vm_store_free(j->store);
	wasi_stdio_close(j->stdio);
	wasi_process_close(&j->wasi);
	seam_task_free(j->task);
	seam_tasks_free(j->tasks);
	if (j->vm)
		vm_shard_free(j->vm);
	if (j->loop)
		loop_free(j->loop);
	serve__deployment_release(&j->deployment);
	sys_stop_end();
}

// ---- how it ended ----------------------------------------------------------------------------------------------------------------------

static int trapped(struct module_job *j, struct serve_outcome *ret, struct err *e)
{
	if (j->trap == TRAP_EXIT) {
		*ret = (struct serve_outcome){true, j->told.exit_code};
		return ret->code;
	}
	const struct vm_trap_info *info = &j->info;
	enum err_code code = serve__code_of_trap(j->trap);
	err_set(e, code, "%s%s", code == ERR_TRAP ? "the guest trapped: " : "", info->message[0] ? info->message : trap_text(j->trap));
	serve__backtrace(&j->deployment, &info->frames, ret);
	return err_exit_status(e->code);
}

int serve__run_module(const struct serve_config *c, const char *invoke, struct serve_outcome *ret, struct err *e)
{
	struct module_job j = {.e = e};
	int status;
	if (!load(&j, c, invoke, e) || !open_process(&j, e) || !open_store(&j, e) || !open_threads(&j, e) || !instantiate(&j, e) || !run(&j, e))
		status = err_exit_status(e->code);
	else if (j.trap != TRAP_NONE)
		status = trapped(&j, ret, e);
	else if (j.call.type)
		status = j.printed ? 0 : err_exit_status(e->code);
	else
		*ret = (struct serve_outcome){true, status = 0};
	if (!ret->by_guest)
		ret->code = status;
	close_job(&j);
	return status;
}
