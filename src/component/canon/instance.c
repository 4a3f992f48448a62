// Components as loaded, and their instances: the plan run on a store.
//
// 1. All core instances are allocated before any is initialised; the steps then run in the plan's order, each core instance's segments before its start.
// 2. What the plan names by index is resolved to functions and memories of the store once, here; calls look nothing up. Its type is compared here as well: what
//    a core module imports, and what is lifted.
// 3. An instance is dead from its first trap on; all that is left to do with it is canon_instance_free (C41).
#include "canon_int.h"
#include "sys/sys.h"

void canon_limits_default(struct canon_limits *l)
{
	*l = (struct canon_limits){
		.memory_bytes = UINT64_C(256) << 20, .table_elements = 1000000, .handles = 10000, .call_depth = 32, .call_bytes = UINT64_C(128) << 20};
}

// ---- loaded components ----

static bool make_steps(struct canon_component *cc)
{
	const struct comp_plan *plan = cc->plan;
	struct canon__step *steps = ARENA_ARRAY(&cc->arena, struct canon__step, 2 * (size_t)plan->nsteps + 1);
	if (!steps)
		return false;
	for (uint32_t i = 0; i < plan->nsteps; i++) {
		uint32_t index = plan->steps[i].index;
		steps[cc->n_steps++] = (struct canon__step){index, CANON__SEGMENTS};
		if (cc->comp->modules[plan->core_instances[index].module].wasm->has_start)
			steps[cc->n_steps++] = (struct canon__step){index, CANON__START};
	}
	cc->steps = steps;
	return true;
}

static bool make_names(struct canon_component *cc)
{
	const struct comp_plan *plan = cc->plan;
	const char **names = ARENA_ARRAY(&cc->arena, const char *, plan->nhost_funcs + 1), **core = ARENA_ARRAY(&cc->arena, const char *, plan->ncore_funcs + 1);
	uint32_t *depths = ARENA_ARRAY(&cc->arena, uint32_t, plan->ninstances + 1);
	if (!names || !core || !depths)
		return false;
	for (uint32_t i = 0; i < plan->ncore_funcs; i++) {
		struct slice copy;
		if (!slice_dup(&cc->arena, plan->core_funcs[i].name, &copy))
			return false;
		core[i] = (const char *)copy.ptr;
	}
	for (uint32_t i = 0; i < plan->nhost_funcs; i++) {
		const struct comp_host_func *f = &plan->host_funcs[i];
		struct buf b = {.max = 4096};
		buf_printf(&b, f->interface.len ? "%.*s#" : "%.*s", SLICE_ARGS(f->interface));
		buf_put_slice(&b, f->name);
		struct slice copy;
		bool ok = slice_dup(&cc->arena, buf_view(&b), &copy);
		buf_release(&b);
		if (!ok)
			return false;
		names[i] = (const char *)copy.ptr;
	}
	for (uint32_t i = 1; i < plan->ninstances; i++)
		depths[i] = depths[plan->instances[i].parent] + 1;
	cc->host_names = names;
	cc->core_names = core;
	cc->depths = depths;
	return true;
}

bool canon_component_new(const struct comp_component *comp, struct vm_module *const *modules, struct canon_component **ret, struct err *e)
{
	if (comp->plan.unlinkable)
		return err_set(e, ERR_LINK, "cannot link: %s", comp->plan.unlinkable);
	struct canon_component *cc = mem_zalloc(sizeof(*cc));
	if (!cc)
		return err_nomem(e);
	*cc = (struct canon_component){.comp = comp, .plan = &comp->plan, .modules = modules};
	arena_init(&cc->arena, 0);
	if (!make_steps(cc) || !make_names(cc)) {
		canon_component_free(cc);
		return err_nomem(e);
	}
	*ret = cc;
	return true;
}

void canon_component_free(struct canon_component *cc)
{
	if (!cc)
		return;
	arena_release(&cc->arena);
	mem_free(cc);
}

uint32_t canon_component_steps(const struct canon_component *cc)
{
	return cc->n_steps;
}

// ---- allocating ----

static bool allocate_tables(struct canon_instance *i)
{
	const struct comp_plan *plan = i->cc->plan;
	i->n_components = plan->ninstances;
	i->n_resources = plan->nresources;
	i->components = ARENA_ARRAY(&i->own, struct canon__component_instance, plan->ninstances + 1);
	i->resources = ARENA_ARRAY(&i->own, struct canon__resource, plan->nresources + 1);
	i->lifts = ARENA_ARRAY(&i->own, struct canon__lift, plan->nlifts + 1);
	i->lowers = ARENA_ARRAY(&i->own, struct canon__lower, plan->nlowers + 1);
	i->builtins = ARENA_ARRAY(&i->own, struct canon__builtin, plan->nbuiltins + 1);
	i->core_funcs = ARENA_ARRAY(&i->own, struct canon__core_func, plan->ncore_funcs + 1);
	i->core = ARENA_ARRAY(&i->own, struct vm_instance *, plan->ncore_instances + 1);
	if (!i->components || !i->resources || !i->lifts || !i->lowers || !i->builtins || !i->core_funcs || !i->core)
		return false;
	for (uint32_t k = 0; k < plan->ninstances; k++)
		i->components[k] = (struct canon__component_instance){
			.parent = plan->instances[k].parent == COMP_NONE ? CANON__HOST : plan->instances[k].parent,
			.depth = i->cc->depths[k],
			.may_leave = true,
		};
	return true;
}

static vm_host_fn lower_fn(const struct canon__lower *l)
{
	if (l->host)
		return l->plan->options.is_async ? canon__lower_async_host : canon__lower_host;
	return l->plan->type->is_async ? canon__lower_async_component : canon__lower_component;
}

// Functions of the store, by index in the plan's tables.
struct functions {
	uint32_t *lowers, *builtins, *core;
};

static bool functions_new(struct canon_instance *i, struct functions *ret)
{
	const struct comp_plan *plan = i->cc->plan;
	ret->lowers = ARENA_ARRAY(&i->own, uint32_t, plan->nlowers + 1);
	ret->builtins = ARENA_ARRAY(&i->own, uint32_t, plan->nbuiltins + 1);
	ret->core = ARENA_ARRAY(&i->own, uint32_t, plan->ncore_funcs + 1);
	return ret->lowers && ret->builtins && ret->core;
}

// Functions of the host that are core functions already.
static bool make_core(struct canon_instance *i, const struct functions *f, struct err *e)
{
	const struct comp_plan *plan = i->cc->plan;
	for (uint32_t k = 0; k < plan->ncore_funcs; k++) {
		const struct comp_core_func *p = &plan->core_funcs[k];
		i->core_funcs[k] = (struct canon__core_func){.inst = i, .host = &i->host->core_funcs[k], .name = i->cc->core_names[k]};
		if (!vm_host_func_new_id(i->store, p->core_type, canon__core_host, &i->core_funcs[k], i->core_funcs[k].name, &f->core[k], e))
			return false;
	}
	return true;
}

// Functions of the store for the plan's lowers and built-ins; their data is filled by resolve_*.
static bool make_functions(struct canon_instance *i, const struct functions *f, struct err *e)
{
	const struct comp_plan *plan = i->cc->plan;
	for (uint32_t k = 0; k < plan->nlowers; k++) {
		struct canon__lower *l = &i->lowers[k];
		const struct comp_lower *p = &plan->lowers[k];
		*l = (struct canon__lower){.inst = i, .plan = p, .name = "component function"};
		if (p->callee.kind == COMP_FUNC_HOST) {
			l->name = i->cc->host_names[p->callee.index];
			l->host = &i->host->funcs[p->callee.index];
			BUG_ON(!l->host->fn);
		} else {
			l->lift = &i->lifts[p->callee.index];
		}
		l->params_size = p->type->params.size64;
		l->result_size = p->type->result ? p->type->result->size64 : 0;
		l->out_param = p->type->params.n_flat <= MAX_FLAT_PARAMS ? p->type->params.n_flat : 1;
		l->n_params = wasm_interned_func_type(p->core_type)->nparams;
		if (!vm_host_func_new_id(i->store, p->core_type, lower_fn(l), l, l->name, &f->lowers[k], e))
			return false;
	}
	for (uint32_t k = 0; k < plan->nbuiltins; k++) {
		const struct comp_builtin *p = &plan->builtins[k];
		i->builtins[k] = (struct canon__builtin){.inst = i, .plan = p};
		if (!vm_host_func_new_id(i->store, p->core_type, canon__builtin_fn(p->kind), &i->builtins[k], comp_builtin_text(p->kind), &f->builtins[k], e))
			return false;
	}
	return true;
}

static struct vm_extern resolve(struct canon_instance *i, const struct comp_core_ref *r, const struct functions *f)
{
	switch ((enum comp_core_ref_kind)r->kind) {
	case COMP_CORE_EXPORT:
		return vm_instance_extern(i->core[r->instance], r->extern_kind, r->index);
	case COMP_CORE_LOWER:
		return (struct vm_extern){.kind = WASM_EXTERN_FUNC, .func = f->lowers[r->index]};
	case COMP_CORE_BUILTIN:
		return (struct vm_extern){.kind = WASM_EXTERN_FUNC, .func = f->builtins[r->index]};
	case COMP_CORE_HOST:
		return (struct vm_extern){.kind = WASM_EXTERN_FUNC, .func = f->core[r->index]};
	case COMP_CORE_NONE:
		break;
	}
	return (struct vm_extern){.kind = WASM_EXTERN_FUNC};
}

static bool allocate_one(struct canon_instance *i, uint32_t index, const struct functions *f, struct arena *scratch, struct err *e)
{
	const struct comp_core_instance *p = &i->cc->plan->core_instances[index];
	struct vm_extern *imports = ARENA_ARRAY(scratch, struct vm_extern, p->nimports + 1);
	if (!imports)
		return err_nomem(e);
	for (uint32_t n = 0; n < p->nimports; n++)
		imports[n] = resolve(i, &p->imports[n], f);
	// The decoder has compared them, as it saw them: here the very things are, whose types code relies on.
	struct vm_module *m = i->cc->modules[p->module];
	return (vm_imports_check(i->store, m, imports, p->nimports, e) && vm_instance_allocate(i->store, m, imports, p->nimports, &i->core[index], e)) ||
		err_note(e, "core instance %u", index);
}

static bool allocate_core(struct canon_instance *i, const struct functions *f, struct err *e)
{
	const struct comp_plan *plan = i->cc->plan;
	struct arena scratch;
	arena_init(&scratch, 0);
	bool ok = true;
	for (uint32_t k = 0; ok && k < plan->nsteps; k++) {
		ok = allocate_one(i, plan->steps[k].index, f, &scratch, e);
		arena_clear(&scratch);
	}
	arena_release(&scratch);
	return ok;
}

static void resolve_options(struct canon_instance *i, const struct comp_canon_options *p, const struct functions *f,
	struct canon__options *ret)
{
	static const uint8_t encodings[] = {[COMP_UTF8] = CANON_UTF8, [COMP_UTF16] = CANON_UTF16, [COMP_LATIN1_UTF16] = CANON_LATIN1_UTF16};
	ret->encoding = encodings[p->encoding];
	ret->wide = p->memory64;
	if (p->memory.kind == COMP_CORE_EXPORT)
		ret->memory = vm_memory_abi(resolve(i, &p->memory, f).memory);
	ret->realloc = resolve(i, &p->realloc, f).func;
	ret->post_return = resolve(i, &p->post_return, f).func;
}

// Has the function of the store the parameters and results of that type, which may be another's in a recursion group?
static bool has_values_of(const struct canon_instance *i, uint32_t func, uint32_t type)
{
	const struct wasm_func_type *have = vm_func_type(i->store, func), *want = wasm_interned_func_type(type);
	bool same = have && want && have->nparams == want->nparams && have->nresults == want->nresults;
	for (uint32_t k = 0; same && k < want->nparams; k++)
		same = have->params[k].kind == want->params[k].kind;
	for (uint32_t k = 0; same && k < want->nresults; k++)
		same = have->results[k].kind == want->results[k].kind;
	return same;
}

static bool resolve_lift(struct canon_instance *i, struct canon__lift *l, const struct comp_lift *p, const struct functions *f, struct err *e)
{
	l->plan = p;
	l->func = resolve(i, &p->func, f).func;
	l->n_results = wasm_interned_func_type(p->core_type)->nresults;
	resolve_options(i, &p->options, f, &l->options);
	l->callback = resolve(i, &p->options.callback, f).func;
	return has_values_of(i, l->func, p->core_type) || err_set(e, ERR_LINK, "cannot link: a function is lifted as one of another core type");
}

static bool resolve_all(struct canon_instance *i, const struct functions *f, struct err *e)
{
	const struct comp_plan *plan = i->cc->plan;
	for (uint32_t k = 0; k < plan->nlowers; k++)
		resolve_options(i, &plan->lowers[k].options, f, &i->lowers[k].options);
	for (uint32_t k = 0; k < plan->nlifts; k++)
		if (!resolve_lift(i, &i->lifts[k], &plan->lifts[k], f, e))
			return false;
	for (uint32_t k = 0; k < plan->nbuiltins; k++) {
		resolve_options(i, &plan->builtins[k].options, f, &i->builtins[k].options);
		if (plan->builtins[k].table.kind == COMP_CORE_EXPORT)
			i->builtins[k].table = resolve(i, &plan->builtins[k].table, f).table;
	}
	for (uint32_t k = 0; k < plan->ncore_funcs; k++)
		if (plan->core_funcs[k].memory.kind == COMP_CORE_EXPORT)
			i->core_funcs[k].memory = vm_memory_abi(resolve(i, &plan->core_funcs[k].memory, f).memory);
	for (uint32_t k = 0; k < plan->nresources; k++) {
		const struct comp_resource *p = plan->resources[k];
		struct canon__resource *r = &i->resources[k];
		r->component = p->instance == COMP_NONE ? CANON__HOST : p->instance;
		r->wide = p->rep64;
		if (p->instance != COMP_NONE)
			r->dtor = resolve(i, &p->dtor, f).func;
	}
	return true;
}

static bool allocate(struct canon_instance *i, struct err *e)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	limits.memory = i->limits.memory_bytes ? i->limits.memory_bytes : UINT64_MAX;
	limits.table_elements = i->limits.table_elements ? i->limits.table_elements : UINT64_MAX;
	limits.stack = i->limits.stack ? i->limits.stack : limits.stack;
	if (!vm_store_new(i->shard, &limits, &i->store, e))
		return false;
	vm_store_set_owner(i->store, i);
	pool_init(&i->head.pool, vm_store_account(i->store));
	if (!allocate_tables(i))
		return err_nomem(e);
	struct functions f;
	if (!functions_new(i, &f))
		return err_nomem(e);
	return vm_store_charge_records(i->store, i->own.used, e) && make_functions(i, &f, e) && make_core(i, &f, e) && allocate_core(i, &f, e) &&
		resolve_all(i, &f, e);
}

bool canon_instance_new(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits, void *user,
	struct canon_instance **ret, struct err *e)
{
	struct canon_instance *i = mem_zalloc(sizeof(*i));
	if (!i)
		return err_nomem(e);
	*i = (struct canon_instance){.shard = shard, .exec = vm_shard_exec(shard), .cc = cc, .host = host, .head.user = user};
	if (limits)
		i->limits = *limits;
	else
		canon_limits_default(&i->limits);
	arena_init(&i->own, 0);
	pool_init(&i->head.pool, NULL);
	if (!allocate(i, e)) {
		canon_instance_free(i);
		return false;
	}
	if (user && host->open && !host->open(host, i)) {
		canon_instance_free(i);
		return err_nomem(e);
	}
	*ret = i;
	return true;
}

void canon_instance_free(struct canon_instance *i)
{
	if (!i)
		return;
	canon__async_release(i);
	canon__host_table_release(i);
	if (i->head.user && i->host->reset)
		i->host->reset(i, true);
	for (uint32_t k = 0; i->components && k < i->n_components; k++)
		pool_free(i->components[k].handles.array);
	pool_free(i->reps.array);
	BUG_ON(i->n_tasks != 0);
	pool_release(&i->head.pool);
	vm_store_free(i->store);
	arena_release(&i->own);
	mem_free(i);
}

// What the host has for it ends before the first of its pages is looked at: bytes that come for a read which the guest left pending would be written into pages
// that are equal to the image by then, and what it left to be written would be taken from pages that are given back.
void canon__leave_host(struct canon_instance *i)
{
	if (i->left_host)
		return;
	i->left_host = true;
	canon__async_release(i);
	if (i->dirty)
		canon__host_table_clear(i);
	if (i->head.user && i->host->reset)
		i->host->reset(i, false);
}

uint64_t canon_instance_things(const struct canon_instance *i)
{
	return (uint64_t)i->host_table.count + canon__async_count(i);
}

// In the order of canon__leave_host: what a thread was about in the host still names the host's objects.
bool canon_instance_empty_some(struct canon_instance *i, uint32_t most)
{
	if (canon__async_release_some(i, &most))
		canon__host_table_drop(i, most);
	return canon_instance_things(i);
}

// ---- shed before it is freed: a guest may have had handles by the million ----

// Whole pages of the k-th table: its handles' by component, then those of representations and of host resources. false: there are no more tables.
static bool pages_of(const struct canon_instance *i, uint32_t k, uint8_t **ret, uint64_t *ret_size)
{
	const struct canon__table *t = k < i->n_components ? &i->components[k].handles : &i->reps;
	uintptr_t at = (uintptr_t)t->array, size = t->cap * sizeof *t->array;
	if (k > i->n_components) {
		at = (uintptr_t)i->host_table.array;
		size = i->host_table.cap * sizeof *i->host_table.array;
	}
	uintptr_t from = align_up_u64(at, SYS_PAGE), end = (at + size) & ~(uintptr_t)(SYS_PAGE - 1);
	*ret = (uint8_t *)from;
	*ret_size = end > from ? end - from : 0;
	return k <= i->n_components + 1;
}

static void begin_shedding(struct canon_instance *i)
{
	i->dead = true;
	canon__leave_host(i);  // threads that end there find the tables as they left them
	canon__host_table_clear(i);
	for (uint32_t k = 0; k < i->n_components; k++)
		i->components[k].handles.len = i->components[k].handles.free = 0;
	i->reps.len = i->reps.free = 0;
}

bool canon_instance_shed_some(struct canon_instance *i, uint64_t bytes)
{
	begin_shedding(i);
	uint8_t *pages;
	uint64_t size;
	while (bytes && pages_of(i, i->shed.table, &pages, &size)) {
		uint64_t some = min_u64(bytes, size - i->shed.at);
		if (some && sys_discard(pages + i->shed.at, some))
			return false;  // freeing it does it all
		bytes -= some;
		i->shed.at += some;
		if (i->shed.at < size)
			continue;
		i->shed.table++;
		i->shed.at = 0;
	}
	return !bytes || vm_store_shed_some(i->store, bytes);
}

uint64_t canon_instance_shed_left(const struct canon_instance *i)
{
	uint64_t n = i->store ? vm_store_shed_left(i->store) : 0, size;
	uint8_t *pages;
	for (uint32_t k = i->shed.table; pages_of(i, k, &pages, &size); k++)
		n += size;
	return n - i->shed.at;
}

struct vm_store *canon_instance_store(const struct canon_instance *i)
{
	return i->store;
}

uint32_t canon_instance_max_handles(const struct canon_instance *i)
{
	return i->limits.handles;
}

bool canon_instance_is_dead(const struct canon_instance *i)
{
	return i->dead;
}

// ---- running the plan ----

static enum trap run_step(struct canon_instance *i, struct canon_task *t, const struct canon__step *s)
{
	const struct comp_core_instance *p = &i->cc->plan->core_instances[s->core_instance];
	if (s->kind == CANON__SEGMENTS)
		return vm_instance_initialize_segments(i->core[s->core_instance]);
	struct canon_scope scope = {.component = p->instance, .caller = CANON__HOST};
	canon__scope_enter(i, t, &scope);
	enum trap trap = vm_instance_start(i->core[s->core_instance]);
	canon__scope_leave(i, t, &scope);
	return trap;
}

bool canon__run(struct canon_instance *i, uint32_t from, uint32_t to, struct canon_task *t, struct canon_trap *ret)
{
	BUG_ON(from != i->done || to > i->cc->n_steps);
	struct canon__own own;
	t = canon__task_begin(i, t, ret, &own);
	enum trap end = i->dead ? TRAP_POISONED : TRAP_NONE;
	for (uint32_t k = from; k < to && end == TRAP_NONE; k++) {
		end = run_step(i, t, &i->cc->steps[k]);
		if (end == TRAP_NONE)
			i->done = k + 1;
		else
			canon__add_backtrace(i, t, end);
	}
	bool ok = end == TRAP_NONE || canon__end(i, t, end);
	canon__task_end(i, t, &own);
	return ok;
}

bool canon_instance_initialize(struct canon_instance *i, uint32_t from, uint32_t to, struct canon_task *t, struct canon_trap *ret)
{
	return canon__run(i, from, to, t, ret);
}

const struct comp_export_func *canon_find_export(const struct canon_component *cc, struct slice interface_name, struct slice name)
{
	return comp_find_export(cc->comp, interface_name, name);
}
