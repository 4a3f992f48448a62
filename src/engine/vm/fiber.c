// Fibers: stacks that calls run on, switches between them, and what a call may use of the processor.
//
//   NEW ──resume──► RUNNING ──fn returns──► DONE
//                    ▲   │
//              resume│   ├─park────► PARKED      (by the host function that waits)
//                    └───┴─preempt─► PREEMPTED   (by the interruption stub, the entry hook, or on the way back from a host function)
//
// 1. Only vm_fiber_resume moves a fiber to RUNNING, only code on the fiber moves it away.
// 2. What abi_exec holds for the code that runs (entry_sp, stack_limit, libcall_result, task, context), and the list of its calls of host functions, is
//    exchanged at the switch, here and nowhere else.
// 3. A stack: guard, margin of VM__STACK_MARGIN for host code, 1 MiB for the guest. The limit lies above the margin. Of fibers for host code alone eight share a
//    table of pages: a call that waits keeps one of them (canon's root).
// 4. A preempted fiber keeps its stores entered; who resumes fibers must not call into them meanwhile.
// 5. What runs is charged to its meter when another meter's turn begins. The CPU clock of the thread (a system call) is read only for turns longer than
//    1 ms, otherwise the vDSO's clock is used. A turn is
//    never charged more than the thread's CPU time since that was last read.
#include "vm_int.h"

enum { POOL_MAX = 256 };  // of each kind
static const struct {
	uint32_t guard, stack;
} sizes[] = {
	[VM__STACK_GUEST] = {1 << 20, (1 << 20) + VM__STACK_MARGIN + (64 << 10)},
	[VM__STACK_HOST] = {64 << 10, VM__STACK_MARGIN + (64 << 10)},
};

// ---- sanitizers want to know of stacks ---------------------------------------------------------------------------
#if SANITIZE_ADDRESS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
static void san_enter(struct vm_fiber *f)
{
	__sanitizer_start_switch_fiber(&f->san.resumer_fake, (void *)f->low, f->high - f->low);
}
static void san_entered(struct vm_fiber *f)
{
	__sanitizer_finish_switch_fiber(f->san.fake, &f->san.resumer_low, &f->san.resumer_size);
}
static void san_leave(struct vm_fiber *f, bool for_ever)
{
	__sanitizer_start_switch_fiber(for_ever ? NULL : &f->san.fake, f->san.resumer_low, f->san.resumer_size);
}
static void san_left(struct vm_fiber *f)
{
	__sanitizer_finish_switch_fiber(f->san.resumer_fake, NULL, NULL);
}
static void san_new(struct vm_fiber *f)
{
	f->san = (struct vm__sanitizer){0};
	__asan_unpoison_memory_region((void *)f->low, f->high - f->low);
}
static void san_free(struct vm_fiber *f UNUSED)
{
}
#elif SANITIZE_THREAD
#include <sanitizer/tsan_interface.h>
static void san_enter(struct vm_fiber *f)
{
	f->san.resumer = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(f->san.fiber, 0);
}
static void san_entered(struct vm_fiber *f UNUSED)
{
}
static void san_leave(struct vm_fiber *f, bool for_ever UNUSED)
{
	__tsan_switch_to_fiber(f->san.resumer, 0);
}
static void san_left(struct vm_fiber *f UNUSED)
{
}
static void san_new(struct vm_fiber *f)
{
	f->san = (struct vm__sanitizer){.fiber = __tsan_create_fiber(0)};
}
static void san_free(struct vm_fiber *f)
{
	__tsan_destroy_fiber(f->san.fiber);
}
#else
static void san_enter(struct vm_fiber *f UNUSED)
{
}
static void san_entered(struct vm_fiber *f UNUSED)
{
}
static void san_leave(struct vm_fiber *f UNUSED, bool for_ever UNUSED)
{
}
static void san_left(struct vm_fiber *f UNUSED)
{
}
static void san_new(struct vm_fiber *f UNUSED)
{
}
static void san_free(struct vm_fiber *f UNUSED)
{
}
#endif

// ---- the pool ----------------------------------------------------------------------------------------------------
static struct vm_fiber *fiber_map(struct vm_shard *s, unsigned kind)
{
	size_t guard = sizes[kind].guard, size = guard + sizes[kind].stack;
	struct vm_fiber *f = mem_zalloc(sizeof *f);
	if (!f)
		return NULL;
	f->mapped = sys_map_anonymous(size);
	if (!f->mapped || sys_protect(f->mapped, guard, false)) {
		if (f->mapped)
			sys_unmap(f->mapped, size);
		mem_free(f);
		return NULL;
	}
	f->shard = s;
	f->kind = (uint8_t)kind;
	f->low = (uintptr_t)f->mapped + guard;
	f->high = (uintptr_t)f->mapped + size;
	return f;
}

static void fiber_unmap(struct vm_fiber *f)
{
	sys_unmap(f->mapped, sizes[f->kind].guard + sizes[f->kind].stack);
	mem_free(f);
}

static void fiber_main(void);

static struct vm_fiber *fiber_new(struct vm_shard *s, unsigned kind, void (*fn)(void *arg), void *arg)
{
	struct vm_fiber *f = s->free_fibers[kind];
	if (f) {
		s->free_fibers[kind] = f->next;
		s->nfree_fibers[kind]--;
	} else if (!(f = fiber_map(s, kind))) {
		return NULL;
	}
	f->next = NULL;
	f->next_live = s->live_fibers;
	f->live_at = &s->live_fibers;
	if (f->next_live)
		f->next_live->live_at = &f->next_live;
	s->live_fibers = f;
	f->state = VM_FIBER_NEW;
	f->kill = TRAP_NONE;
	f->fn = fn;
	f->arg = arg;
	f->entry_sp = NULL;
	f->stack_limit = f->low + VM__STACK_MARGIN;
	f->owner = NULL;
	f->libcall_result = 0;
	f->task = NULL;
	memset(f->context, 0, sizeof f->context);
	f->own = (struct vm__meter){.budget = VM_BUDGET_NONE};
	f->meter = &f->own;
	f->exits = NULL;
	f->run_since = 0;
	f->preemptions = 0;
	san_new(f);
	f->sp = vm__switch_prepare((void *)f->high, fiber_main);
	return f;
}

struct vm_fiber *vm_fiber_new(struct vm_shard *s, void (*fn)(void *arg), void *arg)
{
	return fiber_new(s, VM__STACK_GUEST, fn, arg);
}

struct vm_fiber *vm_fiber_new_for_host(struct vm_shard *s, void (*fn)(void *arg), void *arg)
{
	return fiber_new(s, VM__STACK_HOST, fn, arg);
}

void vm_fiber_free(struct vm_fiber *f)
{
	if (!f)
		return;
	BUG_ON(f->state != VM_FIBER_DONE && f->state != VM_FIBER_NEW);
	struct vm_shard *s = f->shard;
	for (struct vm__fiber_walk *w = s->fiber_walks; w; w = w->outer)
		w->next = w->next == f ? f->next_live : w->next;
	*f->live_at = f->next_live;
	if (f->next_live)
		f->next_live->live_at = f->live_at;
	san_free(f);
	if (s->nfree_fibers[f->kind] >= POOL_MAX) {
		fiber_unmap(f);
		return;
	}
	f->next = s->free_fibers[f->kind];
	s->free_fibers[f->kind] = f;
	s->nfree_fibers[f->kind]++;
}

void vm__fiber_walk_begin(struct vm_shard *s, struct vm__fiber_walk *w)
{
	*w = (struct vm__fiber_walk){s->live_fibers, s->fiber_walks};
	s->fiber_walks = w;
}

struct vm_fiber *vm__fiber_walk_next(struct vm__fiber_walk *w)
{
	struct vm_fiber *f = w->next;
	w->next = f ? f->next_live : NULL;
	return f;
}

// Those of other fibers may have begun later.
void vm__fiber_walk_end(struct vm_shard *s, struct vm__fiber_walk *w)
{
	struct vm__fiber_walk **at = &s->fiber_walks;
	while (*at != w)
		at = &(*at)->outer;
	*at = w->outer;
}

void vm_shard_trim_stacks(struct vm_shard *s)
{
	for (unsigned kind = 0; kind < VM__STACK_KINDS; kind++) {
		while (s->free_fibers[kind]) {
			struct vm_fiber *f = s->free_fibers[kind];
			s->free_fibers[kind] = f->next;
			fiber_unmap(f);
		}
		s->nfree_fibers[kind] = 0;
	}
}

void vm__fibers_release(struct vm_shard *s)
{
	vm_shard_trim_stacks(s);
}

// ---- time --------------------------------------------------------------------------------------------------------
static void charge(struct vm_shard *s, struct vm_fiber *f, uint64_t now)
{
	uint64_t wall = now - f->run_since;
	f->run_since = now;
	if (UNLIKELY(wall > MILLISECOND)) {
		uint64_t cpu = sys_thread_cpu_ns();
		wall = min_u64(wall, cpu - s->cpu_read);
		s->cpu_read = cpu;
	}
	f->meter->cpu_used += wall;
}

void vm__fiber_charge_now(struct vm_shard *s)
{
	if (s->current)
		charge(s, s->current, sys_now_ns());
}

void vm__fiber_charge_from_now(struct vm_shard *s)
{
	if (!s->current)
		return;
	s->cpu_read = sys_thread_cpu_ns();
	s->current->run_since = sys_now_ns();
}

enum trap vm__fiber_check(struct vm_shard *s)
{
	struct vm_fiber *f = s->current;
	if (!f)
		return TRAP_NONE;
	if (f->kill)
		return f->kill;
	uint64_t now = sys_now_ns();
	charge(s, f, now);
	if (f->meter->cpu_used >= f->meter->budget.cpu_ns)
		f->kill = TRAP_CPU_BUDGET;
	else if (now >= f->meter->budget.deadline_ns)
		f->kill = TRAP_DEADLINE;
	return f->kill;
}

// NULL: the thread's own stack. Between two at the expense of one meter no clock is read: the one goes on with the other's turn, which is true then.
static bool charge_switch(struct vm_shard *s, struct vm_fiber *from, struct vm_fiber *to)
{
	if (from && to && from->meter == to->meter) {
		to->run_since = from->run_since;
		return true;
	}
	uint64_t now = sys_now_ns();
	if (from)
		charge(s, from, now);
	if (to)
		to->run_since = now;
	return false;
}

// ---- switching ---------------------------------------------------------------------------------------------------
static void count_switch(struct vm_shard *s)
{
	uint64_t n = atomic_load_explicit(&s->switches, memory_order_relaxed);
	atomic_store_explicit(&s->switches, ((n + 2) & ~1ull) | (s->current != NULL), memory_order_release);
}

static bool give_way_always;
void vm_process_set_give_way_always(bool always)
{
	give_way_always = always;
}

// What runs from now on: the fiber, or the thread's own stack (NULL). `goes_on`: in the turn that is under way, whose end the watchdog may have asked for.
static void set_current(struct vm_shard *s, struct vm_fiber *f, bool goes_on)
{
	__atomic_store_n(&s->current, f, __ATOMIC_RELAXED);  // vm_fiber_kill reads it from other threads
	s->exec.fiber = f;
	s->pending = s->message_trap = TRAP_NONE;
	if (goes_on)
		return;
	__atomic_store_n(&s->exec.interrupt, give_way_always, __ATOMIC_RELAXED);
	count_switch(s);
}

enum vm_fiber_state vm_fiber_resume(struct vm_fiber *f, enum vm_wake how)
{
	struct vm_shard *s = f->shard;
	struct abi_exec *exec = &s->exec;
	BUG_ON(f->state == VM_FIBER_RUNNING || f->state == VM_FIBER_DONE);
	if (how == VM_KILLED && !f->kill)
		f->kill = TRAP_KILLED;
	f->state = VM_FIBER_RUNNING;

	struct vm_fiber *resumer = s->current;
	void *entry_sp = exec->entry_sp;
	uintptr_t stack_limit = s->stack_limit;
	uint64_t libcall_result = exec->libcall_result, context[2] = {exec->context[0], exec->context[1]};
	void *task = exec->task;
	struct vm_store *owner = s->owns ? s->owner : NULL;  // outside of a fiber and of guests it may be gone when this comes back
	f->resumer = resumer;
	f->resumer_exits = s->exits;
	set_current(s, f, charge_switch(s, resumer, f));
	vm__watchdog_wake();
	exec->entry_sp = f->entry_sp;
	exec->stack_limit = s->stack_limit = f->stack_limit;
	exec->libcall_result = f->libcall_result;
	exec->task = f->task;
	memcpy(exec->context, f->context, sizeof context);
	s->exits = f->exits;
	s->owns = false;
	if (f->owner) {
		f->owner->named--;
		vm__own(s, f->owner);
		f->owner = NULL;
	}
	san_enter(f);
	vm__switch(&f->resumer_sp, f->sp);
	san_left(f);

	set_current(s, resumer, charge_switch(s, f, resumer));
	exec->entry_sp = entry_sp;
	exec->stack_limit = s->stack_limit = stack_limit;
	exec->libcall_result = libcall_result;
	exec->task = task;
	memcpy(exec->context, context, sizeof context);
	s->exits = f->resumer_exits;
	s->owns = false;
	if (owner && (resumer || entry_sp))
		vm__own(s, owner);
	enum vm_fiber_state state = f->state;
	if (state == VM_FIBER_PREEMPTED && s->on_preempted)
		s->on_preempted(f, s->on_preempted_arg);
	return state;
}

static void suspend(struct vm_shard *s, struct vm_fiber *f, enum vm_fiber_state state)
{
	f->entry_sp = s->exec.entry_sp;
	f->stack_limit = s->stack_limit;
	f->libcall_result = s->exec.libcall_result;
	f->task = s->exec.task;
	memcpy(f->context, s->exec.context, sizeof f->context);
	f->exits = s->exits;
	if (s->owns && s->owner && state != VM_FIBER_DONE) {
		f->owner = s->owner;
		f->owner->named++;
	}
	f->state = state;
	san_leave(f, state == VM_FIBER_DONE);
	vm__switch(&f->sp, f->resumer_sp);
	san_entered(f);
}

static void fiber_main(void)
{
	struct vm_shard *s = vm__shard;
	struct vm_fiber *f = s->current;
	san_entered(f);
	f->fn(f->arg);
	suspend(s, f, VM_FIBER_DONE);
	BUG_ON(true);
}

enum vm_wake vm_fiber_park(struct vm_shard *s)
{
	struct vm_fiber *f = s->current;
	BUG_ON(!f);
	if (f->kill)
		return VM_KILLED;
	suspend(s, f, VM_FIBER_PARKED);
	// Whose turns all end in a park before they get long is never interrupted: what they came to is looked at here. So is what another came to who shares the
	// budget, and ended by it before anybody else saw that it is over.
	if (!f->kill && f->meter->cpu_used >= f->meter->budget.cpu_ns)
		f->kill = TRAP_CPU_BUDGET;
	else if (!f->kill && f->run_since >= f->meter->budget.deadline_ns)
		f->kill = TRAP_DEADLINE;
	return f->kill ? VM_KILLED : VM_RESUMED;
}

enum trap vm__fiber_give_way(struct vm_shard *s)
{
	struct vm_fiber *f = s->current;
	__atomic_store_n(&s->exec.interrupt, 0, __ATOMIC_RELAXED);
	if (!f || vm__fiber_check(s))
		return f ? f->kill : TRAP_NONE;
	f->preemptions++;
	suspend(s, f, VM_FIBER_PREEMPTED);
	return vm__fiber_check(s);
}

enum vm_wake vm_fiber_yield(struct vm_shard *s)
{
	return vm__fiber_give_way(s) ? VM_KILLED : VM_RESUMED;
}

enum trap vm_work_slow(struct abi_exec *exec)
{
	struct vm_shard *s = exec->shard;
	exec->work = 0;
	if (UNLIKELY(__atomic_load_n(&exec->interrupt, __ATOMIC_RELAXED)))
		return vm__fiber_give_way(s);
	return s->current ? s->current->kill : TRAP_NONE;
}

// From vm__preempt_stub, on the guest's stack: a long turn ends. Not NULL: the call ends, exec->trap says why.
struct abi_exec *vm__interrupted(uint64_t pc, uint64_t frame)
{
	struct vm_shard *s = vm__shard;
	enum trap end = vm__fiber_give_way(s);
	if (!end)
		return NULL;
	s->exec.trap = end;
	s->exec.trap_pc = pc;
	vm__trap_note(s, end, pc, frame, UINT64_MAX);
	return &s->exec;
}

// ---- the rest ----------------------------------------------------------------------------------------------------
struct vm_fiber *vm_fiber_current(struct vm_shard *s)
{
	return s->current;
}

enum vm_fiber_state vm_fiber_state(const struct vm_fiber *f)
{
	return f->state;
}

void vm_fiber_share_budget(struct vm_fiber *f, struct vm_fiber *of)
{
	f->meter = of ? of->meter : &f->own;
}

void vm_fiber_set_budget(struct vm_fiber *f, struct vm_budget b)
{
	f->meter->budget = b;
}

// From any thread, as long as nobody frees it. Who is switched to it just now may not be interrupted by this: then its turn ends at the watchdog's next look.
void vm_fiber_kill(struct vm_fiber *f, enum trap reason)
{
	uint32_t none = TRAP_NONE;
	atomic_compare_exchange_strong(&f->kill, &none, reason);
	if (__atomic_load_n(&f->shard->current, __ATOMIC_RELAXED) == f)
		__atomic_store_n(&f->shard->exec.interrupt, 1, __ATOMIC_RELAXED);
}

enum trap vm_fiber_kill_reason(const struct vm_fiber *f)
{
	return f->kill;
}

uint64_t vm_fiber_cpu_ns(const struct vm_fiber *f)
{
	struct vm_shard *s = f->shard;
	if (s->current && s->current->meter == f->meter)  // not by the clock on the wall alone: what is said to be used is never less later
		charge(s, s->current, sys_now_ns());
	return f->meter->cpu_used;
}

bool vm_fiber_charge(struct vm_fiber *f, uint64_t cpu_ns)
{
	f->meter->cpu_used = sat_add_u64(f->meter->cpu_used, cpu_ns);
	return f->meter->cpu_used >= f->meter->budget.cpu_ns;
}

uint64_t vm_fiber_cpu_left_ns(const struct vm_fiber *f)
{
	uint64_t limit = f->meter->budget.cpu_ns, used = vm_fiber_cpu_ns(f);
	if (limit == UINT64_MAX)
		return limit;
	return limit > used ? limit - used : 0;
}

uint64_t vm_fiber_preemptions(const struct vm_fiber *f)
{
	return f->preemptions;
}
