// The life of a request.
//
//   serve__request_begin ── place free ──► start ── fiber runs ──► ended ──► finish: answer, receipt, slot reset, next of the queue
//        └── no place, no memory, or others wait already ──► queue ──► start, or 503 when the wait is over
//
// State, and who changes it: QUEUED → RUNNING (start), RUNNING → ENDED (finish), QUEUED → gone (time-out, client gone). One timer serves all
// deadlines of a call, one after the other: the wait in the queue, the response's head, the time after the response.
//
// The queue (a loop that refilled what it emptied would take the shard for good):
//  1. First come, first served: while somebody waits, nobody starts past him.
//  2. A call's wait is counted from its first moment in the queue, and is not moved.
//  3. Only on_queue_turn takes from it, one call a turn of the loop. A call that can't start stays at the head, and the shard waits for a call to end
//     or for QUEUE_RETRY, since what it lacks (memory, address space) may come back from elsewhere.
#include "serve_int.h"

#include "sys/sys.h"

static bool prepare(struct serve_request *c);
static void start(struct serve_request *c);
static void finish(struct serve_request *c);

// ---- pool ----------------------------------------------------------------------------------------------------------------------

enum { CALL_ARENA_MAX = 256 << 20 };
enum { CLIENT_GONE = 499 };  // as nginx has it: nobody is there to get a status
#define QUEUE_RETRY (SECOND / 50)

static struct serve_request *call_take(struct serve_shard *s)
{
	struct serve_request *c = s->free_requests;
	if (c) {
		s->free_requests = c->next;
		struct arena arena = c->arena;
		*c = (struct serve_request){.shard = s, .arena = arena};
		return c;
	}
	c = mem_zalloc(sizeof *c);
	if (c) {
		c->shard = s;
		arena_init(&c->arena, CALL_ARENA_MAX);
	}
	return c;
}

static void call_give(struct serve_request *c)
{
	loop_timer_cancel(c->shard->loop, &c->timer);
	arena_clear(&c->arena);
	c->next = c->shard->free_requests;
	c->shard->free_requests = c;
}

void serve__request_pool_release(struct serve_shard *s)
{
	for (struct serve_request *c = s->free_requests, *next; c; c = next) {
		next = c->next;
		arena_release(&c->arena);
		mem_free(c);
	}
	s->free_requests = NULL;
}

// ---- running ---------------------------------------------------------------------------------------------------------------------

// On the call's fiber.
static void call_main(void *arg)
{
	struct serve_request *c = arg;
	struct canon_instance *i = c->slot->canon;
	c->ok = c->slot->used || canon_slot_is_ready(i) || canon_slot_start(i, &c->task.canon, &c->trap);
	c->slot->used = c->ok;
	if (c->ok)
		c->ok = wasi_http_incoming_handler_call_handle(&c->task, i, &c->slot->version->handler, c->args.request, c->args.outparam, &c->arena, &c->trap);
	c->cpu_ns = vm_fiber_cpu_ns(c->task.fiber);
}

static void on_done(struct seam_task *t)
{
	finish(CONTAINER_OF(t, struct serve_request, task));
}

// Ends a running call from the loop.
static void end_call(struct serve_request *c, enum trap why)
{
	if (c->state == REQUEST_RUNNING)
		seam_task_kill(&c->task, why);
}

// ---- the limits of all shards together --------------------------------------------------------------------------------------------------

static uint64_t or_endless(uint64_t limit)
{
	return limit ? limit : UINT64_MAX;
}

static bool take_place(struct serve_shard *s)
{
	return shared_count_up(&s->service->process->calls, or_endless(s->service->process->config->limits.calls));
}

// Of a shard's `waiting`: somebody waits for a place; he was told that there may be one, and has not looked yet.
enum { NOBODY, WAITS, TOLD };

static bool change_waiting(struct serve_shard *s, int from, int to)
{
	return __atomic_compare_exchange_n(&s->waiting, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void on_wake(struct loop_remote *r)
{
	struct serve_shard *s = CONTAINER_OF(r, struct serve_shard, wake);
	__atomic_store_n(&s->waiting, NOBODY, __ATOMIC_SEQ_CST);
	serve__queue_wake(s);
}

static void tell(struct serve_shard *s)
{
	if (!change_waiting(s, WAITS, TOLD))
		return;
	shared_count_down(&s->service->process->waiting);
	loop_post_remote(s->loop, &s->wake);
}

// Another shard may have waited for it. Who waits says so before he asks for a place again, and this asks after giving it back: one of both sees it.
static void give_place(struct serve_shard *s)
{
	struct serve_process *p = s->service->process;
	shared_count_down(&p->calls);
	if (UNLIKELY(shared_count_now(&p->waiting) != 0))
		for (unsigned k = 0; k < p->n_services; k++)
			for (unsigned i = 0; i < p->n_threads; i++)
				if (&p->services[k].shards[i] != s)
					tell(&p->services[k].shards[i]);
}

static void wait_for_place(struct serve_shard *s)
{
	if (change_waiting(s, NOBODY, WAITS))
		shared_count_up(&s->service->process->waiting, UINT64_MAX);
}

static void wait_no_more(struct serve_shard *s)
{
	if (change_waiting(s, WAITS, NOBODY))
		shared_count_down(&s->service->process->waiting);
}

static void list_running(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	c->list_next = s->running;
	c->list_prev = &s->running;
	if (c->list_next)
		c->list_next->list_prev = &c->list_next;
	s->running = c;
	s->calls++;
}

static void unlist_running(struct serve_request *c)
{
	*c->list_prev = c->list_next;
	if (c->list_next)
		c->list_next->list_prev = c->list_prev;
	c->shard->calls--;
}

// ---- callbacks from wasi:http and the timer ----------------------------------------------------------------------------------------

static void on_deadline(struct loop_timer *t)
{
	end_call(CONTAINER_OF(t, struct serve_request, timer), TRAP_DEADLINE);
}

static struct vm_budget budget(const struct serve_request *c, uint64_t wall_ns)
{
	uint64_t cpu = c->slot->version->config->limits.cpu;
	return (struct vm_budget){
		.cpu_ns = cpu ? cpu : UINT64_MAX,
		.deadline_ns = wall_ns ? sat_add_u64(loop_now_ns(c->shard->loop), wall_ns) : UINT64_MAX,
	};
}

static void set_deadline(struct serve_request *c, uint64_t wall_ns)
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
	set_deadline(CONTAINER_OF(h, struct serve_request, http), 0);
}

static void on_finished(struct wasi_http_call *h)
{
	struct serve_request *c = CONTAINER_OF(h, struct serve_request, http);
	set_deadline(c, c->slot->version->config->limits.linger);
}

static void on_cancel(struct wasi_http_call *h)
{
	end_call(CONTAINER_OF(h, struct serve_request, http), TRAP_KILLED);
}

// That there is no instance to be had is said once a second.
static void log_shortage(struct serve_shard *s, const char *why)
{
	uint64_t now = loop_now_ns(s->loop);
	if (now < s->shortage_logged_ns + SECOND && s->shortage_logged_ns)
		return;
	s->shortage_logged_ns = now;
	serve__log(s->service->process->config, SERVE_LOG_ERROR, "no instance to be had: %s", why);
}

// ---- queue -----------------------------------------------------------------------------------------------------------------------

static void refuse(struct serve_request *c)
{
	serve__log_call(c, 503);
	http_respond_error(c->x, 503, 1);
	http_exchange_release(c->x);
	call_give(c);
}

static void queue_remove(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	*c->list_prev = c->list_next;
	if (c->list_next)
		c->list_next->list_prev = c->list_prev;
	else
		s->queue_end = c->list_prev;
	s->queued--;
	shared_count_down(&s->service->process->queued);
}

static void on_queue_timeout(struct loop_timer *t)
{
	struct serve_request *c = CONTAINER_OF(t, struct serve_request, timer);
	queue_remove(c);
	refuse(c);
}

static void on_queued_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct serve_request *c = user;
	queue_remove(c);
	c->client_gone = true;
	serve__log_call(c, CLIENT_GONE);
	http_exchange_release(x);
	call_give(c);
}

// To an instance that is kept requests queue until their deadline.
static uint64_t queue_wait(const struct serve_shard *s)
{
	return s->service->on_one_shard ? s->version->config->limits.deadline : s->service->process->config->limits.queue_timeout;
}

// Who comes, waits behind the others.
static void enqueue(struct serve_request *c)
{
	static const struct http_exchange_ops ops = {.on_cancel = on_queued_cancel};
	struct serve_shard *s = c->shard;
	uint64_t wait = queue_wait(s);
	c->list_next = NULL;
	c->list_prev = s->queue_end;
	*s->queue_end = c;
	s->queue_end = &c->list_next;
	s->queued++;
	http_exchange_set_owner(c->x, &ops, c);
	c->timer.fn = on_queue_timeout;
	if (wait)
		loop_timer_set(s->loop, &c->timer, sat_add_u64(loop_now_ns(s->loop), wait));
}

static void queue_or_refuse(struct serve_request *c)
{
	struct serve_process *p = c->shard->service->process;
	if (shared_count_up(&p->queued, or_endless(p->config->limits.queue)))
		enqueue(c);
	else
		refuse(c);
}

static void on_queue_turn(struct loop_task *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, queue_turn);
	struct serve_request *c = s->queue_head;
	if (!c)
		return;
	if (!take_place(s)) {
		wait_for_place(s);
		if (!take_place(s))
			return;  // it is told
		wait_no_more(s);
	}
	if (!prepare(c)) {
		give_place(s);
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
	if (!s->queue_head)
		return;
	s->queue_turn.fn = on_queue_turn;
	s->queue_retry.fn = on_queue_retry;
	loop_post(s->loop, &s->queue_turn);
}

// ---- begin, start, finish ----------------------------------------------------------------------------------------------------------

// One in the process: shards count in turns.
static uint64_t request_id(struct serve_shard *s)
{
	const struct serve_process *p = s->service->process;
	uint64_t lanes = (uint64_t)p->n_threads * p->n_services, lane = (uint64_t)(s->service - p->services) * p->n_threads + s->index;
	return s->request_count++ * lanes + lane + 1;
}

void serve__request_begin(struct serve_shard *s, struct http_exchange *x)
{
	struct serve_request *c = s->closing ? NULL : call_take(s);
	if (!c) {
		http_respond_error(x, 503, 1);
		http_exchange_release(x);
		return;
	}
	c->x = x;
	c->id = request_id(s);
	c->started_ns = loop_now_ns(s->loop);
	bool first = !s->queue_head;
	if (first && take_place(s)) {
		if (prepare(c)) {
			start(c);
			return;
		}
		give_place(s);
	}
	queue_or_refuse(c);
	if (first)
		serve__queue_wake(s);
}

// What a call needs before anything of it has happened. false: it lacks memory or address space, and is as it was.
static bool prepare(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	struct err e;
	err_clear(&e);
	c->slot = serve__slot_take(s, &e);
	if (!c->slot) {
		if (e.code != ERR_NONE)
			log_shortage(s, e.text);
		return false;
	}
	c->http.wasi = &c->slot->version->deployment.wasi;
	c->http.on_head = on_head;
	c->http.on_finished = on_finished;
	c->http.on_cancel = on_cancel;
	seam_task_init(&c->task, s->loop, s->vm, c);
	c->task.instance = &c->slot->seam;
	if (wasi_http_begin(&c->http, c->slot->canon, c->x, &c->args))
		return true;
	serve__slot_give(c->slot, s, true);
	c->slot = NULL;
	log_shortage(s, "no memory for a request's handles");
	return false;
}

// What its wait in the queue of a kept instance left of the deadline; elsewhere the whole.
static uint64_t time_to_head(const struct serve_request *c)
{
	uint64_t deadline = c->slot->version->config->limits.deadline, waited = loop_now_ns(c->shard->loop) - c->started_ns;
	if (!deadline || !c->shard->service->on_one_shard)
		return deadline;
	return deadline > waited ? deadline - waited : 1;
}

// Of a call that is prepared.
static void start(struct serve_request *c)
{
	uint64_t deadline = time_to_head(c);
	c->state = REQUEST_RUNNING;
	list_running(c);
	set_deadline(c, deadline);
	if (!seam_task_run(&c->task, call_main, c, budget(c, deadline), on_done)) {
		c->trap.trap = TRAP_OUT_OF_MEMORY;
		snprintf(c->trap.text, sizeof c->trap.text, "no memory for a stack");
		finish(c);
	}
}

// What the client gets for a call that did not answer.
static unsigned status_of(const struct serve_request *c)
{
	switch (c->trap.trap) {
	case TRAP_CPU_BUDGET:
	case TRAP_OUT_OF_MEMORY:
	case TRAP_KILLED:  // the time to drain is over
		return 503;
	case TRAP_DEADLINE:
		return 504;
	default:
		return 500;
	}
}

// Of a call that has ended, before its exchange goes. *ret_answered: what http itself answered when the request was lost, 0: nothing.
static bool is_client_gone(const struct serve_request *c, unsigned *ret_answered)
{
	enum http_cancel why;
	if (!http_exchange_is_cancelled(c->x, &why, ret_answered))
		return false;
	return *ret_answered == 0 && (why == HTTP_CANCEL_PEER || why == HTTP_CANCEL_TIMEOUT);
}

static void log_end(struct serve_request *c, unsigned status)
{
	unsigned answered = 0;
	c->client_gone = is_client_gone(c, &answered);
	if (answered)
		status = answered;
	else if (c->http.head_set && !c->http.set_error)
		status = c->http.status;
	else if (c->client_gone)
		status = CLIENT_GONE;
	serve__log_call(c, status);
}

static void finish(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	bool clean = c->ok;
	bool exited = !clean && c->trap.trap == TRAP_EXIT && c->trap.exit_code == 0;
	unsigned status = clean || exited ? 500 : status_of(c);
	c->state = REQUEST_ENDED;
	loop_timer_cancel(s->loop, &c->timer);
	seam_instance_task_end(&c->slot->seam, &c->task);
	log_end(c, status);
	wasi_http_end(&c->http, clean || exited, status);
	serve__slot_give(c->slot, s, clean);
	unlist_running(c);
	give_place(s);
	call_give(c);
	serve__queue_wake(s);
	if (UNLIKELY(s->thread->draining) && s->calls == 0)
		s->thread->look(s->thread);
}

void serve__queue_init(struct serve_shard *s)
{
	s->queue_end = &s->queue_head;
	s->wake.fn = on_wake;
}

void serve__requests_end(struct serve_shard *s)
{
	s->closing = true;
	while (s->queue_head) {
		struct serve_request *c = s->queue_head;
		queue_remove(c);
		refuse(c);
	}
	loop_task_cancel(&s->queue_turn);
	wait_no_more(s);
	loop_timer_cancel(s->loop, &s->queue_retry);
	for (struct serve_request *c = s->running; c; c = c->list_next)
		end_call(c, TRAP_KILLED);
	while (s->calls)
		loop_run_once(s->loop, UINT64_MAX);
}
