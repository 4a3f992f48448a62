// Validates function bodies: rules made from the instruction table, locals, and the main loop.
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
	}
	BUG_ON(true);
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
	if (wasm_ops[op].imm == WASM_IMM_MEMARG)
		return n_out ? RULE_LOAD : RULE_STORE;
	BUG_ON(wasm_ops[op].imm != WASM_IMM_NONE || n_out != 1);
	return n_in == 1 ? RULE_UNARY : RULE_BINARY;
}

static void make_rule(struct wasm_scratch *s, enum wasm_op op)
{
	const struct wasm_op_info *info = &wasm_ops[op];
	struct rule *r = info->prefix == 0xfc ? &s->rules_fc[info->code] : &s->rules[info->code];
	*r = (struct rule){.op = (uint16_t)op};
	if ((s->features & info->feature) != info->feature)
		return;  // RULE_ILLEGAL
	size_t n_in = strcspn(info->sig, ":"), n_out = info->sig[0] == '*' ? 0 : strlen(info->sig + n_in + 1);
	r->class = class_of(op, n_in, n_out);
	r->access = info->access ? (uint8_t)__builtin_ctz(info->access) : 0;
	r->hand = wasm__hands[op];
	if (info->sig[0] == '*')
		return;
	if (n_in)
		r->in = sig_type(info->sig[n_in - 1]);
	if (n_out)
		r->out = sig_type(info->sig[n_in + 1]);
}

static void make_rules(struct wasm_scratch *s, uint32_t features)
{
	if (s->has_rules && s->features == features)
		return;
	s->has_rules = true;
	s->features = features;
	memset(s->rules, 0, sizeof(s->rules));
	memset(s->rules_fc, 0, sizeof(s->rules_fc));
	for (unsigned op = 0; op < WASM_OP_COUNT; op++)
		make_rule(s, (enum wasm_op)op);
	s->rules[0xfc].class = RULE_PREFIX;
}

// ---- scratch --------------------------------------------------------------------------------------------------------------
struct wasm_scratch *wasm_scratch_new(void)
{
	struct wasm_scratch *s = mem_zalloc(sizeof(*s));
	if (!s)
		return NULL;
	// Pages that no body needs are never touched.
	s->stack = mem_alloc(LIMIT_STACK_HEIGHT * sizeof(*s->stack));
	s->frames = mem_alloc((LIMIT_CONTROL_DEPTH + 1) * sizeof(*s->frames));
	s->locals = mem_alloc(LIMIT_LOCALS * sizeof(*s->locals));
	s->weights = mem_alloc(LIMIT_LOCALS * sizeof(*s->weights));
	s->is_init = mem_alloc(LIMIT_LOCALS);
	s->init_order = mem_alloc(LIMIT_LOCALS * sizeof(*s->init_order));
	if (s->stack && s->frames && s->locals && s->weights && s->is_init && s->init_order)
		return s;
	wasm_scratch_free(s);
	return NULL;
}

void wasm_scratch_free(struct wasm_scratch *s)
{
	if (!s)
		return;
	mem_free(s->stack);
	mem_free(s->frames);
	mem_free(s->locals);
	mem_free(s->weights);
	mem_free(s->is_init);
	mem_free(s->init_order);
	mem_free(s);
}

// ---- locals ---------------------------------------------------------------------------------------------------------------
static void add_locals(struct validator *v, uint32_t n, struct wasm_valtype type)
{
	struct wasm_valtype *at = v->s->locals + v->nlocals;
	for (uint32_t i = 0; i < n; i++)
		at[i] = type;
	v->nlocals += n;
}

static bool read_locals(struct validator *v, const struct wasm_func_type *t)
{
	memcpy(v->s->locals, t->params, t->nparams * sizeof(*t->params));
	v->nlocals = t->nparams;
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
		add_locals(v, n, type);
		v->tracks_init |= n && !wasm__is_defaultable(type);
	}
	if (v->tracks_init)
		for (uint32_t i = 0; i < v->nlocals; i++)
			v->s->is_init[i] = i < t->nparams || wasm__is_defaultable(v->s->locals[i]);
	memset(v->s->weights, 0, v->nlocals * sizeof(*v->s->weights));
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
	weigh(v, local);
	wasm__word type = wasm__pack(v->s->locals[local]);
	if (r->class == RULE_LOCAL_GET) {
		if (v->tracks_init && !v->s->is_init[local])
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "uninitialized local: local %u is read before it is set", local);
		return wasm__push(v, type);
	}
	if (!wasm__pop_want(v, type, NULL))
		return false;
	if (v->tracks_init)
		wasm__init_local(v, local);
	return r->class == RULE_LOCAL_SET || wasm__push(v, type);
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
	uint32_t feature = byte == 0xfd ? WASM_FEATURE_SIMD : byte == 0xfe ? WASM_FEATURE_THREADS
		: byte == 0xfb || byte == 0xd3                                 ? WASM_FEATURE_GC
																	   : 0;
	if ((byte >= 0x06 && byte <= 0x0a) || byte == 0x18 || byte == 0x19 || byte == 0x1f)
		feature = WASM_FEATURE_EXCEPTIONS;
	if (feature)
		return wasm__fail_feature(&v->c, v->op_at, feature, "illegal opcode");
	return wasm__fail(&v->c, v->op_at, ERR_MALFORMED, "illegal opcode 0x%02x%s", code, byte == 0xfc ? " after 0xfc" : "");
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
		if (code >= WASM_OP_FC_ROWS || v->s->rules_fc[code].class == RULE_ILLEGAL)
			return illegal(v, code < WASM_OP_FC_ROWS ? &v->s->rules_fc[code] : r, code);
		r = &v->s->rules_fc[code];
		return r->class == RULE_HAND ? r->hand(v, r) : slow_numeric(v, r);
	}
	case RULE_UNARY:
	case RULE_BINARY:
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
	}
	return false;
}

// Each case does the usual form of its instruction with what is in registers and goes on, or breaks before it has changed anything.
static bool run(struct validator *v)
{
	const uint8_t *p = v->c.p, *end = v->c.end;
	wasm__word *sp = v->sp, *base = v->base, *top = v->top;
	const struct rule *rules = v->s->rules;
	const wasm__word *locals = wasm__words(v->s->locals);
	const uint32_t nlocals = v->nlocals;
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
	make_rules(s, m->features);
	struct validator v = {.c = {body, body + f->size, m->bytes.ptr, m->base_offset, e}, .m = m, .op_at = body, .s = s, .weight = 1, .max_control = 1};
	v.sp = v.base = v.top = s->stack;
	v.frame = s->frames;
	s->frames[0] = (struct frame){.base = s->stack, .results = wasm__words(t->results), .nresults = t->nresults, .weight = 1, .op = WASM_OP_UNREACHABLE};
	bool ok = read_locals(&v, t) && run(&v);
	if (ok && v.c.p != v.c.end)
		ok = wasm__fail(&v.c, v.c.p, ERR_MALFORMED, "section size mismatch: operators remaining after end of function");
	if (!ok) {
		char name[128];
		wasm_module_func_name(m, index, name, sizeof(name));
		return err_note(e, "function %u (%s)", index, name);
	}
	*ret = (struct wasm_func_info){.nlocals = v.nlocals, .locals = s->locals, .local_weight = s->weights, .call_weight = v.call_weight};
	ret->max_height = (uint32_t)(v.top - s->stack);
	ret->max_control = v.max_control;
	ret->has_calls = v.has_calls;
	ret->has_loops = v.has_loops;
	ret->uses_memory0 = v.uses_memory0;
	return true;
}
