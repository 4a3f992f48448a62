// What lasts of an app, over its journal. An operation's thread writes, one at a time; who only reads holds ctl's lock, and so does what changes the list.
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "cron.h"
#include "sys/sys.h"

enum { REWRITE_BYTES = 1 << 20, LONG_BYTES = 40 << 20 };

// ---- what records say ----------------------------------------------------------------------------------------------------------------------------

static bool own(struct slice from, struct slice *to, struct err *e)
{
	uint8_t *copy = mem_alloc(from.len + 1);
	if (!copy)
		return err_nomem(e);
	if (from.len)
		memcpy(copy, from.ptr, from.len);
	copy[from.len] = 0;
	mem_free(UNCONST(to->ptr));
	*to = slice_of(copy, from.len);
	return true;
}

static struct slice manifest_text(const struct ctl__manifest *m)
{
	return m ? m->text : slice_of("", 0);
}

// Where the state lies beneath a folder, that is told from there, so that both can be moved together: "../../../". As it is, where it is told so.
static bool told_folder(const struct ctl_state *s, struct slice folder, struct slice *to, struct err *e)
{
	struct slice path = slice_str(s->path ? s->path : "");
	struct buf b = {0};
	if (!folder.len || !slice_starts_with(path, folder)) {
		buf_put_slice(&b, folder);
	} else {
		buf_put_str(&b, "../");
		for (size_t i = folder.len; i < path.len; i++)
			buf_put_str(&b, path.ptr[i] == '/' ? "../" : "");
	}
	bool ok = (!b.failed || err_nomem(e)) && own(buf_view(&b), to, e);
	buf_release(&b);
	return ok;
}

static void manifest_free(struct ctl__manifest *m)
{
	mem_free(UNCONST(m->text.ptr));
	mem_free(UNCONST(m->folder.ptr));
	mem_free(m);
}

static struct ctl__manifest *manifest_new(const struct ctl_state *s, struct slice text, struct slice folder, struct err *e)
{
	struct ctl__manifest *m = mem_zalloc(sizeof *m);
	if (!m) {
		err_nomem(e);
		return NULL;
	}
	m->refs = 1;
	if (own(text, &m->text, e) && told_folder(s, folder, &m->folder, e))
		return m;
	manifest_free(m);
	return NULL;
}

static struct ctl__manifest *manifest_ref(struct ctl__manifest *m)
{
	if (m)
		m->refs++;
	return m;
}

static void manifest_unref(struct ctl__manifest *m)
{
	if (m && --m->refs == 0)
		manifest_free(m);
}

bool ctl__manifest_folder(const struct ctl_state *s, const struct ctl__manifest *m, struct arena *a, struct slice *ret, struct err *e)
{
	struct slice path = slice_str(s->path), rest = m ? m->folder : slice_of("", 0);
	struct buf b = {0};
	for (; slice_starts_with(rest, SLICE_LIT("../")); rest = slice_sub(rest, 3, rest.len))
		while (path.len > 1 && path.ptr[--path.len - 1] != '/')
			;
	if (rest.len == 0 && m && m->folder.len)
		buf_put_slice(&b, path);
	buf_put_slice(&b, rest);
	bool ok = !b.failed && slice_dup(a, buf_view(&b), ret);
	buf_release(&b);
	return ok || err_nomem(e);
}

static void set_manifest(struct ctl_state *s, struct ctl__manifest *m)
{
	manifest_ref(m);
	manifest_unref(s->manifest);
	s->manifest = m;
}

static void release_free(struct ctl__release *r)
{
	if (!r)
		return;
	mem_free(r->what);
	manifest_unref(r->manifest);
	mem_free(UNCONST(r->live.ptr));
	mem_free(UNCONST(r->members.ptr));
	mem_free(UNCONST(r->with.ptr));
	mem_free(r);
}

static struct ctl__release *release_new(const struct ctl_state *s, const struct ctl__draft *d, uint64_t number, uint64_t time_ms, struct err *e)
{
	struct ctl__release *r = mem_zalloc(sizeof *r);
	struct slice what = {0};
	if (r)
		r->manifest = d->manifest.len ? manifest_new(s, d->manifest, d->folder, e) : manifest_ref(s->manifest);
	if (r && (r->manifest || !d->manifest.len) && own(d->live, &r->live, e) && own(d->members, &r->members, e) &&
		own(d->with, &r->with, e) && own(slice_str(d->what), &what, e)) {
		r->number = number;
		r->time_ms = time_ms;
		r->operation = d->operation;
		r->epoch = d->epoch;
		r->copy = d->copy;
		r->stopped = d->stopped;
		snprintf(r->link, sizeof r->link, "%s", d->link ? d->link : "");
		r->what = UNCONST(what.ptr);
		return r;
	}
	err_nomem(e);
	release_free(r);
	return NULL;
}

const struct ctl__ended *ctl__state_ended(const struct ctl_state *s, uint64_t number)
{
	const struct ctl__ended *o = s->ended ? &s->ended[number % CTL_ENDED] : NULL;
	return o && o->number == number ? o : NULL;
}

static struct ctl__ended *ended_of(struct ctl_state *s, uint64_t number)
{
	return UNCONST(ctl__state_ended(s, number));
}

// Most apps never have an operation.
static bool ready_for_ops(struct ctl_state *s, struct err *e)
{
	if (!s->ended)
		s->ended = mem_zalloc(CTL_ENDED * sizeof *s->ended);
	return s->ended || err_nomem(e);
}

static void begin_op(struct ctl_state *s, uint64_t number, struct slice what)
{
	struct ctl__ended *o = &s->ended[number % CTL_ENDED];
	*o = (struct ctl__ended){.number = number};
	snprintf(o->what, sizeof o->what, "%.*s", SLICE_ARGS(slice_sub(what, 0, sizeof o->what - 1)));
	s->next_op = max_u64(s->next_op, number + 1);
}

// What it has that the one before it hasn't.
static uint64_t bytes_of(const struct ctl__release *r)
{
	bool shares = !r->manifest || (r->older && r->older->manifest == r->manifest);
	return r->live.len + r->members.len + r->with.len + (shares ? 0 : r->manifest->text.len);
}

// All but the newest; the one that an undo goes back to stays, however large.
static void forget_old(struct ctl_state *s)
{
	struct ctl__release **at = &s->newest;
	uint64_t bytes = 0;
	for (s->n = 0; *at && s->n < CTL_RELEASES; s->n++, at = &(*at)->older) {
		bytes += bytes_of(*at);
		if (s->n >= 2 && bytes > CTL_RELEASE_BYTES)
			break;
	}
	while (*at) {
		struct ctl__release *r = *at;
		*at = r->older;
		release_free(r);
	}
}

static void put_in_front(struct ctl_state *s, struct ctl__release *r)
{
	r->older = s->newest;
	s->newest = r;
	set_manifest(s, r->manifest);
	struct ctl__ended *o = r->operation ? ended_of(s, r->operation) : NULL;
	if (o)
		o->release = r->number;
}

void ctl__state_publish(struct ctl_state *s, struct ctl__release *r)
{
	put_in_front(s, r);
	forget_old(s);
}

static void end_op(struct ctl_state *s, uint64_t number, struct slice state)
{
	struct ctl__ended *o = ended_of(s, number);
	if (o)
		snprintf(o->state, sizeof o->state, "%.*s", SLICE_ARGS(slice_sub(state, 0, sizeof o->state - 1)));
}

uint64_t ctl__state_release(const struct ctl_state *s)
{
	return s && s->newest ? s->newest->number : 0;
}

static bool has_word(struct slice words, const char *word)
{
	for (size_t end; words.len; words = slice_sub(words, end + 1, SIZE_MAX)) {
		end = slice_find(words, ' ');
		if (slice_eq_str(slice_sub(words, 0, end), word))
			return true;
	}
	return false;
}

bool ctl__release_moved(const struct ctl__release *r, const char *link)
{
	return strcmp(r->link, link) == 0 || has_word(r->with, link);
}

void ctl__put_with(struct buf *b, struct slice with)
{
	const char *before = ",\"with\":[\"";
	for (size_t end; with.len; with = slice_sub(with, end + 1, SIZE_MAX)) {
		end = slice_find(with, ' ');
		buf_printf(b, "%s%.*s\"", before, (int)end, (const char *)with.ptr);
		before = ",\"";
		if (end + 1 >= with.len)
			buf_put_byte(b, ']');
	}
}

const struct ctl__release *ctl__state_link(const struct ctl_state *s, const char *name)
{
	const struct ctl__release *r = s ? s->newest : NULL;
	while (r && !ctl__release_moved(r, name))
		r = r->older;
	return r;
}

uint64_t ctl_state_epoch(const struct ctl_state *s, const char *link)
{
	const struct ctl__release *r = ctl__state_link(s, link);
	return r ? r->epoch : 1;
}

// ---- read --------------------------------------------------------------------------------------------------------------------------------------------

static bool bad_record(struct err *e)
{
	err_set(e, ERR_ENV, "the journal has a record that this program does not know");
	return err_hint(e, "a newer tenon wrote it: use that one, or another state folder (TENON_STATE)");
}

// What this program doesn't use of a record is kept as it is.
static bool put_members(struct buf *b, const struct json *o)
{
	static const char *const known[] = {"release", "operation", "time", "what", "live", "link", "with", "epoch", "copy", "manifest", "folder", "stopped"};
	for (const struct json *m = o->first; m; m = m->next) {
		bool is = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			is |= slice_eq_str(m->name, known[i]);
		if (is)
			continue;
		buf_put_byte(b, ',');
		buf_put_json_string(b, m->name);
		buf_put_byte(b, ':');
		json_put(b, m);
	}
	return !b->failed;
}

static bool read_with(struct arena *a, const struct json *o, struct slice *ret)
{
	const struct json *list = json_member(o, "with");
	struct buf b = {0};
	for (const struct json *x = list && list->kind == JSON_ARRAY ? list->first : NULL; x; x = x->next)
		buf_printf(&b, "%.*s ", SLICE_ARGS(x->text));
	bool ok = !b.failed && slice_dup(a, buf_view(&b), ret);
	buf_release(&b);
	return ok;
}

static bool read_release(struct ctl_state *s, struct arena *a, const struct json *o, struct err *e)
{
	struct slice what, link, with;
	struct buf members = {0};
	if (!slice_dup(a, json_text(o, "what"), &what) || !read_with(a, o, &with) || !slice_dup(a, json_text(o, "link"), &link) || !put_members(&members, o)) {
		buf_release(&members);
		return err_nomem(e);
	}
	const struct ctl__draft d = {.operation = json_number(o, "operation", 0),
		.what = (const char *)what.ptr,
		.live = json_text(o, "live"),
		.manifest = json_text(o, "manifest"),
		.folder = json_text(o, "folder"),
		.stopped = json_is_true(o, "stopped"),
		.members = buf_view(&members),
		.link = (const char *)link.ptr,
		.with = with,
		.epoch = json_number(o, "epoch", 0),
		.copy = json_is_true(o, "copy")};
	struct ctl__release *r = release_new(s, &d, json_number(o, "release", 0), json_number(o, "time", 0), e);
	buf_release(&members);
	if (!r)
		return false;
	forget_old(s);  // for the one before: this one may be aborted yet
	put_in_front(s, r);
	return true;
}

static void drop_newest(struct ctl_state *s, uint64_t number)
{
	struct ctl__release *r = s->newest;
	if (!r || r->number != number)
		return;
	struct ctl__ended *o = r->operation ? ended_of(s, r->operation) : NULL;
	if (o)
		o->release = 0;
	s->newest = r->older;
	release_free(r);
	set_manifest(s, s->newest ? s->newest->manifest : NULL);
}

static bool read_manifest(struct ctl_state *s, struct slice text, struct err *e)
{
	struct ctl__manifest *m = manifest_new(s, text, slice_of("", 0), e);
	if (!m)
		return false;
	set_manifest(s, m);
	manifest_unref(m);
	return true;
}

static bool read_record(struct ctl_state *s, struct arena *a, const struct json *o, struct err *e)
{
	if (json_member(o, "release"))
		return read_release(s, a, o, e);
	if (json_member(o, "manifest"))
		return read_manifest(s, json_text(o, "manifest"), e);
	if (json_member(o, "abort")) {
		drop_newest(s, json_number(o, "abort", 0));
	} else if (json_member(o, "end")) {
		end_op(s, json_number(o, "end", 0), json_text(o, "state"));
		s->next_event = max_u64(s->next_event, json_number(o, "events", 0));
	} else if (json_member(o, "operation")) {
		if (!ready_for_ops(s, e))
			return false;
		begin_op(s, json_number(o, "operation", 0), json_text(o, "what"));
	} else {
		return bad_record(e);
	}
	return true;
}

static bool on_record(void *user, struct slice text, struct err *e)
{
	struct arena a;
	struct json *o;
	arena_init(&a, 64 << 20);
	bool ok = json_parse(&a, text, &o, e) && (o->kind == JSON_OBJECT || bad_record(e)) && read_record(user, &a, o, e);
	arena_release(&a);
	return ok;
}

static bool find_path(struct ctl_state *s, struct err *e)
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", ctl_journal_folder(s->journal));
	s->path = realpath(link, NULL);
	return s->path || err_set_errno(e, errno, "the state folder of '%s'", s->app);
}

bool ctl_state_open(const char *state, const char *tenant, const char *app, struct ctl_state **ret, struct err *e)
{
	struct ctl_state *s = mem_zalloc(sizeof *s);
	if (!s)
		return err_nomem(e);
	s->next_op = s->next_event = 1;
	snprintf(s->app, sizeof s->app, "%s", app);
	const struct ctl_journal_records records = {on_record, s};
	if (ctl_journal_open(state, tenant, app, &records, &s->journal, e) && find_path(s, e) && ctl__crons_read(s, ctl_state_is_stopped(s), e)) {
		forget_old(s);
		*ret = s;
		return true;
	}
	ctl_state_close(s);
	return false;
}

void ctl_state_close(struct ctl_state *s)
{
	if (!s)
		return;
	ctl__crons_close(s->crons);
	ctl_journal_close(s->journal);
	while (s->newest) {
		struct ctl__release *r = s->newest;
		s->newest = r->older;
		release_free(r);
	}
	manifest_unref(s->manifest);
	free(s->path);
	mem_free(UNCONST(s->settled.ptr));
	mem_free(s->ended);
	mem_free(s);
}

void ctl_state_leave(struct ctl_state *s, bool all)
{
	if (s && !s->newest) {
		ctl__crons_close(s->crons);
		s->crons = NULL;
		ctl_journal_discard(s->journal, all);
		s->journal = NULL;
	}
	ctl_state_close(s);
}

bool ctl_state_is_stopped(const struct ctl_state *s)
{
	return s->newest && s->newest->stopped;
}

struct slice ctl_state_live(const struct ctl_state *s)
{
	return s->has_settled ? s->settled : s->newest ? s->newest->live
												   : slice_of("", 0);
}

// ---- written --------------------------------------------------------------------------------------------------------------------------------------

// `over`: what its record needn't say.
static void put_release(struct buf *b, const struct ctl__release *r, const struct ctl__manifest *over)
{
	buf_printf(b, "{\"release\":%llu,\"time\":%llu,", (unsigned long long)r->number, (unsigned long long)r->time_ms);
	if (r->operation)
		buf_printf(b, "\"operation\":%llu,", (unsigned long long)r->operation);
	buf_put_str(b, "\"what\":");
	buf_put_json_string(b, slice_str(r->what));
	buf_put_str(b, ",\"live\":");
	buf_put_json_string(b, r->live);
	if (r->manifest != over) {
		buf_put_str(b, ",\"manifest\":");
		buf_put_json_string(b, manifest_text(r->manifest));
		if (r->manifest && r->manifest->folder.len) {
			buf_put_str(b, ",\"folder\":");
			buf_put_json_string(b, r->manifest->folder);
		}
	}
	buf_put_str(b, r->stopped ? ",\"stopped\":true" : "");
	if (r->link[0]) {
		buf_printf(b, ",\"link\":\"%s\",\"epoch\":%llu,\"copy\":%s", r->link, (unsigned long long)r->epoch, r->copy ? "true" : "false");
		ctl__put_with(b, r->with);
	}
	buf_put_slice(b, r->members);
	buf_put_byte(b, '}');
}

static void put_op(struct buf *b, uint64_t number, struct slice what)
{
	buf_printf(b, "{\"operation\":%llu,\"what\":", (unsigned long long)number);
	buf_put_json_string(b, what);
	buf_put_byte(b, '}');
}

static void put_end(struct buf *b, uint64_t number, const char *state, uint64_t next_event)
{
	buf_printf(b, "{\"end\":%llu,\"state\":\"%s\",\"events\":%llu}", (unsigned long long)number, state, (unsigned long long)next_event);
}

// Takes the buffer.
static bool add(struct ctl_state *s, struct buf *b, struct err *e)
{
	bool ok = !b->failed ? ctl_journal_add(s->journal, buf_view(b), e) : err_nomem(e);
	buf_release(b);
	return ok;
}

// The oldest first.
static void put_releases(struct buf *b, const struct ctl_state *s)
{
	const struct ctl__release *list[CTL_RELEASES];
	uint32_t n = 0;
	for (const struct ctl__release *r = s->newest; r; r = r->older)
		list[n++] = r;
	for (const struct ctl__manifest *over = NULL; n; over = list[n]->manifest) {
		put_release(b, list[--n], over);
		buf_put_byte(b, '\n');
	}
}

static void put_ops(struct buf *b, const struct ctl_state *s)
{
	for (uint64_t i = s->next_op > CTL_ENDED ? s->next_op - CTL_ENDED : 1; i < s->next_op; i++) {
		const struct ctl__ended *o = ctl__state_ended(s, i);
		if (!o)
			continue;
		put_op(b, i, slice_str(o->what));
		buf_put_byte(b, '\n');
	}
}

static void put_ends(struct buf *b, const struct ctl_state *s)
{
	for (uint64_t i = s->next_op > CTL_ENDED ? s->next_op - CTL_ENDED : 1; i < s->next_op; i++) {
		const struct ctl__ended *o = ctl__state_ended(s, i);
		if (!o || !o->state[0])
			continue;
		put_end(b, i, o->state, s->next_event);
		buf_put_byte(b, '\n');
	}
}

// Only what is known now, where much else is there.
static bool rewrite(struct ctl_state *s, struct err *e)
{
	struct buf b = {.max = 64 << 20};
	put_ops(&b, s);
	put_releases(&b, s);
	put_ends(&b, s);
	bool ok = !b.failed ? ctl_journal_rewrite(s->journal, buf_view(&b), e) : err_nomem(e);
	if (ok)
		s->rewritten = ctl_journal_size(s->journal);
	buf_release(&b);
	return ok;
}

// Before an operation or a start, not in it: calls may wait for what it writes. Where it can't be made shorter (a disk that has room for a record has none for
// all of them once more) it is used as it is, as long as there is room for what comes.
static bool keep_short(struct ctl_state *s, struct err *e)
{
	uint64_t size = ctl_journal_size(s->journal);
	if (size <= REWRITE_BYTES + 2 * s->rewritten || rewrite(s, e))
		return true;
	if (size > LONG_BYTES)
		return err_note(e, "a journal of %llu MiB is to be made shorter", (unsigned long long)(size >> 20));
	err_clear(e);
	return true;
}

bool ctl__state_write(struct ctl_state *s, const struct ctl__draft *d, struct ctl__release **ret, struct err *e)
{
	struct buf b = {0};
	struct ctl__release *r = release_new(s, d, ctl__state_release(s) + 1, sys_wall_ns() / MILLISECOND, e);
	if (!r)
		return false;
	put_release(&b, r, s->manifest);
	r->begins = ctl_journal_size(s->journal);
	if (add(s, &b, e)) {
		r->ends = ctl_journal_size(s->journal);
		*ret = r;
		return true;
	}
	release_free(r);
	return false;
}

bool ctl__state_abort(struct ctl_state *s, struct ctl__release *r, struct err *e)
{
	struct buf b = {0};
	struct err ignored = {0};
	uint64_t begins = r->begins;
	bool is_last = ctl_journal_size(s->journal) == r->ends;
	buf_printf(&b, "{\"abort\":%llu}", (unsigned long long)r->number);
	release_free(r);
	if (add(s, &b, e))
		return true;
	if (!is_last || !ctl_journal_cut(s->journal, begins, &ignored))  // a full disk has no room for what takes a record back
		return false;
	err_clear(e);
	return true;
}

bool ctl__state_op_begun(struct ctl_state *s, uint64_t number, const char *what, struct err *e)
{
	struct buf b = {0};
	struct slice text = slice_sub(slice_str(what), 0, sizeof s->ended[0].what - 1);
	if (!ready_for_ops(s, e) || !keep_short(s, e))
		return false;
	put_op(&b, number, text);
	if (!add(s, &b, e))
		return false;
	begin_op(s, number, text);
	return true;
}

void ctl__state_op_ended(struct ctl_state *s, uint64_t number, const char *state, uint64_t next_event)
{
	struct buf b = {0};
	struct err ignored = {0};  // how it ended is known to who asked; only after a restart nobody knows it
	put_end(&b, number, state, next_event);
	end_op(s, number, slice_str(state));
	s->next_event = next_event;
	(void)add(s, &b, &ignored);
}

// ---- a start -----------------------------------------------------------------------------------------------------------------------------------------

static bool refuse_edit(const struct app_edit *edit, struct err *e)
{
	err_set(e, ERR_USAGE, "[%s] was changed live, and edited in the manifest since: the manifest has %.200s, in force was %.200s", edit->table, edit->now, edit->in_force);
	return err_hint(e, "--live goes on with what was in force, --manifest with what the manifest says");
}

// Of "link.store", the table of that name, what `live` is to say: nothing of its own, or all that was in force (`before`: the manifest then).
static bool decide(struct arena *a, const char *table, enum ctl_edited how, struct slice before, struct slice *live, struct err *e)
{
	char kind[64];
	size_t dot = slice_find(slice_str(table), '.');
	snprintf(kind, sizeof kind, "%.*s", (int)min_u64(dot, sizeof kind - 1), table);
	return how == CTL_EDITED_LIVE ? app_live_keep(a, *live, before, kind, table + dot + 1, live, e)
								  : app_live_take(a, *live, slice_of("", 0), kind, table + dot + 1, live, e);
}

static bool settle_as(struct ctl_state *s, struct slice live, struct err *e)
{
	bool ok = own(live, &s->settled, e);
	s->has_settled |= ok;
	return ok;
}

bool ctl_state_settle(struct ctl_state *s, struct slice manifest, struct slice in_force, enum ctl_edited how, bool *ret_changed, struct err *e)
{
	struct slice live = ctl_state_live(s);
	struct app_edit edit = {.table = ""};
	struct arena a;
	*ret_changed = false;
	if (how == CTL_EDITED_LIVE || !live.len || !s->newest)
		return true;
	arena_init(&a, 256 << 20);
	bool ok = true;
	while (ok && edit.table) {
		ok = app_live_edited(&a, live, manifest_text(s->manifest), manifest, in_force, &edit, e);
		if (!ok || !edit.table)
			break;
		ok = how == CTL_EDITED_REFUSED ? refuse_edit(&edit, e) : decide(&a, edit.table, how, slice_of("", 0), &live, e);
		*ret_changed = ok;
	}
	ok = ok && (!*ret_changed || settle_as(s, live, e));
	arena_release(&a);
	return ok;
}

bool ctl_state_settle_lost(struct ctl_state *s, struct slice manifest, enum ctl_edited how, struct err *e)
{
	struct slice live = ctl_state_live(s), before = manifest_text(s->manifest);
	struct app_edit edit = {.table = ""};
	struct arena a;
	bool ok = true, changed = false;
	arena_init(&a, 256 << 20);
	while (ok && edit.table) {
		ok = app_live_lost(&a, live, before, manifest, &edit, e);
		if (!ok || !edit.table)
			break;
		ok = how == CTL_EDITED_REFUSED ? refuse_edit(&edit, e) : decide(&a, edit.table, how, before, &live, e);
		changed |= ok;
	}
	ok = ok && (!changed || settle_as(s, live, e));
	arena_release(&a);
	return ok;
}

bool ctl_state_drop_live(struct ctl_state *s, struct err *e)
{
	return settle_as(s, slice_of("", 0), e);
}

bool ctl__manifest_is(const struct ctl_state *s, const struct ctl__manifest *m, struct slice text, struct slice folder)
{
	struct slice told = {0};
	struct err e = {0};
	bool is = slice_eq(manifest_text(m), text);
	if (is && m && m->folder.len)
		is = told_folder(s, folder, &told, &e) && slice_eq(m->folder, told);
	mem_free(UNCONST(told.ptr));
	return is;
}

bool ctl__manifest_same(const struct ctl__manifest *a, const struct ctl__manifest *b)
{
	return a == b || (slice_eq(a->text, b->text) && (!a->folder.len || !b->folder.len || slice_eq(a->folder, b->folder)));
}

// A tenon that didn't write where manifests lay read them where this one does.
static bool adopt_folder(struct ctl_state *s, struct slice folder, struct err *e)
{
	bool ok = true;
	for (struct ctl__release *r = s->newest; ok && r; r = r->older)
		if (r->manifest && !r->manifest->folder.len)
			ok = told_folder(s, folder, &r->manifest->folder, e);
	return ok;
}

bool ctl_state_begin(struct ctl_state *s, struct slice manifest, struct slice folder, struct err *e)
{
	bool is_new = !s->newest, is_same = !is_new && !s->has_settled && ctl__manifest_is(s, s->manifest, manifest, folder);
	struct ctl__release *r;
	if (!adopt_folder(s, folder, e) || is_same)
		return e->code == ERR_NONE;
	const struct ctl__draft d = {.what = is_new ? "start" : "start with another manifest",
		.live = ctl_state_live(s),
		.members = slice_of("", 0),
		.manifest = manifest,
		.folder = folder};
	if (!keep_short(s, e) || !ctl__state_write(s, &d, &r, e))
		return false;
	s->has_settled = false;
	ctl__state_publish(s, r);
	return true;
}
