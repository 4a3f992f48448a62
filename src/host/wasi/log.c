// What guests print: whole lines, bounded (W16, L79), as bytes: who shows them escapes them. A line is its task's: of several in one instance each has
// its own until it ends.
#include "wasi_int.h"

void wasi__log_clear(struct wasi_state *s)
{
	for (struct wasi_line *line = s->lines, *next; line; line = next) {
		next = line->next;
		seam_mem_free(line);
	}
	s->lines = NULL;
}

static void emit(struct wasi_state *s, struct seam_task *task, struct wasi_line *line)
{
	const struct wasi_log *log = s->wasi->log;
	log->line(log->ctx, task, line->fd, slice_of(line->text, line->len));
	line->len = 0;
}

static void put(struct wasi_state *s, struct seam_task *task, struct wasi_line *line, uint8_t c)
{
	if (line->len == sizeof line->text)
		emit(s, task, line);
	line->text[line->len++] = c;
}

// The one that was asked for last is the first. NULL: no memory.
static struct wasi_line *line_of(struct wasi_state *s, const struct seam_task *task, int fd)
{
	struct wasi_line **at = &s->lines, *line;
	while ((line = *at) && (line->task != task || line->fd != fd))
		at = &line->next;
	if (line) {
		*at = line->next;
	} else {
		line = seam_mem_alloc(s->instance, sizeof *line);
		if (!line)
			return NULL;
		line->task = task;
		line->fd = fd;
		line->len = 0;
	}
	line->next = s->lines;
	s->lines = line;
	return line;
}

#define CUT "\xe2\x80\xa6 (cut: the limit of log output a call is reached)"

void wasi__log_write(struct wasi_state *s, struct seam_task *task, int fd, struct slice data)
{
	const struct wasi_log *log = s->wasi->log;
	struct seam_task *payer = seam_task_root(task);
	if (!log || !log->line || payer->log_cut)
		return;
	struct wasi_line *line = line_of(s, task, fd);
	if (!line)
		return;
	for (size_t k = 0; k < data.len; k++) {
		if (log->max_bytes && payer->logged >= log->max_bytes) {
			line->len = line->len > sizeof line->text - sizeof CUT ? (uint32_t)(sizeof line->text - sizeof CUT) : line->len;
			memcpy(line->text + line->len, CUT, sizeof CUT - 1);
			line->len += sizeof CUT - 1;
			emit(s, task, line);
			payer->log_cut = true;
			return;
		}
		payer->logged++;
		if (data.ptr[k] == '\n')
			emit(s, task, line);
		else if (data.ptr[k] != '\r')
			put(s, task, line, data.ptr[k]);
	}
}

// A text as far as it is shown.
static uint64_t shown(struct slice s)
{
	return min_u64(s.len, sizeof((struct wasi_line *)NULL)->text);
}

void wasi__log_message(const struct wasi_log *log, struct seam_task *task, uint8_t level, struct slice context, struct slice text)
{
	struct seam_task *payer = seam_task_root(task);
	if (!log || !log->message || payer->log_cut || level < log->least)
		return;
	payer->logged += shown(context) + shown(text) + 1;
	payer->log_cut = log->max_bytes && payer->logged > log->max_bytes;
	log->message(log->ctx, task, level, context, payer->log_cut ? SLICE_LIT(CUT) : text);
}

void wasi__log_end(struct wasi_state *s, struct seam_task *task)
{
	for (struct wasi_line **at = &s->lines, *line; (line = *at);) {
		if (line->task != task) {
			at = &line->next;
			continue;
		}
		*at = line->next;
		if (line->len)
			emit(s, task, line);
		seam_mem_free(line);
	}
}
