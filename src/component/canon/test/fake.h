// A memory and a guest's realloc for tests of lifting and lowering without code.
#ifndef CANON_TEST_FAKE_H
#define CANON_TEST_FAKE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../canon_int.h"

enum { FAKE_SIZE = 65536, FAKE_LOG = 32 };
#define FAKE_HIGH (UINT64_C(5) << 30)
#define UTF16_TAG (UINT64_C(1) << 31)

struct fake {
	struct canon_instance inst;
	struct canon__component_instance components[2];
	struct abi_memory memory;
	struct canon_trap trap;
	struct canon_task task;
	struct canon__cx cx;
	uint8_t bytes[FAKE_SIZE];
	uint64_t low;       // address of bytes[0]; where addresses are 64-bit there is no memory below it
	uint64_t next;      // of the bump allocator
	uint64_t force;     // nonzero: what realloc returns
	uint32_t n_calls;
	uint64_t calls[FAKE_LOG][4];  // old, old_size, align, size
};

static bool fake_realloc(struct canon__cx *cx, uint64_t old, uint64_t old_size, uint32_t align, uint64_t size, uint64_t *ret)
{
	struct fake *f = CONTAINER_OF(cx, struct fake, cx);
	if (f->n_calls < FAKE_LOG) {
		uint64_t *c = f->calls[f->n_calls];
		c[0] = old, c[1] = old_size, c[2] = align, c[3] = size;
	}
	f->n_calls++;
	if (f->force) {
		*ret = f->force;
		return true;
	}
	if (old && size <= old_size) {
		*ret = old;
		return true;
	}
	f->next = align_up_u64(f->next, align);
	*ret = f->next;
	f->next += size;
	if (old && f->next <= f->low + FAKE_SIZE)
		memmove(f->memory.base + *ret, f->memory.base + old, old_size);
	return true;
}

// One for the thread, for good.
static struct vm_shard *fake_shard(void)
{
	struct vm_shard *s = vm_shard_current();
	assert_true(s || vm_shard_new(&s, NULL));
	return s;
}

static struct fake *fake_new_of(bool wide)
{
	struct fake *f = mem_zalloc(sizeof(*f));
	f->low = wide ? FAKE_HIGH : 0;
	f->memory = (struct abi_memory){.base = (uint8_t *)((uintptr_t)f->bytes - f->low), .length = f->low + FAKE_SIZE, .max_bytes = f->low + FAKE_SIZE};
	f->inst.components = f->components;
	f->inst.n_components = 2;
	for (int i = 0; i < 2; i++)
		f->components[i].may_leave = true;
	pool_init(&f->inst.head.pool, NULL);
	f->task = (struct canon_task){.instance = &f->inst, .trap = &f->trap};
	arena_init_pool(&f->task.arena, 16 << 20, &f->inst.head.pool);
	f->inst.exec = vm_shard_exec(fake_shard());
	f->next = f->low + 1024;
	f->cx = (struct canon__cx){.inst = &f->inst, .memory = &f->memory, .encoding = CANON_UTF8, .wide = wide, .arena = &f->task.arena, .task = &f->task};
	f->cx.reallocate = fake_realloc;
	return f;
}

UNUSED static struct fake *fake_new(void)
{
	return fake_new_of(false);
}

static void fake_free(struct fake *f)
{
	arena_release(&f->task.arena);
	for (int i = 0; i < 2; i++)
		pool_free(f->components[i].handles.array);
	pool_free(f->inst.host_table.array);
	pool_release(&f->inst.head.pool);
	mem_free(f);
}

// A test with 32-bit addresses, then with 64-bit ones, all of them above 4 GiB.
UNUSED static struct fake *fake_next(struct fake *f)
{
	bool wide = f->cx.wide;
	fake_free(f);
	return wide ? NULL : fake_new_of(true);
}
#define FOR_EACH_WIDTH(f) for (struct fake *f = fake_new_of(false); f; f = fake_next(f))

#endif
