// Streams of files. What is not at hand is read, and all is written, by a chore of the pool, one at a time a stream.
//
// An output gathers what is written until it is flushed, or the loop comes round; then it is busy and permits nothing until that is done. A stream that is
// dropped leaves its chore to itself: what was written is written still.
#include "fs_int.h"

#include <errno.h>

struct file_stream {
	struct wasi_fs_descriptor *d;
	struct loop *loop;
	struct wasi_event event;   // something was read, or written
	uint64_t offset;
	bool append, busy, over;
	int error;               // not yet told
	struct wasi_fs_op *op;     // NULL: none yet; a chore's while it is busy
	size_t from;               // of an input: what is taken of op->bytes; op->n is what is there
	struct loop_job turn;      // of an output: begins to write
	struct wasi_output *out;
};

static struct file_stream *stream_new(struct wasi_fs_descriptor *d, struct loop *l, uint64_t offset)
{
	struct file_stream *f = pool_zalloc(d->fs->memory, sizeof *f);
	if (!f)
		return NULL;
	f->d = wasi__fs_ref(d);
	f->loop = l;
	f->offset = offset;
	return f;
}

static struct wasi_error take_error(struct file_stream *f)
{
	f->over = true;
	return wasi__file_error(f->error);
}

static enum wasi_io status(const struct file_stream *f)
{
	return f->over ? WASI_IO_CLOSED : f->error ? WASI_IO_FAILED
											   : WASI_IO_OK;
}

// ---- input -----------------------------------------------------------------------------------------------------------------------------

static void took(struct file_stream *f, int64_t n)
{
	f->from = 0;
	f->op->n = n > 0 ? (size_t)n : 0;
	f->offset += f->op->n;
	f->over = n == 0;
	f->error = n < 0 ? (int)-n : 0;
}

static void on_read(void *op, void *ctx)
{
	struct file_stream *f = ctx;
	f->busy = false;
	wasi__fs_op_done(op);
	took(f, f->op->result);
	wasi__event_fire(&f->event);
}

static bool have_op(struct file_stream *f, size_t cap)
{
	if (f->op && f->op->cap >= cap)
		return true;
	seam_chore_free(f->op);
	int why;
	f->op = wasi__fs_op_new(f->d->fs, wasi__fs_run_read, cap, slice_of("", 0), slice_of("", 0), &why);
	f->error = f->op ? 0 : -why;
	return f->op != NULL;
}

static void read_more(struct file_stream *f, size_t max)
{
	if (!have_op(f, max))
		return;
	f->op->fd = f->d->fd;
	f->op->offset = f->offset;
	int64_t n = f->d->is_local ? sys_file.read(f->d->fd, f->op->bytes, max, f->offset, true) : -EAGAIN;
	if (n != -EAGAIN) {
		took(f, n);
		return;
	}
	f->op->n = max;
	int why = wasi__fs_op_begin(f->d->fs, f->op, f->loop, on_read, f);
	f->busy = why == 0;
	if (why)
		took(f, why);
}

static bool has_bytes(const struct file_stream *f)
{
	return f->op && f->from < f->op->n;
}

static enum wasi_io in_peek(struct wasi_input *in, size_t max, struct slice *ret)
{
	struct file_stream *f = in->of;
	if (!f->busy && !has_bytes(f) && status(f) == WASI_IO_OK)
		read_more(f, min_u64(max, WASI_FS_PIECE));
	if (f->busy)
		return WASI_IO_AGAIN;
	if (!has_bytes(f))
		return status(f);
	*ret = slice_sub(slice_of(f->op->bytes + f->from, f->op->n - f->from), 0, max);
	return WASI_IO_OK;
}

static void in_consume(struct wasi_input *in, size_t n)
{
	struct file_stream *f = in->of;
	f->from += n;
}

static void in_release(struct wasi_input *in)
{
	struct file_stream *f = in->of;
	seam_chore_let_go(f->op, false);
	wasi__fs_unref(f->d);
	pool_free(f);
}

static struct wasi_error in_take_error(struct wasi_input *in)
{
	return take_error(in->of);
}

struct wasi_input *wasi__fs_input(struct wasi_fs_descriptor *d, struct loop *l, uint64_t offset)
{
	static const struct wasi_input_ops ops = {in_peek, in_consume, in_release, in_take_error};
	struct file_stream *f = stream_new(d, l, offset);
	struct wasi_input *in = f ? pool_alloc(d->fs->memory, sizeof *in) : NULL;
	if (in)
		*in = (struct wasi_input){.ops = &ops, .refs = 1, .readable = &f->event, .of = f};
	else if (f)
		in_release(&(struct wasi_input){.of = f});
	return in;
}

// ---- output ----------------------------------------------------------------------------------------------------------------------------

static void begin_to_write(struct file_stream *f);

static void on_written(void *op, void *ctx)
{
	struct file_stream *f = ctx;
	int64_t n = f->op->result;
	wasi__fs_op_done(op);
	f->busy = false;
	if (n < 0 || (n == 0 && f->op->n)) {
		f->error = n < 0 ? (int)-n : EIO;
		f->op->n = 0;
	} else {
		f->offset += (uint64_t)n;
		f->op->n -= (size_t)n;
		memmove(f->op->bytes, f->op->bytes + n, f->op->n);
		if (f->op->n)
			begin_to_write(f);
	}
	if (!f->busy)
		wasi__event_fire(&f->event);
}

static void begin_to_write(struct file_stream *f)
{
	f->op->fd = f->d->fd;
	f->op->offset = f->offset;
	f->op->append = f->append;
	f->op->limit = f->d->fs->grants->max_file_size;
	f->out->promised = 0;
	int why = wasi__fs_op_begin(f->d->fs, f->op, f->loop, on_written, f);
	f->busy = why == 0;
	if (why) {
		f->error = -why;
		f->op->n = 0;
	}
}

static void on_turn(struct loop_job *turn)
{
	struct file_stream *f = CONTAINER_OF(turn, struct file_stream, turn);
	begin_to_write(f);
	if (!f->busy)
		wasi__event_fire(&f->event);
}

static enum wasi_io out_flush(struct wasi_output *out)
{
	struct file_stream *f = out->of;
	if (loop_job_is_queued(&f->turn)) {
		loop_job_cancel(&f->turn);
		begin_to_write(f);
	}
	return f->busy ? WASI_IO_AGAIN : status(f);
}

static enum wasi_io out_permit(struct wasi_output *out, size_t *ret)
{
	enum wasi_io io = out_flush(out);
	*ret = io == WASI_IO_OK ? WASI_FS_PIECE : 0;
	return io == WASI_IO_AGAIN ? WASI_IO_OK : io;
}

// Room for so many bytes more; what is there is kept.
static bool have_room(struct file_stream *f, size_t more)
{
	size_t n = f->op ? f->op->n : 0;
	if (f->op && more <= f->op->cap - n)
		return true;
	int why;
	size_t cap = n ? WASI_FS_PIECE : more;  // one write after the other: as much as was permitted
	struct wasi_fs_op *op = wasi__fs_op_new(f->d->fs, wasi__fs_run_write, cap, slice_of("", 0), slice_of("", 0), &why);
	if (!op) {
		f->error = -why;
		return false;
	}
	if (n)
		memcpy(op->bytes, f->op->bytes, n);
	op->n = n;
	seam_chore_free(f->op);
	f->op = op;
	return true;
}

static enum wasi_io out_write(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	struct file_stream *f = out->of;
	BUG_ON(f->busy && data.len);  // nothing was permitted
	if (data.len == 0 || status(f) != WASI_IO_OK || !have_room(f, data.len))
		return status(f);
	memcpy(f->op->bytes + f->op->n, data.ptr, data.len);
	f->op->n += data.len;
	if (task)
		seam_chore_pays(f->op, task);
	f->turn.fn = on_turn;
	loop_post(f->loop, &f->turn);
	return WASI_IO_OK;
}

static void out_release(struct wasi_output *out)
{
	struct file_stream *f = out->of;
	f->out = out;
	out_flush(out);
	seam_chore_let_go(f->op, true);
	wasi__fs_unref(f->d);
	pool_free(f);
}

static struct wasi_error out_take_error(struct wasi_output *out)
{
	return take_error(out->of);
}

struct wasi_output *wasi__fs_output(struct wasi_fs_descriptor *d, struct loop *l, uint64_t offset, bool append)
{
	static const struct wasi_output_ops ops = {out_permit, out_write, out_flush, out_release, out_take_error, 0};
	struct file_stream *f = stream_new(d, l, offset);
	struct wasi_output *out = f ? pool_alloc(d->fs->memory, sizeof *out) : NULL;
	if (out) {
		*out = (struct wasi_output){.ops = &ops, .refs = 1, .writable = &f->event, .of = f};
		f->append = append;
		f->out = out;
	} else if (f) {
		out_release(&(struct wasi_output){.of = f});
	}
	return out;
}
