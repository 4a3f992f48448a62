// The command line's table of contents.
#include "cli_int.h"

#include "commands.h"
#include "sys/sys.h"

int cli_main(int argc, char **argv)
{
	struct cli c;
	struct err e;
	sys_standard_fds();
	sys_no_sigxfsz();
	err_clear(&e);
	int status = 2;
	if (!cli_parse(argc, argv, &c, &e)) {
		cli_print_error(&e);
		status = e.code == ERR_NOMEM ? err_exit_status(e.code) : status;
	} else if (c.help || (c.command == CLI_NONE && !c.version)) {
		cli_print_help(c.command);
		status = c.help ? 0 : 2;
	} else if (c.version) {
		cli_print_version(c.verbose);
		status = 0;
	} else {
		c.config.process.terminal = sys_is_terminal(2);
		status = cli__run_command(&c, &e);
		if (e.code != ERR_NONE) {
			cli_print_error(&e);
			if (status == 0)
				status = err_exit_status(e.code);
		}
	}
	cli_release(&c);
	return status;
}
