// What a shard counts of its requests: in memory that only its thread writes, by plain instructions.
#include "serve_int.h"

// Upper bounds of the histogram, in nanoseconds.
const uint64_t serve__bounds[SERVE_BUCKETS - 1] = {100000, 250000, 500000, MILLISECOND, 2500000, 5 * MILLISECOND, 10 * MILLISECOND, 25 * MILLISECOND,
	50 * MILLISECOND, 100 * MILLISECOND, 250 * MILLISECOND, 500 * MILLISECOND, SECOND, 2500 * MILLISECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND};

unsigned serve__bucket(uint64_t took_ns)
{
	unsigned k = 0;
	while (k < ARRAY_LEN(serve__bounds) && took_ns > serve__bounds[k])
		k++;
	return k;
}

static void count_status(struct serve_meters *m, unsigned status)
{
	if (status >= SERVE_STATUS_FIRST && status < SERVE_STATUS_FIRST + SERVE_STATUSES)
		serve__count(&m->statuses[status - SERVE_STATUS_FIRST], 1);
}

static void count_memory(struct serve_meters *m, const struct canon_instance *i)
{
	uint64_t peak = vm_store_memory_peak(canon_instance_store(i));
	if (peak > m->memory_peak)
		serve__count(&m->memory_peak, peak - m->memory_peak);
}

void serve__meter_inner(struct serve_shard *s, const struct canon_instance *i, uint64_t cpu_ns, enum trap trap)
{
	struct serve_meters *m = &s->meters;
	serve__count(&m->inner, 1);
	serve__count(&m->cpu_ns, cpu_ns);
	if (trap != TRAP_NONE)
		serve__count(&m->traps[trap], 1);
	count_memory(m, i);
}

uint64_t serve__meter_call(const struct serve_request *c, unsigned status)
{
	struct serve_meters *m = &c->shard->meters;
	uint64_t took = sys_now_ns() - c->started_ns;
	count_status(m, status);
	serve__count(&m->durations[serve__bucket(took)], 1);
	serve__count(&m->duration_ns, took);
	serve__receipt_keep(c, status, took);
	serve__trace_end(c, status, took);
	if (!c->task)
		return took;
	serve__count(&m->cpu_ns, c->task->cpu_ns);
	if (!c->ok && !(c->trap.trap == TRAP_EXIT && c->trap.exit_code == 0))
		serve__count(&m->traps[c->trap.trap], 1);
	count_memory(m, c->slot->canon);
	return took;
}

void serve__meter_refused(struct serve_shard *s, unsigned status)
{
	count_status(&s->meters, status);
}

void serve__meter_own(const struct serve_port *p, unsigned status)
{
	const struct serve_service *all = p->listener->site->all;
	count_status(all ? &all->shards[p->thread->index].meters : &p->thread->own, status);
}
