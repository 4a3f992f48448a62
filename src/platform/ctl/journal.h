// The journal of one app: what lasts over a restart, a record a line.
#ifndef TENON_CTL_JOURNAL_H
#define TENON_CTL_JOURNAL_H

#include "base/base.h"

struct ctl_journal;

// Where an app's state lies, opened and locked: STATE/TENANT/APP, made where it isn't there, mode 0700. One process at a time has it: ENV else.
struct ctl_journal_records {
	// Each whole record, in order; the text lives until it returns. false: it is none that this program understands (*e is set).
	bool (*on_record)(void *user, struct slice json, struct err *e);
	void *user;
};
// A tail that was not whole when the process or the machine ended is cut off; a record that is damaged with whole ones behind it, or a newer format, is ENV.
NODISCARD bool ctl_journal_open(const char *state, const char *tenant, const char *app, const struct ctl_journal_records *r, struct ctl_journal **ret,
	struct err *e);
// Another file of the same form in its folder, within its lock: closed before it. `name` stays the caller's, as long as it is open.
NODISCARD bool ctl_journal_open_beside(const struct ctl_journal *beside, const char *name, const struct ctl_journal_records *r, struct ctl_journal **ret,
	struct err *e);
bool ctl_journal_is_beside(const struct ctl_journal *j, const char *name);  // there is such a file
// One line of JSON, on the disk when this returns. false: nothing of it will be read again; after a disk that failed no further record is taken.
NODISCARD bool ctl_journal_add(struct ctl_journal *j, struct slice json, struct err *e);
// What was added since it had `size` bytes never was; that takes no room on the disk.
NODISCARD bool ctl_journal_cut(struct ctl_journal *j, uint64_t size, struct err *e);
// All of it anew: what the records (lines of JSON, each with its newline) say, and nothing else. false: it is as it was.
NODISCARD bool ctl_journal_rewrite(struct ctl_journal *j, struct slice records, struct err *e);
uint64_t ctl_journal_size(const struct ctl_journal *j);
// Its folder, for the blobs: the journal's descriptor.
int ctl_journal_folder(const struct ctl_journal *j);
void ctl_journal_close(struct ctl_journal *j);
// Closes it and takes it out of the folders, and those that nothing else lies in: STATE itself with `all`. What fails stays.
void ctl_journal_discard(struct ctl_journal *j, bool all);

#endif
