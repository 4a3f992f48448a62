// What guests print: whole lines, bounded (W16, L79), as bytes: who shows them escapes them.
#include "wasi_int.h"

static void *state_new(struct seam_provider *p, struct canon_instance *i)
{
	struct wasi_state *s = SEAM_MEM_NEW(i, struct wasi_state);
	if (s)
		*s = (struct wasi_state){.wasi = CONTAINER_OF(p, struct wasi, seam), .instance = i};
	return s;
}

static void state_reset(struct seam_provider *p, struct canon_instance *i, void *state)
{
	struct wasi_state *s = state;
	for (int k = 0; k < 2; k++) {
		seam_mem_free(s->lines[k]);
		s->lines[k] = NULL;
	}
}

static void state_free(struct seam_provider *p, struct canon_instance *i, void *state)
{
	state_reset(p, i, state);
	seam_mem_free(state);
}

static void emit(struct wasi_state *s, struct seam_task *task, int fd, struct wasi_line *line)
{
	const struct wasi_log *log = s->wasi->log;
	log->line(log->ctx, task, fd, slice_of(line->text, line->len));
	line->len = 0;
}

static void put(struct wasi_state *s, struct seam_task *task, int fd, struct wasi_line *line, uint8_t c)
{
	if (line->len == sizeof line->text)
		emit(s, task, fd, line);
	line->text[line->len++] = c;
}

void wasi__log_write(struct wasi_state *s, struct seam_task *task, int fd, struct slice data)
{
	const struct wasi_log *log = s->wasi->log;
	if (!log || !log->line || task->log_cut)
		return;
	if (!s->lines[fd - 1] && !(s->lines[fd - 1] = seam_mem_zalloc(s->instance, sizeof *s->lines[0])))
		return;
	struct wasi_line *line = s->lines[fd - 1];
	for (size_t k = 0; k < data.len; k++) {
		if (log->max_bytes && task->logged >= log->max_bytes) {
			static const char cut[] = "… (cut: the limit of log output a call is reached)";
			line->len = line->len > sizeof line->text - sizeof cut ? (uint32_t)(sizeof line->text - sizeof cut) : line->len;
			memcpy(line->text + line->len, cut, sizeof cut - 1);
			line->len += sizeof cut - 1;
			emit(s, task, fd, line);
			task->log_cut = true;
			return;
		}
		task->logged++;
		if (data.ptr[k] == '\n')
			emit(s, task, fd, line);
		else if (data.ptr[k] != '\r')
			put(s, task, fd, line, data.ptr[k]);
	}
}

// Ends the lines that the task left unfinished.
static void task_end(struct seam_provider *p, struct canon_instance *i, struct seam_task *task, void *state)
{
	struct wasi_state *s = state;
	for (int k = 0; k < 2; k++)
		if (s->lines[k] && s->lines[k]->len)
			emit(s, task, k + 1, s->lines[k]);
}

const struct seam_provider_ops wasi__provider_ops = {
	.name = "wasi",
	.instance_new = state_new,
	.instance_reset = state_reset,
	.instance_free = state_free,
	.task_end = task_end,
};
