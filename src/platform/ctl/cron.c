// When the cron triggers of an app ran last, so that what was missed while nobody ran is made up for at the next start: STATE/TENANT/APP/cron, of the journal's form,
// a record a trigger, written anew as a whole each time: {"cron": ID, "schedule", "timezone", "at": SECONDS}.
//
// Who runs a trigger waits for no disk: a thread writes what has changed, and ends when nothing has. What it did not come to before a kill is made up for once more.
#include "cron.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "journal.h"
#include "state.h"

static const char file_name[] = "cron";

struct row {
	const char *id, *schedule, *timezone;  // in one piece of memory, id first
	int64_t at;
};
struct ctl__crons {
	struct sys_mutex lock;  // of all but `file`, which the thread writes, and nobody else while that runs
	const struct ctl_journal *beside;
	struct ctl_journal *file;             // NULL: it isn't open yet
	const struct serve_process *process;  // that is told of what fails; NULL: nobody
	struct row *rows;       // by id
	uint32_t n;
	bool changed, writes, started;  // started: the thread is to be joined
	bool failed;                    // the last write did, and nobody was there to be told
	struct sys_thread thread;
};

// ---- rows ----------------------------------------------------------------------------------------------------------------------------------------

static void rows_free(struct row *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		mem_free(UNCONST(rows[i].id));
	mem_free(rows);
}

static bool row_init(struct row *r, struct slice id, struct slice schedule, struct slice zone, int64_t at)
{
	char *text = mem_zalloc(id.len + schedule.len + zone.len + 3);
	if (!text)
		return false;
	memcpy(text, id.ptr, id.len);
	r->id = text;
	r->schedule = memcpy(text + id.len + 1, schedule.ptr, schedule.len);
	r->timezone = memcpy(text + id.len + schedule.len + 2, zone.ptr, zone.len);
	r->at = at;
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->id, ((const struct row *)b)->id);
}

static struct row *find(const struct ctl__crons *c, const char *id)
{
	const struct row key = {.id = id};
	return c && c->n ? bsearch(&key, c->rows, c->n, sizeof key, compare) : NULL;
}

// ---- written -------------------------------------------------------------------------------------------------------------------------------------

static void put_row(struct buf *b, const struct row *r)
{
	buf_put_str(b, "{\"cron\":");
	buf_put_json_string(b, slice_str(r->id));
	buf_put_str(b, ",\"schedule\":");
	buf_put_json_string(b, slice_str(r->schedule));
	buf_put_str(b, ",\"timezone\":");
	buf_put_json_string(b, slice_str(r->timezone));
	buf_printf(b, ",\"at\":%lld}\n", (long long)r->at);
}

static bool ignore(void *user, struct slice text, struct err *e)
{
	return true;
}

static bool write_rows(struct ctl__crons *c, const struct buf *rows, struct err *e)
{
	const struct ctl_journal_records none = {ignore, NULL};
	if (rows->failed)
		return err_nomem(e);
	return (c->file || ctl_journal_open_beside(c->beside, file_name, &none, &c->file, e)) && ctl_journal_rewrite(c->file, buf_view(rows), e);
}

// Within the lock.
static void tell(struct ctl__crons *c, const char *why)
{
	if (c->process)
		serve_warn(c->process, "when cron triggers ran is not written: %s", why);
	c->failed = !c->process;
}

static void *write_all(void *arg)
{
	struct ctl__crons *c = arg;
	sys_mutex_lock(&c->lock);
	while (c->changed) {
		struct buf b = {0};
		struct err e = {0};
		for (uint32_t i = 0; i < c->n; i++)
			put_row(&b, &c->rows[i]);
		c->changed = c->failed = false;
		sys_mutex_unlock(&c->lock);
		bool ok = write_rows(c, &b, &e);
		buf_release(&b);
		sys_mutex_lock(&c->lock);
		if (!ok)
			tell(c, e.text);
	}
	c->writes = false;
	sys_mutex_unlock(&c->lock);
	return NULL;
}

// Within the lock.
static void write_soon(struct ctl__crons *c)
{
	c->changed = true;
	if (c->writes)
		return;
	if (c->started)
		sys_thread_join(&c->thread);  // it is at its end
	c->writes = c->started = sys_thread_new(&c->thread, write_all, c) == 0;
	if (!c->writes)
		tell(c, "no thread is to be had for it");
}

// ---- read ----------------------------------------------------------------------------------------------------------------------------------------

static bool on_record(void *user, struct slice text, struct err *e)
{
	struct ctl__crons *c = user;
	struct arena a;
	struct json *o;
	arena_init(&a, 1 << 20);
	bool ok = json_parse(&a, text, &o, e);
	if (ok && (o->kind != JSON_OBJECT || !json_member(o, "cron")))
		ok = err_set(e, ERR_ENV, "the file '%s' has a record that this program does not know", file_name);
	struct row *rows = ok ? mem_realloc(c->rows, (c->n + 1) * sizeof *rows) : NULL;
	if (rows) {
		c->rows = rows;
		ok = row_init(&rows[c->n], json_text(o, "cron"), json_text(o, "schedule"), json_text(o, "timezone"), (int64_t)json_number(o, "at", 0));
		c->n += ok;
	}
	arena_release(&a);
	return rows ? ok || err_nomem(e) : ok ? err_nomem(e)
										  : false;
}

// `is_there`: the file is, and is read.
static bool open_crons(struct ctl_state *s, bool is_there, struct err *e)
{
	struct ctl__crons *c = mem_zalloc(sizeof *c);
	const struct ctl_journal_records records = {on_record, c};
	if (!c)
		return err_nomem(e);
	c->beside = s->journal;
	sys_mutex_init(&c->lock);
	if (is_there && !ctl_journal_open_beside(s->journal, file_name, &records, &c->file, e)) {
		ctl__crons_close(c);
		return false;
	}
	if (c->n)
		qsort(c->rows, c->n, sizeof *c->rows, compare);
	s->crons = c;
	return true;
}

// ---- what an app has -----------------------------------------------------------------------------------------------------------------------------

// Of one that is known with the same schedule what is known, of another one that it begins now.
static bool make_rows(const struct ctl__crons *c, const struct app *app, struct row **ret, uint32_t *ret_n)
{
	uint32_t n = app ? app->triggers.cron.n : 0;
	int64_t now = (int64_t)(sys_wall_ns() / SECOND);
	struct row *rows = mem_zalloc(max_u64(n, 1) * sizeof *rows);
	for (uint32_t i = 0; rows && i < n; i++) {
		const struct app_cron *t = &app->triggers.cron.list[i];
		const struct row *before = find(c, t->item.name);
		bool same = before && strcmp(before->schedule, t->schedule.text) == 0 && strcmp(before->timezone, t->timezone.text) == 0;
		if (!row_init(&rows[i], slice_str(t->item.name), slice_str(t->schedule.text), slice_str(t->timezone.text), same ? before->at : now)) {
			rows_free(rows, i);
			return false;
		}
	}
	if (rows)
		qsort(rows, n, sizeof *rows, compare);
	*ret = rows;
	*ret_n = n;
	return rows != NULL;
}

static bool are_the_same(const struct ctl__crons *c, const struct row *rows, uint32_t n)
{
	bool same = c->n == n;
	for (uint32_t i = 0; same && i < n; i++)
		same = strcmp(c->rows[i].id, rows[i].id) == 0 && c->rows[i].at == rows[i].at && strcmp(c->rows[i].schedule, rows[i].schedule) == 0 &&
			strcmp(c->rows[i].timezone, rows[i].timezone) == 0;
	return same;
}

bool ctl__crons_read(struct ctl_state *s, bool is_stopped, struct err *e)
{
	if (!ctl_journal_is_beside(s->journal, file_name))
		return true;
	return open_crons(s, true, e) && (!is_stopped || ctl_state_crons(s, NULL, NULL, e));
}

bool ctl_state_crons(struct ctl_state *s, const struct app *app, const struct serve_process *process, struct err *e)
{
	struct row *rows;
	uint32_t n;
	if (!s || (!s->crons && !(app && app->triggers.cron.n)))
		return true;
	if (!s->crons && !open_crons(s, false, e))
		return false;
	struct ctl__crons *c = s->crons;
	sys_mutex_lock(&c->lock);
	c->process = process;
	bool ok = make_rows(c, app, &rows, &n) || err_nomem(e);
	if (ok && are_the_same(c, rows, n)) {
		rows_free(rows, n);
	} else if (ok) {
		rows_free(c->rows, c->n);
		c->rows = rows;
		c->n = n;
		write_soon(c);
	}
	sys_mutex_unlock(&c->lock);
	return ok;
}

int64_t ctl_state_cron(struct ctl_state *s, const struct app_cron *t)
{
	struct ctl__crons *c = s->crons;
	if (!c)
		return 0;
	sys_mutex_lock(&c->lock);
	const struct row *r = find(c, t->item.name);
	bool same = r && strcmp(r->schedule, t->schedule.text) == 0 && strcmp(r->timezone, t->timezone.text) == 0;
	int64_t at = same ? r->at : 0;
	sys_mutex_unlock(&c->lock);
	return at;
}

void ctl_state_cron_ran(void *state, const char *id, int64_t at)
{
	const struct ctl_state *s = state;
	struct ctl__crons *c = s->crons;
	if (!c)
		return;
	sys_mutex_lock(&c->lock);
	struct row *r = find(c, id);
	if (r) {
		r->at = at;
		write_soon(c);
	}
	sys_mutex_unlock(&c->lock);
}

void ctl__crons_tell(const struct ctl_state *s, const struct serve_process *p)
{
	if (!s || !s->crons)
		return;
	sys_mutex_lock(&s->crons->lock);
	s->crons->process = p;
	if (p && s->crons->failed)
		write_soon(s->crons);  // who is to be told is there now
	sys_mutex_unlock(&s->crons->lock);
}

void ctl__crons_close(struct ctl__crons *c)
{
	if (!c)
		return;
	if (c->started)
		sys_thread_join(&c->thread);
	ctl_journal_close(c->file);
	sys_mutex_release(&c->lock);
	rows_free(c->rows, c->n);
	mem_free(c);
}
