// Calls on thread 0 of the server, from an operation's thread: what changes links and services is called there.
#include "ctl_int.h"
#include "serve/serve.h"

struct call {
	struct loop_remote remote;
	struct ctl *ctl;
	void (*fn)(void *arg);
	void *arg;
	bool over;  // within the lock
};

static void on_call(struct loop_remote *r)
{
	struct call *c = CONTAINER_OF(r, struct call, remote);
	struct ctl *ctl = c->ctl;
	c->fn(c->arg);
	sys_mutex_lock(&ctl->lock);
	c->over = true;
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
}

void ctl__on_main(struct ctl *ctl, void (*fn)(void *arg), void *arg)
{
	struct call c = {.remote.fn = on_call, .ctl = ctl, .fn = fn, .arg = arg};
	loop_post_remote(serve_process_loop(ctl->config.process), &c.remote);
	sys_mutex_lock(&ctl->lock);
	while (!c.over)
		sys_cond_wait(&ctl->moved, &ctl->lock);
	sys_mutex_unlock(&ctl->lock);
}
