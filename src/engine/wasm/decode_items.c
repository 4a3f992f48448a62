// Sections that fill a module: constant expressions, element segments, code (bodies are only measured), data.
#include "sys/sys.h"
#include "wasm_int.h"

bool wasm__func_index(struct wasm__decoder *d, uint32_t *ret)
{
	const uint8_t *at = d->c.p;
	if (!wasm__u32(&d->c, ret))
		return false;
	if (*ret >= d->m->nfuncs)
		return wasm__fail(&d->c, at, ERR_INVALID, "unknown function %u", *ret);
	d->funcs.ptr[*ret].declared = 1;
	return true;
}

// ---- constant expressions ---------------------------------------------------------------------------------------------
static bool fixed_bits(struct wasm__cursor *c, unsigned bytes, uint64_t *ret)
{
	if ((size_t)(c->end - c->p) < bytes)
		return wasm__fail(c, c->end, ERR_MALFORMED, "unexpected end");
	*ret = 0;
	memcpy(ret, c->p, bytes);
	c->p += bytes;
	return true;
}

// Reads the operand and says what the instruction takes and leaves; *ret_in is the type of both operands of an arithmetic one.
static bool const_op(struct wasm__decoder *d, const uint8_t *at, struct wasm_const_op *op, unsigned *ret_n_in, wasm__word *ret_type)
{
	struct wasm__cursor *c = &d->c;
	struct wasm_valtype t;
	uint32_t index;
	*ret_n_in = 0;
	switch (op->op) {
	case WASM_OP_I32_CONST:
		*ret_type = WASM_I32;
		if (!wasm__leb_slow(c, 32, true, &op->imm))
			return false;
		op->imm = (uint32_t)op->imm;
		return true;
	case WASM_OP_I64_CONST:
		*ret_type = WASM_I64;
		return wasm__leb_slow(c, 64, true, &op->imm);
	case WASM_OP_F32_CONST:
		*ret_type = WASM_F32;
		return fixed_bits(c, 4, &op->imm);
	case WASM_OP_F64_CONST:
		*ret_type = WASM_F64;
		return fixed_bits(c, 8, &op->imm);
	case WASM_OP_V128_CONST:
		*ret_type = WASM_V128;
		return fixed_bits(c, 8, &op->imm) && fixed_bits(c, 8, &op->high);
	case WASM_OP_REF_NULL:
		if (!wasm__heaptype(c, d->features, d->m->ntypes, &t))
			return false;
		*ret_type = wasm__pack(t);
		return true;
	case WASM_OP_REF_FUNC:
		if (!wasm__func_index(d, &index))
			return false;
		op->imm = index;
		*ret_type = WASM__REF(0, WASM_HEAP_CONCRETE, d->m->funcs[index].type);
		return true;
	case WASM_OP_GLOBAL_GET:
		if (!wasm__u32(c, &index))
			return false;
		if (index >= d->m->nglobals)
			return wasm__fail(c, at, ERR_INVALID, "unknown global %u: a constant expression may read only globals before it", index);
		if (d->m->globals[index].type.mutable)
			return wasm__fail(c, at, ERR_INVALID, "constant expression required: global %u is mutable", index);
		op->imm = index;
		*ret_type = wasm__pack(d->m->globals[index].type.type);
		return true;
	case WASM_OP_I32_ADD:
	case WASM_OP_I32_SUB:
	case WASM_OP_I32_MUL:
	case WASM_OP_I64_ADD:
	case WASM_OP_I64_SUB:
	case WASM_OP_I64_MUL:
		if (!(d->features & WASM_FEATURE_EXTENDED_CONST))
			return wasm__fail_feature(c, at, WASM_FEATURE_EXTENDED_CONST, "constant expression required");
		*ret_n_in = 2;
		*ret_type = wasm_ops[op->op].sig[0] == 'i' ? WASM_I32 : WASM_I64;
		return true;
	}
	return wasm__fail(c, at, ERR_INVALID, "constant expression required: %s is not constant", wasm_op_text(op->op));
}

static bool mismatch(struct wasm__decoder *d, const uint8_t *at, wasm__word have, wasm__word want)
{
	char a[48], b[48];
	return wasm__fail(&d->c, at, ERR_INVALID, "type mismatch: expected %s, found %s", wasm__type_text(want, a), wasm__type_text(have, b));
}

// What may be below `n_in` operands of the same type, or those that a new object takes.
static bool pop_const(struct wasm__decoder *d, const uint8_t *at, const struct wasm_const_op *op, uint32_t *height, wasm__word want)
{
	if (!*height)
		return wasm__fail(&d->c, at, ERR_INVALID, "type mismatch: %s finds too few operands", wasm_op_text(op->op));
	wasm__word have = d->stack[--*height];
	return wasm__matches(d->m, have, want) ? true : mismatch(d, at, have, want);
}

// Instructions on objects: operands are popped here.
static bool const_object(struct wasm__decoder *d, const uint8_t *at, struct wasm_const_op *op, uint32_t *height, wasm__word *ret_type)
{
	struct wasm__cursor *c = &d->c;
	uint32_t type = 0, n = 0;
	wasm__word have;
	switch (op->op) {
	case WASM_OP_REF_I31:
		*ret_type = WASM__REF(0, WASM_HEAP_I31, 0);
		return pop_const(d, at, op, height, WASM_I32);
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY: {
		bool to_any = op->op == WASM_OP_ANY_CONVERT_EXTERN;
		have = *height ? d->stack[*height - 1] : WASM__BOTTOM;
		*ret_type = WASM__REF(wasm__is_ref(have) && wasm__unpack(have).nullable, to_any ? WASM_HEAP_ANY : WASM_HEAP_EXTERN, 0);
		return pop_const(d, at, op, height, WASM__REF(1, to_any ? WASM_HEAP_EXTERN : WASM_HEAP_ANY, 0));
	}
	}
	bool is_struct = op->op == WASM_OP_STRUCT_NEW || op->op == WASM_OP_STRUCT_NEW_DEFAULT;
	if (!wasm__u32(c, &type))
		return false;
	if (type >= d->m->ntypes)
		return wasm__fail(c, at, ERR_INVALID, "unknown type %u", type);
	const struct wasm_type *t = &d->m->types[type];
	if (t->form != (is_struct ? WASM_FORM_STRUCT : WASM_FORM_ARRAY))
		return wasm__fail(c, at, ERR_INVALID, "type mismatch: type %u is not %s", type, is_struct ? "a structure's" : "an array's");
	op->imm = type;
	*ret_type = WASM__REF(0, WASM_HEAP_CONCRETE, type);
	switch (op->op) {
	case WASM_OP_STRUCT_NEW:
		for (uint32_t i = t->nfields; i; i--)
			if (!pop_const(d, at, op, height, wasm__pack(t->fields[i - 1].type)))
				return false;
		return true;
	case WASM_OP_ARRAY_NEW_FIXED:
		if (!wasm__u32(c, &n))
			return false;
		op->high = n;
		for (; n; n--)
			if (!pop_const(d, at, op, height, wasm__pack(t->fields[0].type)))
				return false;
		return true;
	case WASM_OP_ARRAY_NEW:
		return pop_const(d, at, op, height, WASM_I32) && pop_const(d, at, op, height, wasm__pack(t->fields[0].type));
	}
	for (uint32_t i = 0; i < t->nfields; i++)
		if (!wasm__is_defaultable(t->fields[i].type))
			return wasm__fail(c, at, ERR_INVALID, "type mismatch: a field of type %u has no default value", type);
	return is_struct || pop_const(d, at, op, height, WASM_I32);
}

static bool const_step(struct wasm__decoder *d, const uint8_t *at, struct wasm_const_op *op, uint32_t *height)
{
	unsigned n_in = 0;
	wasm__word type;
	if (!(d->features & wasm_ops[op->op].feature) && wasm_ops[op->op].feature)
		return wasm__fail_feature(&d->c, at, wasm_ops[op->op].feature, "illegal opcode");
	if (wasm_const_op_is_object(op->op) ? !const_object(d, at, op, height, &type) : !const_op(d, at, op, &n_in, &type))
		return false;
	for (; n_in; n_in--)
		if (!pop_const(d, at, op, height, type))
			return false;
	if (*height == LIMIT_CONST_HEIGHT)
		return wasm__fail_limit(&d->c, at, "operands on the stack of a constant expression", LIMIT_CONST_HEIGHT);
	d->stack[(*height)++] = type;
	if (d->ops.len == LIMIT_CONST_OPS)
		return wasm__fail_limit(&d->c, at, "instructions of a constant expression", LIMIT_CONST_OPS);
	return VEC_PUSH(d->a, &d->ops, *op, LIMIT_CONST_OPS) ? true : err_nomem(d->c.e);
}

// The only vector instruction that may occur is v128.const; some on objects may.
static bool const_opcode(struct wasm__decoder *d, const uint8_t *at, uint8_t byte, struct wasm_const_op *ret)
{
	uint32_t code;
	*ret = (struct wasm_const_op){.op = wasm_op_by_byte[byte]};
	if (byte == wasm_ops[WASM_OP_V128_CONST].prefix) {
		if (!wasm__u32(&d->c, &code))
			return false;
		ret->op = code < WASM_OP_FD_ROWS ? wasm_op_by_fd[code] : WASM_OP_COUNT;
	}
	if (byte == wasm_ops[WASM_OP_STRUCT_NEW].prefix) {
		if (!(d->features & WASM_FEATURE_GC))
			return wasm__fail_feature(&d->c, at, WASM_FEATURE_GC, "illegal opcode");
		if (!wasm__u32(&d->c, &code))
			return false;
		ret->op = code < WASM_OP_FB_ROWS ? wasm_op_by_fb[code] : WASM_OP_COUNT;
	}
	if (ret->op != WASM_OP_COUNT)
		return true;
	if (byte >= 0xfb && byte <= 0xfe)
		return wasm__fail(&d->c, at, ERR_INVALID, "constant expression required");
	return wasm__fail(&d->c, at, ERR_MALFORMED, "illegal opcode 0x%02x", byte);
}

bool wasm__const_expr(struct wasm__decoder *d, wasm__word want, struct wasm_const_expr *ret)
{
	uint32_t height = 0;
	d->ops.len = 0;
	for (;;) {
		const uint8_t *at = d->c.p;
		uint8_t byte;
		if (!wasm__byte(&d->c, &byte))
			return false;
		if (byte == wasm_ops[WASM_OP_END].code)
			break;
		struct wasm_const_op op;
		if (!const_opcode(d, at, byte, &op) || !const_step(d, at, &op, &height))
			return false;
	}
	if (height != 1)
		return wasm__fail(&d->c, d->c.p - 1, ERR_INVALID, "type mismatch: a constant expression leaves one value, this one %u", height);
	if (!wasm__matches(d->m, d->stack[0], want))
		return mismatch(d, d->c.p - 1, d->stack[0], want);
	ret->nops = d->ops.len;
	ret->ops = arena_copy(d->a, d->ops.ptr, d->ops.len * sizeof(*d->ops.ptr), _Alignof(struct wasm_const_op));
	return ret->ops ? true : err_nomem(d->c.e);
}

// ---- element segments -----------------------------------------------------------------------------------------------------
// Flags: bit 0 not active, bit 1 explicit table index (active) or declarative, bit 2 expressions instead of function indices.
enum { SEGMENT_NOT_ACTIVE = 1, SEGMENT_EXPLICIT = 2, SEGMENT_EXPRS = 4 };

static wasm__word index_type(bool is64)
{
	return is64 ? WASM_I64 : WASM_I32;
}

// Table and offset of an active segment; the table's element type is compared when the segment's is known.
static bool read_elem_target(struct wasm__decoder *d, uint32_t flags, struct wasm_elem *s)
{
	const uint8_t *at = d->c.p;
	if (flags & SEGMENT_NOT_ACTIVE) {
		s->mode = flags & SEGMENT_EXPLICIT ? WASM_SEGMENT_DECLARATIVE : WASM_SEGMENT_PASSIVE;
		return true;
	}
	s->mode = WASM_SEGMENT_ACTIVE;
	if ((flags & SEGMENT_EXPLICIT) && !wasm__u32(&d->c, &s->table))
		return false;
	if (s->table >= d->m->ntables)
		return wasm__fail(&d->c, at, ERR_INVALID, "unknown table %u", s->table);
	return wasm__const_expr(d, index_type(d->m->tables[s->table].type.limits.is64), &s->offset);
}

// A segment of expressions that says nothing is of nullable, one of indices of non-nullable function references.
static bool read_elem_type(struct wasm__decoder *d, uint32_t flags, struct wasm_elem *s)
{
	bool exprs = flags & SEGMENT_EXPRS;
	s->type = (struct wasm_valtype){.kind = WASM_REF, .nullable = exprs, .heap = WASM_HEAP_FUNC};
	if (!(flags & (SEGMENT_NOT_ACTIVE | SEGMENT_EXPLICIT)))
		return true;
	if (exprs)
		return wasm__reftype(&d->c, d->features, d->m->ntypes, &s->type);
	const uint8_t *at = d->c.p;
	uint8_t kind;
	if (!wasm__byte(&d->c, &kind))
		return false;
	return kind == 0 ? true : wasm__fail(&d->c, at, ERR_MALFORMED, "malformed element kind 0x%02x", kind);
}

static bool read_elem_items(struct wasm__decoder *d, uint32_t flags, struct wasm_elem *s)
{
	if (!wasm__count(&d->c, LIMIT_ELEM_ITEMS, "elements of a segment", flags & SEGMENT_EXPRS ? 2 : 1, &s->count))
		return false;
	if (flags & SEGMENT_EXPRS) {
		struct wasm_const_expr *exprs = ARENA_ARRAY(d->a, struct wasm_const_expr, s->count);
		if (!exprs)
			return err_nomem(d->c.e);
		s->exprs = exprs;
		for (uint32_t i = 0; i < s->count; i++) {
			if (!wasm__const_expr(d, wasm__pack(s->type), &exprs[i]))
				return false;
			for (uint32_t k = 0; k < exprs[i].nops; k++)
				s->allocates |= wasm_const_op_allocates(exprs[i].ops[k].op);
		}
		return true;
	}
	uint32_t *funcs = ARENA_ARRAY(d->a, uint32_t, s->count);
	if (!funcs)
		return err_nomem(d->c.e);
	s->funcs = funcs;
	for (uint32_t i = 0; i < s->count; i++)
		if (!wasm__func_index(d, &funcs[i]))
			return false;
	return true;
}

static bool read_elem(struct wasm__decoder *d, struct wasm_elem *s)
{
	const uint8_t *at = d->c.p;
	uint32_t flags;
	if (!wasm__u32(&d->c, &flags))
		return false;
	if (flags > (SEGMENT_NOT_ACTIVE | SEGMENT_EXPLICIT | SEGMENT_EXPRS))
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed elements segment kind %u", flags);
	if (flags && !(d->features & (WASM_FEATURE_BULK_MEMORY | WASM_FEATURE_REFERENCE_TYPES)))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_BULK_MEMORY, "malformed elements segment kind");
	if (!read_elem_target(d, flags, s) || !read_elem_type(d, flags, s))
		return false;
	if (s->mode == WASM_SEGMENT_ACTIVE) {
		wasm__word want = wasm__pack(d->m->tables[s->table].type.elem);
		if (!wasm__matches(d->m, wasm__pack(s->type), want))
			return mismatch(d, at, wasm__pack(s->type), want);
	}
	return read_elem_items(d, flags, s);
}

bool wasm__read_elements(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_ELEM_SEGMENTS, "element segments", 2, &n))
		return false;
	struct wasm_elem *elems = ARENA_ARRAY(d->a, struct wasm_elem, n);
	if (!elems)
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++)
		if (!read_elem(d, &elems[i]))
			return err_note(d->c.e, "element segment %u", i);
	d->m->elems = elems;
	d->m->nelems = n;
	return true;
}

// ---- code -------------------------------------------------------------------------------------------------------------------
bool wasm__read_code(struct wasm__decoder *d)
{
	struct wasm__cursor *c = &d->c;
	struct wasm_module *m = d->m;
	const uint8_t *at = c->p;
	m->code_section = slice_of(c->p, (size_t)(c->end - c->p));
	if (!wasm__count(c, LIMIT_FUNCTIONS, "function bodies", 1, &d->nbodies))
		return false;
	if (d->nbodies != m->nfuncs - m->nimported_funcs)
		return wasm__fail(c, at, ERR_MALFORMED, "function and code section have inconsistent lengths: %u functions, %u bodies",
			m->nfuncs - m->nimported_funcs, d->nbodies);
	if (d->features & WASM_DECODE_KNOWN) {
		c->p = c->end;
		return true;
	}
	for (uint32_t i = 0; i < d->nbodies; i++) {
		struct wasm_func *f = &d->funcs.ptr[m->nimported_funcs + i];
		uint32_t size;
		at = c->p;
		if (!wasm__u32(c, &size))
			return false;
		if (size > (size_t)(c->end - c->p))
			return wasm__fail(c, at, ERR_MALFORMED, "unexpected end: a body of %u bytes, %zu are left in the section", size, (size_t)(c->end - c->p));
		if (size > LIMIT_BODY_SIZE)
			return wasm__fail_limit(c, at, "bytes of a function body", LIMIT_BODY_SIZE);
		f->offset = (uint32_t)(c->p - c->start);
		f->size = size;
		c->p += size;
	}
	return true;
}

// ---- data -------------------------------------------------------------------------------------------------------------------
bool wasm__read_data_count(struct wasm__decoder *d)
{
	d->m->has_data_count = true;
	return wasm__u32(&d->c, &d->data_count);
}

static bool read_data_segment(struct wasm__decoder *d, struct wasm_data *s)
{
	struct wasm__cursor *c = &d->c;
	const uint8_t *at = c->p;
	uint32_t flags, size;
	if (!wasm__u32(c, &flags))
		return false;
	if (flags > SEGMENT_EXPLICIT)
		return wasm__fail(c, at, ERR_MALFORMED, "malformed data segment kind %u", flags);
	if (flags && !(d->features & WASM_FEATURE_BULK_MEMORY))
		return wasm__fail_feature(c, at, WASM_FEATURE_BULK_MEMORY, "malformed data segment kind");
	s->mode = flags & SEGMENT_NOT_ACTIVE ? WASM_SEGMENT_PASSIVE : WASM_SEGMENT_ACTIVE;
	if ((flags & SEGMENT_EXPLICIT) && !wasm__u32(c, &s->memory))
		return false;
	if (s->mode == WASM_SEGMENT_ACTIVE) {
		if (s->memory >= d->m->nmemories)
			return wasm__fail(c, at, ERR_INVALID, "unknown memory %u", s->memory);
		if (!wasm__const_expr(d, index_type(d->m->memories[s->memory].limits.is64), &s->offset))
			return false;
	}
	at = c->p;
	if (!wasm__u32(c, &size))
		return false;
	if (size > (size_t)(c->end - c->p))
		return wasm__fail(c, at, ERR_MALFORMED, "unexpected end: %u bytes of data, %zu are left in the section", size, (size_t)(c->end - c->p));
	s->bytes = slice_of(c->p, size);
	c->p += size;
	return true;
}

static bool read_data_segments(struct wasm__decoder *d, uint32_t n, const struct wasm_data **ret)
{
	struct wasm_data *data = ARENA_ARRAY(d->a, struct wasm_data, n);
	if (!data)
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++)
		if (!read_data_segment(d, &data[i]))
			return err_note(d->c.e, "data segment %u", i);
	*ret = data;
	return true;
}

bool wasm__read_data(struct wasm__decoder *d)
{
	struct wasm_module *m = d->m;
	m->data_section = slice_of(d->c.p, (size_t)(d->c.end - d->c.p));
	if (!wasm__count(&d->c, LIMIT_DATA_SEGMENTS, "data segments", 2, &m->ndata))
		return false;
	if (d->features & WASM_DECODE_KNOWN) {
		d->c.p = d->c.end;
		return true;
	}
	return read_data_segments(d, m->ndata, &m->data);
}

// A start from an image asks for none of ten thousand segments, between which most of the file lies.
static bool read_data_again(const struct wasm_module *m, const struct wasm_data **ret)
{
	struct err e = {0};
	uint32_t n;
	struct wasm__decoder *d = mem_zalloc(sizeof *d);
	if (!d)
		return false;
	d->m = UNCONST(m);
	d->a = m->arena;
	d->features = m->features;
	d->funcs.ptr = UNCONST(m->funcs);
	d->funcs.len = m->nfuncs;
	d->c = (struct wasm__cursor){m->data_section.ptr, m->data_section.ptr + m->data_section.len, m->bytes.ptr, m->base_offset, &e};
	struct arena_mark mark = arena_mark(d->a);
	bool ok = wasm__count(&d->c, m->ndata, "data segments", 2, &n) && n == m->ndata && read_data_segments(d, n, ret);
	if (!ok)
		arena_rewind(d->a, mark);
	mem_free(d);
	return ok;
}

// One lock for all: modules of a component share their arena, in which nobody else allocates once they are decoded.
const struct wasm_data *wasm__module_data(const struct wasm_module *m)
{
	static struct sys_mutex lock = SYS_MUTEX;
	struct wasm_module *to = UNCONST(m);
	sys_mutex_lock(&lock);
	const struct wasm_data *data = m->data;
	if (!data && read_data_again(m, &data))
		__atomic_store_n(&to->data, data, __ATOMIC_RELEASE);
	sys_mutex_unlock(&lock);
	return data;
}
