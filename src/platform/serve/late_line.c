// The line of the log of a request that trapped. Files and lines are read by another process (symbols.h), which a thread of the pool waits for; the request is
// over meanwhile.
#include "serve_int.h"

enum { TELLING_MAX = 4 };  // lines of a shard that wait; what comes then does without files and lines

// A line of the log without its end: submitted (serve__log_frames) ──► run on a thread of the pool ──► written and freed on its shard (on_done).
struct late_line {
	struct loop_work work;
	struct serve_shard *shard;
	struct serve_version *version;  // whose modules the frames are in
	struct buf line;
	void (*end)(struct buf *line, struct slice frames);
	struct vm_frames frames;
};

static void write_line(struct serve_deployment *d, const struct vm_frames *frames, struct buf *line, void (*end)(struct buf *, struct slice))
{
	struct buf b = {.max = SERVE_BACKTRACE_MAX};
	serve__put_known(d, frames, &b);
	end(line, buf_view(&b));
	buf_release(&b);
}

static void on_run(struct loop_work *w)
{
	struct late_line *l = CONTAINER_OF(w, struct late_line, work);
	symbols_find(l->version->deployment.symbols, &l->frames);
}

static void on_done(struct loop_work *w)
{
	struct late_line *l = CONTAINER_OF(w, struct late_line, work);
	write_line(&l->version->deployment, &l->frames, &l->line, l->end);
	l->shard->telling--;
	serve__version_unref(l->version, VERSION_IN_LOG);
	mem_free(l);
}

// false: nobody does; nothing happened.
static bool tell_later(const struct serve_request *c, struct buf *line, void (*end)(struct buf *line, struct slice frames))
{
	struct serve_shard *s = c->shard;
	struct late_line *l = s->telling < TELLING_MAX ? mem_alloc(sizeof *l) : NULL;
	if (!l)
		return false;
	*l = (struct late_line){.work = {.run = on_run, .done = on_done}, .shard = s, .version = c->slot->version, .line = *line, .end = end, .frames = c->trap.frames};
	serve__version_ref(l->version, VERSION_IN_LOG);
	if (loop_work_submit(s->service->process->names, s->loop, &l->work)) {
		s->telling++;
		return true;
	}
	serve__version_unref(l->version, VERSION_IN_LOG);
	mem_free(l);
	return false;
}

void serve__log_frames(const struct serve_request *c, struct buf *line, void (*end)(struct buf *line, struct slice frames))
{
	struct serve_deployment *d = &c->slot->version->deployment;
	if (!symbols_has_more(d->symbols, &c->trap.frames) || !tell_later(c, line, end))
		write_line(d, &c->trap.frames, line, end);
}
