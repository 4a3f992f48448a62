// The way of the host's tasks into an instance and out of it. exec->task is the task that runs; vm exchanges it with the fiber. On the thread's own stack it
// is set and put back here.
#include "canon_int.h"

struct canon_task *canon__task_begin(struct canon_instance *i, struct canon_task *t, struct canon_trap *trap, struct canon__own *own)
{
	own->outer = i->exec->task;
	if (!t)
		t = own->outer;
	if (!t) {
		own->task = (struct canon_task){0};
		t = &own->task;
	}
	own->outermost = !t->instance;
	if (own->outermost) {
		t->instance = i;
		t->root = NULL;
		t->fiber = vm_fiber_current(i->shard);
		arena_init_pool(&t->arena, i->limits.call_bytes, &i->head.pool);
	}
	own->told = t->trap;
	if (trap || own->outermost) {
		t->trap = trap ? trap : &own->trap;
		canon_trap_clear(t->trap);
	}
	i->exec->task = t;
	i->n_tasks++;
	return t;
}

void canon__task_end(struct canon_instance *i, struct canon_task *t, struct canon__own *own)
{
	i->n_tasks--;
	i->exec->task = own->outer;
	t->trap = own->told;
	if (!own->outermost)
		return;
	if (UNLIKELY(t->n_threads))
		canon__async_leave(i, t);
	arena_release(&t->arena);
	t->instance = NULL;
	t->scope = NULL;
}
