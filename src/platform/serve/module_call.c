// A call of a core module's export: numbers in, numbers out, as WAVE writes them.
#include "serve_int.h"

static bool is_number(const struct wasm_valtype *t)
{
	return t->kind == WASM_I32 || t->kind == WASM_I64 || t->kind == WASM_F32 || t->kind == WASM_F64;
}

static bool only_numbers(const struct wasm_valtype *types, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!is_number(&types[i]))
			return false;
	return true;
}

static enum wit_kind kind_of(const struct wasm_valtype *t, bool is_signed)
{
	switch (t->kind) {
	case WASM_I32:
		return is_signed ? WIT_S32 : WIT_U32;
	case WASM_I64:
		return is_signed ? WIT_S64 : WIT_U64;
	case WASM_F32:
		return WIT_F32;
	default:
		return WIT_F64;
	}
}

// An integer has no sign of its own: what fits either way is taken.
static bool read_number(struct arena *a, struct slice text, const struct wasm_valtype *t, uint64_t *ret, struct err *e)
{
	return wit_wave_parse(a, text, wit_type_primitive(kind_of(t, false)), ret, NULL) ||
		wit_wave_parse(a, text, wit_type_primitive(kind_of(t, true)), ret, e);
}

static struct slice trimmed(struct slice s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\n' || s.ptr[0] == '\t'))
		s = slice_sub(s, 1, s.len);
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

// `text` is what stands between the parentheses. A comma behind the last one is none (WAVE).
static bool read_arguments(struct arena *a, struct slice text, struct module_call *c, struct err *e)
{
	uint32_t n = 0;
	for (bool more = trimmed(text).len; more; n++) {
		size_t comma = slice_find(text, ',');
		if (n < c->type->nparams && !read_number(a, slice_sub(text, 0, comma), &c->type->params[n], &c->args[n], e))
			return err_note(e, "argument %u", n + 1);
		text = slice_sub(text, comma + 1, text.len);
		more = trimmed(text).len;
	}
	return n == c->type->nparams || err_set(e, ERR_USAGE, "the function takes %u arguments, %u are given", c->type->nparams, n);
}

static bool find(const struct wasm_module *m, struct slice name, struct module_call *c, struct err *e)
{
	const struct wasm_export *x = wasm_module_find_export(m, name);
	if (!x || x->kind != WASM_EXTERN_FUNC) {
		err_set(e, ERR_USAGE, "no exported function '%.*s'", SLICE_ARGS(name));
		return err_hint(e, "tenon inspect shows what the module exports");
	}
	c->func = x->index;
	c->type = wasm_func_type_of(m, x->index);
	if (only_numbers(c->type->params, c->type->nparams) && only_numbers(c->type->results, c->type->nresults))
		return true;
	return err_set(e, ERR_USAGE, "'%.*s' takes or gives what is no number: it can't be called from here", SLICE_ARGS(name));
}

bool serve__module_call_parse(struct arena *a, const struct wasm_module *m, const char *invoke, struct module_call *ret, struct err *e)
{
	struct slice text = trimmed(slice_str(invoke));
	size_t open = text.len;
	while (open && text.ptr[open - 1] != '(')  // the last one: a name may have some
		open--;
	if (!open || text.ptr[text.len - 1] != ')') {
		err_set(e, ERR_USAGE, "expected a call, found `%.*s`", SLICE_ARGS(text));
		return err_hint(e, "write it with its arguments: name(), name(1, 2.5)");
	}
	if (!find(m, trimmed(slice_sub(text, 0, open - 1)), ret, e))
		return false;
	ret->args = ARENA_ARRAY(a, uint64_t, ret->type->nparams + 1);
	ret->results = ARENA_ARRAY(a, uint64_t, ret->type->nresults + 1);
	return ret->args && ret->results ? read_arguments(a, slice_sub(text, open, text.len - open - 1), ret, e) : err_nomem(e);
}

bool serve__module_call_print(const struct module_call *c, struct err *e)
{
	struct buf b = {0};
	uint32_t n = c->type->nresults;
	bool ok = n == 1 || buf_put_str(&b, "(");
	for (uint32_t i = 0; ok && i < n; i++)
		ok = (i == 0 || buf_put_str(&b, ", ")) && wit_wave_print(&b, wit_type_primitive(kind_of(&c->type->results[i], true)), &c->results[i], e);
	ok = ok && (n == 1 || buf_put_str(&b, ")")) && buf_put_byte(&b, '\n');
	if (ok)
		ok = (fwrite(b.ptr, 1, b.len, stdout) == b.len && fflush(stdout) == 0) || err_set(e, ERR_ENV, "cannot write to stdout");
	buf_release(&b);
	return ok;
}
