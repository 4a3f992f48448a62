// Who started the process and is told of its state (systemd, Type=notify).
#ifndef TENON_SERVE_MANAGER_H
#define TENON_SERVE_MANAGER_H

#include "loop/loop.h"
#include "sys/sys.h"

struct serve_process;

struct serve_manager {
	char socket[SYS_SOCKET_PATH_MAX + 2];  // empty: nobody asks
	struct loop_timer watchdog;
	uint64_t period_ns;  // between two signs of life; 0: none are asked for
};
// Who asks, by the environment.
void serve__manager_init(struct serve_manager *m);
// All listeners accept: READY=1 and what they are; from here on it is told that every thread's loop goes round.
void serve__manager_ready(struct serve_process *p);
void serve__manager_reloading(struct serve_process *p);
void serve__manager_reloaded(struct serve_process *p);
void serve__manager_stopping(struct serve_process *p);

#endif
