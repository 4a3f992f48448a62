// tenon inspect: core modules in the text format.
#include "inspect.h"

static void put_valtype(struct buf *b, struct wasm_valtype t)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128"};
	if (t.kind != WASM_REF)
		buf_put_str(b, names[t.kind]);
	else if (t.nullable && t.heap <= WASM_HEAP_ARRAY)
		buf_printf(b, "%sref", wasm_heap_text(t.heap));
	else if (t.heap == WASM_HEAP_CONCRETE)
		buf_printf(b, "(ref %s%u)", t.nullable ? "null " : "", t.type);
	else
		buf_printf(b, "(ref %s%s)", t.nullable ? "null " : "", wasm_heap_text(t.heap));
}

static void put_valtypes(struct buf *b, const char *word, const struct wasm_valtype *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		buf_printf(b, i ? " " : " (%s ", word);
		put_valtype(b, list[i]);
	}
	buf_put_str(b, n ? ")" : "");
}

static void put_limits(struct buf *b, const struct wasm_limits *l)
{
	buf_printf(b, " %s%llu", l->is64 ? "i64 " : "", (unsigned long long)l->min);
	if (l->has_max)
		buf_printf(b, " %llu", (unsigned long long)l->max);
	buf_put_str(b, l->shared ? " shared" : "");
}

static void put_core_type(struct buf *b, const struct wasm_module *m, unsigned kind, uint32_t index)
{
	switch ((enum wasm_extern_kind)kind) {
	case WASM_EXTERN_FUNC: {
		const struct wasm_func_type *f = wasm_func_type_of(m, index);
		buf_put_str(b, "(func");
		put_valtypes(b, "param", f->params, f->nparams);
		put_valtypes(b, "result", f->results, f->nresults);
		break;
	}
	case WASM_EXTERN_TABLE:
		buf_put_str(b, "(table");
		put_limits(b, &m->tables[index].type.limits);
		buf_put_byte(b, ' ');
		put_valtype(b, m->tables[index].type.elem);
		break;
	case WASM_EXTERN_MEMORY:
		buf_put_str(b, "(memory");
		put_limits(b, &m->memories[index].limits);
		if (m->memories[index].page_shift != 16)
			buf_printf(b, " (pagesize %llu)", 1ull << m->memories[index].page_shift);
		break;
	case WASM_EXTERN_GLOBAL:
		buf_put_str(b, m->globals[index].type.mutable ? "(global (mut " : "(global ");
		put_valtype(b, m->globals[index].type.type);
		buf_put_str(b, m->globals[index].type.mutable ? ")" : "");
		break;
	case WASM_EXTERN_TAG:
		buf_put_str(b, "(tag");
		put_valtypes(b, "param", wasm_tag_type_of(m, index)->params, wasm_tag_type_of(m, index)->nparams);
		break;
	}
	buf_put_byte(b, ')');
}

// A name as a string of the text format, whatever bytes it has.
static void put_text_string(struct buf *b, struct slice s)
{
	buf_put_byte(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
			buf_printf(b, "\\%02x", c);
		else
			buf_put_byte(b, c);
	}
	buf_put_byte(b, '"');
}

void inspect_put_module(struct buf *b, const struct wasm_module *m)
{
	buf_put_str(b, "(module\n");
	for (uint32_t i = 0; i < m->nimports; i++) {
		buf_put_str(b, "  (import ");
		put_text_string(b, m->imports[i].module);
		buf_put_byte(b, ' ');
		put_text_string(b, m->imports[i].name);
		buf_put_byte(b, ' ');
		put_core_type(b, m, m->imports[i].kind, m->imports[i].index);
		buf_put_str(b, ")\n");
	}
	for (uint32_t i = 0; i < m->nexports; i++) {
		buf_put_str(b, "  (export ");
		put_text_string(b, m->exports[i].name);
		buf_put_byte(b, ' ');
		put_core_type(b, m, m->exports[i].kind, m->exports[i].index);
		buf_put_str(b, ")\n");
	}
	buf_put_str(b, ")\n");
}
