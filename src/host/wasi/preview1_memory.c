// Preview 1: the module's memory, as far as a pointer may reach.
#include "preview1.h"

void *wasi__p1_at(struct p1_call *c, uint64_t at, uint64_t len, uint32_t align)
{
	const struct abi_memory *m = c->p->memory;
	uint8_t *p = m ? vm_memory_map(m, at, len) : NULL;
	if (!m)
		seam_trap(&c->seam, "%s: the module exports no memory", c->func->name);
	else if (!p)
		seam_trap(&c->seam, "%s: the pointer 0x%llx, to %llu bytes, leaves the memory", c->func->name, (unsigned long long)at, (unsigned long long)len);
	else if (at % align)
		seam_trap(&c->seam, "%s: the pointer 0x%llx is not aligned to %u bytes", c->func->name, (unsigned long long)at, align);
	else
		return p;
	return NULL;
}

enum seam_result wasi__p1_put(struct p1_call *c, uint64_t at, const void *value, size_t size, uint32_t align)
{
	void *p = wasi__p1_at(c, at, size, align);
	if (!p)
		return SEAM_TRAP;
	memcpy(p, value, size);
	return SEAM_OK;
}

enum seam_result wasi__p1_put_u32(struct p1_call *c, uint64_t at, uint32_t value)
{
	return wasi__p1_put(c, at, &value, sizeof value, _Alignof(uint32_t));
}

enum seam_result wasi__p1_put_u64(struct p1_call *c, uint64_t at, uint64_t value)
{
	return wasi__p1_put(c, at, &value, sizeof value, _Alignof(uint64_t));
}

enum seam_result wasi__p1_iovs_next(struct p1_call *c, struct p1_iovs *v, uint64_t max, uint8_t **ret, size_t *ret_len)
{
	for (*ret_len = 0; v->left; v->left--, v->at += sizeof(struct p1_iovec), v->used = 0) {
		const struct p1_iovec *iov = wasi__p1_at(c, v->at, sizeof *iov, _Alignof(struct p1_iovec));
		if (!iov)
			return SEAM_TRAP;
		// Read once: another thread may write there (L53).
		uint32_t buf = __atomic_load_n(&iov->buf, __ATOMIC_RELAXED), len = __atomic_load_n(&iov->len, __ATOMIC_RELAXED);
		if (v->used < len) {
			*ret = wasi__p1_at(c, (uint64_t)buf + v->used, len - v->used, 1);
			*ret_len = min_u64(len - v->used, max);
			return *ret ? SEAM_OK : SEAM_TRAP;
		}
		enum seam_result r = seam_work(&c->seam, VM_WORK_ITEM);
		if (r != SEAM_OK)
			return r;
	}
	return SEAM_OK;
}
