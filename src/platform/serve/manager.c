// What a service manager is told: sd_notify(3), one datagram a state. Few lines of our own: the protocol is said to stay as it is and to be written so, and
// libsystemd comes as a shared library only, which a start of few milliseconds would pay for.
//
// Signs of life: each thread's loop is asked to go round, and WATCHDOG=1 is sent when all have since the last was; a quarter of the time that the manager
// waits lies between two. While it drains, thread 0 speaks for itself: the others end one by one.
#include "serve_int.h"

enum { SIGNS = 4 };

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	uint64_t n = 0;
	return text && slice_parse_u64(slice_str(text), UINT64_MAX, &n) ? n : 0;
}

void serve__manager_init(struct serve_manager *m)
{
	const char *name = getenv("NOTIFY_SOCKET");
	*m = (struct serve_manager){0};
	if (!name || strlen(name) >= sizeof m->socket)
		return;
	snprintf(m->socket, sizeof m->socket, "%s", name);
	if (!getenv("WATCHDOG_PID") || sys_is_this_process(getenv("WATCHDOG_PID")))
		m->period_ns = sat_mul_u64(number_of("WATCHDOG_USEC"), 1000) / SIGNS;
}

static void tell(struct serve_process *p, struct slice text, bool waits)
{
	char state[1024];
	if (!p->manager.socket[0])
		return;
	snprintf(state, sizeof state, "%.*s", SLICE_ARGS(text));
	int why = sys_notify(p->manager.socket, state, waits);
	if (why == 0 || !waits)
		return;
	struct err e = {0};
	err_set_errno(&e, -why, "the service manager can't be told (NOTIFY_SOCKET)");
	serve__log(p->config, SERVE_LOG_WARN, "%s", e.text);
}

static void on_pulse(struct loop_remote *r)
{
	__atomic_store_n(&CONTAINER_OF(r, struct serve_thread, pulse)->pulsing, false, __ATOMIC_RELEASE);
}

static bool all_go_round(struct serve_process *p)
{
	bool all = true;
	for (unsigned i = 1; i < p->n_threads && !p->stopping; i++) {
		struct serve_thread *t = &p->threads[i];
		if (__atomic_exchange_n(&t->pulsing, true, __ATOMIC_ACQ_REL)) {
			all = false;
			continue;
		}
		t->pulse.fn = on_pulse;
		loop_post_remote(t->loop, &t->pulse);
	}
	return all;
}

static void on_watchdog(struct loop_timer *t)
{
	struct serve_process *p = CONTAINER_OF(t, struct serve_process, manager.watchdog);
	if (all_go_round(p))
		tell(p, SLICE_LIT("WATCHDOG=1"), false);
	loop_timer_set(p->threads[0].loop, t, sat_add_u64(loop_now_ns(p->threads[0].loop), max_u64(p->manager.period_ns, MILLISECOND)));
}

void serve__manager_ready(struct serve_process *p)
{
	struct buf b = {.max = 900};
	buf_put_str(&b, "READY=1\nSTATUS=serving on");
	for (unsigned i = 0; i < p->n_listeners; i++) {
		size_t before = b.len;
		buf_put_str(&b, i ? ", " : " ");
		serve__listener_print(&p->listeners[i], &b);
		if (b.failed)
			b.len = before;
	}
	for (size_t i = 8; i < b.len; i++)
		if (b.ptr[i] == '\n')
			b.ptr[i] = '?';  // of a path
	tell(p, buf_view(&b), true);
	buf_release(&b);
	p->manager.watchdog.fn = on_watchdog;
	if (p->manager.socket[0] && p->manager.period_ns)
		on_watchdog(&p->manager.watchdog);
}

void serve__manager_reloading(struct serve_process *p)
{
	char text[64];
	int n = snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)sys_now_ns() / 1000);
	tell(p, slice_of(text, (size_t)n), true);
}

void serve__manager_reloaded(struct serve_process *p)
{
	tell(p, SLICE_LIT("READY=1"), true);
}

void serve__manager_stopping(struct serve_process *p)
{
	tell(p, SLICE_LIT("STOPPING=1\nSTATUS=drains"), true);
}
