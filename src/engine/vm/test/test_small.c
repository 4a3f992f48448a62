// A host with little address space (U1).
#include "guests.h"

#include <sys/resource.h>

static bool limit(uint64_t bytes)
{
	struct rlimit r = {bytes, RLIM_INFINITY};
	return setrlimit(RLIMIT_AS, &r) == 0;
}

// A memory of a store of its own.
static bool add_memory(struct vm_shard *s, uint64_t pages, struct vm_store **ret_st, struct vm_memory **ret, struct err *e)
{
	struct wasm_memory_type type = {.limits = {.min = pages}, .page_shift = 16};
	assert_true(vm_store_new(s, NULL, ret_st, e));
	if (vm_memory_new(*ret_st, &type, ret, e))
		return true;
	vm_store_free(*ret_st);
	return false;
}

// Runs before anything of vm was initialised: address space for one cell, not for a chunk of them.
static void memories_lie_in_spans_where_address_space_is_short_U1(void **state UNUSED)
{
	enum { MANY = 100 };
	struct err e = {0};
	struct vm_shard *s;
	struct vm_store *st[MANY];
	struct buf out = {0};
#if SANITIZE_ADDRESS || SANITIZE_THREAD
	skip();  // the sanitizer's shadow alone is larger
#endif
	assert_true(limit(12ull << 30));
	assert_true(vm_shard_new(&s, &e));
	assert_false(vm_process_has_cells());
	vm_process_describe(&out);
	assert_non_null(strstr((char *)out.ptr, "memory cells: none, accesses are checked by code (address space for 1 of 6 GiB)"));
	buf_release(&out);
	for (int round = 0; round < 3; round++) {
		// Each asks for 256 MiB; there is that for less than 48 of them, and less for a few more.
		int n = 0;
		for (struct vm_memory *m; n < MANY && add_memory(s, 1, &st[n], &m, &e); n++) {
			memset(vm_memory_base(m), 7, 65536);
			if (n < 40)
				assert_int_equal(vm_memory_grow(m, 4095), 1);
		}
		assert_true(n > 47 && n < MANY);
		assert_int_equal(e.code, ERR_ENV);
		err_clear(&e);
		// What is left is left to all else.
		void *more = sys_map_anonymous(32 << 20);
		assert_non_null(more);
		sys_unmap(more, 32 << 20);
		while (n)
			vm_store_free(st[--n]);
	}
	vm_shard_free(s);
	assert_true(limit(RLIM_INFINITY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memories_lie_in_spans_where_address_space_is_short_U1),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
