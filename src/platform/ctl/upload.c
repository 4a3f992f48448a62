// A component's bytes as they come: into a file beside the blobs, piece by piece, hashed meanwhile. Threads of a pool wait for the disk; the control thread has one
// piece of each at most.
//
//   new ──► writes ⇄ waits for more ──► kept (the file is a blob by its hash) ──► left
//                  └── failed, or its client went ─────────────────────────────► left: the file is removed
// What a process that ended leaves behind is removed by the next one (blob.c): names begin with what that one was begun at.
#include "upload.h"

#include <errno.h>
#include <stdio.h>

#include "ctl_int.h"
#include "tier/tier.h"

enum { PIECE = 128 << 10, THREADS = 2, QUEUED = 256 };

struct ctl__upload {
	struct loop_work work;
	struct loop_pool *pool;
	struct loop *loop;
	int state, folder, file;  // state: the app's; the others -1 until there is a first piece
	char name[64];            // of the file; empty: there is none any more
	uint64_t size;            // that came
	struct tier_hash *hash;   // of it
	size_t n;              // in `piece`
	bool busy;              // a thread of the pool has it
	int why;                  // it failed
	void (*moved)(void *user);
	void *user;
	uint8_t piece[PIECE];
};

// ---- on a thread of the pool -------------------------------------------------------------------------------------------------------------------

static int open_file(struct ctl__upload *u)
{
	u->folder = sys_private_subfolder(u->state, "blobs");
	u->file = u->folder < 0 ? u->folder : sys_private_file(u->folder, u->name, true, true);
	return u->file < 0 ? u->file : 0;
}

static void write_piece(struct loop_work *w)
{
	struct ctl__upload *u = CONTAINER_OF(w, struct ctl__upload, work);
	int why = u->file < 0 ? open_file(u) : 0;
	why = why < 0 ? why : sys_write_at(u->file, u->piece, u->n, u->size);
	tier_hash_put(u->hash, slice_of(u->piece, u->n));
	u->size += u->n;
	u->why = why < 0 ? why : 0;
}

static void remove_file(struct loop_work *w)
{
	struct ctl__upload *u = CONTAINER_OF(w, struct ctl__upload, work);
	if (u->file >= 0 && u->name[0])
		sys_private_remove(u->folder, u->name);
	sys_close(u->file);
	sys_close(u->folder);
	sys_close(u->state);
	u->file = u->folder = u->state = -1;
}

static void free_upload(struct loop_work *w)
{
	struct ctl__upload *u = CONTAINER_OF(w, struct ctl__upload, work);
	tier_hash_free(u->hash);
	mem_free(u);
}

// ---- on the control thread ------------------------------------------------------------------------------------------------------------------------

static void on_written(struct loop_work *w)
{
	struct ctl__upload *u = CONTAINER_OF(w, struct ctl__upload, work);
	u->busy = false;
	if (!w->let_go) {
		u->moved(u->user);
		return;
	}
	remove_file(w);  // on the pool's thread, or the loop's
	free_upload(w);
}

bool ctl__upload_new(struct ctl *ctl, int state, void (*moved)(void *user), void *user, struct ctl__upload **ret, struct err *e)
{
	*ret = NULL;
	if (!ctl->uploads && !loop_pool_new(&ctl->uploads, THREADS, QUEUED, e))
		return false;
	struct ctl__upload *u = mem_zalloc(sizeof *u);
	if (!u || !tier_hash_new(&u->hash)) {
		mem_free(u);
		return err_nomem(e);
	}
	u->state = sys_dup(state);
	if (u->state < 0) {
		err_set_errno(e, -u->state, "the component's bytes can't be kept");
		free_upload(&u->work);
		return false;
	}
	u->folder = u->file = -1;
	u->pool = ctl->uploads;
	u->loop = ctl->loop;
	u->moved = moved;
	u->user = user;
	snprintf(u->name, sizeof u->name, CTL_UPLOAD_NAME "%u", (unsigned long long)ctl->began_ns, ctl->n_uploads++);
	*ret = u;
	return true;
}

size_t ctl__upload_put(struct ctl__upload *u, struct slice data)
{
	u->n = min_u64(data.len, sizeof u->piece);
	memcpy(u->piece, data.ptr, u->n);
	u->work = (struct loop_work){.run = write_piece, .done = on_written};
	u->busy = true;
	if (loop_work_submit(u->pool, u->loop, &u->work))
		return u->n;
	u->busy = false;
	u->why = -EAGAIN;
	return 0;
}

bool ctl__upload_is_busy(const struct ctl__upload *u)
{
	return u->busy;
}

uint64_t ctl__upload_size(const struct ctl__upload *u)
{
	return u->size;
}

// What is said of a change that failed: it is none of the client's surroundings.
static bool cannot_keep(int why, struct err *e)
{
	err_set_errno(e, -why, "the component's bytes can't be kept");
	if (why == -ENOSPC || why == -EDQUOT)
		err_hint(e, "make room where tenon keeps its state (TENON_STATE), and ask again: nothing was changed");
	e->code = ERR_REFUSED;
	return false;
}

bool ctl__upload_failed(const struct ctl__upload *u, struct err *e)
{
	return u->why < 0 && !cannot_keep(u->why, e);
}

// ---- any thread -----------------------------------------------------------------------------------------------------------------------------------

bool ctl__upload_keep(struct ctl__upload *u, const struct ctl_state *s, const char *sha256, char ret_sha256[65], struct err *e)
{
	tier_hash_end(u->hash, ret_sha256);
	if (strcmp(sha256, ret_sha256) != 0)
		return err_set(e, ERR_USAGE, "the bytes have another sha256: %s", ret_sha256);
	int why = ctl__blob_take(s, u->file, u->name, u->size, ret_sha256);
	if (why <= 0)
		sys_private_remove(u->folder, u->name);
	u->name[0] = 0;
	return why >= 0 || cannot_keep(why, e);
}

void ctl__upload_drop(struct ctl__upload *u)
{
	if (!u)
		return;
	remove_file(&u->work);
	free_upload(&u->work);
}

void ctl__upload_leave(struct ctl__upload *u)
{
	if (!u)
		return;
	if (u->busy) {
		loop_work_let_go(u->pool, &u->work, true);
		return;
	}
	u->work = (struct loop_work){.run = remove_file, .done = free_upload};
	if (loop_work_submit(u->pool, u->loop, &u->work))
		loop_work_let_go(u->pool, &u->work, true);  // `done` comes on this thread, or by that
	else
		ctl__upload_drop(u);
}
