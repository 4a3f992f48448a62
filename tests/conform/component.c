// Components of a script: loaded, instantiated each on its own, called. No script's component needs a host.
#include "canon/canon.h"
#include "conform.h"
#include "tier/tier.h"

struct component {
	struct comp_component *comp;
	struct canon_component *canon;
};
struct component_instance {
	struct component *component;
	struct canon_instance *canon;
};

bool component_load(struct script *s, struct slice bytes, struct component **ret, struct err *e)
{
	struct component *c = ARENA_NEW(&s->arena, struct component);
	if (!c)
		return err_nomem(e);
	if (!comp_decode(&s->arena, bytes, &s->decode, &c->comp, e))
		return false;
	if (!comp_can_run(c->comp, NULL)) {
		*ret = c;
		return true;
	}
	uint32_t n = c->comp->nmodules;
	const struct wasm_module **modules = ARENA_ARRAY(&s->arena, const struct wasm_module *, n + 1);
	struct vm_module **compiled = ARENA_ARRAY(&s->arena, struct vm_module *, n + 1);
	if (!modules || !compiled)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		modules[i] = c->comp->modules[i].wasm;
	struct tier_options tier = {.no_cache = true, .poison_upper = s->options->poison, .threads = 1, .lazy_from = s->options->lazy};
	struct tier_stats stats;
	if (n && !tier_compile(modules, n, bytes, &tier, compiled, &stats, e))
		return false;
	if (!canon_component_new(c->comp, compiled, &c->canon, e))
		return false;
	*ret = c;
	return true;
}

bool component_can_run(const struct component *c)
{
	return c->canon != NULL;
}

const char *component_needs(const struct component *c)
{
	const struct comp_plan *p = &c->comp->plan;
	if (!component_can_run(c))
		return "decoded and validated; can't be run yet";
	return p->unlinkable || p->nhost_funcs || p->nhost_resources ? "the component needs a host" : NULL;
}

struct initialization {
	struct component_instance *instance;
	struct canon_trap trap;
	bool ok;
};
static void initialize(void *arg)
{
	struct initialization *x = arg;
	x->ok = canon_instance_initialize(x->instance->canon, 0, canon_component_steps(x->instance->component->canon), NULL, &x->trap);
}

static void put_trap(struct call_result *r, const struct canon_trap *t)
{
	r->end = CALL_TRAPPED;
	r->trap = t->trap;
	snprintf(r->text, sizeof(r->text), "%s%s%s", trap_text(t->trap), t->text[0] ? ": " : "", t->text);
}

bool component_instantiate(struct script *s, struct component *c, struct component_instance **ret, struct call_result *trap, struct err *e)
{
	static const struct canon_host no_host;
	struct component_instance *i = ARENA_NEW(&s->arena, struct component_instance);
	if (!i)
		return err_nomem(e);
	if (c->comp->plan.unlinkable)
		return err_set(e, ERR_LINK, "%s", c->comp->plan.unlinkable);
	struct canon_limits limits;
	canon_limits_default(&limits);
	limits.memory_bytes = 0;  // what a script asks for is there until the machine has no more
	i->component = c;
	if (!canon_instance_new(s->shard, c->canon, &no_host, &limits, NULL, &i->canon, e))
		return false;
	struct initialization x = {.instance = i};
	if (!on_fiber(s, initialize, &x))
		return err_nomem(e);
	if (!x.ok)
		put_trap(trap, &x.trap);
	*ret = i;
	return x.ok;
}

static const struct comp_export_func *find_export(const struct component *c, const json_t *action)
{
	const json_t *field = json_object_get(action, "field");
	return canon_find_export(c->canon, (struct slice){0}, slice_of(json_string_value(field), json_string_length(field)));
}

struct invocation {
	struct canon_instance *instance;
	const struct comp_export_func *func;
	uint8_t *args, *result;
	struct arena *arena;
	struct canon_trap trap;
	bool ok;
};
static void invoke(void *arg)
{
	struct invocation *x = arg;
	x->ok = canon_call_export(x->instance, x->func, NULL, x->args, x->result, x->arena, &x->trap);
}

static bool read_args(struct arena *a, const json_t *args, const struct wit_type *params, uint8_t *ret)
{
	if (json_array_size(args) != params->n)
		return false;
	for (uint32_t i = 0; i < params->n; i++)
		if (!wit_value_read(a, json_array_get(args, i), params->fields[i].type, ret + params->fields[i].offset64))
			return false;
	return true;
}

static struct outcome compare(const struct wit_func_type *type, const uint8_t *result, const json_t *expected)
{
	if (json_array_size(expected) != (type->result ? 1 : 0))
		return failed("expected %zu results", json_array_size(expected));
	if (!type->result || wit_value_equal(json_array_get(expected, 0), type->result, result))
		return OUTCOME_PASSED;
	struct buf b = {0};
	struct err e = {0};
	char *want = json_dumps(json_array_get(expected, 0), JSON_COMPACT);
	if (!wit_wave_print(&b, type->result, result, &e))
		buf_put_str(&b, e.text);
	struct outcome o = failed("result is %.*s, expected %s", SLICE_ARGS(buf_view(&b)), want ? want : "?");
	free(want);
	buf_release(&b);
	return o;
}

struct call_result component_invoke(struct script *s, struct component_instance *i, const json_t *action, const json_t *expected, struct outcome *mismatch)
{
	struct call_result r = {.end = CALL_NOT_DONE};
	struct arena a;
	arena_init(&a, (size_t)1 << 30);
	struct invocation x = {.instance = i->canon, .func = find_export(i->component, action), .arena = &a};
	if (!x.func) {
		snprintf(r.text, sizeof(r.text), "no such function");
	} else {
		const struct wit_func_type *type = x.func->type;
		x.args = arena_zalloc(&a, type->params.size64 + 16, 16);
		x.result = arena_zalloc(&a, type->result ? type->result->size64 + 16 : 16, 16);
		if (!x.args || !x.result || !read_args(&a, json_object_get(action, "args"), &type->params, x.args))
			snprintf(r.text, sizeof(r.text), "an argument that has no form here");
		else if (!on_fiber(s, invoke, &x))
			snprintf(r.text, sizeof(r.text), "no fiber");
		else if (!x.ok)
			put_trap(&r, &x.trap);
		else
			r.end = CALL_RETURNED;
		if (r.end == CALL_RETURNED && expected)
			*mismatch = compare(type, x.result, expected);
	}
	arena_release(&a);
	return r;
}

void component_script_end(struct script *s)
{
	for (uint32_t i = 0; i < s->instances.list.len; i++) {
		struct entity *e = &s->instances.list.ptr[i].entity;
		if (e->kind == ENTITY_COMPONENT_INSTANCE && e->component_instance->canon) {
			canon_instance_free(e->component_instance->canon);
			e->component_instance->canon = NULL;
		}
	}
}
