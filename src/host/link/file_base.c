// The database of a file: SQLite, in WAL mode with synchronous FULL.
#include "file_base.h"

#include <stdlib.h>

#include "sys/sys.h"

enum {
	FORMAT = 1,
	BUSY_MS = 1000,
	SWEEP_MOST = 1000,  // keys whose time is over, in one go
};
enum { GET, ALL_KEYS, KEYS, READS, PUT = READS, DROP, SWEEP, STATEMENTS };
_Static_assert(STATEMENTS == FILE_STATEMENTS, "each has its place");
uint64_t file__held_max = 256 * MIB;
static uint64_t held;  // atomic

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

const char *file__say(int rc)
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

int file__run(struct file_base *b, const char *text)
{
	return sqlite3_exec(b->db, text, NULL, NULL, NULL);
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

void file__base_close(struct file_base *b)
{
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(b->statements[i]);
	sqlite3_close(b->db);
	b->db = NULL;
	memset(b->statements, 0, sizeof b->statements);
}

static int make_tables(sqlite3 *db)
{
	return sqlite3_exec(db, "BEGIN IMMEDIATE;"
							"CREATE TABLE IF NOT EXISTS kv(id INTEGER PRIMARY KEY, space TEXT NOT NULL, bucket BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
							"version INTEGER NOT NULL, ends INTEGER, UNIQUE(space, bucket, key));"
							"CREATE INDEX IF NOT EXISTS kv_ends ON kv(ends) WHERE ends IS NOT NULL;"
							"CREATE INDEX IF NOT EXISTS kv_order ON kv(space, bucket);"  // with the id, as each index
							"PRAGMA user_version = 1; COMMIT",
		NULL, NULL, NULL);
}

// ---- which file it is ---------------------------------------------------------------------------------------------------------------------------

static void know(struct file *f, const struct sys_stat *st)
{
	__atomic_store_n(&f->store.device, st->device, __ATOMIC_RELAXED);
	__atomic_store_n(&f->store.inode, st->inode, __ATOMIC_RELEASE);
}

static bool is_known_as(const struct link_store *s, const struct sys_stat *st)
{
	return __atomic_load_n(&s->inode, __ATOMIC_ACQUIRE) == st->inode && __atomic_load_n(&s->device, __ATOMIC_RELAXED) == st->device;
}

// Is there a store that has the file by another path, in *ret_path, of SYS_PATH_MAX bytes? If there is none, this one is known to have it.
static bool has_another(struct file *f, const struct sys_stat *st, char *ret_path)
{
	struct link_host *h = f->store.host;
	bool found = false;
	spinlock_lock(&h->lock);
	for (const struct link_store *s = h->stores; s && !found; s = s->next) {
		found = s != &f->store && s->provider == f->store.provider && is_known_as(s, st) && !slice_eq(s->target.path, f->store.target.path);
		if (found)
			snprintf(ret_path, SYS_PATH_MAX, "%.*s", SLICE_ARGS(s->target.path));
	}
	if (!found)
		know(f, st);
	spinlock_unlock(&h->lock);
	return found;
}

// SQLite keeps the log of a file beside it, by its name: a hard link has another log, and who writes by both names spoils the file. By symbolic links it is one.
static bool is_one_path(const char *a, const char *b)
{
	char *x = realpath(a, NULL), *y = realpath(b, NULL);
	bool one = x && y && strcmp(x, y) == 0;
	free(x);
	free(y);
	return one;
}

static bool may_open(struct file *f, char why[160])
{
	const char *own = (const char *)f->store.target.path.ptr;
	char path[SYS_PATH_MAX];
	struct sys_stat st;
	if (sys_look(own, &st) < 0)
		return true;  // it is made, or SQLite says why not
	if (!has_another(f, &st, path) || st.links < 2 || is_one_path(own, path))
		return true;
	snprintf(why, 160, "the file is in use here by another name (hard link): %.100s", path);
	return false;
}

// *ret_why: what is wrong, where no code of SQLite says it.
static int base_open_file(struct file_base *b, const struct file *f, bool writes, const char **ret_why)
{
	int rc = sqlite3_open_v2((const char *)f->store.target.path.ptr, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(b->db, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = file__run(b, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
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

bool file__base_open(struct file_base *b, struct file *f, bool writes, char why[160])
{
	const char *text = NULL;
	struct sys_stat st;
	if (b->db)
		return true;
	if (!may_open(f, why))
		return false;
	int rc = base_open_file(b, f, writes, &text);
	if (rc == SQLITE_OK) {
		if (sys_look((const char *)f->store.target.path.ptr, &st) == 0)
			know(f, &st);  // it may have been made only now
		return true;
	}
	snprintf(why, 160, "%s", text ? text : file__say(rc));
	file__base_close(b);
	return false;
}

static sqlite3_stmt *bound(struct file_base *b, unsigned i, const struct file *f, const struct file_request *r)
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

// `always`: it is small, and can't wait.
static bool has_room(struct file *f, size_t n, bool always)
{
	uint64_t before = __atomic_fetch_add(&f->held, n, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&held, n, __ATOMIC_RELAXED) <= file__held_max || before == 0 || always)
		return true;
	__atomic_sub_fetch(&held, n, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&f->held, n, __ATOMIC_RELAXED);
	return false;
}

void file__drop_answer(struct file_request *r)
{
	if (r->ret_value) {
		__atomic_sub_fetch(&held, r->ret_len, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&r->file->held, r->ret_len, __ATOMIC_RELAXED);
	}
	mem_free(r->ret_value);
	r->ret_value = NULL;
}

static int hold_value(struct file_request *r, sqlite3_stmt *s)
{
	size_t n = (size_t)sqlite3_column_bytes(s, 0);
	const void *bytes = sqlite3_column_blob(s, 0);
	if (n == 0)
		return SQLITE_OK;
	if (!bytes)
		return SQLITE_NOMEM;
	if (!has_room(r->file, n, r->kind == LINK_INCREMENT))
		return FILE_NO_ROOM;
	r->ret_len = n;
	if (!(r->ret_value = mem_alloc(n))) {
		__atomic_sub_fetch(&held, n, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&r->file->held, n, __ATOMIC_RELAXED);
		return SQLITE_NOMEM;
	}
	memcpy(r->ret_value, bytes, n);
	return SQLITE_OK;
}

// `wants_value`: also what it is.
static int read_key(struct file_base *b, struct file_request *r, bool wants_value)
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

static int put_key(struct file_request *r, sqlite3_stmt *s, size_t *bytes)
{
	struct link_key k;
	struct slice bucket = slice_of(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1));
	struct slice key = slice_of(sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2));
	if (!slice_dup(&r->page, bucket, &k.bucket) || !slice_dup(&r->page, key, &k.key) || !VEC_PUSH(&r->page, &r->keys, k, UINT32_MAX))
		return SQLITE_NOMEM;
	*bytes += bucket.len + key.len;
	return SQLITE_ROW;
}

static int read_page(struct file_base *b, struct file_request *r)
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

int file__read(struct file_base *b, struct file_request *r)
{
	r->found = false;
	if (r->kind == LINK_LIST)
		return read_page(b, r);
	return r->kind == LINK_CHECK ? SQLITE_OK : read_key(b, r, r->kind == LINK_GET);
}

// ---- writes -----------------------------------------------------------------------------------------------------------------------------------------

static int put(struct file_base *b, struct file_request *r, struct slice value, uint64_t ends)
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

static int increment(struct file_base *b, struct file_request *r)
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

static int swap(struct file_base *b, struct file_request *r)
{
	int rc = read_key(b, r, false);
	if (rc != SQLITE_OK)
		return rc;
	if (r->version.words[0] == (r->found ? r->ret_version : 0))
		return put(b, r, r->value, ends_of(r->ttl_ms));
	r->code = LINK_STALE;
	return SQLITE_OK;
}

static int drop(struct file_base *b, struct file_request *r)
{
	sqlite3_stmt *s = bound(b, DROP, r->file, r);
	int rc = sqlite3_step(s);
	done_with(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int file__write(struct file_base *b, struct file_request *r)
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

// ---- the log ----------------------------------------------------------------------------------------------------------------------------------------

// The log is put into the file if it has so many pages, and what has ended its time is dropped.
void file__tidy(struct file *f, int pages)
{
	struct file_base *b = &f->writer;
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

void file__watch_log(struct file *f)
{
	if (f->writer.db)
		sqlite3_wal_hook(f->writer.db, on_commit, f);
}
