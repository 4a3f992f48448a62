// Accounts, pools and what is built on them.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/base_int.h"

static void an_account_holds_at_its_bounds(void **s)
{
	struct account a = {.limit = 10};
	assert_true(account_charge(&a, 10));
	assert_false(account_charge(&a, 1));
	assert_true(account_charge(&a, 0));
	account_uncharge(&a, 4);
	assert_false(account_charge(&a, UINT64_MAX));
	assert_true(account_charge(&a, 4));
	assert_int_equal(a.peak, 10);
	struct account none = {.limit = UINT64_MAX};
	assert_true(account_charge(&none, UINT64_MAX));
	assert_false(account_charge(&none, 1));
}

static void what_is_in_use_is_charged_and_what_is_kept_is_not(void **s)
{
	struct account a = {.limit = UINT64_MAX};
	struct pool p;
	void *blocks[100];
	pool_init(&p, &a);
	for (size_t n = 1; n < 100000; n = n * 3 + 1) {
		for (int k = 0; k < 100; k++)
			assert_non_null(blocks[k] = pool_alloc(&p, n));
		assert_true(a.used >= 100 * n);
		assert_true(a.used <= 100 * (n + n / 2 + 64));
		for (int k = 0; k < 100; k++)
			pool_free(blocks[k]);
		assert_int_equal(a.used, 0);
		assert_true(p.kept_bytes <= 16384);
	}
	pool_release(&p);
}

static void a_block_of_any_size_has_room_and_wastes_at_most_half_of_it(void **s)
{
	struct account a = {.limit = UINT64_MAX};
	struct pool p;
	pool_init(&p, &a);
	for (size_t n = 0; n < 10000; n++) {
		void *b = pool_alloc(&p, n);
		assert_non_null(b);
		memset(b, 0xaa, n);
		assert_true(a.used >= n + 16 && a.used <= n + n / 2 + 64);
		pool_free(b);
		assert_int_equal(a.used, 0);
	}
	pool_release(&p);
}

static void a_block_that_was_freed_serves_again_without_the_heap(void **s)
{
#if SANITIZE_ADDRESS
	skip();  // it keeps none
#endif
	struct pool p;
	pool_init(&p, NULL);
	void *first = pool_zalloc(&p, 100);
	pool_free(first);
	mem_fail_nth(1);
	void *again = pool_zalloc(&p, 90);
	mem_fail_nth(0);
	assert_ptr_equal(first, again);
	pool_free(again);
	pool_release(&p);
}

static void the_limit_refuses_and_says_that_it_was_the_limit(void **s)
{
	struct account a = {.limit = 1200};
	struct pool p;
	pool_init(&p, &a);
	void *b = pool_alloc(&p, 500);
	assert_non_null(b);
	assert_null(pool_alloc(&p, 500));
	assert_true(p.over);
	assert_null(pool_realloc(&p, b, 2000));
	assert_true(p.over);
	pool_free(b);
	mem_fail_nth(1);
	assert_null(pool_alloc(&p, 800));
	mem_fail_nth(0);
	assert_false(p.over);
	assert_null(pool_alloc(&p, SIZE_MAX));
	assert_int_equal(a.used, 0);
	pool_release(&p);
}

static void growing_keeps_the_bytes_and_the_account(void **s)
{
	struct account a = {.limit = 64 << 20};
	struct pool p;
	pool_init(&p, &a);
	uint8_t *b = NULL;
	for (size_t n = 1; n < (8 << 20); n *= 2) {
		assert_non_null(b = pool_realloc(&p, b, n));
		b[n - 1] = (uint8_t)(n >> 3);
		for (size_t k = 1; k < n; k *= 2)
			assert_int_equal(b[k - 1], (uint8_t)(k >> 3));
		assert_true(a.used >= n && a.used <= 2 * n + 64);
	}
	pool_free(b);
	assert_int_equal(a.used, 0);
	pool_release(&p);
}

static void arenas_and_buffers_charge_through_a_pool(void **s)
{
	struct account a = {.limit = 1 << 20};
	struct pool p;
	struct arena arena;
	pool_init(&p, &a);
	arena_init_pool(&arena, 0, &p);
	struct arena_mark mark = arena_mark(&arena);
	while (arena_alloc(&arena, 1000, 8)) {
	}
	assert_true(p.over);
	assert_true(a.used > 900 << 10 || a.used > a.limit / 2);
	arena_rewind(&arena, mark);
	struct buf b = {.pool = &p};
	uint8_t chunk[512] = {0};
	while (buf_put(&b, chunk, sizeof chunk)) {
	}
	assert_true(b.len >= 500 << 10 && b.len <= a.limit);
	buf_release(&b);
	arena_release(&arena);
	assert_int_equal(a.used, 0);
	pool_release(&p);
}

static size_t told;
static void on_alloc(size_t size)
{
	told += size;
}

static void a_block_that_moves_is_charged_to_its_new_pool_and_stays_where_it_is(void **state)
{
	struct account from = {.limit = 1 << 20}, to = {.limit = 1 << 20};
	struct pool p, q;
	pool_init(&p, &from);
	pool_init(&q, &to);
	for (size_t size = 1; size < 1 << 16; size = size * 5 + 1) {
		uint8_t *block = pool_alloc(&p, size);
		uint64_t charged = from.used;
		memset(block, 7, size);
		assert_true(pool_move(&q, block) && pool_move(&q, block) && pool_move(&q, NULL));
		assert_int_equal(from.used, 0);
		assert_int_equal(to.used, charged);
		to.limit = 100;
		from.limit = 10;
		assert_false(pool_move(&p, block));  // no room there: it is as it was
		assert_true(p.over);
		assert_int_equal(to.used, charged);
		assert_int_equal(block[size - 1], 7);
		pool_free(block);
		assert_int_equal(to.used, 0);
		from.limit = to.limit = 1 << 20;
	}
	void *of_heap = pool_alloc(NULL, 100);
	assert_true(pool_move(&p, of_heap));
	assert_true(from.used > 0);
	pool_free(of_heap);
	pool_release(&p);
	pool_release(&q);
}

static void who_watches_is_told_of_what_no_account_knows(void **state)
{
	struct account account = {.limit = 1 << 20};
	struct pool of_one, of_none;
	pool_init(&of_one, &account);
	pool_init(&of_none, NULL);
	told = 0;
	mem_watch(on_alloc);
	void *a = pool_alloc(&of_one, 100), *large = pool_alloc(&of_one, 100000);
	assert_int_equal(told, 0);
	large = pool_realloc(&of_one, large, 200000);
	assert_int_equal(told, 0);
	void *b = pool_alloc(&of_none, 100);
	assert_true(told >= 100);
	told = 0;
	void *c = mem_alloc(7), *d = mem_zalloc(8);
	c = mem_realloc(c, 9);
	assert_int_equal(told, 24);
	mem_watch(NULL);
	mem_free(mem_alloc(1));
	assert_int_equal(told, 24);
	mem_free(c);
	mem_free(d);
	pool_free(a);
	pool_free(b);
	pool_free(large);
	pool_release(&of_one);
	pool_release(&of_none);
}

static void a_block_that_was_disowned_is_the_heaps(void **state)
{
	struct account account = {.limit = 1 << 20};
	struct pool p;
	pool_init(&p, &account);
	void *small = pool_alloc(&p, 100), *large = pool_alloc(&p, 100000);
	pool_disown(small);
	pool_disown(large);
	pool_disown(large);
	assert_int_equal(account.used, 0);
	pool_release(&p);
	memset(large, 1, 100000);
	pool_free(small);
	pool_free(large);
}

static void a_vector_at_the_end_of_its_arena_grows_where_it_lies(void **s)
{
	struct arena a;
	VEC(uint32_t)
	v = {0},
	w = {0};
	arena_init(&a, 0);
	assert_true(VEC_PUSH(&a, &v, 0u, UINT32_MAX));
	const uint32_t *first = v.ptr;
	for (uint32_t k = 1; k < 256; k++)
		assert_true(VEC_PUSH(&a, &v, k, UINT32_MAX));
	assert_ptr_equal(v.ptr, first);
	for (uint32_t k = 0; k < 100000; k++)  // two that take turns move, and so does one that leaves its chunk
		assert_true(VEC_PUSH(&a, &v, 256 + k, UINT32_MAX) && VEC_PUSH(&a, &w, k, UINT32_MAX));
	for (uint32_t k = 0; k < 100000; k++)
		assert_true(v.ptr[256 + k] == 256 + k && w.ptr[k] == k);
	for (uint32_t k = 0; k < 256; k++)
		assert_int_equal(v.ptr[k], k);
	uint8_t *p = arena_alloc(&a, 8, 1);
	assert_true(base__arena_extend(&a, p, 8, 16));
	assert_false(base__arena_extend(&a, p, 8, 16));  // it is 16 long now
	assert_false(base__arena_extend(&a, p, 16, 8));
	assert_false(base__arena_extend(&a, p, 16, SIZE_MAX));
	assert_false(base__arena_extend(&a, NULL, 0, 8));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vector_at_the_end_of_its_arena_grows_where_it_lies),
		cmocka_unit_test(an_account_holds_at_its_bounds),
		cmocka_unit_test(what_is_in_use_is_charged_and_what_is_kept_is_not),
		cmocka_unit_test(a_block_of_any_size_has_room_and_wastes_at_most_half_of_it),
		cmocka_unit_test(a_block_that_was_freed_serves_again_without_the_heap),
		cmocka_unit_test(the_limit_refuses_and_says_that_it_was_the_limit),
		cmocka_unit_test(growing_keeps_the_bytes_and_the_account),
		cmocka_unit_test(arenas_and_buffers_charge_through_a_pool),
		cmocka_unit_test(a_block_that_was_disowned_is_the_heaps),
		cmocka_unit_test(a_block_that_moves_is_charged_to_its_new_pool_and_stays_where_it_is),
		cmocka_unit_test(who_watches_is_told_of_what_no_account_knows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
