// Published code and the registry that finds it by address.
//
// 1. The registry is an immutable array sorted by address; a writer makes a new one and swaps the pointer. Readers count themselves in and out
//    (signal handlers too, nested ones as well), and a writer frees old arrays only when it sees no reader after the swap: whoever comes
//    later has the new array.
// 2. Functions lie in the text in ascending order, so that function and site are found by bisection and one short walk
//    (sites.c).
#include "code_int.h"

#include <stdatomic.h>

#include "sys/sys.h"

// ---- registry ---------------------------------------------------------------------------------------------------
struct range {
	uintptr_t start, end;
	struct code_object *object;
};
struct registry {
	struct registry *retired;
	uint32_t n;
	struct range ranges[];
};
static _Atomic(struct registry *) current;
static atomic_uint readers;
static struct sys_mutex registry_lock = SYS_MUTEX;
static struct registry *retired;

static void swap_in(struct registry *new, struct registry *old)
{
	atomic_store(&current, new);
	if (old) {
		old->retired = retired;
		retired = old;
	}
	if (atomic_load(&readers))
		return;
	while (retired) {
		struct registry *r = retired;
		retired = r->retired;
		mem_free(r);
	}
}

static bool registry_add(struct code_object *o)
{
	sys_mutex_lock(&registry_lock);
	struct registry *old = atomic_load(&current);
	uint32_t n = old ? old->n : 0, i = 0;
	struct registry *new = mem_alloc(sizeof *new + (n + 1) * sizeof(struct range));
	if (new) {
		uintptr_t start = (uintptr_t)o->text;
		while (i < n && old->ranges[i].start < start)
			i++;
		if (i)
			memcpy(new->ranges, old->ranges, i * sizeof(struct range));
		new->ranges[i] = (struct range){start, start + o->text_size, o};
		if (i < n)
			memcpy(new->ranges + i + 1, old->ranges + i, (n - i) * sizeof(struct range));
		new->n = n + 1;
		swap_in(new, old);
	}
	sys_mutex_unlock(&registry_lock);
	return new != NULL;
}

// Without memory for a smaller array the entry stays, with an empty range.
static void registry_remove(struct code_object *o)
{
	sys_mutex_lock(&registry_lock);
	struct registry *old = atomic_load(&current);
	struct registry *new = mem_alloc(sizeof *new + old->n * sizeof(struct range));
	if (new) {
		new->n = 0;
		for (uint32_t i = 0; i < old->n; i++) {
			if (old->ranges[i].object != o)
				new->ranges[new->n++] = old->ranges[i];
		}
		swap_in(new, old);
	} else {
		for (uint32_t i = 0; i < old->n; i++) {
			if (old->ranges[i].object == o)
				((volatile struct range *)&old->ranges[i])->end = old->ranges[i].start;
		}
	}
	sys_mutex_unlock(&registry_lock);
}

// Of an object whose functions come one by one: the function that holds pc, or itself.
static const struct code_object *part_at(const struct code_object *o, const void *pc)
{
	const struct code__lazy *z = o->lazy;
	uint32_t low = 0, high = __atomic_load_n(&z->n, __ATOMIC_ACQUIRE);
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if ((uintptr_t)pc < (uintptr_t)z->funcs[mid]->text)
			high = mid;
		else
			low = mid + 1;
	}
	const struct code_object *f = low ? z->funcs[low - 1] : NULL;
	return f && (uintptr_t)pc - (uintptr_t)f->text < f->text_size ? f : o;
}

const struct code_object *code_find(const void *pc)
{
	atomic_fetch_add(&readers, 1);
	const struct registry *r = atomic_load(&current);
	const struct code_object *found = NULL;
	uintptr_t at = (uintptr_t)pc;
	uint32_t low = 0, high = r ? r->n : 0;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (at < r->ranges[mid].start)
			high = mid;
		else
			low = mid + 1;
	}
	if (low && at < r->ranges[low - 1].end)
		found = r->ranges[low - 1].object;
	if (found && found->lazy)
		found = part_at(found, pc);
	atomic_fetch_sub(&readers, 1);
	return found;
}

// ---- objects ----------------------------------------------------------------------------------------------------
static bool map_text(const struct code_artifact *a, const uint8_t **ret, size_t *ret_mapped, struct err *e)
{
	size_t size = (size_t)align_up_u64(a->text_size ? a->text_size : 1, SYS_PAGE);
	int fd = sys_memfd("tenon-code", size);
	if (fd < 0)
		return err_set_errno(e, -fd, "cannot make room for %zu bytes of code", size);
	int r = sys_write_at(fd, a->text, a->text_size, 0);
	if (!r)
		r = sys_memfd_seal(fd);
	void *p = r ? NULL : sys_map_code(fd, size);
	sys_close(fd);
	if (!p)
		return r ? err_set_errno(e, -r, "cannot write code") : err_set(e, ERR_ENV, "cannot map code as executable");
	*ret = p;
	*ret_mapped = size;
	return true;
}

void code__object_free(struct code_object *o)
{
	code__gdb_remove(o->gdb);
	if (o->mapping) {
		code_mapping_unref(o->mapping);
	} else if (o->lazy) {
		o->release(o);
	} else if (o->text && !o->whole) {
		sys_unmap((void *)(uintptr_t)o->text, o->mapped);
	}
	mem_free(o->longs);
	mem_free(o->marks);
	mem_free(o);
}

// With so many bytes behind it.
static struct code_object *object_new(const struct code_artifact *a, void *owner, size_t rows)
{
	struct code_object *o = mem_zalloc(sizeof *o + rows);
	if (o)
		*o = (struct code_object){
			.refs = 1,
			.first_func = a->first_func,
			.nfuncs = a->nfuncs,
			.flags = a->flags,
			.text_size = a->text_size,
			.sites_size = a->sites_size,
			.nhandlers = a->nhandlers,
			.owner = owner,
		};
	return o;
}

static size_t rows_of(const struct code_artifact *a)
{
	return a->nfuncs * sizeof *a->funcs + a->nhandlers * sizeof *a->handlers + a->sites_size;
}

size_t code__object_size(const struct code_artifact *a)
{
	return sizeof(struct code_object) + rows_of(a);
}

static const void *put(uint8_t **at, const void *from, size_t size)
{
	uint8_t *to = *at;
	if (size)
		memcpy(to, from, size);
	*at += size;
	return to;
}

// One block: of functions that come one by one there may be a million.
struct code_object *code__object_of(const struct code_artifact *a, void *owner)
{
	struct code_object *o = object_new(a, owner, rows_of(a));
	if (!o)
		return NULL;
	uint8_t *at = (uint8_t *)(o + 1);
	o->funcs = put(&at, a->funcs, a->nfuncs * sizeof *a->funcs);
	o->handlers = put(&at, a->handlers, a->nhandlers * sizeof *a->handlers);
	o->sites = put(&at, a->sites, a->sites_size);
	return o;
}

void code__tell(struct code_object *o, const struct wasm_module *m)
{
	code__perf_note(o, m);
	o->gdb = code__gdb_add(o, m);
}

bool code__object_list(struct code_object *o, const struct wasm_module *m, struct code_object **ret, struct err *e)
{
	if ((o->funcs && !code__sites_index(o)) || !registry_add(o)) {
		code__object_free(o);
		return err_nomem(e);
	}
	code__tell(o, m);
	*ret = o;
	return true;
}

bool code_publish(const struct code_artifact *a, const struct wasm_module *m, void *owner, struct code_object **ret, struct err *e)
{
	struct code_object *o = code__object_of(a, owner);
	if (!o)
		return err_nomem(e);
	if (!map_text(a, &o->text, &o->mapped, e)) {
		code__object_free(o);
		return false;
	}
	return code__object_list(o, m, ret, e);
}

bool code_publish_mapped(struct code_mapping *map, const struct code_artifact *a, const struct wasm_module *m, void *owner, struct code_object **ret,
	struct err *e)
{
	struct code_object *o = object_new(a, owner, 0);
	if (!o)
		return err_nomem(e);
	o->mapping = code_mapping_ref(map);
	o->funcs = a->funcs;
	o->sites = a->sites;
	o->handlers = a->handlers;
	o->text = a->text;
	if (!code__mapping_add_text(map, a->text, a->text_size, e)) {
		code__object_free(o);
		return false;
	}
	return code__object_list(o, m, ret, e);
}

struct code_object *code_object_ref(struct code_object *o)
{
	if (o)
		__atomic_fetch_add(&o->refs, 1, __ATOMIC_RELAXED);
	return o;
}

void code_object_unref(struct code_object *o)
{
	if (!o || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL))
		return;
	registry_remove(o);
	code__object_free(o);
}

const void *code_object_func(const struct code_object *o, uint32_t defined_func)
{
	BUG_ON(defined_func >= o->nfuncs);
	return o->lazy ? code__lazy_entry(o, defined_func) : o->text + o->funcs[defined_func].offset;
}

uint64_t code_object_size(const struct code_object *o)
{
	return o->text_size;
}

void *code_object_owner(const struct code_object *o)
{
	return o->owner;
}

uint32_t code_object_flags(const struct code_object *o)
{
	return o->flags;
}

// ---- sites ------------------------------------------------------------------------------------------------------
const struct code_func *code__func_at(const struct code_object *o, const void *pc, uint32_t *ret_index)
{
	uint32_t at = (uint32_t)((const uint8_t *)pc - o->text);
	uint32_t low = 0, high = o->lazy ? 0 : o->nfuncs;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (at < o->funcs[mid].offset)
			high = mid;
		else
			low = mid + 1;
	}
	if (!low || at - o->funcs[low - 1].offset >= o->funcs[low - 1].size)
		return NULL;
	*ret_index = low - 1;
	return &o->funcs[low - 1];
}

bool code_object_place(const struct code_object *o, const void *pc, struct code_place *ret)
{
	uint32_t index, at = (uint32_t)((const uint8_t *)pc - o->text);
	struct code__site site = {0};
	const struct code_func *f = code__func_at(o, pc, &index);
	if (!f)
		return false;
	code__site_before(o, index, at - f->offset, &site);
	*ret = (struct code_place){.func = o->first_func + index, .offset = f->wasm_offset + site.offset};
	return true;
}

enum trap code_object_trap(const struct code_object *o, const void *pc)
{
	uint32_t index, at = (uint32_t)((const uint8_t *)pc - o->text);
	struct code__site site;
	const struct code_func *f = code__func_at(o, pc, &index);
	if (!f || !code__site_before(o, index, at - f->offset, &site) || site.pc != at - f->offset || site.trap >= TRAP_COUNT)
		return TRAP_NONE;
	return site.trap;
}

bool code_site_find(uintptr_t pc, struct code_site *ret)
{
	const void *at = (const void *)pc;
	struct code_place place = {0};
	const struct code_object *o = code_find(at);
	if (!o)
		return false;
	bool is_guest = code_object_place(o, at, &place);
	*ret = (struct code_site){.object = o, .owner = o->owner, .func = place.func, .offset = place.offset, .trap = code_object_trap(o, at), .is_guest = is_guest};
	return true;
}
