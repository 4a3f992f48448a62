// tenon run: a command, or one export with --invoke.
#include "commands.h"

int cli__command_run(struct cli *c, struct err *e)
{
	c->config.service.path = c->args.ptr[0];
	for (uint32_t i = 0; i < c->args.len; i++)  // a program sees its own name first
		if (!VEC_PUSH(&c->arena, &c->config.service.args, c->args.ptr[i], CLI_MAX_ARGS))
			return err_nomem(e), 5;
	struct serve_outcome how = {.code = 5};
	int status;
	if (!cli_check_file(&c->config.service, true, e))
		how.code = status = err_exit_status(e->code);
	else
		status = c->invoke ? serve_invoke(&c->config, c->invoke, &how, e) : serve_command(&c->config, &how, e);
	if (e->code != ERR_NONE && (c->config.process.json || how.backtrace[0])) {
		cli_print_error(e);
		cli_print_backtrace(how.backtrace);
		err_clear(e);
	}
	if (c->config.process.json)
		fprintf(stderr, "{\"by\":\"%s\",\"code\":%d}\n", how.by_guest ? "guest" : "tenon", status);
	return status;
}
