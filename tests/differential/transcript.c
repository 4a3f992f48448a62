// What a core module does, as lines to be compared with another engine's (fuzz/differential.py): tenon-transcript [--lazy] FILE...
// PROGRAM(tenon-transcript, "wasm vm tier", "")
//
// Of each file: `file NAME`, then `invalid` or `no instance`, or the calls of its imports, `init` and how it ended, each exported function called twice (`call N
// ...`), and at last what its exported globals, memories and tables hold. Exports are told by their number, since names may be anything. Functions and globals of
// references and vectors are left out. `stop` follows what engines need not agree on: stacks and memory that are out, and time. Lines with # are remarks.
#include <stdio.h>

#include "tier/tier.h"
#include "vm/vm.h"

#define MAX_VALUES 1000
static struct vm_shard *shard;
static uint32_t calls;
static bool lazy;

// ---- values ----------------------------------------------------------------------------------------------------------
static bool is_number(struct wasm_valtype t)
{
	return t.kind == WASM_I32 || t.kind == WASM_I64 || t.kind == WASM_F32 || t.kind == WASM_F64;
}

// The n-th value that is passed: whole numbers and eighths.
static uint64_t value(unsigned kind, uint32_t n)
{
	uint32_t x = n * 2654435761u;
	union {
		float f;
		uint32_t bits;
	} f = {(float)(x >> 20) / 8};
	union {
		double f;
		uint64_t bits;
	} d = {(double)(x >> 16) / 8};
	return kind == WASM_I32 ? (n % 3 ? x >> 22 : x) : kind == WASM_I64 ? (uint64_t)x << (n % 3 * 16)
		: kind == WASM_F32                                             ? f.bits
																	   : d.bits;
}

static void print_value(unsigned kind, uint64_t cell)
{
	bool is_nan = kind == WASM_F32 ? (cell & 0x7fffffff) > 0x7f800000 : kind == WASM_F64 && (cell & INT64_MAX) > UINT64_C(0x7ff0000000000000);
	if (is_nan)
		printf(" nan");
	else
		printf(" %llx", (unsigned long long)(kind == WASM_I32 || kind == WASM_F32 ? (uint32_t)cell : cell));
}

static void print_values(const struct wasm_valtype *types, uint32_t n, const uint64_t *cells)
{
	for (uint32_t i = 0; i < n; i++)
		print_value(types[i].kind, cells[i]);
	printf("\n");
}

static bool are_numbers(const struct wasm_valtype *types, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!is_number(types[i]))
			return false;
	return true;
}

// The polynomial of zlib's crc32.
static uint32_t crc(const uint8_t *p, uint64_t n)
{
	static uint32_t table[256];
	for (uint32_t i = 0; i < 256 && !table[255]; i++) {
		table[i] = i;
		for (int k = 0; k < 8; k++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
	}
	uint32_t c = UINT32_MAX;
	while (n--)
		c = c >> 8 ^ table[(c ^ *p++) & 0xff];
	return ~c;
}

// ---- imports ---------------------------------------------------------------------------------------------------------
static enum trap imported(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	printf("import %s", (const char *)call->data);
	print_values(call->type->params, call->type->nparams, args);
	for (uint32_t i = 0; i < call->type->nresults; i++)
		results[i] = value(call->type->results[i].kind, ++calls);
	return TRAP_NONE;
}

static bool make_import(struct vm_store *st, struct arena *a, const struct wasm_module *m, const struct wasm_import *im, struct vm_extern *ret, struct err *e)
{
	ret->kind = im->kind;
	if (im->kind == WASM_EXTERN_GLOBAL) {
		uint64_t v[2] = {value(m->globals[im->index].type.type.kind, 7)};
		return is_number(m->globals[im->index].type.type) && vm_global_new(st, &m->globals[im->index].type, m, v, &ret->global, e);
	}
	if (im->kind == WASM_EXTERN_MEMORY)
		return vm_memory_new(st, &m->memories[im->index], &ret->memory, e);
	if (im->kind == WASM_EXTERN_TABLE)
		return vm_table_new(st, &m->tables[im->index].type, m, 0, &ret->table, e);
	const struct wasm_func_type *t = im->kind == WASM_EXTERN_FUNC ? &m->types[m->funcs[im->index].type].func : NULL;
	char *name = arena_zalloc(a, im->name.len + 1, 1);
	if (!t || !name || !are_numbers(t->params, t->nparams) || !are_numbers(t->results, t->nresults))
		return false;
	memcpy(name, im->name.ptr, im->name.len);
	return vm_host_func_new(st, t, imported, name, name, &ret->func, e);
}

// ---- calls -----------------------------------------------------------------------------------------------------------
struct job {
	struct vm_store *store;
	struct vm_instance *inst;
	uint32_t func;
	uint64_t args[MAX_VALUES], results[MAX_VALUES];
	enum trap trap;
};

static void run_job(void *arg)
{
	struct job *j = arg;
	j->trap = j->inst ? vm_instance_initialize(j->inst) : vm_call(j->store, j->func, j->args, j->results);
}

// false: it can't be compared from here on.
static bool run(struct job *j)
{
	struct vm_fiber *f = vm_fiber_new(shard, run_job, j);
	if (!f)
		return false;
	vm_fiber_set_budget(f, (struct vm_budget){2000000000, UINT64_MAX});
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_fiber_free(f);
	if (j->trap == TRAP_STACK_OVERFLOW || j->trap == TRAP_OUT_OF_MEMORY || j->trap == TRAP_CPU_BUDGET) {
		printf("stop %s\n", trap_text(j->trap));
		return false;
	}
	return true;
}

static const struct wasm_func_type *type_of(const struct wasm_module *m, const struct wasm_export *x)
{
	return &m->types[m->funcs[x->index].type].func;
}

// Is it called, or its content told?
static bool is_looked_at(const struct wasm_module *m, const struct wasm_export *x)
{
	const struct wasm_func_type *t;
	switch (x->kind) {
	case WASM_EXTERN_FUNC:
		t = type_of(m, x);
		return are_numbers(t->params, t->nparams) && are_numbers(t->results, t->nresults) && t->nparams <= MAX_VALUES && t->nresults <= MAX_VALUES;
	case WASM_EXTERN_TABLE:
		return m->tables[x->index].type.elem.kind == WASM_REF && m->tables[x->index].type.elem.heap == WASM_HEAP_FUNC;
	case WASM_EXTERN_MEMORY:
		return true;
	case WASM_EXTERN_GLOBAL:
		return is_number(m->globals[x->index].type.type);
	default:
		return false;
	}
}

static void print_kinds(const struct wasm_valtype *types, uint32_t n)
{
	static const char *const names[] = {[WASM_I32] = "i32", [WASM_I64] = "i64", [WASM_F32] = "f32", [WASM_F64] = "f64"};
	printf("\t");
	for (uint32_t i = 0; i < n; i++)
		printf("%s ", names[types[i].kind]);
}

// For the other side, which can't read all types: its kind, name, and what it takes and gives.
static void print_plan(const struct wasm_module *m, const struct wasm_export *x)
{
	static const char *const kinds[] = {"func", "table", "memory", "global", "tag"};
	const struct wasm_func_type *t = x->kind == WASM_EXTERN_FUNC ? type_of(m, x) : NULL;
	printf("# export\t%s\t%u", kinds[x->kind], (unsigned)(x - m->exports));
	if (x->kind == WASM_EXTERN_GLOBAL)
		print_kinds(&m->globals[x->index].type.type, 1);
	else
		print_kinds(t ? t->params : NULL, t ? t->nparams : 0);
	print_kinds(t ? t->results : NULL, t ? t->nresults : 0);
	printf("\n");
}

static bool call_twice(struct vm_store *st, uint32_t func, uint32_t number)
{
	const struct wasm_func_type *t = vm_func_type(st, func);
	static struct job j;
	for (uint32_t k = 0; k < 2; k++) {
		j = (struct job){.store = st, .func = func};
		for (uint32_t i = 0; i < t->nparams; i++)
			j.args[i] = value(t->params[i].kind, number + 13 * i + k);
		if (!run(&j))
			return false;
		printf("call %u%s%s", number, j.trap ? " trap " : "", j.trap ? trap_text(j.trap) : "");
		print_values(t->results, j.trap ? 0 : t->nresults, j.results);
	}
	return true;
}

static void print_state(const struct vm_instance *inst, const struct wasm_export *x, uint32_t number)
{
	struct vm_extern e;
	if (!vm_instance_export(inst, x->name, &e))
		return;
	if (e.kind == WASM_EXTERN_GLOBAL) {
		uint64_t v[2];
		vm_global_get(e.global, v);
		printf("global %u", number);
		print_value(vm_global_type(e.global)->type.kind, v[0]);
		printf("\n");
	} else if (e.kind == WASM_EXTERN_MEMORY) {
		const struct abi_memory *m = vm_memory_abi(e.memory);
		printf("memory %u %llx %x\n", number, (unsigned long long)m->length, crc(m->base, m->length));
	} else if (e.kind == WASM_EXTERN_TABLE) {
		uint32_t ref, sum = 0;
		uint64_t n = 0;
		for (; vm_table_get(e.table, n, &ref); n++)
			sum = sum * 3 + (ref != 0);
		printf("table %u %llx %x\n", number, (unsigned long long)n, sum);
	}
}

// ---- a module --------------------------------------------------------------------------------------------------------
static void run_instance(struct vm_store *st, struct vm_instance *inst, const struct wasm_module *m)
{
	static struct job j;
	j = (struct job){.inst = inst};
	if (!run(&j))
		return;
	printf("init%s%s\n", j.trap ? " trap " : "", j.trap ? trap_text(j.trap) : "");
	if (j.trap)
		return;
	for (uint32_t i = 0; i < m->nexports; i++) {
		struct vm_extern x;
		if (m->exports[i].kind == WASM_EXTERN_FUNC && is_looked_at(m, &m->exports[i]) && vm_instance_export(inst, m->exports[i].name, &x) && !call_twice(st, x.func, i))
			return;
	}
	for (uint32_t i = 0; i < m->nexports; i++)
		if (is_looked_at(m, &m->exports[i]))
			print_state(inst, &m->exports[i], i);
}

static void instantiate(struct arena *a, struct vm_module *mod, const struct wasm_module *m, struct err *e)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct vm_store *st = NULL;
	struct vm_instance *inst;
	struct vm_extern *imports = ARENA_ARRAY(a, struct vm_extern, (size_t)m->nimports + 1);
	limits.survives_traps = true;
	bool ok = imports && vm_store_new(shard, &limits, &st, e);
	for (uint32_t i = 0; ok && i < m->nimports; i++)
		ok = make_import(st, a, m, &m->imports[i], &imports[i], e);
	calls = 0;
	for (uint32_t i = 0; i < m->nexports; i++)
		if (is_looked_at(m, &m->exports[i]))
			print_plan(m, &m->exports[i]);
	if (ok && vm_imports_check(st, mod, imports, m->nimports, e) && vm_instance_allocate(st, mod, imports, m->nimports, &inst, e))
		run_instance(st, inst, m);
	else
		printf("no instance\n");
	vm_store_free(st);
}

static bool read_file(const char *name, struct buf *to)
{
	FILE *f = fopen(name, "rb");
	uint8_t some[4096];
	size_t n;
	bool ok = f;
	while (ok && (n = fread(some, 1, sizeof some, f)))
		ok = buf_put(to, some, n);
	if (f)
		fclose(f);
	return ok;
}

static void transcribe(const char *name)
{
	struct arena a;
	struct err e = {0};
	struct wasm_module *m;
	const struct wasm_module *modules[1];
	struct vm_module *mod;
	struct tier_stats stats;
	struct tier_options opt = {.no_cache = true, .threads = 1, .lazy_from = lazy};
	struct buf file = {0};
	printf("file %s\n", name);
	arena_init(&a, 0);
	if (read_file(name, &file)) {
		struct slice bytes = buf_view(&file);
		if (!wasm_decode(&a, bytes, WASM_FEATURES_FINISHED, 0, &m, &e) || !wasm_validate(m, &e)) {
			printf("invalid\n");
		} else {
			modules[0] = m;
			if (tier_compile(modules, 1, bytes, &opt, &mod, &stats, &e)) {
				instantiate(&a, mod, m, &e);
				vm_module_unref(mod);
			} else {
				printf("not compiled\n");
			}
		}
	}
	if (e.text[0])
		printf("# %s\n", e.text);
	fflush(stdout);
	arena_release(&a);
	buf_release(&file);
}

int main(int argc, char **argv)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	lazy = argc > 1 && strcmp(argv[1], "--lazy") == 0;
	for (int i = lazy ? 2 : 1; i < argc; i++)
		transcribe(argv[i]);
	vm_shard_free(shard);
	return 0;
}
