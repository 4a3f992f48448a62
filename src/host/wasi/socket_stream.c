// Connections as streams.
#include "socket_int.h"

#include <errno.h>

enum { READ_MAX = 64 << 10, PERMIT = 64 << 10 };

// ---- sending ---------------------------------------------------------------------------------------------------------------------------

static enum wasi_io out_status(const struct wasi_socket *s)
{
	return s->out_over ? WASI_IO_CLOSED : s->out_error ? WASI_IO_FAILED
													   : WASI_IO_OK;
}

static enum wasi_io out_flush(struct wasi_output *out)
{
	struct wasi_socket *s = out->of;
	return wasi__socket_push(s) ? out_status(s) : WASI_IO_AGAIN;
}

static enum wasi_io out_permit(struct wasi_output *out, size_t *ret)
{
	struct wasi_socket *s = out->of;
	*ret = 0;
	if (!wasi__socket_push(s))
		return WASI_IO_OK;
	*ret = out_status(s) == WASI_IO_OK && wasi__socket_is_ready(s, true) ? PERMIT : 0;
	return out_status(s);
}

static enum wasi_io out_write(struct wasi_output *out, struct seam_task *task, struct slice data)
{
	struct wasi_socket *s = out->of;
	if (s->ends || out_status(s) != WASI_IO_OK)
		return s->ends ? WASI_IO_CLOSED : out_status(s);
	struct slice rest = s->out.bytes ? data : wasi__socket_put(s, data);
	if (rest.len && !wasi__pending_put(&s->out, rest))
		wasi__socket_lost(s, -ENOMEM);
	else if (rest.len)
		wasi__socket_is_ready(s, true);  // it goes on from the loop
	return out_status(s);
}

static void out_release(struct wasi_output *out)
{
	wasi__socket_unref(out->of);
}

static struct wasi_error out_take_error(struct wasi_output *out)
{
	struct wasi_socket *s = out->of;
	s->out_over = true;
	return wasi__socket_error(s->out_error);
}

static struct wasi_output *output_new(struct wasi_socket *s, const struct wasi_output_ops *ops)
{
	struct wasi_output *out = pool_alloc(s->of->memory, sizeof *out);
	if (out)
		*out = (struct wasi_output){.ops = ops, .refs = 1, .writable = &s->event, .of = wasi__socket_ref(s)};
	return out;
}

struct wasi_output *wasi__socket_output(struct wasi_socket *s)
{
	static const struct wasi_output_ops ops = {out_permit, out_write, out_flush, out_release, out_take_error, 0};
	return output_new(s, &ops);
}

static void out_release_all(struct wasi_output *out)
{
	wasi__socket_shutdown(out->of, false, true);
	wasi__socket_unref(out->of);
}

struct wasi_output *wasi__socket_whole_output(struct wasi_socket *s)
{
	static const struct wasi_output_ops ops = {out_permit, out_write, out_flush, out_release_all, out_take_error, 0};
	return output_new(s, &ops);
}

// ---- receiving -------------------------------------------------------------------------------------------------------------------------

static void in_clear(struct wasi_socket *s)
{
	pool_free(s->in);
	s->in = NULL;
	s->in_from = s->in_to = 0;
}

static void receive(struct wasi_socket *s, size_t max)
{
	s->in = pool_alloc(s->of->memory, max);
	int64_t n = s->in ? sys_net.recv(s->fd, s->in, max) : -ENOMEM;
	if (n == -EAGAIN && wasi__socket_is_ready(s, false))  // something came meanwhile
		n = sys_net.recv(s->fd, s->in, max);
	if (n <= 0)
		in_clear(s);
	else
		s->in_to = (size_t)n;
	s->in_over = n == 0;
	s->in_error = n < 0 && n != -EAGAIN ? (int)-n : 0;
}

static enum wasi_io in_peek(struct wasi_input *in, size_t max, struct slice *ret)
{
	struct wasi_socket *s = in->of;
	if (!s->in && !s->in_over && !s->in_error)
		receive(s, min_u64(max, READ_MAX));
	*ret = s->in ? slice_of(s->in + s->in_from, min_u64(s->in_to - s->in_from, max)) : slice_of(NULL, 0);
	if (ret->len)
		return WASI_IO_OK;
	return s->in_over ? WASI_IO_CLOSED : s->in_error ? WASI_IO_FAILED
													 : WASI_IO_AGAIN;
}

static bool in_is_ready(struct wasi_input *in)
{
	struct wasi_socket *s = in->of;
	return s->in || s->in_over || s->in_error || wasi__socket_is_ready(s, false);
}

static void in_consume(struct wasi_input *in, size_t n)
{
	struct wasi_socket *s = in->of;
	s->in_from += n;
	if (s->in_from == s->in_to)
		in_clear(s);
}

static void in_release(struct wasi_input *in)
{
	wasi__socket_unref(in->of);
}

static struct wasi_error in_take_error(struct wasi_input *in)
{
	struct wasi_socket *s = in->of;
	s->in_over = true;
	return wasi__socket_error(s->in_error);
}

static bool in_is_over(struct wasi_input *in)
{
	return ((struct wasi_socket *)in->of)->in_over;
}

static struct wasi_input *input_new(struct wasi_socket *s, const struct wasi_input_ops *ops)
{
	struct wasi_input *in = pool_alloc(s->of->memory, sizeof *in);
	if (in)
		*in = (struct wasi_input){.ops = ops, .refs = 1, .readable = &s->event, .of = wasi__socket_ref(s)};
	return in;
}

struct wasi_input *wasi__socket_input(struct wasi_socket *s)
{
	static const struct wasi_input_ops ops = {in_peek, in_consume, in_release, in_take_error, in_is_ready, in_is_over};
	return input_new(s, &ops);
}

static void in_release_all(struct wasi_input *in)
{
	wasi__socket_shutdown(in->of, true, false);
	wasi__socket_unref(in->of);
}

struct wasi_input *wasi__socket_whole_input(struct wasi_socket *s)
{
	static const struct wasi_input_ops ops = {in_peek, in_consume, in_release_all, in_take_error, in_is_ready, in_is_over};
	return input_new(s, &ops);
}

void wasi__socket_shutdown(struct wasi_socket *s, bool receive_, bool send)
{
	if (receive_ && !s->in_over) {
		in_clear(s);
		s->in_over = true;
		sys_shutdown_read(s->fd);
	}
	if (send) {
		s->ends = true;
		wasi__socket_push(s);
	}
	wasi__event_fire(&s->event);
}
