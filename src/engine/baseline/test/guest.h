// For the tests of this room: modules built byte by byte, compiled, published, and called through a few lines of assembly with a made-up vmctx.
// (Room vm is above; nothing of it is used.)
#ifndef TENON_BASELINE_TEST_GUEST_H
#define TENON_BASELINE_TEST_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "../baseline.h"

// ---- modules ----------------------------------------------------------------------------------------------------
static inline void put_leb(struct buf *b, uint64_t v)
{
	do
		buf_put_byte(b, (uint8_t)((v & 0x7f) | (v > 0x7f) << 7));
	while (v >>= 7);
}

static inline void put_sleb(struct buf *b, int64_t v)
{
	for (;;) {
		uint8_t byte = v & 0x7f;
		v >>= 7;
		if ((v == 0 && !(byte & 0x40)) || (v == -1 && (byte & 0x40))) {
			buf_put_byte(b, byte);
			return;
		}
		buf_put_byte(b, byte | 0x80);
	}
}

static inline void put_section(struct buf *m, uint8_t id, const struct buf *body)
{
	buf_put_byte(m, id);
	put_leb(m, body->len);
	buf_put_slice(m, buf_view(body));
}

#define MAX_BODIES 512
struct source {
	char types[8][80];  // "il:d", of type 0, 1, ...
	uint32_t ntypes;
	uint32_t type_of[MAX_BODIES];
	struct buf bodies[MAX_BODIES];  // locals and code with its `end`
	uint32_t n;
	uint32_t table;  // size of a table of functions that holds all of them, then nulls; 0: none
};

static inline uint8_t type_byte(char c)
{
	static const char letters[] = "vdfli";  // from 0x7b on
	const char *at = strchr(letters, c);
	return at ? (uint8_t)(0x7b + (at - letters)) : 0x70;
}

static inline struct buf *add_func(struct source *s, uint32_t type)
{
	assert_true(s->n < MAX_BODIES);
	s->type_of[s->n] = type;
	return &s->bodies[s->n++];
}

static inline void put_types(struct buf *b, const char *t)
{
	put_leb(b, strlen(t));
	for (; *t; t++)
		buf_put_byte(b, type_byte(*t));
}

static inline void source_bytes(struct source *s, struct buf *m)
{
	struct buf b = {0};
	buf_put(m, "\0asm\1\0\0\0", 8);
	put_leb(&b, s->ntypes);
	for (uint32_t i = 0; i < s->ntypes; i++) {
		char params[80];
		snprintf(params, sizeof params, "%s", s->types[i]);
		char *colon = strchr(params, ':');
		*colon = 0;
		buf_put_byte(&b, 0x60);
		put_types(&b, params);
		put_types(&b, colon + 1);
	}
	put_section(m, 1, &b);
	buf_clear(&b);
	put_leb(&b, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		put_leb(&b, s->type_of[i]);
	put_section(m, 3, &b);
	buf_clear(&b);
	if (s->table) {
		buf_put(&b, "\1\x70\0", 3);
		put_leb(&b, s->table);
		put_section(m, 4, &b);
		buf_clear(&b);
	}
	buf_put(&b, "\1\0\1", 3);
	put_section(m, 5, &b);
	buf_clear(&b);
	put_leb(&b, s->n);
	for (uint32_t i = 0; i < s->n; i++) {
		put_leb(&b, s->bodies[i].len);
		buf_put_slice(&b, buf_view(&s->bodies[i]));
		buf_release(&s->bodies[i]);
	}
	put_section(m, 10, &b);
	assert_false(b.failed || m->failed);
	buf_release(&b);
}

// ---- running ----------------------------------------------------------------------------------------------------
struct guest {
	struct arena arena;
	struct buf bytes;
	struct wasm_module *m;
	struct abi_layout layout;
	struct code_artifact artifact;
	struct code_object *code;
	struct abi_vmctx *ctx;
	struct abi_exec exec;
	struct abi_memory memory;
	struct abi_table table;
	struct abi_func funcs[MAX_BODIES + 1];
	uint32_t elems[MAX_BODIES + 64], refs[MAX_BODIES], type_ids[8];
};

#define CELL (6ull << 30)
static sigjmp_buf trap_jump;
static volatile enum trap trap_seen;
static volatile uint64_t trap_offset;

static inline void on_trap(int sig, siginfo_t *si, void *uc)
{
	const void *pc = (const void *)((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];
	const struct code_object *o = code_find(pc);
	struct code_place place;
	trap_seen = o ? code_object_trap(o, pc) : TRAP_NONE;
	if (!trap_seen) {
		signal(sig, SIG_DFL);
		return;
	}
	trap_offset = code_object_place(o, pc, &place) ? place.offset : 0;
	siglongjmp(trap_jump, 1);
}

static inline void fake_raise(struct abi_vmctx *ctx, uint32_t t)
{
	trap_seen = t;
	siglongjmp(trap_jump, 1);
}

static uint32_t hooks_called;
static inline uint32_t fake_hook(struct abi_vmctx *ctx)
{
	hooks_called++;
	if (ctx->exec->stack_limit != UINTPTR_MAX)
		return TRAP_STACK_OVERFLOW;
	ctx->exec->stack_limit = 0;
	return TRAP_NONE;
}

// Enough of the runtime's conversions to tell the forms of code apart: not what it computes but that it gets and gives the right bits.
static inline uint32_t fake_trunc(struct abi_vmctx *ctx, uint32_t op, uint64_t bits)
{
	if (bits % 3 == 0)
		return TRAP_INVALID_CONVERSION;
	ctx->exec->libcall_result = (bits ^ op) & (wasm_ops[op].sig[2] == 'i' ? UINT32_MAX : UINT64_MAX);
	return TRAP_NONE;
}

static inline uint64_t fake_trunc_sat(struct abi_vmctx *ctx, uint32_t op, uint64_t bits)
{
	return (bits * 7 + op) & (wasm_ops[op].sig[2] == 'i' ? UINT32_MAX : UINT64_MAX);
}

static inline uint32_t fake_grow(struct abi_vmctx *ctx, uint32_t memory, uint64_t delta)
{
	ctx->exec->libcall_result = delta == 1 ? 1 : UINT64_MAX;
	return TRAP_NONE;
}

static const struct abi_libcalls fake_libcalls = {
	.raise = fake_raise,
	.stack_hook = fake_hook,
	.trunc = fake_trunc,
	.trunc_sat = fake_trunc_sat,
	.memory_grow = fake_grow,
};

static inline uint8_t *cell(void)
{
	static uint8_t *base;
	if (!base) {
		uint8_t *p = mmap(NULL, CELL + (2ull << 30), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		assert_true(p != MAP_FAILED);
		base = p + (2ull << 30);
		assert_int_equal(mprotect(base, 65536, PROT_READ | PROT_WRITE), 0);
	}
	return base;
}

static inline bool guest_try(struct guest *g, struct source *s, const struct baseline_options *opt, struct err *e)
{
	struct baseline_output out = {0}, *outputs[] = {&out};
	struct wasm_scratch *scratch = wasm_scratch_new();
	memset(g, 0, sizeof *g);
	arena_init(&g->arena, 0);
	source_bytes(s, &g->bytes);
	if (!wasm_decode(&g->arena, slice_of(g->bytes.ptr, g->bytes.len), WASM_FEATURES_DEFAULT, 0, &g->m, e))
		return false;
	abi_layout(g->m, &g->layout);
	bool ok = true;
	for (uint32_t i = 0; i < g->m->nfuncs && ok; i++) {
		struct wasm_func_info info;
		ok = wasm_validate_func(g->m, i, scratch, &info, e) && baseline_compile_func(g->m, i, &info, &g->layout, opt, &out, e);
	}
	ok = ok && baseline_link(g->m, outputs, 1, opt, &g->artifact, e) && code_publish(&g->artifact, g->m, g, &g->code, e);
	baseline_output_release(&out);
	wasm_scratch_free(scratch);
	return ok;
}

static inline void guest_init(struct guest *g, struct source *s, const struct baseline_options *opt)
{
	struct err e = {0};
	if (!guest_try(g, s, opt, &e))
		fail_msg("%s", e.text);
	g->ctx = mem_zalloc(g->layout.size);
	g->memory = (struct abi_memory){.base = cell(), .length = 65536};
	*g->ctx = (struct abi_vmctx){
		.exec = &g->exec,
		.funcs = g->funcs,
		.type_ids = g->type_ids,
		.mem0_base = g->memory.base,
		.mem0 = &g->memory,
		.libcalls = &fake_libcalls,
		.func_refs = g->refs,
	};
	((struct abi_memory **)((char *)g->ctx + g->layout.memories))[0] = &g->memory;
	for (uint32_t i = 0; i < g->m->ntypes; i++)
		g->type_ids[i] = g->m->types[i].id;
	for (uint32_t i = 0; i < g->m->nfuncs; i++) {
		g->funcs[i + 1] = (struct abi_func){.code = code_object_func(g->code, i), .vmctx = g->ctx, .type = g->m->types[g->m->funcs[i].type].id, .index = i};
		g->refs[i] = g->elems[i] = i + 1;
	}
	if (s->table) {
		g->table = (struct abi_table){.elems = g->elems, .length = s->table};
		((struct abi_table **)((char *)g->ctx + g->layout.tables))[0] = &g->table;
	}
	static const int signals[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
	struct sigaction act = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		sigaction(signals[i], &act, NULL);
}

static inline void guest_release(struct guest *g)
{
	code_object_unref(g->code);
	code_artifact_release(&g->artifact);
	mem_free(g->ctx);
	buf_release(&g->bytes);
	arena_release(&g->arena);
}

struct regs {
	uint64_t gpr[6], xmm[8][2];
	uint64_t rax, xmm0[2];
	uint64_t preserved;  // bits of registers that came back changed
	const uint64_t *stack;
	uint64_t nstack;  // even
};
#define REG_AT(field) offsetof(struct regs, field)

// Calls by the guest convention and checks R1, R2 and R4: r13, r14, rbx, rbp, r12, r15 and rsp come back.
__attribute__((naked, noinline)) static void guest_enter(struct abi_vmctx *ctx, const void *code, struct regs *r)
{
	__asm__ volatile(
		"push %%rbp\n push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n push %%rdx\n"
		"mov %%rdi, %%r13\n mov 24(%%rdi), %%r14\n mov %%rsi, %%rax\n mov %%rdx, %%r10\n"
		"mov %c[nstack](%%r10), %%rcx\n mov %c[stack](%%r10), %%rsi\n"
		"push %%rsp\n push %%rsp\n"  // keeps the alignment; checked below
		"add $8, %%rsp\n"
		"test %%rcx, %%rcx\n jz 2f\n"
		"1: pushq -8(%%rsi,%%rcx,8)\n dec %%rcx\n jnz 1b\n"
		"2:\n"
		"movups %c[xmm]+0(%%r10), %%xmm0\n movups %c[xmm]+16(%%r10), %%xmm1\n movups %c[xmm]+32(%%r10), %%xmm2\n movups %c[xmm]+48(%%r10), %%xmm3\n"
		"movups %c[xmm]+64(%%r10), %%xmm4\n movups %c[xmm]+80(%%r10), %%xmm5\n movups %c[xmm]+96(%%r10), %%xmm6\n movups %c[xmm]+112(%%r10), %%xmm7\n"
		"mov 0(%%r10), %%rdi\n mov 8(%%r10), %%rsi\n mov 16(%%r10), %%rdx\n mov 24(%%r10), %%rcx\n mov 32(%%r10), %%r8\n mov 40(%%r10), %%r9\n"
		"mov $0x1111, %%ebx\n mov $0x2222, %%ebp\n mov $0x3333, %%r12d\n mov $0x4444, %%r15d\n"
		"pushq %%r13\n pushq %%r14\n add $16, %%rsp\n"
		"call *%%rax\n"
		"mov %%rsp, %%rcx\n add $8, %%rcx\n cmp %%rcx, (%%rsp)\n lea 8(%%rsp), %%rsp\n mov (%%rsp), %%rdx\n"
		"mov $0, %%ecx\n je 3f\n or $1, %%ecx\n"
		"3: cmp $0x1111, %%rbx\n je 3f\n or $2, %%ecx\n"
		"3: cmp $0x2222, %%rbp\n je 3f\n or $4, %%ecx\n"
		"3: cmp $0x3333, %%r12\n je 3f\n or $8, %%ecx\n"
		"3: cmp $0x4444, %%r15\n je 3f\n or $16, %%ecx\n"
		"3: cmp %%r14, 24(%%r13)\n je 3f\n or $32, %%ecx\n"
		"3: mov %%rax, %c[rax](%%rdx)\n movups %%xmm0, %c[xmm0](%%rdx)\n mov %%rcx, %c[preserved](%%rdx)\n"
		"pop %%rdx\n pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n ret\n" ::[xmm] "i"(REG_AT(xmm)),
		[rax] "i"(REG_AT(rax)), [xmm0] "i"(REG_AT(xmm0)), [preserved] "i"(REG_AT(preserved)), [stack] "i"(REG_AT(stack)), [nstack] "i"(REG_AT(nstack)));
}

static inline bool in_xmm(uint8_t kind)
{
	return kind == WASM_F32 || kind == WASM_F64 || kind == WASM_V128;
}

// Values are cells; `types` as in struct source. Results are cells too. Returns the trap.
static inline enum trap guest_call(struct guest *g, uint32_t func, const char *types, const uint64_t *args, uint64_t *results)
{
	static uint64_t stack[1024], cells[1024];
	const struct wasm_func_type *t = wasm_func_type_of(g->m, func);
	struct abi_loc locs[1002];
	struct abi_sig sig;
	struct regs r = {.stack = stack};
	abi_classify(t, locs, &sig);
	for (uint32_t i = 0; i < t->nparams; i++) {
		struct abi_loc l = locs[i];
		uint64_t *to = l.place == ABI_GPR ? &r.gpr[l.index] : l.place == ABI_XMM ? r.xmm[l.index]
																				 : &stack[l.index];
		memcpy(to, args + l.at, 8 * l.cells);
	}
	if (sig.by_pointer)
		(sig.results_pointer.place == ABI_GPR ? r.gpr : stack)[sig.results_pointer.index] = (uintptr_t)cells;
	r.nstack = sig.stack_cells;
	trap_seen = TRAP_NONE;
	if (sigsetjmp(trap_jump, 1))
		return trap_seen;
	guest_enter(g->ctx, code_object_func(g->code, func), &r);
	assert_int_equal(r.preserved, 0);
	const uint64_t *from = sig.by_pointer ? cells : t->nresults && in_xmm(t->results[0].kind) ? r.xmm0
																							  : &r.rax;
	for (uint32_t i = 0, at = 0; i < t->nresults; at += abi_cells(t->results[i].kind), i++) {
		memcpy(results + at, from + at, 8 * abi_cells(t->results[i].kind));
		if (t->results[i].kind == WASM_F32)
			results[at] &= sig.by_pointer ? UINT64_MAX : UINT32_MAX;
		if (t->results[i].kind == WASM_I32 || t->results[i].kind == WASM_REF || t->results[i].kind == WASM_F32)
			assert_true(results[at] <= UINT32_MAX);  // R5
	}
	return TRAP_NONE;
}

// The ways of compiling that must agree.
static inline uint32_t all_modes(struct baseline_options modes[5])
{
	uint32_t cpu = 0, n = 0;
	assert_true(code_cpu_detect(&cpu));
	modes[n++] = (struct baseline_options){.cpu = cpu};
	modes[n++] = (struct baseline_options){.cpu = 0};
	modes[n++] = (struct baseline_options){.cpu = cpu, .poison_upper = true};
	modes[n++] = (struct baseline_options){.cpu = cpu, .verify_upper = true};
	modes[n++] = (struct baseline_options){.cpu = 0, .verify_upper = true};
	return n;
}

#endif
