// Bodies that are validated and not compiled: whether a body is valid, and nothing else of it. What this file can't decide, or would refuse, is
// validated by validate.c, whose word counts: the errors are its own, and its rules are the specification's algorithm literally.
//
// What is usual (`usual`) is done with the operands' types in a register, and goes on by a jump of its own to the next instruction: which that will be is hardly
// to be guessed, so that a wrong guess is most of what there is to save; nothing is written down that only a compiler wants to know.
//
//  1. Types of operands are three bits (kind + 1), the topmost the lowest, in one word: those of the innermost block only, PLACES of them. Of a block
//     around it the word is in `saved`. Popping from an empty block finds a zero, which is no type.
//  2. A block without parameters and results is usual; of others the word in `saved` has the bit TYPED, and `typed` says their types.
//  3. What isn't usual is done by `unusual`, an operand after the other. References, vectors, exceptions, other memories than a 32-bit one, more operands
//     than PLACES, more blocks than BLOCKS: not here.
#include "validate_int.h"

enum { BITS = 3,
	PLACES = 19,
	BLOCKS = 6000,
	TYPES_MAX = 65536,   // of a module; what is kept of each is a signature
	LOCALS_A_BYTE = 16,  // as many may be listed, whatever a body declares
	READ_AHEAD = 16 };   // bytes behind a body that are read, and not looked at
_Static_assert((BLOCKS + 1) * PLACES < LIMIT_STACK_HEIGHT && BLOCKS < LIMIT_CONTROL_DEPTH, "what passes here is within the limits");

#define OPERANDS ((1ull << BITS * PLACES) - 1)
#define NEARLY_FULL (BITS * (PLACES - 1))
// In `saved`, beside the operands:
#define TYPED (1ull << 63)
#define IF (1ull << 62)    // and no else yet
#define DEAD (1ull << 61)  // the rest of the block isn't reached

// What `usual` does with an opcode: where it jumps to.
#define WAYS(WAY)               \
	WAY(OTHER, other)           \
	WAY(GET, get)               \
	WAY(SET, set)               \
	WAY(TEE, tee)               \
	WAY(GLOBAL_GET, global_get) \
	WAY(GLOBAL_SET, global_set) \
	WAY(CONST, constant)        \
	WAY(UNARY, unary)           \
	WAY(BINARY, binary)         \
	WAY(LOAD, load)             \
	WAY(STORE, store)           \
	WAY(BLOCK, block)           \
	WAY(BEGIN_IF, begin_if)     \
	WAY(END, end)               \
	WAY(BR, br)                 \
	WAY(BR_IF, br_if)           \
	WAY(CALL, call)             \
	WAY(SELECT, select)         \
	WAY(DROP, drop)
#define WAY_NAME(name, label) name,
#define WAY_LABEL(name, label) &&label,
enum way { WAYS(WAY_NAME) };
enum { NO = 0xff };  // found: none, or one that isn't usual

struct types {
	uint64_t word, mask;  // of operands that are they; of UNFIT ones the mask is of more than there are
	uint32_t n, bits;     // UNFIT: too many, or not numbers only
};
enum { UNFIT = UINT32_MAX };
static const struct types unfit = {.word = UINT64_MAX, .mask = UINT64_MAX, .n = UNFIT};
struct wasm__signature {
	struct types params, results;
};
struct typed {
	struct types params, results;
	bool is_loop;
};

struct wasm__check {
	const struct wasm_module *m;
	const struct rule *rules, *rules_fc;
	uint64_t readable;           // offset of the end of the last body
	bool has_memory;             // its first memory has 32-bit addresses
	const struct wasm__signature *signatures;
	// By opcode: where to, the types of its operands, what turns the lowest of them into the result.
	const void *targets[256];
	uint8_t ways[256];
	uint8_t expect[256], turn[256], access[256];
	uint8_t globals[128], settable[128];
	// Of the body.
	struct wasm__cursor c;
	uint64_t operands;
	uint32_t depth;              // blocks that are open, the function itself included
	uint32_t nlocals;
	uint64_t listed;             // as validate.c counts it
	bool done;
	uint8_t *label;              // of the innermost block: NO if it takes values. Those around it follow
	uint64_t saved[BLOCKS + 2];  // by depth - 1: operands around it
	struct typed typed[BLOCKS + 2];
	uint8_t labels[BLOCKS + 2 + 128];
	uint8_t locals[LIMIT_LOCALS + 128];
};

// ---- tables ---------------------------------------------------------------------------------------------------------------
static unsigned type_bits(struct wasm_valtype t)
{
	return t.kind <= WASM_V128 ? t.kind + 1u : 0;
}

static struct types types_of(const struct wasm_valtype *types, uint32_t n)
{
	struct types t = {.n = n, .bits = BITS * n};
	bool fits = n <= PLACES;
	for (uint32_t i = 0; fits && i < n; i++) {
		fits = type_bits(types[i]) != 0;
		t.word = t.word << BITS | type_bits(types[i]);
	}
	t.mask = (1ull << (fits ? t.bits : 0)) - 1;
	return fits ? t : unfit;
}

static enum way way_by_hand(enum wasm_op op)
{
	switch (op) {
	case WASM_OP_BLOCK:
	case WASM_OP_LOOP:
		return BLOCK;
	case WASM_OP_IF:
		return BEGIN_IF;
	case WASM_OP_END:
		return END;
	case WASM_OP_BR:
		return BR;
	case WASM_OP_BR_IF:
		return BR_IF;
	case WASM_OP_CALL:
		return CALL;
	case WASM_OP_SELECT:
		return SELECT;
	case WASM_OP_GLOBAL_GET:
		return GLOBAL_GET;
	case WASM_OP_GLOBAL_SET:
		return GLOBAL_SET;
	default:
		return OTHER;
	}
}

static enum way way_of(const struct wasm__check *k, const struct rule *r)
{
	switch ((enum rule_class)r->class) {
	case RULE_UNARY:
		return UNARY;
	case RULE_BINARY:
		return BINARY;
	case RULE_LOAD:
		return k->has_memory ? LOAD : OTHER;
	case RULE_STORE:
		return k->has_memory ? STORE : OTHER;
	case RULE_I32_CONST:
	case RULE_I64_CONST:
		return CONST;
	case RULE_LOCAL_GET:
		return GET;
	case RULE_LOCAL_SET:
		return SET;
	case RULE_LOCAL_TEE:
		return TEE;
	case RULE_DROP:
		return DROP;
	case RULE_HAND:
		return way_by_hand((enum wasm_op)r->op);
	default:
		return OTHER;
	}
}

static const uint8_t *usual(struct wasm__check *k, const uint8_t *p, const uint8_t *stop);

static void make_ops(struct wasm__check *k)
{
	for (unsigned i = 0; i < 256; i++) {
		const struct rule *r = &k->rules[i];
		enum way way = way_of(k, r);
		unsigned in = (unsigned)r->in + 1, out = r->out == WASM__BOTTOM ? 0 : (unsigned)r->out + 1;
		k->ways[i] = (uint8_t)way;
		k->expect[i] = (uint8_t)(way == BINARY ? in << BITS | in : way == STORE ? (WASM_I32 + 1) << BITS | in
				: way == LOAD                                                   ? WASM_I32 + 1
																				: in);
		k->turn[i] = (uint8_t)(way == CONST ? out : way == LOAD ? (WASM_I32 + 1) ^ out
																: in ^ out);
		k->access[i] = r->access;
	}
	usual(k, NULL, NULL);
}

static void make_globals(struct wasm__check *k)
{
	memset(k->globals, NO, sizeof k->globals);
	memset(k->settable, NO, sizeof k->settable);
	for (uint32_t i = 0; i < k->m->nglobals && i < sizeof k->globals; i++) {
		const struct wasm_global_type *t = &k->m->globals[i].type;
		unsigned type = type_bits(t->type);
		k->globals[i] = (uint8_t)(type ? type : NO);
		k->settable[i] = t->mutable ? k->globals[i] : NO;
	}
}

// NULL: of too many types, or memory is out.
static struct wasm__signature *signatures_of(const struct wasm_module *m)
{
	struct wasm__signature *all = m->ntypes <= TYPES_MAX ? mem_alloc((m->ntypes + 1) * sizeof *all) : NULL;
	for (uint32_t i = 0; all && i < m->ntypes; i++) {
		const struct wasm_func_type *t = &m->types[i].func;
		bool is_func = m->types[i].form == WASM_FORM_FUNC;
		all[i] = is_func ? (struct wasm__signature){types_of(t->params, t->nparams), types_of(t->results, t->nresults)} : (struct wasm__signature){unfit, unfit};
	}
	return all;
}

bool wasm_check_begin(struct wasm_scratch *s, const struct wasm_module *m, struct err *e)
{
	struct wasm__check *k = s->check = s->check ? s->check : mem_alloc(sizeof *k);
	if (!k || !wasm__find_rules(s, m->features))
		return err_nomem(e);
	mem_free(s->signatures);
	k->signatures = s->signatures = signatures_of(m);
	k->m = m;
	k->rules = s->rules->bytes;
	k->rules_fc = s->rules->fc;
	k->readable = m->nfuncs > m->nimported_funcs ? m->funcs[m->nfuncs - 1].offset + m->funcs[m->nfuncs - 1].size : 0;
	k->has_memory = m->nmemories && !m->memories[0].limits.is64;
	make_ops(k);
	make_globals(k);
	return true;
}

// ---- the usual way ----------------------------------------------------------------------------------------------------------
// The length of a number of at most four bytes; 0: it is longer.
static inline unsigned length_of(const uint8_t *p)
{
	uint32_t bytes;
	memcpy(&bytes, p, sizeof bytes);
	bytes = ~bytes & 0x80808080u;
	return bytes ? ((unsigned)__builtin_ctz(bytes) + 1) / 8 : 0;
}

// Of at most four bytes.
static inline bool call_usual(struct wasm__check *k, const uint8_t *p, uint64_t *operands)
{
	uint32_t func = wasm_read_u32(&p);
	if (func >= k->m->nfuncs)
		return false;
	const struct wasm__signature *s = &k->signatures[k->m->funcs[func].type];
	if (((*operands ^ s->params.word) & s->params.mask) || s->results.n == UNFIT)
		return false;
	uint64_t left = *operands >> s->params.bits;
	if (left >> (BITS * PLACES - s->results.bits))
		return false;
	*operands = left << s->results.bits | s->results.word;
	k->listed += s->params.n + s->results.n;
	return true;
}

#define NEXT(length)             \
	do {                         \
		p += (length);           \
		if (UNLIKELY(p >= stop)) \
			goto other;          \
		goto * k->targets[*p];   \
	} while (0)
// What the way is not for is left to `unusual`, with nothing done.
#define ONLY_IF(x)          \
	do {                    \
		if (UNLIKELY(!(x))) \
			goto other;     \
	} while (0)
// The index behind the opcode, of one byte; what it finds.
#define FIND(table)       \
	ONLY_IF(p[1] < 0x80); \
	found = (table)[p[1]]

#define PUSH_FOUND(table)                               \
	FIND(table);                                        \
	ONLY_IF(found != NO && !(operands >> NEARLY_FULL)); \
	operands = operands << BITS | found;                \
	NEXT(2)
#define POP_FOUND(table)              \
	FIND(table);                      \
	ONLY_IF(found == (operands & 7)); \
	operands >>= BITS;                \
	NEXT(2)

// As far as it goes, `stop` at most, behind which READ_AHEAD bytes are there. p NULL: makes the targets.
static const uint8_t *usual(struct wasm__check *k, const uint8_t *p, const uint8_t *stop)
{
	static const void *const ways[] = {WAYS(WAY_LABEL)};
	if (!p) {
		for (unsigned i = 0; i < 256; i++)
			k->targets[i] = ways[k->ways[i]];
		return NULL;
	}
	uint64_t operands = k->operands, *saved = k->saved + k->depth;
	uint8_t *labels = k->label;
	unsigned found, length;
	NEXT(0);
get:
	PUSH_FOUND(k->locals);
global_get:
	PUSH_FOUND(k->globals);
set:
	POP_FOUND(k->locals);
global_set:
	POP_FOUND(k->settable);
tee:
	FIND(k->locals);
	ONLY_IF(found == (operands & 7));
	NEXT(2);
constant:
	length = length_of(p + 1);
	ONLY_IF(length && !(operands >> NEARLY_FULL));
	operands = operands << BITS | k->turn[*p];
	NEXT(1 + length);
unary:
	ONLY_IF((operands & 7) == k->expect[*p]);
	operands ^= k->turn[*p];
	NEXT(1);
binary:
	ONLY_IF((operands & 63) == k->expect[*p]);
	operands = operands >> BITS ^ k->turn[*p];
	NEXT(1);
load:
	length = length_of(p + 2);
	ONLY_IF((operands & 7) == k->expect[*p] && p[1] <= k->access[*p] && length);
	operands ^= k->turn[*p];
	NEXT(2 + length);
store:
	length = length_of(p + 2);
	ONLY_IF((operands & 63) == k->expect[*p] && p[1] <= k->access[*p] && length);
	operands >>= 2 * BITS;
	NEXT(2 + length);
block:
	ONLY_IF(p[1] == 0x40);
	*saved++ = operands;
	*--labels = 0;
	operands = 0;
	NEXT(2);
begin_if:
	ONLY_IF(p[1] == 0x40 && (operands & 7) == WASM_I32 + 1);
	*saved++ = operands >> BITS | IF;
	*--labels = 0;
	operands = 0;
	NEXT(2);
end:
	ONLY_IF(!operands && !(saved[-1] & TYPED));
	operands = *--saved & OPERANDS;
	labels++;
	NEXT(1);
br:
	FIND(labels);
	ONLY_IF(!found);
	saved[-1] |= DEAD;
	operands = 0;
	NEXT(2);
br_if:
	FIND(labels);
	ONLY_IF(!found && (operands & 7) == WASM_I32 + 1);
	operands >>= BITS;
	NEXT(2);
select:
	found = operands >> BITS & 7;
	ONLY_IF((operands & 7) == WASM_I32 + 1 && found && found == (operands >> 2 * BITS & 7));
	operands >>= 2 * BITS;
	NEXT(1);
drop:
	ONLY_IF(operands);
	operands >>= BITS;
	NEXT(1);
call:
	length = length_of(p + 1);
	ONLY_IF(length && call_usual(k, p + 1, &operands));
	NEXT(1 + length);
other:
	k->operands = operands;
	k->depth = (uint32_t)(saved - k->saved);
	k->label = labels;
	return p;
}

// ---- the other way ------------------------------------------------------------------------------------------------------------
// false: it isn't known here whether it is right.
static bool pop(struct wasm__check *k, unsigned want)
{
	unsigned have = k->operands & 7;
	k->operands >>= BITS;
	return have ? have == want : (k->saved[k->depth - 1] & DEAD) != 0;
}

static bool pop_all(struct wasm__check *k, const struct types *t)
{
	if (UNLIKELY(t->n == UNFIT))
		return false;
	k->listed += t->n;
	if (LIKELY(((k->operands ^ t->word) & t->mask) == 0)) {
		k->operands >>= t->bits;
		return true;
	}
	for (uint32_t i = 0; i < t->n; i++)
		if (!pop(k, t->word >> BITS * i & 7))
			return false;
	return true;
}

static bool push_all(struct wasm__check *k, const struct types *t)
{
	if (UNLIKELY(t->n == UNFIT || k->operands >> (BITS * PLACES - t->bits)))
		return false;
	k->listed += t->n;
	k->operands = k->operands << t->bits | t->word;
	return true;
}

static bool push(struct wasm__check *k, unsigned type)
{
	bool has_room = !(k->operands >> NEARLY_FULL);
	k->operands = k->operands << BITS | type;
	return has_room;
}

static bool end_of_reach(struct wasm__check *k)
{
	k->operands = 0;
	k->saved[k->depth - 1] |= DEAD;
	return true;
}

static bool read_index(struct wasm__check *k, uint32_t n, uint32_t *ret)
{
	return wasm__u32(&k->c, ret) && *ret < n;
}

static bool read_zero(struct wasm__check *k)
{
	return k->c.p < k->c.end && *k->c.p++ == 0;
}

static bool read_type(struct wasm__check *k, unsigned *ret)
{
	uint8_t byte;
	if (!wasm__byte(&k->c, &byte) || byte < 0x7b || byte > 0x7f)
		return false;
	*ret = 0x80u - byte;  // i32 is 0x7f
	return byte != 0x7b || (k->m->features & WASM_FEATURE_SIMD);
}

// ---- blocks -----------------------------------------------------------------------------------------------------------------
static bool read_block_type(struct wasm__check *k, struct typed *ret)
{
	unsigned type;
	uint64_t index;
	if (k->c.p == k->c.end)
		return false;
	if (*k->c.p == 0x40) {
		k->c.p++;
		return true;
	}
	if ((*k->c.p & 0xc0) == 0x40) {
		if (!read_type(k, &type))
			return false;
		ret->results = (struct types){.word = type, .mask = (1u << BITS) - 1, .n = 1, .bits = BITS};
		return true;
	}
	if (!wasm__leb_slow(&k->c, 33, true, &index) || index >= k->m->ntypes || !(k->m->features & WASM_FEATURE_MULTI_VALUE))
		return false;
	ret->params = k->signatures[index].params;
	ret->results = k->signatures[index].results;
	return true;
}

static bool open_block(struct wasm__check *k, uint8_t opcode)
{
	struct typed t = {.is_loop = opcode == 0x03};
	bool is_if = opcode == 0x04;
	if (k->depth >= BLOCKS || !read_block_type(k, &t) || (is_if && !pop(k, WASM_I32 + 1)) || !pop_all(k, &t.params))
		return false;
	k->saved[k->depth] = k->operands | (t.params.n || t.results.n ? TYPED : 0) | (is_if ? IF : 0);
	k->typed[k->depth++] = t;
	*--k->label = (t.is_loop ? t.params.n : t.results.n) ? NO : 0;
	k->operands = 0;
	return push_all(k, &t.params);
}

static const struct typed *innermost(const struct wasm__check *k)
{
	static const struct typed none;
	return k->saved[k->depth - 1] & TYPED ? &k->typed[k->depth - 1] : &none;
}

static bool else_block(struct wasm__check *k)
{
	const struct typed *t = innermost(k);
	if (!(k->saved[k->depth - 1] & IF) || !pop_all(k, &t->results) || k->operands)
		return false;
	k->saved[k->depth - 1] &= ~(IF | DEAD);
	*k->label = t->results.n ? NO : 0;
	return push_all(k, &t->params);
}

static bool end_block(struct wasm__check *k)
{
	const struct typed *t = innermost(k);
	uint64_t around = k->saved[k->depth - 1];
	if (!pop_all(k, &t->results) || k->operands)
		return false;
	if ((around & IF) && (t->params.n != t->results.n || t->params.word != t->results.word))
		return false;
	if (k->depth == 1) {
		k->done = true;
		return true;
	}
	k->depth--;
	k->label++;
	k->operands = around & OPERANDS;
	return push_all(k, &t->results);
}

static bool read_label(struct wasm__check *k, struct types *ret)
{
	uint32_t i;
	if (!read_index(k, k->depth, &i))
		return false;
	const struct typed *t = &k->typed[k->depth - 1 - i];
	*ret = (struct types){0};
	if (k->label[i] & NO)
		*ret = t->is_loop ? t->params : t->results;
	return true;
}

static bool branch_table(struct wasm__check *k)
{
	uint32_t n;
	struct types first, l;
	if (!wasm__u32(&k->c, &n) || n >= (size_t)(k->c.end - k->c.p) || !pop(k, WASM_I32 + 1) || !read_label(k, &first) || first.n == UNFIT)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!read_label(k, &l) || l.n != first.n || l.word != first.word)
			return false;
	k->listed += (uint64_t)first.n * ((uint64_t)n + 1);
	return pop_all(k, &first) && end_of_reach(k);
}

static bool branch(struct wasm__check *k, uint8_t opcode)
{
	struct types l;
	if (opcode == 0x0f)
		return pop_all(k, &k->typed[0].results) && end_of_reach(k);
	if (opcode == 0x0e)
		return branch_table(k);
	if (!read_label(k, &l))
		return false;
	if (opcode == 0x0d)
		return pop(k, WASM_I32 + 1) && pop_all(k, &l) && push_all(k, &l);
	return pop_all(k, &l) && end_of_reach(k);
}

// ---- the rest ---------------------------------------------------------------------------------------------------------------
static bool call(struct wasm__check *k, bool indirect)
{
	uint32_t type, table;
	if (indirect) {
		if (!read_index(k, k->m->ntypes, &type))
			return false;
		bool zero = k->c.p < k->c.end && *k->c.p == 0;
		if (!read_index(k, k->m->ntables, &table) || (!zero && !(k->m->features & WASM_FEATURE_REFERENCE_TYPES)))
			return false;
		const struct wasm_table_type *t = &k->m->tables[table].type;
		if (!wasm__matches(k->m, wasm__pack(t->elem), WASM__REF(1, WASM_HEAP_FUNC, 0)) || !pop(k, t->limits.is64 ? WASM_I64 + 1 : WASM_I32 + 1))
			return false;
		k->listed++;
	} else {
		if (!read_index(k, k->m->nfuncs, &type))
			return false;
		type = k->m->funcs[type].type;
	}
	return pop_all(k, &k->signatures[type].params) && push_all(k, &k->signatures[type].results);
}

static bool select_one(struct wasm__check *k)
{
	if (!pop(k, WASM_I32 + 1))
		return false;
	unsigned a = k->operands & 7, b = k->operands >> BITS & 7;
	k->operands >>= BITS;
	return a && a == b;
}

static bool drop(struct wasm__check *k)
{
	return pop(k, k->operands & 7);
}

static bool local(struct wasm__check *k, uint8_t opcode)
{
	uint32_t i;
	if (!read_index(k, k->nlocals, &i))
		return false;
	unsigned type = k->locals[i];
	if (opcode == 0x20)
		return push(k, type);
	return pop(k, type) && (opcode == 0x21 || push(k, type));
}

static bool global(struct wasm__check *k, uint8_t opcode)
{
	uint32_t i;
	if (!read_index(k, k->m->nglobals, &i))
		return false;
	const struct wasm_global_type *t = &k->m->globals[i].type;
	unsigned type = type_bits(t->type);
	if (!type)
		return false;
	return opcode == 0x23 ? push(k, type) : t->mutable && pop(k, type);
}

static bool access_memory(struct wasm__check *k, const struct rule *r)
{
	uint8_t align;
	uint64_t offset;
	if (!k->has_memory || !wasm__byte(&k->c, &align) || align > r->access ||
		!wasm__leb_slow(&k->c, k->m->features & WASM_FEATURE_MEMORY64 ? 64 : 32, false, &offset) || offset > UINT32_MAX)
		return false;
	if (r->class == RULE_STORE && !pop(k, (unsigned)r->in + 1))
		return false;
	return pop(k, WASM_I32 + 1) && (r->class == RULE_STORE || push(k, (unsigned)r->out + 1));
}

static bool constant(struct wasm__check *k, const struct rule *r)
{
	uint64_t value;
	size_t fixed = r->class == RULE_F32_CONST ? 4 : r->class == RULE_F64_CONST ? 8
																			   : 0;
	if (fixed > (size_t)(k->c.end - k->c.p) || (!fixed && !wasm__leb_slow(&k->c, r->class == RULE_I32_CONST ? 32 : 64, true, &value)))
		return false;
	k->c.p += fixed;
	return push(k, (unsigned)r->out + 1);
}

static bool numeric(struct wasm__check *k, const struct rule *r)
{
	k->listed += r->class == RULE_LONG;
	if (r->class == RULE_BINARY && !pop(k, (unsigned)r->in + 1))
		return false;
	return pop(k, (unsigned)r->in + 1) && push(k, (unsigned)r->out + 1);
}

// memory.copy and memory.fill, and conversions.
static bool prefixed(struct wasm__check *k)
{
	uint32_t code;
	if (!read_index(k, WASM_OP_FC_ROWS, &code))
		return false;
	const struct rule *r = &k->rules_fc[code];
	if (r->class == RULE_LONG)
		return numeric(k, r);
	if (r->class == RULE_ILLEGAL || !k->has_memory || (r->op != WASM_OP_MEMORY_COPY && r->op != WASM_OP_MEMORY_FILL))
		return false;
	return read_zero(k) && (r->op == WASM_OP_MEMORY_FILL || read_zero(k)) && pop(k, WASM_I32 + 1) && pop(k, WASM_I32 + 1) && pop(k, WASM_I32 + 1);
}

static bool memory_size(struct wasm__check *k, bool grows)
{
	return k->has_memory && read_zero(k) && (!grows || pop(k, WASM_I32 + 1)) && push(k, WASM_I32 + 1);
}

static bool by_hand(struct wasm__check *k, const struct rule *r, uint8_t opcode)
{
	switch ((enum wasm_op)r->op) {
	case WASM_OP_UNREACHABLE:
		return end_of_reach(k);
	case WASM_OP_BLOCK:
	case WASM_OP_LOOP:
	case WASM_OP_IF:
		return open_block(k, opcode);
	case WASM_OP_ELSE:
		return else_block(k);
	case WASM_OP_END:
		return end_block(k);
	case WASM_OP_BR:
	case WASM_OP_BR_IF:
	case WASM_OP_BR_TABLE:
	case WASM_OP_RETURN:
		return branch(k, opcode);
	case WASM_OP_CALL:
	case WASM_OP_CALL_INDIRECT:
		return call(k, r->op == WASM_OP_CALL_INDIRECT);
	case WASM_OP_SELECT:
		return select_one(k);
	case WASM_OP_GLOBAL_GET:
	case WASM_OP_GLOBAL_SET:
		return global(k, opcode);
	case WASM_OP_MEMORY_SIZE:
	case WASM_OP_MEMORY_GROW:
		return memory_size(k, r->op == WASM_OP_MEMORY_GROW);
	default:
		return false;
	}
}

// The instruction at the cursor.
static __attribute__((noinline)) bool unusual(struct wasm__check *k)
{
	uint8_t opcode = *k->c.p++;
	const struct rule *r = &k->rules[opcode];
	switch ((enum rule_class)r->class) {
	case RULE_HAND:
		return by_hand(k, r, opcode);
	case RULE_UNARY:
	case RULE_BINARY:
	case RULE_LONG:
		return numeric(k, r);
	case RULE_LOAD:
	case RULE_STORE:
		return access_memory(k, r);
	case RULE_I32_CONST:
	case RULE_I64_CONST:
	case RULE_F32_CONST:
	case RULE_F64_CONST:
		return constant(k, r);
	case RULE_LOCAL_GET:
	case RULE_LOCAL_SET:
	case RULE_LOCAL_TEE:
		return local(k, opcode);
	case RULE_DROP:
		return drop(k);
	case RULE_NOP:
		return true;
	case RULE_PREFIX:
		return opcode == 0xfc && prefixed(k);
	default:
		return false;
	}
}

// ---- a body -----------------------------------------------------------------------------------------------------------------
static bool read_locals(struct wasm__check *k, const struct wasm_func_type *t, uint32_t size)
{
	uint32_t groups, n;
	unsigned type;
	k->nlocals = t->nparams;
	for (uint32_t i = 0; i < t->nparams; i++)
		if (!(k->locals[i] = (uint8_t)type_bits(t->params[i])))
			return false;
	if (!wasm__u32(&k->c, &groups))
		return false;
	for (; groups; groups--) {
		if (!wasm__u32(&k->c, &n) || !read_type(k, &type) || n > LIMIT_LOCALS - k->nlocals || n > LOCALS_A_BYTE * (uint64_t)size)
			return false;
		memset(k->locals + k->nlocals, (int)type, n);
		k->nlocals += n;
	}
	memset(k->locals + k->nlocals, NO, 128);
	return true;
}

static bool body(struct wasm__check *k, const struct wasm_func *f)
{
	const struct wasm_func_type *t = &k->m->types[f->type].func;
	const uint8_t *p = k->m->bytes.ptr + f->offset;
	k->c = (struct wasm__cursor){.p = p, .end = p + f->size, .start = k->m->bytes.ptr};
	if (!read_locals(k, t, f->size))
		return false;
	k->operands = 0;
	k->done = false;
	k->depth = 1;
	k->saved[0] = TYPED;
	k->typed[0] = (struct typed){.results = k->signatures[f->type].results};
	k->label = k->labels + BLOCKS + 1;
	memset(k->label + 1, NO, 127);
	*k->label = k->typed[0].results.n ? NO : 0;
	while (k->c.p < k->c.end) {
		k->c.p = usual(k, k->c.p, k->c.p + min_u64((uint64_t)(k->c.end - k->c.p), BLOCKS - k->depth + 1));
		if (k->c.p >= k->c.end || k->depth >= BLOCKS || !unusual(k))
			return false;
		if (k->done)
			return k->c.p == k->c.end;
	}
	return false;
}

bool wasm__check_passes(struct wasm__check *k, uint32_t index)
{
	const struct wasm_func *f = &k->m->funcs[index];
	k->listed = 0;
	return k->signatures && f->offset + f->size + READ_AHEAD <= k->readable && body(k, f) && k->listed <= VALUES_FEW + VALUES_A_BYTE * (uint64_t)f->size;
}

bool wasm_check_func(struct wasm_scratch *s, uint32_t index, uint64_t *ret_listed, struct err *e)
{
	struct wasm_func_info info;
	if (wasm__check_passes(s->check, index)) {
		*ret_listed = s->check->listed;
		return true;
	}
	if (!wasm_validate_func(s->check->m, index, s, &info, e))
		return false;
	*ret_listed = info.nlisted;
	return true;
}
