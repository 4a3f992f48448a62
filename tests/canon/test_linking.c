// What a plan puts together is compared as types once more where it is instantiated: a plan in which something stands for something of another type, which no
// decoder gives, is refused; it does not run.
// PROGRAM(test_linking, "canon tier cmocka", "")
#include "subject.h"

// one: func() -> u32, of the second module, which calls what it imports. Of the first: f() -> i32, g(i32) -> i32, and two memories, of one page and of none.
#define LINKED                                                                                                                                                                                                                                                                \
	COMPONENT CORE_MODULE "[ " MODULE TYPES "[ 02 60 00 01 7f 60 01 7f 01 7f ] " FUNCS "[ 02 00 01 ] " MEMORIES "[ 02 00 01 00 00 ] " EXPORTS                                                                                                                                 \
						  "[ 04 'f' 00 00 'g' 00 01 'm' 02 00 'none' 02 01 ] " CODE "[ 02 [ 00 i32.const #1 end ] [ 00 local.get #0 end ] ] ] " CORE_MODULE                                                                                                                   \
						  "[ " MODULE TYPES "[ 02 60 00 01 7f 60 01 7f 01 7f ] " IMPORTS "[ 02 'x' 'f' 00 00 'x' 'm' 02 00 01 ] " FUNCS "[ 02 00 01 ] " EXPORTS "[ 02 'one' 00 01 'other' 00 02 ] " CODE "[ 02 [ 00 call #0 end ] [ 00 local.get #0 end ] ] ] " CORE_INSTANCE \
						  "[ 02 00 00 00 00 01 01 'x' 12 00 ] " ALIAS "[ 01 00 00 01 01 'one' ] " TYPE "[ 01 40 00 00 79 ] " CANON                                                                                                                                            \
						  "[ 01 00 00 00 00 00 ] " EXPORT "[ 01 00 'one' 01 00 00 ] "

static struct subject subject;
static const struct canon_host host;

static bool is_refused(const char *text)
{
	struct canon_instance *i = NULL;
	struct err e = {0};
	if (canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &i, &e)) {
		canon_instance_free(i);
		return false;
	}
	assert_int_equal(e.code, ERR_LINK);
	assert_non_null(strstr(e.text, text));
	return true;
}

// As it is / with another export of the same instance in its place.
static void other_stands_for(struct comp_core_ref *r, uint32_t other, const char *text)
{
	uint32_t index = r->index;
	assert_false(is_refused(""));
	r->index = other;
	assert_true(is_refused(text));
	r->index = index;
	assert_false(is_refused(""));
}

static struct comp_core_ref *import_of_second(uint32_t n)
{
	const struct comp_core_instance *p = &subject.l.comp->plan.core_instances[1];
	assert_true(n < p->nimports && p->imports[n].kind == COMP_CORE_EXPORT);
	return (struct comp_core_ref *)UNCONST(&p->imports[n]);
}

static void an_import_of_another_type_is_refused(void **state UNUSED)
{
	other_stands_for(import_of_second(0), 1, "'x' 'f' is imported as a function of another type");
	other_stands_for(import_of_second(1), 1, "'x' 'm' is imported as a memory of another type");
}

static void what_is_lifted_as_another_type_is_refused(void **state UNUSED)
{
	other_stands_for((struct comp_core_ref *)UNCONST(&subject.l.comp->plan.lifts[0].func), 2, "lifted as one of another core type");
}

int main(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !subject_try(&subject, LINKED, &e)) {
		print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
		return 1;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_import_of_another_type_is_refused),
		cmocka_unit_test(what_is_lifted_as_another_type_is_refused),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
