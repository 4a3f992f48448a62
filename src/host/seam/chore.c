// What blocks: done by a thread of the process's pool, in memory of its own.
//
// States, and who changes them: new (seam_chore_new) → begun (seam_chore_begin) → done, on the loop → freed by its owner (seam_chore_free), or begun again;
// let go in any of them (seam_chore_let_go): freed when it has run, or at once where it has not begun.
#include "seam_int.h"
#include "sys/sys.h"

struct chore {
	struct seam_chore_ops ops;
	uintptr_t owner, group;  // one guest has its share of the threads
	struct loop_work work;
	struct loop_pool *threads;  // where it was begun; NULL: it is not under way
	void (*done)(void *data, void *ctx);
	void *ctx;
	struct seam_tasks *tasks;  // of who pays; NULL: nobody
	struct seam_task_id payer;
	uint64_t cpu_ns;           // that it took when it ran last
	_Alignas(16) uint8_t data[];
};

static struct chore *chore_of(void *data)
{
	return CONTAINER_OF(data, struct chore, data);
}

void *seam_chore_new(struct pool *memory, uint64_t group, size_t size, const struct seam_chore_ops *ops)
{
	struct chore *h = size > SIZE_MAX / 2 ? NULL : pool_zalloc(memory, sizeof *h + size);
	if (!h)
		return NULL;
	h->ops = *ops;
	h->owner = (uintptr_t)memory;
	h->group = group;
	return h->data;
}

void seam_chore_free(void *data)
{
	if (!data)
		return;
	struct chore *h = chore_of(data);
	BUG_ON(h->threads);
	if (h->ops.drop)
		h->ops.drop(data);
	pool_free(h);
}

static void on_run(struct loop_work *w)
{
	struct chore *h = CONTAINER_OF(w, struct chore, work);
	uint64_t since = sys_thread_cpu_ns();
	h->ops.run(h->data);
	h->cpu_ns = sys_thread_cpu_ns() - since;
}

void seam_chore_pays(void *data, struct seam_task *t)
{
	struct chore *h = chore_of(data);
	h->tasks = t->of;
	h->payer = t->id;
}

static void charge(const struct chore *h)
{
	struct seam_task *t = h->tasks ? seam_task_find(h->tasks, h->payer) : NULL;
	if (t)
		seam_task_charge(t, h->cpu_ns);
}

static void on_done(struct loop_work *w)
{
	struct chore *h = CONTAINER_OF(w, struct chore, work);
	h->threads = NULL;
	if (w->let_go) {  // on any thread, and the tasks may be gone
		seam_chore_free(h->data);
	} else {
		charge(h);
		h->done(h->data, h->ctx);
	}
}

bool seam_chore_begin(void *data, struct loop_pool *p, struct loop *l, void (*done)(void *data, void *ctx), void *ctx)
{
	struct chore *h = chore_of(data);
	BUG_ON(h->threads);
	h->work = (struct loop_work){.run = on_run, .done = on_done, .owner = h->owner, .group = h->group};
	h->done = done;
	h->ctx = ctx;
	h->threads = p;
	if (loop_work_submit(p, l, &h->work))
		return true;
	h->threads = NULL;
	return false;
}

void seam_chore_let_go(void *data, bool finish)
{
	struct chore *h = data ? chore_of(data) : NULL;
	if (!h)
		return;
	if (!h->threads) {
		seam_chore_free(data);
		return;
	}
	pool_disown(h);
	loop_work_let_go(h->threads, &h->work, finish);
}

// ---- for a call ----------------------------------------------------------------------------------------------------------------------

static void wake(void *data, void *park)
{
	seam_wake(park);
}

enum seam_result seam_chore_do(struct seam_call *c, struct loop_pool *p, void *data, bool *ret_full)
{
	struct seam_park park;
	seam_park_init(&park);
	seam_chore_pays(data, c->task);
	*ret_full = !seam_chore_begin(data, p, c->task->loop, wake, &park);
	if (*ret_full)
		return SEAM_OK;
	enum seam_result r = seam_park(c, &park);
	if (r != SEAM_OK)
		seam_chore_let_go(data, false);
	return r;
}
