// A stream of bytes and the future beside it, as wasi:cli, filesystem and sockets of 0.3 have them.
#include "end_int.h"

struct flow {
	struct wasi_promise *result;
	wasi_flow_fn *fn;
};

static void tell(struct flow *f, const struct wasi_error *why)
{
	_Alignas(8) uint8_t value[WASI_PROMISE_MAX] = {0};
	size_t n = f->result ? f->fn(value, why) : 0;
	wasi__promise_resolve(&f->result, value, n);
	seam_mem_free(f);
}

static void forget(struct flow *f)
{
	if (f->result)
		f->result->of = NULL;
	seam_mem_free(f);
}

// A reader that left has had what it wanted.
static void input_over(void *of, enum wasi_over how, const struct wasi_error *why)
{
	if (how == WASI_OVER_GONE)
		forget(of);
	else
		tell(of, how == WASI_OVER_FAILED ? why : NULL);
}

static void output_over(void *of, enum wasi_over how, const struct wasi_error *why)
{
	static const struct wasi_error closed = {.text = "closed", .closed = true};
	if (how == WASI_OVER_GONE)
		forget(of);
	else
		tell(of, how == WASI_OVER_END ? NULL : how == WASI_OVER_FAILED ? why
																	   : &closed);
}

static struct flow *flow_new(struct seam_call *c, const struct wit_type *future, wasi_flow_fn *fn, uint32_t *ret_future)
{
	struct flow *f = SEAM_MEM_NEW(c->canon, struct flow);
	if (!f)
		return NULL;
	f->fn = fn;
	if (wasi__promise_new(c->canon, future, &f->result, ret_future))
		return f;
	seam_mem_free(f);
	return NULL;
}

static enum seam_result failed(struct seam_call *c, struct flow *f, uint32_t future)
{
	if (f) {
		canon_end_drop_number(c->canon, future);
		seam_mem_free(f);
	}
	return seam_no_memory(c);
}

enum seam_result wasi__flow_in(struct seam_call *c, struct wasi_input *in, const struct wit_type *future, wasi_flow_fn *fn, uint32_t *ret_stream,
	uint32_t *ret_future)
{
	struct flow *f = in ? flow_new(c, future, fn, ret_future) : NULL;
	if (!f)
		wasi__input_unref(in);
	return f && wasi__source_new(c->canon, in, input_over, f, ret_stream) ? SEAM_OK : failed(c, f, *ret_future);
}

enum seam_result wasi__flow_out(struct seam_call *c, uint32_t stream, struct wasi_output *out, const struct wit_type *future, wasi_flow_fn *fn,
	uint32_t *ret_future)
{
	struct wasi_sink *s;
	struct flow *f = out ? flow_new(c, future, fn, ret_future) : NULL;
	if (!f)
		wasi__output_unref(out);
	if (!f || !wasi__sink_new(c->canon, stream, out, output_over, f, &s))
		return failed(c, f, *ret_future);
	wasi__sink_start(s, c->task);
	return SEAM_OK;
}

// ---- what is over at once ---------------------------------------------------------------------------------------------------------------

static bool future_of(struct seam_call *c, const struct wit_type *future, wasi_flow_fn *fn, const struct wasi_error *why, uint32_t *ret)
{
	struct flow *f = flow_new(c, future, fn, ret);
	if (f)
		tell(f, why);
	return f != NULL;
}

enum seam_result wasi__flow_in_failed(struct seam_call *c, const struct wit_type *tuple, wasi_flow_fn *fn, const struct wasi_error *why, uint32_t *ret_stream,
	uint32_t *ret_future)
{
	static const struct canon_end_ops ops = {0};
	struct canon_end end;
	if (!future_of(c, tuple->fields[1].type, fn, why, ret_future))
		return seam_no_memory(c);
	if (canon_end_new(c->canon, tuple->fields[0].type, &ops, &end, ret_stream)) {
		canon_end_drop(&end);
		return SEAM_OK;
	}
	canon_end_drop_number(c->canon, *ret_future);
	return seam_no_memory(c);
}

enum seam_result wasi__flow_out_failed(struct seam_call *c, uint32_t stream, const struct wit_type *future, wasi_flow_fn *fn, const struct wasi_error *why,
	uint32_t *ret_future)
{
	canon_end_drop_number(c->canon, stream);
	return future_of(c, future, fn, why, ret_future) ? SEAM_OK : seam_no_memory(c);
}
