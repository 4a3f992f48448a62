// A trap, an exit or a kill in every kind of entry: start function, realloc, post-return, destructor, export, host function, tail-called host
// function, alone and behind another component. The C frames return, the trap is told, the instance is dead, the next one works.
// Rows: L38, L39, L44, L45, L61, L67, C38, C41.
// PROGRAM(test_entries, "canon tier cmocka", "")
#include "subject.h"

static struct subject subject, composed;
static struct deed {
	enum action at_start;
	enum trap how;  // TRAP_KILLED: parks until it is killed
	int entered, left;
	bool asked;
	const struct subject *reenters;  // the host calls the instance that called it
} deed;

static enum trap h(struct canon_task *task UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	uint32_t place, answer = 0;
	memcpy(&place, args, sizeof place);
	if (place == AT_START && !deed.asked) {
		deed.asked = true;
		answer = deed.at_start;
		memcpy(ret, &answer, sizeof answer);
		return TRAP_NONE;
	}
	deed.entered++;
	if (deed.reenters) {
		enum trap inner = subject_call(deed.reenters, i, place == AT_GO ? "go" : "drop-one", 0, 0, NULL);
		deed.left++;
		assert_int_equal(inner, TRAP_CANNOT_ENTER);
		return inner;
	}
	enum trap t = deed.how;
	if (t == TRAP_KILLED && vm_fiber_park(shard) == VM_KILLED)
		t = vm_fiber_kill_reason(vm_fiber_current(shard));
	deed.left++;
	return t == TRAP_HOST ? canon_task_trap(task, "enough") : t == TRAP_EXIT ? canon_task_exit(task, 3)
																			 : t;
}

static const struct canon_host_func funcs[] = {{.fn = h, .flags = CANON_HOST_CUTS}};
static const struct canon_host host = {.funcs = funcs, .n_funcs = 1};

static struct canon_image *image_of(const struct subject *s)
{
	struct canon_image *m = NULL;
	struct canon_trap trap = {0};
	struct err e = {0};
	deed = (struct deed){0};
	if (!vm_process_handle_signals(&e) || !canon_image_new(shard, s->l.canon, &host, NULL, CANON_INIT_AUTO, NULL, NULL, &m, &trap, &e))
		fail_msg("%s%s", e.text, trap.text);
	return m;
}

static struct canon_instance *slot_of(struct canon_image *m)
{
	struct canon_instance *i;
	struct err e = {0};
	if (!canon_slot_new(shard, m, NULL, &i, &e))
		fail_msg("%s", e.text);
	return i;
}

// One life: start, tell it what to do where, the call that comes by there.
struct life {
	const struct subject *s;
	struct canon_instance *i;
	enum place place;
	enum action action;
	struct canon_trap trap;
	bool started, host_drops;
};

static void live(void *arg)
{
	static const char *const by[PLACES] = {[AT_START] = "go", [AT_GO] = "go", [AT_TAIL] = "tail", [AT_REALLOC] = "echo", [AT_ECHO] = "echo", [AT_POST_RETURN] = "echo", [AT_DESTRUCTOR] = "drop-one"};
	struct life *l = arg;
	if (!canon_slot_start(l->i, NULL, &l->trap))
		return;
	l->started = true;
	struct subject_call c = {.s = l->s, .i = l->i, .name = "set", .args = {l->place, l->action}};
	subject_run(&c);
	if (!c.ok)
		fail_msg("set: %s", c.trap.text);
	if (l->host_drops) {
		const struct comp_export_func *make = subject_func(l->s, "make");
		const struct wit_resource *type = make->type->result->resource;
		c = (struct subject_call){.s = l->s, .i = l->i, .name = "make", .args = {77}};
		subject_run(&c);
		assert_true(c.ok && c.result == 77);
		c.ok = canon_guest_resource_drop(l->i, type, 77, NULL, &c.trap);
	} else {
		c = (struct subject_call){.s = l->s, .i = l->i, .name = by[l->place], .text = by[l->place][0] == 'e' ? "five!" : NULL};
		subject_run(&c);
	}
	l->trap = c.trap;
	assert_int_equal(c.ok, c.trap.trap == TRAP_NONE);
}

static void one_life(const struct subject *s, struct canon_image *m, enum place place, enum action action, enum trap how, enum trap want, bool host_drops)
{
	deed = (struct deed){.at_start = place == AT_START ? action : DO_NOTHING, .how = how};
	struct life l = {.s = s, .i = slot_of(m), .place = place, .action = action, .host_drops = host_drops};
	struct vm_fiber *f = vm_fiber_new(shard, live, &l);
	vm_fiber_set_budget(f, (struct vm_budget){action == DO_SPIN ? 8000000 : UINT64_MAX, UINT64_MAX});
	enum vm_fiber_state state;
	while ((state = vm_fiber_resume(f, VM_RESUMED)) == VM_FIBER_PREEMPTED)
		;
	if (state == VM_FIBER_PARKED) {
		assert_int_equal(how, TRAP_KILLED);
		vm_fiber_kill(f, TRAP_DEADLINE);
		state = vm_fiber_resume(f, VM_KILLED);
	}
	assert_int_equal(state, VM_FIBER_DONE);
	if (l.trap.trap != want || deed.entered != deed.left || l.started != (place != AT_START || want == TRAP_NONE))
		fail_msg("place %d, action %d, host %s: %s (%s) instead of %s; %d in, %d out", place, action, trap_text(how), trap_text(l.trap.trap), l.trap.text,
			trap_text(want), deed.entered, deed.left);
	if (want == TRAP_HOST)
		assert_string_equal(l.trap.text, "enough");
	if (want == TRAP_EXIT)
		assert_int_equal(l.trap.exit_code, 3);
	if (want == TRAP_UNREACHABLE || want == TRAP_MEMORY_OUT_OF_BOUNDS || want == TRAP_STACK_OVERFLOW)
		assert_true(l.trap.is_placed && l.trap.frames.n > 0);
	// L67, C41: after a trap nothing of it runs again, whoever asks.
	struct canon_trap trap = {0};
	if (want != TRAP_NONE) {
		assert_true(canon_instance_is_dead(l.i));
		assert_int_equal(subject_call(s, l.i, "go", 0, 0, NULL), TRAP_POISONED);
		assert_false(canon_slot_start(l.i, NULL, &trap));
		assert_false(canon_slot_reset(l.i));
	}
	vm_fiber_free(f);
	canon_instance_free(l.i);
	// Its successor on the same cells.
	deed = (struct deed){0};
	l.i = slot_of(m);
	assert_true(canon_slot_start(l.i, NULL, &trap));
	assert_int_equal(subject_result(s, l.i, "go", 0, 0), 7);
	assert_true(canon_slot_reset(l.i));
	canon_instance_free(l.i);
}

static void every_place(const struct subject *s, bool behind)
{
	static const struct {
		enum action action;
		enum trap how, want;
	} rows[] = {{DO_NOTHING, TRAP_NONE, TRAP_NONE}, {DO_UNREACHABLE, TRAP_NONE, TRAP_UNREACHABLE}, {DO_SPIN, TRAP_NONE, TRAP_CPU_BUDGET},
		{DO_FAULT, TRAP_NONE, TRAP_MEMORY_OUT_OF_BOUNDS}, {DO_GROW, TRAP_NONE, TRAP_NONE}, {DO_CALL_HOST, TRAP_NONE, TRAP_NONE},
		{DO_CALL_HOST, TRAP_HOST, TRAP_HOST}, {DO_CALL_HOST, TRAP_EXIT, TRAP_EXIT}, {DO_CALL_HOST, TRAP_KILLED, TRAP_DEADLINE}};
	struct canon_image *m = image_of(s);
	for (enum place p = AT_START; p < PLACES; p++)
		for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
			if (p == AT_TAIL && (behind || rows[k].action != DO_CALL_HOST))
				continue;
			bool must_stay = (p == AT_REALLOC || p == AT_POST_RETURN) && rows[k].action == DO_CALL_HOST;  // C38
			one_life(s, m, p, rows[k].action, rows[k].how, must_stay ? TRAP_CANNOT_LEAVE : rows[k].want, false);
			if (p == AT_DESTRUCTOR && !behind)
				one_life(s, m, p, rows[k].action, rows[k].how, rows[k].want, true);
		}
	canon_image_free(m);
}

static void a_trap_anywhere_ends_the_instance_and_nothing_else_L39_L45(void **state UNUSED)
{
	every_place(&subject, false);
}

static void a_trap_anywhere_behind_another_component_ends_both_L45(void **state UNUSED)
{
	every_place(&composed, true);
}

// L38: recursion without end in each of them, with a short backtrace.
static void endless_recursion_ends_anywhere_L38(void **state UNUSED)
{
	struct canon_image *m = image_of(&subject);
	for (enum place p = AT_GO; p < PLACES; p++)
		if (p != AT_TAIL)
			one_life(&subject, m, p, DO_RECURSE, TRAP_NONE, TRAP_STACK_OVERFLOW, false);
	canon_image_free(m);
}

// L67: not even by way of the host, from an export or a destructor, nor into the component in front.
static void nobody_enters_an_instance_that_is_entered_L67(void **state UNUSED)
{
	const struct subject *const all[] = {&subject, &composed};
	static const enum place places[] = {AT_GO, AT_ECHO, AT_DESTRUCTOR};
	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		struct canon_image *m = image_of(all[k]);
		for (size_t p = 0; p < ARRAY_LEN(places); p++) {
			struct canon_trap trap = {0};
			struct life l = {.s = all[k], .i = slot_of(m), .place = places[p], .action = DO_CALL_HOST};
			deed = (struct deed){.reenters = all[k]};
			live(&l);
			assert_int_equal(l.trap.trap, TRAP_CANNOT_ENTER);
			assert_int_equal(deed.left, 1);
			assert_true(canon_instance_is_dead(l.i));
			assert_false(canon_slot_start(l.i, NULL, &trap));
			canon_instance_free(l.i);
		}
		canon_image_free(m);
	}
}

// L61: what realloc gave is looked at when it has returned: memory that was not there when the call began.
static void a_realloc_may_grow_the_memory_it_gives_L61(void **state UNUSED)
{
	const struct subject *const all[] = {&subject, &composed};
	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		struct canon_image *m = image_of(all[k]);
		struct canon_instance *i = slot_of(m);
		struct canon_trap trap = {0};
		assert_true(canon_slot_start(i, NULL, &trap));
		subject_result(all[k], i, "set", AT_REALLOC, DO_ALLOCATE_GROWN);
		for (int n = 0; n < 20; n++) {
			struct subject_call c = {.s = all[k], .i = i, .name = "echo", .text = "grows by a page each time"};
			subject_run(&c);
			if (!c.ok)
				fail_msg("%s", c.trap.text);
			assert_int_equal(c.result, strlen(c.text));
		}
		canon_instance_free(i);
		canon_image_free(m);
	}
}

static int start(void **state)
{
	struct err e = {0};
	if (vm_process_init(&e) && guest_setup(state) == 0 && subject_try(&subject, SUBJECT, &e) && subject_try(&composed, SUBJECT_BEHIND_ANOTHER, &e))
		return 0;
	print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
	return 1;
}

static int stop(void **state)
{
	subject_release(&subject);
	subject_release(&composed);
	return guest_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trap_anywhere_ends_the_instance_and_nothing_else_L39_L45),
		cmocka_unit_test(a_trap_anywhere_behind_another_component_ends_both_L45),
		cmocka_unit_test(endless_recursion_ends_anywhere_L38),
		cmocka_unit_test(nobody_enters_an_instance_that_is_entered_L67),
		cmocka_unit_test(a_realloc_may_grow_the_memory_it_gives_L61),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
