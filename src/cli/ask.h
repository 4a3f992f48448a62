// What the commands that ask a running tenon share: which one, and its answers.
#ifndef TENON_CLI_ASK_H
#define TENON_CLI_ASK_H

#include "cli_int.h"
#include "ctl/ctl.h"

enum { CLI__ANSWER_SECONDS = 60 };  // that one answer is waited for

struct ask_tenon {
	const char *path;         // of its socket
	const struct json *status;  // /v1/status
};
// Each that answers; in the arena of the command line.
NODISCARD bool cli__ask_all(struct cli *c, struct ask_tenon **ret, uint32_t *ret_n, struct err *e);
// The one that runs the app (NULL: the only app that runs), and the app's object of its status. Errors: ENV: none runs, or not that one; USAGE: which one?
NODISCARD bool cli__ask_app(struct cli *c, const char *app, struct ask_tenon *ret, const struct json **ret_app, struct err *e);
// One question to the one at that socket. An answer that is an error is one here.
NODISCARD bool cli__ask(struct cli *c, const char *socket, const char *method, const char *target, struct slice body, struct ctl_reply *ret, struct err *e);
// A component that is to be sent, piece by piece: its file as it was when it was opened.
struct cli__file {
	FILE *f;  // NULL: none
	uint64_t size;
	char sha256[65];
};
// With the sentences for what is no component. To be closed, also where it failed.
NODISCARD bool cli__file_open(const char *path, struct cli__file *ret, struct err *e);
void cli__file_close(struct cli__file *f);
NODISCARD bool cli__ask_with(struct cli *c, const char *socket, const char *target, const struct cli__file *file, struct ctl_reply *ret, struct err *e);
// The path beneath the component's own that it goes to.
void cli__put_version(struct buf *to, const char *path, const char *sha256);
// Asks for a change of an app (NULL: the only one that runs) at a path beneath its own, and waits until it is over; steps are printed as they come, and with
// --json the operation. Ctrl-C asks to cancel. *ret: the operation, of one that is in force; the arena's. Errors: REFUSED: nothing changed.
NODISCARD bool cli__change(struct cli *c, const char *app, struct buf *path, struct slice body, const struct json **ret, struct err *e);
// The same with a component.
NODISCARD bool cli__change_with(struct cli *c, const char *app, struct buf *path, const struct cli__file *file, const struct json **ret, struct err *e);
// The same of that app at that tenon.
NODISCARD bool cli__change_at(struct cli *c, const struct ask_tenon *t, const char *app, struct buf *path, struct slice body, const struct json **ret, struct err *e);

#endif
