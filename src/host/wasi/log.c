// What guests print: whole lines, bounded (W16, L79), as bytes: who shows them escapes them.
#include "wasi_int.h"

struct wasi_state *wasi__state(struct seam_instance *i)
{
	return i->wasi;
}

static void state_reset(struct seam_instance *i)
{
	struct wasi_state *s = i->wasi;
	if (!s)
		return;
	for (int k = 0; k < 2; k++) {
		seam_mem_free(s->lines[k]);
		s->lines[k] = NULL;
	}
	s->logged = 0;
	s->log_cut = false;
}

static void state_drop(struct seam_instance *i)
{
	state_reset(i);
	mem_free(i->wasi);
	i->wasi = NULL;
}

void wasi_instance_init(struct seam_instance *i, const struct wasi_log *log)
{
	struct wasi_state *s = mem_zalloc(sizeof *s);
	if (s)
		s->log = log;  // without state nothing is logged: memory is out anyway
	i->wasi = s;
	i->wasi_reset = state_reset;
	i->wasi_release = state_drop;
}

static void emit(struct wasi_state *s, struct seam_task *task, int fd, struct wasi_line *line)
{
	if (s->log && s->log->line)
		s->log->line(s->log->ctx, task, fd, slice_of(line->text, line->len));
	line->len = 0;
}

static void put(struct wasi_state *s, struct seam_task *task, int fd, struct wasi_line *line, uint8_t c)
{
	if (line->len == sizeof line->text)
		emit(s, task, fd, line);
	line->text[line->len++] = c;
}

void wasi__log_write(struct canon_instance *i, struct seam_task *task, int fd, struct slice data)
{
	struct wasi_state *s = wasi__state(canon_instance_user(i));
	if (!s || !s->log || s->log_cut)
		return;
	if (!s->lines[fd - 1] && !(s->lines[fd - 1] = seam_mem_zalloc(i, sizeof *s->lines[0])))
		return;
	struct wasi_line *line = s->lines[fd - 1];
	for (size_t k = 0; k < data.len; k++) {
		if (s->log->max_bytes && s->logged >= s->log->max_bytes) {
			static const char cut[] = "… (cut: the limit of log output a call is reached)";
			line->len = line->len > sizeof line->text - sizeof cut ? (uint32_t)(sizeof line->text - sizeof cut) : line->len;
			memcpy(line->text + line->len, cut, sizeof cut - 1);
			line->len += sizeof cut - 1;
			emit(s, task, fd, line);
			s->log_cut = true;
			return;
		}
		s->logged++;
		if (data.ptr[k] == '\n')
			emit(s, task, fd, line);
		else if (data.ptr[k] != '\r')
			put(s, task, fd, line, data.ptr[k]);
	}
}

void wasi_flush_logs(struct seam_instance *i, struct seam_task *task)
{
	struct wasi_state *s = wasi__state(i);
	if (!s)
		return;
	for (int k = 0; k < 2; k++)
		if (s->lines[k] && s->lines[k]->len)
			emit(s, task, k + 1, s->lines[k]);
	s->logged = 0;
	s->log_cut = false;
}
