// A component's bytes as a request brings them: written to a file as they come, in bounded memory.
#ifndef TENON_CTL_UPLOAD_H
#define TENON_CTL_UPLOAD_H

#include "base/base.h"

// Of its file, with ctl->began_ns: what other processes left behind has another one.
#define CTL_UPLOAD_NAME "upload-%llx-"

struct ctl;
struct ctl_state;
struct ctl__upload;

// Of an app whose folder of the journal is `state` (it stays the caller's). `moved` is called on the control thread when a piece was written, or could not be.
// Errors: memory, ENV. On the control thread, as all of this where nothing else is said.
NODISCARD bool ctl__upload_new(struct ctl *ctl, int state, void (*moved)(void *user), void *user, struct ctl__upload **ret, struct err *e);
// How many of the bytes it took, before this returns: `moved` comes. 0: it failed. Not while it is busy, and so for what follows.
size_t ctl__upload_put(struct ctl__upload *u, struct slice data);
bool ctl__upload_is_busy(const struct ctl__upload *u);
uint64_t ctl__upload_size(const struct ctl__upload *u);
// It did, and why: REFUSED.
bool ctl__upload_failed(const struct ctl__upload *u, struct err *e);
// All has come, and hashes to that: it is a blob of the app from here on, on the disk. On an operation's thread. USAGE: it hashes to something else; REFUSED.
NODISCARD bool ctl__upload_keep(struct ctl__upload *u, const struct ctl_state *s, const char *sha256, char ret_sha256[65], struct err *e);
// Nobody wants it any more: what was not kept is removed. NULL does nothing. The one on the control thread, which doesn't wait for it; the other on any thread, once it
// is whole.
void ctl__upload_leave(struct ctl__upload *u);
void ctl__upload_drop(struct ctl__upload *u);

#endif
