// tenon dev, between its parts: dev_watch.c files that change (inotify), dev_glob.c which of them are meant, dev_paths.c which of them a build itself wrote,
// dev_process.c builds and the server as processes, dev_part.c a component and its builds, dev_server.c the server, its versions and the page, cmd_dev.c what
// is done when.
#ifndef TENON_CLI_DEV_H
#define TENON_CLI_DEV_H

#include "cli_int.h"

enum { DEV_OUTPUT = 64 << 10, DEV_PATH = 4096 };  // bytes that are kept of what a build says; of a path, at most

// ---- which files are meant -------------------------------------------------------------------------------------------------------------------

// Does the path fit? '*' stands for any text without '/', '?' for one character, "**" between slashes for any number of folders, none among them. What begins
// with '.' is meant by none of these.
bool dev_glob(struct slice pattern, struct slice path);
// May something beneath the folder fit?
bool dev_glob_beneath(struct slice pattern, struct slice folder);
// An absolute path without ".", ".." and empty parts, of one that may be relative to a folder; by its letters alone. In *b, with a zero byte behind it.
struct slice dev_path(struct buf *b, const char *folder, struct slice path);

// ---- files that change -----------------------------------------------------------------------------------------------------------------------

enum dev_change {
	DEV_WRITTEN,  // or moved, or gone
	DEV_MADE,     // is there, and not written yet
	DEV_BENEATH,  // whatever is in that folder; path "": anything
};
typedef void (*dev_change_fn)(void *ctx, struct slice path, enum dev_change what);
struct dev_watch;
NODISCARD bool dev_watch_open(struct dev_watch **ret, struct err *e);
void dev_watch_close(struct dev_watch *w);
int dev_watch_fd(const struct dev_watch *w);  // readable when there is something to tell
// What changes in a folder that is there; `deep`: and in all beneath it, but those whose names begin with '.'. Where it is removed or another takes its place that
// is a change, and from then on the other one is watched. ENV, LIMIT.
NODISCARD bool dev_watch_add(struct dev_watch *w, const char *folder, bool deep, struct err *e);
// Tells what has changed, at once. Folders that are new are watched from here on; false: one of them can't be.
NODISCARD bool dev_watch_read(struct dev_watch *w, dev_change_fn fn, void *ctx, struct err *e);

// ---- what a build wrote ------------------------------------------------------------------------------------------------------------------------
// Paths of a component that changed while it or another one was built, from build to build. Nobody says who wrote a file; what tells is that builds write the same
// again.
struct dev_paths;
NODISCARD bool dev_paths_new(struct dev_paths **ret, struct err *e);
void dev_paths_free(struct dev_paths *p);
// Changed while something is built. true: a file that was there, and nothing says that a build writes it.
bool dev_paths_note(struct dev_paths *p, struct slice path, bool made);
// Changed while nothing is built: no build wrote it.
void dev_paths_by_hand(struct dev_paths *p, struct slice path);
bool dev_paths_is_output(const struct dev_paths *p, struct slice path);
// A build has ended. Has something changed in it that somebody else may have written?
bool dev_paths_settle(struct dev_paths *p);

// ---- processes -----------------------------------------------------------------------------------------------------------------------------------

struct dev_process {
	int pid;  // 0: none
	int out;  // what it says on both streams; -1: these are ours, or all has been read
	int fd;   // tells that it is over; -1: nothing does
};
#define DEV_NO_PROCESS {.out = -1, .fd = -1}
// In a group of its own, and it ends with us. `folder`: NULL: ours.
NODISCARD bool dev_start(const char *const *argv, const char *folder, bool piped, struct dev_process *ret, struct err *e);
// At most so long, or until a file changes, one of the processes says something or is over, or a signal comes.
void dev_wait(const struct dev_watch *w, const struct dev_process *const *list, uint32_t n, int ms);
// Takes what it has said: of more than DEV_OUTPUT bytes the end is kept. *ret_left_out: and so many went before.
void dev_read(struct dev_process *p, struct buf *b, uint64_t *ret_left_out);
// Is it over? Also where others still hold its streams. Its number stays its own until it is reaped.
bool dev_has_ended(const struct dev_process *p);
// Waits for it: its exit status, 128 and the number of a signal.
int dev_reap(struct dev_process *p);
// Tells its group to end, waits so long for it and for all that hold its streams, and ends who is left.
void dev_stop(struct dev_process *p, int ms);

// ---- a folder that nobody else sees, gone with all in it at the end ------------------------------------------------------------------------------

// *ret_lock: as long as that is open it is somebody's.
NODISCARD bool dev_folder_new(char ret[64], int *ret_lock, struct err *e);
// Those whose processes could not remove them go.
void dev_folders_clean(void);
void dev_folder_remove(const char *path);
bool dev_is_there(const char *path);

// ---- a component and its builds --------------------------------------------------------------------------------------------------------------------

struct dev_part {
	const struct app_component *of;
	struct dev_process build;
	struct buf said;
	uint64_t left_out;    // bytes of what it said before that
	uint64_t began_ns;
	char sha256[65];      // of what serves; empty: nothing does
	bool is_building, is_dirty, has_failed, was_built;
	struct dev_paths *paths;
};
struct dev {
	struct cli *c;
	const struct app *app;
	const char *path;     // as it was given
	char root[DEV_PATH];  // the manifest's folder
	struct dev_part *parts;
	uint32_t n;
	struct dev_watch *watch;
	struct dev_process server;
	bool is_page;         // the server shows what builds say
	const bool *stop;
	char folder[64], socket[200], page[96];
	int lock;             // of the folder
};
NODISCARD bool dev_part_watch(struct dev *d, const struct dev_part *p, struct err *e);
// Takes up what has changed; what can't be watched any more is told.
void dev_part_look(struct dev *d);
NODISCARD bool dev_part_build(struct dev *d, struct dev_part *p, struct err *e);
// true: its build has ended, and what it said is told where it failed.
bool dev_part_is_built(struct dev *d, struct dev_part *p);
double dev_ms_since(uint64_t ns);

// ---- the server --------------------------------------------------------------------------------------------------------------------------------------

// The app, or the page where a component of it has never been built. false: it ended at once, with *ret_status.
NODISCARD bool dev_server_start(struct dev *d, int *ret_status, struct err *e);
// What was built takes the place of the version before. What can't be served is told like a build that failed: the last good version serves on.
void dev_server_update(struct dev *d, struct dev_part *p);
enum { DEV_SERVER_MS = 40000, DEV_BUILD_MS = 2000 };  // for their end

#endif
