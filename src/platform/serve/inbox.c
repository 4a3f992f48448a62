// What one thread tells another of the components that are kept there: calls, answers, handles that were dropped (relay_far.c).
//
// 1. Messages are their sender's, and lie in what he owns; they are handed over under the lock, which is held for a few instructions.
// 2. A thread that ends does what has come, and closes: who sends after that hears so, and does himself what is left to do there.
#include "serve_int.h"

static struct serve_message *take_all(struct serve_inbox *in)
{
	struct serve_message *list = in->first;
	in->first = NULL;
	in->last = &in->first;
	return list;
}

static void do_all(struct serve_message *list)
{
	for (struct serve_message *m = list, *next; m; m = next) {
		next = m->next;
		m->fn(m);
	}
}

static void on_remote(struct loop_remote *r)
{
	struct serve_inbox *in = CONTAINER_OF(r, struct serve_inbox, remote);
	spinlock_lock(&in->lock);
	struct serve_message *list = take_all(in);
	in->told = false;
	spinlock_unlock(&in->lock);
	do_all(list);
}

void serve__inbox_init(struct serve_thread *t)
{
	t->inbox.last = &t->inbox.first;
	t->inbox.remote.fn = on_remote;
}

// Under the lock.
static void append(struct serve_inbox *in, struct serve_message *m)
{
	m->next = NULL;
	*in->last = m;
	in->last = &m->next;
}

bool serve__inbox_send(struct serve_thread *to, struct serve_message *m)
{
	struct serve_inbox *in = &to->inbox;
	spinlock_lock(&in->lock);
	bool open = !in->closed, tell = open && !in->told;
	if (open)
		append(in, m);
	in->told |= tell;
	spinlock_unlock(&in->lock);
	if (tell)
		loop_post_remote(to->loop, &in->remote);
	return open;
}

void serve__inbox_do(struct serve_thread *to, struct serve_message *m)
{
	if (serve__inbox_send(to, m))
		return;
	spinlock_lock(&to->inbox.lock);
	m->fn(m);
	spinlock_unlock(&to->inbox.lock);
}

void serve__inbox_close(struct serve_thread *t)
{
	struct serve_inbox *in = &t->inbox;
	while (!in->closed) {
		spinlock_lock(&in->lock);
		struct serve_message *list = take_all(in);
		in->closed = !list;
		spinlock_unlock(&in->lock);
		do_all(list);
	}
}
