// What lasts of an app: its releases and what its operations came to, as the journal has them, read at the start and kept beside it.
//
// Records, each an object on a line, in the order in which they came about (docs/formats.md):
//   {"manifest": TEXT}                                       what live changes are laid over from here on (of before: a release has it now)
//   {"operation": N, "what": TEXT}                           begun
//   {"release": N, "operation"?: N, "time", "what", "live", "manifest"?, "folder"?, "stopped"?, …}  in force once it is on the disk, but for:
//   {"abort": N}                                             it could not be published
//   {"end": N, "state": WORD, "events": ID, …}               the operation is over
#ifndef TENON_CTL_STATE_H
#define TENON_CTL_STATE_H

#include "ctl.h"

enum { CTL_RELEASES = 100, CTL_RELEASE_BYTES = 8 << 20, CTL_ENDED = 64 };

// A manifest: what live changes of releases are laid over. Shared by those.
struct ctl__manifest {
	uint32_t refs;
	struct slice text;    // as app_print has it; owned
	struct slice folder;  // that its paths begin in, as the journal has it; empty: not known (of a tenon that didn't write it); owned
};
struct ctl__release {
	struct ctl__release *older;
	uint64_t number, time_ms, operation;  // operation 0: the start of the process
	char *what;
	struct slice live;                    // text, owned
	struct ctl__manifest *manifest;       // that it is laid over
	// Nothing of the app is in force; whose store it changed (empty: none), its number from here on, and whether what was in it went with it.
	bool stopped;
	char link[64];
	struct slice with;                    // names of links that moved along, each with a blank behind it; owned
	uint64_t epoch;
	bool copy;
	struct slice members;                 // further ones of the record, JSON with a comma before each, owned
	uint64_t begins, ends;                // where its record is in the journal, until another one is written
};
// An operation that was over, or that the end of the process ended.
struct ctl__ended {
	uint64_t number, release;             // release 0: it made none
	char what[256], state[16];            // state: that of its end; empty: it has none
};
struct ctl_state {
	struct ctl_journal *journal;
	struct ctl__crons *crons;  // NULL: it has none
	char app[64];
	char *path;               // STATE/TENANT/APP, by the one name of it
	struct ctl__manifest *manifest;       // of the newest release, or read before the first; NULL: none
	struct ctl__release *newest;
	uint32_t n;
	struct ctl__ended *ended;             // the last CTL_ENDED, by number modulo; NULL: there was none yet
	uint64_t next_op, next_event;
	struct slice settled;                 // owned: live changes from here on, until begin
	bool has_settled;
	uint64_t rewritten;                   // bytes of the journal when it was written anew last
};

// What a release says besides its number. All is copied.
struct ctl__draft {
	uint64_t operation;
	const char *what;
	struct slice live, members;  // members: further ones of its record, empty or each with a comma before it
	struct slice manifest, folder;  // that it is laid over, and as app.root where that lies; empty: the one of the newest
	bool stopped;
	const char *link;            // NULL: none
	struct slice with;           // of others that move along, each with a blank behind it
	uint64_t epoch;
	bool copy;
};
// Is it this text, in this folder (as app.root)? Of one whose folder isn't known only the text counts.
bool ctl__manifest_is(const struct ctl_state *s, const struct ctl__manifest *m, struct slice text, struct slice folder);
// Of two releases: both of one text and one folder, as far as that is known.
bool ctl__manifest_same(const struct ctl__manifest *a, const struct ctl__manifest *b);
// Where it lies, as app.root; in the arena. Empty: not known.
NODISCARD bool ctl__manifest_folder(const struct ctl_state *s, const struct ctl__manifest *m, struct arena *a, struct slice *ret, struct err *e);
// On the disk when this returns, and in *ret, which isn't among the releases yet. false: nothing is there.
NODISCARD bool ctl__state_write(struct ctl_state *s, const struct ctl__draft *d, struct ctl__release **ret, struct err *e);
// It is in force: no error any more.
void ctl__state_publish(struct ctl_state *s, struct ctl__release *r);
// It is not, also for the next start; `r` is freed.
NODISCARD bool ctl__state_abort(struct ctl_state *s, struct ctl__release *r, struct err *e);
NODISCARD bool ctl__state_op_begun(struct ctl_state *s, uint64_t number, const char *what, struct err *e);
// What can't be written is told as recovered by the next start.
void ctl__state_op_ended(struct ctl_state *s, uint64_t number, const char *state, uint64_t next_event);
// The newest release that changed this link's store, and so what an undo takes back. NULL: there is none.
const struct ctl__release *ctl__state_link(const struct ctl_state *s, const char *name);
// Did the store of that link change by it?
bool ctl__release_moved(const struct ctl__release *r, const char *link);
// ,"with":["a","b"], or nothing.
void ctl__put_with(struct buf *b, struct slice with);
uint64_t ctl__state_release(const struct ctl_state *s);
// NULL: it isn't known (any more).
const struct ctl__ended *ctl__state_ended(const struct ctl_state *s, uint64_t number);

#endif
