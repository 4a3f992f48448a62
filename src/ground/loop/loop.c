// The loop itself: I/O and the order of an iteration (loop.h, rule 4). Timers are in timer.c, the pool in pool.c.
//
// An io that is closed while events wait in `batch` is taken out of it there, so that no callback meets memory that its owner gave up.
#include "loop_int.h"

#include <errno.h>
#include <sys/epoll.h>

enum { READY_MAX = 512 };  // jobs run between two waits at most
enum { GATHER_MAX = 16,
	GATHER_NS = 1000000,
	GATHER_EACH_NS = GATHER_NS / 32 };  // EACH: for each of those that epoll_wait told of

static uint32_t events_of(uint32_t interest)
{
	return (interest & LOOP_READ ? EPOLLIN : 0) | (interest & LOOP_WRITE ? EPOLLOUT : 0) | (interest & LOOP_ONE ? EPOLLEXCLUSIVE : 0);
}

bool loop_new(struct loop **ret, struct err *e)
{
	struct loop *l = mem_zalloc(sizeof *l);
	if (!l)
		return err_nomem(e);
	l->ready.next = l->ready.prev = &l->ready;
	l->slow.next = l->slow.prev = &l->slow;
	l->epfd = sys_epoll_new();
	l->wakefd = sys_eventfd();
	int why = l->epfd < 0 ? l->epfd : l->wakefd;
	// Edge-triggered: each signal is reported once and the counter is never read.
	if (why >= 0)
		why = sys_epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wakefd, EPOLLIN | EPOLLET, NULL);
	if (why < 0) {
		sys_close(l->epfd);
		sys_close(l->wakefd);
		mem_free(l);
		return err_set_errno(e, -why, "event loop");
	}
	l->now_ns = sys_now_ns();
	loop__timers_init(l);
	*ret = l;
	return true;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	sys_close(l->epfd);
	sys_close(l->wakefd);
	mem_free(l);
}

uint64_t loop_now_ns(const struct loop *l)
{
	return l->now_ns;
}

uint64_t loop_now_fresh_ns(struct loop *l)
{
	return l->now_ns = sys_now_ns();
}

bool loop_claim_wake(struct loop *l)
{
	bool woke = l->timer_woke;
	l->timer_woke = false;
	return woke;
}

bool loop_io_open(struct loop *l, struct loop_io *io, int fd, uint32_t interest, void (*fn)(struct loop_io *io, uint32_t ready), struct err *e)
{
	*io = (struct loop_io){.fd = -1, .interest = interest, .fn = fn, .loop = l};
	int why = sys_epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, events_of(interest), io);
	if (why < 0)
		return err_set_errno(e, -why, "epoll_ctl");
	io->fd = fd;
	return true;
}

void loop_io_want(struct loop_io *io, uint32_t interest)
{
	if (io->fd < 0 || io->interest == interest)
		return;
	int op = EPOLL_CTL_MOD;
	if (interest & LOOP_ONE)  // which the kernel takes at the beginning only
		op = interest == LOOP_ONE ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
	int why = sys_epoll_ctl(io->loop->epfd, op, io->fd, events_of(interest), io);
	BUG_ON(why == -EBADF || why == -ENOENT);
	if (why < 0 && op == EPOLL_CTL_ADD)
		return;
	io->interest = interest;
}

void loop_io_close(struct loop_io *io, bool fd_dies)
{
	if (io->fd < 0 || !io->loop)
		return;
	struct loop *l = io->loop;
	if (!fd_dies)
		sys_epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, 0, NULL);
	io->fd = -1;
	for (int i = l->batch_next; i < l->batch_len; i++)
		if (l->batch[i].data.ptr == io)
			l->batch[i].data.ptr = NULL;
}

static void append(struct loop_job *ring, struct loop_job *j)
{
	if (j->next)
		return;
	j->next = ring;
	j->prev = ring->prev;
	j->prev->next = j;
	ring->prev = j;
}

void loop_post(struct loop *l, struct loop_job *j)
{
	append(&l->ready, j);
}

void loop_post_slow(struct loop *l, struct loop_job *j)
{
	append(&l->slow, j);
}

void loop_job_cancel(struct loop_job *j)
{
	if (!j->next)
		return;
	j->prev->next = j->next;
	j->next->prev = j->prev;
	j->next = j->prev = NULL;
}

void loop_wakeup(struct loop *l)
{
	sys_eventfd_signal(l->wakefd);
}

void loop_stop(struct loop *l)
{
	__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
	loop_wakeup(l);
}

void loop_post_remote(struct loop *l, struct loop_remote *r)
{
	struct loop_remote *head = __atomic_load_n(&l->remote, __ATOMIC_RELAXED);
	do
		r->next = head;
	while (!__atomic_compare_exchange_n(&l->remote, &head, r, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	if (!head)  // who made it non-empty wakes; the loop takes the whole list at once
		loop_wakeup(l);
}

static void run_remote(struct loop *l)
{
	if (LIKELY(!__atomic_load_n(&l->remote, __ATOMIC_RELAXED)))
		return;
	struct loop_remote *list = __atomic_exchange_n(&l->remote, NULL, __ATOMIC_ACQUIRE), *order = NULL;
	while (list) {  // posted last is first in the list
		struct loop_remote *next = list->next;
		list->next = order;
		order = list;
		list = next;
	}
	while (order) {
		struct loop_remote *next = order->next;
		order->fn(order);
		order = next;
	}
}

static void run_first(struct loop_job *ring)
{
	struct loop_job *j = ring->next;
	loop_job_cancel(j);
	j->fn(j);
}

static bool is_io_left(const struct loop *l)
{
	return l->batch_next < l->batch_len;
}

static void run_ready(struct loop *l)
{
	for (int n = 0; n < READY_MAX && l->ready.next != &l->ready; n++)
		run_first(&l->ready);
	if (l->slow.next != &l->slow && !is_io_left(l))
		run_first(&l->slow);
}

static bool is_long(const struct loop *l)
{
	return sys_now_ns() - l->began_ns >= min_u64((uint64_t)l->batch_len * GATHER_EACH_NS, GATHER_NS);
}

bool loop_gathers(struct loop *l)
{
	l->asked = true;
	if (!is_io_left(l) || is_long(l))
		return false;
	return l->gathers = true;
}

static void run_io(struct loop *l)
{
	l->began_ns = l->now_ns;
	l->gathers = false;
	for (int n = 0; is_io_left(l); n++) {
		if (l->gathers && (n >= GATHER_MAX || (!l->asked && is_long(l))))
			break;
		struct epoll_event ev = l->batch[l->batch_next++];
		struct loop_io *io = ev.data.ptr;
		if (!io)
			continue;
		uint32_t ready = (ev.events & EPOLLIN ? LOOP_READ : 0) | (ev.events & EPOLLOUT ? LOOP_WRITE : 0);
		if (ev.events & (EPOLLERR | EPOLLHUP))
			ready |= LOOP_ERROR;
		l->asked = false;
		io->fn(io, ready);
	}
}

static int wait_ms(struct loop *l, uint64_t max_wait_ns)
{
	if (l->ready.next != &l->ready || l->slow.next != &l->slow)
		return 0;
	uint64_t ms = max_wait_ns == UINT64_MAX ? UINT64_MAX : (max_wait_ns + 999999) / 1000000;
	ms = min_u64(ms, loop__timers_wait_ms(l));
	return ms == UINT64_MAX ? -1 : (int)min_u64(ms, 1000000);
}

static void wait_for_io(struct loop *l, uint64_t max_wait_ns)
{
	int ms = wait_ms(l, max_wait_ns), n = sys_epoll_wait(l->epfd, l->batch, BATCH, ms);
	BUG_ON(n < 0 && n != -EINTR);
	l->timer_woke = ms && !n;
	l->batch_next = 0;
	l->batch_len = n < 0 ? 0 : n;
}

void loop_run_once(struct loop *l, uint64_t max_wait_ns)
{
	l->timer_woke = false;
	if (!is_io_left(l))
		wait_for_io(l, max_wait_ns);
	l->now_ns = sys_now_ns();
	run_io(l);
	loop__timers_run(l);
	run_remote(l);
	run_ready(l);
}

void loop_run(struct loop *l)
{
	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE))
		loop_run_once(l, UINT64_MAX);
	__atomic_store_n(&l->stop, false, __ATOMIC_RELEASE);
}
