// The host's ends of WASI 0.3's streams and futures, over the same inputs and outputs that 0.2's handles stand for.
//
//   source   a stream that the guest reads: an input, whose bytes go straight into the buffer that the guest waits with
//   sink     a stream that the guest writes: its bytes go straight from its buffer into an output
//   promise  a future that the guest reads, reader: one that it writes
//
// 1. Bytes are moved when the guest comes with a buffer, in its own call, and when the input or output has become ready, from the loop. Nothing is kept in
//    between: a stream that is handed on goes on where it was.
// 2. Where both ends are the host's (a guest handed a stream on) the sink takes from the source, and no byte goes through the guest.
//    What the loop does between a guest's memory and an input or output is on the budget of the task that the stream was made for, as what is done in its call.
// 3. Whoever owns one of these hears that it is over once, and it is gone then: by its own end, the other side's, or the instance's.
#ifndef TENON_WASI_END_INT_H
#define TENON_WASI_END_INT_H

#include "wasi_int.h"

// ---- futures that the host writes -----------------------------------------------------------------------------------------------------
enum { WASI_PROMISE_MAX = 64 };  // bytes of a value
struct wasi_reader;
struct wasi_promise {
	struct canon_end end;
	struct wasi_promise **of;  // where who resolves it has it: NULL there once nobody will read it any more
	struct wasi_reader *to;    // its other end, where the host has that
	// Makes the native value of what `value` holds, in the guest's call, once. NULL: they are the same. false: it traps, and was told why.
	bool (*make)(struct wasi_promise *p, struct canon_task *t, void *native);
	// What `value` holds, and nobody took, is given back. NULL: nothing is.
	void (*forget)(struct wasi_promise *p);
	void *data;      // theirs
	uint32_t size;
	bool resolved, given;
	_Alignas(8) uint8_t value[WASI_PROMISE_MAX];
};
// `type`: the future's. *of, *ret: the promise, and its native value. false: no memory, or too many handles.
NODISCARD bool wasi__promise_new(struct canon_instance *i, const struct wit_type *type, struct wasi_promise **of, uint32_t *ret);
// Of NULL it does nothing; the caller's pointer is NULL afterwards.
void wasi__promise_resolve(struct wasi_promise **of, const void *value, size_t n);

// ---- futures that the guest writes ----------------------------------------------------------------------------------------------------
struct wasi_reader_ops {
	// It is there: the native value of the guest, in its call, its parts good until this returns; of a promise what its `value` holds (is_ours), which is of the
	// promise's instance. It is taken, and nothing else is done. false: the guest traps, and was told why; not where it comes by a joint.
	bool (*got)(struct wasi_reader *r, struct canon_task *t, void *value, bool is_ours);
	// After that, or (not has) with the instance: the reader is done.
	void (*over)(struct wasi_reader *r, bool has);
};
struct wasi_reader {
	struct canon_end end;
	const struct wasi_reader_ops *ops;
	struct wasi_promise *from;  // its other end, where the host has that, perhaps in another instance
	bool has, done;
};
enum { WASI_READER_MAX = 64 };  // bytes of a native value
// `number`: the native value that came as an argument, in the call of which this is; its own value has at most WASI_READER_MAX bytes. Both callbacks may come before
// it returns. false: it traps.
NODISCARD bool wasi__reader_take(struct canon_instance *i, struct canon_task *t, uint32_t number, const struct wasi_reader_ops *ops, struct wasi_reader *r);
// Nobody wants to know any more. Of one that is done, or zeroed, it does nothing.
void wasi__reader_drop(struct wasi_reader *r);

// ---- streams --------------------------------------------------------------------------------------------------------------------------
enum wasi_over {
	WASI_OVER_END,     // its end was reached, and (sink) all of it was taken
	WASI_OVER_FAILED,  // `why` says how
	WASI_OVER_CLOSED,  // the other side, guest or output, takes no more
	WASI_OVER_GONE,    // the instance
};
// It is over, and gone when this returns. `why`: of FAILED.
typedef void wasi_over_fn(void *of, enum wasi_over how, const struct wasi_error *why);

struct wasi_sink;
struct wasi_payer {
	struct seam_tasks *tasks;  // NULL: nobody
	struct seam_task_id id;
};
struct wasi_source {
	struct canon_end end;
	struct wasi_input *in;
	struct wasi_sink *to;  // that takes what is here
	struct wasi_payer payer;
	struct wasi_waiter waiter;
	struct loop_job job;
	struct loop *loop;
	wasi_over_fn *over;
	void *of;
};
struct wasi_sink {
	struct canon_end end;
	struct canon_instance *instance;
	struct wasi_output *out;
	struct wasi_source *from;
	struct wasi_payer by;  // who started it: whose lines it prints where nobody of the instance runs
	struct wasi_waiter waiter;
	struct loop_job job;
	struct loop *loop;
	wasi_over_fn *over;
	void (*idle)(void *of);  // it has come to wait for the guest; NULL: nobody asks
	void *of;
	bool busy, ended;
};
// *ret_number: its native value, for a guest or for a sink. Takes over the reference on `in` (NULL: there was no memory for it), also when it fails. false:
// no memory, or too many handles.
NODISCARD bool wasi__source_new(struct canon_instance *i, struct wasi_input *in, wasi_over_fn *over, void *of, uint32_t *ret_number);
// Of `number`, a native value. Takes over the reference on `out`, likewise. Nothing of a source moves before wasi__sink_start. false: no memory.
NODISCARD bool wasi__sink_new(struct canon_instance *i, uint32_t number, struct wasi_output *out, wasi_over_fn *over, void *of, struct wasi_sink **ret);
// It may be over, and gone, when this returns. `task`: on whose behalf, NULL: from the loop.
void wasi__sink_start(struct wasi_sink *s, struct seam_task *task);
// Without a call of `over`.
void wasi__sink_free(struct wasi_sink *s);
// Nothing of the host's or of another instance's will bring it on: what is there was taken, and more can only come from a guest of this one.
bool wasi__sink_waits_for_guest(const struct wasi_sink *s);
// ---- a stream and the future beside it, which says how the stream ended (flow.c) --------------------------------------------------------
// The native result<_, E> of that: `why` is NULL where it went well. Its size.
typedef size_t wasi_flow_fn(void *into, const struct wasi_error *why);
// The stream that is read ended, or nobody wants more of it; the one that is written was taken whole, or its output takes no more, which is why->closed.
// `future`: its type. Both take over the reference on `in`, `out`; a NULL one is a trap: there was no memory for it.
enum seam_result wasi__flow_in(struct seam_call *c, struct wasi_input *in, const struct wit_type *future, wasi_flow_fn *fn, uint32_t *ret_stream,
	uint32_t *ret_future);
enum seam_result wasi__flow_out(struct seam_call *c, uint32_t stream, struct wasi_output *out, const struct wit_type *future, wasi_flow_fn *fn,
	uint32_t *ret_future);
// The same where it is over at once, for a reason. `tuple`: the type of the stream and the future.
enum seam_result wasi__flow_in_failed(struct seam_call *c, const struct wit_type *tuple, wasi_flow_fn *fn, const struct wasi_error *why, uint32_t *ret_stream,
	uint32_t *ret_future);
enum seam_result wasi__flow_out_failed(struct seam_call *c, uint32_t stream, const struct wit_type *future, wasi_flow_fn *fn, const struct wasi_error *why,
	uint32_t *ret_future);

// An output that takes everything. NULL: no memory.
struct wasi_output *wasi__no_output(struct canon_instance *i);

#endif
