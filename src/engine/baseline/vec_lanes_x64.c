// Vectors: single lanes, shuffles, memory.
#include "vec_x64.h"

#define V66(op) X64_VEC(1, 1, op)
#define V38(op) X64_VEC(1, 2, op)
#define V3A(op) X64_VEC(1, 3, op)
enum { PSHUFB = V38(0x00), PSHUFD = V66(0x70), MOVSS = X64_VEC(2, 1, 0x10), MOVSD = X64_VEC(3, 1, 0x10) };

// d = s op (a general register or memory), and which lane.
static void insert(struct comp *c, unsigned op, enum x64_width w, unsigned d, unsigned s, unsigned r, unsigned imm)
{
	if (baseline__has_avx(c)) {
		x64_vex_rr(&c->a, op, w, d, s, r);
	} else {
		if (d != s)
			x64_movaps(&c->a, d, s);
		x64_vec_rr(&c->a, op, w, d, r);
	}
	x64_b(&c->a, imm);
}

static void extract(struct comp *c, unsigned op, enum x64_width w, unsigned reg, unsigned rm, unsigned imm)
{
	if (baseline__has_avx(c))
		x64_vex_rr(&c->a, op, w, reg, 0, rm);
	else
		x64_vec_rr(&c->a, op, w, reg, rm);
	x64_b(&c->a, imm);
}

// op d, [m]
static void load(struct comp *c, unsigned op, unsigned d, struct x64_mem m)
{
	if (baseline__has_avx(c))
		x64_vex_rm(&c->a, op, W32, d, 0, m);
	else
		x64_vec_rm(&c->a, op, W32, d, m);
}

// ---- splat ------------------------------------------------------------------------------------------------------
// The lowest byte, word or double word of d to all lanes.
static void spread(struct comp *c, unsigned lane, unsigned d)
{
	if (lane == LANE_D) {
		baseline__vec2_imm(c, PSHUFD, d, d, 0);
	} else if (c->opt->cpu & CODE_CPU_AVX2) {
		baseline__vec2(c, V38(lane == LANE_B ? 0x78 : 0x79), d, d);
	} else if (lane == LANE_B) {
		baseline__vec_zero(c, XMM15);
		baseline__vec3(c, PSHUFB, d, d, XMM15);
	} else {
		baseline__vec2_imm(c, X64_VEC(3, 1, 0x70), d, d, 0);
		baseline__vec2_imm(c, PSHUFD, d, d, 0);
	}
}

void baseline__emit_vec_splat(struct comp *c, unsigned lane, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__hint(c);
	if (d == NO_REG)
		d = baseline__vec_dst(c, &a);
	if (lane == LANE_F) {
		baseline__vec2_imm(c, PSHUFD, d, ra, 0);
	} else if (lane == LANE_DOUBLE) {
		baseline__vec2_imm(c, PSHUFD, d, ra, 0x44);
	} else {
		x64_mov_xr(&c->a, lane == LANE_Q ? W64 : W32, d, ra);
		if (lane == LANE_Q)
			baseline__vec2_imm(c, PSHUFD, d, d, 0x44);
		else
			spread(c, lane, d);
	}
	baseline__finish(c, WASM_V128, d);
}

// ---- lanes ------------------------------------------------------------------------------------------------------
static const uint16_t inserts[] = {V3A(0x20), V66(0xc4), V3A(0x22), V3A(0x22)};

void baseline__emit_vec_extract(struct comp *c, unsigned lane, unsigned is_signed)
{
	unsigned i = *c->p++;
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__hint(c);
	if (d == NO_REG)
		d = lane >= LANE_F ? baseline__vec_dst(c, &a) : alloc(c, false);
	switch (lane) {
	case LANE_B:
		extract(c, V3A(0x14), W32, ra, d, i);
		if (is_signed)
			x64_ext_rr(&c->a, W32, EXT_SX8, d, d);
		break;
	case LANE_W:
		extract(c, V66(0xc5), W32, d, ra, i);
		if (is_signed)
			x64_ext_rr(&c->a, W32, EXT_SX16, d, d);
		break;
	case LANE_D:
	case LANE_Q:
		if (i)
			extract(c, V3A(0x16), lane == LANE_Q ? W64 : W32, ra, d, i);
		else
			x64_mov_rx(&c->a, lane == LANE_Q ? W64 : W32, d, ra);
		break;
	default:
		if (i)
			baseline__vec2_imm(c, PSHUFD, d, ra, lane == LANE_F ? i : 0xee);
		else
			baseline__move_rr(c, WASM_V128, d, ra);
	}
	static const uint8_t types[] = {WASM_I32, WASM_I32, WASM_I32, WASM_I64, WASM_F32, WASM_F64};
	baseline__finish(c, types[lane], d);
}

void baseline__emit_vec_replace(struct comp *c, unsigned lane, unsigned arg)
{
	unsigned i = *c->p++;
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	if (lane == LANE_F)
		baseline__vec3_imm(c, V3A(0x21), d, ra, rb, i << 4);
	else if (lane == LANE_DOUBLE)
		baseline__vec3(c, i ? X64_VEC(0, 1, 0x16) : MOVSD, d, ra, rb);
	else
		insert(c, inserts[lane], lane == LANE_Q ? W64 : W32, d, ra, rb, i);
	baseline__finish(c, WASM_V128, d);
}

// ---- shuffles ---------------------------------------------------------------------------------------------------
// Indices above 15 give zero: saturating, they get the top bit that pshufb wants for that.
void baseline__emit_vec_swizzle(struct comp *c, unsigned w, unsigned arg)
{
	const uint64_t high = 0x7070707070707070ull;
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	baseline__vec3_const(c, V66(0xdc), XMM15, rb, high, high);
	baseline__vec3(c, PSHUFB, d, ra, XMM15);
	baseline__finish(c, WASM_V128, d);
}

// The immediate of pshufd if whole double words, all of one operand, are moved; -1 otherwise.
static int dword_shuffle(const uint8_t lanes[16])
{
	int imm = 0;
	for (unsigned i = 0; i < 16; i++) {
		if ((lanes[i] & 3) != (i & 3) || lanes[i] >> 2 != lanes[i & ~3u] >> 2)
			return -1;
		if (i % 4 == 0)
			imm |= (lanes[i] >> 2 & 3) << i / 2;
	}
	return imm;
}

// The instruction that interleaves halves of the operands so, or 0. Unpack: low halves, lanes of 1 << k bytes; then high halves.
static unsigned interleaves(const uint8_t lanes[16])
{
	static const uint16_t ops[2][4] = {{V66(0x60), V66(0x61), V66(0x62), V66(0x6c)}, {V66(0x68), V66(0x69), V66(0x6a), V66(0x6d)}};
	for (unsigned high = 0; high < 2; high++) {
		for (unsigned k = 0; k < 4; k++) {
			unsigned i = 0, size = 1u << k;
			for (; i < 16; i++) {
				unsigned unit = i >> k, from = 8 * high + (unit / 2) * size + (i & (size - 1)) + (unit & 1 ? 16 : 0);
				if (lanes[i] != from)
					break;
			}
			if (i == 16)
				return ops[high][k];
		}
	}
	return 0;
}

static bool is_window(const uint8_t lanes[16])
{
	for (unsigned i = 1; i < 16; i++)
		if (lanes[i] != lanes[0] + i)
			return false;
	return true;
}

// pshufb's mask for the lanes that come from operand `which`; the others become zero.
static void shuffle_mask(const uint8_t lanes[16], unsigned which, uint64_t ret[2])
{
	uint8_t mask[16];
	for (unsigned i = 0; i < 16; i++)
		mask[i] = lanes[i] >> 4 == which ? lanes[i] & 15 : 0x80;
	memcpy(ret, mask, 16);
}

static void shuffle_one(struct comp *c, struct val *a, const uint8_t lanes[16], unsigned which)
{
	uint8_t ra = baseline__use_reg(c, a), d = baseline__vec_last(c, a);
	int imm = dword_shuffle(lanes);
	uint64_t mask[2];
	if (imm >= 0) {
		baseline__vec2_imm(c, PSHUFD, d, ra, (unsigned)imm);
	} else {
		shuffle_mask(lanes, which, mask);
		baseline__vec3_const(c, PSHUFB, d, ra, mask[0], mask[1]);
	}
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_shuffle(struct comp *c, unsigned w, unsigned arg)
{
	const uint8_t *lanes = c->p;
	unsigned of_b = 0, op = 0;
	for (unsigned i = 0; i < 16; i++)
		of_b += lanes[i] >> 4;
	c->p += 16;
	struct val b = pop(c), a = pop(c);
	if (of_b == 0 || of_b == 16) {
		shuffle_one(c, of_b ? &b : &a, lanes, of_b != 0);
		return;
	}
	bool one = (op = interleaves(lanes)) != 0 || (is_window(lanes) && baseline__has_avx(c));
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = one ? baseline__vec_last(c, &a) : baseline__vec_dst(c, &a);
	uint64_t mask[2];
	if (op) {
		baseline__vec3(c, op, d, ra, rb);
	} else if (one) {
		baseline__vec3_imm(c, V3A(0x0f), d, rb, ra, lanes[0]);
	} else if (is_window(lanes)) {
		baseline__vec3_imm(c, V3A(0x0f), XMM15, rb, ra, lanes[0]);
		baseline__move_rr(c, WASM_V128, d, XMM15);
	} else {
		shuffle_mask(lanes, 1, mask);
		baseline__vec3_const(c, PSHUFB, XMM15, rb, mask[0], mask[1]);
		shuffle_mask(lanes, 0, mask);
		baseline__vec3_const(c, PSHUFB, d, ra, mask[0], mask[1]);
		baseline__vec3(c, V66(0xeb), d, d, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

// ---- memory -----------------------------------------------------------------------------------------------------
static unsigned access_of(const struct comp *c)
{
	const uint8_t *p = c->op_at;
	return wasm_ops[wasm_read_op(&p)].access;
}

// w, arg: the instruction that reads its operand from memory
void baseline__emit_vec_load(struct comp *c, unsigned w, unsigned op)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val index = pop(c);
	struct x64_mem at = baseline__address(c, &index, &m, access_of(c));
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, true);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	load(c, VEC_OP(w, op), d, at);
	baseline__finish(c, WASM_V128, d);
}

// Of a byte, a word or a double word.
void baseline__emit_vec_load_splat(struct comp *c, unsigned lane, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val index = pop(c);
	struct x64_mem at = baseline__address(c, &index, &m, 1u << lane);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, true);
	if (c->opt->cpu & CODE_CPU_AVX2) {
		static const uint8_t broadcasts[] = {0x78, 0x79, 0x18};
		baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
		load(c, V38(broadcasts[lane]), d, at);
	} else if (lane == LANE_D) {
		baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
		load(c, MOVSS, d, at);
		spread(c, lane, d);
	} else {
		uint8_t t = alloc(c, false);
		baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
		x64_ext_rm(&c->a, W32, lane == LANE_B ? EXT_ZX8 : EXT_ZX16, t, at);
		x64_mov_xr(&c->a, W32, d, t);
		spread(c, lane, d);
	}
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_store(struct comp *c, unsigned w, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val v = pop(c), index = pop(c);
	uint8_t r = baseline__use_reg(c, &v);
	struct x64_mem at = baseline__address(c, &index, &m, 16);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_movups_mr(&c->a, at, r);
}

void baseline__emit_vec_load_lane(struct comp *c, unsigned lane, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	unsigned i = *c->p++;
	struct val v = pop(c), index = pop(c);
	uint8_t r = baseline__use_reg(c, &v);
	struct x64_mem at = baseline__address(c, &index, &m, 1u << lane);
	uint8_t d = baseline__vec_last(c, &v);
	enum x64_width w = lane == LANE_Q ? W64 : W32;
	if (!baseline__has_avx(c))
		baseline__move_rr(c, WASM_V128, d, r);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	if (baseline__has_avx(c))
		x64_vex_rm(&c->a, inserts[lane], w, d, r, at);
	else
		x64_vec_rm(&c->a, inserts[lane], w, d, at);
	x64_b(&c->a, i);
	baseline__finish(c, WASM_V128, d);
}

// One instruction each (L14).
void baseline__emit_vec_store_lane(struct comp *c, unsigned lane, unsigned arg)
{
	static const uint16_t extracts[] = {V3A(0x14), V3A(0x15), V3A(0x16), V3A(0x16)};
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	unsigned i = *c->p++;
	struct val v = pop(c), index = pop(c);
	uint8_t r = baseline__use_reg(c, &v);
	struct x64_mem at = baseline__address(c, &index, &m, 1u << lane);
	enum x64_width w = lane == LANE_Q ? W64 : W32;
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	if (baseline__has_avx(c))
		x64_vex_rm(&c->a, extracts[lane], w, r, 0, at);
	else
		x64_vec_rm(&c->a, extracts[lane], w, r, at);
	x64_b(&c->a, i);
}
