// The commands: each returns the exit status and leaves what went wrong in *e.
#ifndef TENON_CLI_COMMANDS_H
#define TENON_CLI_COMMANDS_H

#include "cli_int.h"

#define COMMAND(name, ...) int cli__command_##name(struct cli *c, struct err *e);
#include "commands.def"
#undef COMMAND

int cli__run_command(struct cli *c, struct err *e);

#endif
