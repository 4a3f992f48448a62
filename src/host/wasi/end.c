// Host ends of streams and futures.
#include "end_int.h"
#include "sys/sys.h"

enum { AT_ONCE = 64 };  // pieces that a sink takes where nobody can be given a turn

// ---- promises -------------------------------------------------------------------------------------------------------------------------

static void promise_free(struct wasi_promise *p)
{
	if (p->of)
		*p->of = NULL;
	if (p->to)
		p->to->from = NULL;
	if (p->resolved && !p->given && p->forget)
		p->forget(p);
	seam_mem_free(p);
}

static bool promise_value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct wasi_promise *p = CONTAINER_OF(e, struct wasi_promise, end);
	p->given = true;
	if (p->make)
		return p->make(p, t, native);
	if (native)
		memcpy(native, p->value, p->size);
	return true;
}

static void promise_changed(struct canon_end *e)
{
	struct wasi_promise *p = CONTAINER_OF(e, struct wasi_promise, end);
	if (!p->given && !canon_end_is_over(e))
		return;
	canon_end_drop(e);
	promise_free(p);
}

static void promise_gone(struct canon_end *e)
{
	promise_free(CONTAINER_OF(e, struct wasi_promise, end));
}

bool wasi__promise_new(struct canon_instance *i, const struct wit_type *type, struct wasi_promise **of, uint32_t *ret)
{
	static const struct canon_end_ops ops = {promise_changed, promise_value, promise_gone};
	struct wasi_promise *p = SEAM_MEM_NEW(i, struct wasi_promise);
	if (!p)
		return false;
	if (!canon_end_new(i, type, &ops, &p->end, ret)) {
		seam_mem_free(p);
		return false;
	}
	p->of = of;
	*of = p;
	return true;
}

static void reader_done(struct wasi_reader *r);

// Both ends are the host's: the value goes over as it is. Where joints lie in between these let the promise go with the reader's end.
static void pass(struct wasi_promise *p)
{
	struct wasi_reader *r = p->to;
	_Alignas(8) uint8_t value[WASI_PROMISE_MAX];
	bool joined = canon_end_is_joined(&r->end);
	memcpy(value, p->value, sizeof value);
	p->given = true;
	reader_done(r);
	if (!joined) {
		canon_end_drop(&p->end);
		promise_free(p);
	}
	r->ops->got(r, NULL, value, true);
	r->ops->over(r, true);
}

void wasi__promise_resolve(struct wasi_promise **of, const void *value, size_t n)
{
	struct wasi_promise *p = *of;
	if (!p)
		return;
	BUG_ON(p->resolved || n > sizeof p->value);
	*of = NULL;
	p->of = NULL;
	memcpy(p->value, value, n);
	p->size = (uint32_t)n;
	p->resolved = true;
	if (p->to)
		pass(p);
	else
		canon_end_resolve(&p->end);
}

// ---- readers --------------------------------------------------------------------------------------------------------------------------

static void reader_done(struct wasi_reader *r)
{
	if (r->from)
		r->from->to = NULL;
	r->from = NULL;
	r->done = true;
	canon_end_drop(&r->end);
}

static bool reader_value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct wasi_reader *r = CONTAINER_OF(e, struct wasi_reader, end);
	r->has = true;
	return r->ops->got(r, t, native, false);
}

// It has come by a joint. Whoever let it go there tells that the end is over then.
static bool take_joined(struct wasi_reader *r)
{
	_Alignas(8) uint8_t value[WASI_READER_MAX];
	struct canon_trap trap;
	struct canon_task task = {.instance = r->end.instance, .trap = &trap};
	canon_trap_clear(&trap);
	if (!canon_end_future(&r->end, &task, value))
		return false;
	r->has = true;
	r->ops->got(r, &task, value, false);
	canon_end_took(&r->end);
	return true;
}

static void reader_changed(struct canon_end *e)
{
	struct wasi_reader *r = CONTAINER_OF(e, struct wasi_reader, end);
	if (!r->has && take_joined(r))
		return;
	if (!r->has && !canon_end_is_over(e))
		return;
	reader_done(r);
	r->ops->over(r, r->has);
}

static void reader_gone(struct canon_end *e)
{
	struct wasi_reader *r = CONTAINER_OF(e, struct wasi_reader, end);
	reader_done(r);
	r->ops->over(r, false);
}

bool wasi__reader_take(struct canon_instance *i, struct canon_task *t, uint32_t number, const struct wasi_reader_ops *ops, struct wasi_reader *r)
{
	static const struct canon_end_ops end_ops = {.changed = reader_changed, .value = reader_value, .gone = reader_gone, .joins = true};
	*r = (struct wasi_reader){.ops = ops};
	if (!canon_end_take(i, number, &end_ops, &r->end)) {
		canon_task_trap(t, "it is no future");
		return false;
	}
	struct canon_end *peer = canon_end_peer(&r->end);
	if (!peer && canon_end_is_over(&r->end)) {
		reader_changed(&r->end);
		return true;
	}
	if (!peer) {
		if (canon_end_fetch(&r->end, t))
			return true;
		reader_done(r);  // whoever it lies in may go
		return false;
	}
	struct wasi_promise *p = CONTAINER_OF(peer, struct wasi_promise, end);
	p->to = r;
	r->from = p;
	if (p->resolved)
		pass(p);
	return true;
}

void wasi__reader_drop(struct wasi_reader *r)
{
	if (!r->ops || r->done)
		return;
	struct wasi_promise *p = canon_end_is_joined(&r->end) ? NULL : r->from;
	reader_done(r);
	if (p)
		promise_changed(&p->end);
}

// ---- sources --------------------------------------------------------------------------------------------------------------------------

static struct wasi_payer payer_of(struct seam_task *t)
{
	return t ? (struct wasi_payer){t->of, t->id} : (struct wasi_payer){0};
}

static struct seam_task *find(const struct wasi_payer *p)
{
	return p->tasks ? seam_task_find(p->tasks, p->id) : NULL;
}

// What this thread has done since then.
static void charge(const struct wasi_payer *p, uint64_t since)
{
	struct seam_task *t = find(p);
	if (t)
		seam_task_charge(t, sys_thread_cpu_ns() - since);
}

static bool is_over(enum wasi_io io)
{
	return io == WASI_IO_CLOSED || io == WASI_IO_FAILED;
}

static void on_source_ready(struct wasi_waiter *w)
{
	struct wasi_source *s = CONTAINER_OF(w, struct wasi_source, waiter);
	loop_post(s->loop, s->to ? &s->to->job : &s->job);
}

static void source_watch(struct wasi_source *s)
{
	if (!s->waiter.prev)
		wasi__event_watch(s->in->readable, &s->waiter, NULL);
	s->waiter.fn = on_source_ready;
}

static void source_free(struct wasi_source *s)
{
	wasi__event_unwatch(&s->waiter);
	loop_job_cancel(&s->job);
	canon_end_drop(&s->end);
	wasi__input_unref(s->in);
	seam_mem_free(s);
}

static void source_close(struct wasi_source *s, enum wasi_over how, const struct wasi_error *why)
{
	wasi_over_fn *over = s->over;
	void *of = s->of;
	source_free(s);
	over(of, how, why);
}

static void source_failed(struct wasi_source *s, enum wasi_io io)
{
	struct wasi_error why = {0};
	if (io == WASI_IO_FAILED)
		why = s->in->ops->take_error(s->in);
	source_close(s, io == WASI_IO_FAILED ? WASI_OVER_FAILED : WASI_OVER_END, &why);
}

// Whether there is something, for a read of nothing: an input that reads when it is looked at is only asked.
static enum wasi_io look(struct wasi_input *in, size_t max, struct slice *ret)
{
	*ret = (struct slice){0};
	if (!max && in->ops->is_ready)
		return in->ops->is_ready(in) ? WASI_IO_OK : WASI_IO_AGAIN;
	enum wasi_io io = in->ops->peek(in, max ? max : 1, ret);
	*ret = slice_sub(*ret, 0, max);
	return io;
}

static void source_run(struct wasi_source *s)
{
	uint8_t *into;
	size_t room;
	struct slice there;
	if (s->to)
		return;
	while (canon_end_room(&s->end, &into, &room)) {
		enum wasi_io io = look(s->in, room, &there);
		if (is_over(io)) {
			source_failed(s, io);
			return;
		}
		if (io == WASI_IO_AGAIN) {
			source_watch(s);
			return;
		}
		size_t n = min_u64(there.len, room);
		if (n) {
			memcpy(into, there.ptr, n);
			s->in->ops->consume(s->in, n);
		}
		canon_end_move(&s->end, n);
		if (n)
			return;
	}
	if (canon_end_is_over(&s->end))
		source_close(s, WASI_OVER_CLOSED, NULL);
}

static void source_changed(struct canon_end *e)
{
	source_run(CONTAINER_OF(e, struct wasi_source, end));
}

static void source_gone(struct canon_end *e)
{
	struct wasi_source *s = CONTAINER_OF(e, struct wasi_source, end);
	if (s->to) {  // perhaps in another instance: it finds that nothing comes
		s->to->from = NULL;
		loop_post(s->loop, &s->to->job);
	}
	source_close(s, WASI_OVER_GONE, NULL);
}

static void on_source_job(struct loop_job *j)
{
	struct wasi_source *s = CONTAINER_OF(j, struct wasi_source, job);
	struct wasi_payer payer = s->payer;
	uint64_t since = sys_thread_cpu_ns();
	source_run(s);
	charge(&payer, since);
}

static struct loop *loop_of(struct canon_instance *i)
{
	return ((struct seam_instance *)canon_instance_user(i))->loop;
}

static struct seam_task *running_task(struct canon_instance *i)
{
	struct canon_task *t = canon_instance_running(i);
	return t ? CONTAINER_OF(canon_task_root(t), struct seam_task, canon) : NULL;
}

bool wasi__source_new(struct canon_instance *i, struct wasi_input *in, wasi_over_fn *over, void *of, uint32_t *ret_number)
{
	static const struct wit_type type = {.kind = WIT_STREAM, .elem = &wit_primitives[WIT_U8]};
	static const struct canon_end_ops ops = {source_changed, NULL, source_gone};
	struct wasi_source *s = in ? SEAM_MEM_NEW(i, struct wasi_source) : NULL;
	if (!s || !canon_end_new(i, &type, &ops, &s->end, ret_number)) {
		seam_mem_free(s);
		wasi__input_unref(in);
		return false;
	}
	s->in = in;
	s->payer = payer_of(running_task(i));
	s->loop = loop_of(i);
	s->job.fn = on_source_job;
	s->over = over;
	s->of = of;
	return true;
}

// ---- sinks ----------------------------------------------------------------------------------------------------------------------------

static void on_sink_ready(struct wasi_waiter *w)
{
	struct wasi_sink *s = CONTAINER_OF(w, struct wasi_sink, waiter);
	loop_post(s->loop, &s->job);
}

static void sink_watch(struct wasi_sink *s)
{
	if (!s->waiter.prev && s->out->writable)
		wasi__event_watch(s->out->writable, &s->waiter, NULL);
	s->waiter.fn = on_sink_ready;
}

// A source that nobody takes from any more: by the end of `gone`, its own instance's perhaps.
static void let_go(struct wasi_source *from, const struct canon_instance *gone)
{
	if (!from)
		return;
	from->to = NULL;
	source_close(from, from->end.instance == gone ? WASI_OVER_GONE : WASI_OVER_CLOSED, NULL);
}

static void sink_end(struct wasi_sink *s, enum wasi_over how)
{
	struct wasi_source *from = s->from;
	const struct canon_instance *gone = how == WASI_OVER_GONE ? s->instance : NULL;
	wasi__event_unwatch(&s->waiter);
	loop_job_cancel(&s->job);
	canon_end_drop(&s->end);
	wasi__output_unref(s->out);
	seam_mem_free(s);
	let_go(from, gone);
}

void wasi__sink_free(struct wasi_sink *s)
{
	if (s)
		sink_end(s, WASI_OVER_CLOSED);
}

static void sink_close(struct wasi_sink *s, enum wasi_over how, const struct wasi_error *why)
{
	wasi_over_fn *over = s->over;
	void *of = s->of;
	sink_end(s, how);
	over(of, how, why);
}

static void sink_failed(struct wasi_sink *s, enum wasi_io io)
{
	struct wasi_error why = {0};
	if (io == WASI_IO_FAILED)
		why = s->out->ops->take_error(s->out);
	sink_close(s, io == WASI_IO_FAILED ? WASI_OVER_FAILED : WASI_OVER_CLOSED, &why);
}

// What there is to be written, at most `max` bytes. WASI_IO_CLOSED: nothing will come.
static enum wasi_io next_bytes(struct wasi_sink *s, size_t max, struct slice *ret)
{
	uint8_t *bytes;
	size_t n;
	if (s->ended)
		return WASI_IO_CLOSED;
	if (!s->from) {
		if (!canon_end_room(&s->end, &bytes, &n))
			return canon_end_is_over(&s->end) ? WASI_IO_CLOSED : WASI_IO_AGAIN;
		*ret = slice_of(bytes, min_u64(n, max));
		return WASI_IO_OK;
	}
	enum wasi_io io = look(s->from->in, max, ret);
	if (io == WASI_IO_AGAIN) {
		source_watch(s->from);
	} else if (is_over(io)) {
		struct wasi_source *from = s->from;
		s->from = NULL;
		from->to = NULL;
		s->ended = true;
		source_failed(from, io);
		return WASI_IO_CLOSED;
	}
	return io;
}

static void took(struct wasi_sink *s, size_t n)
{
	if (s->from) {
		s->from->in->ops->consume(s->from->in, n);
		return;
	}
	canon_end_move(&s->end, n);
}

// All has come: it is over when that has been taken.
static bool finish(struct wasi_sink *s)
{
	enum wasi_io io = s->out->ops->flush(s->out);
	if (io == WASI_IO_AGAIN)
		sink_watch(s);
	else if (io == WASI_IO_OK)
		sink_close(s, WASI_OVER_END, NULL);
	else
		sink_failed(s, io);
	return io != WASI_IO_AGAIN;
}

// Those that take long per byte (the log) are nobody's but the instance's, and may give others a turn where it is the one that runs (`task`). false: it must
// wait, or is gone (*ret_gone).
static bool move_some(struct wasi_sink *s, struct seam_task *task, bool *ret_gone)
{
	struct seam_task *by = task ? task : find(&s->by);  // of the loop: what comes is written by a guest of another instance, or was there
	size_t permit = 0;
	struct slice data = {0};
	enum wasi_io io = s->out->ops->permit(s->out, &permit);
	if (is_over(io)) {
		sink_failed(s, io);
		*ret_gone = true;
		return false;
	}
	if (!permit) {
		sink_watch(s);
		return false;
	}
	io = next_bytes(s, s->out->ops->piece ? min_u64(permit, s->out->ops->piece) : permit, &data);
	if (io == WASI_IO_CLOSED)
		*ret_gone = finish(s);
	if (io != WASI_IO_OK)
		return false;
	if (data.len && !by && s->out->ops->piece) {  // nobody is left whose lines they could be
		sink_close(s, WASI_OVER_CLOSED, NULL);
		*ret_gone = true;
		return false;
	}
	if (data.len)
		io = s->out->ops->write(s->out, by, data);
	if (is_over(io)) {
		sink_failed(s, io);
		*ret_gone = true;
		return false;
	}
	took(s, data.len);
	return !task || !s->out->ops->piece || vm_work(vm_shard_exec(task->shard), VM_WORK_LOOK) == TRAP_NONE;
}

bool wasi__sink_waits_for_guest(const struct wasi_sink *s)
{
	uint8_t *bytes;
	size_t n;
	return s && !s->from && !s->ended && !canon_end_is_over(&s->end) && !canon_end_is_joined(&s->end) && !canon_end_room(&s->end, &bytes, &n);
}

static void sink_run(struct wasi_sink *s, struct seam_task *task)
{
	bool gone = false;
	unsigned n = 0;
	if (s->busy)
		return;
	s->busy = true;
	while (n < AT_ONCE && move_some(s, task, &gone))
		n += !task;
	if (gone)
		return;
	s->busy = false;
	if (n == AT_ONCE)
		loop_post(s->loop, &s->job);
	if (s->idle && wasi__sink_waits_for_guest(s))
		s->idle(s->of);
}

static void sink_changed(struct canon_end *e)
{
	struct wasi_sink *s = CONTAINER_OF(e, struct wasi_sink, end);
	if (!s->from)
		sink_run(s, running_task(s->instance));
}

static void sink_gone(struct canon_end *e)
{
	struct wasi_sink *s = CONTAINER_OF(e, struct wasi_sink, end);
	sink_close(s, WASI_OVER_GONE, NULL);
}

static void on_sink_job(struct loop_job *j)
{
	struct wasi_sink *s = CONTAINER_OF(j, struct wasi_sink, job);
	struct wasi_payer payer = s->from ? (struct wasi_payer){0} : s->by;
	uint64_t since = sys_thread_cpu_ns();
	sink_run(s, NULL);
	charge(&payer, since);
}

bool wasi__sink_new(struct canon_instance *i, uint32_t number, struct wasi_output *out, wasi_over_fn *over, void *of, struct wasi_sink **ret)
{
	static const struct canon_end_ops ops = {sink_changed, NULL, sink_gone};
	struct wasi_sink *s = out ? SEAM_MEM_NEW(i, struct wasi_sink) : NULL;
	if (!s || !canon_end_take(i, number, &ops, &s->end)) {
		seam_mem_free(s);
		wasi__output_unref(out);
		return false;
	}
	struct canon_end *peer = canon_end_peer(&s->end);
	s->instance = i;
	s->out = out;
	s->loop = loop_of(i);
	s->job.fn = on_sink_job;
	s->over = over;
	s->of = of;
	if (peer) {
		s->from = CONTAINER_OF(peer, struct wasi_source, end);
		s->from->to = s;
	}
	*ret = s;
	return true;
}

void wasi__sink_start(struct wasi_sink *s, struct seam_task *task)
{
	s->by = payer_of(task);
	sink_run(s, task);
}

// ---- nowhere --------------------------------------------------------------------------------------------------------------------------

static enum wasi_io any_permit(struct wasi_output *out, size_t *ret)
{
	*ret = HTTP_WINDOW;
	return WASI_IO_OK;
}

static enum wasi_io take_away(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	return WASI_IO_OK;
}

static enum wasi_io nothing_to_flush(struct wasi_output *out)
{
	return WASI_IO_OK;
}

static void nothing_to_release(struct wasi_output *out)
{
}

struct wasi_output *wasi__no_output(struct canon_instance *i)
{
	static const struct wasi_output_ops ops = {any_permit, take_away, nothing_to_flush, nothing_to_release, NULL, 0};
	struct wasi_output *out = SEAM_MEM_NEW(i, struct wasi_output);
	if (out)
		*out = (struct wasi_output){.ops = &ops, .refs = 1};
	return out;
}
