// One version of a service: its component loaded, its image, and the count of those that use it.
//
//   serve__version_new ── loaded ──► serve__version_make_image ── ready ──► counted by service, shards, slots ──► the last lets go ──► freed on thread 0
#include "serve_int.h"
#include "sys/sys.h"

// ---- the image -----------------------------------------------------------------------------------------------------------------------

struct image_job {
	struct serve_version *version;
	const struct serve_thread *thread;
	struct seam_task task;
	struct canon_trap trap;
	struct err *e;
	bool ok;
};

static enum canon_init init_of(const struct serve_version *v)
{
	static const enum canon_init inits[] = {[SERVE_INIT_AUTO] = CANON_INIT_AUTO, [SERVE_INIT_ONCE] = CANON_INIT_ONCE, [SERVE_INIT_EACH] = CANON_INIT_EACH};
	return inits[v->config->init];
}

static void image_main(void *arg)
{
	struct image_job *j = arg;
	struct serve_version *v = j->version;
	struct serve_deployment *d = &v->deployment;
	j->ok = canon_image_new(j->thread->vm, d->canon, seam_link_host(d->link), &d->limits, init_of(v), &v->image_seam, &j->task.canon, &v->image, &j->trap, j->e);
}

static void explain_image(const struct image_job *j, struct err *e)
{
	enum trap t = j->trap.trap;
	if (t == TRAP_KILLED) {
		err_set(e, ERR_ENV, "stopped by a signal before it was ready");
		return;
	}
	err_set(e, t == TRAP_DEADLINE || t == TRAP_CPU_BUDGET ? ERR_TIMEOUT : ERR_TRAP, "the component traps while it is instantiated: %s", j->trap.text);
	if (j->trap.backtrace[0])
		err_note(e, "%s", j->trap.backtrace);
}

// Instantiates once; the loop runs meanwhile, since what instantiation calls may wait.
static bool take_image(struct serve_version *v, const struct serve_thread *t, const bool *stop, struct err *e)
{
	struct image_job j = {.version = v, .thread = t, .e = e};
	seam_instance_init(&v->image_seam, t->loop, &v->deployment.grants, NULL);
	seam_task_init(&j.task, t->loop, t->vm, NULL);
	if (!seam_task_run_to_end(&j.task, image_main, &j, serve__budget(&v->config->limits, loop_now_fresh_ns(t->loop)), stop))
		return err_nomem(e);
	seam_instance_task_end(&v->image_seam, &j.task);
	if (!j.ok && e->code == ERR_NONE)
		explain_image(&j, e);
	return j.ok;
}

// What an image that saw no answer of the host depends on besides the code.
struct image_variant {
	uint64_t init, memory_bytes, table_elements, handles, call_depth, call_bytes, stack;
};

static struct image_variant variant_of(const struct serve_version *v)
{
	const struct canon_limits *l = &v->deployment.limits;
	return (struct image_variant){init_of(v), l->memory_bytes, l->table_elements, l->handles, l->call_depth, l->call_bytes, l->stack};
}

// Instances that are kept are never made anew from a copy: they get one at once.
static bool load_image(struct serve_version *v)
{
	struct serve_deployment *d = &v->deployment;
	struct image_variant variant = variant_of(v);
	struct vm_image *vm;
	if (!tier_file_load_image(d->cached, slice_of(&variant, sizeof variant), v->config->policy != SERVE_FRESH, &vm))
		return false;
	bool ok = canon_image_from(d->canon, seam_link_host(d->link), &d->limits, vm, vm_image_extra(vm), &v->image, NULL);
	vm_image_unref(vm);
	return ok;
}

static void save_image(struct serve_version *v)
{
	struct image_variant variant = variant_of(v);
	struct buf extra = {0};
	struct vm_image *vm = canon_image_pure(v->image, &extra);
	if (vm)
		tier_file_save_image(v->deployment.cached, slice_of(&variant, sizeof variant), vm, buf_view(&extra));
	buf_release(&extra);
}

bool serve__version_make_image(struct serve_version *v, const struct serve_thread *t, const bool *stop, struct err *e)
{
	bool ok = load_image(v);
	if (!ok && (ok = take_image(v, t, stop, e)))
		save_image(v);
	tier_file_close(v->deployment.cached);
	v->deployment.cached = NULL;
	return ok;
}

// ---- loading -------------------------------------------------------------------------------------------------------------------------

static bool nothing_to_serve(const struct serve_deployment *d, struct err *e)
{
	for (uint32_t i = 0; i < d->comp->nexports; i++) {
		struct slice name = d->comp->exports[i].name;
		if (!slice_starts_with(name, SLICE_LIT("wasi:http/handler@")) && !slice_starts_with(name, SLICE_LIT(WASI_HTTP_HANDLER "@")))
			continue;
		err_set(e, ERR_LINK, "cannot link: the component exports %.*s, which is not served", SLICE_ARGS(name));
		return err_hint(e, "build it against " WASI_HTTP_HANDLER "@0.2");
	}
	err_set(e, ERR_LINK, "cannot link: the component exports nothing to serve");
	return err_hint(e, "serve wants an export of " WASI_HTTP_HANDLER "; tenon run calls other exports");
}

static bool find_handler(struct serve_version *v, struct err *e)
{
	const struct serve_deployment *d = &v->deployment;
	if (!seam_export_is_there(d->comp, &wasi_http_incoming_handler_interface))
		return nothing_to_serve(d, e);
	return wasi_http_incoming_handler_bind(d->comp, d->link, &v->handler, e);
}

// A request can't be served with less: its own handle and that of its answer.
static bool has_handles(const struct serve_service_limits *l, struct err *e)
{
	if (l->handles != 1)
		return true;
	err_set(e, ERR_LIMIT, "each request needs two handles, the limit is 1");
	return err_hint(e, "raise the limit (--handles)");
}

static void version_free(struct serve_version *v)
{
	v->process->versions--;
	canon_image_free(v->image);
	serve__deployment_release(&v->deployment);
	mem_free(v);
}

static void on_gone(struct loop_remote *r)
{
	version_free(CONTAINER_OF(r, struct serve_version, gone));
}

bool serve__version_new(struct serve_process *p, const struct serve_service_config *c, struct serve_version **ret, struct err *e)
{
	struct serve_version *v = mem_zalloc(sizeof *v);
	if (!v)
		return err_nomem(e);
	p->versions++;
	v->config = c;
	v->process = p;
	v->gone.fn = on_gone;
	if (!has_handles(&c->limits, e) || !serve__deployment_load(&v->deployment, c, p->config, e) || !find_handler(v, e)) {
		version_free(v);
		return false;
	}
	serve__version_ref(v, VERSION_IN_SERVICE);
	*ret = v;
	return true;
}

// ---- counting ------------------------------------------------------------------------------------------------------------------------

void serve__version_ref(struct serve_version *v, enum serve_version_use use)
{
	__atomic_add_fetch(&v->uses[use], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
}

void serve__version_unref(struct serve_version *v, enum serve_version_use use)
{
	if (!v)
		return;
	__atomic_sub_fetch(&v->uses[use], 1, __ATOMIC_RELAXED);
	if (__atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(v->process->threads[0].loop, &v->gone);  // its image was taken there
}
