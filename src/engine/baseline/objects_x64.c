// Structures, arrays, i31 and casts.
//
// A reference is a place in the store's heap (abi.h R10): [heap + reference] is the object's head, its fields follow. What makes objects is the runtime's;
// fields and elements are read and written in line.
#include "baseline_int.h"

// ---- objects ----------------------------------------------------------------------------------------------------
static const struct wasm_type *read_type(struct comp *c, uint32_t *ret)
{
	*ret = wasm_read_u32(&c->p);
	return &c->m->types[*ret];
}

// A popped reference that must not be null: how far it is from the heap's base.
static struct r64 non_null(struct comp *c, struct val *v, enum trap t)
{
	struct r64 r = baseline__use_zext(c, v);
	x64_test_rr(&c->a, W32, r.n, r.n);
	baseline__jcc_trap(c, CC_E, t);
	return r;
}

static uint8_t load_heap(struct comp *c)
{
	uint8_t t = alloc(c, false);
	x64_mov_rm(&c->a, W64, t, at_vmctx(offsetof(struct abi_vmctx, heap)));
	return t;
}

static void load_field(struct comp *c, const struct wasm_field *f, unsigned sign, struct x64_mem at)
{
	unsigned kind = kind_of(c, f->type);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, in_vector(kind));
	if (f->packed == 8)
		x64_ext_rm(&c->a, W32, sign == 1 ? EXT_SX8 : EXT_ZX8, d, at);
	else if (f->packed)
		x64_ext_rm(&c->a, W32, sign == 1 ? EXT_SX16 : EXT_ZX16, d, at);
	else
		baseline__load(c, kind, d, at);
	baseline__finish(c, kind, d);
}

// Of a popped value.
static void store_field(struct comp *c, const struct wasm_field *f, struct x64_mem at, struct val *v)
{
	if (f->packed && v->kind == K_CONST) {
		if (f->packed == 8)
			x64_mov_mi8(&c->a, at, (uint32_t)v->imm);
		else
			x64_mov_mi16(&c->a, at, (uint32_t)v->imm);
	} else if (f->packed) {
		uint8_t r = baseline__use_reg(c, v);
		if (f->packed == 8)
			x64_mov_mr8(&c->a, at, r);
		else
			x64_mov_mr16(&c->a, at, r);
	} else {
		baseline__store_val(c, at, v);
	}
}

void baseline__emit_struct_get(struct comp *c, unsigned sign, unsigned arg)
{
	uint32_t type;
	const struct wasm_field *f = &read_type(c, &type)->fields[wasm_read_u32(&c->p)];
	struct val v = pop(c);
	struct r64 r = non_null(c, &v, TRAP_NULL_STRUCTURE_REFERENCE);
	load_field(c, f, sign, x64_at_index(x64_r64(load_heap(c)), r, 0, (int32_t)f->offset));
}

void baseline__emit_struct_set(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t type;
	const struct wasm_field *f = &read_type(c, &type)->fields[wasm_read_u32(&c->p)];
	struct val v = pop(c), ref = pop(c);
	if (f->packed && v.kind != K_CONST)
		baseline__use_reg(c, &v);
	struct r64 r = non_null(c, &ref, TRAP_NULL_STRUCTURE_REFERENCE);
	store_field(c, f, x64_at_index(x64_r64(load_heap(c)), r, 0, (int32_t)f->offset), &v);
}

// rax: a new object; n values from the top of the stack go to its fields, or to the elements of its only field.
static void fill_object(struct comp *c, const struct wasm_type *t, uint32_t n)
{
	struct x64 *a = &c->a;
	x64_mov_rm(a, W64, RCX, at_vmctx(offsetof(struct abi_vmctx, heap)));
	x64_alu_rr(a, W64, ALU_ADD, RCX, RAX);
	while (n--) {
		bool is_array = t->form == WASM_FORM_ARRAY;
		const struct wasm_field *f = &t->fields[is_array ? 0 : n];
		x64_room(a, 256);
		c->lock = BIT(RAX) | BIT(RCX);
		struct val v = pop(c);
		store_field(c, f, x64_at(x64_r64(RCX), (int32_t)(f->offset + (is_array ? n * f->size : 0))), &v);
	}
	x64_room(a, 256);
}

void baseline__emit_struct_new(struct comp *c, unsigned w, unsigned is_default)
{
	uint32_t type;
	const struct wasm_type *t = read_type(c, &type);
	c->has_objects = true;
	baseline__libcall(c, ABI_LIBCALL_STRUCT_NEW, &type);
	if (!is_default && t->nfields)
		fill_object(c, t, t->nfields);
	baseline__finish(c, TYPE_OBJECT, RAX);
}

void baseline__emit_array_new_fixed(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t type;
	const struct wasm_type *t = read_type(c, &type);
	uint32_t n = wasm_read_u32(&c->p);
	c->has_objects = true;
	push_const(c, WASM_I32, n);
	baseline__libcall(c, ABI_LIBCALL_ARRAY_NEW, &type);
	if (n)
		fill_object(c, t, n);
	baseline__finish(c, TYPE_OBJECT, RAX);
}

// ---- arrays -----------------------------------------------------------------------------------------------------
// The address of a value's cells, which go to the frame's bottom, as an operand.
static void push_cells(struct comp *c, const struct val *v)
{
	baseline__reserve(c, abi_cells(v->type));
	baseline__store_cell(c, x64_at(x64_r64(RSP), 0), v);
	uint8_t t = alloc(c, false);
	x64_lea(&c->a, W64, t, x64_at(x64_r64(RSP), 0));
	push_reg(c, WASM_I64, t);
}

void baseline__emit_array_new(struct comp *c, unsigned w, unsigned is_default)
{
	uint32_t type;
	read_type(c, &type);
	c->has_objects = true;
	baseline__libcall(c, ABI_LIBCALL_ARRAY_NEW, &type);
	if (!is_default) {
		c->lock = BIT(RAX);
		struct val v = pop(c);
		if (v.kind != K_CONST || v.imm) {
			push_reg(c, TYPE_OBJECT, RAX);
			push_cells(c, &v);
			baseline__libcall(c, ABI_LIBCALL_ARRAY_SET_ALL, NULL);
		}
	}
	baseline__finish(c, TYPE_OBJECT, RAX);
}

void baseline__emit_array_new_segment(struct comp *c, unsigned w, unsigned id)
{
	uint32_t imms[2] = {wasm_read_u32(&c->p)};
	imms[1] = wasm_read_u32(&c->p);
	c->has_objects = true;
	baseline__libcall(c, id, imms);
	baseline__finish(c, TYPE_OBJECT, RAX);
}

// Checks a popped index against the array's length; where the element lies.
static struct x64_mem element(struct comp *c, const struct wasm_field *f, struct val *ref, struct val *index)
{
	struct x64 *a = &c->a;
	struct r64 r = non_null(c, ref, TRAP_NULL_ARRAY_REFERENCE);
	uint8_t at = load_heap(c);
	struct x64_mem length = x64_at(x64_r64(at), offsetof(struct abi_object, length));
	x64_alu_rr(a, W64, ALU_ADD, at, r.n);
	if (index->kind == K_CONST && index->imm < 1 << 24) {
		x64_alu_mi(a, W32, ALU_CMP, length, (int32_t)index->imm);
		baseline__jcc_trap(c, CC_BE, TRAP_ARRAY_OUT_OF_BOUNDS);
		return x64_at(x64_r64(at), (int32_t)(f->offset + index->imm * f->size));
	}
	uint8_t i = baseline__use_reg(c, index);
	x64_alu_rm(a, W32, ALU_CMP, i, length);
	baseline__jcc_trap(c, CC_AE, TRAP_ARRAY_OUT_OF_BOUNDS);
	if (f->size < 16 && !c->opt->poison_upper)
		return x64_at_index(x64_r64(at), x64_zext_view(i), (uint8_t)__builtin_ctz(f->size), (int32_t)f->offset);
	uint8_t t = alloc(c, false);
	x64_mov_rr(a, W32, t, i);
	x64_shift_ri(a, W64, SHIFT_SHL, t, (unsigned)__builtin_ctz(f->size));
	x64_alu_rr(a, W64, ALU_ADD, at, t);
	c->lock &= ~BIT(t);
	return x64_at(x64_r64(at), (int32_t)f->offset);
}

void baseline__emit_array_get(struct comp *c, unsigned sign, unsigned arg)
{
	uint32_t type;
	const struct wasm_field *f = read_type(c, &type)->fields;
	struct val index = pop(c), ref = pop(c);
	load_field(c, f, sign, element(c, f, &ref, &index));
}

void baseline__emit_array_set(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t type;
	const struct wasm_field *f = read_type(c, &type)->fields;
	struct val v = pop(c), index = pop(c), ref = pop(c);
	if (f->packed && v.kind != K_CONST)
		baseline__use_reg(c, &v);
	store_field(c, f, element(c, f, &ref, &index), &v);
}

void baseline__emit_array_len(struct comp *c, unsigned w, unsigned arg)
{
	struct val v = pop(c);
	struct r64 r = non_null(c, &v, TRAP_NULL_ARRAY_REFERENCE);
	uint8_t t = load_heap(c), d = baseline__hint(c);
	if (d == NO_REG)
		d = t;
	x64_mov_rm(&c->a, W32, d, x64_at_index(x64_r64(t), r, 0, offsetof(struct abi_object, length)));
	baseline__finish(c, WASM_I32, d);
}

// The value's cells go by their address.
void baseline__emit_array_fill(struct comp *c, unsigned w, unsigned arg)
{
	wasm_read_u32(&c->p);
	struct val n = pop(c), v = pop(c);
	uint8_t count = baseline__own_reg(c, &n);
	c->lock |= BIT(count);
	push_cells(c, &v);
	push_reg(c, WASM_I32, count);
	baseline__libcall(c, ABI_LIBCALL_ARRAY_FILL, NULL);
}

void baseline__emit_array_copy(struct comp *c, unsigned w, unsigned arg)
{
	wasm_read_u32(&c->p);
	wasm_read_u32(&c->p);
	baseline__libcall(c, ABI_LIBCALL_ARRAY_COPY, NULL);
}

void baseline__emit_array_init(struct comp *c, unsigned w, unsigned id)
{
	wasm_read_u32(&c->p);
	uint32_t segment = wasm_read_u32(&c->p);
	baseline__libcall(c, id, &segment);
}

// ---- i31, equality, conversions -----------------------------------------------------------------------------------
void baseline__emit_ref_i31(struct comp *c, unsigned w, unsigned arg)
{
	struct val v = pop(c);
	uint8_t r = baseline__own_reg(c, &v);
	c->has_objects = true;
	x64_alu_rr(&c->a, W32, ALU_ADD, r, r);
	x64_alu_ri(&c->a, W32, ALU_OR, r, ABI_REF_I31);
	baseline__finish(c, TYPE_OBJECT, r);
}

void baseline__emit_i31_get(struct comp *c, unsigned w, unsigned shift)
{
	struct val v = pop(c);
	uint8_t r = baseline__own_reg(c, &v);
	x64_test_rr(&c->a, W32, r, r);
	baseline__jcc_trap(c, CC_E, TRAP_NULL_I31_REFERENCE);
	x64_shift_ri(&c->a, W32, shift, r, 1);
	baseline__finish(c, WASM_I32, r);
}

void baseline__emit_ref_eq(struct comp *c, unsigned w, unsigned arg)
{
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a);
	x64_alu_rr(&c->a, W32, ALU_CMP, ra, rb);
	baseline__push_flags(c, CC_E);
}

// Both hierarchies have the same references.
void baseline__emit_convert(struct comp *c, unsigned w, unsigned arg)
{
}

// ---- casts ------------------------------------------------------------------------------------------------------
static bool is_func_type(const struct comp *c, struct wasm_valtype t)
{
	return t.heap == WASM_HEAP_CONCRETE && c->m->types[t.type].form == WASM_FORM_FUNC;
}

// Is the object at [heap + r] of the type, or below it? t and u may be overwritten.
static void test_concrete(struct comp *c, uint32_t type, struct r64 r, uint8_t t, uint8_t u, struct x64_label *no)
{
	struct x64 *a = &c->a;
	uint32_t depth = c->m->types[type].depth;
	x64_mov_rm(a, W64, t, at_vmctx(offsetof(struct abi_vmctx, heap)));
	x64_mov_rm(a, W32, u, x64_at_index(x64_r64(t), r, 0, offsetof(struct abi_object, type)));
	x64_alu_rr(a, W64, ALU_ADD, t, u);
	if (depth >= ABI_DISPLAY) {
		x64_ext_rm(a, W32, EXT_ZX8, u, x64_at(x64_r64(t), offsetof(struct abi_object_type, depth)));
		x64_alu_ri(a, W32, ALU_CMP, u, (int32_t)depth);
		x64_jcc(a, CC_B, no);
	}
	x64_mov_rm(a, W64, u, at_vmctx(offsetof(struct abi_vmctx, object_types)));
	x64_mov_rm(a, W32, u, x64_at(x64_r64(u), (int32_t)(4 * type)));
	x64_alu_rm(a, W32, ALU_CMP, u, x64_at(x64_r64(t), (int32_t)(offsetof(struct abi_object_type, display) + 4 * depth)));
	x64_jcc(a, CC_NE, no);
}

static void test_form(struct comp *c, enum wasm_form form, struct r64 r, uint8_t t, uint8_t u, struct x64_label *no)
{
	struct x64 *a = &c->a;
	x64_mov_rm(a, W64, t, at_vmctx(offsetof(struct abi_vmctx, heap)));
	x64_mov_rm(a, W32, u, x64_at_index(x64_r64(t), r, 0, offsetof(struct abi_object, type)));
	x64_ext_rm(a, W32, EXT_ZX8, u, x64_at_index(x64_r64(t), x64_zext_view(u), 0, offsetof(struct abi_object_type, form)));
	x64_alu_ri(a, W32, ALU_CMP, u, form);
	x64_jcc(a, CC_NE, no);
}

// Falls through if the reference, which stays as it is, is of the type, else goes to `no`. t and u: scratch. Nothing is allocated, so that what is known of
// registers holds on both ways. No type of functions.
static void test_ref(struct comp *c, struct wasm_valtype type, struct r64 r, uint8_t t, uint8_t u, struct x64_label *no)
{
	struct x64 *a = &c->a;
	struct x64_label yes = X64_LABEL;
	x64_room(a, 256);
	x64_test_rr(a, W32, r.n, r.n);
	x64_jcc(a, CC_E, type.nullable ? &yes : no);
	switch ((enum wasm_heap)type.heap) {
	case WASM_HEAP_FUNC:
	case WASM_HEAP_EXTERN:
	case WASM_HEAP_EXN:
	case WASM_HEAP_ANY:
		break;
	case WASM_HEAP_NONE:
	case WASM_HEAP_NOFUNC:
	case WASM_HEAP_NOEXTERN:
	case WASM_HEAP_NOEXN:
		x64_jmp(a, no);
		break;
	case WASM_HEAP_I31:
		x64_test_ri(a, W32, r.n, ABI_REF_I31);
		x64_jcc(a, CC_E, no);
		break;
	case WASM_HEAP_EQ: {
		struct x64_label i31 = X64_LABEL;
		x64_test_ri(a, W32, r.n, ABI_REF_I31);
		x64_jcc(a, CC_NE, &i31);
		x64_test_ri(a, W32, r.n, ABI_REF_HOST);
		x64_jcc(a, CC_NE, no);
		x64_bind(a, &i31);
		break;
	}
	case WASM_HEAP_STRUCT:
	case WASM_HEAP_ARRAY:
	case WASM_HEAP_CONCRETE:
		x64_test_ri(a, W32, r.n, ABI_REF_TAGS);
		x64_jcc(a, CC_NE, no);
		if (type.heap == WASM_HEAP_CONCRETE)
			test_concrete(c, type.type, r, t, u, no);
		else
			test_form(c, type.heap == WASM_HEAP_STRUCT ? WASM_FORM_STRUCT : WASM_FORM_ARRAY, r, t, u, no);
		break;
	}
	if (type.nullable)
		x64_bind(a, &yes);
	c->zf_at = UINT32_MAX;
}

static struct wasm_valtype read_cast(struct comp *c, bool nullable)
{
	struct wasm_valtype t = wasm_read_heap_type(&c->p);
	t.nullable = nullable;
	return t;
}

// The runtime's answer about a reference on top of the stack, in rax; the reference is gone.
static void ask_func(struct comp *c, struct wasm_valtype type)
{
	const uint32_t imms[] = {type.type, type.nullable};
	baseline__libcall(c, ABI_LIBCALL_FUNC_IS, imms);
}

// The same; the reference stays.
static void ask_func_of_top(struct comp *c, struct wasm_valtype type)
{
	struct val v = pop(c);
	uint8_t r = baseline__own_reg(c, &v), t = alloc(c, false);
	x64_mov_rr(&c->a, W32, t, r);
	push_reg(c, v.type, r);
	push_reg(c, v.type, t);
	ask_func(c, type);
	x64_test_rr(&c->a, W32, RAX, RAX);
}

void baseline__emit_ref_test(struct comp *c, unsigned w, unsigned nullable)
{
	struct wasm_valtype type = read_cast(c, nullable);
	if (is_func_type(c, type)) {
		ask_func(c, type);
		baseline__finish(c, WASM_I32, RAX);
		return;
	}
	struct val v = pop(c);
	struct r64 r = baseline__use_zext(c, &v);
	struct x64_label no = X64_LABEL, end = X64_LABEL;
	uint8_t d = baseline__hint(c), t = alloc(c, false), u = alloc(c, false);
	test_ref(c, type, r, t, u, &no);
	if (d == NO_REG)
		d = t;
	x64_mov_ri(&c->a, d, 1);
	x64_jmp(&c->a, &end);
	x64_bind(&c->a, &no);
	x64_mov_ri(&c->a, d, 0);
	x64_bind(&c->a, &end);
	baseline__finish(c, WASM_I32, d);
}

// Falls through if the reference on top of the stack is of the type, else goes to `no`. It stays there on both ways.
static void test_top(struct comp *c, struct wasm_valtype type, struct x64_label *no)
{
	if (is_func_type(c, type)) {
		ask_func_of_top(c, type);
		x64_jcc(&c->a, CC_E, no);
		return;
	}
	struct val v = pop(c);
	uint8_t own = baseline__own_reg(c, &v);
	c->lock |= BIT(own);
	v.kind = K_REG;
	struct r64 r = baseline__use_zext(c, &v);
	uint8_t t = alloc(c, false), u = alloc(c, false);
	test_ref(c, type, r, t, u, no);
	push_reg(c, v.type, own);
}

void baseline__emit_ref_cast(struct comp *c, unsigned w, unsigned nullable)
{
	struct wasm_valtype type = read_cast(c, nullable);
	struct x64_label no = X64_LABEL;
	test_top(c, type, &no);
	struct ool *o = baseline__ool(c, OOL_TRAP);
	o->trap = TRAP_CAST_FAILURE;
	o->from = no;
}

// The reference stays on the stack on both ways.
void baseline__emit_br_on_cast(struct comp *c, unsigned w, unsigned fails)
{
	struct x64 *a = &c->a;
	unsigned flags = *c->p++;
	struct ctl *target = baseline__target(c, wasm_read_u32(&c->p));
	wasm_read_heap_type(&c->p);
	struct wasm_valtype type = read_cast(c, flags & WASM_CAST_NULL_AFTER);
	struct x64_label no = X64_LABEL, over = X64_LABEL;
	test_top(c, type, &no);
	if (fails) {
		x64_jmp(a, &over);
		x64_bind(a, &no);
		baseline__branch(c, target);
		x64_bind(a, &over);
	} else {
		baseline__branch(c, target);
		x64_bind(a, &no);
	}
	c->zf_at = UINT32_MAX;
}
