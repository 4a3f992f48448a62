// One version of a service: its component loaded, its image, and the count of those that use it.
//
//   serve__version_new ── loaded ──► serve__version_make_image ── ready ──► counted by service, choices, slots ──► the last lets go ──► freed on thread 0
#include "serve_int.h"
#include "sys/sys.h"
#include "warm.h"

// ---- the image -----------------------------------------------------------------------------------------------------------------------

struct serve_image_job {
	struct serve_version *version;
	const struct serve_thread *thread;
	struct seam_task *task;
	struct canon_trap trap;
	struct err *e;
	bool ok, warms;
	void (*done)(void *ctx, bool ok);
	void *ctx;
};

static enum canon_init init_of(const struct serve_version *v)
{
	static const enum canon_init inits[] = {[SERVE_INIT_AUTO] = CANON_INIT_AUTO, [SERVE_INIT_ONCE] = CANON_INIT_ONCE, [SERVE_INIT_EACH] = CANON_INIT_EACH};
	return inits[v->config->init];
}

struct warming_up {
	struct serve_version *version;
	struct seam_task *task;
	bool began;
};

static bool warm_up(void *ctx, struct canon_instance *i, struct canon_trap *trap, struct err *e)
{
	struct warming_up *w = ctx;
	w->began = true;
	return serve__warm(w->version, i, w->task, trap, e);
}

bool serve__image_take(struct serve_version *v, const struct serve_thread *t, struct seam_task *task, struct canon_trap *trap, bool *ret_warms,
	struct err *e)
{
	struct serve_deployment *d = &v->deployment;
	const struct canon_host *host = seam_link_host(d->link);
	struct warming_up up = {v, task};
	struct canon_warming w = {warm_up, &up};
	if (!v->config->warm.len)
		return canon_image_new(t->vm, d->canon, host, &d->limits, init_of(v), &v->image_seam, &task->canon, &v->image, trap, e);
	bool ok = canon_image_warm(t->vm, d->canon, host, &d->limits, &w, &v->image_seam, &task->canon, &v->image, trap, e);
	*ret_warms = up.began;
	return ok && serve__warm_try(v, t, task, trap, e);
}

static void image_main(void *arg)
{
	struct serve_image_job *j = arg;
	j->ok = serve__image_take(j->version, j->thread, j->task, &j->trap, &j->warms, j->e);
}

const char *serve__image_stage(bool warms)
{
	return warms ? "answers the requests that are to warm its image" : "is instantiated";
}

static void explain_image(const struct serve_image_job *j, struct err *e)
{
	enum trap t = j->trap.trap;
	if (t == TRAP_KILLED) {
		err_set(e, ERR_ENV, "stopped by a signal before it was ready");
		return;
	}
	err_set(e, serve__code_of_trap(t), "the component traps while it %s: %s", serve__image_stage(j->warms), j->trap.text);
	struct buf b = {.max = SERVE_BACKTRACE_MAX};
	(j->done ? serve__put_known : serve__put_frames)(&j->version->deployment, &j->trap.frames, &b);
	if (b.len)
		err_note(e, "%.*s", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}

static void prepare_image(struct serve_image_job *j)
{
	struct serve_version *v = j->version;
	seam_instance_init(&v->image_seam, j->thread->loop, &v->deployment.grants, NULL);
	v->image_seam.http = j->thread->http;
	j->task = seam_task_new(j->thread->tasks, NULL);
}

// Instantiates once; the loop runs meanwhile, since what instantiation calls may wait.
static bool take_image(struct serve_version *v, const struct serve_thread *t, const bool *stop, struct err *e)
{
	struct serve_image_job j = {.version = v, .thread = t, .e = e};
	prepare_image(&j);
	bool ran = j.task && seam_task_run_to_end(j.task, image_main, &j, serve__budget(&v->config->limits, loop_now_fresh_ns(t->loop)), stop);
	if (ran)
		seam_instance_task_end(&v->image_seam, j.task);
	seam_task_free(j.task);
	if (!ran)
		return err_nomem(e);
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
static bool wants_sealed(const struct serve_version *v)
{
	return v->config->policy != SERVE_FRESH;
}

static bool image_from(struct serve_version *v, struct vm_image *vm, struct slice extra)
{
	struct serve_deployment *d = &v->deployment;
	bool ok = canon_image_from(d->canon, seam_link_host(d->link), &d->limits, vm, extra, &v->image, NULL);
	vm_image_unref(vm);
	return ok;
}

// Of another version of the same component, or from the cache.
static bool load_image(struct serve_version *v)
{
	struct serve_deployment *d = &v->deployment;
	struct image_variant variant = variant_of(v);
	struct slice of = slice_of(&variant, sizeof variant);
	struct serve_component_image known;
	struct vm_image *vm;
	struct slice extra;
	if (v->config->warm.len)
		return false;  // what the requests found is in it
	if (serve__component_image(d->component, of, wants_sealed(v), &known))
		return image_from(v, known.vm, slice_of(known.extra, known.extra_size));
	if (!tier_file_load_image(d->cached, of, wants_sealed(v), &vm, &extra))
		return false;
	serve__component_keep_image(d->component, of, wants_sealed(v), vm, extra);
	return image_from(v, vm, extra);
}

static void save_image(struct serve_version *v)
{
	struct image_variant variant = variant_of(v);
	struct slice of = slice_of(&variant, sizeof variant);
	struct buf extra = {0};
	struct vm_image *vm = canon_image_pure(v->image, &extra);
	if (vm) {
		serve__component_keep_image(v->deployment.component, of, true, vm, buf_view(&extra));
		tier_file_save_image(v->deployment.cached, of, vm, buf_view(&extra));
	}
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

// ---- the same while the loop goes on ---------------------------------------------------------------------------------------------------

static void end_image(struct serve_version *v, bool ok, void (*done)(void *ctx, bool ok), void *ctx)
{
	tier_file_close(v->deployment.cached);
	v->deployment.cached = NULL;
	done(ctx, ok);
}

static void on_image(struct seam_task *t)
{
	struct serve_image_job *j = t->owner;
	struct serve_version *v = j->version;
	void (*done)(void *ctx, bool ok) = j->done;
	void *ctx = j->ctx;
	bool ok = j->ok;
	seam_instance_task_end(&v->image_seam, t);
	seam_task_free(t);
	if (ok)
		save_image(v);
	else if (j->e->code == ERR_NONE)
		explain_image(j, j->e);
	mem_free(j);
	end_image(v, ok, done, ctx);
}

void serve__version_begin_image(struct serve_version *v, const struct serve_thread *t, struct serve_image_job **ret, void (*done)(void *ctx, bool ok), void *ctx,
	struct err *e)
{
	*ret = NULL;
	if (load_image(v)) {
		end_image(v, true, done, ctx);
		return;
	}
	struct serve_image_job *j = mem_zalloc(sizeof *j);
	if (j) {
		*j = (struct serve_image_job){.version = v, .thread = t, .e = e, .done = done, .ctx = ctx};
		prepare_image(j);
	}
	if (j && j->task) {
		j->task->owner = j;
		*ret = j;
		if (seam_task_run(j->task, image_main, j, serve__budget(&v->config->limits, loop_now_fresh_ns(t->loop)), on_image))
			return;  // it may be over, and the job gone
	}
	*ret = NULL;
	if (j)
		seam_task_free(j->task);
	mem_free(j);
	end_image(v, err_nomem(e), done, ctx);
}

void serve__image_stop(struct serve_image_job *j)
{
	if (j)
		seam_task_kill(j->task, TRAP_KILLED);
}

// ---- loading -------------------------------------------------------------------------------------------------------------------------

static bool nothing_to_serve(const struct serve_deployment *d, struct err *e)
{
	for (uint32_t i = 0; i < d->comp->nexports; i++) {
		struct slice name = d->comp->exports[i].name;
		if (!slice_starts_with(name, SLICE_LIT("wasi:http/handler@")) && !slice_starts_with(name, SLICE_LIT(WASI_HTTP_HANDLER "@")))
			continue;
		err_set(e, ERR_LINK, "cannot link: the component exports %.*s, which is not served", SLICE_ARGS(name));
		return err_hint(e, "build it against wasi:http/handler@0.3.0, or " WASI_HTTP_HANDLER "@0.2");
	}
	err_set(e, ERR_LINK, "cannot link: the component exports nothing to serve");
	return serve__hint_exports(d, e);
}

bool serve__version_find_handler(struct serve_version *v, struct err *e)
{
	const struct serve_deployment *d = &v->deployment;
	v->is_3 = seam_export_is_there(d->comp, &wasi_http3_handler_interface);
	if (!v->is_3 && !seam_export_is_there(d->comp, &wasi_http_incoming_handler_interface))
		return v->config->is_called || nothing_to_serve(d, e);
	v->answers = true;
	if (v->is_3)
		return wasi_http3_handler_bind(d->comp, d->link, &v->handler_3, e);
	return wasi_http_incoming_handler_bind(d->comp, d->link, &v->handler, e);
}

static bool exports_async(const struct comp_component *comp)
{
	const struct comp_plan *plan = &comp->plan;
	for (uint32_t i = 0; i < plan->nexport_funcs; i++)
		if (plan->export_funcs[i].type->is_async)
			return true;
	return false;
}

// A synchronous export is made for one call at a time.
bool serve_check_concurrent(const struct comp_component *comp, struct err *e)
{
	bool is_3 = seam_export_is_there(comp, &wasi_http3_handler_interface), answers = is_3 || seam_export_is_there(comp, &wasi_http_incoming_handler_interface);
	if (answers ? is_3 : exports_async(comp))
		return true;
	if (!answers) {
		err_set(e, ERR_LINK, "cannot link: policy concurrent is for components with async exports, and this one has none");
		return err_hint(e, "choose policy fresh, reuse or keep");
	}
	err_set(e, ERR_LINK, "cannot link: policy concurrent is for components with async exports, and this one exports " WASI_HTTP_HANDLER "@0.2");
	return err_hint(e, "build it against wasi:http/handler@0.3.0, or choose policy reuse");
}

static bool find_run(struct serve_version *v, struct err *e)
{
	const struct serve_deployment *d = &v->deployment;
	v->runs_3 = seam_export_is_there(d->comp, &wasi_cli3_run_interface);
	v->runs = v->runs_3 || seam_export_is_there(d->comp, &wasi_cli_run_interface);
	if (!v->runs)
		return true;
	return v->runs_3 ? wasi_cli3_run_bind(d->comp, d->link, &v->run_3, e) : wasi_cli_run_bind(d->comp, d->link, &v->run, e);
}

bool serve__version_must_run(const struct serve_version *v, struct err *e)
{
	if (v->runs && !v->runs_3 && v->config->policy == SERVE_CONCURRENT) {
		err_set(e, ERR_LINK, "cannot link: policy concurrent is for components with async exports, and this one exports %s", wasi_cli_run_interface.name);
		return err_hint(e, "choose another policy");
	}
	if (v->runs)
		return true;
	err_set(e, ERR_LINK, "cannot link: the component is no command: it does not export %s", wasi_cli_run_interface.name);
	return serve__hint_exports(&v->deployment, e);
}

// A request can't be served with less: its own handle and that of its answer.
static bool has_handles(const struct serve_service_limits *l, struct err *e)
{
	if (l->handles != 1)
		return true;
	err_set(e, ERR_LIMIT, "each request needs two handles, the limit is 1");
	return err_hint(e, "raise the limit (--handles)");
}

bool serve__version_must_answer(const struct serve_version *v, struct err *e)
{
	return v->answers || nothing_to_serve(&v->deployment, e);
}

static void version_free(struct serve_version *v)
{
	v->process->versions--;
	serve__relay_forget_version(v);
	canon_image_free(v->image);
	serve__deployment_release(&v->deployment);
	if (v->config->forget)
		v->config->forget(v->config);
	mem_free(v->tallies);
	mem_free(v->choice);
	mem_free(v);
}

static void on_gone(struct loop_remote *r)
{
	struct serve_version *v = CONTAINER_OF(r, struct serve_version, gone);
	struct serve_process *p = v->process;
	version_free(v);
	if (p->forgot)
		p->forgot(p);
}

static void hold(struct seam_keeper *k)
{
	serve__version_ref(CONTAINER_OF(k, struct serve_version, keeper), VERSION_IN_OBJECT);
}

static void let_go(struct seam_keeper *k)
{
	serve__version_unref(CONTAINER_OF(k, struct serve_version, keeper), VERSION_IN_OBJECT);
}

bool serve__version_alloc(struct serve_process *p, const struct serve_service_config *c, struct serve_version **ret)
{
	struct serve_version *v = mem_zalloc(sizeof *v);
	struct serve_tally_line *tallies = mem_zalloc(p->n_threads * sizeof *tallies);
	struct serve_choice *choice = serve__choice_alloc();
	if (!v || !tallies || !choice) {
		mem_free(v);
		mem_free(tallies);
		mem_free(choice);
		return false;
	}
	p->versions++;
	v->config = c;
	v->process = p;
	v->tallies = tallies;
	v->choice = choice;
	v->ends_ns = UINT64_MAX;
	v->slow_ns = UINT64_MAX;
	v->gone.fn = on_gone;
	v->keeper = (struct seam_keeper){hold, let_go};
	serve__version_ref(v, VERSION_IN_SERVICE);
	*ret = v;
	return true;
}

bool serve__version_load(struct serve_version *v, struct err *e)
{
	const struct serve_service_config *c = v->config;
	if (!has_handles(&c->limits, e) || !serve__deployment_load(&v->deployment, c, v->process->config, e) || !serve__version_find_handler(v, e) ||
		!(v->config->policy != SERVE_CONCURRENT || serve_check_concurrent(v->deployment.comp, e)) || !find_run(v, e))
		return false;
	v->deployment.wasi.process = &v->process->wasi;
	return true;
}

bool serve__version_new(struct serve_process *p, const struct serve_service_config *c, struct serve_version **ret, struct err *e)
{
	struct serve_version *v;
	if (!serve__version_alloc(p, c, &v))
		return err_nomem(e);
	if (!serve__version_load(v, e)) {
		serve__version_unref(v, VERSION_IN_SERVICE);
		return false;
	}
	*ret = v;
	return true;
}

void serve__version_begin(struct serve_version *v, unsigned thread)
{
	serve__count(&v->tallies[thread].of.begun, 1);
}

void serve__version_count(struct serve_version *v, unsigned thread, unsigned status, uint64_t took_ns)
{
	struct serve_tally *t = &v->tallies[thread].of;
	serve__count(&t->calls, 1);
	if (status >= 500)
		serve__count(&t->errors, 1);
	if (took_ns > __atomic_load_n(&v->slow_ns, __ATOMIC_RELAXED))
		serve__count(&t->slow, 1);
}

void serve__version_set_slow(struct serve_version *v, uint64_t ns)
{
	__atomic_store_n(&v->slow_ns, ns ? ns : UINT64_MAX, __ATOMIC_RELAXED);
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
