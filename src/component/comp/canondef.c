// Canonical definitions: lift, lower and built-ins; their options and the core types they need (CanonicalABI.md, "Canonical Definitions").
#include "comp_int.h"

#include <stdio.h>

#define MAX_FLAT_ASYNC 4

static const struct builtin {
	const char *text;
	uint8_t code;
	const char *immediates, *signature;
	uint32_t feature;
} builtins[] = {
#define BUILTIN(name, text, code, immediates, signature, feature) [COMP_BUILTIN_##name] = {text, code, immediates, signature, feature},
#include "builtins.def"
#undef BUILTIN
};

const char *comp_builtin_text(enum comp_builtin_kind kind)
{
	return builtins[kind].text;
}

// ---- core signatures ----

struct signature {
	uint32_t nparams, nresults;
	struct wasm_valtype params[WIT_MAX_FLAT + 2], results[WIT_MAX_FLAT];
};

static struct wasm_valtype core_type(uint8_t flat)
{
	static const uint8_t kinds[] = {WASM_F64, WASM_F32, WASM_I64, WASM_I32};
	_Static_assert(WIT_CORE_F64 + 3 == WIT_CORE_I32 && WIT_CORE_F64 + 2 == WIT_CORE_I64, "ORDER kinds");
	return (struct wasm_valtype){.kind = kinds[flat - WIT_CORE_F64]};
}

static void add_param(struct signature *sig, uint8_t flat)
{
	sig->params[sig->nparams++] = core_type(flat);
}

static void add_result(struct signature *sig, uint8_t flat)
{
	sig->results[sig->nresults++] = core_type(flat);
}

static uint8_t pointer(const struct canon *c)
{
	return c->is64 ? WIT_CORE_I64 : WIT_CORE_I32;
}

// flatten_type of the specification.
static bool flat_of(struct dec *d, const struct canon *c, const struct wit_type *t, struct wit_flat *ret)
{
	ret->n = t->n_flat;
	memcpy(ret->types, t->flat, sizeof ret->types);
	if (!c->is64)
		return true;
	if (!comp__steps(d, t->effective_size))
		return false;
	wit_type_flatten64(t, ret);
	return true;
}

static bool add_params(struct dec *d, const struct canon *c, struct signature *sig, const struct wit_type *t, unsigned max)
{
	struct wit_flat flat;
	if (!flat_of(d, c, t, &flat))
		return false;
	if (flat.n > max)
		add_param(sig, pointer(c));
	else
		for (unsigned i = 0; i < flat.n; i++)
			add_param(sig, flat.types[i]);
	return true;
}

// flatten_functype of the specification (C17).
static bool flatten(struct dec *d, const struct canon *c, const struct wit_func_type *f, bool is_lift, struct signature *sig)
{
	struct wit_flat result = {0};
	*sig = (struct signature){0};
	if (!add_params(d, c, sig, &f->params, c->is_async && !is_lift ? MAX_FLAT_ASYNC : WIT_MAX_FLAT) || (f->result && !flat_of(d, c, f->result, &result)))
		return false;
	if (c->is_async) {
		if (!is_lift && result.n)
			add_param(sig, pointer(c));
		if (!is_lift || c->callback != COMP_NONE)
			add_result(sig, WIT_CORE_I32);
	} else if (result.n == 1) {
		add_result(sig, result.types[0]);
	} else if (result.n && is_lift) {
		add_result(sig, pointer(c));
	} else if (result.n) {
		add_param(sig, pointer(c));
	}
	return true;
}

static uint32_t intern(const struct signature *sig)
{
	return wasm_intern_func_type(
		&(struct wasm_func_type){.nparams = sig->nparams, .nresults = sig->nresults, .params = sig->params, .results = sig->results});
}

// "iI:i"; letters as in builtins.def.
static void parse_signature(const struct canon *c, const char *text, struct signature *sig)
{
	static const char letters[] = "wxkq";  // ORDER enum wide
	*sig = (struct signature){0};
	bool results = false;
	for (; *text; text++) {
		const char *l = strchr(letters, *text);
		bool is64 = *text == 'I' || (*text == 'p' && c->is64) || (l && c->wide >> (l - letters) & 1);
		if (*text == ':')
			results = true;
		else if (results)
			add_result(sig, is64 ? WIT_CORE_I64 : WIT_CORE_I32);
		else
			add_param(sig, is64 ? WIT_CORE_I64 : WIT_CORE_I32);
	}
}

static bool func_is(struct dec *d, const struct scope *s, uint32_t func, const struct signature *sig, const char *option)
{
	uint32_t id = intern(sig);
	if (!id)
		return err_nomem(d->e);
	return comp__core_func_is(d, s->core[SORT_CORE_FUNC].ptr[func].func, id) ||
		FAIL(d, INVALID, "canonical option `%s` uses a core function with an incorrect signature", option);
}

// ---- options (C15, C16) ----

static bool set_index(struct dec *d, const struct scope *s, unsigned sort, const char *option, uint32_t *field)
{
	if (*field != COMP_NONE)
		return FAIL(d, INVALID, "canonical option `%s` is specified more than once", option);
	return comp__u32(d, field) && comp__index(d, s, sort, *field);
}

static bool set_encoding(struct dec *d, struct canon *c, uint8_t encoding)
{
	static const char *const names[] = {"utf8", "utf16", "latin1-utf16"};
	if (c->has_encoding)
		return FAIL(d, INVALID, "canonical encoding option `%s` conflicts with option `%s`", names[c->encoding], names[encoding]);
	c->has_encoding = true;
	c->encoding = encoding;
	return true;
}

static bool need_async(struct dec *d, const char *what)
{
	return comp__need(d, COMP_FEATURE_ASYNC, comp__offset(d) - 1, what);
}

static bool option(struct dec *d, const struct scope *s, struct canon *c)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	switch (b) {
	case 0x00:
	case 0x01:
	case 0x02:
		return set_encoding(d, c, b);
	case 0x03:
		return set_index(d, s, SORT_CORE_MEMORY, "memory", &c->memory);
	case 0x04:
		return set_index(d, s, SORT_CORE_FUNC, "realloc", &c->realloc);
	case 0x05:
		return set_index(d, s, SORT_CORE_FUNC, "post-return", &c->post_return);
	case 0x06:
		if (!need_async(d, "canonical option `async`"))
			return false;
		if (c->is_async)
			return FAIL(d, INVALID, "canonical option `async` is specified more than once");
		c->is_async = true;
		return true;
	case 0x07:
		return need_async(d, "canonical option `callback`") && set_index(d, s, SORT_CORE_FUNC, "callback", &c->callback);
	default:
		return comp__bad_byte(d, b, "canonical option");
	}
}

static bool check_memory(struct dec *d, const struct scope *s, struct canon *c)
{
	c->is64 = c->memory != COMP_NONE && s->core[SORT_CORE_MEMORY].ptr[c->memory].memory.limits.is64;
	return !c->is64 || comp__need(d, COMP_FEATURE_MEMORY64, comp__offset(d) - 1, "a 64-bit memory for values");
}

bool comp__canon_check(struct dec *d, const struct scope *s, struct canon *c)
{
	struct signature sig;
	if (!check_memory(d, s, c))
		return false;
	if (c->realloc != COMP_NONE) {
		if (c->memory == COMP_NONE)
			return FAIL(d, INVALID, "canonical option `realloc` requires `memory` to also be specified");
		parse_signature(c, "pppp:p", &sig);
		if (!func_is(d, s, c->realloc, &sig, "realloc"))
			return false;
	}
	if (c->callback != COMP_NONE) {
		if (!c->is_async)
			return FAIL(d, INVALID, "canonical option `callback` cannot be specified without `async`");
		parse_signature(c, "iii:i", &sig);
		if (!func_is(d, s, c->callback, &sig, "callback"))
			return false;
	}
	if (c->is_async && c->post_return != COMP_NONE)
		return FAIL(d, INVALID, "canonical option `post-return` cannot be specified with `async`");
	return true;
}

static bool options(struct dec *d, const struct scope *s, struct canon *c)
{
	uint32_t n;
	if (!comp__count(d, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!option(d, s, c))
			return false;
	return comp__canon_check(d, s, c);
}

static bool require(struct dec *d, bool needed, uint32_t index, const char *option)
{
	return !needed || index != COMP_NONE || FAIL(d, INVALID, "canonical option `%s` is required", option);
}

static bool not_for(struct dec *d, uint32_t index, const char *option, const char *what)
{
	return index == COMP_NONE || FAIL(d, INVALID, "canonical option `%s` cannot be specified for %s", option, what);
}

static bool has_pointer(const struct wit_type *t)
{
	return t && t->flags & WIT_HAS_PTR;
}

static unsigned n_flat(const struct wit_type *t)
{
	return t ? t->n_flat : 0;
}

// ---- lift, lower ----

struct canon *comp__canon_new(struct dec *d)
{
	struct canon *c = NEW(d, struct canon);
	if (!c) {
		comp__full(d);
		return NULL;
	}
	c->memory = c->realloc = c->post_return = c->callback = c->table = COMP_NONE;
	return c;
}

static bool check_async(struct dec *d, const struct canon *c, const struct wit_func_type *f)
{
	return !c->is_async || f->is_async || FAIL(d, INVALID, "the `async` canonical option requires an async function type");
}

static bool lift_func_matches(struct dec *d, const struct scope *s, struct canon *c, uint32_t func)
{
	struct signature sig;
	if (!flatten(d, c, c->func, true, &sig))
		return false;
	c->core_type = intern(&sig);
	if (!c->core_type)
		return err_nomem(d->e);
	uint32_t have = s->core[SORT_CORE_FUNC].ptr[func].func;
	if (!comp__core_func_is(d, have, c->core_type)) {
		const struct wasm_func_type *f = comp__core_func(d, have);
		bool params = !f || f->nparams != sig.nparams;
		for (uint32_t i = 0; !params && i < sig.nparams; i++)
			params = f->params[i].kind != sig.params[i].kind;
		return FAIL(d, INVALID, "lowered %s types do not match %s types of core function %u", params ? "parameter" : "result",
			params ? "parameter" : "result", func);
	}
	if (c->post_return == COMP_NONE)
		return true;
	struct signature post = {.nparams = sig.nresults};
	memcpy(post.params, sig.results, sig.nresults * sizeof(*sig.results));
	return func_is(d, s, c->post_return, &post, "post-return");
}

bool comp__lift(struct dec *d, struct scope *s, struct canon *c, uint32_t func, uint64_t at)
{
	const struct wit_func_type *f = c->func;
	bool spilled = f->params.n_flat > WIT_MAX_FLAT;
	unsigned max_results = c->is_async ? WIT_MAX_FLAT : 1;
	if (!check_async(d, c, f) || !require(d, has_pointer(&f->params) || has_pointer(f->result) || spilled || n_flat(f->result) > max_results, c->memory, "memory") ||
		!require(d, has_pointer(&f->params) || spilled, c->realloc, "realloc") || !lift_func_matches(d, s, c, func))
		return false;
	struct op *op = comp__op(d, s, OP_LIFT, at);
	if (!op)
		return false;
	op->a = func;
	op->p = c;
	return PUSH(d, &s->funcs, f);
}

static bool lift(struct dec *d, struct scope *s, uint64_t at)
{
	uint32_t func, type;
	struct canon *c = comp__canon_new(d);
	if (!c || !comp__byte_is(d, 0, "canonical function lift") || !comp__u32(d, &func) || !comp__index(d, s, SORT_CORE_FUNC, func) ||
		!options(d, s, c) || !comp__u32(d, &type) || !comp__index(d, s, SORT_TYPE, type))
		return false;
	if (s->types.ptr[type].kind != TY_FUNC)
		return FAIL(d, INVALID, "type index %u is not a function type", type);
	c->func = s->types.ptr[type].func;
	return comp__lift(d, s, c, func, at);
}

static bool push_core_func(struct dec *d, struct scope *s, uint32_t type)
{
	struct core_extern x = {.kind = WASM_EXTERN_FUNC, .func = type};
	return type ? PUSH(d, &s->core[SORT_CORE_FUNC], x) : err_nomem(d->e);
}

bool comp__lower(struct dec *d, struct scope *s, struct canon *c, uint32_t func, uint64_t at)
{
	struct signature sig;
	const struct wit_func_type *f = c->func = s->funcs.ptr[func];
	unsigned max_params = c->is_async ? MAX_FLAT_ASYNC : WIT_MAX_FLAT, max_results = c->is_async ? 0 : 1;
	if (!check_async(d, c, f) ||
		!require(d, has_pointer(&f->params) || has_pointer(f->result) || f->params.n_flat > max_params || n_flat(f->result) > max_results,
			c->memory, "memory") ||
		!require(d, has_pointer(f->result), c->realloc, "realloc"))
		return false;
	if (!flatten(d, c, f, false, &sig))
		return false;
	c->core_type = intern(&sig);
	struct op *op = comp__op(d, s, OP_LOWER, at);
	if (!op)
		return false;
	op->a = func;
	op->p = c;
	return push_core_func(d, s, c->core_type);
}

static bool lower(struct dec *d, struct scope *s, uint64_t at)
{
	uint32_t func;
	struct canon *c = comp__canon_new(d);
	return c && comp__byte_is(d, 0, "canonical function lower") && comp__u32(d, &func) && comp__index(d, s, SORT_FUNC, func) && options(d, s, c) &&
		not_for(d, c->post_return, "post-return", "lowerings") && not_for(d, c->callback, "callback", "lowerings") && comp__lower(d, s, c, func, at);
}

// ---- built-ins ----

enum wide { WIDE_REP = 1, WIDE_CONTEXT = 2, WIDE_CLOSURE = 4, WIDE_TABLE = 8 };  // ORDER parse_signature

static bool resource_immediate(struct dec *d, struct scope *s, bool local, struct canon *c)
{
	uint32_t index;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_TYPE, index))
		return false;
	if (s->types.ptr[index].kind != TY_RESOURCE)
		return FAIL(d, INVALID, "type index %u is not a resource type", index);
	c->res = s->types.ptr[index].res;
	c->wide |= c->res->is_rep64 ? WIDE_REP : 0;
	return !local || (c->res->is_local && c->res->owner == s->binder) || FAIL(d, INVALID, "type index %u is not a local resource", index);
}

static bool stream_immediate(struct dec *d, struct scope *s, bool is_stream, struct canon *c)
{
	uint32_t index;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_TYPE, index))
		return false;
	const struct ty *t = &s->types.ptr[index];
	if (t->kind != TY_VALUE || t->value->kind != (is_stream ? WIT_STREAM : WIT_FUTURE))
		return FAIL(d, INVALID, "type index %u is not a %s type", index, is_stream ? "stream" : "future");
	c->type = t->value;
	return true;
}

// The parameter is an address where the guest has 64-bit ones.
static bool thread_func_immediate(struct dec *d, struct scope *s, struct canon *c)
{
	uint32_t index;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_CORE_TYPE, index))
		return false;
	const struct core_type *t = &s->core_types.ptr[index];
	for (unsigned wide = 0; !t->module && wide < 2; wide++) {
		struct signature sig;
		c->wide = (uint8_t)((c->wide & ~WIDE_CLOSURE) | (wide ? WIDE_CLOSURE : 0));
		parse_signature(c, "k:", &sig);
		c->func_type = intern(&sig);
		if (comp__core_func_is(d, t->id, c->func_type))
			return !wide || comp__need(d, COMP_FEATURE_MEMORY64, comp__offset(d) - 1, "a thread's function with an `i64` argument");
	}
	return FAIL(d, INVALID, "start function must take a single `i32` argument and return nothing");
}

static bool table_immediate(struct dec *d, struct scope *s, struct canon *c)
{
	uint32_t index;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_CORE_TABLE, index))
		return false;
	const struct wasm_table_type *t = &s->core[SORT_CORE_TABLE].ptr[index].table;
	if (t->elem.heap != WASM_HEAP_FUNC || !t->elem.nullable)
		return FAIL(d, INVALID, "start function table must be of type `funcref`");
	c->table = index;
	c->wide |= t->limits.is64 ? WIDE_TABLE : 0;
	return true;
}

// All of one component have one type.
static bool context_type(struct dec *d, struct scope *s, struct canon *c)
{
	uint8_t b;
	uint64_t at = comp__offset(d);
	if (!comp__u8(d, &b))
		return false;
	if (b != 0x7f && b != 0x7e)
		return FAIL_AT(d, INVALID, at, "context values must be of type `i32`");
	if (b == 0x7e && !comp__need(d, COMP_FEATURE_MEMORY64, at, "a context value of type `i64`"))
		return false;
	if (s->context_type && s->context_type != b)
		return FAIL_AT(d, INVALID, at, "context values of one component must all be of one type");
	s->context_type = b;
	c->wide |= b == 0x7e ? WIDE_CONTEXT : 0;
	return true;
}

static bool immediate(struct dec *d, struct scope *s, char kind, struct canon *c)
{
	switch (kind) {
	case 'r':
	case 'R':
		return resource_immediate(d, s, kind == 'r', c);
	case 's':
	case 'f':
		return stream_immediate(d, s, kind == 's', c);
	case 'o':
		return options(d, s, c);
	case 'a':
		return comp__bool(d, &c->is_async);
	case 'z':
		return comp__byte_is(d, 0, "`cancellable`, which must be absent");
	case 'm':
		return comp__u32(d, &c->memory) && comp__index(d, s, SORT_CORE_MEMORY, c->memory) && check_memory(d, s, c);
	case 'v':
		return comp__result_list(d, s, &c->type);
	case 't':
		return context_type(d, s, c);
	case 'u':
		return comp__u32(d, &c->imm) && (c->imm < 2 || FAIL(d, INVALID, "immediate must be less than 2: %u", c->imm));
	case 'F':
		return thread_func_immediate(d, s, c);
	default:
		return table_immediate(d, s, c);
	}
}

// What the options must have for values that go to or come from memory.
static bool builtin_options(struct dec *d, const struct canon *c)
{
	const struct wit_type *elem = c->type ? c->type->elem : NULL;
	switch ((enum comp_builtin_kind)c->builtin) {
	case COMP_BUILTIN_STREAM_READ:
	case COMP_BUILTIN_FUTURE_READ:
		if (!require(d, has_pointer(elem), c->realloc, "realloc"))
			return false;
		__attribute__((fallthrough));
	case COMP_BUILTIN_STREAM_WRITE:
	case COMP_BUILTIN_FUTURE_WRITE:
		if (!require(d, elem, c->memory, "memory"))
			return false;
		break;
	case COMP_BUILTIN_TASK_RETURN:
		if (c->is_async)
			return FAIL(d, INVALID, "canonical option `async` cannot be specified for `task.return`");
		if (!require(d, has_pointer(c->type) || n_flat(c->type) > WIT_MAX_FLAT, c->memory, "memory") ||
			!not_for(d, c->realloc, "realloc", "`task.return`"))
			return false;
		break;
	case COMP_BUILTIN_ERROR_CONTEXT_DEBUG_MESSAGE:
		if (!require(d, true, c->realloc, "realloc"))
			return false;
		__attribute__((fallthrough));
	case COMP_BUILTIN_ERROR_CONTEXT_NEW:
		if (c->is_async)
			return FAIL(d, INVALID, "canonical option `async` cannot be specified for error contexts");
		if (!require(d, true, c->memory, "memory"))
			return false;
		break;
	default:
		break;
	}
	return not_for(d, c->post_return, "post-return", "built-ins") && not_for(d, c->callback, "callback", "built-ins");
}

bool comp__builtin_need(struct dec *d, const struct canon *c, uint64_t at)
{
	const struct builtin *b = &builtins[c->builtin];
	char what[64];
	snprintf(what, sizeof what, "`%s`", b->text);
	return !b->feature || comp__need(d, b->feature, at, what);
}

bool comp__builtin(struct dec *d, struct scope *s, struct canon *c, uint64_t at)
{
	const char *text = builtins[c->builtin].signature;
	struct signature sig = {0};
	if (!builtin_options(d, c))
		return false;
	if (text[0] != '*')
		parse_signature(c, text, &sig);
	else if (c->type && !add_params(d, c, &sig, c->type, WIT_MAX_FLAT))
		return false;
	c->core_type = intern(&sig);
	struct op *op = comp__op(d, s, OP_BUILTIN, at);
	if (!op)
		return false;
	op->p = c;
	return push_core_func(d, s, c->core_type);
}

static bool builtin(struct dec *d, struct scope *s, unsigned kind, uint64_t at)
{
	const struct builtin *b = &builtins[kind];
	struct canon *c = comp__canon_new(d);
	if (!c)
		return false;
	c->builtin = (uint8_t)kind;
	if (!comp__builtin_need(d, c, at))
		return false;
	for (const char *i = b->immediates; *i; i++)
		if (!immediate(d, s, *i, c))
			return false;
	return comp__builtin(d, s, c, at);
}

bool comp__canon(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	if (b == 0)
		return lift(d, s, at);
	if (b == 1)
		return lower(d, s, at);
	for (unsigned i = 0; i < COMP_BUILTIN_COUNT; i++)
		if (builtins[i].code == b)
			return builtin(d, s, i, at);
	if (b >= 0x40 && b <= 0x42)
		return FAIL_AT(d, UNSUPPORTED, at, "shared-everything threads are not supported");
	return comp__bad_byte(d, b, "canonical function");
}
