// Maps, and where their keys lie.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/base_int.h"

static void what_was_put_is_found(void **s)
{
	enum { N = 100000 };
	static uint32_t keys[N];
	struct map m;
	bool nomem;
	uintptr_t value;
	map_init(&m, NULL);
	assert_false(map_has(&m, SLICE_LIT("")));
	for (uint32_t i = 0; i < N; i++) {
		keys[i] = i;
		assert_true(map_insert(&m, slice_of(&keys[i], 4), i, &nomem));
	}
	assert_false(map_insert(&m, slice_of(&keys[7], 4), 8, &nomem));
	assert_false(nomem);
	for (uint32_t i = 0; i < N; i++)
		assert_true(map_get(&m, slice_of(&keys[i], 4), &value) && value == i);
	assert_false(map_has(&m, slice_of(&(uint32_t){N}, 4)));
	map_release(&m);
}

static void room_that_is_reserved_takes_no_more(void **s)
{
	static const uint8_t keys[48];
	struct map m;
	bool nomem;
	map_init(&m, NULL);
	assert_true(map_reserve(&m, 0) && !m.cap);
	assert_true(map_reserve(&m, sizeof keys));
	uint32_t cap = m.cap;
	assert_int_equal(cap, 64);
	for (size_t i = 0; i < sizeof keys; i++)
		assert_true(map_insert(&m, slice_of(keys, i + 1), i, &nomem));
	assert_int_equal(m.cap, cap);
	assert_true(map_insert(&m, SLICE_LIT("one more"), 0, &nomem));
	assert_int_equal(m.cap, 2 * cap);
	assert_true(map_has(&m, slice_of(keys, sizeof keys)));
	mem_fail_nth(1);
	assert_false(map_reserve(&m, 1000));
	mem_fail_nth(0);
	assert_int_equal(m.cap, 2 * cap);
	map_release(&m);
}

static void slots_have_room_for_what_was_asked(void **s)
{
	struct arena a;
	struct slots t;
	arena_init(&a, 0);
	for (uint32_t n = 0; n < 1000; n++) {
		assert_true(slots_make(&t, &a, n));
		assert_true(t.mask >= n && (t.mask & (t.mask + 1)) == 0);
	}
	assert_ptr_equal(slots_at(&t, UINT64_MAX), &t.at[t.mask]);
	arena_release(&a);
}

// SipHash-1-3 as others have it: with the key 00 01 … 0f, and with the key of zeros.
static void keys_lie_where_the_secret_says(void **s)
{
	static const uint64_t ascending[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908}, zeros[2] = {0};
	assert_true(map__hash(SLICE_LIT(""), ascending) == 0xabac0158050fc4dc);
	assert_true(map__hash(SLICE_LIT("a"), ascending) == 0x1c2697ab786a6237);
	assert_true(map__hash(SLICE_LIT("12345678"), zeros) == 0x3489982430560a87);
	assert_true(map__hash(SLICE_LIT("tenon, a component server"), zeros) == 0xe71f98115602ec05);
}

// Addresses and ids often differ by a multiple of a power of two.
static void words_that_lie_far_apart_by_a_power_of_two_are_spread(void **s)
{
	enum { CELLS = 1024 };
	for (unsigned shift = 0; shift < 54; shift++) {
		uint32_t hits[CELLS] = {0}, most = 0;
		for (uint64_t i = 0; i < CELLS; i++)
			hits[map_hash_word(i << shift) % CELLS]++;
		for (unsigned i = 0; i < CELLS; i++)
			most = hits[i] > most ? hits[i] : most;
		if (most > 64)
			fail_msg("%u of %u words lie in one place (shift %u)", most, CELLS, shift);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found),
		cmocka_unit_test(room_that_is_reserved_takes_no_more),
		cmocka_unit_test(slots_have_room_for_what_was_asked),
		cmocka_unit_test(keys_lie_where_the_secret_says),
		cmocka_unit_test(words_that_lie_far_apart_by_a_power_of_two_are_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
