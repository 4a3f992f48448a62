// For tenon inspect: what would stand behind a component's imports, and where its image would be taken. Nothing is served.
#include "serve_int.h"
#include "sys/sys.h"
#include "warm.h"

// ---- imports -------------------------------------------------------------------------------------------------------------------------

bool serve_describe_imports(const struct comp_component *comp, struct serve_served_by *ret, struct err *e)
{
	struct wasi_log log = {0};
	struct wasi wasi;
	struct seam_registry registry = {0};
	wasi_init(&wasi, &log);
	bool ok = wasi_register(&wasi, &registry, e);
	for (uint32_t i = 0; ok && i < comp->nimports; i++) {
		const struct comp_extern *x = &comp->imports[i];
		const struct seam_offer *o = x->kind == COMP_EXTERN_INSTANCE ? seam_registry_find(&registry, x->name, x->implements) : NULL;
		ret[i] = o ? (struct serve_served_by){o->interface->name, o->provider->ops->name} : (struct serve_served_by){0};
	}
	seam_registry_release(&registry);
	seam_provider_unref(&wasi.seam, SEAM_HELD_BY_MAKER);
	return ok;
}

// ---- the image -----------------------------------------------------------------------------------------------------------------------

struct job {
	struct serve_version version;
	struct serve_thread thread;  // of it a loop and a shard of the engine
	struct wasi_process wasi;
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct canon_trap trap;
	struct err *e;
	bool ok, warms;
};

static bool open_job(struct job *j, const struct serve_config *c, struct err *e)
{
	struct serve_version *v = &j->version;
	v->config = &c->service;
	if (!vm_process_init(e) || !serve__deployment_load(&v->deployment, &c->service, &c->process, e) ||
		(v->config->warm.len && !serve__version_find_handler(v, e)) || !loop_new(&j->thread.loop, e) ||
		!vm_shard_new(&j->thread.vm, e) || !seam_tasks_new(j->thread.loop, j->thread.vm, &j->tasks, e) ||
		!wasi_process_open(&j->wasi, e))
		return false;
	v->deployment.wasi.process = &j->wasi;
	j->e = e;
	return true;
}

static void take_image(void *arg)
{
	struct job *j = arg;
	j->ok = serve__image_take(&j->version, &j->thread, j->task, &j->trap, &j->warms, j->e);
}

static void wake_loop(void *loop)
{
	loop_wakeup(loop);
}

static bool run_job(struct job *j, struct err *e)
{
	struct loop *loop = j->thread.loop;
	struct vm_budget budget = serve__budget(&j->version.config->limits, loop_now_fresh_ns(loop));
	seam_instance_init(&j->version.image_seam, loop, &j->version.deployment.grants, NULL);
	j->task = seam_task_new(j->tasks, NULL);
	if (!j->task || !seam_task_run_to_end(j->task, take_image, j, budget, sys_stop_begin(wake_loop, loop)))
		return err_nomem(e);
	seam_instance_task_end(&j->version.image_seam, j->task);
	return j->ok || e->code != ERR_NONE || err_set(e, serve__code_of_trap(j->trap.trap), "the component traps while it %s: %s", serve__image_stage(j->warms), j->trap.text);
}

static void close_job(struct job *j)
{
	canon_image_free(j->version.image);
	wasi_process_close(&j->wasi);
	seam_task_free(j->task);
	seam_tasks_free(j->tasks);
	if (j->thread.vm)
		vm_shard_free(j->thread.vm);
	if (j->thread.loop)
		loop_free(j->thread.loop);
	serve__deployment_release(&j->version.deployment);
	sys_stop_end();
}

bool serve_describe_image(const struct serve_config *c, struct serve_image_facts *ret, struct err *e)
{
	struct job j = {0};
	struct canon_image_info info;
	bool ok = open_job(&j, c, e) && run_job(&j, e) && j.ok;
	if (ok) {
		canon_image_info(j.version.image, &info);
		*ret = (struct serve_image_facts){.after = info.cut, .of = info.steps, .bytes = info.bytes, .warmed = c->service.warm.len};
		ret->once = c->service.init == SERVE_INIT_ONCE;
		snprintf(ret->why, sizeof ret->why, "%s", info.why);
	}
	close_job(&j);
	return ok;
}
