// Guests for tests of room vm: functions in assembly by the guest convention (abi.h), published through room code as a compiler would,
// behind modules that are made up in C. No compiler is needed.
#ifndef TENON_VM_TEST_GUESTS_H
#define TENON_VM_TEST_GUESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "code/code.h"
#include "sys/sys.h"
#include "vm/vm.h"

// Offsets that the assembly below uses: ORDER vmctx, ORDER exec.
_Static_assert(offsetof(struct abi_vmctx, exec) == 0 && offsetof(struct abi_vmctx, funcs) == 8 && offsetof(struct abi_vmctx, mem0_base) == 24 &&
		offsetof(struct abi_vmctx, mem0) == 32 && offsetof(struct abi_vmctx, libcalls) == 40,
	"the guests' view of a vmctx");
_Static_assert(offsetof(struct abi_exec, stack_limit) == 0 && offsetof(struct abi_exec, libcall_result) == 16, "the guests' view of exec");

// A guest function `name`; its site (if any) is the label name_site, with `trap`.
#define GUEST(name, text)                                                                                         \
	__asm__(".text\n .balign 16\n .local guest_" #name "\n guest_" #name ":\n" text "\n guest_" #name "_end:\n"); \
	extern const char guest_##name[] __asm__("guest_" #name), guest_##name##_end[] __asm__("guest_" #name "_end");
#define GUEST_SITE(name) extern const char guest_##name##_site[] __asm__("guest_" #name "_site");

GUEST(add, "push %rbp\n mov %rsp,%rbp\n lea (%rdi,%rsi), %eax\n pop %rbp\n ret")
// Ten i32: four of them on the stack. 1*a + 2*b + ... shows the order.
GUEST(weigh, "push %rbp\n mov %rsp,%rbp\n mov %edi,%eax\n imul $2,%esi,%esi\n add %esi,%eax\n imul $3,%edx,%edx\n add %edx,%eax\n"
			 "imul $4,%ecx,%ecx\n add %ecx,%eax\n imul $5,%r8d,%r8d\n add %r8d,%eax\n imul $6,%r9d,%r9d\n add %r9d,%eax\n"
			 "imul $7,16(%rbp),%ecx\n add %ecx,%eax\n imul $8,24(%rbp),%ecx\n add %ecx,%eax\n imul $9,32(%rbp),%ecx\n add %ecx,%eax\n"
			 "imul $10,40(%rbp),%ecx\n add %ecx,%eax\n pop %rbp\n ret $32")
// (f64, i32, f32) -> f64
GUEST(mix, "cvtsi2sd %edi,%xmm2\n addsd %xmm2,%xmm0\n cvtss2sd %xmm1,%xmm1\n addsd %xmm1,%xmm0\n ret")
// (i32) -> (i32 i64 i32): results by pointer
GUEST(three, "mov %edi,%eax\n mov %rax,(%rsi)\n lea (%rax,%rax),%rcx\n mov %rcx,8(%rsi)\n neg %eax\n mov %rax,16(%rsi)\n ret")
GUEST(load, "push %rbp\n mov %rsp,%rbp\n mov %edi,%edi\n guest_load_site: mov (%r14,%rdi),%eax\n pop %rbp\n ret")
GUEST_SITE(load)
GUEST(store, "push %rbp\n mov %rsp,%rbp\n mov %edi,%edi\n guest_store_site: mov %esi,(%r14,%rdi)\n pop %rbp\n ret")
GUEST_SITE(store)
// Faults at a place that is registered by nobody.
GUEST(wild, "push %rbp\n mov %rsp,%rbp\n mov (%rdi),%eax\n pop %rbp\n ret")
GUEST(unreachable, "push %rbp\n mov %rsp,%rbp\n guest_unreachable_site: ud2")
GUEST_SITE(unreachable)
GUEST(divide, "push %rbp\n mov %rsp,%rbp\n mov %edi,%eax\n xor %edx,%edx\n guest_divide_site: div %esi\n pop %rbp\n ret")
GUEST_SITE(divide)
// Calls import 0 (found at vmctx + the offset in its first parameter) with its second one and adds 1.
GUEST(through, "push %rbp\n mov %rsp,%rbp\n push %r12\n push %rbx\n mov %r13,%r12\n mov %edi,%eax\n mov %esi,%edi\n"
			   "mov (%r12,%rax),%rcx\n mov 8(%r12,%rax),%r13\n mov 24(%r13),%r14\n call *%rcx\n"
			   "mov %r12,%r13\n mov 24(%r13),%r14\n inc %eax\n pop %rbx\n pop %r12\n pop %rbp\n ret")
// Recurses for ever; 64 bytes of frame a turn. Calls the hook when the stack is out.
GUEST(recurse, "push %rbp\n mov %rsp,%rbp\n sub $64,%rsp\n mov (%r13),%rax\n cmp (%rax),%rsp\n jb 1f\n"
			   "0: lea guest_recurse(%rip),%rax\n call *%rax\n leave\n ret\n"
			   "1: mov %r13,%rdi\n mov 40(%r13),%rax\n call *8(%rax)\n test %eax,%eax\n jz 0b\n"
			   "mov %r13,%rdi\n mov %eax,%esi\n mov 40(%r13),%rax\n call *(%rax)\n ud2")
GUEST(spin, "push %rbp\n mov %rsp,%rbp\n 1: jmp 1b")
// Counts down from edi with every register in use: nothing but the count may change. Returns the sum of what the registers should hold.
GUEST(busy, "push %rbp\n mov %rsp,%rbp\n push %rbx\n push %r12\n push %r15\n push %r13\n mov %rdi,%r11\n"
			"mov $3,%ebx\n mov $5,%ecx\n mov $7,%edx\n mov $11,%esi\n mov $13,%r8d\n mov $17,%r9d\n mov $19,%r10d\n mov $23,%r12d\n mov $29,%r15d\n"
			"cvtsi2sd %ebx,%xmm0\n cvtsi2sd %ecx,%xmm5\n cvtsi2sd %edx,%xmm10\n cvtsi2sd %esi,%xmm15\n unpcklpd %xmm15,%xmm15\n"
			"1: add $1,%rax\n cmp %rbx,%rcx\n jb 2f\n cmp $29,%r15d\n jne 2f\n sub $1,%r11\n jnz 1b\n"
			"unpckhpd %xmm15,%xmm15\n addsd %xmm5,%xmm0\n addsd %xmm10,%xmm0\n addsd %xmm15,%xmm0\n cvttsd2si %xmm0,%rax\n"
			"add %rbx,%rax\n add %rcx,%rax\n add %rdx,%rax\n add %rsi,%rax\n add %r8,%rax\n add %r9,%rax\n add %r10,%rax\n add %r12,%rax\n add %r15,%rax\n"
			"jmp 3f\n 2: xor %eax,%eax\n 3: pop %r13\n pop %r15\n pop %r12\n pop %rbx\n pop %rbp\n ret")
#define BUSY_RESULT (3 + 5 + 7 + 11 + 3 + 5 + 7 + 11 + 13 + 17 + 19 + 23 + 29)
// ymm0..15 from memory, counts down, ymm0..15 to memory at 512. Needs AVX.
#define YMMS(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define YMM_LOAD(i) "vmovups 32*" #i "(%r14),%ymm" #i "\n"
#define YMM_STORE(i) "vmovups %ymm" #i ",512+32*" #i "(%r14)\n"
GUEST(wide, "push %rbp\n mov %rsp,%rbp\n" YMMS(YMM_LOAD) "1: sub $1,%rdi\n jnz 1b\n" YMMS(YMM_STORE) "vzeroupper\n pop %rbp\n ret")
// memory.grow(0, edi)
GUEST(grow, "push %rbp\n mov %rsp,%rbp\n mov %edi,%edx\n xor %esi,%esi\n mov %r13,%rdi\n mov 40(%r13),%rax\n call *16(%rax)\n test %eax,%eax\n"
			"jnz 1f\n mov (%r13),%rax\n mov 16(%rax),%rax\n pop %rbp\n ret\n"
			"1: mov %r13,%rdi\n mov %eax,%esi\n mov 40(%r13),%rax\n call *(%rax)\n ud2")
// own global 0 (at vmctx + edi) += esi; returns it
GUEST(bump, "mov %edi,%edi\n add %esi,(%r13,%rdi)\n mov (%r13,%rdi),%eax\n ret")
_Static_assert(ABI_LIBCALL_RAISE == 0 && ABI_LIBCALL_STACK_HOOK == 1 && ABI_LIBCALL_MEMORY_GROW == 2, "the guests' view of libcalls");

enum guest_func {
	// in the order of guest_rows
	G_IMPORT,
	G_ADD,
	G_WEIGH,
	G_MIX,
	G_THREE,
	G_LOAD,
	G_STORE,
	G_WILD,
	G_UNREACHABLE,
	G_DIVIDE,
	G_THROUGH,
	G_RECURSE,
	G_SPIN,
	G_BUSY,
	G_WIDE,
	G_GROW,
	G_BUMP,
	G_COUNT
};

struct guest_row {
	const char *from, *to, *site;
	enum trap trap;
	const char *sig;
};
static const struct guest_row guest_rows[G_COUNT] = {
	[G_IMPORT] = {.sig = "i:i"},
	[G_ADD] = {guest_add, guest_add_end, NULL, TRAP_NONE, "ii:i"},
	[G_WEIGH] = {guest_weigh, guest_weigh_end, NULL, TRAP_NONE, "iiiiiiiiii:i"},
	[G_MIX] = {guest_mix, guest_mix_end, NULL, TRAP_NONE, "dif:d"},
	[G_THREE] = {guest_three, guest_three_end, NULL, TRAP_NONE, "i:ili"},
	[G_LOAD] = {guest_load, guest_load_end, guest_load_site, TRAP_MEMORY_OUT_OF_BOUNDS, "i:i"},
	[G_STORE] = {guest_store, guest_store_end, guest_store_site, TRAP_MEMORY_OUT_OF_BOUNDS, "ii:"},
	[G_WILD] = {guest_wild, guest_wild_end, NULL, TRAP_NONE, "l:i"},
	[G_UNREACHABLE] = {guest_unreachable, guest_unreachable_end, guest_unreachable_site, TRAP_UNREACHABLE, ":"},
	[G_DIVIDE] = {guest_divide, guest_divide_end, guest_divide_site, TRAP_DIVIDE_BY_ZERO, "ii:i"},
	[G_THROUGH] = {guest_through, guest_through_end, NULL, TRAP_NONE, "ii:i"},
	[G_RECURSE] = {guest_recurse, guest_recurse_end, NULL, TRAP_NONE, ":"},
	[G_SPIN] = {guest_spin, guest_spin_end, NULL, TRAP_NONE, ":"},
	[G_BUSY] = {guest_busy, guest_busy_end, NULL, TRAP_NONE, "l:l"},
	[G_WIDE] = {guest_wide, guest_wide_end, NULL, TRAP_NONE, "l:"},
	[G_GROW] = {guest_grow, guest_grow_end, NULL, TRAP_NONE, "i:i"},
	[G_BUMP] = {guest_bump, guest_bump_end, NULL, TRAP_NONE, "ii:i"},
};

// One module with all of them: an import of a function, one memory, one table of 4, one i32 global, one passive data segment.
struct guest {
	struct wasm_type types[G_COUNT];
	struct wasm_valtype vals[G_COUNT][16];
	struct wasm_func funcs[G_COUNT];
	struct wasm_import import;
	struct wasm_memory_type memory;
	struct wasm_table table;
	struct wasm_global global;
	struct wasm_const_op init;
	struct wasm_elem elem;
	struct wasm_data data;
	struct wasm_module m;
	struct vm_module *mod;
};

static struct wasm_valtype guest_val(char c)
{
	return (struct wasm_valtype){.kind = c == 'i' ? WASM_I32 : c == 'l' ? WASM_I64
			: c == 'f'                                                  ? WASM_F32
																		: WASM_F64};
}

static void guest_type(struct guest *g, int i)
{
	struct wasm_func_type *t = &g->types[i].func;
	uint32_t n = 0;
	t->params = g->vals[i];
	for (const char *p = guest_rows[i].sig; *p; p++) {
		if (*p == ':') {
			t->nparams = n;
			t->results = &g->vals[i][n];
		} else {
			g->vals[i][n++] = guest_val(*p);
		}
	}
	t->nresults = n - t->nparams;
	g->types[i].id = wasm_intern_func_type(t);
	assert_int_not_equal(g->types[i].id, 0);
	g->funcs[i].type = (uint32_t)i;
}

static struct code_object *guest_publish(void);

static UNUSED void guest_init(struct guest *g, uint64_t pages, uint64_t max_pages)
{
	struct err e = {0};
	*g = (struct guest){0};
	for (int i = 0; i < G_COUNT; i++)
		guest_type(g, i);
	g->import = (struct wasm_import){.module = SLICE_LIT("m"), .name = SLICE_LIT("f"), .kind = WASM_EXTERN_FUNC};
	g->memory = (struct wasm_memory_type){.limits = {.min = pages, .max = max_pages, .has_max = true}, .page_shift = 16};
	g->table.type = (struct wasm_table_type){.elem = {.kind = WASM_REF, .nullable = 1}, .limits = {.min = 4}};
	g->init = (struct wasm_const_op){.op = WASM_OP_I32_CONST, .imm = 42};
	g->global = (struct wasm_global){.type = {.type = {.kind = WASM_I32}, .mutable = true}, .init = {&g->init, 1}};
	g->elem.mode = WASM_SEGMENT_PASSIVE;
	g->data = (struct wasm_data){.mode = WASM_SEGMENT_PASSIVE, .bytes = SLICE_LIT("segment")};
	g->m = (struct wasm_module){.ntypes = G_COUNT, .types = g->types, .nimports = 1, .imports = &g->import};
	g->m.nfuncs = G_COUNT, g->m.nimported_funcs = 1, g->m.funcs = g->funcs;
	g->m.nmemories = 1, g->m.memories = &g->memory, g->m.ntables = 1, g->m.tables = &g->table;
	g->m.nglobals = 1, g->m.globals = &g->global;
	g->m.nelems = 1, g->m.elems = &g->elem, g->m.ndata = 1, g->m.data = &g->data;
	struct code_object *code = guest_publish();
	assert_true(vm_module_new(&g->m, code, NULL, NULL, &g->mod, &e));
	code_object_unref(code);
}

static UNUSED void guest_release(struct guest *g)
{
	vm_module_unref(g->mod);
}

static enum trap guest_double(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	results[0] = (uint32_t)(args[0] * 2);
	return TRAP_NONE;
}

// A store with one instance of the guest whose import is `fn`; allocated only.
static UNUSED bool guest_allocate(struct vm_shard *s, struct guest *g, vm_host_fn fn, void *data, const struct vm_limits *limits, struct vm_store **ret_st,
	struct vm_instance **ret_inst, struct err *e)
{
	struct vm_store *st;
	struct vm_extern x = {.kind = WASM_EXTERN_FUNC};
	if (!vm_process_handle_signals(e) || !vm_store_new(s, limits, &st, e))
		return false;
	if (!vm_host_func_new(st, &g->types[G_IMPORT].func, fn ? fn : guest_double, data, "import", &x.func, e) || !vm_imports_check(st, g->mod, &x, 1, e) ||
		!vm_instance_allocate(st, g->mod, &x, 1, ret_inst, e)) {
		vm_store_free(st);
		return false;
	}
	*ret_st = st;
	return true;
}

static UNUSED void guest_make(struct vm_shard *s, struct guest *g, vm_host_fn fn, void *data, const struct vm_limits *limits, struct vm_store **ret_st,
	struct vm_instance **ret_inst)
{
	struct err e = {0};
	assert_true(guest_allocate(s, g, fn, data, limits, ret_st, ret_inst, &e));
	assert_int_equal(vm_instance_initialize(*ret_inst), TRAP_NONE);
}

static UNUSED uint32_t guest_func(struct vm_instance *inst, enum guest_func f)
{
	return vm_instance_extern(inst, WASM_EXTERN_FUNC, f).func;
}

static UNUSED enum trap guest_call(struct vm_instance *inst, enum guest_func f, uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t args[2] = {a, b}, results[3] = {0};
	enum trap t = vm_call(vm_instance_store(inst), guest_func(inst, f), args, results);
	if (ret)
		*ret = results[0];
	return t;
}

static UNUSED uint64_t guest_import_offset(const struct guest *g)
{
	return g->mod->layout.imported_funcs;
}

#include "guest_publish.h"

#endif
