// Code that comes function by function: an object whose entries are there from the beginning and whose functions are put behind them when they are called.
//
// 1. The range: slots (data, which only the host reaches), entries and stubs, room for functions. Calls go to entries, and an entry to where its slot says;
//    what is put there later may call functions that are there already directly.
// 2. Text is a memfd that is mapped by a descriptor which can't be written to: no mapping of it is writable or can be made so (L48). It is written by
//    system calls behind what was published, where nobody runs yet, and never again.
// 3. Each function is an object of its own, found by address in a list that only grows: a function is in the list before its slot says so.
#include "code_int.h"

#include "sys/sys.h"

#include <errno.h>

uint64_t code_lazy_slots(uint32_t nfuncs)
{
	return align_up_u64(8ull * nfuncs, SYS_PAGE);
}

static uint64_t *slot_of(const struct code_object *o, uint32_t defined)
{
	BUG_ON(defined >= o->nfuncs);
	return (uint64_t *)(uintptr_t)(o->text - o->lazy->slots_size) + defined;
}

// What it says until the function is there.
static uintptr_t compiles(const struct code_object *o, uint32_t defined)
{
	return (uintptr_t)code__lazy_entry(o, defined) + CODE__ENTRY_COMPILES;
}

// ---- the range ---------------------------------------------------------------------------------------------------
static int map_range(struct code_object *o, struct code__lazy *z)
{
	uint8_t *base = sys_reserve(o->mapped);
	int text = sys_reopen_read_only(z->fd);
	int r = !base ? -ENOMEM : text < 0 ? text
									   : 0;
	if (base)
		o->text = base + z->slots_size;
	if (!r)
		r = sys_protect(base, z->slots_size, true);
	if (!r)
		r = sys_write_at(z->fd, z->of.entries.ptr, z->of.entries.len, 0);
	if (!r)
		r = sys_map_over(base + z->slots_size, z->text_max, text, 0, true);
	sys_close(text);
	return r;
}

static void release(struct code_object *o)
{
	struct code__lazy *z = o->lazy;
	for (uint32_t i = 0; i < z->n; i++)
		code__object_free(z->funcs[i]);
	if (o->text)
		sys_unmap((void *)(uintptr_t)(o->text - z->slots_size), o->mapped);
	sys_close(z->fd);
	if (z->of.drop)
		z->of.drop(z->of.arg);
	wasm_names_release(&z->names);
	mem_free(z->funcs);
	mem_free(z);
}

bool code_publish_lazy(const struct code_lazy *l, struct code_object **ret, struct err *e)
{
	struct code__lazy *z = mem_zalloc(sizeof *z);
	struct code_object *o = mem_zalloc(sizeof *o);
	if (!z || !o || !(z->funcs = mem_alloc((l->nfuncs + 1) * sizeof *z->funcs))) {
		mem_free(z);
		mem_free(o);
		return err_nomem(e);
	}
	z->slots_size = code_lazy_slots(l->nfuncs);
	z->end = l->entries.len;
	z->text_max = align_up_u64(l->entries.len + l->text_max, SYS_PAGE);
	*o = (struct code_object){.refs = 1, .first_func = l->first_func, .nfuncs = l->nfuncs, .flags = l->flags, .owner = l->owner, .lazy = z, .release = release};
	z->of = *l;
	z->of.drop = NULL;  // nobody's before this has succeeded
	o->text_size = z->text_max;
	o->mapped = z->slots_size + z->text_max;
	z->fd = sys_memfd("tenon-code", 0);
	int r = z->fd < 0 ? z->fd : o->mapped > CODE_REACH ? -ENOMEM
													   : map_range(o, z);
	if (r) {
		code__object_free(o);
		return err_set_errno(e, -r, "cannot make room for code that is compiled when it is called");
	}
	z->of.entries = (struct slice){0};
	for (uint32_t i = 0; i < o->nfuncs; i++)
		*slot_of(o, i) = compiles(o, i);
	if (!code__object_list(o, NULL, ret, e))
		return false;
	z->of.drop = l->drop;
	if (!o->nfuncs) {
		sys_close(z->fd);
		z->fd = -1;
	}
	return true;
}

// ---- functions ---------------------------------------------------------------------------------------------------
const void *code_lazy_find(const struct code_object *o, uint32_t defined)
{
	uint64_t at = __atomic_load_n(slot_of(o, defined), __ATOMIC_ACQUIRE);
	return at == compiles(o, defined) ? NULL : (const void *)(uintptr_t)at;
}

static uint64_t left(const struct code__lazy *z)
{
	uint64_t used = align_up_u64(z->end, CODE_LAZY_ALIGN) + z->records;
	return used < z->text_max ? z->text_max - used : 0;
}

const uint8_t *code_lazy_room(const struct code_object *o, uint64_t size)
{
	return size <= left(o->lazy) ? o->text + align_up_u64(o->lazy->end, CODE_LAZY_ALIGN) : NULL;
}

uint64_t code_lazy_left(const struct code_object *o)
{
	return max_u64(left(o->lazy), CODE_LAZY_ALIGN);  // so much that a function begins
}

void code_lazy_skip(struct code_object *o, uint64_t size)
{
	o->lazy->end += size;
}

bool code_lazy_add(struct code_object *o, const struct code_artifact *a, const struct wasm_module *m, struct err *e)
{
	struct code__lazy *z = o->lazy;
	const uint8_t *at = code_lazy_room(o, a->text_size + code__object_size(a));
	struct code_object *f = at && z->n < o->nfuncs ? code__object_of(a, o->owner) : NULL;
	if (!f)
		return at ? err_nomem(e) : err_set(e, ERR_LIMIT, "the module's machine code would exceed %llu bytes", (unsigned long long)z->of.text_max);
	f->whole = o;
	f->text = at;
	int r = code__sites_index(f) ? sys_write_at(z->fd, a->text, a->text_size, (uint64_t)(at - o->text)) : -ENOMEM;
	if (r) {
		code__object_free(f);
		return err_set_errno(e, -r, "cannot write code");
	}
	code__tell(f, m);
	z->end = (uint64_t)(at - o->text) + a->text_size;
	z->records += code__object_size(a);
	z->funcs[z->n] = f;
	__atomic_store_n(&z->n, z->n + 1, __ATOMIC_RELEASE);
	__atomic_store_n(slot_of(o, a->first_func - o->first_func), (uintptr_t)at + a->funcs[0].offset, __ATOMIC_RELEASE);
	if (z->n == o->nfuncs) {
		sys_close(z->fd);  // nothing is left to be written
		z->fd = -1;
	}
	return true;
}

bool code_lazy_compile(const struct code_object *o, uint32_t func, const void **ret, struct err *e)
{
	BUG_ON(!o->lazy);
	return o->lazy->of.compile(o->lazy->of.arg, func, ret, e);
}

const struct code_object *code_object_whole(const struct code_object *o)
{
	return o->whole ? o->whole : o;
}
