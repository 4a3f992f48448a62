// Guests use key-value over links: each face says the same of the same store, and what a guest may not have or asks wrongly it is told.
// PROGRAM(test_keyvalue, "link wasi tier cmocka", "")
#include "guest.h"

#define STORE "wasi:keyvalue/store@0.2.0-draft2"
#define ATOMICS "wasi:keyvalue/atomics@0.2.0-draft2"
#define BATCH "wasi:keyvalue/batch@0.2.0-draft2"
enum { NO_STORE, DENIED, OTHER };

static struct puppet p;

static void open_puppet(struct link *l, const char *const *wanted)
{
	guest_link = l;
	p = (struct puppet){.loop = loop, .offer = offer_links};
	puppet_open(&p, wanted);
}

static void close_puppet(void)
{
	puppet_close(&p);
	if (guest_link)
		link_unref(guest_link);
	guest_link = NULL;
	close_host();
}

static uint32_t open_bucket(const char *name)
{
	puppet_poke(&p, 0, slice_str(name));
	CALL(&p, "open", PUPPET_ARGS, strlen(name));
	is_ok(&p, 4);
	return word_at(&p, 4);
}

// Calls a function of bucket and key, and what follows.
static void with_key(const char *func, uint32_t bucket, const char *key, uint64_t more, uint64_t more2)
{
	uint32_t n = strcmp(func, "[method]bucket.set") == 0 ? 5 : strcmp(func, "increment") == 0 ? 4
																							  : 3;
	puppet_poke(&p, 0, slice_str(key));
	puppet_call(&p, func, (const uint64_t[]){bucket, PUPPET_ARGS, strlen(key), more, more2}, n);
}

static void set(uint32_t bucket, const char *key, const char *value)
{
	puppet_poke(&p, 1000, slice_str(value));
	with_key("[method]bucket.set", bucket, key, PUPPET_ARGS + 1000, strlen(value));
	is_ok(&p, 4);
}

// NULL: the key is not there.
static const char *get(uint32_t bucket, const char *key)
{
	with_key("[method]bucket.get", bucket, key, 0, 0);
	is_ok(&p, 4);
	return puppet_peek(&p, PUPPET_RESULT + 4) ? text_at(&p, 8) : NULL;
}

static const char *const all_of_draft2[] = {STORE, "*", ATOMICS, "*", BATCH, "*", NULL};

static void values_are_set_and_read_and_deleted(void **s)
{
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	assert_null(get(b, "a"));
	set(b, "a", "one");
	set(b, "", "of no name");
	assert_string_equal(get(b, "a"), "one");
	assert_string_equal(get(b, ""), "of no name");
	set(b, "a", "");
	assert_string_equal(get(b, "a"), "");
	with_key("[method]bucket.exists", b, "a", 0, 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 1);
	with_key("[method]bucket.delete", b, "a", 0, 0);
	is_ok(&p, 4);
	assert_null(get(b, "a"));
	with_key("[method]bucket.exists", b, "a", 0, 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 0);
	puppet_drop(&p, &wasi_keyvalue_store_bucket_resource, b);
	close_puppet();
}

static void a_bucket_that_is_not_granted_is_no_store(void **s)
{
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	static const char *const names[] = {"other", "", "default/", "default2", "Default"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		puppet_poke(&p, 0, slice_str(names[i]));
		CALL(&p, "open", PUPPET_ARGS, strlen(names[i]));
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), NO_STORE);
	}
	close_puppet();
}

static void what_is_not_linked_is_denied_where_the_manifest_says_so(void **s)
{
	open_host(0);
	open_puppet(NULL, all_of_draft2);
	puppet_poke(&p, 0, SLICE_LIT("default"));
	CALL(&p, "open", PUPPET_ARGS, 7);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), DENIED);
	close_puppet();
}

static int64_t increment(uint32_t bucket, const char *key, int64_t by)
{
	with_key("increment", bucket, key, (uint64_t)by, 0);
	if (puppet_peek(&p, PUPPET_RESULT)) {
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 8), OTHER);
		return INT64_MIN;
	}
	return (int64_t)(word_at(&p, 8) | (uint64_t)word_at(&p, 12) << 32);
}

static void counters_are_decimal_and_do_not_wrap(void **s)
{
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	assert_int_equal(increment(b, "n", 1), 1);
	assert_int_equal(increment(b, "n", 41), 42);
	assert_string_equal(get(b, "n"), "42");
	assert_int_equal(increment(b, "n", -50), -8);
	assert_string_equal(get(b, "n"), "-8");
	set(b, "big", "9223372036854775807");
	assert_true(increment(b, "big", 1) == INT64_MIN);
	assert_non_null(strstr(text_at(&p, 12), "out of range"));
	assert_string_equal(get(b, "big"), "9223372036854775807");
	static const char *const none[] = {"", " 7", "007", "1.5", "abc", "-0", "+1", "9223372036854775808", "1\n"};
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		set(b, "bad", none[i]);
		assert_true(increment(b, "bad", 1) == INT64_MIN);
		assert_non_null(strstr(text_at(&p, 12), "no number"));
		assert_string_equal(get(b, "bad"), none[i]);
	}
	close_puppet();
}

// All keys, page by page: how many, and the sum of their numbers ("k12" is 12).
static uint32_t list_all(uint32_t bucket, uint64_t *ret_sum, uint32_t *ret_pages)
{
	uint32_t n = 0;
	uint64_t cursor[3] = {0};
	*ret_sum = *ret_pages = 0;
	do {
		puppet_call(&p, "[method]bucket.list-keys", (const uint64_t[]){bucket, cursor[0], cursor[1], cursor[2]}, 4);
		is_ok(&p, 4);
		uint32_t keys = word_at(&p, 4), n_keys = word_at(&p, 8);
		for (uint32_t i = 0; i < n_keys; i++) {
			uint32_t at = puppet_word(&p, keys + 8 * i), len = puppet_word(&p, keys + 8 * i + 4), v = 0;
			for (uint32_t k = 1; k < len; k++)
				v = v * 10 + puppet_peek(&p, at + k) - '0';
			*ret_sum += v;
		}
		n += n_keys;
		(*ret_pages)++;
		cursor[0] = puppet_peek(&p, PUPPET_RESULT + 12);
		cursor[1] = word_at(&p, 16);
		cursor[2] = word_at(&p, 20);
	} while (cursor[0]);
	return n;
}

static void lists_have_each_key_once_page_by_page(void **s)
{
	enum { N = 2500 };
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default"), pages;
	uint64_t sum;
	assert_int_equal(list_all(b, &sum, &pages), 0);
	for (uint32_t i = 0; i < N; i++) {
		char key[16];
		snprintf(key, sizeof key, "k%u", i);
		with_key("increment", b, key, 1, 0);
		is_ok(&p, 8);
	}
	assert_int_equal(list_all(b, &sum, &pages), N);
	assert_int_equal(sum, (uint64_t)N * (N - 1) / 2);
	assert_int_equal(pages, 3);
	static const char *const wrong[] = {"", "1", "1.", ".5", "0.0", "99999999999999999999.1", "7.7"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		puppet_poke(&p, 0, slice_str(wrong[i]));
		CALL(&p, "[method]bucket.list-keys", b, 1, PUPPET_ARGS, strlen(wrong[i]));
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
		assert_string_equal(text_at(&p, 8), "cursor expired");
	}
	close_puppet();
}

// A list is told for what it passes over, too: a page without a key is no less work.
static void keys_that_are_not_in_a_list_are_work_of_it(void **s)
{
	enum { N = 3000 };
	static const struct slice buckets[] = {{(const uint8_t *)"default", 7}, {(const uint8_t *)"other", 5}};
	guest_buckets = buckets;
	guest_n_buckets = 2;
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default"), other = open_bucket("other"), pages;
	uint64_t sum, done[2];
	struct abi_exec *exec = vm_shard_exec(shard);
	for (uint32_t k = 0; k < 2; k++) {
		exec->work = 0;
		assert_int_equal(list_all(b, &sum, &pages), 0);
		done[k] = exec->work;
		for (uint32_t i = 0; i < N && !k; i++) {
			char key[16];
			snprintf(key, sizeof key, "k%u", i);
			with_key("increment", other, key, 1, 0);
			is_ok(&p, 8);
		}
	}
	assert_true(done[1] >= done[0] + N * VM_WORK_ITEM && done[1] < VM_WORK_LOOK);
	close_puppet();
	guest_buckets = NULL;
	guest_n_buckets = 0;
}

static uint32_t cas_new(uint32_t bucket, const char *key)
{
	with_key("[static]cas.new", bucket, key, 0, 0);
	is_ok(&p, 4);
	return word_at(&p, 4);
}

static void a_swap_is_done_only_at_the_version_that_was_read(void **s)
{
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	uint32_t mine = cas_new(b, "k"), theirs = cas_new(b, "k");
	puppet_poke(&p, 1000, SLICE_LIT("mine"));
	CALL(&p, "swap", mine, PUPPET_ARGS + 1000, 4);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);
	assert_string_equal(get(b, "k"), "mine");
	CALL(&p, "swap", theirs, PUPPET_ARGS + 1000, 2);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 1);  // cas-failed, with a new one
	uint32_t again = word_at(&p, 8);
	assert_string_equal(get(b, "k"), "mine");
	CALL(&p, "[method]cas.current", again);
	assert_string_equal(text_at(&p, 8), "mine");
	set(b, "k", "other");
	set(b, "k", "mine");  // the same value is not the same version
	CALL(&p, "swap", again, PUPPET_ARGS + 1000, 2);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	again = word_at(&p, 8);
	CALL(&p, "swap", again, PUPPET_ARGS + 1000, 2);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);
	assert_string_equal(get(b, "k"), "mi");
	with_key("[method]bucket.delete", b, "k", 0, 0);
	puppet_drop(&p, &wasi_keyvalue_atomics_cas_resource, cas_new(b, "k"));
	close_puppet();
}

struct stuck {
	struct link_move *move;
	bool is_asked, is_over;
};

static void on_stuck(void *ctx, struct link_move *m)
{
	((struct stuck *)ctx)->is_asked = true;
}

static void on_back(void *ctx, const struct link_move_facts *f, const struct err *e)
{
	((struct stuck *)ctx)->is_over = true;
}

// Of a store that is held until the call's deadline.
static void a_cas_whose_current_failed_stays_at_its_version(void **s)
{
	struct stuck m = {0};
	struct link_target t;
	struct err e = {0};
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	set(b, "k", "v");
	uint32_t mine = cas_new(b, "k");
	const struct link_move_config c = {.target = &t, .copy = true, .max_pause_ns = 60 * SECOND, .ctx = &m, .journal = on_stuck, .done = on_back};
	assert_true(link_target_parse(&guest_arena, SLICE_LIT("memory:b"), SLICE_LIT("/tmp"), &t, &e) && link_move_start(guest_link, &c, &m.move, &e));
	while (!m.is_asked)
		loop_run_once(loop, MILLISECOND);
	CALL(&p, "[method]cas.current", mine);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	err_set(&e, ERR_ENV, "it is not written");
	link_move_journalled(m.move, &e);
	while (!m.is_over)
		loop_run_once(loop, MILLISECOND);
	with_key("[method]bucket.delete", b, "k", 0, 0);
	puppet_poke(&p, 1000, SLICE_LIT("late"));
	CALL(&p, "swap", mine, PUPPET_ARGS + 1000, 4);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 1);  // cas-failed
	assert_null(get(b, "k"));
	close_puppet();
}

// A list of `n` strings "k0"… at PUPPET_ARGS + 2000, and its strings after it.
static uint32_t poke_keys(uint32_t n, uint32_t step)
{
	for (uint32_t i = 0; i < n; i++) {
		char key[16];
		int len = snprintf(key, sizeof key, "k%u", i * step);
		uint32_t words[2] = {puppet_poke(&p, 20000 + 16 * i, slice_of(key, (size_t)len)), (uint32_t)len};
		puppet_poke(&p, 2000 + 8 * i, slice_of(words, sizeof words));
	}
	return PUPPET_ARGS + 2000;
}

static void many_keys_are_read_and_deleted_at_once(void **s)
{
	enum { N = 100 };
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	for (uint32_t i = 0; i < N; i += 2) {
		char key[16], value[16];
		snprintf(key, sizeof key, "k%u", i);
		snprintf(value, sizeof value, "v%u", i);
		set(b, key, value);
	}
	CALL(&p, "get-many", b, poke_keys(N, 1), N);
	is_ok(&p, 4);
	uint32_t list = word_at(&p, 4);
	assert_int_equal(word_at(&p, 8), N);
	for (uint32_t i = 0; i < N; i++) {  // (string, option<list>): 8, then 1, at 12 the bytes
		assert_int_equal(puppet_peek(&p, list + 20 * i + 8), i % 2 == 0);
		if (i % 2 == 0)
			assert_int_equal(puppet_word(&p, list + 20 * i + 16), i < 10 ? 2 : 3);
	}
	CALL(&p, "delete-many", b, poke_keys(N / 2, 2), N / 2);
	is_ok(&p, 4);
	uint64_t sum;
	uint32_t pages;
	assert_int_equal(list_all(b, &sum, &pages), 0);
	CALL(&p, "get-many", b, PUPPET_ARGS, 0);
	is_ok(&p, 4);
	assert_int_equal(word_at(&p, 8), 0);
	close_puppet();
}

static void the_last_of_several_values_for_a_key_counts(void **s)
{
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	uint32_t key = puppet_poke(&p, 0, SLICE_LIT("same")), value = puppet_poke(&p, 100, SLICE_LIT("0123456789"));
	for (uint32_t i = 0; i < 10; i++) {
		uint32_t words[4] = {key, 4, value + i, 1};
		puppet_poke(&p, 2000 + 16 * i, slice_of(words, sizeof words));
	}
	CALL(&p, "set-many", b, PUPPET_ARGS + 2000, 10);
	is_ok(&p, 4);
	assert_string_equal(get(b, "same"), "9");
	close_puppet();
}

static void what_is_too_long_is_refused_unread(void **s)
{
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	CALL(&p, "[method]bucket.get", b, PUPPET_ARGS, LINK_KEY_MAX);
	is_ok(&p, 4);
	CALL(&p, "[method]bucket.get", b, PUPPET_ARGS, LINK_KEY_MAX + 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_non_null(strstr(text_at(&p, 8), "the key has 65537 bytes"));
	close_puppet();
}

static void a_store_in_memory_that_is_full_says_so(void **s)
{
	open_host(4096);
	open_puppet(open_link("sessions", "memory:", NULL), all_of_draft2);
	uint32_t b = open_bucket("default");
	CALL(&p, "[method]bucket.set", b, PUPPET_ARGS, 1, PUPPET_ARGS, 10000);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_non_null(strstr(text_at(&p, 8), "are full"));
	for (int i = 0; i < 100; i++) {  // what is replaced is given back
		CALL(&p, "[method]bucket.set", b, PUPPET_ARGS, 1, PUPPET_ARGS, 1000);
		is_ok(&p, 4);
	}
	close_puppet();
}

static void apps_do_not_meet_but_where_they_share_a_namespace(void **s)
{
	struct puppet other;
	open_host(0);
	struct link *second = open_link("second", "memory:both", "shared"), *own = open_link("own", "memory:both", NULL);
	open_puppet(open_link("first", "memory:both", "shared"), all_of_draft2);
	uint32_t b = open_bucket("default");
	set(b, "k", "v");
	struct link *first = guest_link;
	other = p;
	open_puppet(second, all_of_draft2);
	assert_string_equal(get(open_bucket("default"), "k"), "v");
	puppet_close(&p);
	open_puppet(own, all_of_draft2);
	assert_null(get(open_bucket("default"), "k"));
	puppet_close(&p);
	link_unref(second);
	link_unref(own);
	p = other;
	guest_link = first;
	close_puppet();
}

// ---- the other faces ------------------------------------------------------------------------------------------------------------------------

static void the_former_draft_has_numbers_for_cursors_and_counters(void **s)
{
	enum { N = 1500 };
	static const char *const wanted[] = {"wasi:keyvalue/store@0.2.0-draft", "*", "wasi:keyvalue/atomics@0.2.0-draft", "*", "wasi:keyvalue/batch@0.2.0-draft", "*", NULL};
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), wanted);
	uint32_t b = open_bucket("default"), n = 0;
	for (uint32_t i = 0; i < N; i++) {
		char key[16];
		snprintf(key, sizeof key, "k%u", i);
		with_key("increment", b, key, 3, 0);
		is_ok(&p, 8);
		assert_int_equal(word_at(&p, 8), 3);
	}
	uint64_t cursor = 0;
	do {
		CALL(&p, "[method]bucket.list-keys", b, cursor != 0, cursor);  // the record lies at 8: its cursor, an option<u64>, at 16
		is_ok(&p, 8);
		n += word_at(&p, 12);
		cursor = puppet_peek(&p, PUPPET_RESULT + 16) ? word_at(&p, 24) | (uint64_t)word_at(&p, 28) << 32 : 0;
	} while (cursor);
	assert_int_equal(n, N);
	CALL(&p, "[method]bucket.list-keys", b, 1, UINT64_C(1) << 60);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	with_key("increment", b, "k0", UINT64_MAX, 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	set(b, "minus", "-5");
	with_key("increment", b, "minus", 1, 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	CALL(&p, "get-many", b, poke_keys(2, 5000), 2);  // option<(string, list)>: k0 is there, k5000 is not
	is_ok(&p, 4);
	assert_int_equal(puppet_peek(&p, word_at(&p, 4)), 1);
	assert_int_equal(puppet_peek(&p, word_at(&p, 4) + 20), 0);
	close_puppet();
}

#define SPIN "fermyon:spin/key-value@2.0.0"
static void spins_stores_are_the_same(void **s)
{
	static const char *const wanted[] = {SPIN, "*", NULL};
	open_host(0);
	open_puppet(open_link("sessions", "memory:", NULL), wanted);
	puppet_poke(&p, 0, SLICE_LIT("default"));
	CALL(&p, "[static]store.open", PUPPET_ARGS, 7);
	is_ok(&p, 4);
	uint32_t b = word_at(&p, 4);
	CALL(&p, "[method]store.set", b, PUPPET_ARGS, 3, PUPPET_ARGS, 7);
	is_ok(&p, 4);
	CALL(&p, "[method]store.get", b, PUPPET_ARGS, 3);
	assert_string_equal(text_at(&p, 8), "default");
	CALL(&p, "[method]store.exists", b, PUPPET_ARGS, 4);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 0);
	CALL(&p, "[method]store.get-keys", b);
	is_ok(&p, 4);
	assert_int_equal(word_at(&p, 8), 1);
	CALL(&p, "[method]store.delete", b, PUPPET_ARGS, 3);
	is_ok(&p, 4);
	CALL(&p, "[static]store.open", PUPPET_ARGS, 6);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 2);  // access-denied: of a label that isn't given
	close_puppet();
}

static void spins_variables_are_the_settings(void **s)
{
	static const char *const wanted[] = {"fermyon:spin/variables@2.0.0", "*", NULL};
	static const struct seam_pair settings[] = {{{(const uint8_t *)"greeting", 8}, {(const uint8_t *)"hello", 5}}};
	open_host(0);
	guest_link = NULL;
	p = (struct puppet){.loop = loop, .offer = offer_links, .grants = {.settings = settings, .n_settings = 1}};
	puppet_open(&p, wanted);
	puppet_poke(&p, 0, SLICE_LIT("greeting"));
	CALL(&p, "get", PUPPET_ARGS, 8);
	assert_string_equal(text_at(&p, 4), "hello");
	CALL(&p, "get", PUPPET_ARGS, 4);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 1);  // undefined
	puppet_poke(&p, 0, SLICE_LIT("Greeting"));
	CALL(&p, "get", PUPPET_ARGS, 8);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 0);  // invalid-name
	close_puppet();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_set_and_read_and_deleted),
		cmocka_unit_test(a_bucket_that_is_not_granted_is_no_store),
		cmocka_unit_test(what_is_not_linked_is_denied_where_the_manifest_says_so),
		cmocka_unit_test(counters_are_decimal_and_do_not_wrap),
		cmocka_unit_test(lists_have_each_key_once_page_by_page),
		cmocka_unit_test(keys_that_are_not_in_a_list_are_work_of_it),
		cmocka_unit_test(a_swap_is_done_only_at_the_version_that_was_read),
		cmocka_unit_test(a_cas_whose_current_failed_stays_at_its_version),
		cmocka_unit_test(many_keys_are_read_and_deleted_at_once),
		cmocka_unit_test(the_last_of_several_values_for_a_key_counts),
		cmocka_unit_test(what_is_too_long_is_refused_unread),
		cmocka_unit_test(a_store_in_memory_that_is_full_says_so),
		cmocka_unit_test(apps_do_not_meet_but_where_they_share_a_namespace),
		cmocka_unit_test(the_former_draft_has_numbers_for_cursors_and_counters),
		cmocka_unit_test(spins_stores_are_the_same),
		cmocka_unit_test(spins_variables_are_the_settings),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
