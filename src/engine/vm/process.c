// The process and its shards: signal handlers, probes, what was chosen; a shard's own things.
#include "vm_int.h"

#include <pthread.h>

_Thread_local struct vm_shard *vm__shard;

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static bool init_done;
static struct buf description = {.max = 4096};

void vm__process_lock(void)
{
	pthread_mutex_lock(&lock);
}

void vm__process_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

bool vm_process_init(struct err *e)
{
	pthread_mutex_lock(&init_lock);
	bool ok = init_done;
	if (!ok) {
		buf_clear(&description);
		vm__xstate_probe();
		ok = vm_process_handle_signals(e) && vm__watchdog_init(e) && vm__cells_probe(&description);
		if (ok)
			vm__reset_probe(&description);
		init_done = ok;
	}
	pthread_mutex_unlock(&init_lock);
	return ok;
}

void vm_process_describe(struct buf *out)
{
	pthread_mutex_lock(&init_lock);
	buf_put_slice(out, buf_view(&description));
	pthread_mutex_unlock(&init_lock);
}

bool vm_shard_new(struct vm_shard **ret, struct err *e)
{
	if (!vm_process_init(e))
		return false;
	BUG_ON(vm__shard != NULL);
	struct vm_shard *s = mem_zalloc(sizeof *s);
	if (!s)
		return err_nomem(e);
	int r = sys_thread_stack(&s->thread_low, &s->thread_high);
	if (!r)
		r = sys_altstack_new(&s->altstack);
	if (r) {
		mem_free(s);
		return err_set_errno(e, -r, "a thread's stack");
	}
	s->exec.shard = s;
	s->tid = sys_thread_id();
	s->cpu_clock = sys_thread_cpu_clock();
	s->cpu_read = sys_thread_cpu_ns();
	vm__shard = s;
	vm__watchdog_add(s);
	*ret = s;
	return true;
}

void vm_shard_free(struct vm_shard *s)
{
	if (!s)
		return;
	BUG_ON(s->current != NULL || vm__shard != s);
	vm__watchdog_remove(s);
	vm__shard = NULL;
	vm__fibers_release(s);
	vm__cells_give_back(s);
	for (uint32_t i = 0; i < s->sigs_cap; i++) {
		if (s->sigs[i])
			mem_free(s->sigs[i]->abi.params);
		mem_free(s->sigs[i]);
	}
	mem_free(s->sigs);
	sys_altstack_free(s->altstack);
	mem_free(s);
}

struct vm_shard *vm_shard_current(void)
{
	return vm__shard;
}

struct abi_exec *vm_shard_exec(struct vm_shard *s)
{
	return &s->exec;
}

bool vm_work_is_due(const struct vm_shard *s)
{
	return __atomic_load_n(&s->exec.interrupt, __ATOMIC_RELAXED) != 0;
}

void vm_shard_set_on_preempted(struct vm_shard *s, void (*fn)(struct vm_fiber *f, void *arg), void *arg)
{
	s->on_preempted = fn;
	s->on_preempted_arg = arg;
}

void vm__own_slow(struct vm_shard *s, struct vm_store *st)
{
	uint64_t n = sys_thread_faults();
	if (s->owner)
		s->owner->faults += n - s->faults_read;
	s->faults_read = n;
	s->owner = st;
}
