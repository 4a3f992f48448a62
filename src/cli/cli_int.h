// Shared by the files of the room.
#ifndef TENON_CLI_INT_H
#define TENON_CLI_INT_H

#include "app/app.h"
#include "cli.h"

// kind: t time (nanoseconds), b bytes, n count. "none" is 0.
NODISCARD bool cli__parse_quantity(const char *value, char kind, uint64_t *ret, struct err *e);

// A manifest's file, as it was read.
struct cli_manifest {
	const char *path;
	const char *root;  // of app_inputs, as it was then; NULL: the folder has no name any more
	struct slice text;
	bool is_written;  // by app_print: the profile and the values of --set are in it already
	const struct app *secrets_of;  // of one that is written, as app_inputs has it
};
// The manifest at a path, or the tenon.toml or spin.toml of a folder. In the arena.
NODISCARD bool cli__manifest_read(struct arena *a, const char *path, struct cli_manifest *ret, struct err *e);
// With the command's --profile and --set, and live changes laid over it. On any thread. *ret lives as long as the arena.
NODISCARD bool cli__manifest_load(const struct cli *c, struct arena *a, const struct cli_manifest *m, struct slice live, struct app **ret, struct err *e);
// Loads the manifest at a path, or the tenon.toml or spin.toml of a folder, with the command's --profile and --set. *ret lives as long as the arena of *c.
NODISCARD bool cli__app_load(struct cli *c, const char *path, struct app **ret, struct err *e);

// The whole of a file of at most `max` bytes, in the arena with a zero byte behind it.
NODISCARD bool cli__read_stream(FILE *f, const char *path, size_t max, struct arena *a, struct slice *ret, struct err *e);
// A component's imports, as app_bind takes them. In the arena, of what the component keeps.
struct comp_component;
NODISCARD bool cli__app_imports(struct arena *a, const struct comp_component *comp, struct app_import **ret, struct err *e);

// What others wrote, for people (buf_put_printable), in the arena.
struct slice cli__printable(struct cli *c, struct slice text);

// Is there an option of that name that some command acts on?
bool cli__option_acts(const char *name);
// Was an option given on the command line?
bool cli__was_given(const struct cli *c, const char *name);

// A server, with its control socket beside it, until it is told to stop and has drained: the exit status. The second: of the component of the command line alone.
// `control`: apps of manifests, and how others come, all but the process; no apps: the components alone, which aren't changed.
struct ctl_config;
struct serve_setup;
int cli__serve(struct cli *c, const struct serve_setup *setup, const struct ctl_config *control, struct err *e);
int cli__serve_component(struct cli *c, struct err *e);

#endif
