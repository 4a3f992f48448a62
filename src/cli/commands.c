#include "commands.h"

int cli__run_command(struct cli *c, struct err *e)
{
	static int (*const run[])(struct cli *, struct err *) = {
		NULL,
#define COMMAND(name, ...) cli__command_##name,
#include "commands.def"
#undef COMMAND
	};
	return run[c->command](c, e);
}
