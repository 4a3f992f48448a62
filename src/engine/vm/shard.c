// What every file of the room uses of the shard that runs, and of the process.
#include "vm_int.h"

_Thread_local struct vm_shard *vm__shard;
static struct sys_mutex lock = SYS_MUTEX;

void vm__process_lock(void)
{
	sys_mutex_lock(&lock);
}

void vm__process_unlock(void)
{
	sys_mutex_unlock(&lock);
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

bool vm__is_charged(const struct vm_shard *s, const struct vm_store *st)
{
	for (uint32_t i = 0; i < s->ncharged; i++)
		if (s->charged[i] == st)
			return true;
	return false;
}

void vm__faults_settle(struct vm_shard *s)
{
	uint64_t n = sys_thread_faults();
	for (uint32_t i = 0; i < s->ncharged; i++)
		s->charged[i]->faults += n - s->faults_read;
	s->ncharged = 0;
	s->faults_read = n;
}

void vm__own_slow(struct vm_shard *s, struct vm_store *st)
{
	s->owner = st;
	if (vm__is_charged(s, st))
		return;
	if (s->ncharged == VM__CHARGED)
		vm__faults_settle(s);
	s->charged[s->ncharged++] = st;
}
