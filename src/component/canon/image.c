// Images and slots: an instance kept as it was at some step, and instances that are made equal to it again and again (design §5).
//
// 1. An image is the store's (vm) and canon's own state at the cut: handle tables, back-pressure, host resources. Between steps no task is alive, so
//    may_enter and may_leave are true everywhere and no handle is a borrow or lent: there is nothing else.
// 2. The cut is before the first step that calls a host function whose answer may differ, or after which a host resource is alive that can't be made
//    anew. The steps from the cut on run in each instance.
// 3. A slot is reset only after clean returns; one that trapped is freed (U25).
#include "canon_async.h"

struct canon_image {
	struct vm_image *vm;
	struct canon_instance *template;  // without a store: its tables are the image's
	uint32_t cut;
	char why[160];
	bool pure;
};

void canon_image_free(struct canon_image *m)
{
	if (!m)
		return;
	vm_image_unref(m->vm);
	canon_instance_free(m->template);
	mem_free(m);
}

void canon_image_info(const struct canon_image *m, struct canon_image_info *ret)
{
	*ret = (struct canon_image_info){.cut = m->cut, .steps = m->template->cc->n_steps, .bytes = vm_image_bytes(m->vm)};
	snprintf(ret->why, sizeof(ret->why), "%s", m->why);
}

// ---- learning ----

// Can what the instance keeps on the host's side be made anew in another? Else *ret_name says what can't.
static bool can_remake(const struct canon_instance *i, const char **ret_name)
{
	if (!canon__host_table_can_remake(i, ret_name))
		return false;
	const char *kept = i->head.user && i->host->keeps ? i->host->keeps(i) : NULL;
	*ret_name = kept ? kept : *ret_name;
	return !kept;
}

// Runs the steps of `i` until one must not be part of the image; *ret_cut is its number, or that of all steps. false: the guest trapped.
static bool learn(struct canon_instance *i, enum canon_init init, struct canon_task *t, uint32_t *ret_cut, char why[160], struct canon_trap *trap)
{
	const struct canon_component *cc = i->cc;
	i->learning = init == CANON_INIT_AUTO;
	for (uint32_t k = 0; k < cc->n_steps; k++) {
		*ret_cut = k;
		if (init == CANON_INIT_EACH && cc->steps[k].kind == CANON__START) {
			snprintf(why, 160, "start functions run in each instance (init = each)");
			return true;
		}
		const char *name = NULL;
		if (!canon__run(i, k, k + 1, t, trap)) {
			if (!i->cut_by)
				return false;
			trap->trap = TRAP_NONE;
			snprintf(why, 160, "the start function of core instance %u calls %s", cc->steps[k].core_instance, i->cut_by);
			return true;
		}
		if (i->async && (i->async->n_objects || i->async->n_threads)) {
			snprintf(why, 160, "the start function of core instance %u keeps a task, stream, future or waitable set", cc->steps[k].core_instance);
			return true;
		}
		if (!can_remake(i, &name)) {
			snprintf(why, 160, "the start function of core instance %u keeps a %s", cc->steps[k].core_instance, name);
			return true;
		}
	}
	*ret_cut = cc->n_steps;
	return true;
}

// Tables that were used, even if they are empty again, say something about the order of indices.
static bool has_no_handles(const struct canon_instance *i)
{
	for (uint32_t k = 0; k < i->n_components; k++)
		if (i->components[k].handles.len || i->components[k].backpressure)
			return false;
	return i->host_table.len == 0 && i->reps.len == 0;
}

static bool capture(struct canon_image *m, struct canon_instance *i, struct err *e)
{
	canon__async_release(i);
	if (!vm_image_capture(i->store, &m->vm, e))
		return false;
	pool_detach(&i->head.pool);
	vm_store_free(i->store);  // the cells are worth more elsewhere
	i->store = NULL;
	i->shard = NULL;
	m->template = i;
	if (i->head.user && i->host->keep)
		i->host->keep(i);
	return true;
}

// Calls that returned may have left what no other instance can have: the cut can't be moved before them.
static bool can_be_image(const struct canon_instance *i, struct err *e)
{
	const char *name = "task, stream, future or waitable set";
	if (!(i->async && (i->async->n_objects || i->async->n_threads)) && can_remake(i, &name))
		return true;
	return err_set(e, ERR_INVALID, "the instance keeps a %s over its calls: no other can have it", name);
}

static bool warm_up(struct canon_instance *i, const struct canon_warming *w, struct canon_trap *trap, struct err *e)
{
	if (i->done != i->cc->n_steps)
		return err_set(e, ERR_INVALID, "the instance can't be kept as it is after its start");
	return w->warm(w->ctx, i, trap, e) && can_be_image(i, e);
}

// What an image is taken of goes then: faults by the page were a third of its time.
static bool new_to_take(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits, void *user,
	struct canon_instance **ret, struct err *e)
{
	if (!canon_instance_new(shard, cc, host, limits, user, ret, e))
		return false;
	vm_store_prefer_huge((*ret)->store);
	return true;
}

static bool take(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits,
	enum canon_init init, const struct canon_warming *w, void *user, struct canon_task *t, struct canon_image **ret, struct canon_trap *trap, struct err *e)
{
	*trap = (struct canon_trap){0};
	struct canon_instance *i = NULL;
	struct canon_image *m = mem_zalloc(sizeof(*m));
	if (!m)
		return err_nomem(e);
	if (!new_to_take(shard, cc, host, limits, user, &i, e))
		goto failed;
	if (!learn(i, init, t, &m->cut, m->why, trap))
		goto failed;
	m->pure = !i->called_host;
	if (i->done != m->cut || i->dead) {  // it went a step too far: once more, up to there
		canon_instance_free(i);
		i = NULL;
		if (!new_to_take(shard, cc, host, limits, user, &i, e) || !canon__run(i, 0, m->cut, t, trap))
			goto failed;
	}
	i->learning = false;
	if (w && !warm_up(i, w, trap, e))
		goto failed;
	m->pure = m->pure && !i->called_host && has_no_handles(i) && !w;
	if (!capture(m, i, e))
		goto failed;
	*ret = m;
	return true;
failed:
	canon_instance_free(i);
	mem_free(m);
	return false;
}

bool canon_image_new(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits,
	enum canon_init init, void *user, struct canon_task *t, struct canon_image **ret, struct canon_trap *trap, struct err *e)
{
	return take(shard, cc, host, limits, init, NULL, user, t, ret, trap, e);
}

bool canon_image_warm(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits,
	const struct canon_warming *w, void *user, struct canon_task *t, struct canon_image **ret, struct canon_trap *trap, struct err *e)
{
	return take(shard, cc, host, limits, CANON_INIT_ONCE, w, user, t, ret, trap, e);
}

// ---- kept over the end of the process ----

struct stored {
	uint32_t cut, steps;
	char why[160];
};

struct vm_image *canon_image_pure(const struct canon_image *m, struct buf *out)
{
	if (!m->pure)
		return NULL;
	struct stored s = {.cut = m->cut, .steps = m->template->cc->n_steps};
	memcpy(s.why, m->why, sizeof s.why);
	return buf_put(out, &s, sizeof s) ? m->vm : NULL;
}

bool canon_image_from(const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits, struct vm_image *vm,
	struct slice bytes, struct canon_image **ret, struct err *e)
{
	struct stored s;
	if (bytes.len != sizeof s)
		return err_set(e, ERR_INVALID, "the image is of another build");
	memcpy(&s, bytes.ptr, sizeof s);
	if (s.steps != cc->n_steps || s.cut > s.steps)
		return err_set(e, ERR_INVALID, "the image is of another component");
	struct canon_image *m = mem_zalloc(sizeof(*m));
	struct canon_instance *i = mem_zalloc(sizeof(*i));
	if (m && i) {
		*i = (struct canon_instance){.cc = cc, .host = host, .limits = *limits};
		arena_init(&i->own, 0);
		i->n_components = cc->plan->ninstances;
		i->components = ARENA_ARRAY(&i->own, struct canon__component_instance, i->n_components + 1);
	}
	if (!m || !i || !i->components) {
		canon_instance_free(i);
		mem_free(m);
		return err_nomem(e);
	}
	*m = (struct canon_image){.vm = vm_image_ref(vm), .template = i, .cut = s.cut, .pure = true};
	memcpy(m->why, s.why, sizeof m->why);
	m->why[sizeof m->why - 1] = 0;
	*ret = m;
	return true;
}

// ---- slots ----

static bool restore_table(struct canon_instance *i, struct canon__table *t, const struct canon__table *from)
{
	if (!canon__table_reserve(i, t, from->len))
		return false;
	if (from->len)
		memcpy(t->array, from->array, from->len * sizeof(*from->array));
	t->len = from->len;
	t->free = from->free;
	return true;
}

static bool restore_tables(struct canon_instance *i)
{
	const struct canon_instance *from = i->image->template;
	for (uint32_t k = 0; k < i->n_components; k++) {
		if (!restore_table(i, &i->components[k].handles, &from->components[k].handles))
			return false;
		i->components[k].backpressure = from->components[k].backpressure;
	}
	if (!restore_table(i, &i->reps, &from->reps) || !canon__host_table_remake(i, &from->host_table))
		return false;
	i->dirty = false;
	return true;
}

bool canon_slot_new(struct vm_shard *shard, struct canon_image *m, void *user, struct canon_instance **ret, struct err *e)
{
	const struct canon_instance *from = m->template;
	struct canon_instance *i;
	if (!canon_instance_new(shard, from->cc, from->host, &from->limits, user, &i, e))
		return false;
	i->image = m;
	i->done = m->cut;
	if (!vm_store_attach(i->store, m->vm, e)) {
		canon_instance_free(i);
		return false;
	}
	if (!restore_tables(i)) {
		canon_instance_free(i);
		return err_set(e, ERR_NOMEM, "the host resources of an image could not be made anew");
	}
	*ret = i;
	return true;
}

void canon_slot_share(struct canon_instance *i)
{
	i->is_shared = true;
}

bool canon_slot_is_ready(const struct canon_instance *i)
{
	return i->done == i->cc->n_steps;
}

bool canon_slot_start(struct canon_instance *i, struct canon_task *t, struct canon_trap *trap)
{
	return canon__run(i, i->done, i->cc->n_steps, t, trap);
}

#ifdef TENON_CHECK_RESET
enum { CHECK_RESET = 1 };
#else
enum { CHECK_RESET = 0 };
#endif

static void check_table(const struct canon__table *t, const struct canon__table *from)
{
	BUG_ON(t->len != from->len || t->free != from->free);
	BUG_ON(from->len && memcmp(t->array, from->array, from->len * sizeof(*from->array)) != 0);
}

// In the check build: what a reset left is what a fresh slot would have.
static void check_equal(const struct canon_instance *i)
{
	const struct canon_instance *from = i->image->template;
	for (uint32_t k = 0; k < i->n_components; k++) {
		const struct canon__component_instance *c = &i->components[k], *f = &from->components[k];
		BUG_ON(!c->may_leave || c->backpressure != f->backpressure);
		check_table(&c->handles, &f->handles);
	}
	check_table(&i->reps, &from->reps);
	BUG_ON(i->host_table.count != from->host_table.count || i->host_table.free != from->host_table.free);
	for (uint32_t rep = 1; rep < from->host_table.len; rep++)
		BUG_ON(i->host_table.array[rep].ops != from->host_table.array[rep].ops || i->host_table.array[rep].next != from->host_table.array[rep].next);
}

bool canon_slot_relink(struct canon_instance *i)
{
	bool is_free = !i->n_tasks && !(i->async && i->async->n_threads);
	if (is_free)
		vm_store_relink(i->store);
	return is_free;
}

bool canon_slot_leave_host(struct canon_instance *i)
{
	BUG_ON(!i->image || i->n_tasks);
	if (i->dead || (i->async && i->async->n_threads))
		return false;
	canon__leave_host(i);
	return true;
}

enum vm_reset canon_slot_reset_some(struct canon_instance *i, uint64_t pages)
{
	if (!canon_slot_leave_host(i))
		return VM_RESET_FAILED;
	enum vm_reset is = vm_store_reset_some(i->store, pages);
	if (is != VM_RESET_DONE)
		return is;
	i->left_host = false;
	i->done = i->image->cut;
	if (i->dirty && !restore_tables(i))
		return VM_RESET_FAILED;
	if (CHECK_RESET)
		check_equal(i);
	return VM_RESET_DONE;
}

bool canon_slot_reset(struct canon_instance *i)
{
	return canon_slot_reset_some(i, UINT64_MAX) == VM_RESET_DONE;
}
