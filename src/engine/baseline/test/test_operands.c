// Every instruction with a fixed signature, in every place where its operands can be and its result can go: all forms must agree, and whatever else
// lies on the stack must stay as it was. Rows: L2, L3, L10, L15, L16, L24.
#include "../baseline_int.h"
#include "guest.h"

enum form { LOCAL, CONSTANT, TEMP, SLOT, FORMS };
enum result { PLAIN, SET, TEE, RESULTS };

static void put_const(struct buf *b, char type, uint64_t bits)
{
	uint32_t low = (uint32_t)bits;
	switch (type) {
	case 'i':
		buf_put_byte(b, 0x41);
		put_sleb(b, (int32_t)bits);
		return;
	case 'l':
		buf_put_byte(b, 0x42);
		put_sleb(b, (int64_t)bits);
		return;
	case 'f':
		buf_put_byte(b, 0x43);
		buf_put(b, &low, 4);
		return;
	default:
		buf_put_byte(b, 0x44);
		buf_put(b, &bits, 8);
	}
}

static void put_local(struct buf *b, uint8_t op, uint32_t local)
{
	buf_put_byte(b, op);
	put_leb(b, local);
}

// A value of a local or constant, made to lie where the form says.
static void put_operand(struct buf *b, enum form form, char type, uint32_t local, uint64_t bits)
{
	static const uint8_t reinterpret[4][2] = {{0xbe, 0xbc}, {0xbf, 0xbd}, {0xbc, 0xbe}, {0xbd, 0xbf}};
	if (form == CONSTANT) {
		put_const(b, type, bits);
		return;
	}
	put_local(b, 0x20, local);
	if (form == TEMP)
		buf_put(b, reinterpret[type == 'i' ? 0 : type == 'l' ? 1
						   : type == 'f'                     ? 2
															 : 3],
			2);
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

struct instance {
	enum wasm_op op;
	char a, b, r;  // b: 0 if there is one operand
	uint64_t va, vb;
};

// (a, b) -> (a, b, r): old values of the parameters, which are on the stack while the instruction writes to them, and the result.
static void put_function(struct source *s, const struct instance *x, enum form fa, enum form fb, enum result result, bool in_frame, bool same)
{
	struct buf *b = add_func(s, 0);
	uint32_t local_b = same ? 0 : 1, nparams = x->b ? 2 : 1, c = nparams;  // c: a local of the result's type
	buf_put_byte(b, in_frame ? 3 : 1);
	put_leb(b, 1);
	buf_put_byte(b, type_byte(x->r));
	if (in_frame) {
		put_leb(b, HEAVY);
		buf_put_byte(b, 0x7e);
		put_leb(b, HEAVY);
		buf_put_byte(b, 0x7c);
		put_heavy(b, c + 1, 2 * HEAVY);
	}
	for (uint32_t i = 0; i < nparams; i++)
		put_local(b, 0x20, i);
	put_operand(b, fa, x->a, 0, x->va);
	if (x->b)
		put_operand(b, fb, x->b, local_b, same ? x->va : x->vb);
	if (wasm_ops[x->op].prefix)
		buf_put_byte(b, wasm_ops[x->op].prefix);
	put_leb(b, wasm_ops[x->op].code);
	if (!wasm_ops[x->op].prefix && wasm_ops[x->op].code >= 0x80)
		b->len--;  // one byte, not LEB128
	uint32_t to = x->r == x->a ? 0 : x->r == x->b ? 1
												  : c;
	if (result == SET) {
		put_local(b, 0x21, to);
		put_local(b, 0x20, to);
	} else if (result == TEE) {
		put_local(b, 0x22, x->b && x->r == x->b ? 1 : to);
	}
	buf_put_byte(b, 0x0b);
}

static const uint64_t ints[] = {0, 1, 2, 3, 7, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x12345678, 0x100000000, 0x7fffffffffffffff,
	0x8000000000000000, 0xffffffffffffffff, 0x8000000080000001, 31, 32, 33, 63, 64, 1000003};
static const double doubles[] = {0.0, -0.0, 1.0, -1.0, 0.5, -0.75, 1e10, -1e10, 1e20, 4294967295.0, 2147483648.0, 3.25, INFINITY, -INFINITY, NAN};

static uint64_t value_of(char type, uint32_t i)
{
	uint64_t bits;
	uint32_t low;
	float f = (float)doubles[i % ARRAY_LEN(doubles)];
	switch (type) {
	case 'i':
		return (uint32_t)ints[i % ARRAY_LEN(ints)];
	case 'l':
		return ints[i % ARRAY_LEN(ints)];
	case 'f':
		memcpy(&low, &f, 4);
		return low;
	default:
		memcpy(&bits, &doubles[i % ARRAY_LEN(doubles)], 8);
		return bits;
	}
}

static void compare_forms(const struct instance *x, const struct baseline_options *opt)
{
	struct source s = {.ntypes = 1};
	struct guest g;
	uint64_t args[2] = {x->va, x->vb}, first[4] = {0};
	uint32_t nparams = x->b ? 2 : 1;
	enum trap first_trap = TRAP_NONE;
	if (x->b)
		snprintf(s.types[0], sizeof s.types[0], "%c%c:%c%c%c", x->a, x->b, x->a, x->b, x->r);
	else
		snprintf(s.types[0], sizeof s.types[0], "%c:%c%c", x->a, x->a, x->r);
	for (unsigned frame = 0; frame < 2; frame++)
		for (unsigned fa = 0; fa < FORMS; fa++)
			for (unsigned fb = 0; fb < (x->b ? FORMS : 1u); fb++)
				for (unsigned r = 0; r < RESULTS; r++)
					put_function(&s, x, fa, fb, r, frame, x->va == x->vb && x->a == x->b && (fa ^ fb) & 1);
	guest_init(&g, &s, opt);
	for (uint32_t f = 0; f < g.m->nfuncs; f++) {
		uint64_t got[4] = {0};
		enum trap t = guest_call(&g, f, NULL, args, got);
		if (f == 0) {
			first_trap = t;
			memcpy(first, got, sizeof first);
		}
		bool kept = t || (got[0] == x->va && (nparams == 1 || got[1] == x->vb));
		if (t != first_trap || memcmp(got, first, sizeof got) || !kept)
			fail_msg("%s(%llx, %llx) as form %u (poison %d, verify %d, cpu %x): trap %d, %llx %llx %llx; first %d, %llx %llx %llx", wasm_op_text(x->op),
				(unsigned long long)x->va, (unsigned long long)x->vb, f, opt->poison_upper, opt->verify_upper, opt->cpu, t, (unsigned long long)got[0],
				(unsigned long long)got[1], (unsigned long long)got[2], first_trap, (unsigned long long)first[0], (unsigned long long)first[1],
				(unsigned long long)first[2]);
	}
	guest_release(&g);
}

static void all_forms_of_operands_agree_L10(void **state)
{
	struct baseline_options modes[5];
	uint32_t nmodes = all_modes(modes), round = 0;
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		const char *colon = strchr(info->sig, ':');
		if (!colon || colon == info->sig || colon - info->sig > 2 || !colon[1] || colon[2] || info->access || info->imm != WASM_IMM_NONE)
			continue;
		if (strchr(info->sig, 'v'))
			continue;  // test_vectors
		bool two = colon - info->sig == 2;
		for (uint32_t k = 0; k < 14; k++, round++) {
			struct instance x = {.op = op, .a = info->sig[0], .b = two ? info->sig[1] : 0, .r = colon[1]};
			x.va = value_of(x.a, round * 7 + k);
			x.vb = !two ? 0 : k == 0 ? value_of(x.b, round * 7 + k)
									 : value_of(x.b, k);
			compare_forms(&x, &modes[round % nmodes]);
		}
	}
}

static void every_instruction_has_an_emitter_L24(void **state)
{
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		if (wasm_ops[op].feature & ~WASM_FEATURES_FINISHED)
			continue;
		if (!baseline__emitters[op].emit)
			fail_msg("%s has no emitter", wasm_op_text(op));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_instruction_has_an_emitter_L24),
		cmocka_unit_test(all_forms_of_operands_agree_L10),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
