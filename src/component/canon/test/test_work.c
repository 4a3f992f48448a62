// What lifting and lowering do for a guest is its work: it ends at the budget, whatever the type and the encoding (S6).
#include "fake.h"

enum { MANY = 7000, BYTES = 60000, LISTS_AT = 64, TEXT_AT = 2048 };

static struct arena types;

struct job {
	struct fake *f;
	const struct wit_type *t;
	uint32_t cells[2];       // of lifting
	struct wit_list native;  // of lowering
	bool ok;
};

static void lift(void *arg)
{
	struct job *j = arg;
	uint64_t cells[2] = {j->cells[0], j->cells[1]};
	const uint64_t *vi = cells;
	struct wit_list ret;
	j->ok = canon__lift_flat(&j->f->cx, &vi, j->t, &ret);
}

static void lower(void *arg)
{
	struct job *j = arg;
	uint64_t cells[2], *vo = cells;
	j->f->force = TEXT_AT;
	j->ok = canon__lower_flat(&j->f->cx, &j->native, j->t, &vo);
}

// On a fiber that may use 4 ms; more than a hundred would be needed.
static void ends(struct job *j, void (*fn)(void *))
{
	struct vm_shard *shard = fake_shard();
	struct vm_fiber *fiber = vm_fiber_new(shard, fn, j);
	vm_fiber_set_budget(fiber, (struct vm_budget){4000000, UINT64_MAX});
	unsigned turns = 0;
	while (vm_fiber_resume(fiber, VM_RESUMED) != VM_FIBER_DONE)
		assert_true(turns++ < 100000);
	assert_false(j->ok);
	assert_int_equal(j->f->cx.trap, TRAP_CPU_BUDGET);
	assert_int_equal(vm_fiber_kill_reason(fiber), TRAP_CPU_BUDGET);
	vm_fiber_free(fiber);
}

static const struct wit_type *list_of(const struct wit_type *elem)
{
	const struct wit_type *t;
	assert_true(wit_type_list(&types, elem, &t, NULL));
	return t;
}

static struct job begin(const struct wit_type *t, unsigned encoding, bool between)
{
	struct job j = {.f = fake_new(), .t = t};
	j.f->cx.encoding = (uint8_t)encoding;
	j.f->cx.between = between;
	j.f->task.arena.max = SIZE_MAX;
	return j;
}

// `levels` of lists of 64, in each of which all name the next one, the last the same `units` of bytes.
static void point(struct job *j, int levels, uint32_t units)
{
	enum { N = 64 };
	uint32_t head[2] = {LISTS_AT, N};
	memcpy(j->cells, head, sizeof head);
	for (int l = 0; l < levels; l++)
		for (uint32_t i = 0; i < N; i++) {
			uint32_t next[2] = {LISTS_AT + (uint32_t)(l + 1) * N * 8, N}, last[2] = {TEXT_AT, units};
			memcpy(j->f->bytes + LISTS_AT + l * N * 8 + i * 8, l + 1 < levels ? next : last, 8);
		}
}

static void lifting_strings_of_each_encoding_is_work(void **s)
{
	static const struct {
		unsigned encoding;
		uint8_t byte;
		uint32_t units;
	} cases[] = {{CANON_UTF8, 'a', BYTES}, {CANON_UTF8, 0, BYTES}, {CANON_UTF16, 'a', BYTES / 2}, {CANON_LATIN1_UTF16, 'a', (BYTES / 2) | (uint32_t)UTF16_TAG}};
	const struct wit_type *t = list_of(list_of(list_of(&wit_primitives[WIT_STRING])));
	for (size_t k = 0; k < 2 * ARRAY_LEN(cases); k++) {
		struct job j = begin(t, cases[k / 2].encoding, k & 1);
		point(&j, 3, cases[k / 2].units);
		memset(j.f->bytes + TEXT_AT, cases[k / 2].byte, FAKE_SIZE - TEXT_AT);
		ends(&j, lift);
		fake_free(j.f);
	}
}

static void lifting_lists_is_work_whatever_they_hold(void **s)
{
	struct wit_member two[] = {{SLICE_LIT("a"), &wit_primitives[WIT_U8]}, {SLICE_LIT("b"), &wit_primitives[WIT_BOOL]}};
	const struct wit_type *record;
	assert_true(wit_type_record(&types, two, 2, &record, NULL));
	const struct wit_type *elems[] = {&wit_primitives[WIT_BOOL], &wit_primitives[WIT_F32], &wit_primitives[WIT_F64], record};
	for (size_t k = 0; k < ARRAY_LEN(elems); k++) {
		struct job j = begin(list_of(list_of(list_of(elems[k]))), CANON_UTF8, false);
		point(&j, 2, (FAKE_SIZE - TEXT_AT) / elems[k]->size32);
		ends(&j, lift);
		fake_free(j.f);
	}
}

static void copies_of_plain_lists_are_work(void **s)
{
	struct job j = begin(list_of(list_of(list_of(&wit_primitives[WIT_U8]))), CANON_UTF8, false);
	j.f->cx.copy = true;
	point(&j, 2, FAKE_SIZE - TEXT_AT);
	ends(&j, lift);
	fake_free(j.f);
}

// What a component writes to a stream it may read itself, into the buffer that it writes from.
static void areas_that_overlap_are_copied_as_they_were(void **s)
{
	enum { N = 3 * VM_WORK_LOOK, BY = 100 };
	static uint8_t bytes[N + BY], want[N];
	struct fake *f = fake_new();
	for (int up = 0; up < 2; up++) {
		uint8_t *from = up ? bytes : bytes + BY, *to = up ? bytes + BY : bytes;
		for (uint32_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t)(i * 31 >> 5);
		memcpy(want, from, N);
		assert_true(canon__copy(&f->cx, to, from, N));
		assert_memory_equal(to, want, N);
	}
	fake_free(f);
}

static void lowering_strings_is_work(void **s)
{
	static uint8_t text[BYTES];
	static struct wit_string strings[MANY];
	static const struct {
		unsigned from, to;
	} cases[] = {{CANON_UTF8, CANON_UTF8}, {CANON_UTF8, CANON_UTF16}, {CANON_LATIN1, CANON_UTF8}, {CANON_UTF16, CANON_UTF8}, {CANON_UTF8, CANON_LATIN1_UTF16},
		{CANON_LATIN1_UTF16, CANON_LATIN1_UTF16}, {CANON_UTF16, CANON_LATIN1_UTF16}};
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		size_t units = cases[k].from == cases[k].to && cases[k].to == CANON_UTF8 ? BYTES : cases[k].from == CANON_LATIN1_UTF16 ? BYTES / 2
																															   : BYTES / 3;
		for (size_t i = 0; i < MANY; i++)
			strings[i] = (struct wit_string){text, units | (size_t)cases[k].from << CANON_STRING_SHIFT};
		struct job j = begin(list_of(&wit_primitives[WIT_STRING]), cases[k].to, true);
		j.f->memory.length = FAKE_SIZE;
		j.native = (struct wit_list){strings, MANY};
		ends(&j, lower);
		fake_free(j.f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lifting_strings_of_each_encoding_is_work),
		cmocka_unit_test(lifting_lists_is_work_whatever_they_hold),
		cmocka_unit_test(copies_of_plain_lists_are_work),
		cmocka_unit_test(areas_that_overlap_are_copied_as_they_were),
		cmocka_unit_test(lowering_strings_is_work),
	};
	struct err e = {0};
	if (!vm_process_init(&e)) {
		print_error("%s\n", e.text);
		return 1;
	}
	arena_init(&types, 0);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_release(&types);
	return failed;
}
