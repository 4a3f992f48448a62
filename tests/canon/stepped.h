// The fuzzer's guest (fuzz/async_guest.c) in an instance by itself, with a host that says each step of it and has nothing else.
#ifndef TESTS_CANON_STEPPED_H
#define TESTS_CANON_STEPPED_H

#include "../../fuzz/async_guest.h"
#include "subject.h"

static struct vm_shard *shard;
static struct subject subject;
static struct canon_instance *instance;

// Of who includes this: the next step, as a uint32_t in `ret`.
static enum trap next(struct canon_task *t, struct canon_instance *i, void *data, const void *args, void *ret);

static enum trap never(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}
static const struct canon_host_func host_funcs[] = {{.fn = next}, {.fn = never}, {.fn = never}, {.fn = never}, {.fn = never}, {.fn = never}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs)};

struct one {
	struct canon_task task;
	struct canon_trap trap;
	bool ok;
};

// A new instance, and the fiber of `run`, which has not begun.
static struct vm_fiber *stepped_begin(void (*run)(void *one), struct one *o)
{
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &instance, &e));
	assert_true(canon_instance_initialize(instance, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	struct vm_fiber *f = vm_fiber_new(shard, run, o);
	assert_non_null(f);
	return f;
}

// The guest that generate_async_component makes of the key.
static bool stepped_new(const uint8_t key[9])
{
	struct bytes in = {key, key + 9};
	struct buf text = {0};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e))
		return false;
	generate_async_component(&in, &text);
	bool ok = subject_try(&subject, (const char *)text.ptr, &e);
	buf_release(&text);
	return ok;
}

static void stepped_release(void)
{
	subject_release(&subject);
	vm_shard_free(shard);
}

#endif
