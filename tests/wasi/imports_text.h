// The text (comp/test/build.h) of the imports of a component that is made from the descriptions of the interfaces: it names functions of wasi, and their
// types are written as the descriptions have them.
#ifndef TESTS_WASI_IMPORTS_TEXT_H
#define TESTS_WASI_IMPORTS_TEXT_H

#include "comp/test/build.h"
#include "seam/seam.h"
#include "wasi/wasi.h"
#include "wasi_provider.h"

// The interfaces that may be named: those of wasi, unless others were said before.
#ifndef PUPPET_ROWS
#define PUPPET_ROWS wasi_provider
#endif

enum { PUPPET_FUNCS = 256, PUPPET_RESOURCES = 64 };

struct puppet_resource {
	const struct seam_resource *resource;
	uint32_t type, local;  // index of the component's type; index in the instance type that is being written, UINT32_MAX: none yet
};
struct puppet_maker {
	uint32_t n_funcs, n_resources;
	const struct seam_func *funcs[PUPPET_FUNCS];
	const struct seam_interface *of[PUPPET_FUNCS];
	struct puppet_resource resources[PUPPET_RESOURCES];
	uint32_t n_locals, n_known;
	const struct wit_type *known[256];  // types of the instance type that is being written
	uint32_t known_at[256];
};

__attribute__((format(printf, 2, 3))) static void say(struct buf *b, const char *fmt, ...)
{
	char text[512];
	va_list list;
	va_start(list, fmt);
	int n = vsnprintf(text, sizeof text, fmt, list);
	va_end(list);
	assert_true(n >= 0 && (size_t)n < sizeof text && buf_put(b, text, (size_t)n));
}
static void say_all(struct buf *b, struct buf *text)
{
	assert_true(buf_put_slice(b, buf_view(text)));
	buf_release(text);
}

static struct puppet_resource *find_resource(struct puppet_maker *m, const struct wit_resource *r)
{
	for (uint32_t i = 0; i < m->n_resources; i++)
		if (&m->resources[i].resource->wit == r)
			return &m->resources[i];
	return NULL;
}

static bool need_resource(void *ctx, const struct wit_resource *r)
{
	struct puppet_maker *m = ctx;
	if (!find_resource(m, r)) {
		assert_true(m->n_resources < PUPPET_RESOURCES);
		m->resources[m->n_resources++].resource = CONTAINER_OF(UNCONST(r), struct seam_resource, wit);
	}
	return true;
}

static void type_text(struct puppet_maker *m, struct buf *decls, const struct wit_type *t, struct buf *out);

static void optional_text(struct puppet_maker *m, struct buf *decls, const struct wit_type *t, struct buf *out)
{
	say(out, t ? "01 " : "00 ");
	if (t)
		type_text(m, decls, t, out);
}

static void definition_text(struct puppet_maker *m, struct buf *decls, const struct wit_type *t, struct buf *out)
{
	static const char *const code[WIT_N_KINDS] = {
		[WIT_LIST] = "70 ",
		[WIT_RECORD] = "72 ",
		[WIT_TUPLE] = "6f ",
		[WIT_VARIANT] = "71 ",
		[WIT_ENUM] = "6d ",
		[WIT_OPTION] = "6b ",
		[WIT_RESULT] = "6a ",
		[WIT_FLAGS] = "6e ",
		[WIT_OWN] = "69 ",
		[WIT_BORROW] = "68 ",
	};
	assert_non_null(code[t->kind]);
	say(out, "%s", code[t->kind]);
	switch (t->kind) {
	case WIT_OWN:
	case WIT_BORROW:
		say(out, "#%u ", find_resource(m, t->resource)->local);
		return;
	case WIT_LIST:
		type_text(m, decls, t->elem, out);
		return;
	case WIT_OPTION:
		type_text(m, decls, t->fields[1].type, out);
		return;
	case WIT_RESULT:
		optional_text(m, decls, t->fields[0].type, out);
		optional_text(m, decls, t->fields[1].type, out);
		return;
	default:
		break;
	}
	say(out, "#%u ", t->n);
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->kind != WIT_TUPLE)
			say(out, "'%.*s' ", SLICE_ARGS(t->fields[i].name));
		if (t->kind == WIT_VARIANT)
			optional_text(m, decls, t->fields[i].type, out);
		else if (t->fields[i].type)
			type_text(m, decls, t->fields[i].type, out);
		if (t->kind == WIT_VARIANT)
			say(out, "00 ");
	}
}

// A value type as it is written where it is used: a primitive, or the index of one that `decls` defines (now, if it is new).
static void type_text(struct puppet_maker *m, struct buf *decls, const struct wit_type *t, struct buf *out)
{
	static const uint8_t primitive[WIT_N_PRIMITIVES] = {
		[WIT_BOOL] = 0x7f,
		[WIT_S8] = 0x7e,
		[WIT_U8] = 0x7d,
		[WIT_S16] = 0x7c,
		[WIT_U16] = 0x7b,
		[WIT_S32] = 0x7a,
		[WIT_U32] = 0x79,
		[WIT_S64] = 0x78,
		[WIT_U64] = 0x77,
		[WIT_F32] = 0x76,
		[WIT_F64] = 0x75,
		[WIT_CHAR] = 0x74,
		[WIT_STRING] = 0x73,
	};
	if (t->kind < WIT_N_PRIMITIVES) {
		say(out, "%02x ", primitive[t->kind]);
		return;
	}
	uint32_t k = 0;
	while (k < m->n_known && m->known[k] != t)
		k++;
	if (k == m->n_known) {
		struct buf one = {0};
		definition_text(m, decls, t, &one);
		say(decls, "01 ");
		say_all(decls, &one);
		uint32_t index = m->n_locals++;
		if (t->kind == WIT_RECORD || t->kind == WIT_VARIANT || t->kind == WIT_ENUM || t->kind == WIT_FLAGS) {
			say(decls, "04 00 't%u' 03 00 #%u ", index, index);  // these have a name
			index = m->n_locals++;
		}
		k = m->n_known++;
		assert_true(k < ARRAY_LEN(m->known));
		m->known[k] = t;
		m->known_at[k] = index;
	}
	uint32_t at = m->known_at[k];  // as a signed number
	if (at < 64)
		say(out, "%02x ", at);
	else
		say(out, "%02x %02x ", (at & 127) | 128, at >> 7);
}

static void func_text(struct puppet_maker *m, struct buf *decls, const struct seam_func *f)
{
	struct buf text = {0};
	say(&text, "01 40 #%u ", f->type->params.n);
	for (uint32_t i = 0; i < f->type->params.n; i++) {
		say(&text, "'%.*s' ", SLICE_ARGS(f->type->params.fields[i].name));
		type_text(m, decls, f->type->params.fields[i].type, &text);
	}
	say(&text, f->type->result ? "00 " : "01 00 ");
	if (f->type->result)
		type_text(m, decls, f->type->result, &text);
	say_all(decls, &text);
	say(decls, "04 00 '%s' 01 #%u ", f->name, m->n_locals++);
}

static bool defines(const struct seam_interface *iface, const struct seam_resource *r)
{
	for (uint32_t i = 0; i < iface->n_resources; i++)
		if (iface->resources[i] == r)
			return true;
	return false;
}

// The type of an imported instance: its resources, those of others that its functions name, the functions.
static void instance_text(struct puppet_maker *m, const struct seam_interface *iface, struct buf *out)
{
	struct buf decls = {0};
	uint32_t n_funcs = 0;
	m->n_locals = m->n_known = 0;
	for (uint32_t i = 0; i < m->n_resources; i++) {
		struct puppet_resource *r = &m->resources[i];
		r->local = m->n_locals;
		if (defines(iface, r->resource)) {
			say(&decls, "04 00 '%.*s' 03 01 ", SLICE_ARGS(r->resource->wit.name));
			m->n_locals++;
		} else if (r->type != UINT32_MAX) {  // of an instance before
			say(&decls, "02 03 02 01 #%u 04 00 '%.*s' 03 00 #%u ", r->type, SLICE_ARGS(r->resource->wit.name), m->n_locals);
			r->local = m->n_locals + 1;
			m->n_locals += 2;
		}
	}
	for (uint32_t i = 0; i < m->n_funcs; i++)
		if (m->of[i] == iface) {
			func_text(m, &decls, m->funcs[i]);
			n_funcs++;
		}
	say(out, TYPE "[ 01 42 #%u ", m->n_locals + n_funcs);  // each declaration has an index but the export of a function
	say_all(out, &decls);
	say(out, "] ");
}

// The core type of a lowered function: parameters, then the result; as bytes of value types.
struct puppet_flat {
	uint8_t params[WIT_MAX_FLAT + 1], result;  // 0: none
	uint32_t n;
	bool spills;  // the last parameter says where the result goes
};
static struct puppet_flat flat_of(const struct wit_func_type *f)
{
	struct puppet_flat s = {0};
	if (f->params.n_flat > WIT_MAX_FLAT)
		s.params[s.n++] = WIT_CORE_I32;
	else
		for (uint32_t i = 0; i < f->params.n_flat; i++)
			s.params[s.n++] = f->params.flat[i];
	s.spills = f->result && f->result->n_flat > 1;
	if (s.spills)
		s.params[s.n++] = WIT_CORE_I32;
	else if (f->result && f->result->n_flat == 1)
		s.result = f->result->flat[0];
	return s;
}

// All that is imported. instance_of: by function; *n_types, *n_instances: how many the component has then.
static void imports_text(struct puppet_maker *m, struct buf *out, uint32_t *n_types, uint32_t *n_instances, uint32_t *instance_of)
{
	for (uint32_t i = 0; i < m->n_resources; i++)
		m->resources[i].type = UINT32_MAX;
	for (uint32_t k = 0; k < ARRAY_LEN(PUPPET_ROWS); k++) {
		const struct seam_interface *iface = PUPPET_ROWS[k].interface;
		bool needed = false;
		for (uint32_t i = 0; i < m->n_funcs; i++)
			if (m->of[i] == iface) {
				instance_of[i] = *n_instances;
				needed = true;
			}
		for (uint32_t i = 0; i < m->n_resources; i++)
			needed = needed || defines(iface, m->resources[i].resource);
		if (!needed)
			continue;
		instance_text(m, iface, out);
		say(out, IMPORT "[ 01 00 '%s' 05 #%u ] ", iface->name, (*n_types)++);
		for (uint32_t i = 0; i < m->n_resources; i++)
			if (defines(iface, m->resources[i].resource)) {
				say(out, ALIAS "[ 01 03 00 #%u '%.*s' ] ", *n_instances, SLICE_ARGS(m->resources[i].resource->wit.name));
				m->resources[i].type = (*n_types)++;
			}
		(*n_instances)++;
	}
}

static bool is_interface(const struct seam_interface *iface, const char *name)
{
	return slice_starts_with(slice_str(iface->name), slice_str(name)) && (iface->name[strlen(name)] == '@' || !iface->name[strlen(name)]);
}

// `name` "*": all of them. Those of 0.3 only where the interface is named with its version.
static void puppet_want(struct puppet_maker *m, const char *interface, const char *name)
{
	bool all = strcmp(name, "*") == 0, found = false;
	for (uint32_t k = 0; k < ARRAY_LEN(PUPPET_ROWS); k++) {
		const struct seam_interface *iface = PUPPET_ROWS[k].interface;
		for (uint32_t i = 0; is_interface(iface, interface) && (strchr(interface, '@') || !strstr(iface->name, "@0.3.")) && i < iface->n_funcs; i++)
			if (all || strcmp(iface->funcs[i].name, name) == 0) {
				assert_true(m->n_funcs < PUPPET_FUNCS);
				const struct wit_func_type *type = seam_func_type(iface, i);
				wit_type_each_resource(&type->params, need_resource, m);
				if (type->result)
					wit_type_each_resource(type->result, need_resource, m);
				m->of[m->n_funcs] = iface;
				m->funcs[m->n_funcs++] = &iface->funcs[i];
				found = true;
			}
	}
	if (!found)
		fail_msg("no function %s of %s", name, interface);
}

#endif
