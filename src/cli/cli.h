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

struct cli {
	enum cli_command command;
	bool help, version, verbose;
	uint64_t early;  // options that were given before the command, by row
	const char *invoke;
	char host[256];
	struct arena arena;
	VEC(const char *)
	args;  // what is no option; for `run` everything after FILE belongs to the guest
	struct serve_config config;
};

// Fills *c from the command line. Borrowed strings live as long as argv. Errors: USAGE.
NODISCARD bool cli_parse(int argc, char **argv, struct cli *c, struct err *e);
void cli_release(struct cli *c);
// --help of the program (CLI_NONE) or of one command, on stdout.
void cli_print_help(enum cli_command command);
void cli_print_version(bool verbose);
// "error: ..." with its indented lines, on stderr.
void cli_print_error(const struct err *e);

// The frames of a trap, innermost first: its lines but the first one, which is the error's text again.
void cli_print_backtrace(const char *lines);

int cli_main(int argc, char **argv);

// Refuses, each with a sentence of its own, what is given but is no component: text, archives, compiled artifacts, references, modules.
NODISCARD bool cli_check_file(const char *path, bool modules_too, struct err *e);
// The same of what has been read.
NODISCARD bool cli_check_head(const char *path, struct slice head, bool modules_too, struct err *e);
// Opens a file, pipe or device that is read once, with the same sentences. NULL: it can't be opened.
NODISCARD FILE *cli_open_file(const char *path, struct err *e);

#endif
