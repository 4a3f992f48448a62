// Inside of the loop, for its own files.
#ifndef TENON_LOOP_INT_H
#define TENON_LOOP_INT_H

#include <sys/epoll.h>

#include "loop.h"
#include "sys/sys.h"

enum { BATCH = 128, LEVELS = 8, SLOTS = 64 };

struct loop {
	int epfd, wakefd;
	int batch_next, batch_len;
	uint64_t now_ns;
	uint64_t began_ns;  // this iteration's first callback
	bool gathers;  // in this iteration loop_gathers said true
	bool asked;  // in this callback loop_gathers looked at the clock
	uint64_t tick_ms;                  // timers due before it have run
	uint32_t levels;                   // bit per level that is not empty
	uint64_t occupied[LEVELS];         // bit per slot that is not empty
	struct loop_timer *slots[LEVELS][SLOTS];
	struct loop_job ready;            // head of the ring
	struct loop_job slow;             // likewise: one of them an iteration
	bool stop;       // any thread
	bool timer_woke;  // loop_claim_wake
	struct loop_remote *remote;        // any thread: a stack, taken whole
	struct epoll_event batch[BATCH];
};

void loop__timers_init(struct loop *l);
void loop__timers_run(struct loop *l);
// Until the next slot is due; UINT64_MAX: no timer.
uint64_t loop__timers_wait_ms(const struct loop *l);

#endif
