// The life of a request.
//
//   serve__call_begin ── place free ──► start ── fiber runs ──► ended ──► finish: answer, receipt, slot reset, next of the queue
//        └── no place, no memory, or others wait already ──► queue ──► start, or 503 when the wait is over
//
// State, and who changes it: QUEUED → RUNNING (start), RUNNING → ENDED (finish), QUEUED → gone (time-out, client gone). One timer serves all
// deadlines of a call, one after the other: the wait in the queue, the response's head, the time after the response.
//
// The queue (H1 of the fault list: a loop that refilled what it emptied took a shard for good):
//  1. First come, first served: while somebody waits, nobody starts past him.
//  2. A call's wait is counted from its first moment in the queue, and is not moved.
//  3. Only on_queue_turn takes from it, one call a turn of the loop. A call that can't start stays at the head, and the shard waits for a call to end
//     or for QUEUE_RETRY, since what it lacks (memory, address space) may come back from elsewhere.
#include "serve_int.h"

#include "sys/sys.h"

static bool prepare(struct serve_call *c);
static void start(struct serve_call *c);
static void finish(struct serve_call *c);

// ---- pool ----------------------------------------------------------------------------------------------------------------------

enum { CALL_ARENA_MAX = 256 << 20, LARGE_SLOT_PAGES = 1024 };
#define QUEUE_RETRY (SECOND / 50)

static struct serve_call *call_take(struct serve_shard *s)
{
	struct serve_call *c = s->free_calls;
	if (c) {
		s->free_calls = c->next;
		struct arena arena = c->arena;
		*c = (struct serve_call){.shard = s, .arena = arena};
		return c;
	}
	c = mem_zalloc(sizeof *c);
	if (c) {
		c->shard = s;
		arena_init(&c->arena, CALL_ARENA_MAX);
	}
	return c;
}

static void call_give(struct serve_call *c)
{
	loop_timer_cancel(c->shard->loop, &c->timer);
	arena_clear(&c->arena);
	c->next = c->shard->free_calls;
	c->shard->free_calls = c;
}

void serve__call_pool_release(struct serve_shard *s)
{
	for (struct serve_call *c = s->free_calls, *next; c; c = next) {
		next = c->next;
		arena_release(&c->arena);
		mem_free(c);
	}
	s->free_calls = NULL;
	for (struct serve_slot *slot = s->free_slots, *next; slot; slot = next) {
		next = slot->next;
		canon_instance_free(slot->canon);
		mem_free(slot);
	}
	s->free_slots = NULL;
}

// ---- slots ---------------------------------------------------------------------------------------------------------------------

static struct serve_slot *slot_take(struct serve_shard *s, struct err *e)
{
	struct serve_slot *slot = s->free_slots;
	if (slot) {
		s->free_slots = slot->next;
		return slot;
	}
	slot = serve__memory_is_short(s->server) ? NULL : mem_zalloc(sizeof *slot);
	if (!slot) {
		err_set(e, ERR_NOMEM, "the memory of the process is spent (--process-memory)");
		return NULL;
	}
	struct serve_deployment *d = &s->server->deployment;
	seam_instance_init(&slot->seam, s->loop, s->vm, &d->grants, slot);
	if (!canon_slot_new(s->vm, s->server->image, &slot->seam, &slot->canon, e)) {
		mem_free(slot);
		return NULL;
	}
	s->slots++;
	return slot;
}

static void slot_discard(struct serve_slot *slot, struct serve_shard *s)
{
	canon_instance_free(slot->canon);
	mem_free(slot);
	s->slots--;
}

// A slot keeps the pages of a guest that grew, for the next: not while memory is short.
static bool holds_too_much(const struct serve_slot *slot, const struct serve_server *server)
{
	struct vm_reset_stats stats = vm_store_reset_stats(canon_instance_store(slot->canon));
	return stats.private_pages > LARGE_SLOT_PAGES && serve__memory_is_short(server);
}

// After a clean return the slot is made equal to its image again (fresh), or kept as it is (reuse, keep); after anything else it is not trusted.
static void slot_give(struct serve_slot *slot, struct serve_shard *s, bool clean)
{
	bool keep = clean && s->server->config->policy != SERVE_FRESH;
	if (!clean || (!keep && (!canon_slot_reset(slot->canon) || holds_too_much(slot, s->server)))) {
		slot_discard(slot, s);
		return;
	}
	slot->used = keep;
	slot->next = s->free_slots;
	s->free_slots = slot;
}

// ---- running ---------------------------------------------------------------------------------------------------------------------

// On the call's fiber.
static void call_main(void *arg)
{
	struct serve_call *c = arg;
	struct canon_instance *i = c->slot->canon;
	c->ok = c->slot->used || canon_slot_is_ready(i) || canon_slot_start(i, &c->task, &c->trap);
	if (c->ok)
		c->ok = wasi_http_incoming_handler_call_handle(&c->task, i, &c->shard->server->handler, c->args.request, c->args.outparam, &c->arena, &c->trap);
	c->cpu_ns = vm_fiber_cpu_ns(c->task.fiber);
}

static void on_done(struct seam_task *t)
{
	finish(CONTAINER_OF(t, struct serve_call, task));
}

// Ends a running call from the loop.
static void end_call(struct serve_call *c, enum trap why)
{
	if (c->state == CALL_RUNNING)
		seam_task_kill(&c->task, why);
}

static void list_running(struct serve_call *c)
{
	struct serve_shard *s = c->shard;
	c->run_next = s->running;
	c->run_prev = &s->running;
	if (c->run_next)
		c->run_next->run_prev = &c->run_next;
	s->running = c;
	s->calls++;
}

static void unlist_running(struct serve_call *c)
{
	*c->run_prev = c->run_next;
	if (c->run_next)
		c->run_next->run_prev = c->run_prev;
	c->shard->calls--;
}

// ---- callbacks from wasi:http and the timer ----------------------------------------------------------------------------------------

static void on_deadline(struct loop_timer *t)
{
	end_call(CONTAINER_OF(t, struct serve_call, timer), TRAP_DEADLINE);
}

static struct vm_budget budget(const struct serve_call *c, uint64_t wall_ns)
{
	uint64_t cpu = c->shard->server->config->limits.cpu;
	return (struct vm_budget){
		.cpu_ns = cpu ? cpu : UINT64_MAX,
		.deadline_ns = wall_ns ? sat_add_u64(loop_now_ns(c->shard->loop), wall_ns) : UINT64_MAX,
	};
}

static void set_deadline(struct serve_call *c, uint64_t wall_ns)
{
	struct vm_budget b = budget(c, wall_ns);
	if (c->task.fiber)
		vm_fiber_set_budget(c->task.fiber, b);
	c->timer.fn = on_deadline;
	loop_timer_set(c->shard->loop, &c->timer, b.deadline_ns);
}

// The deadline is to the response's head: it is met.
static void on_head(struct wasi_http_call *h)
{
	set_deadline(CONTAINER_OF(h, struct serve_call, http), 0);
}

static void on_finished(struct wasi_http_call *h)
{
	struct serve_call *c = CONTAINER_OF(h, struct serve_call, http);
	set_deadline(c, c->shard->server->config->limits.linger);
}

static void on_cancel(struct wasi_http_call *h)
{
	end_call(CONTAINER_OF(h, struct serve_call, http), TRAP_KILLED);
}

// That there is no instance to be had is said once a second.
static void log_shortage(struct serve_shard *s, const char *why)
{
	uint64_t now = loop_now_ns(s->loop);
	if (now < s->shortage_logged_ns + SECOND && s->shortage_logged_ns)
		return;
	s->shortage_logged_ns = now;
	serve__log(s->server->config, SERVE_LOG_ERROR, "no instance to be had: %s", why);
}

// ---- queue -----------------------------------------------------------------------------------------------------------------------

static void refuse(struct serve_call *c)
{
	http_respond_error(c->x, 503, 1);
	http_exchange_release(c->x);
	serve__log_call(c, 503);
	call_give(c);
}

static void queue_remove(struct serve_call *c)
{
	struct serve_shard *s = c->shard;
	struct serve_call **at = &s->queue_head, *before = NULL;
	while (*at != c) {
		before = *at;
		at = &before->next;
	}
	*at = c->next;
	if (s->queue_tail == c)
		s->queue_tail = before;
	s->queued--;
}

static void on_queue_timeout(struct loop_timer *t)
{
	struct serve_call *c = CONTAINER_OF(t, struct serve_call, timer);
	queue_remove(c);
	refuse(c);
}

static void on_queued_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct serve_call *c = user;
	queue_remove(c);
	http_exchange_release(x);
	call_give(c);
}

// Who comes, waits behind the others.
static void enqueue(struct serve_call *c)
{
	static const struct http_exchange_ops ops = {.on_cancel = on_queued_cancel};
	struct serve_shard *s = c->shard;
	uint64_t wait = s->server->config->limits.queue_timeout;
	c->next = NULL;
	if (s->queue_tail)
		s->queue_tail->next = c;
	else
		s->queue_head = c;
	s->queue_tail = c;
	s->queued++;
	http_exchange_set_owner(c->x, &ops, c);
	c->timer.fn = on_queue_timeout;
	if (wait)
		loop_timer_set(s->loop, &c->timer, sat_add_u64(loop_now_ns(s->loop), wait));
}

static void queue_or_refuse(struct serve_call *c)
{
	if (c->shard->queued < c->shard->max_queue)
		enqueue(c);
	else
		refuse(c);
}

static bool has_place(const struct serve_shard *s)
{
	return s->calls < s->max_calls;
}

static void on_queue_turn(struct loop_task *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, queue_turn);
	struct serve_call *c = s->queue_head;
	if (!c || !has_place(s))
		return;
	if (!prepare(c)) {
		loop_timer_set(s->loop, &s->queue_retry, loop_now_ns(s->loop) + QUEUE_RETRY);
		return;
	}
	queue_remove(c);
	loop_timer_cancel(s->loop, &c->timer);
	start(c);
	serve__queue_wake(s);
}

static void on_queue_retry(struct loop_timer *t)
{
	serve__queue_wake(CONTAINER_OF(t, struct serve_shard, queue_retry));
}

void serve__queue_wake(struct serve_shard *s)
{
	if (!s->queue_head || !has_place(s))
		return;
	s->queue_turn.fn = on_queue_turn;
	s->queue_retry.fn = on_queue_retry;
	loop_post(s->loop, &s->queue_turn);
}

// ---- begin, start, finish ----------------------------------------------------------------------------------------------------------

void serve__call_begin(struct serve_shard *s, struct http_exchange *x)
{
	struct serve_call *c = call_take(s);
	if (!c) {
		http_respond_error(x, 503, 1);
		http_exchange_release(x);
		return;
	}
	c->x = x;
	c->id = ++s->request_count;
	c->started_ns = loop_now_ns(s->loop);
	if (s->queue_head || !has_place(s)) {
		queue_or_refuse(c);
	} else if (prepare(c)) {
		start(c);
	} else {
		queue_or_refuse(c);
		serve__queue_wake(s);
	}
}

// What a call needs before anything of it has happened. false: it lacks memory or address space, and is as it was.
static bool prepare(struct serve_call *c)
{
	struct serve_shard *s = c->shard;
	struct err e;
	err_clear(&e);
	c->slot = slot_take(s, &e);
	if (!c->slot) {
		log_shortage(s, e.text);
		return false;
	}
	c->http.wasi = &s->server->deployment.wasi;
	c->http.on_head = on_head;
	c->http.on_finished = on_finished;
	c->http.on_cancel = on_cancel;
	seam_task_init(&c->task, s->loop, s->vm, c);
	if (wasi_http_begin(&c->http, c->slot->canon, c->x, &c->args))
		return true;
	slot_give(c->slot, s, true);
	c->slot = NULL;
	log_shortage(s, "no memory for a request's handles");
	return false;
}

// Of a call that is prepared.
static void start(struct serve_call *c)
{
	uint64_t deadline = c->shard->server->config->limits.deadline;
	c->state = CALL_RUNNING;
	list_running(c);
	set_deadline(c, deadline);
	if (!seam_task_run(&c->task, call_main, c, budget(c, deadline), on_done)) {
		c->trap.trap = TRAP_OUT_OF_MEMORY;
		snprintf(c->trap.text, sizeof c->trap.text, "no memory for a stack");
		finish(c);
	}
}

// What the client gets for a call that did not answer.
static unsigned status_of(const struct serve_call *c)
{
	switch (c->trap.trap) {
	case TRAP_CPU_BUDGET:
	case TRAP_OUT_OF_MEMORY:
		return 503;
	case TRAP_DEADLINE:
		return 504;
	default:
		return 500;
	}
}

static void finish(struct serve_call *c)
{
	struct serve_shard *s = c->shard;
	bool clean = c->ok;
	bool exited = !clean && c->trap.trap == TRAP_EXIT && c->trap.exit_code == 0;
	unsigned status = clean || exited ? 500 : status_of(c);
	c->state = CALL_ENDED;
	loop_timer_cancel(s->loop, &c->timer);
	seam_instance_task_end(&c->slot->seam, &c->task);
	unsigned answered;  // by http, when the request was lost
	http_exchange_is_cancelled(c->x, NULL, &answered);
	serve__log_call(c, answered ? answered : c->http.head_set && !c->http.set_error ? c->http.status
																					: status);
	wasi_http_end(&c->http, clean || exited, status);
	slot_give(c->slot, s, clean);
	unlist_running(c);
	call_give(c);
	serve__queue_wake(s);
	if (s->drained && s->calls == 0)
		serve__shard_end(s);
}

void serve__calls_end(struct serve_shard *s)
{
	while (s->queue_head) {
		struct serve_call *c = s->queue_head;
		queue_remove(c);
		refuse(c);
	}
	loop_task_cancel(&s->queue_turn);
	loop_timer_cancel(s->loop, &s->queue_retry);
	for (struct serve_call *c = s->running; c; c = c->run_next)
		end_call(c, TRAP_KILLED);
	while (s->calls)
		loop_run_once(s->loop, UINT64_MAX);
}
