// Lines of the log.
#include <stdio.h>

#include "ctl_int.h"
#include "serve/serve.h"

bool ctl__app_is_there(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	bool there = ctl__app_find(ctl, r->params[0]) != NULL;
	sys_mutex_unlock(&ctl->lock);
	if (!there)
		ctl__answer_not_found(r, "app", r->params[0]);
	return there;
}

// ---- lines ---------------------------------------------------------------------------------------------------------------------------------------

enum { LINES_AT_ONCE = 64, ALIVE_S = 15, LINE_MAX_BYTES = 64 << 10 };

static void put_line(void *user, uint64_t id, struct slice line)
{
	struct buf *b = user;
	buf_printf(b, "id: %llu\n", (unsigned long long)id);
	while (line.len) {
		size_t end = slice_find(line, '\n');
		buf_put_str(b, "data: ");
		buf_put_slice(b, slice_sub(line, 0, end));
		buf_put_byte(b, '\n');
		line = slice_sub(line, min_u64(end + 1, line.len), SIZE_MAX);
	}
	buf_put_byte(b, '\n');
}

// params[1].len: it ends with what is there.
static void fill_lines(struct ctl_request *r)
{
	buf_reserve(&r->out, LINE_MAX_BYTES);  // who logs meanwhile is not held up by memory
	uint64_t lost = serve_log_lines(&r->cursor, LINES_AT_ONCE, put_line, &r->out);
	if (lost)
		buf_printf(&r->out, "event: lost\ndata: {\"lost\":%llu}\n\n", (unsigned long long)lost);
	r->ends = r->params[1].len && r->out.len == 0;
	if (r->timed_out && r->out.len == 0)
		buf_put_str(&r->out, ":\n\n");
	r->timed_out = false;
	if (!r->ends)
		loop_timer_set(r->loop, &r->timer, loop_now_fresh_ns(r->loop) + ALIVE_S * SECOND);
}

void ctl__route_logs(struct ctl_request *r)
{
	if (ctl__app_is_there(r) && ctl__stream_begin(r))
		ctl__stream(r, "text/event-stream", fill_lines);
}
