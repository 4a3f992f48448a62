// Inside of room serve: what threads tell each other of components that are kept (inbox.c).
#ifndef TENON_SERVE_INBOX_H
#define TENON_SERVE_INBOX_H

#include "base/base.h"
#include "loop/loop.h"

struct serve_thread;
struct serve_message {
	struct serve_message *next;
	void (*fn)(struct serve_message *m);
};
struct serve_inbox {
	struct spinlock lock;  // of what follows
	struct serve_message *first, **last;
	bool told;             // `remote` is posted
	bool closed;           // nothing runs on the thread any more
	struct loop_remote remote;
};
// Before the threads start.
void serve__inbox_init(struct serve_thread *t);
// fn is called on the thread, on its loop's stack, in the order in which they came. Must not be sent again before that. false: the thread has ended, nothing has
// happened. Any thread.
NODISCARD bool serve__inbox_send(struct serve_thread *to, struct serve_message *m);
// The same; where the thread has ended fn is called at once, while no other thread's is.
void serve__inbox_do(struct serve_thread *to, struct serve_message *m);
// On the thread, the last that it does: what has come is done, and nothing comes any more.
void serve__inbox_close(struct serve_thread *t);

#endif
