// Code that is compiled when it is called: what a module needs for that, and the compiling.
//
// 1. Bodies are validated and compiled from a copy of them, that nobody writes to: what becomes of the component's file meanwhile is of no consequence. The
//    rest of the module is the original's, which lives as long as the code may run: as long as an instance.
// 2. All bodies were validated before: a function is validated once more for what the compiler learns by it, which can fail for want of memory only.
// 3. One thread at a time compiles for a module; who wants another function meanwhile waits, a millisecond or two at most: larger functions (TIER__LAZY_BODY)
//    are compiled ahead, by a thread beside the first instance, and by who waits for it before anybody is answered. They compile without the lock; who calls what they
//    are at waits for them. One that makes more code than its bytes let expect is refused, and is not tried again.
#include "tier_int.h"

struct tier__lazy {
	struct wasm_module view;  // the module, but that its bodies are these
	uint8_t *bodies;
	uint64_t size;
	struct slice from;  // the module's bytes
	struct abi_layout layout;
	struct baseline_options options;
	struct baseline_lazy code;  // whose part this is
	struct sys_mutex lock;      // of what follows, and of putting functions there
	struct sys_cond made;
	uint32_t ahead[TIER__AHEAD_THREADS];  // the functions that are compiled without the lock; NONE
	uint8_t *refused;           // a bit a defined function
	struct wasm_scratch *scratch;
	struct baseline_output output;
};

enum { NONE = UINT32_MAX };

void tier__lazy_free(struct tier__lazy *z)
{
	if (!z)
		return;
	baseline_output_release(&z->output);
	wasm_scratch_free(z->scratch);
	mem_free(z->refused);
	if (z->bodies)
		sys_unmap(z->bodies, z->size);
	sys_cond_release(&z->made);
	sys_mutex_release(&z->lock);
	mem_free(z);
}

static void drop(void *arg)
{
	tier__lazy_free(arg);
}

bool tier__lazy_new(const struct wasm_module *m, struct tier__lazy **ret, struct err *e)
{
	struct tier__lazy *z = mem_zalloc(sizeof *z);
	if (!z)
		return err_nomem(e);
	if (!sys_cond_init(&z->made)) {
		mem_free(z);
		return err_nomem(e);
	}
	sys_mutex_init(&z->lock);
	for (unsigned i = 0; i < TIER__AHEAD_THREADS; i++)
		z->ahead[i] = NONE;
	z->view = *m;
	z->from = m->bytes;
	z->size = align_up_u64(m->code_section.len, SYS_PAGE);
	z->refused = mem_zalloc((m->nfuncs - m->nimported_funcs) / 8 + 1);
	if (!z->refused || (z->size && !(z->bodies = sys_map_anonymous(z->size)))) {
		tier__lazy_free(z);
		return err_nomem(e);
	}
	if (z->size) {
		sys_prefer_huge(z->bodies, z->size);
		// So that a body lies where its offset says.
		z->view.bytes.ptr = (const uint8_t *)((uintptr_t)z->bodies - (uintptr_t)(m->code_section.ptr - m->bytes.ptr));
	}
	*ret = z;
	return true;
}

const struct wasm_module *tier__lazy_module(const struct tier__lazy *z)
{
	return &z->view;
}

void tier__lazy_take_body(struct tier__lazy *z, uint32_t func)
{
	const struct wasm_func *f = &z->view.funcs[func];
	memcpy(UNCONST(z->view.bytes.ptr) + f->offset, z->from.ptr + f->offset, f->size);
}

// What one function may make: as much as its bytes would be allowed in a module, and what there is room for.
enum { TEXT_FEW = 256 << 10, TEXT_A_BYTE = 24, KEEP_MAX = 1 << 20 };
static size_t text_max(const struct tier__lazy *z, uint32_t func)
{
	return (size_t)min_u64(TEXT_FEW + (uint64_t)TEXT_A_BYTE * z->view.funcs[func].size, code_lazy_left(z->code.code));
}

// Into an output that is empty.
static bool make(const struct tier__lazy *z, uint32_t func, size_t max, struct wasm_scratch *scratch, struct baseline_output *out, struct err *e)
{
	struct wasm_func_info info;
	struct baseline_options options = z->options;
	options.text_max = max;
	return wasm_validate_func(&z->view, func, scratch, &info, e) && baseline_compile_func(&z->view, func, &info, &z->layout, &options, out, e);
}

// Under the lock.
static bool compile(struct tier__lazy *z, uint32_t func, struct err *e)
{
	if (!z->scratch && !(z->scratch = wasm_scratch_new()))
		return err_nomem(e);
	baseline_output_clear(&z->output);
	bool ok = make(z, func, text_max(z, func), z->scratch, &z->output, e) && baseline_put_lazy(&z->view, &z->output, 0, &z->code, e);
	if (!ok || z->output.text.cap > KEEP_MAX)
		baseline_output_release(&z->output);  // it may be half of something
	return ok;
}

// The same. What was refused once would be again, after as much work.
static bool compile_once(struct tier__lazy *z, uint32_t func, uint32_t defined, struct err *e)
{
	uint8_t *bits = &z->refused[defined / 8], bit = (uint8_t)(1u << defined % 8);
	if (*bits & bit)
		return err_set(e, ERR_LIMIT, "its machine code would exceed its bound");
	if (compile(z, func, e))
		return true;
	if (e->code == ERR_LIMIT)
		*bits |= bit;
	return false;
}

static bool is_made_ahead(const struct tier__lazy *z, uint32_t func)
{
	bool is = false;
	for (unsigned i = 0; i < TIER__AHEAD_THREADS; i++)
		is |= z->ahead[i] == func;
	return is;
}

static bool compile_called(void *arg, uint32_t func, const void **ret, struct err *e)
{
	struct tier__lazy *z = arg;
	uint32_t defined = func - z->view.nimported_funcs;
	sys_mutex_lock(&z->lock);
	while (is_made_ahead(z, func))
		sys_cond_wait(&z->made, &z->lock);
	bool ok = code_lazy_find(z->code.code, defined) || compile_once(z, func, defined, e);
	sys_mutex_unlock(&z->lock);
	*ret = ok ? code_lazy_find(z->code.code, defined) : NULL;
	return ok || err_note(e, "function %u", func);
}

// ---- ahead ---------------------------------------------------------------------------------------------------------------------------
// Whether it is still to be compiled.
static bool begin_ahead(struct tier__lazy *z, uint32_t func, unsigned thread, size_t *ret_max)
{
	uint32_t defined = func - z->view.nimported_funcs;
	sys_mutex_lock(&z->lock);
	bool wanted = !code_lazy_find(z->code.code, defined) && !(z->refused[defined / 8] & 1u << defined % 8);
	if (wanted)
		z->ahead[thread] = func;
	*ret_max = code_lazy_left(z->code.code);  // nobody waits for it: what the module may have
	sys_mutex_unlock(&z->lock);
	return wanted;
}

void tier__lazy_ahead(struct tier__lazy *z, uint32_t func, unsigned thread, struct wasm_scratch *scratch)
{
	struct baseline_output out = {0};
	uint32_t defined = func - z->view.nimported_funcs;
	struct err e;
	size_t max;
	err_clear(&e);
	if (!begin_ahead(z, func, thread, &max))
		return;
	bool ok = make(z, func, max, scratch, &out, &e);
	sys_mutex_lock(&z->lock);
	// What there was no memory for is tried again when it is called.
	if (!(ok && baseline_put_lazy(&z->view, &out, 0, &z->code, &e)) && e.code == ERR_LIMIT)
		z->refused[defined / 8] |= (uint8_t)(1u << defined % 8);
	z->ahead[thread] = NONE;
	sys_cond_broadcast(&z->made);
	sys_mutex_unlock(&z->lock);
	baseline_output_release(&out);
}

bool tier__lazy_publish(struct tier__lazy *z, const struct abi_layout *layout, const struct baseline_options *options, struct code_object **ret, struct err *e)
{
	struct code_lazy how = {.compile = compile_called, .drop = drop, .arg = z};
	z->layout = *layout;
	z->options = *options;
	if (!baseline_publish_lazy(&z->view, options, &how, &z->code, e)) {
		tier__lazy_free(z);
		return false;
	}
	*ret = z->code.code;
	return true;
}
