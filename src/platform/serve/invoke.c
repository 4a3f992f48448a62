// tenon run: one instance, one call, on this thread.
#include "serve_int.h"
#include "sys/sys.h"

struct job {
	struct serve_deployment deployment;
	struct loop *loop;
	struct vm_shard *vm;
	struct wasi_process wasi;
	struct wasi_stdio *stdio;
	struct loop_pool *names;
	struct http_client *http;
	struct seam_instance seam;
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct canon_instance *instance;
	const struct comp_export_func *func;  // --invoke
	void *args, *result;
	struct wasi_cli_run_exports command;
	struct wasi_cli3_run_exports command_3;
	bool is_3;              // command_3
	struct wasi_result_void_void command_result;
	struct arena arena;   // of the arguments
	struct arena values;  // of the result: the instance's memory
	struct serve_taps taps;
	struct canon_trap trap;
	struct err *e;        // why the result can't be printed
	bool ok, printed;
};
enum { WRITE_SIZE = 64 << 10 };

// ---- the call ----------------------------------------------------------------------------------------------------------------------------

// What is there of the result's text goes out; the guest, which made the value, pays for the time.
static bool write_out(struct job *j, struct buf *b, struct err *e)
{
	bool ok = fwrite(b->ptr, 1, b->len, stdout) == b->len && fflush(stdout) == 0;
	buf_clear(b);
	return ok || err_set(e, ERR_ENV, "cannot write to stdout");
}

static bool take_text(void *ctx, struct buf *b, struct err *e)
{
	struct job *j = ctx;
	j->trap.trap = vm_work(vm_shard_exec(j->vm), VM_WORK_LOOK);
	if (j->trap.trap == TRAP_NONE)
		return b->len < WRITE_SIZE || write_out(j, b, e);
	snprintf(j->trap.text, sizeof j->trap.text, "%s", trap_text(j->trap.trap));
	return j->ok = false;
}

static bool contents(void *ctx, const struct wit_type *type, uint32_t number, const void **ret, size_t *ret_n, struct err *e)
{
	struct job *j = ctx;
	return serve__taps_contents(&j->taps, type, number, ret, ret_n, e);
}

static void print_result(struct job *j, struct err *e)
{
	if (j->taps.failed) {
		err_set(e, ERR_TRAP, "%s", j->taps.failed);
		return;
	}
	struct buf b = {0};
	const struct wit_type *type = j->func->type->result;
	struct wit_wave_sink sink = {take_text, j, contents};
	j->printed = type ? wit_wave_print_to(&b, &sink, type, j->result, e) : buf_put_str(&b, "()");
	if (j->printed)
		j->printed = buf_put_byte(&b, '\n') ? write_out(j, &b, e) : err_nomem(e);
	buf_release(&b);
}

static bool initialize(struct job *j)
{
	return canon_instance_initialize(j->instance, 0, canon_component_steps(j->deployment.canon), &j->task->canon, &j->trap);
}

// Streams and futures of the result: their other ends are worked on until all tasks of the call have ended.
static void on_result(struct canon_task *t)
{
	struct job *j = CONTAINER_OF(t, struct seam_task, canon)->owner;
	(void)serve__taps_take(&j->taps, j->func->type->result, j->result);
}

static bool call_function(struct job *j)
{
	const struct wit_type *type = j->func->type->result;
	if (!type || !(type->flags & WIT_HAS_STREAM))
		return canon_call_export(j->instance, j->func, &j->task->canon, j->args, j->result, &j->values, &j->trap);
	serve__taps_init(&j->taps, j->instance, &j->task->canon, &j->values);
	return canon_call_export_whole(j->instance, j->func, &j->task->canon, j->args, j->result, &j->values, on_result, &j->trap);
}

static void invoke_main(void *arg)
{
	struct job *j = arg;
	j->ok = initialize(j) && call_function(j);
	wasi_stdio_flush(j->stdio);
	if (j->ok)
		print_result(j, j->e);
	serve__taps_release(&j->taps);
	if (j->printed && j->taps.cut)
		serve__log(j->deployment.process, SERVE_LOG_WARN, "what came by streams is printed up to %d values", SERVE_PRINTED_MAX);
}

static void command_main(void *arg)
{
	struct job *j = arg;
	j->ok = initialize(j);
	if (j->ok && j->is_3)
		j->ok = wasi_cli3_run_call_run(j->task, j->instance, &j->command_3, &j->command_result, &j->values, NULL, &j->trap);
	else if (j->ok)
		j->ok = wasi_cli_run_call_run(j->task, j->instance, &j->command, &j->command_result, &j->values, &j->trap);
}

static void wake_loop(void *loop)
{
	loop_wakeup(loop);
}

// A signal ends the call, and the process afterwards.
static bool call(struct job *j, void (*fn)(void *), struct err *e)
{
	struct vm_budget budget = serve__budget(&j->deployment.config->limits, loop_now_fresh_ns(j->loop));
	if (!seam_task_run_to_end(j->task, fn, j, budget, sys_stop_begin(wake_loop, j->loop)))
		return err_nomem(e);
	seam_instance_task_end(&j->seam, j->task);
	return true;
}

// ---- what it was given and what came out ----------------------------------------------------------------------------------------------

static bool find_function(struct job *j, const struct wit_wave_call *call, struct err *e)
{
	uint32_t found = 0;
	const struct comp_plan *plan = &j->deployment.comp->plan;
	const struct comp_extern *x = comp_find_interface(j->deployment.comp, call->iface);
	if (call->iface.len && !x) {
		err_set(e, ERR_USAGE, "no exported interface '%.*s'", SLICE_ARGS(call->iface));
		for (uint32_t i = 0; i < plan->nexport_funcs; i++) {
			struct slice name = plan->export_funcs[i].interface;
			if (slice_eq(slice_sub(name, 0, slice_find(name, '@')), slice_sub(call->iface, 0, slice_find(call->iface, '@'))))
				return err_hint(e, "there is %.*s", SLICE_ARGS(name));
		}
		return err_hint(e, "tenon inspect shows what the component exports");
	}
	for (uint32_t i = 0; i < plan->nexport_funcs; i++) {
		const struct comp_export_func *f = &plan->export_funcs[i];
		if (!slice_eq(f->name, call->func) || (x && !slice_eq(f->interface, x->name)))
			continue;
		j->func = f;
		found++;
	}
	if (found == 1)
		return true;
	if (found == 0) {
		err_set(e, ERR_USAGE, "no exported function '%.*s'", SLICE_ARGS(call->func));
		return err_hint(e, "tenon inspect shows what the component exports");
	}
	err_set(e, ERR_USAGE, "%u exported functions are called '%.*s'", found, SLICE_ARGS(call->func));
	return err_hint(e, "say which: 'interface#%.*s(...)'", SLICE_ARGS(call->func));
}

static bool parse_call(struct job *j, const char *invoke, struct err *e)
{
	struct wit_wave_call call;
	if (!wit_wave_split(slice_str(invoke), &call, e) || !find_function(j, &call, e))
		return false;
	const struct wit_func_type *type = j->func->type;
	j->args = arena_zalloc(&j->arena, type->params.size64, 16);
	j->result = arena_zalloc(&j->arena, type->result ? type->result->size64 : 0, 16);
	if (!j->args || !j->result)
		return err_nomem(e);
	return wit_wave_parse_args(&j->arena, call.args, type, j->args, e);
}

static int trapped(struct job *j, struct serve_outcome *ret, struct err *e)
{
	enum trap t = j->trap.trap;
	if (t == TRAP_EXIT) {
		*ret = (struct serve_outcome){true, j->trap.exit_code};
		return j->trap.exit_code;
	}
	enum err_code code = serve__code_of_trap(t);
	err_set(e, code, "%s%s", code == ERR_TRAP ? "the guest trapped: " : "", j->trap.text);
	serve__backtrace(&j->deployment, &j->trap.frames, ret);
	ret->code = err_exit_status(e->code);
	return ret->code;
}

// ---- the whole -------------------------------------------------------------------------------------------------------------------------

static bool open_job(struct job *j, const struct serve_config *c, struct err *e)
{
	arena_init(&j->arena, 0);
	if (!vm_process_init(e) || !serve__deployment_load(&j->deployment, &c->service, &c->process, e))
		return false;
	if (!loop_new(&j->loop, e) || !vm_shard_new(&j->vm, e) || !seam_tasks_new(j->loop, j->vm, &j->tasks, e))
		return false;
	if (!wasi_process_open(&j->wasi, e) || !serve__take_handed(&j->wasi, e) || !wasi_stdio_open(j->loop, &j->wasi, &j->stdio, e) ||
		!loop_pool_new(&j->names, SERVE_NAMES_THREADS, SERVE_NAMES_QUEUED, e) ||
		!http_client_new(j->loop, j->names, &http_client_limits_default, &j->http, e))
		return false;
	j->wasi.names = j->names;
	j->deployment.wasi.process = &j->wasi;
	j->deployment.wasi.stdio = j->stdio;
	j->task = seam_task_new(j->tasks, NULL);
	if (j->task)
		j->task->owner = j;
	return j->task || err_nomem(e);
}

static bool instantiate(struct job *j, struct err *e)
{
	struct serve_deployment *d = &j->deployment;
	j->e = e;
	seam_instance_init(&j->seam, j->loop, &d->grants, NULL);
	j->seam.http = j->http;
	if (!canon_instance_new(j->vm, d->canon, seam_link_host(d->link), &d->limits, &j->seam, &j->instance, e))
		return false;
	vm_store_prefer_huge(canon_instance_store(j->instance));
	arena_init_pool(&j->values, 0, canon_instance_pool(j->instance));
	return true;
}

static void close_job(struct job *j)
{
	arena_release(&j->values);
	if (j->instance)
		canon_instance_free(j->instance);
	wasi_stdio_close(j->stdio);
	wasi_process_close(&j->wasi);
	seam_task_free(j->task);
	seam_tasks_free(j->tasks);
	if (j->vm)
		vm_shard_free(j->vm);
	http_client_free(j->http);
	if (j->loop)
		loop_free(j->loop);
	loop_pool_free(j->names);
	serve__deployment_release(&j->deployment);
	arena_release(&j->arena);
	sys_stop_end();
}

int serve_invoke(const struct serve_config *c, const char *invoke, struct serve_outcome *ret, struct err *e)
{
	struct job j = {0};
	*ret = (struct serve_outcome){false, 5};
	if (serve__is_module(&c->service))
		return serve__run_module(c, invoke, ret, e);
	int status;
	if (!open_job(&j, c, e) || !parse_call(&j, invoke, e) || !instantiate(&j, e) || !call(&j, invoke_main, e))
		status = err_exit_status(e->code);
	else if (!j.ok)
		status = trapped(&j, ret, e);
	else
		status = j.printed ? 0 : err_exit_status(e->code);
	if (!ret->by_guest)
		ret->code = status;
	close_job(&j);
	return status;
}

static bool find_command(struct job *j, struct err *e)
{
	const struct serve_deployment *d = &j->deployment;
	j->is_3 = seam_export_is_there(d->comp, &wasi_cli3_run_interface);
	if (j->is_3)
		return wasi_cli3_run_bind(d->comp, d->link, &j->command_3, e);
	if (seam_export_is_there(d->comp, &wasi_cli_run_interface))
		return wasi_cli_run_bind(d->comp, d->link, &j->command, e);
	err_set(e, ERR_LINK, "the component is no command: it does not export %s", wasi_cli_run_interface.name);
	return serve__hint_exports(d, e);
}

static int run_component(const struct serve_config *c, struct serve_outcome *ret, struct err *e)
{
	struct job j = {0};
	int status;
	if (!open_job(&j, c, e) || !find_command(&j, e) || !instantiate(&j, e) || !call(&j, command_main, e)) {
		ret->code = status = err_exit_status(e->code);
	} else if (!j.ok) {
		status = trapped(&j, ret, e);
	} else {
		*ret = (struct serve_outcome){true, j.command_result.is_err ? 1 : 0};
		status = ret->code;
	}
	close_job(&j);
	return status;
}

int serve_command(const struct serve_config *c, struct serve_outcome *ret, struct err *e)
{
	*ret = (struct serve_outcome){false, 5};
	return serve__is_module(&c->service) ? serve__run_module(c, NULL, ret, e) : run_component(c, ret, e);
}
