// Handle tables, own and borrow, and host objects.
#include "fake.h"
#include "sys/sys.h"

static struct comp_resource kinds[2] = {{.index = 0, .instance = 0}, {.index = 1, .instance = COMP_NONE}};
static struct canon__resource runtime[2] = {{.component = 0}, {.component = CANON__HOST}};
static struct wit_type own0 = {.kind = WIT_OWN, .resource = &kinds[0].wit}, own1 = {.kind = WIT_OWN, .resource = &kinds[1].wit};
static struct wit_type borrow0 = {.kind = WIT_BORROW, .resource = &kinds[0].wit}, borrow1 = {.kind = WIT_BORROW, .resource = &kinds[1].wit};

static struct fake *with_resources(uint32_t component)
{
	struct fake *f = fake_new();
	f->inst.resources = runtime;
	f->inst.n_resources = 2;
	f->cx.component = component;
	return f;
}

static void indices_start_at_one_and_the_last_freed_comes_first_c31(void **s)
{
	struct fake *f = with_resources(0);
	uint32_t i, rep;
	for (uint32_t n = 1; n <= 40; n++) {
		assert_true(canon__lower_own(&f->cx, n * 10, &own0, &i));
		assert_int_equal(i, n);
	}
	assert_true(canon__lift_own(&f->cx, 3, &own0, &rep));
	assert_int_equal(rep, 30);
	assert_true(canon__lift_own(&f->cx, 7, &own0, &rep));
	assert_true(canon__lower_own(&f->cx, 1, &own0, &i));
	assert_int_equal(i, 7);
	assert_true(canon__lower_own(&f->cx, 1, &own0, &i));
	assert_int_equal(i, 3);
	assert_true(canon__lower_own(&f->cx, 1, &own0, &i));
	assert_int_equal(i, 41);
	fake_free(f);
}

static void unknown_and_wrong_handles_trap_c32_l65(void **s)
{
	struct fake *f = with_resources(0);
	uint32_t i, rep;
	assert_true(canon__lower_own(&f->cx, 5, &own0, &i));
	static const uint32_t bad[] = {0, 2, 1000, UINT32_MAX};
	for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
		assert_false(canon__lift_own(&f->cx, bad[k], &own0, &rep));
		assert_non_null(strstr(f->trap.text, "unknown handle index"));
	}
	assert_false(canon__lift_own(&f->cx, i, &own1, &rep));
	assert_non_null(strstr(f->trap.text, "wrong type"));
	assert_true(canon__lift_own(&f->cx, i, &own0, &rep));
	assert_false(canon__lift_own(&f->cx, i, &own0, &rep));  // f(own h, own h)
	fake_free(f);
}

static void a_lent_own_stays_until_the_call_is_over_c33(void **s)
{
	struct fake *f = with_resources(0);
	uint32_t i, rep;
	struct canon__subtask sub = {0};
	f->cx.subtask = &sub;
	assert_true(canon__lower_own(&f->cx, 5, &own0, &i));
	for (int n = 0; n < 20; n++)
		assert_true(canon__lift_borrow(&f->cx, i, &borrow0, &rep));
	assert_int_equal(rep, 5);
	assert_false(canon__lift_own(&f->cx, i, &own0, &rep));
	assert_non_null(strstr(f->trap.text, "while borrowed"));
	assert_true(canon__deliver_resolve(&f->cx, &sub));
	assert_true(canon__lift_own(&f->cx, i, &own0, &rep));
	fake_free(f);
}

static void a_borrow_is_the_rep_where_it_is_defined_and_a_handle_elsewhere_c34(void **s)
{
	struct fake *f = with_resources(0);
	struct canon_scope task = {0};
	uint32_t i, rep;
	f->cx.scope = &task;
	assert_true(canon__lower_borrow(&f->cx, 77, &borrow0, &i));
	assert_int_equal(i, 77);
	assert_int_equal(task.num_borrows, 0);
	f->cx.component = 1;
	assert_true(canon__lower_borrow(&f->cx, 77, &borrow0, &i));
	assert_int_equal(i, 1);
	assert_int_equal(task.num_borrows, 1);
	assert_true(canon__lower_borrow(&f->cx, 78, &borrow1, &i));
	assert_int_equal(task.num_borrows, 2);
	assert_false(canon__lift_own(&f->cx, i, &own1, &rep));  // it is a borrow
	fake_free(f);
}

static void handles_have_a_limit_l77(void **s)
{
	struct fake *f = with_resources(0);
	f->inst.limits.handles = 100;
	uint32_t i, n = 0;
	while (canon__lower_own(&f->cx, 1, &own0, &i))
		n++;
	assert_int_equal(n, 100);
	assert_int_equal(f->cx.trap, TRAP_OUT_OF_MEMORY);
	fake_free(f);
}

// ---- host objects ----

static char dropped[16];
static size_t n_dropped;
static void on_drop(struct canon_instance *i, void *object)
{
	dropped[n_dropped++] = *(char *)object;
}
static bool on_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = UNCONST(object);
	return *(const char *)object != 'x';
}
static const struct wit_resource kind, other_kind;
static const struct canon_resource_ops ops = {&kind, "test", on_drop, on_remake}, others = {&other_kind, "other", on_drop, NULL};

static void host_objects_are_found_by_rep_and_type_only_l65(void **s)
{
	struct fake *f = fake_new();
	uint32_t a, b;
	assert_true(canon_host_resource_new(&f->inst, &ops, NULL, "a", &a));
	assert_true(canon_host_resource_new(&f->inst, &others, NULL, "b", &b));
	assert_ptr_equal(canon_host_resource_get(&f->inst, &kind, a), "a");
	assert_null(canon_host_resource_get(&f->inst, &other_kind, a));
	assert_null(canon_host_resource_get(&f->inst, &kind, 0));
	assert_null(canon_host_resource_get(&f->inst, &kind, 99));
	assert_ptr_equal(canon_host_resource_take(&f->inst, &kind, a), "a");
	assert_null(canon_host_resource_get(&f->inst, &kind, a));
	n_dropped = 0;
	canon__host_table_release(&f->inst);
	assert_int_equal(n_dropped, 1);
	fake_free(f);
}

static void host_objects_are_dropped_children_first(void **s)
{
	struct fake *f = fake_new();
	uint32_t rep[4];
	const char *names[] = {"a", "b", "c", "d"};
	for (int i = 0; i < 4; i++)
		assert_true(canon_host_resource_new(&f->inst, &ops, NULL, UNCONST(names[i]), &rep[i]));
	n_dropped = 0;
	canon_host_resource_drop(&f->inst, rep[1]);
	assert_true(canon_host_resource_new(&f->inst, &ops, NULL, "e", &rep[1]));  // takes b's place, but is the youngest
	canon__host_table_clear(&f->inst);
	assert_memory_equal(dropped, "bedca", 5);
	assert_int_equal(canon_host_resource_count(&f->inst), 0);
	fake_free(f);
}

static void a_host_table_is_made_anew_with_the_same_reps(void **s)
{
	struct fake *f = fake_new(), *g = fake_new();
	uint32_t a = 0, b = 0, c = 0, rep;
	const char *name;
	assert_true(canon_host_resource_new(&f->inst, &ops, NULL, "a", &a) && canon_host_resource_new(&f->inst, &ops, NULL, "b", &b));
	assert_true(canon_host_resource_new(&f->inst, &ops, NULL, "c", &c));
	canon_host_resource_drop(&f->inst, b);
	assert_true(canon__host_table_can_remake(&f->inst, &name));
	assert_true(canon__host_table_remake(&g->inst, &f->inst.host_table));
	assert_ptr_equal(canon_host_resource_get(&g->inst, &kind, c), "c");
	assert_true(canon_host_resource_new(&g->inst, &ops, NULL, "d", &rep));
	assert_int_equal(rep, b);
	n_dropped = 0;
	canon__host_table_clear(&g->inst);
	assert_memory_equal(dropped, "dca", 3);
	// One that can't be made: nothing half-made is left behind.
	assert_true(canon_host_resource_new(&f->inst, &ops, NULL, "x", &rep));
	assert_false(canon__host_table_remake(&g->inst, &f->inst.host_table));
	n_dropped = 0;
	canon__host_table_clear(&g->inst);
	assert_int_equal(n_dropped, 2);
	assert_true(canon_host_resource_new(&f->inst, &others, NULL, "o", &rep));
	assert_false(canon__host_table_can_remake(&f->inst, &name));
	assert_string_equal(name, "other");
	fake_free(f);
	fake_free(g);
}

static enum canon_move on_move(struct canon_instance *to, void **object, struct canon_carrier *by UNUSED)
{
	const char *name = *object;
	if (*name == 'u')
		return CANON_MOVE_IN_USE;
	if (*name == 'f')
		return CANON_MOVE_NO_ROOM;
	*object = "A";  // a copy takes its place
	return CANON_MOVED;
}
static void on_gone(struct canon_instance *i, void *owner)
{
	++*(int *)owner;
}

static void a_host_object_moves_or_is_dropped_and_its_owner_hears_of_it(void **s)
{
	static const struct canon_resource_ops moving = {.type = &kind, .name = "moving", .drop = on_drop, .move = on_move};
	static const struct canon_host host = {.gone = on_gone};
	struct fake *f = fake_new(), *g = fake_new();
	f->inst.host = g->inst.host = &host;
	int of_f = 0, of_g = 0;
	uint32_t a = 0, u = 0, full = 0, last = 0, rep;
	assert_true(canon_host_resource_new(&f->inst, &moving, &of_f, "a", &a) && canon_host_resource_new(&f->inst, &moving, &of_f, "u", &u));
	assert_true(canon_host_resource_new(&f->inst, &moving, &of_f, "f", &full) && canon_host_resource_new(&f->inst, &moving, &of_f, "l", &last));
	n_dropped = 0;
	assert_int_equal(canon_host_resource_move(&f->inst, a, &g->inst, &of_g, NULL, &rep), CANON_MOVED);
	assert_null(canon_host_resource_get(&f->inst, &kind, a));
	assert_string_equal(canon_host_resource_get(&g->inst, &kind, rep), "A");
	assert_ptr_equal(canon_host_resource_owner(&g->inst, rep), &of_g);
	assert_int_equal(n_dropped, 0);
	assert_int_equal(of_f, 1);
	assert_int_equal(canon_host_resource_move(&f->inst, u, &g->inst, &of_g, NULL, &rep), CANON_MOVE_IN_USE);
	assert_int_equal(canon_host_resource_move(&f->inst, full, &g->inst, &of_g, NULL, &rep), CANON_MOVE_NO_ROOM);
	g->inst.limits.handles = 1;  // that the one which has come has
	assert_int_equal(canon_host_resource_move(&f->inst, last, &g->inst, &of_g, NULL, &rep), CANON_MOVE_NO_ROOM);
	assert_memory_equal(dropped, "ufA", 3);
	assert_int_equal(of_f, 4);
	assert_int_equal(of_g, 0);
	assert_int_equal(canon_host_resource_count(&f->inst), 0);
	canon__host_table_clear(&g->inst);
	assert_int_equal(of_g, 1);
	fake_free(f);
	fake_free(g);
}

// A guest that had a million of each: what it takes to let that go is counted in pieces, each of as many pages as were asked for.
static void tables_are_shed_in_pieces(void **s)
{
	static const struct canon_resource_ops silent = {.type = &kind, .name = "silent"};
	static const struct canon_host host = {0};
	enum { N = 200000, PIECE = 64 * SYS_PAGE };
	struct fake *f = with_resources(0);
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct err e = {0};
	f->inst.host = &host;
	assert_true(vm_store_new(fake_shard(), &limits, &f->inst.store, &e));
	uint32_t rep, handle;
	for (uint32_t k = 0; k < N; k++) {
		assert_true(canon_host_resource_new(&f->inst, &silent, NULL, f, &rep));
		assert_true(canon__lower_own(&f->cx, rep, &own1, &handle));
	}
	while (canon_instance_empty_some(&f->inst, 1000)) {
	}
	const struct canon__table *t = &f->components[0].handles;
	const struct canon__host_table *objects = &f->inst.host_table;
	uint64_t left = canon_instance_shed_left(&f->inst), all = objects->cap * sizeof *objects->array + t->cap * sizeof *t->array;
	assert_in_range(left, all - 4 * SYS_PAGE, all);
	uint64_t pieces = 1;
	for (; canon_instance_shed_some(&f->inst, PIECE); pieces++)
		assert_int_equal(canon_instance_shed_left(&f->inst), left - pieces * PIECE);
	assert_int_equal(pieces, left / PIECE + 1);
	assert_int_equal(canon_instance_shed_left(&f->inst), 0);
	assert_int_equal(t->array[N / 2].kind | t->array[N - 1].rep, 0);  // what was there is given back
	assert_null(objects->array[N / 2].ops);
	assert_null(canon__table_get(t, N / 2));
	vm_store_free(f->inst.store);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(indices_start_at_one_and_the_last_freed_comes_first_c31),
		cmocka_unit_test(unknown_and_wrong_handles_trap_c32_l65),
		cmocka_unit_test(a_lent_own_stays_until_the_call_is_over_c33),
		cmocka_unit_test(a_borrow_is_the_rep_where_it_is_defined_and_a_handle_elsewhere_c34),
		cmocka_unit_test(handles_have_a_limit_l77),
		cmocka_unit_test(host_objects_are_found_by_rep_and_type_only_l65),
		cmocka_unit_test(host_objects_are_dropped_children_first),
		cmocka_unit_test(a_host_table_is_made_anew_with_the_same_reps),
		cmocka_unit_test(tables_are_shed_in_pieces),
		cmocka_unit_test(a_host_object_moves_or_is_dropped_and_its_owner_hears_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
