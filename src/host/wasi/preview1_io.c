// Preview 1: reading and writing, of streams and files.
#include "preview1.h"

enum { TRANSFER_MAX = 0x7ffff000 };  // bytes of one call, as Linux has it: a guest asks again for the rest

// ---- streams -----------------------------------------------------------------------------------------------------------------------------

// How much a list of iovecs holds, as far as one call goes.
static enum seam_result total(struct p1_call *c, struct p1_iovs v, uint64_t *ret)
{
	for (*ret = 0; *ret < TRANSFER_MAX;) {
		uint8_t *p;
		size_t n;
		enum seam_result r = wasi__p1_iovs_next(c, &v, TRANSFER_MAX - *ret, &p, &n);
		if (r != SEAM_OK || n == 0)
			return r;
		*ret += n;
		wasi__p1_iovs_skip(&v, n);
	}
	return SEAM_OK;
}

// What is there, or the end: *ret is empty. It is waited for unless the descriptor says not to.
static enum seam_result peek(struct p1_call *c, const struct p1_file *f, uint64_t max, struct slice *ret)
{
	for (;;) {
		enum wasi_io io = f->in->ops->peek(f->in, max, ret);
		if (io == WASI_IO_OK)
			return SEAM_OK;
		*ret = slice_of(NULL, 0);
		if (io == WASI_IO_FAILED)
			return wasi__p1_fail(c, wasi__p1_stream_error(f->in->ops->take_error(f->in)));
		if (io == WASI_IO_CLOSED)
			return SEAM_OK;
		if (f->flags & P1_NONBLOCK)
			return wasi__p1_fail(c, P1_AGAIN);
		enum seam_result r = wasi__event_wait(&c->seam, f->in->readable);
		if (r != SEAM_OK)
			return r;
	}
}

static enum seam_result read_input(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, bool keep, uint64_t *ret)
{
	struct slice there;
	uint64_t max;
	enum seam_result r = total(c, v, &max);
	if (r != SEAM_OK || max == 0)
		return r;
	r = peek(c, f, max, &there);
	for (*ret = 0; r == SEAM_OK && there.len;) {
		uint8_t *to;
		size_t n;
		r = wasi__p1_iovs_next(c, &v, there.len, &to, &n);
		if (r != SEAM_OK || n == 0)
			break;
		memcpy(to, there.ptr, n);
		there = slice_sub(there, n, there.len);
		wasi__p1_iovs_skip(&v, n);
		*ret += n;
	}
	if (*ret && !keep)
		f->in->ops->consume(f->in, *ret);
	return r == SEAM_OK ? seam_work(&c->seam, *ret) : r;
}

// Errors after something was written are for the next call to find.
static enum seam_result over(struct p1_call *c, struct wasi_output *out, enum wasi_io io, uint64_t written)
{
	if (written)
		return SEAM_OK;
	return wasi__p1_fail(c, io == WASI_IO_FAILED ? wasi__p1_stream_error(out->ops->take_error(out)) : P1_PIPE);
}

static bool is_over(enum wasi_io io)
{
	return io == WASI_IO_CLOSED || io == WASI_IO_FAILED;
}

// What the stream has taken is to be on its way when the call returns.
static enum seam_result flush(struct p1_call *c, const struct p1_file *f, uint64_t written)
{
	for (;;) {
		enum wasi_io io = f->out->ops->flush(f->out);
		if (is_over(io))
			return over(c, f->out, io, written);
		if (io != WASI_IO_AGAIN || f->flags & P1_NONBLOCK)
			return SEAM_OK;
		enum seam_result r = wasi__event_wait(&c->seam, f->out->writable);
		if (r != SEAM_OK)
			return r;
	}
}

// One piece, or a wait for room. *ret: bytes written; *ret_end: there is no more to write, or no more is taken.
static enum seam_result write_piece(struct p1_call *c, const struct p1_file *f, struct p1_iovs *v, uint64_t *ret, bool *ret_end)
{
	const struct wasi_output_ops *ops = f->out->ops;
	size_t room = 0, n;
	uint8_t *from;
	enum wasi_io io = ops->permit(f->out, &room);
	*ret_end = is_over(io);
	if (*ret_end)
		return over(c, f->out, io, *ret);
	if (room == 0) {
		*ret_end = f->flags & P1_NONBLOCK;
		if (*ret_end)
			return *ret ? SEAM_OK : wasi__p1_fail(c, P1_AGAIN);
		return wasi__event_wait(&c->seam, f->out->writable);
	}
	enum seam_result r = wasi__p1_iovs_next(c, v, min_u64(min_u64(room, ops->piece ? ops->piece : room), TRANSFER_MAX - *ret), &from, &n);
	*ret_end = n == 0;
	if (r != SEAM_OK || *ret_end)
		return r;
	io = ops->write(f->out, c->seam.task, slice_of(from, n));
	*ret_end = is_over(io);
	if (*ret_end)
		return over(c, f->out, io, *ret);
	wasi__p1_iovs_skip(v, n);
	*ret += n;
	return seam_work(&c->seam, ops->piece ? VM_WORK_LOOK : n);
}

static enum seam_result write_output(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, uint64_t *ret)
{
	bool end = false;
	uint64_t max;
	enum seam_result r = total(c, v, &max);
	if (max == 0)
		return r;
	while (r == SEAM_OK && !end)
		r = write_piece(c, f, &v, ret, &end);
	return r != SEAM_OK || c->error ? r : flush(c, f, *ret);
}

// ---- files -------------------------------------------------------------------------------------------------------------------------------

// Into one iovec after the other, until something gives less than was asked for. What was read before an error is given.
static enum seam_result read_file(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, uint64_t offset, uint64_t *ret)
{
	for (;;) {
		uint8_t *to;
		size_t want, n;
		int why;
		enum seam_result r = wasi__p1_iovs_next(c, &v, min_u64(WASI_FS_PIECE, TRANSFER_MAX - *ret), &to, &want);
		if (r != SEAM_OK || want == 0)
			return r;
		r = wasi__fs_read(&c->seam, f->fs, to, want, offset + *ret, &n, &why);
		if (r != SEAM_OK || (why && *ret == 0))
			return wasi__p1_settle(c, r, why);
		*ret += n;
		wasi__p1_iovs_skip(&v, n);
		if (why || n < want)
			return SEAM_OK;
		r = seam_work(&c->seam, n);
		if (r != SEAM_OK)
			return r;
	}
}

// The bytes that come next, at most `max`, in one piece: many small ones are one write.
static enum seam_result gather(struct p1_call *c, struct p1_iovs v, uint64_t max, uint8_t *into, size_t *ret)
{
	for (*ret = 0; *ret < max;) {
		uint8_t *from;
		size_t n;
		enum seam_result r = wasi__p1_iovs_next(c, &v, max - *ret, &from, &n);
		if (r != SEAM_OK || n == 0)
			return r;
		memcpy(into + *ret, from, n);
		wasi__p1_iovs_skip(&v, n);
		*ret += n;
	}
	return SEAM_OK;
}

static void skip(struct p1_call *c, struct p1_iovs *v, uint64_t n)
{
	uint8_t *p;
	for (size_t one; n && wasi__p1_iovs_next(c, v, n, &p, &one) == SEAM_OK && one; n -= one)
		wasi__p1_iovs_skip(v, one);
}

static enum seam_result write_pieces(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, uint64_t offset, uint64_t left, uint8_t *buffer,
	uint64_t *ret)
{
	while (left) {
		uint64_t want = min_u64(left, WASI_FS_PIECE);
		size_t have, n = 0;
		int why = 0;
		enum seam_result r = gather(c, v, want, buffer, &have);
		if (r == SEAM_OK && have == 0)
			return SEAM_OK;  // another thread has made them shorter meanwhile
		if (r == SEAM_OK)
			r = wasi__fs_write(&c->seam, f->fs, slice_of(buffer, have), offset + *ret, f->flags & P1_APPEND, &n, &why);
		if (r != SEAM_OK || (why && *ret == 0))
			return wasi__p1_settle(c, r, why);
		*ret += n;
		left -= n;
		if (why || n < have)
			return SEAM_OK;
		skip(c, &v, n);
		r = seam_work(&c->seam, n);
		if (r != SEAM_OK)
			return r;
	}
	return SEAM_OK;
}

static enum seam_result write_file(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, uint64_t offset, uint64_t *ret)
{
	uint64_t all;
	enum seam_result r = total(c, v, &all);
	if (r != SEAM_OK)
		return r;
	int why = wasi__fs_may_write(f->fs);
	if (why || all == 0)
		return wasi__p1_settle(c, SEAM_OK, why);
	uint8_t *buffer = pool_alloc(c->p->pool, min_u64(all, WASI_FS_PIECE));
	if (!buffer)
		return wasi__p1_fail(c, P1_NOMEM);
	r = write_pieces(c, f, v, offset, all, buffer, ret);
	pool_free(buffer);
	return r;
}

// Behind what was appended, wherever that is.
static enum seam_result move_to_end(struct p1_call *c, struct p1_file *f)
{
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__p1_settle(c, wasi__fs_stat(&c->seam, f->fs, &st, &why), why);
	if (r == SEAM_OK && !c->error)
		f->position = st.size;
	return r;
}

// ---- connections -----------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_read_stream(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, bool keep, bool all, uint64_t *ret)
{
	uint64_t max, n = 0;
	enum seam_result r = total(c, v, &max);
	if (r == SEAM_OK)
		r = read_input(c, f, v, keep, &n);
	*ret = n;
	while (r == SEAM_OK && all && !c->error && n && *ret < max) {
		skip(c, &v, n);
		n = 0;
		r = read_input(c, f, v, keep, &n);
		*ret += n;
	}
	if (*ret)
		c->error = P1_SUCCESS;  // an error behind what was read is for the next call
	return r;
}

enum seam_result wasi__p1_write_stream(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, uint64_t *ret)
{
	return write_output(c, f, v, ret);
}

// ---- the functions -----------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_fd_read(struct p1_call *c, const struct p1_fd_read_args *a)
{
	struct p1_file *f = wasi__p1_file(c, a->fd, P1_RIGHT_FD_READ);
	struct p1_iovs v = wasi__p1_iovs(a->iovs, a->iovs_len);
	uint64_t n = 0;
	if (!f)
		return SEAM_OK;
	enum seam_result r = f->in ? read_input(c, f, v, false, &n) : read_file(c, f, v, f->position, &n);
	if (r != SEAM_OK || c->error)
		return r;
	f->position += n;
	return wasi__p1_put_u32(c, a->nread, (uint32_t)n);
}

enum seam_result wasi__p1_fd_pread(struct p1_call *c, const struct p1_fd_pread_args *a)
{
	const struct p1_file *f = wasi__p1_disk(c, a->fd, P1_RIGHT_FD_READ, P1_SPIPE);
	uint64_t n = 0;
	if (!f)
		return SEAM_OK;
	enum seam_result r = read_file(c, f, wasi__p1_iovs(a->iovs, a->iovs_len), a->offset, &n);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->nread, (uint32_t)n);
}

enum seam_result wasi__p1_fd_write(struct p1_call *c, const struct p1_fd_write_args *a)
{
	struct p1_file *f = wasi__p1_file(c, a->fd, P1_RIGHT_FD_WRITE);
	struct p1_iovs v = wasi__p1_iovs(a->iovs, a->iovs_len);
	uint64_t n = 0;
	if (!f)
		return SEAM_OK;
	enum seam_result r = f->out ? write_output(c, f, v, &n) : write_file(c, f, v, f->position, &n);
	if (r != SEAM_OK || c->error)
		return r;
	f->position += n;
	if (f->kind == P1_FILE && f->flags & P1_APPEND)
		r = move_to_end(c, f);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->nwritten, (uint32_t)n);
}

// What is opened to be appended to is, as on Linux.
enum seam_result wasi__p1_fd_pwrite(struct p1_call *c, const struct p1_fd_pwrite_args *a)
{
	const struct p1_file *f = wasi__p1_disk(c, a->fd, P1_RIGHT_FD_WRITE, P1_SPIPE);
	uint64_t n = 0;
	if (!f)
		return SEAM_OK;
	enum seam_result r = write_file(c, f, wasi__p1_iovs(a->iovs, a->iovs_len), a->offset, &n);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->nwritten, (uint32_t)n);
}
