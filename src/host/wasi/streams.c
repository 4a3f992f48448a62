// wasi:io: streams, pollables, errors. What a stream is made of stands behind wasi_input_ops and wasi_output_ops.
#include "wasi_int.h"
#include "wasi_provider.h"

enum {
	READ_MAX = 64 << 10,         // a read gives at most this, whatever was asked for (W14)
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
static enum seam_result peek(struct seam_call *c, struct wasi_input *in, bool blocking, enum wasi_io *ret_io, struct slice *ret)
{
	for (;;) {
		*ret_io = in->ops->peek(in, ret);
		if (*ret_io != WASI_IO_AGAIN || !blocking)
			return SEAM_OK;
		wasi__input_ref(in);
		enum seam_result r = wasi__event_wait(c, in->readable);
		wasi__input_unref(in);
		if (r != SEAM_OK)
			return r;
	}
}

// What a guest gets from an input that has ended or failed.
static enum seam_result input_error(struct seam_call *c, struct wasi_input *in, enum wasi_io io, stream_error *ret)
{
	*ret = closed;
	if (io != WASI_IO_FAILED)
		return SEAM_OK;
	struct wasi_error *error = seam_mem_alloc(c->canon, sizeof *error);
	if (!error)
		return seam_no_memory(c);
	*error = in->ops->take_error(in);
	ret->tag = WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED;
	if (seam_resource_new(c, &wasi_io_error_error_class, error, &ret->last_operation_failed))
		return SEAM_OK;
	seam_mem_free(error);
	return SEAM_TRAP;
}

static enum seam_result read_some(struct seam_call *c, uint32_t self, uint64_t len, bool blocking, struct wasi_result_list_u8_io_streams_stream_error *ret)
{
	struct wasi_input *in = input(c, self);
	struct slice there = {0};
	enum wasi_io io;
	if (len == 0)
		return SEAM_OK;
	enum seam_result r = peek(c, in, blocking, &io, &there);
	if (r != SEAM_OK)
		return r;
	if (io == WASI_IO_CLOSED || io == WASI_IO_FAILED) {
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
	enum seam_result r = peek(c, in, blocking, &io, &there);
	if (r != SEAM_OK)
		return r;
	ret->is_err = io == WASI_IO_CLOSED || io == WASI_IO_FAILED;
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
	return in->ops->peek(in, &there) != WASI_IO_AGAIN;
}

enum seam_result wasi_io_streams_input_stream_subscribe(struct seam_call *c, const struct wasi_io_streams_input_stream_subscribe_args *args, uint32_t *ret)
{
	struct wasi_input *in = input(c, args->self);
	struct wasi_pollable p = {input_is_ready, in->readable, wasi__input_ref(in), wasi__input_unref, UINT64_MAX};
	return wasi__pollable_new(c, p, ret) ? SEAM_OK : SEAM_TRAP;
}

// ---- output --------------------------------------------------------------------------------------------------------------------------

static struct wasi_output *output(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_io_streams_output_stream_resource, rep);
}

static void set_closed(struct wasi_result_void_io_streams_stream_error *ret)
{
	ret->is_err = true;
	ret->err = closed;
}

enum seam_result wasi_io_streams_output_stream_check_write(struct seam_call *c, const struct wasi_io_streams_output_stream_check_write_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	struct wasi_output *out = output(c, args->self);
	size_t n = 0;
	ret->is_err = out->ops->permit(out, &n) == WASI_IO_CLOSED;
	if (ret->is_err) {
		ret->err = closed;
		return SEAM_OK;
	}
	ret->ok = n;
	out->promised = n;
	return SEAM_OK;
}

// Writes what the stream has permitted, in pieces as it likes them. *ret_io: WASI_IO_CLOSED where it ended.
static enum seam_result write_some(struct seam_call *c, struct wasi_output *out, struct slice data, enum wasi_io *ret_io)
{
	*ret_io = WASI_IO_OK;
	if (!out->ops->piece) {
		*ret_io = out->ops->write(out, c->task, data);
		return SEAM_OK;
	}
	while (data.len && *ret_io == WASI_IO_OK) {
		struct slice piece = slice_sub(data, 0, out->ops->piece);
		*ret_io = out->ops->write(out, c->task, piece);
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
	out->promised -= data.len;
	enum wasi_io io;
	enum seam_result r = write_some(c, wasi__output_ref(out), data, &io);
	wasi__output_unref(out);
	if (r == SEAM_OK && io != WASI_IO_OK)
		set_closed(ret);
	return r;
}

// Writes all of it, waiting where the stream takes less. *ret_closed: the stream ended.
static enum seam_result write_all(struct seam_call *c, struct wasi_output *out, struct slice data, bool *ret_closed)
{
	*ret_closed = false;
	while (data.len) {
		size_t n = 0;
		if (out->ops->permit(out, &n) == WASI_IO_CLOSED) {
			*ret_closed = true;
			return SEAM_OK;
		}
		struct slice piece = slice_sub(data, 0, n);
		enum wasi_io io = WASI_IO_OK;
		enum seam_result r = piece.len ? write_some(c, out, piece, &io) : wasi__event_wait(c, out->writable);
		if (r != SEAM_OK)
			return r;
		if (io == WASI_IO_CLOSED) {
			*ret_closed = true;
			return SEAM_OK;
		}
		data = slice_sub(data, piece.len, data.len);
	}
	return SEAM_OK;
}

static enum seam_result flush_all(struct seam_call *c, struct wasi_output *out, bool *ret_closed)
{
	for (;;) {
		enum wasi_io io = out->ops->flush(out);
		*ret_closed = io == WASI_IO_CLOSED;
		if (io != WASI_IO_AGAIN)
			return SEAM_OK;
		enum seam_result r = wasi__event_wait(c, out->writable);
		if (r != SEAM_OK)
			return r;
	}
}

static enum seam_result write_and_flush(struct seam_call *c, struct wasi_output *out, struct slice data, struct wasi_result_void_io_streams_stream_error *ret)
{
	bool is_closed;
	wasi__output_ref(out);
	enum seam_result r = write_all(c, out, data, &is_closed);
	if (r == SEAM_OK && !is_closed)
		r = flush_all(c, out, &is_closed);
	wasi__output_unref(out);
	if (r == SEAM_OK && is_closed)
		set_closed(ret);
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
	if (out->ops->flush(out) == WASI_IO_CLOSED)
		set_closed(ret);
	return SEAM_OK;
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
	out->promised -= args->len;
	enum wasi_io io = WASI_IO_OK;
	enum seam_result r = SEAM_OK;
	wasi__output_ref(out);
	for (uint64_t left = args->len; left && r == SEAM_OK && io == WASI_IO_OK;) {
		size_t n = min_u64(left, sizeof zeroes);
		r = write_some(c, out, slice_of(zeroes, n), &io);
		left -= n;
	}
	wasi__output_unref(out);
	if (r == SEAM_OK && io != WASI_IO_OK)
		set_closed(ret);
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
	return out->ops->permit(out, &n) == WASI_IO_CLOSED || n > 0;
}

enum seam_result wasi_io_streams_output_stream_subscribe(struct seam_call *c, const struct wasi_io_streams_output_stream_subscribe_args *args, uint32_t *ret)
{
	struct wasi_output *out = output(c, args->self);
	struct wasi_pollable p = {output_is_ready, out->writable, wasi__output_ref(out), wasi__output_unref, UINT64_MAX};
	return wasi__pollable_new(c, p, ret) ? SEAM_OK : SEAM_TRAP;
}

static enum seam_result splice_some(struct seam_call *c, struct wasi_output *out, struct wasi_input *in, uint64_t len, bool blocking,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	struct slice there = {0};
	enum wasi_io io;
	enum seam_result r = peek(c, in, blocking, &io, &there);
	size_t permit = 0;
	while (r == SEAM_OK && io == WASI_IO_OK) {
		if (out->ops->permit(out, &permit) == WASI_IO_CLOSED)
			io = WASI_IO_CLOSED;
		if (permit || !blocking || io != WASI_IO_OK)
			break;
		r = wasi__event_wait(c, out->writable);
	}
	if (r != SEAM_OK)
		return r;
	if (io == WASI_IO_OK && blocking)
		io = in->ops->peek(in, &there);  // the view is dead after a wait
	if (io == WASI_IO_OK) {
		there = slice_sub(there, 0, min_u64(len, permit));
		io = there.len ? out->ops->write(out, c->task, there) : WASI_IO_OK;
		if (there.len && io == WASI_IO_OK)
			in->ops->consume(in, there.len);
	} else {
		there.len = 0;
	}
	ret->is_err = io == WASI_IO_CLOSED || io == WASI_IO_FAILED;
	if (ret->is_err)
		return input_error(c, in, io, &ret->err);
	ret->ok = there.len;
	return SEAM_OK;
}

enum seam_result wasi_io_streams_output_stream_splice(struct seam_call *c, const struct wasi_io_streams_output_stream_splice_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	return splice_some(c, output(c, args->self), input(c, args->src), args->len, false, ret);
}

enum seam_result wasi_io_streams_output_stream_blocking_splice(struct seam_call *c, const struct wasi_io_streams_output_stream_blocking_splice_args *args,
	struct wasi_result_u64_io_streams_stream_error *ret)
{
	return splice_some(c, output(c, args->self), input(c, args->src), args->len, true, ret);
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

static bool is_ready(const struct wasi_pollable *p, uint64_t now_ns)
{
	return p->ready ? p->ready(p, now_ns) : now_ns >= p->when_ns;
}

static bool any_ready(struct wasi_pollable *const *list, uint32_t n, uint64_t now_ns, uint64_t *ret_next_ns)
{
	*ret_next_ns = UINT64_MAX;
	for (uint32_t k = 0; k < n; k++) {
		if (is_ready(list[k], now_ns))
			return true;
		*ret_next_ns = min_u64(*ret_next_ns, list[k]->when_ns);
	}
	return false;
}

// Waits until one of them is ready. The guest's handles keep them alive: while it waits, nothing of the instance runs.
static enum seam_result wait_for_any(struct seam_call *c, struct wasi_pollable *const *list, struct wasi_waiter *waiters, uint32_t n)
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
		r = seam_park_until(c, &park, next_ns, NULL);
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
	*ret = is_ready(pollable(c, args->self), loop_now_fresh_ns(c->task->loop));
	return SEAM_OK;
}

enum seam_result wasi_io_poll_pollable_block(struct seam_call *c, const struct wasi_io_poll_pollable_block_args *args)
{
	struct wasi_pollable *p = pollable(c, args->self);
	struct wasi_waiter w = {0};
	return wait_for_any(c, &p, &w, 1);
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
	enum seam_result r = wait_for_any(c, list, waiters, (uint32_t)n);
	if (r != SEAM_OK)
		return r;
	uint64_t now_ns = loop_now_fresh_ns(c->task->loop);
	size_t found = 0;
	for (uint32_t k = 0; k < n; k++)
		if (is_ready(list[k], now_ns))
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
