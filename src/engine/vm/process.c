// The process and its shards, begun and ended: signal handlers, probes, what was chosen.
#include "vm_int.h"

static struct sys_mutex init_lock = SYS_MUTEX;
static bool init_done;
static struct buf description = {.max = 4096};

bool vm_process_init(struct err *e)
{
	sys_mutex_lock(&init_lock);
	bool ok = init_done;
	if (!ok) {
		buf_clear(&description);
		vm__xstate_probe();
		ok = vm_process_handle_signals(e);
		if (ok) {
			vm__cells_describe(&description);
			vm__reset_probe(&description);
		}
		init_done = ok;
	}
	sys_mutex_unlock(&init_lock);
	return ok;
}

void vm_process_describe(struct buf *out)
{
	sys_mutex_lock(&init_lock);
	buf_put_slice(out, buf_view(&description));
	sys_mutex_unlock(&init_lock);
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
	if (!vm__watchdog_add(s, e)) {
		sys_altstack_free(s->altstack);
		mem_free(s);
		return false;
	}
	vm__shard = s;
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
