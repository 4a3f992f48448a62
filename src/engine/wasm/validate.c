// Validates function bodies: rules made from the instruction table, locals, and the main loop.
#include <stdatomic.h>

#include "sys/sys.h"
#include "validate_int.h"

// ---- rules --------------------------------------------------------------------------------------------------------------
static wasm__word sig_type(char letter)
{
	switch (letter) {
	case 'i':
		return WASM_I32;
	case 'l':
		return WASM_I64;
	case 'f':
		return WASM_F32;
	case 'd':
		return WASM_F64;
	case 'v':
		return WASM_V128;
	}
	BUG_ON(true);
}

// Its code is five times as long as its bytes let expect: it counts as a value that is listed.
static bool is_long(enum wasm_op op)
{
	return wasm_ops[op].trap == WASM_OP_TRAP_CONVERSION || (op >= WASM_OP_I32_TRUNC_SAT_F32_S && op <= WASM_OP_I64_TRUNC_SAT_F64_U) ||
		(op >= WASM_OP_I32X4_TRUNC_SAT_F32X4_S && op <= WASM_OP_I32X4_TRUNC_SAT_F64X2_U_ZERO) || op == WASM_OP_I8X16_POPCNT;
}

static uint8_t class_of(enum wasm_op op, size_t n_in, size_t n_out)
{
	switch (op) {
	case WASM_OP_I32_CONST:
		return RULE_I32_CONST;
	case WASM_OP_I64_CONST:
		return RULE_I64_CONST;
	case WASM_OP_F32_CONST:
		return RULE_F32_CONST;
	case WASM_OP_F64_CONST:
		return RULE_F64_CONST;
	case WASM_OP_LOCAL_GET:
		return RULE_LOCAL_GET;
	case WASM_OP_LOCAL_SET:
		return RULE_LOCAL_SET;
	case WASM_OP_LOCAL_TEE:
		return RULE_LOCAL_TEE;
	case WASM_OP_DROP:
		return RULE_DROP;
	case WASM_OP_NOP:
		return RULE_NOP;
	default:
		break;
	}
	if (wasm__hands[op])
		return RULE_HAND;
	BUG_ON(wasm_ops[op].sig[0] == '*');
	if (is_long(op))
		return RULE_LONG;
	if (wasm_ops[op].prefix == 0xfd || wasm_ops[op].prefix == 0xfe)
		return RULE_SIGNATURE;
	if (wasm_ops[op].imm == WASM_IMM_MEMARG)
		return n_out ? RULE_LOAD : RULE_STORE;
	BUG_ON(wasm_ops[op].imm != WASM_IMM_NONE || n_out != 1);
	return n_in == 1 ? RULE_UNARY : RULE_BINARY;
}

static void make_rule(struct rules *t, enum wasm_op op)
{
	const struct wasm_op_info *info = &wasm_ops[op];
	struct rule *rows = info->prefix == 0xfb ? t->fb : info->prefix == 0xfc ? t->fc
		: info->prefix == 0xfd                                              ? t->fd
		: info->prefix == 0xfe                                              ? t->fe
																			: t->bytes;
	struct rule *r = &rows[info->code];
	*r = (struct rule){.op = (uint16_t)op, .out = WASM__BOTTOM};
	if ((t->features & info->feature) != info->feature)
		return;  // RULE_ILLEGAL
	size_t n_in = strcspn(info->sig, ":"), n_out = info->sig[0] == '*' ? 0 : strlen(info->sig + n_in + 1);
	r->class = class_of(op, n_in, n_out);
	r->access = info->access ? (uint8_t)__builtin_ctz(info->access) : 0;
	r->hand = wasm__hands[op];
	if (info->sig[0] == '*' || r->hand)
		return;
	if (n_in)
		r->in = sig_type(info->sig[n_in - 1]);
	for (size_t i = 0; i < n_in; i++)
		r->types[i] = (uint8_t)sig_type(info->sig[i]);
	r->n_in = (uint8_t)n_in;
	if (n_out)
		r->out = sig_type(info->sig[n_in + 1]);
}

static void make_rules(struct rules *t, uint32_t features)
{
	memset(t, 0, sizeof *t);
	t->features = features;
	for (unsigned op = 0; op < WASM_OP_COUNT; op++)
		make_rule(t, (enum wasm_op)op);
	t->bytes[0xfc].class = RULE_PREFIX;
	if (features & WASM_FEATURE_GC)
		t->bytes[0xfb].class = RULE_PREFIX;
	if (features & WASM_FEATURE_SIMD)
		t->bytes[0xfd].class = RULE_PREFIX_VECTOR;
	if (features & WASM_FEATURE_THREADS)
		t->bytes[0xfe].class = RULE_PREFIX_ATOMIC;
}

// What most modules of a process are validated by: those of the features that came first. Making them takes as long as some kilobytes of code.
static const struct rules *common_rules(uint32_t features)
{
	static struct sys_mutex lock = SYS_MUTEX;
	static struct rules common;
	static bool are_made;
	sys_mutex_lock(&lock);
	if (!are_made)
		make_rules(&common, features);
	are_made = true;
	bool fits = common.features == features;
	sys_mutex_unlock(&lock);
	return fits ? &common : NULL;
}

bool wasm__find_rules(struct wasm_scratch *s, uint32_t features)
{
	if (LIKELY(s->rules && s->rules->features == features))
		return true;
	s->rules = common_rules(features);
	if (s->rules)
		return true;
	bool is_new = !s->own;
	if (is_new && !(s->own = mem_alloc(sizeof *s->own)))
		return false;
	if (is_new || s->own->features != features)
		make_rules(s->own, features);
	s->rules = s->own;
	return true;
}

// ---- scratch --------------------------------------------------------------------------------------------------------------
// It lies in one mapping with all its arrays: pages that no body needs are never touched, some must be zero, and nothing of a compilation stays with the heap,
// not even of what is kept, which would hold up what lies below it.
#define LAY(array, n) (s->array = (void *)(at + size), size += (n) * sizeof(*s->array), size = (size + 63) & ~(size_t)63)

// From `at` on, where it is itself, or only: how many bytes it all takes.
static size_t lay(struct wasm_scratch *s, uintptr_t at)
{
	size_t size = (sizeof *s + 63) & ~(size_t)63;
	LAY(weights, LIMIT_LOCALS);
	LAY(is_init, LIMIT_LOCALS);
	LAY(init_order, LIMIT_LOCALS);
	LAY(groups, LOCAL_GROUPS);
	LAY(locals, LIMIT_LOCALS);
	LAY(far, LIMIT_LOCALS);
	LAY(stack, LIMIT_STACK_HEIGHT);
	LAY(frames, LIMIT_CONTROL_DEPTH + 1);
	return size;
}

// The last that was given back, for who asks next: the pages that most bodies need are there then. What large ones touched goes.
static _Atomic(struct wasm_scratch *) spare;
enum { SPARE_BODY = 16 << 10, SPARE_HEIGHT = 1024 };

static bool keep(struct wasm_scratch *s)
{
	struct wasm_scratch *none = NULL;
	mem_free(s->own);
	mem_free(s->check);
	mem_free(s->signatures);
	s->own = NULL;
	s->check = NULL;
	s->signatures = NULL;
	s->rules = NULL;
	return !s->is_large && atomic_compare_exchange_strong(&spare, &none, s);
}

struct wasm_scratch *wasm_scratch_new(void)
{
	struct wasm_scratch *s = atomic_exchange(&spare, NULL);
	if (s)
		return s;
	struct wasm_scratch none;
	s = sys_map_anonymous(lay(&none, 0));
	if (s)
		lay(s, (uintptr_t)s);
	return s;
}

void wasm_scratch_free(struct wasm_scratch *s)
{
	if (!s || keep(s))
		return;
	struct wasm_scratch none;
	BUG_ON(sys_unmap(s, lay(&none, 0)) != 0);
}

// ---- locals ---------------------------------------------------------------------------------------------------------------
static void forget_locals(struct wasm_scratch *s)
{
	memset(s->weights, 0, s->nflat * sizeof(*s->weights));
	while (s->nfar)
		s->weights[s->far[--s->nfar].index] = 0;
	while (s->ninit)
		s->is_init[s->init_order[--s->ninit]] = 0;
	s->nflat = 0;
}

// `nflat`: how many may be flat.
static void add_locals(struct validator *v, uint32_t n, struct wasm_valtype type, uint32_t nflat)
{
	struct wasm_valtype *locals = v->s->locals;
	v->nlocals += n;
	uint32_t i = v->nflat, end = (uint32_t)min_u64(v->nlocals, nflat);
	for (; i < end; i++)  // not through v: a function of a few bytes may have hundreds
		locals[i] = type;
	v->nflat = i;
	if (n && v->ngroups < LOCAL_GROUPS)
		v->s->groups[v->ngroups++] = (struct local_group){v->nlocals, type};
}

static struct wasm_valtype local_type(const struct validator *v, uint32_t local)
{
	if (LIKELY(local < v->nflat))
		return v->s->locals[local];
	uint32_t low = 0, high = v->ngroups - 1;
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (local < v->s->groups[mid].end)
			high = mid;
		else
			low = mid + 1;
	}
	return v->s->groups[low].type;
}

static bool read_locals(struct validator *v, const struct wasm_func_type *t)
{
	uint32_t nflat = FLAT_FEW + t->nparams + FLAT_A_BYTE * (uint32_t)(v->c.end - v->c.p);
	memcpy(v->s->locals, t->params, t->nparams * sizeof(*t->params));
	v->nlocals = v->nflat = v->nparams = t->nparams;
	uint32_t ngroups;
	if (!wasm__count(&v->c, LIMIT_BODY_SIZE, "groups of locals", 2, &ngroups))
		return false;
	for (; ngroups; ngroups--) {
		const uint8_t *at = v->c.p;
		uint32_t n;
		struct wasm_valtype type;
		if (!wasm__u32(&v->c, &n))
			return false;
		if (n > LIMIT_LOCALS - v->nlocals)
			return wasm__fail(&v->c, at, ERR_LIMIT, "too many locals: at most %d are supported, parameters included", LIMIT_LOCALS);
		if (!wasm__valtype(&v->c, v->m->features, v->m->ntypes, &type))
			return false;
		add_locals(v, n, type, nflat);
		v->tracks_init |= n && !wasm__is_defaultable(type);
	}
	return true;
}

// ---- memory operands --------------------------------------------------------------------------------------------------------
// Returns the type of the address, or false. The usual one, two small numbers for memory 0, is read by the main loop.
static bool read_memarg(struct validator *v, const struct rule *r, wasm__word *ret_address)
{
	const uint8_t *at = v->c.p;
	uint32_t align, memory = 0;
	uint64_t offset;
	if (!wasm__u32(&v->c, &align))
		return false;
	if ((align & 0x40) && (v->m->features & WASM_FEATURE_MULTI_MEMORY)) {
		align &= ~0x40u;
		if (!wasm__u32(&v->c, &memory))
			return false;
	}
	if (align >= 0x40)
		return wasm__fail(&v->c, at, ERR_MALFORMED, "malformed memop flags 0x%x", align);
	unsigned bits = v->m->features & WASM_FEATURE_MEMORY64 ? 64 : 32;
	if (!wasm__leb_slow(&v->c, bits, false, &offset))
		return false;
	if (memory >= v->m->nmemories)
		return wasm__fail(&v->c, at, ERR_INVALID, "unknown memory %u", memory);
	if (align > r->access)
		return wasm__fail(&v->c, at, ERR_INVALID, "alignment must not be larger than natural: 2^%u, natural is 2^%u", align, r->access);
	if (align < r->access && wasm_ops[r->op].prefix == 0xfe)
		return wasm__fail(&v->c, at, ERR_INVALID, "alignment of an atomic access must be natural: 2^%u, natural is 2^%u", align, r->access);
	bool is64 = v->m->memories[memory].limits.is64;
	if (!is64 && offset > UINT32_MAX)
		return wasm__fail(&v->c, at, ERR_INVALID, "offset out of range");
	if (memory == 0)
		v->uses_memory0 = true;
	*ret_address = is64 ? WASM_I64 : WASM_I32;
	return true;
}

// ---- the ways that are rarely taken --------------------------------------------------------------------------------------------
static bool slow_numeric(struct validator *v, const struct rule *r)
{
	if (r->class == RULE_LONG && !wasm__list_values(v, 1))
		return false;
	if (r->class == RULE_BINARY && !wasm__pop_want(v, r->in, NULL))
		return false;
	return wasm__pop_want(v, r->in, NULL) && wasm__push(v, r->out);
}

static bool slow_access(struct validator *v, const struct rule *r)
{
	wasm__word address;
	if (!read_memarg(v, r, &address))
		return false;
	if (r->class == RULE_STORE)
		return wasm__pop_want(v, r->in, NULL) && wasm__pop_want(v, address, NULL);
	return wasm__pop_want(v, address, NULL) && wasm__push(v, r->out);
}

static bool slow_const(struct validator *v, const struct rule *r)
{
	uint64_t value;
	size_t fixed = r->class == RULE_F32_CONST ? 4 : r->class == RULE_F64_CONST ? 8
																			   : 0;
	if (fixed) {
		if ((size_t)(v->c.end - v->c.p) < fixed)
			return wasm__fail(&v->c, v->c.end, ERR_MALFORMED, "unexpected end");
		v->c.p += fixed;
	} else if (!wasm__leb_slow(&v->c, r->class == RULE_I32_CONST ? 32 : 64, true, &value)) {
		return false;
	}
	return wasm__push(v, r->out);
}

static void weigh(struct validator *v, uint32_t local)
{
	uint32_t *w = &v->s->weights[local];
	if (__builtin_add_overflow(*w, v->weight, w))
		*w = UINT32_MAX;
}

static bool slow_local(struct validator *v, const struct rule *r)
{
	uint32_t local;
	if (!wasm__index(v, v->nlocals, "local", &local))
		return false;
	struct wasm_valtype declared = local_type(v, local);
	if (local >= v->nflat && !v->s->weights[local])
		v->s->far[v->s->nfar++] = (struct wasm_far_local){local, declared};
	weigh(v, local);
	wasm__word type = wasm__pack(declared);
	if (r->class == RULE_LOCAL_GET) {
		if (v->tracks_init && local >= v->nparams && !v->s->is_init[local] && !wasm__is_defaultable(declared))
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "uninitialized local: local %u is read before it is set", local);
		return wasm__push(v, type);
	}
	if (!wasm__pop_want(v, type, NULL))
		return false;
	if (v->tracks_init)
		wasm__init_local(v, local);
	return r->class == RULE_LOCAL_SET || wasm__push(v, type);
}

// ---- vectors ------------------------------------------------------------------------------------------------------------------
static bool read_lanes(struct validator *v, unsigned n, unsigned max)
{
	for (; n; n--) {
		const uint8_t *at = v->c.p;
		uint8_t lane;
		if (!wasm__byte(&v->c, &lane))
			return false;
		if (lane >= max)
			return wasm__fail(&v->c, at, ERR_INVALID, "invalid lane index: %u of %u", lane, max);
	}
	return true;
}

// The type of the address in *address where there is one.
static bool vector_immediate(struct validator *v, const struct rule *r, uint8_t *address)
{
	wasm__word type;
	switch ((enum wasm_imm)wasm_ops[r->op].imm) {
	case WASM_IMM_NONE:
		return true;
	case WASM_IMM_MEMARG:
	case WASM_IMM_MEMARG_LANE:
		if (!read_memarg(v, r, &type))
			return false;
		*address = (uint8_t)type;
		return wasm_ops[r->op].imm == WASM_IMM_MEMARG || read_lanes(v, 1, 16u >> r->access);
	case WASM_IMM_V128:
		if (v->c.end - v->c.p < 16)
			return wasm__fail(&v->c, v->c.end, ERR_MALFORMED, "unexpected end");
		v->c.p += 16;
		return true;
	case WASM_IMM_SHUFFLE:
		return read_lanes(v, 16, 32);
	case WASM_IMM_LANE_16:
		return read_lanes(v, 1, 16);
	case WASM_IMM_LANE_8:
		return read_lanes(v, 1, 8);
	case WASM_IMM_LANE_4:
		return read_lanes(v, 1, 4);
	default:
		return read_lanes(v, 1, 2);
	}
}

static bool slow_signature(struct validator *v, const struct rule *r, const uint8_t *types)
{
	for (unsigned i = r->n_in; i--;)
		if (!wasm__pop_want(v, types[i], NULL))
			return false;
	return r->out == WASM__BOTTOM || wasm__push(v, r->out);
}

static bool operands(struct validator *v, const struct rule *r, const uint8_t *types)
{
	if (UNLIKELY(!r->n_in || v->sp - v->base < r->n_in))
		return slow_signature(v, r, types);
	wasm__word *at = v->sp - r->n_in;
	for (unsigned i = 0; i < r->n_in; i++)
		if (UNLIKELY(at[i] != types[i]))
			return slow_signature(v, r, types);
	v->sp = at;
	if (r->out != WASM__BOTTOM)
		*v->sp++ = r->out;
	return true;
}

static bool vector(struct validator *v, const struct rule *r)
{
	uint8_t types[3] = {r->types[0], r->types[1], r->types[2]};  // an address is always the first operand
	v->has_vectors = true;
	if (r->class == RULE_LONG && !wasm__list_values(v, 1))
		return false;
	return vector_immediate(v, r, &types[0]) && operands(v, r, types);
}

static bool atomic(struct validator *v, const struct rule *r)
{
	uint8_t types[3] = {r->types[0], r->types[1], r->types[2]};
	const uint8_t *at = v->c.p;
	wasm__word address;
	uint8_t zero;
	if (wasm_ops[r->op].imm == WASM_IMM_ZERO)
		return wasm__byte(&v->c, &zero) && (!zero || wasm__fail(&v->c, at, ERR_MALFORMED, "zero byte expected"));
	if (!read_memarg(v, r, &address))
		return false;
	types[0] = (uint8_t)address;
	if (r->op <= WASM_OP_MEMORY_ATOMIC_WAIT64)
		wasm__count_call(v);
	return operands(v, r, types);
}

static bool slow_drop(struct validator *v)
{
	wasm__word any;
	return wasm__pop(v, &any);
}

static bool illegal(struct validator *v, const struct rule *r, uint32_t code)
{
	// A row that the table has but whose feature is off has its instruction in the rule.
	const struct wasm_op_info *info = &wasm_ops[r->op];
	if (info->code == code && info->feature)
		return wasm__fail_feature(&v->c, v->op_at, info->feature, "illegal opcode");
	uint8_t byte = *v->op_at;
	uint32_t feature = 0;
	if (byte == 0xfe && !(v->m->features & WASM_FEATURE_THREADS))
		feature = WASM_FEATURE_THREADS;
	if (byte == 0xfb && !(v->m->features & WASM_FEATURE_GC))
		feature = WASM_FEATURE_GC;
	if (byte == 0xfd && !(v->m->features & WASM_FEATURE_SIMD))
		feature = WASM_FEATURE_SIMD;
	if (feature)
		return wasm__fail_feature(&v->c, v->op_at, feature, "illegal opcode");
	return wasm__fail(&v->c, v->op_at, ERR_MALFORMED, "illegal opcode 0x%02x%s", code, byte == 0xfc ? " after 0xfc" : byte == 0xfd ? " after 0xfd"
			: byte == 0xfe                                                                                                         ? " after 0xfe"
																																   : "");
}

// ---- main loop -------------------------------------------------------------------------------------------------------------------
// All that is not on the usual way of an instruction: p stands behind the opcode.
static __attribute__((noinline)) bool step_slow(struct validator *v, const struct rule *r)
{
	switch ((enum rule_class)r->class) {
	case RULE_ILLEGAL:
		return illegal(v, r, *v->op_at);
	case RULE_PREFIX: {
		uint32_t code;
		if (!wasm__u32(&v->c, &code))
			return false;
		bool objects = *v->op_at == 0xfb;
		uint32_t rows = objects ? WASM_OP_FB_ROWS : WASM_OP_FC_ROWS;
		const struct rule *of = objects ? v->s->rules->fb : v->s->rules->fc;
		if (code >= rows || of[code].class == RULE_ILLEGAL)
			return illegal(v, code < rows ? &of[code] : r, code);
		r = &of[code];
		return r->class == RULE_HAND ? r->hand(v, r) : slow_numeric(v, r);
	}
	case RULE_PREFIX_VECTOR: {
		uint32_t code;
		if (!wasm__u32(&v->c, &code))
			return false;
		if (code >= WASM_OP_FD_ROWS || v->s->rules->fd[code].class == RULE_ILLEGAL)
			return illegal(v, code < WASM_OP_FD_ROWS ? &v->s->rules->fd[code] : r, code);
		return vector(v, &v->s->rules->fd[code]);
	}
	case RULE_PREFIX_ATOMIC: {
		uint32_t code;
		if (!wasm__u32(&v->c, &code))
			return false;
		if (code >= WASM_OP_FE_ROWS || v->s->rules->fe[code].class == RULE_ILLEGAL)
			return illegal(v, code < WASM_OP_FE_ROWS ? &v->s->rules->fe[code] : r, code);
		return atomic(v, &v->s->rules->fe[code]);
	}
	case RULE_UNARY:
	case RULE_BINARY:
	case RULE_LONG:
		return slow_numeric(v, r);
	case RULE_LOAD:
	case RULE_STORE:
		return slow_access(v, r);
	case RULE_I32_CONST:
	case RULE_I64_CONST:
	case RULE_F32_CONST:
	case RULE_F64_CONST:
		return slow_const(v, r);
	case RULE_LOCAL_GET:
	case RULE_LOCAL_SET:
	case RULE_LOCAL_TEE:
		return slow_local(v, r);
	case RULE_DROP:
		return slow_drop(v);
	case RULE_NOP:
		return true;
	case RULE_HAND:
		return r->hand(v, r);
	case RULE_SIGNATURE:
		return vector(v, r);
	}
	return false;
}

// Each case does the usual form of its instruction with what is in registers and goes on, or breaks before it has changed anything.
static bool run(struct validator *v)
{
	const uint8_t *p = v->c.p, *end = v->c.end;
	wasm__word *sp = v->sp, *base = v->base, *top = v->top;
	const struct rule *rules = v->s->rules->bytes;
	const wasm__word *locals = wasm__words(v->s->locals);
	const uint32_t nlocals = v->nflat;  // all that one byte can name
	const bool small_memory = v->m->nmemories && !v->m->memories[0].limits.is64;
	const bool plain_locals = !v->tracks_init;
	for (;;) {
		if (UNLIKELY(p == end))
			return wasm__fail(&v->c, p, ERR_MALFORMED, "unexpected end: END opcode expected");
		const uint8_t *at = p++;
		const struct rule *r = &rules[*at];
		switch ((enum rule_class)r->class) {
		case RULE_UNARY:
			if (UNLIKELY(sp == base || sp[-1] != r->in))
				break;
			sp[-1] = r->out;
			continue;
		case RULE_BINARY:
			if (UNLIKELY(sp - base < 2 || sp[-1] != r->in || sp[-2] != r->in))
				break;
			sp--;
			sp[-1] = r->out;
			continue;
		case RULE_LOAD:
			if (UNLIKELY(end - p < 2 || p[0] > r->access || p[1] >= 0x80 || !small_memory || sp == base || sp[-1] != WASM_I32))
				break;
			p += 2;
			v->uses_memory0 = true;
			sp[-1] = r->out;
			continue;
		case RULE_STORE:
			if (UNLIKELY(end - p < 2 || p[0] > r->access || p[1] >= 0x80 || !small_memory || sp - base < 2 || sp[-1] != r->in || sp[-2] != WASM_I32))
				break;
			p += 2;
			v->uses_memory0 = true;
			sp -= 2;
			continue;
		case RULE_I32_CONST:
		case RULE_I64_CONST:
			if (UNLIKELY(sp == top || p == end))
				break;
			if (LIKELY(*p < 0x80))
				p++;
			else if (end - p >= 3 && p[1] < 0x80)
				p += 2;
			else if (end - p >= 3 && p[2] < 0x80)
				p += 3;
			else
				break;
			*sp++ = r->out;
			continue;
		case RULE_LOCAL_GET:
			if (UNLIKELY(p == end || *p >= 0x80 || *p >= nlocals || sp == top || !plain_locals))
				break;
			weigh(v, *p);
			*sp++ = locals[*p++];
			continue;
		case RULE_LOCAL_SET:
			if (UNLIKELY(p == end || *p >= 0x80 || *p >= nlocals || sp == base || !plain_locals || sp[-1] != locals[*p]))
				break;
			weigh(v, *p++);
			sp--;
			continue;
		case RULE_LOCAL_TEE:
			if (UNLIKELY(p == end || *p >= 0x80 || *p >= nlocals || sp == base || !plain_locals || sp[-1] != locals[*p]))
				break;
			weigh(v, *p++);
			continue;
		case RULE_DROP:
			if (UNLIKELY(sp == base))
				break;
			sp--;
			continue;
		case RULE_NOP:
			continue;
		default:
			break;
		}
		v->op_at = at;
		v->c.p = p;
		v->sp = sp;
		v->top = top;
		if (UNLIKELY(r->class == RULE_HAND ? !r->hand(v, r) : !step_slow(v, r)))
			return false;
		p = v->c.p;
		sp = v->sp;
		base = v->base;
		top = v->top;
		if (UNLIKELY(v->done))
			return true;
	}
}

bool wasm_validate_func(const struct wasm_module *m, uint32_t index, struct wasm_scratch *s, struct wasm_func_info *ret, struct err *e)
{
	BUG_ON(index < m->nimported_funcs || index >= m->nfuncs);
	const struct wasm_func *f = &m->funcs[index];
	const struct wasm_func_type *t = wasm_func_type_of(m, index);
	const uint8_t *body = m->bytes.ptr + f->offset;
	if (!wasm__find_rules(s, m->features))
		return err_nomem(e);
	struct validator v = {.c = {body, body + f->size, m->bytes.ptr, m->base_offset, e}, .m = m, .op_at = body, .s = s, .weight = 1, .max_control = 1};
	v.values_left = VALUES_FEW + VALUES_A_BYTE * (uint64_t)f->size;
	v.sp = v.base = v.top = s->stack;
	v.frame = s->frames;
	s->frames[0] = (struct frame){.base = s->stack, .results = wasm__words(t->results), .nresults = t->nresults, .weight = 1, .op = WASM_OP_UNREACHABLE};
	forget_locals(s);
	bool ok = read_locals(&v, t) && run(&v);
	s->nflat = v.nflat;
	s->ninit = v.ninit;
	s->is_large |= f->size > SPARE_BODY || v.top - s->stack > SPARE_HEIGHT || s->nfar != 0;
	if (ok && v.c.p != v.c.end)
		ok = wasm__fail(&v.c, v.c.p, ERR_MALFORMED, "section size mismatch: operators remaining after end of function");
	if (!ok) {
		char name[128];
		struct wasm_names names;
		wasm_names_make(&names, m);
		wasm_names_put(&names, index, name, sizeof name);
		wasm_names_release(&names);
		return err_note(e, "function %u (%s)", index, name);
	}
	*ret = (struct wasm_func_info){.nlocals = v.nlocals, .locals = s->locals, .nflat = v.nflat, .far = s->far, .nfar = s->nfar, .local_weight = s->weights};
	ret->call_weight = v.call_weight;
	ret->max_height = (uint32_t)(v.top - s->stack);
	ret->max_control = v.max_control;
	ret->nlisted = VALUES_FEW + VALUES_A_BYTE * (uint64_t)f->size - v.values_left;
	ret->has_loops = v.has_loops;
	ret->uses_memory0 = v.uses_memory0;
	ret->has_calls = v.has_calls;
	ret->has_vectors = v.has_vectors;
	ret->has_handlers = v.has_handlers;
	ret->has_rethrow = v.has_rethrow;
	return true;
}
