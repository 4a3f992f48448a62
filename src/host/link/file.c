// Stores in a file: who waits, what threads of the pool do for them, and how it ends. The database itself is file_base.c.
//
//   a request   (waits for its guest's order, line.c) ──► queued ──► runs ──► comes back to its loop ──► answered;  given up meanwhile: it goes where it ends
//   a file      open ──► leaving (link_store_ops.leave) ──► nobody is at it: the databases are closed, on a thread ──► closed
//
// 1. One thread of the pool writes at a time (`writing`): it takes what has come meanwhile, at most BATCH, into one transaction, and answers when that is
//    committed. So a write costs its share of one sync.
// 2. Reads have connections of their own, FILE_READERS at most, each of one thread. A thread takes one read after the other; it goes when there is none. So a file
//    has half of the pool's threads at most, and all files three quarters.
// 3. What threads work on are copies (struct file_request): of a call that was given up its request is nobody's.
// 4. What waits for a thread was not sent: `recall` gives it back.
// 5. The file: user_version 1; table kv (docs/stores.md).
#include <time.h>

#include "file_base.h"
#include "sys/sys.h"

enum {
	BATCH = 256,               // writes of one transaction
	LOG_PAGES = 1000,          // are put into the file where nobody waits
	LOG_MOST = 4 * LOG_PAGES,  // or where they do
};
// A turn of a thread whose queue never gets empty; then it does what others wait for.
#define TURN (20 * MILLISECOND)

struct file_part {
	struct link_part part;
	struct link__line line;
};
// A thread's work for the file.
struct worker {
	struct loop_work work;
	struct file *file;
	unsigned reader;  // which one
};
static const char all_files;  // one group of the pool's

static struct file *file_of(struct link_part *p)
{
	return CONTAINER_OF(p->store, struct file, store);
}

static struct link__line *line_of(struct link_part *p)
{
	return &CONTAINER_OF(p, struct file_part, part)->line;
}

static bool is_write(enum link_kind kind)
{
	return kind == LINK_SET || kind == LINK_DELETE || kind == LINK_INCREMENT || kind == LINK_SWAP;
}

// ---- queues, under the lock -----------------------------------------------------------------------------------------------------------------------

static struct file_queue *queue_of(struct file *f, const struct file_request *r)
{
	return is_write(r->kind) ? &f->writes : &f->reads;
}

static void queue_put(struct file_queue *q, struct file_request *r)
{
	r->state = FILE_QUEUED;
	r->next = NULL;
	r->prev = q->last;
	*q->last = r;
	q->last = &r->next;
}

static void queue_put_first(struct file_queue *q, struct file_request *r)
{
	r->state = FILE_QUEUED;
	r->next = q->first;
	r->prev = &q->first;
	if (r->next)
		r->next->prev = &r->next;
	else
		q->last = &r->next;
	q->first = r;
}

static void queue_take(struct file_queue *q, struct file_request *r)
{
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		q->last = r->prev;
}

// ---- requests -------------------------------------------------------------------------------------------------------------------------------------

static void on_back(struct loop_remote *b);
static void want_reader(struct file *f);

static struct slice copy_after(uint8_t **at, struct slice s)
{
	struct slice ret = slice_of(*at, s.len);
	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return ret;
}

static struct file_request *request_new(struct link_part *p, struct link_op *op)
{
	bool brings = op->kind == LINK_SET || op->kind == LINK_SWAP;
	struct file_request *r = pool_alloc(op->memory, sizeof *r + op->bucket.len + op->key.len + (brings ? op->value.len : 0));
	if (!r)
		return NULL;
	uint8_t *at = (uint8_t *)(r + 1);
	*r = (struct file_request){.file = file_of(p), .part = p, .loop = p->loop, .op = op, .kind = op->kind, .delta = op->delta, .ttl_ms = op->ttl_ms};
	r->cursor = op->cursor;
	r->version = op->version;
	r->limit = op->limit;
	r->all = op->all;
	r->bucket = copy_after(&at, op->bucket);
	r->key = copy_after(&at, op->key);
	r->value = brings ? copy_after(&at, op->value) : slice_of(NULL, 0);
	r->back.fn = on_back;
	arena_init(&r->page, 0);
	return r;
}

// On its loop, or, of one that was given up, where it ended.
static void request_free(struct file_request *r)
{
	struct file *f = r->file;
	bool held = r->ret_value != NULL;
	file__drop_answer(r);
	arena_release(&r->page);
	pool_free(r);
	if (!held)
		return;
	spinlock_lock(&f->lock);
	bool waits = f->is_full;
	f->is_full = false;
	spinlock_unlock(&f->lock);
	if (waits)
		want_reader(f);
}

static void answer(struct file_request *r)
{
	struct link_op *op = r->op;
	link__line_leave(line_of(r->part), &r->line);
	op->found = r->found;
	op->ret_value = slice_of(r->ret_value, r->ret_len);
	op->ret_version = (struct link_version){{r->ret_version}};
	op->ret_ttl_ms = r->ret_ttl_ms;
	op->ret_number = r->ret_number;
	op->ret_cursor = r->ret_cursor;
	op->ret_keys = r->keys.ptr;
	op->n_ret_keys = r->keys.len;
	op->ret_caps = r->file->store.provider->caps;
	snprintf(op->ret_text, sizeof op->ret_text, "%s", r->text);
	link_op_done(op, r->code);
}

static void on_back(struct loop_remote *b)
{
	struct file_request *r = CONTAINER_OF(b, struct file_request, back);
	if (r->op)
		answer(r);
	request_free(r);
}

// To their loops; those that were given up go here.
static void give_back(struct file *f, struct file_request *list)
{
	while (list) {
		struct file_request *r = list;
		list = r->next;
		spinlock_lock(&f->lock);
		bool is_wanted = r->op != NULL;
		r->state = FILE_COMES_BACK;
		if (is_wanted)
			loop_post_remote(r->loop, &r->back);  // within the lock: the thread may be ending
		spinlock_unlock(&f->lock);
		if (!is_wanted)
			request_free(r);
	}
}

static void all_fail(struct file_request *list, enum link_code code, const char *why)
{
	for (struct file_request *r = list; r; r = r->next) {
		r->code = code;
		snprintf(r->text, sizeof r->text, "%s", why);
	}
}

// ---- threads --------------------------------------------------------------------------------------------------------------------------------------

static void pause_a_little(void)
{
	const struct timespec t = {.tv_nsec = 200000};
	nanosleep(&t, NULL);
}

static void close_bases(struct file *f)
{
	for (unsigned i = 0; i < FILE_READERS; i++)
		file__base_close(&f->readers[i]);
	file__base_close(&f->writer);  // the last one: SQLite puts the log into the file
}

// Nobody is at it, and nobody comes any more. Not within the lock; the file may be gone afterwards.
static void leave_now(struct file *f)
{
	close_bases(f);
	spinlock_lock(&f->lock);
	f->has_left = true;
	link__store_left(&f->store);
	spinlock_unlock(&f->lock);
}

// Under the lock.
static bool is_last(const struct file *f)
{
	return f->leaving && !f->writing && !f->n_reading;
}

static void on_worked(struct loop_work *w)
{
	mem_free(CONTAINER_OF(w, struct worker, work));
}

static bool start_worker(struct file *f, void (*run)(struct loop_work *w), unsigned reader)
{
	struct worker *k = mem_zalloc(sizeof *k);
	if (!k)
		return false;
	k->file = f;
	k->reader = reader;
	k->work = (struct loop_work){.run = run, .done = on_worked, .owner = (uintptr_t)f, .group = (uintptr_t)&all_files};
	if (!loop_work_submit(f->store.host->threads, f->store.host->loops[0], &k->work)) {
		mem_free(k);
		return false;
	}
	loop_work_let_go(f->store.host->threads, &k->work, true);
	return true;
}

// What nobody will do.
static void refuse_all(struct file *f, struct file_queue *q)
{
	spinlock_lock(&f->lock);
	struct file_request *list = q->first;
	for (struct file_request *r = list; r; r = r->next)
		r->state = FILE_RUNS;
	q->first = NULL;
	q->last = &q->first;
	spinlock_unlock(&f->lock);
	all_fail(list, LINK_UNSENT, "the host has too much to do");
	give_back(f, list);
}

// ---- reads, on a thread of the pool ---------------------------------------------------------------------------------------------------------------

// Under the lock. true: it was the last that leaves.
static bool reader_ends(struct file *f, unsigned reader)
{
	f->readers[reader].is_used = false;
	f->n_reading--;
	return is_last(f);
}

// NULL: there is none, and the reader is none any more.
static struct file_request *next_read(struct file *f, unsigned reader)
{
	bool leaves = false;
	spinlock_lock(&f->lock);
	struct file_request *r = f->reads.first;
	if (r) {
		queue_take(&f->reads, r);
		r->state = FILE_RUNS;
		r->next = NULL;
	} else {
		leaves = reader_ends(f, reader);
	}
	spinlock_unlock(&f->lock);
	if (leaves)
		leave_now(f);
	return r;
}

// There is no room for its answer. It waits until others of this file have gone, and the reader ends; false: they have.
static bool waits_for_room(struct file *f, struct file_request *r, unsigned reader)
{
	spinlock_lock(&f->lock);
	bool given_up = !r->op, waits = !given_up && __atomic_load_n(&f->held, __ATOMIC_RELAXED) > 0;
	if (!given_up)
		queue_put_first(&f->reads, r);
	f->is_full |= waits;
	bool leaves = waits && reader_ends(f, reader);
	spinlock_unlock(&f->lock);
	if (given_up)
		request_free(r);
	if (leaves)
		leave_now(f);
	return waits;
}

static int read_one(struct file_base *b, struct file_request *r)
{
	r->code = LINK_REFUSED;
	if (!file__base_open(b, r->file, false, r->text))
		return SQLITE_OK;
	int rc = file__read(b, r);
	r->code = rc == SQLITE_OK ? LINK_OK : LINK_REFUSED;
	if (rc != SQLITE_OK && rc != FILE_NO_ROOM)
		snprintf(r->text, sizeof r->text, "%s", file__say(rc));
	if (rc != SQLITE_OK && rc != FILE_NO_ROOM && rc != SQLITE_NOMEM)
		file__base_close(b);
	return rc;
}

static void read_run(struct loop_work *w)
{
	struct worker *k = CONTAINER_OF(w, struct worker, work);
	struct file *f = k->file;
	struct file_request *r;
	uint64_t end = sys_now_ns() + TURN;
	while (!w->again && (r = next_read(f, k->reader))) {
		if (read_one(&f->readers[k->reader], r) != FILE_NO_ROOM)
			give_back(f, r);
		else if (waits_for_room(f, r, k->reader))
			return;
		w->again = sys_now_ns() >= end;
	}
}

// One more reader, if there are reads and there may be one.
static void want_reader(struct file *f)
{
	unsigned i = 0;
	spinlock_lock(&f->lock);
	bool starts = f->reads.first && !f->is_full && f->n_reading < FILE_READERS;
	while (starts && f->readers[i].is_used)
		i++;
	if (starts) {
		f->readers[i].is_used = true;
		f->n_reading++;
	}
	spinlock_unlock(&f->lock);
	if (!starts || start_worker(f, read_run, i))
		return;
	spinlock_lock(&f->lock);
	bool leaves = reader_ends(f, i), alone = f->n_reading == 0;
	spinlock_unlock(&f->lock);
	if (alone)
		refuse_all(f, &f->reads);
	if (leaves)
		leave_now(f);
}

// ---- writes, on a thread of the pool --------------------------------------------------------------------------------------------------------------

// One transaction: all of it is on disk, or nothing is.
static void write_batch(struct file *f, struct file_request *list)
{
	struct file_base *b = &f->writer;
	char why[160];
	if (!file__base_open(b, f, true, why)) {
		all_fail(list, LINK_REFUSED, why);
		return;
	}
	int rc = file__run(b, "BEGIN IMMEDIATE");
	for (struct file_request *r = list; r && rc == SQLITE_OK; r = r->next)
		rc = file__write(b, r);
	bool commits = rc == SQLITE_OK;
	if (commits)
		rc = file__run(b, "COMMIT");
	if (rc == SQLITE_OK)
		return;
	if (!sqlite3_get_autocommit(b->db) && file__run(b, "ROLLBACK") == SQLITE_OK)
		commits = false;
	// A commit that failed on the disk may be there when the file is opened again.
	all_fail(list, commits && (rc & 0xff) == SQLITE_IOERR ? LINK_UNKNOWN : LINK_REFUSED, file__say(rc));
	file__base_close(b);
}

static struct file_request *take_batch(struct file *f)
{
	struct file_queue *q = &f->writes;
	struct file_request *list, **end = &list;
	spinlock_lock(&f->lock);
	list = q->first;
	for (unsigned i = 0; i < BATCH && *end; i++) {
		(*end)->state = FILE_RUNS;
		end = &(*end)->next;
	}
	q->first = *end;
	if (q->first)
		q->first->prev = &q->first;
	else
		q->last = &q->first;
	*end = NULL;
	spinlock_unlock(&f->lock);
	return list;
}

// Nothing has come meanwhile, also not while it was tidied: the next write starts another writer.
static bool is_idle(struct file *f)
{
	spinlock_lock(&f->lock);
	bool idle = f->writes.first == NULL;
	spinlock_unlock(&f->lock);
	if (!idle)
		return false;
	file__tidy(f, LOG_PAGES);
	spinlock_lock(&f->lock);
	idle = f->writes.first == NULL;
	f->writing = !idle;
	bool leaves = is_last(f);
	spinlock_unlock(&f->lock);
	if (leaves)
		leave_now(f);
	return idle;
}

static void write_run(struct loop_work *w)
{
	struct file *f = CONTAINER_OF(w, struct worker, work)->file;
	uint64_t end = sys_now_ns() + TURN;
	while (!w->again) {
		struct file_request *list = take_batch(f);
		write_batch(f, list);
		file__watch_log(f);
		give_back(f, list);
		if (is_idle(f))
			return;
		file__tidy(f, LOG_MOST);
		w->again = sys_now_ns() >= end;
	}
}

static void want_writer(struct file *f)
{
	spinlock_lock(&f->lock);
	bool starts = f->writes.first && !f->writing;
	f->writing |= starts;
	spinlock_unlock(&f->lock);
	if (!starts || start_worker(f, write_run, 0))
		return;
	spinlock_lock(&f->lock);
	f->writing = false;
	spinlock_unlock(&f->lock);
	refuse_all(f, &f->writes);  // also what came since to a writer that is none
}

// ---- operations -----------------------------------------------------------------------------------------------------------------------------------

// Its turn has come.
static void begin(struct link__in_line *x)
{
	struct file_request *r = CONTAINER_OF(x, struct file_request, line);
	struct file *f = r->file;
	bool writes = is_write(r->kind);
	spinlock_lock(&f->lock);
	queue_put(queue_of(f, r), r);
	spinlock_unlock(&f->lock);
	if (writes)
		want_writer(f);
	else
		want_reader(f);
}

static struct hash128 name_of(const struct file_request *r)
{
	struct hash128 h = hash_128(slice_of(r->bucket.ptr, r->bucket.len + r->key.len));  // they lie one behind the other
	h.low += r->bucket.len;
	return h;
}

static void submit(struct link_part *p, struct link_op *op)
{
	struct file_request *r = request_new(p, op);
	enum link__line_order order = LINK__LINE_MAY_BEGIN;
	if (r && op->kind != LINK_LIST && op->kind != LINK_CHECK)
		order = link__line_enter(line_of(p), &r->line, is_write(op->kind) ? LINK__LINE_WRITE : LINK__LINE_READ, name_of(r), op->memory);
	if (!r || order == LINK__LINE_NO_MEMORY) {
		if (r)
			request_free(r);
		link_op_fail(op, LINK_UNSENT, "no memory for what is asked of the store");
		return;
	}
	op->of = r;
	if (order == LINK__LINE_MAY_BEGIN)
		begin(&r->line);
}

static bool cancel(struct link_part *p, struct link_op *op)
{
	struct file *f = file_of(p);
	struct file_request *r = op->of;
	link__line_leave(line_of(p), &r->line);
	spinlock_lock(&f->lock);
	bool is_sent = r->state == FILE_RUNS || r->state == FILE_COMES_BACK;
	struct file_queue taken;  // by a recall, whose list needs no end
	if (r->state == FILE_QUEUED || r->state == FILE_TAKEN)
		queue_take(r->state == FILE_QUEUED ? queue_of(f, r) : &taken, r);
	if (is_sent) {
		pool_disown(r);  // it may go on another thread from here on
		r->op = NULL;
	}
	spinlock_unlock(&f->lock);
	if (!is_sent)
		request_free(r);
	return is_sent && is_write(op->kind);
}

// Those of a part that are queued, out of the queue.
static void take_queued(struct file *f, struct file_queue *q, const struct link_part *p, struct file_queue *to)
{
	spinlock_lock(&f->lock);
	for (struct file_request *r = q->first, *next; r; r = next) {
		next = r->next;
		if (r->part != p)
			continue;
		queue_take(q, r);
		queue_put(to, r);
		r->state = FILE_TAKEN;
	}
	spinlock_unlock(&f->lock);
}

static void is_recalled(struct file_request *r)
{
	struct link_op *op = r->op;
	link__line_leave(line_of(r->part), &r->line);
	request_free(r);
	link_op_done(op, LINK_RECALLED);
}

// Of one guest and key reads and writes aren't queued at once: so each queue has its order, and what waits behind both its own.
static void recall(struct link_part *p)
{
	struct file *f = file_of(p);
	struct link__in_line *behind = NULL;
	struct file_queue mine = {.last = &mine.first};
	link__line_take_all(line_of(p), &behind);
	take_queued(f, &f->reads, p, &mine);
	take_queued(f, &f->writes, p, &mine);
	while (mine.first) {
		struct file_request *r = mine.first;
		queue_take(&mine, r);
		is_recalled(r);
	}
	while (behind)
		is_recalled(CONTAINER_OF(behind, struct file_request, line));
}

// ---- the store ------------------------------------------------------------------------------------------------------------------------------------

static bool part_open(struct link_part *p, struct err *e)
{
	link__line_init(line_of(p), p->loop, true, begin);
	return true;
}

static void part_close(struct link_part *p)
{
	link__line_release(line_of(p));
}

static bool open(struct link_store *s, struct err *e)
{
	struct file *f = CONTAINER_OF(s, struct file, store);
	f->writes.last = &f->writes.first;
	f->reads.last = &f->reads.first;
	return true;
}

static void leave_run(struct loop_work *w)
{
	leave_now(CONTAINER_OF(w, struct worker, work)->file);
}

// Closing a database puts its log into the file: not on the main thread.
static bool leave(struct link_store *s)
{
	struct file *f = CONTAINER_OF(s, struct file, store);
	bool was_open = false;
	spinlock_lock(&f->lock);
	bool busy = f->writing || f->n_reading;
	for (unsigned i = 0; i < FILE_READERS && !busy; i++)
		was_open |= f->readers[i].db != NULL;
	was_open |= !busy && f->writer.db;
	f->leaving = busy || was_open;
	spinlock_unlock(&f->lock);
	if (busy || (was_open && start_worker(f, leave_run, 0)))
		return true;
	f->leaving = false;
	return false;
}

// What threads do for it ends first; each thing that they do is bounded.
static void close(struct link_store *s)
{
	struct file *f = CONTAINER_OF(s, struct file, store);
	for (;;) {
		spinlock_lock(&f->lock);
		bool busy = f->leaving ? !f->has_left : f->writing || f->n_reading;
		spinlock_unlock(&f->lock);
		if (!busy)
			break;
		pause_a_little();
	}
	close_bases(f);
}

const struct link_store_ops link__file_ops = {
	.store_size = sizeof(struct file),
	.part_size = sizeof(struct file_part),
	.open = open,
	.leave = leave,
	.close = close,
	.part_open = part_open,
	.part_close = part_close,
	.submit = submit,
	.cancel = cancel,
	.recall = recall,
};
