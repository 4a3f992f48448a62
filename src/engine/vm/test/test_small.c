// A host with little address space (U1).
#include "guests.h"

#include <sys/resource.h>

static struct guest guest;

// Runs before anything of vm was initialised: address space for one cell, not for a chunk of them.
static void runs_where_address_space_is_short(void **state UNUSED)
{
	struct rlimit r = {12ull << 30, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
	struct err e = {0};
	struct vm_shard *s;
	struct vm_store *st, *second;
	struct vm_instance *inst;
	struct buf out = {0};
	uint64_t v;
#if SANITIZE_ADDRESS || SANITIZE_THREAD
	skip();  // the sanitizer's shadow alone is larger
#endif
	assert_int_equal(setrlimit(RLIMIT_AS, &r), 0);
	assert_true(vm_shard_new(&s, &e));
	guest_init(&guest, 1, 10);
	vm_process_describe(&out);
	assert_non_null(strstr((char *)out.ptr, "at most 1 of 6 GiB"));
	buf_release(&out);
	for (int i = 0; i < 3; i++) {
		guest_make(s, &guest, NULL, NULL, NULL, &st, &inst);
		assert_int_equal(guest_call(inst, G_LOAD, 65532, 0, &v), TRAP_NONE);
		struct vm_instance *none;
		assert_false(guest_allocate(s, &guest, NULL, NULL, NULL, &second, &none, &e));
		assert_int_equal(e.code, ERR_ENV);
		err_clear(&e);
		vm_store_free(st);
	}
	guest_release(&guest);
	vm_shard_free(s);
	assert_int_equal(setrlimit(RLIMIT_AS, &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_where_address_space_is_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
