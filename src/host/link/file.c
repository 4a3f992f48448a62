// Stores in a file: SQLite, in WAL mode with synchronous FULL: what was acknowledged is on disk.
//
// 1. One thread of the pool writes at a time (`writing`): it takes what has come meanwhile, at most BATCH, into one transaction, and answers when that is
//    committed. So a write costs its share of one sync.
// 2. Reads have connections of their own, READERS at most, each used by one thread at a time.
// 3. What threads work on are copies (struct request): of a call that was given up its request is nobody's, and goes when it has come back.
// 4. What waits for the writer was not sent: `recall` gives it back.
// 5. The file: user_version 1; table kv (docs/stores.md).
#include <sqlite3.h>
#include <time.h>

#include "link_int.h"
#include "sys/sys.h"

enum {
	FORMAT = 1,
	BATCH = 256,               // writes of one transaction
	READERS = 4,
	BUSY_MS = 1000,
	LOG_PAGES = 1000,          // are put into the file where nobody waits
	LOG_MOST = 4 * LOG_PAGES,  // or where they do
	SWEEP_MOST = 1000,         // keys whose time is over, in one go
};
#define HELD_MAX (256 * MIB)

struct file;
struct request {
	struct loop_work work;     // of a read
	struct loop_remote back;   // of a write
	struct request *next, **prev;
	struct file *file;
	struct link_part *part;
	struct loop *loop;
	struct link_op *op;        // NULL: given up
	bool is_queued, has_run;
	enum link_kind kind;
	struct slice bucket, key, value;  // behind it
	int64_t delta;
	uint64_t ttl_ms, cursor;
	struct link_version version;
	uint32_t limit;
	bool all;
	// answers
	enum link_code code;
	bool found;
	uint8_t *ret_value;
	size_t ret_len;
	uint64_t ret_version, ret_ttl_ms, ret_cursor;
	int64_t ret_number;
	struct arena page;
	VEC(struct link_key)
	keys;
	char text[160];
};
enum { GET, ALL_KEYS, KEYS, READS, PUT = READS, DROP, SWEEP, STATEMENTS };
struct base {
	sqlite3 *db;               // NULL: not open
	sqlite3_stmt *statements[STATEMENTS];
	bool is_used;
};
struct file {
	struct link_store store;
	struct spinlock lock;      // of what follows
	struct request *first, **last;
	bool writing;
	uint32_t n_reading;
	struct base readers[READERS];
	// the writer's
	struct base writer;
	uint64_t version, swept_ms;
	int wal_pages;
};
static uint64_t held;  // atomic: bytes of answers that wait for their loops, of all files
static struct file *file_of(struct link_part *p)
{
	return CONTAINER_OF(p->store, struct file, store);
}

// ---- the database -------------------------------------------------------------------------------------------------------------------------------

static const char *const texts[STATEMENTS] = {
	[GET] = "SELECT value, version, ends FROM kv WHERE space = ?1 AND bucket = ?2 AND key = ?3",
	// Both in the order of `id`, from it on: what is sorted for a page would be all that is there. (+: not by the index of names.)
	[ALL_KEYS] = "SELECT id, bucket, key, ends FROM kv WHERE id > ?2 AND +space = ?1 ORDER BY id LIMIT ?3",
	[KEYS] = "SELECT id, bucket, key, ends FROM kv INDEXED BY kv_order WHERE id > ?2 AND space = ?1 AND bucket = ?4 ORDER BY id LIMIT ?3",
	[PUT] = ("INSERT INTO kv(space, bucket, key, value, version, ends) VALUES(?1, ?2, ?3, ?4, ?5, ?6) "
			 "ON CONFLICT(space, bucket, key) DO UPDATE SET value = excluded.value, version = excluded.version, ends = excluded.ends"),
	[DROP] = "DELETE FROM kv WHERE space = ?1 AND bucket = ?2 AND key = ?3",
	[SWEEP] = "DELETE FROM kv WHERE id IN (SELECT id FROM kv WHERE ends IS NOT NULL AND ends <= ?1 LIMIT ?2)",
};

// For people, of the last failure.
static const char *say(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return "the disk is full";
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "the file is locked by another process";
	case SQLITE_CORRUPT:
		return "the file is damaged";
	case SQLITE_NOTADB:
		return "the file is no database";
	case SQLITE_READONLY:
		return "the file can't be written to";
	case SQLITE_CANTOPEN:
		return "the file can't be opened";
	case SQLITE_NOMEM:
		return "the host is out of memory";
	case SQLITE_TOOBIG:
		return "the value is too large for the file";
	case SQLITE_IOERR:
		return "the disk failed";
	default:
		return sqlite3_errstr(rc);
	}
}

static int run_text(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL);
}

// What a text gives, -1: nothing (*ret_rc).
static int number_of(sqlite3 *db, const char *text, int *ret_rc)
{
	sqlite3_stmt *s = NULL;
	int n = -1;
	*ret_rc = sqlite3_prepare_v2(db, text, -1, &s, NULL);
	if (*ret_rc == SQLITE_OK && (*ret_rc = sqlite3_step(s)) == SQLITE_ROW) {
		n = sqlite3_column_int(s, 0);
		*ret_rc = SQLITE_OK;
	}
	sqlite3_finalize(s);
	return n;
}

static void base_close(struct base *b)
{
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(b->statements[i]);
	sqlite3_close(b->db);
	bool is_used = b->is_used;
	*b = (struct base){.is_used = is_used};
}

static int make_tables(sqlite3 *db)
{
	return run_text(db, "BEGIN IMMEDIATE;"
						"CREATE TABLE IF NOT EXISTS kv(id INTEGER PRIMARY KEY, space TEXT NOT NULL, bucket BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
						"version INTEGER NOT NULL, ends INTEGER, UNIQUE(space, bucket, key));"
						"CREATE INDEX IF NOT EXISTS kv_ends ON kv(ends) WHERE ends IS NOT NULL;"
						"CREATE INDEX IF NOT EXISTS kv_order ON kv(space, bucket);"  // with the id, as each index
						"PRAGMA user_version = 1; COMMIT");
}

// *ret_why: what is wrong, where no code of SQLite says it.
static int base_open_file(struct base *b, const struct file *f, bool writes, const char **ret_why)
{
	int rc = sqlite3_open_v2((const char *)f->store.target.path.ptr, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(b->db, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = run_text(b->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
	int format = rc == SQLITE_OK ? number_of(b->db, "PRAGMA user_version", &rc) : -1;
	bool lacks = format == 0 || (format == FORMAT && number_of(b->db, "SELECT count(*) FROM sqlite_master WHERE name = 'kv_order'", &rc) == 0);
	if (rc == SQLITE_OK && lacks)
		rc = make_tables(b->db);
	if (rc == SQLITE_OK && (format < 0 || format > FORMAT)) {
		*ret_why = "the file is of a newer format";
		rc = SQLITE_ERROR;
	}
	for (unsigned i = 0; i < (writes ? STATEMENTS : READS) && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(b->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &b->statements[i], NULL);
	return rc;
}

static bool base_open(struct base *b, const struct file *f, bool writes, char why[160])
{
	const char *text = NULL;
	if (b->db)
		return true;
	int rc = base_open_file(b, f, writes, &text);
	if (rc == SQLITE_OK)
		return true;
	snprintf(why, 160, "%s", text ? text : say(rc));
	base_close(b);
	return false;
}

static sqlite3_stmt *bound(struct base *b, unsigned i, const struct file *f, const struct request *r)
{
	sqlite3_stmt *s = b->statements[i];
	sqlite3_bind_text(s, 1, f->store.space.len ? (const char *)f->store.space.ptr : "", (int)f->store.space.len, SQLITE_STATIC);
	if (r) {
		sqlite3_bind_blob(s, 2, r->bucket.len ? (const void *)r->bucket.ptr : "", (int)r->bucket.len, SQLITE_STATIC);
		sqlite3_bind_blob(s, 3, r->key.len ? (const void *)r->key.ptr : "", (int)r->key.len, SQLITE_STATIC);
	}
	return s;
}

static void done_with(sqlite3_stmt *s)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
}

static uint64_t wall_ms(void)
{
	return sys_wall_ns() / MILLISECOND;
}

// ---- reads ----------------------------------------------------------------------------------------------------------------------------------------

static int hold_value(struct request *r, sqlite3_stmt *s)
{
	size_t n = (size_t)sqlite3_column_bytes(s, 0);
	const void *bytes = sqlite3_column_blob(s, 0);
	if (__atomic_add_fetch(&held, n, __ATOMIC_RELAXED) > HELD_MAX || (n && !(r->ret_value = mem_alloc(n)))) {
		__atomic_sub_fetch(&held, n, __ATOMIC_RELAXED);
		return SQLITE_NOMEM;
	}
	if (n)
		memcpy(r->ret_value, bytes, n);
	r->ret_len = n;
	return SQLITE_OK;
}

// `wants_value`: also what it is.
static int read_key(struct base *b, struct request *r, bool wants_value)
{
	sqlite3_stmt *s = bound(b, GET, r->file, r);
	uint64_t now = wall_ms();
	int rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		bool mortal = sqlite3_column_type(s, 2) != SQLITE_NULL;
		uint64_t ends = (uint64_t)sqlite3_column_int64(s, 2);
		rc = SQLITE_OK;
		r->found = !mortal || ends > now;
		if (r->found) {
			r->ret_version = (uint64_t)sqlite3_column_int64(s, 1);
			r->ret_ttl_ms = mortal ? ends - now : 0;
			rc = wants_value && (r->kind != LINK_INCREMENT || sqlite3_column_bytes(s, 0) < LINK_COUNT_MAX) ? hold_value(r, s) : SQLITE_OK;
		}
	}
	done_with(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put_key(struct request *r, sqlite3_stmt *s, size_t *bytes)
{
	struct link_key k;
	struct slice bucket = slice_of(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1));
	struct slice key = slice_of(sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2));
	if (!slice_dup(&r->page, bucket, &k.bucket) || !slice_dup(&r->page, key, &k.key) || !VEC_PUSH(&r->page, &r->keys, k, UINT32_MAX))
		return SQLITE_NOMEM;
	*bytes += bucket.len + key.len;
	return SQLITE_ROW;
}

static int read_page(struct base *b, struct request *r)
{
	sqlite3_stmt *s = bound(b, r->all ? ALL_KEYS : KEYS, r->file, NULL);
	uint64_t now = wall_ms(), last = r->cursor;
	size_t bytes = 0;
	uint32_t n = 0;
	sqlite3_bind_int64(s, 2, (int64_t)r->cursor);
	sqlite3_bind_int64(s, 3, r->limit);
	if (!r->all)
		sqlite3_bind_blob(s, 4, r->bucket.ptr, (int)r->bucket.len, SQLITE_STATIC);
	int rc = SQLITE_ROW;
	while (rc == SQLITE_ROW && bytes < LINK_PAGE_BYTES && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		n++;
		last = (uint64_t)sqlite3_column_int64(s, 0);
		bool there = sqlite3_column_type(s, 3) == SQLITE_NULL || (uint64_t)sqlite3_column_int64(s, 3) > now;
		rc = there ? put_key(r, s, &bytes) : SQLITE_ROW;
	}
	done_with(s);
	r->ret_cursor = n == r->limit || rc == SQLITE_ROW ? last : 0;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static struct base *take_reader(struct file *f)
{
	struct base *b = NULL;
	spinlock_lock(&f->lock);
	for (unsigned i = 0; i < READERS && !b; i++)
		if (!f->readers[i].is_used)
			b = &f->readers[i];
	if (b)
		b->is_used = true;
	spinlock_unlock(&f->lock);
	return b;
}

static void pause_a_little(void)
{
	const struct timespec t = {.tv_nsec = 200000};
	nanosleep(&t, NULL);
}

// On a thread of the pool.
static void read_run(struct loop_work *w)
{
	struct request *r = CONTAINER_OF(w, struct request, work);
	struct file *f = r->file;
	struct base *b;
	while (!(b = take_reader(f)))
		pause_a_little();  // threads of the pool are few
	r->code = LINK_REFUSED;
	if (base_open(b, f, false, r->text)) {
		int rc = r->kind == LINK_LIST ? read_page(b, r) : r->kind == LINK_CHECK ? SQLITE_OK
																				: read_key(b, r, r->kind == LINK_GET);
		r->code = rc == SQLITE_OK ? LINK_OK : LINK_REFUSED;
		if (rc != SQLITE_OK)
			snprintf(r->text, sizeof r->text, "%s", say(rc));
		if (rc != SQLITE_OK && rc != SQLITE_NOMEM)
			base_close(b);
	}
	spinlock_lock(&f->lock);
	b->is_used = false;
	spinlock_unlock(&f->lock);
	r->has_run = true;
	__atomic_sub_fetch(&f->n_reading, 1, __ATOMIC_RELEASE);  // the file may go now
}

// ---- requests -------------------------------------------------------------------------------------------------------------------------------------

static struct slice copy_after(uint8_t **at, struct slice s)
{
	struct slice ret = slice_of(*at, s.len);
	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return ret;
}

static struct request *request_new(struct link_part *p, struct link_op *op)
{
	bool brings = op->kind == LINK_SET || op->kind == LINK_SWAP;
	struct request *r = pool_alloc(op->memory, sizeof *r + op->bucket.len + op->key.len + (brings ? op->value.len : 0));
	if (!r)
		return NULL;
	uint8_t *at = (uint8_t *)(r + 1);
	*r = (struct request){.file = file_of(p), .part = p, .loop = p->loop, .op = op, .kind = op->kind, .delta = op->delta, .ttl_ms = op->ttl_ms, .cursor = op->cursor};
	r->version = op->version;
	r->limit = op->limit;
	r->all = op->all;
	r->bucket = copy_after(&at, op->bucket);
	r->key = copy_after(&at, op->key);
	r->value = brings ? copy_after(&at, op->value) : slice_of(NULL, 0);
	arena_init(&r->page, 0);
	return r;
}

static void request_free(struct request *r)
{
	if (r->ret_value)
		__atomic_sub_fetch(&held, r->ret_len, __ATOMIC_RELAXED);
	mem_free(r->ret_value);
	arena_release(&r->page);
	pool_free(r);
}

static void answer(struct request *r)
{
	struct link_op *op = r->op;
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

static void read_done(struct loop_work *w)
{
	struct request *r = CONTAINER_OF(w, struct request, work);
	if (!r->has_run)
		__atomic_sub_fetch(&r->file->n_reading, 1, __ATOMIC_RELEASE);
	if (!w->let_go)
		answer(r);
	request_free(r);
}

static void write_done(struct loop_remote *b)
{
	struct request *r = CONTAINER_OF(b, struct request, back);
	if (r->op)
		answer(r);
	request_free(r);
}

// ---- writes, on a thread of the pool ----------------------------------------------------------------------------------------------------------------

static int put(struct base *b, struct request *r, struct slice value, uint64_t ends)
{
	struct file *f = r->file;
	sqlite3_stmt *s = bound(b, PUT, f, r);
	f->version = max_u64(f->version + 1, sys_wall_ns());
	sqlite3_bind_blob64(s, 4, value.len ? (const void *)value.ptr : "", value.len, SQLITE_STATIC);
	sqlite3_bind_int64(s, 5, (int64_t)f->version);
	if (ends)
		sqlite3_bind_int64(s, 6, (int64_t)ends);
	int rc = sqlite3_step(s);
	done_with(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static uint64_t ends_of(uint64_t ttl_ms)
{
	return ttl_ms ? min_u64(sat_add_u64(wall_ms(), ttl_ms), INT64_MAX) : 0;
}

static int increment(struct base *b, struct request *r)
{
	char text[LINK_COUNT_MAX];
	int rc = read_key(b, r, true);
	if (rc != SQLITE_OK)
		return rc;
	size_t n = link__count(r->found ? slice_of(r->ret_value, r->ret_len) : SLICE_LIT("0"), r->delta, &r->ret_number, text, r->text);
	if (n)
		return put(b, r, slice_of(text, n), ends_of(r->ret_ttl_ms));
	r->code = LINK_REFUSED;
	return SQLITE_OK;
}

static int swap(struct base *b, struct request *r)
{
	int rc = read_key(b, r, false);
	if (rc != SQLITE_OK)
		return rc;
	if (r->version.words[0] == (r->found ? r->ret_version : 0))
		return put(b, r, r->value, ends_of(r->ttl_ms));
	r->code = LINK_STALE;
	return SQLITE_OK;
}

static int drop(struct base *b, struct request *r)
{
	sqlite3_stmt *s = bound(b, DROP, r->file, r);
	int rc = sqlite3_step(s);
	done_with(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int write_one(struct base *b, struct request *r)
{
	r->code = LINK_OK;
	switch (r->kind) {
	case LINK_SET:
		return put(b, r, r->value, ends_of(r->ttl_ms));
	case LINK_INCREMENT:
		return increment(b, r);
	case LINK_SWAP:
		return swap(b, r);
	default:
		return drop(b, r);
	}
}

static void all_fail(struct request *list, enum link_code code, const char *why)
{
	for (struct request *r = list; r; r = r->next) {
		r->code = code;
		snprintf(r->text, sizeof r->text, "%s", why);
	}
}

// One transaction: all of it is on disk, or nothing is.
static void write_batch(struct file *f, struct request *list)
{
	struct base *b = &f->writer;
	char why[160];
	if (!base_open(b, f, true, why)) {
		all_fail(list, LINK_REFUSED, why);
		return;
	}
	int rc = run_text(b->db, "BEGIN IMMEDIATE");
	for (struct request *r = list; r && rc == SQLITE_OK; r = r->next)
		rc = write_one(b, r);
	bool commits = rc == SQLITE_OK;
	if (commits)
		rc = run_text(b->db, "COMMIT");
	if (rc == SQLITE_OK)
		return;
	if (!sqlite3_get_autocommit(b->db) && run_text(b->db, "ROLLBACK") == SQLITE_OK)
		commits = false;
	// A commit that failed on the disk may be there when the file is opened again.
	all_fail(list, commits && (rc & 0xff) == SQLITE_IOERR ? LINK_UNKNOWN : LINK_REFUSED, say(rc));
	base_close(b);
}

static struct request *take_batch(struct file *f)
{
	struct request *list, **end = &list;
	spinlock_lock(&f->lock);
	list = f->first;
	for (unsigned i = 0; i < BATCH && *end; i++) {
		(*end)->is_queued = false;
		end = &(*end)->next;
	}
	f->first = *end;
	if (f->first)
		f->first->prev = &f->first;
	else
		f->last = &f->first;
	*end = NULL;
	spinlock_unlock(&f->lock);
	return list;
}

// What nobody will write: there is no writer from here on.
static struct request *take_all(struct file *f)
{
	spinlock_lock(&f->lock);
	struct request *list = f->first;
	for (struct request *r = list; r; r = r->next)
		r->is_queued = false;
	f->first = NULL;
	f->last = &f->first;
	f->writing = false;
	spinlock_unlock(&f->lock);
	return list;
}

// To their loops.
static void give_back(struct request *list)
{
	while (list) {
		struct request *r = list;
		list = r->next;
		loop_post_remote(r->loop, &r->back);
	}
}

// The log is put into the file if it has so many pages, and what has ended its time is dropped.
static void tidy(struct file *f, int pages)
{
	struct base *b = &f->writer;
	uint64_t now = wall_ms();
	int in_log = 0;
	if (!b->db)
		return;
	if (now > f->swept_ms + 1000) {
		sqlite3_bind_int64(b->statements[SWEEP], 1, (int64_t)now);
		sqlite3_bind_int64(b->statements[SWEEP], 2, SWEEP_MOST);
		bool all = sqlite3_step(b->statements[SWEEP]) != SQLITE_DONE || sqlite3_changes(b->db) < SWEEP_MOST;  // what fails is tried again
		f->swept_ms = all ? now : f->swept_ms;
		done_with(b->statements[SWEEP]);
	}
	if (f->wal_pages < pages)
		return;
	sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, NULL);
	f->wal_pages = 0;
}

static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	((struct file *)arg)->wal_pages = pages;
	return SQLITE_OK;
}

struct writer {
	struct loop_work work;
	struct file *file;
};

// Nothing has come meanwhile, also not while it was tidied: the next write starts another writer.
static bool is_idle(struct file *f)
{
	spinlock_lock(&f->lock);
	bool idle = f->first == NULL;
	spinlock_unlock(&f->lock);
	if (!idle)
		return false;
	tidy(f, LOG_PAGES);
	spinlock_lock(&f->lock);
	idle = f->first == NULL;
	f->writing = !idle;
	spinlock_unlock(&f->lock);
	return idle;
}

// A turn of a writer whose queue never gets empty; then the thread does what others wait for.
#define WRITER_TURN (20 * MILLISECOND)

static void write_run(struct loop_work *w)
{
	struct file *f = CONTAINER_OF(w, struct writer, work)->file;
	uint64_t end = sys_now_ns() + WRITER_TURN;
	while (!w->again) {
		struct request *list = take_batch(f);
		write_batch(f, list);
		if (f->writer.db)
			sqlite3_wal_hook(f->writer.db, on_commit, f);
		give_back(list);
		if (is_idle(f))
			return;
		tidy(f, LOG_MOST);
		w->again = sys_now_ns() >= end;
	}
}

static void write_run_done(struct loop_work *w)
{
	mem_free(CONTAINER_OF(w, struct writer, work));
}

// ---- the store --------------------------------------------------------------------------------------------------------------------------------------

static bool start_writer(struct file *f, struct loop *loop)
{
	struct writer *w = mem_zalloc(sizeof *w);
	if (!w)
		return false;
	w->file = f;
	w->work = (struct loop_work){.run = write_run, .done = write_run_done};
	if (!loop_work_submit(f->store.host->threads, loop, &w->work)) {
		mem_free(w);
		return false;
	}
	loop_work_let_go(f->store.host->threads, &w->work, true);
	return true;
}

static void queue_take(struct file *f, struct request *r)
{
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		f->last = r->prev;
	r->is_queued = false;
}

static void submit_write(struct file *f, struct request *r)
{
	r->back.fn = write_done;
	spinlock_lock(&f->lock);
	r->next = NULL;
	r->prev = f->last;
	*f->last = r;
	f->last = &r->next;
	r->is_queued = true;
	bool starts = !f->writing;
	f->writing = true;
	spinlock_unlock(&f->lock);
	if (!starts || start_writer(f, r->part->loop))
		return;
	struct request *list = take_all(f);  // also what came since to a writer that is none
	all_fail(list, LINK_UNSENT, "the host has too much to do");
	give_back(list);
}

static void submit(struct link_part *p, struct link_op *op)
{
	struct file *f = file_of(p);
	struct request *r = request_new(p, op);
	if (!r) {
		link_op_fail(op, LINK_UNSENT, "no memory for what is asked of the store");
		return;
	}
	op->of = r;
	if (op->kind == LINK_SET || op->kind == LINK_DELETE || op->kind == LINK_INCREMENT || op->kind == LINK_SWAP) {
		submit_write(f, r);
		return;
	}
	r->work = (struct loop_work){.run = read_run, .done = read_done};
	__atomic_add_fetch(&f->n_reading, 1, __ATOMIC_ACQUIRE);
	if (loop_work_submit(p->store->host->threads, p->loop, &r->work))
		return;
	__atomic_sub_fetch(&f->n_reading, 1, __ATOMIC_RELEASE);
	request_free(r);
	link_op_fail(op, LINK_UNSENT, "the host has too much to do");
}

static bool cancel(struct link_part *p, struct link_op *op)
{
	struct file *f = file_of(p);
	struct request *r = op->of;
	bool writes = op->kind != LINK_GET && op->kind != LINK_EXISTS && op->kind != LINK_LIST && op->kind != LINK_CHECK;
	if (!writes) {
		pool_disown(r);
		loop_work_let_go(f->store.host->threads, &r->work, false);
		return false;
	}
	spinlock_lock(&f->lock);
	bool was_queued = r->is_queued;
	if (was_queued)
		queue_take(f, r);
	spinlock_unlock(&f->lock);
	r->op = NULL;
	if (was_queued)
		request_free(r);
	else
		pool_disown(r);
	return !was_queued;
}

static void recall(struct link_part *p)
{
	struct file *f = file_of(p);
	struct request *mine = NULL, **end = &mine;
	spinlock_lock(&f->lock);
	for (struct request *r = f->first, *next; r; r = next) {
		next = r->next;
		if (r->part != p)
			continue;
		queue_take(f, r);
		*end = r;
		end = &r->next;
		*end = NULL;
	}
	spinlock_unlock(&f->lock);
	while (mine) {
		struct request *r = mine;
		struct link_op *op = r->op;
		mine = r->next;
		request_free(r);
		link_op_done(op, LINK_RECALLED);
	}
}

static bool open(struct link_store *s, struct err *e)
{
	struct file *f = CONTAINER_OF(s, struct file, store);
	f->last = &f->first;
	return true;
}

// What threads do for it ends first; each thing that they do is bounded.
static void close(struct link_store *s)
{
	struct file *f = CONTAINER_OF(s, struct file, store);
	for (bool busy = true; busy;) {
		spinlock_lock(&f->lock);
		busy = f->writing;
		spinlock_unlock(&f->lock);
		busy |= __atomic_load_n(&f->n_reading, __ATOMIC_ACQUIRE) > 0;
		if (busy)
			pause_a_little();
	}
	for (unsigned i = 0; i < READERS; i++)
		base_close(&f->readers[i]);
	base_close(&f->writer);  // the last one: SQLite puts the log into the file
}

const struct link_store_ops link__file_ops = {
	.store_size = sizeof(struct file),
	.part_size = sizeof(struct link_part),
	.open = open,
	.close = close,
	.submit = submit,
	.cancel = cancel,
	.recall = recall,
};
