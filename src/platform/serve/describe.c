// For tenon inspect: what would stand behind a component's imports, and where its image would be taken. Nothing is served.
#include "serve_int.h"
#include "sys/sys.h"

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
	struct serve_deployment deployment;
	struct loop *loop;
	struct vm_shard *vm;
	struct wasi_process wasi;
	struct seam_instance seam;
	struct seam_tasks *tasks;
	struct seam_task *task;
	struct canon_image *image;
	struct canon_trap trap;
	struct err *e;
	bool ok;
};

static bool open_job(struct job *j, const struct serve_config *c, struct err *e)
{
	if (!vm_process_init(e) || !serve__deployment_load(&j->deployment, &c->service, &c->process, e) || !loop_new(&j->loop, e) ||
		!vm_shard_new(&j->vm, e) || !seam_tasks_new(j->loop, j->vm, &j->tasks, e) || !wasi_process_open(&j->wasi, e))
		return false;
	j->deployment.wasi.process = &j->wasi;
	j->e = e;
	return true;
}

static void take_image(void *arg)
{
	struct job *j = arg;
	struct serve_deployment *d = &j->deployment;
	j->ok = canon_image_new(j->vm, d->canon, seam_link_host(d->link), &d->limits, CANON_INIT_AUTO, &j->seam, &j->task->canon, &j->image, &j->trap, j->e);
}

static void wake_loop(void *loop)
{
	loop_wakeup(loop);
}

static bool run_job(struct job *j, struct err *e)
{
	struct vm_budget budget = serve__budget(&j->deployment.config->limits, loop_now_fresh_ns(j->loop));
	seam_instance_init(&j->seam, j->loop, &j->deployment.grants, NULL);
	j->task = seam_task_new(j->tasks, NULL);
	if (!j->task || !seam_task_run_to_end(j->task, take_image, j, budget, sys_stop_begin(wake_loop, j->loop)))
		return err_nomem(e);
	seam_instance_task_end(&j->seam, j->task);
	return j->ok || e->code != ERR_NONE || err_set(e, ERR_TRAP, "the component traps while it is instantiated: %s", j->trap.text);
}

static void close_job(struct job *j)
{
	canon_image_free(j->image);
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

bool serve_describe_image(const struct serve_config *c, struct serve_image_facts *ret, struct err *e)
{
	struct job j = {0};
	struct canon_image_info info;
	bool ok = open_job(&j, c, e) && run_job(&j, e) && j.ok;
	if (ok) {
		canon_image_info(j.image, &info);
		*ret = (struct serve_image_facts){.after = info.cut, .of = info.steps, .bytes = info.bytes};
		snprintf(ret->why, sizeof ret->why, "%s", info.why);
	}
	close_job(&j);
	return ok;
}
