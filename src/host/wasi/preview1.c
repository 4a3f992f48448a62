// wasi_snapshot_preview1: which functions there are, of which types; how one is called.
#include "preview1.h"

#define PREVIEW1(name, ...)                                                  \
	static enum seam_result call_##name(struct p1_call *c, const void *args) \
	{                                                                        \
		return wasi__p1_##name(c, args);                                     \
	}
#include "preview1.def"
#undef PREVIEW1

static const struct p1_func functions[P1_FUNCS] = {
#define PREVIEW1(name, sig, how, ...) {#name, sig, P1_IS_##how, call_##name},
#include "preview1.def"
#undef PREVIEW1
};

// ---- linking -----------------------------------------------------------------------------------------------------------------------------

static const struct p1_func *find(struct slice name)
{
	for (size_t i = 0; i < P1_FUNCS; i++)
		if (slice_eq_str(name, functions[i].name))
			return &functions[i];
	return NULL;
}

static bool types_match(const struct wasm_valtype *have, uint32_t n, const char *want, size_t len)
{
	if (n != len)
		return false;
	for (uint32_t k = 0; k < n; k++)
		if (have[k].kind != (want[k] == 'i' ? WASM_I32 : WASM_I64))
			return false;
	return true;
}

bool wasi_preview1_check(struct slice name, const struct wasm_func_type *type, struct err *e)
{
	const struct p1_func *f = find(name);
	if (!f)
		return err_set(e, ERR_LINK, "cannot link: wasi_snapshot_preview1 has no function %.*s", SLICE_ARGS(name));
	const char *params = f->sig, *colon = strchr(params, ':');
	if (types_match(type->params, type->nparams, params, (size_t)(colon - params)) &&
		types_match(type->results, type->nresults, colon + 1, strlen(colon + 1)))
		return true;
	return err_set(e, ERR_LINK, "cannot link: wasi_snapshot_preview1.%.*s is imported with another type than it has", SLICE_ARGS(name));
}

// ---- calls -------------------------------------------------------------------------------------------------------------------------------

static enum seam_result perform(struct p1_call *c, const void *args)
{
	if (c->func->how != P1_IS_TABLE)
		return c->func->call(c, args);
	enum seam_result r = wasi__p1_take(c);
	if (r != SEAM_OK)
		return r;
	r = c->func->call(c, args);
	wasi__p1_give(c->p);
	return r;
}

static enum trap call_function(const struct p1_import *i, struct seam_task *task, const uint64_t *args, uint64_t *results)
{
	struct p1_call c = {.seam = {.task = task, .thread = &task->canon, .instance = &i->p->seam}, .p = i->p, .func = i->func};
	task->n_calls++;
	switch (perform(&c, args)) {
	case SEAM_OK:
		results[0] = c.error;
		return TRAP_NONE;
	case SEAM_EXIT:
		return TRAP_EXIT;
	case SEAM_KILLED:
		return task->kill_trap ? task->kill_trap : TRAP_KILLED;
	case SEAM_TRAP:
		break;
	}
	return vm_trapf(task->shard, TRAP_HOST, "%s", task->canon.trap->text);
}

static enum trap dispatch(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct p1_import *import = call->data;
	return call_function(import, import->p->task, args, results);
}

const struct p1_import *wasi_preview1_imported(const struct wasi_preview1 *p, struct slice name)
{
	return &p->imports[find(name) - functions];
}

enum trap wasi_preview1_call(const struct p1_import *i, struct seam_task *task, const uint64_t *args, uint64_t *results)
{
	return call_function(i, task, args, results);
}

bool wasi_preview1_import(struct wasi_preview1 *p, struct slice name, const struct wasm_func_type *type, struct vm_extern *ret, struct err *e)
{
	const struct p1_func *f = find(name);
	struct p1_import *import = &p->imports[f - functions];
	*import = (struct p1_import){p, f};
	ret->kind = WASM_EXTERN_FUNC;
	return vm_host_func_new(p->store, type, dispatch, import, f->name, &ret->func, e);
}

bool wasi_preview1_new(struct wasi *w, const struct wasi_preview1_given *given, struct wasi_preview1 **ret, struct err *e)
{
	struct wasi_preview1 *p = pool_zalloc(NULL, sizeof *p);  // as large for any guest
	if (!p)
		return err_nomem(e);
	p->store = given->store;
	p->task = given->task;
	p->max_files = given->max_files;
	seam_instance_init(&p->seam, given->task->loop, given->grants, NULL);
	pool_init(&p->own, vm_store_account(given->store));
	p->pool = &p->own;
	p->own_fs = (struct wasi_fs){.wasi = w, .memory = p->pool, .grants = given->grants};
	p->fs = &p->own_fs;
	*ret = p;
	if (!wasi__p1_streams_open(p, w, NULL))
		return err_nomem(e);
	return wasi__p1_listeners_open(p, w, e) && (wasi__p1_folders_open(p) || err_nomem(e));
}

void wasi_preview1_set_memory(struct wasi_preview1 *p, struct vm_memory *m)
{
	p->memory = vm_memory_abi(m);
}

void wasi_preview1_free(struct wasi_preview1 *p)
{
	if (!p)
		return;
	wasi__p1_files_close(p);
	wasi__sockets_free(p->sockets);
	wasi__stdio_keep(p->fs->wasi->stdio);
	pool_release(&p->own);
	pool_free(p);
}

// ---- of a core module with worlds ----------------------------------------------------------------------------------------------------------
// It is in the state that the provider keeps for the instance: made at its first call, gone at each reset. Its memory is the instance's.

static bool find_core(struct slice name, const struct wasm_func_type *type, const void **ret, uint32_t *ret_flags, struct err *e)
{
	if (!wasi_preview1_check(name, type, e))
		return false;
	const struct p1_func *f = find(name);
	*ret = f;
	*ret_flags = f->how == P1_IS_FIXED ? SEAM_FIXED : 0;
	return true;
}

// NULL: no memory.
static struct wasi_preview1 *open_in_instance(struct seam_call *c, struct wasi_state *s)
{
	struct wasi_fs *fs = wasi__fs_of(s);
	struct wasi_preview1 *p = fs ? SEAM_MEM_NEW(c->canon, struct wasi_preview1) : NULL;
	if (!p)
		return NULL;
	p->fs = fs;
	p->max_files = canon_instance_max_handles(c->canon);
	p->pool = canon_instance_pool(c->canon);
	seam_instance_init(&p->seam, c->instance->loop, c->instance->grants, NULL);
	if (wasi__p1_streams_open(p, s->wasi, c) && wasi__p1_folders_open(p))
		return p;
	wasi__preview1_close(p);
	return NULL;
}

void wasi__preview1_close(struct wasi_preview1 *p)
{
	if (!p)
		return;
	wasi__p1_files_close(p);
	wasi__sockets_free(p->sockets);
	seam_mem_free(p);
}

static enum seam_result call_core(struct seam_call *c, const void *func, struct abi_memory *memory, const uint64_t *args, uint64_t *results)
{
	struct wasi_state *s = seam_state(c);
	struct p1_call call = {.seam = *c, .func = func};
	uint32_t max = canon_instance_max_handles(c->canon), least = 3 + c->instance->grants->n_folders;
	if (max && max < least)
		return seam_trap(c, "%s: the streams and folders of the instance take %u descriptors, of %u that it may have (--handles)", call.func->name, least, max);
	if (s && !s->preview1)
		s->preview1 = open_in_instance(c, s);
	if (!s || !s->preview1)
		return seam_trap(c, "%s: no memory for the descriptors of the instance (--memory)", call.func->name);
	call.p = s->preview1;
	call.p->memory = memory;
	enum seam_result r = perform(&call, args);
	c->task = call.seam.task;  // another's, where it waited
	if (r == SEAM_OK)
		results[0] = call.error;
	return r;
}

struct seam_core wasi__preview1_core(struct wasi *w)
{
	return (struct seam_core){.module = "wasi_snapshot_preview1", .find = find_core, .call = call_core, .provider = &w->seam};
}
