// Compiled modules, counted, and which version of their code instances get from now on; what an instance has left of their segments.
#include "vm_int.h"

// Code that leaves checks to the processor runs only where memories lie in cells.
static bool suits(const struct wasm_module *m, const struct code_object *code)
{
	return m->nmemories == 0 || code_object_flags(code) & CODE_CHECKS_MEMORIES || vm_process_has_cells();
}

bool vm_module_new(const struct wasm_module *m, struct code_object *code, void (*drop)(void *arg), void *drop_arg, struct vm_module **ret, struct err *e)
{
	if (!suits(m, code))
		return err_set(e, ERR_ENV, "no address space for memories in cells, which this code needs");
	struct vm_module *mod = mem_zalloc(sizeof *mod);
	uint32_t *ids = mem_zalloc(sizeof *ids * ((size_t)m->ntypes + 1));
	if (!mod || !ids) {
		mem_free(mod);
		mem_free(ids);
		return err_nomem(e);
	}
	*mod = (struct vm_module){.m = m, .code = code_object_ref(code), .type_ids = ids, .refs = 1, .drop = drop, .drop_arg = drop_arg};
	for (uint32_t i = 0; i < m->ntypes; i++)
		ids[i] = m->types[i].id;
	abi_layout(m, &mod->layout);
	*ret = mod;
	return true;
}

struct vm_module *vm_module_ref(struct vm_module *m)
{
	__atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void vm_module_unref(struct vm_module *m)
{
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	code_object_unref(m->code);
	if (m->drop)
		m->drop(m->drop_arg);
	mem_free(m->type_ids);
	mem_free(m);
}

// Under the lock: between reading the pointer and counting the reference nobody may let the object go.
void vm_module_set_code(struct vm_module *m, struct code_object *code)
{
	BUG_ON(!suits(m->m, code));
	code_object_ref(code);
	vm__process_lock();
	struct code_object *old = m->code;
	m->code = code;
	__atomic_store_n(&m->code_version, m->code_version + 1, __ATOMIC_RELAXED);
	vm__process_unlock();
	code_object_unref(old);
}

bool vm__data_bytes(const struct vm_instance *inst, uint32_t data, struct slice *ret)
{
	const struct wasm_module *m = inst->mod->m;
	*ret = (struct slice){0};
	if (vm__bit(inst->dropped, m->nelems + data))
		return true;
	const struct wasm_data *all = wasm_module_data(m);
	if (all)
		*ret = all[data].bytes;
	return all;
}
