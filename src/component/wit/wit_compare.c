// Equality of types and functions. Recursion is on types, whose depth is bounded (wit.h, invariant 3).
#include "wit_int.h"

static bool type_step(struct wit_compare *c, struct err *e)
{
	if (c->steps == 0)
		return err_set(e, ERR_LIMIT, "comparing the types takes too many steps");
	c->steps--;
	return true;
}

static bool differs(struct err *e, const char *expected, const char *found)
{
	return err_set(e, ERR_LINK, "type mismatch: expected %s, found %s", expected, found);
}

static bool members_equal(struct wit_compare *c, const struct wit_type *x, const struct wit_type *y, const char *what, struct err *e)
{
	for (uint32_t i = 0; i < x->n && i < y->n; i++) {
		const struct wit_field *p = &x->fields[i], *q = &y->fields[i];
		if (!slice_eq(p->name, q->name))
			return err_set(e, ERR_LINK, "type mismatch: expected %s named `%.*s`, found %s named `%.*s`", what, SLICE_ARGS(p->name), what,
				SLICE_ARGS(q->name));
		if (!p->type != !q->type)
			return err_set(e, ERR_LINK, "type mismatch: expected %s `%.*s` with%s a type, found it with%s one", what, SLICE_ARGS(p->name),
				p->type ? "" : "out", q->type ? "" : "out");
		if (p->type && !wit_type_equal(c, p->type, q->type, e))
			return p->name.len ? err_note(e, "%s `%.*s`", what, SLICE_ARGS(p->name)) : err_note(e, "%s %u", what, i);
		if (!p->type && !type_step(c, e))
			return false;
	}
	if (x->n != y->n)
		return err_set(e, ERR_LINK, "type mismatch: expected %u %ss, found %u", x->n, what, y->n);
	return true;
}

static bool resource_equal(struct wit_compare *c, const struct wit_resource *x, const struct wit_resource *y, struct err *e)
{
	if (x == y || (c->same_resource && c->same_resource(c->ctx, x, y)))
		return true;
	return err_set(e, ERR_LINK, "type mismatch: resource types are not the same (expected `%.*s`, found `%.*s`)", SLICE_ARGS(x->name),
		SLICE_ARGS(y->name));
}

static bool elem_equal(struct wit_compare *c, const struct wit_type *x, const struct wit_type *y, struct err *e)
{
	if (!x->elem != !y->elem)
		return err_set(e, ERR_LINK, "type mismatch: expected %s %s element type, found it %s one", wit_kind_name(x->kind),
			x->elem ? "with" : "without", y->elem ? "with" : "without");
	return !x->elem || wit_type_equal(c, x->elem, y->elem, e) || err_note(e, "%s element", wit_kind_name(x->kind));
}

bool wit_type_equal(struct wit_compare *c, const struct wit_type *x, const struct wit_type *y, struct err *e)
{
	if (!type_step(c, e))
		return false;
	// The same type is equal to itself unless the caller tells its resources apart.
	if (x == y && (!c->same_resource || !(x->flags & WIT_HAS_HANDLE)))
		return true;
	if (x->kind != y->kind)
		return differs(e, wit_kind_name(x->kind), wit_kind_name(y->kind));
	switch ((enum wit_kind)x->kind) {
	case WIT_LIST:
	case WIT_MAP:
	case WIT_STREAM:
	case WIT_FUTURE:
		return elem_equal(c, x, y, e);
	case WIT_FIXED_LIST:
		if (x->n != y->n)
			return err_set(e, ERR_LINK, "type mismatch: expected list of %u elements, found %u", x->n, y->n);
		return elem_equal(c, x, y, e);
	case WIT_RECORD:
	case WIT_TUPLE:
		return members_equal(c, x, y, "field", e);
	case WIT_VARIANT:
	case WIT_OPTION:
	case WIT_RESULT:
	case WIT_ENUM:
		return members_equal(c, x, y, "case", e);
	case WIT_FLAGS:
		return members_equal(c, x, y, "flag", e);
	case WIT_OWN:
	case WIT_BORROW:
		return resource_equal(c, x->resource, y->resource, e);
	default:
		return true;
	}
}

bool wit_func_type_equal(struct wit_compare *c, const struct wit_func_type *x, const struct wit_func_type *y, struct err *e)
{
	if (x == y && !c->same_resource)
		return true;
	if (x->is_async != y->is_async)
		return err_set(e, ERR_LINK, "type mismatch: expected %s function, found %s one", x->is_async ? "async" : "sync", y->is_async ? "async" : "sync");
	if (x->params.n != y->params.n)
		return err_set(e, ERR_LINK, "type mismatch: expected %u parameters, found %u", x->params.n, y->params.n);
	for (uint32_t i = 0; i < x->params.n; i++) {
		const struct wit_field *p = &x->params.fields[i], *q = &y->params.fields[i];
		if (!c->shapes_only && !slice_eq(p->name, q->name))
			return err_set(e, ERR_LINK, "type mismatch: expected parameter named `%.*s`, found `%.*s`", SLICE_ARGS(p->name), SLICE_ARGS(q->name));
		if (!wit_type_equal(c, p->type, q->type, e))
			return err_note(e, "parameter `%.*s`", SLICE_ARGS(p->name));
	}
	if (!x->result != !y->result)
		return err_set(e, ERR_LINK, "type mismatch: expected %s result, found %s", x->result ? "a" : "no", y->result ? "one" : "none");
	return !x->result || wit_type_equal(c, x->result, y->result, e) || err_note(e, "result");
}

bool wit_type_each_resource(const struct wit_type *t, bool (*visit)(void *ctx, const struct wit_resource *r), void *ctx)
{
	if (!(t->flags & WIT_HAS_HANDLE))
		return true;
	if (t->resource && !visit(ctx, t->resource))
		return false;
	if (t->elem && !wit_type_each_resource(t->elem, visit, ctx))
		return false;
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++)
		if (t->fields[i].type && !wit_type_each_resource(t->fields[i].type, visit, ctx))
			return false;
	return true;
}
