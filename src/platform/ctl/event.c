// Events of an app: a ring that forgets the oldest.
#include <stdio.h>

#include "ctl_int.h"

static char **line_of(const struct ctl_events *e, uint64_t id)
{
	return &e->lines[id & (e->room - 1)];
}

static bool grow(struct ctl_events *e)
{
	struct ctl_events wider = *e;
	wider.room = e->room ? e->room * 2 : 16;
	if (wider.room > CTL_EVENTS || !(wider.lines = mem_zalloc(wider.room * sizeof *wider.lines)))
		return false;
	for (uint64_t id = e->next - e->n; id < e->next; id++)
		*line_of(&wider, id) = *line_of(e, id);
	mem_free(e->lines);
	*e = wider;
	return true;
}

static void forget_oldest(struct ctl_events *e)
{
	char **at = line_of(e, e->next - e->n);
	e->bytes -= *at ? strlen(*at) : 0;
	mem_free(*at);
	*at = NULL;
	e->n--;
}

void ctl__events_put(struct ctl_events *e, char *line)
{
	uint64_t id = e->next;
	if (e->n == e->room && !grow(e) && e->n)
		forget_oldest(e);
	if (e->room) {
		*line_of(e, id) = line;
		e->bytes += line ? strlen(line) : 0;
		e->n++;
	} else {
		mem_free(line);
	}
	e->next++;
	while (e->n > 1 && e->bytes > CTL_EVENT_BYTES)
		forget_oldest(e);
}

void ctl__event_add(struct ctl_app *app, struct slice members)
{
	struct ctl_events *e = &app->events;
	struct buf b = {0};
	uint64_t now = sys_wall_ns() / MILLISECOND, id = e->next;
	buf_printf(&b, "{\"id\":%llu,\"time\":%llu.%03u,\"app\":\"%s\",", (unsigned long long)id, (unsigned long long)(now / 1000), (unsigned)(now % 1000), app->name);
	buf_put_slice(&b, members);
	buf_put(&b, "}", 2);  // with its zero
	char *line = b.failed ? NULL : mem_alloc(b.len);  // a buffer has room that thousands of lines would keep
	if (line)
		memcpy(line, b.ptr, b.len);
	buf_release(&b);
	ctl__events_put(e, line);
	ctl__changed(app->ctl);
}

void ctl__events_release(struct ctl_events *e)
{
	for (uint64_t id = e->next - e->n; id < e->next; id++)
		mem_free(*line_of(e, id));
	mem_free(e->lines);
	e->lines = NULL;
	e->room = e->n = 0;
	e->bytes = 0;
}

enum { AT_ONCE = 64 << 10 };

void ctl__events_print(const struct ctl_events *e, uint64_t *after, struct buf *b)
{
	uint64_t first = e->next - e->n;
	if (*after + 1 < first && *after > 0)
		buf_printf(b, "event: lost\ndata: {\"lost\":%llu}\n\n", (unsigned long long)(first - *after - 1));
	for (uint64_t id = max_u64(*after + 1, first); id < e->next && b->len < AT_ONCE; id++) {
		const char *line = *line_of(e, id);
		if (line)
			buf_printf(b, "id: %llu\ndata: %s\n\n", (unsigned long long)id, line);
		*after = id;
	}
}
