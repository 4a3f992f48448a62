// wasi:io: streams, pollables, errors. What a stream is made of stands behind wasi_input_ops and wasi_output_ops.
#include "wasi_int.h"
#include "wasi_provider.h"

enum {
	READ_MAX = 64 << 10,         // a read gives at most this, whatever was asked for (W14)
	SPLICE_MAX = 1 << 20,        // a splice moves at most this: others of the shard wait for it
	SPLICE_PIECE_COSTS = 1024,   // however short a piece is
	BLOCKING_WRITE_MAX = 4096,   // of blocking-write-and-flush (W11)
	POLL_MAX = 10000,            // pollables of one call: as many as there may be handles
};

typedef struct wasi_io_streams_stream_error stream_error;

static const stream_error closed = {.tag = WASI_IO_STREAMS_STREAM_ERROR_CLOSED};

struct wasi_input *wasi__input_ref(struct wasi_input *in)
{
	in->refs++;
	return in;
}

void wasi__input_unref(void *p)
{
	struct wasi_input *in = p;
	if (!in || --in->refs)
		return;
	in->ops->release(in);
	seam_mem_free(in);
}

struct wasi_output *wasi__output_ref(struct wasi_output *out)
{
	out->refs++;
	return out;
}

void wasi__output_unref(void *p)
{
	struct wasi_output *out = p;
	if (!out || --out->refs)
		return;
	out->ops->release(out);
	seam_mem_free(out);
}

bool wasi__input_handle(struct seam_call *c, struct wasi_input *in, uint32_t *ret_rep)
{
	if (in && seam_resource_new(c, &wasi_io_streams_input_stream_class, in, ret_rep))
		return true;
	if (!in)
		seam_no_memory(c);
	wasi__input_unref(in);
	return false;
}

bool wasi__output_handle(struct seam_call *c, struct wasi_output *out, uint32_t *ret_rep)
{
	if (out && seam_resource_new(c, &wasi_io_streams_output_stream_class, out, ret_rep))
		return true;
	if (!out)
		seam_no_memory(c);
	wasi__output_unref(out);
	return false;
}

void wasi_io_streams_input_stream_drop(struct canon_instance *i, void *object)
{
	wasi__input_unref(object);
}

void wasi_io_streams_output_stream_drop(struct canon_instance *i, void *object)
{
	wasi__output_unref(object);
}

// ---- input ---------------------------------------------------------------------------------------------------------------------------

static struct wasi_input *input(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_io_streams_input_stream_resource, rep);
}

// Waits until there is something to peek, the end, or (not blocking) until now. WASI_IO_AGAIN: nothing yet.
static enum seam_result peek(struct seam_call *c, struct wasi_input *in, size_t max, bool blocking, enum wasi_io *ret_io, struct slice *ret)
{
	for (;;) {
		*ret_io = in->ops->peek(in, max, ret);
		if (*ret_io != WASI_IO_AGAIN || !blocking)
			return SEAM_OK;
		wasi__input_ref(in);
		enum seam_result r = wasi__event_wait(c, in->readable);
		wasi__input_unref(in);
		if (r != SEAM_OK)
			return r;
	}
}

// What a guest gets from a stream that has ended or failed.
static enum seam_result give_error(struct seam_call *c, enum wasi_io io, const struct wasi_error *why, stream_error *ret)
{
	*ret = closed;
	if (io != WASI_IO_FAILED)
		return SEAM_OK;
	struct wasi_error *error = seam_mem_alloc(c->canon, sizeof *error);
	if (!error)
		return seam_no_memory(c);
	*error = *why;
	ret->tag = WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED;
	if (seam_resource_new(c, &wasi_io_error_error_class, error, &ret->last_operation_failed))
		return SEAM_OK;
	seam_mem_free(error);
	return SEAM_TRAP;
}

static enum seam_result input_error(struct seam_call *c, struct wasi_input *in, enum wasi_io io, stream_error *ret)
{
	struct wasi_error why = {0};
	if (io == WASI_IO_FAILED)
		why = in->ops->take_error(in);
	return give_error(c, io, &why, ret);
}

static enum seam_result output_error(struct seam_call *c, struct wasi_output *out, enum wasi_io io, stream_error *ret)
{
	struct wasi_error why = {0};
	if (io == WASI_IO_FAILED)
		why = out->ops->take_error(out);
	return give_error(c, io, &why, ret);
}

static bool is_over(enum wasi_io io)
{
	return io == WASI_IO_CLOSED || io == WASI_IO_FAILED;
}

static enum seam_result read_some(struct seam_call *c, uint32_t self, uint64_t len, bool blocking, struct wasi_result_list_u8_io_streams_stream_error *ret)
{
	struct wasi_input *in = input(c, self);
	struct slice there = {0};
	enum wasi_io io = WASI_IO_CLOSED;
	enum seam_result r = SEAM_OK;
	if (len == 0 && !(in->ops->is_over && in->ops->is_over(in)))
		return SEAM_OK;
	if (len)
		r = peek(c, in, min_u64(len, READ_MAX), blocking, &io, &there);
	if (r != SEAM_OK)
		return r;
	if (is_over(io)) {
		ret->is_err = true;
		return input_error(c, in, io, &ret->err);
	}
	there = slice_sub(there, 0, min_u64(len, READ_MAX));
	if (!seam_bytes(c, there, &ret->ok))
		return SEAM_TRAP;
	if (there.len)
		in->ops->consume(in, there.len);
	return SEAM_OK;
}

enum seam_result wasi_io_streams_input_stream_read(struct seam_call *c, const struct wasi_io_streams_input_stream_read_args *args,
	struct wasi_result_list_u8_io_streams_stream_error *ret)
{
	return read_some(c, args->self, args->len, false, ret);
}

enum seam_result wasi_io_streams_input_stream_blocking_read(struct seam_call *c, const struct wasi_io_streams_input_stream_blocking_read_args *args,
	struct wasi_result_list_u8_io_streams_stream_error *ret)
{
	return read_some(c, args->self, args->len, true, ret);
}

static enum seam_result skip_some(struct seam_call *c, uint32_t self, uint64_t len, bool blocking, struct wasi_result_u64_io_streams_stream_error *ret)
{
	struct wasi_input *in = input(c, self);
	struct slice there = {0};
	enum wasi_io io;
	if (len == 0)
		return SEAM_OK;
	enum seam_result r = peek(c, in, min_u64(len, READ_MAX), blocking, &io, &there);
	if (r != SEAM_OK)
		return r;
	ret->is_err = is_over(io);
	if (ret->is_err)
		return input_error(c, in, io, &ret->err);
	ret->ok = min_u64(len, there.len);
	if (ret->ok)
		in->ops->consume(in, ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_io_streams_input_stream_skip(struct seam_call *c, const struct wasi_io_streams_input_stream_skip_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	return skip_some(c, args->self, args->len, false, ret);
}

enum seam_result wasi_io_streams_input_stream_blocking_skip(struct seam_call *c, const struct wasi_io_streams_input_stream_blocking_skip_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	return skip_some(c, args->self, args->len, true, ret);
}

static bool input_is_ready(const struct wasi_pollable *p, uint64_t now_ns)
{
	struct wasi_input *in = p->of;
	struct slice there;
	return in->ops->is_ready ? in->ops->is_ready(in) : in->ops->peek(in, READ_MAX, &there) != WASI_IO_AGAIN;
}

struct wasi_pollable wasi__input_pollable(struct wasi_input *in)
{
	return (struct wasi_pollable){input_is_ready, in->readable, wasi__input_ref(in), wasi__input_unref, UINT64_MAX};
}

enum seam_result wasi_io_streams_input_stream_subscribe(struct seam_call *c, const struct wasi_io_streams_input_stream_subscribe_args *args, uint32_t *ret)
{
	struct wasi_input *in = input(c, args->self);
	return wasi__pollable_new(c, wasi__input_pollable(in), ret) ? SEAM_OK : SEAM_TRAP;
}

// ---- output --------------------------------------------------------------------------------------------------------------------------

static struct wasi_output *output(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_io_streams_output_stream_resource, rep);
}

// The end of an operation on an output.
static enum seam_result settle(struct seam_call *c, struct wasi_output *out, enum seam_result r, enum wasi_io io,
	struct wasi_result_void_io_streams_stream_error *ret)
{
	ret->is_err = r == SEAM_OK && is_over(io);
	return ret->is_err ? output_error(c, out, io, &ret->err) : r;
}

enum seam_result wasi_io_streams_output_stream_check_write(struct seam_call *c, const struct wasi_io_streams_output_stream_check_write_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	struct wasi_output *out = output(c, args->self);
	size_t n = 0;
	enum wasi_io io = out->ops->permit(out, &n);
	ret->is_err = is_over(io);
	if (ret->is_err)
		return output_error(c, out, io, &ret->err);
	ret->ok = n;
	out->promised = n;
	return SEAM_OK;
}

// The room that was promised for a write is used up by whatever takes it: every write goes through here.
static enum wasi_io write_piece(struct seam_call *c, struct wasi_output *out, struct slice data)
{
	out->promised -= min_u64(out->promised, data.len);
	return out->ops->write(out, c->task, data);
}

// Writes what the stream has permitted, in pieces as it likes them. *ret_io: WASI_IO_CLOSED where it ended.
static enum seam_result write_some(struct seam_call *c, struct wasi_output *out, struct slice data, enum wasi_io *ret_io)
{
	*ret_io = WASI_IO_OK;
	if (!out->ops->piece) {
		*ret_io = write_piece(c, out, data);
		return SEAM_OK;
	}
	while (data.len && *ret_io == WASI_IO_OK) {
		struct slice piece = slice_sub(data, 0, out->ops->piece);
		*ret_io = write_piece(c, out, piece);
		data = slice_sub(data, piece.len, data.len);
		enum seam_result r = seam_work(c, VM_WORK_LOOK);
		if (r != SEAM_OK)
			return r;
	}
	return SEAM_OK;
}

enum seam_result wasi_io_streams_output_stream_write(struct seam_call *c, const struct wasi_io_streams_output_stream_write_args *args,
	struct wasi_result_void_io_streams_stream_error *ret)
{
	struct wasi_output *out = output(c, args->self);
	struct slice data = seam_list_bytes(args->contents);
	if (data.len > out->promised)
		return seam_trap(c, "write of %zu bytes where check-write permits %llu", data.len, (unsigned long long)out->promised);
	enum wasi_io io;
	enum seam_result r = settle(c, out, write_some(c, wasi__output_ref(out), data, &io), io, ret);
	wasi__output_unref(out);
	return r;
}

// Writes all of it, waiting where the stream takes less.
static enum seam_result write_all(struct seam_call *c, struct wasi_output *out, struct slice data, enum wasi_io *ret_io)
{
	*ret_io = WASI_IO_OK;
	while (data.len) {
		size_t n = 0;
		*ret_io = out->ops->permit(out, &n);
		if (is_over(*ret_io))
			return SEAM_OK;
		struct slice piece = slice_sub(data, 0, n);
		enum seam_result r = piece.len ? write_some(c, out, piece, ret_io) : wasi__event_wait(c, out->writable);
		if (r != SEAM_OK || is_over(*ret_io))
			return r;
		data = slice_sub(data, piece.len, data.len);
	}
	return SEAM_OK;
}

static enum seam_result flush_all(struct seam_call *c, struct wasi_output *out, enum wasi_io *ret_io)
{
	for (;;) {
		*ret_io = out->ops->flush(out);
		if (*ret_io != WASI_IO_AGAIN)
			return SEAM_OK;
		enum seam_result r = wasi__event_wait(c, out->writable);
		if (r != SEAM_OK)
			return r;
	}
}

static enum seam_result write_and_flush(struct seam_call *c, struct wasi_output *out, struct slice data, struct wasi_result_void_io_streams_stream_error *ret)
{
	enum wasi_io io;
	wasi__output_ref(out);
	enum seam_result r = write_all(c, out, data, &io);
	if (r == SEAM_OK && !is_over(io))
		r = flush_all(c, out, &io);
	r = settle(c, out, r, io, ret);
	wasi__output_unref(out);
	return r;
}

enum seam_result wasi_io_streams_output_stream_blocking_write_and_flush(struct seam_call *c,
	const struct wasi_io_streams_output_stream_blocking_write_and_flush_args *args, struct wasi_result_void_io_streams_stream_error *ret)
{
	struct slice data = seam_list_bytes(args->contents);
	if (data.len > BLOCKING_WRITE_MAX)
		return seam_trap(c, "blocking-write-and-flush of %zu bytes; 4096 at most", data.len);
	return write_and_flush(c, output(c, args->self), data, ret);
}

enum seam_result wasi_io_streams_output_stream_flush(struct seam_call *c, const struct wasi_io_streams_output_stream_flush_args *args,
	struct wasi_result_void_io_streams_stream_error *ret)
{
	struct wasi_output *out = output(c, args->self);
	return settle(c, out, SEAM_OK, out->ops->flush(out), ret);
}

enum seam_result wasi_io_streams_output_stream_blocking_flush(struct seam_call *c, const struct wasi_io_streams_output_stream_blocking_flush_args *args,
	struct wasi_result_void_io_streams_stream_error *ret)
{
	return write_and_flush(c, output(c, args->self), slice_of(NULL, 0), ret);
}

static const uint8_t zeroes[BLOCKING_WRITE_MAX];

enum seam_result wasi_io_streams_output_stream_write_zeroes(struct seam_call *c, const struct wasi_io_streams_output_stream_write_zeroes_args *args,
	struct wasi_result_void_io_streams_stream_error *ret)
{
	struct wasi_output *out = output(c, args->self);
	if (args->len > out->promised)
		return seam_trap(c, "write-zeroes of %llu bytes where check-write permits %llu", (unsigned long long)args->len, (unsigned long long)out->promised);
	enum wasi_io io = WASI_IO_OK;
	enum seam_result r = SEAM_OK;
	wasi__output_ref(out);
	for (uint64_t left = args->len; left && r == SEAM_OK && io == WASI_IO_OK;) {
		size_t n = min_u64(left, sizeof zeroes);
		r = write_some(c, out, slice_of(zeroes, n), &io);
		left -= n;
	}
	r = settle(c, out, r, io, ret);
	wasi__output_unref(out);
	return r;
}

enum seam_result wasi_io_streams_output_stream_blocking_write_zeroes_and_flush(struct seam_call *c,
	const struct wasi_io_streams_output_stream_blocking_write_zeroes_and_flush_args *args, struct wasi_result_void_io_streams_stream_error *ret)
{
	if (args->len > BLOCKING_WRITE_MAX)
		return seam_trap(c, "blocking-write-zeroes-and-flush of %llu bytes; 4096 at most", (unsigned long long)args->len);
	return write_and_flush(c, output(c, args->self), slice_of(zeroes, args->len), ret);
}

static bool output_is_ready(const struct wasi_pollable *p, uint64_t now_ns)
{
	struct wasi_output *out = p->of;
	size_t n = 0;
	return is_over(out->ops->permit(out, &n)) || n > 0;
}

struct wasi_pollable wasi__output_pollable(struct wasi_output *out)
{
	return (struct wasi_pollable){output_is_ready, out->writable, wasi__output_ref(out), wasi__output_unref, UINT64_MAX};
}

enum seam_result wasi_io_streams_output_stream_subscribe(struct seam_call *c, const struct wasi_io_streams_output_stream_subscribe_args *args, uint32_t *ret)
{
	struct wasi_output *out = output(c, args->self);
	return wasi__pollable_new(c, wasi__output_pollable(out), ret) ? SEAM_OK : SEAM_TRAP;
}

// Waits until there is something to read and (not blocking: finds out whether there is) room for it. Where a side is over, *ret_io is of that.
static enum seam_result wait_for_both(struct seam_call *c, struct wasi_output *out, struct wasi_input *in, size_t max, bool blocking, bool *ret_of_output,
	enum wasi_io *ret_io, struct slice *ret)
{
	*ret_of_output = false;
	for (;;) {
		size_t permit = 0;
		enum seam_result r = peek(c, in, max, blocking, ret_io, ret);
		if (r != SEAM_OK || *ret_io != WASI_IO_OK)
			return r;
		enum wasi_io io = out->ops->permit(out, &permit);
		*ret = slice_sub(*ret, 0, permit);
		if (is_over(io)) {
			*ret_of_output = true;
			*ret_io = io;
			return SEAM_OK;
		}
		if (permit || !blocking)
			return SEAM_OK;
		r = wasi__event_wait(c, out->writable);  // the view is dead then
		if (r != SEAM_OK)
			return r;
	}
}

// One piece of at most `len` bytes. *ret_n: what has moved; where a side is over, *ret_io is of that.
static enum seam_result splice_piece(struct seam_call *c, struct wasi_output *out, struct wasi_input *in, uint64_t len, bool blocking, bool *ret_of_output,
	enum wasi_io *ret_io, uint64_t *ret_n)
{
	struct slice there = {0};
	*ret_n = 0;
	enum seam_result r = wait_for_both(c, out, in, max_u64(min_u64(len, READ_MAX), 1), blocking, ret_of_output, ret_io, &there);
	if (r != SEAM_OK || *ret_io != WASI_IO_OK)
		return r;
	there = slice_sub(there, 0, len);
	if (!there.len)
		return SEAM_OK;
	*ret_io = write_piece(c, out, there);
	*ret_of_output = true;
	if (*ret_io != WASI_IO_OK)
		return SEAM_OK;
	in->ops->consume(in, there.len);
	*ret_n = there.len;
	return SEAM_OK;
}

// Piece after piece while both sides go on without a wait, so that the guest is not entered for each; it waits for the first only: who moves bytes one way and
// then the other must hear of it. An end behind some is told by the next call, but for a write that failed, which tells once.
static enum seam_result splice_pieces(struct seam_call *c, struct wasi_output *out, struct wasi_input *in, uint64_t len, bool blocking,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	enum wasi_io io;
	bool of_output;
	uint64_t n;
	do {
		enum seam_result r = splice_piece(c, out, in, len - ret->ok, blocking && !ret->ok, &of_output, &io, &n);
		ret->ok += n;
		if (r == SEAM_OK && n)
			r = seam_work(c, max_u64(n, SPLICE_PIECE_COSTS));
		if (r != SEAM_OK)
			return r;
	} while (n && ret->ok < len);
	ret->is_err = is_over(io) && (!ret->ok || (of_output && io == WASI_IO_FAILED));
	if (ret->is_err)
		return of_output ? output_error(c, out, io, &ret->err) : input_error(c, in, io, &ret->err);
	return SEAM_OK;
}

static enum seam_result splice_some(struct seam_call *c, uint32_t self, uint32_t src, uint64_t len, bool blocking,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	struct wasi_output *out = wasi__output_ref(output(c, self));
	struct wasi_input *in = wasi__input_ref(input(c, src));
	ret->ok = 0;
	enum seam_result r = splice_pieces(c, out, in, min_u64(len, SPLICE_MAX), blocking, ret);
	wasi__input_unref(in);
	wasi__output_unref(out);
	return r;
}

enum seam_result wasi_io_streams_output_stream_splice(struct seam_call *c, const struct wasi_io_streams_output_stream_splice_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	return splice_some(c, args->self, args->src, args->len, false, ret);
}

enum seam_result wasi_io_streams_output_stream_blocking_splice(struct seam_call *c, const struct wasi_io_streams_output_stream_blocking_splice_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	return splice_some(c, args->self, args->src, args->len, true, ret);
}

// ---- poll ----------------------------------------------------------------------------------------------------------------------------

bool wasi__pollable_new(struct seam_call *c, struct wasi_pollable p, uint32_t *ret_rep)
{
	struct wasi_pollable *object = seam_mem_alloc(c->canon, sizeof *object);
	if (object) {
		*object = p;
		if (seam_resource_new(c, &wasi_io_poll_pollable_class, object, ret_rep))
			return true;
	} else {
		seam_no_memory(c);
	}
	seam_mem_free(object);
	if (p.release)
		p.release(p.of);
	return false;
}

void wasi_io_poll_pollable_drop(struct canon_instance *i, void *object)
{
	struct wasi_pollable *p = object;
	if (p->release)
		p->release(p->of);
	seam_mem_free(p);
}

bool wasi__pollable_is_ready(const struct wasi_pollable *p, uint64_t now_ns)
{
	return p->ready ? p->ready(p, now_ns) : now_ns >= p->when_ns;
}

static bool any_ready(struct wasi_pollable *const *list, uint32_t n, uint64_t now_ns, uint64_t *ret_next_ns)
{
	*ret_next_ns = UINT64_MAX;
	for (uint32_t k = 0; k < n; k++) {
		if (wasi__pollable_is_ready(list[k], now_ns))
			return true;
		*ret_next_ns = min_u64(*ret_next_ns, list[k]->when_ns);
	}
	return false;
}

// The guest's handles keep them alive: while it waits, nothing of the instance runs.
enum seam_result wasi__pollables_wait(struct seam_call *c, struct wasi_pollable *const *list, struct wasi_waiter *waiters, uint32_t n)
{
	for (;;) {
		uint64_t next_ns;
		enum seam_result r = seam_work(c, (uint64_t)n * 4 * VM_WORK_ITEM);
		if (r != SEAM_OK)
			return r;
		if (any_ready(list, n, loop_now_fresh_ns(c->task->loop), &next_ns))
			return SEAM_OK;
		struct seam_park park;
		seam_park_init(&park);
		for (uint32_t k = 0; k < n; k++)
			if (list[k]->event)
				wasi__event_watch(list[k]->event, &waiters[k], &park);
		r = seam_wait_until(c, &park, next_ns);
		for (uint32_t k = 0; k < n; k++)
			wasi__event_unwatch(&waiters[k]);
		if (r != SEAM_OK)
			return r;
	}
}

static struct wasi_pollable *pollable(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_io_poll_pollable_resource, rep);
}

enum seam_result wasi_io_poll_pollable_ready(struct seam_call *c, const struct wasi_io_poll_pollable_ready_args *args, bool *ret)
{
	*ret = wasi__pollable_is_ready(pollable(c, args->self), loop_now_fresh_ns(c->task->loop));
	return SEAM_OK;
}

enum seam_result wasi_io_poll_pollable_block(struct seam_call *c, const struct wasi_io_poll_pollable_block_args *args)
{
	struct wasi_pollable *p = pollable(c, args->self);
	struct wasi_waiter w = {0};
	return wasi__pollables_wait(c, &p, &w, 1);
}

enum seam_result wasi_io_poll_poll(struct seam_call *c, const struct wasi_io_poll_poll_args *args, struct wit_list *ret)
{
	const uint32_t *reps = args->in.ptr;
	size_t n = args->in.len;
	if (n == 0)
		return seam_trap(c, "poll on an empty list");
	if (n > POLL_MAX)
		return seam_trap(c, "poll on %zu pollables; %u at most", n, POLL_MAX);
	struct wasi_pollable **list = SEAM_ARRAY(c, struct wasi_pollable *, n);
	struct wasi_waiter *waiters = SEAM_ARRAY(c, struct wasi_waiter, n);
	uint32_t *ready = SEAM_ARRAY(c, uint32_t, n);
	if (!list || !waiters || !ready)
		return SEAM_TRAP;
	for (size_t k = 0; k < n; k++)
		list[k] = pollable(c, reps[k]);
	enum seam_result r = wasi__pollables_wait(c, list, waiters, (uint32_t)n);
	if (r != SEAM_OK)
		return r;
	uint64_t now_ns = loop_now_fresh_ns(c->task->loop);
	size_t found = 0;
	for (uint32_t k = 0; k < n; k++)
		if (wasi__pollable_is_ready(list[k], now_ns))
			ready[found++] = k;
	*ret = (struct wit_list){ready, found};
	return SEAM_OK;
}

// ---- error ---------------------------------------------------------------------------------------------------------------------------

void wasi_io_error_error_drop(struct canon_instance *i, void *object)
{
	seam_mem_free(object);
}

enum seam_result wasi_io_error_error_to_debug_string(struct seam_call *c, const struct wasi_io_error_error_to_debug_string_args *args, struct wit_string *ret)
{
	const struct wasi_error *error = seam_resource_get(c, &wasi_io_error_error_resource, args->self);
	return seam_string(c, slice_str(error->text), ret) ? SEAM_OK : SEAM_TRAP;
}
