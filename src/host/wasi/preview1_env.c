// Preview 1: arguments, environment, clocks, random bytes, the end.
#include "preview1.h"
#include "sys/sys.h"

// ---- arguments and environment -----------------------------------------------------------------------------------------------------------
// Each is a list of texts "NAME" or "NAME=VALUE", with a zero at its end.

struct texts {
	const struct slice *names;
	const struct seam_pair *pairs;  // NULL: names are the whole
	uint32_t n;
};

static struct texts arguments(const struct p1_call *c)
{
	const struct seam_grants *g = c->p->seam.grants;
	return (struct texts){.names = g->args, .n = g->n_args};
}

static struct texts environment(const struct p1_call *c)
{
	const struct seam_grants *g = c->p->seam.grants;
	return (struct texts){.pairs = g->env, .n = g->n_env};
}

static uint64_t text_size(const struct texts *t, uint32_t i)
{
	return t->pairs ? (uint64_t)t->pairs[i].name.len + 1 + t->pairs[i].value.len + 1 : (uint64_t)t->names[i].len + 1;
}

static void put_text(const struct texts *t, uint32_t i, uint8_t *to)
{
	struct slice name = t->pairs ? t->pairs[i].name : t->names[i];
	memcpy(to, name.ptr, name.len);
	to += name.len;
	if (t->pairs) {
		*to++ = '=';
		memcpy(to, t->pairs[i].value.ptr, t->pairs[i].value.len);
		to += t->pairs[i].value.len;
	}
	*to = 0;
}

static enum seam_result give_sizes(struct p1_call *c, struct texts t, uint64_t count, uint64_t size)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < t.n; i++)
		bytes += text_size(&t, i);
	if (bytes > UINT32_MAX)
		return wasi__p1_fail(c, P1_OVERFLOW);
	enum seam_result r = wasi__p1_put_u32(c, count, t.n);
	return r != SEAM_OK ? r : wasi__p1_put_u32(c, size, (uint32_t)bytes);
}

static enum seam_result give_texts(struct p1_call *c, struct texts t, uint64_t pointers, uint64_t at)
{
	for (uint32_t i = 0; i < t.n; i++) {
		uint64_t size = text_size(&t, i);
		uint8_t *to = wasi__p1_at(c, at, size, 1);
		if (!to)
			return SEAM_TRAP;
		put_text(&t, i, to);
		enum seam_result r = wasi__p1_put_u32(c, pointers + 4ull * i, (uint32_t)at);
		if (r == SEAM_OK)
			r = seam_work(&c->seam, size + VM_WORK_ITEM);
		if (r != SEAM_OK)
			return r;
		at += size;
	}
	return SEAM_OK;
}

enum seam_result wasi__p1_args_sizes_get(struct p1_call *c, const struct p1_args_sizes_get_args *a)
{
	return give_sizes(c, arguments(c), a->argc, a->argv_buf_size);
}

enum seam_result wasi__p1_args_get(struct p1_call *c, const struct p1_args_get_args *a)
{
	return give_texts(c, arguments(c), a->argv, a->argv_buf);
}

enum seam_result wasi__p1_environ_sizes_get(struct p1_call *c, const struct p1_environ_sizes_get_args *a)
{
	return give_sizes(c, environment(c), a->environc, a->environ_buf_size);
}

enum seam_result wasi__p1_environ_get(struct p1_call *c, const struct p1_environ_get_args *a)
{
	return give_texts(c, environment(c), a->environ, a->environ_buf);
}

// ---- clocks ------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_clock_res_get(struct p1_call *c, const struct p1_clock_res_get_args *a)
{
	return a->id > P1_MONOTONIC ? wasi__p1_fail(c, P1_INVAL) : wasi__p1_put_u64(c, a->resolution, 1);
}

enum seam_result wasi__p1_clock_time_get(struct p1_call *c, const struct p1_clock_time_get_args *a)
{
	if (a->id > P1_MONOTONIC)
		return wasi__p1_fail(c, P1_INVAL);
	return wasi__p1_put_u64(c, a->time, a->id == P1_REALTIME ? sys_wall_ns() : sys_now_ns());
}

// ---- the rest ----------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_random_get(struct p1_call *c, const struct p1_random_get_args *a)
{
	uint8_t *to = wasi__p1_at(c, a->buf, a->buf_len, 1);
	if (!to)
		return SEAM_TRAP;
	for (uint64_t done = 0; done < a->buf_len; done += VM_WORK_LOOK) {
		if (!wasi__random_fill(&c->seam, to + done, min_u64(a->buf_len - done, VM_WORK_LOOK)))
			return wasi__p1_fail(c, P1_IO);
		enum seam_result r = seam_work(&c->seam, VM_WORK_LOOK);
		if (r != SEAM_OK)
			return r;
	}
	return SEAM_OK;
}

enum seam_result wasi__p1_sched_yield(struct p1_call *c, const struct p1_sched_yield_args *a)
{
	return seam_work(&c->seam, VM_WORK_LOOK);
}

// What no process can end with is a failure still.
enum seam_result wasi__p1_proc_exit(struct p1_call *c, const struct p1_proc_exit_args *a)
{
	return seam_exit(&c->seam, a->rval <= UINT8_MAX ? (int32_t)a->rval : 1);
}

enum seam_result wasi__p1_proc_raise(struct p1_call *c, const struct p1_proc_raise_args *a)
{
	enum { SIGNALS = 31 };
	return wasi__p1_fail(c, a->sig < SIGNALS ? P1_NOTSUP : P1_INVAL);
}
