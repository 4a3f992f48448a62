// Room cli: the command line. One file a command; options.def is parsing and --help.
#ifndef TENON_CLI_H
#define TENON_CLI_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "serve/serve.h"

enum cli_command {
	CLI_NONE,
#define COMMAND(name, ...) CLI_##name,
#include "commands.def"
#undef COMMAND
};

#define CLI_MAX_ARGS 100000  // of a guest
#define CLI_MAX_ENV 10000
#define CLI_MAX_NETS 10000
#define CLI_MAX_CERTS 64
#define CLI_MAX_ADDRESSES 64
#define CLI_MAX_DIRS 1000

struct cli {
	enum cli_command command;
	bool help, version, verbose;
	unsigned __int128 given, early;  // options, by row; those before the command
	int argc;
	char **argv;  // as it was given
	const char *invoke;
	bool wit, follow, schema;
	bool manifest, live;          // what counts where both were changed
	bool copy, no_copy, replace, undo, discard, dry_run, no_wait;        // of a change
	bool promote, rollback, accept;  // of an update; `promote` of a link
	unsigned percent;           // 0: not given
	unsigned shadow;            // of a link; where it was given
	const char *policy;           // as it was given; NULL: it was not
	uint64_t to, min, max;          // of an undo; of scale
	uint64_t max_pause_ns, limit_ns;                            // 0: as it is without
	const char *profile;  // of a manifest
	struct arena arena;
	VEC(const char *)
	sets;  // NAME=VALUE, for its variables
	VEC(const char *)
	args;  // what is no option; for `run` everything after FILE belongs to the guest
	struct serve_config config;
};

// Fills *c from the command line. Borrowed strings live as long as argv. Errors: USAGE.
NODISCARD bool cli_parse(int argc, char **argv, struct cli *c, struct err *e);
void cli_release(struct cli *c);
// The tables, for what is made of them (tools/pages.c): each option that --help shows, each command (from 1 on). false: there is no such one.
struct cli_option_info {
	const char *name, *arg, *help;  // arg: NULL: takes none
	uint64_t commands;              // a bit each, by enum cli_command
	bool is_limit, anywhere;        // anywhere: before the command too
};
bool cli_option_info(size_t i, struct cli_option_info *ret);
struct cli_command_info {
	const char *name, *args, *summary, *description;
};
bool cli_command_info(size_t i, struct cli_command_info *ret);
// --help of the program (CLI_NONE) or of one command, on stdout.
void cli_print_help(enum cli_command command);
void cli_print_version(bool verbose);
// "error: ..." with its indented lines, on stderr.
void cli_print_error(const struct err *e);

// The frames of a trap, whole lines, innermost first.
void cli_print_backtrace(const char *lines);

int cli_main(int argc, char **argv);

// Opens the file of a service. Refuses, each with a sentence of its own, what is given but is no component: text, archives, compiled artifacts, references, modules.
NODISCARD bool cli_check_file(struct serve_service_config *service, bool modules_too, struct err *e);
// The same of what has been read.
NODISCARD bool cli_check_head(const char *path, struct slice head, bool modules_too, struct err *e);
// Opens a file, pipe or device that is read once, with the same sentences. NULL: it can't be opened.
NODISCARD FILE *cli_open_file(const char *path, struct err *e);
// The same of a manifest's component: neither a pipe nor a device, which would keep whoever reads it waiting.
NODISCARD FILE *cli_open_component(const char *path, struct err *e);

#endif
