// Every instruction on vectors × where each operand lies (a pinned local, one in the frame, a constant, a register, a slot, just loaded from memory) ×
// where the result goes × edge values, against a second implementation in C, on the processor's own instructions, without AVX2 and without AVX.
// Rows: L7, L8, L9, L10, L14.
#include "../baseline_int.h"
#include "guest.h"
#include "vectors.h"

enum form { LOCAL, CONSTANT, TEMP, SLOT, MEMORY, FORMS };
enum result { PLAIN, SET, TEE, RESULTS };

// ---- values -----------------------------------------------------------------------------------------------------
static const uint64_t edges[] = {0, 1, UINT64_MAX, 0x7f80ff017f80ff01, 0x8000000080000000, 0x7fffffff80000001, 0x8000800080007fff, 0x7fffffffffffffff,
	0x8000000000000000, 0x0102040810204080, 0x7f8000007fc00000, 0xff800000ffc00001, 0x7f80000100000001, 0x7ff0000000000000, 0x7ff8000000000000,
	0xfff0000000000001, 0x3f8000003f000000, 0x4f0000004effffff, 0xcf000000cf000001, 0x4f800000bf800000, 0x3ff0000000000000, 0x41dfffffffc00000,
	0x41e0000000000000, 0xc1e0000000200000, 0x41efffffffe00000, 0x41f0000000000000, 0x3fdfffffffffffff, 0xbfe8000000000000, 0x400000004039999a,
	0x0000000100000000, 0x800000007f7fffff, 0x47efffffe0000000, 0x0f1f2f3f4f5f6f7f, 0x0011223344556677};

static uint64_t random_bits(void)
{
	static uint64_t x = 88172645463325252;
	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static union vec vector_of(uint32_t round, uint32_t k)
{
	union vec v = {.q = {edges[(round + 5 * k) % ARRAY_LEN(edges)], edges[(round * 3 + 7 * k) % ARRAY_LEN(edges)]}};
	if (round % 4 == 3)
		v = (union vec){.q = {random_bits(), random_bits()}};
	if (round % 8 == 5)
		v.q[k & 1] = v.q[~k & 1];
	return v;
}

// A scalar in the low bits. Shift counts around the widths of lanes.
static union vec scalar_of(char type, uint32_t round)
{
	static const uint8_t counts[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 200, 255};
	uint64_t v = type == 'i' && round % 2 ? counts[round / 2 % ARRAY_LEN(counts)] : edges[round % ARRAY_LEN(edges)];
	return (union vec){.q = {type == 'i' || type == 'f' ? (uint32_t)v : v}};
}

// ---- functions --------------------------------------------------------------------------------------------------
struct instance {
	enum wasm_op op;
	char types[4], result;  // of the operands
	uint32_t n;
	union vec v[3];
	uint8_t imm[16];
	uint32_t nimm;
};

static void put_const(struct buf *b, char type, const union vec *v)
{
	static const char letters[] = "ilfd";
	if (type == 'v') {
		buf_put(b, "\xfd\x0c", 2);
		buf_put(b, v->b, 16);
		return;
	}
	buf_put_byte(b, (uint8_t)(0x41 + (strchr(letters, type) - letters)));
	if (type == 'i')
		put_sleb(b, v->sd[0]);
	else if (type == 'l')
		put_sleb(b, v->sq[0]);
	else
		buf_put(b, v->b, type == 'f' ? 4 : 8);
}

static void put_local(struct buf *b, uint8_t op, uint32_t local)
{
	buf_put_byte(b, op);
	put_leb(b, local);
}

// The k-th operand lies in the last bytes of memory but k times 16.
static uint32_t memory_of(char type, uint32_t k)
{
	return 65536 - 16 * k - (type == 'v' ? 16 : type == 'l' || type == 'd' ? 8
																		   : 4);
}

static void put_operand(struct buf *b, const struct instance *x, uint32_t k, uint32_t local, enum form form)
{
	char type = x->types[k];
	if (form == CONSTANT) {
		put_const(b, type, &x->v[k]);
		return;
	}
	if (form == MEMORY) {
		static const char letters[] = "ilfd";
		buf_put_byte(b, 0x41);
		put_sleb(b, memory_of(type, k));
		if (type == 'v')
			buf_put(b, "\xfd\x00", 2);
		else
			buf_put_byte(b, (uint8_t)(0x28 + (strchr(letters, type) - letters)));
		buf_put(b, "\0\0", 2);
		return;
	}
	put_local(b, 0x20, local);
	if (form == TEMP) {
		static const char *const twice[] = {"\xfd\x4d\xfd\x4d", "\x9a\x9a", "\x8c\x8c", "\xbf\xbd", "\xbe\xbc"};  // not, neg, reinterpret
		buf_put_str(b, twice[strchr("vdfli", type) - "vdfli"]);
	}
	if (form == SLOT)
		buf_put(b, "\x02\x40\x0b", 3);  // an empty block
}

// Heavy locals that take all pins, so that others live in the frame.
#define HEAVY 14u
static void put_heavy(struct buf *b, uint32_t first, uint32_t n)
{
	buf_put(b, "\x03\x40", 2);
	for (uint32_t i = 0; i < n; i++) {
		for (int k = 0; k < 4; k++) {
			put_local(b, 0x20, first + i);
			buf_put_byte(b, 0x1a);
		}
	}
	buf_put_byte(b, 0x0b);
}

static void put_instruction(struct buf *b, const struct instance *x)
{
	if (wasm_ops[x->op].prefix)
		buf_put_byte(b, wasm_ops[x->op].prefix);
	put_leb(b, wasm_ops[x->op].code);
	buf_put(b, x->imm, x->nimm);
}

// (operands) -> (operands, result): old values of the parameters, which are on the stack while the instruction writes to them, and the result.
static void put_function(struct source *s, const struct instance *x, const enum form forms[3], enum result result, bool in_frame, bool same)
{
	struct buf *b = add_func(s, 0);
	uint32_t c = x->n, to = c;  // a local of the result's type
	buf_put_byte(b, in_frame ? 3 : 1);
	put_leb(b, 1);
	buf_put_byte(b, type_byte(x->result));
	if (in_frame) {
		put_leb(b, HEAVY);
		buf_put_byte(b, 0x7e);
		put_leb(b, HEAVY);
		buf_put_byte(b, 0x7c);
		put_heavy(b, c + 1, 2 * HEAVY);
	}
	for (uint32_t i = 0; i < x->n; i++)
		put_local(b, 0x20, i);
	for (uint32_t i = 0; i < x->n; i++)
		put_operand(b, x, i, same ? 0 : i, forms[i]);
	put_instruction(b, x);
	// Into one of the operands, of the later ones if there is a choice.
	for (uint32_t i = 0; i < x->n; i++)
		if (x->types[i] == x->result && (result == TEE || to == c))
			to = i;
	if (result == SET) {
		put_local(b, 0x21, to);
		put_local(b, 0x20, to);
	} else if (result == TEE) {
		put_local(b, 0x22, to);
	}
	buf_put_byte(b, 0x0b);
}

static void describe(struct instance *x, enum wasm_op op)
{
	const char *colon = strchr(wasm_ops[op].sig, ':');
	*x = (struct instance){.op = op, .n = (uint32_t)(colon - wasm_ops[op].sig), .result = colon[1]};
	memcpy(x->types, wasm_ops[op].sig, x->n);
}

static void type_text(const struct instance *x, char *text, size_t size)
{
	snprintf(text, size, "%s:%s%c", x->types, x->types, x->result);
}

// ---- comparing --------------------------------------------------------------------------------------------------
static bool as_expected(const struct instance *x, const union vec *got)
{
	union vec want;
	enum nan_kind nan = NAN_BITS;
	if (!ref_int(x->op, x->v[0], x->v[1], x->v[2], x->imm, &want) && !ref_float(x->op, x->v[0], x->v[1], x->v[2], &want, &nan))
		fail_msg("%s has no second implementation", wasm_op_text(x->op));
	bool same = true, doubles = !strncmp(wasm_op_text(x->op), "f64", 3);
	for (unsigned i = 0; i < 4 && !doubles; i++)
		same &= same_f32(got->d[i], want.d[i], nan);
	for (unsigned i = 0; i < 2 && doubles; i++)
		same &= same_f64(got->q[i], want.q[i], nan);
	return same;
}

static void check(struct guest *g, const struct instance *x, const struct baseline_options *opt)
{
	uint64_t args[6], before[6], got[10];
	uint32_t cells = 0;
	for (uint32_t k = 0; k < x->n; k++) {
		uint32_t n = x->types[k] == 'v' ? 2 : 1;
		memcpy(args + cells, x->v[k].q, 8 * n);
		cells += n;
		memcpy(cell() + memory_of(x->types[k], k), x->v[k].b, 65536 - 16 * k - memory_of(x->types[k], k));
	}
	memcpy(before, args, sizeof before);
	for (uint32_t f = 0; f < g->m->nfuncs; f++) {
		union vec r = {0};
		memset(got, 0, sizeof got);
		enum trap t = guest_call(g, f, NULL, args, got);
		memcpy(r.q, got + cells, x->result == 'v' ? 16 : 8);
		if (t || memcmp(got, before, 8 * cells) != 0 || !as_expected(x, &r))
			fail_msg("%s(%016llx%016llx, %016llx%016llx, %016llx%016llx) lane %u as form %u (poison %d, cpu %x): trap %d, %016llx%016llx, operands %s",
				wasm_op_text(x->op), (unsigned long long)x->v[0].q[1], (unsigned long long)x->v[0].q[0], (unsigned long long)x->v[1].q[1],
				(unsigned long long)x->v[1].q[0], (unsigned long long)x->v[2].q[1], (unsigned long long)x->v[2].q[0], x->imm[0], f, opt->poison_upper,
				opt->cpu, t, (unsigned long long)r.q[1], (unsigned long long)r.q[0], memcmp(got, before, 8 * cells) != 0 ? "changed" : "kept");
	}
}

static void check_forms(const struct instance *x, const struct baseline_options *opt, uint32_t round)
{
	static struct source s;
	struct guest g;
	s = (struct source){.ntypes = 1};
	type_text(x, s.types[0], sizeof s.types[0]);
	bool equal = x->n >= 2 && x->types[0] == x->types[1] && !memcmp(&x->v[0], &x->v[1], 16) && (x->n == 2 || !memcmp(&x->v[0], &x->v[2], 16));
	for (unsigned frame = 0; frame < 2; frame++) {
		for (unsigned first = 0; first < FORMS; first++) {
			for (unsigned second = 0; second < (x->n > 1 ? FORMS : 1u); second++) {
				const enum form forms[3] = {first, second, (first + second + round) % FORMS};
				for (unsigned r = 0; r < RESULTS; r++)
					put_function(&s, x, forms, r, frame, equal && (first ^ second) & 1);
			}
		}
	}
	guest_init(&g, &s, opt);
	check(&g, x, opt);
	guest_release(&g);
}

// ---- immediates -------------------------------------------------------------------------------------------------
static void choose_immediate(struct instance *x, uint32_t round)
{
	static const uint8_t shuffles[][16] = {
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
		{4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 12, 13, 14, 15},
		{28, 29, 30, 31, 16, 17, 18, 19, 20, 21, 22, 23, 20, 21, 22, 23},
		{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
		{31, 31, 31, 31, 16, 16, 16, 16, 17, 18, 19, 20, 21, 22, 23, 24},
		{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23},
		{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31},
		{0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23},
		{8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31},
		{0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23},
		{8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31},
		{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23},
		{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31},
		{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		{15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30},
		{16, 0, 17, 1, 18, 2, 19, 3, 20, 4, 21, 5, 22, 6, 23, 7},
	};
	unsigned lanes = 0;
	switch ((enum wasm_imm)wasm_ops[x->op].imm) {
	case WASM_IMM_SHUFFLE:
		x->nimm = 16;
		for (unsigned i = 0; i < 16; i++)
			x->imm[i] = round < ARRAY_LEN(shuffles) ? shuffles[round][i] : random_bits() % 32;
		return;
	case WASM_IMM_LANE_16:
		lanes = 16;
		break;
	case WASM_IMM_LANE_8:
		lanes = 8;
		break;
	case WASM_IMM_LANE_4:
		lanes = 4;
		break;
	case WASM_IMM_LANE_2:
		lanes = 2;
		break;
	default:
		return;
	}
	x->nimm = 1;
	x->imm[0] = (uint8_t)(round % lanes);
}

// The processor's best, without AVX2, without AVX; the poisoned mode with and without.
static uint32_t vector_modes(struct baseline_options modes[5])
{
	uint32_t n = all_modes(modes);
	modes[3] = (struct baseline_options){.cpu = modes[0].cpu & ~(uint32_t)CODE_CPU_AVX2};
	modes[4] = (struct baseline_options){.cpu = 0, .poison_upper = true};
	return n;
}

static void all_forms_agree_with_a_second_implementation_L9(void **state)
{
	struct baseline_options modes[5];
	uint32_t nmodes = vector_modes(modes), tested = 0;
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		if (info->prefix != 0xfd || info->access || op == WASM_OP_V128_CONST)
			continue;
		bool is_shuffle = info->imm == WASM_IMM_SHUFFLE;
		for (uint32_t round = 0; round < (is_shuffle ? 40u : 20u); round++) {
			struct instance x;
			describe(&x, op);
			for (uint32_t k = 0; k < x.n; k++)
				x.v[k] = x.types[k] == 'v' ? vector_of(round * 7 + op, round % 6 == 2 ? 0 : k) : scalar_of(x.types[k], round * 5 + op);
			choose_immediate(&x, round);
			check_forms(&x, &modes[(round + op) % nmodes], round);
		}
		tested++;
	}
	assert_int_equal(tested, 236 + 20 - 1 - 22);
}

// ---- memory -----------------------------------------------------------------------------------------------------
static void ref_load(enum wasm_op op, const uint8_t *at, unsigned lane, union vec *r)
{
	unsigned size = wasm_ops[op].access;
	uint64_t low = 0;
	memcpy(&low, at, size < 8 ? size : 8);
	union vec in = {.q = {low}};
	switch (op) {
	case WASM_OP_V128_LOAD:
		memcpy(r->b, at, 16);
		return;
	case WASM_OP_V128_LOAD32_ZERO:
	case WASM_OP_V128_LOAD64_ZERO:
		*r = in;
		return;
	case WASM_OP_V128_LOAD8_LANE:
	case WASM_OP_V128_LOAD16_LANE:
	case WASM_OP_V128_LOAD32_LANE:
	case WASM_OP_V128_LOAD64_LANE:
		memcpy(r->b + lane * size, at, size);
		return;
	case WASM_OP_V128_LOAD8X8_S:
		for (unsigned i = 0; i < 8; i++)
			r->sw[i] = in.sb[i];
		return;
	case WASM_OP_V128_LOAD8X8_U:
		for (unsigned i = 0; i < 8; i++)
			r->w[i] = in.b[i];
		return;
	case WASM_OP_V128_LOAD16X4_S:
		for (unsigned i = 0; i < 4; i++)
			r->sd[i] = in.sw[i];
		return;
	case WASM_OP_V128_LOAD16X4_U:
		for (unsigned i = 0; i < 4; i++)
			r->d[i] = in.w[i];
		return;
	case WASM_OP_V128_LOAD32X2_S:
		for (unsigned i = 0; i < 2; i++)
			r->sq[i] = in.sd[i];
		return;
	case WASM_OP_V128_LOAD32X2_U:
		for (unsigned i = 0; i < 2; i++)
			r->q[i] = in.d[i];
		return;
	default:  // splats
		for (unsigned i = 0; i < 16; i += size)
			memcpy(r->b + i, at, size);
	}
}

// Address by local and constant, near and far offsets, the vector (if there is one) in each form. (address, vector) -> (address, vector, result);
// stores give the vector.
static void put_accesses(struct source *s, struct instance *x, uint32_t at, bool is_load)
{
	for (unsigned form = 0; form < FORMS; form++) {
		for (unsigned way = 0; way < 4; way++) {
			struct buf *b = add_func(s, 0);
			uint32_t offset = way == 0 ? 0 : way == 1 ? 100
				: way == 2                            ? at
													  : 1;
			put_leb(b, 0);
			put_local(b, 0x20, 0);
			put_local(b, 0x20, 1);
			if (way < 2) {
				put_local(b, 0x20, 0);
				if (way)
					buf_put(b, "\x41\xe4\x00\x6b", 4);  // - 100
			} else {
				buf_put_byte(b, 0x41);
				put_sleb(b, (int32_t)(at - offset));
			}
			if (x->n == 2)
				put_operand(b, x, 1, 1, form);
			buf_put_byte(b, 0xfd);
			put_leb(b, wasm_ops[x->op].code);
			buf_put_byte(b, 0);
			put_leb(b, offset);
			buf_put(b, x->imm, x->nimm);
			if (is_load)
				buf_put(b, way % 2 ? "\x22\x01" : "\x01\x01", 2);  // local.tee 1, or nops
			else
				put_local(b, 0x20, 1);
			buf_put_byte(b, 0x0b);
		}
	}
}

static void check_access(struct instance *x, uint32_t at, const struct baseline_options *opt)
{
	static struct source s;
	struct guest g;
	uint8_t memory[64];
	uint32_t size = wasm_ops[x->op].access;
	bool is_load = x->result == 'v';
	s = (struct source){.ntypes = 1};
	snprintf(s.types[0], sizeof s.types[0], "iv:ivv");
	put_accesses(&s, x, at, is_load);
	guest_init(&g, &s, opt);
	for (uint32_t f = 0; f < g.m->nfuncs; f++) {
		uint64_t args[3] = {at, x->v[1].q[0], x->v[1].q[1]}, got[5] = {0};
		union vec want = x->v[1], seen;
		for (unsigned i = 0; i < 64; i++)
			memory[i] = (uint8_t)random_bits();
		memcpy(cell() + 65536 - 64, memory, 64);
		memcpy(cell() + memory_of('v', 1), x->v[1].b, 16);  // where MEMORY has it
		memcpy(memory, cell() + 65536 - 64, 64);
		uint8_t *access = memory + 64 - (65536 - at);
		if (is_load) {
			if (x->n == 1)
				want = (union vec){0};
			ref_load(x->op, access, x->imm[0], &want);
		} else {
			memcpy(access, x->v[1].b + x->imm[0] * size, size);
		}
		assert_int_equal(guest_call(&g, f, NULL, args, got), TRAP_NONE);
		memcpy(seen.q, got + 3, 16);
		if (memcmp(&seen, &want, 16) != 0 || memcmp(memory, cell() + 65536 - 64, 64) != 0 || got[0] != at)
			fail_msg("%s lane %u at %u, form %u (cpu %x): %016llx%016llx", wasm_op_text(x->op), x->imm[0], at, f, opt->cpu, (unsigned long long)seen.q[1],
				(unsigned long long)seen.q[0]);
	}
	guest_release(&g);
}

// At the last bytes of memory and at unaligned ones before: no more is read or written than the access has (L7, L14), no alignment is needed (L8).
static void accesses_touch_their_bytes_only_L7_L8(void **state)
{
	struct baseline_options modes[5];
	uint32_t nmodes = vector_modes(modes), tested = 0;
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		if (info->prefix != 0xfd || !info->access)
			continue;
		for (uint32_t round = 0; round < 16; round++) {
			struct instance x;
			describe(&x, op);
			x.types[1] = 'v';
			x.v[1] = vector_of(round + op, 1);
			x.nimm = info->imm == WASM_IMM_MEMARG_LANE;
			x.imm[0] = (uint8_t)(x.nimm ? round % (16u / info->access) : 0);
			check_access(&x, 65536 - info->access - (round % 3 ? round : 0), &modes[round % nmodes]);
		}
		tested++;
	}
	assert_int_equal(tested, 22);
}

// ---- constants --------------------------------------------------------------------------------------------------
// More than the table of those seen holds, zero and ones among them, as operand, result, argument of set and select.
static void constants_are_what_they_are(void **state)
{
	struct baseline_options modes[5];
	uint32_t nmodes = vector_modes(modes);
	for (uint32_t m = 0; m < nmodes; m++) {
		struct source s = {.ntypes = 1};
		struct guest g;
		snprintf(s.types[0], sizeof s.types[0], "iv:vv");
		union vec want = {0}, args = {.q = {3, 4}};
		struct buf *b = add_func(&s, 0);
		buf_put(b, "\x01\x01\x7b", 3);
		for (uint32_t i = 0; i < 300; i++) {
			union vec v = i % 50 == 0 ? (union vec){0} : i % 50 == 1 ? (union vec){.q = {UINT64_MAX, UINT64_MAX}}
																	 : vector_of(i, i);
			union vec w = vector_of(i + 1, 0);
			put_const(b, 'v', &v);
			put_local(b, 0x21, 2);
			put_const(b, 'v', &w);
			put_local(b, 0x20, 2);
			put_local(b, 0x20, 0);
			buf_put_byte(b, 0x1b);  // w if the i32 isn't zero, else v
			put_local(b, 0x20, 1);
			buf_put(b, "\xfd\x51", 2);
			put_local(b, 0x21, 1);
			for (unsigned k = 0; k < 2; k++)
				want.q[k] ^= w.q[k];
		}
		put_local(b, 0x20, 1);
		put_const(b, 'v', &(union vec){.q = {1, 2}});
		buf_put_byte(b, 0x0b);
		guest_init(&g, &s, &modes[m]);
		uint64_t got[4] = {0};
		assert_int_equal(guest_call(&g, 0, NULL, (const uint64_t[]){1, args.q[0], args.q[1]}, got), TRAP_NONE);
		assert_true(got[0] == (want.q[0] ^ args.q[0]) && got[1] == (want.q[1] ^ args.q[1]) && got[2] == 1 && got[3] == 2);
		guest_release(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_forms_agree_with_a_second_implementation_L9),
		cmocka_unit_test(accesses_touch_their_bytes_only_L7_L8),
		cmocka_unit_test(constants_are_what_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
