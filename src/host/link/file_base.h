// A file of a store: what its database does, on a thread of the pool (file_base.c), for what waits and runs (file.c).
#ifndef TENON_LINK_FILE_BASE_H
#define TENON_LINK_FILE_BASE_H

#include <sqlite3.h>

#include "line.h"
#include "link_int.h"

enum { FILE_STATEMENTS = 6 };
// One thread's at a time.
struct file_base {
	sqlite3 *db;               // NULL: not open
	sqlite3_stmt *statements[FILE_STATEMENTS];
	bool is_used;              // by a thread; under the file's lock
};
struct file;
struct file_request {
	struct loop_remote back;
	struct file_request *next, **prev;
	struct file *file;
	struct link_part *part;
	struct loop *loop;
	struct link_op *op;        // NULL: given up
	struct link__in_line line;
	enum { FILE_RESTS, FILE_TAKEN, FILE_QUEUED, FILE_RUNS, FILE_COMES_BACK } state;  // under the file's lock
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
struct file_queue {
	struct file_request *first, **last;
};
enum { FILE_READERS = 3 };  // with the writer half of the threads of the pool: an owner's share
struct file {
	struct link_store store;
	struct spinlock lock;      // of what follows
	struct file_queue writes, reads;
	bool writing, leaving, has_left;
	uint32_t n_reading;
	bool is_full;              // a read waits for room
	struct file_base readers[FILE_READERS];
	uint64_t held;             // atomic: bytes of answers that wait for their loops
	// the writer's
	struct file_base writer;
	uint64_t version, swept_ms;
	int wal_pages;
};
// Bytes of answers that wait for their loops, of all files together; a file that has none may always have one more, and a read that finds no room waits. Tests set it.
extern uint64_t file__held_max;
enum { FILE_NO_ROOM = -1 };

// false: why not, in `why`.
NODISCARD bool file__base_open(struct file_base *b, struct file *f, bool writes, char why[160]);
void file__base_close(struct file_base *b);
// GET, EXISTS, LIST, CHECK; as all that follow a code of SQLite. FILE_NO_ROOM: there are too many answers that wait, and nothing of this one is there.
int file__read(struct file_base *b, struct file_request *r);
// SET, DELETE, INCREMENT, SWAP, within a transaction: r->code, with r->text.
int file__write(struct file_base *b, struct file_request *r);
int file__run(struct file_base *b, const char *text);
// For people, of the last failure.
const char *file__say(int rc);
// What it holds of an answer is given back.
void file__drop_answer(struct file_request *r);
// The log is put into the file if it has so many pages, and what has ended its time is dropped.
void file__tidy(struct file *f, int pages);
// After a commit of the writer's: how many pages the log has.
void file__watch_log(struct file *f);

#endif
