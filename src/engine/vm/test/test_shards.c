// Several shards at once, on one image and one piece of code.
#include "guests.h"

#include <pthread.h>

static struct guest guest;

struct worker {
	pthread_t thread;
	struct vm_image *img;
	int failures;
};

struct busy {
	struct vm_instance *inst;
	uint64_t result;
	enum trap trap;
};

static void run_busy(void *arg)
{
	struct busy *b = arg;
	b->trap = guest_call(b->inst, G_STORE, 4096, 7, NULL);
	if (!b->trap)
		b->trap = guest_call(b->inst, G_BUSY, 20000000, 0, &b->result);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct err e = {0};
	struct vm_shard *s;
	struct vm_store *st;
	struct busy b;
	if (!vm_shard_new(&s, &e) || !guest_allocate(s, &guest, NULL, NULL, NULL, &st, &b.inst, &e) || !vm_store_attach(st, w->img, &e)) {
		w->failures++;
		return NULL;
	}
	for (int i = 0; i < 5; i++) {
		uint64_t v = 1;
		struct vm_fiber *f = vm_fiber_new(s, run_busy, &b);
		while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
			;
		w->failures += b.trap != TRAP_NONE || b.result != BUSY_RESULT;
		vm_fiber_free(f);
		w->failures += !vm_store_reset(st);
		w->failures += guest_call(b.inst, G_LOAD, 4096, 0, &v) != TRAP_NONE || v != 0;
		w->failures += guest_call(b.inst, G_LOAD, 8, 0, &v) != TRAP_NONE || v != 99;
	}
	vm_store_free(st);
	vm_shard_free(s);
	return NULL;
}

static void shares_images_and_code_between_shards(void **state UNUSED)
{
	struct worker w[3] = {0};
	struct err e = {0};
	struct vm_shard *s;
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_image *img;
	assert_true(vm_shard_new(&s, &e));
	guest_init(&guest, 2, 10);
	guest_make(s, &guest, NULL, NULL, NULL, &st, &inst);
	assert_int_equal(guest_call(inst, G_STORE, 8, 99, NULL), TRAP_NONE);
	assert_true(vm_image_capture(st, &img, &e));
	vm_store_free(st);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i].img = img;
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].failures, 0);
	}
	vm_image_unref(img);
	guest_release(&guest);
	vm_shard_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_images_and_code_between_shards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
