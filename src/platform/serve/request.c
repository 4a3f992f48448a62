// The life of a request.
//
//   serve__request_begin ── place free ──► start ── fiber runs ──► ended ──► finish: answer, receipt, slot reset, next of the queue
//        └── no place, no memory, or others wait already ──► queue ──► start, or 503 when the wait is over
//
// State, and who changes it: QUEUED → RUNNING (start), RUNNING → OVERDUE (on_late), both → ENDED (finish), QUEUED → gone (time-out, client gone).
// The task's deadline is that of the response's head, then that of the time after the response.
//
// In a slot of many requests what ends one from outside would end the others: neighbours.c.
//
// The queue (a loop that refilled what it emptied would take the shard for good):
//  1. First come, first served: while somebody waits, nobody starts past him.
//  2. A call's wait is counted from its first moment in the queue, and is not moved.
//  3. Of policy keep calls of other components wait for the instance as well: they and the queue have it by turns (relay_turns.c).
//  4. Only on_queue_turn takes from it, one call a turn of the loop. A call that can't start stays at the head, and the shard waits for a call to end
//     or for SERVE_QUEUE_RETRY, since what it lacks (memory, address space) may come back from elsewhere.
#include "serve_int.h"

#include "sys/sys.h"

static bool prepare(struct serve_request *c);
static void start(struct serve_request *c);
static void finish(struct serve_request *c);
static void end(struct serve_request *c, bool keeps);

// ---- pool ----------------------------------------------------------------------------------------------------------------------

enum { CALL_ARENA_MAX = 256 << 20 };
enum { CLIENT_GONE = 499 };  // as nginx has it: nobody is there to get a status

static struct serve_request *call_take(struct serve_shard *s)
{
	struct serve_request *c = s->free_requests;
	if (c) {
		s->free_requests = c->next;
		memset(c, 0, offsetof(struct serve_request, arena));
		canon_trap_clear(&c->trap);
		c->shard = s;
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
	if (c->routed.routing)
		serve__routed_release(&c->routed);
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

static bool has_neighbours(const struct serve_request *c)
{
	return c->slot->max_tasks > 1;
}

// The rest of the call goes on, and the body is sent meanwhile.
static void on_returned(struct canon_task *t)
{
	struct serve_request *c = CONTAINER_OF(t, struct seam_task, canon)->owner;
	const struct wit_type *result = c->slot->version->handler_3.handle.func->type->result;
	wasi_http3_respond(&c->http, c->task, &c->response, result->fields[1].type);
}

// What is left to send is seen to by others, where it is not: a body whose writer is gone.
static bool wait_until_sent(struct serve_request *c)
{
	uint64_t now = loop_now_ns(c->shard->loop), linger = c->slot->version->config->limits.linger;
	uint64_t until = c->slot->tasks == 1 ? 0 : linger ? sat_add_u64(now, linger)
													  : UINT64_MAX;
	if (wasi_http3_wait(&c->http, c->task, until) == SEAM_OK)
		return true;
	c->trap.trap = c->task->kill_trap;
	snprintf(c->trap.text, sizeof c->trap.text, "%s", trap_text(c->trap.trap));
	return false;
}

static bool handle(struct serve_request *c)
{
	const struct serve_version *v = c->slot->version;
	struct canon_instance *i = c->slot->canon;
	if (!v->is_3)
		return wasi_http_incoming_handler_call_handle(c->task, i, &v->handler, c->args.request, c->args.outparam, &c->arena, &c->trap);
	return wasi_http3_handler_call_handle(c->task, i, &v->handler_3, c->args.request, &c->response, &c->arena, on_returned, &c->trap) && wait_until_sent(c);
}

static bool is_started(const struct serve_request *c)
{
	return c->slot->used || canon_slot_is_ready(c->slot->canon);
}

// On the call's fiber.
static void call_main(void *arg)
{
	struct serve_request *c = arg;
	struct canon_instance *i = c->slot->canon;
	c->ok = is_started(c) || canon_slot_start(i, &c->task->canon, &c->trap);
	if (c->ok) {
		serve__slot_started(c->slot, c->shard);
		if (has_neighbours(c))
			serve__queue_wake(c->shard);
		c->ok = handle(c);
	}
}

static void on_done(struct seam_task *t)
{
	finish(t->owner);
}

// Ends a running call from the loop.
static void end_call(struct serve_request *c, enum trap why)
{
	if (c->state == REQUEST_RUNNING || c->state == REQUEST_OVERDUE)
		seam_task_kill(c->task, why);
}

void serve__request_kill(struct serve_request *c)
{
	end_call(c, TRAP_KILLED);
}

// Its time is over, and it has neighbours.
static void on_late(struct seam_task *t)
{
	struct serve_request *c = t->owner;
	c->state = REQUEST_OVERDUE;
	wasi_http_give_up(&c->http, 504);
	serve__slot_late(c->slot, &c->inside);
}

// ---- those that run ----------------------------------------------------------------------------------------------------------------

static void list_running(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	c->list_next = s->running;
	c->list_prev = &s->running;
	if (c->list_next)
		c->list_next->list_prev = &c->list_next;
	s->running = c;
	serve__count(&s->calls, 1);
}

static void unlist_running(struct serve_request *c)
{
	*c->list_prev = c->list_next;
	if (c->list_next)
		c->list_next->list_prev = c->list_prev;
	serve__count_down(&c->shard->calls);
}

// ---- callbacks from wasi:http and the timer ----------------------------------------------------------------------------------------

static struct vm_budget budget(const struct serve_request *c, uint64_t wall_ns)
{
	const struct serve_route_config *route = c->routed.routing ? c->routed.route->config : NULL;
	uint64_t cpu = route && route->has_cpu ? route->cpu : c->slot->version->config->limits.cpu;
	return (struct vm_budget){
		.cpu_ns = cpu ? cpu : UINT64_MAX,
		.deadline_ns = wall_ns ? sat_add_u64(loop_now_ns(c->shard->loop), wall_ns) : UINT64_MAX,
	};
}

static void note_head(struct serve_request *c)
{
	if (c->shard->service->process->config->access_log && !c->head_ns)
		c->head_ns = sys_now_ns();
}

// The deadline is to the response's head: it is met.
static void on_head(struct wasi_http_call *h)
{
	struct serve_request *c = CONTAINER_OF(h, struct serve_request, http);
	note_head(c);
	seam_task_set_budget(c->task, budget(c, 0));
}

static void on_finished(struct wasi_http_call *h)
{
	struct serve_request *c = CONTAINER_OF(h, struct serve_request, http);
	note_head(c);
	seam_task_set_budget(c->task, budget(c, c->slot->version->config->limits.linger));
}

static void on_cancel(struct wasi_http_call *h)
{
	struct serve_request *c = CONTAINER_OF(h, struct serve_request, http);
	if (has_neighbours(c) || (c->state != REQUEST_RUNNING && c->state != REQUEST_OVERDUE))
		return;
	if (c->http.is_3 && h->head_set)  // it sees by the body's stream that nobody reads any more
		seam_task_set_budget(c->task, budget(c, c->slot->version->config->limits.linger));
	else
		end_call(c, TRAP_KILLED);
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
	serve__log_call(c, 503, NULL);
	http_respond_error(c->x, 503, 1);
	serve__access_call(c, 503);
	serve__meter_call(c, 503);
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
	serve__count_down(&s->queued);
	shared_count_down(&s->service->process->queued);
	if (UNLIKELY(s->last != NULL) && !s->queue_head)
		serve__choice_left(s);
}

static void on_queue_timeout(struct loop_timer *t)
{
	struct serve_request *c = CONTAINER_OF(t, struct serve_request, timer);
	struct serve_shard *s = c->shard;
	queue_remove(c);
	refuse(c);
	serve__queue_wake(s);
}

static void on_queued_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct serve_request *c = user;
	struct serve_shard *s = c->shard;
	queue_remove(c);
	c->client_gone = true;
	serve__log_call(c, CLIENT_GONE, NULL);
	serve__access_call(c, CLIENT_GONE);
	serve__meter_call(c, CLIENT_GONE);
	http_exchange_release(x);
	call_give(c);
	serve__queue_wake(s);
}

// To the head of the answer; 0: none.
static uint64_t deadline_of(const struct serve_request *c, const struct serve_version *v)
{
	const struct serve_route_config *route = c->routed.routing ? c->routed.route->config : NULL;
	return route && route->has_deadline ? route->deadline : v->config->limits.deadline;
}

// To an instance that is kept requests queue until their deadline.
static uint64_t queue_wait(const struct serve_request *c)
{
	const struct serve_shard *s = c->shard;
	return serve__config_of_queue(s)->policy == SERVE_KEEP ? deadline_of(c, s->stable->version) : s->service->process->config->limits.queue_timeout;
}

static void arm_queued(struct serve_request *c, uint64_t since_ns)
{
	uint64_t wait = queue_wait(c);
	if (wait)
		loop_timer_set(c->shard->loop, &c->timer, sat_add_u64(since_ns, wait));
	else
		loop_timer_cancel(c->shard->loop, &c->timer);
}

void serve__queue_rearm(struct serve_shard *s)
{
	for (struct serve_request *c = s->last ? NULL : s->queue_head; c; c = c->list_next)
		arm_queued(c, c->started_ns);
}

// Who comes, waits behind the others.
static void enqueue(struct serve_request *c)
{
	static const struct http_exchange_ops ops = {.on_cancel = on_queued_cancel};
	struct serve_shard *s = c->shard;
	c->list_next = NULL;
	c->list_prev = s->queue_end;
	*s->queue_end = c;
	s->queue_end = &c->list_next;
	serve__count(&s->queued, 1);
	http_exchange_set_owner(c->x, &ops, c);
	c->timer.fn = on_queue_timeout;
	arm_queued(c, loop_now_ns(s->loop));
}

static void queue_or_refuse(struct serve_request *c)
{
	struct serve_process *p = c->shard->service->process;
	if (shared_count_up(&p->queued, serve__or_endless(p->config->limits.queue)))
		enqueue(c);
	else
		refuse(c);
}

// The head of the queue can't start, and not since somebody has the instance: calls may.
static void let_pass(struct serve_shard *s)
{
	if (s->taken)
		return;
	s->calls_had_it = false;
	if (s->seeking)
		serve__queue_retry(s);
}

static void on_queue_turn(struct loop_job *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, queue_turn);
	struct serve_request *c = s->queue_head;
	if (serve__calls_turn(s) || !c)
		return;
	if (!serve__place_take(s)) {
		serve__place_wait(s);
		if (!serve__place_take(s)) {
			let_pass(s);
			return;  // it is told
		}
		serve__place_wait_no_more(s);
	}
	if (!prepare(c)) {
		serve__place_give(s);
		let_pass(s);
		serve__queue_retry(s);
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

// ---- begin, start, finish ----------------------------------------------------------------------------------------------------------

// One in the process: threads count in turns.
static uint64_t request_id(struct serve_shard *s)
{
	s->request_count++;
	return s->thread->requests++ * s->service->process->n_threads + s->index + 1;
}

void serve__request_begin(struct serve_shard *s, struct http_exchange *x, const struct serve_way *way)
{
	struct serve_request *c = s->closing || !s->stable ? NULL : call_take(s);
	if (c && way && !serve__routed_keep(&c->routed, way, http_exchange_request(x))) {
		call_give(c);
		c = NULL;
	}
	if (!c) {
		serve__meter_refused(s, 503);
		http_respond_error(x, 503, 1);
		http_exchange_release(x);
		return;
	}
	c->x = x;
	c->id = request_id(s);
	c->release = __atomic_load_n(&s->service->of->release, __ATOMIC_RELAXED);
	c->started_ns = loop_now_ns(s->loop);
	serve__trace_begin(c);
	c->tries = serve__choice_tries(s, http_exchange_request(x), c->set_cookie, sizeof c->set_cookie);
	if (c->set_cookie[0])
		http_exchange_add_field(x, (struct http_field){SLICE_LIT("set-cookie"), slice_str(c->set_cookie)});
	if (serve__app_fails(s->service)) {
		refuse(c);
		return;
	}
	bool first = !s->queue_head && !serve__is_calls_turn(s);
	if (first && serve__place_take(s)) {
		if (prepare(c)) {
			start(c);
			return;
		}
		serve__place_give(s);
	}
	queue_or_refuse(c);
	if (first)
		serve__queue_wake(s);
}

static uint32_t fields_of_ours(struct wasi_http_call *h, struct http_field ret[WASI_HTTP_FIELDS])
{
	_Static_assert(SERVE_ROUTED_FIELDS <= WASI_HTTP_FIELDS, "room for them");
	return serve__routed_fields(&CONTAINER_OF(h, struct serve_request, http)->routed, ret);
}

// What its route tells the guest.
static void give_way(struct serve_request *c)
{
	c->http.target = c->routed.target;
	c->http.authority = c->routed.authority;
	c->http.https = c->routed.https;
	c->http.fields = fields_of_ours;
}

static struct serve_stock *stock_of(const struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	if (UNLIKELY(s->last != NULL))
		return serve__choice_last(s, c->tries);
	return c->tries && s->tried ? s->tried : s->stable;
}

// What a call needs before anything of it has happened. false: it lacks memory or address space, and is as it was.
static bool prepare(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	struct err e;
	err_clear(&e);
	c->slot = serve__slot_take(s, stock_of(c), &e);
	if (!c->slot) {
		if (e.code != ERR_NONE)
			log_shortage(s, e.text);
		return false;
	}
	c->task = seam_task_new(s->thread->tasks, NULL);
	c->http.wasi = &c->slot->version->deployment.wasi;
	c->http.on_head = on_head;
	c->http.on_finished = on_finished;
	c->http.on_cancel = on_cancel;
	if (c->routed.routing)
		give_way(c);
	bool begun = c->task && (c->slot->version->is_3 ? wasi_http3_begin : wasi_http_begin)(&c->http, c->slot->canon, c->x, &c->args);
	if (begun) {
		c->task->owner = c->task->request = c;
		c->task->span = c->trace.self.span;
		c->task->instance = &c->slot->seam;
		c->task->on_late = has_neighbours(c) ? on_late : NULL;
		c->task->for_host = c->slot->version->is_3 && is_started(c) && canon_export_has_own_stack(c->slot->canon, c->slot->version->handler_3.handle.func);
		serve__slot_enter(c->slot, &c->inside, c->task);
		return true;
	}
	seam_task_free(c->task);
	c->task = NULL;
	serve__slot_give_back(c->slot, s);
	c->slot = NULL;
	log_shortage(s, "no memory for a request's handles");
	return false;
}

// What its wait in the queue of a kept instance left of the deadline; elsewhere the whole.
static uint64_t time_to_head(const struct serve_request *c)
{
	uint64_t deadline = deadline_of(c, c->slot->version), waited = loop_now_ns(c->shard->loop) - c->started_ns;
	if (!deadline || c->slot->version->config->policy != SERVE_KEEP)
		return deadline;
	return deadline > waited ? deadline - waited : 1;
}

// Of a call that is prepared.
static void start(struct serve_request *c)
{
	uint64_t deadline = time_to_head(c);
	c->state = REQUEST_RUNNING;
	c->shard->calls_had_it = false;
	list_running(c);
	serve__version_begin(c->slot->version, c->shard->index);
	serve__memory_watch(c->shard);
	if (!seam_task_run(c->task, call_main, c, budget(c, deadline), on_done)) {
		c->trap.trap = TRAP_OUT_OF_MEMORY;
		snprintf(c->trap.text, sizeof c->trap.text, "no memory for a stack");
		canon_host_resource_drop(c->slot->canon, c->args.outparam);
		canon_host_resource_drop(c->slot->canon, c->args.request);
		end(c, true);  // nothing of it has run
	} else if (c->task) {  // it goes on
		serve__memory_used(c);
	}
}

// What the client gets for a call that did not answer.
static unsigned status_of(const struct serve_request *c)
{
	switch (c->trap.trap) {
	case TRAP_CPU_BUDGET:
	case TRAP_OUT_OF_MEMORY:
	case TRAP_PROCESS_MEMORY:
	case TRAP_POISONED:  // by a neighbour
	case TRAP_KILLED:    // the time to drain is over
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

// Returns what the client got.
static unsigned log_end(struct serve_request *c, unsigned status)
{
	unsigned answered = 0;
	c->client_gone = is_client_gone(c, &answered);
	if (answered)
		status = answered;
	else if (c->http.head_set && !c->http.set_error)
		status = c->http.status;
	else if (c->client_gone)
		status = CLIENT_GONE;
	else if (c->http.head_set)
		status = c->http.refused;
	serve__log_call(c, status, serve__log_frames);
	return status;
}

// `keeps`: its instance is as good as it was.
static void end(struct serve_request *c, bool keeps)
{
	struct serve_shard *s = c->shard;
	bool clean = c->ok;
	bool exited = !clean && c->trap.trap == TRAP_EXIT && c->trap.exit_code == 0;
	unsigned status = c->inside.overdue ? 504 : clean || exited ? 500
																: status_of(c);
	c->state = REQUEST_ENDED;
	seam_instance_task_end(&c->slot->seam, c->task);
	unsigned got = log_end(c, status);
	wasi_http_answer(&c->http, clean || exited, status);
	serve__access_call(c, got);
	serve__version_count(c->slot->version, s->index, got, serve__meter_call(c, got));
	wasi_http_end(&c->http, clean || exited, status);
	serve__slot_ended_by(c->slot, c->trap.trap);
	serve__slot_leave(c->slot, c->shard, &c->inside, keeps);
	unlist_running(c);
	serve__place_give(s);
	seam_task_free(c->task);
	c->task = NULL;
	call_give(c);
	serve__queue_wake(s);
	if (UNLIKELY(s->thread->draining) && s->calls == 0)
		s->thread->look(s->thread);
}

static void finish(struct serve_request *c)
{
	end(c, c->ok);
}

void serve__queue_init(struct serve_shard *s)
{
	s->queue_end = &s->queue_head;
	s->queue_turn.fn = on_queue_turn;
	s->queue_retry.fn = on_queue_retry;
	serve__places_init(s);
}

void serve__queue_refuse(struct serve_shard *s)
{
	while (s->queue_head) {
		struct serve_request *c = s->queue_head;
		queue_remove(c);
		refuse(c);
	}
}

void serve__requests_end(struct serve_shard *s)
{
	s->closing = true;
	serve__queue_refuse(s);
	serve__seekers_tell(s);  // there will be none
	loop_job_cancel(&s->queue_turn);
	serve__place_wait_no_more(s);
	loop_timer_cancel(s->loop, &s->queue_retry);
	serve__memory_watch_stop(s);
	for (struct serve_request *c = s->running; c; c = c->list_next)
		end_call(c, TRAP_KILLED);
	loop_job_cancel(&s->refill);
	serve__relays_end(s);
	while (s->calls || s->telling || s->closers)
		loop_run_once(s->loop, UINT64_MAX);
}
