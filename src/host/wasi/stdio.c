// The process's own standard streams, for the one guest of `run`.
//
// Pipes, sockets and terminals are waited for in the loop: they are read when something is there, and written to in pieces of what has room then. They stay
// as blocking as they were given to us: others share them. What epoll doesn't take (files, /dev/null) is read by a thread of the pool and written at once.
#include <errno.h>

#include "sys/sys.h"
#include "wasi_int.h"

enum { READ_MAX = 64 << 10,
	READY_MAX = 4096,
	PIECE = 4096 /* room that a pipe has where it says that it has some */ };

struct stream {
	struct wasi_stdio *stdio;
	struct loop_io io;        // watched while a guest waits
	struct wasi_event event;
	bool polled, over;
	bool has_room;          // of an output: since it was last asked nothing was written
	int error;              // an errno, not yet told
};
struct wasi_stdio {
	struct loop *loop;
	struct wasi_process *process;
	struct stream streams[3];
	// Of the input: what was read and not yet taken; a chore that reads.
	uint8_t bytes[READ_MAX];
	size_t from, to;
	struct reading *reading;
	struct wasi_pending pending[2];  // of the outputs: what was taken and found no room, of each handle at most a piece
};

bool wasi__stdio_is_terminal(const struct wasi_stdio *s, int fd)
{
	return s && sys_is_terminal(fd);
}

static void on_ready(struct loop_io *io, uint32_t ready)
{
	struct stream *st = CONTAINER_OF(io, struct stream, io);
	loop_io_close(io, false);  // an end is told again and again
	wasi__event_fire(&st->event);
}

static int fd_of(const struct stream *st)
{
	return (int)(st - st->stdio->streams);
}

static bool watch(struct stream *st)
{
	uint32_t interest = fd_of(st) ? LOOP_WRITE : LOOP_READ;
	return st->io.fd >= 0 || loop_io_open(st->stdio->loop, &st->io, fd_of(st), interest, on_ready, NULL);
}

// Now, or `event` fires when it is. What can't be watched for want of memory is rather waited for in place.
static bool is_ready_now(struct stream *st)
{
	return !st->polled || sys_ready(fd_of(st), fd_of(st) != 0) || !watch(st);
}

static struct wasi_error take_error(struct stream *st)
{
	st->over = true;
	return wasi__file_error(st->error);
}

// ---- input -----------------------------------------------------------------------------------------------------------------------------

struct reading {
	int64_t n;
	size_t max;
	uint8_t bytes[READ_MAX];
};

static void read_run(void *data)
{
	struct reading *r = data;
	r->n = sys_file.take(0, r->bytes, r->max);
}

static const struct seam_chore_ops reading_ops = {.run = read_run};

static void took(struct wasi_stdio *s, int64_t n)
{
	s->from = 0;
	s->to = n > 0 ? (size_t)n : 0;
	s->streams[0].over = n == 0;
	s->streams[0].error = n < 0 ? (int)-n : 0;
}

static void on_read(void *data, void *ctx)
{
	struct wasi_stdio *s = ctx;
	struct reading *r = data;
	took(s, r->n);
	memcpy(s->bytes, r->bytes, s->to);
	seam_chore_free(r);
	s->reading = NULL;
	wasi__event_fire(&s->streams[0].event);
}

static enum wasi_io begin_to_read(struct wasi_stdio *s, size_t max)
{
	if (s->reading)
		return WASI_IO_AGAIN;
	s->reading = seam_chore_new(NULL, 0, sizeof *s->reading, &reading_ops);
	if (s->reading) {
		s->reading->max = max;
		if (seam_chore_begin(s->reading, s->process->threads, s->loop, on_read, s))
			return WASI_IO_AGAIN;
	}
	seam_chore_free(s->reading);
	s->reading = NULL;
	s->streams[0].error = ENOMEM;
	return WASI_IO_FAILED;
}

static enum wasi_io in_peek(struct wasi_input *in, size_t max, struct slice *ret)
{
	struct wasi_stdio *s = in->of;
	struct stream *st = &s->streams[0];
	max = min_u64(max, READ_MAX);
	if (s->from == s->to && !st->over && !st->error && !st->polled)
		return begin_to_read(s, max);
	if (s->from == s->to && !st->over && !st->error) {
		if (!is_ready_now(st))
			return WASI_IO_AGAIN;
		int64_t n = sys_file.take(0, s->bytes, max);
		if (n == -EAGAIN)  // somebody else has made it so
			return WASI_IO_AGAIN;
		took(s, n);
	}
	*ret = slice_sub(slice_of(s->bytes + s->from, s->to - s->from), 0, max);
	return ret->len ? WASI_IO_OK : st->error && !st->over ? WASI_IO_FAILED
														  : WASI_IO_CLOSED;
}

static bool in_is_ready(struct wasi_input *in)
{
	struct wasi_stdio *s = in->of;
	struct slice there;
	if (s->from != s->to || s->streams[0].over || s->streams[0].error)
		return true;
	return s->streams[0].polled ? is_ready_now(&s->streams[0]) : in_peek(in, READY_MAX, &there) != WASI_IO_AGAIN;
}

static void in_consume(struct wasi_input *in, size_t n)
{
	struct wasi_stdio *s = in->of;
	s->from += n;
}

static void in_release(struct wasi_input *in)
{
}

static struct wasi_error in_take_error(struct wasi_input *in)
{
	struct wasi_stdio *s = in->of;
	return take_error(&s->streams[0]);
}

struct wasi_input *wasi__stdin(struct wasi_stdio *s, struct pool *memory)
{
	static const struct wasi_input_ops ops = {in_peek, in_consume, in_release, in_take_error, in_is_ready};
	struct wasi_input *in = pool_alloc(memory, sizeof *in);
	if (in)
		*in = (struct wasi_input){.ops = &ops, .refs = 1, .readable = &s->streams[0].event, .of = s};
	return in;
}

// ---- outputs ---------------------------------------------------------------------------------------------------------------------------

static struct wasi_pending *pending_of(struct stream *st)
{
	return &st->stdio->pending[fd_of(st) - 1];
}

// Writes what goes; the rest is left.
static struct slice put(struct stream *st, struct slice data)
{
	while (data.len) {
		int64_t n = sys_file.put(fd_of(st), data.ptr, data.len);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			st->over = n == -EPIPE;
			st->error = (int)-n;
			return slice_of(NULL, 0);
		}
		data = slice_sub(data, (size_t)n, data.len);
	}
	return data;
}

static enum wasi_io status(const struct stream *st)
{
	return st->over ? WASI_IO_CLOSED : st->error ? WASI_IO_FAILED
												 : WASI_IO_OK;
}

static enum wasi_io out_flush(struct wasi_output *out)
{
	struct stream *st = out->of;
	struct wasi_pending *pending = pending_of(st);
	while (status(st) == WASI_IO_OK && pending->bytes && is_ready_now(st)) {
		struct slice piece = slice_sub(wasi__pending_view(pending), 0, PIECE), rest = put(st, piece);
		wasi__pending_took(pending, piece.len - rest.len);
		if (status(st) != WASI_IO_OK)
			wasi__pending_clear(pending);
	}
	return status(st) == WASI_IO_OK && pending->bytes ? WASI_IO_AGAIN : status(st);
}

static enum wasi_io out_permit(struct wasi_output *out, size_t *ret)
{
	struct stream *st = out->of;
	enum wasi_io io = out_flush(out);
	st->has_room = io == WASI_IO_OK && is_ready_now(st);
	*ret = st->has_room ? PIECE : 0;
	return io == WASI_IO_AGAIN ? WASI_IO_OK : io;
}

// Several handles of one stream may have been permitted the same room: what comes when it is used up waits its turn.
static enum wasi_io out_write(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	struct stream *st = out->of;
	struct wasi_pending *pending = pending_of(st);
	bool goes = !pending->bytes && (st->has_room || is_ready_now(st));
	struct slice rest = goes ? put(st, data) : data;
	st->has_room = false;
	if (rest.len && !wasi__pending_put(pending, rest))
		st->error = ENOMEM;
	return status(st);
}

static void out_release(struct wasi_output *out)
{
}

static struct wasi_error out_take_error(struct wasi_output *out)
{
	return take_error(out->of);
}

struct wasi_output *wasi__stdout(struct wasi_stdio *s, struct pool *memory, int fd)
{
	static const struct wasi_output_ops ops = {out_permit, out_write, out_flush, out_release, out_take_error, 0};
	struct wasi_output *out = pool_alloc(memory, sizeof *out);
	s->pending[fd - 1].pool = memory;
	if (out)
		*out = (struct wasi_output){.ops = &ops, .refs = 1, .writable = &s->streams[fd].event, .of = &s->streams[fd]};
	return out;
}

void wasi__stdio_keep(struct wasi_stdio *s)
{
	for (int which = 0; s && which < 2; which++)
		wasi__pending_keep(&s->pending[which]);
}

// ---- the whole -------------------------------------------------------------------------------------------------------------------------

bool wasi_stdio_open(struct loop *l, struct wasi_process *p, struct wasi_stdio **ret, struct err *e)
{
	struct wasi_stdio *s = pool_zalloc(NULL, sizeof *s);  // no guest's
	if (!s)
		return err_nomem(e);
	sys_no_sigpipe();
	s->loop = l;
	s->process = p;
	for (int fd = 0; fd < 3; fd++) {
		s->streams[fd] = (struct stream){.stdio = s, .io.fd = -1};
		s->streams[fd].polled = watch(&s->streams[fd]);
		loop_io_close(&s->streams[fd].io, false);
	}
	*ret = s;
	return true;
}

void wasi_stdio_flush(struct wasi_stdio *s)
{
	for (int which = 0; which < 2; which++) {
		struct slice rest = wasi__pending_view(&s->pending[which]);
		if (!sys_write_all(which + 1, rest.ptr, rest.len))
			s->streams[which + 1].over = true;
		wasi__pending_clear(&s->pending[which]);
	}
}

void wasi_stdio_close(struct wasi_stdio *s)
{
	if (!s)
		return;
	seam_chore_let_go(s->reading, false);
	for (int fd = 0; fd < 3; fd++)
		loop_io_close(&s->streams[fd].io, false);
	wasi_stdio_flush(s);
	pool_free(s);
}
