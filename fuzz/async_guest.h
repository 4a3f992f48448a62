// Makes valid components of tasks, subtasks, streams, futures, sets and threads: three component instances that call each other, each with functions lifted
// and lowered in ways that are chosen. Their code asks the host for each step, so that a program is the sequence of steps that the host gives.
#ifndef FUZZ_ASYNC_GUEST_H
#define FUZZ_ASYNC_GUEST_H

#include "generate.h"

// Root imports, in order: next: func() -> u32, the next step; bad: func(u32), what must not be; ha: async func(u32) -> u32, hs: async func(stream<u8>,
// future<u32>) -> stream<u8>, ht: async func(string) -> string, hy: func(u32) -> u32.
// Root exports of instance k: "ak", "sk", "tk", "yk" of the same types; "rk": func(), which takes back what holds others; "ck", then "dk": async func(), which
// drop all that is left.
enum { GUEST_INSTANCES = 3 };

// A step: OP | a << 8 | b << 16; or the end of a function: GUEST_ENDS << 24 | …, of one with a callback also GUEST_ENDS_YIELDING, or GUEST_ENDS_WAITING for
// the set a.
enum { GUEST_ENDS = 1, GUEST_ENDS_YIELDING, GUEST_ENDS_WAITING };
enum guest_op {  // ORDER operations
	GUEST_NOP,
	GUEST_STREAM_NEW,
	GUEST_FUTURE_NEW,
	GUEST_READ,
	GUEST_WRITE,
	GUEST_FUTURE_READ,
	GUEST_FUTURE_WRITE,
	GUEST_READ_SYNC,
	GUEST_WRITE_SYNC,
	GUEST_CANCEL,
	GUEST_CANCEL_SYNC,
	GUEST_DROP,
	GUEST_SET_NEW,
	GUEST_SET_DROP,
	GUEST_JOIN,
	GUEST_WAIT,
	GUEST_POLL,
	GUEST_CALL_A,
	GUEST_CALL_S,
	GUEST_CALL_T,
	GUEST_SYNC_A,
	GUEST_SYNC_S,
	GUEST_SYNC_T,
	GUEST_SYNC_Y,
	GUEST_SUB_CANCEL,
	GUEST_SUB_CANCEL_SYNC,
	GUEST_SUB_DROP,
	GUEST_THREAD_NEW,
	GUEST_RESUME_LATER,
	GUEST_SUSPEND,
	GUEST_SUSPEND_RESUME,
	GUEST_SUSPEND_PROMOTE,
	GUEST_YIELD,
	GUEST_YIELD_RESUME,
	GUEST_YIELD_PROMOTE,
	GUEST_HOLD,
	GUEST_LET_IN,
	GUEST_RETURN,
	GUEST_CANCELLED,
	GUEST_GROW,
	GUEST_TRAP,
	GUEST_SPIN,
	GUEST_RAW,
	GUEST_N_OPS,
};
// May wait in the middle of its core code.
bool guest_op_blocks(enum guest_op op);

// The component of these bytes, as text (comp/test/build.h), ending in a zero.
void generate_async_component(struct bytes *in, struct buf *out);

#endif
