// The driver: one pass over a body, between frame_x64.c (before it) and ool_x64.c (after it).
#include "baseline_int.h"

const struct baseline_emitter baseline__emitters[WASM_OP_COUNT] = {
#define E(op, fn, width, argument) [WASM_OP_##op] = {baseline__emit_##fn, width, argument},
#include "emitters.def"
#undef E
};

// ---- the pass ---------------------------------------------------------------------------------------------------
static bool opens_block(enum wasm_op op)
{
	return op == WASM_OP_BLOCK || op == WASM_OP_LOOP || op == WASM_OP_IF || op == WASM_OP_TRY_TABLE || op == WASM_OP_TRY;
}

// The block's next part begins, or it ends.
static bool ends_part(enum wasm_op op)
{
	return op == WASM_OP_END || op == WASM_OP_ELSE || op == WASM_OP_CATCH || op == WASM_OP_CATCH_ALL || op == WASM_OP_DELEGATE;
}

// Up to what makes code reachable again, or ends the block.
static void skip_unreachable(struct comp *c)
{
	for (uint32_t depth = 0;;) {
		const uint8_t *at = c->p;
		enum wasm_op op = wasm_read_op(&c->p);
		if (depth == 0 && ends_part(op)) {
			c->p = at;
			return;
		}
		if (opens_block(op))
			depth++;
		else if (op == WASM_OP_END || op == WASM_OP_DELEGATE)
			depth--;
		wasm_skip_immediate(op, &c->p);
	}
}

static void pass(struct comp *c)
{
	while (c->s->ctl.len && !c->failed && !c->a.failed) {
		if (c->unreachable)
			skip_unreachable(c);
		baseline__room(c);
		c->op_at = c->p;
		c->lock = 0;
		enum wasm_op op = wasm_read_op(&c->p);
		const struct baseline_emitter *emitter = op < WASM_OP_COUNT ? &baseline__emitters[op] : NULL;
		if (UNLIKELY(!emitter || !emitter->emit)) {
			err_set_at(c->e, ERR_UNSUPPORTED, c->m->base_offset + (uint64_t)(c->op_at - c->m->bytes.ptr), "instruction '%s' is not supported",
				wasm_op_text(op));
			c->failed = true;
			return;
		}
		emitter->emit(c, emitter->w, emitter->arg);
	}
}

static bool grow(void *ptr, uint32_t *cap, uint32_t need, size_t size)
{
	if (need <= *cap && *(void **)ptr)
		return true;
	uint32_t n = need + need / 4 + 64;
	void *p = mem_realloc(*(void **)ptr, (size_t)n * size);
	if (!p)
		return false;
	*(void **)ptr = p;
	*cap = n;
	return true;
}

static void use_local(struct comp *c, uint32_t local, struct wasm_valtype type)
{
	c->locals[local] = (struct local){.type = (uint8_t)kind_of(c, type), .pin = NO_REG, .cache = NO_REG};
	c->s->used[c->s->nused++] = local;
}

// What is never mentioned costs a glance (L58).
static void find_used(struct comp *c)
{
	const struct wasm_func_info *info = c->info;
	const uint32_t *weight = info->local_weight;
	c->s->nused = 0;
	for (uint32_t i = 0; i < info->nflat; i++) {
		if (i < c->type->nparams || weight[i]) {
			use_local(c, i, info->locals[i]);
			continue;
		}
		while (i + 8 < info->nflat &&
			!(weight[i + 1] | weight[i + 2] | weight[i + 3] | weight[i + 4] | weight[i + 5] | weight[i + 6] | weight[i + 7] | weight[i + 8]))
			i += 8;
	}
	for (uint32_t i = 0; i < info->nfar; i++)
		use_local(c, info->far[i].index, info->far[i].type);
}

static bool prepare(struct comp *c)
{
	struct baseline_scratch *s = c->out->scratch;
	if (!s)
		s = c->out->scratch = mem_zalloc(sizeof *s);
	// What a catch caught has an entry.
	uint32_t height = c->info->max_height + 8 + (c->info->has_rethrow ? c->info->max_control : 0);
	if (!s || !grow(&s->stack, &s->stack_cap, height, sizeof *s->stack) ||
		!grow(&s->locals, &s->locals_cap, c->info->nlocals, sizeof *s->locals) ||
		!grow(&s->used, &s->used_cap, c->info->nlocals, sizeof *s->used) ||
		!grow(&s->map, &s->map_cap, height, sizeof *s->map) || !grow(&s->locs, &s->locs_cap, c->type->nparams, sizeof *s->locs))
		return false;
	c->s = s;
	c->stack = s->stack;
	c->locals = s->locals;
	s->ctl.len = s->ool.len = s->pool.len = s->vectors.len = 0;
	s->nmap = 0;
	s->edges.len = s->regions.len = s->clauses.len = s->landings.len = s->caught.len = 0;
	find_used(c);
	return true;
}

static void skip_locals(struct comp *c)
{
	for (uint32_t n = wasm_read_u32(&c->p); n; n--) {
		wasm_read_u32(&c->p);
		wasm_read_valtype(&c->p);
	}
}

// Ordinary code is 1.6 times as large as its Wasm; a type with a thousand results makes 20 KB of two bytes. What grows like that is refused (L58).
enum { TEXT_FEW = 4 << 20, TEXT_A_BYTE = 24 };
size_t baseline__text_max(const struct wasm_module *m)
{
	uint64_t max = TEXT_FEW + (uint64_t)TEXT_A_BYTE * m->code_section.len;
	return (size_t)min_u64(max, INT32_MAX);
}

static bool finish(struct comp *c, const struct wasm_func *f, struct baseline_func *func)
{
	bool finished = baseline__func_end(c) && baseline__handlers_put(c);
	if (!c->failed && (finished ? c->out->text.len > c->out->text.max : c->a.full))
		return err_set_at(c->e, ERR_LIMIT, c->m->base_offset + f->offset, "the %s's machine code would exceed %zu bytes",
			c->opt->text_max ? "function" : "module", c->out->text.max);
	if (c->failed || !finished || c->sites.out->failed)
		return c->e->code ? false : err_nomem(c->e);
	func->place.size = (uint32_t)(c->out->text.len - func->place.offset);
	func->place.frame = c->frame_word;
	return true;
}

bool baseline_compile_func(const struct wasm_module *m, uint32_t func, const struct wasm_func_info *info, const struct abi_layout *layout,
	const struct baseline_options *opt, struct baseline_output *out, struct err *e)
{
	struct err ignored;
	const struct wasm_func *f = &m->funcs[func];
	struct comp c;
	if (!e) {
		err_clear(&ignored);
		e = &ignored;
	}
	memset(&c, 0, offsetof(struct comp, owner));
	c.m = m;
	c.info = info;
	c.layout = layout;
	c.opt = opt;
	c.type = &m->types[f->type].func;
	c.out = out;
	c.e = e;
	c.hint = NO_LOCAL;
	c.checked = opt->poison_upper || opt->verify_upper;
	c.zf_at = UINT32_MAX;
	c.p = c.body = c.op_at = m->bytes.ptr + f->offset;
	out->text.max = opt->text_max ? opt->text_max : baseline__text_max(m);
	out->sites.max = out->handlers.max = INT32_MAX;
	// Functions begin at multiples of 16, here and when they are linked.
	uint8_t *pad = buf_reserve(&out->text, 16);
	struct baseline_func *place = VEC_ADD(NULL, &out->funcs, UINT32_MAX / 64);
	if (!pad || !place)
		return err_nomem(e);
	memset(pad, 0xcc, 16);
	out->text.len = (out->text.len + 15) & ~(size_t)15;
	*place = (struct baseline_func){
		.func = func,
		.relocs = out->relocs.len,
		.place = {.offset = (uint32_t)out->text.len, .sites = (uint32_t)out->sites.len, .wasm_offset = (uint32_t)f->offset},
	};
	place->place.handlers = (uint32_t)(out->handlers.len / 4);
	if (!prepare(&c))
		return err_nomem(e);
	struct abi_sig sig;
	abi_classify(c.type, c.s->locs, &sig);
	c.sites = (struct code_sites){.out = &out->sites};
	if (!baseline__func_begin(&c, &sig))
		return err_nomem(e);
	skip_locals(&c);
	pass(&c);
	return finish(&c, f, place);
}
