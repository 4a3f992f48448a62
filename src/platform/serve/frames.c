// Where a trap happened, told in words.
#include "serve_int.h"

void serve__put_known(struct serve_deployment *d, const struct vm_frames *frames, struct buf *out)
{
	struct buf all = {.max = 1 << 17};
	symbols_put(d->symbols, frames, &all);
	buf_put_slice(out, slice_whole_lines(buf_view(&all), SERVE_BACKTRACE_MAX - 1));
	buf_release(&all);
}

void serve__put_frames(struct serve_deployment *d, const struct vm_frames *frames, struct buf *out)
{
	if (symbols_has_more(d->symbols, frames))
		symbols_find(d->symbols, frames);
	serve__put_known(d, frames, out);
}

enum err_code serve__code_of_trap(enum trap t)
{
	switch (t) {
	case TRAP_DEADLINE:
	case TRAP_CPU_BUDGET:
		return ERR_TIMEOUT;
	case TRAP_NOT_COMPILED:
		return ERR_ENV;  // memory, most often; not the guest's
	default:
		return ERR_TRAP;
	}
}

void serve__backtrace(struct serve_deployment *d, const struct vm_frames *frames, struct serve_outcome *ret)
{
	struct buf b = {.max = SERVE_BACKTRACE_MAX};
	serve__put_frames(d, frames, &b);
	snprintf(ret->backtrace, sizeof ret->backtrace, "%.*s", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}
