// tenon run with a core module: one instance, its _start. Nothing is provided to it yet: preview 1 links by its table and is not run.
#include "serve_int.h"

bool serve__is_module(const char *path)
{
	uint8_t head[8];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(head, 1, sizeof head, f) : 0;
	if (f)
		fclose(f);
	return wasm_is_module(slice_of(head, n));
}

static bool check_imports(const struct wasm_module *m, struct err *e)
{
	for (uint32_t i = 0; i < m->nimports; i++) {
		const struct wasm_import *im = &m->imports[i];
		bool preview1 = slice_eq_str(im->module, "wasi_snapshot_preview1") && im->kind == WASM_EXTERN_FUNC;
		if (!preview1) {
			err_set_at(e, ERR_LINK, im->offset, "cannot link: nobody provides %.*s.%.*s", SLICE_ARGS(im->module), SLICE_ARGS(im->name));
			return err_hint(e, "a core module gets nothing but wasi_snapshot_preview1; components have links");
		}
		if (!wasi_preview1_check(im->name, wasm_func_type_of(m, im->index), e))
			return false;
	}
	if (m->nimports == 0)
		return true;
	err_set(e, ERR_UNSUPPORTED, "modules that import wasi_snapshot_preview1 are not run yet");
	return err_hint(e, "make a component of it: wasm-tools component new MODULE.wasm --adapt wasi_snapshot_preview1.command.wasm -o component.wasm");
}

static void put_types(struct buf *b, const char *what, const struct wasm_valtype *types, uint32_t n)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128", "ref"};
	for (uint32_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? " " : what, names[types[i].kind]);
	buf_put_str(b, n ? ")" : "");
}

// It is called with nothing and gives nothing.
static bool check_start(const struct wasm_module *m, struct err *e)
{
	const struct wasm_export *x = wasm_module_find_export(m, SLICE_LIT("_start"));
	if (!x || x->kind != WASM_EXTERN_FUNC) {
		err_set(e, ERR_LINK, "the module is no command: it exports no function _start");
		return err_hint(e, "a core module is run by its _start; of a component any export can be called with --invoke");
	}
	const struct wasm_func_type *type = wasm_func_type_of(m, x->index);
	if (type->nparams == 0 && type->nresults == 0)
		return true;
	struct buf b = {.max = 200};
	put_types(&b, " (param ", type->params, type->nparams);
	put_types(&b, " (result ", type->results, type->nresults);
	err_set(e, ERR_LINK, "cannot link: the export _start is a (func%.*s); expected is a (func)", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return false;
}

struct module_job {
	struct loop *loop;
	struct vm_shard *vm;
	struct vm_store *store;
	struct vm_instance *instance;
	struct seam_task task;
	enum trap trap;
};

static void run_start(void *arg)
{
	struct module_job *j = arg;
	struct vm_extern start;
	j->trap = vm_instance_initialize(j->instance);
	if (j->trap != TRAP_NONE)
		return;
	BUG_ON(!vm_instance_export(j->instance, SLICE_LIT("_start"), &start));  // check_start
	j->trap = vm_call(j->store, start.func, NULL, NULL);
}

static bool open_job(struct module_job *j, const struct serve_deployment *d, struct err *e)
{
	const struct serve_service_limits *l = &d->config->limits;
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	limits.memory = l->memory ? l->memory : UINT64_MAX;
	limits.table_elements = l->table_elements ? l->table_elements : UINT64_MAX;
	return loop_new(&j->loop, e) && vm_shard_new(&j->vm, e) && vm_store_new(j->vm, &limits, &j->store, e) &&
		vm_instance_allocate(j->store, d->modules[0], NULL, 0, &j->instance, e);
}

static bool run(struct module_job *j, const struct serve_service_limits *l, struct err *e)
{
	seam_task_init(&j->task, j->loop, j->vm, NULL);
	return seam_task_run_to_end(&j->task, run_start, j, serve__budget(l, loop_now_fresh_ns(j->loop)), NULL) || err_nomem(e);
}

static bool explain(struct module_job *j, char *backtrace, size_t size, struct err *e)
{
	if (j->trap == TRAP_NONE)
		return true;
	struct buf b = {.max = 1 << 16};
	bool late = j->trap == TRAP_DEADLINE || j->trap == TRAP_CPU_BUDGET;
	vm_trap_print(vm_trap_info(j->vm), &b);
	err_set(e, late ? ERR_TIMEOUT : ERR_TRAP, "%s%s", late ? "" : "the guest trapped: ", trap_text(j->trap));
	snprintf(backtrace, size, "%.*s", SLICE_ARGS(slice_whole_lines(buf_view(&b), size - 1)));
	buf_release(&b);
	return false;
}

int serve__run_module(const struct serve_config *c, struct serve_outcome *ret, struct err *e)
{
	struct serve_deployment d = {0};
	struct module_job j = {0};
	bool ok = vm_process_init(e) && serve__deployment_compile(&d, &c->service, &c->process, e) && check_imports(d.modules[0]->m, e) &&
		check_start(d.modules[0]->m, e) && open_job(&j, &d, e) && run(&j, &c->service.limits, e) && explain(&j, ret->backtrace, sizeof ret->backtrace, e);
	ret->by_guest = ok;
	ret->code = ok ? 0 : err_exit_status(e->code);
	if (j.store)
		vm_store_free(j.store);
	if (j.vm)
		vm_shard_free(j.vm);
	if (j.loop)
		loop_free(j.loop);
	serve__deployment_release(&d);
	return ret->code;
}
