// Matching: may what was found stand where something is expected? (Explainer, "Type Checking"; C12, C13.)
//
// Each side has an environment: binders whose resources have been bound to others while matching went on. Looking up goes from the innermost
// binder outward, so that one type may be opened on both sides, and within itself.
#include "comp_int.h"

struct env {
	const struct binder *binder;
	const struct res **targets;  // by slot; already looked up in the outer environments of the side they come from
	bool imports;                // binds what imports introduced, else all else
	struct subst *pairs;         // instantiation: remembers which named type stands for which
	const struct env *outer;
};
struct matcher {
	struct dec *d;
	const struct env *found, *expected;
};

static const struct res *look_up(const struct env *env, const struct res *r)
{
	for (; env; env = env->outer)
		if (env->binder == r->owner)
			return env->targets[r->slot] ? env->targets[r->slot] : r;
	return r;
}

static bool same_resource(void *ctx, const struct wit_resource *expected, const struct wit_resource *found)
{
	struct matcher *m = ctx;
	return res_same(look_up(m->expected, res_of(expected)), look_up(m->found, res_of(found)));
}

static bool match_entity(struct matcher *m, const struct entity *found, const struct entity *expected);

// A primitive type that nobody gave a name.
static bool is_constant(const struct wit_type *t)
{
	return t->kind < WIT_N_PRIMITIVES && t == wit_type_primitive(t->kind);
}

static bool match_value(struct matcher *m, const struct wit_type *found, const struct wit_type *expected)
{
	struct wit_compare c = {.same_resource = same_resource, .ctx = m, .steps = m->d->steps};
	bool ok = wit_type_equal(&c, expected, found, m->d->e);
	m->d->steps = c.steps;
	if (!ok)
		return comp__at(m->d, comp__offset(m->d));
	for (const struct env *env = m->expected; env; env = env->outer)
		if (env->pairs && expected != found && !is_constant(expected)) {
			env->pairs->has_pairs = true;
			if (!comp__ptrmap_put(m->d, &env->pairs->memo, expected, found))
				return false;
		}
	return true;
}

static bool match_func(struct matcher *m, const struct wit_func_type *found, const struct wit_func_type *expected)
{
	struct wit_compare c = {.same_resource = same_resource, .ctx = m, .steps = m->d->steps};
	bool ok = wit_func_type_equal(&c, expected, found, m->d->e);
	m->d->steps = c.steps;
	return ok || comp__at(m->d, comp__offset(m->d));
}

// An instantiation's argument gives its name to what the component calls by a name of its own.
static bool remember_name(struct matcher *m, const struct res *found, const struct res *expected)
{
	for (const struct env *env = m->expected; env; env = env->outer)
		if (env->pairs && env->binder == expected->owner)
			return comp__ptrmap_get(&env->pairs->memo, expected) || comp__ptrmap_put(m->d, &env->pairs->memo, expected, look_up(m->found, found));
	return true;
}

static bool match_resource(struct matcher *m, const struct res *found, const struct res *expected)
{
	if (!remember_name(m, found, expected))
		return false;
	for (const struct env *env = m->expected; env; env = env->outer)
		if (env->binder == expected->owner) {
			if (!env->targets[expected->slot] && env->imports == expected->is_import) {
				env->targets[expected->slot] = look_up(m->found, found);
				return true;
			}
			break;
		}
	return same_resource(m, &expected->wit, &found->wit) ||
		FAIL(m->d, INVALID, "type mismatch: resource types are not the same (expected `%.*s`, found `%.*s`)", SLICE_ARGS(expected->wit.name),
			SLICE_ARGS(found->wit.name));
}

static bool match_instance(struct matcher *m, const struct itype *found, const struct itype *expected)
{
	for (uint32_t i = 0; i < expected->exports.len; i++) {
		const struct item *x = &expected->exports.ptr[i], *f = comp__items_find(m->d, &found->exports, x->name);
		if (!f)
			return FAIL(m->d, INVALID, "missing expected export `%.*s`", SLICE_ARGS(x->name));
		if (!match_entity(m, &f->e, &x->e))
			return err_note(m->d->e, "type mismatch in instance export `%.*s`", SLICE_ARGS(x->name));
	}
	return true;
}

static bool env_make(struct matcher *m, const struct binder *b, bool imports, const struct env *outer, struct env *ret)
{
	*ret = (struct env){.binder = b, .imports = imports, .outer = outer, .targets = ARENA_ARRAY(&m->d->s, const struct res *, b->n)};
	if (!ret->targets)
		return comp__full(m->d);
	return comp__steps(m->d, b->n);
}

// Imports the other way round: what the expected component is given must do for the one found.
static bool match_component(struct matcher *m, const struct ctype *found, const struct ctype *expected)
{
	struct env given, made;
	if (!env_make(m, found->binder, true, m->found, &given) || !env_make(m, expected->binder, false, m->expected, &made))
		return false;
	struct matcher in = {.d = m->d, .found = m->expected, .expected = &given};
	for (uint32_t i = 0; i < found->imports.len; i++) {
		const struct item *x = &found->imports.ptr[i], *f = comp__items_find(m->d, &expected->imports, x->name);
		if (!f)
			return FAIL(m->d, INVALID, "missing expected import `%.*s`", SLICE_ARGS(x->name));
		if (!match_entity(&in, &f->e, &x->e))
			return err_note(m->d->e, "type mismatch in import `%.*s`", SLICE_ARGS(x->name));
	}
	struct matcher out = {.d = m->d, .found = &given, .expected = &made};
	for (uint32_t i = 0; i < expected->exports.len; i++) {
		const struct item *x = &expected->exports.ptr[i], *f = comp__items_find(m->d, &found->exports, x->name);
		if (!f)
			return FAIL(m->d, INVALID, "missing expected export `%.*s`", SLICE_ARGS(x->name));
		if (!match_entity(&out, &f->e, &x->e))
			return err_note(m->d->e, "type mismatch in export `%.*s`", SLICE_ARGS(x->name));
	}
	return true;
}

// Types of instances that are named, not instances: what they bind is opened here.
static bool match_instance_type(struct matcher *m, const struct itype *found, const struct itype *expected)
{
	struct env made;
	if (!expected->binder || expected->binder->n == 0)
		return match_instance(m, found, expected);
	if (!env_make(m, expected->binder, false, m->expected, &made))
		return false;
	struct matcher in = {.d = m->d, .found = m->found, .expected = &made};
	return match_instance(&in, found, expected);
}

static const char *ty_name(const struct ty *t)
{
	static const char *const names[] = {"defined type", "func", "component", "instance", "resource"};
	return names[t->kind];
}

static bool match_type(struct matcher *m, const struct ty *found, const struct ty *expected)
{
	if (found->kind != expected->kind)
		return FAIL(m->d, INVALID, "type mismatch: expected %s, found %s", ty_name(expected), ty_name(found));
	struct matcher back = {.d = m->d, .found = m->expected, .expected = m->found};
	switch ((enum ty_kind)found->kind) {
	case TY_VALUE:
		return match_value(m, found->value, expected->value);
	case TY_FUNC:
		return match_func(m, found->func, expected->func);
	case TY_RESOURCE:
		return match_resource(m, found->res, expected->res);
	case TY_INSTANCE:  // equal: each matches the other
		return match_instance_type(m, found->inst, expected->inst) && match_instance_type(&back, expected->inst, found->inst);
	default:
		return match_component(m, found->comp, expected->comp) && match_component(&back, expected->comp, found->comp);
	}
}

static bool match_entity(struct matcher *m, const struct entity *found, const struct entity *expected)
{
	if (!comp__steps(m->d, 1))
		return false;
	if (found->kind != expected->kind)
		return FAIL(m->d, INVALID, "type mismatch: expected %s, found %s", comp__entity_name(expected), comp__entity_name(found));
	switch ((enum comp_extern_kind)found->kind) {
	case COMP_EXTERN_MODULE:
		return comp__module_match(m->d, found->module, expected->module);
	case COMP_EXTERN_FUNC:
		return match_func(m, found->ty.func, expected->ty.func);
	case COMP_EXTERN_INSTANCE:
		return match_instance(m, found->ty.inst, expected->ty.inst);
	case COMP_EXTERN_COMPONENT:
		return match_component(m, found->ty.comp, expected->ty.comp);
	default:
		return match_type(m, &found->ty, &expected->ty);
	}
}

// An export's ascribed type: an instance type there is still closed.
bool comp__match(struct dec *d, const struct entity *found, const struct entity *expected)
{
	struct matcher m = {.d = d};
	if (expected->kind == COMP_EXTERN_TYPE && expected->is_sub) {
		bool is_type = found->kind == COMP_EXTERN_TYPE;
		if (is_type && found->ty.kind == TY_RESOURCE)
			return true;
		return FAIL(d, INVALID, "type mismatch: expected resource, found %s", is_type ? ty_name(&found->ty) : comp__entity_name(found));
	}
	if (found->kind == COMP_EXTERN_INSTANCE && expected->kind == COMP_EXTERN_INSTANCE)
		return match_instance_type(&m, found->ty.inst, expected->ty.inst);
	return match_entity(&m, found, expected);
}

bool comp__match_bound(struct dec *d, struct subst *s, bool imports, const struct entity *found, const struct entity *expected)
{
	struct env env = {.binder = s->from, .targets = s->targets, .imports = imports, .pairs = s};
	struct matcher m = {.d = d, .expected = &env};
	return match_entity(&m, found, expected);
}

static const struct named_entity *arg_find(const struct map *by_name, const struct named_entity *args, struct slice name)
{
	uintptr_t i;
	return by_name->len && map_get(by_name, name, &i) ? &args[i] : NULL;
}

bool comp__instantiate(struct dec *d, const struct ctype *c, const struct named_entity *args, uint32_t nargs, struct binder *into,
	const struct itype **ret)
{
	struct map by_name;
	map_init(&by_name, &d->s);
	for (uint32_t i = 0; i < nargs; i++) {
		bool nomem = false;
		if (!map_insert(&by_name, args[i].name, i, &nomem))
			return nomem ? comp__full(d)
						 : FAIL(d, INVALID, "instantiation argument `%.*s` conflicts with previous argument `%.*s`", SLICE_ARGS(args[i].name),
							   SLICE_ARGS(args[i].name));
	}
	struct subst s = {.d = d, .from = c->binder, .into = into};
	struct env env = {.binder = c->binder, .imports = true, .pairs = &s};
	s.targets = env.targets = ARENA_ARRAY(&d->s, const struct res *, c->binder->n);
	if (!s.targets)
		return comp__full(d);
	if (!comp__steps(d, c->binder->n))
		return false;
	struct matcher m = {.d = d, .expected = &env};
	for (uint32_t i = 0; i < c->imports.len; i++) {
		const struct item *x = &c->imports.ptr[i];
		const struct named_entity *arg = arg_find(&by_name, args, x->name);
		if (!arg)
			return FAIL(d, INVALID, "missing import named `%.*s`", SLICE_ARGS(x->name));
		if (!match_entity(&m, &arg->e, &x->e))
			return err_note(d->e, "instantiation argument `%.*s`", SLICE_ARGS(x->name));
	}
	// The exports, as they look with these arguments. Bound in `into` from now on.
	const struct itype in = {.exports = c->exports, .size = c->size, .depth = c->depth};
	const struct entity e = {.kind = COMP_EXTERN_INSTANCE, .ty = {.kind = TY_INSTANCE, .inst = &in}};
	struct entity out;
	if (!comp__subst_entity(&s, &e, &out))
		return false;
	*ret = arena_copy(&d->s, out.ty.inst, sizeof(struct itype), _Alignof(struct itype));
	return *ret || comp__full(d);
}
